#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "media/playlist_sign.h"

static int sign(void *context, const char *key, struct buf *out)
{
    if (context != NULL)
        return *(int *)context;
    buf_printf(out, "https://b/%s?sig=1", key);
    return OK;
}

static void check(const char *text, const char *expected)
{
    struct buf out;

    buf_init(&out, 4096);
    assert_int_equal(playlist_sign(str_of(text), "v/k/720p", sign, NULL, &out), OK);
    assert_string_equal(buf_text(&out), expected);
    buf_deinit(&out);
}

static void segments_and_maps_are_signed(void **state)
{
    (void)state;
    check("#EXTM3U\n#EXT-X-MAP:URI=\"init.mp4\",BYTERANGE=\"7@0\"\n#EXTINF:4.0,\ns00000.m4s\n"
          "#EXT-X-ENDLIST\n",
          "#EXTM3U\n#EXT-X-MAP:URI=\"https://b/v/k/720p/init.mp4?sig=1\",BYTERANGE=\"7@0\"\n"
          "#EXTINF:4.0,\nhttps://b/v/k/720p/s00000.m4s?sig=1\n#EXT-X-ENDLIST\n");
    check("a/b.m4s", "https://b/v/k/720p/a/b.m4s?sig=1\n");
    check("a.m4s\r\n\r\nb.m4s\r\n",
          "https://b/v/k/720p/a.m4s?sig=1\n\nhttps://b/v/k/720p/b.m4s?sig=1\n");
}

static void what_is_not_beside_the_playlist_stays(void **state)
{
    static const char *const uris[] = {
        "https://elsewhere/s.m4s",
        "/etc/passwd",
        "../480p/s.m4s",
        "a/../../../x",
        "s.m4s?x=1",
        "./s.m4s",
        "a//b",
        "%2e%2e/x",
        "data:x",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(uris) / sizeof(*uris); i++) {
        char text[64];
        snprintf(text, sizeof(text), "%s\n", uris[i]);
        check(text, text);
        snprintf(text, sizeof(text), "#EXT-X-MAP:URI=\"%s\"\n", uris[i]);
        check(text, text);
    }
    check("#EXT-X-MAP:URI=\"never ends\n", "#EXT-X-MAP:URI=\"never ends\n");
    check("#EXTINF:4,URI=\"a.m4s\"\n", "#EXTINF:4,URI=\"a.m4s\"\n");
    check("", "");
}

static void a_byte_of_zero_names_nothing(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    assert_int_equal(playlist_sign(STR("a\0b.m4s\n"), "v", sign, NULL, &out), OK);
    assert_memory_equal(out.data, "a\0b.m4s\n", 8);
    buf_deinit(&out);
}

static void what_cannot_be_signed_or_is_too_long_fails(void **state)
{
    struct buf out;
    int refused = FAIL_UNSUPPORTED;

    (void)state;
    buf_init(&out, 4096);
    assert_int_equal(playlist_sign(STR("a.m4s\n"), "v", sign, &refused, &out), FAIL_UNSUPPORTED);
    buf_deinit(&out);
    buf_init(&out, 8);
    assert_int_equal(playlist_sign(STR("a.m4s\n"), "v", sign, NULL, &out), FAIL_LIMIT);
    buf_deinit(&out);
}

static void a_master_is_known_by_its_variants(void **state)
{
    (void)state;
    assert_true(playlist_is_master(STR("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na/index.m3u8\n")));
    assert_false(playlist_is_master(STR("#EXTM3U\n#EXTINF:4,\n#EXT-X-STREAM-INF\n")));
    assert_false(playlist_is_master(STR("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_and_maps_are_signed),
        cmocka_unit_test(what_is_not_beside_the_playlist_stays),
        cmocka_unit_test(a_byte_of_zero_names_nothing),
        cmocka_unit_test(what_cannot_be_signed_or_is_too_long_fails),
        cmocka_unit_test(a_master_is_known_by_its_variants),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
