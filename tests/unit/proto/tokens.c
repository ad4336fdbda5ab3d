#include "tokens.h"

#include <string.h>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/encoder.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"

const char secret[] = "a secret of forty-eight bytes, neither more nor.";
const int64_t now_ms = 1700000000000;

EVP_PKEY *rsa, *other_rsa, *small_rsa, *p256, *other_p256, *p384;

void put_base64url(struct buf *out, const void *bytes, size_t len)
{
    char *text = mem_alloc(ENCODE_BASE64URL_SIZE(len));

    encode_base64url(bytes, len, text);
    buf_puts(out, text);
    mem_free(text);
}

void put_signing_input(struct buf *out, const char *header, const char *payload)
{
    buf_init(out, TEXT_MAX);
    put_base64url(out, header, strlen(header));
    buf_putc(out, '.');
    put_base64url(out, payload, strlen(payload));
}

char *with_signature(struct buf *input, const void *signature, size_t len)
{
    buf_putc(input, '.');
    put_base64url(input, signature, len);
    assert_false(input->failed);
    return buf_take(input);
}

char *hmac_token_with(const EVP_MD *digest, const void *key, size_t key_len, const char *header,
                      const char *payload)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    struct buf input;

    put_signing_input(&input, header, payload);
    assert_non_null(
        HMAC(digest, key, (int)key_len, (uint8_t *)input.data, input.len, mac, &mac_len));
    return with_signature(&input, mac, mac_len);
}

char *hmac_token(const char *header, const char *payload)
{
    return hmac_token_with(EVP_sha256(), secret, SECRET_LEN, header, payload);
}

size_t pkey_sign(EVP_PKEY *key, const EVP_MD *digest, int padding, const struct buf *input,
                 uint8_t out[1024])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *settings;
    size_t len = 1024;

    assert_int_equal(EVP_DigestSignInit(context, &settings, digest, NULL, key), 1);
    if (padding)
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(settings, padding), 1);
    assert_int_equal(EVP_DigestSign(context, out, &len, (uint8_t *)input->data, input->len), 1);
    EVP_MD_CTX_free(context);
    return len;
}

char *rsa_token(EVP_PKEY *key, const EVP_MD *digest, int padding, const char *header,
                const char *payload)
{
    uint8_t signature[1024];
    struct buf input;

    put_signing_input(&input, header, payload);
    size_t len = pkey_sign(key, digest, padding, &input, signature);
    return with_signature(&input, signature, len);
}

void ec_sign(EVP_PKEY *key, const struct buf *input, uint8_t *out, int half)
{
    uint8_t der[1024];
    const uint8_t *at = der;

    size_t len = pkey_sign(key, EVP_sha256(), 0, input, der);
    ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &at, (long)len);
    assert_non_null(signature);
    BN_bn2binpad(ECDSA_SIG_get0_r(signature), out, half);
    BN_bn2binpad(ECDSA_SIG_get0_s(signature), out + half, half);
    ECDSA_SIG_free(signature);
}

char *ec_token(EVP_PKEY *key, int half, const char *header, const char *payload)
{
    uint8_t signature[256];
    struct buf input;

    put_signing_input(&input, header, payload);
    ec_sign(key, &input, signature, half);
    return with_signature(&input, signature, 2 * (size_t)half);
}

struct jwt_keys *keys_of_secret_with(const struct jwt_settings *settings, const void *bytes,
                                     size_t len)
{
    struct jwt_keys *keys = NULL;
    struct buf why;

    buf_init(&why, 256);
    assert_int_equal(jwt_keys_from_secret(settings, bytes, len, &keys, &why), OK);
    assert_int_equal(why.len, 0);
    buf_deinit(&why);
    return keys;
}

struct jwt_keys *keys_of_secret(const struct jwt_settings *settings)
{
    return keys_of_secret_with(settings, secret, SECRET_LEN);
}

static X509 *certificate_of(EVP_PKEY *key)
{
    X509 *certificate = X509_new();

    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    return certificate;
}

