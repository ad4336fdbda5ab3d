#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "lib/reporter.h"
#include "reelay/reelay.h"

static const struct {
    int timeout_ms, status_ttl_s, interval_ms, jobs_max;
} defaults = { 2000, 3600, 100, 1000 }, most = { 600 * 1000, 365 * 24 * 3600, 60 * 1000, 10000 };

static bool choose(int wanted, int normal, int greatest, int *out)
{
    *out = wanted ? wanted : normal;
    return *out > 0 && *out <= greatest;
}

static const char *choose_url(const struct reelay_options *o)
{
    const char *url = o->redis_url ? o->redis_url : getenv("REDIS_URL");

    return url && *url ? url : "redis://localhost:6379";
}

/* hiredis knows one server, without TLS in the releases that are everywhere. */
static int read_url(const struct reelay_options *o, struct redis_url *out)
{
    struct redis_url url;
    struct buf why;

    buf_init(&why, 256);
    int err = redis_url_parse(choose_url(o), &url, &why);
    buf_deinit(&why);
    if (err != OK)
        return EINVAL;
    if (url.is_tls || url.service != NULL || url.host_count > 1) {
        redis_url_deinit(&url);
        return ENOTSUP;
    }
    *out = url;
    return 0;
}

static bool is_reserved_empty(const struct reelay_options *o)
{
    for (size_t i = 0; i < sizeof(o->reserved) / sizeof(*o->reserved); i++)
        if (o->reserved[i] != NULL)
            return false;
    return true;
}

/* 0 or an errno, as below. */
static int read_options(struct reelay *r, const struct reelay_options *o)
{
    int ttl_s, interval_ms, jobs_max;

    if (!is_reserved_empty(o) ||
        !choose(o->timeout_ms, defaults.timeout_ms, most.timeout_ms, &r->timeout_ms) ||
        !choose(o->status_ttl_s, defaults.status_ttl_s, most.status_ttl_s, &ttl_s) ||
        !choose(o->interval_ms, defaults.interval_ms, most.interval_ms, &interval_ms) ||
        !choose(o->jobs_max, defaults.jobs_max, most.jobs_max, &jobs_max))
        return EINVAL;
    snprintf(r->ttl_s, sizeof(r->ttl_s), "%d", ttl_s);
    backlog_init(&r->backlog, jobs_max, interval_ms);
    return read_url(o, &r->url);
}

static int make_locks(struct reelay *r)
{
    pthread_condattr_t attributes;

    int err = pthread_mutex_init(&r->lock, NULL);
    if (err != 0)
        return err;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    err = pthread_cond_init(&r->news, &attributes);
    pthread_condattr_destroy(&attributes);
    if (err != 0)
        pthread_mutex_destroy(&r->lock);
    return err;
}

/* The thread begins with every signal blocked, so that the program's handlers
 * run on the program's threads, and a broken pipe is an error code here. */
static int start_thread(struct reelay *r)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = pthread_create(&r->thread, NULL, sender_run, r);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err;
}

static int start(struct reelay *r)
{
    r->interrupt = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (r->interrupt < 0)
        return errno;
    int err = make_locks(r);
    if (err != 0)
        goto no_locks;
    err = start_thread(r);
    if (err != 0)
        goto no_thread;
    return 0;

no_thread:
    pthread_cond_destroy(&r->news);
    pthread_mutex_destroy(&r->lock);
no_locks:
    close(r->interrupt);
    return err;
}

struct reelay *reelay_open(const struct reelay_options *options)
{
    static const struct reelay_options none;
    struct reelay *r = calloc(1, sizeof(*r));

    if (r == NULL)
        return NULL; /* calloc has set errno */
    r->owner = getpid();
    atomic_init(&r->socket, -1);
    int err = read_options(r, options ? options : &none);
    if (err == 0)
        err = start(r);
    if (err == 0)
        return r;
    redis_url_deinit(&r->url);
    free(r);
    errno = err;
    return NULL;
}

/* Only descriptors are freed: the memory is as another thread of the parent had
 * it in the moment of the fork, maybe in the middle of a change. */
static int close_in_child(struct reelay *r)
{
    int number = atomic_exchange(&r->socket, -1);

    if (number >= 0)
        close(number);
    if (r->interrupt >= 0)
        close(r->interrupt);
    r->interrupt = -1;
    return REELAY_FORKED;
}

int reelay_close(struct reelay *r)
{
    uint64_t one = 1;

    if (r == NULL)
        return REELAY_OK;
    if (r->owner != getpid())
        return close_in_child(r);
    int result = reelay_flush(r);
    atomic_store(&r->is_ending, true);
    while (write(r->interrupt, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
    pthread_join(r->thread, NULL);
    backlog_deinit(&r->backlog);
    pthread_cond_destroy(&r->news);
    pthread_mutex_destroy(&r->lock);
    close(r->interrupt);
    redis_url_deinit(&r->url);
    free(r);
    return result;
}
