/* Jobs and uploads of this process alone: the ledger is the one writer of jobs, the
 * store keeps them, uploads_* knows who may send chunks, pipelines work on the
 * desk.
 *
 * What only the store remembers is brought back into the ledger before it is shown
 * or changed. */
#include <stdatomic.h>
#include <stdio.h>

#include "api/api.h"
#include "api/errand.h"
#include "api/records_room.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/thread.h"

static void offload(struct call *c, void (*work)(void *), void (*done)(void *), void *context)
{
    io_offload(io_thread_loop(exchange_thread(c->x)), work, done, context);
}

/* Finding */

struct lookup {
    struct call *call;
    struct update *update; /* one reference, or NULL */
    record_done *done;
    char id[JOB_ID_MAX + 1];
};

/* Blocks. Gives a reference. */
static int bring_back(const struct api *api, const char *id, struct update **out)
{
    int err = store_find(api->store, id, out);

    if (err == OK)
        ledger_restore(api->ledger, *out);
    return err;
}

static void search(void *context)
{
    struct lookup *l = context;

    bring_back(l->call->api, l->id, &l->update);
}

/* It may also have come up while it was looked for. */
static int why_unseen(const struct call *c, const char *id)
{
    struct update *known = ledger_snapshot(c->api->ledger, id);
    bool is_foreign = known != NULL && !record_is_visible(c, known);

    update_unref(&known);
    return is_foreign ? FAIL_DENIED : FAIL_MISSING;
}

static void searched(void *context)
{
    struct lookup *l = context;

    if (record_is_visible(l->call, l->update))
        l->done(l->call, OK, l->update);
    else
        l->done(l->call, why_unseen(l->call, l->id), NULL);
    update_unref(&l->update);
    mem_free(l);
}

static void local_find(struct call *c, const char *id, record_done *done)
{
    struct update *u = ledger_snapshot(c->api->ledger, id);

    if (record_is_visible(c, u)) {
        done(c, OK, u);
        update_unref(&u);
        return;
    }
    /* Somebody else's is looked for as well: how long "not found" takes must not
     * tell the two apart. */
    update_unref(&u);
    struct lookup *l = mem_new(struct lookup);
    l->call = c;
    l->done = done;
    snprintf(l->id, sizeof(l->id), "%s", id);
    offload(c, search, searched, l);
}

struct recall {
    const struct api *api;
    char id[JOB_ID_MAX + 1];
};

static void recall(void *context)
{
    struct recall *r = context;
    struct update *u = NULL;

    bring_back(r->api, r->id, &u);
    update_unref(&u);
}

static void local_recall(const struct api *api, struct io_thread *t, const char *id)
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

/* Changing. An answer that promises something waits until the store has it on disk,
 * any other until who asks next finds what was changed. */

struct promise {
    struct mail mail;
    struct mailbox *home;
    struct call *call;
    struct update *update; /* one reference, or NULL */
    int err;
    bool must_last;
    record_done *done;
};

static void promise_open(struct mail *mail)
{
    struct promise *p = (struct promise *)mail;

    p->done(p->call, p->must_last ? p->err : OK, p->update);
    update_unref(&p->update);
    mem_free(p);
}

/* On the store's thread. */
static void promise_synced(void *context, int err)
{
    struct promise *p = context;

    p->err = err;
    mailbox_post(p->home, &p->mail);
}

/* Takes the reference; `u` may be NULL. */
static void promise(struct call *c, struct update *u, bool must_last, record_done *done)
{
    struct promise *p = mem_new(struct promise);

    p->mail.open = promise_open;
    p->home = io_thread_mailbox(exchange_thread(c->x));
    p->call = c;
    p->update = u;
    p->must_last = must_last;
    p->done = done;
    if (must_last)
        store_sync(c->api->store, promise_synced, p);
    else
        store_after(c->api->store, promise_synced, p);
}

/* Asked of the head, since the last heard state may be behind it. */
static int may_change(const struct api *api, const struct record_change *r)
{
    struct update *head = ledger_head(api->ledger, r->id);
    bool is_foreign = head != NULL && r->viewer != NULL && !viewer_may_see(r->viewer, head);
    bool is_worked_on = head != NULL && r->is_report && head->kind != JOB_EXTERNAL;

    update_unref(&head);
    return is_foreign ? FAIL_DENIED : is_worked_on ? FAIL_UNSUPPORTED : OK;
}

/* Creating is tried first: then nobody can have created it in between, and an
 * owner or a kind, once there, stays. */
static int change_now(const struct api *api, const struct record_change *r, struct update **out)
{
    int err = FAIL_EXISTS;

    if (r->when != RECORD_IF_THERE)
        err = ledger_create(api->ledger, r->id, r->change, out);
    if (err != FAIL_EXISTS || r->when == RECORD_IF_NEW)
        return err;
    err = may_change(api, r);
    if (err == OK)
        err = ledger_apply(api->ledger, r->id, r->change, r->when == RECORD_ALWAYS, out);
    return err;
}

