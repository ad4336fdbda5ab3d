/* What a driver of storage.h implements; for the files of src/storage alone. storage.c
 * checks what is the same for all (keys, ranges, ids) and hands over. */
#ifndef STORAGE_STORAGE_OPS_H
#define STORAGE_STORAGE_OPS_H

#include <stdatomic.h>

#include "storage/storage.h"

/* The signatures are those of storage.h, where each is explained. */
struct storage_ops {
    void (*close)(struct storage *s);
    void (*hurry)(struct storage *s); /* or NULL */
    void (*describe)(const struct storage *s, struct buf *out);
    struct storage_task *(*put)(struct storage *s, const struct storage_put *put);
    struct storage_task *(*get)(struct storage *s, const struct storage_get *get);
    struct storage_task *(*read)(struct storage *s, const char *key, size_t max,
                                 void (*done)(void *, int, const char *, struct str),
                                 void *context);
    struct storage_task *(*head)(struct storage *s, const char *key,
                                 void (*done)(void *, int, const char *,
                                              const struct storage_object *),
                                 void *context);
    struct storage_task *(*copy)(struct storage *s, const char *key, const char *from,
                                 storage_done *done, void *context);
    struct storage_task *(*remove)(struct storage *s, const char *key, storage_done *done,
                                   void *context);
    struct storage_task *(*list)(struct storage *s, const char *prefix,
                                 bool (*each)(void *, const struct storage_object *),
                                 storage_done *done, void *context);
    struct storage_task *(*remove_all)(struct storage *s, const char *prefix, storage_done *done,
                                       void *context);
    struct storage_task *(*upload_begin)(struct storage *s, const char *key,
                                         const char *content_type,
                                         void (*done)(void *, int, const char *, const char *),
                                         void *context);
    struct storage_task *(*part_put)(struct storage *s, const struct storage_part_put *put);
    struct storage_task *(*part_copy)(struct storage *s, const char *key, const char *id,
                                      uint32_t number, const char *from, storage_done *done,
                                      void *context);
    struct storage_task *(*parts)(struct storage *s, const char *key, const char *id,
                                  void (*done)(void *, int, const char *,
                                               const struct storage_part *, size_t),
                                  void *context);
    struct storage_task *(*upload_complete)(struct storage *s, const char *key, const char *id,
                                            const struct storage_part *parts, size_t count,
                                            storage_done *done, void *context);
    struct storage_task *(*upload_abort)(struct storage *s, const char *key, const char *id,
                                         storage_done *done, void *context);
    struct storage_task *(*uploads)(struct storage *s, const char *prefix,
                                    bool (*each)(void *, const struct storage_pending *),
                                    storage_done *done, void *context);
    /* Pure */
    int (*url)(const struct storage *s, const char *key, const char *file_name, uint64_t lifetime_s,
               struct buf *out);
    int (*head_url)(const struct storage *s, const char *key, uint64_t lifetime_s, struct buf *out);
    int (*put_url)(const struct storage *s, const char *key, uint64_t lifetime_s, struct buf *out);
    int (*part_url)(const struct storage *s, const char *key, const char *id, uint32_t number,
                    uint64_t lifetime_s, struct buf *out);
};

struct storage_refusal; /* storage_refusal.h */

/* Begins every driver's own. */
struct storage {
    const struct storage_ops *ops;
    const struct storage_traits *traits;
    uv_loop_t *loop;
    char *prefix;                     /* "" or "folder/" */
    char *public_url;                 /* "" or without a slash at its end */
    struct storage_refusal *refusals; /* storage.c's own; NULL at first */
    bool is_hurried;                  /* nothing is tried again */
    atomic_int trouble;               /* as storage_trouble has it */
};

/* Begins every task. */
struct storage_task {
    struct storage *storage;
    void (*cancel)(struct storage_task *t); /* frees it, now or when what runs has ended */
};

#endif
