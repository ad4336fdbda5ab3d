/* A store in a fresh folder with a ledger before it and an ear behind: what
 * the ear heard, in order, and how often the log had been synced by then. */
#ifndef TESTS_STORE_DESK_H
#define TESTS_STORE_DESK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "faults.h"
#include "store/store.h"

enum { HEARD_MAX = 100000 };

struct heard {
    struct update *update;
    unsigned syncs;
};

struct desk {
    struct listener listener; /* first */
    char root[64], path[96];
    struct store *store;
    struct ledger *ledger;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    size_t heard_count;
    struct heard heard[HEARD_MAX];
};

static inline void desk_post(struct listener *listener, struct update *u)
{
    struct desk *d = (struct desk *)listener;

    pthread_mutex_lock(&d->lock);
    assert_true(d->heard_count < HEARD_MAX);
    d->heard[d->heard_count++] =
        (struct heard){ .update = update_ref(u), .syncs = atomic_load(&faults_syncs) };
    pthread_cond_broadcast(&d->wake);
    pthread_mutex_unlock(&d->lock);
}

static inline void desk_open_store(struct desk *d)
{
    struct buf why;
    uint64_t start;
    unsigned index;

    buf_init(&why, 1024);
    int err = store_open(d->path, &d->store, &why);
    if (err != OK)
        fail_msg("%s", buf_text(&why));
    buf_deinit(&why);
    assert_int_equal(store_count_start(d->store, &start), OK);
    d->ledger = ledger_new(store_journal(d->store), start << STORE_SEQ_BITS);
    assert_int_equal(ledger_listen(d->ledger, &d->listener, &index), OK);
    ledger_watch_all(d->ledger, index, NULL, NULL);
}

static inline void desk_close_store(struct desk *d)
{
    store_close(d->store);
    ledger_free(d->ledger);
    d->store = NULL;
    d->ledger = NULL;
}

static inline void desk_forget(struct desk *d)
{
    for (size_t i = 0; i < d->heard_count; i++)
        update_unref(&d->heard[i].update);
    d->heard_count = 0;
}

/* Closed and opened again, running: what is in the file is all there is. */
static inline void desk_reopen(struct desk *d)
{
    if (d->store != NULL)
        desk_close_store(d);
    desk_forget(d);
    desk_open_store(d);
    assert_int_equal(store_start(d->store, d->ledger), OK);
}

static inline int desk_setup_idle(void **state)
{
    struct desk *d = mem_new(struct desk);

    d->listener.post = desk_post;
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->wake, NULL);
    snprintf(d->root, sizeof d->root, "/tmp/reelay-store-XXXXXX");
    if (mkdtemp(d->root) == NULL)
        return -1;
    snprintf(d->path, sizeof d->path, "%s/jobs.db", d->root);
    desk_open_store(d);
    *state = d;
    return 0;
}

static inline int desk_setup(void **state)
{
    int err = desk_setup_idle(state);
    struct desk *d = *state;

    return err ? err : store_start(d->store, d->ledger);
}

static inline int desk_unlink(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline int desk_teardown(void **state)
{
    struct desk *d = *state;

    faults_refuse(SQLITE_OK);
    if (d->store != NULL)
        desk_close_store(d);
    desk_forget(d);
    /* Left mounted when a test for a full disk failed halfway. */
    umount2(d->root, MNT_DETACH);
    int err = nftw(d->root, desk_unlink, 16, FTW_DEPTH | FTW_PHYS);
    pthread_mutex_destroy(&d->lock);
    pthread_cond_destroy(&d->wake);
    mem_free(d);
    return err;
}

/* Waits with the lock held; fails the test after ten seconds of nothing. */
static inline void desk_wait_locked(struct desk *d)
{
    struct timespec deadline;

    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 10;
    if (pthread_cond_timedwait(&d->wake, &d->lock, &deadline) != 0) {
        pthread_mutex_unlock(&d->lock);
        fail_msg("nothing happened for ten seconds");
    }
}

static inline void desk_wait_heard(struct desk *d, size_t count)
{
    pthread_mutex_lock(&d->lock);
    while (d->heard_count < count)
        desk_wait_locked(d);
    pthread_mutex_unlock(&d->lock);
}

/* Says something about a job; -1 keeps the fraction. */
static inline void desk_say(struct desk *d, const char *id, enum job_state state, double fraction)
{
    struct change c;

    change_init(&c);
    c.kind = JOB_EXTERNAL;
    c.state = (int)state;
    if (fraction >= 0)
        c.fraction = fraction;
    if (job_is_final(state) && state != JOB_COMPLETED)
        c.text[TEXT_ERROR] = "it went wrong";
    assert_int_equal(ledger_apply(d->ledger, id, &c, true, NULL), OK);
}

static inline void desk_create(struct desk *d, const char *id, const char *owner)
{
    struct change c;

    change_init(&c);
    c.kind = JOB_UPLOAD;
    c.state = JOB_QUEUED;
    c.text[TEXT_OWNER] = owner;
    assert_int_equal(ledger_create(d->ledger, id, &c, NULL), OK);
}

/* A callback to wait for. */
struct answer {
    struct desk *desk;
    bool is_there;
    int err;
    unsigned syncs;
};

static inline void desk_answer(void *context, int err)
{
    struct answer *a = context;

    pthread_mutex_lock(&a->desk->lock);
    a->is_there = true;
    a->err = err;
    a->syncs = atomic_load(&faults_syncs);
    pthread_cond_broadcast(&a->desk->wake);
    pthread_mutex_unlock(&a->desk->lock);
}

static inline int desk_wait_answer(struct answer *a)
{
    pthread_mutex_lock(&a->desk->lock);
    while (!a->is_there)
        desk_wait_locked(a->desk);
    pthread_mutex_unlock(&a->desk->lock);
    return a->err;
}

static inline int desk_put_work(struct desk *d, const char *job, const char *step)
{
    struct answer a = { .desk = d };

    store_put_work(d->store, job, step, "{\"n\":1}", desk_answer, &a);
    return desk_wait_answer(&a);
}

/* The stored state of a job, or -1. */
static inline int desk_stored(struct desk *d, const char *id)
{
    struct update *u = NULL;
    int err = store_find(d->store, id, &u);
    int state = err == OK ? (int)u->state : -1;

    update_unref(&u);
    return state;
}

#endif
