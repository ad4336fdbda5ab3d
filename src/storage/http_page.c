/* Operations that read page after page: objects, multipart uploads, parts. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "storage/http_internal.h"
#include "storage/http_pages.h"

struct page_task {
    struct http_task task; /* first */
    struct http_call *call;
    struct http_pages pages;
    enum http_verb verb;
    char *key, *id; /* the key: with the prefix */
    bool (*object)(void *context, const struct storage_object *object);
    bool (*pending)(void *context, const struct storage_pending *pending);
    struct storage_part *parts;
    size_t part_count;
    struct storage_ending ending;
};

static void on_stop(struct http_task *task)
{
    struct page_task *t = (struct page_task *)task;

    http_call_cancel(t->call);
    t->call = NULL;
    http_pages_deinit(&t->pages);
    mem_free(t->key);
    mem_free(t->id);
    t->key = t->id = NULL;
}

static void on_page(void *context, const struct http_outcome *outcome);

static void ask_page(struct page_task *t, const char *after)
{
    struct http_call_settings settings = {
        .ask = { .verb = t->verb, .key = t->key, .id = t->id, .after = after },
        .done = on_page,
        .context = t,
    };

    t->call = http_call_start(t->task.h, &settings);
}

static bool say_item(struct page_task *t, const struct http_item *item)
{
    const char *key = item->key ? http_storage_bare(t->task.h, item->key) : NULL;
    struct storage_object object = { key, item->size, item->modified_s, item->etag };
    struct storage_pending pending = { key, item->id, item->modified_s };

    if (key == NULL)
        return true; /* not ours */
    return t->object ? t->object(t->ending.context, &object)
                     : t->pending(t->ending.context, &pending);
}

static void keep_parts(struct page_task *t, const struct http_result *page)
{
    size_t count = t->part_count + page->count;

    if (page->count == 0)
        return;
    t->parts = mem_resize(t->parts, count * sizeof(*t->parts));
    for (size_t i = 0; i < page->count; i++) {
        const struct http_item *item = &page->items[i];
        const char *etag = item->etag;
        if (etag[0] == '\0')
            etag = http_copied_etag(t->task.h, t->id, item->number);
        if (etag == NULL && t->task.h->driver->needs_etags)
            continue;
        struct storage_part *part = &t->parts[t->part_count++];
        *part = (struct storage_part){ .number = item->number,
                                       .size = item->size,
                                       .modified_s = item->modified_s };
        snprintf(part->etag, sizeof(part->etag), "%s", etag ? etag : "");
    }
}

static int by_number(const void *a, const void *b)
{
    const struct storage_part *one = a, *other = b;

    return one->number < other->number ? -1 : one->number > other->number;
}

/* In order, and each once: from two that differ nobody can tell which one it is. */
static int settle_parts(struct page_task *t)
{
    struct storage_part *parts = t->parts;
    size_t kept = 0;

    if (t->part_count > 0)
        qsort(parts, t->part_count, sizeof(*parts), by_number);
    for (size_t i = 0; i < t->part_count; i++) {
        const struct storage_part *last = kept > 0 ? &parts[kept - 1] : NULL;
        if (last == NULL || last->number != parts[i].number)
            parts[kept++] = parts[i];
        else if (last->size != parts[i].size || strcmp(last->etag, parts[i].etag) != 0)
            return FAIL_SYNTAX;
    }
    t->part_count = kept;
    return OK;
}

static void end(struct page_task *t, int err, const char *why)
{
    struct storage_ending *e = &t->ending;

    if (err == OK && e->kind == ENDING_PARTS && (err = settle_parts(t)) != OK)
        why = "the storage has two parts of one number";
    struct storage_part *parts = t->parts;

    t->parts = NULL;
    http_task_end(&t->task);
    if (err == OK && e->kind == ENDING_PARTS) {
        e->parts(e->context, OK, NULL, parts, t->part_count);
    } else {
        storage_ending_say(e, err, why);
    }
    mem_free(parts);
}

static void go_on(struct page_task *t, const char *after)
{
    const char *why = NULL;

    if (after == NULL)
        end(t, OK, NULL);
    else if (http_pages_turn(&t->pages, after, &why) != OK)
        end(t, FAIL_SYNTAX, why);
    else
        ask_page(t, after);
}

static void on_page(void *context, const struct http_outcome *outcome)
{
    struct page_task *t = context;
    const struct http_result *page = outcome->result;

    t->call = NULL;
    if (outcome->err) {
        bool is_unused = outcome->err == FAIL_MISSING && outcome->answer != NULL &&
                         t->verb == VERB_PARTS && t->task.h->driver->has_no_uploads;
        end(t, is_unused ? OK : outcome->err, outcome->why);
        return;
    }
    if (t->verb == VERB_PARTS) {
        keep_parts(t, page);
        if (t->part_count > STORAGE_PARTS_MAX * 5u) { /* no storage has so many */
            end(t, FAIL_SYNTAX, "the storage names parts without end");
            return;
        }
    }
    for (size_t i = 0; t->verb != VERB_PARTS && i < page->count; i++) {
        bool goes_on = say_item(t, &page->items[i]);
        if (t->task.is_over) /* cancelled by what was called */
            return;
        if (!goes_on) {
            end(t, OK, NULL);
            return;
        }
    }
    go_on(t, page->after);
}

static struct page_task *page_new(struct storage *s, enum http_verb verb, const char *key)
{
    struct page_task *t = http_task_new(s, sizeof(*t), on_stop);

    t->verb = verb;
    t->key = http_storage_key(t->task.h, key);
    return t;
}

struct storage_task *http_list(struct storage *s, const char *prefix,
                               bool (*each)(void *, const struct storage_object *),
                               storage_done *done, void *context)
{
    struct page_task *t = page_new(s, VERB_LIST, prefix);

    t->object = each;
    t->ending = (struct storage_ending){ ENDING_PLAIN, { .plain = done }, context };
    ask_page(t, NULL);
    return &t->task.task;
}

struct storage_task *http_uploads(struct storage *s, const char *prefix,
                                  bool (*each)(void *, const struct storage_pending *),
                                  storage_done *done, void *context)
{
    struct page_task *t = page_new(s, VERB_UPLOADS, prefix);

    t->pending = each;
    t->ending = (struct storage_ending){ ENDING_PLAIN, { .plain = done }, context };
    ask_page(t, NULL);
    return &t->task.task;
}

struct storage_task *http_parts(struct storage *s, const char *key, const char *id,
                                void (*done)(void *, int, const char *, const struct storage_part *,
                                             size_t),
                                void *context)
{
    struct page_task *t = page_new(s, VERB_PARTS, key);

    t->id = mem_strdup(id);
    t->ending = (struct storage_ending){ ENDING_PARTS, { .parts = done }, context };
    ask_page(t, NULL);
    return &t->task.task;
}
