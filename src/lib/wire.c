#include "lib/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"

__attribute__((format(printf, 3, 4))) static int fail(struct wire *w, int code, const char *format,
                                                      ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(w->error, sizeof(w->error), format, args);
    va_end(args);
    return code;
}

static int fail_errno(struct wire *w, int number)
{
    char text[128];

    return fail(w, FAIL_CLOSED, "%s", strerror_r(number, text, sizeof(text)));
}

/* hiredis has seen the end of the connection. */
static int fail_redis(struct wire *w)
{
    return fail(w, FAIL_CLOSED, "%s", w->redis->errstr);
}

void wire_close(struct wire *w)
{
    if (w->redis == NULL)
        return;
    /* Forgotten before it is closed: a child forked in between must not close
     * what has its number by then. */
    atomic_store(w->socket, -1);
    redisFree(w->redis);
    w->redis = NULL;
}

static void drain(int interrupt)
{
    uint64_t count;

    while (read(interrupt, &count, sizeof(count)) < 0 && errno == EINTR)
        ;
}

static int poll_timeout(int64_t until_ms)
{
    enum { POLL_MAX_MS = 60 * 1000 };

    if (until_ms == INT64_MAX)
        return -1;
    int64_t left = until_ms - (int64_t)clock_mono_ms();
    if (left < 0)
        return 0;
    return left > POLL_MAX_MS ? POLL_MAX_MS : (int)left;
}

/* Until the socket is ready for `events`. */
static int await(struct wire *w, short events, int64_t deadline_ms)
{
    for (;;) {
        struct pollfd fds[2] = { { .fd = w->redis->fd, .events = events },
                                 { .fd = w->interrupt, .events = POLLIN } };
        int ready = poll(fds, 2, poll_timeout(deadline_ms));
        if (ready < 0 && errno != EINTR && errno != EAGAIN)
            return fail_errno(w, errno);
        if (ready > 0 && fds[1].revents)
            drain(w->interrupt);
        if (atomic_load(w->is_ending))
            return fail(w, FAIL_CANCELLED, "closed by its program");
        if (ready > 0 && fds[0].revents)
            return OK;
        if ((int64_t)clock_mono_ms() >= deadline_ms)
            return fail(w, FAIL_TIMEOUT, "Redis did not answer in time");
    }
}

