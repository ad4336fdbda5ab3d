#include "io/thread.h"

#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/counters.h"
#include "core/update.h"
#include "io/connection.h"
#include "io/conversation.h"
#include "io/listener.h"
#include "io/thread_internal.h"

enum { HUB_TICK_MS = 1000, PATIENCE_MS = 10 * 1000 };

struct mailbox *io_thread_mailbox(struct io_thread *t)
{
    return t->mailbox;
}

uv_loop_t *io_thread_loop(struct io_thread *t)
{
    return &t->loop;
}

struct hub *io_thread_hub(struct io_thread *t)
{
    return t->hub;
}

unsigned io_thread_index(const struct io_thread *t)
{
    return t->index;
}

bool io_thread_post(struct io_thread *t, struct mail *mail)
{
    pthread_mutex_lock(&t->pool->mutex);
    bool is_heard = !t->is_deaf;
    if (is_heard)
        mailbox_post(t->mailbox, mail);
    pthread_mutex_unlock(&t->pool->mutex);
    return is_heard;
}

void io_thread_add_drainer(struct io_thread *t, struct drainer *drainer)
{
    drainer->next = t->drainers;
    t->drainers = drainer;
}

bool io_thread_take(struct io_thread *t, struct bucket *bucket)
{
    if (bucket_take(bucket, &t->pool->messages, (uint32_t)uv_now(&t->loop)))
        return true;
    counter_add(COUNT_LIMITED_MESSAGES, 1);
    return false;
}

void io_thread_count(struct io_thread *t, int change, bool is_counted)
{
    struct io_pool *p = t->pool;

    t->connection_count += (size_t)change;
    if (is_counted) {
        atomic_fetch_add_explicit(&p->connections, (size_t)change, memory_order_relaxed);
        counter_add(COUNT_OPEN_HTTP, change);
    } else {
        t->refused_count += (size_t)change;
    }
    if (atomic_fetch_add(&p->sockets, (size_t)change) + (size_t)change > 0)
        return;
    pthread_mutex_lock(&p->mutex);
    pthread_cond_signal(&p->all_ended);
    pthread_mutex_unlock(&p->mutex);
}

static void on_awake(uv_idle_t *idle)
{
    (void)idle; /* that it is active is all: the loop then polls without waiting */
}

void io_thread_later(struct io_thread *t, struct chore *chore)
{
    if (chore->is_queued)
        return;
    chore->is_queued = true;
    chore->next = NULL;
    *t->chores_end = chore;
    t->chores_end = &chore->next;
    if (!t->is_ended) /* else conversations_abandon does the rest */
        uv_idle_start(&t->awake, on_awake);
}

/* Only those that wait now: one that queues another must not keep the loop
 * from its sockets. */
static void run_chores(struct io_thread *t)
{
    struct chore *chore = t->chores;

    t->chores = NULL;
    t->chores_end = &t->chores;
    while (chore != NULL) {
        struct chore *next = chore->next;
        chore->is_queued = false;
        chore->run(chore);
        chore = next;
    }
    if (t->chores == NULL)
        uv_idle_stop(&t->awake);
}

struct update_mail {
    struct mail mail; /* first: mail is cast back */
    struct io_thread *thread;
    struct update *update;
};

static void open_update(struct mail *mail)
{
    struct update_mail *m = (struct update_mail *)mail;

    if (m->thread->hub != NULL)
        hub_publish(m->thread->hub, m->update);
    update_unref(&m->update);
    mem_free(m);
}

/* On any thread, with the ledger's lock held. */
static void post_update(struct listener *listener, struct update *u)
{
    struct io_thread *t =
        (struct io_thread *)(void *)((char *)listener - offsetof(struct io_thread, listener));
    struct update_mail *m = mem_new(struct update_mail);

    m->mail.open = open_update;
    m->thread = t;
    m->update = update_ref(u);
    mailbox_post(t->mailbox, &m->mail);
}

static void finish(struct io_thread *t)
{
    t->is_ended = true;
    if (t->hub != NULL)
        hub_free(t->hub);
    t->hub = NULL;
    pthread_mutex_lock(&t->pool->mutex);
    t->is_deaf = true;
    pthread_mutex_unlock(&t->pool->mutex);
    mailbox_close(t->mailbox);
    uv_close((uv_handle_t *)&t->prepare, NULL);
    uv_close((uv_handle_t *)&t->awake, NULL);
    uv_close((uv_handle_t *)&t->timer, NULL);
}

/* Everything that ended the thread's last connection is off the stack here. What
 * a handler waits for (a record, the desk) comes to this thread's mailbox: so
 * that one stays until all of them have answered, unless one never does. */
