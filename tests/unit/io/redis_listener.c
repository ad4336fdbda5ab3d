#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/redis.h"
#include "redis_harness.h"

enum { TEXT_MAX = 256 };

/* A listener's owner and what it heard; `link` is for publishing. */
struct owner {
    uv_loop_t loop;
    struct server server;
    struct redis_listener *listener;
    struct redis *link;
    int ups, downs, was_ups, pushes, subscribeds, refusals, link_ups;
    int err;
    char why[TEXT_MAX], heard[TEXT_MAX], confirmed[TEXT_MAX], refused[TEXT_MAX];
    size_t message_len;
    bool closes_on_push, closes_on_up, closes_on_subscribed, asks_again;
    int64_t receivers; /* of the last publish */
    int published;
};

static struct redis_settings settings_of_test(void)
{
    struct redis_settings s = redis_settings_default;

    s.backoff_min_ms = 20;
    s.backoff_max_ms = 200;
    s.connect_timeout_ms = 300;
    return s;
}

static void on_up(void *context)
{
    struct owner *o = context;

    o->ups++;
    if (o->closes_on_up)
        redis_listener_close(o->listener);
}

static void on_down(void *context, const struct redis_down *down)
{
    struct owner *o = context;

    o->downs++;
    o->was_ups += down->was_up;
    o->err = down->err;
    snprintf(o->why, sizeof(o->why), "%s", down->why);
}

static void on_push(void *context, const struct redis_push *push)
{
    struct owner *o = context;

    o->pushes++;
    o->message_len = push->message.len;
    snprintf(o->heard, sizeof(o->heard), "%.*s|%.*s|%.*s", STR_ARG(push->channel),
             STR_ARG(push->pattern), STR_ARG(push->message));
    if (o->closes_on_push)
        redis_listener_close(o->listener);
}

static void on_subscribed(void *context, struct str name, enum redis_topic kind)
{
    struct owner *o = context;

    o->subscribeds++;
    snprintf(o->confirmed, sizeof(o->confirmed), "%s%.*s", kind == REDIS_PATTERN ? "p:" : "",
             STR_ARG(name));
    if (o->closes_on_subscribed)
        redis_listener_close(o->listener);
}

static void on_refused(void *context, struct str name, enum redis_topic kind, const char *why)
{
    struct owner *o = context;

    o->refusals++;
    snprintf(o->refused, sizeof(o->refused), "%s%.*s: %s", kind == REDIS_PATTERN ? "p:" : "",
             STR_ARG(name), why);
    if (o->asks_again)
        assert_int_equal(redis_listener_subscribe(o->listener, name, kind), OK);
    o->asks_again = false;
}

static const struct redis_listener_events events = { on_up,         on_down,    on_push,
                                                     on_subscribed, on_refused, NULL };

static void on_link_up(void *context)
{
    ((struct owner *)context)->link_ups++;
}

static void on_link_down(void *context, const struct redis_down *down)
{
    (void)context;
    (void)down;
}

static const struct redis_events link_events = { on_link_up, on_link_down };

static void open_with(struct owner *o, const char *text, const struct redis_settings *settings)
{
    struct redis_settings s = settings_of_test();
    struct redis_url url = url_of(text);

    o->listener = redis_listener_open(&o->loop, &url, settings ? settings : &s, &events, o);
    redis_url_deinit(&url);
}

static void open_up(struct owner *o, const struct redis_settings *settings)
{
    open_with(o, o->server.url, settings);
    WAIT_FOR(&o->loop, o->ups > 0 && redis_is_up(o->link));
}

static void on_published(void *context, int err, const struct redis_reply *reply)
{
    struct owner *o = context;

    assert_int_equal(err, OK);
    o->receivers = reply->type == REDIS_INTEGER ? reply->integer : -1;
    o->published++;
}

static void publish(struct owner *o, const char *channel, struct str message)
{
    const struct str args[] = { STR("PUBLISH"), str_of(channel), message };
    int before = o->published;

    assert_int_equal(redis_command(o->link, args, 3, 0, on_published, o), OK);
    WAIT_FOR(&o->loop, o->published > before);
}

static void expect_heard(struct owner *o, const char *channel, const char *message,
                         const char *heard)
{
    int before = o->pushes;

    publish(o, channel, str_of(message));
    WAIT_FOR(&o->loop, o->pushes > before);
    assert_string_equal(o->heard, heard);
}

