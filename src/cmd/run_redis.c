/* A run's reports through Redis, without a server in between: what the jobs
 * document's ProgressReporter writes. Every message says everything, so the state
 * so far is kept here, by the server's own rules. */
#include <stdio.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "cmd/run_target.h"
#include "cmd/teller.h"

enum { METADATA_MAX = 1024, MESSAGE_MAX = RUN_ERROR_MAX + 16 };

struct through_redis {
    struct run_target target; /* first */
    struct teller *teller;
    struct update *told; /* NULL: nothing yet */
    struct update *latest;
    run_answer_fn *done;
    void *context;
};

static void move(struct update **state, const struct change *change)
{
    uint64_t seq = *state ? (*state)->seq + 1 : 1;
    struct update *next;

    if (update_derive(*state, change, seq, clock_wall_ms(), &next) != OK)
        return;
    update_unref(state);
    *state = next;
}

static void move_on(struct update **state, const char *id, const struct run_report *r)
{
    struct change change;
    struct buf metadata;

    buf_init(&metadata, METADATA_MAX);
    run_metadata_write(&r->news, &metadata);
    change_init(&change);
    change.kind = JOB_EXTERNAL;
    change.state = JOB_PROCESSING;
    if (r->news.fraction >= 0)
        change.fraction = r->news.fraction;
    if (r->news.bytes_done >= 0)
        change.bytes_done = r->news.bytes_done;
    if (r->news.bytes_total >= 0)
        change.bytes_total = r->news.bytes_total;
    change.text[TEXT_ID] = id;
    change.text[TEXT_STAGE] = r->stage;
    change.text[TEXT_MESSAGE] = r->news.message[0] ? r->news.message : NULL;
    change.text[TEXT_METADATA] = buf_text(&metadata);
    move(state, &change);
    buf_deinit(&metadata);
}

static void move_to_end(struct update **state, const struct run_report *r)
{
    char message[MESSAGE_MAX];
    struct change change;

    change_init(&change);
    change.text[TEXT_METADATA] = "";
    change.text[TEXT_MESSAGE] = message;
    if (r->state == RUN_COMPLETED) {
        change.state = JOB_COMPLETED;
        change.text[TEXT_RESULT] = r->result;
        snprintf(message, sizeof(message), "Job completed");
    } else {
        change.state = JOB_FAILED;
        change.text[TEXT_ERROR] = r->error;
        snprintf(message, sizeof(message), "Error: %s", r->error);
    }
    move(state, &change);
}

static void told(void *context, const struct teller_answer *from)
{
    struct through_redis *r = context;
    struct run_answer to = { .reply = RUN_TOLD };

    if (from->err != OK) {
        to.reply = teller_is_transient(from->err) ? RUN_AGAIN : RUN_REFUSED;
        to.why = from->why;
    } else {
        update_unref(&r->told);
        r->told = r->latest;
        r->latest = NULL;
    }
    r->done(r->context, &to);
}

static void redis_tell(struct run_target *t, const char *id, const struct run_report *report,
                       run_answer_fn *done, void *context)
{
    struct through_redis *r = (struct through_redis *)t;

    r->done = done;
    r->context = context;
    update_unref(&r->latest);
    r->latest = r->told ? update_ref(r->told) : NULL;
    move_on(&r->latest, id, report);
    if (report->state != RUN_PROCESSING)
        move_to_end(&r->latest, report);
    teller_tell(r->teller, r->latest, told, r);
}

static void redis_cancel(struct run_target *t)
{
    teller_cancel(((struct through_redis *)t)->teller);
}

static void redis_free(struct run_target *t)
{
    struct through_redis *r = (struct through_redis *)t;

    teller_close(r->teller);
    update_unref(&r->told);
    update_unref(&r->latest);
    mem_free(r);
}

static const struct run_target_ops redis_ops = {
    .name = "redis",
    .tell = redis_tell,
    .cancel = redis_cancel,
    .free = redis_free,
};

struct run_target *run_redis_new(uv_loop_t *loop, const char *url, const char *ca_file,
                                 struct buf *why)
{
    struct teller *teller = teller_open(loop, url, ca_file, why);

    if (teller == NULL)
        return NULL;
    struct through_redis *r = mem_new(struct through_redis);
    r->target.ops = &redis_ops;
    r->teller = teller;
    return &r->target;
}
