#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/err.h"

struct settings {
    const char *text;
    struct option_list list;
    bool flag;
    uint64_t count, size, wait;
    int choice;
    const char *word;
};

static const struct option table[] = {
    { .name = "the-text",
      .type = OPTION_TEXT,
      .offset = offsetof(struct settings, text),
      .fallback = "fallback",
      .value = "TEXT",
      .help = "A text.",
      .alias = "TEST_ALIAS_ONE|TEST_ALIAS_TWO" },
    { .name = "list",
      .type = OPTION_LIST,
      .offset = offsetof(struct settings, list),
      .fallback = "x,y",
      .help = "Some texts." },
    { .name = "flag",
      .type = OPTION_FLAG,
      .offset = offsetof(struct settings, flag),
      .help = "Yes or no." },
    { .name = "count",
      .type = OPTION_COUNT,
      .offset = offsetof(struct settings, count),
      .fallback = "5",
      .min = 2,
      .max = 10,
      .help = "How many." },
    { .name = "size",
      .type = OPTION_SIZE,
      .offset = offsetof(struct settings, size),
      .fallback = "1K",
      .help = "How large." },
    { .name = "wait",
      .type = OPTION_DURATION,
      .offset = offsetof(struct settings, wait),
      .fallback = "30",
      .min = 100,
      .max = 7 * 86400000,
      .value = "TIME",
      .help = "How long." },
    { .name = "word",
      .type = OPTION_TEXT,
      .offset = offsetof(struct settings, word),
      .fallback = "slow",
      .choices = "fast|slow",
      .help = "A word." },
    { .name = "choice",
      .type = OPTION_CHOICE,
      .offset = offsetof(struct settings, choice),
      .fallback = "auto",
      .choices = "auto|all|off",
      .help = "Which." },
    { .name = NULL },
};

static const char *const variables[] = {
    "REELAY_THE_TEXT", "REELAY_LIST",   "REELAY_FLAG",    "REELAY_COUNT",   "REELAY_SIZE",
    "REELAY_WAIT",     "REELAY_CHOICE", "TEST_ALIAS_ONE", "TEST_ALIAS_TWO", NULL
};

static struct settings got;
static struct config config;
static struct buf why;

static int begin(void **state)
{
    (void)state;
    for (int i = 0; variables[i]; i++)
        unsetenv(variables[i]);
    got = (struct settings){ 0 };
    config = (struct config){ .into = &got };
    buf_init(&why, 4096);
    return 0;
}

static int end(void **state)
{
    (void)state;
    config_release(&config, table);
    assert_null(got.text);
    assert_int_equal(got.list.count, 0);
    buf_deinit(&why);
    return 0;
}

enum { ARGS_MAX = 100 };
static char *args[ARGS_MAX];

/* `...` are the arguments behind the program's name, then NULL. */
static int given(const char *first, ...)
{
    int count = 0;
    va_list list;

    config_release(&config, table);
    got = (struct settings){ 0 };
    config = (struct config){ .into = &got };
    buf_reset(&why);
    args[count++] = (char *)(uintptr_t) "program";
    va_start(list, first);
    for (const char *arg = first; arg; arg = va_arg(list, const char *))
        args[count++] = (char *)(uintptr_t)arg;
    va_end(list);
    return config_read(&config, table, count, args, &why);
}

