/* Uploads that grow at their end: what is there of them, and one made of several. */
#include <stdio.h>

#include "api/api.h"
#include "api/errand.h"
#include "api/records_room.h"
#include "base/mem.h"
#include "io/thread.h"

struct looking {
    struct call *call;
    upload_sliced *done;
    struct slices slices;
    int64_t size; /* that is declared, or -1 */
    int err;
    char id[JOB_ID_MAX + 1];
    char to[JOB_ID_MAX + 1]; /* of a join, else "" */
};

static void work(void *context)
{
    struct looking *l = context;
    struct disk *disk = l->call->api->disk;

    l->err = l->to[0] != '\0' ? disk_slices_link(disk, l->id, l->to, &l->slices)
                              : disk_slices_of(disk, l->id, l->size, &l->slices);
}

static void worked(void *context)
{
    struct looking *l = context;

    l->done(l->call, l->err, &l->slices);
    mem_free(l);
}

static void go(struct call *c, const char *id, int64_t size, const char *to, upload_sliced *done)
{
    struct looking *l = mem_new(struct looking);

    l->call = c;
    l->done = done;
    l->size = size;
    snprintf(l->id, sizeof(l->id), "%s", id);
    snprintf(l->to, sizeof(l->to), "%s", to);
    io_offload(io_thread_loop(exchange_thread(c->x)), work, worked, l);
}

bool record_is_in_bucket(const struct call *c, const struct upload *u)
{
    return c->api->storage != NULL && u->place.layout != LAYOUT_DISK;
}

void record_slices(struct call *c, const char *id, const struct upload *u, upload_sliced *done)
{
    if (record_is_in_bucket(c, u))
        errand_slices(c, id, u, done);
    else
        go(c, id, u->size, "", done);
}

void record_join(struct call *c, const char *from, const char *to, upload_sliced *done)
{
    if (c->api->storage != NULL)
        errand_join(c, from, to, done);
    else
        go(c, from, -1, to, done);
}
