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

/* A primary, its replica, and a Sentinel. `admin` is for what an administrator, or
 * somebody else, does; one server each. */
struct watched {
    struct service_owner *owner;
    struct server primary, replica, sentinel;
    struct redis *admins[3]; /* of the three */
    int admin_ups;
    char primary_port[16];
    const char *options[16];
    char url[160];
};

enum { PRIMARY, REPLICA, SENTINEL };

static void on_admin_up(void *context)
{
    ((struct watched *)context)->admin_ups++;
}

static void on_admin_down(void *context, const struct redis_down *down)
{
    (void)context;
    (void)down;
}

static const struct redis_events admin_events = { on_admin_up, on_admin_down };

static struct redis *admin_open(struct watched *t, const struct server *server, const char *login)
{
    struct redis_settings settings = owner_settings();
    struct redis *redis;
    char text[128];

    snprintf(text, sizeof(text), "redis://%s127.0.0.1:%u", login, server->port);
    struct redis_url url = url_of(text);
    redis = redis_open(&t->owner->loop, &url, &settings, &admin_events, t);
    redis_url_deinit(&url);
    WAIT_FOR(&t->owner->loop, redis_is_up(redis));
    return redis;
}

static bool tell(struct watched *t, int whom, struct service_answer *a, const char *words)
{
    struct str args[16], rest = str_of(words);
    size_t count = 0;

    memset(a, 0, sizeof(*a));
    while (rest.at != NULL && count < 16)
        args[count++] = str_cut(&rest, ' ');
    if (redis_command(t->admins[whom], args, count, 0, owner_on_answer, a) != OK)
        return false;
    WAIT_FOR(&t->owner->loop, a->count > 0);
    return a->err == OK;
}

static bool is_so(struct watched *t, int whom, const char *words, const char *part)
{
    struct service_answer a;

    return tell(t, whom, &a, words) && strstr(a.text, part) != NULL;
}

static int set_up_with(void **state, const char *password, const char *sentinel_lines)
{
    struct watched *t = mem_new(struct watched);
    char login[64] = "";

    *state = t;
    t->owner = owner_new();
    const char *options[] = {
        "--requirepass", password, "--masterauth", password, "--repl-diskless-sync-delay", "0", NULL
    };
    memcpy(t->options, options, sizeof(options));
    server_start(&t->primary, t->options);
    snprintf(t->primary_port, sizeof(t->primary_port), "127.0.0.1 %u", t->primary.port);
    server_start(&t->replica, t->options);
    if (password[0] != '\0')
        snprintf(login, sizeof(login), ":%s@", password);
    t->admins[PRIMARY] = admin_open(t, &t->primary, login);
    t->admins[REPLICA] = admin_open(t, &t->replica, login);
    struct service_answer a;
    char words[64];
    snprintf(words, sizeof(words), "REPLICAOF %s", t->primary_port);
    assert_true(tell(t, REPLICA, &a, words));
    WAIT_FOR(&t->owner->loop, is_so(t, PRIMARY, "INFO replication", "state=online"));
    sentinel_start(&t->sentinel, t->primary.port, sentinel_lines);
    t->admins[SENTINEL] =
        admin_open(t, &t->sentinel, strstr(sentinel_lines, "requirepass") != NULL ? login : "");
    WAIT_FOR(&t->owner->loop, is_so(t, SENTINEL, "INFO sentinel", "slaves=1"));
    snprintf(t->url, sizeof(t->url), "redis+sentinel://%s127.0.0.1:%u/mymaster", login,
             t->sentinel.port);
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, "", "");
}

static int set_up_password(void **state)
{
    return set_up_with(state, "secret", "sentinel auth-pass mymaster secret");
}

static int set_up_passwords(void **state)
{
    return set_up_with(state, "secret", "sentinel auth-pass mymaster secret\nrequirepass secret");
}

static int tear_down(void **state)
{
    struct watched *t = *state;

    for (int i = 0; i < 3; i++)
        redis_close(t->admins[i]);
    owner_free(t->owner);
    server_stop(&t->sentinel);
    server_stop(&t->replica);
    server_stop(&t->primary);
    mem_free(t);
    return 0;
}

static void works(struct service_owner *o, const char *mark)
{
    char words[64], expected[64];

    snprintf(words, sizeof(words), "SET k %s", mark);
    owner_insist(o, words, "OK");
    owner_expect(o, "GET k", mark);
    snprintf(words, sizeof(words), "PUBLISH c %s", mark);
    snprintf(expected, sizeof(expected), "c||%s", mark);
    owner_expect(o, words, "");
    WAIT_FOR(&o->loop, strcmp(o->push, expected) == 0);
}

static void the_primary_is_found_and_followed_when_it_dies(void **state)
{
    struct watched *t = *state;
    struct service_owner *o = t->owner;
    char url[256];

    /* The first Sentinel of the list is not there. */
    snprintf(url, sizeof(url), "redis+sentinel://127.0.0.1:%u,127.0.0.1:%u/mymaster", free_port(),
             t->sentinel.port);
    owner_open(o, url, NULL);
    assert_int_equal(redis_service_subscribe(o->service, STR("c"), REDIS_SHARD), OK);
    assert_int_equal(redis_service_subscribe(o->service, STR("p*"), REDIS_PATTERN), OK);
    WAIT_FOR(&o->loop, o->ups > 0);
    assert_false(redis_service_is_cluster(o->service));
    works(o, "before");
    o->log_len = 0;
    server_kill(&t->primary);
    WAIT_FOR(&o->loop, o->downs > 0 && o->ups > 1);
    assert_string_equal(o->log, "down 2:c 1:p* up ");
    works(o, "behind");
    assert_true(is_so(t, REPLICA, "GET k", "behind"));
    assert_int_equal(redis_service_unsubscribe(o->service, STR("p*"), REDIS_PATTERN), OK);
}

