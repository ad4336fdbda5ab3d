#include "io/child.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"

enum {
    CHILD_LINE_MAX = 64 * 1024,
    CHILD_COMPLAINT_MAX = 8 * 1024,
    CHILD_READ = 16 * 1024,
    CHILD_ARGUMENTS_MAX = 256,
    CHILD_OPTIONS_MAX = 24,
    CHILD_PATH_MAX = 16 * 1024,
    /* How long a pipe may stay open behind the process that had it: somebody
     * has left the group and holds it. */
    CHILD_LINGER_MS = 2000,
};

/*   running ──exit──> draining ──both pipes at their end──> closing ──> end()
 *
 * Handles are closed once and together; the last close callback tells the end
 * and frees. */
struct child {
    uv_process_t process;
    uv_pipe_t output, errors;
    uv_poll_t network; /* with a private one, until the listening socket has come over it */
    int network_fd;
    bool has_network;
    uv_timer_t timer; /* grace before SIGKILL, then linger for the pipes */
    unsigned handles; /* initialised and not yet closed */
    unsigned pipes;   /* not yet at their end */
    bool has_started; /* false: a failed start, nobody hears of it */
    bool is_stopping, has_exited, is_closing;
    int status;
    struct buf line;
    struct buf complaint; /* at most twice what is told, then cut */
    char chunk[CHILD_READ];
    const struct child_events *events;
    void *context;
};

static const char *helper = "/proc/self/exe";

void child_set_helper(const char *path)
{
    helper = path;
}

int child_pid(const struct child *c)
{
    return c->process.pid;
}

static void trim_complaint(struct child *c)
{
    if (c->complaint.len > CHILD_COMPLAINT_MAX)
        buf_consume(&c->complaint, c->complaint.len - CHILD_COMPLAINT_MAX);
}

static void on_closed(uv_handle_t *handle)
{
    struct child *c = handle->data;

    if (--c->handles > 0)
        return;
    trim_complaint(c);
    if (c->has_started)
        c->events->end(c->context, c->status, buf_text(&c->complaint));
    buf_deinit(&c->line);
    buf_deinit(&c->complaint);
    mem_free(c);
}

static void close_all(struct child *c)
{
    if (c->is_closing)
        return;
    c->is_closing = true;
    uv_close((uv_handle_t *)&c->process, on_closed);
    uv_close((uv_handle_t *)&c->output, on_closed);
    uv_close((uv_handle_t *)&c->errors, on_closed);
    uv_close((uv_handle_t *)&c->timer, on_closed);
    if (c->has_network)
        uv_close((uv_handle_t *)&c->network, on_closed);
    if (c->network_fd >= 0)
        close(c->network_fd);
}

/* -1: nothing but an end. */
static int receive_descriptor(int from)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    char byte;
    struct iovec room = { .iov_base = &byte, .iov_len = 1 };
    struct msghdr message = { .msg_iov = &room,
                              .msg_iovlen = 1,
                              .msg_control = control.bytes,
                              .msg_controllen = sizeof(control.bytes) };
    int fd = -1;

    if (recvmsg(from, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) != 1)
        return -1;
    const struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head != NULL && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS &&
        head->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(&fd, CMSG_DATA(head), sizeof(fd));
    return fd;
}

static void on_network(uv_poll_t *poll, int status, int events)
{
    struct child *c = poll->data;
    int fd = receive_descriptor(c->network_fd);

    (void)status;
    (void)events;
    uv_poll_stop(poll);
    if (fd >= 0)
        c->events->listening(c->context, fd);
}

static void tell_line(struct child *c)
{
    c->events->line(c->context, buf_text(&c->line), c->line.len);
    buf_reset(&c->line);
}

static void take_output(struct child *c, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == '\n') {
            tell_line(c);
            continue;
        }
        if (c->line.len == CHILD_LINE_MAX)
            tell_line(c);
        buf_putc(&c->line, bytes[i]);
    }
}

static void take_complaint(struct child *c, const char *bytes, size_t len)
{
    trim_complaint(c);
    buf_append(&c->complaint, bytes, len);
}

