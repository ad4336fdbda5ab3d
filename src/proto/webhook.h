/* How webhooks are signed: the symmetric form (v1) of the Standard Webhooks
 * specification, an HMAC-SHA256 over "ID.TIMESTAMP.BODY". Pure; any thread. */
#ifndef PROTO_WEBHOOK_H
#define PROTO_WEBHOOK_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

enum { WEBHOOK_SECRETS_MAX = 8, WEBHOOK_SECRET_MAX = 256 };

struct webhook_secrets {
    size_t count;
    size_t len[WEBHOOK_SECRETS_MAX];
    uint8_t bytes[WEBHOOK_SECRETS_MAX][WEBHOOK_SECRET_MAX];
};

/* "whsec_BASE64" or anything else as it stands; several, with spaces between, while one
 * takes another's place. FAIL_SYNTAX, FAIL_LIMIT: `why` is a clause without the secret. */
int webhook_secrets_read(const char *text, struct webhook_secrets *out, struct buf *why);
void webhook_secrets_wipe(struct webhook_secrets *secrets);

/* Appends the value of webhook-signature: "v1,BASE64" for each secret, spaces between. */
int webhook_sign(const struct webhook_secrets *secrets, const char *id, int64_t timestamp_s,
                 struct str body, struct buf *out);

#endif