static void subscribe(struct owner *o, const char *name)
{
    int before = o->subscribeds;

    assert_int_equal(redis_listener_subscribe(o->listener, str_of(name),
                                              strchr(name, '*') != NULL ? REDIS_PATTERN
                                                                        : REDIS_CHANNEL),
                     OK);
    assert_int_equal(o->subscribeds, before);
    WAIT_FOR(&o->loop, o->subscribeds > before);
}

static int set_up_with(void **state, const char *const *options)
{
    struct owner *o = mem_new(struct owner);
    struct redis_settings s = settings_of_test();
    struct redis_url url;

    assert_int_equal(uv_loop_init(&o->loop), 0);
    server_start(&o->server, options);
    url = url_of(o->server.url);
    o->link = redis_open(&o->loop, &url, &s, &link_events, o);
    redis_url_deinit(&url);
    *state = o;
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, NULL);
}

static int tear_down(void **state)
{
    struct owner *o = *state;

    if (o->listener != NULL)
        redis_listener_close(o->listener);
    redis_close(o->link);
    uv_run(&o->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&o->loop), 0);
    server_stop(&o->server);
    mem_free(o);
    return 0;
}

static void what_is_published_is_heard(void **state)
{
    struct owner *o = *state;

    open_up(o, NULL);
    subscribe(o, "jobs:1");
    assert_string_equal(o->confirmed, "jobs:1");
    expect_heard(o, "jobs:1", "hello", "jobs:1||hello");
    expect_heard(o, "jobs:1", "", "jobs:1||");
    publish(o, "jobs:2", STR("not for us"));
    assert_int_equal(o->receivers, 0);
    assert_int_equal(o->pushes, 2);
    publish(o, "jobs:1", (struct str){ "a\0\r\nb", 5 });
    WAIT_FOR(&o->loop, o->pushes > 2);
    assert_int_equal(o->message_len, 5);
}

static void a_pattern_hears_all_that_match(void **state)
{
    struct owner *o = *state;

    open_up(o, NULL);
    subscribe(o, "progress:*");
    assert_string_equal(o->confirmed, "p:progress:*");
    expect_heard(o, "progress:7", "x", "progress:7|progress:*|x");
    subscribe(o, "progress:8");
    publish(o, "progress:8", STR("y"));
    WAIT_FOR(&o->loop, o->pushes == 3); /* by its name and by the pattern */
}

static void what_is_unsubscribed_is_heard_no_more(void **state)
{
    struct owner *o = *state;

    open_up(o, NULL);
    subscribe(o, "a");
    subscribe(o, "b");
    assert_int_equal(redis_listener_subscribe(o->listener, STR("a"), REDIS_CHANNEL), FAIL_EXISTS);
    assert_int_equal(redis_listener_unsubscribe(o->listener, STR("a"), REDIS_PATTERN),
                     FAIL_MISSING);
    assert_int_equal(redis_listener_unsubscribe(o->listener, STR("a"), REDIS_CHANNEL), OK);
    assert_int_equal(redis_listener_unsubscribe(o->listener, STR("a"), REDIS_CHANNEL),
                     FAIL_MISSING);
    publish(o, "a", STR("x"));
    expect_heard(o, "b", "y", "b||y");
    assert_int_equal(o->pushes, 1);
    WAIT_FOR(&o->loop, (publish(o, "a", STR("z")), o->receivers == 0));
    subscribe(o, "a");
    expect_heard(o, "a", "w", "a||w");
}

static void changing_ones_mind_ends_with_what_was_wanted_last(void **state)
{
    struct owner *o = *state;
    struct redis_listener *l;

    open_up(o, NULL);
    l = o->listener;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(redis_listener_subscribe(l, STR("a"), REDIS_CHANNEL), OK);
        assert_int_equal(redis_listener_unsubscribe(l, STR("a"), REDIS_CHANNEL), OK);
        assert_int_equal(redis_listener_unsubscribe(l, STR("b"), REDIS_CHANNEL),
                         i == 0 ? FAIL_MISSING : OK);
        assert_int_equal(redis_listener_subscribe(l, STR("b"), REDIS_CHANNEL), OK);
    }
    WAIT_FOR(&o->loop, o->subscribeds == 1);
    assert_string_equal(o->confirmed, "b");
    WAIT_FOR(&o->loop, (publish(o, "a", STR("x")), o->receivers == 0));
    expect_heard(o, "b", "y", "b||y");
    assert_int_equal(o->pushes, 1);
    assert_int_equal(o->subscribeds, 1);
    assert_int_equal(o->downs, 0);
}

