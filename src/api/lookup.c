#include <stdio.h>

#include "api/api.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/thread.h"

struct lookup {
    struct call *call;
    struct update *update; /* one reference, or NULL */
    void (*found)(struct call *c, struct update *u);
    char id[JOB_ID_MAX + 1];
};

static void give(struct call *c, struct update *u, void (*found)(struct call *, struct update *))
{
    bool is_visible = u != NULL && (c->viewer == NULL || viewer_may_see(c->viewer, u));

    found(c, is_visible ? u : NULL);
}

static void search(void *context)
{
    struct lookup *l = context;

    if (store_find(l->call->api->store, l->id, &l->update) == OK)
        ledger_restore(l->call->api->ledger, l->update);
}

static void searched(void *context)
{
    struct lookup *l = context;

    give(l->call, l->update, l->found);
    update_unref(&l->update);
    mem_free(l);
}

void job_find(struct call *c, const char *id, void (*found)(struct call *c, struct update *u))
{
    struct update *u = ledger_snapshot(c->api->ledger, id);

    if (u != NULL) {
        give(c, u, found);
        update_unref(&u);
        return;
    }
    struct lookup *l = mem_new(struct lookup);
    l->call = c;
    l->found = found;
    snprintf(l->id, sizeof(l->id), "%s", id);
    io_offload(io_thread_loop(exchange_thread(c->x)), search, searched, l);
}

struct recall {
    const struct api *api;
    char id[JOB_ID_MAX + 1];
};

static void recall(void *context)
{
    struct recall *r = context;
    struct update *u;

    if (store_find(r->api->store, r->id, &u) != OK)
        return;
    ledger_restore(r->api->ledger, u);
    update_unref(&u);
}

void job_recall(const struct api *api, struct io_thread *t, const char *id)
{
    struct update *known = ledger_snapshot(api->ledger, id);

    if (known != NULL) {
        update_unref(&known);
        return;
    }
    struct recall *r = mem_new(struct recall);
    r->api = api;
    snprintf(r->id, sizeof(r->id), "%s", id);
    io_offload(io_thread_loop(t), recall, mem_free, r);
}
