#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/redis_slots.h"
#include "redis_service_owner.h"

enum { NODES = 6, PRIMARIES = 3, OPTIONS = 16, ID_MAX = 48, TOPICS = 30 };

/* Three primaries, each with a replica: one cluster for all the tests. */
static struct cluster {
    struct server nodes[NODES];
    char bus[NODES][16];
    const char *options[NODES][OPTIONS];
} cluster;

/* A service on it; and a link to each node, for what others do there. */
struct part {
    struct service_owner *owner;
    struct redis *admins[NODES];
    char ids[NODES][ID_MAX];
};

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

static void start_node(int i)
{
    snprintf(cluster.bus[i], sizeof(cluster.bus[i]), "%u", free_port());
    const char *options[OPTIONS] = { "--cluster-enabled",
                                     "yes",
                                     "--cluster-node-timeout",
                                     "1000",
                                     "--cluster-port",
                                     cluster.bus[i],
                                     "--repl-diskless-sync-delay",
                                     "0",
                                     "--cluster-replica-validity-factor",
                                     "0",
                                     NULL };
    memcpy(cluster.options[i], options, sizeof(options));
    server_start(&cluster.nodes[i], cluster.options[i]);
}

static void create(void)
{
    char places[NODES][48];
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid > 0) {
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        return;
    }
    for (int i = 0; i < NODES; i++)
        snprintf(places[i], sizeof(places[i]), "127.0.0.1:%u@%s", cluster.nodes[i].port,
                 cluster.bus[i]);
    if (freopen("/dev/null", "w", stdout) == NULL)
        _exit(126);
    execlp("redis-cli", "redis-cli", "--cluster", "create", places[0], places[1], places[2],
           places[3], places[4], places[5], "--cluster-replicas", "1", "--cluster-yes", NULL);
    _exit(127);
}

static int set_up_cluster(void **state)
{
    (void)state;
    for (int i = 0; i < NODES; i++)
        start_node(i);
    create();
    return 0;
}

static int tear_down_cluster(void **state)
{
    (void)state;
    for (int i = 0; i < NODES; i++)
        server_stop(&cluster.nodes[i]);
    return 0;
}

static bool tell(struct part *t, int node, struct service_answer *a, const char *words)
{
    struct str args[16], rest = str_of(words);
    size_t count = 0;

    memset(a, 0, sizeof(*a));
    while (rest.at != NULL && count < 16)
        args[count++] = str_cut(&rest, ' ');
    if (redis_command(t->admins[node], args, count, 0, owner_on_answer, a) != OK)
        return false;
    WAIT_FOR(&t->owner->loop, a->count > 0);
    return a->err == OK;
}

static void order(struct part *t, int node, const char *words)
{
    struct service_answer a;

    if (!tell(t, node, &a, words))
        fail_msg("%s: %s", words, a.text);
}

static bool is_so(struct part *t, int node, const char *words, const char *part)
{
    struct service_answer a;

    return tell(t, node, &a, words) && strstr(a.text, part) != NULL;
}

static bool is_calm(struct part *t)
{
    for (int i = 0; i < NODES; i++) {
        if (!is_so(t, i, "CLUSTER INFO", "cluster_state:ok"))
            return false;
    }
    return true;
}

/* All replicas have what their primary has: the next failover is without loss. */
static bool is_in_step(struct part *t)
{
    for (int i = 0; i < NODES; i++) {
        if (!is_so(t, i, "INFO replication", "role:master") &&
            !is_so(t, i, "INFO replication", "master_link_status:up"))
            return false;
    }
    return true;
}

