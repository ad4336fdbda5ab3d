#include "media/uploads.h"

#include <assert.h>
#include <jansson.h>
#include <pthread.h>
#include <string.h>

#include <uthash.h>

#include "base/clock.h"
#include "base/emit.h"
#include "base/err.h"
#include "base/mem.h"
#include "core/limits.h"

enum { SPEC_MAX = 16 * 1024, PLACE_MAX = STORAGE_UPLOAD_ID_MAX + 32 };

struct entry {
    UT_hash_handle hh;
    struct upload upload;
    uint64_t reserved; /* bytes promised to chunks still to come */
    unsigned inside;   /* chunks being named right now */
    char video[];
};

struct uploads {
    pthread_mutex_t lock;
    struct store *store;
    struct disk *disk;
    struct entry *entries;
    size_t partials;
};

struct uploads *uploads_new(struct store *store, struct disk *disk)
{
    struct uploads *us = mem_new(struct uploads);

    pthread_mutex_init(&us->lock, NULL);
    us->store = store;
    us->disk = disk;
    return us;
}

static void unreserve(struct uploads *us, struct entry *e, uint64_t bytes)
{
    if (bytes > e->reserved)
        bytes = e->reserved;
    e->reserved -= bytes;
    if (bytes > 0)
        disk_unreserve(us->disk, bytes);
}

static void drop(struct uploads *us, struct entry *e)
{
    unreserve(us, e, e->reserved);
    us->partials -= e->upload.is_partial;
    HASH_DEL(us->entries, e);
    mem_free(e);
}

void uploads_free(struct uploads *us)
{
    struct entry *e, *next;

    if (us == NULL)
        return;
    HASH_ITER(hh, us->entries, e, next)
    drop(us, e);
    pthread_mutex_destroy(&us->lock);
    mem_free(us);
}

static const char *const priorities[UPLOAD_PRIORITIES] = { "normal", "high", "low" };

const char *upload_priority_name(enum upload_priority priority)
{
    return priorities[priority];
}

int upload_priority_parse(struct str name, enum upload_priority *out)
{
    int found = str_index(name, priorities, UPLOAD_PRIORITIES);

    if (found < 0)
        return FAIL_SYNTAX;
    *out = (enum upload_priority)found;
    return OK;
}

static void write_tus(const struct upload *u, struct buf *out)
{
    emit_field_bool(out, "is_tus", true);
    emit_field_bool(out, "has_failed", u->has_failed);
    emit_field_bool(out, "is_partial", u->is_partial);
    emit_field_string(out, "owner", u->owner);
    emit_field_string(out, "fields", u->fields);
}

static const char *const layouts[UPLOAD_LAYOUTS] = { "disk", "undecided", "parts", "objects" };

bool upload_place_equals(const struct upload_place *a, const struct upload_place *b)
{
    return a->layout == b->layout && strcmp(a->multipart, b->multipart) == 0;
}

void upload_place_write(const struct upload_place *place, struct buf *out)
{
    buf_printf(out, "%s %s", layouts[place->layout], place->multipart);
}

int upload_place_read(struct str text, struct upload_place *out)
{
    struct str id = text, name = str_cut(&id, ' ');
    int layout = str_index(name, layouts, UPLOAD_LAYOUTS);

    if (layout < 0 || id.len > STORAGE_UPLOAD_ID_MAX)
        return FAIL_SYNTAX;
    out->layout = (enum upload_layout)layout;
    snprintf(out->multipart, sizeof(out->multipart), "%.*s", STR_ARG(id));
    return OK;
}

static void write_place(const struct upload_place *place, struct buf *out)
{
    struct buf text;

    if (place->layout == LAYOUT_DISK)
        return;
    buf_init(&text, PLACE_MAX);
    upload_place_write(place, &text);
    emit_field_string(out, "place", buf_text(&text));
    buf_deinit(&text);
}

