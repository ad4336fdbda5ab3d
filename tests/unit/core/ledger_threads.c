#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>

#include "base/err.h"
#include "core/ledger.h"

/* Several threads report, watch, and write down at once; each ear checks what
 * it hears under the ledger's own lock. Run under the thread sanitizer too. */
enum { JOBS = 6, STEPS = 2000, PUBLISHERS = 3, LISTENERS = 4, CONFIRMERS = 2, QUEUE = 1 << 16 };

struct ear {
    struct listener listener;
    unsigned index;
    uint64_t seen[JOBS];  /* what its last watch gave: its own thread's */
    uint64_t last[JOBS];  /* what it was posted: guarded by the ledger's lock */
    bool is_final[JOBS];  /* likewise */
    atomic_uint disorder; /* updates that came out of order, or behind a final one */
};

static struct ledger *ledger;
static struct ear ears[LISTENERS];
static atomic_int publishers_left;

static unsigned number_of(const struct update *u)
{
    return (unsigned)(u->text[TEXT_ID][0] - 'a');
}

static void post(struct listener *listener, struct update *u)
{
    struct ear *e = (struct ear *)listener;
    unsigned job = number_of(u);

    if (u->seq <= e->last[job] || e->is_final[job])
        atomic_fetch_add(&e->disorder, 1);
    e->last[job] = u->seq;
    e->is_final[job] = job_is_final(u->state);
}

/* The queue between append and confirm, taken in order under one lock. */
struct paper {
    struct journal journal;
    pthread_mutex_t lock;    /* of the queue: taken inside the ledger's */
    pthread_mutex_t writing; /* one confirmer at a time: confirmations are in order */
    struct update *queue[QUEUE];
    size_t first, last;
};

static void append(struct journal *journal, struct update *u)
{
    struct paper *p = (struct paper *)journal;

    pthread_mutex_lock(&p->lock);
    p->queue[p->last++ % QUEUE] = update_ref(u);
    pthread_mutex_unlock(&p->lock);
}

static struct paper paper = { .journal.append = append,
                              .lock = PTHREAD_MUTEX_INITIALIZER,
                              .writing = PTHREAD_MUTEX_INITIALIZER };

/* Confirms what has queued up; how many that were. */
static size_t write_down(void)
{
    struct update *batch[64];
    size_t count = 0;

    pthread_mutex_lock(&paper.writing);
    pthread_mutex_lock(&paper.lock);
    while (count < 64 && paper.first < paper.last)
        batch[count++] = paper.queue[paper.first++ % QUEUE];
    pthread_mutex_unlock(&paper.lock);
    ledger_confirm(ledger, batch, count);
    pthread_mutex_unlock(&paper.writing);
    for (size_t i = 0; i < count; i++)
        update_unref(&batch[i]);
    return count;
}

static void *confirm(void *unused)
{
    while (atomic_load(&publishers_left) > 0 || write_down() > 0)
        write_down();
    return unused;
}

static void apply(int job, enum job_state to, double fraction)
{
    char id[2] = { (char)('a' + job), '\0' };
    struct change c;

    change_init(&c);
    c.state = (int)to;
    c.fraction = fraction;
    ledger_apply(ledger, id, &c, true, NULL);
}

static void *publish(void *unused)
{
    for (int step = 0; step < STEPS; step++)
        apply(step % JOBS, JOB_PROCESSING, (double)step / STEPS);
    if (atomic_fetch_sub(&publishers_left, 1) == 1) /* the last one closes them all */
        for (int job = 0; job < JOBS; job++)
            apply(job, JOB_COMPLETED, 1);
    return unused;
}

/* Watches and unwatches all the while, and in the end watches everything. */
static void *watch(void *context)
{
    struct ear *e = context;
    void *wrong = NULL;

    for (int round = 0; round < STEPS; round++) {
        char id[2] = { (char)('a' + round % JOBS), '\0' };
        struct update *present = ledger_watch(ledger, id, e->index);
        struct update *later = ledger_snapshot(ledger, id);
        if (present != NULL && later->seq < present->seq)
            wrong = e;
        e->seen[round % JOBS] = present ? present->seq : 0;
        update_unref(&present);
        update_unref(&later);
        if (round % 3 == 0 && round + JOBS < STEPS)
            ledger_unwatch(ledger, id, e->index);
    }
    return wrong;
}

static void every_ear_hears_every_job_in_order_to_its_end(void **state)
{
    pthread_t threads[PUBLISHERS + LISTENERS + CONFIRMERS];
    unsigned count = 0;

    (void)state;
    ledger = ledger_new(&paper.journal, 0);
    atomic_store(&publishers_left, PUBLISHERS);
    for (unsigned i = 0; i < LISTENERS; i++) {
        ears[i].listener.post = post;
        assert_int_equal(ledger_listen(ledger, &ears[i].listener, &ears[i].index), OK);
    }
    for (unsigned i = 0; i < LISTENERS; i++)
        pthread_create(&threads[count++], NULL, watch, &ears[i]);
    for (unsigned i = 0; i < PUBLISHERS; i++)
        pthread_create(&threads[count++], NULL, publish, NULL);
    for (unsigned i = 0; i < CONFIRMERS; i++)
        pthread_create(&threads[count++], NULL, confirm, NULL);
    for (unsigned i = 0; i < count; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    while (write_down() > 0)
        continue;
    assert_int_equal(paper.first, paper.last);
    assert_true(paper.last <= QUEUE);

    for (int job = 0; job < JOBS; job++) {
        char id[2] = { (char)('a' + job), '\0' };
        struct update *head = ledger_head(ledger, id);
        struct update *heard = ledger_snapshot(ledger, id);
        assert_ptr_equal(head, heard);
        assert_int_equal(heard->state, JOB_COMPLETED);
        for (unsigned i = 0; i < LISTENERS; i++) {
            uint64_t posted = ears[i].last[job], seen = ears[i].seen[job];
            assert_int_equal(posted > seen ? posted : seen, heard->seq);
            assert_int_equal(atomic_load(&ears[i].disorder), 0);
        }
        update_unref(&head);
        update_unref(&heard);
    }
    ledger_free(ledger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_ear_hears_every_job_in_order_to_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
