/* What is read of others while downloading. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "media/download_direct.h"
#include "media/download_read.h"
#include "media/uploads.h"

static const char *text_of(void (*put)(const char *, struct buf *), const char *from)
{
    static char text[4096];
    struct buf out;

    buf_init(&out, sizeof(text) - 1);
    put(from, &out);
    snprintf(text, sizeof(text), "%s", buf_text(&out));
    buf_deinit(&out);
    return text;
}

static void put_disposition(const char *from, struct buf *out)
{
    if (download_disposition_name(from, out) != OK) {
        buf_reset(out);
        buf_puts(out, "(none)");
    }
}

static void put_title(const char *from, struct buf *out)
{
    download_title_of(str_of(from), out);
}

static void put_file(const char *from, struct buf *out)
{
    download_file_name(str_of(from), ".mp4", out);
}

static void a_name_is_read_from_content_disposition(void **state)
{
    static const struct {
        const char *field, *name;
    } cases[] = {
        { "attachment; filename=\"a b.mp4\"", "a b.mp4" },
        { "attachment; filename=plain.mp4", "plain.mp4" },
        { "attachment; filename=\"a\\\"b;c.mp4\"; size=3", "a\"b;c.mp4" },
        { "attachment; filename=\"x.mp4\"; filename*=UTF-8''%e2%82%ac%20rates.mp4",
          "\xe2\x82\xac rates.mp4" },
        { "attachment; filename*=utf-8'en'd.webm; filename=\"x.mp4\"", "d.webm" },
        { "attachment; filename*=ISO-8859-1''%e4.mp4; filename=\"x.mp4\"", "x.mp4" },
        { "attachment; filename*=UTF-8''%ff.mp4; filename=\"x.mp4\"", "x.mp4" },
        { "attachment", "(none)" },
        { "inline; filename=\"", "(none)" },
        { "; ; =; filename=", "(none)" },
        { "", "(none)" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_string_equal(text_of(put_disposition, cases[i].field), cases[i].name);
}

static void a_name_is_read_from_a_url(void **state)
{
    (void)state;
    assert_string_equal(text_of(download_url_name, "https://h/a/b%20c.mp4?x=/y#z"), "b c.mp4");
    assert_string_equal(text_of(download_url_name, "https://h/a/"), "a");
    assert_string_equal(text_of(download_url_name, "https://h"), "");
    assert_string_equal(text_of(download_url_name, "https://h/%ff"), "");
    assert_string_equal(text_of(download_url_name, "nonsense"), "");
}

static void a_title_has_no_ending(void **state)
{
    (void)state;
    assert_string_equal(text_of(put_title, "talk.mp4"), "talk");
    assert_string_equal(text_of(put_title, "v1.2 of it.webm"), "v1.2 of it");
    assert_string_equal(text_of(put_title, "no ending"), "no ending");
    assert_string_equal(text_of(put_title, "Mr. Nobody's diary"), "Mr. Nobody's diary");
    assert_string_equal(text_of(put_title, ".hidden"), ".hidden");
}

static void a_file_name_leads_nowhere(void **state)
{
    (void)state;
    assert_string_equal(text_of(put_file, "../../etc/passwd"), "etc_passwd.mp4");
    assert_string_equal(text_of(put_file, "a/b\\c:d"), "a_b_c_d.mp4");
    assert_string_equal(text_of(put_file, "\x01\x02"), "video.mp4");
    assert_string_equal(text_of(put_file, ""), "video.mp4");
    assert_string_equal(text_of(put_file, "-rf"), "rf.mp4");
    assert_string_equal(text_of(put_file, "50% of #1?"), "50_ of _1.mp4");
    assert_string_equal(text_of(put_file, "abc\xe2\x80\xae"
                                          "4pm"),
                        "abc4pm.mp4");
    assert_string_equal(text_of(put_file, "bad\xff\xfe bytes"), "bad_ bytes.mp4");
    assert_string_equal(text_of(put_file, "Z\xc3\xbcrich"), "Z\xc3\xbcrich.mp4");
}

static void a_file_name_is_cut_between_characters(void **state)
{
    char title[400] = "";

    (void)state;
    for (int i = 0; i < 100; i++)
        memcpy(title + 3 * i, "\xe2\x82\xac", 4);
    const char *name = text_of(put_file, title);
    assert_int_equal(strlen(name), 120 + 4);
    assert_string_equal(name + 120, ".mp4");
}

static void a_content_range_is_whole_or_nothing(void **state)
{
    static const char *const bad[] = { "",
                                       "bytes",
                                       "bytes 5",
                                       "bytes 5-4/10",
                                       "bytes 0-10/10",
                                       "items 0-1/2",
                                       "bytes a-b/c",
                                       "bytes */10",
                                       "bytes 0-99999999999999999999/*" };
    uint64_t first;
    int64_t total;

    (void)state;
    assert_int_equal(download_content_range("bytes 100-199/1000", &first, &total), OK);
    assert_int_equal(first, 100);
    assert_int_equal(total, 1000);
    assert_int_equal(download_content_range("bytes 0-0/*", &first, &total), OK);
    assert_int_equal(total, -1);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_int_equal(download_content_range(bad[i], &first, &total), FAIL_SYNTAX);
}