static int set_up(void **state)
{
    struct part *t = mem_new(struct part);
    struct redis_settings settings = owner_settings();
    struct service_answer a;

    *state = t;
    t->owner = owner_new();
    for (int i = 0; i < NODES; i++) {
        struct redis_url url = url_of(cluster.nodes[i].url);
        t->admins[i] = redis_open(&t->owner->loop, &url, &settings, &admin_events, t);
        redis_url_deinit(&url);
    }
    for (int i = 0; i < NODES; i++) {
        WAIT_FOR(&t->owner->loop, redis_is_up(t->admins[i]));
        assert_true(tell(t, i, &a, "CLUSTER MYID"));
        snprintf(t->ids[i], sizeof(t->ids[i]), "%.47s", a.text);
    }
    WAIT_FOR(&t->owner->loop, is_calm(t) && is_in_step(t));
    return 0;
}

static int tear_down(void **state)
{
    struct part *t = *state;

    for (int i = 0; i < NODES; i++)
        redis_close(t->admins[i]);
    owner_free(t->owner);
    mem_free(t);
    return 0;
}

/* The primary that takes a key, as the nodes see it. */
static int node_of(struct part *t, const char *key)
{
    char words[64];
    struct service_answer a;

    snprintf(words, sizeof(words), "GET %s", key);
    for (int i = 0; i < NODES; i++) {
        if (tell(t, i, &a, words))
            return i;
    }
    fail_msg("nobody has %s", key);
    return -1;
}

static void set_and_get(struct service_owner *o, const char *prefix, int count)
{
    char words[64], value[16];

    for (int i = 0; i < count; i++) {
        snprintf(words, sizeof(words), "SET %s:%d %d", prefix, i, i);
        owner_expect(o, words, "OK");
        snprintf(words, sizeof(words), "GET %s:%d", prefix, i);
        snprintf(value, sizeof(value), "%d", i);
        owner_expect(o, words, value);
    }
}

static void publish_to_shard(struct service_owner *o, const char *name, const char *message)
{
    char words[64], expected[64];

    snprintf(words, sizeof(words), "SPUBLISH %s %s", name, message);
    snprintf(expected, sizeof(expected), "%s||%s", name, message);
    owner_expect(o, words, "");
    WAIT_FOR(&o->loop, strcmp(o->push, expected) == 0);
}

static bool is_pushed(struct service_owner *o, const char *words, const char *expected)
{
    owner_expect(o, words, "");
    return strcmp(o->push, expected) == 0;
}

/* Until it is heard: what was published before its topic was heard again is lost. */
static void insist_on_shards(struct service_owner *o, const char *message)
{
    char words[64], expected[64];

    for (int i = 0; i < TOPICS; i++) {
        snprintf(words, sizeof(words), "SPUBLISH s:%d %s", i, message);
        snprintf(expected, sizeof(expected), "s:%d||%s", i, message);
        WAIT_FOR(&o->loop, is_pushed(o, words, expected));
    }
}

static void publish_to_all_shards(struct service_owner *o, const char *message)
{
    char name[16];

    for (int i = 0; i < TOPICS; i++) {
        snprintf(name, sizeof(name), "s:%d", i);
        publish_to_shard(o, name, message);
    }
}

static void want_shards(struct service_owner *o)
{
    char name[16];

    for (int i = 0; i < TOPICS; i++) {
        snprintf(name, sizeof(name), "s:%d", i);
        assert_int_equal(redis_service_subscribe(o->service, str_of(name), REDIS_SHARD), OK);
    }
}

