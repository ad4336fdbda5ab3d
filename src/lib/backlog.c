#include "lib/backlog.h"

#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "base/err.h"

void backlog_init(struct backlog *b, int max, int interval_ms)
{
    *b = (struct backlog){ .max = max, .interval_ms = interval_ms };
}

static void item_free(struct item *item)
{
    free(item->json);
    free(item);
}

static void entry_free(struct backlog *b, struct entry *e)
{
    struct item *item, *next;

    DL_FOREACH_SAFE(e->items, item, next)
    {
        item_free(item);
    }
    HASH_DEL(b->entries, e);
    free(e->stage);
    free(e);
}

void backlog_deinit(struct backlog *b)
{
    struct entry *e, *next;

    HASH_ITER(hh, b->entries, e, next)
    {
        entry_free(b, e);
    }
}

struct entry *backlog_find(struct backlog *b, const char *id)
{
    struct entry *found;

    HASH_FIND_STR(b->entries, id, found);
    return found;
}

static bool is_idle(const struct entry *e)
{
    return e->items == NULL && e->in_flight == 0;
}

/* The one that nobody spoke of for the longest time makes room. */
static bool evict(struct backlog *b)
{
    struct entry *oldest = NULL;

    for (struct entry *e = b->entries; e != NULL; e = e->hh.next)
        if (is_idle(e) && (oldest == NULL || e->said_ms < oldest->said_ms))
            oldest = e;
    if (oldest != NULL)
        entry_free(b, oldest);
    return oldest != NULL;
}

int backlog_entry(struct backlog *b, const char *id, int64_t now_ms, struct entry **out)
{
    struct entry *e = backlog_find(b, id);

    if (e == NULL) {
        if (HASH_COUNT(b->entries) >= (unsigned)b->max && !evict(b))
            return FAIL_FULL;
        e = calloc(1, sizeof(*e));
        if (e == NULL)
            return FAIL_NOMEM;
        e->sent_ms = BACKLOG_NEVER_MS;
        memcpy(e->id, id, strlen(id) + 1);
        HASH_ADD_STR(b->entries, id, e);
        if (e->hh.tbl == NULL) { /* uthash had no memory */
            free(e);
            return FAIL_NOMEM;
        }
    }
    e->said_ms = now_ms;
    *out = e;
    return OK;
}

void backlog_forget_empty(struct backlog *b, struct entry *e)
{
    if (is_idle(e) && e->stage == NULL && !e->is_completed)
        entry_free(b, e);
}

static struct item *last(const struct entry *e)
{
    return e->items ? e->items->prev : NULL; /* utlist: the head's prev is the tail */
}

/* `heir` stands for what `item` stood for, too, and is as urgent. */
static void drop(struct entry *e, struct item *item, struct item *heir)
{
    if (item->seq < heir->seq)
        heir->seq = item->seq;
    heir->is_urgent |= item->is_urgent;
    DL_DELETE(e->items, item);
    e->count--;
    item_free(item);
}

/* Drops all that has a successor and is no ending. */
static void collapse(struct entry *e)
{
    struct item *item, *next;

    DL_FOREACH_SAFE(e->items, item, next)
    {
        if (next != NULL && !item->is_ending)
            drop(e, item, next);
    }
}

static void drop_oldest(struct entry *e)
{
    struct item *item;

    DL_FOREACH(e->items, item)
    {
        if (!item->is_ending && item->next != NULL) {
            drop(e, item, item->next);
            return;
        }
    }
}

static bool is_full_of_endings(const struct entry *e)
{
    int endings = 0;
    const struct item *item;

    DL_FOREACH(e->items, item)
    {
        endings += item->is_ending;
    }
    return endings >= JOB_ITEMS_MAX;
}

