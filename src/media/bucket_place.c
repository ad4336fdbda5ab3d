/* Where a chunk goes that is to be sent straight to the bucket. Once that is on record
 * its URL is made without asking anybody. Of those who ask at once for one upload, one
 * finds out and the others wait for it; of several nodes the first one's word counts. */
#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "media/bucket.h"
#include "media/bucket_desk.h"

enum { TRIES_MAX = 16, URL_MAX = 8 * 1024, NOT_THERE_MS = 1000 };

struct bucket_desk *bucket_desk_new(void)
{
    return mem_new(struct bucket_desk);
}

void bucket_desk_free(struct bucket_desk *d)
{
    mem_free(d);
}

/* With n chunks of one size c, the last being what is left, c*(n-1) < size <= c*n. */
enum upload_layout bucket_layout(const struct storage_traits *traits, int64_t size, uint32_t total)
{
    if (!traits->has_object_urls)
        return LAYOUT_PARTS;
    if (total > traits->parts_max)
        return LAYOUT_OBJECTS;
    if (total == 1 || traits->part_min == 0)
        return LAYOUT_PARTS;
    /* Undecided, some chunks become objects, which are to be parts in the end. */
    enum upload_layout unknown = traits->has_part_copy ? LAYOUT_UNDECIDED : LAYOUT_OBJECTS;
    if (size < 0)
        return unknown;
    uint64_t bytes = (uint64_t)size, least = (bytes + total - 1) / total;
    uint64_t most = bytes > 0 ? (bytes - 1) / (total - 1) : 0;
    if (least >= traits->part_min)
        return LAYOUT_PARTS;
    return most < traits->part_min ? LAYOUT_OBJECTS : unknown;
}

/* Pure */

bool upload_chunk_is_part(const struct upload_place *place, uint32_t index)
{
    return place->multipart[0] != '\0' &&
           (place->layout == LAYOUT_PARTS || (place->layout == LAYOUT_UNDECIDED && index == 0));
}

static int chunk_url(const struct storage *s, const char *video, const struct upload_place *place,
                     uint32_t index, uint64_t lifetime_s, struct buf *out)
{
    if (upload_chunk_is_part(place, index))
        return storage_part_url(s, bucket_source(video).text, place->multipart, index + 1,
                                lifetime_s, out);
    return storage_put_url(s, bucket_chunk(video, index).text, lifetime_s, out);
}

int upload_chunk_url(const struct storage *s, const char *video, const struct upload_place *place,
                     uint32_t index, uint64_t lifetime_s, struct buf *out)
{
    if (!upload_chunk_is_part(place, index) && place->layout != LAYOUT_OBJECTS)
        return FAIL_STATE;
    return chunk_url(s, video, place, index, lifetime_s, out);
}

/* On the desk */

static void look(struct url_ask *a);
static void decide(struct url_ask *a);

static struct url_ask *other(struct url_ask *a, bool is_waiting)
{
    struct url_ask *o;

    DL_FOREACH(a->owner->bucket->asks, o)
    if (o != a && o->is_waiting == is_waiting && strcmp(o->video, a->video) == 0)
        return o;
    return NULL;
}

static void end(struct url_ask *a, int err, const char *why, const char *url)
{
    struct pipelines *ps = a->owner;
    struct url_ask *next = other(a, true);

    DL_DELETE(ps->bucket->asks, a);
    a->done(a->context, err, why, url);
    mem_free(a);
    if (next != NULL) {
        next->is_waiting = false;
        look(next);
    }
    pipelines_settled(ps);
}

static void fail(struct url_ask *a, int err, const char *why)
{
    end(a, err, why != NULL ? why : fail_text(err), NULL);
}

static void give(struct url_ask *a)
{
    struct buf url;

    buf_init(&url, URL_MAX);
    int err = chunk_url(a->owner->parts.storage, a->video, &a->upload.place, a->index,
                        a->lifetime_s, &url);
    if (err)
        fail(a, err, "the URL could not be signed");
    else
        end(a, OK, NULL, buf_text(&url));
    buf_deinit(&url);
}

/* Only where it is certain that nobody has it on record. */
static bool is_ours_alone(int err)
{
    return err == FAIL_EXISTS || err == FAIL_STATE || err == FAIL_MISSING;
}

static void aborted(void *context, int err, const char *why)
{
    (void)context;
    (void)err; /* the sweep will find it */
    (void)why;
}

static void abort_own(struct url_ask *a)
{
    storage_upload_abort(a->owner->parts.storage, bucket_source(a->video).text, a->want.multipart,
                         aborted, NULL);
}

static void placed(void *context, int err)
{
    struct url_ask *a = context;

    if (err && a->has_begun && is_ours_alone(err))
        abort_own(a);
    a->has_begun = false;
    if (err == OK) {
        a->upload.place = a->want;
        decide(a);
    } else if (err == FAIL_EXISTS && ++a->tries < TRIES_MAX)
        look(a);
    else
        fail(a, err, NULL);
}

