/* GET /videos/... where what is published lies in a bucket: playlists pass through here,
 * with signed URLs in them, and for all else the viewer is sent to the bucket. A storage
 * that has no URLs is read on the viewer's behalf. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/api.h"
#include "api/errand.h"
#include "api/shelf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/thread.h"
#include "storage/disk_dir.h"

enum { URL_MAX = 8 * 1024, SOON_S = 60 };

static const char playlist_type[] = "application/vnd.apple.mpegurl";

static void refuse(struct call *c, int err)
{
    if (err == FAIL_MISSING || err == FAIL_SYNTAX) {
        reply_error(c->x, 404, "not_found", NULL, "there is no such file");
        return;
    }
    exchange_header(c->x, "Retry-After", "2");
    reply_error(c->x, 503, "storage_away", NULL, "the storage cannot be reached just now");
}

static void lifetime_header(struct exchange *x, uint64_t seconds, bool is_signed)
{
    char text[64];

    /* What is signed is one server's word; a cache of others must not keep it longer. */
    snprintf(text, sizeof(text), "%s, max-age=%llu%s", is_signed ? "private" : "public",
             (unsigned long long)seconds, is_signed ? "" : ", immutable");
    exchange_header(x, "Cache-Control", text);
}

/* Playlists */

struct reading {
    struct errand errand;
    struct msg *body;
    uint64_t fresh_s;
    int err;
    char key[PATH_KEY_MAX + 1];
};

static void playlist_back(struct errand *errand)
{
    struct reading *r = (struct reading *)errand;
    struct exchange *x = errand->call->x;

    if (r->err) {
        refuse(errand->call, r->err);
    } else {
        lifetime_header(x, r->fresh_s, r->fresh_s <= errand->api->settings->storage_url_lifetime_s);
        exchange_header(x, "X-Content-Type-Options", "nosniff");
        exchange_reply(x, 200, playlist_type, r->body);
    }
    mem_free(r);
}

static void playlist_read(void *context, int err, const char *why, struct msg *body,
                          uint64_t fresh_s)
{
    struct reading *r = context;

    r->err = err;
    r->fresh_s = fresh_s;
    if (err == OK)
        r->body = msg_ref(body);
    else if (err != FAIL_MISSING)
        log_warn("playlist_unread", LOG_S("key", r->key), LOG_S("reason", fail_name(err)),
                 LOG_S("why", why));
    errand_return(&r->errand);
}

static void playlist_run(struct errand *errand)
{
    struct reading *r = (struct reading *)errand;

    shelf_read(errand->api->shelf, r->key, playlist_read, r);
}

/* Everything else */

static int sign_for(const struct call *c, const char *key, struct buf *out)
{
    uint64_t lifetime_s = c->api->settings->storage_url_lifetime_s;

    if (exchange_request(c->x)->method == HTTP_HEAD)
        return storage_head_url(c->api->storage, key, lifetime_s, out);
    return storage_url(c->api->storage, key, NULL, lifetime_s, out);
}

static void send_there(struct call *c, const char *key)
{
    const struct api *api = c->api;
    struct buf url;

    buf_init(&url, URL_MAX);
    int err = storage_public_url(api->storage, key, &url);
    if (err == OK) {
        lifetime_header(c->x, SOON_S, false);
    } else {
        buf_reset(&url);
        err = sign_for(c, key, &url);
        lifetime_header(c->x, SOON_S, true);
    }
    if (err) {
        refuse(c, err);
    } else {
        exchange_header(c->x, "Location", buf_text(&url));
        exchange_reply(c->x, 302, NULL, NULL);
    }
    buf_deinit(&url);
}

/* By way of a file without a name */

struct passing {
    struct errand errand;
    struct object object;
    int err;
    char key[PATH_KEY_MAX + 1];
};

static void pass_back(struct errand *errand)
{
    struct passing *p = (struct passing *)errand;

    if (p->err == OK) {
        files_reply_object(errand->call, &p->object);
    } else {
        object_close(&p->object);
        refuse(errand->call, p->err);
    }
    mem_free(p);
}

static void passed(void *context, int err, const char *why, uint64_t bytes)
{
    struct passing *p = context;

    if (err != OK && err != FAIL_MISSING)
        log_warn("object_unread", LOG_S("key", p->key), LOG_S("reason", fail_name(err)),
                 LOG_S("why", why));
    p->err = err;
    p->object.size = bytes;
    snprintf(p->object.etag, sizeof(p->object.etag), "\"%llx\"", (unsigned long long)bytes);
    errand_return(&p->errand);
}

static void pass_run(struct errand *errand)
{
    struct passing *p = (struct passing *)errand;

    storage_get(errand->api->storage,
                &(struct storage_get){
                    .key = p->key, .file = p->object.fd, .done = passed, .context = p });
}

static void open_work(void *context)
{
    struct passing *p = context;

    p->object.fd = open(disk_root(p->errand.call->api->disk), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    p->err = p->object.fd < 0 ? fail_from_errno(errno) : OK;
}

static void opened(void *context)
{
    struct passing *p = context;

    if (p->err == OK) {
        errand_go(&p->errand, p->errand.call, pass_run, pass_back);
        return;
    }
    refuse(p->errand.call, FAIL_IO);
    mem_free(p);
}

static void pass(struct call *c, const char *key)
{
    struct passing *p = mem_new(struct passing);

    p->errand.call = c;
    snprintf(p->key, sizeof(p->key), "%s", key);
    io_offload(io_thread_loop(exchange_thread(c->x)), open_work, opened, p);
}

void published_get(struct call *c)
{
    char key[PATH_KEY_MAX + 1];

    /* The key is the path without its leading slash. */
    snprintf(key, sizeof(key), "%.*s", (int)c->path.len - 1, c->path.at + 1);
    if (c->path.len > PATH_KEY_MAX || !path_is_normal(key)) {
        refuse(c, FAIL_MISSING);
    } else if (str_ends(c->path, STR(".m3u8"))) {
        struct reading *r = mem_new(struct reading);
        memcpy(r->key, key, sizeof(key));
        errand_go(&r->errand, c, playlist_run, playlist_back);
    } else if (storage_traits(c->api->storage)->has_urls) {
        send_there(c, key);
    } else {
        pass(c, key);
    }
}

void published_origin(const struct api *api, struct buf *out)
{
    struct buf url;

    if (api->storage == NULL)
        return;
    buf_init(&url, URL_MAX);
    if (storage_public_url(api->storage, "x", &url) == OK ||
        storage_url(api->storage, "x", NULL, 60, &url) == OK) {
        const char *host = strstr(buf_text(&url), "://");
        const char *end = host != NULL ? strchr(host + 3, '/') : NULL;
        if (end != NULL)
            buf_append(out, buf_text(&url), (size_t)(end - buf_text(&url)));
    }
    buf_deinit(&url);
}
