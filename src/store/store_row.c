#include "store/store_row.h"

#include <math.h>

#include "base/err.h"
#include "store/store_sql.h"

/* The texts, in the order of the columns, which is the file's and must not
 * follow a reordered enum. */
static const enum update_text texts[] = {
    TEXT_ID,       TEXT_OWNER,  TEXT_TITLE,      TEXT_STAGE,    TEXT_MESSAGE, TEXT_ERROR,
    TEXT_METADATA, TEXT_RESULT, TEXT_VIDEO_INFO, TEXT_HLS_PATH, TEXT_URL,     TEXT_STORAGE,
};
enum { TEXTS = sizeof texts / sizeof *texts };

_Static_assert(TEXTS == (int)UPDATE_TEXTS, "a text has no column");

static void bind_real(sqlite3_stmt *statement, int place, double value)
{
    sqlite3_bind_double(statement, place, isfinite(value) ? value : -1);
}

void row_bind(sqlite3_stmt *statement, const struct update *u)
{
    int at = 1;

    for (int i = 0; i < TEXTS; i++)
        sql_bind_text(statement, at++, u->text[texts[i]]);
    sql_bind_text(statement, at++, job_state_name(u->state));
    sql_bind_text(statement, at++, job_kind_name(u->kind));
    sqlite3_bind_int64(statement, at++, (int64_t)u->seq);
    sqlite3_bind_int64(statement, at++, u->created_ms);
    sqlite3_bind_int64(statement, at++, u->time_ms);
    bind_real(statement, at++, u->fraction);
    bind_real(statement, at++, u->stage_fraction);
    bind_real(statement, at++, u->speed);
    sqlite3_bind_int64(statement, at++, u->eta_ms);
    sqlite3_bind_int64(statement, at++, u->bytes_done);
    sqlite3_bind_int64(statement, at++, u->bytes_total);
    sqlite3_bind_int64(statement, at++, u->file_size);
}

static struct str column_str(sqlite3_stmt *statement, int at)
{
    return str_of((const char *)sqlite3_column_text(statement, at));
}

int row_read(sqlite3_stmt *statement, struct update **out)
{
    struct change fields = { .is_retry = false };
    enum job_state state;
    enum job_kind kind;
    int at = 0;

    for (int i = 0; i < TEXTS; i++)
        fields.text[texts[i]] = (const char *)sqlite3_column_text(statement, at++);
    if (job_state_parse(column_str(statement, at++), &state) != OK ||
        job_kind_parse(column_str(statement, at++), &kind) != OK || fields.text[TEXT_ID] == NULL)
        return FAIL_SYNTAX;
    fields.state = (int)state;
    fields.kind = (int)kind;
    uint64_t seq = (uint64_t)sqlite3_column_int64(statement, at++);
    int64_t created_ms = sqlite3_column_int64(statement, at++);
    int64_t time_ms = sqlite3_column_int64(statement, at++);
    fields.fraction = sqlite3_column_double(statement, at++);
    fields.stage_fraction = sqlite3_column_double(statement, at++);
    fields.speed = sqlite3_column_double(statement, at++);
    fields.eta_ms = sqlite3_column_int64(statement, at++);
    fields.bytes_done = sqlite3_column_int64(statement, at++);
    fields.bytes_total = sqlite3_column_int64(statement, at++);
    fields.file_size = sqlite3_column_int64(statement, at++);
    *out = update_restore(&fields, seq, created_ms, time_ms);
    return OK;
}
