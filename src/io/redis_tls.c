#include "io/redis_tls.h"

#include <arpa/inet.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

/* What Redis may make TLS say while it takes nothing; a write of ours is besides. */
enum { UNSAID_MAX = 64 * 1024 };

/* tls_trust is an SSL_CTX by another name: the library's types end here. */

struct tls {
    SSL *ssl; /* owns both */
    BIO *from_network, *to_network;
};

static const char *reason(void)
{
    unsigned long code = ERR_peek_last_error();
    const char *text = code != 0 ? ERR_reason_error_string(code) : NULL;

    return text != NULL ? text : "unknown reason";
}

static int fail(struct buf *why, int err, const char *what)
{
    buf_printf(why, "%s: %s", what, reason());
    ERR_clear_error();
    return err;
}

/* A key with a password is refused; OpenSSL would ask at the terminal. */
static int no_password(char *text, int size, int is_writing, void *context)
{
    (void)text;
    (void)size;
    (void)is_writing;
    (void)context;
    return -1;
}

static int load_files(SSL_CTX *ctx, const struct redis_settings *s, struct buf *why)
{
    const char *cert = s->cert_file, *key = s->key_file != NULL ? s->key_file : s->cert_file;

    ERR_clear_error();
    if (s->ca_file != NULL && SSL_CTX_load_verify_file(ctx, s->ca_file) != 1)
        return fail(why, FAIL_IO, s->ca_file);
    if (s->ca_file == NULL && SSL_CTX_set_default_verify_paths(ctx) != 1)
        return fail(why, FAIL_IO, "the system's certificates");
    if (cert != NULL && SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
        return fail(why, FAIL_IO, cert);
    if (cert != NULL && SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        return fail(why, FAIL_IO, key);
    return OK;
}

int tls_trust_load(const struct redis_settings *settings, struct tls_trust **out, struct buf *why)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    int err;

    if (ctx == NULL)
        abort(); /* out of memory, as any small allocation */
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_default_passwd_cb(ctx, no_password);
    err = load_files(ctx, settings, why);
    if (err == OK)
        *out = (struct tls_trust *)ctx;
    else
        SSL_CTX_free(ctx);
    return err;
}

void tls_trust_free(struct tls_trust *trust)
{
    SSL_CTX_free((SSL_CTX *)trust);
}

/* RFC 6066, 3: no SNI for an address. RFC 2818, 3.1: an address is compared with
 * the certificate's addresses, a name with its names. */
static int expect_host(SSL *ssl, const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];

    if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host);
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set_tlsext_host_name(ssl, host) == 1 ? SSL_set1_host(ssl, host) : 0;
}

struct tls *tls_new(struct tls_trust *trust, const char *host)
{
    struct tls *t = mem_new(struct tls);

    t->ssl = SSL_new((SSL_CTX *)trust);
    t->from_network = BIO_new(BIO_s_mem());
    t->to_network = BIO_new(BIO_s_mem());
    if (t->ssl == NULL || t->from_network == NULL || t->to_network == NULL ||
        expect_host(t->ssl, host) != 1)
        abort(); /* out of memory */
    SSL_set_bio(t->ssl, t->from_network, t->to_network);
    SSL_set_connect_state(t->ssl);
    return t;
}

void tls_free(struct tls *t)
{
    if (t == NULL)
        return;
    SSL_free(t->ssl);
    mem_free(t);
}

static bool wants_more(const struct tls *t, int result)
{
    int what = SSL_get_error(t->ssl, result);

    return what == SSL_ERROR_WANT_READ || what == SSL_ERROR_WANT_WRITE;
}

int tls_shake_hands(struct tls *t, bool *is_done, struct buf *why)
{
    int result;
    long verdict;

    ERR_clear_error();
    result = SSL_do_handshake(t->ssl);
    *is_done = result == 1;
    if (result == 1 || wants_more(t, result))
        return OK;
    verdict = SSL_get_verify_result(t->ssl);
    if (verdict == X509_V_OK)
        return fail(why, FAIL_DENIED, "no TLS with it");
    buf_printf(why, "its certificate is not trusted: %s", X509_verify_cert_error_string(verdict));
    ERR_clear_error();
    return FAIL_DENIED;
}

int tls_take(struct tls *t, const char *bytes, size_t len)
{
    if (BIO_pending(t->to_network) > UNSAID_MAX)
        return FAIL_LIMIT;
    if (len > INT_MAX || BIO_write(t->from_network, bytes, (int)len) != (int)len)
        return FAIL_NOMEM;
    return OK;
}

int tls_read(struct tls *t, char *bytes, size_t len, size_t *used, struct buf *why)
{
    int result;

    ERR_clear_error();
    *used = 0;
    result = SSL_read_ex(t->ssl, bytes, len, used);
    if (result == 1 || wants_more(t, result))
        return OK;
    if (SSL_get_error(t->ssl, result) != SSL_ERROR_ZERO_RETURN)
        return fail(why, FAIL_DENIED, "TLS");
    buf_puts(why, "Redis closed the connection");
    return FAIL_CLOSED;
}

int tls_write(struct tls *t, const char *bytes, size_t len, struct buf *why)
{
    size_t written = 0;

    ERR_clear_error();
    if (SSL_write_ex(t->ssl, bytes, len, &written) == 1 && written == len)
        return OK;
    return fail(why, FAIL_IO, "TLS");
}

void tls_give(struct tls *t, struct buf *out)
{
    char *bytes = NULL;
    long len = BIO_get_mem_data(t->to_network, &bytes);

    if (len > 0)
        buf_append(out, bytes, (size_t)len);
    (void)BIO_reset(t->to_network);
}
