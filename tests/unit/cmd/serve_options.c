#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "cmd/serve_options.h"
#include "core/limits.h"

static int read_options(struct serve_options *o, int argc, char **argv)
{
    struct config config = { .into = o };
    struct buf why;

    buf_init(&why, 1000);
    int err = config_read(&config, serve_option_table, argc, argv, &why);
    buf_deinit(&why);
    config_release(&config, serve_option_table);
    return err;
}

/* They stand in two places: as one types them, and for the programs that have
 * no options. */
static void what_is_not_given_is_as_limits_h_has_it(void **state)
{
    char *argv[] = { "serve" };
    struct serve_options o = { 0 };

    (void)state;
    assert_int_equal(read_options(&o, 1, argv), OK);
    assert_int_equal(o.connections_per_address, 0);
    assert_int_equal(o.messages_max, WS_MESSAGES_PER_SECOND);
    assert_int_equal(o.message_max, WS_MESSAGE_MAX);
    assert_int_equal(o.subscriptions_max, SESSION_SUBSCRIPTIONS_MAX);
    assert_int_equal(o.handshake_ms, HTTP_HEAD_TIMEOUT_MS);
    assert_int_equal(o.body_ms, HTTP_BODY_TIMEOUT_MS);
    assert_int_equal(o.write_ms, HTTP_WRITE_TIMEOUT_MS);
    assert_int_equal(o.idle_ms, HTTP_IDLE_TIMEOUT_MS);
    assert_int_equal(o.ws_ms, WS_DEAD_AFTER_MS);
}

static void a_limit_outside_its_range_is_refused(void **state)
{
    static const char *const wrong[][2] = {
        { "--max-message", "100" },        { "--max-message", "1GiB" },
        { "--max-messages", "100001" },    { "--max-messages", "-1" },
        { "--max-subscriptions", "0" },    { "--max-subscriptions", "65536" },
        { "--handshake-timeout", "10ms" }, { "--handshake-timeout", "2d" },
        { "--body-timeout", "0" },         { "--write-timeout", "0" },
        { "--idle-timeout", "0" },         { "--ws-timeout", "999ms" },
        { "--ws-timeout", "25h" },         { "--max-connections-per-address", "many" },
    };
    struct serve_options o;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        char *argv[] = { "serve", (char *)wrong[i][0], (char *)wrong[i][1] };
        o = (struct serve_options){ 0 };
        assert_int_not_equal(read_options(&o, 3, argv), OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_given_is_as_limits_h_has_it),
        cmocka_unit_test(a_limit_outside_its_range_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
