/* Uploads that grow at their end, in a bucket: each piece is an object. Which of them are
 * there the bucket says; a piece's object has the next number, so only one may be on its
 * way at a time, of all nodes: who adds one has a claim meanwhile, which stands in the
 * record where other uploads have the name of their multipart upload. It says since when,
 * anew every few seconds: of who does not say so any more, the next one takes it.
 *
 *   claim (in a fleet) -> what is there -> the object -> the claim given back
 *          \---------- renewed ----------/
 */
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "api/errand.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"
#include "fleet/work.h"
#include "io/thread.h"

enum {
    CLAIM_MS = 20 * 1000, /* a node that has not renewed its own for longer has died */
    RENEW_MS = 4 * 1000,
    CLAIM_SIZE = 48,
    PLACE_TEXT_MAX = 2048,
};

struct piece {
    struct errand errand;
    struct upload upload;
    struct chunk_write *file; /* NULL: only a look */
    struct slice_end end;
    upload_sliced *done;
    struct slices slices;
    struct upload_place free, claim, found; /* as in the record */
    struct upload_place renewed;            /* the same as `claim`, or on its way there */
    bool is_claimed, is_inside;
    bool is_renewing, is_over; /* over: but for giving the claim back */
    bool is_lost;              /* somebody else has the claim */
    uv_timer_t renewal;
    int err;
    char id[JOB_ID_MAX + 1];
};

static void drop_work(void *context)
{
    struct piece *p = context;

    disk_chunk_abort(p->errand.api->disk, p->file);
}

static void dropped(void *context)
{
    struct piece *p = context;

    if (p->is_inside)
        uploads_leave(p->errand.api->uploads, p->id, 0);
    p->done(p->errand.call, p->err, &p->slices);
    mem_free(p);
}

static void back(struct errand *errand)
{
    struct piece *p = (struct piece *)errand;

    if (p->file != NULL)
        io_offload(io_thread_loop(exchange_thread(errand->call->x)), drop_work, dropped, p);
    else
        dropped(p);
}

/* Of what the bucket says. Handlers take FAIL_CLOSED for the records, FAIL_MISSING for the
 * upload, FAIL_DENIED for the viewer. */
static int outcome(int err)
{
    switch (err) {
    case FAIL_CLOSED:
    case FAIL_IO:
    case FAIL_MISSING:
    case FAIL_DENIED: return FAIL_TIMEOUT;
    default: return err;
    }
}

static void place_text(const struct upload_place *place, struct buf *out)
{
    buf_init(out, PLACE_TEXT_MAX);
    upload_place_write(place, out);
}

static void change_place(struct piece *p, const struct upload_place *before,
                         const struct upload_place *after, fleet_work_done *done)
{
    struct buf from, to;

    place_text(before, &from);
    place_text(after, &to);
    fleet_work_place(p->errand.api->fleet->work, p->id, buf_text(&from), buf_text(&to), done, p);
    buf_deinit(&from);
    buf_deinit(&to);
}

static void timer_closed(uv_handle_t *handle)
{
    struct piece *p = handle->data;

    errand_return(&p->errand);
}

static void given_back(void *context, int err)
{
    struct piece *p = context;

    /* It took too long, and somebody may have put another object there. */
    if (p->err == OK && err)
        p->err = err == FAIL_EXISTS ? FAIL_STATE : FAIL_TIMEOUT;
    uv_close((uv_handle_t *)&p->renewal, timer_closed);
}

static void renew(struct piece *p);

static void give_back(struct piece *p)
{
    if (p->is_lost)
        given_back(p, FAIL_EXISTS);
    else if (!upload_place_equals(&p->claim, &p->renewed))
        renew(p); /* once more: which of the two is there is not known */
    else
        change_place(p, &p->claim, &p->free, given_back);
}

static void renewed(void *context, int err)
{
    struct piece *p = context;

    p->is_renewing = false;
    if (err == OK)
        p->claim = p->renewed;
    p->is_lost = err == FAIL_EXISTS || err == FAIL_STATE || err == FAIL_MISSING;
    if (p->is_lost)
        uv_timer_stop(&p->renewal);
    if (p->is_over && err && !p->is_lost)
        given_back(p, err);
    else if (p->is_over)
        give_back(p);
}

/* What is repeated does nothing (fleet_work_place). */
static void renew(struct piece *p)
{
    p->is_renewing = true;
    change_place(p, &p->claim, &p->renewed, renewed);
}

