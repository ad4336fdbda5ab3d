/* What a stranger puts into tus' fields: what is accepted is within its bounds, and
 * written anew it is the same. */
#undef NDEBUG
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"
#include "proto/tus.h"

enum { INPUT_MAX = 16 * 1024 };

static int write_pair(void *context, struct str key, struct str value)
{
    struct buf *out = context;
    char *text = mem_alloc(ENCODE_BASE64_SIZE(value.len));

    assert(key.len > 0);
    encode_base64(value.at, value.len, text);
    buf_printf(out, out->len ? ",%.*s %s" : "%.*s %s", STR_ARG(key), text);
    mem_free(text);
    return OK;
}

static void try_metadata(struct str text)
{
    struct buf once, twice;

    buf_init(&once, 1u << 20);
    buf_init(&twice, 1u << 20);
    int err = tus_metadata_each(text, write_pair, &once);
    assert(err == OK || err == FAIL_SYNTAX || err == FAIL_LIMIT);
    if (err == OK) {
        assert(tus_metadata_each(buf_str(&once), write_pair, &twice) == OK);
        assert(str_equal(buf_str(&once), buf_str(&twice)));
    }
    buf_deinit(&once);
    buf_deinit(&twice);
}

static void try_concat(struct str text)
{
    struct tus_concat concat;
    int err = tus_concat_parse(text, &concat);

    assert(err == OK || err == FAIL_SYNTAX || err == FAIL_LIMIT);
    for (size_t i = 0; err == OK && i < concat.count; i++) {
        struct str id = tus_url_id(concat.urls[i]);
        assert(concat.urls[i].len > 0 && id.len <= concat.urls[i].len);
        assert(id.len == 0 || memchr(id.at, '/', id.len) == NULL);
    }
}

static void try_checksum(struct str text)
{
    struct tus_checksum said;
    int err = tus_checksum_parse(text, &said);

    assert(err == OK || err == FAIL_SYNTAX || err == FAIL_UNSUPPORTED || err == FAIL_STATE);
    if (err)
        return;
    assert(said.len <= TUS_DIGEST_MAX);
    struct tus_sum *sum = tus_sum_new(said.algorithm);
    tus_sum_add(sum, text.at, text.len);
    tus_sum_matches(sum, &said);
    tus_sum_free(sum);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > INPUT_MAX)
        return 0;
    char *copy = mem_strndup((const char *)data, size);
    struct str text = { copy, size };
    try_metadata(text);
    try_concat(text);
    try_checksum(text);
    mem_free(copy);
    return 0;
}
