#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <utlist.h>

#include "base/clock.h"
#include "base/err.h"
#include "core/job.h"
#include "lib/compact.h"
#include "lib/message.h"
#include "lib/reporter.h"
#include "reelay/reelay.h"

_Static_assert((int)REELAY_JOB_ID_MAX == JOB_ID_MAX && (int)REELAY_TEXT_MAX == JOB_TEXT_MAX &&
                   (int)REELAY_JSON_MAX == JOB_JSON_MAX &&
                   (int)REELAY_JSON_DEPTH_MAX == JOB_JSON_DEPTH_MAX,
               "the library's limits are the server's");

/* What a call says of a job, before it is known what was said earlier. */
struct saying {
    const char *status;
    const char *stage; /* NULL: the last one, or `otherwise` */
    const char *otherwise;
    double progress; /* less than 0: the last one */
    const char *text;
    const char *error;
    char *result, *metadata; /* owned */
    bool is_ending, is_completed;
};

__attribute__((format(printf, 3, 4))) static int refuse(struct reelay *r, int code,
                                                        const char *format, ...)
{
    va_list args;

    pthread_mutex_lock(&r->lock);
    va_start(args, format);
    vsnprintf(r->error, sizeof(r->error), format, args);
    va_end(args);
    pthread_mutex_unlock(&r->lock);
    return code;
}

static int check_job(struct reelay *r, const char *id)
{
    if (r == NULL)
        return REELAY_INVALID;
    if (r->owner != getpid())
        return REELAY_FORKED;
    if (id == NULL ||
        !job_id_is_valid((struct str){ .at = id, .len = strnlen(id, JOB_ID_MAX + 1) }))
        return refuse(r, REELAY_INVALID,
                      "job_id: must be 1 to %d letters, digits and -_.:~@+=,!$, the first not '.'",
                      JOB_ID_MAX);
    return REELAY_OK;
}

static int check_text(struct reelay *r, const char *name, const char *text)
{
    if (text != NULL && strnlen(text, JOB_TEXT_MAX + 1) > JOB_TEXT_MAX)
        return refuse(r, REELAY_TOO_LONG, "%s: over %d bytes", name, JOB_TEXT_MAX);
    return REELAY_OK;
}

static int refuse_json(struct reelay *r, const char *name, bool only_object, int err, size_t at)
{
    if (err == FAIL_LIMIT)
        return refuse(r, REELAY_TOO_LONG, "%s: over %d bytes, or nested deeper than %d", name,
                      JOB_JSON_MAX, JOB_JSON_DEPTH_MAX);
    return refuse(r, REELAY_INVALID, "%s: not %s (byte %zu)", name,
                  only_object ? "a JSON object" : "valid JSON", at);
}

/* *out is the caller's to free; NULL for NULL. */
static int check_json(struct reelay *r, const char *name, const char *json, bool only_object,
                      char **out)
{
    size_t at = 0;

    if (json == NULL)
        return REELAY_OK;
    /* Never longer than what it is made of, so the buffer never grows. */
    size_t max = strnlen(json, JOB_JSON_MAX);
    struct buf b = { .data = malloc(max + 1), .cap = max + 1, .max = max };
    if (b.data == NULL)
        return REELAY_NO_MEMORY;
    int err = compact_json(json, only_object, &b, &at);
    if (err != OK) {
        free(b.data);
        return refuse_json(r, name, only_object, err, at);
    }
    *out = b.data;
    return REELAY_OK;
}

static bool is_unsent(struct reelay *r, const char *id, uint64_t seq)
{
    if (backlog_has(&r->backlog, id, seq))
        return true;
    for (int i = 0; i < r->flying_count; i++)
        if (r->flying[i].item->seq <= seq &&
            (id == NULL || strcmp(r->flying[i].entry->id, id) == 0))
            return true;
    return false;
}

