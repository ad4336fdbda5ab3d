#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "proto/multipart.h"

static const struct multipart_limits limits = {
    .head_max = 300, .line_max = 4, .part_max = 3, .around_max = 20
};

/* What the events said: <name|file name|type>content; */
struct heard {
    struct buf text;
    int refusal; /* what the data event returns */
};

static int on_part(void *context, const struct multipart_part *part)
{
    struct heard *h = context;

    buf_printf(&h->text, "<%.*s", STR_ARG(part->name));
    if (part->file_name.at != NULL)
        buf_printf(&h->text, "|%.*s", STR_ARG(part->file_name));
    if (part->type.at != NULL)
        buf_printf(&h->text, "|%.*s", STR_ARG(part->type));
    buf_puts(&h->text, ">");
    return 0;
}

static int on_data(void *context, const char *bytes, size_t len)
{
    struct heard *h = context;

    assert_true(len > 0);
    buf_append(&h->text, bytes, len);
    return h->refusal;
}

static int on_end(void *context)
{
    struct heard *h = context;

    buf_puts(&h->text, ";");
    return 0;
}

static const struct multipart_events events = { on_part, on_data, on_end };

/* `cut` 0: whole; n: pieces of n bytes; negative: of random sizes. Every piece
 * lies in memory of its own. */
static int run(struct str body, int cut, struct heard *h, const char **why)
{
    struct multipart *m = multipart_new("B", &limits, &events, h);
    int err = OK;

    buf_init(&h->text, 1u << 20);
    while (body.len > 0 && err == OK) {
        size_t len = cut == 0 ? body.len : cut > 0 ? (size_t)cut : 1 + (size_t)(rand() % 7);
        len = len < body.len ? len : body.len;
        char *piece = mem_strndup(body.at, len);
        err = multipart_feed(m, piece, len);
        mem_free(piece);
        body.at += len;
        body.len -= len;
    }
    if (err == OK)
        err = multipart_end(m);
    assert_int_equal(multipart_end(m), err);
    *why = multipart_why(m);
    multipart_free(m);
    return err;
}

static void expect(struct str body, int err, const char *heard)
{
    const char *why;

    for (int cut = -20; cut <= 12; cut++) {
        struct heard h = { 0 };
        assert_int_equal(run(body, cut, &h, &why), err);
        if (heard != NULL)
            assert_string_equal(buf_text(&h.text), heard);
        if (err == FAIL_SYNTAX || err == FAIL_LIMIT)
            assert_true(*why != '\0');
        buf_deinit(&h.text);
    }
}

struct body_case {
    const char *name;
    struct str body;
    int err;
    const char *heard; /* NULL: whatever */
};

#define NAMED(name)         "Content-Disposition: form-data; name=\"" name "\"\r\n"
#define PART(name, content) "--B\r\n" NAMED(name) "\r\n" content "\r\n"

#define CASE(name, body, err, heard)                                                               \
    {                                                                                              \
        name, STR(body), err, heard                                                                \
    }

