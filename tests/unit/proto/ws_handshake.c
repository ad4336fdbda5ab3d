#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/ws.h"

enum { HEADERS = 16 };

struct fixture {
    struct http_header headers[HEADERS];
    struct http_request request;
};

static void add(struct fixture *f, const char *name, const char *value)
{
    assert_true(f->request.header_count < HEADERS);
    f->headers[f->request.header_count++] =
        (struct http_header){ .name = str_of(name), .value = str_of(value) };
    f->request.headers = f->headers;
}

static void set(struct fixture *f, const char *name, const char *value)
{
    for (unsigned i = 0; i < f->request.header_count; i++)
        if (str_equal_nocase(f->headers[i].name, str_of(name)))
            f->headers[i].value = str_of(value);
}

static void drop(struct fixture *f, const char *name)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < f->request.header_count; i++)
        if (!str_equal_nocase(f->headers[i].name, str_of(name)))
            f->headers[kept++] = f->headers[i];
    f->request.header_count = kept;
}

/* The opening handshake of RFC 6455, section 1.2. */
static struct fixture *good(struct fixture *f)
{
    *f = (struct fixture){ .request = { .method = HTTP_GET,
                                        .target = STR("/chat"),
                                        .path = STR("/chat"),
                                        .content_length = -1,
                                        .keeps_alive = true,
                                        .wants_upgrade = true } };
    add(f, "Host", "server.example.com");
    add(f, "Upgrade", "websocket");
    add(f, "Connection", "Upgrade");
    add(f, "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    add(f, "Sec-WebSocket-Version", "13");
    return f;
}

static int status_of(const struct fixture *f)
{
    char accept[WS_ACCEPT_SIZE];

    return ws_handshake(&f->request, accept);
}

static void the_example_of_the_standard_is_accepted_with_its_key(void **state)
{
    struct fixture f;
    char accept[WS_ACCEPT_SIZE];

    (void)state;
    assert_int_equal(ws_handshake(&good(&f)->request, accept), 0);
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static void a_client_computes_the_same_key(void **state)
{
    char accept[WS_ACCEPT_SIZE];

    (void)state;
    ws_accept_key(STR("dGhlIHNhbXBsZSBub25jZQ=="), accept);
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    ws_accept_key(STR("x3JJHMbDL1EzLkh9GBhXDw=="), accept);
    assert_string_equal(accept, "HSmrc0sMlYUkAGmm5OPpG2HaGWk=");
}

static void names_and_upgrade_tokens_are_read_in_any_case(void **state)
{
    struct fixture f;

    (void)state;
    good(&f);
    f.headers[1] = (struct http_header){ STR("UPGRADE"), STR("h2c, WebSocket") };
    f.headers[3].name = STR("sec-websocket-key");
    assert_int_equal(status_of(&f), 0);
}

static void only_get_is_allowed(void **state)
{
    struct fixture f;

    (void)state;
    good(&f)->request.method = HTTP_POST;
    assert_int_equal(status_of(&f), 405);
    good(&f)->request.method = HTTP_HEAD;
    assert_int_equal(status_of(&f), 405);
}

static void a_request_without_upgrade_is_refused(void **state)
{
    struct fixture f;

    (void)state;
    good(&f)->request.wants_upgrade = false;
    assert_int_equal(status_of(&f), 400);
    drop(good(&f), "Upgrade");
    assert_int_equal(status_of(&f), 400);
    set(good(&f), "Upgrade", "websockets, web socket");
    assert_int_equal(status_of(&f), 400);
    good(&f)->request.is_http10 = true;
    assert_int_equal(status_of(&f), 400);
}

static void a_request_with_a_body_is_refused(void **state)
{
    struct fixture f;

    (void)state;
    good(&f)->request.content_length = 5;
    assert_int_equal(status_of(&f), 400);
    good(&f)->request.is_chunked = true;
    assert_int_equal(status_of(&f), 400);
    good(&f)->request.content_length = 0;
    assert_int_equal(status_of(&f), 0);
}

static void another_version_is_told_apart_from_a_broken_one(void **state)
{
    static const char *const others[] = { "8", "0", "14", "255" };
    static const char *const broken[] = { "", "256", "+13", "13.0", "13, 8", "x" };
    struct fixture f;

    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        set(good(&f), "Sec-WebSocket-Version", others[i]);
        assert_int_equal(status_of(&f), 426);
    }
    for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++) {
        set(good(&f), "Sec-WebSocket-Version", broken[i]);
        assert_int_equal(status_of(&f), 400);
    }
    drop(good(&f), "Sec-WebSocket-Version");
    assert_int_equal(status_of(&f), 400);
    add(good(&f), "Sec-WebSocket-Version", "13");
    assert_int_equal(status_of(&f), 400);
}

static void a_key_must_be_sixteen_bytes_in_base64_and_there_once(void **state)
{
    static const char *const broken[] = {
        "",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZ===",
        "dGhlIHNhbXBsZSBub25jZQQ=",
        "dGhlIHNhbXBsZSBub25jZQQQ",
        "dGhlIHNhbXBsZSBub25j\nQ==",
        "dGhlIHNhbXBsZSBub-5jZQ==",
        "dGhlIHNhbXBsZSBub25jZQAA==",
    };
    struct fixture f;

    (void)state;
    for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++) {
        set(good(&f), "Sec-WebSocket-Key", broken[i]);
        assert_int_equal(status_of(&f), 400);
    }
    drop(good(&f), "Sec-WebSocket-Key");
    assert_int_equal(status_of(&f), 400);
    add(good(&f), "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    assert_int_equal(status_of(&f), 400);
}

static void extensions_that_break_the_grammar_are_refused(void **state)
{
    static const char *const sound[] = {
        "",
        "foo",
        ", foo ,, bar; baz ,",
        "foo; bar=2; baz=\"q\\uoted\", permessage-deflate ; client_max_window_bits",
        "foo; a = b",
    };
    static const char *const broken[] = {
        "foo bar",    "foo;",         "foo; ;bar",     "foo=1",        "foo; =1",
        "foo; a=",    "foo; a=\"",    "foo; a=\"b",    "foo; a=\"\"",  "foo; a=\"b c\"",
        "foo; a=b c", "foo; a=\"b\\", "foo; a=\"b\"c", "foo, \"bar\"", "foo\xc3\xa4",
    };
    struct fixture f;

    (void)state;
    for (size_t i = 0; i < sizeof(sound) / sizeof(*sound); i++) {
        add(good(&f), "Sec-WebSocket-Extensions", sound[i]);
        assert_int_equal(status_of(&f), 0);
    }
    for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++) {
        add(good(&f), "Sec-WebSocket-Extensions", "fine");
        add(&f, "sec-websocket-extensions", broken[i]);
        assert_int_equal(status_of(&f), 400);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_the_standard_is_accepted_with_its_key),
        cmocka_unit_test(a_client_computes_the_same_key),
        cmocka_unit_test(names_and_upgrade_tokens_are_read_in_any_case),
        cmocka_unit_test(only_get_is_allowed),
        cmocka_unit_test(a_request_without_upgrade_is_refused),
        cmocka_unit_test(a_request_with_a_body_is_refused),
        cmocka_unit_test(another_version_is_told_apart_from_a_broken_one),
        cmocka_unit_test(a_key_must_be_sixteen_bytes_in_base64_and_there_once),
        cmocka_unit_test(extensions_that_break_the_grammar_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
