#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "base/err.h"
#include "io/guard.h"

enum { LIST_MAX = 8 };

struct lists {
    const char *deny[LIST_MAX], *allow[LIST_MAX], *only[LIST_MAX];
};

static size_t count_of(const char *const *list)
{
    size_t count = 0;

    while (count < LIST_MAX && list[count] != NULL)
        count++;
    return count;
}

static struct guard *guard_of(const struct lists *lists)
{
    struct guard_rules rules = { .deny = lists->deny,
                                 .allow = lists->allow,
                                 .only = lists->only,
                                 .deny_count = count_of(lists->deny),
                                 .allow_count = count_of(lists->allow),
                                 .only_count = count_of(lists->only) };
    struct guard *g = NULL;
    struct buf why;

    buf_init(&why, 512);
    if (guard_new(&rules, &g, &why) != OK)
        fail_msg("%s", buf_text(&why));
    buf_deinit(&why);
    return g;
}

static const struct lists none;

struct url_row {
    const char *url;
    int err;
    const char *why; /* has this */
};

static void check_urls(const struct lists *lists, const struct url_row *rows, size_t count)
{
    struct guard *g = guard_of(lists);

    for (size_t i = 0; i < count; i++) {
        struct buf why;
        buf_init(&why, 1024);
        int err = guard_check_url(g, rows[i].url, &why);
        if (err != rows[i].err || (rows[i].why && !strstr(buf_text(&why), rows[i].why)))
            fail_msg("%s: %s, %s", rows[i].url, fail_name(err), buf_text(&why));
        assert_int_equal(err == OK, why.len == 0);
        buf_deinit(&why);
    }
    guard_free(g);
}

#define CHECK_URLS(lists, rows) check_urls(lists, rows, sizeof(rows) / sizeof((rows)[0]))

static void urls_of_the_public_internet_pass(void **state)
{
    static const struct url_row rows[] = {
        { "http://example.com/", OK, NULL },
        { "HTTPS://Example.COM:8443/a%20b?c=d#e", OK, NULL },
        { "https://user:secret@cdn.example.com/film.mp4", OK, NULL },
        { "http://example.com./", OK, NULL },
        { "http://xn--mnchen-3ya.de/\xc3\xa4.mp4", OK, NULL },
        { "http://8.8.8.8/", OK, NULL },
        { "http://134744072/", OK, NULL },
        { "http://[2606:4700:4700::1111]:8080/", OK, NULL },
        { "http://under_score.example.com/", OK, NULL },
        { "http://localhost.example.com/", OK, NULL },
        { "http://10.example/", OK, NULL },
    };

    (void)state;
    CHECK_URLS(&none, rows);
}

static void an_address_is_known_in_whatever_form_it_is_written(void **state)
{
    static const struct url_row rows[] = {
        { "http://127.0.0.1/", FAIL_DENIED, "127.0.0.1 is this machine" },
        { "http://127.1/", FAIL_DENIED, "127.0.0.1 is this machine" },
        { "http://127.0.1/", FAIL_DENIED, "127.0.0.1 is this machine" },
        { "http://2130706433/", FAIL_DENIED, "127.0.0.1 is this machine" },
        { "http://0x7f000001/", FAIL_DENIED, "127.0.0.1 is this machine" },
        { "http://0x7f.1/", FAIL_DENIED, "127.0.0.1 is this machine" },
        { "http://0X7F.0.0.0x1/", FAIL_DENIED, "127.0.0.1 is this machine" },
        { "http://017700000001/", FAIL_DENIED, "127.0.0.1 is this machine" },
        { "http://0177.0.0.1/", FAIL_DENIED, "127.0.0.1 is this machine" },
        { "http://127.0.0.1./", FAIL_DENIED, "127.0.0.1 is this machine" },
        { "http://127.0.0.1:3001/", FAIL_DENIED, "this machine" },
        { "http://%31%32%37.0.0.1/", FAIL_DENIED, "127.0.0.1 is this machine" },
        { "http://%31%32%37.1/", FAIL_SYNTAX, NULL },
        { "http://0/", FAIL_DENIED, "this network" },
        { "http://0.0.0.0/", FAIL_DENIED, "this network" },
        { "http://0300.0250.0.1/", FAIL_DENIED, "192.168.0.1 is a private" },
        { "http://2852039166/", FAIL_DENIED, "metadata" },
        { "http://169.254.169.254/latest/meta-data/", FAIL_DENIED, "metadata" },
        { "http://168.63.129.16/", FAIL_DENIED, "metadata" },
        { "http://[::1]/", FAIL_DENIED, "::1 is this machine" },
        { "http://[0:0:0:0:0:0:0:1]/", FAIL_DENIED, "this machine" },
        { "http://[::]/", FAIL_DENIED, "unspecified" },
        { "http://[::ffff:127.0.0.1]/", FAIL_DENIED, "127.0.0.1 is this machine" },
        { "http://[::ffff:7f00:1]/", FAIL_DENIED, "127.0.0.1 is this machine" },
        { "http://[::127.0.0.1]/", FAIL_DENIED, "form of old" },
        { "http://[64:ff9b::7f00:1]/", FAIL_DENIED, "this machine" },
        { "http://[2002:7f00:1::]/", FAIL_DENIED, "6to4" },
        { "http://[fd00:ec2::254]/", FAIL_DENIED, "private" },
        { "http://[fe80::1]/", FAIL_DENIED, "link-local" },
        { "http://[fe80::1%25eth0]/", FAIL_SYNTAX, NULL },
        { "http://[fe80::1%eth0]/", FAIL_SYNTAX, NULL },
        { "http://256.256.256.256/", FAIL_SYNTAX, NULL },
        { "http://1.2.3.4.5/", FAIL_SYNTAX, NULL },
        { "http://08.8.8.8/", FAIL_SYNTAX, NULL },
        { "http://4294967296/", FAIL_SYNTAX, NULL },
        { "http://example.0x7f/", FAIL_SYNTAX, NULL },
    };

    (void)state;
    CHECK_URLS(&none, rows);
}

