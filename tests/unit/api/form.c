#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "api/form.h"
#include "base/err.h"
#include "base/mem.h"

#define TYPE        "multipart/form-data; boundary=B"
#define FIELD(name) "--B\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n"
#define FILE(name)                                                                                 \
    "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"" name "\"\r\n\r\n"
#define NUMBER(name)                                                                               \
    "--B\r\nContent-Disposition: form-data; name=\"0\"; filename=\"" name "\"\r\n\r\n"
#define END        "\r\n--B--\r\n"
#define DATA(json) FIELD("data") json "\r\n"

static struct buf taken;

static int take(void *context, const char *bytes, size_t len)
{
    assert_ptr_equal(context, &taken);
    buf_append(&taken, bytes, len);
    return OK;
}

/* In pieces of `step` bytes, each in memory of its own. */
static int read_form(struct form *f, const char *body, size_t step)
{
    size_t left = strlen(body);
    int err = OK;

    assert_int_equal(form_init(f, STR(TYPE), take, &taken), OK);
    buf_init(&taken, 4096);
    while (left > 0 && err == OK) {
        size_t len = step < left ? step : left;
        char *piece = mem_strndup(body, len);
        err = form_feed(f, piece, len);
        mem_free(piece);
        body += len;
        left -= len;
    }
    return err == OK ? form_end(f) : err;
}

static void release(struct form *f)
{
    form_deinit(f);
    buf_deinit(&taken);
}

static void expect(const char *body, const char *file, const char *file_name, const char *title)
{
    struct form f;

    for (size_t step = 1; step < 200; step += 33) {
        assert_int_equal(read_form(&f, body, step), OK);
        assert_string_equal(buf_text(&taken), file);
        assert_string_equal(f.file_name, file_name);
        assert_string_equal(f.title, title);
        release(&f);
    }
}

static void expect_refusal(const char *body, const char *field, const char *word)
{
    struct form f;

    for (size_t step = 1; step < 200; step += 33) {
        assert_true(read_form(&f, body, step) != OK);
        assert_string_equal(f.complaint.code, "invalid_form");
        if (field != NULL)
            assert_string_equal(f.complaint.field, field);
        else
            assert_null(f.complaint.field);
        assert_non_null(strstr(f.complaint.message, word));
        release(&f);
    }
}

static void a_plain_form_has_a_file_and_perhaps_a_title(void **state)
{
    (void)state;
    expect(FILE("a.mp4") "bytes" END, "bytes", "a.mp4", "a.mp4");
    expect(FILE("a.mp4") "bytes\r\n" FIELD("title") "A walk" END, "bytes", "a.mp4", "A walk");
    expect(FIELD("title") "\r\n" FILE("a.mp4") "bytes" END, "bytes", "a.mp4", "a.mp4");
    expect(FIELD("file") "bytes" END, "bytes", "", "");
    expect(FIELD("csrf") "x\r\n" FILE("a.mp4") "bytes" END, "bytes", "a.mp4", "a.mp4");
}

static void the_data_of_orpc_says_what_the_file_is(void **state)
{
    (void)state;
    expect(DATA("{\"json\":{\"file\":{}},\"maps\":[[\"file\"]]}") NUMBER("a.mp4") "bytes" END,
           "bytes", "a.mp4", "a.mp4");
    expect(NUMBER("blob") "bytes\r\n" FIELD(
               "data") "{\"json\":{\"title\":\"A "
                       "walk\",\"file\":{}},\"meta\":[],\"maps\":[[\"file\"]]}" END,
           "bytes", "blob", "A walk");
}

static void a_file_s_name_is_only_for_people(void **state)
{
    char body[2048], wanted[FILE_NAME_MAX + 1] = "";

    (void)state;
    expect(FILE("C:\\videos\\a.mp4") "x" END, "x", "a.mp4", "a.mp4");
    expect(FILE("../../etc/passwd") "x" END, "x", "passwd", "passwd");
    expect(FILE("a%0d%0a%22b") "x" END, "x", "a\"b", "a\"b");
    expect(FILE("..") "x" END, "x", "..", "..");
    expect(FILE("videos/") "x" END, "x", "", "");
    /* 254 bytes, and then one character of two that does not fit. */
    snprintf(body, sizeof(body), "%s%0254d\xc3\xa4.mp4\"\r\n\r\nx%s",
             "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"", 0, END);
    memset(wanted, '0', 254);
    expect(body, "x", wanted, wanted);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    expect_refusal("--B--\r\n", "file", "no file");
    expect_refusal(FILE("a") "x\r\n" FILE("b") "x" END, "file", "more than one");
    expect_refusal(NUMBER("a") "x" END, "data", "no field");
    expect_refusal(DATA("{") NUMBER("a") "x" END, "data", "JSON");
    expect_refusal(DATA("{\"json\":{\"file\":{}},\"maps\":[[\"fil\"]]}") NUMBER("a") "x" END,
                   "file", "{file}");
    expect_refusal(DATA("{\"json\":{\"file\":{},\"title\":1},\"maps\":[[\"file\"]]}")
                       NUMBER("a") "x" END,
                   "title", "title");
    expect_refusal(FIELD("title") "\xff\r\n" FILE("a") "x" END, "title", "UTF-8");
    expect_refusal(FILE("a") "x", NULL, "last boundary");
    expect_refusal("--B\r\nX\r\n\r\n" END, NULL, "malformed");
}

static void other_types_are_no_forms(void **state)
{
    struct form f;

    (void)state;
    assert_int_equal(form_init(&f, STR("application/json"), take, &taken), FAIL_UNSUPPORTED);
    assert_int_equal(form_init(&f, STR("multipart/form-data"), take, &taken), FAIL_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_form_has_a_file_and_perhaps_a_title),
        cmocka_unit_test(the_data_of_orpc_says_what_the_file_is),
        cmocka_unit_test(a_file_s_name_is_only_for_people),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(other_types_are_no_forms),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
