/* A node of several on one Redis, as `serve` and `worker` both are: the connection,
 * the jobs and the work over it, and how it is. Lives on the desk's loop. */
#ifndef CMD_NODE_H
#define CMD_NODE_H

#include <stdatomic.h>

#include "api/records.h"
#include "core/ledger.h"
#include "fleet/jobs.h"
#include "fleet/mark.h"
#include "fleet/port_redis.h"
#include "fleet/rooms.h"
#include "fleet/work.h"
#include "io/mailbox.h"

/* Who claims no work may have any. */
enum { NODE_LEASE_MS = 10 * 1000, NODE_ATTEMPTS_MAX = 5 };

struct node_settings {
    const char *engine;                         /* redis://... */
    const char *ca_file, *cert_file, *key_file; /* for rediss://; NULL: none */
    const char *role;        /* "serve", "worker": its connections are named so */
    struct mailbox *mailbox; /* the desk's, to which the ledger's watchers are told */
    uint64_t status_ttl_ms, job_ttl_ms, report_ttl_ms;
    uint32_t lease_ms, attempts_max;
    bool has_viewers;    /* it has a ledger, which mirrors Redis */
    const char *storage; /* of its fleet: fleet/mark.h */
    const struct fleet_mark_events *mark_events;
    void *context; /* of those */
};

struct fleet_hooks_settings;
struct fleet_hooks;
struct node;

/* Begins to connect; does not wait. FAIL_SYNTAX, FAIL_UNSUPPORTED with `why`. */
int node_open(uv_loop_t *loop, const struct node_settings *settings, struct node **out,
              struct buf *why);

/* What waits fails with FAIL_CANCELLED. The I/O threads have ended: nobody watches. */
void node_close(struct node *n);
/* Behind the loop's end. */
void node_free(struct node *n);

struct ledger *node_ledger(struct node *n);
struct fleet_jobs *node_jobs(struct node *n);
struct fleet_work *node_work(struct node *n);
/* Webhooks from then on; of a node that has viewers. As fleet_hooks_new, but that the node names
 * itself. */
int node_open_hooks(struct node *n, const struct fleet_hooks_settings *settings,
                    struct fleet_hooks **out);
struct fleet_rooms *node_rooms(struct node *n); /* NULL: it has no viewers */
const char *node_name(const struct node *n);

/* Any thread: whether Redis is heard, and all that is watched was read. */
/* A fleet_parts.look: the context is the node. */
void node_look(void *context, struct fleet_state *out);

#endif
