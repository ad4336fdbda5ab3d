/* What HTTP servers say of a file. */
#include "media/download_read.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/utf8.h"
#include "media/sniff.h"
#include "proto/url.h"

enum { NAME_BYTES_MAX = 120, NAME_RAW_MAX = 1024 };

/* Names */

/* RFC 8187: charset'language'percent-coded; only UTF-8 is still in use. */
static int read_extended(struct str value, struct buf *out)
{
    struct str charset = str_cut(&value, '\'');

    str_cut(&value, '\'');
    if (!str_equal_nocase(charset, STR("UTF-8")) || value.at == NULL || value.len == 0)
        return FAIL_MISSING;
    return url_decode(value, false, out) == OK ? OK : FAIL_MISSING;
}

static int read_quoted(struct str value, struct buf *out)
{
    if (value.len == 0 || value.at[0] != '"')
        return value.len > 0 && buf_append(out, value.at, value.len) ? OK : FAIL_MISSING;
    for (size_t i = 1; i < value.len && value.at[i] != '"'; i++) {
        if (value.at[i] == '\\' && i + 1 < value.len)
            i++;
        buf_putc(out, value.at[i]);
    }
    return out->len > 0 && utf8_is_valid(out->data, out->len) ? OK : FAIL_MISSING;
}

/* A parameter up to its semicolon, which may stand in quotes. */
static struct str cut_parameter(struct str *rest)
{
    bool is_quoted = false;
    size_t i = 0;

    for (; i < rest->len && (is_quoted || rest->at[i] != ';'); i++) {
        if (rest->at[i] == '\\' && is_quoted && i + 1 < rest->len)
            i++;
        else if (rest->at[i] == '"')
            is_quoted = !is_quoted;
    }
    struct str found = { rest->at, i };
    size_t used = i < rest->len ? i + 1 : i;
    rest->at += used;
    rest->len -= used;
    return found;
}

int download_disposition_name(const char *field, struct buf *out)
{
    struct str rest = str_of(field), plain = { 0 };

    while (rest.len > 0) {
        struct str value = cut_parameter(&rest);
        struct str name = str_trim(str_cut(&value, '='));
        if (value.at == NULL)
            continue;
        buf_reset(out);
        if (str_equal_nocase(name, STR("filename*")) && read_extended(str_trim(value), out) == OK)
            return OK;
        if (str_equal_nocase(name, STR("filename")))
            plain = str_trim(value);
    }
    buf_reset(out);
    return plain.at != NULL ? read_quoted(plain, out) : FAIL_MISSING;
}

void download_url_name(const char *url, struct buf *out)
{
    const char *host = strstr(url, "://");
    const char *path = host ? strchr(host + 3, '/') : NULL;
    struct buf name;

    if (path == NULL)
        return;
    struct str rest = { path, strcspn(path, "?#") }, last = { 0 };
    while (rest.at != NULL) {
        struct str segment = str_cut(&rest, '/');
        if (segment.len > 0)
            last = segment;
    }
    buf_init(&name, DOWNLOAD_URL_MAX);
    if (last.at != NULL && url_decode(last, false, &name) == OK)
        buf_append(out, name.data, name.len);
    buf_deinit(&name);
}

void download_title_of(struct str name, struct buf *out)
{
    size_t dot = name.len;

    for (size_t i = 1; i < name.len; i++)
        if (name.at[i] == '.')
            dot = i;
    if (name.len - dot > 6 || name.len - dot < 2) /* ".webm" has five */
        dot = name.len;
    buf_append(out, name.at, dot);
}

static bool is_bad_in_name(const char *at, size_t length)
{
    unsigned char c = (unsigned char)*at;

    return length == 1 && (c < 0x20 || c == 0x7f || strchr("/\\:*?\"<>|%#", c) != NULL);
}

/* C1 controls, and what turns the order of letters round: U+0080-9F, U+200E-F,
 * U+202A-E, U+2066-9. */
static bool is_hidden(const char *at, size_t length)
{
    const unsigned char *b = (const unsigned char *)at;

    if (length == 2)
        return b[0] == 0xc2 && b[1] < 0xa0;
    if (length != 3 || b[0] != 0xe2)
        return false;
    return (b[1] == 0x80 && (b[2] == 0x8e || b[2] == 0x8f || (b[2] >= 0xaa && b[2] <= 0xae))) ||
           (b[1] == 0x81 && b[2] >= 0xa6 && b[2] <= 0xa9);
}