static void apply_now(struct call *c, const struct record_change *r, record_done *done)
{
    struct update *u = NULL;
    int err = change_now(c->api, r, &u);

    if (done != NULL && err == OK && r->wait != RECORD_ACCEPTED) {
        promise(c, u, r->wait == RECORD_DURABLE, done);
        return;
    }
    if (done != NULL)
        done(c, err, err == OK ? u : NULL);
    update_unref(&u);
}

/* A change that waits for what the store remembers of the job. */
struct pending {
    struct call *call;
    struct record_change r;
    struct change change; /* what r borrows */
    record_done *done;
    char id[JOB_ID_MAX + 1];
};

static void pending_search(void *context)
{
    struct pending *p = context;
    struct update *u = NULL;

    bring_back(p->call->api, p->id, &u);
    update_unref(&u);
}

static void pending_searched(void *context)
{
    struct pending *p = context;

    apply_now(p->call, &p->r, p->done);
    change_deinit(&p->change);
    mem_free(p);
}

static void local_apply(struct call *c, const struct record_change *r, record_done *done)
{
    struct update *u = r->when == RECORD_ALWAYS ? ledger_snapshot(c->api->ledger, r->id) : NULL;
    bool is_known = record_is_visible(c, u);

    update_unref(&u);
    if (r->when != RECORD_ALWAYS || is_known) {
        apply_now(c, r, done);
        return;
    }
    struct pending *p = mem_new(struct pending);
    p->call = c;
    p->r = *r;
    p->change = *r->change;
    change_take(&p->change);
    snprintf(p->id, sizeof(p->id), "%s", r->id);
    p->r.id = p->id;
    p->r.change = &p->change;
    p->done = done;
    offload(c, pending_search, pending_searched, p);
}

/* Listing */

struct listing {
    struct call *call;
    struct record_query query;
    record_list_done *done;
    struct update *updates[RECORDS_LIST_MAX];
    size_t count;
    int err;
};

static void list_work(void *context)
{
    struct listing *l = context;
    const struct viewer *v = l->call->viewer;

    l->err = store_list(l->call->api->store, v->sees_all ? NULL : v->subject, l->query.state,
                        l->query.before_ms, l->query.max, l->updates, &l->count);
}

static void listed(void *context)
{
    struct listing *l = context;

    l->done(l->call, l->err, l->updates, l->count);
    for (size_t i = 0; i < l->count; i++)
        update_unref(&l->updates[i]);
    mem_free(l);
}

static void local_list(struct call *c, const struct record_query *q, record_list_done *done)
{
    struct listing *l = mem_new(struct listing);

    l->call = c;
    l->query = *q;
    l->done = done;
    offload(c, list_work, listed, l);
}

/* Ending: whose pipeline is on the desk */

static void end_back(struct errand *errand)
{
    struct ending *e = (struct ending *)errand;

    if (e->discarded != NULL)
        e->discarded(errand->call, e->err);
    else if (e->err == OK)
        promise(errand->call, update_ref(e->update), true, e->cancelled);
    else
        e->cancelled(errand->call, e->err, NULL);
    ending_free(e);
}

static void local_discard(struct call *c, const char *id, upload_done *done)
{
    errand_discard(c, id, done, end_back);
}

static void cancel_external(struct call *c, const char *id, record_done *done)
{
    struct change change;
    struct record_change r = { .id = id, .change = &change, .wait = RECORD_DURABLE };

    change_cancel(&change);
    apply_now(c, &r, done);
}

static void local_cancel(struct call *c, struct update *u, record_done *done)
{
    if (u->kind == JOB_EXTERNAL)
        cancel_external(c, u->text[TEXT_ID], done);
    else
        errand_cancel(c, u, done, end_back);
}

static void local_health(struct call *c, records_health_done *done)
{
    struct records_health health = { 0 };

    buf_init(&health.trouble, 1024);
    store_trouble(c->api->store, &health.trouble);
    if (atomic_load(&c->api->is_draining))
        health.unready = "shutting down";
    else if (health.trouble.len > 0)
        health.unready = "the store has trouble";
    done(c, &health);
    buf_deinit(&health.trouble);
}

const struct records_ops records_local = {
    .name = "local",
    .limit = "too many jobs are unfinished",
    .promises_room = true,
    .find = local_find,
    .recall = local_recall,
    .apply = local_apply,
    .list = local_list,
    .cancel = local_cancel,
    .open = local_open,
    .look = local_look,
    .plan = local_plan,
    .take_chunk = local_take_chunk,
    .slices = record_slices,
    .take_slice = local_take_slice,
    .join = record_join,
    .declare = local_declare,
    .assemble = errand_assemble,
    .discard = local_discard,
    .health = local_health,
};