static void subscriptions_are_back_before_it_is_up_again(void **state)
{
    struct owner *o = *state;

    open_up(o, NULL);
    subscribe(o, "a");
    subscribe(o, "p*");
    assert_int_equal(redis_listener_subscribe(o->listener, STR("gone"), REDIS_CHANNEL), OK);
    server_kill(&o->server);
    WAIT_FOR(&o->loop, o->was_ups > 0 && !redis_is_up(o->link));
    assert_false(redis_listener_is_up(o->listener));
    assert_int_equal(redis_listener_unsubscribe(o->listener, STR("gone"), REDIS_CHANNEL), OK);
    assert_int_equal(redis_listener_subscribe(o->listener, STR("new"), REDIS_CHANNEL), OK);
    o->subscribeds = 0;
    server_start_again(&o->server);
    WAIT_FOR(&o->loop, o->ups == 2);
    assert_true(redis_listener_is_up(o->listener));
    assert_int_equal(o->subscribeds, 3); /* before `up` */
    WAIT_FOR(&o->loop, redis_is_up(o->link));
    publish(o, "a", STR("1"));
    assert_int_equal(o->receivers, 1);
    publish(o, "pq", STR("2"));
    assert_int_equal(o->receivers, 1);
    publish(o, "new", STR("3"));
    assert_int_equal(o->receivers, 1);
    publish(o, "gone", STR("4"));
    assert_int_equal(o->receivers, 0);
    WAIT_FOR(&o->loop, o->pushes == 3);
}

static void it_may_be_subscribed_before_it_was_ever_up(void **state)
{
    struct owner *o = *state;

    open_with(o, o->server.url, NULL);
    assert_int_equal(redis_listener_subscribe(o->listener, STR("a"), REDIS_CHANNEL), OK);
    assert_int_equal(redis_listener_subscribe(o->listener, STR("b"), REDIS_CHANNEL), OK);
    WAIT_FOR(&o->loop, o->ups == 1 && redis_is_up(o->link));
    publish(o, "a", STR("x"));
    assert_int_equal(o->receivers, 1);
    assert_int_equal(o->subscribeds, 2);
}

static void giving_up_while_it_is_restored_holds_up_nobody(void **state)
{
    struct owner *o = *state;
    char name[32];

    open_with(o, o->server.url, NULL);
    for (int i = 0; i < 20000; i++) { /* more than one backlog's worth */
        snprintf(name, sizeof(name), "job_progress:%d", i);
        assert_int_equal(redis_listener_subscribe(o->listener, str_of(name), REDIS_CHANNEL), OK);
    }
    WAIT_FOR(&o->loop, redis_is_up(o->link));
    WAIT_FOR(&o->loop, (publish(o, "job_progress:0", STR("")), o->receivers == 1));
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof(name), "job_progress:%d", i);
        assert_int_equal(redis_listener_unsubscribe(o->listener, str_of(name), REDIS_CHANNEL), OK);
    }
    WAIT_FOR(&o->loop, o->ups == 1);
    WAIT_FOR(&o->loop, (publish(o, "job_progress:0", STR("")), o->receivers == 0));
    assert_int_equal(o->downs, 0);
    subscribe(o, "last");
    expect_heard(o, "last", "x", "last||x");
}

static void many_subscriptions_are_restored_within_the_backlog(void **state)
{
    struct owner *o = *state;
    struct redis_settings s = settings_of_test();
    char name[32];

    s.out_max = 300 * 1024; /* all of it would be 1.2 MB */
    open_with(o, o->server.url, &s);
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof(name), "job_progress:%d", i);
        assert_int_equal(redis_listener_subscribe(o->listener, str_of(name), REDIS_CHANNEL), OK);
    }
    WAIT_FOR(&o->loop, o->ups == 1 && redis_is_up(o->link));
    for (int i = 0; i < 20000; i += 1999) {
        snprintf(name, sizeof(name), "job_progress:%d", i);
        publish(o, name, STR("x"));
        assert_int_equal(o->receivers, 1);
    }
    assert_int_equal(o->downs, 0);
}

