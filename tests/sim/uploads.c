/* Somebody who uploads: creates, says how many chunks, sends them, has them put
 * together; and changes its mind at times. */
#include "actors.h"
#include "base/err.h"
#include "facts.h"

enum step {
    CREATE,
    ANNOUNCE,
    PLAN,
    PLACE,
    TOUCH,
    ENQUEUE,
    WAIT_JOB,
    WAIT_WORK,
    CANCEL,
    AGAIN,
    FAIL
};

enum { CHUNKS = 3 };

#define BEGUN "{\"place\":\"undecided \"}"

static void act(struct actor *a);

static void next(struct actor *a, enum step step)
{
    a->step = (int)step;
    actor_go(a, 10 * MS, 700 * MS);
}

static void over(struct actor *a)
{
    world_trace(a->world, "%s is over", a->id);
    a->is_over = true;
}

static void created(void *context, int err)
{
    struct actor *a = context;

    actor_told(a, err, "create");
    next(a, err == OK || err == FAIL_EXISTS ? ANNOUNCE : CREATE);
}

static void announced(void *context, int err, struct update *u)
{
    struct actor *a = context;

    (void)u;
    actor_told(a, err, "announce");
    next(a, err == OK || err == FAIL_EXISTS ? PLAN : ANNOUNCE);
}

static void planned(void *context, int err, const struct fleet_work_state *state)
{
    struct actor *a = context;

    actor_told(a, err, "plan");
    if (err == FAIL_EXISTS && state->chunks == CHUNKS)
        world_fail(a->world, "%s planned %d chunks and is told it was another number", a->id,
                   CHUNKS);
    if (err == OK && state->chunks != CHUNKS)
        world_fail(a->world, "%s planned %d chunks, and it is %u", a->id, CHUNKS, state->chunks);
    if (err == OK)
        next(a, PLACE);
    else
        next(a, err == FAIL_MISSING || err == FAIL_STATE ? WAIT_JOB : PLAN);
}

static void placed(void *context, int err)
{
    struct actor *a = context;

    actor_told(a, err, "place");
    if (err == FAIL_EXISTS)
        world_fail(a->world, "%s placed its chunks and is told they are elsewhere", a->id);
    if (err == OK)
        next(a, TOUCH);
    else
        next(a, err == FAIL_MISSING || err == FAIL_STATE ? WAIT_JOB : PLACE);
}

static void enqueued(void *context, int err)
{
    struct actor *a = context;

    actor_told(a, err, "enqueue");
    if (err == OK)
        facts_enqueued(a->world, a->id);
    next(a, err == OK || err == FAIL_STATE || err == FAIL_MISSING ? WAIT_JOB : ENQUEUE);
}

static void cancelled(void *context, int err)
{
    struct actor *a = context;

    actor_told(a, err, "cancel");
    if (err == OK)
        facts_cancelled(a->world, a->id);
    next(a, err == FAIL_STATE ? FAIL : WAIT_JOB);
}

/* What has come of the job. */
static void looked(void *context, int err, struct update *u)
{
    struct actor *a = context;
    struct random *r = &a->world->random;

    actor_told(a, err, "look");
    if (err == OK && u->state == JOB_FAILED && a->left > 0 && random_permille(r, 600)) {
        a->left--;
        a->count = 1; /* it is to be tried again */
        next(a, WAIT_WORK);
    } else if (err == OK && job_is_final(u->state)) {
        over(a);
    } else if (err == FAIL_MISSING) {
        next(a, FAIL); /* with Redis' memory */
    } else if (err == OK && random_permille(r, 100)) {
        next(a, CANCEL);
    } else {
        next(a, err == OK ? WAIT_WORK : WAIT_JOB);
    }
}

/* What has come of the work. */
static void found(void *context, int err, const struct fleet_work_state *state)
{
    struct actor *a = context;
    bool is_wanted_again = a->count == 1;

    actor_told(a, err, "find");
    a->count = 0;
    if (err == OK && state->is_open)
        next(a, is_wanted_again ? AGAIN : ENQUEUE);
    else if (err == FAIL_MISSING && !is_wanted_again)
        next(a, FAIL);
    else
        next(a, WAIT_JOB);
}

static void begun_again(void *context, int err, struct update *u)
{
    struct actor *a = context;

    (void)u;
    actor_told(a, err, "again");
    next(a, err == OK || err == FAIL_STATE ? ENQUEUE : AGAIN);
}

static void failed(void *context, int err, struct update *u)
{
    struct actor *a = context;

    (void)u;
    actor_told(a, err, "fail");
    if (err == OK || err == FAIL_STATE || err == FAIL_MISSING)
        over(a);
    else
        next(a, FAIL);
}

static void say(struct actor *a, enum job_state state, enum fleet_when when, fleet_job_done *done)
{
    struct change c;

    change_init(&c);
    c.state = state;
    c.kind = JOB_UPLOAD;
    c.is_retry = a->step == AGAIN;
    if (job_is_final(state))
        c.text[TEXT_ERROR] = "it is gone";
    fleet_jobs_apply(a->node->jobs,
                     &(struct fleet_apply){
                         .id = a->id, .change = &c, .when = when, .patience_ms = 3000 },
                     done, a);
}

static void touch(struct actor *a)
{
    fleet_work_touch(a->node->work, a->id);
    if (random_permille(&a->world->random, 500))
        next(a, TOUCH);
    else
        next(a, random_permille(&a->world->random, 80) ? CANCEL : ENQUEUE);
}

static void act(struct actor *a)
{
    struct fleet_work *work = a->node->work;

    if (a->step == TOUCH) {
        touch(a);
        return;
    }
    actor_asks(a);
    switch ((enum step)a->step) {
    case CREATE: fleet_work_create(work, a->id, BEGUN, created, a); return;
    case ANNOUNCE: say(a, JOB_QUEUED, FLEET_IF_NEW, announced); return;
    case PLAN: fleet_work_plan(work, a->id, CHUNKS, planned, a); return;
    case PLACE: fleet_work_place(work, a->id, "undecided ", "parts 1", placed, a); return;
    case ENQUEUE:
        facts_enqueuing(a->world, a->id);
        fleet_work_enqueue(work, a->id, "0", "{}",
                           (enum fleet_priority)random_below(&a->world->random, FLEET_PRIORITIES),
                           enqueued, a);
        return;
    case WAIT_JOB: fleet_jobs_find(a->node->jobs, a->id, looked, a); return;
    case WAIT_WORK: fleet_work_find(work, a->id, found, a); return;
    case CANCEL: fleet_work_cancel(work, a->id, cancelled, a); return;
    case AGAIN: say(a, JOB_QUEUED, FLEET_IF_THERE, begun_again); return;
    case FAIL: say(a, JOB_CANCELLED, FLEET_IF_THERE, failed); return;
    case TOUCH: return;
    }
}

void upload_begin(struct world *w)
{
    struct actor *a = actor_new(w, "up", act);

    a->left = 2;
    actor_go(a, 0, 20 * SECOND);
}
