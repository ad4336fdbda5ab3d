#include <assert.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/store_room.h"
#include "store/store_row.h"

enum { BUSY_MS = 2000 };

#define HOOK_COLUMNS                                                                               \
    "id, message, job, type, url, state, attempts, status, why, created_ms, next_ms, ended_ms"

static const char *const texts[READER_SQLS] = {
    [READ_JOB] = ("SELECT " ROW_COLUMNS " FROM jobs WHERE id = ?"),
    [READ_UNFINISHED] = ("SELECT " ROW_COLUMNS " FROM jobs"
                         " WHERE state IN ('queued', 'processing') UNION ALL"
                         " SELECT " ROW_COLUMNS " FROM jobs WHERE id IN (SELECT job FROM works)"
                         " AND state NOT IN ('queued', 'processing') ORDER BY created_ms"),
    [READ_WORK] = "SELECT job, step, spec, updated_ms FROM works WHERE job = ?",
    [READ_ROOMS] = "SELECT pid, sid, subject, job FROM rooms ORDER BY pid, job",
    [READ_HOOKS_DUE] = ("SELECT " HOOK_COLUMNS ", body FROM deliveries WHERE url = ?1"
                        " AND state = 'pending' AND next_ms <= ?2 ORDER BY next_ms LIMIT ?3"),
    [READ_HOOKS_NEXT] = ("SELECT next_ms FROM deliveries WHERE url = ?1 AND state = 'pending'"
                         " AND next_ms > ?2 ORDER BY next_ms LIMIT 1"),
    [READ_HOOKS] = ("SELECT " HOOK_COLUMNS ", NULL FROM deliveries WHERE id < ?1"
                    " AND (?2 IS NULL OR state = ?2) ORDER BY id DESC LIMIT ?3"),
    [READ_HOOKS_OF_JOB] = ("SELECT " HOOK_COLUMNS ", NULL FROM deliveries WHERE job = ?4"
                           " AND id < ?1 AND (?2 IS NULL OR state = ?2) ORDER BY id DESC LIMIT ?3"),
    [READ_WORKS] = "SELECT job, step, spec, updated_ms FROM works ORDER BY updated_ms",
    [READ_LIST] = ("SELECT " ROW_COLUMNS " FROM jobs WHERE updated_ms < ?1"
                   " AND (?2 IS NULL OR state = ?2) ORDER BY updated_ms DESC LIMIT ?3"),
    /* Two runs over the index, merged; an OR would sort all of an owner's jobs. */
    [READ_OWNED] = ("SELECT " ROW_COLUMNS " FROM jobs WHERE owner = ?4 AND updated_ms < ?1"
                    " AND (?2 IS NULL OR state = ?2) UNION ALL"
                    " SELECT " ROW_COLUMNS " FROM jobs WHERE owner IS NULL AND updated_ms < ?1"
                    " AND (?2 IS NULL OR state = ?2) ORDER BY updated_ms DESC LIMIT ?3"),
};

int reader_open(struct store *s, const char *path, struct buf *why)
{
    int err = sql_open(path, SQLITE_OPEN_READONLY, BUSY_MS, &s->reader, why);

    if (err != OK)
        return err;
    err = sql_prepare_all(s->reader, texts, READER_SQLS, s->reads);
    if (err != OK)
        buf_printf(why, "%s: %s", path, sqlite3_errmsg(s->reader));
    return err;
}

static sqlite3_stmt *begin(struct store *s, enum reader_sql which)
{
    pthread_mutex_lock(&s->read_lock);
    return s->reads[which];
}

static void end(struct store *s, sqlite3_stmt *statement)
{
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    pthread_mutex_unlock(&s->read_lock);
}

/* The next row that can be read. False at the end, `*err` says of what kind. */
static bool next_update(sqlite3_stmt *statement, struct update **out, int *err)
{
    int rc;

    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        if (row_read(statement, out) == OK)
            return true;
        /* One odd row must not hide all the others. */
        log_warn("store_row_unreadable",
                 LOG_S("job", (const char *)sqlite3_column_text(statement, 0)));
    }
    *err = sql_fail(rc);
    return false;
}

