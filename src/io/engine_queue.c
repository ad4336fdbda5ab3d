#include <string.h>

#include "io/engine_internal.h"

/* Before each packet in the queue, at any address. */
struct record {
    uint32_t len;
    uint8_t type; /* enum engineio_type */
    bool is_binary;
};

void engine_queue_put(struct buf *queue, const struct engineio_packet *packet)
{
    struct record r = { .len = (uint32_t)packet->data.len,
                        .type = (uint8_t)packet->type,
                        .is_binary = packet->is_binary };

    buf_append(queue, &r, sizeof(r));
    buf_append(queue, packet->data.at, packet->data.len);
}

static void take(struct buf *queue, enum engineio_revision revision, struct buf *out,
                 void (*append)(enum engineio_revision revision, struct buf *out,
                                const struct engineio_packet *packet))
{
    for (size_t at = 0; at < queue->len;) {
        struct record r;
        memcpy(&r, queue->data + at, sizeof(r));
        at += sizeof(r);
        struct engineio_packet packet = { (enum engineio_type)r.type,
                                          r.is_binary,
                                          { queue->data + at, r.len } };
        append(revision, out, &packet);
        at += r.len;
    }
    size_t max = queue->max;
    buf_deinit(queue);
    buf_init(queue, max);
}

void queue_take_payload(struct buf *queue, enum engineio_revision revision, struct buf *payload)
{
    take(queue, revision, payload, engineio_append);
}

void queue_take_frames(struct buf *queue, enum engineio_revision revision, struct buf *frames)
{
    take(queue, revision, frames, engineio_append_frame);
}
