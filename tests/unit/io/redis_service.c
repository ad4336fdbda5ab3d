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
#include "redis_service_owner.h"

/* One server. */
struct single {
    struct service_owner *owner;
    struct server server;
};

static int set_up_with(void **state, const char *const *options)
{
    struct single *one = mem_new(struct single);

    one->owner = owner_new();
    server_start(&one->server, options);
    *state = one;
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, NULL);
}

static int tear_down(void **state)
{
    struct single *one = *state;

    owner_free(one->owner);
    server_stop(&one->server);
    mem_free(one);
    return 0;
}

static void commands_and_scripts_are_answered(void **state)
{
    struct single *one = *state;
    struct service_owner *o = one->owner;
    struct redis_script script;
    struct service_answer a = { 0 };

    owner_open(o, one->server.url, NULL);
    assert_int_equal(owner_send(o, &a, "GET k"), FAIL_CLOSED);
    WAIT_FOR(&o->loop, o->ups > 0);
    assert_int_equal(o->downs, 0);
    assert_false(redis_service_is_cluster(o->service));
    owner_expect(o, "SET k v", "OK");
    owner_expect(o, "GET k", "v");
    owner_ask(o, &a, "LPUSH k x");
    assert_int_equal(a.err, FAIL_SYNTAX);
    assert_memory_equal(a.text, "WRONGTYPE", 9);
    redis_script_init(&script, "return redis.call('GET', KEYS[1]) .. ARGV[1]");
    const struct str args[] = { STR("k"), STR("!") };
    for (int i = 0; i < 2; i++) { /* not known to Redis, and known */
        memset(&a, 0, sizeof(a));
        assert_int_equal(redis_service_run(o->service, &script, 1, args, 2, owner_on_answer, &a),
                         OK);
        WAIT_FOR(&o->loop, a.count > 0);
        assert_string_equal(a.text, "v!");
    }
}

static void every_kind_of_topic_is_heard_and_keeps_its_kind(void **state)
{
    struct single *one = *state;
    struct service_owner *o = one->owner;

    owner_open_up(o, one->server.url);
    owner_subscribe(o, "c", REDIS_CHANNEL);
    owner_subscribe(o, "p*", REDIS_PATTERN);
    owner_subscribe(o, "s", REDIS_SHARD);
    assert_int_equal(redis_service_subscribe(o->service, STR("s"), REDIS_SHARD), FAIL_EXISTS);
    assert_int_equal(redis_service_subscribe(o->service, STR("s"), REDIS_CHANNEL), FAIL_EXISTS);
    assert_int_equal(redis_service_unsubscribe(o->service, STR("s"), REDIS_CHANNEL), FAIL_MISSING);
    owner_expect(o, "PUBLISH c 1", "");
    WAIT_FOR(&o->loop, strcmp(o->push, "c||1") == 0);
    owner_expect(o, "PUBLISH pq 2", "");
    WAIT_FOR(&o->loop, strcmp(o->push, "pq|p*|2") == 0);
    owner_expect(o, "PUBLISH s 3", "");
    WAIT_FOR(&o->loop, strcmp(o->push, "s||3") == 0);
    assert_int_equal(redis_service_unsubscribe(o->service, STR("s"), REDIS_SHARD), OK);
    owner_expect(o, "PUBLISH s 4", "");
    owner_expect(o, "PUBLISH c 5", "");
    WAIT_FOR(&o->loop, strcmp(o->push, "c||5") == 0);
    assert_int_equal(o->pushes, 4);
    assert_int_equal(redis_service_subscribe(o->service, STR("s"), REDIS_CHANNEL), OK);
    WAIT_FOR(&o->loop, strcmp(o->heard, "0:s") == 0);
}

