#include "io/redis_reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"

enum { SHOWN_MAX = 4096 };

static void show(const struct redis_reply *reply, struct buf *out)
{
    switch (reply->type) {
    case REDIS_NIL: buf_puts(out, "nil"); break;
    case REDIS_TEXT: buf_printf(out, "\"%.*s\"", STR_ARG(reply->text)); break;
    case REDIS_STATUS: buf_printf(out, "+%s", reply->text.at); break;
    case REDIS_ERROR: buf_printf(out, "-%s", reply->text.at); break;
    case REDIS_INTEGER: buf_printf(out, "%lld", (long long)reply->integer); break;
    case REDIS_ARRAY:
        buf_putc(out, '[');
        for (size_t i = 0; i < reply->count; i++) {
            buf_puts(out, i > 0 ? " " : "");
            show(&reply->items[i], out);
        }
        buf_putc(out, ']');
        break;
    }
}

/* All replies in `bytes`, fed `cut` at a time; "!" marks those that were cut. */
static int read_all(size_t max, const char *bytes, size_t len, size_t cut, struct buf *out)
{
    struct redis_reader *reader = redis_reader_new(max);
    struct redis_reply *reply;
    struct buf why;
    size_t used;
    bool is_cut;
    int err = OK;

    buf_init(&why, 256);
    for (size_t at = 0; at < len && err == OK; at += used) {
        size_t piece = cut < len - at ? cut : len - at;
        err = redis_reader_feed(reader, bytes + at, piece, &used, &reply, &is_cut, &why);
        if (err != OK || reply == NULL)
            continue;
        buf_puts(out, is_cut ? "!" : "");
        show(reply, out);
        buf_putc(out, ';');
        redis_reply_free(reply);
    }
    assert_true((err != OK) == (why.len > 0));
    buf_deinit(&why);
    redis_reader_free(reader);
    return err;
}

static void expect(size_t max, const char *bytes, const char *shown)
{
    struct buf out;

    for (size_t cut = 1; cut <= strlen(bytes); cut++) {
        buf_init(&out, SHOWN_MAX);
        assert_int_equal(read_all(max, bytes, strlen(bytes), cut, &out), OK);
        assert_string_equal(buf_text(&out), shown);
        buf_deinit(&out);
    }
}

static void expect_failure(size_t max, const char *bytes, int err)
{
    struct buf out;

    for (size_t cut = 1; cut <= strlen(bytes); cut++) {
        buf_init(&out, SHOWN_MAX);
        assert_int_equal(read_all(max, bytes, strlen(bytes), cut, &out), err);
        buf_deinit(&out);
    }
}

static void every_kind_of_reply_is_read_however_it_is_cut(void **state)
{
    (void)state;
    expect(4096, "+OK\r\n-ERR no\r\n:-42\r\n$0\r\n\r\n$5\r\na\r\nbc\r\n$-1\r\n*-1\r\n*0\r\n",
           "+OK;-ERR no;-42;\"\";\"a\r\nbc\";nil;nil;[];");
    expect(4096, "*3\r\n$1\r\na\r\n*2\r\n:1\r\n*1\r\n+x\r\n$-1\r\n+y\r\n",
           "[\"a\" [1 [+x]] nil];+y;");
}

static void what_is_too_large_is_taken_out_and_the_rest_is_read(void **state)
{
    (void)state;
    expect(27, "$26\r\nabcdefghijklmnopqrstuvwxyz\r\n", "\"abcdefghijklmnopqrstuvwxyz\";");
    expect(26, "$26\r\nabcdefghijklmnopqrstuvwxyz\r\n:1\r\n", "!nil;1;");
    expect(140,
           "*2\r\n$3\r\nabc\r\n$50\r\n01234567890123456789012345678901234567890123456789\r\n:2\r\n",
           "![\"abc\" nil];2;");
    expect(100, "*3\r\n*1\r\n$1\r\nx\r\n$3\r\nabc\r\n*0\r\n+a\r\n", "!nil;+a;");
    expect(2 * sizeof(struct redis_reply),
           "*2\r\n*9\r\n:1\r\n:2\r\n*1\r\n$2\r\n\r\n\r\n:4\r\n+5\r\n-6\r\n:7\r\n:8\r\n*-1\r\n:"
           "0\r\n:3\r\n",
           "![nil 0];3;");
    expect(1 << 20, "*3000\r\n", "");
}

