#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/guard.h"

enum { PATIENCE_S = 10, TEXT_MAX = 256 * 1024 };

/* The loop with the proxy runs on the test's thread; `play`, with plain blocking sockets, is
 * the child and the servers, on another. Assertions are the test's, behind it. */
struct stage {
    uv_loop_t loop;
    uv_async_t over;
    struct guard_proxy *proxy;
    struct guard *guard;
    uint16_t proxy_port, server_port;
    int server;                      /* listens */
    struct buf heard, seen, refused; /* by the child, by the server */
    uint64_t count;
    bool was_over;
    void (*play)(struct stage *s);
};

static int listen_on_loopback(uint16_t *port)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static void be_patient(int fd)
{
    struct timeval patience = { .tv_sec = PATIENCE_S };

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
}

static int call_proxy(const struct stage *s)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(s->proxy_port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    be_patient(fd);
    return connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? fd : -1;
}

static int accept_patiently(int listener)
{
    be_patient(listener);
    int fd = accept(listener, NULL, NULL);
    if (fd >= 0)
        be_patient(fd);
    return fd;
}

static void say(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(int fd, const char *format, ...)
{
    struct buf text;
    va_list args;

    buf_init(&text, TEXT_MAX);
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    for (size_t at = 0; at < text.len;) {
        ssize_t sent = send(fd, text.data + at, text.len - at, MSG_NOSIGNAL);
        if (sent <= 0)
            break;
        at += (size_t)sent;
    }
    buf_deinit(&text);
}

/* Until `end` is there, or the stream's end if that is NULL. False: it broke. */
static bool hear(int fd, struct buf *into, const char *end)
{
    for (;;) {
        char bytes[4096];
        if (end != NULL && strstr(buf_text(into), end) != NULL)
            return true;
        ssize_t got = recv(fd, bytes, sizeof(bytes), 0);
        if (got <= 0)
            return got == 0 && end == NULL;
        buf_append(into, bytes, (size_t)got);
    }
}

static void on_over(uv_async_t *async)
{
    struct stage *s = async->data;

    buf_puts(&s->refused, guard_proxy_refused(s->proxy));
    s->was_over = guard_proxy_is_over(s->proxy);
    guard_proxy_close(s->proxy);
    uv_close((uv_handle_t *)async, NULL);
}

static void *run_play(void *context)
{
    struct stage *s = context;

    s->play(s);
    uv_async_send(&s->over);
    return NULL;
}

static void perform(struct stage *s, void (*play)(struct stage *s),
                    const struct guard_proxy_limits *limits, bool may_reach_server)
{
    static const struct guard_proxy_limits usual = { .connections_max = 4, .idle_ms = 8000 };
    char rule[32];
    const char *allow[] = { rule };
    pthread_t thread;
    struct buf why;

    *s = (struct stage){ .play = play };
    buf_init(&s->heard, TEXT_MAX);
    buf_init(&s->seen, TEXT_MAX);
    buf_init(&s->refused, TEXT_MAX);
    buf_init(&why, 100);
    s->server = listen_on_loopback(&s->server_port);
    snprintf(rule, sizeof(rule), "127.0.0.1:%u", s->server_port);
    struct guard_rules rules = { .allow = allow, .allow_count = may_reach_server ? 1 : 0 };
    assert_int_equal(guard_new(&rules, &s->guard, &why), OK);
    assert_int_equal(uv_loop_init(&s->loop), 0);
    uv_async_init(&s->loop, &s->over, on_over);
    s->over.data = s;
    int listener = listen_on_loopback(&s->proxy_port);
    assert_int_equal(guard_proxy_open(&s->loop, s->guard, listener, limits ? limits : &usual,
                                      &s->proxy),
                     OK);
    assert_int_equal(pthread_create(&thread, NULL, run_play, s), 0);
    assert_int_equal(uv_run(&s->loop, UV_RUN_DEFAULT), 0);
    pthread_join(thread, NULL);
    assert_int_equal(uv_loop_close(&s->loop), 0);
    guard_free(s->guard);
    close(s->server);
    buf_deinit(&why);
}

static void clear(struct stage *s)
{
    buf_deinit(&s->heard);
    buf_deinit(&s->seen);
    buf_deinit(&s->refused);
}

static void assert_heard(const struct stage *s, const char *text)
{
    if (strstr(buf_text(&s->heard), text) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", text, buf_text(&s->heard));
}

static void play_tunnel(struct stage *s)
{
    int child = call_proxy(s);

    say(child, "CONNECT 127.0.0.1:%u HTTP/1.1\r\nHost: x\r\n\r\nearly ", s->server_port);
    int server = accept_patiently(s->server);
    hear(child, &s->heard, "\r\n\r\n");
    say(child, "hello!");
    hear(server, &s->seen, "!");
    say(server, "welcome!");
    hear(child, &s->heard, "welcome!");
    shutdown(child, SHUT_WR);
    s->count = hear(server, &s->seen, NULL);
    say(server, " bye");
    close(server);
    s->count += hear(child, &s->heard, NULL);
    close(child);
}

static void a_tunnel_carries_bytes_both_ways_until_each_side_ends(void **state)
{
    struct stage s;

    (void)state;
    perform(&s, play_tunnel, NULL, true);
    assert_string_equal(buf_text(&s.heard),
                        "HTTP/1.1 200 Connection established\r\n\r\nwelcome! bye");
    assert_string_equal(buf_text(&s.seen), "early hello!");
    assert_int_equal(s.count, 2);
    assert_int_equal(s.refused.len, 0);
    clear(&s);
}

static void play_get(struct stage *s)
{
    int child = call_proxy(s);

    say(child,
        "POST http://127.0.0.1:%u/a?b HTTP/1.1\r\nHost: other.example\r\nProxy-Connection: "
        "keep-alive\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nX-Kept: 2\r\n"
        "Content-Length: 10\r\n\r\n01234",
        s->server_port);
    int server = accept_patiently(s->server);
    say(child, "56789");
    hear(server, &s->seen, "56789");
    say(server, "HTTP/1.1 200 OK\r\n\r\nfine");
    close(server);
    hear(child, &s->heard, NULL);
    close(child);
}

static void an_absolute_url_is_asked_for_without_what_was_meant_for_the_proxy(void **state)
{
    struct stage s;
    char want[512];

    (void)state;
    perform(&s, play_get, NULL, true);
    snprintf(want, sizeof(want),
             "POST /a?b HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nX-Kept: 2\r\nContent-Length: 10\r\n"
             "Connection: close\r\n\r\n0123456789",
             s.server_port);
    assert_string_equal(buf_text(&s.seen), want);
    assert_string_equal(buf_text(&s.heard), "HTTP/1.1 200 OK\r\n\r\nfine");
    clear(&s);
}

static void play_surplus(struct stage *s)
{
    int child = call_proxy(s);

    say(child, "GET http://127.0.0.1:%u/ HTTP/1.1\r\nHost: x\r\n\r\nGET http://10.0.0.1/ HTTP/1.1",
        s->server_port);
    hear(child, &s->heard, NULL);
    close(child);
    int server = accept_patiently(s->server);
    hear(server, &s->seen, NULL);
    close(server);
}

static void what_follows_a_request_reaches_nobody(void **state)
{
    struct stage s;

    (void)state;
    perform(&s, play_surplus, NULL, true);
    assert_null(strstr(buf_text(&s.seen), "10.0.0.1"));
    assert_int_equal(s.heard.len, 0);
    clear(&s);
}

static void play_refusals(struct stage *s)
{
    static const char *const requests[] = {
        "CONNECT 127.0.0.1:* HTTP/1.1\r\nHost: x\r\n\r\n",
        "CONNECT localhost:* HTTP/1.0\r\n\r\n",
        "CONNECT [::1]:* HTTP/1.0\r\n\r\n",
        "CONNECT [::ffff:127.0.0.1]:* HTTP/1.0\r\n\r\n",
        "CONNECT 127.1:* HTTP/1.0\r\n\r\n",
        "CONNECT 2130706433:* HTTP/1.0\r\n\r\n",
        "CONNECT 0x7f.1:* HTTP/1.0\r\n\r\n",
        "CONNECT 0:* HTTP/1.0\r\n\r\n",
        "CONNECT 169.254.169.254:* HTTP/1.0\r\n\r\n",
        "GET http://127.0.0.1:*/ HTTP/1.1\r\nHost: 8.8.8.8\r\n\r\n",
        "GET http://localhost:*/ HTTP/1.1\r\nHost: 8.8.8.8\r\n\r\n",
        "GET http://[::1]:*/ HTTP/1.1\r\nHost: 8.8.8.8\r\n\r\n",
        "GET http://10.0.0.1:*/ HTTP/1.1\r\nHost: 8.8.8.8\r\n\r\n",
    };

    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        struct str rest = str_of(requests[i]), before = str_cut(&rest, '*');
        struct buf answer;
        int child = call_proxy(s);
        buf_init(&answer, TEXT_MAX);
        say(child, "%.*s%u%.*s", STR_ARG(before), s->server_port, STR_ARG(rest));
        hear(child, &answer, NULL);
        if (strstr(buf_text(&answer), "HTTP/1.1 403 Forbidden\r\n") == NULL)
            buf_printf(&s->heard, "%s: %s\n", requests[i], buf_text(&answer));
        buf_deinit(&answer);
        close(child);
    }
}

static void what_is_not_admitted_is_refused_and_remembered(void **state)
{
    struct stage s;

    (void)state;
    perform(&s, play_refusals, NULL, false);
    assert_string_equal(buf_text(&s.heard), "");
    assert_string_equal(buf_text(&s.refused), "10.0.0.1 is a private address");
    clear(&s);
}

static void play_nonsense(struct stage *s)
{
    static const char *const requests[] = {
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET https://example.com/ HTTP/1.1\r\nHost: x\r\n\r\n",
        "CONNECT example.com HTTP/1.1\r\nHost: x\r\n\r\n",
        "CONNECT example.com:0 HTTP/1.1\r\nHost: x\r\n\r\n",
        "CONNECT user@example.com:80 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET http://user@example.com/ HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET http://example.com/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: "
        "1\r\n\r\n",
        "GET http://example.com/ HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
        "GET http://example.com/ HTTP/1.1\nHost: x\n\n",
        "GET http://example.com/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nConnection: "
        "Content-Length\r\n\r\n",
        "\x16\x03\x01\x02",
    };

    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        struct buf answer;
        int child = call_proxy(s);
        buf_init(&answer, TEXT_MAX);
        say(child, "%s", requests[i]);
        hear(child, &answer, NULL);
        if (strstr(buf_text(&answer), "HTTP/1.1 400 Bad Request\r\n") == NULL)
            buf_printf(&s->heard, "%s: %s\n", requests[i], buf_text(&answer));
        buf_deinit(&answer);
        close(child);
    }
}

