/* What the files of /files have of each other: the resumable uploads of tus 1.0.0.
 *
 *   tus.c         what all of them share
 *   tus_upload.c  an upload in the path: HEAD, DELETE
 *   tus_create.c  POST: a new one
 *   tus_concat.c  POST: a new one, made of others
 *   tus_patch.c   bytes
 *
 * A request goes through some of these, in this order:
 *
 *   who may see it (find) -> its turn (turns.h) -> what there is of it (survey)
 *     -> bytes (receive) -> its assembly, if it is whole (conclude) -> an answer */
#ifndef API_TUS_H
#define API_TUS_H

#include "api/api.h"
#include "api/intake.h"
#include "api/turns.h"
#include "proto/tus.h"

enum tus_state {
    TUS_OPEN, /* takes bytes */
    TUS_DONE, /* has all of them */
    TUS_GONE, /* expired, or cancelled */
};

struct tus {
    struct call *call;
    void (*then)(struct tus *t);
    struct turn turn;
    bool has_turn;
    char id[JOB_ID_MAX + 1];
    struct update *job;   /* one reference; NULL: it has none */
    struct upload upload; /* of an open one, and of one that is processed */
    bool has_upload;

    enum tus_state state;
    int64_t length; /* -1: not known */
    uint64_t offset;
    uint32_t chunks;

    /* Receiving */
    void (*received)(struct tus *t); /* `status` 0: all that came counts */
    struct intake intake;
    struct tus_checksum checksum; /* no algorithm: none was given */
    struct tus_sum *sum;
    bool is_receiving, is_streaming, is_turning, is_ended, is_cut, is_unwanted;
    int status;
    const char *code;
    char why[256];

    /* Concatenation */
    struct tus_concat concat;
    size_t at;
    uint64_t total;

    int tries;
};

/* Begins a request; NULL: it was not of this protocol, and is answered. */
struct tus *tus_begin(struct call *c);

/* Ends it: whatever it holds is let go, and the answer is given by the caller at once. */
void tus_release(struct tus *t);
/* The same, with an answer. */
void tus_refuse(struct tus *t, int status, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void tus_fail(struct tus *t, int err); /* of records */
void tus_refuse_closed(struct tus *t);
void tus_refuse_unknown(struct tus *t);

/* Each goes on with `then`, or answers. */
void tus_find(struct tus *t, void (*then)(struct tus *t)); /* whether the viewer may see it */
void tus_take_turn(struct tus *t, void (*then)(struct tus *t));
void tus_survey(struct tus *t, void (*then)(struct tus *t));
/* Has it assembled if it is whole and nobody has begun yet. */
void tus_conclude(struct tus *t, void (*then)(struct tus *t));

/* A field's whole number up to INT64_MAX: FAIL_MISSING, FAIL_SYNTAX. */
int tus_number(const struct call *c, const char *name, int64_t *out);

/* Who made a partial upload. */
void tus_owner(const struct call *c, char out[sizeof((struct upload *)0)->owner]);

void tus_put_offset(struct tus *t);
void tus_put_expiry(struct tus *t, int64_t touched_ms);
void tus_put_job(struct tus *t);

/* tus_patch.c */
void tus_patch(struct tus *t);
bool tus_has_bytes(const struct call *c); /* that are meant for the upload */
bool tus_read_checksum(struct tus *t);    /* false: answered */
/* The body, from `offset` on. `received` is called when all is kept that can be. */
void tus_receive(struct tus *t, void (*received)(struct tus *t));

/* tus_create.c */
void tus_open(struct tus *t, void (*then)(struct tus *t)); /* `upload` and its job */
/* Upload-Metadata, and what is known of it; false: answered. */
bool tus_read_metadata(struct tus *t);
void tus_created(struct tus *t); /* answers */

/* tus_concat.c */
void tus_concat(struct tus *t);

#endif
