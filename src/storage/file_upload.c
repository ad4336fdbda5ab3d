#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"
#include "storage/disk_dir.h"
#include "storage/file_driver.h"

#define KEY_NAME "key"

enum { PART_NAME_SIZE = 16, PARTS_MIN = 64 };

static bool is_upload_name(const char *id)
{
    return strlen(id) == FILE_ID_SIZE - 1 && strspn(id, "0123456789abcdef") == FILE_ID_SIZE - 1;
}

static void part_name(uint32_t number, char out[PART_NAME_SIZE])
{
    snprintf(out, PART_NAME_SIZE, "%08" PRIu32, number);
}

static int write_key(const struct file_room *r, int dir, const char *key)
{
    struct file_draft draft;
    int err = file_draft_make(r, &draft);

    if (err != OK)
        return err;
    ssize_t put = write(draft.fd, key, strlen(key));
    if (put < 0)
        err = fail_from_errno(errno);
    else if ((size_t)put != strlen(key))
        err = FAIL_FULL;
    if (err == OK)
        err = file_draft_sync(&draft);
    if (err == OK)
        err = file_draft_place_at(r, &draft, dir, KEY_NAME);
    file_draft_drop(r, &draft);
    return err;
}

int file_upload_begin(const struct file_room *r, const char *key, char id[FILE_ID_SIZE])
{
    unsigned char bytes[(FILE_ID_SIZE - 1) / 2];
    char name[FILE_ID_SIZE];
    int dir, err;

    random_bytes(bytes, sizeof bytes);
    encode_hex(bytes, sizeof bytes, name);
    err = dir_make(r->uploads_fd, name, &dir);
    if (err != OK)
        return err;
    err = write_key(r, dir, key);
    close(dir);
    if (err == OK)
        err = dir_sync(r->uploads_fd);
    if (err != OK)
        dir_remove(r->uploads_fd, name);
    else
        memcpy(id, name, sizeof name);
    return err;
}

static int read_key(int dir, char key[PATH_KEY_MAX + 1])
{
    int fd = openat(dir, KEY_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return fail_from_errno(errno);
    ssize_t len = read(fd, key, PATH_KEY_MAX);
    close(fd);
    if (len < 0)
        return FAIL_IO;
    key[len] = '\0';
    return OK;
}

int file_upload_open(const struct file_room *r, const char *key, const char *id, int *dir)
{
    char whose[PATH_KEY_MAX + 1];
    int opened, err = is_upload_name(id) ? dir_open(r->uploads_fd, id, &opened) : FAIL_MISSING;

    if (err != OK)
        return err;
    err = read_key(opened, whose);
    if (err == OK && strcmp(whose, key) != 0)
        err = FAIL_MISSING;
    if (err != OK)
        close(opened);
    else
        *dir = opened;
    return err;
}

int file_upload_place(const struct file_room *r, int dir, uint32_t number, struct file_draft *part)
{
    char name[PART_NAME_SIZE];

    part_name(number, name);
    int err = file_draft_sync(part);
    return err == OK ? file_draft_place_at(r, part, dir, name) : err;
}

struct parts {
    struct storage_part *at;
    size_t count, room;
    uint32_t number_max;
};

static int add_part(void *context, int fd, const char *name, const struct stat *st)
{
    struct parts *parts = context;
    uint64_t number;

    (void)fd;
    if (!S_ISREG(st->st_mode) || str_parse_u64(str_of(name), parts->number_max, &number) != OK)
        return OK;
    if (parts->count == parts->room) {
        parts->room = parts->room > 0 ? parts->room * 2 : PARTS_MIN;
        parts->at = mem_resize(parts->at, parts->room * sizeof *parts->at);
    }
    struct storage_part *part = &parts->at[parts->count++];
    *part = (struct storage_part){
        .number = (uint32_t)number,
        .size = (uint64_t)st->st_size,
        .modified_s = st->st_mtim.tv_sec,
    };
    file_etag(st, part->etag);
    return OK;
}

static int compare_parts(const void *a, const void *b)
{
    const struct storage_part *x = a, *y = b;

    return (x->number > y->number) - (x->number < y->number);
}

int file_upload_parts(int dir, uint32_t number_max, struct storage_part **parts, size_t *count)
{
    struct parts found = { .number_max = number_max };
    int err = dir_each(dir, add_part, &found);

    if (err != OK) {
        mem_free(found.at);
        return err;
    }
    if (found.count > 0)
        qsort(found.at, found.count, sizeof *found.at, compare_parts);
    *parts = found.at;
    *count = found.count;
    return OK;
}

int file_upload_part(int dir, const struct storage_part *part, int *fd)
{
    char name[PART_NAME_SIZE], etag[FILE_ETAG_SIZE];
    struct stat st;

    part_name(part->number, name);
    int opened = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (opened < 0)
        return errno == ENOENT ? FAIL_STATE : fail_from_errno(errno);
    int err = fstat(opened, &st) == 0 ? OK : FAIL_IO;
    file_etag(&st, etag);
    if (err == OK && ((uint64_t)st.st_size != part->size || strcmp(etag, part->etag) != 0))
        err = FAIL_STATE;
    if (err != OK)
        close(opened);
    else
        *fd = opened;
    return err;
}

int file_upload_remove(const struct file_room *r, const char *key, const char *id)
{
    int dir, err = file_upload_open(r, key, id, &dir);

    if (err != OK)
        return err == FAIL_MISSING ? OK : err;
    close(dir);
    return dir_remove(r->uploads_fd, id);
}

struct pending {
    const char *prefix;
    struct file_page *page;
    size_t room;
};

static int add_upload(void *context, int fd, const char *name, const struct stat *st)
{
    struct pending *p = context;
    char key[PATH_KEY_MAX + 1];
    struct stat begun;
    int dir;

    if (!S_ISDIR(st->st_mode) || !is_upload_name(name) || dir_open(fd, name, &dir) != OK)
        return OK;
    int err = read_key(dir, key);
    if (err == OK && fstatat(dir, KEY_NAME, &begun, AT_SYMLINK_NOFOLLOW) != 0)
        err = FAIL_MISSING;
    close(dir);
    if (err != OK || strncmp(key, p->prefix, strlen(p->prefix)) != 0)
        return OK; /* being begun, or removed */
    if (p->page->count == p->room) {
        p->room = p->room > 0 ? p->room * 2 : PARTS_MIN;
        p->page->rows = mem_resize(p->page->rows, p->room * sizeof *p->page->rows);
    }
    struct file_row *row = &p->page->rows[p->page->count++];
    *row = (struct file_row){ .key = mem_strdup(key), .modified_s = begun.st_mtim.tv_sec };
    snprintf(row->etag, sizeof row->etag, "%s", name);
    return OK;
}

static int compare_rows(const void *a, const void *b)
{
    const struct file_row *x = a, *y = b;
    int order = strcmp(x->key, y->key);

    return order != 0 ? order : strcmp(x->etag, y->etag);
}

int file_uploads_read(const struct file_room *r, const char *prefix, struct file_page *out)
{
    struct pending p = { .prefix = prefix, .page = out };
    int err = dir_each(r->uploads_fd, add_upload, &p);

    if (err != OK)
        file_page_free(out);
    else if (out->count > 0)
        qsort(out->rows, out->count, sizeof *out->rows, compare_rows);
    return err;
}
