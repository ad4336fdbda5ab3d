/* What a target does with what a queue gives it, in whichever order things come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "../io/scripted.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "hooks/target.h"

#define TAKEN "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

/* A queue whose answers the test gives. */
struct world {
    struct hook_queue queue; /* first */
    uv_loop_t loop;
    struct target_tools tools;
    struct target *target;
    struct scripted server;
    hook_due_done *due;
    hook_done *settled;
    void *due_context, *settled_context;
    struct hook_result result;
};

static void on_due(struct hook_queue *q, const char *url, size_t max, hook_due_done *done,
                   void *context)
{
    struct world *w = (struct world *)q;

    (void)url, (void)max;
    assert_null(w->due);
    w->due = done;
    w->due_context = context;
}

static void on_settle(struct hook_queue *q, const struct hook_result *result, hook_done *done,
                      void *context)
{
    struct world *w = (struct world *)q;

    assert_null(w->settled);
    w->result = *result;
    w->settled = done;
    w->settled_context = context;
}

static const struct hook_queue_ops ops = { .due = on_due, .settle = on_settle };

/* The queue gives the delivery, as it is in this round. */
static void give(struct world *w, uint32_t round, uint32_t attempts)
{
    hook_due_done *done = w->due;
    struct hook_delivery row = { .id = 1, .round = round, .attempts = attempts };

    row.message = mem_strdup("msg_1");
    row.job = mem_strdup("job");
    row.type = mem_strdup("job.created");
    row.url = mem_strdup(w->server.url);
    row.why = mem_strdup("");
    row.body = mem_strdup("{}");
    assert_non_null(done);
    w->due = NULL;
    done(w->due_context, OK, &row, 1, HOOK_HELD);
    hook_delivery_deinit(&row);
}

static void give_none(struct world *w)
{
    hook_due_done *done = w->due;

    assert_non_null(done);
    w->due = NULL;
    done(w->due_context, OK, NULL, 0, HOOK_HELD);
}

static void settle(struct world *w)
{
    hook_done *done = w->settled;

    w->settled = NULL;
    done(w->settled_context, OK);
}

static void run_until_settling(struct world *w)
{
    while (w->settled == NULL)
        uv_run(&w->loop, UV_RUN_ONCE);
}

static void start(struct world *w, const struct scripted_answer *script, size_t count)
{
    struct buf why;

    scripted_start(&w->server, script, count);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    buf_init(&why, 1000);
    w->queue.ops = &ops;
    w->tools = (struct target_tools){ .loop = &w->loop,
                                      .fetcher = fetcher_new(&w->loop, NULL),
                                      .queue = &w->queue,
                                      .timeout_ms = 30 * 1000,
                                      .retry_ms = 1 };
    assert_int_equal(webhook_secrets_read("secret", &w->tools.secrets, &why), OK);
    buf_deinit(&why);
    w->target = target_open(&w->tools, w->server.url);
}

/* Every answer of the script has been asked for. */
static void stop(struct world *w)
{
    target_close(w->target);
    fetcher_close(w->tools.fetcher);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    target_free(w->target);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    webhook_secrets_wipe(&w->tools.secrets);
    scripted_stop(&w->server);
}

static void what_is_replayed_while_it_is_settled_is_sent_at_once(void **state)
{
    static const struct scripted_answer script[] = { { .text = TAKEN }, { .text = TAKEN } };
    struct world w = { .due = NULL };

    (void)state;
    start(&w, script, 2);
    give(&w, 0, 0);
    run_until_settling(&w);
    assert_int_equal(w.result.state, HOOK_DELIVERED);
    assert_int_equal(w.result.round, 0);
    target_ring(w.target); /* asks, before it has heard that it is settled */
    settle(&w);
    give(&w, 1, 0);
    run_until_settling(&w);
    assert_int_equal(w.result.state, HOOK_DELIVERED);
    assert_int_equal(w.result.round, 1);
    assert_int_equal(w.result.attempts, 1);
    settle(&w);
    give_none(&w);
    stop(&w);
}

static void what_a_queue_says_of_the_moment_before_is_not_sent_again(void **state)
{
    static const struct scripted_answer script[] = { { .text = TAKEN } };
    struct world w = { .due = NULL };

    (void)state;
    start(&w, script, 1);
    give(&w, 0, 0);
    run_until_settling(&w);
    target_ring(w.target);
    settle(&w);
    give(&w, 0, 0);
    give_none(&w); /* it has asked once more, for it was rung by the settling */
    while (uv_run(&w.loop, UV_RUN_NOWAIT) > 0)
        ;
    assert_null(w.settled);
    stop(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_replayed_while_it_is_settled_is_sent_at_once),
        cmocka_unit_test(what_a_queue_says_of_the_moment_before_is_not_sent_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
