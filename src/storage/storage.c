#include "storage/storage.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/utf8.h"
#include "proto/url.h"
#include "storage/disk_dir.h"
#include "storage/file_driver.h"
#include "storage/http_driver.h"
#include "storage/storage_ops.h"
#include "storage/storage_refusal.h"

enum { BYTES_MAX = 1024 * 1024 };

#define BAD_KEY    "that is no key of an object"
#define BAD_RANGE  "that range is none"
#define BAD_NUMBER "there is no part of that number"
#define BAD_ID     "there is no such upload"

static const char *of_environment(void *context, const char *name)
{
    (void)context;
    return getenv(name);
}

int storage_open(uv_loop_t *loop, const struct storage_settings *settings, struct storage **out,
                 struct buf *why)
{
    struct storage_url url;

    int err = storage_url_parse(settings->url, of_environment, NULL, &url, why);
    if (err != OK)
        return err;
    switch (url.kind) {
    case STORAGE_FILE: storage_url_deinit(&url); return file_driver_open(loop, settings, out, why);
    case STORAGE_S3: return http_storage_open(loop, settings, &s3_driver, &url, out, why);
    case STORAGE_AZURE: return http_storage_open(loop, settings, &azure_driver, &url, out, why);
    }
    return FAIL_UNSUPPORTED;
}

void storage_close(struct storage *s)
{
    if (s == NULL)
        return;
    storage_refusals_cancel(s);
    s->ops->close(s);
}

void storage_hurry(struct storage *s)
{
    s->is_hurried = true;
    if (s->ops->hurry != NULL)
        s->ops->hurry(s);
}

const struct storage_traits *storage_traits(const struct storage *s)
{
    return s->traits;
}

void storage_describe(const struct storage *s, struct buf *out)
{
    s->ops->describe(s, out);
}

int storage_trouble(const struct storage *s)
{
    return atomic_load(&s->trouble);
}

/* What cannot stand in XML 1.0 is no key anywhere: lists are XML. */
static bool is_text(const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++)
        if (*at < 0x20 || *at == 0x7f)
            return false;
    return utf8_is_valid(text, strlen(text));
}

static bool is_key(const struct storage *s, const char *key)
{
    return path_is_normal(key) && is_text(key) && strlen(s->prefix) + strlen(key) <= PATH_KEY_MAX;
}

/* The beginning of a key: its last component may be cut short, or not have begun. */
static bool is_prefix(const char *prefix)
{
    const char *last = strrchr(prefix, '/');
    char above[PATH_KEY_MAX + 1];

    if (strlen(prefix) > PATH_KEY_MAX || !is_text(prefix))
        return false;
    if (last == NULL)
        return true;
    memcpy(above, prefix, (size_t)(last - prefix));
    above[last - prefix] = '\0';
    return path_is_normal(above);
}

static bool is_id(const char *id)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789._~+/=-";
    size_t len = strlen(id);

    return len > 0 && len <= STORAGE_UPLOAD_ID_MAX && strspn(id, allowed) == len;
}

static bool is_range(uint64_t offset, uint64_t length)
{
    return offset <= INT64_MAX && length <= INT64_MAX - offset;
}

static bool is_number(const struct storage *s, uint32_t number)
{
    return number >= 1 && number <= s->traits->parts_max;
}

struct storage_task *storage_put(struct storage *s, const struct storage_put *put)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = put->done }, put->context };

    if (!is_key(s, put->key))
        return storage_refuse(s, &ending, FAIL_SYNTAX, BAD_KEY);
    if (put->has_file ? !is_range(put->offset, put->length) : put->bytes.len > BYTES_MAX)
        return storage_refuse(s, &ending, FAIL_LIMIT, BAD_RANGE);
    return s->ops->put(s, put);
}

struct storage_task *storage_get(struct storage *s, const struct storage_get *get)
{
    struct storage_ending ending = { ENDING_GET, { .get = get->done }, get->context };

    if (!is_key(s, get->key))
        return storage_refuse(s, &ending, FAIL_SYNTAX, BAD_KEY);
    if (!is_range(get->offset, get->length) || !is_range(get->at, get->length))
        return storage_refuse(s, &ending, FAIL_LIMIT, BAD_RANGE);
    return s->ops->get(s, get);
}

