#include "bare.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "proto/ws.h"
#include "support.h"
#include "tally.h"

enum { FRAME_MAX = 4096 };

struct order {
    uint64_t number; /* of the publication before the first */
    uint64_t count;  /* 0: as many as go into the time */
    uint64_t step_ns;
    uint64_t duration_ns;
    unsigned frame_size;
};

/* A message of the `jobs` door, padded so that its frame has the wanted size. */
static void make_frame(struct buf *out, uint64_t number, unsigned frame_size)
{
    char text[FRAME_MAX], mark[MARK_MAX];

    mark_write(number, 0, mark);
    int len = snprintf(text, sizeof(text),
                       "{\"job_id\":\"bench\",\"status\":\"processing\",\"message\":\"%s\"}", mark);
    unsigned head = frame_size - 2 < 126 ? 2 : 4;
    while ((unsigned)len + head < frame_size && len < FRAME_MAX - 1)
        text[len++] = ' ';
    buf_reset(out);
    ws_append_frame(out, WS_FIN | WS_TEXT, text, (size_t)len);
}

static uint64_t carry_out(const struct order *o, const int *fds, unsigned count)
{
    uint64_t begin = now_ns(), done = 0;
    struct buf frame;

    buf_init(&frame, FRAME_MAX);
    while (o->count > 0 ? done < o->count : now_ns() < begin + o->duration_ns) {
        if (o->step_ns > 0)
            sleep_until_ns(begin + done * o->step_ns);
        done++;
        make_frame(&frame, o->number + done, o->frame_size);
        for (unsigned i = 0; i < count; i++)
            if (send(fds[i], frame.data, frame.len, MSG_NOSIGNAL) != (ssize_t)frame.len)
                die("send to a viewer");
    }
    if (o->step_ns > 0)
        sleep_until_ns(begin + done * o->step_ns);
    buf_deinit(&frame);
    return done;
}

static void serve(int listener, int control, unsigned count)
{
    int *fds = mem_alloc(count * sizeof(*fds));
    struct order order;

    for (unsigned i = 0; i < count; i++) {
        fds[i] = accept(listener, NULL, NULL);
        if (fds[i] < 0)
            die("accept");
    }
    while (read(control, &order, sizeof(order)) == sizeof(order)) {
        uint64_t done = carry_out(&order, fds, count);
        if (write(control, &done, sizeof(done)) != sizeof(done))
            break;
    }
    _exit(0);
}

void bare_start(struct bare *b, unsigned count)
{
    int ends[2], listener;

    *b = (struct bare){ 0 };
    listener = listen_on(1, &b->port);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        die("socketpair");
    b->pid = fork_child();
    if (b->pid == 0) {
        stay_on(SENDERS_CORE);
        serve(listener, ends[1], count);
    }
    close(listener);
    close(ends[1]);
    b->control = ends[0];
}

void bare_end(struct bare *b)
{
    close(b->control);
    end_child(b->pid);
}

static uint64_t give(struct bare *b, struct order *o)
{
    uint64_t done;

    o->number = b->number;
    if (write(b->control, o, sizeof(*o)) != sizeof(*o) ||
        read(b->control, &done, sizeof(done)) != sizeof(done))
        die("the bare loop is gone");
    b->number += done;
    return done;
}

void bare_publish(struct bare *b, unsigned frame_size)
{
    struct order order = { .count = 1, .frame_size = frame_size };

    give(b, &order);
}

uint64_t bare_publish_for(struct bare *b, unsigned frame_size, unsigned per_second, double seconds)
{
    struct order order = { .frame_size = frame_size };

    if (per_second > 0) {
        order.count = (uint64_t)(seconds * per_second);
        order.step_ns = UINT64_C(1000000000) / per_second;
    } else {
        order.duration_ns = (uint64_t)(seconds * 1e9);
    }
    return give(b, &order);
}
