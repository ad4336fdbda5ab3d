/* The little of SQLite's interface that the store needs, with its codes
 * translated. A connection is used by one thread at a time; its owner sees to
 * that. Private to src/store. */
#ifndef STORE_STORE_SQL_H
#define STORE_STORE_SQL_H

#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* The FAIL_* nearest to a result code, plain or extended. SQLITE_ROW and
 * SQLITE_DONE are OK. */
int sql_fail(int rc);

/* `flags` as for sqlite3_open_v2; `busy_ms` to wait for somebody else's lock. */
int sql_open(const char *path, int flags, int busy_ms, sqlite3 **out, struct buf *why);

/* Statements whose results nobody reads. */
int sql_exec(sqlite3 *db, const char *sql);

/* The first column of the first row, as a number; 0 if there is no row. */
int sql_number(sqlite3 *db, const char *sql, int64_t *out);

/* Prepares `texts[0..count)` for the connection's lifetime. */
int sql_prepare_all(sqlite3 *db, const char *const *texts, size_t count, sqlite3_stmt **out);
void sql_finalize_all(sqlite3_stmt **statements, size_t count);

/* Runs a statement that gives no rows; then it is ready to be bound anew. */
int sql_run(sqlite3_stmt *statement);

/* NULL binds NULL. The text must live until the statement was reset. */
void sql_bind_text(sqlite3_stmt *statement, int place, const char *text);

#endif
