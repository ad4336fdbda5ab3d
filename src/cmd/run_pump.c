#include "cmd/run_pump.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"

enum {
    PUMP_CHUNK = 64 * 1024,
    LINGER_MS = 500,       /* of silence */
    LINGER_MAX = 1u << 20, /* more than fits into a pipe: somebody else is writing */
};

/* The descriptor may be non-blocking: it is not ours alone. */
static bool write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t written = write(fd, bytes, len);
        if (written >= 0) {
            bytes += written;
            len -= (size_t)written;
            continue;
        }
        struct pollfd room = { .fd = fd, .events = POLLOUT };
        if (errno == EAGAIN)
            poll(&room, 1, -1);
        else if (errno != EINTR)
            return false;
    }
    return true;
}

static void read_along(struct run_pump *p, const char *bytes, size_t len)
{
    struct run_pumps *all = p->all;

    pthread_mutex_lock(&all->lock);
    bool is_news = run_read_feed(all->read, p->stream, bytes, len, clock_mono_ms());
    pthread_mutex_unlock(&all->lock);
    if (is_news)
        uv_async_send(all->wake);
}

/* False: nothing more will come. */
static bool wait_for_bytes(const struct run_pump *p, bool *has_ended)
{
    struct pollfd fds[2] = {
        { .fd = p->from, .events = POLLIN },
        { .fd = p->all->ended_fd, .events = POLLIN },
    };

    for (;;) {
        int ready = poll(fds, *has_ended ? 1 : 2, *has_ended ? LINGER_MS : -1);
        if (ready == 0)
            return false;
        if (ready > 0 && fds[0].revents)
            return true;
        if (ready > 0)
            *has_ended = true;
    }
}

static void pass_through(struct run_pump *p)
{
    static const int to[RUN_STREAMS] = { STDOUT_FILENO, STDERR_FILENO };
    char chunk[PUMP_CHUNK];
    bool has_ended = false;
    size_t behind = 0;

    while (behind <= LINGER_MAX && wait_for_bytes(p, &has_ended)) {
        ssize_t len = read(p->from, chunk, sizeof(chunk));
        if (len < 0 && errno == EINTR)
            continue;
        if (len <= 0)
            return;
        if (!write_all(to[p->stream], chunk, (size_t)len))
            return;
        read_along(p, chunk, (size_t)len);
        if (has_ended)
            behind += (size_t)len;
    }
}

static void *pump_run(void *context)
{
    struct run_pump *p = context;
    struct run_pumps *all = p->all;

    pass_through(p);
    close(p->from);
    pthread_mutex_lock(&all->lock);
    run_read_end(all->read, p->stream, clock_mono_ms());
    all->running--;
    pthread_mutex_unlock(&all->lock);
    uv_async_send(all->wake);
    return NULL;
}

static int start_one(struct run_pumps *all, enum run_stream stream, int from)
{
    struct run_pump *p = &all->pumps[stream];

    *p = (struct run_pump){ .all = all, .stream = stream, .from = from };
    pthread_mutex_lock(&all->lock);
    all->running++;
    pthread_mutex_unlock(&all->lock);
    int err = pthread_create(&p->thread, NULL, pump_run, p);
    p->has_thread = err == 0;
    if (err == 0)
        return OK;
    pthread_mutex_lock(&all->lock);
    all->running--;
    pthread_mutex_unlock(&all->lock);
    close(from);
    return fail_from_errno(err);
}

int run_pumps_start(struct run_pumps *p, const int pipes[RUN_STREAMS], struct run_read *read,
                    uv_async_t *wake)
{
    int err = OK;

    *p = (struct run_pumps){ .read = read, .wake = wake };
    pthread_mutex_init(&p->lock, NULL);
    p->ended_fd = eventfd(0, EFD_CLOEXEC);
    if (p->ended_fd < 0)
        err = fail_from_errno(errno);
    for (int i = 0; i < RUN_STREAMS; i++) {
        if (pipes[i] >= 0 && err == OK)
            err = start_one(p, (enum run_stream)i, pipes[i]);
        else if (pipes[i] >= 0)
            close(pipes[i]);
    }
    return err;
}

void run_pumps_finish(struct run_pumps *p)
{
    eventfd_write(p->ended_fd, 1);
}

void run_pumps_close(struct run_pumps *p)
{
    for (int i = 0; i < RUN_STREAMS; i++)
        if (p->pumps[i].has_thread)
            pthread_join(p->pumps[i].thread, NULL);
    if (p->ended_fd >= 0)
        close(p->ended_fd);
    pthread_mutex_destroy(&p->lock);
}

void run_pumps_news(struct run_pumps *p, struct run_news *out)
{
    pthread_mutex_lock(&p->lock);
    *out = *run_read_news(p->read);
    pthread_mutex_unlock(&p->lock);
}

void run_pumps_last_words(struct run_pumps *p, char out[RUN_TEXT_MAX])
{
    pthread_mutex_lock(&p->lock);
    snprintf(out, RUN_TEXT_MAX, "%s", run_read_last_words(p->read));
    pthread_mutex_unlock(&p->lock);
}

bool run_pumps_are_running(struct run_pumps *p)
{
    pthread_mutex_lock(&p->lock);
    bool are_running = p->running > 0;
    pthread_mutex_unlock(&p->lock);
    return are_running;
}
