/* The HTTP and WebSocket face: routes, who may come in, and what a handler is
 * given. A handler runs on an I/O thread, borrows the modules below, and answers
 * its exchange exactly once, at once or later.
 *
 * To add a route: a handler and a row in router.c. */
#ifndef API_API_H
#define API_API_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/records.h"
#include "base/config.h"
#include "core/ledger.h"
#include "core/limits.h"
#include "input/fields.h"
#include "input/report.h"
#include "io/engine.h"
#include "io/exchange.h"
#include "io/mailbox.h"
#include "media/pipeline.h"
#include "media/uploads.h"
#include "proto/jwt.h"
#include "proto/presign.h"
#include "storage/disk.h"
#include "storage/storage.h"
#include "store/store.h"

struct api_settings {
    bool asks_all;                     /* every door asks for a token, not only `stream` */
    bool gives_sessions;               /* POST /api/session: nothing configured, loopback only */
    uint64_t chunk_max;                /* bytes of one chunk */
    uint64_t upload_max;               /* bytes of a whole upload */
    uint64_t url_lifetime_ms;          /* of a presigned upload URL */
    uint64_t upload_ttl_ms;            /* an upload that nobody touches is removed */
    uint64_t storage_url_lifetime_s;   /* of a viewer's presigned URL into the bucket */
    bool takes_chunks;                 /* ours are the URLs of chunks, though there is a bucket */
    const char *public_url;            /* "" or "https://host", no slash at its end */
    const struct option_list *origins; /* whose pages may come: origins, or "*" */
    bool guards_host;                  /* whoever asks must know its name: no token is asked for */
    bool closes_expired;               /* a connection ends with its token */
};

struct recovery;
struct hooks;
struct turns;

/* Set before the first request, then only read, but for is_draining. */
struct api {
    const struct api_settings *settings;
    const struct records_ops *records;
    const struct fleet_parts *fleet; /* of records_fleet, else NULL */
    struct ledger *ledger;
    struct store *store; /* these two are of records_local, else NULL */
    struct uploads *uploads;
    struct disk *disk;
    struct storage *storage;     /* as pipeline_parts.storage; its tasks only on the desk */
    struct shelf *shelf;         /* its playlists, NULL without one; only on the desk */
    struct pipelines *pipelines; /* only on the desk */
    const struct guard *guard;   /* of downloads; NULL: there are none */
    struct mailbox *desk;
    struct hooks *hooks;       /* only on the desk; NULL: there are none */
    struct engine *engine;     /* of /socket.io/ */
    struct recovery *recovery; /* of its clients */
    struct turns *turns;       /* of those who write to one upload */
    const struct jwt_keys *keys;
    const struct presign_key *presign;
    uint64_t started_ms;     /* monotonic */
    int64_t started_wall_ms; /* since 1970 */
    atomic_bool is_draining; /* asked to end: GET /ready says so */
};

enum policy {
    POLICY_OPEN,   /* anybody */
    POLICY_PUBLIC, /* anybody, from any page unless there is a list of those that may */
    POLICY_DOOR,   /* a token once settings->asks_all */
    POLICY_TOKEN,  /* a token always */
};

/* Whose page is asking. */
enum origin_kind {
    ORIGIN_NONE,    /* no browser, or a page that reads what is its own */
    ORIGIN_OWN,     /* the host that was asked, or that of --public-url */
    ORIGIN_LISTED,  /* --cors-origin */
    ORIGIN_LOCAL,   /* nothing is listed, and it never leaves this machine */
    ORIGIN_ANY,     /* --cors-origin '*' */
    ORIGIN_FOREIGN, /* any other, and "null" */
};

struct route;

enum { CALL_SEGMENTS_MAX = 2 };

/* One request on its way through a handler; freed with its exchange. */
struct call {
    struct api *api;
    struct exchange *x;
    struct viewer *viewer;                            /* one reference; set unless POLICY_OPEN */
    char segments[CALL_SEGMENTS_MAX][JOB_ID_MAX + 1]; /* the pattern's {..}, decoded */
    struct str path;                                  /* decoded and normalised */
    struct buf path_buf;
    enum origin_kind origin; /* since origin_may_read */
    void *state;             /* the handler's own, mem_free'd with the call */
};

struct route {
    unsigned methods;    /* HTTP_GET | ...; HEAD goes with GET */
    const char *pattern; /* "/api/jobs/{}"; one slash at the end may be left out or added;
                          * "/videos/" + "*" takes everything below */
    enum policy policy;
    void (*handle)(struct call *c);
    /* Adds what every answer here has, also one that refuses, and one to OPTIONS, which
     * then is 200; may be NULL. */
    void (*greet)(struct call *c, bool may_read);
};

/* exchange_handler: `context` is the struct api. */
void api_handle(void *context, struct exchange *x);

/* Answers (reply.c) */

