/* Whether an upload can be assembled, and if so, its beginning. */
#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/thread.h"
#include "media/bucket.h"
#include "media/pipeline_run.h"

enum { WHY_MAX = 1024, RANGES_NAMED_MAX = 12 };

struct admission {
    struct pipelines *owner;
    struct upload upload;
    void (*answer)(void *context, int err, const char *why);
    void *context;
    int64_t *sizes; /* of each chunk, -1: missing */
    uint32_t beyond;
    uint32_t missing;
    uint64_t total;   /* bytes */
    uint64_t reserve; /* bytes it will need while it is processed */
    struct spec spec;
    const char *step; /* the first one */
    int err;
    int refusal;             /* of chunks that are all there */
    int64_t source_size;     /* of what was assembled before, in a bucket; -1: none */
    bool is_assembled;       /* there: its parts are gone */
    struct upload_place now; /* to be put on record before it is refused */
    struct buf why;
    char video[JOB_ID_MAX + 1];
};

static void list_work(void *context)
{
    struct admission *a = context;

    a->err =
        disk_chunks(a->owner->parts.disk, a->video, a->sizes, a->upload.total_chunks, &a->beyond);
    if (a->err == FAIL_MISSING) {
        a->err = OK;
        for (uint32_t i = 0; i < a->upload.total_chunks; i++)
            a->sizes[i] = -1;
    }
}

static void sum_up(struct admission *a)
{
    for (uint32_t i = 0; i < a->upload.total_chunks; i++) {
        if (a->sizes[i] < 0)
            a->missing++;
        else
            a->total += (uint64_t)a->sizes[i];
    }
}

/* "3, 7-9": the first few, people read no more. */
static void name_missing(const struct admission *a, struct buf *out)
{
    unsigned named = 0;

    for (uint32_t i = 0; i < a->upload.total_chunks; i++) {
        if (a->sizes[i] >= 0)
            continue;
        uint32_t last = i;
        while (last + 1 < a->upload.total_chunks && a->sizes[last + 1] < 0)
            last++;
        if (named == RANGES_NAMED_MAX) {
            buf_puts(out, ", ...");
            return;
        }
        buf_printf(out, named++ ? ", %u" : "%u", i);
        if (last > i)
            buf_printf(out, "-%u", last);
        i = last;
    }
}

static int refuse_chunks(struct admission *a)
{
    uint32_t total = a->upload.total_chunks;

    if (a->missing > 0) {
        buf_printf(&a->why, "%u of %u chunks are missing: ", a->missing, total);
        name_missing(a, &a->why);
        return FAIL_MISSING;
    }
    if (a->beyond > 0) {
        buf_printf(&a->why, "%u chunks have an index beyond totalChunks, which is %u", a->beyond,
                   total);
        return FAIL_SYNTAX;
    }
    if (a->total == 0) {
        buf_puts(&a->why, "the upload is empty: its chunks hold 0 bytes");
        return FAIL_SYNTAX;
    }
    uint64_t max = a->owner->parts.settings->upload_max;
    if (max > 0 && a->total > max) {
        buf_printf(&a->why, "the chunks hold %llu bytes, the limit is %llu",
                   (unsigned long long)a->total, (unsigned long long)max);
        return FAIL_SYNTAX;
    }
    if (a->upload.size >= 0 && (uint64_t)a->upload.size != a->total) {
        buf_printf(&a->why, "the chunks hold %llu bytes, but fileSize was declared as %lld",
                   (unsigned long long)a->total, (long long)a->upload.size);
        return FAIL_SYNTAX;
    }
    return OK;
}

static void admission_free(struct admission *a)
{
    struct pipelines *ps = a->owner;

    buf_deinit(&a->why);
    mem_free(a->sizes);
    mem_free(a);
    pipelines_settled(ps);
}

static void admission_end(struct admission *a, int err, const char *why)
{
    a->answer(a->context, err, why);
    admission_free(a);
}

static void explain(struct admission *a, int err)
{
    if (err == FAIL_STATE)
        buf_puts(&a->why, "it is being assembled already, or a chunk is arriving just now");
    else if (err == FAIL_FULL)
        buf_printf(&a->why, "there is no room for %llu bytes while it is processed",
                   (unsigned long long)a->reserve);
    else if (err == FAIL_MISSING)
        buf_puts(&a->why, "there is no such upload");
    else
        buf_puts(&a->why, "it could not be put on record");
}

