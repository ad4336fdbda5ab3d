#include "media/bucket.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

enum { INDEX_DIGITS = 6 };

static const char chunks_name[] = "chunks/", source_name[] = "source";

struct bucket_key bucket_folder(const char *video)
{
    struct bucket_key key;

    snprintf(key.text, sizeof(key.text), "uploads/%s/", video);
    return key;
}

struct bucket_key bucket_source(const char *video)
{
    struct bucket_key key;

    snprintf(key.text, sizeof(key.text), "uploads/%s/%s", video, source_name);
    return key;
}

struct bucket_key bucket_chunks(const char *video)
{
    struct bucket_key key;

    snprintf(key.text, sizeof(key.text), "uploads/%s/%s", video, chunks_name);
    return key;
}

struct bucket_key bucket_chunk(const char *video, uint32_t index)
{
    struct bucket_key key;

    snprintf(key.text, sizeof(key.text), "uploads/%s/%s%0*u", video, chunks_name, INDEX_DIGITS,
             index);
    return key;
}

bool bucket_has(const struct pipelines *ps, const struct upload *u)
{
    return ps->parts.storage != NULL && u->place.layout != LAYOUT_DISK;
}

struct bucket_listing {
    struct storage *storage;
    struct storage_task *task;
    struct bucket_list list;
    struct upload_place place;
    bucket_listed *done;
    void *context;
    size_t folder_len;
    char video[JOB_ID_MAX + 1];
};

static void listing_free(struct bucket_listing *l)
{
    mem_free(l->list.chunks);
    mem_free(l->list.parts);
    mem_free(l);
}

static void end(struct bucket_listing *l, int err, const char *why)
{
    l->done(l->context, err, why, err == OK ? &l->list : NULL);
    listing_free(l);
}

void bucket_list_cancel(struct bucket_listing *l)
{
    storage_cancel(l->task);
    listing_free(l);
}

static bool read_index(const char *name, uint64_t *index)
{
    size_t len = strlen(chunks_name);

    return strncmp(name, chunks_name, len) == 0 && strlen(name + len) >= INDEX_DIGITS &&
           str_parse_u64(str_of(name + len), UINT32_MAX, index) == OK;
}

static bool on_object(void *context, const struct storage_object *o)
{
    struct bucket_listing *l = context;
    struct bucket_list *list = &l->list;
    const char *name = o->key + l->folder_len;
    uint64_t index;

    if (strcmp(name, source_name) == 0) {
        list->has_source = true;
        list->source_size = o->size;
    } else if (!read_index(name, &index)) {
        return true;
    } else if (index >= list->count) {
        list->beyond++;
    } else {
        list->chunks[index].form = CHUNK_OBJECT;
        list->chunks[index].size = o->size;
    }
    return true;
}

static void take_parts(struct bucket_listing *l, const struct storage_part *parts, size_t count)
{
    struct bucket_list *list = &l->list;

    list->is_begun = true;
    list->parts = mem_alloc((count + 1) * sizeof(*parts));
    for (size_t i = 0; i < count; i++) {
        if (parts[i].number == 0 || parts[i].number > list->count) {
            list->beyond++;
            continue;
        }
        uint32_t index = parts[i].number - 1;
        list->parts[list->part_count++] = parts[i];
        if (l->place.layout == LAYOUT_OBJECTS && list->chunks[index].form == CHUNK_OBJECT)
            continue;
        list->chunks[index].form = CHUNK_PART;
        list->chunks[index].size = parts[i].size;
    }
}

/* Chunk 0 came as a part before anybody knew better, and was then made an object. */
static void take_source(struct bucket_listing *l)
{
    struct bucket_list *list = &l->list;
    bool was_completed = l->place.layout == LAYOUT_OBJECTS ||
                         (l->place.layout == LAYOUT_UNDECIDED && l->place.multipart[0] != '\0');

    if (!was_completed || list->is_begun || !list->has_source || list->count == 0 ||
        list->chunks[0].form != CHUNK_MISSING)
        return;
    list->chunks[0].form = CHUNK_SOURCE;
    list->chunks[0].size = list->source_size;
}

static void on_parts(void *context, int err, const char *why, const struct storage_part *parts,
                     size_t count)
{
    struct bucket_listing *l = context;

    if (err == OK)
        take_parts(l, parts, count);
    else if (err != FAIL_MISSING) {
        end(l, err, why);
        return;
    }
    take_source(l);
    end(l, OK, NULL);
}

static void on_objects(void *context, int err, const char *why)
{
    struct bucket_listing *l = context;

    if (err || l->place.multipart[0] == '\0') {
        if (err == OK)
            take_source(l);
        end(l, err, why);
        return;
    }
    l->task =
        storage_parts(l->storage, bucket_source(l->video).text, l->place.multipart, on_parts, l);
}

struct bucket_listing *bucket_list(struct storage *s, const char *video,
                                   const struct upload_place *place, uint32_t count,
                                   bucket_listed *done, void *context)
{
    struct bucket_listing *l = mem_new(struct bucket_listing);

    l->storage = s;
    l->place = *place;
    l->done = done;
    l->context = context;
    l->list.count = count;
    l->list.chunks = mem_zalloc(((size_t)count + 1) * sizeof(*l->list.chunks));
    l->folder_len = strlen(bucket_folder(video).text);
    snprintf(l->video, sizeof(l->video), "%s", video);
    l->task = storage_list(s, bucket_folder(video).text, on_object, on_objects, l);
    return l;
}

enum bucket_way bucket_way(const struct bucket_list *list, const struct storage_traits *traits,
                           uint32_t *small)
{
    uint32_t parts = 0, too_small = 0, first_small = 0;
    bool is_head_alone = true;

    for (uint32_t i = 0; i < list->count; i++) {
        bool is_part = list->chunks[i].form == CHUNK_PART;
        bool is_small = i + 1 < list->count && list->chunks[i].size < traits->part_min;
        parts += is_part;
        if (is_part && i > 0)
            is_head_alone = false;
        if (is_small && too_small++ == 0)
            first_small = i;
    }
    if (parts == 0)
        return BUCKET_BY_OBJECTS;
    if (too_small == 0 && list->count <= traits->parts_max)
        return BUCKET_BY_PARTS;
    if (is_head_alone)
        return BUCKET_BY_HEAD;
    *small = first_small;
    return BUCKET_NO_WAY;
}
