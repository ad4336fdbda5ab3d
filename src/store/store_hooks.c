/* The writing side: events go in with the update they are about; what attempts came to
 * goes in by itself. */
#include "store/store_hooks.h"

#include <string.h>

#include "base/clock.h"
#include "base/emit.h"
#include "base/err.h"
#include "base/mem.h"
#include "store/store_room.h"

enum { URLS_MAX = 256 * 1024, SWEEP_ROWS = 1000 };

static const char disown[] =
    "UPDATE deliveries SET state = 'failed', why = 'its URL is not configured any more',"
    " ended_ms = ?2 WHERE state = 'pending' AND url NOT IN (SELECT value FROM json_each(?1))";

static int give_up_foreign(struct store *s)
{
    sqlite3_stmt *statement = NULL;
    int err = sql_fail(sqlite3_prepare_v2(s->writer, disown, -1, &statement, NULL));

    if (err == OK) {
        sql_bind_text(statement, 1, s->hook_urls);
        sqlite3_bind_int64(statement, 2, clock_wall_ms());
        err = sql_run(statement);
    }
    sqlite3_finalize(statement);
    return err;
}

int store_set_hooks(struct store *s, const struct store_hooks *hooks)
{
    struct buf urls;

    buf_init(&urls, URLS_MAX);
    emit_open(&urls, '[');
    for (size_t i = 0; i < hooks->url_count; i++)
        emit_string(&urls, hooks->urls[i]);
    emit_close(&urls, ']');
    if (urls.failed) {
        buf_deinit(&urls);
        return FAIL_LIMIT;
    }
    s->hooks = *hooks;
    s->hook_urls = buf_take(&urls);
    return give_up_foreign(s);
}

/* Events */

static int insert(struct store *s, const struct update *u, const struct hook_event *event,
                  const char *url)
{
    sqlite3_stmt *statement = s->writes[WRITE_HOOK];

    sql_bind_text(statement, 1, event->message);
    sql_bind_text(statement, 2, u->text[TEXT_ID]);
    sql_bind_text(statement, 3, hook_type_name(event->type));
    sql_bind_text(statement, 4, url);
    sql_bind_text(statement, 5, buf_text(&event->body));
    sqlite3_bind_int64(statement, 6, clock_wall_ms());
    return sql_run(statement);
}

static int add_event(struct store *s, const struct update *u, enum hook_type type)
{
    struct hook_event event = { .type = type };
    int err = OK;

    buf_init(&event.body, HOOK_BODY_MAX);
    s->hooks.describe(s->hooks.context, u, &event);
    for (size_t i = 0; err == OK && i < s->hooks.url_count; i++)
        err = insert(s, u, &event, s->hooks.urls[i]);
    buf_deinit(&event.body);
    s->has_new_hooks = true;
    return err;
}

static int find_job(struct store *s, const char *job, bool *is_there)
{
    sqlite3_stmt *statement = s->writes[WRITE_FIND];

    sql_bind_text(statement, 1, job);
    int rc = sqlite3_step(statement);
    *is_there = rc == SQLITE_ROW;
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return sql_fail(rc);
}

/* What is heard of a job without being written, while the disk has trouble, is in no
 * group any more when it is well again: then it is the row that says what is new. */
int hooks_write(struct store *s, struct record *const *of_job, size_t count)
{
    bool is_there;
    int err;

    if (s->hooks.url_count == 0)
        return OK;
    err = find_job(s, of_job[0]->update->text[TEXT_ID], &is_there);
    if (err == OK && !is_there)
        err = add_event(s, of_job[0]->update, HOOK_CREATED);
    for (size_t i = 0; err == OK && i < count; i++)
        if (job_is_final(of_job[i]->update->state))
            err = add_event(s, of_job[i]->update, hook_type_of(of_job[i]->update->state));
    return err;
}

void hooks_written(struct store *s)
{
    if (s->has_new_hooks)
        s->hooks.written(s->hooks.context);
    s->has_new_hooks = false;
}

/* Attempts */

enum hook_verb { HOOK_SETTLE, HOOK_REPLAY, HOOK_FORGET };

struct hook_record {
    enum hook_verb verb;
    struct hook_result result;
    char why[HOOK_WHY_MAX];
};

static void put(struct store *s, const struct hook_record *hook,
                void (*done)(void *context, int err), void *context)
{
    struct record *record = mem_new(struct record);

    record->kind = RECORD_HOOK;
    record->hook = mem_new(struct hook_record);
    *record->hook = *hook;
    record->done = done;
    record->context = context;
    queue_put(s, record);
}

void store_hooks_settle(struct store *s, const struct hook_result *result,
                        void (*done)(void *context, int err), void *context)
{
    struct hook_record hook = { .verb = HOOK_SETTLE, .result = *result };

    snprintf(hook.why, sizeof(hook.why), "%s", result->why);
    put(s, &hook, done, context);
}

void store_hooks_replay(struct store *s, uint64_t id, int64_t now_ms,
                        void (*done)(void *context, int err), void *context)
{
    put(s, &(struct hook_record){ .verb = HOOK_REPLAY, .result = { .id = id, .now_ms = now_ms } },
        done, context);
}

void store_hooks_sweep(struct store *s, int64_t before_ms)
{
    put(s, &(struct hook_record){ .verb = HOOK_FORGET, .result = { .now_ms = before_ms } }, NULL,
        NULL);
}

/* The next of the job's is not held any more. */
static int let_go(struct store *s, const struct hook_result *r)
{
    sqlite3_stmt *statement = s->writes[WRITE_HOOK_LET_GO];

    sqlite3_bind_int64(statement, 1, (int64_t)r->id);
    sqlite3_bind_int64(statement, 2, r->now_ms);
    int err = sql_run(statement);
    if (err == OK && sqlite3_changes64(s->writer) > 0)
        s->has_new_hooks = true;
    return err;
}

