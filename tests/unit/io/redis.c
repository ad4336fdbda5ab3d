#include "io/redis.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "redis_harness.h"

enum { WHY_MAX = 512 };

/* An owner of a link, and what it heard. */
struct owner {
    uv_loop_t loop;
    struct server server;
    struct redis *redis;
    int ups, downs, was_ups;
    int err;
    char why[WHY_MAX];
    uint32_t retry_ms;
    bool closes_on_up, closes_on_down;
};

/* How a command ended. */
struct answer {
    int count, err;
    enum redis_type type;
    int64_t integer;
    char text[256];
    size_t len;
    struct owner *owner; /* who closes or asks again within the answer */
    bool closes;
    struct answer *again;
};

static struct redis_settings settings_of_test(void)
{
    struct redis_settings s = redis_settings_default;

    s.backoff_min_ms = 20;
    s.backoff_max_ms = 200;
    return s;
}

static void on_up(void *context)
{
    struct owner *o = context;

    o->ups++;
    if (o->closes_on_up)
        redis_close(o->redis);
}

static void on_down(void *context, const struct redis_down *down)
{
    struct owner *o = context;

    o->downs++;
    o->was_ups += down->was_up;
    o->err = down->err;
    o->retry_ms = down->retry_ms;
    snprintf(o->why, sizeof(o->why), "%s", down->why);
    if (o->closes_on_down)
        redis_close(o->redis);
}

static const struct redis_events events = { on_up, on_down };

static void on_answer(void *context, int err, const struct redis_reply *reply)
{
    struct answer *a = context;

    a->count++;
    a->err = err;
    if (reply != NULL) {
        a->type = reply->type;
        a->integer = reply->integer;
        a->len = reply->text.len;
        if (reply->text.len < sizeof(a->text) && reply->text.len > 0)
            memcpy(a->text, reply->text.at, reply->text.len + 1);
    }
    if (a->again != NULL)
        a->again->err = redis_command(a->owner->redis, (struct str[]){ STR("PING") }, 1, 0,
                                      on_answer, a->again);
    if (a->closes)
        redis_close(a->owner->redis);
}

static void open_with(struct owner *o, const char *text, const struct redis_settings *settings)
{
    struct redis_settings s = settings_of_test();
    struct redis_url url = url_of(text);

    o->redis = redis_open(&o->loop, &url, settings ? settings : &s, &events, o);
    redis_url_deinit(&url);
    assert_int_equal(o->ups + o->downs, 0);
    assert_false(redis_is_up(o->redis));
}

static void open_up(struct owner *o, const struct redis_settings *settings)
{
    open_with(o, o->server.url, settings);
    WAIT_FOR(&o->loop, o->ups > 0);
    assert_int_equal(o->downs, 0);
}

static int send_words(struct owner *o, struct answer *a, const char *words)
{
    struct str args[16], rest = str_of(words);
    size_t count = 0;

    while (rest.at != NULL && count < 16)
        args[count++] = str_cut(&rest, ' ');
    return redis_command(o->redis, args, count, 0, on_answer, a);
}

static void ask(struct owner *o, struct answer *a, const char *words)
{
    memset(a, 0, sizeof(*a));
    assert_int_equal(send_words(o, a, words), OK);
    assert_int_equal(a->count, 0);
    WAIT_FOR(&o->loop, a->count > 0);
}

static void expect_text(struct owner *o, const char *words, const char *text)
{
    struct answer a;

    ask(o, &a, words);
    assert_int_equal(a.count, 1);
    assert_string_equal(a.text, text);
}

static int set_up_with(void **state, const char *const *options)
{
    struct owner *o = mem_new(struct owner);

    assert_int_equal(uv_loop_init(&o->loop), 0);
    server_start(&o->server, options);
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

    if (o->redis != NULL)
        redis_close(o->redis);
    uv_run(&o->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&o->loop), 0);
    server_stop(&o->server);
    mem_free(o);
    return 0;
}