static const struct body_case cases[] = {
    CASE("two_parts", PART("a", "1") PART("b", "2") "--B--\r\n", OK, "<a>1;<b>2;"),
    CASE("an_empty_part", PART("a", "") "--B--\r\n", OK, "<a>;"),
    CASE("no_parts", "--B--", OK, ""),
    CASE("nothing_behind_the_last_boundary", PART("a", "1") "--B--", OK, "<a>1;"),
    CASE("a_preamble_and_an_epilogue", "hello\r\n" PART("a", "1") "--B--\r\nand more", OK, "<a>1;"),
    CASE("a_preamble_of_an_empty_line", "\r\n" PART("a", "1") "--B--\r\n", OK, "<a>1;"),
    CASE("blanks_behind_a_boundary", "--B \t\r\n" NAMED("a") "\r\n1\r\n--B-- \r\n", OK, "<a>1;"),
    CASE("content_that_looks_like_a_boundary",
         PART("a", "\r\n-\r\n--\r\n--A\r\r\n--\r\n--X--B\n--B") "--B--\r\n", OK,
         "<a>\r\n-\r\n--\r\n--A\r\r\n--\r\n--X--B\n--B;"),
    CASE("content_that_ends_like_a_boundary", PART("a", "\r\n--") "--B--\r\n", OK, "<a>\r\n--;"),
    CASE("content_of_cr_only", PART("a", "\r\r\r") "--B--\r\n", OK, "<a>\r\r\r;"),
    CASE("a_file_with_its_type",
         "--B\r\nContent-Disposition: form-data; name=\"0\"; filename=\"a.mp4\"\r\n"
         "Content-Type: video/mp4\r\n\r\nx\r\n--B--\r\n",
         OK, "<0|a.mp4|video/mp4>x;"),
    CASE("a_file_without_a_name",
         "--B\r\nContent-Disposition: form-data; name=\"0\"; filename=\"\"\r\n\r\nx\r\n--B--\r\n",
         OK, "<0|>x;"),
    CASE("tokens_instead_of_quotes",
         "--B\r\ncontent-disposition:FORM-DATA;name=f ; filename=a.mp4\r\n\r\nx\r\n--B--\r\n", OK,
         "<f|a.mp4>x;"),
    CASE("names_as_browsers_escape_them",
         "--B\r\nContent-Disposition: form-data; name=\"%22%0d%0A%25\"; "
         "filename=\"\xc3\xa4%22%41.mp4\"\r\n\r\nx\r\n--B--\r\n",
         OK, "<\"\r\n%25|\xc3\xa4\"%41.mp4>x;"),
    CASE("a_quote_behind_a_backslash",
         "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\\\"b\\c\"\r\n\r\nx\r\n"
         "--B--\r\n",
         OK, "<f|a\"b\\c>x;"),
    CASE("a_backslash_at_the_end_of_a_name",
         "--B\r\nContent-Disposition: form-data; name=\"a\\\"; filename=\"C:\\\"\r\n\r\nx\r\n"
         "--B--\r\n",
         OK, "<a\\|C:\\>x;"),
    CASE("an_extended_name_says_more",
         "--B\r\nContent-Disposition: form-data; name=f; filename*=utf-8'de'%c3%a4.mp4; "
         "filename=\"a.mp4\"\r\n\r\nx\r\n--B--\r\n",
         OK, "<f|\xc3\xa4.mp4>x;"),
    CASE("headers_that_nobody_asked_for",
         "--B\r\nX-Other: \xc3\xa4\r\nContent-Transfer-Encoding: Binary\r\n" NAMED(
             "a") "\r\n1\r\n--B--\r\n",
         OK, "<a>1;"),

    CASE("nothing", "", FAIL_SYNTAX, ""),
    CASE("no_boundary", "hello", FAIL_SYNTAX, ""),
    CASE("no_last_boundary", PART("a", "1"), FAIL_SYNTAX, "<a>1"),
    CASE("no_last_boundary_but_a_next", PART("a", "1") "--B\r\n", FAIL_SYNTAX, "<a>1;"),
    CASE("half_of_the_last_boundary", PART("a", "1") "--B-", FAIL_SYNTAX, "<a>1;"),
    CASE("half_of_an_epilogue_s_line", PART("a", "1") "--B--\r", FAIL_SYNTAX, "<a>1;"),
    CASE("something_behind_the_last_boundary", PART("a", "1") "--B--x", FAIL_SYNTAX, "<a>1;"),
    CASE("a_boundary_that_goes_on", PART("a", "1") "--Bee\r\n", FAIL_SYNTAX, "<a>1;"),
    CASE("a_dash_and_something", PART("a", "1") "--B-x", FAIL_SYNTAX, "<a>1;"),
    CASE("dashes_behind_a_blank", PART("a", "1") "--B --\r\n", FAIL_SYNTAX, "<a>1;"),
    CASE("a_bare_lf_behind_a_boundary", "--B\n" NAMED("a") "\r\n1\r\n--B--", FAIL_SYNTAX, ""),
    CASE("a_bare_cr_behind_a_boundary", "--B\r\r\n" NAMED("a") "\r\n1\r\n--B--", FAIL_SYNTAX, ""),
    CASE("a_header_that_ends_with_lf", "--B\r\nX: y\n" NAMED("a") "\r\n1\r\n--B--", FAIL_SYNTAX,
         ""),
    CASE("a_cr_in_a_header", "--B\r\nX: y\rz\r\n" NAMED("a") "\r\n1\r\n--B--", FAIL_SYNTAX, ""),
    CASE("a_nul_in_a_header", "--B\r\nX: y\0z\r\n" NAMED("a") "\r\n1\r\n--B--", FAIL_SYNTAX, ""),
    CASE("a_header_on_two_lines", "--B\r\nX: y\r\n z\r\n" NAMED("a") "\r\n1\r\n--B--", FAIL_SYNTAX,
         ""),
    CASE("a_header_without_a_colon", "--B\r\nX\r\n" NAMED("a") "\r\n1\r\n--B--", FAIL_SYNTAX, ""),
    CASE("a_header_with_a_blank_before_the_colon", "--B\r\nX : y\r\n" NAMED("a") "\r\n\r\n--B--",
         FAIL_SYNTAX, ""),
    CASE("a_header_that_is_not_utf_8", "--B\r\nX: \xff\r\n" NAMED("a") "\r\n1\r\n--B--",
         FAIL_SYNTAX, ""),
    CASE("no_headers", "--B\r\n\r\n1\r\n--B--", FAIL_SYNTAX, ""),
    CASE("no_name", "--B\r\nContent-Disposition: form-data\r\n\r\n1\r\n--B--", FAIL_SYNTAX, ""),
    CASE("two_dispositions", "--B\r\n" NAMED("a") NAMED("a") "\r\n1\r\n--B--", FAIL_SYNTAX, ""),
    CASE("two_types", "--B\r\nContent-Type: a\r\nContent-Type: a\r\n" NAMED("a") "\r\n\r\n--B--",
         FAIL_SYNTAX, ""),
    CASE("another_disposition", "--B\r\nContent-Disposition: attachment; name=a\r\n\r\n1\r\n--B--",
         FAIL_SYNTAX, ""),
    CASE("two_names", "--B\r\nContent-Disposition: form-data; name=a; name=b\r\n\r\n1\r\n--B--",
         FAIL_SYNTAX, ""),
    CASE("an_open_quote", "--B\r\nContent-Disposition: form-data; name=\"a\r\n\r\n1\r\n--B--",
         FAIL_SYNTAX, ""),
    CASE("a_name_without_a_value", "--B\r\nContent-Disposition: form-data; name=\r\n\r\n\r\n--B--",
         FAIL_SYNTAX, ""),
    CASE("words_between_parameters",
         "--B\r\nContent-Disposition: form-data; name=a b; x=y\r\n\r\n\r\n--B--", FAIL_SYNTAX, ""),
    CASE("an_extended_name_in_latin_1",
         "--B\r\nContent-Disposition: form-data; name=a; filename*=iso-8859-1''%e4\r\n\r\n\r\n"
         "--B--",
         FAIL_SYNTAX, ""),
    CASE("an_extended_name_that_is_broken",
         "--B\r\nContent-Disposition: form-data; name=a; filename*=UTF-8''%c3\r\n\r\n\r\n--B--",
         FAIL_SYNTAX, ""),
    CASE("an_encoding", "--B\r\nContent-Transfer-Encoding: base64\r\n" NAMED("a") "\r\n\r\n--B--",
         FAIL_SYNTAX, ""),

    CASE("too_many_parts", PART("a", "") PART("b", "") PART("c", "") PART("d", "") "--B--",
         FAIL_LIMIT, "<a>;<b>;<c>;"),
    CASE("too_many_headers", "--B\r\nA:1\r\nB:1\r\nC:1\r\nD:1\r\n" NAMED("a") "\r\n\r\n--B--",
         FAIL_LIMIT, ""),
    CASE("too_long_a_preamble", "123456789012345678901\r\n" PART("a", "1") "--B--", FAIL_LIMIT, ""),
    CASE("too_long_an_epilogue", PART("a", "1") "--B--\r\n123456789012345678901", FAIL_LIMIT,
         "<a>1;"),
    CASE("too_many_blanks", "--B                         \r\n" NAMED("a") "\r\n\r\n--B--",
         FAIL_LIMIT, ""),
};