static void a_cluster_is_found_out_and_every_key_goes_where_it_is(void **state)
{
    struct part *t = *state;
    struct service_owner *o = t->owner;
    struct redis_script script;
    struct service_answer a;
    char key[16];

    owner_open_up(o, cluster.nodes[1].url);
    assert_true(redis_service_is_cluster(o->service));
    set_and_get(o, "key", 100);
    redis_script_init(&script, "return redis.call('GET', KEYS[1])");
    for (int i = 0; i < 20; i++) {
        snprintf(key, sizeof(key), "key:%d", i);
        memset(&a, 0, sizeof(a));
        assert_int_equal(redis_service_run(o->service, &script, 1, (struct str[]){ str_of(key) }, 1,
                                           owner_on_answer, &a),
                         OK);
        WAIT_FOR(&o->loop, a.count > 0);
        assert_string_equal(a.text, key + 4);
    }
    owner_ask(o, &a, "MSET {a}1 x b y");
    assert_int_equal(a.err, FAIL_UNSUPPORTED); /* CROSSSLOT */
    const struct str time[] = { STR("TIME") };
    memset(&a, 0, sizeof(a));
    assert_int_equal(redis_service_command(o->service, STR(""), time, 1, 0, owner_on_answer, &a),
                     OK);
    WAIT_FOR(&o->loop, a.count > 0);
    assert_int_equal(a.type, REDIS_ARRAY);
    assert_int_equal(o->downs, 0);
}

static void a_seed_that_is_not_there_is_passed_over(void **state)
{
    struct part *t = *state;
    char url[128];

    snprintf(url, sizeof(url), "redis://127.0.0.1:%u,127.0.0.1:%u", free_port(),
             cluster.nodes[5].port);
    owner_open(t->owner, url, NULL);
    WAIT_FOR(&t->owner->loop, t->owner->ups > 0);
    set_and_get(t->owner, "seed", 10);
}

static void several_hosts_have_to_be_a_cluster(void **state)
{
    struct part *t = *state;
    struct server server;
    char url[128];

    server_start(&server, NULL);
    snprintf(url, sizeof(url), "redis://127.0.0.1:%u,127.0.0.1:%u", server.port, server.port);
    owner_open(t->owner, url, NULL);
    WAIT_FOR(&t->owner->loop, t->owner->downs > 0);
    assert_int_equal(t->owner->err, FAIL_STATE);
    assert_non_null(strstr(t->owner->why, "is no cluster"));
    server_stop(&server);
}

static void shard_channels_are_heard_at_each_node_and_plain_ones_from_any(void **state)
{
    struct part *t = *state;
    struct service_owner *o = t->owner;
    char words[32], expected[32];

    owner_open(o, cluster.nodes[0].url, NULL);
    want_shards(o);
    assert_int_equal(redis_service_subscribe(o->service, STR("c"), REDIS_CHANNEL), OK);
    assert_int_equal(redis_service_subscribe(o->service, STR("s:1"), REDIS_CHANNEL), FAIL_EXISTS);
    WAIT_FOR(&o->loop, o->ups > 0);
    assert_int_equal(o->heards, TOPICS + 1); /* all before `up` */
    publish_to_all_shards(o, "x");
    owner_subscribe(o, "p*", REDIS_PATTERN);
    for (int i = 0; i < NODES; i++) {
        snprintf(words, sizeof(words), "PUBLISH c at%d", i);
        order(t, i, words);
        snprintf(expected, sizeof(expected), "c||at%d", i);
        WAIT_FOR(&o->loop, strcmp(o->push, expected) == 0);
        snprintf(words, sizeof(words), "PUBLISH pq at%d", i);
        order(t, i, words);
        snprintf(expected, sizeof(expected), "pq|p*|at%d", i);
        WAIT_FOR(&o->loop, strcmp(o->push, expected) == 0);
    }
    assert_int_equal(o->pushes, TOPICS + 2 * NODES);
    assert_int_equal(redis_service_unsubscribe(o->service, STR("s:1"), REDIS_SHARD), OK);
    owner_expect(o, "SPUBLISH s:1 gone", "");
    publish_to_shard(o, "s:2", "y");
    assert_int_equal(o->pushes, TOPICS + 2 * NODES + 1);
    owner_subscribe(o, "s:1", REDIS_SHARD);
    publish_to_shard(o, "s:1", "back");
    assert_int_equal(o->downs, 0);
}