static void a_command_is_answered_with_its_kind_of_reply(void **state)
{
    struct owner *o = *state;
    struct answer a;

    open_up(o, NULL);
    expect_text(o, "SET k v", "OK");
    expect_text(o, "GET k", "v");
    ask(o, &a, "INCRBY n -7");
    assert_int_equal(a.type, REDIS_INTEGER);
    assert_int_equal(a.integer, -7);
    ask(o, &a, "GET none");
    assert_int_equal(a.type, REDIS_NIL);
    ask(o, &a, "LPUSH k x");
    assert_int_equal(a.type, REDIS_ERROR);
    assert_int_equal(a.err, FAIL_SYNTAX);
    assert_memory_equal(a.text, "WRONGTYPE", 9);
    ask(o, &a, "XGROUP CREATE s g $ MKSTREAM");
    ask(o, &a, "XGROUP CREATE s g $");
    assert_int_equal(a.err, FAIL_EXISTS);
    assert_int_equal(o->downs, 0);
}

static void binary_values_go_there_and_back(void **state)
{
    struct owner *o = *state;
    char bytes[256];
    struct answer a = { 0 };

    for (int i = 0; i < 256; i++)
        bytes[i] = (char)i;
    const struct str set[] = { STR("SET"), STR("a\r\n\0b"), { bytes, 255 } };
    const struct str get[] = { STR("GET"), STR("a\r\n\0b") };
    open_up(o, NULL);
    assert_int_equal(redis_command(o->redis, set, 3, 0, NULL, NULL), OK);
    assert_int_equal(redis_command(o->redis, get, 2, 0, on_answer, &a), OK);
    WAIT_FOR(&o->loop, a.count > 0);
    assert_int_equal(a.len, 255);
    assert_memory_equal(a.text, bytes, 255);
}

enum { MANY = 10000 };

static void ten_thousand_commands_are_answered_in_order(void **state)
{
    struct owner *o = *state;
    struct answer *answers = mem_zalloc(MANY * sizeof(*answers));

    open_up(o, NULL);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(send_words(o, &answers[i], "INCR n"), OK);
    WAIT_FOR(&o->loop, answers[MANY - 1].count > 0);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(answers[i].count, 1);
        assert_int_equal(answers[i].integer, i + 1);
    }
    mem_free(answers);
}

static void what_is_under_way_when_redis_dies_fails_once_and_it_comes_back(void **state)
{
    struct owner *o = *state;
    struct answer pending[3] = { { 0 } }, a = { 0 }, again = { 0 };

    open_up(o, NULL);
    expect_text(o, "SET k v", "OK");
    server_signal(&o->server, SIGSTOP);
    for (int i = 0; i < 3; i++)
        assert_int_equal(send_words(o, &pending[i], "GET k"), OK);
    pending[1].owner = o;
    pending[1].again = &again; /* while it is failing */
    server_kill(&o->server);
    WAIT_FOR(&o->loop, o->downs > 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pending[i].count, 1);
        assert_int_equal(pending[i].err, FAIL_CLOSED);
    }
    assert_int_equal(again.err, FAIL_CLOSED);
    assert_int_equal(o->was_ups, 1);
    assert_int_equal(send_words(o, &a, "GET k"), FAIL_CLOSED);
    assert_false(redis_is_up(o->redis));
    WAIT_FOR(&o->loop, o->downs > 2); /* refused */
    assert_int_equal(o->err, FAIL_CLOSED);
    assert_non_null(strstr(o->why, "127.0.0.1"));
    assert_non_null(strstr(o->why, "refused"));
    server_start_again(&o->server);
    WAIT_FOR(&o->loop, o->ups > 1);
    expect_text(o, "SET k w", "OK");
    assert_int_equal(a.count + again.count, 0);
    assert_int_equal(o->was_ups, 1);
}

static void a_server_that_comes_later_is_found(void **state)
{
    struct owner *o = *state;

    server_kill(&o->server);
    open_with(o, o->server.url, NULL);
    WAIT_FOR(&o->loop, o->downs > 0);
    assert_int_equal(o->was_ups, 0);
    server_start_again(&o->server);
    WAIT_FOR(&o->loop, o->ups > 0);
    expect_text(o, "PING", "PONG");
}

