/* Azure Blob Storage's two ways to sign: a shared access signature (SAS) for one blob,
 * as part of a URL, and Shared Key, as an Authorization field. Pure; any thread. */
#ifndef PROTO_AZURE_SIGN_H
#define PROTO_AZURE_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "proto/sign.h"

enum { AZURE_KEY_MAX = 128, AZURE_FIELDS_MAX = 64 };

#define AZURE_VERSION "2020-12-06" /* sv of what is signed here; send it as x-ms-version */

struct azure_key {
    const char *account; /* borrowed */
    uint8_t bytes[AZURE_KEY_MAX];
    size_t len;
};

/* `base64` is as Azure shows a key. FAIL_SYNTAX. */
int azure_key_init(struct azure_key *key, const char *account, const char *base64);
void azure_key_deinit(struct azure_key *key); /* wipes it */

struct azure_sas {
    const char *container;
    const char *blob;        /* not encoded */
    const char *permissions; /* in Azure's order: of "racwdxltmeop" */
    int64_t starts_s;        /* since 1970; 0: now, by Azure's clock */
    int64_t expires_s;
    bool is_https_only;
    const char *disposition; /* Content-Disposition of the answer; or NULL */
    const char *type;        /* Content-Type of the answer; or NULL */
};

/* Appends "sv=...&sig=...", to go behind a '?' or '&'. FAIL_LIMIT, FAIL_SYNTAX (a line's
 * end in a part). */
int azure_sas(const struct azure_key *key, const struct azure_sas *sas, struct buf *out);

struct azure_request {
    const char *method;
    struct str path; /* as it stands in the request line, encoded, without its query */
    const struct sign_field *params; /* not encoded; a name only once */
    size_t param_count;
    const struct sign_field *headers; /* all there are: x-ms-date and x-ms-version among them */
    size_t header_count;
    uint64_t length; /* of the body */
};

/* Appends "SharedKey ACCOUNT:SIGNATURE". FAIL_LIMIT. */
int azure_authorize(const struct azure_key *key, const struct azure_request *request,
                    struct buf *out);

#endif