/* {"error":{"code","message","field"}}; `field` may be NULL. */
void reply_error(struct exchange *x, int status, const char *code, const char *field,
                 const char *format, ...) __attribute__((format(printf, 5, 6)));
/* Takes the buffer's content; it is left empty. */
void reply_json(struct exchange *x, int status, struct buf *json);

/* Request bodies (body.c) */

struct json_t;

/* Reads the body as a JSON object, at most HTTP_BODY_MAX; answers 400 or 413
 * itself, else calls `handle`, which borrows `object`. */
void body_read(struct call *c, void (*handle)(struct call *c, struct json_t *object));

/* As field_* and report_read, but answer 400 themselves before returning false. */
bool body_text(struct call *c, struct json_t *object, const char *name, enum need need, size_t max,
               const char **out);
bool body_integer(struct call *c, struct json_t *object, const char *name, enum need need,
                  int64_t min, int64_t max, int64_t *out);
bool body_id(struct call *c, struct json_t *object, const char *name, char out[JOB_ID_MAX + 1]);
bool body_report(struct call *c, struct json_t *object, struct report *out);

/* Who is asking (auth.c) */

/* The viewer behind the request, by Authorization, else by an offered WebSocket
 * protocol, else by ?token=: the first that is given counts. One reference, or
 * NULL with `why` set when a token is needed and not there or not good. */
struct viewer *auth_viewer(const struct api *api, const struct http_request *request,
                           enum policy policy, const char **why);
/* The same by a token that came some other way; `at` NULL: none came. */
struct viewer *auth_viewer_of_token(const struct api *api, struct str token, enum policy policy,
                                    const char **why);
/* Browsers can send a token only as a protocol, `new WebSocket(url, ["bearer",
 * token])`, and give up unless one is selected. True with the one to select, as
 * Sec-WebSocket-Protocol; `out` takes up to HTTP_HEAD_MAX. */
bool auth_protocol(const struct http_request *request, struct buf *out);

/* Whose page is asking (origin.c). The router asks the first two for every route. */

/* Adds who may read the answer (CORS); true if whoever asks may. */
bool origin_may_read(struct call *c, bool is_public);
/* False: refused and answered. */
bool origin_may_enter(struct call *c);
/* Somebody at this machine, by no page or one that is on this machine too. */
bool origin_is_at_home(const struct call *c);

/* Jobs (lookup.c); how they are asked for: api/records.h */

/* records_ops.find with the id in the path; one that is none is answered 404. */
void job_find_in_path(struct call *c, record_done *found);

/* True: err is OK. Else 404 is answered ("there is no video 12"), or why the job
 * cannot be looked for. */
bool job_is_known(struct call *c, int err, const char *field, const char *what, const char *id);

/* As hub_subscribe_after, of a job in the state `known`, which was just found; NULL:
 * there was none. */
int job_watch(const struct api *api, struct hub *hub, struct session *s, const char *id,
              uint64_t after, struct update *known);

/* Answers what may happen to any change: it does not last (`u`), there are too many
 * of them, whoever keeps them is away. */
void job_refuse(struct call *c, int err, const struct update *u);

/* True: `err` says that whatever keeps the records is away, and that is answered. */
bool job_refuse_away(struct call *c, int err);
#define RECORDS_AWAY "Redis cannot be reached just now"

/* Query parameters (query.c) */

/* A whole number up to `max`; `out` stays when there is none. Not OK: answered 400. */
int query_number(struct call *c, const char *name, uint64_t max, uint64_t *out);

/* An id for a new video, never given before (videos.c). Any thread. */
void video_id(char out[JOB_ID_MAX + 1]);

/* Takes the object (files.c). */
void files_reply_object(struct call *c, struct object *o);

/* Where a bucket's URLs lead, "https://host", appended; nothing without one (published.c). */
void published_origin(const struct api *api, struct buf *out);
/* files_published of a bucket. */
void published_get(struct call *c);

/* Handlers, by file */
void videos_create(struct call *c);
void videos_chunk_url(struct call *c);
void videos_assemble(struct call *c);
void videos_upload_state(struct call *c);
void chunks_put(struct call *c);
void orpc_call(struct call *c);
void downloads_create(struct call *c);
void jobs_create(struct call *c);
void jobs_list(struct call *c);
void jobs_show(struct call *c);
void jobs_cancel(struct call *c);
void jobs_report(struct call *c);
void jobs_status(struct call *c);
void files_published(struct call *c);
void files_page(struct call *c);
void tus_create(struct call *c);
void tus_upload(struct call *c);
void tus_greet(struct call *c, bool may_read);
void health_get(struct call *c);
void health_ready(struct call *c);
void metrics_get(struct call *c);
void session_create(struct call *c);
void webhooks_list(struct call *c);
void webhooks_replay(struct call *c);
void door_stream(struct call *c);
void door_download(struct call *c);
void door_jobs(struct call *c);
void door_broadcast(struct call *c);
void door_plain(struct call *c);
void door_socketio(struct call *c);
void door_events(struct call *c);

#endif