static void a_command_without_an_answer_ends_the_connection(void **state)
{
    struct owner *o = *state;
    struct redis_settings s = settings_of_test();
    struct answer first = { 0 }, second = { 0 };

    s.command_timeout_ms = 5000;
    s.connect_timeout_ms = 200;
    open_up(o, &s);
    server_signal(&o->server, SIGSTOP);
    assert_int_equal(send_words(o, &first, "GET k"), OK);
    assert_int_equal(redis_command(o->redis, (struct str[]){ STR("PING") }, 1, 100, on_answer,
                                   &second),
                     OK);
    WAIT_FOR(&o->loop, o->downs > 0);
    assert_int_equal(first.err, FAIL_CLOSED); /* it had time left */
    assert_int_equal(second.err, FAIL_TIMEOUT);
    assert_int_equal(o->err, FAIL_TIMEOUT);
    WAIT_FOR(&o->loop, o->downs > 1); /* the kernel still accepts, Redis says nothing */
    assert_int_equal(o->was_ups, 1);
    assert_int_equal(o->err, FAIL_TIMEOUT);
    assert_non_null(strstr(o->why, "no answer in time"));
    server_signal(&o->server, SIGCONT);
    WAIT_FOR(&o->loop, o->ups > 1);
    expect_text(o, "PING", "PONG");
    assert_int_equal(first.count + second.count, 2);
}

static void an_idle_link_notices_that_nothing_answers(void **state)
{
    struct owner *o = *state;
    struct redis_settings s = settings_of_test();
    char url[64];
    struct relay relay;

    s.silence_ms = s.pong_ms = 50;
    relay_start(&relay, &o->loop, o->server.port);
    snprintf(url, sizeof(url), "redis://127.0.0.1:%u", relay.port);
    open_with(o, url, &s);
    WAIT_FOR(&o->loop, o->ups > 0);
    relay.is_silent = true;
    WAIT_FOR(&o->loop, o->downs > 0);
    assert_int_equal(o->err, FAIL_TIMEOUT);
    assert_int_equal(o->was_ups, 1);
    relay.is_silent = false;
    WAIT_FOR(&o->loop, o->ups > 1);
    expect_text(o, "PING", "PONG");
    redis_close(o->redis);
    o->redis = NULL;
    relay_stop(&relay);
}

static void a_command_that_blocks_in_redis_is_given_its_time(void **state)
{
    struct owner *o = *state;
    struct redis_settings s = settings_of_test();
    struct answer a;

    s.silence_ms = s.pong_ms = 20;
    open_up(o, &s);
    ask(o, &a, "BLPOP none 0.4");
    assert_int_equal(a.err, OK);
    assert_int_equal(a.type, REDIS_NIL);
    assert_int_equal(o->downs, 0);
}

static void a_loop_that_was_held_up_reads_before_it_judges(void **state)
{
    struct owner *o = *state;
    struct redis_settings s = settings_of_test();
    struct answer a = { 0 };

    s.command_timeout_ms = 50;
    open_up(o, &s);
    assert_int_equal(send_words(o, &a, "PING"), OK);
    uint64_t until = clock_mono_ms() + 200;
    while (clock_mono_ms() < until)
        continue;
    WAIT_FOR(&o->loop, a.count > 0);
    assert_int_equal(a.err, OK);
    assert_int_equal(o->downs, 0);
}

static void too_much_under_way_is_refused_at_once(void **state)
{
    struct owner *o = *state;
    struct redis_settings s = settings_of_test();
    static char big[40 * 1024];
    struct answer answers[8] = { { 0 } };
    const struct str set[] = { STR("SET"), STR("k"), { big, sizeof(big) } };
    int sent = 0;

    s.out_max = 64 * 1024;
    s.commands_max = 5;
    open_up(o, &s);
    assert_int_equal(redis_command(o->redis, set, 3, 0, on_answer, &answers[0]), OK);
    assert_int_equal(redis_command(o->redis, set, 3, 0, on_answer, &answers[1]), FAIL_LIMIT);
    WAIT_FOR(&o->loop, answers[0].count > 0);
    assert_int_equal(answers[1].count, 0);
    memset(answers, 0, sizeof(answers));
    for (int i = 0; i < 8; i++)
        sent += send_words(o, &answers[i], "PING") == OK;
    assert_int_equal(sent, 5);
    WAIT_FOR(&o->loop, answers[4].count > 0);
    assert_int_equal(answers[5].count, 0);
    expect_text(o, "PING", "PONG");
}

