/* PATCH /files/ID: bytes, kept as they come. A piece of them counts when it is on the
 * disk: at the end, every so many bytes on the way, and when the connection is cut or
 * somebody else wants to write; but what has a checksum is one piece, which counts as a
 * whole or not at all.
 *
 *   ready -> receiving -> over: a piece -> added -> the next one, or received
 */
#include <stdio.h>
#include <string.h>

#include "api/tus.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/thread.h"

enum {
    PIECE_MAX = 64 * 1024 * 1024,  /* lost by a crash, at most */
    OBJECT_MAX = 16 * 1024 * 1024, /* the same in a bucket, where it is sent on first */
    CHUNKS_USED = CHUNKS_MAX / 2,  /* two neighbours are never smaller than one may be */
    PIECES_SEEN = 64,              /* by then it is known of what size a client sends them */
};

/* So that any upload has few enough of them. */
static uint64_t chunk_max(const struct tus *t)
{
    uint64_t least = t->call->api->settings->upload_max / (CHUNKS_USED / 2) + 1;

    return least > PIECE_MAX ? least : PIECE_MAX;
}

static uint64_t piece_max(const struct tus *t)
{
    uint64_t least = t->call->api->settings->upload_max / CHUNKS_USED + 1;

    if (t->call->api->storage == NULL)
        return PIECE_MAX;
    return least > OBJECT_MAX ? least : OBJECT_MAX;
}

static void blame(struct tus *t, int status, const char *code, const char *why)
{
    if (t->status != 0)
        return;
    t->status = status;
    t->code = code;
    snprintf(t->why, sizeof(t->why), "%s", why);
}

static void blame_err(struct tus *t, int err)
{
    switch (err) {
    case FAIL_LIMIT: blame(t, 413, "too_large", "the upload has fewer bytes than that"); break;
    case FAIL_FULL: blame(t, 507, "no_space", "there is no room for this"); break;
    case FAIL_STATE: blame(t, 409, "wrong_offset", "somebody else has added bytes here"); break;
    case FAIL_STALE: blame(t, 409, "upload_closed", "the upload takes no more bytes"); break;
    case FAIL_MISSING: blame(t, 410, "gone", "the upload was removed"); break;
    case FAIL_CANCELLED: blame(t, 423, "locked", "another request writes to this upload"); break;
    case FAIL_CLOSED: blame(t, 503, "not_now", RECORDS_AWAY); break;
    case FAIL_TIMEOUT: blame(t, 503, "not_now", "the bucket cannot be reached just now"); break;
    default: blame(t, 500, "not_stored", "the bytes could not be stored"); break;
    }
}

static void piece_begin(struct tus *t);

/* Receiving */

static void finish(struct tus *t)
{
    t->is_receiving = false;
    intake_deinit(&t->intake);
    t->received(t);
}

static void added(struct call *c, int err, const struct slices *s)
{
    struct tus *t = c->state;

    if (err == OK || err == FAIL_STATE) {
        t->offset = s->bytes;
        t->chunks = s->chunks;
    }
    if (err == FAIL_LIMIT)
        blame(t, 413, "too_many",
              "the upload has 10000 pieces already: it is to be sent anew, in larger ones "
              "(a larger chunkSize)");
    else if (err)
        blame_err(t, err);
    else if (t->is_unwanted && !t->is_ended)
        blame_err(t, FAIL_CANCELLED);
    if (t->status != 0 || t->is_ended || t->is_cut) {
        finish(t);
        return;
    }
    intake_deinit(&t->intake);
    piece_begin(t);
}

static void abort_work(void *context)
{
    struct tus *t = context;

    disk_chunk_abort(t->call->api->disk, &t->intake.file);
}

static void aborted(void *context)
{
    finish(context);
}

static bool is_as_said(struct tus *t)
{
    return t->sum == NULL || tus_sum_matches(t->sum, &t->checksum);
}

static void piece_over(struct intake *in)
{
    struct tus *t = in->owner;
    uint64_t behind = t->offset + in->received;
    const struct slice_end end = {
        .offset = t->offset,
        .chunk_max = chunk_max(t),
        .is_last = t->length >= 0 && behind == (uint64_t)t->length,
    };

    if (in->err) {
        blame_err(t, in->err);
        finish(t);
    } else if (!is_as_said(t)) {
        blame(t, 460, "checksum_mismatch", "the bytes are not those that the checksum is of");
        io_offload(io_thread_loop(exchange_thread(in->x)), abort_work, aborted, t);
    } else {
        t->call->api->records->take_slice(t->call, t->id, &t->upload, &in->file, &end, added);
    }
}

static void sum_up(struct intake *in, const char *bytes, size_t len)
{
    struct tus *t = in->owner;

    tus_sum_add(t->sum, bytes, len);
}

