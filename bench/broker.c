#include "broker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "support.h"
#include "tally.h"

static void become_redis(const struct broker *b)
{
    char port[16];
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

    if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0)
        die("/dev/null");
    snprintf(port, sizeof(port), "%u", b->port);
    stay_on(RECEIVERS_CORE);
    /* Who lags behind by 32 MB would be cut off, the bare subscriber too. */
    execlp("redis-server", "redis-server", "--port", port, "--bind", "127.0.0.1", "--dir",
           b->folder, "--save", "", "--appendonly", "no", "--client-output-buffer-limit",
           "pubsub 0 0 0", (char *)NULL);
    die("redis-server");
}

void broker_start(struct broker *b)
{
    *b = (struct broker){ .folder = "/tmp/reelay-bench-XXXXXX" };
    if (mkdtemp(b->folder) == NULL)
        die("mkdtemp");
    close(listen_on(1, &b->port)); /* to learn of a free port */
    snprintf(b->url, sizeof(b->url), "redis://127.0.0.1:%u", b->port);
    b->pid = fork_child();
    if (b->pid == 0)
        become_redis(b);
    close(connect_to(1, b->port, 0));
}

void broker_end(struct broker *b)
{
    end_child(b->pid);
    rmdir(b->folder);
}

void reporter_open(struct reporter *r, const struct broker *b, unsigned jobs)
{
    *r = (struct reporter){ .line = redisConnect("127.0.0.1", b->port), .jobs = jobs };
    if (r->line == NULL || r->line->err)
        die("connecting to Redis");
}

void reporter_close(struct reporter *r)
{
    redisFree(r->line);
}

void reporter_say(struct reporter *r, const char *prefix, unsigned place, uint64_t number,
                  bool is_final)
{
    char channel[64], text[MARK_MAX + 256], mark[MARK_MAX];

    mark_write(number, 0, mark);
    snprintf(channel, sizeof(channel), "job_progress:%s%u", prefix, place);
    snprintf(text, sizeof(text),
             "{\"job_id\":\"%s%u\",\"status\":\"%s\",\"stage\":\"rendering\",\"progress\":0.5,"
             "\"message\":\"%s\",\"timestamp\":\"2026-11-21T12:00:00Z\"}",
             prefix, place, is_final ? "completed" : "processing", mark);
    if (redisAppendCommand(r->line, "PUBLISH %s %s", channel, text) != REDIS_OK)
        die("a report");
    r->waiting++;
}

void reporter_flush(struct reporter *r, unsigned waiting_max)
{
    int is_sent = 0;

    while (!is_sent)
        if (redisBufferWrite(r->line, &is_sent) != REDIS_OK)
            die("sending reports");
    for (; r->waiting > waiting_max; r->waiting--) {
        redisReply *reply;
        if (redisGetReply(r->line, (void **)&reply) != REDIS_OK)
            die("no answer from Redis");
        errno = 0;
        if (reply->type != REDIS_REPLY_INTEGER)
            die("Redis refused a report: %s", reply->str);
        r->unheard += reply->integer == 0;
        freeReplyObject(reply);
    }
}