static void what_redis_took_counts_until_it_is_answered(void **state)
{
    struct owner *o = *state;
    struct redis_settings s = settings_of_test();
    static char big[40 * 1024];
    struct answer answers[3] = { { 0 } };
    const struct str set[] = { STR("SET"), STR("k"), { big, sizeof(big) } };

    s.out_max = 64 * 1024;
    open_up(o, &s);
    server_signal(&o->server, SIGSTOP);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(redis_command(o->redis, set, 3, 0, on_answer, &answers[i]),
                         i < 2 ? OK : FAIL_LIMIT);
        for (int round = 0; round < 5; round++)
            uv_run(&o->loop, UV_RUN_NOWAIT); /* the kernel takes it */
    }
    server_signal(&o->server, SIGCONT);
    WAIT_FOR(&o->loop, answers[1].count > 0);
    assert_int_equal(answers[2].count, 0);
    expect_text(o, "PING", "PONG");
}

static void an_answer_beyond_the_limit_is_passed_over(void **state)
{
    struct owner *o = *state;
    struct redis_settings s = settings_of_test();
    struct answer a;

    s.reply_max = 64 * 1024;
    open_up(o, &s);
    ask(o, &a, "SETRANGE big 65535 x");
    ask(o, &a, "GET big");
    assert_int_equal(a.err, FAIL_LIMIT);
    ask(o, &a, "EVAL return{redis.call('GET','big'),1} 0");
    assert_int_equal(a.err, FAIL_LIMIT);
    ask(o, &a, "SETRANGE small 65000 x");
    ask(o, &a, "GET small");
    assert_int_equal(a.err, OK);
    assert_int_equal(a.len, 65001);
    assert_int_equal(o->downs, 0);
}

static void an_answer_may_close_the_link_and_the_rest_is_cancelled(void **state)
{
    struct owner *o = *state;
    struct answer answers[4] = { { 0 } }, again = { 0 };

    open_up(o, NULL);
    answers[1].owner = answers[2].owner = answers[3].owner = o;
    answers[3].again = &again;
    answers[1].closes = answers[2].closes = true;
    for (int i = 0; i < 4; i++)
        assert_int_equal(send_words(o, &answers[i], "PING"), OK);
    WAIT_FOR(&o->loop, answers[3].count > 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(answers[i].count, 1);
        assert_int_equal(answers[i].err, i < 2 ? OK : FAIL_CANCELLED);
    }
    assert_int_equal(again.err, FAIL_CLOSED);
    o->redis = NULL;
    uv_run(&o->loop, UV_RUN_DEFAULT);
    assert_int_equal(o->downs, 0);
}

static void a_failing_answer_may_close_the_link(void **state)
{
    struct owner *o = *state;
    struct answer answers[3] = { { 0 } };

    open_up(o, NULL);
    server_signal(&o->server, SIGSTOP);
    answers[0].owner = o;
    answers[0].closes = true;
    for (int i = 0; i < 3; i++)
        assert_int_equal(send_words(o, &answers[i], "PING"), OK);
    server_kill(&o->server);
    WAIT_FOR(&o->loop, answers[2].count > 0);
    o->redis = NULL;
    uv_run(&o->loop, UV_RUN_DEFAULT);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(answers[i].count, 1);
        assert_int_equal(answers[i].err, FAIL_CLOSED);
    }
    assert_int_equal(o->downs, 0);
}

static void an_event_may_close_the_link(void **state)
{
    struct owner *o = *state;

    o->closes_on_up = true;
    open_with(o, o->server.url, NULL);
    uv_run(&o->loop, UV_RUN_DEFAULT); /* ends as nothing is left */
    assert_int_equal(o->ups, 1);
    o->ups = 0;
    o->closes_on_up = false;
    o->closes_on_down = true;
    server_kill(&o->server);
    open_with(o, "redis://127.0.0.1:1", NULL);
    uv_run(&o->loop, UV_RUN_DEFAULT);
    assert_int_equal(o->downs, 1);
    o->redis = NULL;
}

