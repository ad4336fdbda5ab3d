#include <assert.h>

#include "base/mem.h"
#include "io/thread.h"

struct offload {
    uv_work_t work; /* first: requests are cast back */
    void (*run)(void *context);
    void (*done)(void *context);
    void *context;
};

static void on_worker(uv_work_t *work)
{
    struct offload *o = (struct offload *)work;

    o->run(o->context);
}

static void on_loop(uv_work_t *work, int status)
{
    struct offload *o = (struct offload *)work;

    (void)status; /* never cancelled */
    o->done(o->context);
    mem_free(o);
}

void io_offload(uv_loop_t *loop, void (*work)(void *context), void (*done)(void *context),
                void *context)
{
    struct offload *o = mem_new(struct offload);

    o->run = work;
    o->done = done;
    o->context = context;
    int rc = uv_queue_work(loop, &o->work, on_worker, on_loop);
    assert(rc == 0); /* it fails only without a work callback */
    (void)rc;
}