static bool is_too_much(const struct tus *t, size_t len)
{
    uint64_t most = t->length >= 0 ? (uint64_t)t->length : t->call->api->settings->upload_max;

    return t->offset + t->intake.received + len > most;
}

static struct tus *upload_of(struct exchange *x)
{
    return ((struct call *)exchange_state(x))->state;
}

static void on_data(struct exchange *x, const char *bytes, size_t len)
{
    struct tus *t = upload_of(x);

    if (is_too_much(t, len))
        intake_stop(&t->intake, FAIL_LIMIT);
    intake_put(&t->intake, bytes, len);
    if (t->intake.received < piece_max(t) || t->sum != NULL) {
        intake_go(&t->intake);
        return;
    }
    /* This piece is large enough: the rest waits until it counts. */
    exchange_pause(x);
    t->is_turning = true;
    intake_end(&t->intake);
}

static void on_end(struct exchange *x)
{
    struct tus *t = upload_of(x);

    t->is_ended = true;
    intake_end(&t->intake);
}

/* What came counts, unless it cannot be known to be right. */
static void on_gone(struct exchange *x)
{
    struct tus *t = upload_of(x);

    t->is_cut = true;
    if (t->sum != NULL)
        intake_stop(&t->intake, FAIL_IO);
    else
        intake_end(&t->intake);
}

static const struct body_events body_events = { .data = on_data, .end = on_end, .gone = on_gone };

static void give_way(struct tus *t)
{
    exchange_pause(t->call->x);
    if (t->sum != NULL)
        intake_stop(&t->intake, FAIL_CANCELLED);
    else
        intake_end(&t->intake);
}

static void unwanted(struct turn *turn)
{
    struct tus *t = (struct tus *)(void *)((char *)turn - offsetof(struct tus, turn));

    t->is_unwanted = true;
    /* Else it comes to its end, or to its next piece, by itself. */
    if (t->is_receiving && t->is_streaming && !t->is_turning && !t->is_ended && !t->is_cut)
        give_way(t);
}

static void piece_ready(struct intake *in)
{
    struct tus *t = in->owner;

    t->is_turning = false;
    if (t->is_unwanted)
        give_way(t);
    else if (t->is_streaming)
        exchange_resume(in->x);
    else {
        t->is_streaming = true;
        exchange_stream(in->x, &body_events);
    }
}

static void piece_begin(struct tus *t)
{
    t->intake = (struct intake){ .x = t->call->x,
                                 .disk = t->call->api->disk,
                                 .counter = COUNT_UPLOADED_TUS,
                                 .ready = piece_ready,
                                 .over = piece_over,
                                 .look = t->sum != NULL ? sum_up : NULL,
                                 .owner = t,
                                 .is_promised = t->upload.size >= 0 &&
                                                t->upload.place.layout == LAYOUT_DISK &&
                                                t->call->api->records->promises_room };
    /* Its index is given when it is added. */
    t->is_turning = true;
    intake_begin(&t->intake, t->id, 0);
}

void tus_receive(struct tus *t, void (*received)(struct tus *t))
{
    int64_t length = exchange_request(t->call->x)->content_length;

    t->received = received;
    t->is_receiving = true;
    if (t->checksum.algorithm != NULL)
        t->sum = tus_sum_new(t->checksum.algorithm);
    if (length > 0 && is_too_much(t, (size_t)length)) {
        blame_err(t, FAIL_LIMIT);
        finish(t);
        return;
    }
    piece_begin(t);
}

bool tus_has_bytes(const struct call *c)
{
    struct str type = http_header(exchange_request(c->x), "Content-Type");
    struct str name = str_trim(str_cut(&type, ';'));

    return str_equal_nocase(name, STR("application/offset+octet-stream"));
}

bool tus_read_checksum(struct tus *t)
{
    struct str text = http_header(exchange_request(t->call->x), "Upload-Checksum");
    int err = text.at != NULL ? tus_checksum_parse(text, &t->checksum) : OK;

    if (err == FAIL_STATE)
        tus_refuse(t, 460, "checksum_mismatch", "no bytes have such a checksum");
    else if (err)
        tus_refuse(t, 400, "invalid_checksum",
                   "Upload-Checksum is one of " TUS_ALGORITHMS " and a sum in Base64");
    return err == OK;
}

/* PATCH */

static void answer(struct tus *t)
{
    tus_put_offset(t);
    tus_put_job(t);
    if (t->length < 0 || t->offset < (uint64_t)t->length || t->upload.is_partial)
        tus_put_expiry(t, clock_wall_ms());
    tus_release(t);
    exchange_reply(t->call->x, 204, NULL, NULL);
}

static void received(struct tus *t)
{
    if (t->status == 0) {
        tus_conclude(t, answer);
        return;
    }
    tus_put_offset(t);
    tus_refuse(t, t->status, t->code, "%s", t->why);
}

