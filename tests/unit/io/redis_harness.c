#include "redis_harness.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

enum { PATIENCE_MS = 60 * 1000, ARGS_MAX = 48 };

static struct sockaddr_in loopback(unsigned port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

/* Below those that connections get, of which one would be taken in passing while its server is
 * down. Processes that run at once begin apart. */
unsigned free_port(void)
{
    enum { FIRST = 22000, COUNT = 10000, APART = 97 };
    static unsigned next;

    for (;;) {
        unsigned port = FIRST + ((unsigned)getpid() * APART + next++) % COUNT;
        struct sockaddr_in address = loopback(port);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int err = bind(fd, (struct sockaddr *)&address, sizeof(address));
        close(fd);
        if (err == 0)
            return port;
        assert_int_equal(errno, EADDRINUSE);
    }
}

static bool is_listening(unsigned port)
{
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;

    close(fd);
    return is;
}

static void become_sentinel(const struct server *s)
{
    char path[96];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(path, sizeof(path), "%s/sentinel.conf", s->folder);
    execlp("redis-server", "redis-server", path, "--sentinel", NULL);
    _exit(127);
}

static void become_server(const struct server *s)
{
    char port[16], path[96], log[96];
    const char *args[ARGS_MAX] = { "redis-server",
                                   "--port",
                                   port,
                                   "--bind",
                                   "127.0.0.1",
                                   "--dir",
                                   s->folder,
                                   "--save",
                                   "",
                                   "--appendonly",
                                   "no",
                                   "--logfile",
                                   log,
                                   "--unixsocket",
                                   path };
    size_t count = 15;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(port, sizeof(port), "%u", s->port);
    snprintf(path, sizeof(path), "%s/socket", s->folder);
    snprintf(log, sizeof(log), "%s/log", s->folder);
    for (size_t i = 0; s->options != NULL && s->options[i] != NULL && count < ARGS_MAX - 1; i++)
        args[count++] = s->options[i];
    execvp(args[0], (char *const *)args);
    _exit(127);
}

void server_start_again(struct server *s)
{
    uint64_t end = clock_mono_ms() + PATIENCE_MS;

    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0)
        s->is_sentinel ? become_sentinel(s) : become_server(s);
    while (!is_listening(s->port)) {
        assert_int_equal(waitpid(s->pid, NULL, WNOHANG), 0);
        assert_true(clock_mono_ms() < end);
        poll(NULL, 0, 5);
    }
}

static void prepare(struct server *s)
{
    memset(s, 0, sizeof(*s));
    snprintf(s->folder, sizeof(s->folder), "/tmp/reelay-redis-XXXXXX");
    assert_non_null(mkdtemp(s->folder));
    s->port = free_port();
    snprintf(s->url, sizeof(s->url), "redis://127.0.0.1:%u", s->port);
}

void server_start(struct server *s, const char *const *options)
{
    prepare(s);
    s->options = options;
    server_start_again(s);
}

void sentinel_start(struct server *s, unsigned primary, const char *further)
{
    char path[96];
    FILE *file;

    prepare(s);
    s->is_sentinel = true;
    snprintf(path, sizeof(path), "%s/sentinel.conf", s->folder);
    file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file,
            "port %u\nbind 127.0.0.1\ndir %s\nlogfile %s/log\n"
            "sentinel monitor mymaster 127.0.0.1 %u 1\n"
            "sentinel down-after-milliseconds mymaster 300\n"
            "sentinel failover-timeout mymaster 3000\n%s\n",
            s->port, s->folder, s->folder, primary, further);
    assert_int_equal(fclose(file), 0);
    server_start_again(s);
}

void server_signal(const struct server *s, int number)
{
    assert_int_equal(kill(s->pid, number), 0);
}

void server_kill(struct server *s)
{
    server_signal(s, SIGKILL);
    assert_int_equal(waitpid(s->pid, NULL, 0), s->pid);
    s->pid = 0;
}

void server_stop(struct server *s)
{
    struct dirent *entry;
    char path[384];
    DIR *folder;

    if (s->pid != 0)
        server_kill(s);
    folder = opendir(s->folder);
    assert_non_null(folder);
    while ((entry = readdir(folder)) != NULL) {
        snprintf(path, sizeof(path), "%s/%s", s->folder, entry->d_name);
        unlink(path); /* not of "." and ".." */
    }
    closedir(folder);
    assert_int_equal(rmdir(s->folder), 0);
}

struct redis_url url_of(const char *text)
{
    struct redis_url url;
    struct buf why;

