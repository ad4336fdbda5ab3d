#include "cmd/job_view.h"

#include <math.h>
#include <string.h>

#include "base/emit.h"
#include "cmd/client.h"

enum { TEXT_LIMIT = 16 * 1024, RESULT_LIMIT = 256 * 1024, LINE_LIMIT = 512 * 1024 };

void job_view_init(struct job_view *v)
{
    *v = (struct job_view){ .state = "queued", .fraction = -1, .speed = -1, .eta_s = -1 };
    buf_init(&v->stage, TEXT_LIMIT);
    buf_init(&v->message, TEXT_LIMIT);
    buf_init(&v->error, TEXT_LIMIT);
    buf_init(&v->url, TEXT_LIMIT);
    buf_init(&v->result, RESULT_LIMIT);
}

void job_view_deinit(struct job_view *v)
{
    buf_deinit(&v->stage);
    buf_deinit(&v->message);
    buf_deinit(&v->error);
    buf_deinit(&v->url);
    buf_deinit(&v->result);
}

static void keep_text(struct buf *to, const json_t *object, const char *name)
{
    const char *text = client_text(object, name);

    if (text == NULL)
        return;
    buf_reset(to);
    buf_puts(to, text);
}

static void keep_result(struct job_view *v, const json_t *object)
{
    const json_t *result = json_object_get(object, "result");
    char *text =
        result && !json_is_null(result) ? json_dumps(result, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

    if (text == NULL)
        return;
    buf_reset(&v->result);
    if (!buf_puts(&v->result, text))
        buf_reset(&v->result);
    free(text);
}

/* A cancelled job is "failed" at this door and "cancelled" in its record. */
static void keep_state(struct job_view *v, const char *state)
{
    snprintf(v->state, sizeof(v->state), "%s", state);
    v->is_completed = strcmp(state, "completed") == 0;
    v->is_final =
        v->is_completed || strcmp(state, "failed") == 0 || strcmp(state, "cancelled") == 0;
}

/* Of a job that is worked on elsewhere the metadata is its reporter's: a "speed"
 * there may be anything. The server's own comes with "stage_progress". */
static void keep_pace(struct job_view *v, const json_t *object)
{
    double eta = client_number(object, "eta_seconds", -1);
    bool is_own = json_object_get(object, "stage_progress") != NULL;

    v->speed = is_own ? client_number(object, "speed", -1) : -1;
    v->eta_s = eta >= 0 && eta < 1e9 ? (int64_t)ceil(eta) : -1;
}

/* A playlist; else what a download has made. */
static void keep_url(struct job_view *v, const json_t *object)
{
    const json_t *result = json_object_get(object, "result");

    keep_text(&v->url, object, "hls_url");
    v->is_file = client_text(object, "hls_url") == NULL && client_text(result, "fileName") != NULL;
    if (v->is_file)
        keep_text(&v->url, result, "url");
}

static void read_object(struct job_view *v, const json_t *object, const char *state)
{
    keep_text(&v->stage, object, "stage");
    keep_text(&v->message, object, "message");
    keep_text(&v->error, object, "error");
    keep_url(v, object);
    keep_result(v, object);
    v->fraction = client_number(object, "progress", v->fraction);
    keep_state(v, state);
}

void job_view_read_message(struct job_view *v, struct str message)
{
    json_error_t error;
    json_t *object = json_loadb(message.at, message.len, 0, &error);
    const char *state = client_text(object, "status");

    if (state != NULL && client_text(object, "job_id") != NULL && !v->is_final) {
        read_object(v, object, state);
        keep_pace(v, json_object_get(object, "metadata"));
    }
    json_decref(object);
}

/* Asking and listening may overlap: what has ended stays so. */
void job_view_read_job(struct job_view *v, const json_t *job)
{
    const char *state = client_text(job, "state");

    if (state == NULL)
        return;
    bool was_final = v->is_final, was_completed = v->is_completed;
    read_object(v, job, state);
    keep_pace(v, job);
    if (was_final) {
        v->is_final = true;
        v->is_completed = was_completed;
    }
}

void job_view_state(const struct job_view *v, struct bar_state *out)
{
    *out = (struct bar_state){
        .state = v->state,
        .stage = v->stage.len ? buf_text(&v->stage) : "waiting",
        .message = v->message.len ? buf_text(&v->message) : NULL,
        .fraction = v->fraction,
        .unit = BAR_TIMES,
        .speed = v->speed,
        .eta_s = v->eta_s,
    };
}

static void put_url(const struct job_view *v, const char *base, struct buf *out)
{
    struct str url = buf_str(&v->url);

    if (str_starts(url, STR("/")))
        buf_puts(out, base);
    buf_append(out, url.at ? url.at : "", url.len);
}

static void completed_for_people(const struct job_view *v, struct bar *bar, const char *url)
{
    bar_show_now(bar,
                 &(struct bar_state){
                     .state = v->state, .stage = "done", .fraction = 1, .speed = -1, .eta_s = -1 });
    bar_keep(bar);
    if (*url)
        bar_say(bar, true, "%s", url);
    else if (v->result.len > 0)
        bar_say(bar, true, "%s", buf_text(&v->result));
    else
        bar_say(bar, true, "The job is done");
}

static void completed_for_programs(const struct job_view *v, struct bar *bar, const char *url)
{
    struct buf json;

    buf_init(&json, LINE_LIMIT);
    emit_open(&json, '{');
    emit_field_string(&json, "id", bar->id);
    emit_field_string(&json, "state", v->state);
    emit_field_real(&json, "progress", 1, 1);
    if (v->result.len > 0)
        emit_field_raw(&json, "result", buf_text(&v->result));
    if (*url)
        emit_field_string(&json, v->is_file ? "download_url" : "playlist_url", url);
    emit_close(&json, '}');
    bar_event(bar, buf_text(&json));
    buf_deinit(&json);
}

int job_view_end(const struct job_view *v, struct bar *bar, const char *base)
{
    struct buf url;

    if (!v->is_completed) {
        bar_fail(bar, v->state, v->error.len ? buf_text(&v->error) : "The job failed");
        return EXIT_REFUSED;
    }
    buf_init(&url, TEXT_LIMIT + 4096);
    put_url(v, base, &url);
    if (bar->is_json)
        completed_for_programs(v, bar, buf_text(&url));
    else
        completed_for_people(v, bar, buf_text(&url));
    buf_deinit(&url);
    return EXIT_DONE;
}
