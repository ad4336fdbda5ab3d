#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "io/redis_slots.h"

/* As `CLUSTER KEYSLOT` of Redis 7.0 says. */
static void a_key_is_in_the_slot_that_redis_says(void **state)
{
    (void)state;
    assert_int_equal(slot_of(STR("123456789")), 0x31c3);
    assert_int_equal(slot_of(STR("")), 0);
    assert_int_equal(slot_of(STR("foo")), 12182);
    assert_int_equal(slot_of(STR("\0\xff")), 7920);
}

static void the_first_tag_in_braces_decides_unless_it_is_empty(void **state)
{
    (void)state;
    assert_int_equal(slot_of(STR("{foo}.a")), slot_of(STR("foo")));
    assert_int_equal(slot_of(STR("a{foo}{bar}")), slot_of(STR("foo")));
    assert_int_equal(slot_of(STR("a{{foo}}b")), slot_of(STR("{foo")));
    assert_int_equal(slot_of(STR("{}foo")), 9500);
    assert_int_equal(slot_of(STR("{foo")), 13308);
    assert_int_not_equal(slot_of(STR("{}foo")), slot_of(STR("foo")));
}

static void expect_redirect(const char *text, bool is_ask, unsigned slot, const char *host,
                            uint16_t port)
{
    struct slot_redirect r;

    assert_true(slot_redirect_read(str_of(text), &r));
    assert_int_equal(r.is_ask, is_ask);
    assert_int_equal(r.slot, slot);
    assert_true(str_equal(r.host, str_of(host)));
    assert_int_equal(r.port, port);
}

static void a_redirection_says_where_to(void **state)
{
    static const char *const wrong[] = {
        "",
        "MOVED",
        "MOVED 1",
        "MOVED 1 h",
        "MOVED 16384 h:1",
        "ASK x h:1",
        "MOVED 1 h:65536",
        "MOVED 1 h:",
        "MOVED 1 h:0",
        "MOVED -1 h:1",
        "ERR x",
        "TRYAGAIN Multiple keys request during rehashing of slot",
    };
    struct slot_redirect r = { .port = 7 };

    (void)state;
    expect_redirect("MOVED 3999 127.0.0.1:6381", false, 3999, "127.0.0.1", 6381);
    expect_redirect("ASK 16383 ::1:7000", true, 16383, "::1", 7000);
    expect_redirect("MOVED 0 :7000", false, 0, "", 7000);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        if (slot_redirect_read(str_of(wrong[i]), &r))
            fail_msg("taken: %s", wrong[i]);
    assert_int_equal(r.port, 7);
}

static void note(void *context, const struct slot_range *range)
{
    char *text = context;
    size_t len = strlen(text);

    snprintf(text + len, 256 - len, "%u-%u %s%.*s:%u;", range->first, range->last,
             range->is_primary ? "" : "replica ", STR_ARG(range->host), range->port);
}

/* What `bytes` of RESP mean as an answer to CLUSTER SLOTS; "" if they mean nothing. */
static bool read_slots(const char *bytes, char *text)
{
    struct redis_reader *reader = redis_reader_new(1 << 20);
    struct redis_reply *reply;
    struct buf why;
    size_t used;
    bool is_cut;

    buf_init(&why, 256);
    text[0] = '\0';
    assert_int_equal(redis_reader_feed(reader, bytes, strlen(bytes), &used, &reply, &is_cut, &why),
                     OK);
    assert_non_null(reply);
    bool is_valid = slots_read(reply, note, text);
    redis_reply_free(reply);
    redis_reader_free(reader);
    buf_deinit(&why);
    return is_valid;
}

#define NODE(host, port) "*3\r\n" host ":" port "\r\n$1\r\nx\r\n"

static void an_answer_to_cluster_slots_says_who_has_what(void **state)
{
    char text[256];

    (void)state;
    assert_true(
        read_slots("*2\r\n"
                   "*4\r\n:0\r\n:99\r\n" NODE("$1\r\na\r\n", "1")
                       NODE("$1\r\nb\r\n", "2") "*3\r\n:100\r\n:16383\r\n" NODE("$-1\r\n", "3"),
                   text));
    assert_string_equal(text, "0-99 a:1;0-99 replica b:2;100-16383 :3;");
    assert_true(read_slots("*1\r\n*4\r\n:0\r\n:1\r\n" NODE("$1\r\n?\r\n", "1")
                               NODE("$0\r\n\r\n", "2"),
                           text));
    assert_string_equal(text, "0-1 replica :2;");
    assert_true(read_slots("*0\r\n", text));
}

static void an_answer_that_makes_no_sense_is_refused(void **state)
{
    static const char *const wrong[] = {
        "+OK\r\n",
        "*1\r\n:1\r\n",
        "*1\r\n*2\r\n:0\r\n:1\r\n",
        "*1\r\n*3\r\n:5\r\n:4\r\n" NODE("$1\r\na\r\n", "1"),
        "*1\r\n*3\r\n:-1\r\n:4\r\n" NODE("$1\r\na\r\n", "1"),
        "*1\r\n*3\r\n:0\r\n:16384\r\n" NODE("$1\r\na\r\n", "1"),
        "*1\r\n*3\r\n:0\r\n:1\r\n" NODE("$1\r\na\r\n", "65536"),
        "*1\r\n*3\r\n:0\r\n:1\r\n" NODE("$1\r\na\r\n", "0"),
        "*1\r\n*3\r\n:0\r\n:1\r\n$1\r\na\r\n",
        "*1\r\n*3\r\n:0\r\n$1\r\n1\r\n" NODE("$1\r\na\r\n", "1"),
    };
    char text[256];

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        if (read_slots(wrong[i], text))
            fail_msg("taken: %s", wrong[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_in_the_slot_that_redis_says),
        cmocka_unit_test(the_first_tag_in_braces_decides_unless_it_is_empty),
        cmocka_unit_test(a_redirection_says_where_to),
        cmocka_unit_test(an_answer_to_cluster_slots_says_who_has_what),
        cmocka_unit_test(an_answer_that_makes_no_sense_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
