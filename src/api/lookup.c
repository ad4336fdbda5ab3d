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

static bool is_visible(const struct call *c, const struct update *u)
{
    return u != NULL && (c->viewer == NULL || viewer_may_see(c->viewer, u));
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

    l->found(l->call, is_visible(l->call, l->update) ? l->update : NULL);
    update_unref(&l->update);
    mem_free(l);
}

void job_find(struct call *c, const char *id, void (*found)(struct call *c, struct update *u))
{
    struct update *u = ledger_snapshot(c->api->ledger, id);

    if (is_visible(c, u)) {
        found(c, u);
        update_unref(&u);
        return;
    }
    /* Somebody else's is looked for as well: how long "not found" takes must not
     * tell the two apart. */
    update_unref(&u);
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

bool job_is_known(struct call *c, struct update *u)
{
    if (u != NULL)
        return true;
    reply_error(c->x, 404, "not_found", NULL, "there is no job %s", c->segments[0]);
    return false;
}

void job_find_in_path(struct call *c, void (*found)(struct call *c, struct update *u))
{
    if (job_id_is_valid(str_of(c->segments[0])))
        job_find(c, c->segments[0], found);
    else
        job_is_known(c, NULL);
}
