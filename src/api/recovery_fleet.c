/* Rooms that several nodes share: what fleet/rooms.h knows on the desk. What is said is
 * mail there, in order; an answer is mail back, to a thread that is there for as long
 * as somebody on it waits. */
#include <pthread.h>
#include <string.h>

#include "api/recovery.h"
#include "base/mem.h"
#include "fleet/rooms.h"

_Static_assert(RECOVERY_PID_SIZE == (int)FLEET_PID_SIZE, "");
_Static_assert(RECOVERY_SID_SIZE == (int)FLEET_SID_SIZE, "");

struct shared {
    struct recovery recovery; /* first: recoveries are these */
    struct mailbox *desk;
    struct fleet_rooms *rooms;
    pthread_mutex_t lock; /* of is_abandoned of those who wait */
};

static struct shared *shared_of(struct recovery *r)
{
    return (struct shared *)r;
}

/* What a holder says */

struct said {
    struct mail mail;
    struct shared *shared;
    void (*tell)(struct fleet_rooms *r, const struct fleet_hold *hold);
    void (*tell_job)(struct fleet_rooms *r, const struct fleet_hold *hold, const char *job);
    struct recovery_hold hold;
    char *subject, *job;
};

static void said_open(struct mail *mail)
{
    struct said *s = (struct said *)mail;
    struct fleet_hold hold = { s->hold.pid, s->hold.sid, s->subject ? s->subject : "",
                               s->hold.number };

    if (s->tell != NULL)
        s->tell(s->shared->rooms, &hold);
    else
        s->tell_job(s->shared->rooms, &hold, s->job);
    mem_free(s->subject);
    mem_free(s->job);
    mem_free(s);
}

static struct said *said_new(struct recovery *r, const struct recovery_hold *hold)
{
    struct said *s = mem_new(struct said);

    s->mail.open = said_open;
    s->shared = shared_of(r);
    s->hold = *hold;
    return s;
}

static void say(struct said *s)
{
    mailbox_post(s->shared->desk, &s->mail);
}

static void shared_join(struct recovery *r, const struct recovery_hold *hold, const char *subject,
                        const char *job)
{
    struct said *s = said_new(r, hold);

    s->tell_job = fleet_rooms_join;
    s->subject = mem_strdup(subject);
    s->job = mem_strdup(job);
    say(s);
}

static void shared_part(struct recovery *r, const struct recovery_hold *hold, const char *job)
{
    struct said *s = said_new(r, hold);

    s->tell_job = fleet_rooms_part;
    s->job = mem_strdup(job);
    say(s);
}

static void shared_lose(struct recovery *r, const struct recovery_hold *hold, uint64_t now_ms)
{
    struct said *s = said_new(r, hold);

    (void)now_ms;
    s->tell = fleet_rooms_lose;
    say(s);
}

static void shared_forget(struct recovery *r, const struct recovery_hold *hold)
{
    struct said *s = said_new(r, hold);

    s->tell = fleet_rooms_forget;
    say(s);
}

/* Claims */

struct recovery_wait {
    struct mail mail;
    struct shared *shared;
    struct mailbox *home;
    recovery_done *done;
    void *context;
    struct recovery_answer answer;
    struct buf jobs;
    char *pid, *subject;
    bool is_abandoned; /* set at home, under the lock */
};

static void wait_free(struct recovery_wait *w)
{
    buf_deinit(&w->jobs);
    mem_free(w->pid);
    mem_free(w->subject);
    mem_free(w);
}

/* Nobody is there to hold it. */
static void let_go(struct recovery_wait *w)
{
    if (w->answer.is_known)
        shared_lose(&w->shared->recovery, &w->answer.hold, 0);
    wait_free(w);
}

static void come_home(struct mail *mail)
{
    struct recovery_wait *w = (struct recovery_wait *)mail;

    if (w->is_abandoned) {
        let_go(w);
        return;
    }
    w->done(w->context, &w->answer);
    wait_free(w);
}

static void note_found(struct recovery_wait *w, const struct fleet_rooms_found *found)
{
    struct recovery_answer *answer = &w->answer;
    const char *end = found->jobs;

    for (size_t i = 0; i < found->count; i++)
        end += strlen(end) + 1;
    buf_append(&w->jobs, found->jobs, (size_t)(end - found->jobs));
    memcpy(answer->hold.pid, w->pid, sizeof(answer->hold.pid));
    memcpy(answer->hold.sid, found->sid, sizeof(answer->hold.sid));
    answer->hold.number = found->number;
    answer->is_known = true;
    answer->count = found->count;
    answer->jobs = buf_text(&w->jobs);
}

/* On the desk. A thread ends behind its last client, which abandons what it waits for. */
static void found(void *context, const struct fleet_rooms_found *found_rooms)
{
    struct recovery_wait *w = context;
    struct shared *s = w->shared;

    if (found_rooms != NULL)
        note_found(w, found_rooms);
    else
        recovery_name(&w->answer.hold);
    pthread_mutex_lock(&s->lock);
    bool is_abandoned = w->is_abandoned;
    w->mail.open = come_home;
    if (!is_abandoned)
        mailbox_post(w->home, &w->mail);
    pthread_mutex_unlock(&s->lock);
    if (is_abandoned)
        let_go(w);
}

static void wait_open(struct mail *mail)
{
    struct recovery_wait *w = (struct recovery_wait *)mail;

    fleet_rooms_claim(w->shared->rooms, w->pid, w->subject, found, w);
}

static struct recovery_wait *shared_claim(struct recovery *r, const struct recovery_ask *ask)
{
    struct recovery_wait *w = mem_new(struct recovery_wait);

    w->mail.open = wait_open;
    w->shared = shared_of(r);
    w->home = ask->home;
    w->done = ask->done;
    w->context = ask->context;
    w->pid = mem_strdup(ask->pid);
    w->subject = mem_strdup(ask->subject);
    buf_init(&w->jobs, SIZE_MAX / 2);
    mailbox_post(w->shared->desk, &w->mail);
    return w;
}

static void shared_abandon(struct recovery *r, struct recovery_wait *w)
{
    struct shared *s = shared_of(r);

    pthread_mutex_lock(&s->lock);
    w->is_abandoned = true;
    pthread_mutex_unlock(&s->lock);
}

static void shared_free(struct recovery *r)
{
    pthread_mutex_destroy(&shared_of(r)->lock);
    mem_free(r);
}

static const struct recovery_ops shared_ops = {
    .claim = shared_claim,
    .abandon = shared_abandon,
    .join = shared_join,
    .part = shared_part,
    .lose = shared_lose,
    .forget = shared_forget,
    .free = shared_free,
};

struct recovery *recovery_new_fleet(struct mailbox *desk, struct fleet_rooms *rooms)
{
    struct shared *s = mem_new(struct shared);

    s->recovery.ops = &shared_ops;
    s->desk = desk;
    s->rooms = rooms;
    pthread_mutex_init(&s->lock, NULL);
    return &s->recovery;
}