static void a_link_may_be_closed_at_any_step(void **state)
{
    struct owner *o = *state;
    char url[64];

    snprintf(url, sizeof(url), "redis://localhost:%u", o->server.port);
    for (int steps = 0; steps < 12; steps++) {
        struct redis_settings s = settings_of_test();
        struct redis_url parsed = url_of(url);
        o->redis = redis_open(&o->loop, &parsed, &s, &events, o);
        redis_url_deinit(&parsed);
        for (int i = 0; i < steps; i++)
            uv_run(&o->loop, UV_RUN_NOWAIT);
        redis_close(o->redis);
        uv_run(&o->loop, UV_RUN_DEFAULT);
    }
    o->redis = NULL;
}

static void every_address_of_a_name_is_tried(void **state)
{
    struct owner *o = *state;
    char url[64];

    /* ::1 comes first where there is IPv6; nobody listens there. */
    snprintf(url, sizeof(url), "redis://localhost:%u/3", o->server.port);
    open_with(o, url, NULL);
    WAIT_FOR(&o->loop, o->ups > 0);
    expect_text(o, "PING", "PONG");
}

static void a_name_that_is_none_is_told(void **state)
{
    struct owner *o = *state;

    open_with(o, "redis://no-such-host.invalid", NULL);
    WAIT_FOR(&o->loop, o->downs > 0);
    assert_non_null(strstr(o->why, "no-such-host.invalid"));
    assert_int_equal(o->was_ups, 0);
}

static void the_database_and_the_name_are_set(void **state)
{
    struct owner *o = *state;
    struct redis_settings s = settings_of_test();
    char url[160];

    s.name = "reelay-test";
    snprintf(url, sizeof(url), "%s/5", o->server.url);
    open_with(o, url, &s);
    WAIT_FOR(&o->loop, o->ups > 0);
    expect_text(o, "SET k five", "OK");
    expect_text(o, "CLIENT GETNAME", "reelay-test");
    expect_text(o, "SELECT 0", "OK");
    struct answer a;
    ask(o, &a, "GET k");
    assert_int_equal(a.type, REDIS_NIL);
}

static void a_database_that_is_none_is_told(void **state)
{
    struct owner *o = *state;
    char url[160];

    snprintf(url, sizeof(url), "%s/99", o->server.url);
    open_with(o, url, NULL);
    WAIT_FOR(&o->loop, o->downs > 0);
    assert_int_equal(o->err, FAIL_DENIED);
    assert_non_null(strstr(o->why, "SELECT: ERR DB index is out of range"));
}

static void a_unix_socket_is_as_good(void **state)
{
    struct owner *o = *state;
    char url[160];

    snprintf(url, sizeof(url), "redis+unix://%s/socket?db=2", o->server.folder);
    open_with(o, url, NULL);
    WAIT_FOR(&o->loop, o->ups > 0);
    expect_text(o, "SET k v", "OK");
    server_kill(&o->server);
    /* Perhaps it was let in still, by a server that was dying already. */
    WAIT_FOR(&o->loop, strstr(o->why, "/socket: ") != NULL);
    server_start_again(&o->server);
    WAIT_FOR(&o->loop, o->ups > 1);
    expect_text(o, "PING", "PONG");
}

static const char *const with_password[] = {
    "--requirepass", "right secret", "--user", "ann", "on", ">pw", "~*", "&*", "+@all", NULL
};

static int set_up_password(void **state)
{
    return set_up_with(state, with_password);
}

static void a_password_opens_the_door(void **state)
{
    struct owner *o = *state;
    char url[160];

    snprintf(url, sizeof(url), "redis://:right%%20secret@127.0.0.1:%u", o->server.port);
    open_with(o, url, NULL);
    WAIT_FOR(&o->loop, o->ups > 0);
    expect_text(o, "ACL WHOAMI", "default");
    redis_close(o->redis);
    o->ups = 0;
    snprintf(url, sizeof(url), "redis://ann:pw@127.0.0.1:%u/1", o->server.port);
    open_with(o, url, NULL);
    WAIT_FOR(&o->loop, o->ups > 0);
    expect_text(o, "ACL WHOAMI", "ann");
}