void download_file_name(struct str title, const char *ending, struct buf *out)
{
    size_t from = out->len;

    for (size_t i = 0; i < title.len;) {
        size_t length = utf8_length(title.at + i, title.len - i);
        size_t used = length ? length : 1;
        bool is_bad = length == 0 || is_bad_in_name(title.at + i, length);
        bool is_first = out->len == from;
        if (out->len - from + used > NAME_BYTES_MAX)
            break;
        if (is_bad && !is_first && out->data[out->len - 1] != '_')
            buf_putc(out, '_');
        else if (!is_bad && !is_hidden(title.at + i, length) &&
                 !(is_first && strchr(" .-_", title.at[i]) != NULL))
            buf_append(out, title.at + i, length);
        i += used;
    }
    while (out->len > from && strchr(" ._", out->data[out->len - 1]) != NULL)
        out->data[--out->len] = '\0';
    if (out->len == from)
        buf_puts(out, "video");
    buf_puts(out, ending);
}

const char *download_ending(const char *demuxer, bool has_video)
{
    static const struct {
        const char *demuxer, *video, *sound;
    } endings[] = {
        { "mov", ".mp4", ".m4a" },  { "matroska", ".mkv", ".mka" }, { "mpegts", ".ts", ".ts" },
        { "mpeg", ".mpg", ".mpg" }, { "avi", ".avi", ".avi" },      { "flv", ".flv", ".flv" },
        { "asf", ".wmv", ".wma" },  { "ogg", ".ogv", ".ogg" },      { "mp3", ".mp3", ".mp3" },
        { "aac", ".aac", ".aac" },  { "flac", ".flac", ".flac" },   { "wav", ".wav", ".wav" },
        { "mxf", ".mxf", ".mxf" },
    };

    for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++)
        if (strcmp(endings[i].demuxer, demuxer) == 0)
            return has_video ? endings[i].video : endings[i].sound;
    return ".bin";
}

/* Fields */

int download_content_range(const char *field, uint64_t *first, int64_t *total)
{
    struct str rest = str_of(field);
    struct str unit = str_cut(&rest, ' '), range = str_cut(&rest, '/');
    uint64_t from, to, whole = 0;
    bool is_known = !str_equal(rest, STR("*"));

    if (!str_equal_nocase(unit, STR("bytes")) || range.at == NULL || rest.at == NULL)
        return FAIL_SYNTAX;
    struct str begin = str_cut(&range, '-');
    if (range.at == NULL || str_parse_u64(begin, INT64_MAX, &from) != OK ||
        str_parse_u64(range, INT64_MAX, &to) != OK || to < from ||
        (is_known && (str_parse_u64(rest, INT64_MAX, &whole) != OK || whole <= to)))
        return FAIL_SYNTAX;
    *first = from;
    *total = is_known ? (int64_t)whole : -1;
    return OK;
}

int64_t download_unsatisfied_range(const char *field)
{
    struct str rest = str_of(field);
    struct str unit = str_cut(&rest, ' '), range = str_cut(&rest, '/');
    uint64_t whole;

    if (!str_equal_nocase(unit, STR("bytes")) || !str_equal(range, STR("*")) ||
        str_parse_u64(rest, INT64_MAX, &whole) != OK)
        return -1;
    return (int64_t)whole;
}

bool download_is_page_type(const char *content_type)
{
    static const char *const types[] = { "text/html",
                                         "application/xhtml+xml",
                                         "application/vnd.apple.mpegurl",
                                         "application/x-mpegurl",
                                         "audio/mpegurl",
                                         "audio/x-mpegurl",
                                         "application/dash+xml",
                                         "application/vnd.ms-sstr+xml" };
    struct str rest = str_of(content_type);
    struct str type = str_trim(str_cut(&rest, ';'));

    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
        if (str_equal_nocase(type, str_of(types[i])))
            return true;
    return false;
}

bool download_is_page(const void *bytes, size_t len)
{
    const char *why = "";

    if (sniff_demuxer(bytes, len, &why) != NULL)
        return false;
    return strstr(why, "playlist") != NULL || strstr(why, "web page") != NULL;
}
