/* A storage whose server answers by a script, and what was heard of what it was asked. */
#ifndef TESTS_STORAGE_SCRIPTED_STORE_H
#define TESTS_STORAGE_SCRIPTED_STORE_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "../io/scripted.h"
#include "storage/storage.h"

#define ANSWER(status, fields, body)                                                               \
    "HTTP/1.1 " status "\r\nConnection: close\r\n" fields "\r\n" body
#define NONE "Content-Length: 0\r\n"
#define TAG  "ETag: \"v1\"\r\n"

struct world {
    uv_loop_t loop;
    struct storage *storage;
    struct scripted server;
    int file; /* nameless, empty */
    /* What was heard. */
    int calls, err;
    char why[400];
    uint64_t size, moved, bytes;
    size_t count;
    char body[64], id[64], listed[64];
};

/* Around each test. */
int set_up(void **state);
int tear_down(void **state);

/* `url` ends where the server's own belongs: "...&endpoint=". */
void open_store(struct world *w, const char *url, const struct scripted_answer *script,
                size_t count, unsigned parallel, uint32_t patience_ms);
/* Every answer of the script has been asked for. */
void stop(struct world *w);

/* Until one `done` has come. */
void wait_for(struct world *w);
void hear(struct world *w, int err, const char *why);
void on_done(void *context, int err, const char *why);
void on_head(void *context, int err, const char *why, const struct storage_object *object);
void on_get(void *context, int err, const char *why, uint64_t bytes);
void on_read(void *context, int err, const char *why, struct str body);

#endif
