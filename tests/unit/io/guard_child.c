/* A child whose only network is a proxy: confined by a namespace, by Landlock's ports, as
 * root and as nobody. This program is the helper, the child, and what it must not reach. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "cmd/sandbox.h"
#include "io/child.h"
#include "io/guard.h"

static char self[4096];

/* ---- the child ---- */

static void tell(const char *what, bool done)
{
    printf("%s: %s\n", what, done ? "done" : strerror(errno));
}

static void try_socket(const char *what, int domain, int type, int protocol)
{
    tell(what, socket(domain, type, protocol) >= 0);
}

static struct sockaddr_in loopback(const char *port)
{
    return (struct sockaddr_in){ .sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static void try_all_sockets(const char *canary)
{
    struct sockaddr_in to = loopback(canary);
    struct iovec hello = { .iov_base = "hello", .iov_len = 5 };
    struct msghdr message = {
        .msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &hello, .msg_iovlen = 1
    };
    struct addrinfo *found = NULL;
    int pair[2];

    try_socket("udp", AF_INET, SOCK_DGRAM, 0);
    try_socket("udp6", AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    try_socket("tcp6", AF_INET6, SOCK_STREAM, 0);
    try_socket("raw", AF_INET, SOCK_RAW, IPPROTO_ICMP);
    try_socket("unix", AF_UNIX, SOCK_STREAM, 0);
    try_socket("netlink", AF_NETLINK, SOCK_RAW, 0);
    try_socket("packet", AF_PACKET, SOCK_DGRAM, 0);
    try_socket("vsock", AF_VSOCK, SOCK_STREAM, 0);
    try_socket("mptcp", AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
    try_socket("sctp", AF_INET, SOCK_STREAM, IPPROTO_SCTP);
    tell("pair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    tell("tcp", tcp >= 0);
    tell("bind", bind(tcp, (struct sockaddr *)&(struct sockaddr_in){ .sin_family = AF_INET },
                      sizeof(struct sockaddr_in)) == 0);
    tell("fast open",
         sendto(tcp, "hello", 5, MSG_FASTOPEN, (struct sockaddr *)&to, sizeof(to)) > 0);
    tell("fast open 2", sendmsg(tcp, &message, MSG_FASTOPEN) > 0);
    printf("name: %s\n", getaddrinfo("example.com", "80", NULL, &found) == 0 ? "found" : "none");
}

static void try_kills(void)
{
    tell("everybody", kill(-1, 0) == 0);
    tell("a group", kill(-getppid(), 0) == 0);
    tell("the parent", kill(getppid(), 0) == 0);
    tell("a thread of it", syscall(SYS_tgkill, getppid(), getppid(), 0) == 0);
    tell("itself", kill(getpid(), 0) == 0);
}

/* Refused by a network that has no such server, or by Landlock. */
static void try_canary(const char *port)
{
    struct sockaddr_in to = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    bool done = connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0;
    printf("canary: %s\n", done                                       ? "reached"
                           : errno == ECONNREFUSED || errno == EACCES ? "not there"
                                                                      : "?");
}

/* The proxy's answer to a request, its head's end written as '$'. */
static void try_proxy(const char *request)
{
    const char *proxy = getenv("http_proxy");
    char text[1024], answer[4096];
    ssize_t got = 0, len = 0;

    if (proxy == NULL || strncmp(proxy, "http://127.0.0.1:", 17) != 0) {
        printf("proxy: none\n");
        return;
    }
    struct sockaddr_in to = loopback(proxy + 17);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        tell("proxy", false);
        return;
    }
    int size = snprintf(text, sizeof(text), "%s HTTP/1.1\r\nHost: x\r\n\r\n", request);
    if (write(fd, text, (size_t)size) != size)
        tell("write", false);
    while ((got = read(fd, answer + len, sizeof(answer) - 1 - (size_t)len)) > 0)
        len += got;
    answer[len] = '\0';
    char *line = strchr(answer, '\r'), *body = strstr(answer, "\r\n\r\n");
    if (line == NULL || body == NULL)
        printf("proxy: \"%s\"\n", answer);
    else
        printf("proxy: %.*s $ %s\n", (int)(line - answer), answer, body + 4);
}

static int be_child(const char *what, const char *argument)
{
    if (strcmp(what, "sockets") == 0)
        try_all_sockets(argument);
    else if (strcmp(what, "canary") == 0)
        try_canary(argument);
    else if (strcmp(what, "kills") == 0)
        try_kills();
    else
        try_proxy(argument);
    fflush(stdout);
    _exit(0);
}

/* ---- the helper, in a world with fewer permissions ---- */

static int refuse_call(int call)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

    seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 0);
    int err = seccomp_load(filter);
    seccomp_release(filter);
    return err;
}

static int be_helper(int argc, char **argv)
{
    if (strcmp(argv[1], "no-namespaces") == 0 || strcmp(argv[1], "nothing") == 0)
        refuse_call(SCMP_SYS(unshare));
    if (strcmp(argv[1], "nothing") == 0)
        refuse_call(seccomp_syscall_resolve_name("landlock_create_ruleset"));
    return cmd_sandbox(argc - 2, argv + 2);
}

/* ---- the test ---- */

struct run {
    uv_loop_t loop;
    uv_tcp_t canary;
    uint16_t canary_port;
    unsigned canary_calls, listeners;
    struct child *child;
    struct guard *guard;
    struct guard_proxy *proxy;
    struct buf lines;
    char refused[256], complaint[1024], helper[64];
    int status;
};

struct visitor {
    uv_tcp_t socket;
    uv_write_t write;
};

static void on_visitor_closed(uv_handle_t *handle)
{
    mem_free(handle->data);
}

static void on_canary_said(uv_write_t *request, int status)
{
    struct visitor *v = request->data;

    (void)status;
    uv_close((uv_handle_t *)&v->socket, on_visitor_closed);
}

static void on_canary(uv_stream_t *listener, int status)
{
    static char song[] = "HTTP/1.1 200 OK\r\n\r\nsong";
    struct run *r = listener->data;
    struct visitor *v = mem_new(struct visitor);
    uv_buf_t bytes = uv_buf_init(song, sizeof(song) - 1);

    (void)status;
    r->canary_calls++;
    uv_tcp_init(&r->loop, &v->socket);
    v->socket.data = v->write.data = v;
    uv_accept(listener, (uv_stream_t *)&v->socket);
    uv_write(&v->write, (uv_stream_t *)&v->socket, &bytes, 1, on_canary_said);
}

static void open_canary(struct run *r)
{
    struct sockaddr_in address = loopback("0");
    int len = sizeof(address);

    uv_tcp_init(&r->loop, &r->canary);
    r->canary.data = r;
    assert_int_equal(uv_tcp_bind(&r->canary, (struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&r->canary, 8, on_canary), 0);
    uv_tcp_getsockname(&r->canary, (struct sockaddr *)&address, &len);
    r->canary_port = ntohs(address.sin_port);
}

static void on_line(void *context, const char *text, size_t len)
{
    struct run *r = context;

    buf_append(&r->lines, text, len);
    buf_putc(&r->lines, '|');
}

static void on_end(void *context, int status, const char *complaint)
{
    struct run *r = context;

    r->status = status;
    snprintf(r->complaint, sizeof(r->complaint), "%s", complaint);
    if (r->proxy != NULL)
        snprintf(r->refused, sizeof(r->refused), "%s", guard_proxy_refused(r->proxy));
    guard_proxy_close(r->proxy);
    uv_close((uv_handle_t *)&r->canary, NULL);
}

static void on_listening(void *context, int fd)
{
    static const struct guard_proxy_limits limits = { .connections_max = 4, .idle_ms = 8000 };
    struct run *r = context;

    r->listeners++;
    assert_int_equal(guard_proxy_open(&r->loop, r->guard, fd, &limits, &r->proxy), OK);
}

static const struct child_events events = { .line = on_line,
                                            .end = on_end,
                                            .listening = on_listening };

/* `world`: NULL, or what be_helper knows, or "nobody". */
static void set_world(struct run *r, const char *world)
{
    child_set_helper(self);
    if (world == NULL)
        return;
    snprintf(r->helper, sizeof(r->helper), "/tmp/reelay-helper-XXXXXX");
    int fd = mkstemp(r->helper);
    assert_true(fd >= 0);
    if (strcmp(world, "nobody") == 0)
        dprintf(fd,
                "#!/bin/sh\nexec setpriv --reuid 65534 --regid 65534 --clear-groups %s \"$@\"\n",
                self);
    else
        dprintf(fd, "#!/bin/sh\nexec %s %s \"$@\"\n", self, world);
    fchmod(fd, 0755);
    close(fd);
    child_set_helper(r->helper);
}

static void run(struct run *r, const char *world, const char *what, const char *argument,
                bool may_reach_canary)
{
    char rule[32], port[8];
    const char *allow[] = { rule };
    const char *argv[] = { self, "try", what, argument ? argument : port, NULL };
    struct child_limits limits = { .has_private_network = true,
                                   .may_run = strcmp(what, "kills") == 0 };
    struct buf why;

    *r = (struct run){ 0 };
    buf_init(&r->lines, 64 * 1024);
    buf_init(&why, 100);
    assert_int_equal(uv_loop_init(&r->loop), 0);
    open_canary(r);
    snprintf(port, sizeof(port), "%u", r->canary_port);
    snprintf(rule, sizeof(rule), "127.0.0.1:%s", port);
    struct guard_rules rules = { .allow = allow, .allow_count = may_reach_canary };
    assert_int_equal(guard_new(&rules, &r->guard, &why), OK);
    set_world(r, world);
    char request[64];
    if (argument != NULL) {
        snprintf(request, sizeof(request), argument, port);
        argv[3] = request;
    }
    assert_int_equal(child_start(&r->loop, argv, &limits, &events, r, &r->child), OK);
    assert_int_equal(uv_run(&r->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&r->loop), 0);
    guard_free(r->guard);
    if (*r->helper)
        unlink(r->helper);
    buf_deinit(&why);
}

static const char *const worlds[] = { NULL, "no-namespaces", "nobody" };
enum { WORLDS = sizeof(worlds) / sizeof(worlds[0]) };

/* setpriv(1) wants root; Landlock's ports want Linux 6.7. */
static bool is_possible(const char *world)
{
    if (world == NULL)
        return strstr(child_sandbox_describe(), "no private networks") == NULL;
    if (strcmp(world, "nobody") == 0)
        return geteuid() == 0 && access("/usr/bin/setpriv", X_OK) == 0;
    return sandbox_confines_ports();
}

static void assert_run(const struct run *r, const char *lines)
{
    if (r->status != 0 || strcmp(buf_text(&r->lines), lines) != 0)
        fail_msg("%d: \"%s\", not \"%s\" (%s)", r->status, buf_text(&r->lines), lines,
                 r->complaint);
}

static void it_has_tcp_to_its_proxy_and_no_other_socket(void **state)
{
    struct run r;

    (void)state;
    for (unsigned i = 0; i < WORLDS; i++) {
        if (!is_possible(worlds[i]))
            continue;
        run(&r, worlds[i], "sockets", NULL, false);
        assert_run(&r, "udp: Operation not permitted|udp6: Operation not permitted|"
                       "tcp6: Operation not permitted|raw: Operation not permitted|"
                       "unix: Operation not permitted|netlink: Operation not permitted|"
                       "packet: Operation not permitted|vsock: Operation not permitted|"
                       "mptcp: Operation not permitted|sctp: Operation not permitted|"
                       "pair: done|tcp: done|bind: Operation not permitted|"
                       "fast open: Operation not permitted|fast open 2: Operation not permitted|"
                       "name: none|");
        assert_int_equal(r.canary_calls, 0);
        buf_deinit(&r.lines);
    }
}

static void it_reaches_nothing_of_this_machine_by_itself(void **state)
{
    struct run r;

    (void)state;
    for (unsigned i = 0; i < WORLDS; i++) {
        if (!is_possible(worlds[i]))
            continue;
        run(&r, worlds[i], "canary", NULL, true);
        assert_run(&r, "canary: not there|");
        assert_int_equal(r.listeners, 1);
        assert_int_equal(r.canary_calls, 0);
        buf_deinit(&r.lines);
    }
}

static void one_that_may_run_programs_ends_none_of_the_server(void **state)
{
    struct run r;

    (void)state;
    for (unsigned i = 0; i < WORLDS; i++) {
        if (!is_possible(worlds[i]))
            continue;
        run(&r, worlds[i], "kills", NULL, false);
        assert_run(&r, "everybody: Operation not permitted|a group: Operation not permitted|"
                       "the parent: Operation not permitted|"
                       "a thread of it: Operation not permitted|itself: done|");
        buf_deinit(&r.lines);
    }
}

static void its_proxy_refuses_what_the_guard_does_not_admit(void **state)
{
    struct run r;

    (void)state;
    for (unsigned i = 0; i < WORLDS; i++) {
        if (!is_possible(worlds[i]))
            continue;
        run(&r, worlds[i], "proxy", "GET http://127.0.0.1:%s/", false);
        assert_run(&r, "proxy: HTTP/1.1 403 Forbidden $ 127.0.0.1 is this machine (loopback)||");
        assert_string_equal(r.refused, "127.0.0.1 is this machine (loopback)");
        assert_int_equal(r.canary_calls, 0);
        buf_deinit(&r.lines);
        run(&r, worlds[i], "proxy", "CONNECT 169.254.169.254:80", false);
        assert_run(&r, "proxy: HTTP/1.1 403 Forbidden $ 169.254.169.254 is link-local, where "
                       "metadata services are||");
        buf_deinit(&r.lines);
    }
}

static void its_proxy_leads_to_what_is_admitted(void **state)
{
    struct run r;

    (void)state;
    for (unsigned i = 0; i < WORLDS; i++) {
        if (!is_possible(worlds[i]))
            continue;
        run(&r, worlds[i], "proxy", "GET http://127.0.0.1:%s/", true);
        assert_run(&r, "proxy: HTTP/1.1 200 OK $ song|");
        assert_int_equal(r.canary_calls, 1);
        buf_deinit(&r.lines);
    }
}

static void where_nothing_can_confine_it_it_does_not_run(void **state)
{
    struct run r;

    (void)state;
    run(&r, "nothing", "canary", NULL, true);
    assert_int_equal(r.status, 126);
    assert_int_equal(r.listeners, 0);
    assert_int_equal(r.canary_calls, 0);
    assert_int_equal(r.lines.len, 0);
    assert_non_null(strstr(r.complaint, "this machine cannot confine a program"));
    buf_deinit(&r.lines);
}

/* Where nobody, too, may execute it: the folder of the build may be its owner's alone. */
static int move_out(void **state)
{
    static char folder[] = "/tmp/reelay-child-XXXXXX";
    struct stat st;
    int from = open(self, O_RDONLY | O_CLOEXEC), to = -1;
    off_t at = 0;

    *state = folder;
    if (from < 0 || fstat(from, &st) != 0 || mkdtemp(folder) == NULL || chmod(folder, 0755) != 0)
        return -1;
    snprintf(self, sizeof(self), "%s/test", folder);
    to = open(self, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    while (to >= 0 && at < st.st_size && sendfile(to, from, &at, (size_t)(st.st_size - at)) > 0)
        ;
    close(from);
    return to >= 0 && close(to) == 0 && chmod(self, 0755) == 0 && at == st.st_size ? 0 : -1;
}

static int clear_away(void **state)
{
    unlink(self);
    return rmdir(*state);
}

int main(int argc, char **argv)
{
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (len < 0)
        return 1;
    if (argc > 1 && strcmp(argv[1], "sandbox") == 0)
        return cmd_sandbox(argc - 1, argv + 1);
    if (argc > 3 && strcmp(argv[1], "try") == 0)
        return be_child(argv[2], argv[3]);
    if (argc > 2 && strcmp(argv[2], "sandbox") == 0)
        return be_helper(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_has_tcp_to_its_proxy_and_no_other_socket),
        cmocka_unit_test(it_reaches_nothing_of_this_machine_by_itself),
        cmocka_unit_test(one_that_may_run_programs_ends_none_of_the_server),
        cmocka_unit_test(its_proxy_refuses_what_the_guard_does_not_admit),
        cmocka_unit_test(its_proxy_leads_to_what_is_admitted),
        cmocka_unit_test(where_nothing_can_confine_it_it_does_not_run),
    };
    return cmocka_run_group_tests(tests, move_out, clear_away);
}
