#include <setjmp.h>
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
#include "redis_service_owner.h"

enum { BIG = 700 * 1000 };

/* A server that speaks TLS at `port`, and its certificates, made by a CA of their own. */
struct secure {
    struct service_owner *owner;
    struct server server;
    unsigned port;
    char folder[64], port_text[16], bus[16];
    char ca[96], ca_key[96], cert[96], key[96], other[96], other_key[96];
    const char *options[40];
    struct redis_settings settings;
};

static void run(const char *const *args)
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        if (freopen("/dev/null", "w", stderr) == NULL || freopen("/dev/null", "w", stdout) == NULL)
            _exit(126);
        execvp(args[0], (char *const *)args);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

#define NEW_KEY   "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"
#define PLAIN_KEY "-nodes", "-days", "2"

static void make_authority(const char *cert, const char *key)
{
    run((const char *[]){ NEW_KEY, PLAIN_KEY, "-subj", "/CN=a test's CA", "-keyout", key, "-out",
                          cert, NULL });
}

static void make_certificate(struct secure *t, const char *names)
{
    char extension[128];

    snprintf(extension, sizeof(extension), "subjectAltName=%s", names);
    run((const char *[]){ NEW_KEY, PLAIN_KEY, "-subj", "/CN=a test's Redis", "-CA", t->ca, "-CAkey",
                          t->ca_key, "-addext", extension, "-addext",
                          "basicConstraints=critical,CA:FALSE", "-keyout", t->key, "-out", t->cert,
                          NULL });
}

static void name_files(struct secure *t)
{
    snprintf(t->folder, sizeof(t->folder), "/tmp/reelay-tls-XXXXXX");
    assert_non_null(mkdtemp(t->folder));
    snprintf(t->ca, sizeof(t->ca), "%s/ca.pem", t->folder);
    snprintf(t->ca_key, sizeof(t->ca_key), "%s/ca.key", t->folder);
    snprintf(t->cert, sizeof(t->cert), "%s/cert.pem", t->folder);
    snprintf(t->key, sizeof(t->key), "%s/key.pem", t->folder);
    snprintf(t->other, sizeof(t->other), "%s/other.pem", t->folder);
    snprintf(t->other_key, sizeof(t->other_key), "%s/other.key", t->folder);
}

static int set_up_with(void **state, const char *names, const char *clients, const char *protocols)
{
    struct secure *t = mem_new(struct secure);

    t->owner = owner_new();
    name_files(t);
    make_authority(t->ca, t->ca_key);
    make_authority(t->other, t->other_key);
    make_certificate(t, names);
    t->port = free_port();
    snprintf(t->port_text, sizeof(t->port_text), "%u", t->port);
    const char *options[] = {
        "--tls-port",
        t->port_text,
        "--tls-cert-file",
        t->cert,
        "--tls-key-file",
        t->key,
        "--tls-ca-cert-file",
        t->ca,
        "--tls-auth-clients",
        clients,
        "--tls-protocols",
        protocols,
        NULL,
    };
    memcpy(t->options, options, sizeof(options));
    server_start(&t->server, t->options);
    t->settings = owner_settings();
    t->settings.ca_file = t->ca;
    t->settings.connect_timeout_ms = 60 * 1000; /* the system's certificates are many */
    *state = t;
    return 0;
}

/* A cluster of one node, which does not know its own address. */
static int set_up_cluster(void **state)
{
    struct secure *t;
    char port[16];

    set_up_with(state, "DNS:localhost", "no", "TLSv1.3");
    t = *state;
    server_stop(&t->server);
    snprintf(t->bus, sizeof(t->bus), "%u", free_port());
    const char *further[] = {
        "--cluster-enabled", "yes", "--cluster-port", t->bus, "--tls-cluster", "yes", NULL
    };
    size_t count = 0;
    while (t->options[count] != NULL)
        count++;
    memcpy(&t->options[count], further, sizeof(further));
    server_start(&t->server, t->options);
    snprintf(port, sizeof(port), "%u", t->server.port);
    run((const char *[]){ "redis-cli", "-p", port, "CLUSTER", "ADDSLOTSRANGE", "0", "16383",
                          NULL });
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, "DNS:localhost,IP:127.0.0.1", "no", "TLSv1.2 TLSv1.3");
}

static int set_up_old(void **state)
{
    return set_up_with(state, "DNS:localhost", "no", "TLSv1.2");
}

static int set_up_wrong_name(void **state)
{
    return set_up_with(state, "DNS:redis.example,IP:127.0.0.2", "no", "TLSv1.2 TLSv1.3");
}

