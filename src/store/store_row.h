/* A job's row and back: every field of a struct update is a column. Private to
 * src/store. */
#ifndef STORE_STORE_ROW_H
#define STORE_STORE_ROW_H

#include <sqlite3.h>

#include "core/update.h"

/* In this order for reading and writing; the id is the first. */
#define ROW_COLUMNS                                                                                \
    "id, owner, title, stage, message, error, metadata, result, video_info, hls_path, url, "       \
    "storage, state, kind, seq, created_ms, updated_ms, fraction, stage_fraction, speed, eta_ms, " \
    "bytes_done, bytes_total, file_size"
enum { ROW_COLUMN_COUNT = 24 };

/* Places 1 to ROW_COLUMN_COUNT. Borrows the texts until the reset. */
void row_bind(sqlite3_stmt *statement, const struct update *u);

/* The row it stands on; gives a reference. FAIL_SYNTAX for a row that no
 * update can have. */
int row_read(sqlite3_stmt *statement, struct update **out);

#endif