static void refused(int err, int expected, const char *words)
{
    assert_int_equal(err, expected);
    if (strstr(buf_text(&why), words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", buf_text(&why), words);
}

static void without_anything_the_fallbacks_count(void **state)
{
    (void)state;
    assert_int_equal(given(NULL), OK);
    assert_string_equal(got.text, "fallback");
    assert_int_equal(got.list.count, 2);
    assert_string_equal(got.list.items[1], "y");
    assert_false(got.flag);
    assert_int_equal(got.count, 5);
    assert_int_equal(got.size, 1024);
    assert_int_equal(got.wait, 30000);
    assert_int_equal(got.choice, 0);
    assert_false(config.wants_help);
    assert_int_equal(config.rest_count, 0);
}

static void a_value_stands_behind_a_space_or_an_equals_sign(void **state)
{
    (void)state;
    assert_int_equal(given("--the-text", "a", "--count=7", "--flag", NULL), OK);
    assert_string_equal(got.text, "a");
    assert_int_equal(got.count, 7);
    assert_true(got.flag);
    assert_int_equal(given("--the-text=a=b", NULL), OK);
    assert_string_equal(got.text, "a=b");
    assert_int_equal(given("--the-text=", NULL), OK);
    assert_string_equal(got.text, "");
    assert_int_equal(given("--the-text", "--flag", NULL), OK);
    assert_string_equal(got.text, "--flag");
    assert_false(got.flag);
}

static void a_flag_comes_before_the_environment_before_its_alias_before_the_fallback(void **state)
{
    (void)state;
    setenv("TEST_ALIAS_TWO", "second", 1);
    assert_int_equal(given(NULL), OK);
    assert_string_equal(got.text, "second");
    setenv("TEST_ALIAS_ONE", "first", 1);
    assert_int_equal(given(NULL), OK);
    assert_string_equal(got.text, "first");
    setenv("REELAY_THE_TEXT", "own", 1);
    assert_int_equal(given(NULL), OK);
    assert_string_equal(got.text, "own");
    assert_int_equal(given("--the-text", "flag", NULL), OK);
    assert_string_equal(got.text, "flag");
}

static void blamed(const char *said, const char *expected)
{
    buf_reset(&why);
    buf_puts(&why, said);
    config_blame(&config, table, &why);
    assert_string_equal(buf_text(&why), expected);
}

static void what_is_found_wrong_later_is_blamed_on_the_variable_it_came_from(void **state)
{
    (void)state;
    setenv("TEST_ALIAS_ONE", "odd", 1);
    assert_int_equal(given("--count", "3", NULL), OK);
    blamed("--the-text: \"odd\" will not do", "--the-text: \"odd\" will not do (TEST_ALIAS_ONE)");
    blamed("--list: nor this", "--list: nor this");
    blamed("--count: nor this", "--count: nor this");
    blamed("--nothing: nor this", "--nothing: nor this");
    blamed("the folder: --the-text", "the folder: --the-text");
    setenv("REELAY_COUNT", "4", 1);
    blamed("--count: nor this", "--count: nor this");
    assert_int_equal(given("--the-text", "odd", NULL), OK);
    blamed("--the-text: \"odd\" will not do", "--the-text: \"odd\" will not do");
}

static void the_last_of_repeated_values_counts(void **state)
{
    (void)state;
    assert_int_equal(given("--the-text", "a", "--the-text", "b", "--count=3", "--count=4", NULL),
                     OK);
    assert_string_equal(got.text, "b");
    assert_int_equal(got.count, 4);
}

static void a_list_grows_by_commas_and_by_repetition(void **state)
{
    (void)state;
    assert_int_equal(given("--list", "a, b,,c ", "--list=d", NULL), OK);
    assert_int_equal(got.list.count, 4);
    assert_string_equal(got.list.items[0], "a");
    assert_string_equal(got.list.items[1], "b");
    assert_string_equal(got.list.items[2], "c");
    assert_string_equal(got.list.items[3], "d");
    setenv("REELAY_LIST", "e,f,g", 1);
    assert_int_equal(given(NULL), OK);
    assert_int_equal(got.list.count, 3);
    assert_int_equal(given("--list=h", NULL), OK); /* replaces the environment's, adds not to it */
    assert_int_equal(got.list.count, 1);
}

static void a_list_has_an_end(void **state)
{
    struct buf text;

    (void)state;
    buf_init(&text, 1000);
    for (int i = 0; i < OPTION_LIST_MAX; i++)
        buf_puts(&text, "a,");
    assert_int_equal(given("--list", buf_text(&text), NULL), OK);
    assert_int_equal(got.list.count, OPTION_LIST_MAX);
    refused(given("--list", buf_text(&text), "--list", "b", NULL), FAIL_LIMIT, "--list");
    buf_deinit(&text);
}

static void sizes_have_binary_units(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } sizes[] = { { "0", 0 },
                  { "7", 7 },
                  { "7B", 7 },
                  { "2K", 2048 },
                  { "2KiB", 2048 },
                  { "3M", 3 << 20 },
                  { "3MiB", 3 << 20 },
                  { "5G", UINT64_C(5) << 30 },
                  { "5GiB", UINT64_C(5) << 30 },
                  { "1T", UINT64_C(1) << 40 },
                  { "18446744073709551615", UINT64_MAX } };

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        assert_int_equal(given("--size", sizes[i].text, NULL), OK);
        assert_true(got.size == sizes[i].bytes);
    }
}