static void a_body_is_read_alike_however_it_is_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        print_message("%s\n", cases[i].name);
        expect(cases[i].body, cases[i].err, cases[i].heard);
    }
}

static void headers_without_an_end_are_refused(void **state)
{
    struct buf body;

    (void)state;
    buf_init(&body, 4096);
    buf_puts(&body, "--B\r\nX: ");
    while (body.len < 1000)
        buf_putc(&body, 'x');
    expect(buf_str(&body), FAIL_LIMIT, "");
    buf_deinit(&body);
}

static void content_is_handed_on_whole(void **state)
{
    struct buf body, wanted;

    (void)state;
    buf_init(&body, 1u << 20);
    buf_init(&wanted, 1u << 20);
    buf_puts(&body, "--B\r\n" NAMED("a") "\r\n");
    buf_puts(&wanted, "<a>");
    for (int i = 0; i < 20000; i++) {
        char c = "\r\n-BA"[rand() % 5];
        /* Everything but the delimiter itself. */
        if (c == 'B' && str_ends(buf_str(&body), STR("\r\n--")))
            c = 'A';
        buf_putc(&body, c);
        buf_putc(&wanted, c);
    }
    buf_puts(&body, "\r\n--B--\r\n");
    buf_puts(&wanted, ";");
    expect(buf_str(&body), OK, buf_text(&wanted));
    buf_deinit(&body);
    buf_deinit(&wanted);
}

