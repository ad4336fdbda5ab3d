/* What requests of tus share: the fields of their answers, who may see an upload, its turn,
 * what there is of it, its assembly. */
#include "api/tus.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/thread.h"

/* Every answer */

void tus_greet(struct call *c, bool may_read)
{
    char max[STR_U64_SIZE];

    exchange_header(c->x, "Tus-Resumable", TUS_VERSION);
    if (exchange_request(c->x)->method == HTTP_OPTIONS) {
        str_of_u64(c->api->settings->upload_max, max);
        exchange_header(c->x, "Tus-Version", TUS_VERSION);
        exchange_header(c->x, "Tus-Extension", TUS_EXTENSIONS);
        exchange_header(c->x, "Tus-Max-Size", max);
        exchange_header(c->x, "Tus-Checksum-Algorithm", TUS_ALGORITHMS);
    } else if (may_read) {
        /* Beside what any answer exposes. */
        exchange_header(c->x, "Access-Control-Expose-Headers",
                        "Tus-Checksum-Algorithm, Tus-Extension, Tus-Max-Size, Tus-Resumable, "
                        "Tus-Version, Upload-Concat, Upload-Defer-Length, Upload-Expires, "
                        "Upload-Job-Id, Upload-Length, Upload-Metadata, Upload-Offset");
    }
}

void tus_put_offset(struct tus *t)
{
    char offset[STR_U64_SIZE];

    str_of_u64(t->offset, offset);
    exchange_header(t->call->x, "Upload-Offset", offset);
}

void tus_put_expiry(struct tus *t, int64_t touched_ms)
{
    time_t when = (touched_ms + (int64_t)t->call->api->settings->upload_ttl_ms) / 1000;
    struct tm parts;
    char text[64];

    /* RFC 9110, 5.6.7; the program never leaves the C locale. */
    if (gmtime_r(&when, &parts) != NULL &&
        strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &parts) > 0)
        exchange_header(t->call->x, "Upload-Expires", text);
}

void tus_put_job(struct tus *t)
{
    if (!t->upload.is_partial)
        exchange_header(t->call->x, "Upload-Job-Id", t->id);
}

/* Beginning and ending */

int tus_number(const struct call *c, const char *name, int64_t *out)
{
    struct str text = http_header(exchange_request(c->x), name);
    uint64_t value;

    if (text.at == NULL)
        return FAIL_MISSING;
    if (str_parse_u64(text, INT64_MAX, &value) != OK)
        return FAIL_SYNTAX;
    *out = (int64_t)value;
    return OK;
}

struct tus *tus_begin(struct call *c)
{
    struct str version = http_header(exchange_request(c->x), "Tus-Resumable");

    if (!str_equal(version, STR(TUS_VERSION))) {
        exchange_header(c->x, "Tus-Version", TUS_VERSION);
        reply_error(c->x, 412, "wrong_version", NULL,
                    "this is tus " TUS_VERSION ": Tus-Resumable must say so");
        return NULL;
    }
    struct tus *t = mem_new(struct tus);
    c->state = t;
    t->call = c;
    t->length = -1;
    return t;
}

void tus_release(struct tus *t)
{
    update_unref(&t->job);
    intake_deinit(&t->intake);
    tus_sum_free(t->sum);
    t->sum = NULL;
    if (t->has_turn)
        turn_leave(t->call->api->turns, &t->turn);
    t->has_turn = false;
}

void tus_refuse(struct tus *t, int status, const char *code, const char *format, ...)
{
    char why[512];
    va_list args;

    va_start(args, format);
    vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    tus_release(t);
    reply_error(t->call->x, status, code, NULL, "%s", why);
}

void tus_fail(struct tus *t, int err)
{
    if (err == FAIL_TIMEOUT) {
        tus_refuse(t, 503, "not_now", "the bucket cannot be reached just now");
        return;
    }
    tus_release(t);
    job_refuse(t->call, err, NULL);
}

void tus_refuse_closed(struct tus *t)
{
    tus_refuse(t, 409, "upload_closed", "upload %s takes no bytes: it has all of them", t->id);
}

/* Who may see it */

void tus_owner(const struct call *c, char out[sizeof((struct upload *)0)->owner])
{
    tus_mark(str_of(c->viewer->subject), out);
}

void tus_refuse_unknown(struct tus *t)
{
    tus_refuse(t, 404, "not_found", "there is no upload %s", t->id);
}

/* A partial one has no job; its name, which nobody could guess, and its maker open it. */
static bool may_see_partial(const struct tus *t)
{
    char owner[sizeof(t->upload.owner)];

    tus_owner(t->call, owner);
    return t->upload.is_partial &&
           (t->call->viewer->sees_all || strcmp(owner, t->upload.owner) == 0);
}

static void partial_looked(struct call *c, int err, const struct upload *u)
{
    struct tus *t = c->state;

    if (err == OK)
        t->upload = *u;
    if (err != OK && err != FAIL_MISSING)
        tus_fail(t, err);
    else if (err || !may_see_partial(t))
        tus_refuse_unknown(t);
    else
        t->then(t);
}