static void move_begins(struct part *t, unsigned slot, int from, int to)
{
    char words[128];

    snprintf(words, sizeof(words), "CLUSTER SETSLOT %u IMPORTING %s", slot, t->ids[from]);
    order(t, to, words);
    snprintf(words, sizeof(words), "CLUSTER SETSLOT %u MIGRATING %s", slot, t->ids[to]);
    order(t, from, words);
}

static void move_ends(struct part *t, unsigned slot, int from, int to)
{
    char words[128];

    snprintf(words, sizeof(words), "CLUSTER SETSLOT %u NODE %s", slot, t->ids[to]);
    order(t, to, words);
    order(t, from, words);
}

static void a_slot_that_moves_is_followed_all_the_way(void **state)
{
    struct part *t = *state;
    struct service_owner *o = t->owner;
    unsigned slot = slot_of(STR("mv"));
    struct service_answer both, a = { 0 };
    struct redis_script script;
    char words[128];
    int from, to;

    owner_open_up(o, cluster.nodes[0].url);
    owner_subscribe(o, "{mv}topic", REDIS_SHARD);
    owner_expect(o, "SET {mv}a 1", "OK");
    from = node_of(t, "{mv}a");
    to = node_of(t, "other"); /* of another third */
    assert_int_not_equal(from, to);
    move_begins(t, slot, from, to);
    owner_expect(o, "GET {mv}a", "1");
    owner_expect(o, "SET {mv}b 2", "OK"); /* ASK */
    snprintf(words, sizeof(words), "CLUSTER COUNTKEYSINSLOT %u", slot);
    assert_true(tell(t, to, &a, words));
    assert_int_equal(a.integer, 1);
    redis_script_init(&script, "return redis.call('INCRBY', KEYS[1], ARGV[1])");
    const struct str args[] = { STR("{mv}c"), STR("5") };
    memset(&a, 0, sizeof(a));
    assert_int_equal(redis_service_run(o->service, &script, 1, args, 2, owner_on_answer, &a), OK);
    WAIT_FOR(&o->loop, a.count > 0);
    assert_int_equal(a.integer, 5);
    assert_int_equal(owner_send(o, &both, "EXISTS {mv}a {mv}b"), OK); /* TRYAGAIN */
    owner_expect(o, "GET {mv}b", "2");
    owner_expect(o, "GET {mv}b", "2");
    assert_int_equal(both.count, 0);
    snprintf(words, sizeof(words), "MIGRATE 127.0.0.1 %u {mv}a 0 5000", cluster.nodes[to].port);
    order(t, from, words);
    WAIT_FOR(&o->loop, both.count > 0);
    /* Redis 7.0 sends who asks for all keys of a slot on, once they are all there. */
    assert_int_equal(both.integer, 2);
    int heards = o->heards;
    move_ends(t, slot, from, to);
    owner_expect(o, "GET {mv}a", "1"); /* MOVED */
    WAIT_FOR(&o->loop, o->heards > heards);
    assert_string_equal(o->heard, "2:{mv}topic");
    publish_to_shard(o, "{mv}topic", "there");
    assert_int_equal(o->downs, 0);
    move_begins(t, slot, to, from); /* back, for the other tests */
    owner_expect(o, "DEL {mv}a", "");
    owner_expect(o, "DEL {mv}b", "");
    owner_expect(o, "DEL {mv}c", "");
    move_ends(t, slot, to, from);
    WAIT_FOR(&o->loop, o->heards > heards + 1);
    publish_to_shard(o, "{mv}topic", "back");
}

