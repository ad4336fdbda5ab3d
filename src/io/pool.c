#include <errno.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "core/limits.h"
#include "io/listener.h"
#include "io/thread.h"
#include "io/thread_internal.h"

const struct io_timeouts io_timeouts_default = {
    .head = HTTP_HEAD_TIMEOUT_MS,
    .body = HTTP_BODY_TIMEOUT_MS,
    .idle = HTTP_IDLE_TIMEOUT_MS,
    .write = HTTP_WRITE_TIMEOUT_MS,
    .ws_ping = WS_DEAD_AFTER_MS / 3,
    .ws_dead = WS_DEAD_AFTER_MS,
    .ws_close = WS_CLOSE_TIMEOUT_MS,
    .tick = 1000,
};

const char *io_pool_address(const struct io_pool *p, size_t index)
{
    return p->addresses[index];
}

size_t io_pool_connections(const struct io_pool *p)
{
    return atomic_load_explicit(&p->connections, memory_order_relaxed);
}

static void pool_free(struct io_pool *p)
{
    for (size_t i = 0; i < p->address_count; i++)
        mem_free(p->addresses[i]);
    mem_free(p->addresses);
    mem_free(p->threads);
    peers_free(p->peers);
    pthread_mutex_destroy(&p->mutex);
    pthread_cond_destroy(&p->all_ended);
    mem_free(p);
}

static struct io_pool *pool_new(const struct io_settings *settings, exchange_handler request,
                                void *context)
{
    struct io_pool *p = mem_new(struct io_pool);
    pthread_condattr_t attributes;

    p->timeouts = settings->timeouts != NULL ? *settings->timeouts : io_timeouts_default;
    p->ws = settings->ws;
    p->messages = settings->messages;
    p->connections_max = settings->connections_max;
    p->subscriptions_max = settings->subscriptions_max;
    p->peers = peers_new(&settings->peers);
    p->request = request;
    p->context = context;
    p->thread_end = settings->thread_end;
    p->threads = mem_zalloc(settings->threads * sizeof(*p->threads));
    p->addresses = mem_zalloc(settings->address_count * sizeof(*p->addresses));
    pthread_mutex_init(&p->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&p->all_ended, &attributes);
    pthread_condattr_destroy(&attributes);
    return p;
}

/* The address on every thread: a port the kernel chose for the first is the
 * others' too. */
static int bind_address(struct io_pool *p, const char *text)
{
    struct listen_address a;
    char bound[LISTEN_TEXT_MAX];

    int rc = listen_address_parse(text, &a);
    if (rc == OK)
        rc = listener_probe(&a);
    for (unsigned i = 0; rc == OK && i < p->thread_count; i++) {
        int fd;
        rc = listener_bind(&a, &fd);
        if (rc == OK)
            rc = acceptor_open(&p->threads[i], fd);
    }
    if (rc != OK)
        return rc;
    listen_address_text(&a, bound);
    p->addresses[p->address_count++] = mem_strdup(bound);
    return OK;
}

static int prepare(struct io_pool *p, const struct io_settings *settings, struct ledger *ledger,
                   struct buf *why)
{
    for (unsigned i = 0; i < settings->threads; i++) {
        int rc = io_thread_init(&p->threads[i], p, i, ledger);
        if (rc != OK) {
            buf_printf(why, "cannot prepare I/O thread %u: %s", i, fail_text(rc));
            return rc;
        }
        p->thread_count++;
    }
    for (size_t i = 0; i < settings->address_count; i++) {
        int rc = bind_address(p, settings->addresses[i]);
        if (rc != OK) {
            buf_printf(why, "cannot listen on %s: %s", settings->addresses[i],
                       rc == FAIL_EXISTS ? "it is in use" : fail_text(rc));
            return rc;
        }
    }
    return OK;
}

/* Ends all threads, those that run and those that never did. */
static void end_threads(struct io_pool *p)
{
    for (unsigned i = 0; i < p->threads_started; i++)
        io_thread_end(&p->threads[i]);
    for (unsigned i = 0; i < p->threads_started; i++)
        pthread_join(p->threads[i].id, NULL);
    for (unsigned i = p->threads_started; i < p->thread_count; i++)
        io_thread_deinit(&p->threads[i]);
}

int io_pool_start(const struct io_settings *settings, struct ledger *ledger,
                  exchange_handler request, void *context, struct io_pool **out, struct buf *why)
{
    struct io_pool *p = pool_new(settings, request, context);

    signal(SIGPIPE, SIG_IGN); /* sendfile(2) knows no MSG_NOSIGNAL */
    int rc = prepare(p, settings, ledger, why);
    while (rc == OK && p->threads_started < p->thread_count) {
        rc = io_thread_start(&p->threads[p->threads_started]);
        if (rc == OK)
            p->threads_started++;
        else
            buf_puts(why, "cannot start an I/O thread");
    }
    if (rc == OK) {
        *out = p;
        return OK;
    }
    end_threads(p);
    pool_free(p);
    return rc;
}

void io_pool_drain(struct io_pool *p)
{
    if (p->is_draining)
        return;
    p->is_draining = true;
    for (unsigned i = 0; i < p->thread_count; i++)
        mailbox_post(p->threads[i].mailbox, &p->threads[i].drain_mail);
}

static void wait_until_empty(struct io_pool *p, uint32_t timeout_ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&p->mutex);
    while (atomic_load(&p->sockets) > 0)
        if (pthread_cond_timedwait(&p->all_ended, &p->mutex, &until) == ETIMEDOUT)
            break;
    pthread_mutex_unlock(&p->mutex);
}

void io_pool_stop(struct io_pool *p, uint32_t timeout_ms)
{
    io_pool_drain(p);
    wait_until_empty(p, timeout_ms);
    end_threads(p);
    pool_free(p);
}