static void a_length_claims_no_memory(void **state)
{
    (void)state;
    expect(4096, "*2147483647\r\n:1\r\n", "");
    expect(4096, "$2147483647\r\nabc", "");
    expect(4096, "*2147483647\r\n*2147483647\r\n*2147483647\r\n$2147483647\r\n", "");
}

static void what_is_no_redis_is_noticed(void **state)
{
    (void)state;
    expect_failure(4096, "HTTP/1.1 400 Bad Request\r\n", FAIL_SYNTAX);
    expect_failure(4096, "$x\r\n", FAIL_SYNTAX);
    expect_failure(4096, "$-2\r\n", FAIL_SYNTAX);
    expect_failure(4096, "$\r\n", FAIL_SYNTAX);
    expect_failure(4096, "$99999999999999999999", FAIL_SYNTAX);
    expect_failure(4096, "*2147483648\r\n", FAIL_SYNTAX);
    expect_failure(4096, ":12x\r\n", FAIL_SYNTAX);
    expect_failure(4096, ":0000000000000000000000000000000000000000", FAIL_LIMIT);
    expect_failure(8, "+123456789", FAIL_LIMIT);
    expect_failure(4096, "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
                   FAIL_SYNTAX);
}

static void an_errors_first_word_says_what_it_is(void **state)
{
    static const struct {
        const char *text;
        int err;
    } cases[] = {
        { "NOAUTH Authentication required.", FAIL_DENIED },
        { "MOVED 3999 127.0.0.1:6381", FAIL_UNSUPPORTED },
        { "LOADING Redis is loading the dataset in memory", FAIL_STATE },
        { "READONLY You can't write against a read only replica.", FAIL_STATE },
        { "NOSCRIPT No matching script.", FAIL_MISSING },
        { "BUSYGROUP Consumer Group name already exists", FAIL_EXISTS },
        { "OOM command not allowed", FAIL_FULL },
        { "OOMPH", FAIL_SYNTAX },
        { "ERR syntax error", FAIL_SYNTAX },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct redis_reply reply = { .type = REDIS_ERROR, .text = str_of(cases[i].text) };
        assert_int_equal(redis_reply_err(&reply), cases[i].err);
        reply.type = REDIS_TEXT;
        assert_int_equal(redis_reply_err(&reply), OK);
    }
}

static void a_command_is_written_with_its_lengths_or_not_at_all(void **state)
{
    const struct str args[] = { STR("SET"), { "a\0b", 3 }, STR("") };
    struct str many[40];
    struct buf out;

    (void)state;
    buf_init(&out, 200);
    assert_int_equal(redis_format(&out, args, 3), OK);
    assert_int_equal(out.len, 28);
    assert_memory_equal(out.data, "*3\r\n$3\r\nSET\r\n$3\r\na\0b\r\n$0\r\n\r\n", 28);
    for (size_t i = 0; i < 40; i++)
        many[i] = STR("x");
    size_t before = out.len;
    assert_int_equal(redis_format(&out, many, 40), FAIL_LIMIT);
    assert_int_equal(out.len, before);
    assert_false(out.failed);
    out.max = 4096;
    assert_int_equal(redis_format(&out, many, 40), OK);
    assert_int_equal(out.len, before + 5 + 40 * 7);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_reply_is_read_however_it_is_cut),
        cmocka_unit_test(what_is_too_large_is_taken_out_and_the_rest_is_read),
        cmocka_unit_test(a_length_claims_no_memory),
        cmocka_unit_test(what_is_no_redis_is_noticed),
        cmocka_unit_test(an_errors_first_word_says_what_it_is),
        cmocka_unit_test(a_command_is_written_with_its_lengths_or_not_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
