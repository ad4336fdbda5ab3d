#include "core/dialect.h"

#include <assert.h>

#include "core/limits.h"

/* Three JSON texts of a job and its strings, all of them escaped. */
enum { WORDS_MAX = 6 * (3 * JOB_JSON_MAX + 6 * JOB_TEXT_MAX) };

void words_init(struct words *w)
{
    *w = (struct words){ 0 };
    buf_init(&w->bytes, WORDS_MAX);
}

void words_deinit(struct words *w)
{
    buf_deinit(&w->bytes);
}

void words_reset(struct words *w)
{
    buf_reset(&w->bytes);
    w->count = 0;
}

void words_end(struct words *w)
{
    assert(w->count < WORDS_MESSAGES_MAX);
    w->ends[w->count++] = w->bytes.len;
    buf_putc(&w->bytes, '\n');
}
