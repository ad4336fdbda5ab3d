/* The MD5 of a body, which is what storages know bytes by: a checksum, no protection.
 * NULL stands for none, also where OpenSSL was told not to have MD5. */
#ifndef IO_FETCH_MD5_H
#define IO_FETCH_MD5_H

#include <stddef.h>
#include <stdint.h>

struct md5;

struct md5 *md5_new(void);
void md5_restart(struct md5 *m);
void md5_add(struct md5 *m, const void *bytes, size_t len);
const uint8_t *md5_end(struct md5 *m); /* 16 bytes, or NULL; borrows; once */
void md5_free(struct md5 *m);

#endif
