#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/str.h"
#include "media/sniff.h"

static void assert_sniffed(struct str s, const char *demuxer)
{
    const char *why = NULL;
    const char *found = sniff_demuxer(s.at, s.len, &why);

    assert_non_null(found);
    assert_string_equal(found, demuxer);
}

static void assert_refused(struct str s, const char *why)
{
    const char *said = NULL;

    assert_null(sniff_demuxer(s.at, s.len, &said));
    assert_string_equal(said, why);
}

static void containers_are_known_by_their_first_bytes(void **state)
{
    (void)state;
    assert_sniffed(STR("\0\0\0\x20"
                       "ftypisom"),
                   "mov");
    assert_sniffed(STR("\0\0\0\x08"
                       "wide\0\0\0\0mdat"),
                   "mov");
    assert_sniffed(STR("\0\0\1\0moov"), "mov");
    assert_sniffed(STR("\x1a\x45\xdf\xa3\x01"), "matroska");
    assert_sniffed(STR("RIFF\1\2\3\4AVI LIST"), "avi");
    assert_sniffed(STR("RIFF\1\2\3\4WAVEfmt "), "wav");
    assert_sniffed(STR("FLV\x01\x05"), "flv");
    assert_sniffed(STR("OggS\0\2"), "ogg");
    assert_sniffed(STR("fLaC\0\0"), "flac");
    assert_sniffed(STR("\0\0\1\xba\x44"), "mpeg");
    assert_sniffed(STR("\xff\xfb\x90\x64"), "mp3");
    assert_sniffed(STR("\xff\xf1\x50\x80"), "aac");
    assert_sniffed(STR("ID3\4\0\0\0\0\0\0\xff\xf1\x50\x80"), "aac");
    assert_sniffed(STR("ID3\4\0\0\0\0\0\0fLaC"), "flac");
    assert_sniffed(STR("ID3\4\0\0\0\0\x7f\x7f\1\2\3"), "mp3");
}

static void transport_streams_are_known_by_their_repeated_sync(void **state)
{
    char bytes[4096] = { 0 };
    (void)state;

    for (size_t i = 0; i < sizeof(bytes); i += 188)
        bytes[i] = 0x47;
    assert_sniffed((struct str){ bytes, sizeof(bytes) }, "mpegts");
    memset(bytes, 0, sizeof(bytes));
    for (size_t i = 4; i < sizeof(bytes); i += 192)
        bytes[i] = 0x47;
    assert_sniffed((struct str){ bytes, sizeof(bytes) }, "mpegts");
    memset(bytes, 1, sizeof(bytes));
    bytes[0] = 0x47;
    assert_refused((struct str){ bytes, sizeof(bytes) },
                   "this is no video or sound format that can be read here");
}

static void what_names_other_files_is_refused(void **state)
{
    static const char why[] = "this is a playlist, not a video";
    (void)state;

    assert_refused(STR("#EXTM3U\n#EXT-X-VERSION:3\n/etc/passwd\n"), why);
    assert_refused(STR("ffconcat version 1.0\nfile /etc/passwd\n"), why);
    assert_refused(STR("\xef\xbb\xbf#EXTM3U\n"), why);
    assert_refused(STR("\n\n #EXTM3U\n"), why);
    assert_refused(STR("<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\">"),
                   why);
    assert_refused(STR("v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n"),
                   "this is a session description, not a video");
}

static void other_things_are_called_by_their_name(void **state)
{
    (void)state;
    assert_refused((struct str){ "", 0 }, "the file is empty");
    assert_refused(STR("\x89PNG\r\n\x1a\n"), "this is a picture, not a video");
    assert_refused(STR("GIF89a"), "this is a picture, not a video");
    assert_refused(STR("\0\0\0\x18"
                       "ftypheic"),
                   "this is a picture, not a video");
    assert_refused(STR("RIFF\1\2\3\4WEBPVP8 "), "this is a picture, not a video");
    assert_refused(STR("PK\x03\x04"), "this is an archive, not a video");
    assert_refused(STR("\0\0\0\0\0\0\0\0"), "there is nothing but zeros at the start of this file");
    assert_refused(STR("\xff\xfeh\0e\0l\0l\0o\0"),
                   "this is no video or sound format that can be read here");
    assert_refused(STR("Dear diary,\n"), "this is text, not a video");
    assert_refused(STR("<!DOCTYPE html><title>Not found</title>"),
                   "this is a web page, not a video");
}

static void every_prefix_of_anything_is_safe_to_look_at(void **state)
{
    static const struct str samples[] = { STR("\0\0\0\x20"
                                              "ftypisom\0\0\0\0"),
                                          STR("RIFF\1\2\3\4AVI LIST"),
                                          STR("ID3\4\0\x10\0\0\0\0\xff\xf1\x50\x80"),
                                          STR("\x47\0\0\x47"), STR("\xff\xff\xff\xff") };
    const char *why;
    (void)state;

    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
        for (size_t len = 0; len <= samples[i].len; len++) {
            char *copy = test_malloc(len ? len : 1); /* so that a byte too far is noticed */
            memcpy(copy, samples[i].at, len);
            why = NULL;
            const char *demuxer = sniff_demuxer(copy, len, &why);
            assert_true((demuxer == NULL) == (why != NULL));
            test_free(copy);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(containers_are_known_by_their_first_bytes),
        cmocka_unit_test(transport_streams_are_known_by_their_repeated_sync),
        cmocka_unit_test(what_names_other_files_is_refused),
        cmocka_unit_test(other_things_are_called_by_their_name),
        cmocka_unit_test(every_prefix_of_anything_is_safe_to_look_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
