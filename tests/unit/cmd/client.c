#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "cmd/client.h"
#include "cmd/pace.h"

static void waiting_doubles_up_to_its_limit(void **state)
{
    (void)state;
    for (unsigned attempt = 0; attempt < 100; attempt++) {
        uint64_t full = attempt < 6 ? (uint64_t)500 << attempt : 30000;
        full = full < 30000 ? full : 30000;
        assert_int_equal(client_backoff_ms(attempt, 30000, 0), full / 2);
        for (uint64_t random = 1; random < 1000000000; random = random * 7 + 1)
            assert_in_range(client_backoff_ms(attempt, 30000, random), full / 2, full);
    }
    assert_int_equal(client_backoff_ms(0, 30000, 250), 500);
}

static void only_what_may_help_is_tried_again(void **state)
{
    static const int again[] = { 408, 429, 500, 502, 503, 504, 599 };
    static const int never[] = { 200, 301, 400, 401, 403, 404, 409, 413, 422, 501, 505, 507 };

    (void)state;
    for (size_t i = 0; i < sizeof(again) / sizeof(*again); i++)
        assert_true(client_is_transient(OK, again[i]));
    for (size_t i = 0; i < sizeof(never) / sizeof(*never); i++)
        assert_false(client_is_transient(OK, never[i]));
    assert_true(client_is_transient(FAIL_CLOSED, 0));
    assert_true(client_is_transient(FAIL_TIMEOUT, 0));
    assert_true(client_is_transient(FAIL_IO, 0));
    assert_false(client_is_transient(FAIL_DENIED, 0));
    assert_false(client_is_transient(FAIL_STATE, 0));
    assert_false(client_is_transient(FAIL_LIMIT, 0));
    assert_false(client_is_transient(FAIL_CANCELLED, 0));
}

static void read_answer(const char *token, const struct fetch_answer *from,
                        struct client_answer *out)
{
    struct client client = { .base = (char[]){ "http://host" }, .token = (char *)(uintptr_t)token };

    client_answer_read(&client, from, out);
}

static void the_servers_words_are_passed_on(void **state)
{
    struct client_answer a;

    (void)state;
    read_answer("t",
                &(struct fetch_answer){
                    .status = 409,
                    .body =
                        STR("{\"error\":{\"code\":\"upload_closed\",\"message\":\"too late\"}}") },
                &a);
    assert_string_equal(a.code, "upload_closed");
    assert_string_equal(a.why, "too late");
    assert_null(a.json);
    assert_int_equal(client_exit_status(&a), EXIT_REFUSED);
    static const char *const strange[] = { "", "<html>", "[]", "{\"error\":1}", "{\"error\":{}}" };
    for (size_t i = 0; i < sizeof(strange) / sizeof(*strange); i++) {
        read_answer("t", &(struct fetch_answer){ .status = 502, .body = str_of(strange[i]) }, &a);
        assert_string_equal(a.why, "the server answered 502 Bad Gateway");
        assert_string_equal(a.code, "");
    }
}

static void whoever_has_no_token_is_told_how_to_get_one(void **state)
{
    struct client_answer a;
    struct fetch_answer from = {
        .status = 401, .body = STR("{\"error\":{\"code\":\"token_required\",\"message\":\"no\"}}")
    };

    (void)state;
    read_answer(NULL, &from, &a);
    assert_non_null(strstr(a.why, "reelay token"));
    assert_non_null(strstr(a.why, "http://host"));
    read_answer("t", &from, &a);
    assert_string_equal(a.why, "no");
}

static void a_server_out_of_reach_is_named(void **state)
{
    struct client_answer a;

    (void)state;
    read_answer(NULL, &(struct fetch_answer){ .err = FAIL_CLOSED, .why = "nobody" }, &a);
    assert_string_equal(a.why, "cannot reach http://host: nobody");
    assert_int_equal(client_exit_status(&a), EXIT_UNREACHABLE);
    read_answer(NULL, &(struct fetch_answer){ .status = 308, .location = "https://host/" }, &a);
    assert_non_null(strstr(a.why, "https://host/"));
    assert_int_equal(client_exit_status(&a), EXIT_REFUSED);
}

