#include "media/probe_read.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

const char probe_entries[] =
    "format=duration:stream=index,codec_type,codec_name,pix_fmt,width,height,sample_aspect_ratio,"
    "field_order,color_transfer,r_frame_rate,avg_frame_rate,duration,channels,bits_per_raw_sample"
    ":stream_tags=language,rotate,DURATION:stream_disposition=attached_pic,timed_thumbnails"
    ":stream_side_data=rotation";

/* Longer than any recording, so that sums of milliseconds cannot overflow. */
static const double SECONDS_MAX = 1e9;

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static int int_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    json_int_t number = json_is_integer(value) ? json_integer_value(value) : 0;

    return number < 0 || number > INT_MAX ? 0 : (int)number;
}

static void copy_text(const json_t *object, const char *key, char *out, size_t size)
{
    snprintf(out, size, "%s", text_of(object, key));
}

/* "2.023000" to milliseconds, or -1. */
static int64_t milliseconds(const char *text)
{
    double seconds;

    if (str_parse_double(str_of(text), &seconds) != OK || seconds < 0 || seconds > SECONDS_MAX)
        return -1;
    return (int64_t)llround(seconds * 1000);
}

/* Matroska's tag, "00:00:02.023000000". */
static int64_t clock_milliseconds(const char *text)
{
    struct str rest = str_of(text);
    struct str hours = str_cut(&rest, ':'), minutes = str_cut(&rest, ':');
    uint64_t h, m;
    double s;

    if (rest.at == NULL || str_parse_u64(hours, 100000, &h) != OK ||
        str_parse_u64(minutes, 59, &m) != OK || str_parse_double(rest, &s) != OK || s < 0 || s > 60)
        return -1;
    return (int64_t)(h * 3600 + m * 60) * 1000 + (int64_t)llround(s * 1000);
}

/* "30000/1001" or "1:1". */
static struct probe_rate ratio(const char *text, char separator)
{
    struct str rest = str_of(text);
    struct str left = str_cut(&rest, separator);
    uint64_t num, den;

    if (rest.at == NULL || str_parse_u64(left, INT_MAX, &num) != OK ||
        str_parse_u64(rest, INT_MAX, &den) != OK || num == 0 || den == 0)
        return (struct probe_rate){ 0, 0 };
    return (struct probe_rate){ (int)num, (int)den };
}

static double value_of(struct probe_rate r)
{
    return r.den > 0 ? (double)r.num / r.den : 0;
}

static struct probe_rate next_standard(double rate)
{
    static const struct probe_rate standard[] = {
        { 1, 1 },  { 2, 1 },  { 5, 1 },        { 8, 1 },        { 10, 1 }, { 12, 1 },
        { 15, 1 }, { 20, 1 }, { 24000, 1001 }, { 24, 1 },       { 25, 1 }, { 30000, 1001 },
        { 30, 1 }, { 48, 1 }, { 50, 1 },       { 60000, 1001 }, { 60, 1 },
    };
    size_t count = sizeof(standard) / sizeof(standard[0]);

    for (size_t i = 0; i < count; i++)
        if (rate <= value_of(standard[i]) * 1.001)
            return standard[i];
    return standard[count - 1];
}

struct probe_rate probe_choose_rate(struct probe_rate nominal, struct probe_rate average)
{
    enum { RATE_MAX = 60, DIVISOR_MAX = 8 };
    double n = value_of(nominal), a = value_of(average);

    if (n <= 0 && a <= 0)
        return (struct probe_rate){ 25, 1 };
    if (a <= 0) /* one frame, or a container that does not say */
        return n <= RATE_MAX ? nominal : (struct probe_rate){ 30, 1 };
    if (n < 1 || fabs(n - a) > 0.005 * n)
        return next_standard(a);
    for (int divisor = 1; divisor <= DIVISOR_MAX; divisor++)
        if (n / divisor <= RATE_MAX * 1.001 && nominal.den <= INT_MAX / divisor)
            return (struct probe_rate){ nominal.num, nominal.den * divisor };
    return (struct probe_rate){ RATE_MAX, 1 };
}

/* By the display matrix, or the tag that older files have; in quarter turns. */
static bool is_turned(const json_t *stream)
{
    const json_t *list = json_object_get(stream, "side_data_list");
    uint64_t degrees = 0;

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *rotation = json_object_get(json_array_get(list, i), "rotation");
        if (json_is_integer(rotation))
            return json_integer_value(rotation) % 180 != 0;
    }
    const char *tag = text_of(json_object_get(stream, "tags"), "rotate");
    return str_parse_u64(str_of(tag), 360, &degrees) == OK && degrees % 180 != 0;
}

/* The size people see. Pixel aspects that no camera has are taken as a mistake. */
static void read_size(const json_t *stream, struct media_info *info)
{
    int width = int_of(stream, "width"), height = int_of(stream, "height");
    double aspect = value_of(ratio(text_of(stream, "sample_aspect_ratio"), ':'));

    if (aspect >= 0.1 && aspect <= 10 && width <= INT_MAX / 16)
        width = (int)lround(width * aspect);
    bool turned = is_turned(stream);
    info->width = turned ? height : width;
    info->height = turned ? width : height;
}