static struct timespec deadline_of(const struct reelay *r)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += r->timeout_ms / 1000;
    at.tv_nsec += r->timeout_ms % 1000 * 1000000L;
    if (at.tv_nsec >= 1000000000L) {
        at.tv_nsec -= 1000000000L;
        at.tv_sec++;
    }
    return at;
}

/* With the lock held, for a while: until all up to `seq` is sent and `q`, if
 * there is one, is answered. What the last attempt met says more than that time
 * is over. */
static int wait_for(struct reelay *r, const char *id, uint64_t seq, const struct question *q)
{
    struct timespec deadline = deadline_of(r);
    int err = 0;

    r->waiting++;
    sender_wake(r);
    while (err != ETIMEDOUT && (q ? !q->is_answered : is_unsent(r, id, seq)))
        err = pthread_cond_timedwait(&r->news, &r->lock, &deadline);
    r->waiting--;
    if (q ? q->is_answered : !is_unsent(r, id, seq))
        return REELAY_OK;
    return r->trouble ? r->trouble : REELAY_TIMEOUT;
}

static char *render(const struct entry *e, const struct saying *s, size_t *len)
{
    struct message m = { .job = e->id,
                         .status = s->status,
                         .stage = s->stage,
                         .progress = s->progress,
                         .text = s->text,
                         .error = s->error,
                         .result = s->result,
                         .metadata = s->metadata,
                         .time_ms = clock_wall_ms() };

    return message_render(&m, len);
}

static int error_of(int fail)
{
    return fail == FAIL_FULL ? REELAY_FULL : REELAY_NO_MEMORY;
}

/* What `s` leaves open is as it was. */
static void complete_from(struct saying *s, const struct entry *e)
{
    if (s->stage == NULL)
        s->stage = e->stage ? e->stage : s->otherwise;
    if (s->progress < 0)
        s->progress = e->progress;
}

/* Keeps e->stage where it is the same: `s->stage` may point to it. */
static bool remember(struct entry *e, const struct saying *s, char **stage)
{
    *stage = NULL;
    if (e->stage != NULL && strcmp(e->stage, s->stage) == 0)
        return true;
    *stage = strdup(s->stage);
    return *stage != NULL;
}

/* A failure may be tried again: what comes after it is a first report. */
static bool is_urgent(const struct entry *e, const struct saying *s, const char *new_stage)
{
    return s->is_ending || new_stage != NULL || e->has_failed;
}

static int put(struct reelay *r, struct entry *e, struct saying *s)
{
    char *stage, *json = NULL;
    size_t len;
    int err = FAIL_NOMEM;

    if (remember(e, s, &stage))
        json = render(e, s, &len);
    if (json != NULL)
        err = backlog_put(&r->backlog, e, json, len, is_urgent(e, s, stage), s->is_ending);
    if (err != OK) {
        free(json);
        free(stage);
        return error_of(err);
    }
    if (stage != NULL) {
        free(e->stage);
        e->stage = stage;
    }
    e->progress = s->progress;
    e->is_completed = s->is_completed;
    e->has_failed = s->is_ending && !s->is_completed;
    return REELAY_OK;
}

static int say_locked(struct reelay *r, const char *id, struct saying *s)
{
    struct entry *e;

    int err = backlog_entry(&r->backlog, id, (int64_t)clock_mono_ms(), &e);
    if (err != OK)
        return error_of(err);
    if (e->is_completed)
        return REELAY_COMPLETED;
    complete_from(s, e);
    int result = put(r, e, s);
    if (result != REELAY_OK) {
        backlog_forget_empty(&r->backlog, e);
        return result;
    }
    if (s->is_ending)
        return wait_for(r, id, r->backlog.seq, NULL);
    sender_wake(r);
    return REELAY_OK;
}

static int say(struct reelay *r, const char *id, struct saying *s)
{
    pthread_mutex_lock(&r->lock);
    int result = say_locked(r, id, s);
    pthread_mutex_unlock(&r->lock);
    free(s->result);
    free(s->metadata);
    return result;
}