static void what_an_event_says_ends_the_parse(void **state)
{
    struct heard h = { .refusal = 413 };
    const char *why;

    (void)state;
    assert_int_equal(run(STR(PART("a", "1") PART("b", "2") "--B--"), 0, &h, &why), 413);
    assert_string_equal(buf_text(&h.text), "<a>1");
    buf_deinit(&h.text);
}

static void a_content_type_names_the_boundary(void **state)
{
    static const struct {
        const char *type, *boundary;
        int err;
    } types[] = {
        { "multipart/form-data; boundary=----formdata-undici-013384590712",
          "----formdata-undici-013384590712", OK },
        { "Multipart/Form-Data;charset=utf-8;BOUNDARY=\"a b'()+_,-./:=?\"", "a b'()+_,-./:=?", OK },
        { "multipart/form-data ; boundary=B;", "B", OK },
        { "multipart/form-data; "
          "boundary=1234567890123456789012345678901234567890123456789012345678901234567890",
          "1234567890123456789012345678901234567890123456789012345678901234567890", OK },
        { "multipart/form-data; "
          "boundary=12345678901234567890123456789012345678901234567890123456789012345678901",
          NULL, FAIL_SYNTAX },
        { "multipart/form-data", NULL, FAIL_SYNTAX },
        { "multipart/form-data; boundary=", NULL, FAIL_SYNTAX },
        { "multipart/form-data; boundary=\"\"", NULL, FAIL_SYNTAX },
        { "multipart/form-data; boundary=\"a \"", NULL, FAIL_SYNTAX },
        { "multipart/form-data; boundary=\"a", NULL, FAIL_SYNTAX },
        { "multipart/form-data; boundary=\"a*\"", NULL, FAIL_SYNTAX },
        { "multipart/form-data; boundary=a; boundary=a", NULL, FAIL_SYNTAX },
        { "multipart/form-data; boundary=a b", NULL, FAIL_SYNTAX },
        { "multipart/mixed; boundary=a", NULL, FAIL_UNSUPPORTED },
        { "application/json", NULL, FAIL_UNSUPPORTED },
        { "", NULL, FAIL_UNSUPPORTED },
        { NULL, NULL, FAIL_UNSUPPORTED },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
        char boundary[MULTIPART_BOUNDARY_MAX + 1] = "untouched";
        assert_int_equal(multipart_boundary(str_of(types[i].type), boundary), types[i].err);
        assert_string_equal(boundary, types[i].boundary ? types[i].boundary : "untouched");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_is_read_alike_however_it_is_cut),
        cmocka_unit_test(headers_without_an_end_are_refused),
        cmocka_unit_test(content_is_handed_on_whole),
        cmocka_unit_test(what_an_event_says_ends_the_parse),
        cmocka_unit_test(a_content_type_names_the_boundary),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