static void what_is_out_of_range_may_say_how_long_it_is(void **state)
{
    static const char *const bad[] = { "",           "bytes",     "bytes */",    "bytes */*",
                                       "items */10", "bytes */a", "bytes 0-1/2", "bytes */-1" };

    (void)state;
    assert_int_equal(download_unsatisfied_range("bytes */1000"), 1000);
    assert_int_equal(download_unsatisfied_range("Bytes */0"), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_int_equal(download_unsatisfied_range(bad[i]), -1);
}

static void pages_and_manifests_are_told_from_files(void **state)
{
    (void)state;
    assert_true(download_is_page_type("text/html; charset=utf-8"));
    assert_true(download_is_page_type("Application/VND.apple.mpegURL"));
    assert_true(download_is_page_type("application/dash+xml"));
    assert_false(download_is_page_type("video/mp4"));
    assert_false(download_is_page_type(NULL));
    assert_true(download_is_page("<!DOCTYPE html><p>", 18));
    assert_true(download_is_page("#EXTM3U\n", 8));
    assert_true(download_is_page("<?xml version=\"1.0\"?><MPD>", 26));
    assert_false(download_is_page("{\"a\":1}", 7));
    assert_false(download_is_page("\x1a\x45\xdf\xa3", 4));
}

/* yt-dlp */

static const char two_formats[] =
    "{\"id\":\"v1\",\"title\":\"A title\",\"thumbnail\":\"https://h/t.jpg\",\"duration\":61.5,"
    "\"width\":1920,\"height\":1080,\"vcodec\":\"avc1\",\"requested_formats\":["
    "{\"format_id\":\"137\",\"filesize\":900,\"vcodec\":\"avc1\"},"
    "{\"format_id\":\"a 1\",\"filesize\":null,\"filesize_approx\":100,\"vcodec\":\"none\"}]}";

static struct page_info read_page(const char *json)
{
    struct page_info info;

    assert_int_equal(page_info_read(str_of(json), &info), OK);
    return info;
}

static void what_is_on_its_way_to_the_disk_is_judged_later(void **state)
{
    char name[] = "/tmp/reelay-download-XXXXXX";
    struct direct d = { .file = mkstemp(name) };
    struct verdict v;

    (void)state;
    assert_true(d.file >= 0);
    unlink(name);
    direct_sniff(&d, 8, &v);
    assert_true(v.is_early);
    assert_int_equal(v.err, OK);
    assert_int_equal(write(d.file, "<html>", 6), 6);
    direct_sniff(&d, 8, &v);
    assert_true(v.is_early);
    direct_sniff(&d, 6, &v);
    assert_false(v.is_early);
    assert_int_equal(v.err, FAIL_UNSUPPORTED);
    assert_true(v.is_page);
    close(d.file);
}

static void a_page_says_what_is_there(void **state)
{
    struct page_info info = read_page(two_formats);

    (void)state;
    assert_string_equal(info.remote.id, "v1");
    assert_string_equal(info.remote.title, "A title");
    assert_string_equal(info.remote.thumbnail, "https://h/t.jpg");
    assert_string_equal(info.remote.quality, "1080p");
    assert_int_equal(info.remote.duration_ms, 61500);
    assert_int_equal(info.passes, 2);
    assert_string_equal(info.pass[1].format, "a 1");
    assert_int_equal(info.pass[1].size, 100);
    assert_false(info.pass[1].is_exact);
    assert_false(info.is_live);
}

static void odd_answers_of_a_page_do_no_harm(void **state)
{
    static const char *const odd[] = {
        "{}",
        "{\"id\":7,\"title\":[],\"duration\":\"x\",\"height\":-3,\"requested_formats\":[1,2,3]}",
        "{\"duration\":1e300,\"filesize\":-1,\"height\":1e18,\"thumbnail\":\"javascript:1\"}",
        "{\"requested_formats\":{}}",
    };
    struct page_info info;

    (void)state;
    for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
        info = read_page(odd[i]);
        assert_in_range(info.passes, 1, 2);
        assert_string_equal(info.remote.thumbnail, "");
        assert_int_equal(info.remote.duration_ms, -1);
    }
    assert_int_equal(page_info_read(STR("[]"), &info), FAIL_SYNTAX);
    assert_int_equal(page_info_read(STR("{\"id\":"), &info), FAIL_SYNTAX);
    assert_int_equal(page_info_read(STR(""), &info), FAIL_SYNTAX);
}

