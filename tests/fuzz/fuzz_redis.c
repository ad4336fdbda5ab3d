/* Feeds the filter in front of hiredis' reader with anything. The input's first
 * byte chooses how much a reply may take, the second how the bytes are cut. The
 * same bytes are read twice, at once and in pieces, and both must say the same;
 * no reply may be larger than it is allowed to be. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "io/redis_reply.h"

enum { INPUT_MAX = 65536 };

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static uint64_t mix(uint64_t digest, uint64_t what)
{
    return (digest ^ what) * 1099511628211u;
}

/* Adds up what the reply holds. */
static uint64_t note(const struct redis_reply *reply, uint64_t digest, size_t *size)
{
    digest = mix(mix(digest, reply->type), (uint64_t)reply->integer);
    digest = mix(mix(digest, reply->text.len), reply->count);
    for (size_t i = 0; i < reply->text.len; i++)
        digest = mix(digest, (uint8_t)reply->text.at[i]);
    *size += reply->text.len + reply->count * sizeof(*reply);
    for (size_t i = 0; i < reply->count; i++)
        digest = note(&reply->items[i], digest, size);
    return digest;
}

static uint64_t read_all(size_t max, size_t cut, const char *bytes, size_t len)
{
    struct redis_reader *reader = redis_reader_new(max);
    struct redis_reply *reply;
    uint64_t digest = 14695981039346656037u;
    struct buf why;
    size_t used;
    bool is_cut;
    int err = OK;

    buf_init(&why, 256);
    for (size_t at = 0; at < len && err == OK; at += used) {
        err = redis_reader_feed(reader, bytes + at, cut < len - at ? cut : len - at, &used, &reply,
                                &is_cut, &why);
        if (err != OK || reply == NULL)
            continue;
        size_t size = 0;
        digest = mix(note(reply, digest, &size), is_cut);
        CHECK(used > 0 && size <= max);
        redis_reply_free(reply);
    }
    buf_deinit(&why);
    redis_reader_free(reader);
    return mix(digest, (uint64_t)-err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3 || size > INPUT_MAX)
        return 0;
    size_t max = (size_t)data[0] * data[0];
    const char *bytes = (const char *)data + 2;
    uint64_t whole = read_all(max, size, bytes, size - 2);
    CHECK(whole == read_all(max, 1 + data[1] % 32, bytes, size - 2));
    return 0;
}
