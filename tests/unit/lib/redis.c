#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "redis.h"

#include <fcntl.h>
#include <hiredis.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 10 * 1000 };

int64_t test_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int free_port(void)
{
    struct sockaddr_in a = { .sin_family = AF_INET };
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    close(fd);
    return ntohs(a.sin_port);
}

static redisContext *client(struct redis *s)
{
    struct timeval patience = { .tv_sec = PATIENCE_MS / 1000 };
    redisContext *c = redisConnectWithTimeout("127.0.0.1", s->port, patience);

    if (c != NULL && c->err == 0 && redisSetTimeout(c, patience) == REDIS_OK)
        return c;
    if (c != NULL)
        redisFree(c);
    return NULL;
}

static bool is_up(struct redis *s)
{
    redisContext *c = client(s);

    if (c == NULL)
        return false;
    redisReply *reply = redisCommand(c, "PING");
    bool is_pong = reply != NULL && reply->type == REDIS_REPLY_STATUS;
    freeReplyObject(reply);
    redisFree(c);
    return is_pong;
}

static void run(struct redis *s)
{
    char port[16];

    snprintf(port, sizeof(port), "%d", s->port);
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0) {
        int null = open("/dev/null", O_RDWR);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(null, 0);
        dup2(null, 1);
        dup2(null, 2);
        execlp("redis-server", "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "",
               "--appendonly", "no", "--dir", s->folder, (char *)NULL);
        _exit(127);
    }
    int64_t deadline = test_now_ms() + PATIENCE_MS;
    while (!is_up(s)) {
        assert_int_equal(waitpid(s->pid, NULL, WNOHANG), 0);
        assert_true(test_now_ms() < deadline);
        poll(NULL, 0, 5);
    }
}

void redis_start(struct redis *s)
{
    if (system("command -v redis-server >/dev/null") != 0)
        skip();
    *s = (struct redis){ .port = free_port() };
    snprintf(s->folder, sizeof(s->folder), "/tmp/reelay-test-redis-XXXXXX");
    assert_non_null(mkdtemp(s->folder));
    snprintf(s->url, sizeof(s->url), "redis://127.0.0.1:%d", s->port);
    run(s);
}

void redis_kill(struct redis *s)
{
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
}

void redis_restart(struct redis *s)
{
    run(s);
}

void redis_stop(struct redis *s)
{
    redis_kill(s);
    rmdir(s->folder);
}

static redisReply *asked(struct redis *s, const char *command, const char *key, const char *value)
{
    redisContext *c = client(s);
    const char *words[] = { command, key, value };
    redisReply *reply;

    assert_non_null(c);
    reply = redisCommandArgv(c, 1 + (key != NULL) + (value != NULL), words, NULL);
    assert_non_null(reply);
    redisFree(c);
    return reply;
}

char *redis_ask(struct redis *s, const char *command, const char *key, const char *value)
{
    redisReply *reply = asked(s, command, key, value);
    char *text = reply->str ? strdup(reply->str) : NULL;

    freeReplyObject(reply);
    return text;
}

int64_t redis_ask_int(struct redis *s, const char *command, const char *key)
{
    redisReply *reply = asked(s, command, key, NULL);

    assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
    int64_t number = reply->integer;
    freeReplyObject(reply);
    return number;
}

void listener_open(struct listener *l, struct redis *s, const char *pattern)
{
    redisContext *c = client(s);

    assert_non_null(c);
    *l = (struct listener){ .server = s, .context = c };
    l->heard = calloc(HEARD_MAX, sizeof(*l->heard));
    redisReply *reply = redisCommand(c, "PSUBSCRIBE %s", pattern);
    assert_non_null(reply);
    freeReplyObject(reply);
}

void listener_close(struct listener *l)
{
    for (int i = 0; i < l->count; i++)
        free(l->heard[i]);
    free(l->heard);
    redisFree(l->context);
}

static bool hear(struct listener *l)
{
    void *reply = NULL;

    if (redisGetReply(l->context, &reply) != REDIS_OK)
        return false;
    redisReply *r = reply;
    assert_int_equal(r->elements, 4); /* pmessage, pattern, channel, payload */
    assert_true(l->count < HEARD_MAX);
    l->heard[l->count++] = strdup(r->element[3]->str);
    freeReplyObject(r);
    return true;
}

bool listener_wait(struct listener *l, const char *text)
{
    for (int i = 0; i < l->count; i++)
        if (strstr(l->heard[i], text) != NULL)
            return true;
    while (hear(l))
        if (strstr(l->heard[l->count - 1], text) != NULL)
            return true;
    return false;
}