void upload_write(const struct upload *u, struct buf *out)
{
    emit_open(out, '{');
    emit_field_int(out, "total_chunks", u->total_chunks);
    emit_field_int(out, "size", u->size);
    emit_field_int(out, "touched_ms", u->touched_ms);
    emit_field_bool(out, "has_source", u->has_source);
    emit_field_bool(out, "is_one_shot", u->is_one_shot);
    emit_field_string(out, "priority", upload_priority_name(u->priority));
    emit_field_string(out, "file_name", u->file_name);
    write_place(&u->place, out);
    if (u->download.url[0] != '\0') {
        emit_field_string(out, "url", u->download.url);
        emit_field_string(out, "quality", download_quality_name(u->download.quality));
        emit_field_bool(out, "is_hls", u->download.is_hls);
    }
    if (u->is_tus)
        write_tus(u, out);
    emit_close(out, '}');
}

static int read_text(json_t *root, const char *name, char *out, size_t size)
{
    const char *text = json_string_value(json_object_get(root, name));

    if (text != NULL && strlen(text) >= size)
        return FAIL_LIMIT;
    snprintf(out, size, "%s", text ? text : "");
    return OK;
}

static int read_tus(json_t *root, struct upload *u)
{
    u->is_tus = json_is_true(json_object_get(root, "is_tus"));
    u->has_failed = json_is_true(json_object_get(root, "has_failed"));
    u->is_partial = json_is_true(json_object_get(root, "is_partial"));
    int err = read_text(root, "owner", u->owner, sizeof(u->owner));
    return err ? err : read_text(root, "fields", u->fields, sizeof(u->fields));
}

int upload_read(const char *json, struct upload *out)
{
    struct upload u = { .size = -1 };
    const char *file_name = "", *priority = "normal", *place = "disk";
    const char *url = "", *quality = "best";
    json_int_t total = 0, size = -1, touched = 0;
    int has_source = 0, is_one_shot = 0, is_hls = 0;
    json_t *root = json_loads(json, 0, NULL);
    int bad =
        root == NULL ||
        json_unpack(root, "{s?I, s?I, s?I, s?b, s?b, s?s, s?s, s?s, s?s, s?s, s?b}", "total_chunks",
                    &total, "size", &size, "touched_ms", &touched, "has_source", &has_source,
                    "is_one_shot", &is_one_shot, "file_name", &file_name, "priority", &priority,
                    "place", &place, "url", &url, "quality", &quality, "is_hls", &is_hls) != 0 ||
        download_quality_parse(str_of(quality), &u.download.quality) != OK ||
        upload_priority_parse(str_of(priority), &u.priority) != OK ||
        upload_place_read(str_of(place), &u.place) != OK || read_tus(root, &u) != OK;

    if (!bad) {
        u.total_chunks = (uint32_t)total;
        u.size = size;
        u.touched_ms = touched;
        u.has_source = has_source;
        u.is_one_shot = is_one_shot;
        u.download.is_hls = is_hls;
        snprintf(u.file_name, sizeof(u.file_name), "%s", file_name);
        snprintf(u.download.url, sizeof(u.download.url), "%s", url);
        *out = u;
    }
    json_decref(root);
    return bad ? FAIL_SYNTAX : OK;
}

static struct entry *find(struct uploads *us, const char *video)
{
    struct entry *e;

    HASH_FIND_STR(us->entries, video, e);
    return e;
}

/* One at a time per video: ids are made here and never given twice. */
static struct entry *add(struct uploads *us, const char *video)
{
    size_t len = strlen(video);
    struct entry *e = mem_zalloc(sizeof(*e) + len + 1);

    memcpy(e->video, video, len);
    HASH_ADD_KEYPTR(hh, us->entries, e->video, len, e);
    return e;
}

static void save(struct uploads *us, struct entry *e, void (*done)(void *, int), void *context)
{
    struct buf spec;

    buf_init(&spec, SPEC_MAX);
    upload_write(&e->upload, &spec);
    store_put_work(us->store, e->video, "upload", buf_text(&spec), done, context);
    buf_deinit(&spec);
}