static int bits_of(const json_t *stream, const char *pixel_format)
{
    uint64_t bits;

    if (str_parse_u64(str_of(text_of(stream, "bits_per_raw_sample")), 16, &bits) == OK && bits > 0)
        return (int)bits;
    if (strstr(pixel_format, "p10") != NULL)
        return 10;
    if (strstr(pixel_format, "p12") != NULL)
        return 12;
    return 8;
}

static bool is_one_of(const char *text, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(text, *list) == 0)
            return true;
    return false;
}

static void read_video(const json_t *stream, struct media_info *info)
{
    static const char *const interlaced[] = { "tt", "bb", "tb", "bt", NULL };
    static const char *const hdr[] = { "smpte2084", "arib-std-b67", NULL };
    struct probe_rate rate = probe_choose_rate(ratio(text_of(stream, "r_frame_rate"), '/'),
                                               ratio(text_of(stream, "avg_frame_rate"), '/'));

    info->has_video = true;
    info->fps_num = rate.num;
    info->fps_den = rate.den;
    read_size(stream, info);
    copy_text(stream, "codec_name", info->video_codec, sizeof(info->video_codec));
    copy_text(stream, "pix_fmt", info->pixel_format, sizeof(info->pixel_format));
    copy_text(stream, "color_transfer", info->transfer, sizeof(info->transfer));
    info->bits = bits_of(stream, info->pixel_format);
    info->is_interlaced = is_one_of(text_of(stream, "field_order"), interlaced);
    info->is_hdr = is_one_of(info->transfer, hdr);
    info->video_ms = milliseconds(text_of(stream, "duration"));
    if (info->video_ms < 0)
        info->video_ms = clock_milliseconds(text_of(json_object_get(stream, "tags"), "DURATION"));
}

/* ISO 639 codes only: it ends up in a playlist and in ffmpeg's arguments. */
static void read_language(const char *tag, char *out, size_t size)
{
    size_t len = strspn(tag, "abcdefghijklmnopqrstuvwxyz");

    snprintf(out, size, "%s", (len == 2 || len == 3) && tag[len] == '\0' ? tag : "und");
}

static void read_audio(const json_t *stream, int index, struct media_info *info)
{
    if (info->audio_count == MEDIA_AUDIO_MAX || int_of(stream, "channels") == 0)
        return;
    struct media_audio *audio = &info->audio[info->audio_count++];
    audio->index = index;
    audio->channels = int_of(stream, "channels");
    read_language(text_of(json_object_get(stream, "tags"), "language"), audio->language,
                  sizeof(audio->language));
}

static bool is_cover(const json_t *stream)
{
    const json_t *disposition = json_object_get(stream, "disposition");

    return int_of(disposition, "attached_pic") || int_of(disposition, "timed_thumbnails");
}

static bool is_known(const json_t *stream)
{
    const char *codec = text_of(stream, "codec_name");

    return *codec != '\0' && strcmp(codec, "unknown") != 0;
}

/* A codec we cannot read in the only picture there is, is an error; among the
 * sound tracks it is one track less. */
static int read_streams(const json_t *streams, struct media_info *info, struct buf *why)
{
    int audio_index = 0;
    bool has_seen_video = false;

    for (size_t i = 0; i < json_array_size(streams); i++) {
        const json_t *stream = json_array_get(streams, i);
        const char *type = text_of(stream, "codec_type");
        if (strcmp(type, "audio") == 0) {
            if (is_known(stream))
                read_audio(stream, audio_index, info);
            audio_index++;
        } else if (strcmp(type, "video") == 0 && !has_seen_video && !is_cover(stream)) {
            has_seen_video = true;
            if (!is_known(stream)) {
                buf_puts(why, "its video codec cannot be read here");
                return FAIL_UNSUPPORTED;
            }
            read_video(stream, info);
        }
    }
    if (info->has_video && (info->width < 1 || info->height < 1)) {
        buf_puts(why, "the size of its picture cannot be found");
        return FAIL_UNSUPPORTED;
    }
    if (!info->has_video && info->audio_count == 0) {
        buf_puts(why, "there is no video or sound in this file");
        return FAIL_UNSUPPORTED;
    }
    return OK;
}

int probe_read(struct str json, struct media_info *out, struct buf *why)
{
    struct media_info info = { .duration_ms = -1, .video_ms = -1 };
    json_t *root = json_loadb(json.at, json.len, 0, NULL);

    if (!json_is_object(root)) {
        json_decref(root);
        buf_puts(why, "what it holds cannot be told");
        return FAIL_SYNTAX;
    }
    info.duration_ms = milliseconds(text_of(json_object_get(root, "format"), "duration"));
    int err = read_streams(json_object_get(root, "streams"), &info, why);
    json_decref(root);
    if (err == OK)
        *out = info;
    return err;
}
