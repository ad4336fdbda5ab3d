/* What Redis says, out of the bytes it comes in (RESP2): hiredis' reader, with a
 * filter in front that knows where replies end, and bounds them. What is too
 * large is taken out of the stream while it arrives (a nil stands in its place),
 * so the connection can go on. */
#ifndef IO_REDIS_REPLY_H
#define IO_REDIS_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

enum redis_type {
    REDIS_NIL,
    REDIS_TEXT,   /* any bytes */
    REDIS_STATUS, /* "OK" */
    REDIS_ERROR,  /* "WRONGTYPE Operation against..." */
    REDIS_INTEGER,
    REDIS_ARRAY,
};

struct redis_reply {
    enum redis_type type;
    int64_t integer;
    struct str text; /* of TEXT, STATUS, ERROR; '\0'-terminated */
    size_t count;    /* of ARRAY */
    struct redis_reply *items;
};

/* Whether it is an error whose first word this is. */
bool redis_reply_is_error(const struct redis_reply *reply, const char *word);

/* OK, or what an error is by its first word: see redis_done in io/redis.h. */
int redis_reply_err(const struct redis_reply *reply);

struct redis_reader;

/* `reply_max`: bytes of our memory that one reply may take. */
struct redis_reader *redis_reader_new(size_t reply_max);
void redis_reader_free(struct redis_reader *r); /* NULL is fine */

/* Reads up to the end of one reply; `used` says how many bytes. `reply` is NULL
 * if it wants more, else for redis_reply_free; `is_cut`: something of it was too
 * large. FAIL_SYNTAX: no Redis speaks like this; `why` says how. FAIL_LIMIT: a
 * line without an end. The reader is of no use then. */
int redis_reader_feed(struct redis_reader *r, const char *bytes, size_t len, size_t *used,
                      struct redis_reply **reply, bool *is_cut, struct buf *why);

void redis_reply_free(struct redis_reply *reply); /* NULL is fine */

/* Appends a command; FAIL_LIMIT if it does not fit. */
int redis_format(struct buf *out, const struct str *args, size_t count);

#endif
