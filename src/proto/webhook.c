#include "proto/webhook.h"

#include <inttypes.h>
#include <string.h>

#include "base/encode.h"
#include "base/err.h"
#include "proto/sign.h"

enum { SIGNED_MAX = 1 << 20 };

static int fail(struct buf *why, int err, const char *text)
{
    buf_puts(why, text);
    return err;
}

static int read_secret(struct str text, struct webhook_secrets *s, struct buf *why)
{
    uint8_t *out;
    size_t len = text.len;
    int err = OK;

    if (s->count == WEBHOOK_SECRETS_MAX)
        return fail(why, FAIL_LIMIT, "there are more than 8");
    if (text.len > WEBHOOK_SECRET_MAX)
        return fail(why, FAIL_LIMIT, "one is longer than 256 bytes");
    out = s->bytes[s->count];
    if (str_starts(text, STR("whsec_")))
        err = decode_base64(text.at + 6, text.len - 6, out, &len);
    else
        memcpy(out, text.at, text.len);
    if (err != OK || len == 0)
        return fail(why, FAIL_SYNTAX, "what follows whsec_ is no base64");
    s->len[s->count++] = len;
    return OK;
}

int webhook_secrets_read(const char *text, struct webhook_secrets *out, struct buf *why)
{
    struct webhook_secrets read = { .count = 0 };
    struct str rest = str_of(text);
    int err = OK;

    while (err == OK && rest.len > 0) {
        struct str secret = str_trim(str_cut(&rest, ' '));
        if (secret.len > 0)
            err = read_secret(secret, &read, why);
    }
    if (err == OK && read.count == 0)
        err = fail(why, FAIL_SYNTAX, "it is empty");
    if (err == OK)
        *out = read;
    webhook_secrets_wipe(&read);
    return err;
}

void webhook_secrets_wipe(struct webhook_secrets *secrets)
{
    explicit_bzero(secrets, sizeof(*secrets));
}

int webhook_sign(const struct webhook_secrets *secrets, const char *id, int64_t timestamp_s,
                 struct str body, struct buf *out)
{
    char encoded[ENCODE_BASE64_SIZE(SIGN_SIZE)];
    uint8_t mac[SIGN_SIZE];
    struct buf text;

    buf_init(&text, SIGNED_MAX);
    buf_printf(&text, "%s.%" PRId64 ".", id, timestamp_s);
    buf_append(&text, body.at, body.len);
    for (size_t i = 0; i < secrets->count && !text.failed; i++) {
        sign_hmac(secrets->bytes[i], secrets->len[i], buf_str(&text), mac);
        encode_base64(mac, sizeof(mac), encoded);
        buf_printf(out, "%sv1,%s", i > 0 ? " " : "", encoded);
    }
    int err = text.failed || out->failed ? FAIL_LIMIT : OK;
    buf_deinit(&text);
    return err;
}