static int connected(struct wire *w, int64_t deadline_ms)
{
    int number = 0, one = 1;
    socklen_t size = sizeof(number);

    int err = await(w, POLLOUT, deadline_ms);
    if (err != OK)
        return err;
    if (getsockopt(w->redis->fd, SOL_SOCKET, SO_ERROR, &number, &size) != 0)
        number = errno;
    if (number != 0)
        return fail_errno(w, number);
    if (w->url->path == NULL) {
        setsockopt(w->redis->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        setsockopt(w->redis->fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    }
    return OK;
}

static int word_command(struct wire *w, int argc, const char *const *words)
{
    size_t lengths[3];

    for (int i = 0; i < argc; i++)
        lengths[i] = strlen(words[i]);
    return wire_command(w, argc, words, lengths);
}

/* AUTH and SELECT, where the address asks for them. */
static int log_in(struct wire *w, int64_t deadline_ms)
{
    const struct redis_url *url = w->url;
    char db[16];
    int answers = 0, err = OK;

    if (url->password != NULL) {
        const char *words[] = { "AUTH", url->user ? url->user : url->password, url->password };
        err = word_command(w, url->user ? 3 : 2, words);
        answers++;
    }
    if (err == OK && url->db != 0) {
        snprintf(db, sizeof(db), "%u", url->db);
        const char *words[] = { "SELECT", db };
        err = word_command(w, 2, words);
        answers++;
    }
    if (err == OK && answers > 0)
        err = wire_send(w, deadline_ms);
    for (int i = 0; err == OK && i < answers; i++)
        err = wire_answer(w, deadline_ms, NULL, NULL);
    /* Something between may quote the command, and with it the password. */
    if (err == FAIL_DENIED)
        w->error[strcspn(w->error + sizeof("Redis:"), " ") + sizeof("Redis:")] = '\0';
    return err;
}

int wire_open(struct wire *w, int64_t deadline_ms)
{
    const struct redis_url *url = w->url;

    if (w->redis != NULL)
        return OK;
    w->redis = url->path ? redisConnectUnixNonBlock(url->path)
                         : redisConnectNonBlock(url->hosts[0].name, url->hosts[0].port);
    if (w->redis == NULL)
        return fail(w, FAIL_NOMEM, "out of memory");
    int err = w->redis->err ? fail_redis(w) : OK;
    if (err == OK) {
        atomic_store(w->socket, w->redis->fd);
        fcntl(w->redis->fd, F_SETFD, FD_CLOEXEC); /* not for the programs it starts */
        err = connected(w, deadline_ms);
    }
    if (err == OK)
        err = log_in(w, deadline_ms);
    if (err != OK)
        wire_close(w);
    return err;
}

int wire_command(struct wire *w, int argc, const char *const *words, const size_t *lengths)
{
    /* hiredis takes char ** and changes nothing; in its older releases without const. */
    if (redisAppendCommandArgv(w->redis, argc, (const char **)words, lengths) != REDIS_OK)
        return fail(w, FAIL_NOMEM, "out of memory");
    return OK;
}

int wire_send(struct wire *w, int64_t deadline_ms)
{
    int is_done = 0;

    for (;;) {
        if (redisBufferWrite(w->redis, &is_done) != REDIS_OK)
            return fail_redis(w);
        if (is_done)
            return OK;
        int err = await(w, POLLOUT, deadline_ms);
        if (err != OK)
            return err;
    }
}

static int take_text(struct wire *w, const redisReply *reply, char **text, size_t *len)
{
    if (text == NULL || reply->type != REDIS_REPLY_STRING)
        return OK;
    char *copy = malloc((size_t)reply->len + 1);
    if (copy == NULL)
        return fail(w, FAIL_NOMEM, "out of memory");
    memcpy(copy, reply->str, (size_t)reply->len);
    copy[reply->len] = '\0';
    *text = copy;
    *len = (size_t)reply->len;
    return OK;
}

/* The error that a reply is, or that is among those of a transaction. */
static const redisReply *error_in(const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ERROR)
        return reply;
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++)
        if (reply->element[i]->type == REDIS_REPLY_ERROR)
            return reply->element[i];
    return NULL;
}

static int judge(struct wire *w, redisReply *reply, char **text, size_t *len)
{
    const redisReply *error = error_in(reply);
    int err =
        error ? fail(w, FAIL_DENIED, "Redis: %s", error->str) : take_text(w, reply, text, len);

    freeReplyObject(reply);
    return err;
}

int wire_answer(struct wire *w, int64_t deadline_ms, char **text, size_t *len)
{
    void *reply = NULL;

    if (text != NULL)
        *text = NULL;
    for (;;) {
        if (redisGetReplyFromReader(w->redis, &reply) != REDIS_OK)
            return fail_redis(w);
        if (reply != NULL)
            return judge(w, reply, text, len);
        int err = await(w, POLLIN, deadline_ms);
        if (err != OK)
            return err;
        if (redisBufferRead(w->redis) != REDIS_OK)
            return fail_redis(w);
    }
}

void wire_idle(struct wire *w, int64_t until_ms)
{
    struct pollfd fds[2] = { { .fd = w->redis ? w->redis->fd : -1, .events = POLLIN },
                             { .fd = w->interrupt, .events = POLLIN } };

    if (poll(fds, 2, poll_timeout(until_ms)) <= 0)
        return;
    if (fds[1].revents)
        drain(w->interrupt);
    if (fds[0].revents) /* nothing was asked: it can only be the end */
        wire_close(w);
}
