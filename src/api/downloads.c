/* POST /api/download: a video that lies elsewhere, as a job (document 002). */
#include <jansson.h>
#include <stdio.h>

#include "api/api.h"
#include "base/clock.h"
#include "base/emit.h"
#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/guard.h"
#include "proto/url.h"

enum { DOWNLOAD_ANSWER_MAX = 1024, REFUSAL_MAX = 512 };

struct asked_for {
    struct upload upload;
    const char *title; /* of the body, or "" */
    int err;
    char id[UUID_SIZE];
};

static void reply_queued(struct call *c, const struct asked_for *a)
{
    struct buf json;

    buf_init(&json, DOWNLOAD_ANSWER_MAX);
    emit_open(&json, '{');
    emit_field_string(&json, "jobId", a->id);
    emit_field_string(&json, "status", "queued");
    emit_close(&json, '}');
    reply_json(c->x, 202, &json);
}

static void discarded(struct call *c, int err)
{
    const struct asked_for *a = c->state;

    (void)err;
    if (a->err == FAIL_FULL)
        reply_error(c->x, 507, "no_space", NULL, "there is no room for another download");
    else if (a->err == FAIL_LIMIT)
        reply_error(c->x, 429, "too_many_downloads", NULL, "too many downloads are waiting");
    else if (a->err == FAIL_CLOSED && atomic_load(&c->api->is_draining))
        reply_error(c->x, 503, "shutting_down", NULL, "the server is shutting down");
    else if (!job_refuse_away(c, a->err))
        reply_error(c->x, 500, "internal", NULL, "the download could not be begun: %s",
                    fail_text(a->err));
}

static void begun(struct call *c, int err, const char *why)
{
    struct asked_for *a = c->state;

    (void)why;
    a->err = err;
    if (err == OK)
        reply_queued(c, a);
    else
        c->api->records->discard(c, a->id, discarded);
}

static void opened(struct call *c, int err)
{
    const struct asked_for *a = c->state;

    if (err == OK)
        c->api->records->assemble(c, a->id, "", 0, begun);
    else if (err == FAIL_IO)
        reply_error(c->x, 507, "not_stored", NULL, "the download could not be put on record");
    else
        job_refuse(c, err, NULL);
}

static void open_job(struct call *c)
{
    struct asked_for *a = c->state;
    struct change change;

    random_uuid(a->id);
    change_init(&change);
    change.state = JOB_QUEUED;
    change.kind = JOB_DOWNLOAD;
    change.text[TEXT_OWNER] = c->viewer->subject;
    change.text[TEXT_TITLE] = a->title;
    c->api->records->open(c, a->id, &change, &a->upload, opened);
}

static bool read_flag(struct call *c, json_t *object, const char *name, bool *out)
{
    const json_t *value = json_object_get(object, name);

    if (value != NULL && !json_is_null(value) && !json_is_boolean(value)) {
        reply_error(c->x, 400, "invalid_field", name, "%s must be true or false", name);
        return false;
    }
    *out = json_is_true(value);
    return true;
}

static bool refuse_quality(struct call *c)
{
    reply_error(c->x, 400, "invalid_field", "quality",
                "quality must be best, 2160p, 1080p, 720p, 480p, 360p or audio");
    return false;
}

/* 1080, which is no text, is told what there is as well. */
static bool read_quality(struct call *c, json_t *object, enum download_quality *out)
{
    const json_t *value = json_object_get(object, "quality");

    if (value == NULL || json_is_null(value))
        return download_quality_parse(STR("best"), out) == OK;
    if (!json_is_string(value) ||
        download_quality_parse(str_of(json_string_value(value)), out) != OK)
        return refuse_quality(c);
    return true;
}

static bool is_admitted(struct call *c, const char *url)
{
    struct buf why;

    buf_init(&why, REFUSAL_MAX);
    int err = guard_check_url(c->api->guard, url, &why);
    if (err)
        reply_error(c->x, 400, err == FAIL_DENIED ? "url_refused" : "invalid_field", "url",
                    "url: %s", why.len ? buf_text(&why) : fail_text(err));
    buf_deinit(&why);
    return err == OK;
}

/* Not every server takes what browsers encode before they send it. */
static bool take_url(struct call *c, const char *url, struct download *d)
{
    struct buf encoded;

    if (!is_admitted(c, url))
        return false;
    buf_init(&encoded, sizeof(d->url) - 1);
    url_encode_letters(str_of(url), &encoded);
    bool fits = !encoded.failed;
    if (fits)
        snprintf(d->url, sizeof(d->url), "%s", buf_text(&encoded));
    else
        reply_error(c->x, 400, "invalid_field", "url", "url: it has more than %d bytes, encoded",
                    DOWNLOAD_URL_MAX);
    buf_deinit(&encoded);
    return fits;
}

static void create_with(struct call *c, json_t *object)
{
    const char *url = NULL, *title = NULL;
    struct asked_for *a = mem_new(struct asked_for);
    struct download *d = &a->upload.download;

    c->state = a;
    a->upload.size = -1;
    a->upload.touched_ms = clock_wall_ms();
    a->upload.is_one_shot = true;
    if (!body_text(c, object, "url", REQUIRED, DOWNLOAD_URL_MAX, &url) ||
        !read_quality(c, object, &d->quality) ||
        !body_text(c, object, "title", OPTIONAL, FILE_NAME_MAX, &title) ||
        !read_flag(c, object, "hls", &d->is_hls))
        return;
    if (!take_url(c, url, d))
        return;
    a->title = title;
    open_job(c);
}

void downloads_create(struct call *c)
{
    if (c->api->guard == NULL)
        reply_error(c->x, 501, "no_downloads", NULL, "nothing is downloaded here");
    else
        body_read(c, create_with);
}