static void place(struct url_ask *a, enum upload_layout layout, const char *multipart)
{
    struct pipeline_book *book = a->owner->book;

    a->want.layout = layout;
    if (multipart != a->want.multipart)
        snprintf(a->want.multipart, sizeof(a->want.multipart), "%s", multipart);
    book->ops->place(book,
                     &(struct book_place){
                         .video = a->video, .before = &a->upload.place, .after = &a->want },
                     placed, a);
}

static void begun(void *context, int err, const char *why, const char *id)
{
    struct url_ask *a = context;

    if (err) { /* who asks takes FAIL_MISSING for the upload's; here it is the bucket's */
        fail(a, err == FAIL_MISSING ? FAIL_TIMEOUT : err, why);
        return;
    }
    a->has_begun = true;
    place(a, a->layout, id);
}

static void begin(struct url_ask *a)
{
    storage_upload_begin(a->owner->parts.storage, bucket_source(a->video).text, NULL, begun, a);
}

/* Chunk 0 is not there yet: so those who ask for many URLs in advance do not ask the
 * bucket for each. */

static bool is_known_not_there(const struct url_ask *a)
{
    const struct bucket_desk *d = a->owner->bucket;
    uint64_t now_ms = clock_mono_ms();

    for (size_t i = 0; i < BUCKET_NOT_THERE; i++)
        if (now_ms - d->not_there[i].at_ms < NOT_THERE_MS &&
            strcmp(d->not_there[i].video, a->video) == 0)
            return true;
    return false;
}

static void note_not_there(const struct url_ask *a)
{
    struct bucket_desk *d = a->owner->bucket;
    size_t i = d->not_there_next++ % BUCKET_NOT_THERE;

    d->not_there[i].at_ms = clock_mono_ms();
    snprintf(d->not_there[i].video, sizeof(d->not_there[i].video), "%s", a->video);
}

static void learned(void *context, int err, const char *why, const struct storage_part *parts,
                    size_t count)
{
    struct url_ask *a = context;
    uint64_t part_min = storage_traits(a->owner->parts.storage)->part_min;

    if (err == FAIL_MISSING && ++a->tries < TRIES_MAX) { /* expired by the bucket's own rules */
        place(a, LAYOUT_UNDECIDED, "");
    } else if (err) {
        fail(a, err == FAIL_MISSING ? FAIL_TIMEOUT : err, why);
    } else if (count > 0 && parts[0].number == 1) {
        place(a, parts[0].size >= part_min ? LAYOUT_PARTS : LAYOUT_OBJECTS,
              a->upload.place.multipart);
    } else {
        note_not_there(a);
        give(a);
    }
}

static void decide_undecided(struct url_ask *a)
{
    const char *multipart = a->upload.place.multipart;

    if (multipart[0] == '\0' && a->index == 0)
        begin(a);
    else if (multipart[0] == '\0' || a->index == 0 || is_known_not_there(a))
        give(a);
    else
        storage_parts(a->owner->parts.storage, bucket_source(a->video).text, multipart, learned, a);
}

/* What has been assembled already keeps no word: its multipart upload is completed. */
static bool is_decided(const struct upload_place *place)
{
    return place->layout == LAYOUT_OBJECTS ||
           (place->layout == LAYOUT_PARTS && place->multipart[0] != '\0');
}

static void decide(struct url_ask *a)
{
    const struct storage_traits *traits = storage_traits(a->owner->parts.storage);
    const struct upload_place *now = &a->upload.place;

    if (is_decided(now)) {
        give(a);
        return;
    }
    a->layout = bucket_layout(traits, a->upload.size, a->total);
    if (a->layout == LAYOUT_PARTS && now->multipart[0] == '\0')
        begin(a);
    else if (a->layout != LAYOUT_UNDECIDED)
        place(a, a->layout, now->multipart);
    else
        decide_undecided(a);
}

static void found(void *context, int err, const struct upload *upload, const char *title)
{
    struct url_ask *a = context;

    (void)title;
    if (err == OK)
        a->upload = *upload;
    if (err == OK && a->upload.state != UPLOAD_OPEN)
        err = FAIL_STATE;
    if (err == OK && !bucket_has(a->owner, &a->upload))
        err = FAIL_UNSUPPORTED;
    if (err)
        fail(a, err, NULL);
    else
        decide(a);
}

static void look(struct url_ask *a)
{
    struct pipeline_book *book = a->owner->book;

    book->ops->find(book, a->video, found, a);
}

void pipelines_chunk_url(struct pipelines *ps, const struct chunk_url *ask, chunk_url_done *done,
                         void *context)
{
    struct url_ask *a = mem_new(struct url_ask);

    a->owner = ps;
    a->index = ask->index;
    a->total = ask->total;
    a->lifetime_s = ask->lifetime_s;
    a->done = done;
    a->context = context;
    snprintf(a->video, sizeof(a->video), "%s", ask->video);
    ps->pending++;
    DL_APPEND(ps->bucket->asks, a);
    if (other(a, false) != NULL)
        a->is_waiting = true;
    else
        look(a);
}
