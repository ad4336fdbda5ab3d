/* The doors' dialects, one file each. Beside what core/dialect.h asks for,
 * pieces of them that an HTTP handler says too. */
#ifndef DIALECT_DIALECTS_H
#define DIALECT_DIALECTS_H

#include "core/dialect.h"

extern const struct dialect dialect_stream;    /* document 000 */
extern const struct dialect dialect_download;  /* document 002 */
extern const struct dialect dialect_jobs;      /* document 003 */
extern const struct dialect dialect_broadcast; /* document 004 */
extern const struct dialect dialect_socketio;  /* document 001 */
extern const struct dialect dialect_plain;     /* document 001, without Socket.IO */
extern const struct dialect dialect_events;    /* server-sent events */
extern const struct dialect dialect_poll;      /* polls */

/* Places in the rendering cache. */
enum dialect_index {
    DIALECT_STREAM,
    DIALECT_DOWNLOAD,
    DIALECT_JOBS,
    DIALECT_BROADCAST,
    DIALECT_SOCKETIO,
    DIALECT_PLAIN,
    DIALECT_EVENTS,
    DIALECT_STATUS,
};

/* The namespace of document 001. */
#define SOCKETIO_NAMESPACE "/file-processing"

/* What a client of document 001 asks for by an event. */
struct processing_call {
    enum request_kind kind; /* REQUEST_NOTHING: an event that is not for us */
    char job[JOB_ID_MAX + 1];
    const char *error; /* why it cannot be done; static */
};

struct json_t;

/* `event` NULL: it has no name. `data` may be NULL. */
void processing_read(struct processing_call *call, const char *event, const struct json_t *data);

/* The answer in events, and the argument of the acknowledgement: a JSON object. */
void socketio_answer(const struct processing_call *call, struct words *out);
void processing_acknowledge(const struct processing_call *call, struct buf *out);

/* What is published on `progress:{id}`, document 004's channel: percent, bytes, and once the job
 * has ended the status as the door says it. Nothing of a queued job. */
void broadcast_bytes(const struct update *u, struct buf *out);

/* The `data` object of document 002: also the answer of GET /api/status/{id}. */
void download_data(const struct update *u, struct buf *out);

/* A job with all that is known of it: the data of an event, and the answer of GET
 * /api/jobs/{id}. */
void job_data(const struct update *u, struct buf *out);

/* "queued", "processing", "completed" or "failed": to the documents a cancelled
 * job is a failed one. */
const char *dialect_status(enum job_state state);

/* What went wrong, never empty. */
const char *dialect_error(const struct update *u);

/* A finished job's metadata, or what the pipelines know beyond the documents'
 * fields: stage_progress, speed, eta_seconds. Nothing if there is none. */
void dialect_metadata(const struct update *u, struct buf *out);

#endif