static void process_here(struct admission *a)
{
    struct pipeline *p =
        pipeline_new(a->owner, a->video, &a->spec, pipeline_step(&a->spec, a->step));

    p->reserved = a->reserve;
    p->answer = a->answer;
    p->answer_context = a->context;
    pipeline_begin(p);
    admission_free(a);
}

static void begun(void *context, int err)
{
    struct admission *a = context;

    if (err) {
        explain(a, err);
        admission_end(a, err, buf_text(&a->why));
        return;
    }
    if (spec_is_download(&a->spec))
        log_info("job_downloading", LOG_S("job", a->video));
    else
        log_info("job_assembling", LOG_S("job", a->video), LOG_I("chunks", a->upload.total_chunks),
                 LOG_I("bytes", a->total));
    if (a->owner->book->ops->is_queue)
        admission_end(a, OK, NULL);
    else
        process_here(a);
}

static void choose_plan(struct admission *a, bool from_source)
{
    const struct download *d = &a->upload.download;
    const struct storage *storage = a->owner->parts.storage;
    bool has_urls = storage != NULL && storage_traits(storage)->has_urls;

    a->step = from_source ? "probe" : "assemble";
    if (d->url[0] != '\0') {
        a->spec.plan = d->is_hls ? PLAN_DOWNLOAD_HLS : PLAN_DOWNLOAD;
        a->step = pipeline_first(&a->spec)->name;
        if (!d->is_hls)
            snprintf(a->spec.key, sizeof(a->spec.key), has_urls ? "downloads/" : "videos/files/");
    }
    pipeline_make_key(&a->spec, a->video);
}

static void begin(struct admission *a, bool from_source)
{
    struct pipeline_book *book = a->owner->book;
    struct buf spec;

    /* The copy made of the chunks, and about as much again for the ladder; where another
     * node processes it, on that one's disk. */
    bool is_ours = !book->ops->is_queue || !bucket_has(a->owner, &a->upload);
    a->reserve = is_ours ? 2 * a->total : 0;
    a->spec.bytes = a->total;
    a->spec.upload = a->upload;
    a->spec.upload.has_source = from_source;
    if (from_source && bucket_has(a->owner, &a->upload))
        a->spec.upload.place = (struct upload_place){ .layout = LAYOUT_PARTS };
    choose_plan(a, from_source);
    buf_init(&spec, PIPELINE_SPEC_MAX);
    spec_write(&a->spec, &spec);
    book->ops->begin(book,
                     &(struct book_begin){ .video = a->video,
                                           .upload = &a->upload,
                                           .reserve = a->reserve,
                                           .step = a->step,
                                           .spec = buf_text(&spec) },
                     begun, a);
    buf_deinit(&spec);
}

/* It is somewhere in scratch, or in the bucket. */
static int take_source(struct admission *a)
{
    if (!bucket_has(a->owner, &a->upload))
        return OK;
    if (a->source_size <= 0) {
        a->missing = a->upload.total_chunks;
        return refuse_chunks(a);
    }
    a->total = (uint64_t)a->source_size;
    return OK;
}

static void listed(void *context)
{
    struct admission *a = context;
    int err = a->err;

    if (err) {
        admission_end(a, err, "the chunks could not be listed");
        return;
    }
    sum_up(a);
    bool has_none = a->missing == a->upload.total_chunks;
    bool from_source = a->upload.has_source && (has_none || a->is_assembled);
    err = from_source ? take_source(a) : refuse_chunks(a);
    if (err == OK)
        err = a->refusal;
    if (err == OK && a->owner->is_draining) {
        err = FAIL_CLOSED;
        buf_puts(&a->why, "the server is shutting down");
    }
    if (err)
        admission_end(a, err, buf_text(&a->why));
    else
        begin(a, from_source);
}

/* In a bucket */

static void placed(void *context, int err)
{
    (void)err; /* somebody else's word is as good */
    listed(context);
}

/* What has been sent is of no use: from now on it is to go elsewhere. */
static void place_anew(struct admission *a, enum upload_layout layout)
{
    struct pipeline_book *book = a->owner->book;

    a->now.layout = layout;
    book->ops->place(book,
                     &(struct book_place){
                         .video = a->video, .before = &a->upload.place, .after = &a->now },
                     placed, a);
}

static bool is_whole(const struct bucket_list *list)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (list->chunks[i].form == CHUNK_MISSING)
            return false;
    return true;
}

/* What is there besides was made parts of, and is as good as gone. */
static bool is_assembled(const struct admission *a, const struct bucket_list *list)
{
    return a->upload.has_source && a->upload.place.layout == LAYOUT_PARTS &&
           list->part_count == 0 && list->has_source && !is_whole(list);
}