static double after(struct page_progress *p, const struct page_info *info, const char *line)
{
    struct download_progress now;

    assert_true(page_progress_line(p, info, str_of(line)));
    page_progress_now(p, &now);
    return now.fraction;
}

static void two_passes_make_one_bar(void **state)
{
    struct page_info info = read_page(two_formats);
    struct page_progress p;
    struct download_progress now;

    (void)state;
    page_progress_init(&p, &info);
    assert_float_equal(after(&p, &info, "RLY downloading 450 900 NA NA NA 137"), 0.45, 1e-9);
    page_progress_now(&p, &now);
    assert_int_equal(now.done, 450);
    assert_int_equal(now.total, -1); /* the sound's is an estimate */
    assert_float_equal(after(&p, &info, "RLY finished 900 900 NA NA NA 137"), 0.9, 1e-9);
    assert_float_equal(after(&p, &info, "RLY downloading 0 120 NA NA NA a 1"), 0.9, 1e-9);
    assert_float_equal(after(&p, &info, "RLY downloading 60 120 NA NA NA a 1"), 0.95, 1e-9);
    page_progress_now(&p, &now);
    assert_int_equal(now.done, 960);
    assert_int_equal(now.total, 1020);
    assert_float_equal(after(&p, &info, "RLY finished 120 120 NA NA NA a 1"), 1, 1e-9);
}

static void an_estimate_never_runs_back_nor_ends_early(void **state)
{
    struct page_info info = read_page("{\"format_id\":\"0\"}");
    struct page_progress p;
    double last = 0;

    (void)state;
    page_progress_init(&p, &info);
    double now = after(&p, &info, "RLY downloading 100 NA 110.5 9 10 0");
    assert_float_equal(now, 0.9, 1e-9);
    assert_float_equal(after(&p, &info, "RLY downloading 120 NA 400.0 3 40 0"), 0.9, 1e-9);
    assert_true(after(&p, &info, "RLY downloading 9999 NA 500 40 40 0") < 1);
    for (uint64_t done = 0; done < UINT64_C(1) << 42; done = 2 * done + 1000) {
        double guess = download_guess(done);
        assert_true(guess >= last && guess < 1);
        last = guess;
    }
}

