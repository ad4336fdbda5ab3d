#include "media/fragment.h"

#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"

enum {
    BOXES_MAX = 100000,
    BOX_HEADER = 8,
    BOX_HEADER_LONG = 16,
    MOOF_MAX = 4 << 20, /* bytes: of four seconds it has a few thousand */
};

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

/* A piece of a moof in memory, taken from its front. */
struct piece {
    const uint8_t *at;
    size_t len;
};

static bool take(struct piece *p, unsigned count, uint64_t *value)
{
    if (p->len < count)
        return false;
    *value = number(p->at, count);
    p->at += count;
    p->len -= count;
    return true;
}

/* The next box's body; false at the end, or when there is no whole one. */
static bool take_box(struct piece *p, char name[4], struct piece *body)
{
    uint64_t size;

    if (p->len < BOX_HEADER || !take(p, 4, &size) || size < BOX_HEADER || size - 4 > p->len)
        return false;
    memcpy(name, p->at, 4);
    *body = (struct piece){ p->at + 4, (size_t)size - BOX_HEADER };
    p->at += size - 4;
    p->len -= (size_t)size - 4;
    return true;
}

/* What tfhd says for samples of which trun says nothing. */
struct traf {
    uint64_t begin, duration, samples, bytes;
    uint64_t usual_duration, usual_size;
    bool has_header, has_time;
};

/* 8.8.7: the optional fields in their order. */
static bool read_tfhd(struct piece p, struct traf *t)
{
    enum { BASE = 0x1, DESCRIPTION = 0x2, DURATION = 0x8, SIZE = 0x10 };
    uint64_t flags, skipped;

    if (!take(&p, 4, &flags) || !take(&p, 4, &skipped))
        return false;
    t->has_header = true;
    return (!(flags & BASE) || take(&p, 8, &skipped)) &&
           (!(flags & DESCRIPTION) || take(&p, 4, &skipped)) &&
           (!(flags & DURATION) || take(&p, 4, &t->usual_duration)) &&
           (!(flags & SIZE) || take(&p, 4, &t->usual_size));
}

static bool read_tfdt(struct piece p, struct traf *t)
{
    uint64_t flags;

    t->has_time = true;
    return take(&p, 4, &flags) && take(&p, flags >> 24 ? 8 : 4, &t->begin);
}

static bool read_sample(struct piece *p, uint64_t flags, struct traf *t)
{
    enum { DURATION = 0x100, SIZE = 0x200, FLAGS = 0x400, SHIFT = 0x800 };
    uint64_t duration = t->usual_duration, size = t->usual_size, skipped;

    if ((flags & DURATION && !take(p, 4, &duration)) || (flags & SIZE && !take(p, 4, &size)) ||
        (flags & FLAGS && !take(p, 4, &skipped)) || (flags & SHIFT && !take(p, 4, &skipped)))
        return false;
    t->duration += duration;
    t->bytes += size;
    t->samples++;
    return true;
}

/* 8.8.8 */
static bool read_trun(struct piece p, struct traf *t)
{
    enum { OFFSET = 0x1, FIRST_FLAGS = 0x4, SAMPLES_MAX = 1 << 20 };
    uint64_t flags, count, skipped;

    if (!t->has_header || !take(&p, 4, &flags) || !take(&p, 4, &count) || count > SAMPLES_MAX)
        return false;
    if ((flags & OFFSET && !take(&p, 4, &skipped)) ||
        (flags & FIRST_FLAGS && !take(&p, 4, &skipped)))
        return false;
    for (uint64_t i = 0; i < count; i++)
        if (!read_sample(&p, flags, t))
            return false;
    return true;
}

static bool read_traf(struct piece p, struct traf *t)
{
    struct piece body;
    char name[4];
    bool ok = true;

    while (ok && take_box(&p, name, &body)) {
        if (memcmp(name, "tfhd", 4) == 0)
            ok = read_tfhd(body, t);
        else if (memcmp(name, "tfdt", 4) == 0)
            ok = read_tfdt(body, t);
        else if (memcmp(name, "trun", 4) == 0)
            ok = read_trun(body, t);
    }
    return ok && p.len == 0 && t->has_header && t->has_time && t->samples > 0;
}

/* Adds what one moof lists; `bytes` is what its samples take in the mdat. */
static bool add_moof(struct piece p, struct fragment *f, uint64_t *bytes)
{
    struct piece body;
    struct traf t = { 0 };
    char name[4];
    bool has_track = false;

    while (take_box(&p, name, &body)) {
        if (memcmp(name, "traf", 4) != 0)
            continue;
        if (has_track || !read_traf(body, &t))
            return false;
        has_track = true;
    }
    if (!has_track || p.len > 0 || (f->samples > 0 && t.begin != f->begin + f->duration))
        return false;
    if (f->samples == 0)
        f->begin = t.begin;
    f->duration += t.duration;
    f->samples += t.samples;
    *bytes += t.bytes;
    return true;
}

static int read_moof(int fd, uint64_t offset, uint64_t size, struct fragment *f, uint64_t *bytes)
{
    if (size > MOOF_MAX)
        return FAIL_LIMIT;
    uint8_t *moof = mem_alloc((size_t)size);
    int err = FAIL_IO;

    if (pread(fd, moof, (size_t)size, (off_t)offset) == (ssize_t)size)
        err = add_moof((struct piece){ moof + BOX_HEADER, (size_t)size - BOX_HEADER }, f, bytes)
                  ? OK
                  : FAIL_SYNTAX;
    mem_free(moof);
    return err;
}

int fragment_read(int fd, uint64_t size, struct fragment *out)
{
    struct fragment f = { 0 };
    uint64_t offset = 0, listed = 0, held = 0;
    int err = OK;

    for (unsigned i = 0; offset < size && err == OK; i++) {
        char name[4];
        uint64_t box = i < BOXES_MAX ? read_box(fd, offset, size - offset, name) : 0;
        if (box == 0)
            return FAIL_SYNTAX;
        if (memcmp(name, "moof", 4) == 0)
            err = read_moof(fd, offset, box, &f, &listed);
        else if (memcmp(name, "mdat", 4) == 0)
            held += box - BOX_HEADER;
        offset += box;
    }
    if (err == OK && (f.samples == 0 || listed > held))
        err = FAIL_SYNTAX;
    if (err == OK)
        *out = f;
    return err;
}
