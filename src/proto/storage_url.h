/* Where bytes lie, read from a URL, and the credentials for it:
 *
 *   file:///FOLDER
 *   s3://[KEY:SECRET@]BUCKET[/PREFIX][?endpoint=URL&region=R&style=path|virtual]
 *   r2://[KEY:SECRET@]ACCOUNT/BUCKET[/PREFIX]
 *   gs://[KEY:SECRET@]BUCKET[/PREFIX]                  with HMAC keys
 *   azure://[:KEY@]ACCOUNT/CONTAINER[/PREFIX][?endpoint=URL]
 *
 * What is reserved in a URL (a secret's '/' and '+' among it) is percent-encoded. What
 * the URL does not say comes from the environment: AWS_ACCESS_KEY_ID,
 * AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION or AWS_DEFAULT_REGION,
 * AWS_ENDPOINT_URL (regions and endpoint for s3:// alone), AZURE_STORAGE_KEY,
 * AZURE_STORAGE_SAS_TOKEN. Pure. */
#ifndef PROTO_STORAGE_URL_H
#define PROTO_STORAGE_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

enum storage_kind { STORAGE_FILE, STORAGE_S3, STORAGE_AZURE };

struct storage_url {
    enum storage_kind kind;
    const char *scheme;   /* "file", "s3", "r2", "gs", "azure"; static */
    const char *provider; /* "disk", "s3", "gcs", "azure"; static */
    char *folder;         /* of a file URL: absolute, no slash at its end; else NULL */
    char *bucket;         /* or container; NULL for a file URL */
    char *prefix;         /* "" or "folder/", never a slash at its begin */
    bool is_https;
    bool is_path_style; /* s3, r2, gs */
    char *host;         /* of the endpoint as it is spelled in URLs: IPv6 in brackets */
    uint16_t port;      /* 0: the scheme's own */
    char *authority;    /* for Host and URLs: with the bucket if not is_path_style, with the port
                         * unless it is the scheme's own */
    char *root;         /* what an object's path begins with, not encoded: the endpoint's own
                         * path, then "/BUCKET" if is_path_style or azure. "" or "/...", no
                         * slash at its end; then come '/', prefix, key */
    char *region;       /* "" for azure */
    char *account;      /* r2, azure; else NULL */
    char *key_id;       /* s3, r2, gs: NULL if there are no credentials */
    char *secret;       /* s3, r2, gs: the secret; azure: the account's key, base64; or NULL */
    char *session;      /* of temporary credentials; or NULL */
    char *sas_token;    /* azure: "sv=...&sig=...", without '?'; or NULL */
};

/* An environment variable's value, or NULL. */
typedef const char *storage_url_getter(void *context, const char *name);

/* FAIL_SYNTAX, or FAIL_DENIED where no credentials are found; `why` is a clause that names
 * what is wrong ("its bucket ...") and never has a secret. `get` may be NULL: no
 * environment. */
int storage_url_parse(const char *text, storage_url_getter *get, void *context,
                      struct storage_url *out, struct buf *why);

/* Wipes the secrets. */
void storage_url_deinit(struct storage_url *url);

/* For logs: "s3://bucket/prefix/ at https://host", never a secret. */
void storage_url_describe(const struct storage_url *url, struct buf *out);

#endif