static void after_a_restart_every_topic_is_heard_again_before_it_is_up(void **state)
{
    struct single *one = *state;
    struct service_owner *o = one->owner;

    owner_open(o, one->server.url, NULL);
    assert_int_equal(redis_service_subscribe(o->service, STR("early"), REDIS_SHARD), OK);
    WAIT_FOR(&o->loop, o->ups > 0);
    assert_string_equal(o->log, "2:early up ");
    owner_subscribe(o, "p*", REDIS_PATTERN);
    server_kill(&one->server);
    WAIT_FOR(&o->loop, o->downs > 0);
    assert_true(o->was_up);
    assert_int_equal(o->err, FAIL_CLOSED);
    o->log_len = 0;
    o->log[0] = '\0';
    assert_int_equal(redis_service_unsubscribe(o->service, STR("early"), REDIS_SHARD), OK);
    assert_int_equal(redis_service_subscribe(o->service, STR("late"), REDIS_CHANNEL), OK);
    server_start_again(&one->server);
    WAIT_FOR(&o->loop, o->ups == 2);
    assert_string_equal(o->log, "0:late 1:p* up ");
    assert_int_equal(o->downs, 1);
    owner_expect(o, "PUBLISH early x", "");
    owner_expect(o, "PUBLISH late y", "");
    WAIT_FOR(&o->loop, o->pushes == 1);
    assert_string_equal(o->push, "late||y");
}

static void a_server_that_is_not_there_is_told_once(void **state)
{
    struct single *one = *state;
    struct service_owner *o = one->owner;

    server_kill(&one->server);
    owner_open(o, one->server.url, NULL);
    WAIT_FOR(&o->loop, o->downs > 0);
    assert_false(o->was_up);
    server_start_again(&one->server);
    WAIT_FOR(&o->loop, o->ups > 0);
    assert_string_equal(o->log, "down up ");
}

static const char *const with_users[] = { "--user", "bob",     "on", ">pw", "resetchannels",
                                          "+@all",  "&open:*", "~*", NULL };

static int set_up_users(void **state)
{
    return set_up_with(state, with_users);
}

static void a_topic_that_is_not_allowed_is_refused_by_its_kind(void **state)
{
    struct single *one = *state;
    struct service_owner *o = one->owner;
    char url[64];

    snprintf(url, sizeof(url), "redis://bob:pw@127.0.0.1:%u", one->server.port);
    owner_open(o, url, NULL);
    assert_int_equal(redis_service_subscribe(o->service, STR("secret"), REDIS_SHARD), OK);
    assert_int_equal(redis_service_subscribe(o->service, STR("open:1"), REDIS_SHARD), OK);
    WAIT_FOR(&o->loop, o->ups > 0);
    assert_int_equal(o->refusals, 1);
    assert_memory_equal(o->refused, "2:secret: NOPERM", 16);
    assert_int_equal(redis_service_unsubscribe(o->service, STR("secret"), REDIS_SHARD),
                     FAIL_MISSING);
}

static const char *const without_cluster_command[] = {
    "--user", "bob", "on", ">pw", "+@all", "-cluster", "allchannels", "~*", NULL,
};

static int set_up_without_cluster_command(void **state)
{
    return set_up_with(state, without_cluster_command);
}

static void who_may_not_ask_for_a_cluster_has_a_server(void **state)
{
    struct single *one = *state;
    char url[64];

    snprintf(url, sizeof(url), "redis://bob:pw@127.0.0.1:%u", one->server.port);
    owner_open_up(one->owner, url);
    owner_expect(one->owner, "SET k v", "OK");
    assert_int_equal(one->owner->downs, 0);
}

static void a_unix_socket_is_a_server(void **state)
{
    struct single *one = *state;
    char url[128];

    snprintf(url, sizeof(url), "unix://%s/socket", one->server.folder);
    owner_open_up(one->owner, url);
    owner_subscribe(one->owner, "c", REDIS_SHARD);
    owner_expect(one->owner, "PUBLISH c x", "");
    WAIT_FOR(&one->owner->loop, one->owner->pushes == 1);
}

