/* However its bytes are split, a connection must come to the same events, the
 * same status and the same number of bytes read. The first byte of the input
 * seeds the splits, the second says which callbacks refuse what. */
#undef NDEBUG
#include <assert.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/mem.h"
#include "proto/http.h"

struct outcome {
    struct buf events;
    size_t used;
    int status;
    unsigned refuse;
    size_t body;
    size_t body_left; /* of the declared length */
    bool is_open;     /* between head and complete */
    bool is_over;     /* a status came */
};

static const struct http_limits limits = { .head_max = 600, .header_max = 12, .target_max = 100 };

/* Reads every byte, so that a dangling pointer is seen. */
static void put(struct outcome *o, struct str s)
{
    buf_append(&o->events, s.at, s.len);
    buf_putc(&o->events, '|');
}

static void check_request(const struct http_request *r)
{
    assert(r->method != 0 && r->target.len > 0 && r->path.len > 0);
    assert(r->path.at[0] == '/' || str_equal(r->path, STR("*")));
    assert(r->is_http10 || r->host.len > 0);
    assert(!r->is_chunked || r->content_length == -1);
    assert(!r->expects_continue || r->is_chunked || r->content_length > 0);
    assert(r->header_count <= limits.header_max);
    assert(!r->is_http10 || !(r->wants_upgrade || r->is_chunked));
    assert(memchr(r->target.at, ' ', r->target.len) == NULL);
    assert(http_header(r, "Host").at != NULL || r->is_http10);
    assert(http_header(r, "Transfer-Encoding").at == NULL || r->is_chunked);
    http_header_has(r, "Connection", "x");
}

static int on_head(void *context, const struct http_request *r)
{
    struct outcome *o = context;

    assert(!o->is_open && !o->is_over);
    o->is_open = true;
    o->body = 0;
    o->body_left = r->content_length > 0 ? (size_t)r->content_length : 0;
    check_request(r);
    buf_printf(&o->events, "\nhead %s %lld %d%d%d%d%d ", http_method_name(r->method),
               (long long)r->content_length, r->is_chunked, r->keeps_alive, r->expects_continue,
               r->wants_upgrade, r->is_http10);
    put(o, r->target);
    put(o, r->path);
    put(o, r->query);
    put(o, r->host);
    for (unsigned i = 0; i < r->header_count; i++) {
        put(o, r->headers[i].name);
        put(o, r->headers[i].value);
        assert(str_trim(r->headers[i].value).len == r->headers[i].value.len);
        assert(memchr(r->headers[i].value.at, '\n', r->headers[i].value.len) == NULL);
    }
    if (o->refuse == 1 && r->method == HTTP_DELETE)
        return 405;
    return 0;
}

static int on_body(void *context, const char *bytes, size_t len)
{
    struct outcome *o = context;

    assert(o->is_open && !o->is_over && len > 0);
    o->body += len;
    buf_append(&o->events, bytes, len);
    return o->refuse == 2 && o->body > 20 ? 413 : 0;
}

static void on_complete(void *context)
{
    struct outcome *o = context;

    assert(o->is_open && !o->is_over);
    assert(o->body_left == 0 || o->body == o->body_left);
    o->is_open = false;
    buf_puts(&o->events, "\nend");
}

static const struct http_events events = { on_head, on_body, on_complete };

/* Each piece lies in memory of its own size that is gone afterwards. */
static int feed_piece(struct http_parser *p, const char *at, size_t len, size_t *used)
{
    char *copy = mem_strndup(at, len);
    int status = http_parser_feed(p, copy, len, used);

    mem_free(copy);
    assert(*used <= len && (*used > 0 || len == 0));
    return status;
}

/* `seed` 0: whole. 1: byte by byte. Else pieces of 1 to 64 bytes. */
static void run(struct outcome *o, const char *bytes, size_t len, uint32_t seed, unsigned refuse)
{
    *o = (struct outcome){ .refuse = refuse };
    buf_init(&o->events, 16u << 20);
    struct http_parser *p = http_parser_new(&limits, &events, o);

    while (o->used < len && o->status == 0) {
        size_t piece = len - o->used, used = 0;
        if (seed > 1)
            seed = seed * 1664525u + 1013904223u;
        size_t wanted = seed == 0 ? piece : seed == 1 ? 1 : 1 + (seed >> 16) % 64;
        o->status = feed_piece(p, bytes + o->used, wanted < piece ? wanted : piece, &used);
        o->is_over = o->status != 0;
        o->used += used;
        assert(o->is_over || http_parser_has_head(p) == o->is_open);
        if (seed % 3 == 2)
            http_parser_release(p);
    }
    assert(o->status == 0 || (o->status >= 400 && o->status <= 505));
    http_parser_free(p);
}

static void compare(const struct outcome *a, const struct outcome *b)
{
    /* A refusal in the middle of a body falls where a piece ends. */
    assert(a->status == b->status);
    if (a->status == 413)
        return;
    assert(a->used == b->used);
    assert(a->is_open == b->is_open);
    assert(str_equal(buf_str(&a->events), buf_str(&b->events)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome whole, single, split;

    if (size < 2)
        return 0;
    const char *bytes = (const char *)data + 2;
    unsigned refuse = data[1] % 3;
    run(&whole, bytes, size - 2, 0, refuse);
    run(&single, bytes, size - 2, 1, refuse);
    run(&split, bytes, size - 2, 2u + data[0], refuse);
    compare(&whole, &single);
    compare(&whole, &split);
    buf_deinit(&whole.events);
    buf_deinit(&single.events);
    buf_deinit(&split.events);
    return 0;
}
