#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "proto/xml.h"

/* Writes down what was heard. */
static int begun(void *context, const char *path)
{
    const char *name = strrchr(path, '/');

    buf_printf(context, "<%s>", name != NULL ? name + 1 : path);
    return OK;
}

static int ended(void *context, const char *path, struct str text)
{
    buf_printf(context, "%s=%.*s;", path, STR_ARG(text));
    return str_equal(text, STR("stop")) ? FAIL_STALE : OK;
}

static void expect(const char *document, int err, const char *heard)
{
    struct xml_handler handler = { begun, ended, NULL };
    struct buf out, why;

    buf_init(&out, 4096);
    buf_init(&why, 1024);
    handler.context = &out;
    assert_int_equal(xml_read(str_of(document), &handler, &why), err);
    assert_int_equal(why.len == 0, err == OK);
    if (heard != NULL)
        assert_string_equal(buf_text(&out), heard);
    buf_deinit(&out);
    buf_deinit(&why);
}

static void elements_are_told_by_their_path_with_the_text_in_them(void **state)
{
    (void)state;
    expect("<a/>", OK, "<a>a=;");
    expect("<?xml version=\"1.0\" encoding=\"UTF-8\"?><a><b>1</b><b>2</b></a>", OK,
           "<a><b>a/b=1;<b>a/b=2;a=;");
    expect("<a>x<b>1</b>y</a>", OK, "<a><b>a/b=1;a=xy;");
    expect("<a xmlns=\"http://s3\" k=\"v\"><z:b xmlns:z=\"u\">1</z:b></a>", OK, "<a><b>a/b=1;a=;");
    expect("<a>&lt;&amp;&#228;<![CDATA[<b>]]><!-- no --></a>", OK, "<a>a=<&\xc3\xa4<b>;");
}

static void what_is_no_whole_document_is_refused(void **state)
{
    (void)state;
    expect("", FAIL_SYNTAX, "");
    expect("hello", FAIL_SYNTAX, "");
    expect("<a><b></a>", FAIL_SYNTAX, NULL);
    expect("<a>", FAIL_SYNTAX, NULL);
    expect("<a/><b/>", FAIL_SYNTAX, NULL);
    expect("<a>&nbsp;</a>", FAIL_SYNTAX, NULL);
    expect("<a>\xff</a>", FAIL_SYNTAX, NULL);
}

static void a_doctype_is_refused_before_its_entities_grow(void **state)
{
    (void)state;
    expect("<!DOCTYPE a><a/>", FAIL_SYNTAX, "");
    expect("<!DOCTYPE a [<!ENTITY b \"bb\"><!ENTITY c \"&b;&b;\">]><a>&c;</a>", FAIL_SYNTAX, "");
    expect("<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>", FAIL_SYNTAX, "");
    expect("<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>", FAIL_SYNTAX, "");
}

static void a_reader_can_end_it(void **state)
{
    (void)state;
    expect("<a><b>stop</b><b>2</b></a>", FAIL_STALE, "<a><b>a/b=stop;");
}

static int count(void *context, const char *path, struct str text)
{
    (void)path;
    (void)text;
    ++*(size_t *)context;
    return OK;
}

static int read_repeated(const char *before, const char *what, size_t times, const char *after,
                         size_t *heard)
{
    struct xml_handler handler = { .ended = count, .context = heard };
    struct buf document;

    *heard = 0;
    buf_init(&document, 16u << 20);
    buf_puts(&document, before);
    for (size_t i = 0; i < times; i++)
        buf_puts(&document, what);
    buf_puts(&document, after);
    assert_false(document.failed);
    int err = xml_read(buf_str(&document), &handler, NULL);
    buf_deinit(&document);
    return err;
}

static void depth_text_and_count_are_bounded(void **state)
{
    size_t heard;

    (void)state;
    assert_int_equal(read_repeated("", "<a>", XML_DEPTH_MAX + 1, "", &heard), FAIL_LIMIT);
    assert_int_equal(read_repeated("", "<a>", 100000, "", &heard), FAIL_LIMIT);
    assert_int_equal(read_repeated("<a>", "0123456789abcdef", XML_TEXT_MAX / 16, "</a>", &heard),
                     OK);
    assert_int_equal(read_repeated("<a>", "0123456789abcdef", XML_TEXT_MAX / 16, "!</a>", &heard),
                     FAIL_LIMIT);
    assert_int_equal(read_repeated("<a>", "<b/>", XML_ELEMENTS_MAX - 1, "</a>", &heard), OK);
    assert_int_equal(heard, XML_ELEMENTS_MAX);
    assert_int_equal(read_repeated("<a>", "<b/>", XML_ELEMENTS_MAX, "</a>", &heard), FAIL_LIMIT);
    assert_int_equal(read_repeated("<", "abcdefgh", XML_PATH_MAX / 8 + 1, "/>", &heard),
                     FAIL_LIMIT);
}

static void what_is_escaped_comes_back_as_it_was(void **state)
{
    struct xml_handler handler = { .ended = ended };
    struct buf document, out;

    (void)state;
    buf_init(&document, 4096);
    buf_init(&out, 4096);
    buf_puts(&document, "<a>");
    xml_escape(STR("<&>\"'\r\n\t\xc3\xa4]]>"), &document);
    buf_puts(&document, "</a>");
    handler.context = &out;
    assert_int_equal(xml_read(buf_str(&document), &handler, NULL), OK);
    assert_string_equal(buf_text(&out), "a=<&>\"'\r\n\t\xc3\xa4]]>;");
    buf_reset(&document);
    xml_escape((struct str){ "a\0\x01\xff\xef\xbf\xbf", 7 }, &document);
    assert_string_equal(buf_text(&document), "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    buf_deinit(&document);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_are_told_by_their_path_with_the_text_in_them),
        cmocka_unit_test(what_is_no_whole_document_is_refused),
        cmocka_unit_test(a_doctype_is_refused_before_its_entities_grow),
        cmocka_unit_test(a_reader_can_end_it),
        cmocka_unit_test(depth_text_and_count_are_bounded),
        cmocka_unit_test(what_is_escaped_comes_back_as_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