static void durations_have_units_and_are_seconds_without(void **state)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } times[] = { { "100ms", 100 }, { "1", 1000 },      { "2s", 2000 },
                  { "3m", 180000 }, { "4h", 14400000 }, { "7d", 604800000 } };

    (void)state;
    for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
        assert_int_equal(given("--wait", times[i].text, NULL), OK);
        assert_int_equal(got.wait, times[i].ms);
    }
}

static void what_is_no_number_is_refused_by_name(void **state)
{
    static const char *const bad[] = { "", "-1", "K", "1k", "1 K", "1.5G", "1KB", "0x10", "1Ki" };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        refused(given("--size", bad[i], NULL), FAIL_SYNTAX, "--size");
    /* What is over 64 bits once its unit is applied. */
    refused(given("--size", "18014398509481984K", NULL), FAIL_SYNTAX, "--size");
    refused(given("--wait", "10x", NULL), FAIL_SYNTAX, "--wait: \"10x\" is not a time such as");
    refused(given("--count", "5K", NULL), FAIL_SYNTAX, "--count: \"5K\" is not a whole number");
}

static void a_range_is_kept_at_both_ends(void **state)
{
    (void)state;
    assert_int_equal(given("--count", "2", NULL), OK);
    assert_int_equal(given("--count", "10", NULL), OK);
    refused(given("--count", "1", NULL), FAIL_LIMIT,
            "--count: 1 is out of range, which is 2 to 10");
    refused(given("--count", "11", NULL), FAIL_LIMIT, "--count");
    assert_int_equal(given("--wait", "100ms", NULL), OK);
    refused(given("--wait", "99ms", NULL), FAIL_LIMIT,
            "99ms is out of range, which is 100ms to 7d");
    refused(given("--wait", "8d", NULL), FAIL_LIMIT, "--wait");
}

static void a_text_with_choices_is_one_of_them(void **state)
{
    (void)state;
    assert_int_equal(given(NULL), OK);
    assert_string_equal(got.word, "slow");
    assert_int_equal(given("--word", "fast", NULL), OK);
    assert_string_equal(got.word, "fast");
    refused(given("--word", "quick", NULL), FAIL_SYNTAX,
            "--word: \"quick\" is not one of fast|slow");
}

static void a_choice_is_one_of_its_words(void **state)
{
    (void)state;
    assert_int_equal(given("--choice", "off", NULL), OK);
    assert_int_equal(got.choice, 2);
    refused(given("--choice", "of", NULL), FAIL_SYNTAX,
            "--choice: \"of\" is not one of auto|all|off");
    refused(given("--choice", "", NULL), FAIL_SYNTAX, "--choice");
    refused(given("--choice", "auto|all", NULL), FAIL_SYNTAX, "--choice");
}

static void a_flag_in_the_environment_is_yes_or_no(void **state)
{
    static const char *const yes[] = { "1", "true", "yes", "on" };
    static const char *const no[] = { "0", "false", "no", "off", "" };

    (void)state;
    for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++) {
        setenv("REELAY_FLAG", yes[i], 1);
        assert_int_equal(given(NULL), OK);
        assert_true(got.flag);
    }
    for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++) {
        setenv("REELAY_FLAG", no[i], 1);
        assert_int_equal(given(NULL), OK);
        assert_false(got.flag);
    }
    setenv("REELAY_FLAG", "maybe", 1);
    refused(given(NULL), FAIL_SYNTAX, "--flag");
    assert_int_equal(given("--flag=0", NULL), OK);
    assert_false(got.flag);
}

