/* A storage that is spoken to by HTTP: what is the same for all of them. */
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "storage/http_internal.h"

const struct storage_url *http_storage_url(const struct http_storage *h)
{
    return &h->url;
}

int64_t http_storage_now_s(const struct http_storage *h)
{
    return clock_wall_ms() / 1000 + atomic_load(&h->skew_s);
}

char *http_storage_key(const struct http_storage *h, const char *key)
{
    size_t prefix = strlen(h->storage.prefix), len = strlen(key);
    char *out = mem_alloc(prefix + len + 1);

    memcpy(out, h->storage.prefix, prefix);
    memcpy(out + prefix, key, len + 1);
    return out;
}

const char *http_storage_bare(const struct http_storage *h, const char *key)
{
    size_t prefix = strlen(h->storage.prefix);

    return strncmp(key, h->storage.prefix, prefix) == 0 ? key + prefix : NULL;
}

static void free_ended(struct http_storage *h)
{
    struct http_task *t, *next;

    DL_FOREACH_SAFE(h->ended, t, next)
    {
        DL_DELETE(h->ended, t);
        mem_free(t);
    }
    http_calls_free(h);
}

static void on_tick(uv_timer_t *timer);

static void arrange(struct http_storage *h)
{
    uint64_t due = h->ended != NULL ? 0 : http_calls_due(h);

    if (h->is_closing)
        return;
    if (due == UINT64_MAX)
        uv_timer_stop(&h->timer);
    else
        uv_timer_start(&h->timer, on_tick, due, 0);
}

static void on_tick(uv_timer_t *timer)
{
    struct http_storage *h = timer->data;

    free_ended(h);
    http_calls_tick(h);
    arrange(h);
}

void http_storage_stir(struct http_storage *h)
{
    if (!h->is_closing)
        uv_timer_start(&h->timer, on_tick, 0, 0);
}

static void on_cancel(struct storage_task *task)
{
    http_task_end((struct http_task *)task);
}

void *http_task_new(struct storage *s, size_t size, void (*stop)(struct http_task *t))
{
    struct http_task *t = mem_zalloc(size);

    t->task.storage = s;
    t->task.cancel = on_cancel;
    t->h = (struct http_storage *)s;
    t->stop = stop;
    DL_APPEND(t->h->tasks, t);
    return t;
}

void http_task_end(struct http_task *t)
{
    if (t->is_over)
        return;
    t->is_over = true;
    DL_DELETE(t->h->tasks, t);
    DL_APPEND(t->h->ended, t);
    t->stop(t);
    http_storage_stir(t->h);
}

static void timer_closed(uv_handle_t *handle)
{
    struct http_storage *h = handle->data;

    free_ended(h);
    http_copied_forget(h, NULL);
    storage_url_deinit(&h->url);
    mem_free(h->storage.prefix);
    mem_free(h->storage.public_url);
    mem_free(h);
}

static void http_close(struct storage *s)
{
    struct http_storage *h = (struct http_storage *)s;

    h->is_closing = true;
    while (h->tasks != NULL)
        http_task_end(h->tasks);
    http_calls_cancel(h);
    fetcher_close(h->fetcher);
    uv_close((uv_handle_t *)&h->timer, timer_closed);
}

static void http_hurry(struct storage *s)
{
    struct http_storage *h = (struct http_storage *)s;

    h->patience_ms = 0;
    http_calls_hurry(h);
}

static void http_describe(const struct storage *s, struct buf *out)
{
    storage_url_describe(&((const struct http_storage *)s)->url, out);
}

static int url_of(const struct storage *s, struct http_ask *ask, const char *key,
                  const char *file_name, uint64_t lifetime_s, struct buf *out)
{
    const struct http_storage *h = (const struct http_storage *)s;
    char *full = http_storage_key(h, key);

    ask->key = full;
    int err = h->driver->url(h, ask, file_name, lifetime_s, out);
    mem_free(full);
    return err == OK && out->failed ? FAIL_LIMIT : err;
}

static int http_url(const struct storage *s, const char *key, const char *file_name,
                    uint64_t lifetime_s, struct buf *out)
{
    return url_of(s, &(struct http_ask){ .verb = VERB_GET }, key, file_name, lifetime_s, out);
}

static int http_head_url(const struct storage *s, const char *key, uint64_t lifetime_s,
                         struct buf *out)
{
    return url_of(s, &(struct http_ask){ .verb = VERB_HEAD }, key, NULL, lifetime_s, out);
}

static int http_put_url(const struct storage *s, const char *key, uint64_t lifetime_s,
                        struct buf *out)
{
    return url_of(s, &(struct http_ask){ .verb = VERB_PUT }, key, NULL, lifetime_s, out);
}

static int http_part_url(const struct storage *s, const char *key, const char *id, uint32_t number,
                         uint64_t lifetime_s, struct buf *out)
{
    struct http_ask ask = { .verb = VERB_PART_PUT, .id = id, .number = number };

    return url_of(s, &ask, key, NULL, lifetime_s, out);
}

static const struct storage_ops http_ops = {
    .close = http_close,
    .hurry = http_hurry,
    .describe = http_describe,
    .put = http_put,
    .get = http_get,
    .read = http_read,
    .head = http_head,
    .copy = http_copy,
    .remove = http_remove,
    .list = http_list,
    .remove_all = http_remove_all,
    .upload_begin = http_begin,
    .part_put = http_part_put,
    .part_copy = http_part_copy,
    .parts = http_parts,
    .upload_complete = http_complete,
    .upload_abort = http_abort,
    .uploads = http_uploads,
    .url = http_url,
    .head_url = http_head_url,
    .put_url = http_put_url,
    .part_url = http_part_url,
};

int http_storage_open(uv_loop_t *loop, const struct storage_settings *settings,
                      const struct http_driver *driver, struct storage_url *url,
                      struct storage **out, struct buf *why)
{
    int err = driver->check != NULL ? driver->check(url, why) : OK;

    if (err != OK) {
        storage_url_deinit(url);
        return err;
    }
    struct http_storage *h = mem_new(struct http_storage);
    h->storage.ops = &http_ops;
    h->storage.traits = driver->traits(url);
    h->storage.loop = loop;
    h->storage.prefix = mem_strdup(url->prefix);
    h->storage.public_url = mem_strdup(settings->public_url ? settings->public_url : "");
    h->driver = driver;
    h->url = *url;
    memset(url, 0, sizeof(*url));
    h->fetcher = fetcher_new(loop, settings->ca_file);
    h->parallel = settings->parallel > 0 ? settings->parallel : 1;
    h->patience_ms = settings->patience_ms;
    uv_timer_init(loop, &h->timer);
    h->timer.data = h;
    *out = &h->storage;
    return OK;
}
