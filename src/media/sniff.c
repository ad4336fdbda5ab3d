#include "media/sniff.h"

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "base/utf8.h"

/* Bytes at one offset, for the formats that are as simple as that. */
struct magic {
    size_t offset;
    struct str bytes;
    const char *demuxer;
};

static const struct magic containers[] = {
    { 0, STR("\x1a\x45\xdf\xa3"), "matroska" },
    { 0, STR("FLV\x01"), "flv" },
    { 0, STR("\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c"), "asf" },
    { 0, STR("OggS"), "ogg" },
    { 0, STR("fLaC"), "flac" },
    { 0, STR("\x00\x00\x01\xba"), "mpeg" },
    { 0, STR("\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02"), "mxf" },
    { 0, STR("DKIF\x00\x00"), "ivf" },
    { 0, STR("YUV4MPEG2 "), "yuv4mpegpipe" },
};

struct other {
    size_t offset;
    struct str bytes;
    const char *why;
};

static const char playlist[] = "this is a playlist, not a video";
static const char picture[] = "this is a picture, not a video";
static const char archive[] = "this is an archive, not a video";

static const struct other others[] = {
    { 0, STR("#EXTM3U"), playlist },
    { 0, STR("ffconcat version"), playlist },
    { 0, STR("[playlist]"), playlist },
    { 0, STR("v=0"), "this is a session description, not a video" },
    { 0, STR("\xff\xd8\xff"), picture },
    { 0, STR("\x89PNG"), picture },
    { 0, STR("GIF8"), picture },
    { 0, STR("II*\0"), picture },
    { 0, STR("MM\0*"), picture },
    { 0, STR("8BPS"), picture },
    { 0, STR("\0\0\0\x0cjP  "), picture },
    { 0, STR("PK\x03\x04"), archive },
    { 0, STR("\x1f\x8b"), archive },
    { 0, STR("7z\xbc\xaf\x27\x1c"), archive },
    { 0, STR("Rar!"), archive },
    { 257, STR("ustar"), archive },
    { 0, STR("%PDF"), "this is a document, not a video" },
    { 0,
      STR("\x7f"
          "ELF"),
      "this is a program, not a video" },
    { 0, STR("MZ"), "this is a program, not a video" },
};

static bool has(struct str s, size_t offset, struct str bytes)
{
    return s.len >= offset && str_starts((struct str){ s.at + offset, s.len - offset }, bytes);
}

static uint8_t at(struct str s, size_t i)
{
    return i < s.len ? (uint8_t)s.at[i] : 0;
}

/* ISO/IEC 14496-12 and QuickTime: a box's length, then its name. */
static const char *sniff_boxes(struct str s, const char **why)
{
    static const char *const first[] = { "ftyp", "moov", "mdat", "wide", "free", "skip", "pnot" };
    static const char *const pictures[] = { "heic", "heix", "heif", "hevc", "mif1",
                                            "msf1", "avif", "avis", "crx " };
    bool found = false;

    for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++)
        found = found || has(s, 4, str_of(first[i]));
    if (!found)
        return NULL;
    for (size_t i = 0; i < sizeof(pictures) / sizeof(pictures[0]); i++) {
        if (has(s, 4, STR("ftyp")) && has(s, 8, str_of(pictures[i]))) {
            *why = picture;
            return NULL;
        }
    }
    return "mov";
}

static const char *sniff_riff(struct str s, const char **why)
{
    if (!has(s, 0, STR("RIFF")) && !has(s, 0, STR("RF64")))
        return NULL;
    if (has(s, 8, STR("AVI ")) || has(s, 8, STR("AVIX")))
        return "avi";
    if (has(s, 8, STR("WAVE")))
        return "wav";
    if (has(s, 8, STR("WEBP")))
        *why = picture;
    return NULL;
}

/* Packets of 188 bytes, bare (ISO/IEC 13818-1) or each with four bytes of time
 * before it (Blu-ray, camcorders) or a checksum behind it (DVB). */
static const char *sniff_packets(struct str s)
{
    static const struct {
        size_t first, step;
    } layouts[] = { { 0, 188 }, { 4, 192 }, { 0, 204 } };

    for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
        size_t packets = 0, p = layouts[i].first;
        for (; packets < 5 && p < s.len && at(s, p) == 0x47; p += layouts[i].step)
            packets++;
        if (packets == 5 || (packets >= 2 && p >= s.len))
            return "mpegts";
    }
    return NULL;
}

