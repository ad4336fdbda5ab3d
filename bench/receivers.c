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
    MARK_DIGITS = 10,
    WAIT_MAX_S = 60,
};

struct receiver {
    int fd;
    unsigned carried;
    uint64_t number; /* of the last frame */
    char *carry;     /* the beginning of a frame, or NULL */
};

static struct receivers_report *report;
static char input[CARRY_MAX + READ_SIZE];

static uint64_t digits_at(const char *at, unsigned count)
{
    uint64_t value = 0;

    while (count-- > 0)
        value = value * 10 + (uint64_t)(*at++ - '0');
    return value;
}

static void note_latency(uint64_t published_ns, uint64_t at_ns)
{
    uint64_t bucket = (at_ns - published_ns) / (LATENCY_BUCKET_US * 1000u);

    if (bucket >= LATENCY_BUCKETS)
        bucket = LATENCY_BUCKETS - 1;
    atomic_fetch_add_explicit(&report->latency[bucket], 1, memory_order_relaxed);
}

/* One process writes: adding needs no locked instruction. */
static void add(_Atomic uint64_t *counter, uint64_t value)
{
    uint64_t old = atomic_load_explicit(counter, memory_order_relaxed);

    atomic_store_explicit(counter, old + value, memory_order_relaxed);
}

static void take_text(struct receiver *r, const char *text, size_t len, size_t frame, uint64_t now)
{
    static const char key[] = "\"message\":\"";
    const char *mark = memmem(text, len, key, sizeof(key) - 1);

    if (mark == NULL || mark[sizeof(key) - 1] < '0' || mark[sizeof(key) - 1] > '9') {
        add(&report->others, 1);
        return;
    }
    mark += sizeof(key) - 1;
    uint64_t number = digits_at(mark, MARK_DIGITS);
    if (number <= r->number && !report->is_unordered)
        add(&report->disorders, 1);
    r->number = number;
    note_latency(digits_at(mark + MARK_DIGITS + 1, 19), now);
    add(&report->frames, 1);
    atomic_store_explicit(&report->frame_size, (unsigned)frame, memory_order_relaxed);
    if (number == atomic_load_explicit(&report->last, memory_order_relaxed))
        atomic_fetch_add(&report->reached, 1);
}

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
        take_text(r, at + size, body, size + body, now);
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

static void shake_hands(struct receiver *r, const char *path)
{
    char request[512];
    size_t len = 0;
    const char *end = NULL;

    int size = snprintf(request, sizeof(request),
                        "GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                        path);
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

static void connect_all(struct receiver *all, unsigned count, uint16_t port, const char *path,
                        unsigned source, int poll)
{
    /* A reset at the end leaves no port behind in TIME_WAIT. */
    const struct linger abrupt = { .l_onoff = 1 };

    for (unsigned i = 0; i < count; i++) {
        struct receiver *r = &all[i];
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = r };
        r->fd = connect_to(1, port, source);
        setsockopt(r->fd, SOL_SOCKET, SO_LINGER, &abrupt, sizeof(abrupt));
        if (path != NULL)
            shake_hands(r, path);
        if (epoll_ctl(poll, EPOLL_CTL_ADD, r->fd, &event) != 0)
            die("epoll_ctl");
        atomic_fetch_add(&report->connected, 1);
    }
}

static void receive(unsigned count, uint16_t port, const char *path, unsigned source)
{
    struct receiver *all = mem_zalloc(count * sizeof(*all));
    struct epoll_event events[EVENTS];
    int poll = epoll_create1(EPOLL_CLOEXEC);

    stay_on(RECEIVERS_CORE);
    connect_all(all, count, port, path, source, poll);
    for (;;) {
        int ready = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++)
            read_some(events[i].data.ptr);
    }
}

void receivers_start(struct receivers *r, unsigned count, uint16_t port, const char *path,
                     unsigned source)
{
    r->count = count;
    r->report = report = share_memory(sizeof(*report));
    r->pid = fork_child();
    if (r->pid == 0)
        receive(count, port, path, source);
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

void receivers_forget_latency(struct receivers *r)
{
    for (int i = 0; i < LATENCY_BUCKETS; i++)
        atomic_store_explicit(&r->report->latency[i], 0, memory_order_relaxed);
}

double receivers_latency_ms(const struct receivers *r, double quantile)
{
    uint64_t total = 0, seen = 0;

    for (int i = 0; i < LATENCY_BUCKETS; i++)
        total += r->report->latency[i];
    for (int i = 0; i < LATENCY_BUCKETS; i++) {
        seen += r->report->latency[i];
        if ((double)seen >= (double)total * quantile)
            return (i + 1) * (LATENCY_BUCKET_US / 1000.0);
    }
    return 0;
}