static void a_failover_by_hand_loses_no_command(void **state)
{
    struct part *t = *state;
    struct service_owner *o = t->owner;
    int from, to = -1;

    owner_open(o, cluster.nodes[0].url, NULL);
    want_shards(o);
    assert_int_equal(redis_service_subscribe(o->service, STR("c"), REDIS_CHANNEL), OK);
    WAIT_FOR(&o->loop, o->ups > 0);
    from = node_of(t, "f:0");
    for (int i = 0; i < NODES; i++) {
        char master[48];
        snprintf(master, sizeof(master), "master_port:%u\r", cluster.nodes[from].port);
        if (is_so(t, i, "INFO replication", master))
            to = i;
    }
    assert_int_not_equal(to, -1);
    order(t, to, "CLUSTER FAILOVER");
    for (int i = 0; !is_so(t, to, "INFO replication", "role:master"); i++)
        set_and_get(o, "f", 5);
    set_and_get(o, "f", 20);
    owner_expect(o, "GET f:0", "0");
    assert_true(is_so(t, to, "GET f:0", "0"));
    WAIT_FOR(&o->loop, is_calm(t));
    insist_on_shards(o, "x");
    assert_true(redis_service_is_up(o->service));
    publish_to_all_shards(o, "y");
}

static void a_primary_that_dies_is_replaced(void **state)
{
    struct part *t = *state;
    struct service_owner *o = t->owner;
    struct service_answer a;
    int dead = -1;

    owner_open(o, cluster.nodes[0].url, NULL);
    want_shards(o);
    assert_int_equal(redis_service_subscribe(o->service, STR("c"), REDIS_CHANNEL), OK);
    WAIT_FOR(&o->loop, o->ups > 0);
    set_and_get(o, "d", 30);
    WAIT_FOR(&o->loop, is_in_step(t));
    for (int i = 0; i < NODES; i++) { /* where plain channels are heard */
        assert_true(tell(t, i, &a, "EVAL return(redis.call('PUBSUB','NUMSUB','c')[2]) 0"));
        if (a.integer == 1)
            dead = i;
    }
    assert_int_not_equal(dead, -1);
    server_kill(&cluster.nodes[dead]);
    WAIT_FOR(&o->loop, o->downs > 0);
    assert_true(o->was_up);
    WAIT_FOR(&o->loop, o->ups > 1);
    set_and_get(o, "d", 30);
    publish_to_all_shards(o, "behind");
    order(t, (dead + 1) % NODES, "PUBLISH c behind");
    WAIT_FOR(&o->loop, strcmp(o->push, "c||behind") == 0);
    server_start_again(&cluster.nodes[dead]);
    WAIT_FOR(&o->loop, redis_is_up(t->admins[dead]));
    WAIT_FOR(&o->loop, is_so(t, dead, "INFO replication", "master_link_status:up"));
    set_and_get(o, "d", 30);
    assert_int_equal(o->downs, 1);
}

static void it_may_be_closed_at_any_moment(void **state)
{
    struct part *t = *state;
    struct service_owner *o = t->owner;
    struct service_answer answers[3];

    for (int turns = 0; turns < 60; turns++) { /* of the loop, until it is up */
        owner_open(o, cluster.nodes[0].url, NULL);
        want_shards(o);
        for (int i = 0; i < turns; i++)
            uv_run(&o->loop, UV_RUN_NOWAIT);
        redis_service_close(o->service);
    }
    owner_open_up(o, cluster.nodes[0].url);
    for (int i = 0; i < 3; i++)
        assert_int_equal(owner_send(o, &answers[i], "GET k"), OK);
    answers[0].closes = o;
    WAIT_FOR(&o->loop, answers[2].count > 0);
    assert_int_equal(answers[2].err, FAIL_CANCELLED);
    o->service = NULL;
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(a_cluster_is_found_out_and_every_key_goes_where_it_is),
        WITH(a_seed_that_is_not_there_is_passed_over),
        WITH(several_hosts_have_to_be_a_cluster),
        WITH(shard_channels_are_heard_at_each_node_and_plain_ones_from_any),
        WITH(a_slot_that_moves_is_followed_all_the_way),
        WITH(it_may_be_closed_at_any_moment),
        WITH(a_failover_by_hand_loses_no_command),
        WITH(a_primary_that_dies_is_replaced),
    };

    return cmocka_run_group_tests(tests, set_up_cluster, tear_down_cluster);
}
