/* However its bytes are split, a form must come to the same parts and the same
 * outcome. The first line is the Content-Type. */
#undef NDEBUG
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "proto/multipart.h"

enum { INPUT_MAX = 256 * 1024 };

struct outcome {
    struct buf events;
    int err;
    unsigned parts;
    bool is_open;
};

static const struct multipart_limits limits = {
    .head_max = 400, .line_max = 5, .part_max = 6, .around_max = 60
};

static int on_part(void *context, const struct multipart_part *part)
{
    struct outcome *o = context;
    const struct str texts[] = { part->name, part->file_name, part->type };

    assert(!o->is_open && ++o->parts <= limits.part_max);
    o->is_open = true;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        assert(texts[i].len <= limits.head_max && utf8_is_valid(texts[i].at, texts[i].len));
        assert(texts[i].len == 0 || memchr(texts[i].at, '\0', texts[i].len) == NULL);
        buf_append(&o->events, texts[i].at, texts[i].len);
        buf_puts(&o->events, texts[i].at != NULL ? "|" : "!");
    }
    return 0;
}

static int on_data(void *context, const char *bytes, size_t len)
{
    struct outcome *o = context;

    assert(o->is_open && len > 0);
    buf_append(&o->events, bytes, len);
    return 0;
}

static int on_end(void *context)
{
    struct outcome *o = context;

    assert(o->is_open);
    o->is_open = false;
    buf_puts(&o->events, "\nend");
    return 0;
}

static const struct multipart_events events = { on_part, on_data, on_end };

/* `seed` 0: whole. 1: byte by byte. Else pieces of 1 to 64 bytes. Each piece
 * lies in memory of its own size that is gone afterwards. */
static void run(struct outcome *o, const char *boundary, struct str body, uint32_t seed)
{
    struct multipart *m;

    *o = (struct outcome){ 0 };
    buf_init(&o->events, 16u << 20);
    m = multipart_new(boundary, &limits, &events, o);
    while (body.len > 0 && o->err == OK) {
        if (seed > 1)
            seed = seed * 1664525u + 1013904223u;
        size_t len = seed == 0 ? body.len : seed == 1 ? 1 : 1 + (seed >> 16) % 64;
        len = len < body.len ? len : body.len;
        char *piece = mem_strndup(body.at, len);
        o->err = multipart_feed(m, piece, len);
        mem_free(piece);
        body.at += len;
        body.len -= len;
    }
    if (o->err == OK)
        o->err = multipart_end(m);
    assert(o->err == OK || o->err == FAIL_SYNTAX || o->err == FAIL_LIMIT);
    assert((o->err == OK) == (*multipart_why(m) == '\0'));
    assert(o->err != OK || !o->is_open);
    multipart_free(m);
}

static void compare(const struct outcome *a, const struct outcome *b)
{
    assert(a->err == b->err && a->parts == b->parts && a->is_open == b->is_open);
    assert(str_equal(buf_str(&a->events), buf_str(&b->events)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str body = { (const char *)data, size };
    struct outcome whole, single, split;
    char boundary[MULTIPART_BOUNDARY_MAX + 1];

    if (size > INPUT_MAX)
        return 0;
    struct str type = str_cut(&body, '\n');
    if (multipart_boundary(type, boundary) != OK)
        return 0;
    assert(boundary[0] != '\0' && strlen(boundary) <= MULTIPART_BOUNDARY_MAX);
    run(&whole, boundary, body, 0);
    run(&single, boundary, body, 1);
    run(&split, boundary, body, 2u + (uint32_t)size);
    compare(&whole, &single);
    compare(&whole, &split);
    buf_deinit(&whole.events);
    buf_deinit(&single.events);
    buf_deinit(&split.events);
    return 0;
}