static void pipe_ended(struct child *c, const uv_stream_t *stream)
{
    if (stream == (uv_stream_t *)&c->output && c->line.len > 0)
        tell_line(c);
    c->pipes--;
    if (c->pipes == 0 && c->has_exited)
        close_all(c);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct child *c = handle->data;

    (void)suggested;
    *out = uv_buf_init(c->chunk, sizeof(c->chunk));
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *chunk)
{
    struct child *c = stream->data;

    if (len < 0) {
        uv_read_stop(stream);
        pipe_ended(c, stream);
    } else if (stream == (uv_stream_t *)&c->output) {
        take_output(c, chunk->base, (size_t)len);
    } else {
        take_complaint(c, chunk->base, (size_t)len);
    }
}

static void on_linger(uv_timer_t *timer)
{
    close_all(timer->data);
}

static void on_exited(uv_process_t *process, int64_t status, int signal)
{
    struct child *c = process->data;

    c->has_exited = true;
    c->status = signal ? -signal : (int)status;
    /* What it has started ends with it: else it would hold the pipes. */
    kill(-process->pid, SIGKILL);
    if (c->pipes == 0)
        close_all(c);
    else
        uv_timer_start(&c->timer, on_linger, CHILD_LINGER_MS, 0);
}

static void on_grace_over(uv_timer_t *timer)
{
    struct child *c = timer->data;

    kill(-c->process.pid, SIGKILL);
}

void child_stop(struct child *c, uint32_t grace_ms)
{
    if (c->has_exited)
        return;
    if (grace_ms == 0) {
        kill(-c->process.pid, SIGKILL);
        return;
    }
    if (!c->is_stopping)
        kill(-c->process.pid, SIGTERM);
    if (!c->is_stopping || uv_timer_get_due_in(&c->timer) > grace_ms)
        uv_timer_start(&c->timer, on_grace_over, grace_ms, 0);
    c->is_stopping = true;
}

/* The helper's arguments, then the program's; and the environment. */
struct command {
    const char *list[CHILD_OPTIONS_MAX + CHILD_ARGUMENTS_MAX];
    size_t count;
    char numbers[5][24];
    size_t number_count;
    struct buf path, scratch, trust;
    char *env[6];
};

static void add_number(struct command *a, const char *option, uint64_t value)
{
    char *text = a->numbers[a->number_count];

    if (value == 0)
        return;
    snprintf(text, sizeof(a->numbers[0]), "%" PRIu64, value);
    a->number_count++;
    a->list[a->count++] = option;
    a->list[a->count++] = text;
}

static void add_text(struct command *a, const char *option, const char *value)
{
    if (value == NULL)
        return;
    a->list[a->count++] = option;
    a->list[a->count++] = value;
}

static int add_program(struct command *a, const char *const *argv)
{
    a->list[a->count++] = "--";
    for (size_t i = 0; argv[i]; i++) {
        if (i == CHILD_ARGUMENTS_MAX - 1)
            return FAIL_LIMIT;
        a->list[a->count++] = argv[i];
    }
    a->list[a->count] = NULL;
    return OK;
}

static int build_environment(struct command *a, const char *folder, const char *ca_file)
{
    const char *inherited = getenv("PATH");

    buf_init(&a->path, CHILD_PATH_MAX);
    buf_init(&a->scratch, CHILD_PATH_MAX);
    buf_init(&a->trust, CHILD_PATH_MAX);
    buf_printf(&a->path, "PATH=%s", inherited ? inherited : "/usr/local/bin:/usr/bin:/bin");
    buf_printf(&a->scratch, "TMPDIR=%s", folder ? folder : "/nonexistent");
    a->env[0] = a->path.data;
    a->env[1] = a->scratch.data;
    a->env[2] = "HOME=/nonexistent";
    a->env[3] = "LANG=C";
    if (ca_file != NULL) {
        buf_printf(&a->trust, "SSL_CERT_FILE=%s", ca_file);
        a->env[4] = a->trust.data;
    }
    return a->path.failed || a->scratch.failed || a->trust.failed ? FAIL_LIMIT : OK;
}

