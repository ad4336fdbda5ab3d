#include <string.h>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/err.h"
#include "proto/jwt_keys.h"

enum { PEM_MAX = 64 * 1024 };

/* A big-endian number of the key, at most `max` bytes; 0 if there is none. */
static size_t key_number(const EVP_PKEY *key, const char *name, uint8_t *out, size_t max)
{
    BIGNUM *number = NULL;
    size_t len = 0;

    if (EVP_PKEY_get_bn_param(key, name, &number) == 1 && BN_num_bytes(number) <= (int)max)
        len = (size_t)BN_bn2bin(number, out);
    BN_clear_free(number);
    return len;
}

static int add_rsa_pkey(struct jwt_keys *keys, const EVP_PKEY *key, struct buf *why)
{
    uint8_t n[JWT_RSA_BYTES_MAX], e[JWT_RSA_EXPONENT_MAX];
    size_t n_len = key_number(key, OSSL_PKEY_PARAM_RSA_N, n, sizeof(n));
    size_t e_len = key_number(key, OSSL_PKEY_PARAM_RSA_E, e, sizeof(e));

    return jwt_keys_add_rsa(keys, (struct str){ (char *)n, n_len },
                            (struct str){ (char *)e, e_len }, NULL, why);
}

static int add_ec_pkey(struct jwt_keys *keys, const EVP_PKEY *key, struct buf *why)
{
    uint8_t x[JWT_P256_BYTES] = { 0 }, y[JWT_P256_BYTES] = { 0 };
    uint8_t number[JWT_P256_BYTES];
    char curve[64] = "";

    if (EVP_PKEY_get_group_name(key, curve, sizeof(curve), NULL) != 1 ||
        strcmp(curve, "prime256v1") != 0) {
        buf_puts(why, "ES256 needs a key on the curve P-256");
        return FAIL_UNSUPPORTED;
    }
    /* Coordinates are as long as the field, whatever their leading zeros. */
    size_t len = key_number(key, OSSL_PKEY_PARAM_EC_PUB_X, number, sizeof(number));
    memcpy(x + JWT_P256_BYTES - len, number, len);
    len = key_number(key, OSSL_PKEY_PARAM_EC_PUB_Y, number, sizeof(number));
    memcpy(y + JWT_P256_BYTES - len, number, len);
    return jwt_keys_add_p256(keys, (struct str){ (char *)x, sizeof(x) },
                             (struct str){ (char *)y, sizeof(y) }, NULL, why);
}

/* Without one OpenSSL would ask on the terminal. */
static int no_passphrase(char *out, int size, int is_writing, void *context)
{
    (void)out, (void)size, (void)is_writing, (void)context;
    return -1;
}

static EVP_PKEY *pkey_of_certificate(const char *pem, size_t len)
{
    BIO *in = BIO_new_mem_buf(pem, (int)len);
    X509 *certificate = PEM_read_bio_X509(in, NULL, no_passphrase, NULL);
    EVP_PKEY *key = certificate ? X509_get_pubkey(certificate) : NULL;

    X509_free(certificate);
    BIO_free(in);
    return key;
}

static EVP_PKEY *pkey_of_pem(const char *pem, size_t len)
{
    const unsigned char *at = (const unsigned char *)pem;
    EVP_PKEY *key = NULL;

    OSSL_DECODER_CTX *decoder =
        OSSL_DECODER_CTX_new_for_pkey(&key, "PEM", NULL, NULL, 0, NULL, NULL);
    if (decoder != NULL) {
        OSSL_DECODER_CTX_set_pem_password_cb(decoder, no_passphrase, NULL);
        OSSL_DECODER_from_data(decoder, &at, &len);
        OSSL_DECODER_CTX_free(decoder);
    }
    return key;
}

int jwt_keys_from_pem(const struct jwt_settings *settings, const char *pem, size_t len,
                      struct jwt_keys **out, struct buf *why)
{
    const struct jwt_algorithm_info *info = jwt_algorithm_info(settings->algorithm);
    int err;

    if (!jwt_needs(settings, false, why))
        return FAIL_UNSUPPORTED;
    if (len > PEM_MAX) {
        buf_puts(why, "the key's file is too long");
        return FAIL_LIMIT;
    }
    EVP_PKEY *key = pkey_of_pem(pem, len);
    if (key == NULL)
        key = pkey_of_certificate(pem, len);
    ERR_clear_error();
    if (key == NULL) {
        buf_puts(why, "there is no key in PEM form, or it is encrypted");
        return FAIL_SYNTAX;
    }
    struct jwt_keys *keys = jwt_keys_new(settings);
    if (EVP_PKEY_is_a(key, "RSA") && info->family == JWT_FAMILY_RSA) {
        err = add_rsa_pkey(keys, key, why);
    } else if (EVP_PKEY_is_a(key, "EC") && info->family == JWT_FAMILY_EC) {
        err = add_ec_pkey(keys, key, why);
    } else {
        buf_printf(why, "%s needs an %s key, this is another kind", info->name,
                   info->family == JWT_FAMILY_RSA ? "RSA" : "EC");
        err = FAIL_UNSUPPORTED;
    }
    EVP_PKEY_free(key);
    ERR_clear_error();
    return jwt_keys_finish(keys, err, out);
}
