/* What yt-dlp prints. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/emit.h"
#include "base/err.h"
#include "base/utf8.h"
#include "media/download_read.h"

/* Qualities */

static const char *const qualities[DOWNLOAD_QUALITIES] = { "best", "2160p", "1080p", "720p",
                                                           "480p", "360p",  "audio" };

const char *download_quality_name(enum download_quality quality)
{
    return qualities[quality];
}

int download_quality_parse(struct str name, enum download_quality *out)
{
    int found = str_index(name, qualities, DOWNLOAD_QUALITIES);

    if (found < 0)
        return FAIL_SYNTAX;
    *out = (enum download_quality)found;
    return OK;
}

/* Information */

void remote_info_write(const struct remote_info *info, struct buf *out)
{
    emit_open(out, '{');
    emit_field_string(out, "id", info->id);
    emit_field_string(out, "title", info->title);
    emit_field_string(out, "thumbnail", info->thumbnail);
    emit_field_string(out, "quality", info->quality);
    emit_field_int(out, "duration_ms", info->duration_ms);
    emit_close(out, '}');
}

/* Cut between characters. */
static void copy_text(const json_t *object, const char *key, char *out, size_t size)
{
    const char *text = json_string_value(json_object_get(object, key));
    size_t len = text ? utf8_cut(text, strlen(text), size - 1) : 0;

    if (len > 0)
        memcpy(out, text, len);
    out[len] = '\0';
}

static int64_t get_whole(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    double number = json_is_number(value) ? json_number_value(value) : -1;

    return number >= 0 && number < 9e15 ? (int64_t)number : -1;
}

int remote_info_read(struct str json, struct remote_info *out)
{
    json_t *root = json_loadb(json.at, json.len, 0, NULL);

    if (!json_is_object(root)) {
        json_decref(root);
        return FAIL_SYNTAX;
    }
    copy_text(root, "id", out->id, sizeof(out->id));
    copy_text(root, "title", out->title, sizeof(out->title));
    copy_text(root, "thumbnail", out->thumbnail, sizeof(out->thumbnail));
    copy_text(root, "quality", out->quality, sizeof(out->quality));
    out->duration_ms = get_whole(root, "duration_ms");
    json_decref(root);
    return OK;
}

static bool is_none(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL && strcmp(text, "none") == 0;
}

static void read_pass(const json_t *format, struct page_pass *out)
{
    int64_t exact = get_whole(format, "filesize");

    copy_text(format, "format_id", out->format, sizeof(out->format));
    out->is_exact = exact > 0;
    out->size = exact > 0 ? exact : get_whole(format, "filesize_approx");
    if (out->size == 0)
        out->size = -1;
    out->has_video = !is_none(format, "vcodec");
}

static void read_quality(const json_t *root, struct remote_info *out)
{
    int64_t height = get_whole(root, "height"), width = get_whole(root, "width");
    int64_t shorter = width > 0 && width < height ? width : height;

    if (is_none(root, "vcodec"))
        snprintf(out->quality, sizeof(out->quality), "audio");
    else if (shorter > 0 && shorter < 100000)
        snprintf(out->quality, sizeof(out->quality), "%dp", (int)shorter);
}

static bool is_web(const char *url)
{
    return strncmp(url, "https://", 8) == 0 || strncmp(url, "http://", 7) == 0;
}

static void read_video(const json_t *root, struct page_info *out)
{
    const json_t *formats = json_object_get(root, "requested_formats"), *format;
    const json_t *duration = json_object_get(root, "duration");
    const char *live = json_string_value(json_object_get(root, "live_status"));
    struct remote_info *r = &out->remote;
    size_t i;

    copy_text(root, "id", r->id, sizeof(r->id));
    copy_text(root, "title", r->title, sizeof(r->title));
    copy_text(root, "thumbnail", r->thumbnail, sizeof(r->thumbnail));
    if (!is_web(r->thumbnail))
        r->thumbnail[0] = '\0';
    r->duration_ms = -1;
    if (json_is_number(duration) && json_number_value(duration) >= 0 &&
        json_number_value(duration) < 1e9)
        r->duration_ms = (int64_t)(json_number_value(duration) * 1000);
    read_quality(root, r);
    out->is_live = json_is_true(json_object_get(root, "is_live")) ||
                   (live != NULL && strcmp(live, "is_live") == 0);
    json_array_foreach(formats, i, format) if (out->passes < PAGE_PASSES_MAX)
        read_pass(format, &out->pass[out->passes++]);
    if (out->passes == 0)
        read_pass(root, &out->pass[out->passes++]);
}

int page_info_read(struct str json, struct page_info *out)
{
    struct page_info info = { 0 };
    json_t *root = json_loadb(json.at, json.len, JSON_DISABLE_EOF_CHECK, NULL);

    if (!json_is_object(root)) {
        json_decref(root);
        return FAIL_SYNTAX;
    }
    read_video(root, &info);
    json_decref(root);
    *out = info;
    return OK;
}

/* Progress */