static void localhost_is_this_machine_without_being_looked_up(void **state)
{
    static const struct url_row rows[] = {
        { "http://localhost/", FAIL_DENIED, "localhost, at 127.0.0.1, is this machine" },
        { "http://LOCALHOST./", FAIL_DENIED, "this machine" },
        { "http://a.b.localhost/", FAIL_DENIED, "this machine" },
    };

    (void)state;
    CHECK_URLS(&none, rows);
}

static void what_parsers_disagree_about_is_refused(void **state)
{
    static const struct url_row rows[] = {
        { "http://example.com\\@127.0.0.1/", FAIL_SYNTAX, NULL },
        { "http://127.0.0.1\\@example.com/", FAIL_SYNTAX, NULL },
        { "http:\\\\example.com/", FAIL_SYNTAX, NULL },
        { "http://example.com/a\\b", FAIL_SYNTAX, NULL },
        { "http://exa\tmple.com/", FAIL_SYNTAX, NULL },
        { "http://example.com/\r\nX: y", FAIL_SYNTAX, NULL },
        { "http://example.com/a b", FAIL_SYNTAX, NULL },
        { " http://example.com/", FAIL_SYNTAX, NULL },
        { "http://example.com/ ", FAIL_SYNTAX, NULL },
        { "http://a@b@example.com/", FAIL_SYNTAX, NULL },
        { "http://example.com:80@127.0.0.1/", FAIL_DENIED, "this machine" },
        { "http://example.com%2f@127.0.0.1/", FAIL_DENIED, "this machine" },
        { "http://example.com%23@127.0.0.1/", FAIL_DENIED, "this machine" },
        { "http://127.0.0.1#@example.com/", FAIL_DENIED, "this machine" },
        { "http://127.0.0.1?@example.com/", FAIL_DENIED, "this machine" },
        { "http://127.0.0.1:80@example.com:81@127.0.0.1/", FAIL_SYNTAX, NULL },
        { "http:///127.0.0.1/", FAIL_SYNTAX, NULL },
        { "http:/127.0.0.1/", FAIL_SYNTAX, NULL },
        { "http:127.0.0.1/", FAIL_SYNTAX, NULL },
        { "http://", FAIL_SYNTAX, NULL },
        { "http://?http://example.com/", FAIL_SYNTAX, NULL },
        { "//example.com/", FAIL_SYNTAX, NULL },
        { "example.com", FAIL_SYNTAX, NULL },
        { "", FAIL_SYNTAX, NULL },
        { "http://\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1/", FAIL_SYNTAX, "xn--" },
        { "http://127\xe3\x80\x82"
          "0\xe3\x80\x82"
          "0\xe3\x80\x82"
          "1/",
          FAIL_SYNTAX, NULL },
        { "http://m\xc3\xbcnchen.de/", FAIL_SYNTAX, "xn--" },
        { "http://localhost%00.example.com/", FAIL_SYNTAX, NULL },
        { "http://example.com%25eth0/", FAIL_SYNTAX, NULL },
        { "http://127.0.0.1%20/", FAIL_SYNTAX, NULL },
        { "http://example..com/", FAIL_SYNTAX, NULL },
        { "http://.example.com/", FAIL_SYNTAX, NULL },
        { "http://./", FAIL_SYNTAX, NULL },
        { "http://[::1/", FAIL_SYNTAX, NULL },
        { "http://[127.0.0.1]/", FAIL_SYNTAX, NULL },
        { "http://example.com:0/", FAIL_SYNTAX, "port" },
        { "http://example.com:65536/", FAIL_SYNTAX, NULL },
        { "http://example.com:80a/", FAIL_SYNTAX, NULL },
    };

    (void)state;
    CHECK_URLS(&none, rows);
}