/* ISO/IEC 11172-3, 2.4.2.3, and ISO/IEC 13818-7 ADTS: both begin with a run of
 * ones; the layer, which ADTS has at zero, tells them apart. */
static const char *sniff_frame(struct str s, size_t i)
{
    unsigned b1 = at(s, i + 1), b2 = at(s, i + 2);

    if (at(s, i) != 0xff || s.len < i + 4)
        return NULL;
    if ((b1 & 0xf6) == 0xf0)
        return ((b2 >> 2) & 15) < 13 ? "aac" : NULL;
    bool has_sync = (b1 & 0xe0) == 0xe0, has_version = ((b1 >> 3) & 3) != 1;
    /* Layer I is left out: nobody has it, and UTF-16 text looks like it. */
    bool has_layer = ((b1 >> 1) & 3) == 1 || ((b1 >> 1) & 3) == 2,
         has_rate = (b2 >> 4) != 15 && (b2 >> 4) != 0;
    return has_sync && has_version && has_layer && has_rate && ((b2 >> 2) & 3) != 3 ? "mp3" : NULL;
}

/* A tag by ID3v2.4, section 3.1, then the sound. Behind a tag larger than what
 * was read (a cover picture) it is nearly always MP3. */
static const char *sniff_sound(struct str s)
{
    if (!has(s, 0, STR("ID3")))
        return sniff_frame(s, 0);
    size_t size = (size_t)(at(s, 6) & 127) << 21 | (size_t)(at(s, 7) & 127) << 14 |
                  (size_t)(at(s, 8) & 127) << 7 | (at(s, 9) & 127);
    size_t next = 10 + size + (at(s, 5) & 0x10 ? 10 : 0);
    if (next + 4 > s.len)
        return "mp3";
    if (has(s, next, STR("fLaC")))
        return "flac";
    const char *demuxer = sniff_frame(s, next);
    return demuxer ? demuxer : "mp3";
}

static bool is_text(struct str s)
{
    struct utf8 u = { 0 };

    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.at[i];
        if (c < 0x20 && c != '\t' && c != '\n' && c != '\r' && c != '\f')
            return false;
    }
    return utf8_feed(&u, s.at, s.len);
}

static bool is_zero(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.at[i] != 0)
            return false;
    return true;
}

static bool contains(struct str s, struct str word)
{
    for (size_t i = 0; i + word.len <= s.len; i++)
        if (str_equal_nocase((struct str){ s.at + i, word.len }, word))
            return true;
    return false;
}

static const char *name_other(struct str s)
{
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (has(s, others[i].offset, others[i].bytes))
            return others[i].why;
    if (is_zero(s))
        return "there is nothing but zeros at the start of this file";
    if (!is_text(s))
        return "this is no video or sound format that can be read here";
    struct str start = { s.at, s.len < 1024 ? s.len : 1024 };
    if (contains(start, STR("<MPD")) || contains(start, STR("#EXTM3U")) ||
        contains(start, STR("ffconcat")))
        return playlist;
    if (contains(start, STR("<html")) || contains(start, STR("<!doctype html")))
        return "this is a web page, not a video";
    return "this is text, not a video";
}

const char *sniff_demuxer(const void *bytes, size_t len, const char **why)
{
    struct str s = { bytes, len };
    const char *refusal = NULL;

    if (len == 0) {
        *why = "the file is empty";
        return NULL;
    }
    for (size_t i = 0; i < sizeof(containers) / sizeof(containers[0]); i++)
        if (has(s, containers[i].offset, containers[i].bytes))
            return containers[i].demuxer;
    const char *demuxer = sniff_boxes(s, &refusal);
    if (demuxer == NULL && refusal == NULL)
        demuxer = sniff_riff(s, &refusal);
    if (demuxer == NULL && refusal == NULL)
        demuxer = sniff_packets(s);
    if (demuxer == NULL && refusal == NULL)
        demuxer = sniff_sound(s);
    if (demuxer == NULL)
        *why = refusal ? refusal : name_other(s);
    return demuxer;
}
