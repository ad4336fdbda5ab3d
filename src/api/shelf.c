#include "api/shelf.h"

#include <stdbool.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/thread.h"
#include "media/playlist_sign.h"

enum {
    PLAYLIST_MAX = 8 * 1024 * 1024,
    SIGNED_MAX = 64 * 1024 * 1024,
    SHELF_MAX = 64 * 1024 * 1024, /* bytes on it; what is larger by itself is not kept */
    FRESH_PART = 6,               /* of a URL's lifetime: the rest is for watching */
    PATIENCE_MS = 10000,          /* of a viewer: shorter than that of who stores */
    LOOK_MS = 1000,
};

static const uint64_t forever_s = 31536000;

struct waiter {
    struct waiter *next;
    shelf_done *done;
    void *context;
};

/* One playlist: being read, being signed, or there. */
struct volume {
    UT_hash_handle hh;
    struct volume *prev, *next; /* by last use; only what is there */
    struct shelf *shelf;
    struct waiter *waiters;
    struct storage_task *task; /* being read */
    struct msg *body;          /* there */
    uint64_t until_ms;         /* it is good, or waited for */
    struct buf text, signed_text;
    int err;
    char key[];
};

struct shelf {
    uv_loop_t *loop;
    struct storage *storage;
    uint64_t lifetime_s;
    struct volume *volumes, *used;
    size_t bytes;
    unsigned signing; /* on worker threads */
    bool is_draining;
    void (*drained)(void *context);
    void *drained_context;
    uv_timer_t timer;
};

static void on_look(uv_timer_t *timer);

struct shelf *shelf_new(uv_loop_t *loop, struct storage *storage, uint64_t url_lifetime_s)
{
    struct shelf *s = mem_new(struct shelf);

    s->loop = loop;
    s->storage = storage;
    s->lifetime_s = url_lifetime_s;
    uv_timer_init(loop, &s->timer);
    s->timer.data = s;
    return s;
}

static void remove_volume(struct volume *v)
{
    struct shelf *s = v->shelf;

    HASH_DEL(s->volumes, v);
    if (v->body != NULL) {
        DL_DELETE(s->used, v);
        s->bytes -= v->body->len;
    }
    msg_unref(&v->body);
    buf_deinit(&v->text);
    buf_deinit(&v->signed_text);
    mem_free(v);
}

static void closed(uv_handle_t *handle)
{
    mem_free(handle->data);
}

void shelf_close(struct shelf *s)
{
    struct volume *v, *next;

    if (s == NULL)
        return;
    HASH_ITER(hh, s->volumes, v, next)
    remove_volume(v);
    uv_close((uv_handle_t *)&s->timer, closed);
}

static void answer(struct volume *v, int err, const char *why)
{
    uint64_t now = clock_mono_ms(), left_s = v->until_ms > now ? (v->until_ms - now) / 1000 : 0;

    while (v->waiters != NULL) {
        struct waiter *w = v->waiters;
        LL_DELETE(v->waiters, w);
        w->done(w->context, err, why, v->body, left_s);
        mem_free(w);
    }
}

static void put_on_shelf(struct volume *v, const struct buf *text, uint64_t fresh_s)
{
    struct shelf *s = v->shelf;

    v->body = msg_new(buf_text(text), text->len);
    v->until_ms = clock_mono_ms() + fresh_s * 1000;
    s->bytes += v->body->len;
    DL_PREPEND(s->used, v);
    answer(v, OK, NULL);
    while (s->bytes > SHELF_MAX && s->used != NULL)
        remove_volume(s->used->prev); /* utlist: the last one */
}

static void fail(struct volume *v, int err, const char *why)
{
    answer(v, err, why);
    remove_volume(v);
}

static void on_look(uv_timer_t *timer)
{
    struct shelf *s = timer->data;
    struct volume *v, *next;
    uint64_t now = clock_mono_ms();
    unsigned reading = 0;

    HASH_ITER(hh, s->volumes, v, next)
    {
        if (v->task == NULL)
            continue;
        reading++;
        if (now < v->until_ms)
            continue;
        storage_cancel(v->task);
        v->task = NULL;
        fail(v, FAIL_TIMEOUT, "the storage did not answer in time");
    }
    if (reading == 0)
        uv_timer_stop(timer);
}