static void only_http_and_https_are_fetched(void **state)
{
    static const struct url_row rows[] = {
        { "file:///etc/passwd", FAIL_SYNTAX, NULL },
        { "ftp://example.com/a", FAIL_SYNTAX, NULL },
        { "gopher://example.com/", FAIL_SYNTAX, NULL },
        { "dict://example.com:11211/stats", FAIL_SYNTAX, NULL },
        { "concat:http://example.com/", FAIL_SYNTAX, NULL },
        { "data://text/plain,x", FAIL_SYNTAX, NULL },
    };

    (void)state;
    CHECK_URLS(&none, rows);
}

static void deny_stands_above_all_else(void **state)
{
    static const struct lists lists = { .deny = { "bad.example", ".worse.example", "8.8.0.0/16",
                                                  "good.example:8080" },
                                        .allow = { "bad.example", "8.8.8.8" } };
    static const struct url_row rows[] = {
        { "http://bad.example/", FAIL_DENIED, "bad.example is denied here" },
        { "http://BAD.example./", FAIL_DENIED, NULL },
        { "http://not.bad.example/", OK, NULL },
        { "http://worse.example/", FAIL_DENIED, NULL },
        { "http://a.b.worse.example/", FAIL_DENIED, NULL },
        { "http://notworse.example/", OK, NULL },
        { "http://8.8.8.8/", FAIL_DENIED, NULL },
        { "http://8.9.8.8/", OK, NULL },
        { "http://[64:ff9b::8.8.8.8]/", FAIL_DENIED, "denied" },
        { "http://good.example/", OK, NULL },
        { "http://good.example:8080/", FAIL_DENIED, NULL },
    };

    (void)state;
    CHECK_URLS(&lists, rows);
}

static void a_net_of_one_family_has_nothing_of_the_other(void **state)
{
    static const struct lists denied = { .deny = { "::/0" } }, allowed = { .allow = { "::/0" } };
    static const struct url_row by_denial[] = {
        { "http://8.8.8.8/", OK, NULL },
        { "http://[2a00::1]/", FAIL_DENIED, "denied" },
    };
    static const struct url_row by_allowance[] = {
        { "http://127.0.0.1/", FAIL_DENIED, NULL },
        { "http://[::ffff:127.0.0.1]/", FAIL_DENIED, NULL },
        { "http://[::1]/", OK, NULL },
    };

    (void)state;
    CHECK_URLS(&denied, by_denial);
    CHECK_URLS(&allowed, by_allowance);
}

static void allow_opens_what_is_not_public(void **state)
{
    static const struct lists lists = { .allow = { "10.1.0.0/16", "127.0.0.1:8080", "[::1]:8080",
                                                   "[fd00::/8]", "fe80::1", "localhost:81" } };
    static const struct url_row rows[] = {
        { "http://10.1.2.3/", OK, NULL },           { "http://10.2.2.3/", FAIL_DENIED, NULL },
        { "http://127.0.0.1:8080/", OK, NULL },     { "http://127.1:8080/", OK, NULL },
        { "http://localhost:8080/", OK, NULL },     { "http://localhost:81/", OK, NULL },
        { "http://127.0.0.1/", FAIL_DENIED, NULL }, { "http://127.0.0.1:81/", FAIL_DENIED, NULL },
        { "http://[::1]:8080/", OK, NULL },         { "http://[::1]:80/", FAIL_DENIED, NULL },
        { "http://[fd12::1]/", OK, NULL },          { "http://[fe80::1]/", OK, NULL },
        { "http://[fe80::2]/", FAIL_DENIED, NULL }, { "http://example.com/", OK, NULL },
    };

    (void)state;
    CHECK_URLS(&lists, rows);
}

static void only_shuts_all_that_it_does_not_name(void **state)
{
    static const struct lists names = { .only = { ".example.com", "other.example:443" } };
    static const struct url_row by_name[] = {
        { "http://example.com/", OK, NULL },
        { "http://cdn.example.com/", OK, NULL },
        { "https://other.example/", OK, NULL },
        { "http://other.example/", FAIL_DENIED, "not among" },
        { "http://evil-example.com/", FAIL_DENIED, "not among" },
        { "http://8.8.8.8/", FAIL_DENIED, "not among" },
        { "http://10.0.0.1/", FAIL_DENIED, "not among" },
    };
    static const struct lists nets = { .only = { "8.8.8.0/24", "10.0.0.0/8" } };
    static const struct url_row by_net[] = {
        { "http://8.8.8.8/", OK, NULL },
        { "http://9.9.9.9/", FAIL_DENIED, "not among" },
        { "http://10.0.0.1/", FAIL_DENIED, "private" },
        { "http://some.example/", OK, NULL }, /* its address will tell */
    };

    (void)state;
    CHECK_URLS(&names, by_name);
    CHECK_URLS(&nets, by_net);
}