static void topics_have_a_limit(void **state)
{
    struct single *one = *state;
    struct redis_settings settings = owner_settings();
    struct service_owner *o = one->owner;
    struct redis_service *s;

    settings.topics_max = 2;
    owner_open(o, one->server.url, &settings);
    s = o->service;
    assert_int_equal(redis_service_subscribe(s, STR(""), REDIS_CHANNEL), FAIL_LIMIT);
    assert_int_equal(redis_service_subscribe(s, STR("a"), REDIS_CHANNEL), OK);
    assert_int_equal(redis_service_subscribe(s, STR("a"), REDIS_PATTERN), OK);
    assert_int_equal(redis_service_subscribe(s, STR("b"), REDIS_CHANNEL), FAIL_LIMIT);
    assert_int_equal(redis_service_unsubscribe(s, STR("a"), REDIS_PATTERN), OK);
    assert_int_equal(redis_service_subscribe(s, STR("b"), REDIS_CHANNEL), OK);
    WAIT_FOR(&o->loop, o->ups > 0);
    assert_string_equal(o->log, "0:a 0:b up ");
}

/* A cluster of one node, which does not know its own address. */
static char alone_bus[16];
static const char *const alone[] = {
    "--cluster-enabled", "yes", "--cluster-port", alone_bus, NULL,
};

static int set_up_alone(void **state)
{
    struct single *one;

    snprintf(alone_bus, sizeof(alone_bus), "%u", free_port());
    set_up_with(state, alone);
    one = *state;
    owner_open(one->owner, one->server.url, NULL);
    WAIT_FOR(&one->owner->loop, one->owner->downs > 0);
    assert_non_null(strstr(one->owner->why, "no slots yet"));
    return 0;
}

static void on_admin_up(void *context)
{
    (void)context;
}

static void on_admin_down(void *context, const struct redis_down *down)
{
    (void)context;
    (void)down;
}

static const struct redis_events admin_events = { on_admin_up, on_admin_down };

/* By who is no part of the service. */
static void administer(struct single *one, const char *words)
{
    struct redis_settings settings = owner_settings();
    struct redis_url url = url_of(one->server.url);
    struct service_answer a = { 0 };
    struct str args[4], rest = str_of(words);
    struct redis *redis;
    size_t count = 0;

    while (rest.at != NULL && count < 4)
        args[count++] = str_cut(&rest, ' ');
    redis = redis_open(&one->owner->loop, &url, &settings, &admin_events, NULL);
    redis_url_deinit(&url);
    WAIT_FOR(&one->owner->loop, redis_is_up(redis));
    assert_int_equal(redis_command(redis, args, count, 0, owner_on_answer, &a), OK);
    WAIT_FOR(&one->owner->loop, a.count > 0);
    assert_string_equal(a.text, "OK");
    redis_close(redis);
}

static void what_a_cluster_that_is_down_turns_away_is_sent_again(void **state)
{
    struct single *one = *state;
    struct service_owner *o = one->owner;
    struct service_answer a, late = { 0 };
    const struct str get[] = { STR("GET"), STR("k") };

    administer(one, "CLUSTER ADDSLOTSRANGE 0 16383");
    WAIT_FOR(&o->loop, o->ups > 0);
    assert_true(redis_service_is_cluster(o->service));
    owner_subscribe(o, "{12}s", REDIS_SHARD);
    owner_insist(o, "SET k v", "OK");
    administer(one, "CLUSTER DELSLOTSRANGE 0 9000");
    assert_int_equal(owner_send(o, &a, "GET k"), OK);
    assert_int_equal(redis_service_command(o->service, get[1], get, 2, 100, owner_on_answer, &late),
                     OK);
    WAIT_FOR(&o->loop, late.count > 0);
    assert_int_equal(late.err, FAIL_STATE);
    assert_memory_equal(late.text, "CLUSTERDOWN", 11);
    assert_int_equal(a.count, 0);
    administer(one, "CLUSTER ADDSLOTSRANGE 0 9000");
    WAIT_FOR(&o->loop, a.count > 0);
    assert_string_equal(a.text, "v");
    WAIT_FOR(&o->loop, o->heards > 1); /* it was in one of these slots */
    owner_expect(o, "SPUBLISH {12}s x", "");
    WAIT_FOR(&o->loop, o->pushes == 1);
    assert_int_equal(o->downs, 1);
}