char *pem_of(EVP_PKEY *key, enum form form)
{
    BIO *out = BIO_new(BIO_s_mem());
    char *bytes;

    if (form == PUBLIC)
        PEM_write_bio_PUBKEY(out, key);
    if (form == PUBLIC_PKCS1) {
        OSSL_ENCODER_CTX *encoder =
            OSSL_ENCODER_CTX_new_for_pkey(key, EVP_PKEY_PUBLIC_KEY, "PEM", "pkcs1", NULL);
        OSSL_ENCODER_to_bio(encoder, out);
        OSSL_ENCODER_CTX_free(encoder);
    }
    if (form == PRIVATE)
        PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL);
    if (form == ENCRYPTED)
        PEM_write_bio_PrivateKey(out, key, EVP_aes_128_cbc(), (uint8_t *)"word", 4, NULL, NULL);
    if (form == CERTIFICATE) {
        X509 *certificate = certificate_of(key);
        PEM_write_bio_X509(out, certificate);
        X509_free(certificate);
    }
    long len = BIO_get_mem_data(out, &bytes);
    assert_true(len > 0);
    char *pem = mem_strndup(bytes, (size_t)len);
    BIO_free(out);
    return pem;
}

int pem_keys(enum jwt_algorithm algorithm, EVP_PKEY *key, enum form form, struct jwt_keys **out,
             struct buf *why)
{
    struct jwt_settings settings = { .algorithm = algorithm };
    char *pem = pem_of(key, form);

    int err = jwt_keys_from_pem(&settings, pem, strlen(pem), out, why);
    mem_free(pem);
    assert_int_equal(ERR_peek_error(), 0);
    return err;
}

struct jwt_keys *keys_of_pem(enum jwt_algorithm algorithm, EVP_PKEY *key, enum form form)
{
    struct jwt_keys *keys = NULL;
    struct buf why;

    buf_init(&why, 256);
    assert_int_equal(pem_keys(algorithm, key, form, &keys, &why), OK);
    buf_deinit(&why);
    return keys;
}

void expect_at(const struct jwt_keys *keys, const char *token, int64_t at, int expected)
{
    struct jwt_claims claims, before;

    memset(&claims, 0x5a, sizeof(claims));
    before = claims;
    int got = jwt_verify(keys, str_of(token), at, &claims);
    if (got != expected)
        fail_msg("%s instead of %s for %s", fail_name(got), fail_name(expected), token);
    if (got != OK)
        assert_memory_equal(&claims, &before, sizeof(claims));
    assert_int_equal(ERR_peek_error(), 0);
}

void expect(const struct jwt_keys *keys, char *token, int expected)
{
    expect_at(keys, token, now_ms, expected);
    mem_free(token);
}

char *with_part(const char *token, int which, const char *text)
{
    struct str rest = str_of(token);
    struct buf out;

    buf_init(&out, TEXT_MAX);
    for (int i = 0; i < 3; i++) {
        struct str part = str_cut(&rest, '.');
        if (i > 0)
            buf_putc(&out, '.');
        if (i == which)
            buf_puts(&out, text);
        else
            buf_append(&out, part.at, part.len);
    }
    return buf_take(&out);
}

char *with_raw_signature(const char *token, const void *bytes, size_t len)
{
    struct buf text;

    buf_init(&text, TEXT_MAX);
    put_base64url(&text, bytes, len);
    char *made = with_part(token, 2, buf_text(&text));
    buf_deinit(&text);
    return made;
}

int make_keys(void **state)
{
    (void)state;
    rsa = EVP_RSA_gen(2048);
    other_rsa = EVP_RSA_gen(2048);
    small_rsa = EVP_RSA_gen(1024);
    p256 = EVP_EC_gen("P-256");
    other_p256 = EVP_EC_gen("P-256");
    p384 = EVP_EC_gen("P-384");
    return rsa && other_rsa && small_rsa && p256 && other_p256 && p384 ? 0 : -1;
}

int free_keys(void **state)
{
    (void)state;
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(other_rsa);
    EVP_PKEY_free(small_rsa);
    EVP_PKEY_free(p256);
    EVP_PKEY_free(other_p256);
    EVP_PKEY_free(p384);
    return 0;
}
