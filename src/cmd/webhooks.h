/* What the options of `serve` say of webhooks. */
#ifndef CMD_WEBHOOKS_H
#define CMD_WEBHOOKS_H

#include <uv.h>

#include "cmd/serve_options.h"
#include "hooks/hooks.h"

/* NULL where there are none. FAIL_SYNTAX, FAIL_UNSUPPORTED: `why` names the option. */
int webhooks_open(uv_loop_t *loop, struct mailbox *mailbox, const struct serve_options *o,
                  struct hooks **out, struct buf *why);

#endif
