#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "io/network.h"

static bool has(const char *network, const char *address)
{
    struct network n, one;

    assert_int_equal(network_parse(network, &n), OK);
    assert_int_equal(network_parse(address, &one), OK);
    return network_has(&n, &one.first);
}

static void a_range_has_its_addresses_and_no_others(void **state)
{
    (void)state;
    assert_true(has("10.0.0.0/8", "10.255.255.255"));
    assert_false(has("10.0.0.0/8", "11.0.0.0"));
    assert_true(has("192.0.2.128/25", "192.0.2.128"));
    assert_true(has("192.0.2.200/25", "192.0.2.129")); /* any address of the range names it */
    assert_false(has("192.0.2.128/25", "192.0.2.127"));
    assert_true(has("192.0.2.1", "192.0.2.1"));
    assert_false(has("192.0.2.1", "192.0.2.0"));
    assert_true(has("192.0.2.1/32", "192.0.2.1"));
    assert_true(has("2001:db8::/32", "2001:db8:ffff::1"));
    assert_false(has("2001:db8::/32", "2001:db9::1"));
    assert_true(has("2001:db8::/127", "2001:db8::1"));
    assert_false(has("2001:db8::/127", "2001:db8::2"));
    assert_true(has("::1", "::1"));
    assert_false(has("::1", "::"));
}

static void ipv4_and_ipv6_are_kept_apart(void **state)
{
    (void)state;
    assert_true(has("0.0.0.0/0", "255.255.255.255"));
    assert_false(has("0.0.0.0/0", "::1"));
    assert_false(has("0.0.0.0/0", "2001:db8::1"));
    assert_true(has("10.0.0.0/8", "::ffff:10.1.1.1"));
    assert_false(has("::/0", "10.1.1.1"));
    assert_false(has("::/64", "10.1.1.1"));
    assert_true(has("::ffff:0:0/96", "10.1.1.1"));
    assert_true(has("::/0", "::1"));
}

static void what_is_no_range_is_refused(void **state)
{
    static const char *const wrong[] = { "",
                                         "/",
                                         "/8",
                                         "10.0.0.0/",
                                         "10.0.0.0/33",
                                         "10.0.0.0/-1",
                                         "10.0.0.0/8/8",
                                         "10.0.0/8",
                                         "10.0.0.0.0/8",
                                         "2001:db8::/129",
                                         "localhost",
                                         "10.0.0.0 /8",
                                         "[::1]",
                                         "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa/8",
                                         "0x0a000000/8" };
    struct network n;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        assert_int_equal(network_parse(wrong[i], &n), FAIL_SYNTAX);
}

static void this_machines_own_are_known(void **state)
{
    struct network n;

    (void)state;
    assert_int_equal(network_parse("127.200.0.1", &n), OK);
    assert_true(ip_is_loopback(&n.first));
    assert_true(ip_is_ipv4(&n.first));
    assert_int_equal(network_parse("::1", &n), OK);
    assert_true(ip_is_loopback(&n.first));
    assert_false(ip_is_ipv4(&n.first));
    assert_int_equal(network_parse("128.0.0.1", &n), OK);
    assert_false(ip_is_loopback(&n.first));
    assert_int_equal(network_parse("::7f00:1", &n), OK);
    assert_false(ip_is_loopback(&n.first));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_has_its_addresses_and_no_others),
        cmocka_unit_test(ipv4_and_ipv6_are_kept_apart),
        cmocka_unit_test(what_is_no_range_is_refused),
        cmocka_unit_test(this_machines_own_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