static bool admits(const struct guard *g, const char *host, const char *address, uint16_t port)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

    if (inet_pton(AF_INET, address, &v4.sin_addr) == 1)
        return guard_admits(g, host, (const struct sockaddr *)&v4);
    assert_int_equal(inet_pton(AF_INET6, address, &v6.sin6_addr), 1);
    return guard_admits(g, host, (const struct sockaddr *)&v6);
}

static void at_the_moment_of_connecting_the_address_decides(void **state)
{
    struct guard *g = guard_of(&none);
    struct sockaddr local = { .sa_family = AF_UNIX };

    (void)state;
    assert_true(admits(g, "example.com", "8.8.8.8", 80));
    assert_true(admits(g, NULL, "2606:4700:4700::1111", 80));
    assert_true(admits(g, NULL, "::ffff:8.8.8.8", 80));
    assert_false(admits(g, "example.com", "127.0.0.1", 80));
    assert_false(admits(g, "example.com", "169.254.169.254", 80));
    assert_false(admits(g, "example.com", "::1", 80));
    assert_false(admits(g, "example.com", "::ffff:10.0.0.1", 80));
    assert_false(admits(g, "example.com", "64:ff9b::a00:1", 80));
    assert_false(guard_admits(g, "example.com", &local));
    guard_free(g);
}

static void rules_of_names_hold_for_the_addresses_they_lead_to(void **state)
{
    static const struct lists lists = { .deny = { "bad.example" },
                                        .allow = { "inside.example:8080", "::ffff:10.9.9.9" },
                                        .only = { ".example", "10.9.0.0/16" } };
    struct guard *g = guard_of(&lists);

    (void)state;
    assert_true(admits(g, "inside.example", "10.0.0.1", 8080));
    assert_true(admits(g, "INSIDE.example.", "10.0.0.1", 8080));
    assert_false(admits(g, "inside.example", "10.0.0.1", 8081));
    assert_true(admits(g, "inside.example", "8.8.8.8", 80));
    assert_false(admits(g, "bad.example", "8.8.8.8", 80));
    assert_false(admits(g,
                        "\xef\xbd\x82"
                        "ad.example",
                        "8.8.8.8", 80)); /* a wide b */
    assert_false(admits(g, "elsewhere.test", "8.8.8.8", 80));
    assert_false(admits(g, NULL, "8.8.8.8", 80));
    assert_true(admits(g, NULL, "10.9.9.9", 80));
    assert_false(admits(g, NULL, "10.9.9.8", 80));
    guard_free(g);
}

static void a_rule_that_is_none_is_named(void **state)
{
    static const char *const bad[] = { "",
                                       "http://example.com",
                                       "*.example.com",
                                       "10.0.0.0/33",
                                       "10.0.0",
                                       "256.1.1.1",
                                       "a..b",
                                       "example.com:0",
                                       "example.com:65536",
                                       "example.com:",
                                       "[::1",
                                       "[::1]80",
                                       "a b",
                                       "127.1",
                                       "0x7f000001",
                                       ".",
                                       "m\xc3\xbcnchen.de",
                                       "10.0.0.0/8/8" };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const char *list[] = { "example.com", bad[i] };
        struct guard_rules rules = { .only = list, .only_count = 2 };
        struct guard *g = NULL;
        struct buf why;
        buf_init(&why, 512);
        if (guard_new(&rules, &g, &why) != FAIL_SYNTAX)
            fail_msg("\"%s\" was taken", bad[i]);
        assert_null(g);
        assert_non_null(strstr(buf_text(&why), bad[i]));
        buf_deinit(&why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_of_the_public_internet_pass),
        cmocka_unit_test(an_address_is_known_in_whatever_form_it_is_written),
        cmocka_unit_test(localhost_is_this_machine_without_being_looked_up),
        cmocka_unit_test(what_parsers_disagree_about_is_refused),
        cmocka_unit_test(only_http_and_https_are_fetched),
        cmocka_unit_test(deny_stands_above_all_else),
        cmocka_unit_test(a_net_of_one_family_has_nothing_of_the_other),
        cmocka_unit_test(allow_opens_what_is_not_public),
        cmocka_unit_test(only_shuts_all_that_it_does_not_name),
        cmocka_unit_test(at_the_moment_of_connecting_the_address_decides),
        cmocka_unit_test(rules_of_names_hold_for_the_addresses_they_lead_to),
        cmocka_unit_test(a_rule_that_is_none_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
