/* Tokens, good and bad, for the tests of proto/jwt: signed with OpenSSL alone, so
 * that what verifies them is not also what made them. What returns a text gives
 * it to the caller (mem_free). */
#ifndef UNIT_PROTO_TOKENS_H
#define UNIT_PROTO_TOKENS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/evp.h>

#include "base/buf.h"
#include "proto/jwt.h"

enum { TEXT_MAX = 64 * 1024, SECRET_LEN = 48 };

extern const char secret[];
extern const int64_t now_ms;

/* Made by make_keys, a group's set-up. */
extern EVP_PKEY *rsa, *other_rsa, *small_rsa, *p256, *other_p256, *p384;

#define HS256_HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define RS256_HEADER "{\"alg\":\"RS256\",\"typ\":\"JWT\"}"
#define ES256_HEADER "{\"alg\":\"ES256\",\"typ\":\"JWT\"}"

enum form { PUBLIC, PUBLIC_PKCS1, PRIVATE, ENCRYPTED, CERTIFICATE };

void put_base64url(struct buf *out, const void *bytes, size_t len);
void put_signing_input(struct buf *out, const char *header, const char *payload);
char *with_signature(struct buf *input, const void *signature, size_t len);
char *hmac_token_with(const EVP_MD *digest, const void *key, size_t key_len, const char *header,
                      const char *payload);
char *hmac_token(const char *header, const char *payload);
size_t pkey_sign(EVP_PKEY *key, const EVP_MD *digest, int padding, const struct buf *input,
                 uint8_t out[1024]);
char *rsa_token(EVP_PKEY *key, const EVP_MD *digest, int padding, const char *header,
                const char *payload);
/* r || s of `half` bytes each. */
void ec_sign(EVP_PKEY *key, const struct buf *input, uint8_t *out, int half);
char *ec_token(EVP_PKEY *key, int half, const char *header, const char *payload);
struct jwt_keys *keys_of_secret_with(const struct jwt_settings *settings, const void *bytes,
                                     size_t len);
struct jwt_keys *keys_of_secret(const struct jwt_settings *settings);
char *pem_of(EVP_PKEY *key, enum form form);
int pem_keys(enum jwt_algorithm algorithm, EVP_PKEY *key, enum form form, struct jwt_keys **out,
             struct buf *why);
struct jwt_keys *keys_of_pem(enum jwt_algorithm algorithm, EVP_PKEY *key, enum form form);
void expect_at(const struct jwt_keys *keys, const char *token, int64_t at, int expected);
void expect(const struct jwt_keys *keys, char *token, int expected);
/* Replaces the signature, or (at 0, 1) another part, by a text. */
char *with_part(const char *token, int which, const char *text);
char *with_raw_signature(const char *token, const void *bytes, size_t len);
int make_keys(void **state);
int free_keys(void **state);

#endif