/* Where what is said lies until it is rendered. */
struct texts {
    char stage[JOB_TEXT_MAX + 1], message[JOB_TEXT_MAX + 1], error[JOB_TEXT_MAX + 1];
};

static double clamp(double progress)
{
    return progress < 0 ? 0 : progress > 1 ? 1 : progress;
}

int reelay_report(struct reelay *r, const char *id, const char *stage, double progress,
                  const char *message, const char *metadata_json)
{
    struct texts t;
    struct saying s = {
        .status = "processing", .stage = t.stage, .progress = clamp(progress), .text = t.message
    };

    int err = check_job(r, id);
    if (err == REELAY_OK)
        err = check_text(r, "stage", stage);
    if (err == REELAY_OK && isnan(progress))
        err = refuse(r, REELAY_INVALID, "progress: not a number");
    if (err == REELAY_OK)
        err = check_text(r, "message", message);
    if (err == REELAY_OK)
        err = check_json(r, "metadata", metadata_json, true, &s.metadata);
    if (err != REELAY_OK)
        return err;
    message_text("", stage && *stage ? stage : "processing", t.stage);
    message_text("", message ? message : "", t.message);
    return say(r, id, &s);
}

int reelay_report_error(struct reelay *r, const char *id, const char *error, const char *stage)
{
    struct texts t;
    struct saying s = { .status = "failed",
                        .stage = stage && *stage ? t.stage : NULL,
                        .otherwise = "error",
                        .progress = -1,
                        .text = t.message,
                        .error = t.error,
                        .is_ending = true };

    int err = check_job(r, id);
    if (err == REELAY_OK)
        err = check_text(r, "error", error);
    if (err == REELAY_OK)
        err = check_text(r, "stage", stage);
    if (err != REELAY_OK)
        return err;
    message_text("", stage ? stage : "", t.stage);
    message_text("", error && *error ? error : "Processing failed", t.error);
    message_text("Error: ", t.error, t.message);
    return say(r, id, &s);
}

int reelay_report_complete(struct reelay *r, const char *id, const char *result_json,
                           const char *message)
{
    struct texts t;
    struct saying s = { .status = "completed",
                        .stage = "complete",
                        .progress = 1,
                        .text = t.message,
                        .is_ending = true,
                        .is_completed = true };

    int err = check_job(r, id);
    if (err == REELAY_OK)
        err = check_text(r, "message", message);
    if (err == REELAY_OK)
        err = check_json(r, "result", result_json ? result_json : "{}", false, &s.result);
    if (err != REELAY_OK)
        return err;
    message_text("", message ? message : "Job completed", t.message);
    return say(r, id, &s);
}

int reelay_get_status(struct reelay *r, const char *id, char **json)
{
    struct question q = { 0 };

    int err = check_job(r, id);
    if (err != REELAY_OK)
        return err;
    if (json == NULL)
        return refuse(r, REELAY_INVALID, "json: NULL");
    memcpy(q.id, id, strlen(id) + 1);

    pthread_mutex_lock(&r->lock);
    struct entry *e = backlog_find(&r->backlog, id);
    if (e != NULL)
        backlog_hurry(&r->backlog, e);
    q.number = ++r->question_number;
    DL_APPEND(r->questions, &q);
    err = wait_for(r, id, 0, &q);
    if (!q.is_answered)
        DL_DELETE2(r->questions, (&q), prev, next);
    pthread_mutex_unlock(&r->lock);

    if (err != REELAY_OK || q.code != REELAY_OK)
        return err != REELAY_OK ? err : q.code;
    *json = q.json;
    return REELAY_OK;
}

int reelay_flush(struct reelay *r)
{
    if (r == NULL)
        return REELAY_INVALID;
    if (r->owner != getpid())
        return REELAY_FORKED;
    pthread_mutex_lock(&r->lock);
    backlog_hurry(&r->backlog, NULL);
    int err = wait_for(r, NULL, r->backlog.seq, NULL);
    pthread_mutex_unlock(&r->lock);
    return err;
}

void reelay_free(char *json)
{
    free(json);
}