static void a_wrong_password_is_told_and_tried_again_slowly(void **state)
{
    struct owner *o = *state;
    char url[160];

    snprintf(url, sizeof(url), "redis://ann:wrong@127.0.0.1:%u", o->server.port);
    open_with(o, url, NULL);
    for (int i = 1; i <= 3; i++) {
        WAIT_FOR(&o->loop, o->downs >= i);
        assert_int_equal(o->err, FAIL_DENIED);
        assert_non_null(strstr(o->why, "AUTH: WRONGPASS"));
        assert_null(strstr(o->why, "wrong@"));
        assert_in_range(o->retry_ms, 100, 200); /* not the 20 it would begin with */
    }
}

static void a_missing_password_is_told(void **state)
{
    struct owner *o = *state;

    open_with(o, o->server.url, NULL);
    WAIT_FOR(&o->loop, o->downs > 0);
    assert_int_equal(o->err, FAIL_DENIED);
    assert_non_null(strstr(o->why, "NOAUTH"));
}

static const char *const renamed_auth[] = { "--rename-command", "AUTH", "hidden", NULL };

static int set_up_renamed(void **state)
{
    return set_up_with(state, renamed_auth);
}

static void a_password_is_not_told_though_redis_repeats_it(void **state)
{
    struct owner *o = *state;
    char url[160];

    snprintf(url, sizeof(url), "redis://:secret@127.0.0.1:%u", o->server.port);
    open_with(o, url, NULL);
    WAIT_FOR(&o->loop, o->downs > 0);
    assert_int_equal(o->err, FAIL_DENIED);
    assert_null(strstr(o->why, "secret"));
    assert_non_null(strstr(o->why, "AUTH"));
}

static void expect_stranger(struct owner *o, const char *says, int err, const char *why)
{
    struct relay relay;
    char url[64];

    relay_start(&relay, &o->loop, 0);
    relay.says = says;
    snprintf(url, sizeof(url), "redis://127.0.0.1:%u", relay.port);
    o->ups = o->downs = 0;
    open_with(o, url, NULL);
    WAIT_FOR(&o->loop, o->downs > 1); /* it goes on trying */
    assert_int_equal(o->err, err);
    assert_non_null(strstr(o->why, why));
    assert_int_equal(o->ups + o->was_ups, 0);
    redis_close(o->redis);
    o->redis = NULL;
    relay_stop(&relay);
}

static void who_is_no_redis_or_has_no_room_is_told(void **state)
{
    struct owner *o = *state;

    expect_stranger(o, "HTTP/1.1 400 Bad Request\r\n\r\n", FAIL_SYNTAX, "no Redis");
    expect_stranger(o, "*1\r\n:1\r\n", FAIL_SYNTAX, "no Redis");
    expect_stranger(o, "-ERR max number of clients reached\r\n", FAIL_STATE, "max number");
}

static const char *const slow_to_load[] = { "--key-load-delay", "2000",
                                            "--loading-process-events-interval-bytes", "1024",
                                            NULL };

static void a_redis_that_is_loading_is_tried_again(void **state)
{
    struct owner *o = *state;
    struct answer a;
    int loading = 0, seen = 0;

    open_up(o, NULL);
    ask(o, &a, "EVAL for\ti=1,500\tdo\tredis.call('SET','key'..i,string.rep('x',100))\tend 0");
    assert_int_equal(a.err, OK);
    expect_text(o, "SAVE", "OK");
    server_kill(&o->server);
    WAIT_FOR(&o->loop, o->was_ups > 0);
    o->server.options = slow_to_load;
    server_start_again(&o->server);
    while (o->ups < 2) {
        WAIT_FOR(&o->loop, o->downs > seen || o->ups > 1);
        seen = o->downs;
        loading += o->err == FAIL_STATE && strstr(o->why, "LOADING") != NULL;
    }
    assert_true(loading > 0);
    ask(o, &a, "GET key500");
    assert_int_equal(a.len, 100);
}

