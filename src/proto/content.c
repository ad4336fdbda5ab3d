#include "proto/content.h"

#include "base/err.h"
#include "proto/content_date.h"

static const struct {
    const char *ending;
    const char *type;
} types[] = {
    { ".m3u8", "application/vnd.apple.mpegurl" },
    { ".m4s", "video/iso.segment" },
    { ".mp4", "video/mp4" },
    { ".ts", "video/mp2t" },
    { ".webm", "video/webm" },
    { ".mkv", "video/x-matroska" },
    { ".mka", "audio/x-matroska" },
    { ".mpg", "video/mpeg" },
    { ".avi", "video/x-msvideo" },
    { ".flv", "video/x-flv" },
    { ".wmv", "video/x-ms-wmv" },
    { ".wma", "audio/x-ms-wma" },
    { ".ogv", "video/ogg" },
    { ".ogg", "audio/ogg" },
    { ".m4a", "audio/mp4" },
    { ".mp3", "audio/mpeg" },
    { ".aac", "audio/aac" },
    { ".flac", "audio/flac" },
    { ".wav", "audio/wav" },
    { ".mxf", "application/mxf" },
    { ".vtt", "text/vtt; charset=utf-8" },
    { ".html", "text/html; charset=utf-8" },
    { ".js", "text/javascript; charset=utf-8" },
    { ".css", "text/css; charset=utf-8" },
    { ".svg", "image/svg+xml" },
    { ".json", "application/json" },
    { ".png", "image/png" },
    { ".jpg", "image/jpeg" },
    { ".ico", "image/x-icon" },
    { ".txt", "text/plain; charset=utf-8" },
    { ".webmanifest", "application/manifest+json" },
};

const char *content_type_of(struct str file_name)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct str ending = str_of(types[i].ending);
        if (file_name.len < ending.len)
            continue;
        struct str tail = { file_name.at + file_name.len - ending.len, ending.len };
        if (str_equal_nocase(tail, ending))
            return types[i].type;
    }
    return "application/octet-stream";
}

static unsigned count_lines(const struct http_request *request, const char *name)
{
    unsigned count = 0;

    for (unsigned i = 0; i < request->header_count; i++)
        count += str_equal_nocase(request->headers[i].name, str_of(name));
    return count;
}

/* The date of a field that stands there once; else -1, and it is ignored
 * (RFC 9110, 13.1.3 and 13.1.4). */
static int64_t single_date(const struct http_request *request, const char *name)
{
    return count_lines(request, name) == 1 ? content_parse_date(http_header(request, name)) : -1;
}

/* Cuts an entity-tag (RFC 9110, 8.8.3) off the list, with the comma behind it.
 * False at the end, or where something else stands: what follows cannot match. */
static bool cut_tag(struct str *list, bool *is_weak, struct str *tag)
{
    struct str rest = str_trim(*list);

    while (rest.len > 0 && rest.at[0] == ',')
        rest = str_trim((struct str){ rest.at + 1, rest.len - 1 });
    *is_weak = str_starts(rest, STR("W/"));
    if (*is_weak)
        rest = (struct str){ rest.at + 2, rest.len - 2 };
    if (rest.len < 2 || rest.at[0] != '"')
        return false;
    size_t len = 1;
    while (len < rest.len && rest.at[len] != '"')
        len++;
    if (len == rest.len)
        return false;
    *tag = (struct str){ rest.at, len + 1 };
    *list = str_trim((struct str){ rest.at + len + 1, rest.len - len - 1 });
    return list->len == 0 || list->at[0] == ',';
}

static bool list_matches(struct str list, struct str etag, bool is_strong)
{
    struct str tag;
    bool is_weak;

    if (str_equal(list, STR("*")))
        return true;
    while (cut_tag(&list, &is_weak, &tag))
        if (str_equal(tag, etag) && !(is_strong && is_weak))
            return true;
    return false;
}

static bool field_matches(const struct http_request *request, const char *name, struct str etag,
                          bool is_strong)
{
    for (unsigned i = 0; i < request->header_count; i++)
        if (str_equal_nocase(request->headers[i].name, str_of(name)) &&
            list_matches(request->headers[i].value, etag, is_strong))
            return true;
    return false;
}

