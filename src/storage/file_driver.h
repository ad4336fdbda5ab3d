/* The storage that is a folder: file:///FOLDER. A key is a path below it; so there is
 * never an object whose key is the beginning of another's path ("a" and "a/b").
 *
 *   FOLDER/KEY                           an object, whole
 *   FOLDER/.reelay/new/RANDOM            one that is being written
 *   FOLDER/.reelay/uploads/ID/key        whose a multipart upload is
 *   FOLDER/.reelay/uploads/ID/00000001   a part, whole
 *
 * All that touches the disk runs on worker threads, a step at a time. Only the loop's
 * side knows tasks (file_task.h); the disk's side (file_room.c, file_page.c,
 * file_upload.c) blocks, and knows nothing but the folder. For src/storage alone. */
#ifndef STORAGE_FILE_DRIVER_H
#define STORAGE_FILE_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "storage/storage.h"

int file_driver_open(uv_loop_t *loop, const struct storage_settings *settings, struct storage **out,
                     struct buf *why);

enum {
    FILE_ETAG_SIZE = 64,
    FILE_ID_SIZE = 33, /* of an upload */
    FILE_PAGE_MAX = 1000,
};

struct file_room {
    char *root;
    int root_fd, new_fd, uploads_fd;
};

/* Makes the folders, and removes what a crash has left half written. */
int file_room_open(const char *root, struct file_room *out);
void file_room_close(struct file_room *r);

/* What is being written. */
struct file_draft {
    int fd; /* -1: none */
    char name[FILE_ID_SIZE];
};
int file_draft_make(const struct file_room *r, struct file_draft *out);
/* Its bytes are on the disk: before it gets its place. */
int file_draft_sync(const struct file_draft *d);
/* It gets its place, whatever was there; the draft is spent if that went well. FAIL_EXISTS:
 * the key is a folder, or leads through an object. */
int file_draft_place(const struct file_room *r, struct file_draft *d, const char *key);
int file_draft_place_at(const struct file_room *r, struct file_draft *d, int dir, const char *name);
/* Fine when it is spent. */
void file_draft_drop(const struct file_room *r, struct file_draft *d);

/* FAIL_STATE if there are fewer bytes than that. */
int file_copy(int from, uint64_t from_at, int to, uint64_t to_at, uint64_t length);

int file_object_open(const struct file_room *r, const char *key, int *fd, struct stat *st);
void file_etag(const struct stat *st, char out[FILE_ETAG_SIZE]);
/* Folders that are empty then go too. Fine when there is none. */
int file_remove(const struct file_room *r, const char *key);

/* Keys that begin with a prefix and come behind another, in order. */
struct file_row {
    char *key;
    uint64_t size;
    int64_t modified_s;
    char etag[FILE_ETAG_SIZE];
};
struct file_page {
    struct file_row *rows; /* NULL until the first one */
    size_t count;
};
int file_page_read(const struct file_room *r, const char *prefix, const char *behind,
                   struct file_page *out);
void file_page_free(struct file_page *p);

/* Multipart uploads. What is said of the key is as in storage.h; `id` may be anything. */
int file_upload_begin(const struct file_room *r, const char *key, char id[FILE_ID_SIZE]);
int file_upload_open(const struct file_room *r, const char *key, const char *id, int *dir);
int file_upload_place(const struct file_room *r, int dir, uint32_t number, struct file_draft *part);
int file_upload_parts(int dir, uint32_t number_max, struct storage_part **parts, size_t *count);
/* Opens a part if it is the one that is meant. */
int file_upload_part(int dir, const struct storage_part *part, int *fd);
int file_upload_remove(const struct file_room *r, const char *key, const char *id);
/* As a page: `etag` is the id, modified_s when it was begun. All of them. */
int file_uploads_read(const struct file_room *r, const char *prefix, struct file_page *out);

#endif