static void a_script_is_sent_whole_only_when_redis_does_not_have_it(void **state)
{
    struct owner *o = *state;
    const struct str args[] = { STR("k"), STR("a\r\n") };
    struct redis_script script;
    struct answer a, runs[3] = { { 0 } };

    redis_script_init(&script, "return redis.call('APPEND', KEYS[1], ARGV[1])");
    open_up(o, NULL);
    for (int i = 0; i < 3; i++) {
        if (i == 2)
            ask(o, &a, "SCRIPT FLUSH");
        assert_int_equal(redis_script_run(o->redis, &script, 1, args, 2, on_answer, &runs[i]), OK);
        WAIT_FOR(&o->loop, runs[i].count > 0);
        assert_int_equal(runs[i].err, OK);
        assert_int_equal(runs[i].integer, 3 * (i + 1));
    }
    ask(o, &a,
        "EVAL return(string.match(redis.call('INFO','commandstats'),'cmdstat_eval:calls=(%d+)')) "
        "0");
    assert_string_equal(a.text, "2"); /* and this one is not counted yet */
}

static void a_script_under_way_fails_once_when_redis_dies(void **state)
{
    struct owner *o = *state;
    struct redis_script script;
    struct answer a = { 0 };

    redis_script_init(&script, "return 1");
    open_up(o, NULL);
    server_signal(&o->server, SIGSTOP);
    assert_int_equal(redis_script_run(o->redis, &script, 0, NULL, 0, on_answer, &a), OK);
    server_kill(&o->server);
    WAIT_FOR(&o->loop, a.count > 0);
    assert_int_equal(a.err, FAIL_CLOSED);
    assert_int_equal(redis_script_run(o->redis, &script, 0, NULL, 0, on_answer, &a), FAIL_CLOSED);
    assert_int_equal(a.count, 1);
}

static void a_replica_without_its_master_refuses_by_name(void **state)
{
    struct owner *o = *state;
    struct answer a;

    open_up(o, NULL);
    ask(o, &a, "REPLICAOF 127.0.0.1 1");
    ask(o, &a, "SET k v");
    assert_int_equal(a.err, FAIL_STATE);
    assert_memory_equal(a.text, "READONLY", 8);
}

#define WITH(test, before) cmocka_unit_test_setup_teardown(test, before, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(a_command_is_answered_with_its_kind_of_reply, set_up),
        WITH(binary_values_go_there_and_back, set_up),
        WITH(ten_thousand_commands_are_answered_in_order, set_up),
        WITH(what_is_under_way_when_redis_dies_fails_once_and_it_comes_back, set_up),
        WITH(a_server_that_comes_later_is_found, set_up),
        WITH(a_command_without_an_answer_ends_the_connection, set_up),
        WITH(an_idle_link_notices_that_nothing_answers, set_up),
        WITH(a_command_that_blocks_in_redis_is_given_its_time, set_up),
        WITH(a_loop_that_was_held_up_reads_before_it_judges, set_up),
        WITH(too_much_under_way_is_refused_at_once, set_up),
        WITH(what_redis_took_counts_until_it_is_answered, set_up),
        WITH(an_answer_beyond_the_limit_is_passed_over, set_up),
        WITH(an_answer_may_close_the_link_and_the_rest_is_cancelled, set_up),
        WITH(a_failing_answer_may_close_the_link, set_up),
        WITH(an_event_may_close_the_link, set_up),
        WITH(a_link_may_be_closed_at_any_step, set_up),
        WITH(every_address_of_a_name_is_tried, set_up),
        WITH(a_name_that_is_none_is_told, set_up),
        WITH(the_database_and_the_name_are_set, set_up),
        WITH(a_database_that_is_none_is_told, set_up),
        WITH(a_unix_socket_is_as_good, set_up),
        WITH(a_password_opens_the_door, set_up_password),
        WITH(a_wrong_password_is_told_and_tried_again_slowly, set_up_password),
        WITH(a_missing_password_is_told, set_up_password),
        WITH(a_password_is_not_told_though_redis_repeats_it, set_up_renamed),
        WITH(who_is_no_redis_or_has_no_room_is_told, set_up),
        WITH(a_redis_that_is_loading_is_tried_again, set_up),
        WITH(a_script_is_sent_whole_only_when_redis_does_not_have_it, set_up),
        WITH(a_script_under_way_fails_once_when_redis_dies, set_up),
        WITH(a_replica_without_its_master_refuses_by_name, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
