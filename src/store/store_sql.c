#include "store/store_sql.h"

#include "base/err.h"

int sql_fail(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE: return OK;
    case SQLITE_NOMEM: return FAIL_NOMEM;
    case SQLITE_FULL: return FAIL_FULL;
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return FAIL_TIMEOUT;
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_READONLY: return FAIL_DENIED;
    case SQLITE_TOOBIG: return FAIL_LIMIT;
    case SQLITE_NOTADB: return FAIL_UNSUPPORTED;
    default: return FAIL_IO;
    }
}

int sql_open(const char *path, int flags, int busy_ms, sqlite3 **out, struct buf *why)
{
    sqlite3 *db = NULL;
    int rc = sqlite3_open_v2(path, &db, flags | SQLITE_OPEN_NOMUTEX, NULL);

    if (rc != SQLITE_OK) {
        buf_printf(why, "%s: %s", path, db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
        sqlite3_close(db);
        return sql_fail(rc);
    }
    sqlite3_busy_timeout(db, busy_ms);
    *out = db;
    return OK;
}

int sql_exec(sqlite3 *db, const char *sql)
{
    return sql_fail(sqlite3_exec(db, sql, NULL, NULL, NULL));
}

int sql_number(sqlite3 *db, const char *sql, int64_t *out)
{
    sqlite3_stmt *statement = NULL;
    int64_t value = 0;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

    if (rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW)
        value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    if (sql_fail(rc) == OK)
        *out = value;
    return sql_fail(rc);
}

int sql_prepare_all(sqlite3 *db, const char *const *texts, size_t count, sqlite3_stmt **out)
{
    for (size_t i = 0; i < count; i++) {
        int rc = sqlite3_prepare_v3(db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &out[i], NULL);
        if (rc != SQLITE_OK)
            return sql_fail(rc);
    }
    return OK;
}

void sql_finalize_all(sqlite3_stmt **statements, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sqlite3_finalize(statements[i]);
        statements[i] = NULL;
    }
}

int sql_run(sqlite3_stmt *statement)
{
    sqlite3_step(statement);
    /* Repeats the step's error. */
    int rc = sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return sql_fail(rc);
}

void sql_bind_text(sqlite3_stmt *statement, int place, const char *text)
{
    if (text == NULL)
        sqlite3_bind_null(statement, place);
    else
        sqlite3_bind_text(statement, place, text, -1, SQLITE_STATIC);
}
