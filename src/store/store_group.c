/* A group: one transaction with everything that is pending. Of each job only
 * the latest update is written, for an update is the job's whole state. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "store/store_room.h"
#include "store/store_row.h"
#include "store/store_schema.h"

enum { BUSY_MS = 1000 };

/* A job never goes back to an older state, whatever the order of writing. */
static const char *const texts[WRITER_SQLS] = {
    [WRITE_JOB] =
        ("INSERT INTO jobs (" ROW_COLUMNS ") VALUES"
         " (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET"
         " owner = excluded.owner, title = excluded.title, stage = excluded.stage,"
         " message = excluded.message, error = excluded.error, metadata = excluded.metadata,"
         " result = excluded.result, video_info = excluded.video_info,"
         " hls_path = excluded.hls_path, url = excluded.url, storage = excluded.storage,"
         " state = excluded.state, kind = excluded.kind, seq = excluded.seq,"
         " created_ms = excluded.created_ms, updated_ms = excluded.updated_ms,"
         " fraction = excluded.fraction, stage_fraction = excluded.stage_fraction,"
         " speed = excluded.speed, eta_ms = excluded.eta_ms, bytes_done = excluded.bytes_done,"
         " bytes_total = excluded.bytes_total, file_size = excluded.file_size"
         " WHERE excluded.seq > jobs.seq"),
    /* What progress does: the index of the unfinished holds neither of what is set
     * here, so it is left alone; naming a column is enough to have its indexes
     * written, though the value stays. Changes nothing where WRITE_JOB is due. */
    [WRITE_PROGRESS] =
        ("UPDATE jobs SET title = ?3, stage = ?4, message = ?5, error = ?6, metadata = ?7,"
         " result = ?8, video_info = ?9, hls_path = ?10, url = ?11, storage = ?12, seq = ?15,"
         " updated_ms = ?17, fraction = ?18, stage_fraction = ?19, speed = ?20, eta_ms = ?21,"
         " bytes_done = ?22, bytes_total = ?23, file_size = ?24"
         " WHERE id = ?1 AND owner IS ?2 AND state = ?13 AND kind = ?14 AND created_ms = ?16"
         " AND seq < ?15"),
    [WRITE_WORK] = ("INSERT INTO works (job, step, spec, updated_ms) VALUES (?,?,?,?)"
                    " ON CONFLICT (job) DO UPDATE SET step = excluded.step, spec = excluded.spec,"
                    " updated_ms = excluded.updated_ms"),
    [WRITE_NO_WORK] = "DELETE FROM works WHERE job = ?",
    [WRITE_ROOM] = ("INSERT INTO rooms (pid, job, sid, subject) VALUES (?,?,?,?)"
                    " ON CONFLICT DO NOTHING"),
    [WRITE_NO_ROOM] = "DELETE FROM rooms WHERE pid = ?1 AND (?2 IS NULL OR job = ?2)",
    /* A finished job that still has work, its clean-up, is not done with. */
    [WRITE_SWEEP] = ("DELETE FROM jobs WHERE rowid IN (SELECT rowid FROM jobs"
                     " WHERE updated_ms < ? AND state NOT IN ('queued', 'processing')"
                     " AND NOT EXISTS (SELECT 1 FROM works WHERE works.job = jobs.id)"
                     " ORDER BY updated_ms LIMIT ?)"),
    [WRITE_FIND] = "SELECT 1 FROM jobs WHERE id = ?",
    /* Held while an earlier one of the job is pending. */
    [WRITE_HOOK] =
        ("INSERT INTO deliveries (message, job, type, url, state, attempts, status, why,"
         " created_ms, next_ms, ended_ms, body) VALUES (?1, ?2, ?3, ?4, 'pending', 0, 0, '', ?6,"
         " CASE WHEN EXISTS (SELECT 1 FROM deliveries WHERE job = ?2 AND url = ?4"
         " AND state = 'pending') THEN 9223372036854775807 ELSE ?6 END, 0, ?5)"),
    [WRITE_HOOK_SETTLE] = ("UPDATE deliveries SET state = ?2, attempts = ?3, status = ?4,"
                           " why = ?5, next_ms = ?6, ended_ms = ?7"
                           " WHERE id = ?1 AND state = 'pending'"),
    [WRITE_HOOK_LET_GO] =
        ("UPDATE deliveries SET next_ms = ?2 WHERE id = (SELECT min(later.id)"
         " FROM deliveries AS later JOIN deliveries AS this ON this.id = ?1"
         " WHERE later.job = this.job AND later.url = this.url AND later.state = 'pending'"
         " AND later.next_ms = 9223372036854775807)"),
    [WRITE_HOOK_REPLAY] =
        ("UPDATE deliveries SET state = 'pending', attempts = 0, next_ms = ?2 WHERE id = ?1"
         " AND state <> 'pending' AND url IN (SELECT value FROM json_each(?3))"),
    [WRITE_HOOK_FORGET] = ("DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries"
                           " WHERE state <> 'pending' AND ended_ms < ?1 LIMIT ?2)"),
    [WRITE_META] = ("INSERT INTO meta (key, value) VALUES (?, ?)"
                    " ON CONFLICT (key) DO UPDATE SET value = excluded.value"),
    [WRITE_SYNC] = ("INSERT INTO meta (key, value) VALUES ('barriers', 1)"
                    " ON CONFLICT (key) DO UPDATE SET value = value + 1"),
    [WRITE_BEGIN] = "BEGIN IMMEDIATE",
    [WRITE_COMMIT] = "COMMIT",
    [WRITE_ROLLBACK] = "ROLLBACK",
};

