/* Digests of files. Any thread; reading blocks. */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include <stdatomic.h>
#include <stdint.h>

enum { MD5_HEX_SIZE = 33 };

/* MD5 of the first `size` bytes, in lower case: what object stores tell of an object,
 * to see whether it is the same; no secret hangs on it. FAIL_IO, also if there are
 * fewer; FAIL_UNSUPPORTED where the library may not; FAIL_CANCELLED as soon as `stop` (or
 * NULL) is true. */
int digest_md5_of_file(int fd, uint64_t size, const atomic_bool *stop, char out[MD5_HEX_SIZE]);

#endif
