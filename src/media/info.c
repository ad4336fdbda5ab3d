/* What was probed, as JSON for a checkpoint and back. */
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/emit.h"
#include "base/err.h"
#include "media/media.h"

static void write_audio(const struct media_info *info, struct buf *out)
{
    emit_key(out, "audio");
    emit_open(out, '[');
    for (unsigned i = 0; i < info->audio_count; i++) {
        emit_open(out, '{');
        emit_field_int(out, "index", info->audio[i].index);
        emit_field_string(out, "language", info->audio[i].language);
        emit_field_int(out, "channels", info->audio[i].channels);
        emit_close(out, '}');
    }
    emit_close(out, ']');
}

void media_info_write(const struct media_info *info, struct buf *out)
{
    emit_open(out, '{');
    emit_field_string(out, "demuxer", info->demuxer);
    emit_field_int(out, "duration_ms", info->duration_ms);
    emit_field_int(out, "video_ms", info->video_ms);
    emit_field_int(out, "size", (int64_t)info->size);
    emit_field_bool(out, "has_video", info->has_video);
    emit_field_int(out, "width", info->width);
    emit_field_int(out, "height", info->height);
    emit_field_int(out, "fps_num", info->fps_num);
    emit_field_int(out, "fps_den", info->fps_den);
    emit_field_int(out, "bits", info->bits);
    emit_field_bool(out, "is_interlaced", info->is_interlaced);
    emit_field_bool(out, "is_hdr", info->is_hdr);
    emit_field_string(out, "video_codec", info->video_codec);
    emit_field_string(out, "pixel_format", info->pixel_format);
    emit_field_string(out, "transfer", info->transfer);
    write_audio(info, out);
    emit_close(out, '}');
}

static bool get_int(const json_t *object, const char *key, int64_t min, int64_t max, int64_t *out)
{
    const json_t *value = json_object_get(object, key);

    if (!json_is_integer(value) || json_integer_value(value) < min ||
        json_integer_value(value) > max)
        return false;
    *out = json_integer_value(value);
    return true;
}

static bool get_small(const json_t *object, const char *key, int *out)
{
    int64_t value;

    if (!get_int(object, key, 0, INT_MAX, &value))
        return false;
    *out = (int)value;
    return true;
}

static bool get_bool(const json_t *object, const char *key, bool *out)
{
    const json_t *value = json_object_get(object, key);

    *out = json_is_true(value);
    return json_is_boolean(value);
}

static bool get_text(const json_t *object, const char *key, char *out, size_t size)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL && (size_t)snprintf(out, size, "%s", text) < size;
}

static bool read_audio(const json_t *list, struct media_info *info)
{
    if (!json_is_array(list) || json_array_size(list) > MEDIA_AUDIO_MAX)
        return false;
    info->audio_count = (unsigned)json_array_size(list);
    for (unsigned i = 0; i < info->audio_count; i++) {
        const json_t *item = json_array_get(list, i);
        struct media_audio *audio = &info->audio[i];
        if (!get_small(item, "index", &audio->index) ||
            !get_small(item, "channels", &audio->channels) ||
            !get_text(item, "language", audio->language, sizeof(audio->language)))
            return false;
    }
    return true;
}

static bool read_info(const json_t *root, struct media_info *info)
{
    int64_t size = 0;
    bool ok = get_text(root, "demuxer", info->demuxer, sizeof(info->demuxer)) &&
              get_int(root, "duration_ms", -1, INT64_MAX, &info->duration_ms) &&
              get_int(root, "video_ms", -1, INT64_MAX, &info->video_ms) &&
              get_int(root, "size", 0, INT64_MAX, &size) &&
              get_bool(root, "has_video", &info->has_video) &&
              get_small(root, "width", &info->width) && get_small(root, "height", &info->height) &&
              get_small(root, "fps_num", &info->fps_num) &&
              get_small(root, "fps_den", &info->fps_den) && get_small(root, "bits", &info->bits) &&
              get_bool(root, "is_interlaced", &info->is_interlaced) &&
              get_bool(root, "is_hdr", &info->is_hdr);

    ok = ok && get_text(root, "video_codec", info->video_codec, sizeof(info->video_codec)) &&
         get_text(root, "pixel_format", info->pixel_format, sizeof(info->pixel_format)) &&
         get_text(root, "transfer", info->transfer, sizeof(info->transfer)) &&
         read_audio(json_object_get(root, "audio"), info);
    info->size = (uint64_t)size;
    if (!ok || !info->has_video)
        return ok;
    return info->width > 0 && info->height > 0 && info->fps_num > 0 && info->fps_den > 0;
}

int media_info_read(struct str json, struct media_info *out)
{
    struct media_info info = { 0 };
    json_t *root = json_loadb(json.at, json.len, 0, NULL);
    bool ok = root != NULL && read_info(root, &info);

    json_decref(root);
    if (!ok)
        return FAIL_SYNTAX;
    *out = info;
    return OK;
}