static void a_stopped_redis_is_noticed_and_heard_again(void **state)
{
    struct owner *o = *state;
    struct redis_settings s = settings_of_test();

    s.silence_ms = s.pong_ms = 50;
    open_up(o, &s);
    subscribe(o, "a");
    server_signal(&o->server, SIGSTOP);
    WAIT_FOR(&o->loop, o->was_ups > 0);
    assert_int_equal(o->err, FAIL_TIMEOUT);
    server_signal(&o->server, SIGCONT);
    WAIT_FOR(&o->loop, o->ups == 2 && redis_is_up(o->link));
    expect_heard(o, "a", "still here", "a||still here");
}

static void a_network_that_swallows_everything_is_noticed(void **state)
{
    struct owner *o = *state;
    struct redis_settings s = settings_of_test();
    struct relay relay;
    char url[64];

    s.silence_ms = s.pong_ms = 50;
    relay_start(&relay, &o->loop, o->server.port);
    snprintf(url, sizeof(url), "redis://127.0.0.1:%u", relay.port);
    open_with(o, url, &s);
    WAIT_FOR(&o->loop, o->ups > 0 && redis_is_up(o->link));
    subscribe(o, "a");
    relay.is_silent = true;
    publish(o, "a", STR("lost"));
    WAIT_FOR(&o->loop, o->was_ups == 1);
    assert_int_equal(o->err, FAIL_TIMEOUT);
    assert_string_equal(o->why, "Redis does not answer");
    relay.is_silent = false;
    WAIT_FOR(&o->loop, o->ups == 2);
    expect_heard(o, "a", "found", "a||found");
    assert_int_equal(o->pushes, 1);
    redis_listener_close(o->listener);
    o->listener = NULL;
    relay_stop(&relay);
}

static void on_later(uv_timer_t *timer)
{
    timer->data = NULL;
}

static void on_later_closed(uv_handle_t *handle)
{
    handle->data = NULL;
}

static void silence_alone_is_no_reason_to_go(void **state)
{
    struct owner *o = *state;
    struct redis_settings s = settings_of_test();
    uv_timer_t timer;

    s.silence_ms = 10;
    s.pong_ms = 500;
    open_up(o, &s); /* no subscription: +PONG */
    for (int round = 0; round < 2; round++) {
        uv_timer_init(&o->loop, &timer);
        timer.data = &timer;
        uv_timer_start(&timer, on_later, 200, 0);
        WAIT_FOR(&o->loop, timer.data == NULL);
        timer.data = &timer;
        uv_close((uv_handle_t *)&timer, on_later_closed);
        WAIT_FOR(&o->loop, timer.data == NULL);
        if (round == 0)
            subscribe(o, "a"); /* ["pong", ""] */
    }
    assert_int_equal(o->downs, 0);
    expect_heard(o, "a", "x", "a||x");
}

static void a_message_beyond_the_limit_is_dropped_and_counted(void **state)
{
    struct owner *o = *state;
    struct redis_settings s = settings_of_test();
    static char big[4 * 1024 * 1024];

    s.message_max = 1000;
    open_up(o, &s);
    subscribe(o, "a");
    memset(big, 'x', sizeof(big));
    publish(o, "a", (struct str){ big, 1000 });
    publish(o, "a", (struct str){ big, 1001 });
    publish(o, "a", (struct str){ big, 100 * 1000 });
    publish(o, "a", (struct str){ big, sizeof(big) });
    expect_heard(o, "a", "small", "a||small");
    assert_int_equal(o->pushes, 2);
    assert_int_equal(redis_listener_dropped(o->listener), 3);
    assert_int_equal(o->downs, 0);
}