static int use_wal(sqlite3 *db)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, "PRAGMA journal_mode = WAL", -1, &statement, NULL);
    int err = sql_fail(rc);

    if (err == OK && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *mode = (const char *)sqlite3_column_text(statement, 0);
        /* It stays as it was where there is no shared memory (network drives). */
        err = mode != NULL && strcmp(mode, "wal") == 0 ? OK : FAIL_UNSUPPORTED;
    } else if (err == OK)
        err = sql_fail(rc);
    sqlite3_finalize(statement);
    return err;
}

int writer_open(struct store *s, const char *path, struct buf *why)
{
    struct buf reason;
    int err = sql_open(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, BUSY_MS, &s->writer, why);

    if (err != OK)
        return err;
    buf_init(&reason, 1024);
    err = schema_migrate(s->writer, schema_steps, schema_count, &reason);
    if (err == OK)
        err = use_wal(s->writer);
    if (err == OK)
        err = sql_exec(s->writer, "PRAGMA synchronous = NORMAL;"
                                  "PRAGMA journal_size_limit = 16777216");
    if (err == OK)
        err = sql_prepare_all(s->writer, texts, WRITER_SQLS, s->writes);
    if (err != OK)
        buf_printf(why, "%s: %s", path, reason.len ? buf_text(&reason) : sqlite3_errmsg(s->writer));
    buf_deinit(&reason);
    return err;
}

static int compare(const void *a, const void *b)
{
    const struct record *x = *(struct record *const *)a, *y = *(struct record *const *)b;
    int by_job = strcmp(x->update->text[TEXT_ID], y->update->text[TEXT_ID]);

    return by_job != 0 ? by_job : (x->order > y->order) - (x->order < y->order);
}

void group_sort(struct store *s)
{
    size_t order = 0;

    if (s->sorted_room < s->pending.count) {
        s->sorted_room = s->pending.count * 2;
        s->sorted = mem_resize(s->sorted, s->sorted_room * sizeof(struct record *));
    }
    s->sorted_count = 0;
    for (struct record *r = s->pending.first; r != NULL; r = r->next) {
        r->order = order++;
        if (r->kind == RECORD_UPDATE)
            s->sorted[s->sorted_count++] = r;
    }
    if (s->sorted_count > 1)
        qsort(s->sorted, s->sorted_count, sizeof(struct record *), compare);
}

bool group_is_latest(const struct store *s, size_t index)
{
    return index + 1 == s->sorted_count || strcmp(s->sorted[index]->update->text[TEXT_ID],
                                                  s->sorted[index + 1]->update->text[TEXT_ID]) != 0;
}

static bool is_durable(const struct record *r)
{
    if (r->kind == RECORD_UPDATE)
        return job_is_final(r->update->state) && !r->is_confirmed;
    return r->kind == RECORD_PUT || r->kind == RECORD_DROP || r->kind == RECORD_SYNC;
}

/* In WAL mode FULL syncs the log at each commit, NORMAL only at checkpoints.
 * It can be changed between transactions, and then counts for the next. */
