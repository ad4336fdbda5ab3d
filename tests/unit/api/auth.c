#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "api/api.h"
#include "base/clock.h"
#include "base/err.h"
#include "core/limits.h"

static const char secret[] = "a secret of thirty-two bytes or more";

static struct jwt_keys *keys;
static struct api_settings settings = { .asks_all = true };
static struct api api = { .settings = &settings };
static struct buf good[3], why;

static int set_up(void **state)
{
    struct jwt_settings how = { .algorithm = JWT_HS256 };
    static const char *const names[] = { "ada", "bob", "cyd" };

    (void)state;
    buf_init(&why, 256);
    assert_int_equal(jwt_keys_from_secret(&how, secret, sizeof(secret) - 1, &keys, &why), OK);
    api.keys = keys;
    for (int i = 0; i < 3; i++) {
        buf_init(&good[i], JWT_TEXT_MAX);
        assert_int_equal(jwt_mint(keys, names[i], false, clock_wall_ms(), 60000, &good[i]), OK);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        buf_deinit(&good[i]);
    buf_deinit(&why);
    jwt_keys_free(keys);
    return 0;
}

/* What a request brings; %0, %1 and %2 are good tokens of ada, bob and cyd. */
struct asking {
    const char *query;
    const char *authorization[2];
    const char *protocols[2];
    bool is_plain; /* no upgrade */
};

static struct str fill(const char *pattern, struct buf *out)
{
    buf_init(out, 64 * 1024);
    for (; *pattern; pattern++)
        if (*pattern == '%')
            buf_puts(out, buf_text(&good[*++pattern - '0']));
        else
            buf_putc(out, *pattern);
    return buf_str(out);
}

static struct http_header headers[5];
static struct buf texts[5];
static unsigned count;

static void add(const char *name, const char *pattern)
{
    if (pattern == NULL)
        return;
    headers[count].name = str_of(name);
    headers[count].value = fill(pattern, &texts[count]);
    if (headers[count].value.at == NULL)
        headers[count].value = STR("");
    count++;
}

static struct http_request ask(const struct asking *a)
{
    struct http_request request = { .method = HTTP_GET, .wants_upgrade = !a->is_plain };

    count = 0;
    for (int i = 0; i < 2; i++)
        add("authorization", a->authorization[i]);
    for (int i = 0; i < 2; i++)
        add("sec-websocket-protocol", a->protocols[i]);
    request.headers = headers;
    request.header_count = count;
    request.query = fill(a->query ? a->query : "", &texts[4]);
    return request;
}

static void forget(void)
{
    for (unsigned i = 0; i < count; i++)
        buf_deinit(&texts[i]);
    buf_deinit(&texts[4]);
}

/* `subject` NULL: refused. `selected` NULL: no protocol is. */
static void expect(const struct asking *a, const char *subject, const char *selected)
{
    struct http_request request = ask(a);
    const char *reason = NULL;
    struct buf protocol, wanted;

    struct viewer *v = auth_viewer(&api, &request, POLICY_DOOR, &reason);
    if ((v == NULL) != (subject == NULL))
        fail_msg("%s: %s", v ? v->subject : "refused", reason);
    if (v != NULL)
        assert_string_equal(v->subject, subject);
    else
        assert_non_null(reason);
    viewer_unref(&v);
    buf_init(&protocol, HTTP_HEAD_MAX);
    assert_int_equal(auth_protocol(&request, &protocol), selected != NULL);
    fill(selected ? selected : "", &wanted);
    assert_string_equal(buf_text(&protocol), buf_text(&wanted));
    buf_deinit(&protocol);
    buf_deinit(&wanted);
    forget();
}

static void a_token_is_found_wherever_it_is(void **state)
{
    (void)state;
    expect(&(struct asking){ .query = "token=%0" }, "ada", NULL);
    expect(&(struct asking){ .query = "a=b&token=%0&c" }, "ada", NULL);
    expect(&(struct asking){ .authorization = { "Bearer %0" } }, "ada", NULL);
    expect(&(struct asking){ .authorization = { "bEARER   %0 " } }, "ada", NULL);
    expect(&(struct asking){ .protocols = { "bearer, %0" } }, "ada", "bearer");
    expect(&(struct asking){ .protocols = { "Bearer", "%0" } }, "ada", "Bearer");
    expect(&(struct asking){ .protocols = { "%0,json" } }, "ada", "json");
    expect(&(struct asking){ .protocols = { "json , %0, bearer" } }, "ada", "json");
    expect(&(struct asking){ .protocols = { "%0" } }, "ada", "%0");
    expect(&(struct asking){ .protocols = { "bearer.%0" } }, "ada", "bearer.%0");
    expect(&(struct asking){ .protocols = { "BEARER.%0, json" } }, "ada", "json");
}

static void without_one_nobody_comes_in(void **state)
{
    (void)state;
    expect(&(struct asking){ 0 }, NULL, NULL);
    expect(&(struct asking){ .query = "token=" }, NULL, NULL);
    expect(&(struct asking){ .query = "Token=%0" }, NULL, NULL);
    expect(&(struct asking){ .authorization = { "Basic %0" } }, NULL, NULL);
    expect(&(struct asking){ .authorization = { "%0" } }, NULL, NULL);
    expect(&(struct asking){ .protocols = { "bearer" } }, NULL, "bearer");
    /* Not every protocol with two dots is meant as one. */
    expect(&(struct asking){ .protocols = { "wamp.2.json" } }, NULL, NULL);
    expect(&(struct asking){ .protocols = { "json, \"%0\"" } }, NULL, NULL);
    /* Only a handshake offers protocols. */
    expect(&(struct asking){ .protocols = { "bearer, %0" }, .is_plain = true }, NULL, NULL);
}

static void the_first_place_that_has_one_counts(void **state)
{
    (void)state;
    expect(&(struct asking){ .query = "token=%2",
                             .protocols = { "bearer, %1" },
                             .authorization = { "Bearer %0" } },
           "ada", "bearer");
    expect(&(struct asking){ .query = "token=%2", .protocols = { "bearer, %1" } }, "bob", "bearer");
    expect(&(struct asking){ .query = "token=%2", .authorization = { "Basic eDp5" } }, "cyd", NULL);
    expect(&(struct asking){ .query = "token=%2", .protocols = { "json" } }, "cyd", NULL);
    expect(&(struct asking){ .protocols = { "%1, %0" } }, "bob", "%0");
}

static void a_bad_one_is_not_made_up_for_by_a_good_one(void **state)
{
    (void)state;
    expect(&(struct asking){ .query = "token=%2", .authorization = { "Bearer" } }, NULL, NULL);
    expect(&(struct asking){ .query = "token=%2", .authorization = { "Bearer null" } }, NULL, NULL);
    expect(&(struct asking){ .query = "token=%2", .authorization = { "Bearer %0x" } }, NULL, NULL);
    expect(&(struct asking){ .authorization = { "Bearer %0", "Bearer %1" } }, NULL, NULL);
    expect(&(struct asking){ .authorization = { "Bearer %0, Bearer %1" } }, NULL, NULL);
    expect(&(struct asking){ .query = "token=%2", .protocols = { "bearer, x" } }, NULL, "bearer");
    expect(&(struct asking){ .query = "token=%2", .protocols = { "bearer, %0x" } }, NULL, "bearer");
    expect(&(struct asking){ .query = "token=%2", .protocols = { "eyJ9.e30." } }, NULL,
           "eyJ9.e30.");
    expect(&(struct asking){ .query = "token=x&token=%2" }, NULL, NULL);
    expect(&(struct asking){ .query = "token=%0x" }, NULL, NULL);
}

static void a_token_that_is_not_asked_for_limits_nobody(void **state)
{
    const char *reason;

    (void)state;
    settings.asks_all = false;
    settings.closes_expired = true;
    struct viewer *v = auth_viewer_of_token(&api, STR("nonsense"), POLICY_DOOR, &reason);
    assert_true(v->sees_all);
    viewer_unref(&v);
    v = auth_viewer_of_token(&api, buf_str(&good[0]), POLICY_DOOR, &reason);
    assert_true(v->sees_all);
    assert_int_equal(v->expires_ms, 0);
    viewer_unref(&v);
    v = auth_viewer_of_token(&api, buf_str(&good[0]), POLICY_TOKEN, &reason);
    assert_false(v->sees_all);
    assert_true(v->expires_ms > clock_wall_ms());
    viewer_unref(&v);
    settings.closes_expired = false;
    v = auth_viewer_of_token(&api, buf_str(&good[0]), POLICY_TOKEN, &reason);
    assert_int_equal(v->expires_ms, 0);
    viewer_unref(&v);
    assert_null(auth_viewer_of_token(&api, (struct str){ 0 }, POLICY_TOKEN, &reason));
    settings.asks_all = true;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_found_wherever_it_is),
        cmocka_unit_test(without_one_nobody_comes_in),
        cmocka_unit_test(the_first_place_that_has_one_counts),
        cmocka_unit_test(a_bad_one_is_not_made_up_for_by_a_good_one),
        cmocka_unit_test(a_token_that_is_not_asked_for_limits_nobody),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
