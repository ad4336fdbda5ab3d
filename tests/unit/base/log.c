#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

static char lines[64 * 1024];

/* What `say` writes on standard error, in `lines`. */
static void capture(void (*say)(void))
{
    FILE *file = tmpfile();
    int saved = dup(STDERR_FILENO);

    assert_non_null(file);
    fflush(stderr);
    dup2(fileno(file), STDERR_FILENO);
    say();
    dup2(saved, STDERR_FILENO);
    close(saved);
    rewind(file);
    lines[fread(lines, 1, sizeof(lines) - 1, file)] = '\0';
    fclose(file);
}

static const char *behind_time(void)
{
    assert_memory_equal(lines, "time=2", 6);
    const char *space = strchr(lines, ' ');
    assert_non_null(space);
    return space + 1;
}

static void say_one_fact(void)
{
    log_info("started", LOG_S("listen", "127.0.0.1:3001"), LOG_I("threads", 4), LOG_I("low", -7));
}

static void a_line_is_an_event_and_its_pairs(void **state)
{
    (void)state;
    log_setup(LOG_INFO, LOG_LOGFMT);
    capture(say_one_fact);
    assert_string_equal(behind_time(),
                        "level=info event=started listen=127.0.0.1:3001 threads=4 low=-7\n");
}

static void say_awkward_values(void)
{
    log_warn("awkward", LOG_S("space", "a b"), LOG_S("quote", "a\"b"), LOG_S("equals", "a=b"),
             LOG_S("line", "a\nevent=forged"), LOG_S("empty", ""), LOG_S("none", NULL),
             LOG_S("wide", "\xc3\xa4"), LOG_S("bytes", "\xff"), LOG_S("back", "a\\b"));
}

static void what_could_be_misread_is_quoted(void **state)
{
    (void)state;
    log_setup(LOG_INFO, LOG_LOGFMT);
    capture(say_awkward_values);
    assert_string_equal(behind_time(),
                        "level=warn event=awkward space=\"a b\" quote=\"a\\\"b\" equals=\"a=b\" "
                        "line=\"a\\nevent=forged\" empty=\"\" none=\"\" wide=\"\xc3\xa4\" "
                        "bytes=\"\xef\xbf\xbd\" back=a\\b\n");
}

static void a_json_line_is_one_document(void **state)
{
    (void)state;
    log_setup(LOG_INFO, LOG_JSON);
    capture(say_awkward_values);
    assert_ptr_equal(strchr(lines, '\n'), lines + strlen(lines) - 1);
    json_t *line = json_loads(lines, 0, NULL);
    assert_non_null(line);
    assert_string_equal(json_string_value(json_object_get(line, "level")), "warn");
    assert_string_equal(json_string_value(json_object_get(line, "event")), "awkward");
    assert_string_equal(json_string_value(json_object_get(line, "line")), "a\nevent=forged");
    assert_string_equal(json_string_value(json_object_get(line, "none")), "");
    assert_non_null(json_object_get(line, "time"));
    json_decref(line);
    capture(say_one_fact);
    line = json_loads(lines, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(line, "low")), -7);
    json_decref(line);
}

static void say_at_every_level(void)
{
    log_debug("one");
    log_info("two");
    log_warn("three");
    log_error("four");
}

static void what_is_below_the_level_is_not_said(void **state)
{
    (void)state;
    log_setup(LOG_WARN, LOG_LOGFMT);
    capture(say_at_every_level);
    assert_null(strstr(lines, "one"));
    assert_null(strstr(lines, "two"));
    assert_non_null(strstr(lines, "level=warn event=three\n"));
    assert_non_null(strstr(lines, "level=error event=four\n"));
    log_setup(LOG_DEBUG, LOG_LOGFMT);
    capture(say_at_every_level);
    assert_non_null(strstr(lines, "level=debug event=one\n"));
}

static size_t long_len;

static void say_too_much(void)
{
    static char text[20000];

    memset(text, 'x', sizeof(text));
    text[long_len] = '\0';
    const char *value = text;
    log_info("long", LOG_I("before", 1), LOG_S("text", value), LOG_I("after", 2));
}

static void a_value_that_is_too_long_does_not_break_its_line(void **state)
{
    (void)state;
    log_setup(LOG_INFO, LOG_JSON);
    /* Also where the line is full to its last bytes. */
    for (long_len = 8040; long_len < 8200; long_len++) {
        capture(say_too_much);
        assert_int_equal(lines[strlen(lines) - 1], '\n');
        json_t *line = json_loads(lines, 0, NULL);
        if (line == NULL)
            fail_msg("not JSON at %zu: ...%s", long_len, lines + strlen(lines) - 20);
        assert_int_equal(json_integer_value(json_object_get(line, "before")), 1);
        json_decref(line);
    }
    log_setup(LOG_INFO, LOG_LOGFMT);
    long_len = 19000;
    capture(say_too_much);
    assert_string_equal(behind_time(), "level=info event=long before=1 after=2\n");
    for (long_len = 8040; long_len < 8200; long_len++) {
        capture(say_too_much);
        assert_int_equal(lines[strlen(lines) - 1], '\n');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_an_event_and_its_pairs),
        cmocka_unit_test(what_could_be_misread_is_quoted),
        cmocka_unit_test(a_json_line_is_one_document),
        cmocka_unit_test(what_is_below_the_level_is_not_said),
        cmocka_unit_test(a_value_that_is_too_long_does_not_break_its_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