struct storage_task *storage_read(struct storage *s, const char *key, size_t max,
                                  void (*done)(void *, int, const char *, struct str),
                                  void *context)
{
    struct storage_ending ending = { ENDING_READ, { .read = done }, context };

    if (!is_key(s, key))
        return storage_refuse(s, &ending, FAIL_SYNTAX, BAD_KEY);
    return s->ops->read(s, key, max, done, context);
}

struct storage_task *
storage_head(struct storage *s, const char *key,
             void (*done)(void *, int, const char *, const struct storage_object *), void *context)
{
    struct storage_ending ending = { ENDING_HEAD, { .head = done }, context };

    if (!is_key(s, key))
        return storage_refuse(s, &ending, FAIL_SYNTAX, BAD_KEY);
    return s->ops->head(s, key, done, context);
}

struct storage_task *storage_copy(struct storage *s, const char *key, const char *from,
                                  storage_done *done, void *context)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = done }, context };

    if (!is_key(s, key) || !is_key(s, from))
        return storage_refuse(s, &ending, FAIL_SYNTAX, BAD_KEY);
    return s->ops->copy(s, key, from, done, context);
}

struct storage_task *storage_remove(struct storage *s, const char *key, storage_done *done,
                                    void *context)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = done }, context };

    if (!is_key(s, key))
        return storage_refuse(s, &ending, FAIL_SYNTAX, BAD_KEY);
    return s->ops->remove(s, key, done, context);
}

struct storage_task *storage_list(struct storage *s, const char *prefix,
                                  bool (*each)(void *, const struct storage_object *),
                                  storage_done *done, void *context)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = done }, context };

    if (!is_prefix(prefix))
        return storage_refuse(s, &ending, FAIL_SYNTAX, BAD_KEY);
    return s->ops->list(s, prefix, each, done, context);
}

struct storage_task *storage_remove_all(struct storage *s, const char *prefix, storage_done *done,
                                        void *context)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = done }, context };

    if (!is_prefix(prefix))
        return storage_refuse(s, &ending, FAIL_SYNTAX, BAD_KEY);
    return s->ops->remove_all(s, prefix, done, context);
}

struct storage_task *storage_upload_begin(struct storage *s, const char *key,
                                          const char *content_type,
                                          void (*done)(void *, int, const char *, const char *),
                                          void *context)
{
    struct storage_ending ending = { ENDING_BEGIN, { .begin = done }, context };

    if (!is_key(s, key))
        return storage_refuse(s, &ending, FAIL_SYNTAX, BAD_KEY);
    return s->ops->upload_begin(s, key, content_type, done, context);
}

struct storage_task *storage_part_put(struct storage *s, const struct storage_part_put *put)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = put->done }, put->context };

    if (!is_key(s, put->key))
        return storage_refuse(s, &ending, FAIL_SYNTAX, BAD_KEY);
    if (!is_id(put->id))
        return storage_refuse(s, &ending, FAIL_MISSING, BAD_ID);
    if (!is_number(s, put->number))
        return storage_refuse(s, &ending, FAIL_LIMIT, BAD_NUMBER);
    if (!is_range(put->offset, put->length) || put->length > s->traits->part_max)
        return storage_refuse(s, &ending, FAIL_LIMIT, BAD_RANGE);
    return s->ops->part_put(s, put);
}

struct storage_task *storage_part_copy(struct storage *s, const char *key, const char *id,
                                       uint32_t number, const char *from, storage_done *done,
                                       void *context)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = done }, context };

    if (!is_key(s, key) || !is_key(s, from))
        return storage_refuse(s, &ending, FAIL_SYNTAX, BAD_KEY);
    if (!is_id(id))
        return storage_refuse(s, &ending, FAIL_MISSING, BAD_ID);
    if (!is_number(s, number))
        return storage_refuse(s, &ending, FAIL_LIMIT, BAD_NUMBER);
    return s->ops->part_copy(s, key, id, number, from, done, context);
}

struct storage_task *storage_parts(struct storage *s, const char *key, const char *id,
                                   void (*done)(void *, int, const char *,
                                                const struct storage_part *, size_t),
                                   void *context)
{
    struct storage_ending ending = { ENDING_PARTS, { .parts = done }, context };

    if (!is_key(s, key))
        return storage_refuse(s, &ending, FAIL_SYNTAX, BAD_KEY);
    if (!is_id(id))
        return storage_refuse(s, &ending, FAIL_MISSING, BAD_ID);
    return s->ops->parts(s, key, id, done, context);
}

