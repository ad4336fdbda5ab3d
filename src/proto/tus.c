#include "proto/tus.h"

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"

/* Upload-Metadata */

/* The protocol: ASCII, neither spaces nor commas. */
bool tus_key_is_valid(struct str key)
{
    for (size_t i = 0; i < key.len; i++)
        if (key.at[i] <= ' ' || key.at[i] > '~' || key.at[i] == ',')
            return false;
    return key.len > 0;
}

/* One pair, and what its value is in Base64. */
static int next_pair(struct str *rest, struct str *key, struct str *encoded)
{
    struct str pair = str_trim(str_cut(rest, ','));

    *key = str_cut(&pair, ' ');
    *encoded = str_trim(pair);
    return tus_key_is_valid(*key) ? OK : FAIL_SYNTAX;
}

static bool was_before(struct str text, struct str key)
{
    struct str rest = { text.at, (size_t)(key.at - text.at) }, earlier, value;

    while (rest.at != NULL && rest.len > 0)
        if (next_pair(&rest, &earlier, &value) == OK && str_equal(earlier, key))
            return true;
    return false;
}

static int give_pair(struct str key, struct str encoded,
                     int (*each)(void *context, struct str key, struct str value), void *context)
{
    char *value = mem_alloc(encoded.len + 1);
    size_t len = 0;
    int err = encoded.len > 0 ? decode_base64(encoded.at, encoded.len, value, &len) : OK;

    if (err == OK)
        err = each(context, key, (struct str){ value, len });
    mem_free(value);
    return err;
}

int tus_metadata_each(struct str text, int (*each)(void *context, struct str key, struct str value),
                      void *context)
{
    struct str rest = text, key, encoded;
    unsigned count = 0;
    int err = OK;

    if (str_trim(text).len == 0)
        return OK;
    while (err == OK && rest.at != NULL) {
        err = next_pair(&rest, &key, &encoded);
        if (err == OK && ++count > TUS_PAIRS_MAX)
            err = FAIL_LIMIT;
        if (err == OK && was_before(text, key))
            err = FAIL_SYNTAX;
        if (err == OK)
            err = give_pair(key, encoded, each, context);
    }
    return err;
}

struct wanted {
    const char *key;
    struct buf *out;
    bool is_found;
};

static int take_wanted(void *context, struct str key, struct str value)
{
    struct wanted *w = context;

    if (!str_equal(key, str_of(w->key)))
        return OK;
    w->is_found = true;
    return buf_append(w->out, value.at, value.len) ? OK : FAIL_LIMIT;
}

int tus_metadata_get(struct str text, const char *key, struct buf *out)
{
    struct wanted w = { .key = key, .out = out };
    int err = tus_metadata_each(text, take_wanted, &w);

    return err == OK && !w.is_found ? FAIL_MISSING : err;
}

/* Upload-Concat */

int tus_concat_parse(struct str text, struct tus_concat *out)
{
    struct str rest = str_trim(text);
    struct str kind = str_trim(str_cut(&rest, ';'));
    struct tus_concat concat = { 0 };

    if (str_equal(kind, STR("partial")) && rest.at == NULL) {
        *out = concat;
        return OK;
    }
    if (!str_equal(kind, STR("final")))
        return FAIL_SYNTAX;
    while (rest.at != NULL) {
        struct str url = str_trim(str_cut(&rest, ' '));
        if (url.len == 0)
            continue;
        if (concat.count == TUS_PARTIALS_MAX)
            return FAIL_LIMIT;
        concat.urls[concat.count++] = url;
    }
    if (concat.count == 0)
        return FAIL_SYNTAX;
    *out = concat;
    return OK;
}

struct str tus_url_id(struct str url)
{
    struct str rest = url, path = str_cut(&rest, '?');

    while (path.len > 0 && path.at[path.len - 1] == '/')
        path.len--;
    size_t from = path.len;
    while (from > 0 && path.at[from - 1] != '/')
        from--;
    return (struct str){ path.at + from, path.len - from };
}

/* Upload-Checksum */

static const struct {
    const char *name;
    size_t len;
} algorithms[] = { { "sha1", 20 }, { "sha256", 32 }, { "sha512", 64 }, { "md5", 16 } };

int tus_checksum_parse(struct str text, struct tus_checksum *out)
{
    struct str encoded = str_trim(text);
    struct str name = str_cut(&encoded, ' ');
    uint8_t digest[TUS_DIGEST_MAX + 2]; /* as many as the longest text decodes to */
    size_t len;

    encoded = str_trim(encoded);
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(*algorithms); i++) {
        if (!str_equal(name, str_of(algorithms[i].name)))
            continue;
        if (encoded.len / 4 * 3 > sizeof(digest) ||
            decode_base64(encoded.at, encoded.len, digest, &len) != OK || len == 0)
            return FAIL_SYNTAX;
        if (len != algorithms[i].len)
            return FAIL_STATE;
        *out = (struct tus_checksum){ .algorithm = algorithms[i].name, .len = len };
        memcpy(out->digest, digest, len);
        return OK;
    }
    return name.len > 0 ? FAIL_UNSUPPORTED : FAIL_SYNTAX;
}

struct tus_sum {
    EVP_MD_CTX *context;
    bool failed;
};

struct tus_sum *tus_sum_new(const char *algorithm)
{
    struct tus_sum *s = mem_new(struct tus_sum);

    s->context = EVP_MD_CTX_new();
    s->failed = s->context == NULL ||
                EVP_DigestInit_ex(s->context, EVP_get_digestbyname(algorithm), NULL) != 1;
    return s;
}

void tus_sum_add(struct tus_sum *s, const void *bytes, size_t len)
{
    if (!s->failed)
        s->failed = EVP_DigestUpdate(s->context, bytes, len) != 1;
}

bool tus_sum_matches(struct tus_sum *s, const struct tus_checksum *said)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len;

    if (s->failed || EVP_DigestFinal_ex(s->context, digest, &len) != 1)
        return false;
    s->failed = true;
    return len == said->len && CRYPTO_memcmp(digest, said->digest, len) == 0;
}

void tus_sum_free(struct tus_sum *s)
{
    if (s == NULL)
        return;
    EVP_MD_CTX_free(s->context);
    mem_free(s);
}

void tus_mark(struct str text, char out[TUS_MARK_SIZE])
{
    uint8_t digest[SHA256_DIGEST_LENGTH];

    SHA256((const uint8_t *)text.at, text.len, digest);
    encode_hex(digest, (TUS_MARK_SIZE - 1) / 2, out);
}
