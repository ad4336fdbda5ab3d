#include "publisher.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support.h"
#include "tally.h"

enum { REQUEST_MAX = 4096, ANSWER_MAX = 4096 };

void publisher_open(struct publisher *p, uint16_t port, unsigned lines)
{
    *p = (struct publisher){ .port = port, .lines = lines };
    for (unsigned i = 0; i < lines; i++)
        p->fds[i] = connect_to(1, port, 0);
}

void publisher_close(struct publisher *p)
{
    for (unsigned i = 0; i < p->lines; i++)
        close(p->fds[i]);
}

static void ask(struct publisher *p, unsigned line, const char *job)
{
    char body[MARK_MAX + 128], request[REQUEST_MAX], mark[MARK_MAX];

    mark_write(++p->number, p->padding, mark);
    int len = snprintf(body, sizeof(body),
                       "{\"status\":\"processing\",\"stage\":\"rendering\",\"progress\":0.5,"
                       "\"message\":\"%s\"}",
                       mark);
    len = snprintf(request, sizeof(request),
                   "POST /api/jobs/%s/progress HTTP/1.1\r\nHost: localhost\r\n"
                   "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                   job, len, body);
    send_all(p->fds[line], request, (size_t)len);
}

static void hear_answer(struct publisher *p, unsigned line)
{
    char answer[ANSWER_MAX + 1];
    size_t len = 0, wanted = SIZE_MAX;

    while (len < wanted) {
        ssize_t got = recv(p->fds[line], answer + len, ANSWER_MAX - len, 0);
        if (got <= 0)
            die("no answer to a report");
        len += (size_t)got;
        answer[len] = '\0';
        const char *end = strstr(answer, "\r\n\r\n");
        const char *field = strcasestr(answer, "\r\nContent-Length:");
        if (end != NULL && field != NULL)
            wanted = (size_t)(end + 4 - answer) + strtoul(field + 17, NULL, 10);
    }
    if (memcmp(answer, "HTTP/1.1 200", 12) != 0) {
        errno = 0;
        die("a report was refused: %s", answer);
    }
}

void publish(struct publisher *p, const char *job)
{
    ask(p, 0, job);
    hear_answer(p, 0);
}

static uint64_t publish_steadily(struct publisher *p, const char *job, unsigned per_second,
                                 double seconds)
{
    uint64_t step = UINT64_C(1000000000) / per_second, begin = now_ns();
    uint64_t count = (uint64_t)(seconds * per_second);

    for (uint64_t i = 0; i < count; i++) {
        sleep_until_ns(begin + i * step);
        publish(p, job);
    }
    sleep_until_ns(begin + count * step);
    return count;
}

static uint64_t publish_at_once(struct publisher *p, const char *job, double seconds)
{
    struct pollfd polls[PUBLISHER_LINES_MAX];
    uint64_t end = now_ns() + (uint64_t)(seconds * 1e9), before = p->number;
    unsigned busy = p->lines;

    for (unsigned i = 0; i < p->lines; i++) {
        polls[i] = (struct pollfd){ .fd = p->fds[i], .events = POLLIN };
        ask(p, i, job);
    }
    while (busy > 0) {
        if (poll(polls, p->lines, -1) < 0)
            die("poll");
        for (unsigned i = 0; i < p->lines; i++) {
            if (polls[i].revents == 0)
                continue;
            hear_answer(p, i);
            if (now_ns() < end) {
                ask(p, i, job);
            } else {
                polls[i].fd = -1;
                busy--;
            }
        }
    }
    return p->number - before;
}

uint64_t publish_for(struct publisher *p, const char *job, unsigned per_second, double seconds)
{
    return per_second > 0 ? publish_steadily(p, job, per_second, seconds)
                          : publish_at_once(p, job, seconds);
}
