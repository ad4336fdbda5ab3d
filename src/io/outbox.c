#include "io/outbox.h"

#include <assert.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

enum {
    BATCH = 64,            /* messages in one write */
    WAITING_MAX = 1 << 30, /* the owners have the real limits */
};

struct outbox {
    struct msg *rest;
    size_t rest_at;
    struct buf bytes;
    uint8_t latest_len;
    char latest[OUTBOX_LATEST_MAX];
};

static struct outbox *wait_for_socket(struct outbox **o, struct connection *c)
{
    if (*o == NULL) {
        *o = mem_new(struct outbox);
        buf_init(&(*o)->bytes, WAITING_MAX);
        connection_want(c, UV_READABLE | UV_WRITABLE);
    }
    return *o;
}

void outbox_free(struct outbox **o)
{
    if (*o == NULL)
        return;
    msg_unref(&(*o)->rest);
    buf_deinit(&(*o)->bytes);
    mem_free(*o);
    *o = NULL;
}

size_t outbox_bytes(const struct outbox *o)
{
    return o != NULL ? o->bytes.len : 0;
}

void outbox_put(struct outbox **o, struct connection *c, const void *bytes, size_t len)
{
    size_t sent = 0;

    if (*o == NULL) {
        struct iovec iov = { (void *)bytes, len };
        ssize_t took = connection_write(c, &iov, 1, false);
        if (took < 0)
            return;
        sent = (size_t)took;
    }
    if (sent < len)
        buf_append(&wait_for_socket(o, c)->bytes, (const char *)bytes + sent, len - sent);
}

void outbox_put_latest(struct outbox **o, struct connection *c, const void *bytes, size_t len)
{
    assert(len <= OUTBOX_LATEST_MAX);
    if (*o == NULL) {
        outbox_put(o, c, bytes, len);
        return;
    }
    (*o)->latest_len = (uint8_t)len;
    memcpy((*o)->latest, bytes, len);
}

void outbox_drop_latest(struct outbox *o)
{
    if (o != NULL)
        o->latest_len = 0;
}

static unsigned gather(struct outbox *o, struct iovec iov[2])
{
    unsigned count = 0;

    if (o->rest != NULL)
        iov[count++] = (struct iovec){ o->rest->data + o->rest_at, o->rest->len - o->rest_at };
    if (o->bytes.len > 0)
        iov[count++] = (struct iovec){ o->bytes.data, o->bytes.len };
    return count;
}

static void advance(struct outbox *o, size_t sent)
{
    if (o->rest != NULL) {
        size_t rest = o->rest->len - o->rest_at;
        size_t part = sent < rest ? sent : rest;
        o->rest_at += part;
        sent -= part;
        if (part == rest)
            msg_unref(&o->rest);
    }
    buf_consume(&o->bytes, sent);
}

/* It is about to begin: now it is bytes like any other. */
static bool take_latest(struct outbox *o)
{
    size_t len = o->latest_len;

    o->latest_len = 0;
    buf_append(&o->bytes, o->latest, len);
    return len > 0;
}

bool outbox_flush(struct outbox **o, struct connection *c)
{
    struct iovec iov[2];
    unsigned count;

    while ((count = gather(*o, iov)) > 0 || take_latest(*o)) {
        if (count == 0)
            continue;
        ssize_t sent = connection_write(c, iov, count, false);
        if (sent <= 0)
            return false;
        advance(*o, (size_t)sent);
    }
    outbox_free(o);
    connection_want(c, UV_READABLE);
    return true;
}

/* The message that the socket took `sent` bytes of is finished by us. */
static unsigned take_partly(struct outbox *o, struct msg *const *messages, size_t sent)
{
    unsigned taken = 0;

    while (sent >= messages[taken]->len)
        sent -= messages[taken++]->len;
    if (sent > 0) {
        o->rest = msg_ref(messages[taken++]);
        o->rest_at = sent;
    }
    return taken;
}

unsigned outbox_send(struct outbox **o, struct connection *c, struct msg *const *messages,
                     unsigned count)
{
    struct iovec iov[BATCH];
    unsigned taken = 0;

    while (taken < count && *o == NULL) {
        unsigned batch = count - taken < BATCH ? count - taken : BATCH;
        size_t total = 0;
        for (unsigned i = 0; i < batch; i++) {
            struct msg *m = messages[taken + i];
            iov[i] = (struct iovec){ m->data, m->len };
            total += m->len;
        }
        ssize_t sent = connection_write(c, iov, batch, false);
        if (sent < 0)
            return taken; /* the connection's end will come */
        if ((size_t)sent == total)
            taken += batch;
        else
            taken += take_partly(wait_for_socket(o, c), messages + taken, (size_t)sent);
    }
    return taken;
}
