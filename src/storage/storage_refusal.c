#include "storage/storage_refusal.h"

#include "base/mem.h"
#include "io/thread.h"
#include "storage/storage_ops.h"

struct storage_refusal {
    struct storage_task task; /* first: tasks are cast back */
    struct storage_refusal *next, **at;
    struct storage_ending ending;
    int err;
    const char *why;
};

void storage_ending_say(const struct storage_ending *ending, int err, const char *why)
{
    switch (ending->kind) {
    case ENDING_PLAIN: ending->plain(ending->context, err, why); break;
    case ENDING_GET: ending->get(ending->context, err, why, 0); break;
    case ENDING_READ: ending->read(ending->context, err, why, STR("")); break;
    case ENDING_HEAD: ending->head(ending->context, err, why, NULL); break;
    case ENDING_BEGIN: ending->begin(ending->context, err, why, NULL); break;
    case ENDING_PARTS: ending->parts(ending->context, err, why, NULL, 0); break;
    }
}

static void refusal_unlink(struct storage_refusal *r)
{
    if (r->at == NULL)
        return;
    *r->at = r->next;
    if (r->next != NULL)
        r->next->at = r->at;
    r->at = NULL;
}

static void on_cancel(struct storage_task *task)
{
    refusal_unlink((struct storage_refusal *)task);
}

static void do_nothing(void *context)
{
    (void)context;
}

static void on_loop(void *context)
{
    struct storage_refusal *r = context;
    bool is_wanted = r->at != NULL;

    refusal_unlink(r);
    if (is_wanted)
        storage_ending_say(&r->ending, r->err, r->why);
    mem_free(r);
}

struct storage_task *storage_refuse(struct storage *s, const struct storage_ending *ending, int err,
                                    const char *why)
{
    struct storage_refusal *r = mem_new(struct storage_refusal);

    *r = (struct storage_refusal){
        .task = { .storage = s, .cancel = on_cancel },
        .next = s->refusals,
        .at = &s->refusals,
        .ending = *ending,
        .err = err,
        .why = why,
    };
    if (r->next != NULL)
        r->next->at = &r->next;
    s->refusals = r;
    io_offload(s->loop, do_nothing, on_loop, r);
    return &r->task;
}

void storage_refusals_cancel(struct storage *s)
{
    while (s->refusals != NULL)
        refusal_unlink(s->refusals);
}