static void name_claim(struct upload_place *claim)
{
    snprintf(claim->multipart, CLAIM_SIZE, "%lld-%016llx", (long long)clock_wall_ms(),
             (unsigned long long)random_u64());
}

static void renewal_due(uv_timer_t *timer)
{
    struct piece *p = timer->data;

    if (p->is_renewing)
        return;
    if (upload_place_equals(&p->claim, &p->renewed))
        name_claim(&p->renewed);
    renew(p);
}

static void hold(struct piece *p)
{
    p->is_claimed = true;
    p->renewed = p->claim;
    p->renewal.data = p;
    uv_timer_init(pipelines_loop(p->errand.api->pipelines), &p->renewal);
    uv_timer_start(&p->renewal, renewal_due, RENEW_MS, RENEW_MS);
}

static void end(struct piece *p, int err)
{
    p->err = err;
    p->is_over = true;
    if (!p->is_claimed) {
        errand_return(&p->errand);
        return;
    }
    uv_timer_stop(&p->renewal);
    if (!p->is_renewing)
        give_back(p);
}

static void stored(void *context, int err)
{
    struct piece *p = context;

    if (err == OK) {
        p->slices.chunks++;
        p->slices.bytes += p->file->size;
    }
    end(p, outcome(err));
}

static void count_up(struct piece *p, const int64_t *sizes)
{
    struct slices *s = &p->slices;

    while (s->chunks < CHUNKS_MAX && sizes[s->chunks] >= 0)
        s->bytes += (uint64_t)sizes[s->chunks++];
}

static void listed(void *context, int err, const int64_t *sizes)
{
    struct piece *p = context;

    if (err == OK)
        count_up(p, sizes);
    if (err || p->file == NULL) {
        end(p, outcome(err));
    } else if (p->slices.bytes != p->end.offset) {
        end(p, FAIL_STATE);
    } else if (p->file->size == 0) {
        end(p, OK);
    } else if (p->slices.chunks == CHUNKS_MAX) {
        end(p, FAIL_LIMIT);
    } else {
        pipelines_put_chunk(p->errand.api->pipelines,
                            &(struct pipeline_chunk){ .video = p->id,
                                                      .place = &p->free,
                                                      .index = p->slices.chunks,
                                                      .file = p->file->fd,
                                                      .size = p->file->size },
                            stored, p);
    }
}

static void list(struct piece *p)
{
    p->upload.total_chunks = CHUNKS_MAX;
    p->upload.place = p->free;
    pipelines_chunks(p->errand.api->pipelines, p->id, &p->upload, listed, p);
}

static void claimed(void *context, int err)
{
    struct piece *p = context;

    if (err == OK) {
        hold(p);
        list(p);
    } else if (err == FAIL_EXISTS) {
        end(p, FAIL_CANCELLED);
    } else {
        end(p, err == FAIL_STATE ? FAIL_STALE : err == FAIL_MISSING ? err : FAIL_CLOSED);
    }
}

/* Free, or of somebody who is no more. */
static bool may_claim(const struct upload_place *place)
{
    struct str rest = str_of(place->multipart), since = str_cut(&rest, '-');
    uint64_t ms;

    return since.len == 0 || str_parse_u64(since, INT64_MAX, &ms) != OK ||
           clock_wall_ms() - (int64_t)ms > CLAIM_MS;
}

static void claim_run(struct errand *errand)
{
    struct piece *p = (struct piece *)errand;

    p->free = (struct upload_place){ .layout = LAYOUT_OBJECTS };
    if (errand->api->fleet == NULL || p->file == NULL) {
        list(p);
        return;
    }
    if (!may_claim(&p->found)) {
        end(p, FAIL_CANCELLED);
        return;
    }
    p->claim = p->free;
    name_claim(&p->claim);
    change_place(p, &p->found, &p->claim, claimed);
}

static struct piece *piece_new(const char *id, const struct upload *u, upload_sliced *done)
{
    struct piece *p = mem_new(struct piece);

    p->upload = *u;
    p->found = u->place;
    p->done = done;
    snprintf(p->id, sizeof(p->id), "%s", id);
    return p;
}

void errand_slices(struct call *c, const char *id, const struct upload *u, upload_sliced *done)
{
    errand_go(&piece_new(id, u, done)->errand, c, claim_run, back);
}

void errand_put_slice(struct call *c, const struct slice_errand *slice)
{
    struct piece *p = piece_new(slice->id, slice->upload, slice->done);

    p->file = slice->file;
    p->end = *slice->end;
    p->is_inside = slice->is_inside;
    errand_go(&p->errand, c, claim_run, back);
}