/* RFC 9110, 13.1.5: an exact match of a strong validator. Our files do not
 * change twice in a second, so that a date is one (8.8.2.2). */
static bool if_range_holds(const struct http_request *request, struct str etag, int64_t modified)
{
    unsigned lines = count_lines(request, "If-Range");

    if (lines != 1)
        return lines == 0;
    struct str value = http_header(request, "If-Range");
    return str_equal(value, etag) || (modified >= 0 && content_parse_date(value) == modified);
}

/* A number too large for us is only larger than every file. */
static bool parse_position(struct str digits, uint64_t *out)
{
    int result = str_parse_u64(digits, UINT64_MAX, out);

    if (result == FAIL_LIMIT)
        *out = UINT64_MAX;
    return result == OK || result == FAIL_LIMIT;
}

/* "-500". All of a file that is shorter; of an empty one nothing can be a part,
 * so that the answer is the whole of it. */
static enum content_answer last_bytes(struct str digits, uint64_t size, uint64_t *first,
                                      uint64_t *last)
{
    uint64_t length;

    if (!parse_position(digits, &length))
        return CONTENT_WHOLE;
    if (length == 0)
        return CONTENT_UNSATISFIABLE;
    if (size == 0)
        return CONTENT_WHOLE;
    *first = length < size ? size - length : 0;
    *last = size - 1;
    return CONTENT_PART;
}

/* RFC 9110, 14.1.2. What is malformed counts as absent. */
static enum content_answer evaluate_spec(struct str spec, uint64_t size, uint64_t *first,
                                         uint64_t *last)
{
    uint64_t from, to = UINT64_MAX;
    struct str from_digits = str_cut(&spec, '-');

    if (spec.at == NULL)
        return CONTENT_WHOLE;
    if (from_digits.len == 0)
        return last_bytes(spec, size, first, last);
    if (!parse_position(from_digits, &from) || (spec.len > 0 && !parse_position(spec, &to)) ||
        to < from)
        return CONTENT_WHOLE;
    if (from >= size)
        return CONTENT_UNSATISFIABLE;
    *first = from;
    *last = to < size ? to : size - 1;
    return CONTENT_PART;
}

static enum content_answer evaluate_range(struct str value, uint64_t size, uint64_t *first,
                                          uint64_t *last)
{
    struct str only = { 0 };
    struct str unit = str_cut(&value, '=');

    if (value.at == NULL || !str_equal_nocase(unit, STR("bytes")))
        return CONTENT_WHOLE;
    while (value.at != NULL) {
        struct str spec = str_trim(str_cut(&value, ','));
        if (spec.len > 0 && only.len > 0)
            return CONTENT_WHOLE;
        if (spec.len > 0)
            only = spec;
    }
    return evaluate_spec(only, size, first, last);
}

/* Steps 1 and 2 of RFC 9110, 13.2.2. */
static bool is_as_expected(const struct http_request *request, struct str etag, int64_t modified)
{
    if (http_header(request, "If-Match").at != NULL)
        return field_matches(request, "If-Match", etag, true);
    int64_t date = single_date(request, "If-Unmodified-Since");
    return date < 0 || modified <= date;
}

/* Steps 3 and 4. */
static bool is_news(const struct http_request *request, struct str etag, int64_t modified,
                    bool is_read)
{
    if (http_header(request, "If-None-Match").at != NULL)
        return !field_matches(request, "If-None-Match", etag, false);
    int64_t date = is_read ? single_date(request, "If-Modified-Since") : -1;
    return date < 0 || modified > date;
}

enum content_answer content_evaluate(const struct http_request *request, const char *etag,
                                     int64_t modified, uint64_t size, uint64_t *first,
                                     uint64_t *last)
{
    struct str tag = str_of(etag);
    bool is_read = request->method == HTTP_GET || request->method == HTTP_HEAD;

    if (!is_as_expected(request, tag, modified))
        return CONTENT_FAILED;
    if (!is_news(request, tag, modified, is_read))
        return is_read ? CONTENT_NOT_MODIFIED : CONTENT_FAILED;
    /* Step 5; 14.2: Range means something to GET alone. */
    if (request->method != HTTP_GET || count_lines(request, "Range") != 1 ||
        !if_range_holds(request, tag, modified))
        return CONTENT_WHOLE;
    return evaluate_range(http_header(request, "Range"), size, first, last);
}