static void refuse_small(struct admission *a, uint32_t small)
{
    const struct storage_traits *traits = storage_traits(a->owner->parts.storage);

    a->refusal = FAIL_SYNTAX;
    buf_printf(&a->why,
               "chunk %u holds %lld bytes, and in this storage all but the last need %llu: ask for "
               "upload URLs again, and send all chunks anew",
               small, (long long)a->sizes[small], (unsigned long long)traits->part_min);
    place_anew(a, LAYOUT_OBJECTS);
}

static void bucket_told(void *context, int err, const char *why, const struct bucket_list *list)
{
    struct admission *a = context;
    uint32_t small;

    if (err) {
        log_warn("chunks_unlisted", LOG_S("job", a->video), LOG_S("why", why ? why : ""));
        admission_end(a, FAIL_TIMEOUT, "the storage cannot be reached just now");
        return;
    }
    a->beyond = list->beyond;
    a->source_size = list->has_source ? (int64_t)list->source_size : -1;
    for (uint32_t i = 0; i < list->count; i++)
        a->sizes[i] = list->chunks[i].form == CHUNK_MISSING ? -1 : (int64_t)list->chunks[i].size;
    a->is_assembled = is_assembled(a, list);
    bool has_lost = a->upload.place.multipart[0] != '\0' && !list->is_begun && !a->is_assembled;
    if (!is_whole(list) && has_lost)
        place_anew(a, LAYOUT_UNDECIDED);
    else if (is_whole(list) &&
             bucket_way(list, storage_traits(a->owner->parts.storage), &small) == BUCKET_NO_WAY)
        refuse_small(a, small);
    else
        listed(a);
}

/* Here they wait in memory. */
static void begin_download(struct admission *a)
{
    if (!a->owner->book->ops->is_queue && a->owner->count >= DOWNLOADS_WAITING_MAX)
        admission_end(a, FAIL_LIMIT, "too many downloads are waiting");
    else
        begin(a, false);
}

static int refuse_upload(const struct upload *u, const char **why)
{
    if (u->state != UPLOAD_OPEN) {
        *why = "it is being assembled already";
        return FAIL_STATE;
    }
    if (u->total_chunks == 0 && u->download.url[0] == '\0') {
        *why = "no chunk was ever announced: ask for upload URLs first";
        return FAIL_SYNTAX;
    }
    return OK;
}

static void found(void *context, int err, const struct upload *upload, const char *title)
{
    struct admission *a = context;
    struct upload *u = &a->upload;
    const char *why = err == FAIL_MISSING ? "there is no such upload" : "it could not be looked up";
    uint32_t total_chunks = u->total_chunks;

    if (err == OK) {
        char file_name[sizeof(u->file_name)];
        snprintf(file_name, sizeof(file_name), "%s", u->file_name);
        *u = *upload;
        snprintf(u->file_name, sizeof(u->file_name), "%s", file_name);
        if (total_chunks > 0)
            u->total_chunks = total_chunks;
        err = refuse_upload(u, &why);
    }
    if (err) {
        admission_end(a, err, why);
        return;
    }
    snprintf(a->spec.title, sizeof(a->spec.title), "%s", title ? title : "");
    if (u->download.url[0] != '\0') {
        begin_download(a);
        return;
    }
    a->sizes = mem_alloc(u->total_chunks * sizeof(*a->sizes));
    if (bucket_has(a->owner, u))
        bucket_list(a->owner->parts.storage, a->video, &u->place, u->total_chunks, bucket_told, a);
    else
        io_offload(a->owner->parts.loop, list_work, listed, a);
}

void pipelines_assemble(struct pipelines *ps, const char *video, const char *file_name,
                        uint32_t total_chunks,
                        void (*give)(void *context, int err, const char *why), void *context)
{
    if (ps->is_draining) {
        give(context, FAIL_CLOSED, "the server is shutting down");
        return;
    }
    struct admission *a = mem_new(struct admission);
    a->owner = ps;
    ps->pending++;
    a->upload.total_chunks = total_chunks;
    a->answer = give;
    a->context = context;
    snprintf(a->upload.file_name, sizeof(a->upload.file_name), "%s", file_name);
    snprintf(a->video, sizeof(a->video), "%s", video);
    buf_init(&a->why, WHY_MAX);
    ps->book->ops->find(ps->book, a->video, found, a);
}
