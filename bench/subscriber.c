#include "subscriber.h"

#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "base/mem.h"
#include "support.h"

/* The place at the end of a channel's name. */
static unsigned place_in(const redisReply *channel, size_t prefix_len)
{
    return (unsigned)strtoul(channel->str + prefix_len, NULL, 10);
}

static void hear(redisContext *line, struct tally *t, unsigned count, size_t prefix_len)
{
    uint64_t *numbers = mem_zalloc(count * sizeof(*numbers));
    redisReply *reply;

    while (redisGetReply(line, (void **)&reply) == REDIS_OK) {
        if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 &&
            strcmp(reply->element[0]->str, "message") == 0) {
            unsigned place = place_in(reply->element[1], prefix_len);
            const redisReply *text = reply->element[2];
            if (place < count)
                tally_message(t, &numbers[place], text->str, text->len, text->len, now_ns());
        } else {
            atomic_fetch_add(&t->connected, 1);
        }
        freeReplyObject(reply);
    }
    die("Redis went away from who only counts");
}

static void run(struct tally *t, const struct broker *b, const char *prefix, unsigned count)
{
    redisContext *line = redisConnect("127.0.0.1", b->port);

    if (line == NULL || line->err)
        die("connecting to Redis");
    stay_on(SENDERS_CORE);
    for (unsigned i = 0; i < count; i++)
        redisAppendCommand(line, "SUBSCRIBE job_progress:%s%u", prefix, i);
    hear(line, t, count, strlen("job_progress:") + strlen(prefix));
}

void subscriber_start(struct receivers *r, const struct broker *b, const char *prefix,
                      unsigned count)
{
    r->count = count;
    r->report = share_memory(sizeof(*r->report));
    r->pid = fork_child();
    if (r->pid == 0)
        run(r->report, b, prefix, count);
}