static void set_weights(struct page_progress *p, const struct page_info *info)
{
    static const double picture = 0.85;
    const struct page_pass *pass = info->pass;

    p->weight[0] = 1;
    if (p->passes == 1)
        return;
    if (pass[0].size > 0 && pass[1].size > 0)
        p->weight[0] = (double)pass[0].size / ((double)pass[0].size + (double)pass[1].size);
    else
        p->weight[0] = pass[0].has_video ? picture : 1 - picture;
    p->weight[1] = 1 - p->weight[0];
}

void page_progress_init(struct page_progress *p, const struct page_info *info)
{
    *p = (struct page_progress){ .passes = info->passes };
    for (unsigned i = 0; i < info->passes; i++)
        p->total[i] = info->pass[i].is_exact ? info->pass[i].size : -1;
    set_weights(p, info);
}

double download_guess(uint64_t done)
{
    static const double half = 64.0 * 1024 * 1024; /* there is as much again to come */

    return (double)done / ((double)done + half);
}

/* "NA" where there is none; estimates have a fraction. */
static int64_t read_bytes(struct str text)
{
    double number;

    if (str_parse_double(text, &number) != OK || !(number >= 0) || number > 9e15)
        return -1;
    return (int64_t)number;
}

static unsigned which_pass(const struct page_progress *p, const struct page_info *info,
                           struct str format)
{
    for (unsigned i = p->at; i < p->passes; i++)
        if (str_equal(format, str_of(info->pass[i].format)))
            return i;
    return p->at;
}

/* Of its pass. Fragments: how many of them there will be is known, bytes are not. */
static double pass_fraction(int64_t done, int64_t total, int64_t estimate, int64_t fragment,
                            int64_t fragments)
{
    static const double nearly = 0.99;
    double fraction = download_guess(done > 0 ? (uint64_t)done : 0);

    if (total > 0)
        return done < total ? (double)done / (double)total : 1;
    if (fragments > 0 && fragment >= 0)
        fraction = (double)fragment / (double)fragments;
    else if (estimate > 0)
        fraction = (double)done / (double)estimate;
    return fraction < nearly ? fraction : nearly;
}

bool page_progress_line(struct page_progress *p, const struct page_info *info, struct str line)
{
    struct str rest = line;

    if (!str_equal(str_cut(&rest, ' '), STR("RLY")) || rest.at == NULL)
        return false;
    bool is_over = str_equal(str_cut(&rest, ' '), STR("finished"));
    int64_t done = read_bytes(str_cut(&rest, ' ')), total = read_bytes(str_cut(&rest, ' '));
    int64_t estimate = read_bytes(str_cut(&rest, ' ')), fragment = read_bytes(str_cut(&rest, ' '));
    int64_t fragments = read_bytes(str_cut(&rest, ' '));
    double before = 0;

    p->at = which_pass(p, info, rest);
    if (done > p->seen[p->at])
        p->seen[p->at] = done;
    if (total > 0)
        p->total[p->at] = total;
    for (unsigned i = 0; i < p->at; i++)
        before += p->weight[i];
    double now = is_over ? 1 : pass_fraction(done, p->total[p->at], estimate, fragment, fragments);
    double fraction = before + now * p->weight[p->at];
    if (fraction > p->fraction)
        p->fraction = fraction < 1 ? fraction : 1;
    return true;
}

void page_progress_now(const struct page_progress *p, struct download_progress *out)
{
    *out = (struct download_progress){ .fraction = p->fraction };
    for (unsigned i = 0; i < p->passes; i++) {
        out->done += p->seen[i];
        if (out->total >= 0)
            out->total = p->total[i] < 0 ? -1 : out->total + p->total[i];
    }
}

/* Complaints */

static bool says(const char *text, const char *word)
{
    return strstr(text, word) != NULL;
}

void page_complaint(const char *text, struct buf *why)
{
    static const struct {
        const char *word, *clause;
    } known[] = {
        { "Unsupported URL", "no video was found on this page" },
        { "No video formats found", "no video was found on this page" },
        { "no suitable formats", "no video was found on this page" },
        { "Requested format is not available", "it is not there in that quality" },
        { "Private video", "the video is private" },
        { "Sign in", "the video can be seen only by who is signed in" },
        { "login", "the video can be seen only by who is signed in" },
        { "members-only", "the video can be seen only by members" },
        { "not available in your country", "the video is not available in this country" },
        { "geo", "the video is not available in this country" },
        { "DRM", "the video is protected (DRM)" },
        { "Video unavailable", "the video is not available" },
        { "HTTP Error 404", "the server answered 404" },
        { "HTTP Error 403", "the server answered 403" },
        { "HTTP Error 410", "the server answered 410" },
        { "HTTP Error 429", "the server answered 429: too many requests" },
        { "HTTP Error 5", "the server failed" },
        { "larger than max-filesize", "it is too large" },
        { "timed out", "the server does not answer" },
        { "CERTIFICATE_VERIFY_FAILED", "the server's certificate is not to be trusted" },
        { "Tunnel connection failed", "the server cannot be reached" },
        { "Unable to download", "the server cannot be reached" },
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
        if (says(text, known[i].word)) {
            buf_puts(why, known[i].clause);
            return;
        }
    buf_puts(why, "the video could not be downloaded from this page");
}
