/* What a guarded child sends to its proxy, and URLs. However a head is split, it comes to the
 * same; what is sent on is again a head, of one request, without hop-by-hop fields and to the
 * host that was judged. A URL that passes names no address but a public one.
 * The first byte: 'u' a URL, else a head; it also seeds the splits. */
#undef NDEBUG
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/guard.h"
#include "proto/http.h"
#include "proto/proxy_head.h"

struct again {
    struct str host;
    unsigned heads;
};

static int on_head(void *context, const struct http_request *r)
{
    struct again *a = context;

    a->heads++;
    assert(r->path.at[0] == '/');
    assert(str_equal(r->host, a->host));
    assert(!r->is_chunked && !r->keeps_alive && !r->wants_upgrade && !r->expects_continue);
    assert(http_header(r, "Proxy-Connection").at == NULL);
    assert(http_header(r, "Proxy-Authorization").at == NULL);
    return 0;
}

static int on_body(void *context, const char *bytes, size_t len)
{
    (void)context, (void)bytes, (void)len;
    return 0;
}

static void on_complete(void *context)
{
    (void)context;
}

static const struct http_events events = { on_head, on_body, on_complete };

/* The server's own parser reads what is sent on as one head, and needs all of it. */
static void check_forwarded(const struct proxy_head *h)
{
    static const struct http_limits limits = { .head_max = 64 * 1024,
                                               .header_max = PROXY_FIELDS_MAX + 2,
                                               .target_max = PROXY_TARGET_MAX };
    const char *host = strstr(buf_text(&h->forwarded), "\r\nHost: ") + 8;
    struct again again = { .host = { host, strcspn(host, "\r") } };
    struct http_parser *p = http_parser_new(&limits, &events, &again);
    size_t used = 0;

    assert(http_parser_feed(p, h->forwarded.data, h->forwarded.len, &used) == 0);
    assert(used == h->forwarded.len && again.heads == 1);
    assert(memmem(again.host.at, again.host.len, h->host.data, h->host.len) != NULL);
    http_parser_free(p);
}

/* `seed` 0: whole. */
static int feed(struct proxy_head *h, const char *bytes, size_t len, uint32_t seed, size_t *used)
{
    int status = 0;

    *used = 0;
    proxy_head_init(h);
    while (*used < len && status == 0 && !h->is_whole) {
        size_t left = len - *used, n = 0;
        seed = seed * 1664525u + 1013904223u * (seed != 0);
        size_t piece = seed == 0 ? left : 1 + (seed >> 16) % 32;
        char *copy = mem_strndup(bytes + *used, piece < left ? piece : left);
        status = proxy_head_feed(h, copy, piece < left ? piece : left, &n);
        mem_free(copy);
        assert(n > 0);
        *used += n;
    }
    return status;
}

static void try_head(const char *bytes, size_t len, uint32_t seed)
{
    struct proxy_head whole, split;
    size_t used = 0, used_split = 0;
    int status = feed(&whole, bytes, len, 0, &used);

    assert(status == feed(&split, bytes, len, seed, &used_split));
    assert(used == used_split && whole.is_whole == split.is_whole);
    assert(status == 0 || (status >= 400 && status < 600));
    if (whole.is_whole) {
        assert(str_equal(buf_str(&whole.host), buf_str(&split.host)));
        assert(str_equal(buf_str(&whole.forwarded), buf_str(&split.forwarded)));
        assert(whole.port == split.port && whole.port > 0 && whole.host.len > 0);
        assert(whole.is_tunnel ? whole.forwarded.len == 0 && whole.content == 0 : true);
        if (!whole.is_tunnel)
            check_forwarded(&whole);
    }
    proxy_head_deinit(&whole);
    proxy_head_deinit(&split);
}

static void try_url(const struct guard *g, const char *bytes, size_t len)
{
    char *url = mem_strndup(bytes, len);
    struct buf why;

    buf_init(&why, 4096);
    int err = guard_check_url(g, url, &why);
    assert(err == OK || err == FAIL_SYNTAX || err == FAIL_DENIED);
    assert((err == OK) == (why.len == 0));
    assert(err != OK || strpbrk(url, " \\\t\r\n") == NULL);
    buf_deinit(&why);
    mem_free(url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct guard *g;
    static const struct guard_rules none;
    struct buf why;

    if (size < 2)
        return 0;
    buf_init(&why, 100);
    if (g == NULL)
        assert(guard_new(&none, &g, &why) == OK);
    if (data[0] == 'u')
        try_url(g, (const char *)data + 1, size - 1);
    else
        try_head((const char *)data + 1, size - 1, data[0]);
    buf_deinit(&why);
    return 0;
}