int store_each_unfinished(struct store *s, bool (*each)(void *context, struct update *u),
                          void *context)
{
    sqlite3_stmt *statement = begin(s, READ_UNFINISHED);
    struct update *u;
    bool goes_on = true;
    int err = OK;

    while (goes_on && next_update(statement, &u, &err)) {
        goes_on = each(context, u);
        update_unref(&u);
    }
    end(s, statement);
    return err;
}

int store_find(struct store *s, const char *job, struct update **out)
{
    sqlite3_stmt *statement = begin(s, READ_JOB);
    int err = OK;

    sql_bind_text(statement, 1, job);
    if (!next_update(statement, out, &err) && err == OK)
        err = FAIL_MISSING;
    end(s, statement);
    return err;
}

int store_list(struct store *s, const char *owner, int state, int64_t before_ms, size_t max,
               struct update **out, size_t *count)
{
    sqlite3_stmt *statement = begin(s, owner != NULL ? READ_OWNED : READ_LIST);
    size_t found = 0;
    int err = OK;

    assert(state < JOB_STATES);
    sqlite3_bind_int64(statement, 1, before_ms > 0 ? before_ms : INT64_MAX);
    sql_bind_text(statement, 2, state < 0 ? NULL : job_state_name((enum job_state)state));
    sqlite3_bind_int64(statement, 3, max > INT64_MAX ? INT64_MAX : (int64_t)max);
    if (owner != NULL)
        sql_bind_text(statement, 4, owner);
    while (found < max && next_update(statement, &out[found], &err))
        found++;
    end(s, statement);
    if (err == OK)
        *count = found;
    else
        while (found > 0)
            update_unref(&out[--found]);
    return err;
}

static const char *column(sqlite3_stmt *statement, int at)
{
    const char *text = (const char *)sqlite3_column_text(statement, at);

    return text ? text : "";
}

static struct work row_work(sqlite3_stmt *statement)
{
    return (struct work){
        .job = mem_strdup(column(statement, 0)),
        .step = mem_strdup(column(statement, 1)),
        .spec = mem_strdup(column(statement, 2)),
        .updated_ms = sqlite3_column_int64(statement, 3),
    };
}

int store_each_work(struct store *s, bool (*each)(void *context, const struct work *w),
                    void *context)
{
    sqlite3_stmt *statement = begin(s, READ_WORKS);
    bool goes_on = true;
    int rc = SQLITE_DONE;

    while (goes_on && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        struct work w = row_work(statement);
        goes_on = each(context, &w);
        work_deinit(&w);
    }
    end(s, statement);
    return sql_fail(rc);
}

int store_each_room(struct store *s, bool (*each)(void *context, const struct room *room),
                    void *context)
{
    sqlite3_stmt *statement = begin(s, READ_ROOMS);
    bool goes_on = true;
    int rc = SQLITE_DONE;

    while (goes_on && (rc = sqlite3_step(statement)) == SQLITE_ROW)
        goes_on = each(context, &(struct room){ .pid = column(statement, 0),
                                                .sid = column(statement, 1),
                                                .subject = column(statement, 2),
                                                .job = column(statement, 3) });
    end(s, statement);
    return sql_fail(rc);
}

int store_find_work(struct store *s, const char *job, struct work *out)
{
    sqlite3_stmt *statement = begin(s, READ_WORK);

    sql_bind_text(statement, 1, job);
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        *out = row_work(statement);
    end(s, statement);
    return rc == SQLITE_DONE ? FAIL_MISSING : sql_fail(rc);
}

void work_deinit(struct work *w)
{
    mem_free(w->job);
    mem_free(w->step);
    mem_free(w->spec);
    *w = (struct work){ 0 };
}
