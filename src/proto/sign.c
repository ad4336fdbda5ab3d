#include "proto/sign.h"

#include <strings.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/encode.h"

void sign_sha256(struct str bytes, uint8_t out[SIGN_SIZE])
{
    EVP_Digest(bytes.at != NULL ? bytes.at : "", bytes.len, out, NULL, EVP_sha256(), NULL);
}

void sign_sha256_hex(struct str bytes, char out[SIGN_HEX_SIZE])
{
    uint8_t digest[SIGN_SIZE];

    sign_sha256(bytes, digest);
    encode_hex(digest, sizeof(digest), out);
}

void sign_hmac(const void *key, size_t key_len, struct str bytes, uint8_t out[SIGN_SIZE])
{
    HMAC(EVP_sha256(), key, (int)key_len, (const uint8_t *)(bytes.at != NULL ? bytes.at : ""),
         bytes.len, out, NULL);
}

static bool is_unreserved(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

/* Where a byte stands in the order of encoded text: what begins with '%' comes before
 * everything unreserved, and hex digits keep the order of bytes. */
static int rank(const char *at)
{
    unsigned char c = (unsigned char)*at;

    return c == '\0' ? -1 : is_unreserved(c) ? 256 + c : c;
}

static int compare_encoded(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return rank(a) - rank(b);
}

static int by_encoded(const struct sign_field *a, const struct sign_field *b)
{
    int names = compare_encoded(a->name, b->name);

    return names != 0 ? names : compare_encoded(a->value ? a->value : "", b->value ? b->value : "");
}

static int by_name(const struct sign_field *a, const struct sign_field *b)
{
    return strcasecmp(a->name, b->name);
}

/* By insertion: there are few, and it is stable. */
static void order(const struct sign_field *fields, size_t count,
                  int (*compare)(const struct sign_field *, const struct sign_field *), size_t *out)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = i;
        for (; at > 0 && compare(&fields[out[at - 1]], &fields[i]) > 0; at--)
            out[at] = out[at - 1];
        out[at] = i;
    }
}

void sign_order_encoded(const struct sign_field *fields, size_t count, size_t *out)
{
    order(fields, count, by_encoded, out);
}

void sign_order_names(const struct sign_field *fields, size_t count, size_t *out)
{
    order(fields, count, by_name, out);
}

void sign_put_lower(const char *name, struct buf *out)
{
    for (; *name != '\0'; name++)
        buf_putc(out, *name >= 'A' && *name <= 'Z' ? (char)(*name + ('a' - 'A')) : *name);
}

void sign_put_trimmed(const char *value, struct buf *out)
{
    struct str rest = str_trim(str_of(value));

    for (size_t i = 0; i < rest.len; i++) {
        bool is_blank = rest.at[i] == ' ' || rest.at[i] == '\t';
        bool was_blank = i > 0 && (rest.at[i - 1] == ' ' || rest.at[i - 1] == '\t');
        if (!is_blank)
            buf_putc(out, rest.at[i]);
        else if (!was_blank)
            buf_putc(out, ' ');
    }
}

void sign_basic_date(int64_t now_s, char out[SIGN_BASIC_SIZE])
{
    time_t now = (time_t)now_s;
    struct tm tm;

    gmtime_r(&now, &tm);
    if (strftime(out, SIGN_BASIC_SIZE, "%Y%m%dT%H%M%SZ", &tm) == 0)
        out[0] = '\0';
}
