#include "cmd/webhooks.h"

#include "base/err.h"
#include "cmd/keeping.h"
#include "dialect/dialects.h"

/* Nodes that share a Redis share what was told, too: without URLs there is nothing to look at. */
int webhooks_open(uv_loop_t *loop, struct mailbox *mailbox, const struct serve_options *o,
                  struct hooks **out, struct buf *why)
{
    if (keeping_is_shared(o) && o->webhooks.count == 0)
        return OK;
    return hooks_new(&(struct hooks_settings){ .loop = loop,
                                               .mailbox = mailbox,
                                               .urls = o->webhooks.items,
                                               .url_count = o->webhooks.count,
                                               .secrets = o->webhook_secret,
                                               .timeout_ms = o->webhook_timeout_ms,
                                               .retry_ms = o->webhook_retry_ms,
                                               .log_ttl_ms = o->webhook_log_ttl_ms,
                                               .data = job_data },
                     out, why);
}
