/* Every request here is fed whole and byte by byte, and must come to the same.
 * Long, because most of it is one table of what is accepted and what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "proto/http.h"

/* What the parser said, as text: "GET /path?query [body] end ". */
struct trace {
    struct buf text;
    struct buf body;
    struct http_request last; /* its pointers are dead once the parser is fed again */
    int head_answer, body_answer;
};

static int on_head(void *context, const struct http_request *request)
{
    struct trace *t = context;

    t->last = *request;
    buf_reset(&t->body);
    buf_printf(&t->text, "%s %.*s", http_method_name(request->method), STR_ARG(request->path));
    if (request->query.len > 0)
        buf_printf(&t->text, "?%.*s", STR_ARG(request->query));
    buf_putc(&t->text, ' ');
    return t->head_answer;
}

static int on_body(void *context, const char *bytes, size_t len)
{
    struct trace *t = context;

    assert_true(len > 0);
    buf_append(&t->body, bytes, len);
    return t->body_answer;
}

static void on_complete(void *context)
{
    struct trace *t = context;

    if (t->body.len > 0)
        buf_printf(&t->text, "[%s] ", buf_text(&t->body));
    buf_puts(&t->text, "end ");
}

static const struct http_events events = { on_head, on_body, on_complete };
static const struct http_limits limits = { .head_max = 512, .header_max = 8, .target_max = 128 };

static void trace_init(struct trace *t)
{
    *t = (struct trace){ 0 };
    buf_init(&t->text, 64 * 1024);
    buf_init(&t->body, 64 * 1024);
}

static void trace_deinit(struct trace *t)
{
    buf_deinit(&t->text);
    buf_deinit(&t->body);
}

/* Feeds everything, `step` bytes at a time, from memory of exactly that size. */
static int feed_all(struct http_parser *p, struct str input, size_t step)
{
    size_t at = 0;
    int status = 0;

    while (at < input.len && status == 0) {
        size_t len = input.len - at < step ? input.len - at : step;
        size_t used = 0;
        char *copy = mem_strndup(input.at + at, len);
        status = http_parser_feed(p, copy, len, &used);
        mem_free(copy);
        assert_true(used > 0 && used <= len);
        at += used;
    }
    return status;
}

static void check(struct str input, int status, const char *text, size_t step)
{
    struct trace t;

    trace_init(&t);
    struct http_parser *p = http_parser_new(&limits, &events, &t);
    assert_int_equal(feed_all(p, input, step), status);
    if (text != NULL)
        assert_string_equal(buf_text(&t.text), text);
    http_parser_free(p);
    trace_deinit(&t);
}

struct request_case {
    const char *name;
    struct str input;
    int status;
    const char *text; /* NULL: no event at all */
};

#define HOST    "Host: a\r\n"
#define GET     "GET / HTTP/1.1\r\n"
#define POST    "POST / HTTP/1.1\r\n" HOST
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"
#define OK_GET  GET HOST "\r\n"

#define ACCEPTS(name, input, text)                                                                 \
    {                                                                                              \
        name, STR(input), 0, text                                                                  \
    }
#define REFUSES(status, name, input)                                                               \
    {                                                                                              \
        name, STR(input), status, ""                                                               \
    }
/* The head is fine, the body is not. */
#define BREAKS(name, body)                                                                         \
    {                                                                                              \
        name, STR(CHUNKED body), 400, "POST / "                                                    \
    }

