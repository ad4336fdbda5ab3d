/* POST /files with Upload-Concat: final;... A new upload has the chunks of others, which
 * are then gone; not a byte of them is read. In a bucket they are copied there.
 *
 *   each part is looked at -> on record -> each part's chunks are linked -> assembly
 *     -> each part is removed -> answered */
#include <stdio.h>
#include <string.h>

#include "api/tus.h"
#include "base/err.h"
#include "base/mem.h"

/* The part it is about just now; false: its URL names none. */
static bool part_id(const struct tus *t, char out[JOB_ID_MAX + 1])
{
    struct str id = tus_url_id(t->concat.urls[t->at]);

    if (!job_id_is_valid(id))
        return false;
    snprintf(out, JOB_ID_MAX + 1, "%.*s", STR_ARG(id));
    return true;
}

/* Removing them */

static void remove_next(struct tus *t);

static void removed(struct call *c, int err)
{
    struct tus *t = c->state;

    (void)err; /* who is left behind expires */
    t->at++;
    remove_next(t);
}

static void remove_next(struct tus *t)
{
    char id[JOB_ID_MAX + 1];

    if (t->at == t->concat.count) {
        t->state = TUS_DONE;
        tus_created(t);
    } else if (part_id(t, id)) {
        t->call->api->records->discard(t->call, id, removed);
    } else {
        removed(t->call, OK);
    }
}

static void concluded(struct tus *t)
{
    t->at = 0;
    remove_next(t);
}

/* Linking them */

static void taken_back(struct call *c, int err)
{
    struct tus *t = c->state;

    (void)err;
    tus_refuse(t, t->status, t->code, "the uploads could not be joined: %s", t->why);
}

static void take_back(struct tus *t, int err, const char *why)
{
    switch (err) {
    case FAIL_LIMIT:
        t->status = 413;
        t->code = "too_many";
        break;
    case FAIL_MISSING:
        t->status = 404;
        t->code = "invalid_concat";
        break;
    case FAIL_TIMEOUT:
        t->status = 503;
        t->code = "not_now";
        break;
    default: t->status = 500; t->code = "not_stored";
    }
    snprintf(t->why, sizeof(t->why), "%s", why);
    t->call->api->records->discard(t->call, t->id, taken_back);
}

static const char removed_meanwhile[] = "one of them was removed";

static void link_next(struct tus *t);

static void joined(struct call *c, int err, const struct slices *s)
{
    struct tus *t = c->state;

    if (err) {
        take_back(t, err, err == FAIL_MISSING ? removed_meanwhile : fail_text(err));
        return;
    }
    t->offset = s->bytes;
    t->chunks = s->chunks;
    t->at++;
    link_next(t);
}

static void link_next(struct tus *t)
{
    char id[JOB_ID_MAX + 1];

    if (t->at == t->concat.count && t->offset != (uint64_t)t->length)
        take_back(t, FAIL_MISSING, removed_meanwhile);
    else if (t->at == t->concat.count)
        tus_conclude(t, concluded);
    else if (part_id(t, id))
        t->call->api->records->join(t->call, id, t->id, joined);
}

static void opened(struct tus *t)
{
    t->at = 0;
    link_next(t);
}

/* Looking at them */

static void look_next(struct tus *t);

static void refuse_part(struct tus *t, int status, const char *why)
{
    tus_refuse(t, status, "invalid_concat", "upload %zu of Upload-Concat %s", t->at + 1, why);
}

static void counted(struct call *c, int err, const struct slices *s)
{
    struct tus *t = c->state;

    if (err) {
        tus_fail(t, err);
    } else if (s->grows || t->length < 0 || s->bytes != (uint64_t)t->length) {
        refuse_part(t, 400, "is not complete");
    } else {
        t->total += s->bytes;
        t->at++;
        look_next(t);
    }
}

static void looked(struct call *c, int err, const struct upload *u)
{
    struct tus *t = c->state;
    char owner[sizeof(u->owner)], id[JOB_ID_MAX + 1];

    tus_owner(c, owner);
    if (err != OK && err != FAIL_MISSING) {
        tus_fail(t, err);
    } else if (err || !u->is_partial || (!c->viewer->sees_all && strcmp(owner, u->owner) != 0) ||
               !part_id(t, id)) {
        refuse_part(t, 404, "is no partial upload");
    } else {
        t->length = u->size;
        c->api->records->slices(c, id, u, counted);
    }
}

static void open_final(struct tus *t)
{
    uint64_t max = t->call->api->settings->upload_max;

    if (t->total > max) {
        tus_refuse(t, 413, "too_large", "an upload may have %llu bytes at most",
                   (unsigned long long)max);
    } else {
        t->upload.size = (int64_t)t->total;
        tus_open(t, opened);
    }
}

static void look_next(struct tus *t)
{
    char id[JOB_ID_MAX + 1];

    if (t->at == t->concat.count)
        open_final(t);
    else if (part_id(t, id))
        t->call->api->records->look(t->call, id, looked);
    else
        refuse_part(t, 404, "is no partial upload");
}

void tus_concat(struct tus *t)
{
    int64_t length;

    if (tus_number(t->call, "Upload-Length", &length) != FAIL_MISSING)
        tus_refuse(t, 400, "invalid_length", "an upload made of others has their length");
    else
        look_next(t);
}
