/* The pipeline's checkpoint as JSON. An upload's own fields stand at its top, so
 * that uploads_restore reads either kind of record. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/emit.h"
#include "base/encode.h"
#include "base/err.h"
#include "media/pipeline_run.h"

enum { KEY_RANDOM = 16 }; /* hexadecimal digits */

void pipeline_make_key(struct spec *s, const char *video)
{
    static const char folder[] = "videos/hls/";
    const char *slash = strrchr(s->key, '/');
    size_t len = slash ? (size_t)(slash + 1 - s->key) : 0;

    if (len == 0) {
        len = sizeof(folder) - 1;
        memcpy(s->key, folder, len);
    }
    snprintf(s->key + len, sizeof(s->key) - len, "%s-%016llx", video,
             (unsigned long long)random_u64());
}

size_t pipeline_key_random(const char *text)
{
    size_t len = strspn(text, "0123456789abcdef");

    return len == KEY_RANDOM && text[len] == '/' ? len : 0;
}

void spec_write(const struct spec *s, struct buf *out)
{
    upload_write(&s->upload, out);
    out->len--; /* reopen the object */
    if (s->title[0] != '\0')
        emit_field_string(out, "title", s->title);
    emit_field_string(out, "plan", pipeline_plan_name(s->plan));
    emit_field_string(out, "key", s->key);
    emit_field_string(out, "out", s->out);
    if (s->bytes > 0)
        emit_field_int(out, "bytes", (int64_t)s->bytes);
    if (s->has_info) {
        struct buf info;
        buf_init(&info, JOB_JSON_MAX);
        media_info_write(&s->info, &info);
        emit_field_raw(out, "info", buf_text(&info));
        buf_deinit(&info);
    }
    if (s->has_remote) {
        struct buf remote;
        buf_init(&remote, JOB_JSON_MAX);
        remote_info_write(&s->remote, &remote);
        emit_field_raw(out, "remote", buf_text(&remote));
        buf_deinit(&remote);
    }
    emit_close(out, '}');
}

static int read_info(json_t *object, struct spec *s)
{
    char *text = json_dumps(object, JSON_COMPACT);
    int err = text ? media_info_read(str_of(text), &s->info) : FAIL_NOMEM;

    free(text);
    s->has_info = err == OK;
    return err;
}

static int read_remote(json_t *object, struct spec *s)
{
    char *text = json_dumps(object, JSON_COMPACT);
    int err = text ? remote_info_read(str_of(text), &s->remote) : FAIL_NOMEM;

    free(text);
    s->has_remote = err == OK;
    return err;
}

int spec_read(const char *json, struct spec *out)
{
    struct spec s = { 0 };
    const char *title = "", *key = "", *folder = "", *plan = "upload";
    json_t *info = NULL, *remote = NULL;
    json_int_t bytes = 0;
    int err = upload_read(json, &s.upload);

    if (err)
        return err;
    json_t *root = json_loads(json, 0, NULL);
    if (json_unpack(root, "{s?s, s?s, s?s, s?s, s?I, s?o, s?o}", "plan", &plan, "title", &title,
                    "key", &key, "out", &folder, "bytes", &bytes, "info", &info, "remote",
                    &remote) != 0)
        err = FAIL_SYNTAX;
    if (err == OK && info != NULL)
        err = read_info(info, &s);
    if (err == OK && remote != NULL)
        err = read_remote(remote, &s);
    s.bytes = bytes > 0 ? (uint64_t)bytes : 0;
    s.plan = pipeline_plan_named(plan);
    if (s.plan == PIPELINE_PLANS)
        err = FAIL_UNSUPPORTED;
    snprintf(s.title, sizeof(s.title), "%s", title);
    snprintf(s.key, sizeof(s.key), "%s", key);
    snprintf(s.out, sizeof(s.out), "%s", folder);
    json_decref(root);
    if (err == OK)
        *out = s;
    return err;
}