static int write_settled(struct store *s, const struct hook_record *hook)
{
    sqlite3_stmt *statement = s->writes[WRITE_HOOK_SETTLE];
    const struct hook_result *r = &hook->result;

    sqlite3_bind_int64(statement, 1, (int64_t)r->id);
    sql_bind_text(statement, 2, hook_state_name(r->state));
    sqlite3_bind_int64(statement, 3, r->attempts);
    sqlite3_bind_int64(statement, 4, r->status);
    sql_bind_text(statement, 5, hook->why);
    sqlite3_bind_int64(statement, 6, r->next_ms);
    sqlite3_bind_int64(statement, 7, r->now_ms);
    int err = sql_run(statement);
    return err != OK || r->state == HOOK_PENDING ? err : let_go(s, r);
}

int hook_record_write(struct store *s, struct record *record)
{
    const struct hook_record *hook = record->hook;
    sqlite3_stmt *statement;
    int err;

    if (hook->verb == HOOK_SETTLE)
        return write_settled(s, hook);
    if (hook->verb == HOOK_FORGET) {
        statement = s->writes[WRITE_HOOK_FORGET];
        sqlite3_bind_int64(statement, 1, hook->result.now_ms);
        sqlite3_bind_int64(statement, 2, SWEEP_ROWS);
        return sql_run(statement);
    }
    statement = s->writes[WRITE_HOOK_REPLAY];
    sqlite3_bind_int64(statement, 1, (int64_t)hook->result.id);
    sqlite3_bind_int64(statement, 2, hook->result.now_ms);
    sql_bind_text(statement, 3, s->hook_urls != NULL ? s->hook_urls : "[]");
    err = sql_run(statement);
    if (err == OK) {
        record->outcome = sqlite3_changes64(s->writer) > 0 ? OK : FAIL_MISSING;
        s->has_new_hooks |= record->outcome == OK && s->hooks.url_count > 0;
    }
    return err;
}

/* Reading */

static char *copy(sqlite3_stmt *statement, int at)
{
    const char *text = (const char *)sqlite3_column_text(statement, at);

    return mem_strdup(text != NULL ? text : "");
}

static struct hook_delivery row(sqlite3_stmt *statement)
{
    struct hook_delivery d = {
        .id = (uint64_t)sqlite3_column_int64(statement, 0),
        .message = copy(statement, 1),
        .job = copy(statement, 2),
        .type = copy(statement, 3),
        .url = copy(statement, 4),
        .attempts = (uint32_t)sqlite3_column_int64(statement, 6),
        .status = (int)sqlite3_column_int64(statement, 7),
        .why = copy(statement, 8),
        .created_ms = sqlite3_column_int64(statement, 9),
        .next_ms = sqlite3_column_int64(statement, 10),
        .ended_ms = sqlite3_column_int64(statement, 11),
        .body = copy(statement, 12),
    };
    char *state = copy(statement, 5);

    hook_state_parse(str_of(state), &d.state);
    mem_free(state);
    return d;
}

static int read_rows(sqlite3_stmt *statement, size_t max, struct hook_delivery **out, size_t *count)
{
    struct hook_delivery *rows = mem_zalloc((max > 0 ? max : 1) * sizeof(*rows));
    size_t found = 0;
    int rc = SQLITE_DONE;

    while (found < max && (rc = sqlite3_step(statement)) == SQLITE_ROW)
        rows[found++] = row(statement);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    int err = sql_fail(rc);
    if (err != OK) {
        hook_deliveries_free(rows, found);
        return err;
    }
    *out = rows;
    *count = found;
    return OK;
}

static int64_t read_next(sqlite3_stmt *statement, const char *url, int64_t now_ms)
{
    int64_t next_ms = HOOK_HELD;

    sql_bind_text(statement, 1, url);
    sqlite3_bind_int64(statement, 2, now_ms);
    if (sqlite3_step(statement) == SQLITE_ROW)
        next_ms = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return next_ms;
}

int store_hooks_due(struct store *s, const char *url, int64_t now_ms, size_t max,
                    struct hook_delivery **out, size_t *count, int64_t *next_ms)
{
    pthread_mutex_lock(&s->read_lock);
    sqlite3_stmt *statement = s->reads[READ_HOOKS_DUE];
    sql_bind_text(statement, 1, url);
    sqlite3_bind_int64(statement, 2, now_ms);
    sqlite3_bind_int64(statement, 3, (int64_t)max);
    int err = read_rows(statement, max, out, count);
    if (err == OK)
        *next_ms = read_next(s->reads[READ_HOOKS_NEXT], url, now_ms);
    pthread_mutex_unlock(&s->read_lock);
    return err;
}

int store_hooks_list(struct store *s, const struct hook_query *query, struct hook_delivery **out,
                     size_t *count)
{
    pthread_mutex_lock(&s->read_lock);
    sqlite3_stmt *statement = s->reads[query->job != NULL ? READ_HOOKS_OF_JOB : READ_HOOKS];
    sqlite3_bind_int64(statement, 1, query->before > 0 ? (int64_t)query->before : INT64_MAX);
    sql_bind_text(statement, 2,
                  query->state < 0 ? NULL : hook_state_name((enum hook_state)query->state));
    sqlite3_bind_int64(statement, 3, (int64_t)query->max);
    if (query->job != NULL)
        sql_bind_text(statement, 4, query->job);
    int err = read_rows(statement, query->max, out, count);
    pthread_mutex_unlock(&s->read_lock);
    return err;
}
