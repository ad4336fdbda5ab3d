#include <string.h>

#include <jansson.h>
#include <openssl/crypto.h>

#include "base/encode.h"
#include "base/err.h"
#include "proto/jwt_keys.h"

enum { JWKS_MAX = 256 * 1024, NUMBER_MAX = 4096 };

/* A member that is absent is fine; one that is there must say so. */
static bool says(const json_t *key, const char *name, const char *value)
{
    const json_t *member = json_object_get(key, name);

    return member == NULL ||
           (json_is_string(member) && strcmp(json_string_value(member), value) == 0);
}

static bool may_verify(const json_t *key)
{
    const json_t *operations = json_object_get(key, "key_ops"), *operation;
    size_t i;

    if (operations == NULL)
        return true;
    json_array_foreach(operations, i, operation) if (json_is_string(operation) &&
                                                     strcmp(json_string_value(operation),
                                                            "verify") == 0) return true;
    return false;
}

static bool is_of_kind(const json_t *key, const struct jwt_algorithm_info *info)
{
    static const char *const types[] = {
        [JWT_FAMILY_HMAC] = "oct",
        [JWT_FAMILY_RSA] = "RSA",
        [JWT_FAMILY_EC] = "EC",
    };

    if (json_object_get(key, "kty") == NULL || !says(key, "kty", types[info->family]))
        return false;
    if (info->family == JWT_FAMILY_EC && !says(key, "crv", "P-256"))
        return false;
    return says(key, "use", "sig") && says(key, "alg", info->name) && may_verify(key);
}

/* A member that is bytes in base64url; an empty str with at NULL if it is not. */
static struct str number(const json_t *key, const char *name, uint8_t out[NUMBER_MAX])
{
    const json_t *member = json_object_get(key, name);
    size_t len = json_string_length(member);

    if (!json_is_string(member) || len * 3 / 4 > NUMBER_MAX ||
        decode_base64url(json_string_value(member), len, out, &len) != OK)
        return (struct str){ 0 };
    return (struct str){ (char *)out, len };
}

static int add_key(struct jwt_keys *keys, const json_t *key, struct buf *why)
{
    const struct jwt_algorithm_info *info = jwt_algorithm_info(keys->algorithm);
    uint8_t first[NUMBER_MAX], second[NUMBER_MAX];
    const json_t *kid = json_object_get(key, "kid");
    const char *id = json_string_value(kid);
    int err;

    if (kid != NULL && id == NULL) {
        buf_puts(why, "a key's \"kid\" is not text");
        return FAIL_SYNTAX;
    }
    if (info->family == JWT_FAMILY_HMAC) {
        struct str k = number(key, "k", first);
        err = jwt_keys_add_secret(keys, k.at, k.len, id, why);
        OPENSSL_cleanse(first, sizeof(first));
    } else if (info->family == JWT_FAMILY_RSA) {
        err = jwt_keys_add_rsa(keys, number(key, "n", first), number(key, "e", second), id, why);
    } else {
        err = jwt_keys_add_p256(keys, number(key, "x", first), number(key, "y", second), id, why);
    }
    return err;
}

static int add_set(struct jwt_keys *keys, const json_t *set, struct buf *why)
{
    const struct jwt_algorithm_info *info = jwt_algorithm_info(keys->algorithm);
    const json_t *list = json_object_get(set, "keys"), *key;
    size_t i;

    if (!json_is_array(list)) {
        buf_puts(why, "this is no JWK set: an object with an array \"keys\"");
        return FAIL_SYNTAX;
    }
    json_array_foreach(list, i, key)
    {
        if (!is_of_kind(key, info))
            continue;
        if (keys->count == JWT_KEYS_MAX) {
            buf_printf(why, "the set has more than %d keys for %s", JWT_KEYS_MAX, info->name);
            return FAIL_LIMIT;
        }
        buf_reset(why); /* of several, the last reason is told */
        (void)add_key(keys, key, why);
    }
    if (keys->count > 0) {
        buf_reset(why);
        return OK;
    }
    if (why->len == 0)
        buf_printf(why, "the set has no key for %s", info->name);
    return FAIL_MISSING;
}

int jwt_keys_from_jwks(const struct jwt_settings *settings, const char *json, size_t len,
                       struct jwt_keys **out, struct buf *why)
{
    json_error_t error;

    if (len > JWKS_MAX) {
        buf_puts(why, "the key set is too long");
        return FAIL_LIMIT;
    }
    json_t *set = json_loadb(json, len, JSON_REJECT_DUPLICATES, &error);
    if (set == NULL) {
        buf_printf(why, "the key set is not JSON (line %d)", error.line);
        return FAIL_SYNTAX;
    }
    struct jwt_keys *keys = jwt_keys_new(settings);
    int err = add_set(keys, set, why);
    json_decref(set);
    return jwt_keys_finish(keys, err, out);
}