int uploads_create(struct uploads *us, const char *video, const struct upload *begin,
                   void (*done)(void *context, int err), void *context)
{
    bool is_here = begin->place.layout == LAYOUT_DISK;
    uint64_t reserve = is_here && begin->size > 0 ? (uint64_t)begin->size : 0;
    int err = OK;

    pthread_mutex_lock(&us->lock);
    if (find(us, video) != NULL)
        err = FAIL_EXISTS;
    else if (begin->is_partial && us->partials >= PARTIALS_MAX)
        err = FAIL_LIMIT;
    else if (reserve > 0)
        err = disk_reserve(us->disk, reserve);
    if (err == OK) {
        struct entry *e = add(us, video);
        e->upload = *begin;
        e->reserved = reserve;
        us->partials += begin->is_partial;
        save(us, e, done, context);
    }
    pthread_mutex_unlock(&us->lock);
    return err;
}

int uploads_restore(struct uploads *us, const struct work *w, bool is_busy)
{
    struct upload u = { .size = -1 };
    int err = upload_read(w->spec, &u);

    if (err)
        return err;
    u.state = is_busy ? UPLOAD_BUSY : UPLOAD_OPEN;
    if (w->updated_ms > u.touched_ms)
        u.touched_ms = w->updated_ms;
    pthread_mutex_lock(&us->lock);
    struct entry *e = add(us, w->job);
    e->upload = u;
    us->partials += u.is_partial;
    /* What arrived already is on the disk and counts as used there; promising
     * the whole again errs on the safe side. */
    if (u.place.layout == LAYOUT_DISK && u.size > 0 && !u.has_source &&
        disk_reserve(us->disk, (uint64_t)u.size) == OK)
        e->reserved = (uint64_t)u.size;
    pthread_mutex_unlock(&us->lock);
    return OK;
}

int uploads_get(struct uploads *us, const char *video, struct upload *out)
{
    pthread_mutex_lock(&us->lock);
    struct entry *e = find(us, video);
    if (e != NULL)
        *out = e->upload;
    pthread_mutex_unlock(&us->lock);
    return e ? OK : FAIL_MISSING;
}

/* Locks, and finds one that still takes chunks. FAIL_MISSING, FAIL_STATE. */
static int lock_open(struct uploads *us, const char *video, struct entry **out)
{
    pthread_mutex_lock(&us->lock);
    *out = find(us, video);
    if (*out == NULL)
        return FAIL_MISSING;
    return (*out)->upload.state == UPLOAD_OPEN ? OK : FAIL_STATE;
}

static void touch(struct entry *e)
{
    e->upload.touched_ms = clock_wall_ms();
}

static int plan(struct uploads *us, struct entry *e, uint32_t total_chunks, uint32_t *before)
{
    bool is_news = e->upload.total_chunks == 0;

    if (e->upload.is_tus)
        return FAIL_STATE;
    if (!is_news && e->upload.total_chunks != total_chunks) {
        *before = e->upload.total_chunks;
        return FAIL_EXISTS;
    }
    e->upload.total_chunks = total_chunks;
    touch(e);
    if (is_news)
        save(us, e, NULL, NULL);
    return OK;
}

int uploads_plan(struct uploads *us, const char *video, uint32_t total_chunks, uint32_t *before)
{
    struct entry *e;
    int err = lock_open(us, video, &e);

    if (err == OK)
        err = plan(us, e, total_chunks, before);
    pthread_mutex_unlock(&us->lock);
    return err;
}

static int declare(struct uploads *us, struct entry *e, int64_t size)
{
    bool is_on_disk = e->upload.place.layout == LAYOUT_DISK;

    if (e->upload.size >= 0)
        return e->upload.size == size ? OK : FAIL_EXISTS;
    if (is_on_disk && disk_reserve(us->disk, (uint64_t)size) != OK)
        return FAIL_FULL;
    /* What has come already is promised again: that errs on the safe side. */
    if (is_on_disk)
        e->reserved += (uint64_t)size;
    e->upload.size = size;
    touch(e);
    save(us, e, NULL, NULL);
    return OK;
}

int uploads_declare(struct uploads *us, const char *video, int64_t size)
{
    struct entry *e;
    int err = lock_open(us, video, &e);

    if (err == OK)
        err = declare(us, e, size);
    pthread_mutex_unlock(&us->lock);
    return err;
}

