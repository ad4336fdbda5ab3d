/* A file that a body is received into: one block is filled on the loop while the one
 * before is written by a worker thread, so that no write is waited for.
 *
 * All on the loop's thread; the descriptor is borrowed until `moved` will not come any
 * more, or until `released`. */
#ifndef IO_FETCH_FUNNEL_H
#define IO_FETCH_FUNNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct funnel;

struct funnel_settings {
    int file;
    uint64_t at; /* where the first byte goes */
    bool has_md5;
    void (*moved)(void *context); /* after each write: there is room again, or it failed */
    void *context;
};

struct funnel *funnel_new(uv_loop_t *loop, const struct funnel_settings *settings);

/* All of it, or false: there is no room until `moved`. At most FUNNEL_TAKE_MAX bytes. */
enum { FUNNEL_TAKE_MAX = 256 * 1024 };
bool funnel_take(struct funnel *s, const char *bytes, size_t len);

/* True once all that was taken has been written, or could not be; else `moved` comes. */
bool funnel_flush(struct funnel *s);

int funnel_err(const struct funnel *s); /* OK, FAIL_FULL, FAIL_IO, ... */

/* Of all that was written: 16 bytes, or NULL. Ends it. */
const uint8_t *funnel_md5(struct funnel *s);

/* Frees it once nothing is being written. `moved` does not come any more; `released` (may
 * be NULL) comes then, never within this. */
void funnel_free(struct funnel *s, void (*released)(void *context), void *context);

#endif