/* Signing */

static int sign(void *context, const char *key, struct buf *out)
{
    const struct shelf *s = context;

    return storage_url(s->storage, key, NULL, s->lifetime_s, out);
}

static void sign_work(void *context)
{
    struct volume *v = context;
    char *folder = mem_strdup(v->key);

    *strrchr(folder, '/') = '\0';
    v->err = playlist_sign(buf_str(&v->text), folder, sign, v->shelf, &v->signed_text);
    mem_free(folder);
}

static void drained(struct shelf *s)
{
    if (s->is_draining && s->signing == 0)
        s->drained(s->drained_context);
}

static void was_signed(void *context)
{
    struct volume *v = context;
    struct shelf *s = v->shelf;

    s->signing--;
    if (v->err || s->is_draining) {
        fail(v, v->err ? v->err : FAIL_CLOSED, "its URLs could not be signed");
        drained(s);
        return;
    }
    put_on_shelf(v, &v->signed_text, s->lifetime_s / FRESH_PART);
    /* `v` may be gone */
}

static void sign_off(struct volume *v)
{
    v->shelf->signing++;
    io_offload(v->shelf->loop, sign_work, was_signed, v);
}

static void was_read(void *context, int err, const char *why, struct str body)
{
    struct volume *v = context;

    v->task = NULL;
    if (err) {
        fail(v, err, why);
        return;
    }
    buf_append(&v->text, body.at, body.len);
    if (!storage_traits(v->shelf->storage)->has_urls || playlist_is_master(body))
        put_on_shelf(v, &v->text, forever_s);
    else
        sign_off(v);
}

static struct volume *volume_new(struct shelf *s, const char *key)
{
    size_t len = strlen(key);
    struct volume *v = mem_zalloc(sizeof(*v) + len + 1);

    v->shelf = s;
    memcpy(v->key, key, len + 1);
    buf_init(&v->text, PLAYLIST_MAX);
    buf_init(&v->signed_text, SIGNED_MAX);
    HASH_ADD(hh, s->volumes, key, (unsigned)len, v);
    return v;
}

void shelf_read(struct shelf *s, const char *key, shelf_done *done, void *context)
{
    struct volume *v;

    if (s->is_draining) {
        done(context, FAIL_CLOSED, "the server is shutting down", NULL, 0);
        return;
    }
    struct waiter *w = mem_new(struct waiter);
    w->done = done;
    w->context = context;
    HASH_FIND(hh, s->volumes, key, (unsigned)strlen(key), v);
    if (v != NULL && v->body != NULL && clock_mono_ms() >= v->until_ms) {
        remove_volume(v);
        v = NULL;
    }
    bool is_new = v == NULL;
    if (is_new)
        v = volume_new(s, key);
    LL_PREPEND(v->waiters, w);
    if (is_new) {
        v->until_ms = clock_mono_ms() + PATIENCE_MS;
        v->task = storage_read(s->storage, key, PLAYLIST_MAX, was_read, v);
        if (!uv_is_active((uv_handle_t *)&s->timer))
            uv_timer_start(&s->timer, on_look, LOOK_MS, LOOK_MS);
    } else if (v->body != NULL) {
        DL_DELETE(s->used, v);
        DL_PREPEND(s->used, v);
        answer(v, OK, NULL);
    }
}

void shelf_drain(struct shelf *s, void (*done)(void *context), void *context)
{
    struct volume *v, *next;

    s->is_draining = true;
    s->drained = done;
    s->drained_context = context;
    HASH_ITER(hh, s->volumes, v, next)
    {
        if (v->task == NULL)
            continue;
        storage_cancel(v->task);
        v->task = NULL;
        fail(v, FAIL_CLOSED, "the server is shutting down");
    }
    drained(s);
}
