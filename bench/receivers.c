#include "receivers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "proto/ws.h"
#include "support.h"

enum {
    EVENTS = 512,
    READ_SIZE = 256 * 1024,
    CARRY_MAX = 4096, /* a frame may arrive in pieces */
    WAIT_MAX_S = 60,
};

struct receiver {
    int fd;
    unsigned carried;
    uint64_t number; /* of the last frame */
    char *carry;     /* the beginning of a frame, or NULL */
};

static struct tally *report;
static char input[CARRY_MAX + READ_SIZE];

static void answer_ping(struct receiver *r)
{
    static const uint8_t pong[] = { 0x8a, 0x80, 1, 2, 3, 4 };

    send(r->fd, pong, sizeof(pong), MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Bytes of the frame at `at`, 0 if it is not all there. */
static size_t take_frame(struct receiver *r, const char *at, size_t len, uint64_t now)
{
    const uint8_t *head = (const uint8_t *)at;
    size_t size = 2, body;

    if (len < 4)
        return 0;
    body = head[1];
    if (body == 126) {
        body = (size_t)head[2] << 8 | head[3];
        size = 4;
    }
    if (len < size + body)
        return 0;
    if ((head[0] & 0x0f) == WS_TEXT)
        tally_message(report, &r->number, at + size, body, size + body, now);
    else if ((head[0] & 0x0f) == WS_PING)
        answer_ping(r);
    return size + body;
}

static void keep_rest(struct receiver *r, const char *at, size_t len)
{
    r->carried = (unsigned)len;
    if (len == 0)
        return;
    if (len > CARRY_MAX)
        die("a frame of more than %d bytes", CARRY_MAX);
    if (r->carry == NULL)
        r->carry = mem_alloc(CARRY_MAX);
    memcpy(r->carry, at, len);
}

/* `len` bytes lie in `input` behind what was carried over. */
static void take_input(struct receiver *r, size_t len)
{
    char *at = input;
    uint64_t now = now_ns();

    len += r->carried;
    for (size_t used; len > 0 && (used = take_frame(r, at, len, now)) > 0;) {
        at += used;
        len -= used;
    }
    keep_rest(r, at, len);
}

static void lose(struct receiver *r)
{
    close(r->fd);
    r->fd = -1;
    atomic_fetch_add(&report->lost, 1);
}

static void read_some(struct receiver *r)
{
    if (r->carried > 0)
        memcpy(input, r->carry, r->carried);
    ssize_t got = recv(r->fd, input + r->carried, READ_SIZE, MSG_DONTWAIT);
    if (got > 0)
        take_input(r, (size_t)got);
    else if (got == 0 || errno != EAGAIN)
        lose(r);
}

/* Where viewers connect to, and what they watch. */
struct target {
    uint16_t port;
    const char *path; /* NULL: bare sockets */
    bool is_each;     /* the viewer's place goes behind the path */
    unsigned source;
};

static void shake_hands(struct receiver *r, const struct target *to, unsigned place)
{
    char request[512], suffix[16] = "";
    size_t len = 0;
    const char *end = NULL;

    if (to->is_each)
        snprintf(suffix, sizeof(suffix), "%u", place);
    int size = snprintf(request, sizeof(request),
                        "GET %s%s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                        to->path, suffix);
    send_all(r->fd, request, (size_t)size);
    while (end == NULL) {
        ssize_t got = recv(r->fd, input + len, READ_SIZE - len, 0);
        if (got <= 0)
            die("no answer to the handshake");
        len += (size_t)got;
        end = memmem(input, len, "\r\n\r\n", 4);
    }
    if (memcmp(input, "HTTP/1.1 101", 12) != 0)
        die("the handshake was refused: %.*s", (int)(end - input), input);
    end += 4;
    len -= (size_t)(end - input);
    memmove(input, end, len);
    take_input(r, len);
}

static void connect_all(struct receiver *all, unsigned count, const struct target *to, int poll)
{
    /* A reset at the end leaves no port behind in TIME_WAIT. */
    const struct linger abrupt = { .l_onoff = 1 };

    for (unsigned i = 0; i < count; i++) {
        struct receiver *r = &all[i];
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = r };
        r->fd = connect_to(1, to->port, to->source);
        setsockopt(r->fd, SOL_SOCKET, SO_LINGER, &abrupt, sizeof(abrupt));
        if (to->path != NULL)
            shake_hands(r, to, i);
        if (epoll_ctl(poll, EPOLL_CTL_ADD, r->fd, &event) != 0)
            die("epoll_ctl");
        atomic_fetch_add(&report->connected, 1);
    }
}

static void receive(unsigned count, const struct target *to)
{
    struct receiver *all = mem_zalloc(count * sizeof(*all));
    struct epoll_event events[EVENTS];
    int poll = epoll_create1(EPOLL_CLOEXEC);

    stay_on(RECEIVERS_CORE);
    connect_all(all, count, to, poll);
    for (;;) {
        int ready = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++)
            read_some(events[i].data.ptr);
    }
}

static void start(struct receivers *r, unsigned count, const struct target *to)
{
    r->count = count;
    r->report = report = share_memory(sizeof(*report));
    r->pid = fork_child();
    if (r->pid == 0)
        receive(count, to);
}

void receivers_start(struct receivers *r, unsigned count, uint16_t port, const char *path,
                     unsigned source)
{
    start(r, count, &(struct target){ .port = port, .path = path, .source = source });
}

void receivers_start_each(struct receivers *r, unsigned count, uint16_t port, const char *path,
                          unsigned source)
{
    start(r, count,
          &(struct target){ .port = port, .path = path, .is_each = true, .source = source });
}

static void wait_for(const struct receivers *r, const _Atomic unsigned *what, const char *words)
{
    uint64_t end = now_ns() + WAIT_MAX_S * UINT64_C(1000000000);

    while (atomic_load(what) < r->count) {
        if (now_ns() > end) {
            errno = 0;
            die("only %u of %u viewers %s, %u were lost", atomic_load(what), r->count, words,
                atomic_load(&r->report->lost));
        }
        sleep_ms(1);
    }
}

void receivers_wait_connected(const struct receivers *r)
{
    wait_for(r, &r->report->connected, "connected");
}

void receivers_end(struct receivers *r)
{
    end_child(r->pid);
}

void receivers_expect(struct receivers *r, uint64_t number)
{
    atomic_store(&r->report->reached, 0);
    atomic_store(&r->report->last, number);
}

void receivers_wait_reached(const struct receivers *r)
{
    wait_for(r, &r->report->reached, "got the last update");
}
