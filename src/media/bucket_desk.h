/* Private to the files bucket_*: what goes on besides the pipelines. */
#ifndef MEDIA_BUCKET_DESK_H
#define MEDIA_BUCKET_DESK_H

#include "media/bucket.h"

/* Somebody who asks for a chunk's URL. */
struct url_ask {
    struct url_ask *prev, *next;
    struct pipelines *owner;
    struct upload upload;
    struct upload_place want;
    enum upload_layout layout; /* wanted */
    bool is_waiting;           /* for another who finds out */
    bool has_begun;            /* the multipart upload of `want` */
    unsigned tries;
    uint32_t index, total;
    uint64_t lifetime_s;
    chunk_url_done *done;
    void *context;
    char video[JOB_ID_MAX + 1];
};

enum { BUCKET_NOT_THERE = 32 };

struct bucket_desk {
    struct url_ask *asks;
    struct {
        uint64_t at_ms;
        char video[JOB_ID_MAX + 1];
    } not_there[BUCKET_NOT_THERE]; /* chunk 0 of an upload, a moment ago */
    size_t not_there_next;
    bool is_sweeping;
    int64_t swept_ms;
};

#endif