static void topics_have_a_limit(void **state)
{
    struct owner *o = *state;
    struct redis_settings s = settings_of_test();
    static char name[REDIS_TOPIC_MAX + 1];

    s.topics_max = 2;
    open_up(o, &s);
    memset(name, 'n', sizeof(name));
    assert_int_equal(redis_listener_subscribe(o->listener, STR(""), REDIS_CHANNEL), FAIL_LIMIT);
    assert_int_equal(redis_listener_subscribe(o->listener, (struct str){ name, sizeof(name) },
                                              true),
                     FAIL_LIMIT);
    assert_int_equal(redis_listener_subscribe(o->listener, (struct str){ name, REDIS_TOPIC_MAX },
                                              REDIS_CHANNEL),
                     OK);
    WAIT_FOR(&o->loop, o->subscribeds == 1);
    subscribe(o, "b");
    assert_int_equal(redis_listener_subscribe(o->listener, STR("c"), REDIS_CHANNEL), FAIL_LIMIT);
}

static const char *const with_users[] = { "--user", "bob",     "on", ">pw", "resetchannels",
                                          "+@all",  "&open:*", "~*", NULL };

static int set_up_users(void **state)
{
    return set_up_with(state, with_users);
}

static void a_channel_that_is_not_allowed_is_refused_and_the_rest_goes_on(void **state)
{
    struct owner *o = *state;
    char url[64];

    snprintf(url, sizeof(url), "redis://bob:pw@127.0.0.1:%u", o->server.port);
    open_with(o, url, NULL);
    assert_int_equal(redis_listener_subscribe(o->listener, STR("secret:1"), REDIS_CHANNEL), OK);
    assert_int_equal(redis_listener_subscribe(o->listener, STR("open:1"), REDIS_CHANNEL), OK);
    WAIT_FOR(&o->loop, o->ups > 0 && redis_is_up(o->link));
    assert_int_equal(o->refusals, 1);
    assert_memory_equal(o->refused, "secret:1: NOPERM", 16);
    o->asks_again = true;
    assert_int_equal(redis_listener_subscribe(o->listener, STR("sec*"), REDIS_PATTERN), OK);
    WAIT_FOR(&o->loop, o->refusals == 3); /* asked for once more within the first */
    assert_memory_equal(o->refused, "p:sec*: NOPERM", 14);
    expect_heard(o, "open:1", "x", "open:1||x");
    assert_int_equal(o->downs, 0);
}

static void it_may_be_closed_within_every_event(void **state)
{
    struct owner *o = *state;

    open_up(o, NULL);
    subscribe(o, "a");
    o->closes_on_push = true;
    expect_heard(o, "a", "x", "a||x");
    o->closes_on_subscribed = true;
    open_with(o, o->server.url, NULL);
    WAIT_FOR(&o->loop, o->ups == 2);
    assert_int_equal(redis_listener_subscribe(o->listener, STR("a"), REDIS_CHANNEL), OK);
    WAIT_FOR(&o->loop, o->subscribeds == 2);
    o->closes_on_subscribed = false;
    o->closes_on_up = true;
    open_with(o, o->server.url, NULL);
    assert_int_equal(redis_listener_subscribe(o->listener, STR("a"), REDIS_CHANNEL), OK);
    WAIT_FOR(&o->loop, o->ups == 3);
    o->listener = NULL;
    assert_int_equal(o->downs, 0);
    WAIT_FOR(&o->loop, (publish(o, "a", STR("x")), o->receivers == 0));
}

#define WITH(test, before) cmocka_unit_test_setup_teardown(test, before, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(what_is_published_is_heard, set_up),
        WITH(a_pattern_hears_all_that_match, set_up),
        WITH(what_is_unsubscribed_is_heard_no_more, set_up),
        WITH(changing_ones_mind_ends_with_what_was_wanted_last, set_up),
        WITH(subscriptions_are_back_before_it_is_up_again, set_up),
        WITH(it_may_be_subscribed_before_it_was_ever_up, set_up),
        WITH(giving_up_while_it_is_restored_holds_up_nobody, set_up),
        WITH(many_subscriptions_are_restored_within_the_backlog, set_up),
        WITH(a_stopped_redis_is_noticed_and_heard_again, set_up),
        WITH(a_network_that_swallows_everything_is_noticed, set_up),
        WITH(silence_alone_is_no_reason_to_go, set_up),
        WITH(a_message_beyond_the_limit_is_dropped_and_counted, set_up),
        WITH(topics_have_a_limit, set_up),
        WITH(a_channel_that_is_not_allowed_is_refused_and_the_rest_goes_on, set_up_users),
        WITH(it_may_be_closed_within_every_event, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
