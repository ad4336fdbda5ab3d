/* Feeds anything to the reader of what commands print. The first byte chooses
 * whose progress is looked for, the second how long the pieces are; the rest is
 * printed, and a second reader gets it all at once: both must know the same. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "cmd/run_read.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static void check_text(const char *text)
{
    CHECK(strlen(text) < RUN_TEXT_MAX && utf8_is_valid(text, strlen(text)));
    for (; *text; text++)
        CHECK((unsigned char)*text >= ' ' && *text != 0x7f);
}

static void check_news(const struct run_read *r, double least)
{
    const struct run_news *n = run_read_news(r);

    CHECK(n->fraction >= least && n->fraction <= 1);
    CHECK(n->eta_s >= -1 && n->bytes_done >= -1 && n->bytes_total >= -1);
    CHECK(isfinite(n->speed) && (n->speed >= 0) == (n->speed_unit != NULL));
    check_text(n->message);
    check_text(run_read_last_words(r));
}

/* Exactly as long, so that a byte too far is noticed. */
static void feed(struct run_read *r, enum run_stream stream, const uint8_t *bytes, size_t len)
{
    char *copy = mem_alloc(len > 0 ? len : 1);

    memcpy(copy, bytes, len);
    run_read_feed(r, stream, copy, len, 1);
    mem_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    enum run_parse parse = (enum run_parse)(data[0] % RUN_PARSE_NONE);
    enum run_stream stream = data[0] & 0x80 ? RUN_OUTPUT : RUN_ERRORS;
    struct run_read *cut = run_read_new(parse, 0), *whole = run_read_new(parse, 0);
    size_t piece = (size_t)data[1] + 1;
    double least = -1;

    for (size_t at = 2; at < size; at += piece) {
        feed(cut, stream, data + at, size - at < piece ? size - at : piece);
        check_news(cut, least);
        least = run_read_news(cut)->fraction;
    }
    feed(whole, stream, data + 2, size - 2);
    run_read_end(cut, stream, 1);
    run_read_end(whole, stream, 1);
    check_news(cut, least);
    CHECK(run_read_news(cut)->count == run_read_news(whole)->count);
    CHECK(run_read_news(cut)->fraction == run_read_news(whole)->fraction);
    CHECK(strcmp(run_read_news(cut)->message, run_read_news(whole)->message) == 0);
    CHECK(strcmp(run_read_last_words(cut), run_read_last_words(whole)) == 0);
    run_read_free(cut);
    run_read_free(whole);
    return 0;
}
