/* The tables, as a list of steps: step N takes a file from version N-1 to N.
 * The version is the file's user_version. Each step is one transaction, so a
 * file is always at some version, never between two.
 *
 * To change the schema: add a step. Never edit one that was released. */
#ifndef STORE_STORE_SCHEMA_H
#define STORE_STORE_SCHEMA_H

#include "store/store_sql.h"

extern const char *const schema_steps[];
extern const int schema_count;

/* Brings the file to version `count`. FAIL_UNSUPPORTED, the file untouched, if
 * it is newer than that or somebody else's. */
int schema_migrate(sqlite3 *db, const char *const *steps, int count, struct buf *why);

#endif