/* In a bucket, where each is a chunk: what is left is more than fits, if all are of this
 * size. Better to be known now than behind 10,000 of them. */
static bool is_too_small(const struct tus *t)
{
    int64_t size = exchange_request(t->call->x)->content_length;
    uint64_t left = t->length >= 0 ? (uint64_t)t->length - t->offset : 0;

    return t->upload.place.layout != LAYOUT_DISK && size > 0 && t->chunks >= PIECES_SEEN &&
           left / (uint64_t)size >= CHUNKS_MAX - t->chunks + 1;
}

static void refuse_small(struct tus *t)
{
    uint64_t room = t->chunks < CHUNKS_MAX ? CHUNKS_MAX - t->chunks : 1;
    uint64_t least = ((uint64_t)t->length - t->offset) / room + 1;

    tus_put_offset(t);
    tus_refuse(t, 413, "too_many",
               "an upload has %d pieces at most here, and this one %u already: send %llu bytes or "
               "more with each PATCH (a larger chunkSize)",
               CHUNKS_MAX, t->chunks, (unsigned long long)least);
}

static void begin(struct tus *t)
{
    int64_t offset = 0;

    tus_number(t->call, "Upload-Offset", &offset);
    if ((uint64_t)offset != t->offset) {
        tus_put_offset(t);
        tus_refuse(t, 409, "wrong_offset", "the upload has %llu bytes, not %lld",
                   (unsigned long long)t->offset, (long long)offset);
    } else if (t->state == TUS_OPEN && is_too_small(t)) {
        refuse_small(t);
    } else if (t->state == TUS_OPEN) {
        tus_receive(t, received);
    } else if (exchange_request(t->call->x)->content_length == 0) {
        answer(t);
    } else {
        tus_refuse_closed(t);
    }
}

static void told(struct call *c, int err, struct update *u)
{
    (void)err;
    (void)u;
    begin(c->state);
}

/* For who asks when the upload is over. */
static void tell_job(struct tus *t)
{
    struct change change;

    change_init(&change);
    change.bytes_total = t->length;
    t->call->api->records->apply(t->call,
                                 &(struct record_change){
                                     .id = t->id, .change = &change, .wait = RECORD_ACCEPTED },
                                 told);
}

static void declared(struct call *c, int err)
{
    struct tus *t = c->state;

    switch (err) {
    case OK:
        if (t->job != NULL)
            tell_job(t);
        else
            begin(t);
        break;
    case FAIL_EXISTS:
        tus_refuse(t, 400, "invalid_length", "the upload's length was another before");
        break;
    case FAIL_FULL: tus_refuse(t, 507, "no_space", "there is no room for this upload"); break;
    case FAIL_MISSING:
    case FAIL_STATE: tus_refuse_closed(t); break;
    default: tus_fail(t, err); break;
    }
}

static void declare(struct tus *t, int64_t length)
{
    if (length < (int64_t)t->offset || (t->length >= 0 && t->length != length)) {
        tus_refuse(t, 400, "invalid_length", "that cannot be the upload's length");
    } else if ((uint64_t)length > t->call->api->settings->upload_max) {
        tus_refuse(t, 413, "too_large", "an upload may have %llu bytes at most",
                   (unsigned long long)t->call->api->settings->upload_max);
    } else if (t->length == length || t->state != TUS_OPEN) {
        begin(t);
    } else {
        t->length = t->upload.size = length;
        t->call->api->records->declare(t->call, t->id, length, declared);
    }
}

static void surveyed(struct tus *t)
{
    int64_t length = -1;
    int err = tus_number(t->call, "Upload-Length", &length);

    if (t->state == TUS_GONE)
        tus_refuse(t, 410, "gone", "upload %s was removed", t->id);
    else if (strstr(t->upload.fields, "Upload-Concat final") != NULL)
        tus_refuse(t, 403, "is_final", "an upload made of others takes no bytes itself");
    else if (err == FAIL_SYNTAX)
        tus_refuse(t, 400, "invalid_length", "Upload-Length is a number of bytes");
    else if (err == OK)
        declare(t, length);
    else
        begin(t);
}

static void granted(struct tus *t)
{
    tus_survey(t, surveyed);
}

void tus_patch(struct tus *t)
{
    int64_t offset;

    if (!tus_has_bytes(t->call)) {
        tus_refuse(t, 415, "wrong_type", "bytes come as application/offset+octet-stream");
    } else if (tus_number(t->call, "Upload-Offset", &offset) != OK) {
        tus_refuse(t, 400, "invalid_offset",
                   "Upload-Offset must say where the bytes belong that come");
    } else if (tus_read_checksum(t)) {
        t->turn.unwanted = unwanted;
        tus_take_turn(t, granted);
    }
}