static void end_if_over(struct io_thread *t)
{
    struct io_pool *p = t->pool;

    if (!t->is_ending || t->is_ended || t->connection_count > 0)
        return;
    if (!t->is_told_end && p->thread_end != NULL)
        p->thread_end(p->context, t);
    t->is_told_end = true;
    if (t->exchanges == NULL || uv_now(&t->loop) >= t->patience_ends_ms)
        finish(t);
}

static void on_tick_end(uv_prepare_t *prepare)
{
    struct io_thread *t = prepare->data;

    run_chores(t);
    if (t->hub != NULL)
        hub_flush(t->hub);
    end_if_over(t);
}

static void on_timer(uv_timer_t *timer)
{
    struct io_thread *t = timer->data;
    uint64_t now_ms = uv_now(&t->loop);

    clock_http_date(clock_wall_ms(), t->date);
    wheel_advance(&t->wheel, now_ms, connection_fire);
    acceptors_resume(t);
    uv_timer_start(timer, on_timer, wheel_pause_ms(&t->wheel, now_ms), 0);
    if (t->hub != NULL && now_ms / HUB_TICK_MS != t->hub_ticked_ms / HUB_TICK_MS) {
        t->hub_ticked_ms = now_ms;
        hub_tick(t->hub, clock_mono_ms());
    }
}

static void open_drain(struct mail *mail)
{
    struct io_thread *t =
        (struct io_thread *)(void *)((char *)mail - offsetof(struct io_thread, drain_mail));

    t->is_draining = true;
    acceptors_close(t);
    for (struct drainer *d = t->drainers; d != NULL; d = d->next)
        d->drain(d);
    wheel_each(&t->wheel, connection_drain);
}

static void open_end(struct mail *mail)
{
    struct io_thread *t =
        (struct io_thread *)(void *)((char *)mail - offsetof(struct io_thread, end_mail));

    t->is_draining = t->is_ending = true;
    t->patience_ends_ms = uv_now(&t->loop) + PATIENCE_MS;
    acceptors_close(t);
    wheel_each(&t->wheel, connection_cut);
}

void io_thread_end(struct io_thread *t)
{
    mailbox_post(t->mailbox, &t->end_mail);
}

static int init_handles(struct io_thread *t)
{
    if (uv_loop_init(&t->loop) != 0)
        return FAIL_IO;
    if (mailbox_open(&t->loop, &t->mailbox) != OK) {
        uv_loop_close(&t->loop);
        return FAIL_IO;
    }
    /* These three cannot fail. */
    uv_prepare_init(&t->loop, &t->prepare);
    uv_idle_init(&t->loop, &t->awake);
    uv_timer_init(&t->loop, &t->timer);
    t->prepare.data = t->timer.data = t;
    uv_prepare_start(&t->prepare, on_tick_end);
    return OK;
}

int io_thread_init(struct io_thread *t, struct io_pool *p, unsigned index, struct ledger *ledger)
{
    t->pool = p;
    t->index = index;
    t->chores_end = &t->chores;
    t->drain_mail.open = open_drain;
    t->end_mail.open = open_end;
    t->listener.post = post_update;
    if (init_handles(t) != OK)
        return FAIL_IO;
    clock_http_date(clock_wall_ms(), t->date);
    wheel_init(&t->wheel, p->timeouts.tick, uv_now(&t->loop));
    uv_timer_start(&t->timer, on_timer, wheel_pause_ms(&t->wheel, uv_now(&t->loop)), 0);
    t->buffer = mem_alloc(IO_BUFFER_SIZE);
    if (ledger == NULL)
        return OK;
    unsigned ear;
    int rc = ledger_listen(ledger, &t->listener, &ear);
    if (rc != OK) {
        io_thread_deinit(t);
        return rc;
    }
    t->hub = hub_new(ledger, ear);
    if (p->subscriptions_max > 0)
        hub_limit(t->hub, p->subscriptions_max);
    hub_tick(t->hub, clock_mono_ms()); /* sets its clock */
    return OK;
}

static void run_loop(struct io_thread *t)
{
    uv_run(&t->loop, UV_RUN_DEFAULT);
    conversations_abandon(t);
    if (uv_loop_close(&t->loop) != 0)
        log_error("loop_not_empty", LOG_I("thread", t->index));
    mem_free(t->buffer);
}

void io_thread_deinit(struct io_thread *t)
{
    io_thread_end(t);
    run_loop(t);
}

static void *thread_main(void *argument)
{
    run_loop(argument);
    return NULL;
}

int io_thread_start(struct io_thread *t)
{
    if (pthread_create(&t->id, NULL, thread_main, t) != 0)
        return FAIL_IO;
    return OK;
}