static int command_init(struct command *a, const char *const *argv,
                        const struct child_limits *limits)
{
    *a = (struct command){ .list = { "reelay", "sandbox" }, .count = 2 };
    add_number(a, "--parent", (uint64_t)getpid());
    add_number(a, "--memory", limits->memory_max);
    add_number(a, "--file", limits->file_max);
    add_number(a, "--cpu", limits->cpu_max_s);
    add_number(a, "--files", limits->files_max);
    add_text(a, "--read", limits->read_path);
    add_text(a, "--trust", limits->ca_file);
    add_text(a, "--write", limits->write_path);
    if (limits->has_private_network)
        a->list[a->count++] = "--private-network";
    else if (limits->may_connect)
        a->list[a->count++] = "--network";
    if (limits->may_run)
        a->list[a->count++] = "--programs";
    int err = add_program(a, argv);
    return err ? err : build_environment(a, limits->write_path, limits->ca_file);
}

static void command_deinit(struct command *a)
{
    buf_deinit(&a->path);
    buf_deinit(&a->trust);
    buf_deinit(&a->scratch);
}

static struct child *child_new(uv_loop_t *loop, const struct child_events *events, void *context)
{
    struct child *c = mem_new(struct child);

    c->events = events;
    c->context = context;
    c->network_fd = -1;
    buf_init(&c->line, CHILD_LINE_MAX);
    buf_init(&c->complaint, CHILD_COMPLAINT_MAX + CHILD_READ);
    uv_pipe_init(loop, &c->output, 0);
    uv_pipe_init(loop, &c->errors, 0);
    uv_timer_init(loop, &c->timer);
    c->process.data = c->output.data = c->errors.data = c->timer.data = c;
    c->handles = 4; /* uv_spawn makes the fourth one, also when it fails */
    return c;
}

/* What comes over it is the listening socket of the child's network. */
static void watch_network(uv_loop_t *loop, struct child *c)
{
    int err = uv_poll_init(loop, &c->network, c->network_fd);

    if (err == 0) {
        c->network.data = c;
        c->has_network = true;
        c->handles++;
        err = uv_poll_start(&c->network, UV_READABLE, on_network);
    }
    if (err != 0)
        child_stop(c, 0); /* it would wait for an answer that nobody gives */
}

static int spawn(uv_loop_t *loop, struct child *c, struct command *a, int network)
{
    uv_stdio_container_t stdio[4] = {
        { .flags = UV_IGNORE },
        { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&c->output },
        { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&c->errors },
        { .flags = UV_INHERIT_FD, .data.fd = network },
    };
    uv_process_options_t options = { .file = helper,
                                     .args = (char **)(uintptr_t)a->list,
                                     .env = a->env,
                                     .flags = UV_PROCESS_DETACHED,
                                     .exit_cb = on_exited,
                                     .stdio = stdio,
                                     .stdio_count = network >= 0 ? 4 : 3 };

    return fail_from_errno(-uv_spawn(loop, &c->process, &options));
}

int child_start(uv_loop_t *loop, const char *const *argv, const struct child_limits *limits,
                const struct child_events *events, void *context, struct child **out)
{
    struct command command;
    struct child *c = NULL;
    int network[2] = { -1, -1 };
    int err = command_init(&command, argv, limits);

    assert(argv[0] != NULL);
    if (err == OK && limits->has_private_network &&
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, network) != 0)
        err = fail_from_errno(errno);
    if (err == OK) {
        c = child_new(loop, events, context);
        c->network_fd = network[0];
        err = spawn(loop, c, &command, network[1]);
    }
    command_deinit(&command);
    if (network[1] >= 0)
        close(network[1]);
    if (err) {
        if (c != NULL)
            close_all(c);
        return err;
    }
    c->has_started = true;
    c->pipes = 2;
    uv_read_start((uv_stream_t *)&c->output, on_alloc, on_read);
    uv_read_start((uv_stream_t *)&c->errors, on_alloc, on_read);
    if (c->network_fd >= 0)
        watch_network(loop, c);
    *out = c;
    return OK;
}
