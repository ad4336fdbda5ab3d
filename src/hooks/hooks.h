/* Webhooks: POSTs to what the operator configured, when a job begins and when it ends,
 * signed as the Standard Webhooks specification has it (proto/webhook.h).
 *
 * An event is written down where the job is, at the same moment (hooks/queue.h), and
 * delivered from there until it was answered with 2xx, for about a day. It may arrive
 * more than once, under the same webhook-id. A few at a time go to each URL and none
 * waits for another URL's; what has no turn yet stays where it was written down, so
 * memory is bounded however slow a receiver is. Redirects are not followed.
 *
 * All on the desk's thread, but for what is said of another. */
#ifndef HOOKS_HOOKS_H
#define HOOKS_HOOKS_H

#include <uv.h>

#include "core/hook.h"
#include "fleet/hooks.h"
#include "hooks/queue.h"
#include "io/mailbox.h"
#include "store/store_hooks.h"

struct hooks;

enum { HOOK_PARALLEL = 4 }; /* requests at a time, to one URL */

struct hooks_settings {
    uv_loop_t *loop;
    struct mailbox *mailbox; /* the desk's */
    const char *const *urls; /* http or https; may be none; borrowed */
    size_t url_count;
    const char *secrets; /* as webhook_secrets_read; needed if there are URLs */
    uint64_t timeout_ms, retry_ms, log_ttl_ms;
    /* The job as GET /api/jobs/{id} shows it. Any thread. */
    void (*data)(const struct update *u, struct buf *out);
};

/* `why` names the option. FAIL_SYNTAX. */
int hooks_new(const struct hooks_settings *settings, struct hooks **out, struct buf *why);

/* What the store writes down; good until hooks_free. */
struct store_hooks hooks_of_store(struct hooks *h);

/* Begins to deliver what that store writes down: before it is started. */
void hooks_serve_store(struct hooks *h, struct store *store);

/* The same of several nodes: what theirs writes down, but for known_ms; and the beginning. */
struct fleet_hooks_settings hooks_of_fleet(struct hooks *h);
void hooks_serve_fleet(struct hooks *h, struct fleet_hooks *fleet);

/* Deliveries as JSON, {"deliveries":[...]}, newest first, without secrets. */
void hooks_list(struct hooks *h, const struct hook_query *query,
                void (*done)(void *context, int err, struct str json), void *context);
void hooks_replay(struct hooks *h, uint64_t id, hook_done *done, void *context);

void hooks_sweep(struct hooks *h, int64_t now_ms); /* every now and then */

/* Nothing is begun any more; what is under way is given up, and tried again after the next
 * start. Before the store closes; NULL is fine, here and below. */
void hooks_close(struct hooks *h);
void hooks_free(struct hooks *h); /* behind the loop's end */

#endif