/* Servers differ in what they say to these, so none is asked. */
static int judge_parts(const struct storage *s, const struct storage_part *parts, size_t count,
                       const char **why)
{
    if (count == 0 || count > s->traits->parts_max) {
        *why = "so many parts make no object";
        return FAIL_LIMIT;
    }
    for (size_t i = 0; i < count; i++)
        if (!is_number(s, parts[i].number) || (i > 0 && parts[i].number <= parts[i - 1].number)) {
            *why = "the parts are not in order";
            return FAIL_SYNTAX;
        }
    for (size_t i = 0; i + 1 < count; i++)
        if (parts[i].size < s->traits->part_min) {
            *why = "a part that is not the last one is too small";
            return FAIL_LIMIT;
        }
    return OK;
}

struct storage_task *storage_upload_complete(struct storage *s, const char *key, const char *id,
                                             const struct storage_part *parts, size_t count,
                                             storage_done *done, void *context)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = done }, context };
    const char *why = NULL;

    if (!is_key(s, key))
        return storage_refuse(s, &ending, FAIL_SYNTAX, BAD_KEY);
    if (!is_id(id))
        return storage_refuse(s, &ending, FAIL_MISSING, BAD_ID);
    int err = judge_parts(s, parts, count, &why);
    if (err != OK)
        return storage_refuse(s, &ending, err, why);
    return s->ops->upload_complete(s, key, id, parts, count, done, context);
}

struct storage_task *storage_upload_abort(struct storage *s, const char *key, const char *id,
                                          storage_done *done, void *context)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = done }, context };

    if (!is_key(s, key))
        return storage_refuse(s, &ending, FAIL_SYNTAX, BAD_KEY);
    if (!is_id(id)) /* there never was one */
        return storage_refuse(s, &ending, OK, NULL);
    return s->ops->upload_abort(s, key, id, done, context);
}

struct storage_task *storage_uploads(struct storage *s, const char *prefix,
                                     bool (*each)(void *, const struct storage_pending *),
                                     storage_done *done, void *context)
{
    struct storage_ending ending = { ENDING_PLAIN, { .plain = done }, context };

    if (!is_prefix(prefix))
        return storage_refuse(s, &ending, FAIL_SYNTAX, BAD_KEY);
    return s->ops->uploads(s, prefix, each, done, context);
}

void storage_cancel(struct storage_task *t)
{
    t->cancel(t);
}

int storage_url(const struct storage *s, const char *key, const char *file_name,
                uint64_t lifetime_s, struct buf *out)
{
    if (!s->traits->has_urls)
        return FAIL_UNSUPPORTED;
    return is_key(s, key) ? s->ops->url(s, key, file_name, lifetime_s, out) : FAIL_SYNTAX;
}

int storage_head_url(const struct storage *s, const char *key, uint64_t lifetime_s, struct buf *out)
{
    if (!s->traits->has_urls)
        return FAIL_UNSUPPORTED;
    return is_key(s, key) ? s->ops->head_url(s, key, lifetime_s, out) : FAIL_SYNTAX;
}

int storage_public_url(const struct storage *s, const char *key, struct buf *out)
{
    if (s->public_url[0] == '\0')
        return FAIL_UNSUPPORTED;
    if (!is_key(s, key))
        return FAIL_SYNTAX;
    buf_puts(out, s->public_url);
    buf_putc(out, '/');
    url_encode(str_of(s->prefix), true, out);
    url_encode(str_of(key), true, out);
    return out->failed ? FAIL_LIMIT : OK;
}

int storage_put_url(const struct storage *s, const char *key, uint64_t lifetime_s, struct buf *out)
{
    if (!s->traits->has_urls || !s->traits->has_object_urls)
        return FAIL_UNSUPPORTED;
    return is_key(s, key) ? s->ops->put_url(s, key, lifetime_s, out) : FAIL_SYNTAX;
}

int storage_part_url(const struct storage *s, const char *key, const char *id, uint32_t number,
                     uint64_t lifetime_s, struct buf *out)
{
    if (!s->traits->has_urls)
        return FAIL_UNSUPPORTED;
    if (!is_key(s, key))
        return FAIL_SYNTAX;
    if (!is_id(id))
        return FAIL_MISSING;
    if (!is_number(s, number))
        return FAIL_LIMIT;
    return s->ops->part_url(s, key, id, number, lifetime_s, out);
}