static void what_waits_to_be_sent_again_has_a_limit_and_ends_with_the_service(void **state)
{
    struct single *one = *state;
    struct service_owner *o = one->owner;
    struct redis_settings settings = owner_settings();
    struct service_answer answers[4];

    administer(one, "CLUSTER ADDSLOTSRANGE 0 16383");
    redis_service_close(o->service);
    settings.commands_max = 3;
    owner_open(o, one->server.url, &settings);
    WAIT_FOR(&o->loop, o->ups > 0);
    owner_insist(o, "SET k v", "OK");
    administer(one, "CLUSTER DELSLOTSRANGE 0 16383");
    for (int i = 0; i < 4; i++)
        assert_int_equal(owner_send(o, &answers[i], "GET k"), i < 3 ? OK : FAIL_LIMIT);
    redis_service_close(o->service);
    o->service = NULL;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(answers[i].count, 1);
        assert_int_equal(answers[i].err, FAIL_CANCELLED);
    }
}

static void what_is_under_way_fails_once_when_it_is_closed(void **state)
{
    struct single *one = *state;
    struct service_owner *o = one->owner;
    struct service_answer answers[3];

    owner_open_up(o, one->server.url);
    for (int i = 0; i < 3; i++)
        assert_int_equal(owner_send(o, &answers[i], "GET k"), OK);
    answers[0].closes = o;
    WAIT_FOR(&o->loop, answers[2].count > 0);
    assert_int_equal(answers[0].err, OK);
    assert_int_equal(answers[1].count, 1);
    assert_int_equal(answers[2].err, FAIL_CANCELLED);
    o->service = NULL;
}

static void it_may_be_closed_within_every_event(void **state)
{
    struct single *one = *state;
    struct service_owner *o = one->owner;

    o->closes_on_up = true;
    owner_open_up(o, one->server.url);
    o->closes_on_up = false;
    o->closes_on_heard = true;
    owner_open(o, one->server.url, NULL);
    assert_int_equal(redis_service_subscribe(o->service, STR("a"), REDIS_CHANNEL), OK);
    WAIT_FOR(&o->loop, o->heards > 0);
    assert_int_equal(o->ups, 0);
    o->closes_on_heard = false;
    o->closes_on_push = true;
    owner_open_up(o, one->server.url);
    owner_subscribe(o, "a", REDIS_CHANNEL);
    owner_expect(o, "PUBLISH a x", "");
    WAIT_FOR(&o->loop, o->pushes > 0);
    o->closes_on_down = true;
    owner_open_up(o, one->server.url);
    server_kill(&one->server);
    WAIT_FOR(&o->loop, o->downs > 0);
    o->service = NULL;
}

#define WITH(test, before) cmocka_unit_test_setup_teardown(test, before, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(commands_and_scripts_are_answered, set_up),
        WITH(every_kind_of_topic_is_heard_and_keeps_its_kind, set_up),
        WITH(after_a_restart_every_topic_is_heard_again_before_it_is_up, set_up),
        WITH(a_server_that_is_not_there_is_told_once, set_up),
        WITH(a_topic_that_is_not_allowed_is_refused_by_its_kind, set_up_users),
        WITH(who_may_not_ask_for_a_cluster_has_a_server, set_up_without_cluster_command),
        WITH(a_unix_socket_is_a_server, set_up),
        WITH(topics_have_a_limit, set_up),
        WITH(what_a_cluster_that_is_down_turns_away_is_sent_again, set_up_alone),
        WITH(what_waits_to_be_sent_again_has_a_limit_and_ends_with_the_service, set_up_alone),
        WITH(what_is_under_way_fails_once_when_it_is_closed, set_up),
        WITH(it_may_be_closed_within_every_event, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