static const struct request_case cases[] = {
    ACCEPTS("a_get_is_complete_behind_its_head", OK_GET, "GET / end "),
    ACCEPTS("path_and_query_are_split_at_the_first_question_mark",
            "GET /a/b?c?d=/ HTTP/1.1\r\n" HOST "\r\n", "GET /a/b?c?d=/ end "),
    ACCEPTS("one_empty_line_before_a_request_is_skipped", "\r\n" OK_GET, "GET / end "),
    ACCEPTS("an_empty_line_between_requests_is_skipped", OK_GET "\r\n" OK_GET,
            "GET / end GET / end "),
    ACCEPTS("pipelined_requests_come_one_after_the_other",
            POST "Content-Length: 2\r\n\r\nhiGET /b HTTP/1.1\r\n" HOST "\r\n" OK_GET,
            "POST / [hi] end GET /b end GET / end "),
    ACCEPTS("every_method_is_known",
            "HEAD /1 HTTP/1.1\r\n" HOST "\r\nPUT /2 HTTP/1.1\r\n" HOST
            "\r\nPATCH /3 HTTP/1.1\r\n" HOST "\r\nDELETE /4 HTTP/1.1\r\n" HOST
            "\r\nOPTIONS /5 HTTP/1.1\r\n" HOST "\r\n",
            "HEAD /1 end PUT /2 end PATCH /3 end DELETE /4 end OPTIONS /5 end "),
    ACCEPTS("a_get_may_have_a_body", GET HOST "Content-Length: 3\r\n\r\nabc" OK_GET,
            "GET / [abc] end GET / end "),
    ACCEPTS("an_empty_body_is_none", POST "Content-Length: 0\r\n\r\n", "POST / end "),
    ACCEPTS("a_length_may_have_leading_zeros", POST "Content-Length: 003\r\n\r\nabc",
            "POST / [abc] end "),
    ACCEPTS("the_value_may_have_spaces_and_tabs_around_it", GET "Host: \t a \t\r\n\r\n",
            "GET / end "),
    ACCEPTS("the_value_may_follow_the_colon_at_once", GET "Host:a\r\n\r\n", "GET / end "),
    ACCEPTS("a_value_may_be_empty", GET HOST "X:\r\nY: \r\n\r\n", "GET / end "),
    ACCEPTS("a_value_may_hold_a_tab_and_bytes_over_127", GET HOST "X: a\tb\xc3\xa9\xff\r\n\r\n",
            "GET / end "),
    ACCEPTS("a_name_may_hold_every_token_character", GET HOST "!#$%&'*+-.^_`|~9aZ: 1\r\n\r\n",
            "GET / end "),
    ACCEPTS("options_may_ask_about_the_server", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n",
            "OPTIONS * end "),
    ACCEPTS("an_absolute_target_gives_its_path",
            "GET http://b.example:80/x/y?z HTTP/1.1\r\n" HOST "\r\n", "GET /x/y?z end "),
    ACCEPTS("an_absolute_target_without_a_path_means_the_root",
            "GET HTTPS://b HTTP/1.1\r\n" HOST "\r\n", "GET / end "),
    ACCEPTS("an_absolute_target_may_have_a_query_without_a_path",
            "GET http://b?q HTTP/1.1\r\n" HOST "\r\n", "GET /?q end "),
    ACCEPTS("http10_may_leave_host_out", "GET / HTTP/1.0\r\n\r\n", "GET / end "),
    ACCEPTS("host_may_be_an_ipv6_address_with_a_port", GET "Host: [::1]:8080\r\n\r\n",
            "GET / end "),
    ACCEPTS("host_may_have_an_empty_port", GET "Host: a:\r\n\r\n", "GET / end "),

    REFUSES(400, "bare_lf_behind_the_request_line_is_refused", "GET / HTTP/1.1\n" HOST "\r\n"),
    REFUSES(400, "bare_lf_behind_a_field_is_refused", GET "Host: a\n\r\n"),
    REFUSES(400, "bare_lf_as_the_end_of_the_head_is_refused", GET HOST "\n"),
    REFUSES(400, "bare_lf_before_the_request_is_refused", "\n" OK_GET),
    REFUSES(400, "bare_cr_in_a_value_is_refused", GET HOST "X: a\rb\r\n\r\n"),
    REFUSES(400, "bare_cr_in_the_request_line_is_refused", "GET /\rHTTP/1.1\r\n" HOST "\r\n"),
    REFUSES(400, "two_cr_before_lf_are_refused", GET HOST "X: a\r\r\n\r\n"),
    REFUSES(400, "cr_instead_of_crlf_is_refused", "GET / HTTP/1.1\rHost: a\r\r"),
    REFUSES(400, "two_empty_lines_before_a_request_are_refused", "\r\n\r\n" OK_GET),
    REFUSES(400, "a_tls_hello_is_refused_at_its_first_byte", "\x16\x03\x01"),
    REFUSES(400, "nul_in_a_value_is_refused", GET HOST "X: a\0b\r\n\r\n"),
    REFUSES(400, "a_control_byte_in_a_value_is_refused", GET HOST "X: a\x01\r\n\r\n"),
    REFUSES(400, "del_in_a_value_is_refused", GET HOST "X: a\x7f\r\n\r\n"),
    REFUSES(400, "a_folded_line_is_refused", GET HOST "X: a\r\n b\r\n\r\n"),
    REFUSES(400, "a_line_folded_with_a_tab_is_refused", GET HOST "X: a\r\n\tb\r\n\r\n"),
    REFUSES(400, "a_space_before_the_first_field_is_refused", GET " Host: a\r\n\r\n"),
    REFUSES(400, "a_space_before_the_colon_is_refused", GET HOST "X : a\r\n\r\n"),
    REFUSES(400, "a_tab_before_the_colon_is_refused", GET HOST "X\t: a\r\n\r\n"),
    REFUSES(400, "a_field_without_a_colon_is_refused", GET HOST "X\r\n\r\n"),
    REFUSES(400, "a_field_without_a_name_is_refused", GET HOST ": x\r\n\r\n"),
    REFUSES(400, "a_name_with_a_space_is_refused", GET HOST "X Y: a\r\n\r\n"),
    REFUSES(400, "a_name_with_a_separator_is_refused", GET HOST "X(Y): a\r\n\r\n"),
    REFUSES(400, "a_name_beyond_ascii_is_refused", GET HOST "X\xc3\xa9: a\r\n\r\n"),
    REFUSES(400, "a_name_with_nul_is_refused", GET HOST "X\0: a\r\n\r\n"),

    REFUSES(501, "an_unknown_method_is_not_implemented", "BREW / HTTP/1.1\r\n" HOST "\r\n"),
    REFUSES(501, "a_method_with_a_dash_is_not_implemented", "M-SEARCH / HTTP/1.1\r\n" HOST "\r\n"),
    REFUSES(501, "trace_is_not_implemented", "TRACE / HTTP/1.1\r\n" HOST "\r\n"),
    REFUSES(501, "connect_is_not_implemented", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
    REFUSES(400, "a_method_in_small_letters_is_refused", "get / HTTP/1.1\r\n" HOST "\r\n"),
    REFUSES(400, "a_method_in_mixed_letters_is_refused", "Get / HTTP/1.1\r\n" HOST "\r\n"),
    REFUSES(400, "a_method_that_is_no_token_is_refused", "GE(T / HTTP/1.1\r\n" HOST "\r\n"),
    REFUSES(400, "a_request_line_that_begins_with_a_space_is_refused", " " OK_GET),
    REFUSES(400, "two_spaces_before_the_target_are_refused", "GET  / HTTP/1.1\r\n" HOST "\r\n"),
    REFUSES(400, "two_spaces_before_the_version_are_refused", "GET /  HTTP/1.1\r\n" HOST "\r\n"),
    REFUSES(400, "a_space_behind_the_version_is_refused", "GET / HTTP/1.1 \r\n" HOST "\r\n"),
    REFUSES(400, "a_tab_as_a_separator_is_refused", "GET\t/ HTTP/1.1\r\n" HOST "\r\n"),
    REFUSES(400, "a_space_in_the_target_is_refused", "GET /a b HTTP/1.1\r\n" HOST "\r\n"),
    REFUSES(400, "a_request_line_without_a_version_is_refused", "GET /\r\n" HOST "\r\n"),
    REFUSES(400, "a_request_line_without_a_target_is_refused", "GET HTTP/1.1\r\n" HOST "\r\n"),
    REFUSES(400, "a_method_alone_is_refused", "GET\r\n" HOST "\r\n"),

    REFUSES(505, "http2_is_not_supported", "GET / HTTP/2.0\r\n" HOST "\r\n"),
    REFUSES(505, "the_http2_preface_is_not_supported", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    REFUSES(505, "http12_is_not_supported", "GET / HTTP/1.2\r\n" HOST "\r\n"),
    REFUSES(505, "http09_is_not_supported", "GET / HTTP/0.9\r\n\r\n"),
    REFUSES(400, "a_version_in_small_letters_is_refused", "GET / http/1.1\r\n" HOST "\r\n"),
    REFUSES(400, "a_version_with_two_digits_is_refused", "GET / HTTP/1.10\r\n" HOST "\r\n"),
    REFUSES(400, "a_version_with_a_leading_zero_is_refused", "GET / HTTP/01.1\r\n" HOST "\r\n"),
    REFUSES(400, "a_version_without_a_minor_is_refused", "GET / HTTP/1\r\n" HOST "\r\n"),
    REFUSES(400, "another_protocol_is_refused", "GET / RTSP/1.0\r\n" HOST "\r\n"),

    REFUSES(400, "a_fragment_is_refused", "GET /#a HTTP/1.1\r\n" HOST "\r\n"),
    REFUSES(400, "a_control_byte_in_the_target_is_refused", "GET /\x01 HTTP/1.1\r\n" HOST "\r\n"),
    REFUSES(400, "del_in_the_target_is_refused", "GET /\x7f HTTP/1.1\r\n" HOST "\r\n"),
    REFUSES(400, "a_tab_in_the_target_is_refused", "GET /\t HTTP/1.1\r\n" HOST "\r\n"),
    REFUSES(400, "a_target_beyond_ascii_is_refused", "GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n"),
    REFUSES(400, "a_target_without_a_slash_is_refused", "GET a HTTP/1.1\r\n" HOST "\r\n"),
    REFUSES(400, "a_target_that_is_a_query_is_refused", "GET ?a HTTP/1.1\r\n" HOST "\r\n"),
    REFUSES(400, "authority_form_is_refused", "GET a:80 HTTP/1.1\r\n" HOST "\r\n"),
    REFUSES(400, "the_asterisk_is_for_options_alone", "GET * HTTP/1.1\r\n" HOST "\r\n"),
    REFUSES(400, "another_scheme_is_refused", "GET ftp://a/ HTTP/1.1\r\n" HOST "\r\n"),
    REFUSES(400, "an_absolute_target_without_a_host_is_refused",
            "GET http:///a HTTP/1.1\r\n" HOST "\r\n"),
    REFUSES(400, "an_absolute_target_with_a_user_is_refused",
            "GET http://u:p@a/ HTTP/1.1\r\n" HOST "\r\n"),
    REFUSES(400, "an_absolute_target_does_not_replace_host", "GET http://a/ HTTP/1.1\r\n\r\n"),

    REFUSES(400, "a_missing_host_is_refused", GET "\r\n"),
    REFUSES(400, "an_empty_host_is_refused", GET "Host: \r\n\r\n"),
    REFUSES(400, "two_hosts_are_refused", GET HOST HOST "\r\n"),
    REFUSES(400, "two_hosts_are_refused_in_http10_too", "GET / HTTP/1.0\r\n" HOST HOST "\r\n"),
    REFUSES(400, "two_hosts_of_which_one_is_in_capitals_are_refused", GET HOST "HOST: b\r\n\r\n"),
    REFUSES(400, "a_list_of_hosts_is_refused", GET "Host: a,b\r\n\r\n"),
    REFUSES(400, "a_host_with_a_space_is_refused", GET "Host: a b\r\n\r\n"),
    REFUSES(400, "a_host_with_a_slash_is_refused", GET "Host: a/b\r\n\r\n"),
    REFUSES(400, "a_host_with_a_user_is_refused", GET "Host: u@a\r\n\r\n"),
    REFUSES(400, "a_host_with_a_bad_port_is_refused", GET "Host: a:8o\r\n\r\n"),
    REFUSES(400, "a_host_with_a_port_too_large_is_refused", GET "Host: a:65536\r\n\r\n"),
    REFUSES(400, "a_host_with_two_ports_is_refused", GET "Host: a:1:2\r\n\r\n"),
    REFUSES(400, "a_host_that_is_only_a_port_is_refused", GET "Host: :80\r\n\r\n"),
    REFUSES(400, "a_host_with_an_open_bracket_is_refused", GET "Host: [::1\r\n\r\n"),
    REFUSES(400, "a_host_with_a_bad_ipv6_address_is_refused", GET "Host: [::g]\r\n\r\n"),
    REFUSES(400, "a_host_with_text_behind_the_bracket_is_refused", GET "Host: [::1]x\r\n\r\n"),
    REFUSES(400, "a_host_with_a_broken_escape_is_refused", GET "Host: a%2\r\n\r\n"),
    REFUSES(400, "a_host_beyond_ascii_is_refused", GET "Host: \xc3\xa9\r\n\r\n"),

    REFUSES(400, "length_and_coding_together_are_refused",
            POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    REFUSES(400, "coding_and_length_together_are_refused",
            POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
    REFUSES(400, "length_beside_an_unknown_coding_is_refused",
            POST "Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n\r\nabcde"),
    REFUSES(400, "two_equal_lengths_are_refused",
            POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde"),
    REFUSES(400, "two_lengths_are_refused",
            POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"),
    REFUSES(400, "a_list_of_equal_lengths_is_refused", POST "Content-Length: 5, 5\r\n\r\nabcde"),
    REFUSES(400, "a_length_with_a_plus_is_refused", POST "Content-Length: +5\r\n\r\nabcde"),
    REFUSES(400, "a_negative_length_is_refused", POST "Content-Length: -5\r\n\r\nabcde"),
    REFUSES(400, "a_hexadecimal_length_is_refused", POST "Content-Length: 0x5\r\n\r\nabcde"),
    REFUSES(400, "a_length_with_a_space_is_refused", POST "Content-Length: 5 5\r\n\r\nabcde"),
    REFUSES(400, "an_empty_length_is_refused", POST "Content-Length:\r\n\r\n"),
    REFUSES(400, "a_length_with_a_point_is_refused", POST "Content-Length: 5.0\r\n\r\nabcde"),
    REFUSES(400, "a_length_over_63_bits_is_refused",
            POST "Content-Length: 9223372036854775808\r\n\r\n"),
    REFUSES(400, "a_length_over_64_bits_is_refused",
            POST "Content-Length: 18446744073709551621\r\n\r\nabcde"),
    REFUSES(400, "chunked_twice_is_refused",
            POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    REFUSES(400, "chunked_on_two_lines_is_refused",
            POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    REFUSES(400, "two_coding_lines_are_refused",
            POST "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    REFUSES(400, "chunked_that_is_not_last_is_refused",
            POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    REFUSES(400, "an_empty_coding_is_refused", POST "Transfer-Encoding:\r\n\r\n"),
    REFUSES(400, "an_empty_element_behind_chunked_is_refused",
            POST "Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n"),
    REFUSES(400, "a_parameter_of_chunked_is_refused",
            POST "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n"),
    REFUSES(400, "a_quoted_coding_is_refused",
            POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
    REFUSES(400, "a_vertical_tab_before_chunked_is_refused",
            POST "Transfer-Encoding: \x0b"
                 "chunked\r\n\r\n0\r\n\r\n"),
    REFUSES(400, "a_tab_behind_chunked_is_refused",
            POST "Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n"),
    REFUSES(400, "a_tab_behind_a_length_is_refused", POST "Content-Length: 1\t\r\n\r\na"),
    REFUSES(400, "a_space_before_the_colon_of_a_coding_is_refused",
            POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    REFUSES(501, "identity_is_not_implemented", POST "Transfer-Encoding: identity\r\n\r\n"),
    REFUSES(501, "gzip_is_not_implemented",
            POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    REFUSES(501, "a_coding_that_ends_in_chunked_is_not_implemented",
            POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    REFUSES(400, "http10_has_no_codings",
            "POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    REFUSES(417, "another_expectation_fails", POST "Expect: tea\r\nContent-Length: 1\r\n\r\na"),
    REFUSES(417, "a_list_of_expectations_fails",
            POST "Expect: 100-continue, tea\r\nContent-Length: 1\r\n\r\na"),

    ACCEPTS("chunks_are_put_together", CHUNKED "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n" OK_GET,
            "POST / [abcde] end GET / end "),
    ACCEPTS("a_chunked_body_may_be_empty", CHUNKED "0\r\n\r\n", "POST / end "),
    ACCEPTS("chunk_sizes_may_have_either_case_and_leading_zeros",
            CHUNKED "00000000000000A\r\n0123456789\r\n00b\r\n0123456789a\r\n000\r\n\r\n",
            "POST / [01234567890123456789a] end "),
    ACCEPTS("coding_names_have_no_case",
            POST "transfer-encoding: \t ChunKed \r\n\r\n1\r\na\r\n0\r\n\r\n", "POST / [a] end "),
    ACCEPTS("chunk_extensions_are_passed_over",
            CHUNKED "1;a=b;c;d=\"e\\\" \tf;\";g=h\r\nx\r\n0;a\r\n\r\n", "POST / [x] end "),
    ACCEPTS("content_may_hold_any_byte_but_ends_where_it_said",
            CHUNKED "8\r\n\r\n0\r\n\r\n\x01\r\n0\r\n\r\n", "POST / [\r\n0\r\n\r\n\x01] end "),
    ACCEPTS("trailers_are_forgotten", CHUNKED "1\r\na\r\n0\r\nX: y\r\nZ:\r\n\r\n" OK_GET,
            "POST / [a] end GET / end "),

    BREAKS("a_chunk_line_with_bare_lf_is_refused", "1\na\r\n0\r\n\r\n"),
    BREAKS("a_chunk_line_with_bare_cr_is_refused", "1\ra\r\n0\r\n\r\n"),
    BREAKS("bare_lf_in_a_chunk_extension_is_refused", "1;a\nb\r\na\r\n0\r\n\r\n"),
    BREAKS("bare_cr_in_a_chunk_extension_is_refused", "1;a\rb\r\na\r\n0\r\n\r\n"),
    BREAKS("bare_lf_in_a_quoted_extension_is_refused", "1;a=\"\n\"\r\na\r\n0\r\n\r\n"),
    BREAKS("an_extension_without_a_name_is_refused", "1;\r\na\r\n0\r\n\r\n"),
    BREAKS("an_extension_without_a_name_but_a_value_is_refused", "1;=b\r\na\r\n0\r\n\r\n"),
    BREAKS("an_extension_with_an_empty_value_is_refused", "1;a=\r\na\r\n0\r\n\r\n"),
    BREAKS("an_extension_with_two_values_is_refused", "1;a=b=c\r\na\r\n0\r\n\r\n"),
    BREAKS("a_semicolon_behind_the_last_extension_is_refused", "1;a;\r\na\r\n0\r\n\r\n"),
    BREAKS("an_open_quote_in_an_extension_is_refused", "1;a=\"b\r\na\r\n0\r\n\r\n"),
    BREAKS("an_open_escape_in_an_extension_is_refused", "1;a=\"b\\\"\r\na\r\n0\r\n\r\n"),
    BREAKS("text_behind_a_quoted_extension_is_refused", "1;a=\"b\"c\r\na\r\n0\r\n\r\n"),
    BREAKS("a_space_before_an_extension_is_refused", "1 ;a\r\na\r\n0\r\n\r\n"),
    BREAKS("a_space_in_an_extension_is_refused", "1;a b\r\na\r\n0\r\n\r\n"),
    BREAKS("an_extension_without_a_semicolon_is_refused", "1 a\r\na\r\n0\r\n\r\n"),
    BREAKS("an_extension_beyond_ascii_is_refused", "1;a=\xff\r\na\r\n0\r\n\r\n"),
    BREAKS("a_space_behind_the_chunk_size_is_refused", "1 \r\na\r\n0\r\n\r\n"),
    BREAKS("a_space_before_the_chunk_size_is_refused", " 1\r\na\r\n0\r\n\r\n"),
    BREAKS("a_chunk_size_with_0x_is_refused", "0x1\r\na\r\n0\r\n\r\n"),
    BREAKS("a_negative_chunk_size_is_refused", "-1\r\na\r\n0\r\n\r\n"),
    BREAKS("a_chunk_size_with_a_plus_is_refused", "+1\r\na\r\n0\r\n\r\n"),
    BREAKS("an_underscore_in_a_chunk_size_is_refused", "1_0\r\na\r\n0\r\n\r\n"),
    BREAKS("an_empty_chunk_size_is_refused", "\r\na\r\n0\r\n\r\n"),
    BREAKS("a_chunk_size_that_is_no_number_is_refused", "g\r\na\r\n0\r\n\r\n"),
    BREAKS("a_chunk_size_of_16_digits_is_refused", "0000000000000001\r\na\r\n0\r\n\r\n"),
    BREAKS("a_chunk_size_over_64_bits_is_refused", "10000000000000001\r\na\r\n0\r\n\r\n"),
    BREAKS("a_chunk_longer_than_said_is_refused", "1\r\nab\r\n0\r\n\r\n"),
    BREAKS("a_chunk_without_crlf_behind_it_is_refused", "1\r\na0\r\n\r\n"),
    BREAKS("a_chunk_with_bare_lf_behind_it_is_refused", "1\r\na\n0\r\n\r\n"),
    BREAKS("a_chunk_with_bare_cr_behind_it_is_refused", "1\r\na\r0\r\n\r\n"),
    BREAKS("a_chunk_with_two_cr_behind_it_is_refused", "1\r\na\r\r\n0\r\n\r\n"),
    BREAKS("bare_lf_as_the_end_of_the_body_is_refused", "0\r\n\n"),
    BREAKS("a_trailer_with_bare_lf_is_refused", "0\r\nX: y\n\r\n"),
    BREAKS("a_trailer_without_a_colon_is_refused", "0\r\nX\r\n\r\n"),
    BREAKS("a_folded_trailer_is_refused", "0\r\nX: y\r\n z\r\n\r\n"),
    BREAKS("a_trailer_with_a_space_before_the_colon_is_refused", "0\r\nX : y\r\n\r\n"),
    BREAKS("a_trailer_with_nul_is_refused", "0\r\nX: \0\r\n\r\n"),
    BREAKS("a_length_in_the_trailer_is_refused", "0\r\nContent-Length: 5\r\n\r\n"),
    BREAKS("a_coding_in_the_trailer_is_refused", "0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    BREAKS("a_host_in_the_trailer_is_refused", "0\r\nHost: b\r\n\r\n"),
    { "a_request_behind_a_broken_one_is_not_read", STR(OK_GET "GET / HTTP/1.1\r\n\r\n" OK_GET), 400,
      "GET / end " },
};

static void request_case(void **state)
{
    const struct request_case *c = *state;

    check(c->input, c->status, c->text, c->input.len);
    check(c->input, c->status, c->text, 1);
    check(c->input, c->status, c->text, 7);
}

/* A head with a filler of `count` bytes in the middle. */
static void check_filled(const char *before, char filler, size_t count, const char *behind,
                         int status)
{
    struct buf b;

    buf_init(&b, 64 * 1024);
    buf_puts(&b, before);
    for (size_t i = 0; i < count; i++)
        buf_putc(&b, filler);
    buf_puts(&b, behind);
    check(buf_str(&b), status, NULL, b.len);
    check(buf_str(&b), status, NULL, 1);
    buf_deinit(&b);
}

static void a_target_too_long_is_414(void **state)
{
    (void)state;
    const char *behind = " HTTP/1.1\r\n" HOST "\r\n";
    check_filled("GET /", 'a', limits.target_max - 1, behind, 0);
    check_filled("GET /", 'a', limits.target_max, behind, 414);
    check_filled("GET /", 'a', 4000, behind, 414);
    check_filled("OPTIONS /", 'a', limits.target_max - 1, behind, 0);
}

static void a_method_too_long_is_501_or_400(void **state)
{
    (void)state;
    check_filled("", 'A', 4000, " / HTTP/1.1\r\n" HOST "\r\n", 501);
    check_filled("", 'a', 4000, " / HTTP/1.1\r\n" HOST "\r\n", 400);
}

static void a_head_too_large_is_431(void **state)
{
    (void)state;
    const char *before = GET HOST "X: ";
    size_t room = limits.head_max - sizeof(GET HOST "X: \r\n\r\n") + 1;
    check_filled(before, 'a', room, "\r\n\r\n", 0);
    check_filled(before, 'a', room + 1, "\r\n\r\n", 431);
    check_filled(before, 'a', 4000, "", 431);
    check_filled(GET HOST, 'a', 4000, ": 1\r\n\r\n", 431);
}

static void too_many_fields_are_431(void **state)
{
    (void)state;
    struct str eight = STR(GET HOST "1:\r\n2:\r\n3:\r\n4:\r\n5:\r\n6:\r\n7:\r\n\r\n");
    struct str nine = STR(GET HOST "1:\r\n2:\r\n3:\r\n4:\r\n5:\r\n6:\r\n7:\r\n8:\r\n\r\n");
    check(eight, 0, "GET / end ", eight.len);
    check(eight, 0, "GET / end ", 1);
    check(nine, 431, "", nine.len);
    check(nine, 431, "", 1);
}

static void trailers_are_limited_like_fields(void **state)
{
    (void)state;
    struct str nine =
        STR(CHUNKED "0\r\n1:\r\n2:\r\n3:\r\n4:\r\n5:\r\n6:\r\n7:\r\n8:\r\n9:\r\n\r\n");
    check(nine, 431, "POST / ", nine.len);
    check(nine, 431, "POST / ", 1);
    check_filled(CHUNKED "0\r\nX: ", 'a', 4000, "\r\n\r\n", 431);
}

static void a_chunk_extension_too_long_is_refused(void **state)
{
    (void)state;
    check_filled(CHUNKED "1;", 'a', 255, "\r\nx\r\n0\r\n\r\n", 0);
    check_filled(CHUNKED "1;", 'a', 256, "\r\nx\r\n0\r\n\r\n", 400);
    check_filled(CHUNKED "1;", 'a', 4000, "", 400);
    check_filled(CHUNKED, '0', 4000, "", 400);
}

/* Feeds one request and keeps the parser, so that t->last is alive. */
static struct http_parser *parse(struct trace *t, struct str input)
{
    trace_init(t);
    struct http_parser *p = http_parser_new(&limits, &events, t);
    assert_int_equal(feed_all(p, input, input.len), 0);
    return p;
}

static void drop(struct http_parser *p, struct trace *t)
{
    http_parser_free(p);
    trace_deinit(t);
}

static void the_request_carries_what_was_sent(void **state)
{
    (void)state;
    struct trace t;
    struct http_parser *p = parse(&t, STR("POST /a%20b?x=1 HTTP/1.1\r\nHost: h:1\r\nX-Y:  z z\t\r\n"
                                          "Empty:\r\nContent-Length: 2\r\n\r\nhi"));

    assert_true(str_equal(t.last.target, STR("/a%20b?x=1")));
    assert_true(str_equal(t.last.path, STR("/a%20b")));
    assert_true(str_equal(t.last.query, STR("x=1")));
    assert_true(str_equal(t.last.host, STR("h:1")));
    assert_int_equal(t.last.header_count, 4);
    assert_true(str_equal(t.last.headers[1].name, STR("X-Y")));
    assert_true(str_equal(t.last.headers[1].value, STR("z z")));
    assert_int_equal(t.last.content_length, 2);
    assert_false(t.last.is_chunked);
    assert_false(t.last.is_http10);
    assert_true(str_equal(http_header(&t.last, "x-y"), STR("z z")));
    assert_non_null(http_header(&t.last, "EMPTY").at);
    assert_int_equal(http_header(&t.last, "EMPTY").len, 0);
    assert_null(http_header(&t.last, "absent").at);
    drop(p, &t);
}

static void an_absolute_target_replaces_the_host(void **state)
{
    (void)state;
    struct trace t;
    struct http_parser *p = parse(&t, STR("GET http://b:81/x HTTP/1.1\r\n" HOST "\r\n"));

    assert_true(str_equal(t.last.host, STR("b:81")));
    assert_int_equal(t.last.content_length, -1);
    drop(p, &t);
}

static void chunked_has_no_length(void **state)
{
    (void)state;
    struct trace t;
    struct http_parser *p = parse(&t, STR(CHUNKED "0\r\n\r\n"));

    assert_true(t.last.is_chunked);
    assert_int_equal(t.last.content_length, -1);
    drop(p, &t);
}

struct flag_case {
    struct str input;
    bool keeps_alive, expects_continue, wants_upgrade;
};

static const struct flag_case flags[] = {
    { STR(OK_GET), true, false, false },
    { STR(GET HOST "Connection: close\r\n\r\n"), false, false, false },
    { STR(GET HOST "Connection: x, CLOSE\r\n\r\n"), false, false, false },
    { STR(GET HOST "Connection: keep-alive\r\nConnection: close\r\n\r\n"), false, false, false },
    { STR(GET HOST "Connection: closed\r\n\r\n"), true, false, false },
    { STR("GET / HTTP/1.0\r\n\r\n"), false, false, false },
    { STR("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), true, false, false },
    { STR("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n"), false, false, false },
    { STR(POST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\na"), true, true, false },
    { STR(POST "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), true, true,
      false },
    { STR(POST "Expect: 100-continue\r\n\r\n"), true, false, false },
    { STR("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na"), false, false,
      false },
    { STR(GET HOST "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"), true, false,
      true },
    { STR(GET HOST "Upgrade: websocket\r\n\r\n"), true, false, false },
    { STR(GET HOST "Connection: upgrade\r\n\r\n"), true, false, false },
    { STR(GET HOST "Connection: not-upgrade\r\nUpgrade: websocket\r\n\r\n"), true, false, false },
    { STR("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"), false, false,
      false },
};

static void connection_upgrade_and_expect_are_understood(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        struct trace t;
        struct http_parser *p = parse(&t, flags[i].input);
        assert_int_equal(t.last.keeps_alive, flags[i].keeps_alive);
        assert_int_equal(t.last.expects_continue, flags[i].expects_continue);
        assert_int_equal(t.last.wants_upgrade, flags[i].wants_upgrade);
        drop(p, &t);
    }
}

static void what_follows_an_upgrade_is_left_alone(void **state)
{
    (void)state;
#define UPGRADE "Connection: upgrade\r\nUpgrade: websocket\r\n"
    struct str heads[] = { STR(GET HOST UPGRADE "\r\n"),
                           STR(POST UPGRADE "Content-Length: 2\r\n\r\nhi") };

    for (size_t i = 0; i < 2; i++) {
        struct trace t;
        struct buf b;
        size_t used = 0;
        trace_init(&t);
        buf_init(&b, 1024);
        buf_append(&b, heads[i].at, heads[i].len);
        buf_puts(&b, "\x81\x05hello");
        struct http_parser *p = http_parser_new(&limits, &events, &t);
        assert_int_equal(http_parser_feed(p, b.data, b.len, &used), 0);
        assert_int_equal(used, heads[i].len);
        assert_true(t.last.wants_upgrade);
        assert_true(str_ends(buf_str(&t.text), STR("end ")));
        buf_deinit(&b);
        drop(p, &t);
    }
}

static void feeding_stops_behind_each_request(void **state)
{
    (void)state;
    struct trace t;
    struct str input = STR(POST "Content-Length: 2\r\n\r\nhi" OK_GET);
    size_t first = input.len - (sizeof(OK_GET) - 1), used = 0;

    trace_init(&t);
    struct http_parser *p = http_parser_new(&limits, &events, &t);
    assert_int_equal(http_parser_feed(p, input.at, input.len, &used), 0);
    assert_int_equal(used, first);
    assert_string_equal(buf_text(&t.text), "POST / [hi] end ");
    /* Until the next byte the completed request can still be read. */
    assert_int_equal(http_parser_feed(p, input.at, 0, &used), 0);
    assert_int_equal(used, 0);
    assert_true(str_equal(t.last.host, STR("a")));
    assert_int_equal(http_parser_feed(p, input.at + first, input.len - first, &used), 0);
    assert_string_equal(buf_text(&t.text), "POST / [hi] end GET / end ");
    drop(p, &t);
}

static void a_parser_knows_where_it_stands(void **state)
{
    (void)state;
    struct trace t;

    trace_init(&t);
    struct http_parser *p = http_parser_new(&limits, &events, &t);
    assert_true(http_parser_is_idle(p));
    feed_all(p, STR("\r\n"), 2);
    assert_true(http_parser_is_idle(p));
    feed_all(p, STR("P"), 1);
    assert_false(http_parser_is_idle(p));
    http_parser_release(p);
    feed_all(p, STR("OST / HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r"), 100);
    assert_false(http_parser_has_head(p));
    feed_all(p, STR("\n"), 1);
    assert_true(http_parser_has_head(p));
    assert_false(http_parser_is_idle(p));
    feed_all(p, STR("hi"), 2);
    assert_false(http_parser_has_head(p));
    assert_true(http_parser_is_idle(p));
    http_parser_release(p);
    assert_true(http_parser_is_idle(p));
    feed_all(p, STR(OK_GET), 100);
    assert_string_equal(buf_text(&t.text), "POST / [hi] end GET / end ");
    drop(p, &t);
}

static void a_callback_can_refuse_the_head(void **state)
{
    (void)state;
    struct trace t;

    trace_init(&t);
    t.head_answer = 413;
    struct http_parser *p = http_parser_new(&limits, &events, &t);
    assert_int_equal(feed_all(p, STR(POST "Content-Length: 2\r\n\r\nhi"), 100), 413);
    assert_string_equal(buf_text(&t.text), "POST / ");
    assert_int_equal(t.body.len, 0);
    drop(p, &t);
}

static void a_callback_can_refuse_the_body(void **state)
{
    (void)state;
    struct str inputs[] = { STR(POST "Content-Length: 2\r\n\r\nhi"), STR(CHUNKED "2\r\nhi\r\n") };

    for (size_t i = 0; i < 2; i++) {
        struct trace t;
        trace_init(&t);
        t.body_answer = 507;
        struct http_parser *p = http_parser_new(&limits, &events, &t);
        assert_int_equal(feed_all(p, inputs[i], 1), 507);
        assert_string_equal(buf_text(&t.body), "h");
        assert_string_equal(buf_text(&t.text), "POST / ");
        drop(p, &t);
    }
}

static void a_list_has_a_token_only_as_a_whole_element(void **state)
{
    (void)state;
    struct trace t;
    struct http_parser *p = parse(&t, STR(GET HOST "L: one, Two ,,three;q=1\r\nM: x\r\nl: four\r\n"
                                                   "Q: \"a, b\\\", c\", d, \"e, f\r\n\r\n"));

    assert_true(http_header_has(&t.last, "l", "ONE"));
    assert_true(http_header_has(&t.last, "L", "two"));
    assert_true(http_header_has(&t.last, "L", "four"));
    assert_false(http_header_has(&t.last, "L", "three"));
    assert_false(http_header_has(&t.last, "L", "x"));
    assert_false(http_header_has(&t.last, "L", "on"));
    assert_false(http_header_has(&t.last, "Q", "b"));
    assert_false(http_header_has(&t.last, "Q", "c"));
    assert_true(http_header_has(&t.last, "Q", "d"));
    assert_false(http_header_has(&t.last, "Q", "f"));
    assert_false(http_header_has(&t.last, "absent", "x"));
    drop(p, &t);
}

static void every_status_we_send_has_a_text(void **state)
{
    (void)state;
    static const int sent[] = { 100, 101, 200, 201, 202, 204, 206, 301, 302, 303, 304, 307,
                                308, 400, 401, 403, 404, 405, 406, 408, 409, 410, 411, 412,
                                413, 414, 415, 416, 417, 421, 422, 423, 424, 425, 426, 428,
                                429, 431, 451, 500, 501, 502, 503, 504, 505, 507 };

    for (size_t i = 0; i < sizeof(sent) / sizeof(sent[0]); i++)
        assert_string_not_equal(http_status_text(sent[i]), "Unknown");
    assert_string_equal(http_status_text(404), "Not Found");
    assert_string_equal(http_status_text(299), "Unknown");
    assert_string_equal(http_method_name(HTTP_DELETE), "DELETE");
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_target_too_long_is_414),
    cmocka_unit_test(a_method_too_long_is_501_or_400),
    cmocka_unit_test(a_head_too_large_is_431),
    cmocka_unit_test(too_many_fields_are_431),
    cmocka_unit_test(trailers_are_limited_like_fields),
    cmocka_unit_test(a_chunk_extension_too_long_is_refused),
    cmocka_unit_test(the_request_carries_what_was_sent),
    cmocka_unit_test(an_absolute_target_replaces_the_host),
    cmocka_unit_test(chunked_has_no_length),
    cmocka_unit_test(connection_upgrade_and_expect_are_understood),
    cmocka_unit_test(what_follows_an_upgrade_is_left_alone),
    cmocka_unit_test(feeding_stops_behind_each_request),
    cmocka_unit_test(a_parser_knows_where_it_stands),
    cmocka_unit_test(a_callback_can_refuse_the_head),
    cmocka_unit_test(a_callback_can_refuse_the_body),
    cmocka_unit_test(a_list_has_a_token_only_as_a_whole_element),
    cmocka_unit_test(every_status_we_send_has_a_text),
};

enum {
    CASES = sizeof(cases) / sizeof(cases[0]),
    TESTS = sizeof(tests) / sizeof(tests[0]),
};

int main(void)
{
    static struct CMUnitTest all[CASES + TESTS];

    for (size_t i = 0; i < CASES; i++)
        all[i] = (struct CMUnitTest){ .name = cases[i].name,
                                      .test_func = request_case,
                                      .initial_state = (void *)&cases[i] };
    memcpy(all + CASES, tests, sizeof(tests));
    return cmocka_run_group_tests(all, NULL, NULL);
}