static void what_is_no_request_to_a_proxy_is_a_bad_one(void **state)
{
    struct stage s;

    (void)state;
    perform(&s, play_nonsense, NULL, true);
    assert_string_equal(buf_text(&s.heard), "");
    clear(&s);
}

static void play_chunked(struct stage *s)
{
    int child = call_proxy(s);

    say(child,
        "POST http://127.0.0.1:%u/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        s->server_port);
    hear(child, &s->heard, NULL);
    close(child);
}

static void content_without_a_declared_length_is_refused(void **state)
{
    struct stage s;

    (void)state;
    perform(&s, play_chunked, NULL, true);
    assert_heard(&s, "HTTP/1.1 411 ");
    clear(&s);
}

static void play_nobody(struct stage *s)
{
    int child;

    close(s->server);
    child = call_proxy(s);
    say(child, "CONNECT 127.0.0.1:%u HTTP/1.1\r\nHost: x\r\n\r\n", s->server_port);
    hear(child, &s->heard, NULL);
    close(child);
    s->server = -1;
}

static void a_server_that_is_not_there_is_a_bad_gateway(void **state)
{
    struct stage s;

    (void)state;
    perform(&s, play_nobody, NULL, true);
    assert_heard(&s, "HTTP/1.1 502 ");
    assert_int_equal(s.refused.len, 0);
    clear(&s);
}

static void play_too_much(struct stage *s)
{
    int child = call_proxy(s);
    char *block = mem_zalloc(64 * 1024);

    say(child, "CONNECT 127.0.0.1:%u HTTP/1.1\r\nHost: x\r\n\r\n", s->server_port);
    int server = accept_patiently(s->server);
    hear(child, &s->heard, "\r\n\r\n");
    for (int i = 0; i < 64 && send(server, block, 64 * 1024, MSG_NOSIGNAL) > 0; i++)
        for (ssize_t got = 1; got > 0 && (i + 1) * 64 * 1024 > (int)s->count;
             s->count += got > 0 ? (size_t)got : 0)
            got = recv(child, block, 64 * 1024, 0);
    close(server);
    close(child);
    child = call_proxy(s);
    say(child, "CONNECT 127.0.0.1:%u HTTP/1.1\r\nHost: x\r\n\r\n", s->server_port);
    hear(child, &s->seen, NULL);
    close(child);
    mem_free(block);
}

static void no_more_comes_in_than_may(void **state)
{
    static const struct guard_proxy_limits limits = { .bytes_max = 1000000,
                                                      .connections_max = 2,
                                                      .idle_ms = 8000 };
    struct stage s;

    (void)state;
    perform(&s, play_too_much, &limits, true);
    assert_true(s.was_over);
    assert_in_range(s.count, 1, limits.bytes_max);
    assert_non_null(strstr(buf_text(&s.seen), "HTTP/1.1 403 "));
    clear(&s);
}

static void play_idle(struct stage *s)
{
    int child = call_proxy(s), silent = call_proxy(s);

    say(child, "CONNECT 127.0.0.1:%u HTTP/1.1\r\nHost: x\r\n\r\n", s->server_port);
    int server = accept_patiently(s->server);
    hear(child, &s->heard, "\r\n\r\n");
    s->count = hear(silent, &s->seen, NULL);
    s->count += hear(child, &s->seen, NULL);
    s->count += hear(server, &s->seen, NULL);
    close(server);
    close(child);
    close(silent);
}

static void who_says_nothing_is_hung_up_on(void **state)
{
    static const struct guard_proxy_limits limits = { .connections_max = 4, .idle_ms = 50 };
    struct stage s;

    (void)state;
    perform(&s, play_idle, &limits, true);
    assert_int_equal(s.count, 3);
    assert_int_equal(s.seen.len, 0);
    clear(&s);
}

static void play_crowd(struct stage *s)
{
    int first = call_proxy(s), second = call_proxy(s);

    say(first, "CONNECT 127.0.0.1:%u HTTP/1.1\r\nHost: x\r\n\r\n", s->server_port);
    say(second, "CONNECT 127.0.0.1:%u HTTP/1.1\r\nHost: x\r\n\r\n", s->server_port);
    int server = accept_patiently(s->server);
    hear(first, &s->heard, "\r\n\r\n");
    ssize_t early = recv(second, (char[1]){ 0 }, 1, MSG_DONTWAIT);
    s->count = early < 0 && errno == EAGAIN;
    close(server);
    close(first);
    server = accept_patiently(s->server);
    hear(second, &s->seen, "\r\n\r\n");
    close(server);
    close(second);
}

static void one_too_many_waits_for_another_to_end(void **state)
{
    static const struct guard_proxy_limits limits = { .connections_max = 1, .idle_ms = 8000 };
    struct stage s;

    (void)state;
    perform(&s, play_crowd, &limits, true);
    assert_int_equal(s.count, 1);
    assert_non_null(strstr(buf_text(&s.seen), "HTTP/1.1 200 "));
    clear(&s);
}

/* When the server can say no more, the child reads a little. */
static bool wait_or_read(int server, int child, char *block, size_t size, uint64_t *count)
{
    struct pollfd can_write = { .fd = server, .events = POLLOUT };

    if (poll(&can_write, 1, 100) > 0)
        return true;
    ssize_t got = recv(child, block, size, 0);
    *count += got > 0 ? (size_t)got : 0;
    return got > 0;
}

static void play_flood(struct stage *s)
{
    enum { TOTAL = 16 * 1024 * 1024, PIECE = 256 * 1024 };
    int child = call_proxy(s);
    char *block = mem_zalloc(PIECE);

    say(child, "GET http://127.0.0.1:%u/ HTTP/1.1\r\nHost: x\r\n\r\n", s->server_port);
    int server = accept_patiently(s->server);
    hear(server, &s->seen, "\r\n\r\n");
    /* More than all sockets on the way hold: the proxy must wait, and go on. The server
     * says what it can before the child reads a byte. */
    int left = TOTAL;
    for (ssize_t sent; left > 0; left -= (int)sent) {
        sent =
            send(server, block, left < PIECE ? (size_t)left : PIECE, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent <= 0 && !wait_or_read(server, child, block, PIECE, &s->count))
            break;
        sent = sent > 0 ? sent : 0;
    }
    close(server);
    for (ssize_t got; (got = recv(child, block, PIECE, 0)) > 0;)
        s->count += (size_t)got;
    close(child);
    mem_free(block);
}

static void a_slow_reader_gets_all_of_it(void **state)
{
    struct stage s;

    (void)state;
    perform(&s, play_flood, NULL, true);
    assert_int_equal(s.count, 16 * 1024 * 1024);
    clear(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tunnel_carries_bytes_both_ways_until_each_side_ends),
        cmocka_unit_test(an_absolute_url_is_asked_for_without_what_was_meant_for_the_proxy),
        cmocka_unit_test(what_follows_a_request_reaches_nobody),
        cmocka_unit_test(what_is_not_admitted_is_refused_and_remembered),
        cmocka_unit_test(what_is_no_request_to_a_proxy_is_a_bad_one),
        cmocka_unit_test(content_without_a_declared_length_is_refused),
        cmocka_unit_test(a_server_that_is_not_there_is_a_bad_gateway),
        cmocka_unit_test(no_more_comes_in_than_may),
        cmocka_unit_test(who_says_nothing_is_hung_up_on),
        cmocka_unit_test(one_too_many_waits_for_another_to_end),
        cmocka_unit_test(a_slow_reader_gets_all_of_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
