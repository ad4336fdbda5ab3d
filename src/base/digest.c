#include "base/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"

enum { BLOCK = 128 * 1024 };

static int feed(EVP_MD_CTX *md, int fd, uint64_t size, const atomic_bool *stop, char *block)
{
    for (uint64_t done = 0; done < size;) {
        if (stop != NULL && atomic_load(stop))
            return FAIL_CANCELLED;
        size_t want = size - done < BLOCK ? (size_t)(size - done) : BLOCK;
        ssize_t got = pread(fd, block, want, (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return FAIL_IO;
        if (EVP_DigestUpdate(md, block, (size_t)got) != 1)
            return FAIL_IO;
        done += (uint64_t)got;
    }
    return OK;
}

int digest_md5_of_file(int fd, uint64_t size, const atomic_bool *stop, char out[MD5_HEX_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *md = EVP_MD_CTX_new();

    if (md == NULL)
        return FAIL_NOMEM;
    int err = EVP_DigestInit_ex(md, EVP_md5(), NULL) == 1 ? OK : FAIL_UNSUPPORTED;
    if (err == OK) {
        char *block = mem_alloc(BLOCK);
        err = feed(md, fd, size, stop, block);
        mem_free(block);
    }
    if (err == OK && EVP_DigestFinal_ex(md, digest, NULL) != 1)
        err = FAIL_IO;
    EVP_MD_CTX_free(md);
    if (err == OK)
        encode_hex(digest, (MD5_HEX_SIZE - 1) / 2, out);
    return err;
}