static void a_failover_by_hand_is_followed_and_the_old_primary_left_alone(void **state)
{
    struct watched *t = *state;
    struct service_owner *o = t->owner;
    struct service_answer a;

    owner_open_up(o, t->url);
    owner_subscribe(o, "c", REDIS_CHANNEL);
    works(o, "before");
    /* NOGOODSLAVE: it has yet to hear of the replica's state. */
    WAIT_FOR(&o->loop, tell(t, SENTINEL, &a, "SENTINEL FAILOVER mymaster"));
    WAIT_FOR(&o->loop, is_so(t, REPLICA, "INFO replication", "role:master"));
    WAIT_FOR(&o->loop, o->ups > 1);
    works(o, "behind");
    assert_true(is_so(t, REPLICA, "GET k", "behind"));
}

static void what_a_replica_refuses_is_sent_again(void **state)
{
    struct watched *t = *state;
    struct service_owner *o = t->owner;
    struct service_answer a, plain, script_answer = { 0 }, late;
    struct redis_script script;
    const struct str args[] = { STR("n"), STR("7") };
    char words[64];

    owner_open_up(o, t->url);
    snprintf(words, sizeof(words), "REPLICAOF 127.0.0.1 %u", t->replica.port);
    assert_true(tell(t, PRIMARY, &a, words)); /* neither is a primary now */
    redis_script_init(&script, "return redis.call('INCRBY', KEYS[1], ARGV[1])");
    assert_int_equal(owner_send(o, &plain, "SET k v"), OK);
    assert_int_equal(redis_service_run(o->service, &script, 1, args, 2, owner_on_answer,
                                       &script_answer),
                     OK);
    memset(&late, 0, sizeof(late));
    const struct str set[] = { STR("SET"), STR("k"), STR("w") };
    assert_int_equal(redis_service_command(o->service, STR("k"), set, 3, 150, owner_on_answer,
                                           &late),
                     OK);
    WAIT_FOR(&o->loop, late.count > 0); /* its time is over */
    assert_int_equal(late.err, FAIL_STATE);
    assert_memory_equal(late.text, "READONLY", 8);
    assert_int_equal(plain.count + script_answer.count, 0);
    assert_true(tell(t, PRIMARY, &a, "REPLICAOF NO ONE"));
    WAIT_FOR(&o->loop, plain.count > 0 && script_answer.count > 0);
    assert_int_equal(plain.err, OK);
    assert_int_equal(script_answer.integer, 7);
    owner_expect(o, "GET k", "v");
    assert_int_equal(o->downs, 0);
}

static void a_service_that_no_sentinel_knows_is_told(void **state)
{
    struct watched *t = *state;
    struct service_owner *o = t->owner;
    char url[128];

    snprintf(url, sizeof(url), "redis+sentinel://127.0.0.1:%u/nobody", t->sentinel.port);
    owner_open(o, url, NULL);
    WAIT_FOR(&o->loop, o->downs > 0);
    assert_int_equal(o->err, FAIL_MISSING);
    assert_non_null(strstr(o->why, "knows no such service"));
    assert_false(o->was_up);
}

static void sentinels_may_go_while_the_primary_is_there(void **state)
{
    struct watched *t = *state;
    struct service_owner *o = t->owner;

    owner_open_up(o, t->url);
    server_kill(&t->sentinel);
    owner_subscribe(o, "c", REDIS_CHANNEL);
    works(o, "without");
    WAIT_FOR(&o->loop, !redis_is_up(t->admins[SENTINEL]));
    works(o, "still");
    server_start_again(&t->sentinel);
    WAIT_FOR(&o->loop, redis_is_up(t->admins[SENTINEL]));
    server_kill(&t->primary);
    WAIT_FOR(&o->loop, o->ups > 1);
    works(o, "behind");
}

static void a_password_is_for_the_primary_and_for_a_sentinel_that_asks(void **state)
{
    struct watched *t = *state;
    struct service_owner *o = t->owner;

    owner_open_up(o, t->url);
    owner_subscribe(o, "c", REDIS_CHANNEL);
    works(o, "in");
    assert_int_equal(o->downs, 0);
}

static void it_may_be_closed_at_any_moment(void **state)
{
    struct watched *t = *state;
    struct service_owner *o = t->owner;
    struct service_answer answers[3];

    for (int turns = 0; turns < 40; turns++) { /* of the loop, until it is up */
        owner_open(o, t->url, NULL);
        for (int i = 0; i < turns; i++)
            uv_run(&o->loop, UV_RUN_NOWAIT);
        redis_service_close(o->service);
    }
    owner_open_up(o, t->url);
    for (int i = 0; i < 3; i++)
        assert_int_equal(owner_send(o, &answers[i], "GET k"), OK);
    answers[0].closes = o;
    WAIT_FOR(&o->loop, answers[2].count > 0);
    assert_int_equal(answers[2].err, FAIL_CANCELLED);
    o->service = NULL;
}

#define WITH(test, before) cmocka_unit_test_setup_teardown(test, before, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(the_primary_is_found_and_followed_when_it_dies, set_up),
        WITH(a_failover_by_hand_is_followed_and_the_old_primary_left_alone, set_up),
        WITH(what_a_replica_refuses_is_sent_again, set_up),
        WITH(a_service_that_no_sentinel_knows_is_told, set_up),
        WITH(sentinels_may_go_while_the_primary_is_there, set_up),
        WITH(a_password_is_for_the_primary_and_for_a_sentinel_that_asks, set_up_password),
        WITH(a_password_is_for_the_primary_and_for_a_sentinel_that_asks, set_up_passwords),
        WITH(it_may_be_closed_at_any_moment, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