static int set_up_mutual(void **state)
{
    return set_up_with(state, "DNS:localhost", "yes", "TLSv1.2 TLSv1.3");
}

static int set_up_mutual_old(void **state)
{
    return set_up_with(state, "DNS:localhost", "yes", "TLSv1.2");
}

static int tear_down(void **state)
{
    struct secure *t = *state;
    const char *const files[] = { t->ca, t->ca_key, t->cert, t->key, t->other, t->other_key };

    owner_free(t->owner);
    server_stop(&t->server);
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
        unlink(files[i]);
    assert_int_equal(rmdir(t->folder), 0);
    mem_free(t);
    return 0;
}

static void open_at(struct secure *t, const char *host, unsigned port)
{
    char url[128];

    snprintf(url, sizeof(url), "rediss://%s:%u", host, port);
    owner_open(t->owner, url, &t->settings);
}

static void expect_down(struct secure *t, int err, const char *part)
{
    WAIT_FOR(&t->owner->loop, t->owner->downs > 0);
    assert_int_equal(t->owner->ups, 0);
    assert_int_equal(t->owner->err, err);
    if (strstr(t->owner->why, part) == NULL)
        fail_msg("%s", t->owner->why);
}

static void works(struct secure *t)
{
    struct service_owner *o = t->owner;

    owner_expect(o, "SET k v", "OK");
    owner_expect(o, "GET k", "v");
    owner_subscribe(o, "c", REDIS_CHANNEL);
    owner_expect(o, "PUBLISH c hello", "");
    WAIT_FOR(&o->loop, strcmp(o->push, "c||hello") == 0);
}

static void commands_and_messages_go_through_tls(void **state)
{
    struct secure *t = *state;
    struct service_owner *o = t->owner;

    open_at(t, "localhost", t->port);
    WAIT_FOR(&o->loop, o->ups > 0);
    works(t);
    server_kill(&t->server);
    WAIT_FOR(&o->loop, o->downs > 0);
    server_start_again(&t->server);
    WAIT_FOR(&o->loop, o->ups > 1);
    owner_expect(o, "PUBLISH c again", "");
    WAIT_FOR(&o->loop, strcmp(o->push, "c||again") == 0);
}

static void an_address_is_verified_as_such(void **state)
{
    struct secure *t = *state;

    open_at(t, "127.0.0.1", t->port);
    WAIT_FOR(&t->owner->loop, t->owner->ups > 0);
    works(t);
}

static void tls_1_2_will_do(void **state)
{
    struct secure *t = *state;

    open_at(t, "localhost", t->port);
    WAIT_FOR(&t->owner->loop, t->owner->ups > 0);
    works(t);
}

static void the_nodes_of_a_cluster_are_spoken_to_by_tls(void **state)
{
    struct secure *t = *state;
    struct service_owner *o = t->owner;

    open_at(t, "localhost", t->port);
    WAIT_FOR(&o->loop, o->ups > 0);
    assert_true(redis_service_is_cluster(o->service));
    owner_insist(o, "SET k v", "OK");
    works(t);
    owner_subscribe(o, "s", REDIS_SHARD);
    owner_expect(o, "SPUBLISH s there", "");
    WAIT_FOR(&o->loop, strcmp(o->push, "s||there") == 0);
}

static void what_is_larger_than_a_record_goes_there_and_back(void **state)
{
    struct secure *t = *state;
    struct service_owner *o = t->owner;
    struct service_answer answers[8] = { { 0 } };
    char *big = mem_alloc(BIG);

    for (size_t i = 0; i < BIG; i++)
        big[i] = (char)(i * 7 + i / 251);
    const struct str set[] = { STR("SET"), STR("big"), { big, BIG } };
    const struct str ask[] = { STR("EVAL"),
                               STR("return redis.call('GET', KEYS[1]) == ARGV[1] and 1 or 0"),
                               STR("1"),
                               STR("big"),
                               { big, BIG } };
    const struct str get[] = { STR("GET"), STR("big") };
    open_at(t, "localhost", t->port);
    WAIT_FOR(&o->loop, o->ups > 0);
    for (int i = 0; i < 6; i += 3) { /* all under way at a time */
        assert_int_equal(redis_service_command(o->service, set[1], set, 3, 0, owner_on_answer,
                                               &answers[i]),
                         OK);
        assert_int_equal(redis_service_command(o->service, set[1], ask, 5, 0, owner_on_answer,
                                               &answers[i + 1]),
                         OK);
        assert_int_equal(redis_service_command(o->service, set[1], get, 2, 0, owner_on_answer,
                                               &answers[i + 2]),
                         OK);
    }
    WAIT_FOR(&o->loop, answers[5].count > 0);
    assert_int_equal(answers[1].integer, 1);
    assert_int_equal(answers[4].integer, 1);
    assert_int_equal(answers[5].len, BIG);
    assert_memory_equal(answers[5].text, big, OWNER_TEXT_MAX - 1);
    assert_int_equal(o->downs, 0);
    mem_free(big);
}

