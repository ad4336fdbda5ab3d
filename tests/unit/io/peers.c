#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "core/limits.h"
#include "io/peers.h"

static struct sockaddr_storage address(const char *text)
{
    struct sockaddr_storage a = { 0 };
    struct sockaddr_in *v4 = (struct sockaddr_in *)&a;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a;

    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        a.ss_family = AF_INET;
        return a;
    }
    assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
    a.ss_family = AF_INET6;
    return a;
}

static struct peers *table_of(uint32_t per_address)
{
    return peers_new(&(struct peers_settings){ .per_address = per_address });
}

static struct peer *entered[16384];
static size_t entered_count;

static bool enter(struct peers *p, const char *text)
{
    struct sockaddr_storage a = address(text);

    return peers_enter(p, &a, &entered[entered_count++]);
}

static void leave_all(struct peers *p)
{
    while (entered_count > 0)
        peers_leave(p, &entered[--entered_count]);
    assert_int_equal(peers_count(p), 0);
    peers_free(p);
}

static void an_address_has_so_many_and_gives_them_back(void **state)
{
    struct sockaddr_storage a = address("192.0.2.1"), b = address("192.0.2.2");
    struct peers *p = table_of(2);
    struct peer *one, *two, *three, *other;

    (void)state;
    assert_true(peers_enter(p, &a, &one));
    assert_true(peers_enter(p, &a, &two));
    assert_false(peers_enter(p, &a, &three));
    assert_null(three);
    assert_true(peers_enter(p, &b, &other));
    assert_int_equal(peers_count(p), 2);
    peers_leave(p, &one);
    assert_null(one);
    peers_leave(p, &one); /* nothing is given back twice */
    assert_true(peers_enter(p, &a, &three));
    assert_false(peers_enter(p, &a, &one));
    peers_leave(p, &two);
    peers_leave(p, &three);
    peers_leave(p, &other);
    leave_all(p);
}

static void all_of_a_64_are_one_client(void **state)
{
    struct peers *p = table_of(2);

    (void)state;
    assert_true(enter(p, "2001:db8:1:2::1"));
    assert_true(enter(p, "2001:db8:1:2:ffff:ffff:ffff:ffff"));
    assert_false(enter(p, "2001:db8:1:2:3:4:5:6"));
    assert_true(enter(p, "2001:db8:1:3::1"));
    assert_int_equal(peers_count(p), 2);
    leave_all(p);
}

static void an_ipv4_client_is_the_same_on_a_dual_stack_socket(void **state)
{
    struct peers *p = table_of(1);

    (void)state;
    assert_true(enter(p, "192.0.2.1"));
    assert_false(enter(p, "::ffff:192.0.2.1"));
    assert_true(enter(p, "::ffff:192.0.2.2"));
    leave_all(p);
}

static void by_default_others_have_a_thousand_and_this_machine_any_number(void **state)
{
    struct peers *p = table_of(0);

    (void)state;
    for (int i = 0; i < CONNECTIONS_PER_ADDRESS_MAX; i++)
        assert_true(enter(p, "203.0.113.9"));
    assert_false(enter(p, "203.0.113.9"));
    for (int i = 0; i < 2 * CONNECTIONS_PER_ADDRESS_MAX; i++) {
        assert_true(enter(p, "127.0.0.1"));
        assert_true(enter(p, "127.8.8.8"));
        assert_true(enter(p, "::1"));
        assert_true(enter(p, "::ffff:127.0.0.1"));
        assert_null(entered[entered_count - 1]);
    }
    assert_int_equal(peers_count(p), 1);
    leave_all(p);
}

static void a_number_that_was_given_holds_for_this_machine_too(void **state)
{
    static const char *const own[] = { "127.0.0.1", "127.0.0.2", "::1" };
    struct peers *p = table_of(1);

    (void)state;
    for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++) {
        assert_true(enter(p, own[i]));
        assert_false(enter(p, own[i]));
    }
    leave_all(p);
}

static void a_trusted_proxy_has_no_limit(void **state)
{
    struct network trusted[2];
    struct peers_settings settings = { 1, trusted, 2 };

    (void)state;
    assert_int_equal(network_parse("10.1.0.0/16", &trusted[0]), OK);
    assert_int_equal(network_parse("2001:db8::/33", &trusted[1]), OK);
    struct peers *p = peers_new(&settings);
    for (int i = 0; i < 10; i++) {
        assert_true(enter(p, "10.1.2.3"));
        assert_true(enter(p, "2001:db8:7fff::1"));
    }
    assert_true(enter(p, "10.2.2.3"));
    assert_false(enter(p, "10.2.2.3"));
    assert_true(enter(p, "2001:db8:8000::1"));
    assert_false(enter(p, "2001:db8:8000::1"));
    leave_all(p);
}

static void a_hundred_thousand_addresses_come_and_go(void **state)
{
    enum { MANY = 100000 };
    struct peers *p = table_of(1);
    struct peer **all = mem_zalloc(MANY * sizeof(struct peer *)), *again;
    struct sockaddr_storage a = address("198.18.0.0");
    struct sockaddr_in *v4 = (struct sockaddr_in *)&a;

    (void)state;
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < MANY; i++) {
            v4->sin_addr.s_addr = htonl(0x0b000000u + i * 256); /* low bits alike */
            assert_true(peers_enter(p, &a, &all[i]));
            assert_false(peers_enter(p, &a, &again));
        }
        assert_int_equal(peers_count(p), MANY);
        for (int i = 0; i < MANY; i++)
            peers_leave(p, &all[i]);
        assert_int_equal(peers_count(p), 0);
    }
    mem_free(all);
    peers_free(p);
}

enum { THREADS = 8, TURNS = 20000, LIMIT = 5 };
static struct peers *shared;
static atomic_int inside, most;

static void *come_and_go(void *unused)
{
    struct sockaddr_storage a = address("192.0.2.77");
    struct peer *peer;

    for (int i = 0; i < TURNS; i++) {
        if (!peers_enter(shared, &a, &peer))
            continue;
        int now = atomic_fetch_add(&inside, 1) + 1;
        for (int seen = atomic_load(&most); now > seen;)
            if (atomic_compare_exchange_weak(&most, &seen, now))
                break;
        atomic_fetch_sub(&inside, 1);
        peers_leave(shared, &peer);
    }
    return unused;
}

static void threads_never_let_in_more_together(void **state)
{
    pthread_t threads[THREADS];

    (void)state;
    shared = table_of(LIMIT);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_in_range(atomic_load(&most), 1, LIMIT);
    assert_int_equal(peers_count(shared), 0);
    peers_free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_has_so_many_and_gives_them_back),
        cmocka_unit_test(all_of_a_64_are_one_client),
        cmocka_unit_test(an_ipv4_client_is_the_same_on_a_dual_stack_socket),
        cmocka_unit_test(by_default_others_have_a_thousand_and_this_machine_any_number),
        cmocka_unit_test(a_number_that_was_given_holds_for_this_machine_too),
        cmocka_unit_test(a_trusted_proxy_has_no_limit),
        cmocka_unit_test(a_hundred_thousand_addresses_come_and_go),
        cmocka_unit_test(threads_never_let_in_more_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