int backlog_put(struct backlog *b, struct entry *e, char *json, size_t len, bool is_urgent,
                bool is_ending)
{
    struct item *before = last(e);

    if (is_full_of_endings(e))
        return FAIL_FULL;
    struct item *item = calloc(1, sizeof(*item));
    if (item == NULL)
        return FAIL_NOMEM;
    *item = (struct item){ .json = json, .len = len, .seq = ++b->seq };
    item->is_urgent = is_urgent;
    item->is_ending = is_ending;
    if (before == NULL)
        DL_APPEND(b->waiting, e);
    DL_APPEND(e->items, item);
    e->count++;
    if (before != NULL && !before->is_urgent)
        drop(e, before, item);
    if (b->is_down)
        collapse(e);
    if (e->count > JOB_ITEMS_MAX)
        drop_oldest(e);
    return OK;
}

static void hurry_entry(struct entry *e)
{
    if (e->items != NULL)
        last(e)->is_urgent = true;
}

void backlog_hurry(struct backlog *b, struct entry *e)
{
    if (e != NULL) {
        hurry_entry(e);
        return;
    }
    DL_FOREACH(b->waiting, e)
    {
        hurry_entry(e);
    }
}

static int64_t due_ms(const struct backlog *b, const struct entry *e)
{
    if (e->items->is_urgent || e->sent_ms == BACKLOG_NEVER_MS)
        return 0;
    return e->sent_ms + b->interval_ms;
}

int64_t backlog_due_ms(const struct backlog *b)
{
    int64_t first = INT64_MAX;
    const struct entry *e;

    DL_FOREACH(b->waiting, e)
    {
        int64_t due = due_ms(b, e);
        if (due < first)
            first = due;
        if (first == 0)
            break;
    }
    return first;
}

static void take_one(struct entry *e, int64_t now_ms, struct parcel *out)
{
    *out = (struct parcel){ .entry = e, .item = e->items };
    DL_DELETE(e->items, out->item);
    e->count--;
    e->in_flight++;
    e->sent_ms = now_ms;
}

int backlog_take(struct backlog *b, int64_t now_ms, struct parcel *out, int max, size_t bytes)
{
    struct entry *e, *next;
    size_t sum = 0;
    int count = 0;

    DL_FOREACH_SAFE(b->waiting, e, next)
    {
        while (e->items != NULL && due_ms(b, e) <= now_ms && count < max && sum < bytes) {
            take_one(e, now_ms, &out[count]);
            sum += out[count++].item->len;
        }
        if (e->items == NULL)
            DL_DELETE(b->waiting, e);
    }
    return count;
}

static void arrived(struct backlog *b, struct parcel *p)
{
    struct entry *e = p->entry;
    bool is_over = p->item->is_ending && !e->is_completed;

    item_free(p->item);
    e->in_flight--;
    if (is_over && is_idle(e))
        entry_free(b, e);
}

static void put_back(struct backlog *b, struct parcel *p)
{
    struct entry *e = p->entry;

    if (e->items == NULL)
        DL_APPEND(b->waiting, e);
    e->in_flight--;
    p->item->is_urgent = true;
    DL_PREPEND(e->items, p->item);
    e->count++;
    if (e->count > JOB_ITEMS_MAX)
        drop_oldest(e);
}

void backlog_settle(struct backlog *b, struct parcel *parcels, int count, int sent)
{
    for (int i = count; i-- > sent;)
        put_back(b, &parcels[i]);
    for (int i = 0; i < sent; i++)
        arrived(b, &parcels[i]);
}

void backlog_fall_behind(struct backlog *b)
{
    struct entry *e;

    b->is_down = true;
    DL_FOREACH(b->waiting, e)
    {
        collapse(e);
    }
}

bool backlog_has(const struct backlog *b, const char *id, uint64_t seq)
{
    const struct entry *e;

    DL_FOREACH(b->waiting, e)
    {
        if ((id == NULL || strcmp(e->id, id) == 0) && e->items->seq <= seq)
            return true;
    }
    return false;
}
