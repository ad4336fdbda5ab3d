#include "media/fragment.h"

#include <string.h>
#include <unistd.h>

enum { BOXES_MAX = 100000, BOX_HEADER = 8, BOX_HEADER_LONG = 16 };

static uint64_t number(const uint8_t *bytes, unsigned count)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < count; i++)
        value = value << 8 | bytes[i];
    return value;
}

/* The box's length, or 0 if there is none that fits. */
static uint64_t read_box(int fd, uint64_t offset, uint64_t left, char name[4])
{
    uint8_t header[BOX_HEADER_LONG];
    size_t want = left < sizeof(header) ? (size_t)left : sizeof(header);
    uint64_t least = BOX_HEADER;

    if (want < BOX_HEADER || pread(fd, header, want, (off_t)offset) != (ssize_t)want)
        return 0;
    memcpy(name, header + 4, 4);
    uint64_t size = number(header, 4);
    if (size == 1 && want == BOX_HEADER_LONG) {
        size = number(header + 8, 8);
        least = BOX_HEADER_LONG;
    }
    return size >= least && size <= left ? size : 0;
}

bool fragment_is_whole(int fd, uint64_t size, const char needed[4])
{
    uint64_t offset = 0;
    bool found = false;

    for (unsigned i = 0; offset < size && i < BOXES_MAX; i++) {
        char name[4];
        uint64_t box = read_box(fd, offset, size - offset, name);
        if (box == 0)
            return false;
        found = found || memcmp(name, needed, 4) == 0;
        offset += box;
    }
    return found && offset == size;
}