static void a_certificate_of_somebody_else_is_not_trusted(void **state)
{
    struct secure *t = *state;

    t->settings.ca_file = t->other;
    open_at(t, "localhost", t->port);
    expect_down(t, FAIL_DENIED, "certificate is not trusted");
}

static void nor_is_it_by_the_system(void **state)
{
    struct secure *t = *state;

    t->settings.ca_file = NULL;
    open_at(t, "localhost", t->port);
    expect_down(t, FAIL_DENIED, "certificate is not trusted");
}

static void a_certificate_for_another_name_is_not_trusted(void **state)
{
    struct secure *t = *state;

    open_at(t, "localhost", t->port);
    expect_down(t, FAIL_DENIED, "hostname mismatch");
}

static void a_certificate_for_another_address_is_not_trusted(void **state)
{
    struct secure *t = *state;

    open_at(t, "127.0.0.1", t->port);
    expect_down(t, FAIL_DENIED, "IP address mismatch");
}

static void who_has_to_show_a_certificate_and_does_is_let_in(void **state)
{
    struct secure *t = *state;

    t->settings.cert_file = t->cert;
    t->settings.key_file = t->key;
    open_at(t, "localhost", t->port);
    WAIT_FOR(&t->owner->loop, t->owner->ups > 0);
    works(t);
}

static void who_has_to_show_a_certificate_and_does_not_is_told(void **state)
{
    struct secure *t = *state;

    open_at(t, "localhost", t->port);
    expect_down(t, FAIL_DENIED, "TLS");
}

static void a_file_that_is_not_there_is_named(void **state)
{
    struct secure *t = *state;

    t->settings.cert_file = "/nonexistent/cert.pem";
    open_at(t, "localhost", t->port);
    expect_down(t, FAIL_IO, "/nonexistent/cert.pem");
}

static void a_server_without_tls_is_no_reason_to_go_without(void **state)
{
    struct secure *t = *state;

    t->settings.connect_timeout_ms = 200;
    open_at(t, "localhost", t->server.port);
    WAIT_FOR(&t->owner->loop, t->owner->downs > 0);
    assert_int_equal(t->owner->ups, 0);
}

static void a_handshake_has_to_end_in_time(void **state)
{
    struct secure *t = *state;
    struct relay relay;

    relay_start(&relay, &t->owner->loop, t->port);
    relay.is_silent = true;
    t->settings.connect_timeout_ms = 200;
    open_at(t, "127.0.0.1", relay.port);
    expect_down(t, FAIL_TIMEOUT, "no answer in time");
    relay.is_silent = false;
    WAIT_FOR(&t->owner->loop, t->owner->ups > 0);
    redis_service_close(t->owner->service);
    t->owner->service = NULL;
    relay_stop(&relay);
}

#define WITH(test, before) cmocka_unit_test_setup_teardown(test, before, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(commands_and_messages_go_through_tls, set_up),
        WITH(an_address_is_verified_as_such, set_up),
        WITH(tls_1_2_will_do, set_up_old),
        WITH(the_nodes_of_a_cluster_are_spoken_to_by_tls, set_up_cluster),
        WITH(what_is_larger_than_a_record_goes_there_and_back, set_up),
        WITH(a_certificate_of_somebody_else_is_not_trusted, set_up),
        WITH(nor_is_it_by_the_system, set_up),
        WITH(a_certificate_for_another_name_is_not_trusted, set_up_wrong_name),
        WITH(a_certificate_for_another_address_is_not_trusted, set_up_wrong_name),
        WITH(who_has_to_show_a_certificate_and_does_is_let_in, set_up_mutual),
        WITH(who_has_to_show_a_certificate_and_does_not_is_told, set_up_mutual),
        WITH(who_has_to_show_a_certificate_and_does_not_is_told, set_up_mutual_old),
        WITH(a_file_that_is_not_there_is_named, set_up),
        WITH(a_server_without_tls_is_no_reason_to_go_without, set_up),
        WITH(a_handshake_has_to_end_in_time, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
