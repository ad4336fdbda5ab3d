/* What is fetched as it lies: published HLS files, and the page. */
#include <stdio.h>

#include "api/api.h"
#include "api/embedded.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/thread.h"
#include "proto/content.h"
#include "proto/url.h"

enum { POLICY_MAX = 4096 };

/* Published files */

struct fetch {
    struct call *call;
    struct object object;
    int err;
};

static void open_work(void *context)
{
    struct fetch *f = context;

    /* The key is the path without its leading slash. */
    f->err = disk_object_open(f->call->api->disk, f->call->path.at + 1, &f->object);
}

/* What was downloaded is for saving (RFC 6266); what plays HLS never asks. */
static void name_file(struct exchange *x, struct str path)
{
    struct str name = { 0 };
    struct buf value;

    if (!str_starts(path, STR("/videos/files/")))
        return;
    while (path.at != NULL)
        name = str_cut(&path, '/');
    buf_init(&value, 1024);
    buf_puts(&value, "attachment; filename*=UTF-8''");
    url_encode(name, false, &value);
    if (!value.failed)
        exchange_header(x, "Content-Disposition", buf_text(&value));
    buf_deinit(&value);
}

static void object_headers(struct exchange *x, const struct object *o)
{
    char date[CLOCK_HTTP_SIZE];

    clock_http_date(o->modified_s * 1000, date);
    exchange_header(x, "ETag", o->etag);
    if (o->modified_s > 0)
        exchange_header(x, "Last-Modified", date);
    exchange_header(x, "Accept-Ranges", "bytes");
    /* A published tree never changes: its name is made for one conversion. */
    exchange_header(x, "Cache-Control", "public, max-age=31536000, immutable");
    exchange_header(x, "X-Content-Type-Options", "nosniff");
}

void files_reply_object(struct call *c, struct object *o)
{
    const char *type = content_type_of(c->path);
    uint64_t first = 0, last = 0;
    char range[96];

    object_headers(c->x, o);
    name_file(c->x, c->path);
    switch (
        content_evaluate(exchange_request(c->x), o->etag, o->modified_s, o->size, &first, &last)) {
    case CONTENT_WHOLE: exchange_reply_file(c->x, 200, type, o->fd, 0, o->size); return;
    case CONTENT_PART:
        snprintf(range, sizeof(range), "bytes %llu-%llu/%llu", (unsigned long long)first,
                 (unsigned long long)last, (unsigned long long)o->size);
        exchange_header(c->x, "Content-Range", range);
        exchange_reply_file(c->x, 206, type, o->fd, first, last - first + 1);
        return;
    case CONTENT_NOT_MODIFIED: exchange_reply(c->x, 304, NULL, NULL); break;
    case CONTENT_FAILED: exchange_reply(c->x, 412, NULL, NULL); break;
    case CONTENT_UNSATISFIABLE:
        snprintf(range, sizeof(range), "bytes */%llu", (unsigned long long)o->size);
        exchange_header(c->x, "Content-Range", range);
        exchange_reply(c->x, 416, NULL, NULL);
        break;
    }
    object_close(o);
}

static void opened(void *context)
{
    struct fetch *f = context;

    if (f->err == OK)
        files_reply_object(f->call, &f->object);
    else
        reply_error(f->call->x, 404, "not_found", NULL, "there is no such file");
    mem_free(f);
}

void files_published(struct call *c)
{
    struct fetch *f;

    if (c->api->storage != NULL) {
        published_get(c);
        return;
    }
    f = mem_new(struct fetch);
    f->call = c;
    io_offload(io_thread_loop(exchange_thread(c->x)), open_work, opened, f);
}

/* The page, embedded in the binary */

static const struct embedded_file *find_embedded(struct str path)
{
    if (str_equal(path, STR("/index.html")))
        path = STR("/");
    for (const struct embedded_file *f = embedded_files; f->path; f++)
        if (str_equal(str_of(f->path), path))
            return f;
    return NULL;
}

/* What it plays may come from a bucket, and what it uploads may go there. */
static void page_policy(struct call *c)
{
    struct buf origin, policy;

    buf_init(&origin, POLICY_MAX);
    buf_init(&policy, POLICY_MAX);
    buf_putc(&origin, ' ');
    published_origin(c->api, &origin);
    const char *more = origin.len > 1 ? buf_text(&origin) : "";
    buf_printf(&policy,
               "default-src 'self'; media-src 'self' blob:%s; worker-src 'self' blob:; "
               "connect-src 'self' ws: wss:%s; img-src 'self' data:; frame-ancestors 'none'; "
               "base-uri 'none'; form-action 'self'",
               more, more);
    exchange_header(c->x, "Content-Security-Policy", buf_text(&policy));
    buf_deinit(&origin);
    buf_deinit(&policy);
}

void files_page(struct call *c)
{
    const struct http_request *request = exchange_request(c->x);
    const struct embedded_file *f = find_embedded(c->path);
    uint64_t first, last;

    if (f == NULL) {
        reply_error(c->x, 404, "not_found", NULL, "there is nothing at this path");
        return;
    }
    bool is_gzip = f->gzip != NULL && http_header_has(request, "Accept-Encoding", "gzip");
    const char *etag = is_gzip ? f->gzip_etag : f->etag;
    exchange_header(c->x, "ETag", etag);
    exchange_header(c->x, "Cache-Control", "no-cache");
    exchange_header(c->x, "Vary", "Accept-Encoding");
    exchange_header(c->x, "X-Content-Type-Options", "nosniff");
    exchange_header(c->x, "Referrer-Policy", "no-referrer");
    page_policy(c);
    if (content_evaluate(request, etag, 0, f->len, &first, &last) == CONTENT_NOT_MODIFIED) {
        exchange_reply(c->x, 304, NULL, NULL);
        return;
    }
    if (is_gzip) {
        exchange_header(c->x, "Content-Encoding", "gzip");
        exchange_reply(c->x, 200, f->type, msg_new(f->gzip, f->gzip_len));
        return;
    }
    exchange_reply(c->x, 200, f->type, msg_new(f->bytes, f->len));
}