static int set_sync(struct store *s, bool is_full)
{
    if (s->is_full_sync == is_full)
        return OK;
    int err =
        sql_exec(s->writer, is_full ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
    if (err == OK)
        s->is_full_sync = is_full;
    return err;
}

static int write_meta(struct store *s, const char *key, int64_t value)
{
    sql_bind_text(s->writes[WRITE_META], 1, key);
    sqlite3_bind_int64(s->writes[WRITE_META], 2, value);
    return sql_run(s->writes[WRITE_META]);
}

int write_sweep(struct store *s, struct sweep *sweep)
{
    sqlite3_stmt *statement = s->writes[WRITE_SWEEP];

    sqlite3_bind_int64(statement, 1, sweep->before_ms);
    sqlite3_bind_int64(statement, 2, sweep->max > INT64_MAX ? INT64_MAX : (int64_t)sweep->max);
    int err = sql_run(statement);
    if (err == OK)
        sweep->count = (size_t)sqlite3_changes64(s->writer);
    return err;
}

static int write_room(struct store *s, const struct record *r)
{
    sqlite3_stmt *statement = s->writes[r->kind == RECORD_JOIN ? WRITE_ROOM : WRITE_NO_ROOM];

    sql_bind_text(statement, 1, r->pid);
    sql_bind_text(statement, 2, r->job);
    if (r->kind == RECORD_JOIN) {
        sql_bind_text(statement, 3, r->sid);
        sql_bind_text(statement, 4, r->subject);
    }
    return sql_run(statement);
}

static int write_record(struct store *s, struct record *r)
{
    sqlite3_stmt *statement;

    switch (r->kind) {
    case RECORD_PUT:
        statement = s->writes[WRITE_WORK];
        sql_bind_text(statement, 1, r->job);
        sql_bind_text(statement, 2, r->step);
        sql_bind_text(statement, 3, r->spec);
        sqlite3_bind_int64(statement, 4, r->updated_ms);
        return sql_run(statement);
    case RECORD_DROP:
        statement = s->writes[WRITE_NO_WORK];
        sql_bind_text(statement, 1, r->job);
        return sql_run(statement);
    /* A transaction that changes no page syncs nothing, not even what earlier
     * ones left in the log; and a row written with the value it has changes
     * none. So this counts: the time is the same for two within a millisecond. */
    case RECORD_SYNC: return sql_run(s->writes[WRITE_SYNC]);
    case RECORD_SWEEP: return write_sweep(s, r->sweep);
    case RECORD_JOIN:
    case RECORD_PART: return write_room(s, r);
    case RECORD_HOOK: return hook_record_write(s, r);
    case RECORD_AFTER:
    case RECORD_UPDATE: break;
    }
    return OK;
}

static int write_update(struct store *s, const struct update *u)
{
    row_bind(s->writes[WRITE_PROGRESS], u);
    int err = sql_run(s->writes[WRITE_PROGRESS]);

    if (err != OK || sqlite3_changes64(s->writer) > 0)
        return err;
    row_bind(s->writes[WRITE_JOB], u);
    return sql_run(s->writes[WRITE_JOB]);
}

static int write_latest(struct store *s)
{
    size_t first = 0; /* of its job */
    int err = OK;

    for (size_t i = 0; err == OK && i < s->sorted_count; i++) {
        if (!group_is_latest(s, i))
            continue;
        err = hooks_write(s, s->sorted + first, i + 1 - first);
        if (err == OK)
            err = write_update(s, s->sorted[i]->update);
        first = i + 1;
    }
    return err;
}

static int write_content(struct store *s)
{
    int err = write_latest(s);

    for (struct record *r = s->pending.first; err == OK && r != NULL; r = r->next)
        err = write_record(s, r);
    /* After trouble something must really be written, or an empty group would
     * look like a recovery. */
    if (err == OK && s->is_troubled)
        err = write_meta(s, "recovered_ms", clock_wall_ms());
    return err;
}

/* Whatever went wrong, the connection is left outside of any transaction. */
static int transact(struct store *s, bool is_durable_group, int (*content)(struct store *s))
{
    int err = set_sync(s, is_durable_group);

    if (err == OK)
        err = sql_run(s->writes[WRITE_BEGIN]);
    if (err == OK)
        err = content(s);
    if (err == OK)
        err = sql_run(s->writes[WRITE_COMMIT]);
    if (err == OK)
        return OK;
    pthread_mutex_lock(&s->lock);
    snprintf(s->trouble, sizeof s->trouble, "%s", sqlite3_errmsg(s->writer));
    pthread_mutex_unlock(&s->lock);
    s->has_new_hooks = false;
    if (!sqlite3_get_autocommit(s->writer))
        sql_run(s->writes[WRITE_ROLLBACK]);
    return err;
}

int group_write(struct store *s)
{
    bool is_durable_group = false;

    group_sort(s);
    for (const struct record *r = s->pending.first; r != NULL; r = r->next)
        is_durable_group |= is_durable(r);
    return transact(s, is_durable_group, write_content);
}

static int add_start(struct store *s)
{
    int64_t starts;
    int err = sql_number(s->writer, "SELECT value FROM meta WHERE key = 'starts'", &starts);

    return err == OK ? write_meta(s, "starts", starts + 1) : err;
}

int write_count_start(struct store *s, uint64_t *start)
{
    int64_t starts;
    int err = transact(s, true, add_start);

    if (err == OK)
        err = sql_number(s->writer, "SELECT value FROM meta WHERE key = 'starts'", &starts);
    if (err == OK)
        *start = (uint64_t)starts;
    return err;
}
