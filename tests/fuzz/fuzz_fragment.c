/* A media segment that may be anything: it was written by a program that had
 * read a stranger's bytes, and perhaps a power cut came in between. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "media/fragment.h"

#define CHECK(condition) ((condition) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fragment f = { 0 };
    int fd = memfd_create("fragment", MFD_CLOEXEC);

    CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    int err = fragment_read(fd, size, &f);
    CHECK(err == OK || err == FAIL_SYNTAX || err == FAIL_LIMIT || err == FAIL_IO);
    CHECK((err == OK) == (f.samples > 0));
    if (err == OK)
        CHECK(fragment_is_whole(fd, size, "moof"));
    /* One byte less is never whole. */
    if (err == OK && size > 1)
        CHECK(fragment_read(fd, size - 1, &f) != OK);
    close(fd);
    return 0;
}
