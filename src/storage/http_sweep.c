/* Removes everything below a prefix: a page is listed, its objects are removed side by
 * side, then comes the next. The first error ends it. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "storage/http_internal.h"
#include "storage/http_pages.h"

struct sweep_task;

struct sweep_slot {
    struct sweep_task *task;
    struct http_call *call; /* NULL: free */
};

struct sweep_task {
    struct http_task task; /* first */
    struct http_call *lister;
    struct http_pages pages;
    char *key;
    struct http_result page;
    size_t next; /* of the page, to be removed */
    struct sweep_slot *slots;
    size_t slot_count, busy;
    storage_done *done;
    void *context;
};

static void on_stop(struct http_task *task)
{
    struct sweep_task *t = (struct sweep_task *)task;

    http_call_cancel(t->lister);
    for (size_t i = 0; i < t->slot_count; i++)
        http_call_cancel(t->slots[i].call);
    http_result_deinit(&t->page);
    http_pages_deinit(&t->pages);
    mem_free(t->slots);
    mem_free(t->key);
    t->lister = NULL;
    t->slots = NULL;
    t->slot_count = 0;
    t->key = NULL;
}

static void end(struct sweep_task *t, int err, const char *why)
{
    http_task_end(&t->task);
    t->done(t->context, err, why);
}

static void go_on(struct sweep_task *t);

static void on_removed(void *context, const struct http_outcome *outcome)
{
    struct sweep_slot *slot = context;
    struct sweep_task *t = slot->task;

    slot->call = NULL;
    t->busy--;
    if (outcome->err && outcome->err != FAIL_MISSING)
        end(t, outcome->err, outcome->why);
    else
        go_on(t);
}

static void on_page(void *context, const struct http_outcome *outcome)
{
    struct sweep_task *t = context;

    t->lister = NULL;
    if (outcome->err) {
        end(t, outcome->err, outcome->why);
        return;
    }
    http_result_deinit(&t->page);
    t->page = *outcome->result;
    memset(outcome->result, 0, sizeof(*outcome->result));
    t->next = 0;
    go_on(t);
}

static void ask_page(struct sweep_task *t, const char *after)
{
    struct http_call_settings settings = {
        .ask = { .verb = VERB_LIST, .key = t->key, .after = after },
        .done = on_page,
        .context = t,
    };

    t->lister = http_call_start(t->task.h, &settings);
}

static void fill(struct sweep_task *t)
{
    for (size_t i = 0; i < t->slot_count && t->next < t->page.count; i++) {
        struct sweep_slot *slot = &t->slots[i];
        struct http_call_settings settings = { .done = on_removed, .context = slot };
        if (slot->call != NULL)
            continue;
        settings.ask.verb = VERB_REMOVE;
        settings.ask.key = t->page.items[t->next++].key;
        slot->call = http_call_start(t->task.h, &settings);
        t->busy++;
    }
}

static void go_on(struct sweep_task *t)
{
    const char *why = NULL;

    fill(t);
    if (t->busy > 0)
        return;
    if (t->page.after == NULL)
        end(t, OK, NULL);
    else if (http_pages_turn(&t->pages, t->page.after, &why) != OK)
        end(t, FAIL_SYNTAX, why);
    else
        ask_page(t, t->page.after);
}

struct storage_task *http_remove_all(struct storage *s, const char *prefix, storage_done *done,
                                     void *context)
{
    struct sweep_task *t = http_task_new(s, sizeof(*t), on_stop);

    t->key = http_storage_key(t->task.h, prefix);
    t->slot_count = t->task.h->parallel;
    t->slots = mem_zalloc(t->slot_count * sizeof(*t->slots));
    for (size_t i = 0; i < t->slot_count; i++)
        t->slots[i].task = t;
    t->done = done;
    t->context = context;
    ask_page(t, NULL);
    return &t->task.task;
}