int uploads_place(struct uploads *us, const char *video, const struct upload_place *before,
                  const struct upload_place *after, void (*done)(void *context, int err),
                  void *context)
{
    struct entry *e;
    int err = lock_open(us, video, &e);

    if (err == OK && !upload_place_equals(&e->upload.place, before))
        err = FAIL_EXISTS;
    if (err == OK) {
        e->upload.place = *after;
        touch(e);
        save(us, e, done, context);
    }
    pthread_mutex_unlock(&us->lock);
    return err;
}

int uploads_enter(struct uploads *us, const char *video)
{
    struct entry *e;
    int err = lock_open(us, video, &e);

    if (err == OK) {
        e->inside++;
        touch(e);
    }
    pthread_mutex_unlock(&us->lock);
    return err;
}

void uploads_leave(struct uploads *us, const char *video, uint64_t bytes)
{
    pthread_mutex_lock(&us->lock);
    struct entry *e = find(us, video);
    if (e != NULL) {
        assert(e->inside > 0);
        e->inside--;
        unreserve(us, e, bytes);
    }
    pthread_mutex_unlock(&us->lock);
}

int uploads_begin(struct uploads *us, const char *video, const char *file_name,
                  uint32_t total_chunks)
{
    struct entry *e;
    int err = lock_open(us, video, &e);

    if (err == OK && e->inside > 0)
        err = FAIL_STATE;
    if (err == OK) {
        e->upload.state = UPLOAD_BUSY;
        e->upload.total_chunks = total_chunks;
        unreserve(us, e, e->reserved);
        snprintf(e->upload.file_name, sizeof(e->upload.file_name), "%s", file_name);
    }
    pthread_mutex_unlock(&us->lock);
    return err;
}

void uploads_reopen(struct uploads *us, const char *video, const struct upload *u)
{
    pthread_mutex_lock(&us->lock);
    struct entry *e = find(us, video);
    if (e != NULL) {
        e->upload.state = UPLOAD_OPEN;
        e->upload.has_source = u->has_source;
        e->upload.has_failed = u->has_failed;
        e->upload.place = u->place;
        e->upload.touched_ms = clock_wall_ms();
    }
    pthread_mutex_unlock(&us->lock);
}

void uploads_save(struct uploads *us, const char *video)
{
    pthread_mutex_lock(&us->lock);
    struct entry *e = find(us, video);
    if (e != NULL && e->upload.state == UPLOAD_OPEN)
        save(us, e, NULL, NULL);
    pthread_mutex_unlock(&us->lock);
}

void uploads_finish(struct uploads *us, const char *video)
{
    pthread_mutex_lock(&us->lock);
    struct entry *e = find(us, video);
    if (e != NULL)
        drop(us, e);
    pthread_mutex_unlock(&us->lock);
}

size_t uploads_stale(struct uploads *us, int64_t before_ms, size_t max, char **out)
{
    struct entry *e, *next;
    size_t count = 0;

    pthread_mutex_lock(&us->lock);
    HASH_ITER(hh, us->entries, e, next)
    if (count < max && e->upload.state == UPLOAD_OPEN && e->inside == 0 &&
        e->upload.touched_ms < before_ms)
        out[count++] = mem_strdup(e->video);
    pthread_mutex_unlock(&us->lock);
    return count;
}

char **uploads_idle(struct uploads *us, int64_t since_ms, int64_t before_ms, size_t *count)
{
    struct entry *e, *next;

    pthread_mutex_lock(&us->lock);
    char **out = mem_zalloc((HASH_COUNT(us->entries) + 1) * sizeof(*out));
    *count = 0;
    HASH_ITER(hh, us->entries, e, next)
    if (e->upload.state == UPLOAD_OPEN && e->inside == 0 && e->upload.touched_ms >= since_ms &&
        e->upload.touched_ms < before_ms)
        out[(*count)++] = mem_strdup(e->video);
    pthread_mutex_unlock(&us->lock);
    return out;
}
