#include "store/store_schema.h"

#include <stdio.h>

#include "base/err.h"

/* "Rely", in the file's header: whose file this is. */
#define APPLICATION_ID 0x52656c79

/* States and kinds by name: the numbers are free to change, and people can
 * read the file. `updated_ms` moves with every update, `created_ms` does not,
 * so the index that finds unfinished jobs is left alone by progress. */
const char *const schema_steps[] = {
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER) STRICT, WITHOUT ROWID;"
    "CREATE TABLE jobs ("
    "  id TEXT NOT NULL PRIMARY KEY, owner TEXT, title TEXT, stage TEXT, message TEXT,"
    "  error TEXT, metadata TEXT, result TEXT, video_info TEXT, hls_path TEXT, url TEXT,"
    "  storage TEXT, state TEXT NOT NULL, kind TEXT NOT NULL, seq INTEGER NOT NULL,"
    "  created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL, fraction REAL,"
    "  stage_fraction REAL, speed REAL, eta_ms INTEGER, bytes_done INTEGER,"
    "  bytes_total INTEGER, file_size INTEGER) STRICT;"
    "CREATE INDEX jobs_by_time ON jobs (updated_ms);"
    "CREATE INDEX jobs_by_owner ON jobs (owner, updated_ms);"
    "CREATE INDEX jobs_unfinished ON jobs (created_ms)"
    "  WHERE state IN ('queued', 'processing');"
    "CREATE TABLE works (job TEXT NOT NULL PRIMARY KEY, step TEXT NOT NULL,"
    "  spec TEXT NOT NULL, updated_ms INTEGER NOT NULL) STRICT;",

    "CREATE TABLE rooms (pid TEXT NOT NULL, job TEXT NOT NULL, sid TEXT NOT NULL,"
    "  subject TEXT NOT NULL, PRIMARY KEY (pid, job)) STRICT, WITHOUT ROWID;",

    "CREATE TABLE deliveries (id INTEGER PRIMARY KEY AUTOINCREMENT, message TEXT NOT NULL,"
    "  job TEXT NOT NULL, type TEXT NOT NULL, url TEXT NOT NULL, state TEXT NOT NULL,"
    "  attempts INTEGER NOT NULL, status INTEGER NOT NULL, why TEXT NOT NULL,"
    "  created_ms INTEGER NOT NULL, next_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL,"
    "  body TEXT NOT NULL) STRICT;"
    "CREATE INDEX deliveries_due ON deliveries (url, next_ms) WHERE state = 'pending';"
    "CREATE INDEX deliveries_of_job ON deliveries (job, id);"
    "CREATE INDEX deliveries_ended ON deliveries (ended_ms) WHERE state <> 'pending';",
};
const int schema_count = sizeof schema_steps / sizeof *schema_steps;

static int read_version(sqlite3 *db, int64_t *version, struct buf *why)
{
    int64_t application, changes;
    int err = sql_number(db, "PRAGMA application_id", &application);

    if (err == OK)
        err = sql_number(db, "PRAGMA schema_version", &changes);
    if (err == OK)
        err = sql_number(db, "PRAGMA user_version", version);
    if (err != OK) {
        buf_printf(why, "cannot be read: %s", sqlite3_errmsg(db));
        return err;
    }
    bool is_new = application == 0 && changes == 0 && *version == 0;
    if (!is_new && application != APPLICATION_ID) {
        buf_puts(why, "holds another program's data");
        return FAIL_UNSUPPORTED;
    }
    return OK;
}

static int take_step(sqlite3 *db, const char *step, int version)
{
    char mark[96];

    snprintf(mark, sizeof mark, "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
             APPLICATION_ID, version);
    int err = sql_exec(db, "BEGIN IMMEDIATE");
    if (err == OK)
        err = sql_exec(db, step);
    if (err == OK)
        err = sql_exec(db, mark);
    return err;
}

int schema_migrate(sqlite3 *db, const char *const *steps, int count, struct buf *why)
{
    int64_t version;
    int err = read_version(db, &version, why);

    if (err != OK)
        return err;
    if (version < 0 || version > count) {
        buf_printf(why, "was written by a newer version (schema %lld, this one knows %d)",
                   (long long)version, count);
        return FAIL_UNSUPPORTED;
    }
    for (int at = (int)version; err == OK && at < count; at++) {
        err = take_step(db, steps[at], at + 1);
        if (err == OK)
            continue;
        buf_printf(why, "cannot be brought to schema %d: %s", at + 1, sqlite3_errmsg(db));
        if (!sqlite3_get_autocommit(db))
            sql_exec(db, "ROLLBACK");
    }
    return err;
}