static void only_progress_lines_are_progress(void **state)
{
    static const char *const others[] = { "", "RLY", "[download] 100%", "RLYdownloading 1 2",
                                          "FILE /x/video.mp4" };
    struct page_info info = read_page("{}");
    struct page_progress p;

    (void)state;
    page_progress_init(&p, &info);
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
        assert_false(page_progress_line(&p, &info, str_of(others[i])));
    assert_true(page_progress_line(&p, &info, STR("RLY x")));
    assert_true(page_progress_line(&p, &info, STR("RLY downloading -5 nan inf 1e999 0 9")));
    assert_true(p.fraction >= 0 && p.fraction < 1);
}

static void a_complaint_names_no_secret(void **state)
{
    (void)state;
    assert_string_equal(text_of(page_complaint,
                                "ERROR: Unsupported URL: https://u:secret@h/x?token=1"),
                        "no video was found on this page");
    assert_string_equal(text_of(page_complaint, "Traceback /home/me/secret"),
                        "the video could not be downloaded from this page");
}

/* On record */

static void a_download_survives_its_record(void **state)
{
    struct upload u = { .size = -1, .is_one_shot = true }, back;
    struct buf json;

    (void)state;
    snprintf(u.download.url, sizeof(u.download.url), "https://h/\"a\"?b=c");
    u.download.quality = QUALITY_720P;
    u.download.is_hls = true;
    buf_init(&json, 16 * 1024);
    upload_write(&u, &json);
    assert_int_equal(upload_read(buf_text(&json), &back), OK);
    assert_string_equal(back.download.url, u.download.url);
    assert_int_equal(back.download.quality, QUALITY_720P);
    assert_true(back.download.is_hls);
    buf_deinit(&json);
}

static void what_is_known_survives_its_record(void **state)
{
    struct remote_info info = {
        .id = "i", .title = "t", .thumbnail = "https://h/t", .quality = "1080p", .duration_ms = 1234
    };
    struct remote_info back;
    struct buf json;

    (void)state;
    buf_init(&json, 16 * 1024);
    remote_info_write(&info, &json);
    assert_int_equal(remote_info_read(buf_str(&json), &back), OK);
    assert_string_equal(back.thumbnail, info.thumbnail);
    assert_string_equal(back.quality, info.quality);
    assert_int_equal(back.duration_ms, 1234);
    assert_int_equal(remote_info_read(STR("7"), &back), FAIL_SYNTAX);
    buf_deinit(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_read_from_content_disposition),
        cmocka_unit_test(a_name_is_read_from_a_url),
        cmocka_unit_test(a_title_has_no_ending),
        cmocka_unit_test(a_file_name_leads_nowhere),
        cmocka_unit_test(a_file_name_is_cut_between_characters),
        cmocka_unit_test(a_content_range_is_whole_or_nothing),
        cmocka_unit_test(what_is_out_of_range_may_say_how_long_it_is),
        cmocka_unit_test(pages_and_manifests_are_told_from_files),
        cmocka_unit_test(what_is_on_its_way_to_the_disk_is_judged_later),
        cmocka_unit_test(a_page_says_what_is_there),
        cmocka_unit_test(odd_answers_of_a_page_do_no_harm),
        cmocka_unit_test(two_passes_make_one_bar),
        cmocka_unit_test(an_estimate_never_runs_back_nor_ends_early),
        cmocka_unit_test(only_progress_lines_are_progress),
        cmocka_unit_test(a_complaint_names_no_secret),
        cmocka_unit_test(a_download_survives_its_record),
        cmocka_unit_test(what_is_known_survives_its_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