static void a_bad_value_in_the_environment_is_refused_too(void **state)
{
    (void)state;
    setenv("REELAY_COUNT", "many", 1);
    refused(given(NULL), FAIL_SYNTAX, "--count: \"many\" is not a whole number (REELAY_COUNT)");
    assert_int_equal(given("--count=3", NULL), OK); /* not looked at */
}

static void what_is_no_option_is_the_rest(void **state)
{
    (void)state;
    assert_int_equal(given("a", "--flag", "b", "-", "--", "--count", "-x", NULL), OK);
    assert_int_equal(config.rest_count, 5);
    assert_string_equal(config.rest[0], "a");
    assert_string_equal(config.rest[1], "b");
    assert_string_equal(config.rest[2], "-");
    assert_string_equal(config.rest[3], "--count");
    assert_string_equal(config.rest[4], "-x");
    assert_true(got.flag);
}

static void an_unknown_option_is_refused_by_name(void **state)
{
    (void)state;
    refused(given("--colour=red", NULL), FAIL_SYNTAX, "--colour: no such option");
    refused(given("--coun", "3", NULL), FAIL_SYNTAX, "--coun:");
    refused(given("-x", NULL), FAIL_SYNTAX, "-x:");
    refused(given("-count", "3", NULL), FAIL_SYNTAX, "-count:");
}

static void a_missing_value_is_told_with_what_it_would_be(void **state)
{
    (void)state;
    refused(given("--the-text", NULL), FAIL_SYNTAX, "--the-text: a value is missing (TEXT)");
    refused(given("--choice", NULL), FAIL_SYNTAX, "--choice: a value is missing (auto|all|off)");
    refused(given("--count", NULL), FAIL_SYNTAX, "--count: a value is missing (VALUE)");
}

static void help_may_be_asked_for_anywhere(void **state)
{
    (void)state;
    assert_int_equal(given("a", "-h", NULL), OK);
    assert_true(config.wants_help);
    assert_int_equal(given("--help", NULL), OK);
    assert_true(config.wants_help);
    assert_int_equal(given("--", "--help", NULL), OK);
    assert_false(config.wants_help);
}

static void the_help_and_the_document_name_every_option(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 8192);
    config_help(table, &out);
    assert_non_null(strstr(buf_text(&out), "  --the-text TEXT\n        A text. [fallback]\n"));
    assert_non_null(strstr(buf_text(&out), "  --flag\n        Yes or no.\n"));
    assert_non_null(strstr(buf_text(&out), "  --choice auto|all|off\n"));
    buf_reset(&out);
    config_markdown(table, &out);
    assert_non_null(strstr(buf_text(&out), "| `--the-text TEXT` | fallback | A text. |\n"));
    /* A bar would end the cell. */
    assert_non_null(strstr(buf_text(&out), "| `--choice auto\\|all\\|off` | auto | Which. |\n"));
    for (const struct option *o = table; o->name; o++)
        assert_non_null(strstr(buf_text(&out), o->name));
    buf_deinit(&out);
}

#define READS(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        READS(without_anything_the_fallbacks_count),
        READS(a_value_stands_behind_a_space_or_an_equals_sign),
        READS(a_flag_comes_before_the_environment_before_its_alias_before_the_fallback),
        READS(what_is_found_wrong_later_is_blamed_on_the_variable_it_came_from),
        READS(the_last_of_repeated_values_counts),
        READS(a_list_grows_by_commas_and_by_repetition),
        READS(a_list_has_an_end),
        READS(sizes_have_binary_units),
        READS(durations_have_units_and_are_seconds_without),
        READS(what_is_no_number_is_refused_by_name),
        READS(a_range_is_kept_at_both_ends),
        READS(a_text_with_choices_is_one_of_them),
        READS(a_choice_is_one_of_its_words),
        READS(a_flag_in_the_environment_is_yes_or_no),
        READS(a_bad_value_in_the_environment_is_refused_too),
        READS(what_is_no_option_is_the_rest),
        READS(an_unknown_option_is_refused_by_name),
        READS(a_missing_value_is_told_with_what_it_would_be),
        READS(help_may_be_asked_for_anywhere),
        READS(the_help_and_the_document_name_every_option),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
