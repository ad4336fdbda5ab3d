#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

#include "proto/address.h"

struct row {
    const char *address, *purpose; /* NULL: public */
};

static void read_address(const char *text, uint8_t out[16])
{
    memset(out, 0, 16);
    if (inet_pton(AF_INET, text, out + 12) == 1) {
        out[10] = out[11] = 0xff;
        return;
    }
    assert_int_equal(inet_pton(AF_INET6, text, out), 1);
}

static void check(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t bytes[16];
        read_address(rows[i].address, bytes);
        const char *purpose = address_purpose(bytes);
        if (rows[i].purpose == NULL ? purpose != NULL
                                    : purpose == NULL || strstr(purpose, rows[i].purpose) == NULL)
            fail_msg("%s: %s", rows[i].address, purpose ? purpose : "public");
    }
}

#define CHECK(rows) check(rows, sizeof(rows) / sizeof((rows)[0]))

static void every_special_net_of_ipv4_ends_where_the_registry_says(void **state)
{
    static const struct row rows[] = {
        { "0.0.0.0", "this network" },
        { "0.255.255.255", "this network" },
        { "1.0.0.0", NULL },
        { "9.255.255.255", NULL },
        { "10.0.0.0", "private" },
        { "10.255.255.255", "private" },
        { "11.0.0.0", NULL },
        { "100.63.255.255", NULL },
        { "100.64.0.0", "shared" },
        { "100.100.100.200", "shared" },
        { "100.127.255.255", "shared" },
        { "100.128.0.0", NULL },
        { "126.255.255.255", NULL },
        { "127.0.0.0", "loopback" },
        { "127.0.0.1", "loopback" },
        { "127.255.255.255", "loopback" },
        { "128.0.0.0", NULL },
        { "168.63.129.15", NULL },
        { "168.63.129.16", "metadata" },
        { "168.63.129.17", NULL },
        { "169.253.255.255", NULL },
        { "169.254.0.0", "metadata" },
        { "169.254.169.254", "metadata" },
        { "169.254.170.2", "metadata" },
        { "169.255.0.0", NULL },
        { "172.15.255.255", NULL },
        { "172.16.0.0", "private" },
        { "172.31.255.255", "private" },
        { "172.32.0.0", NULL },
        { "191.255.255.255", NULL },
        { "192.0.0.0", "reserved" },
        { "192.0.0.192", "reserved" },
        { "192.0.1.0", NULL },
        { "192.0.2.1", "documentation" },
        { "192.0.3.0", NULL },
        { "192.88.99.1", "6to4" },
        { "192.167.255.255", NULL },
        { "192.168.0.0", "private" },
        { "192.168.255.255", "private" },
        { "192.169.0.0", NULL },
        { "198.17.255.255", NULL },
        { "198.18.0.0", "benchmarks" },
        { "198.19.255.255", "benchmarks" },
        { "198.20.0.0", NULL },
        { "198.51.100.7", "documentation" },
        { "203.0.113.255", "documentation" },
        { "203.0.114.0", NULL },
        { "223.255.255.255", NULL },
        { "224.0.0.0", "multicast" },
        { "239.255.255.255", "multicast" },
        { "240.0.0.0", "reserved" },
        { "255.255.255.254", "reserved" },
        { "255.255.255.255", "broadcast" },
        { "8.8.8.8", NULL },
    };

    (void)state;
    CHECK(rows);
}

static void every_special_net_of_ipv6_ends_where_the_registry_says(void **state)
{
    static const struct row rows[] = {
        { "::", "unspecified" },
        { "::1", "loopback" },
        { "::2", "form of old" },
        { "100::", "thrown away" },
        { "100::ffff:ffff:ffff:ffff", "thrown away" },
        { "100:0:0:1::", "not of the public internet" },
        { "1fff:ffff::", "not of the public internet" },
        { "2000::", NULL },
        { "2000:ffff::1", NULL },
        { "2001:0:4136:e378:8000:63bf:3fff:fdd2", "Teredo" },
        { "2001:1::1", "protocols" },
        { "2001:2::1", "benchmarks" },
        { "2001:10::1", "protocols" },
        { "2001:1ff:ffff::", "protocols" },
        { "2001:200::1", NULL },
        { "2001:db7:ffff::", NULL },
        { "2001:db8::1", "documentation" },
        { "2001:db9::", NULL },
        { "2002::1", "6to4" },
        { "2002:808:808::1", "6to4" },
        { "2600::5efe:808:808", "ISATAP" },
        { "2600::200:5efe:7f00:1", "ISATAP" },
        { "2600::400:5efe:7f00:1", NULL },
        { "2600::5eff:7f00:1", NULL },
        { "2003::1", NULL },
        { "2606:4700:4700::1111", NULL },
        { "2a00:1450:4001:81b::200e", NULL },
        { "3ffe:ffff::", NULL },
        { "3fff::1", "documentation" },
        { "3fff:fff:ffff::", "documentation" },
        { "3fff:1000::", NULL },
        { "4000::", "not of the public internet" },
        { "5f00::1", "segment" },
        { "fbff::", "not of the public internet" },
        { "fc00::", "private" },
        { "fd00:ec2::254", "private" },
        { "fdff:ffff::", "private" },
        { "fe00::", "not of the public internet" },
        { "fe80::1", "link-local" },
        { "febf::1", "link-local" },
        { "fec0::1", "private" },
        { "ff02::1", "multicast" },
        { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "multicast" },
    };

    (void)state;
    CHECK(rows);
}

static void an_ipv4_address_inside_of_an_ipv6_one_is_judged_or_refused(void **state)
{
    static const struct row rows[] = {
        { "::ffff:127.0.0.1", "loopback" },
        { "::ffff:169.254.169.254", "metadata" },
        { "::ffff:8.8.8.8", NULL },
        { "64:ff9b::127.0.0.1", "loopback" },
        { "64:ff9b::10.1.2.3", "private" },
        { "64:ff9b::8.8.8.8", NULL },
        { "64:ff9b::1:8.8.8.8", "not of the public internet" },
        { "64:ff9b:1::8.8.8.8", "NAT64" },
        { "64:ff9b:1:ffff::a01:203", "NAT64" },
        { "::127.0.0.1", "form of old" },
        { "::8.8.8.8", "form of old" },
        { "::ffff:0:127.0.0.1", "translator" },
        { "2002:7f00:1::", "6to4" },
        { "2002:a9fe:a9fe::1", "6to4" },
    };

    (void)state;
    CHECK(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_special_net_of_ipv4_ends_where_the_registry_says),
        cmocka_unit_test(every_special_net_of_ipv6_ends_where_the_registry_says),
        cmocka_unit_test(an_ipv4_address_inside_of_an_ipv6_one_is_judged_or_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
