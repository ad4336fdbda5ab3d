#include "io/fetch_md5.h"

#include <openssl/evp.h>

#include "base/mem.h"

struct md5 {
    EVP_MD_CTX *context;
    uint8_t digest[EVP_MAX_MD_SIZE];
};

struct md5 *md5_new(void)
{
    struct md5 *m = mem_new(struct md5);

    m->context = EVP_MD_CTX_new();
    if (m->context != NULL && EVP_DigestInit_ex(m->context, EVP_md5(), NULL) == 1)
        return m;
    md5_free(m);
    return NULL;
}

void md5_restart(struct md5 *m)
{
    if (m != NULL)
        EVP_DigestInit_ex(m->context, EVP_md5(), NULL);
}

void md5_add(struct md5 *m, const void *bytes, size_t len)
{
    if (m != NULL)
        EVP_DigestUpdate(m->context, bytes, len);
}

const uint8_t *md5_end(struct md5 *m)
{
    if (m == NULL || EVP_DigestFinal_ex(m->context, m->digest, NULL) != 1)
        return NULL;
    return m->digest;
}

void md5_free(struct md5 *m)
{
    if (m == NULL)
        return;
    EVP_MD_CTX_free(m->context);
    mem_free(m);
}
