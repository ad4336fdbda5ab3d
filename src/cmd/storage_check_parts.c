/* Multipart uploads: one that is completed, one that is given up. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "cmd/storage_check.h"

enum { PARTS = 2 };

struct uploading {
    struct check *check;
    char id[STORAGE_UPLOAD_ID_MAX + 1];
    struct storage_part parts[PARTS + 1];
    size_t count;
    bool is_seen;
};

static void on_begun(void *context, int err, const char *why, const char *id)
{
    struct uploading *u = context;

    if (err == OK)
        snprintf(u->id, sizeof(u->id), "%s", id);
    check_answer(u->check, err, why);
}

static bool begin(struct uploading *u, const char *name, const char *what)
{
    struct check *c = u->check;

    check_begin(c);
    storage_upload_begin(c->storage, check_key(c, name), "video/mp4", on_begun, u);
    return check_wait(c, what, "s3:PutObject", "sp=w (write)");
}

static bool put_part(struct uploading *u, const char *name, uint32_t number, uint64_t length)
{
    struct check *c = u->check;

    check_begin(c);
    storage_part_put(c->storage, &(struct storage_part_put){ .key = check_key(c, name),
                                                             .id = u->id,
                                                             .number = number,
                                                             .file = c->file,
                                                             .length = length,
                                                             .done = check_answer,
                                                             .context = c });
    return check_wait(c, "upload a part", "s3:PutObject", "sp=w (write)");
}

static bool copy_part(struct uploading *u, const char *name, uint32_t number)
{
    struct check *c = u->check;
    char from[128];

    snprintf(from, sizeof(from), "%s", check_key(c, "file"));
    check_begin(c);
    storage_part_copy(c->storage, check_key(c, name), u->id, number, from, check_answer, c);
    return check_wait(c, "make a part of an object", "s3:PutObject, s3:GetObject",
                      "sp=rw (read, write)");
}

static void on_parts(void *context, int err, const char *why, const struct storage_part *parts,
                     size_t count)
{
    struct uploading *u = context;

    u->count = count < PARTS + 1 ? count : PARTS + 1;
    if (err == OK)
        memcpy(u->parts, parts, u->count * sizeof(*parts));
    if (err == OK && count != PARTS)
        check_answer(u->check, FAIL_STATE, "not all parts are listed that were uploaded");
    else
        check_answer(u->check, err, why);
}

static bool list_parts(struct uploading *u, const char *name)
{
    struct check *c = u->check;

    check_begin(c);
    storage_parts(c->storage, check_key(c, name), u->id, on_parts, u);
    return check_wait(c, "list the parts", "s3:ListMultipartUploadParts", "sp=r (read)");
}

static bool complete(struct uploading *u, const char *name)
{
    struct check *c = u->check;

    check_begin(c);
    storage_upload_complete(c->storage, check_key(c, name), u->id, u->parts, u->count, check_answer,
                            c);
    return check_wait(c, "complete a multipart upload", "s3:PutObject", "sp=w (write)");
}

static bool on_pending(void *context, const struct storage_pending *pending)
{
    struct uploading *u = context;

    u->is_seen = u->is_seen || strcmp(pending->id, u->id) == 0;
    return true;
}

static void on_listed(void *context, int err, const char *why)
{
    struct uploading *u = context;

    if (err == OK && !u->is_seen && !u->check->is_azure)
        check_answer(u->check, FAIL_STATE, "the one that was just begun is not listed");
    else
        check_answer(u->check, err, why);
}

static void give_up(struct uploading *u, const char *name)
{
    struct check *c = u->check;

    check_begin(c);
    storage_upload_abort(c->storage, check_key(c, name), u->id, check_answer, c);
    check_wait(c, "give a multipart upload up", "s3:AbortMultipartUpload", "sp=d (delete)");
}

static void find(struct uploading *u)
{
    struct check *c = u->check;

    check_begin(c);
    storage_uploads(c->storage, check_key(c, ""), on_pending, on_listed, u);
    check_wait(c, "list multipart uploads", "s3:ListBucketMultipartUploads (of the bucket itself)",
               "sp=l (list)");
}

void check_parts(struct check *c)
{
    struct uploading whole = { .check = c }, given_up = { .check = c };

    if (begin(&whole, "parts", "begin a multipart upload")) {
        bool is_complete = put_part(&whole, "parts", 1, c->part) && copy_part(&whole, "parts", 2) &&
                           list_parts(&whole, "parts") && complete(&whole, "parts");
        if (!is_complete)
            give_up(&whole, "parts");
    }
    if (begin(&given_up, "given-up", "begin another one")) {
        find(&given_up);
        give_up(&given_up, "given-up");
    }
}
