/* Operations on a folder. A task is a row of steps: each runs on a worker thread (`work`),
 * then what came of it is told on the loop (`say`), until it is over. One that is cancelled
 * gives back what it holds in a step of its own, also on a worker thread. For the
 * driver's files alone. */
#ifndef STORAGE_FILE_TASK_H
#define STORAGE_FILE_TASK_H

#include <stdatomic.h>

#include "storage/file_driver.h"
#include "storage/storage_ops.h"
#include "storage/storage_refusal.h"

struct file_driver {
    struct storage storage; /* first: storages are cast back */
    struct file_room room;
    struct file_task *tasks;
    bool is_closing;
};

struct file_task {
    struct storage_task task; /* first: tasks are cast back */
    struct file_driver *driver;
    struct file_task *next, **at; /* in the driver's */
    atomic_bool is_cancelled;
    bool is_over;
    int err;
    void (*work)(struct file_task *t);
    void (*say)(struct file_task *t); /* NULL: nothing to be said before the end */
    struct storage_ending ending;
    void (*moved)(void *context, uint64_t bytes);
    char *key, *id, *prefix;
    uint32_t number;
    int file;   /* a copy of the caller's descriptor; -1: none */
    int source; /* the object that is read, or the upload's folder; -1 */
    uint64_t from, to, left, gone;
    struct buf bytes;
    struct file_draft draft;
    struct stat st; /* of the object */
    char new_id[FILE_ID_SIZE];
    struct file_page page;
    struct storage_part *parts;
    size_t part_count, part_at;
    union {
        bool (*object)(void *context, const struct storage_object *object);
        bool (*pending)(void *context, const struct storage_pending *pending);
    } each;
};

static inline struct file_room *file_task_room(struct file_task *t)
{
    return &t->driver->room;
}

/* `say` (may be NULL) runs behind each step that went well. */
struct file_task *file_task_new(struct storage *s, const struct storage_ending *ending,
                                void (*work)(struct file_task *t),
                                void (*say)(struct file_task *t));
/* Nothing of it is touched behind this but by its steps. */
struct storage_task *file_task_start(struct file_task *t);
void file_task_cancel(struct storage_task *task);

/* The caller may close its own as soon as it has cancelled. */
void file_task_borrow(struct file_task *t, int file);

/* A `say`: how many bytes have gone by. */
void file_task_moved(struct file_task *t);

/* What follows is for steps. A slice from the file into the draft; false: there is more,
 * or it failed. */
bool file_task_fill(struct file_task *t);
/* Opens an object, unless that is done, and finds out how much is to be read. */
void file_task_open(struct file_task *t, const char *key);
/* How much one step moves of what is left. */
uint64_t file_task_slice(const struct file_task *t);

/* When the last task has ended. */
void file_driver_free(struct file_driver *d);

/* The operations */
struct storage_task *file_do_put(struct storage *s, const struct storage_put *put);
struct storage_task *file_do_get(struct storage *s, const struct storage_get *get);
struct storage_task *file_do_read(struct storage *s, const char *key, size_t max,
                                  void (*done)(void *, int, const char *, struct str),
                                  void *context);
struct storage_task *
file_do_head(struct storage *s, const char *key,
             void (*done)(void *, int, const char *, const struct storage_object *), void *context);
struct storage_task *file_do_copy(struct storage *s, const char *key, const char *from,
                                  storage_done *done, void *context);
struct storage_task *file_do_remove_one(struct storage *s, const char *key, storage_done *done,
                                        void *context);
struct storage_task *file_do_list(struct storage *s, const char *prefix,
                                  bool (*each)(void *, const struct storage_object *),
                                  storage_done *done, void *context);
struct storage_task *file_do_remove_all(struct storage *s, const char *prefix, storage_done *done,
                                        void *context);
struct storage_task *file_do_begin(struct storage *s, const char *key, const char *content_type,
                                   void (*done)(void *, int, const char *, const char *),
                                   void *context);
struct storage_task *file_do_part_put(struct storage *s, const struct storage_part_put *put);
struct storage_task *file_do_part_copy(struct storage *s, const char *key, const char *id,
                                       uint32_t number, const char *from, storage_done *done,
                                       void *context);
struct storage_task *file_do_parts(struct storage *s, const char *key, const char *id,
                                   void (*done)(void *, int, const char *,
                                                const struct storage_part *, size_t),
                                   void *context);
struct storage_task *file_do_complete(struct storage *s, const char *key, const char *id,
                                      const struct storage_part *parts, size_t count,
                                      storage_done *done, void *context);
struct storage_task *file_do_abort(struct storage *s, const char *key, const char *id,
                                   storage_done *done, void *context);
struct storage_task *file_do_uploads(struct storage *s, const char *prefix,
                                     bool (*each)(void *, const struct storage_pending *),
                                     storage_done *done, void *context);

#endif
