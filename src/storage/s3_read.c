#include "storage/s3_read.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/mem.h"
#include "proto/xml.h"

enum { MARKER_MAX = 4 * 1024 };

/* What is read of an item until its element ends. */
struct reading {
    const struct http_ask *ask;
    struct http_result *out;
    bool is_truncated;
    char *key, *id;
    struct http_item item;
    char *next_key, *next_id, *token;
};

/* Behind a root's name comes "Result"; with servers that are not Amazon's, for some of
 * them, "Response". */
static const struct document {
    enum http_verb verb;
    const char *root, *item; /* item: NULL, there are none */
} documents[] = {
    { VERB_LIST, "ListBucket", "Contents" },
    { VERB_PARTS, "ListParts", "Part" },
    { VERB_UPLOADS, "ListMultipartUploads", "Upload" },
    { VERB_BEGIN, "InitiateMultipartUpload", NULL },
    { VERB_COPY, "CopyObject", NULL },
    { VERB_PART_COPY, "CopyPart", NULL },
    { VERB_COMPLETE, "CompleteMultipartUpload", NULL },
};

static const struct document *document_of(enum http_verb verb)
{
    for (size_t i = 0; i < sizeof(documents) / sizeof(*documents); i++)
        if (documents[i].verb == verb)
            return &documents[i];
    return NULL;
}

int64_t s3_time(struct str text)
{
    char copy[32];
    struct tm t = { .tm_isdst = 0 };

    snprintf(copy, sizeof(copy), "%.*s", STR_ARG(str_trim(text)));
    const char *rest = strptime(copy, "%Y-%m-%dT%H:%M:%S", &t);
    return rest != NULL ? (int64_t)timegm(&t) : -1;
}

static void keep(char **field, struct str text)
{
    mem_free(*field);
    *field = mem_strndup(text.len > 0 ? text.at : "", text.len);
}

static int keep_number(struct str text, uint64_t max, uint64_t *out)
{
    return str_parse_u64(str_trim(text), max, out);
}

static int on_field(struct reading *r, const char *name, struct str text)
{
    uint64_t number = 0;
    int err = OK;

    if (strcmp(name, "Key") == 0) {
        keep(&r->key, text);
    } else if (strcmp(name, "UploadId") == 0) {
        keep(&r->id, text);
    } else if (strcmp(name, "ETag") == 0) {
        http_item_etag(&r->item, text);
    } else if (strcmp(name, "Size") == 0) {
        err = keep_number(text, INT64_MAX, &r->item.size);
    } else if (strcmp(name, "PartNumber") == 0) {
        err = keep_number(text, UINT32_MAX, &number);
        r->item.number = (uint32_t)number;
    } else if (strcmp(name, "LastModified") == 0 || strcmp(name, "Initiated") == 0) {
        r->item.modified_s = s3_time(text);
    }
    return err;
}

static void end_item(struct reading *r)
{
    struct http_item *item =
        http_result_add(r->out, (struct str){ r->key, r->key ? strlen(r->key) : 0 },
                        (struct str){ r->id, r->id ? strlen(r->id) : 0 });

    item->size = r->item.size;
    item->modified_s = r->item.modified_s;
    item->number = r->item.number;
    memcpy(item->etag, r->item.etag, sizeof(item->etag));
    mem_free(r->key);
    mem_free(r->id);
    r->key = r->id = NULL;
    r->item = (struct http_item){ .modified_s = -1 };
}

static void on_root_field(struct reading *r, const char *name, struct str text)
{
    if (strcmp(name, "IsTruncated") == 0)
        r->is_truncated = str_equal_nocase(str_trim(text), STR("true"));
    else if (strcmp(name, "NextContinuationToken") == 0 ||
             strcmp(name, "NextPartNumberMarker") == 0)
        keep(&r->token, text);
    else if (strcmp(name, "NextKeyMarker") == 0)
        keep(&r->next_key, text);
    else if (strcmp(name, "NextUploadIdMarker") == 0)
        keep(&r->next_id, text);
    else if (strcmp(name, "ETag") == 0 && r->ask->verb == VERB_PART_COPY)
        http_item_etag(http_result_add(r->out, STR(""), STR("")), text);
    else if (strcmp(name, "UploadId") == 0 && r->ask->verb == VERB_BEGIN)
        keep(&r->out->id, str_trim(text));
}

static bool is_root(const struct document *d, const char *name)
{
    size_t len = strlen(d->root);

    return strncmp(name, d->root, len) == 0 &&
           (strcmp(name + len, "Result") == 0 || strcmp(name + len, "Response") == 0);
}

static int on_begun(void *context, const char *path)
{
    struct reading *r = context;

    if (strchr(path, '/') != NULL)
        return OK;
    return is_root(document_of(r->ask->verb), path) ? OK : FAIL_SYNTAX;
}

static int on_ended(void *context, const char *path, struct str text)
{
    struct reading *r = context;
    const struct document *d = document_of(r->ask->verb);
    const char *below = strchr(path, '/');

    if (below++ == NULL)
        return OK;
    const char *last = strchr(below, '/');
    if (last == NULL && d->item != NULL && strcmp(below, d->item) == 0)
        end_item(r);
    else if (last == NULL)
        on_root_field(r, below, text);
    else if (d->item != NULL && strlen(d->item) == (size_t)(last - below) &&
             memcmp(below, d->item, (size_t)(last - below)) == 0)
        return on_field(r, last + 1, text);
    return OK;
}

/* A page that says it is not the last, but not where the next begins, would be read for
 * ever. */
static int end_page(struct reading *r)
{
    struct buf marker;

    if (!r->is_truncated)
        return OK;
    if (r->ask->verb != VERB_UPLOADS) {
        r->out->after = r->token;
        r->token = NULL;
    } else if (r->next_key != NULL) {
        buf_init(&marker, MARKER_MAX);
        buf_printf(&marker, "%s\n%s", r->next_key, r->next_id ? r->next_id : "");
        r->out->after = marker.failed ? NULL : buf_take(&marker);
        buf_deinit(&marker);
    }
    if (r->out->after == NULL || r->out->after[0] == '\0')
        return FAIL_SYNTAX;
    bool is_same = r->ask->after != NULL && strcmp(r->ask->after, r->out->after) == 0;
    return is_same ? FAIL_SYNTAX : OK;
}

int s3_read(const struct http_ask *ask, struct str body, struct http_result *out)
{
    struct reading r = { .ask = ask, .out = out, .item.modified_s = -1 };
    struct xml_handler handler = { on_begun, on_ended, &r };

    int err = xml_read(body, &handler, NULL);
    if (err == OK)
        err = end_page(&r);
    if (err == OK && ask->verb == VERB_BEGIN &&
        (out->id == NULL || out->id[0] == '\0' || strlen(out->id) > STORAGE_UPLOAD_ID_MAX))
        err = FAIL_SYNTAX;
    mem_free(r.key);
    mem_free(r.id);
    mem_free(r.next_key);
    mem_free(r.next_id);
    mem_free(r.token);
    return err == OK ? OK : FAIL_SYNTAX;
}