static void found(struct call *c, int err, struct update *u)
{
    struct tus *t = c->state;

    if (err == FAIL_MISSING) {
        c->api->records->look(c, t->id, partial_looked);
    } else if (err == FAIL_DENIED || (err == OK && u->kind != JOB_UPLOAD)) {
        tus_refuse_unknown(t);
    } else if (err) {
        tus_fail(t, err);
    } else {
        t->job = update_ref(u);
        t->then(t);
    }
}

void tus_find(struct tus *t, void (*then)(struct tus *t))
{
    t->then = then;
    if (job_id_is_valid(str_of(t->id)))
        t->call->api->records->find(t->call, t->id, found);
    else
        tus_refuse_unknown(t);
}

/* Its turn */

static struct tus *tus_of(struct turn *turn)
{
    return (struct tus *)(void *)((char *)turn - offsetof(struct tus, turn));
}

static void granted(struct turn *turn)
{
    struct tus *t = tus_of(turn);

    t->has_turn = true;
    t->then(t);
}

void tus_take_turn(struct tus *t, void (*then)(struct tus *t))
{
    t->then = then;
    t->turn.home = io_thread_mailbox(exchange_thread(t->call->x));
    t->turn.granted = granted;
    if (turn_take(t->call->api->turns, &t->turn, t->id))
        granted(&t->turn);
}

/* What there is of it */

static void sliced(struct call *c, int err, const struct slices *s)
{
    struct tus *t = c->state;

    if (err) {
        tus_fail(t, err);
        return;
    }
    t->offset = s->bytes;
    t->chunks = s->chunks;
    t->then(t);
}

static void survey_whole(struct tus *t, int64_t length)
{
    if (length < 0) {
        tus_refuse_unknown(t); /* came by another way, or nobody remembers */
        return;
    }
    t->state = TUS_DONE;
    t->length = length;
    t->offset = (uint64_t)length;
    t->then(t);
}

/* Its upload is over: what is left to know, its job says. */
static void survey_over(struct tus *t)
{
    if (t->job == NULL) {
        tus_refuse_unknown(t);
    } else if (t->job->state == JOB_FAILED || t->job->state == JOB_CANCELLED) {
        t->state = TUS_GONE;
        t->then(t);
    } else {
        survey_whole(t, t->job->bytes_total);
    }
}

static void looked(struct call *c, int err, const struct upload *u)
{
    struct tus *t = c->state;

    if (err == FAIL_MISSING) {
        survey_over(t);
        return;
    }
    if (err || !u->is_tus) {
        if (err)
            tus_fail(t, err);
        else
            tus_refuse_unknown(t);
        return;
    }
    t->upload = *u;
    t->has_upload = true;
    if (u->state != UPLOAD_OPEN || u->has_source) {
        survey_whole(t, u->size);
        return;
    }
    t->state = TUS_OPEN;
    t->length = u->size;
    c->api->records->slices(c, t->id, &t->upload, sliced);
}

void tus_survey(struct tus *t, void (*then)(struct tus *t))
{
    t->then = then;
    t->call->api->records->look(t->call, t->id, looked);
}

/* Its assembly */

static void assembled(struct call *c, int err, const char *why)
{
    struct tus *t = c->state;

    switch (err) {
    case OK:
    case FAIL_STATE: t->then(t); break; /* somebody was faster */
    case FAIL_FULL: tus_refuse(t, 507, "no_space", "%s", why); break;
    case FAIL_CLOSED:
        exchange_header(c->x, "Retry-After", "1");
        tus_refuse(t, 503, "not_now", "%s", why && *why ? why : RECORDS_AWAY);
        break;
    default: tus_refuse(t, 500, "internal", "%s", why); break;
    }
}

static void failed(struct call *c, int err, struct update *u)
{
    struct tus *t = c->state;

    (void)u;
    if (err == FAIL_CLOSED)
        tus_fail(t, err);
    else
        t->then(t);
}

/* To the protocol an upload of 0 bytes is as good as any. */
static void fail_empty(struct tus *t)
{
    struct change change;

    change_init(&change);
    change.state = JOB_FAILED;
    change.text[TEXT_MESSAGE] = change.text[TEXT_ERROR] = "an empty file is no video";
    t->call->api->records->apply(t->call,
                                 &(struct record_change){
                                     .id = t->id, .change = &change, .wait = RECORD_HEARD },
                                 failed);
}

void tus_conclude(struct tus *t, void (*then)(struct tus *t))
{
    bool is_whole = t->state == TUS_OPEN && t->length >= 0 && t->offset == (uint64_t)t->length;

    t->then = then;
    if (is_whole && !t->upload.is_partial && t->length == 0)
        fail_empty(t);
    else if (is_whole && !t->upload.is_partial)
        t->call->api->records->assemble(t->call, t->id, t->upload.file_name, t->chunks, assembled);
    else
        then(t);
}