    buf_init(&why, 256);
    assert_int_equal(redis_url_parse(text, &url, &why), OK);
    buf_deinit(&why);
    return url;
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

void wait_begin(struct waiting *w, uv_loop_t *loop)
{
    w->loop = loop;
    w->until_ms = clock_mono_ms() + PATIENCE_MS;
    uv_timer_init(loop, &w->tick);
    uv_timer_start(&w->tick, on_tick, 100, 100);
}

/* The loop is full of what will not end: nothing to tear down. */
static void give_up(const char *condition)
{
    fprintf(stderr, "waited too long for: %s\n", condition);
    abort();
}

void wait_once(struct waiting *w, const char *condition)
{
    if (clock_mono_ms() > w->until_ms)
        give_up(condition);
    uv_run(w->loop, UV_RUN_ONCE);
}

static void on_tick_closed(uv_handle_t *handle)
{
    handle->data = NULL;
}

void wait_end(struct waiting *w)
{
    w->tick.data = w;
    uv_close((uv_handle_t *)&w->tick, on_tick_closed);
    while (w->tick.data != NULL)
        uv_run(w->loop, UV_RUN_NOWAIT);
}

/* A connection through the relay: [0] is the client's end, [1] Redis'. */
struct relay_pair {
    struct relay_pair *next;
    struct relay *relay;
    uv_tcp_t ends[2];
    uv_connect_t connect;
    int handles;
    bool is_over;
};

static void on_end_closed(uv_handle_t *handle)
{
    struct relay_pair *pair = handle->data;

    if (--pair->handles == 0)
        mem_free(pair);
}

static void pair_close(struct relay_pair *pair)
{
    struct relay_pair **at = &pair->relay->pairs;

    if (pair->is_over)
        return;
    pair->is_over = true;
    while (*at != pair)
        at = &(*at)->next;
    *at = pair->next;
    uv_close((uv_handle_t *)&pair->ends[0], on_end_closed);
    uv_close((uv_handle_t *)&pair->ends[1], on_end_closed);
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    (void)handle;
    *out = uv_buf_init(mem_alloc(suggested), (unsigned)suggested);
}

static void on_passed(uv_write_t *request, int status)
{
    (void)status;
    mem_free(request->data);
    mem_free(request);
}

static void on_bytes(uv_stream_t *stream, ssize_t len, const uv_buf_t *bytes)
{
    struct relay_pair *pair = stream->data;
    bool is_redis = stream == (uv_stream_t *)&pair->ends[1];

    if (len <= 0 || (is_redis && pair->relay->is_silent) || pair->relay->says != NULL) {
        mem_free(bytes->base);
        if (len < 0)
            pair_close(pair);
        return;
    }
    uv_write_t *write = mem_new(uv_write_t);
    uv_buf_t out = uv_buf_init(bytes->base, (unsigned)len);
    write->data = bytes->base;
    assert_int_equal(uv_write(write, (uv_stream_t *)&pair->ends[is_redis ? 0 : 1], &out, 1,
                              on_passed),
                     0);
}

static void on_relay_connected(uv_connect_t *request, int status)
{
    struct relay_pair *pair = request->data;

    if (pair->is_over)
        return;
    if (status != 0) {
        pair_close(pair);
        return;
    }
    uv_read_start((uv_stream_t *)&pair->ends[0], on_room, on_bytes);
    uv_read_start((uv_stream_t *)&pair->ends[1], on_room, on_bytes);
}

static void say(struct relay_pair *pair, const char *text)
{
    uv_write_t *write = mem_new(uv_write_t);
    uv_buf_t bytes;

    write->data = mem_strdup(text);
    bytes = uv_buf_init(write->data, (unsigned)strlen(text));
    assert_int_equal(uv_write(write, (uv_stream_t *)&pair->ends[0], &bytes, 1, on_passed), 0);
    uv_read_start((uv_stream_t *)&pair->ends[0], on_room, on_bytes);
}

static void on_accept(uv_stream_t *listener, int status)
{
    struct relay *r = listener->data;
    struct sockaddr_in to = loopback(r->to);
    struct relay_pair *pair = mem_new(struct relay_pair);

    assert_int_equal(status, 0);
    r->accepted++;
    pair->relay = r;
    pair->next = r->pairs;
    r->pairs = pair;
    pair->handles = 2;
    for (int i = 0; i < 2; i++) {
        uv_tcp_init(r->loop, &pair->ends[i]);
        pair->ends[i].data = pair;
    }
    pair->connect.data = pair;
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&pair->ends[0]), 0);
    if (r->says != NULL) {
        say(pair, r->says);
        return;
    }
    assert_int_equal(uv_tcp_connect(&pair->connect, &pair->ends[1], (struct sockaddr *)&to,
                                    on_relay_connected),
                     0);
}

void relay_start(struct relay *r, uv_loop_t *loop, unsigned to)
{
    struct sockaddr_in address = loopback(0);
    int len = sizeof(address);

    memset(r, 0, sizeof(*r));
    r->loop = loop;
    r->to = to;
    uv_tcp_init(loop, &r->listener);
    r->listener.data = r;
    assert_int_equal(uv_tcp_bind(&r->listener, (struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&r->listener, 16, on_accept), 0);
    uv_tcp_getsockname(&r->listener, (struct sockaddr *)&address, &len);
    r->port = ntohs(address.sin_port);
}

static void on_listener_closed(uv_handle_t *handle)
{
    handle->data = NULL;
}

void relay_stop(struct relay *r)
{
    while (r->pairs != NULL)
        pair_close(r->pairs);
    uv_close((uv_handle_t *)&r->listener, on_listener_closed);
    while (r->listener.data != NULL)
        uv_run(r->loop, UV_RUN_NOWAIT);
}
