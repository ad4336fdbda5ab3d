#include "io/redis.h"

#include <utlist.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/redis_wire.h"

/* A command on its way, in the order in which answers come. */
struct call {
    struct call *prev, *next; /* utlist: the last one is the first one's prev */
    redis_done *done;         /* may be NULL */
    void *context;
    uint64_t due_ms;
    size_t size; /* as it was sent */
};

struct redis {
    struct wire wire; /* first */
    const struct redis_events *events;
    void *context;
    struct call *calls;
    size_t count, size; /* of the calls */
    uv_timer_t timer;   /* for the call that is due first */
    uint64_t armed_ms;
    bool is_suspect;
    int handles; /* that are still to be closed */
};

static void finish(struct call *call, int err, const struct redis_reply *reply)
{
    if (call->done != NULL)
        call->done(call->context, err, reply);
    mem_free(call);
}

static void disarm(struct redis *r)
{
    uv_timer_stop(&r->timer);
    r->armed_ms = UINT64_MAX;
    r->is_suspect = false;
}

/* Whoever hears of it may close us or send more; neither touches this list. */
static void fail_all(struct redis *r, int err)
{
    struct call *calls = r->calls, *call, *next;
    uint64_t now = uv_now(r->wire.loop);

    r->calls = NULL;
    r->count = r->size = 0;
    disarm(r);
    DL_FOREACH_SAFE(calls, call, next)
    {
        bool is_late = err == FAIL_TIMEOUT && call->due_ms > now;
        finish(call, is_late ? FAIL_CLOSED : err, NULL);
    }
}

static struct call *first_due(const struct redis *r)
{
    struct call *call, *first = r->calls;

    DL_FOREACH(r->calls, call)
    {
        if (call->due_ms < first->due_ms)
            first = call;
    }
    return first;
}

static void on_due(uv_timer_t *timer);

static void arm(struct redis *r, uint64_t due_ms)
{
    uint64_t now = uv_now(r->wire.loop);

    r->armed_ms = due_ms;
    r->is_suspect = false;
    uv_timer_start(&r->timer, on_due, due_ms > now ? due_ms - now : 0, 0);
}

/* Answers come in order: one that does not come holds up all the others. */
static void on_due(uv_timer_t *timer)
{
    struct redis *r = timer->data;
    const struct call *first = first_due(r);

    if (first == NULL)
        disarm(r);
    else if (first->due_ms > uv_now(r->wire.loop))
        arm(r, first->due_ms);
    else if (wire_believes(&r->is_suspect, timer, on_due))
        wire_lose(&r->wire, FAIL_TIMEOUT, "a command was not answered in time");
}

static void on_ready(struct wire *w)
{
    struct redis *r = (struct redis *)w;

    r->events->up(r->context);
}

static void on_reply(struct wire *w, const struct redis_reply *reply, bool is_cut)
{
    struct redis *r = (struct redis *)w;
    struct call *call = r->calls;

    if (call == NULL) {
        wire_lose(w, FAIL_SYNTAX, "an answer that nobody asked for");
        return;
    }
    DL_DELETE(r->calls, call);
    r->count--;
    r->size -= call->size;
    finish(call, is_cut ? FAIL_LIMIT : redis_reply_err(reply), is_cut ? NULL : reply);
}

static void on_lost(struct wire *w, const struct redis_down *down)
{
    struct redis *r = (struct redis *)w;

    fail_all(r, down->err == FAIL_TIMEOUT ? FAIL_TIMEOUT : FAIL_CLOSED);
    if (w->state != WIRE_OVER)
        r->events->down(r->context, down);
}

/* Commands that wait for their answer are watched by their own deadlines, and
 * one that blocks in Redis would hold up a PING. */
static bool on_ping(struct wire *w)
{
    struct redis *r = (struct redis *)w;

    return r->calls == NULL &&
           redis_command(r, (struct str[]){ STR("PING") }, 1, 0, NULL, NULL) == OK;
}

static void on_drained(struct wire *w)
{
    (void)w;
}

static void free_at_last(struct redis *r)
{
    if (--r->handles > 0)
        return;
    wire_deinit(&r->wire);
    mem_free(r);
}

static void on_gone(struct wire *w)
{
    free_at_last((struct redis *)w);
}

static void on_timer_closed(uv_handle_t *handle)
{
    free_at_last(handle->data);
}

struct redis *redis_open(uv_loop_t *loop, const struct redis_url *url,
                         const struct redis_settings *settings, const struct redis_events *events,
                         void *context)
{
    static const struct wire_events of_wire = { on_ready, on_reply,   on_lost,
                                                on_ping,  on_drained, on_gone };
    const struct redis_settings *s = settings != NULL ? settings : &redis_settings_default;
    struct redis *r = mem_new(struct redis);

    r->events = events;
    r->context = context;
    r->handles = 2;
    r->armed_ms = UINT64_MAX;
    uv_timer_init(loop, &r->timer);
    r->timer.data = r;
    wire_open(&r->wire, loop, url, s, s->reply_max, &of_wire);
    return r;
}

void redis_close(struct redis *r)
{
    if (r->wire.state == WIRE_OVER)
        return;
    wire_close(&r->wire);
    uv_close((uv_handle_t *)&r->timer, on_timer_closed);
    fail_all(r, FAIL_CANCELLED);
}

bool redis_is_up(const struct redis *r)
{
    return r->wire.state == WIRE_READY;
}

int redis_command(struct redis *r, const struct str *args, size_t count, uint32_t timeout_ms,
                  redis_done *done, void *context)
{
    uint32_t patience_ms = timeout_ms > 0 ? timeout_ms : r->wire.settings.command_timeout_ms;
    size_t before = wire_backlog(&r->wire);
    struct call *call;
    int err;

    if (r->wire.state == WIRE_READY &&
        (r->count >= r->wire.settings.commands_max || r->size >= r->wire.settings.out_max))
        return FAIL_LIMIT;
    err = wire_send(&r->wire, args, count);
    if (err != OK)
        return err;
    call = mem_new(struct call);
    if (wire_backlog(&r->wire) > before) /* unless its writing failed at once */
        call->size = wire_backlog(&r->wire) - before;
    r->size += call->size;
    call->done = done;
    call->context = context;
    call->due_ms = uv_now(r->wire.loop) + patience_ms;
    DL_APPEND(r->calls, call);
    r->count++;
    if (call->due_ms < r->armed_ms)
        arm(r, call->due_ms);
    return OK;
}