static void a_good_answer_has_its_object(void **state)
{
    struct client_answer a;

    (void)state;
    read_answer(NULL, &(struct fetch_answer){ .status = 201, .body = STR("{\"a\":\"b\",\"n\":2}") },
                &a);
    assert_true(client_is_good(&a));
    assert_string_equal(client_text(a.json, "a"), "b");
    assert_null(client_text(a.json, "n"));
    assert_true(client_number(a.json, "n", 7) == 2);
    assert_true(client_number(a.json, "a", 7) == 7);
    client_answer_free(&a);
    read_answer(NULL, &(struct fetch_answer){ .status = 204 }, &a);
    assert_true(client_is_good(&a));
    assert_null(a.json);
    assert_null(client_text(a.json, "a"));
}

static int init(const char *server, const char *token)
{
    struct client_options options = { .server = server, .token = token };
    struct client client;
    struct buf why;

    buf_init(&why, 1024);
    int err = client_init(&client, &options, &why);
    if (err == OK)
        client_deinit(&client);
    else
        assert_true(why.len > 0);
    if (token != NULL)
        assert_null(strstr(buf_text(&why), token));
    buf_deinit(&why);
    return err;
}

static void what_cannot_be_a_server_or_a_token_is_refused(void **state)
{
    (void)state;
    assert_int_equal(init("http://127.0.0.1:3001", NULL), OK);
    assert_int_equal(init("https://host/path///", "abc"), OK);
    assert_int_equal(init("127.0.0.1:3001", NULL), FAIL_SYNTAX);
    assert_int_equal(init("ftp://host", NULL), FAIL_SYNTAX);
    assert_int_equal(init("http://a b", NULL), FAIL_SYNTAX);
    assert_int_equal(init("http://host", "abc\r\nX: y"), FAIL_SYNTAX);
}

/* The pace */

static void the_pace_is_that_of_the_last_seconds(void **state)
{
    struct pace p = { 0 };

    (void)state;
    assert_true(pace_per_second(&p) < 0);
    for (uint64_t ms = 0; ms <= 20000; ms += 100)
        pace_note(&p, 5000 + ms, ms < 10000 ? ms : 10000 + (ms - 10000) * 5);
    assert_true(pace_per_second(&p) > 4900 && pace_per_second(&p) < 5100);
    for (uint64_t ms = 20100; ms <= 40000; ms += 100)
        pace_note(&p, 5000 + ms, 60000);
    assert_true(pace_per_second(&p) == 0);
}

static void the_pace_is_unknown_for_a_second(void **state)
{
    struct pace p = { 0 };

    (void)state;
    pace_note(&p, 0, 0);
    pace_note(&p, 900, 900);
    assert_true(pace_per_second(&p) < 0);
    pace_note(&p, 1200, 1200);
    assert_true(pace_per_second(&p) == 1000);
    pace_note(&p, 2000, 0); /* sent again */
    assert_true(pace_per_second(&p) == 0);
}

static void the_end_is_foreseen_only_when_it_moves(void **state)
{
    (void)state;
    assert_int_equal(pace_eta_s(1000, 5500), 6);
    assert_int_equal(pace_eta_s(1000, 0), 0);
    assert_int_equal(pace_eta_s(0, 5500), -1);
    assert_int_equal(pace_eta_s(-1, 5500), -1);
    assert_int_equal(pace_eta_s(0.001, 1u << 30), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waiting_doubles_up_to_its_limit),
        cmocka_unit_test(only_what_may_help_is_tried_again),
        cmocka_unit_test(the_servers_words_are_passed_on),
        cmocka_unit_test(whoever_has_no_token_is_told_how_to_get_one),
        cmocka_unit_test(a_server_out_of_reach_is_named),
        cmocka_unit_test(a_good_answer_has_its_object),
        cmocka_unit_test(what_cannot_be_a_server_or_a_token_is_refused),
        cmocka_unit_test(the_pace_is_that_of_the_last_seconds),
        cmocka_unit_test(the_pace_is_unknown_for_a_second),
        cmocka_unit_test(the_end_is_foreseen_only_when_it_moves),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
