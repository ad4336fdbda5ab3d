#include "harness.h"

#include <assert.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "proto/http.h"

enum { READ_MAX = 1000, FILE_BYTES = 8 * 1024 * 1024 + 17 };

static struct server server;
static atomic_int releases, gone_events, data_bytes, asked;
static _Atomic(struct exchange *) kept; /* by /keep, until `answer_kept` */
static char file_path[64];

static void reply(struct exchange *x, int status, const char *text)
{
    exchange_reply(x, status, "text/plain", msg_new(text, strlen(text)));
}

static void count_release(void *state)
{
    (void)state;
    atomic_fetch_add(&releases, 1);
}

static void echo(struct exchange *x, struct str body)
{
    exchange_reply(x, 200, NULL, msg_new(body.at, body.len));
}

static void on_data(struct exchange *x, const char *bytes, size_t len)
{
    (void)x;
    (void)bytes;
    atomic_fetch_add(&data_bytes, (int)len);
}

static void on_end(struct exchange *x)
{
    char text[32];

    snprintf(text, sizeof(text), "%d", atomic_load(&data_bytes));
    reply(x, 200, text);
}

static void on_gone(struct exchange *x)
{
    atomic_fetch_add(&gone_events, 1);
    assert(exchange_is_gone(x));
    reply(x, 500, "nobody reads this");
}

static const struct body_events stream_events = { .data = on_data, .end = on_end, .gone = on_gone };

static void rest(void *context)
{
    (void)context;
    harness_breathe();
}

static void resume(void *context)
{
    exchange_resume(context);
}

static void on_data_paused(struct exchange *x, const char *bytes, size_t len)
{
    on_data(x, bytes, len);
    exchange_pause(x);
    io_offload(io_thread_loop(exchange_thread(x)), rest, resume, x);
}

static const struct body_events pausing_events = { .data = on_data_paused,
                                                   .end = on_end,
                                                   .gone = on_gone };

static void on_data_refused(struct exchange *x, const char *bytes, size_t len)
{
    on_data(x, bytes, len);
    reply(x, 403, "enough");
}

static const struct body_events refusing_events = { .data = on_data_refused,
                                                    .end = on_end,
                                                    .gone = on_gone };

enum { PLACE = 700, PLACED_MAX = 1 << 20 };
static char place[PLACE], placed_body[PLACED_MAX];
static atomic_int in_place;

static char *find_place(struct exchange *x, size_t *len)
{
    (void)x;
    *len = sizeof(place);
    return place;
}

static void on_data_placed(struct exchange *x, const char *bytes, size_t len)
{
    int at = atomic_load(&data_bytes);

    assert((size_t)at + len <= sizeof(placed_body));
    memcpy(placed_body + at, bytes, len);
    if (bytes == place)
        atomic_fetch_add(&in_place, (int)len);
    on_data(x, bytes, len);
}

static const struct body_events placing_events = {
    .data = on_data_placed, .end = on_end, .gone = on_gone, .room = find_place
};

static void reply_late(void *context)
{
    reply(context, 200, exchange_is_gone(context) ? "gone" : "late");
}

static void read_late(void *context)
{
    exchange_read(context, READ_MAX, echo);
}

static void give_file(struct exchange *x, uint64_t first, uint64_t length)
{
    exchange_reply_file(x, 200, "video/mp4", open(file_path, O_RDONLY | O_CLOEXEC), first, length);
}

static void with_fields(struct exchange *x)
{
    exchange_header(x, "X-One", "1");
    exchange_header(x, "X-Two", "2");
    exchange_reply(x, 204, NULL, NULL);
}

static void read_with_fields(struct exchange *x)
{
    exchange_header(x, "X-One", "1");
    exchange_keep_headers(x);
    exchange_header(x, "X-Two", "2");
    exchange_read(x, READ_MAX, echo);
}

static void say_peer(struct exchange *x)
{
    char text[80], peer[64];

    exchange_peer(x, peer);
    snprintf(text, sizeof(text), "%s %d", peer, exchange_is_loopback(x));
    reply(x, 200, text);
}

static void handle(void *context, struct exchange *x)
{
    uv_loop_t *loop = io_thread_loop(exchange_thread(x));
    struct str path = exchange_request(x)->path;

    (void)context;
    atomic_fetch_add(&asked, 1);
    exchange_attach(x, &server, count_release);
    if (str_equal(path, STR("/echo")))
        exchange_read(x, READ_MAX, echo);
    else if (str_equal(path, STR("/stream")))
        exchange_stream(x, &stream_events);
    else if (str_equal(path, STR("/pausing")))
        exchange_stream(x, &pausing_events);
    else if (str_equal(path, STR("/placing")))
        exchange_stream(x, &placing_events);
    else if (str_equal(path, STR("/refusing")))
        exchange_stream(x, &refusing_events);
    else if (str_equal(path, STR("/late")))
        io_offload(loop, rest, reply_late, x);
    else if (str_equal(path, STR("/read-late")))
        io_offload(loop, rest, read_late, x);
    else if (str_equal(path, STR("/keep")))
        atomic_store(&kept, x);
    else if (str_equal(path, STR("/file")))
        give_file(x, 0, FILE_BYTES);
    else if (str_equal(path, STR("/part")))
        give_file(x, 5, 10);
    else if (str_equal(path, STR("/cut")))
        give_file(x, 0, FILE_BYTES + 100);
    else if (str_equal(path, STR("/fields")))
        with_fields(x);
    else if (str_equal(path, STR("/read-with-fields")))
        read_with_fields(x);
    else if (str_equal(path, STR("/peer")))
        say_peer(x);
    else
        reply(x, 200, "hello");
}

static int start_with(const struct io_timeouts *timeouts)
{
    atomic_store(&releases, 0);
    atomic_store(&gone_events, 0);
    atomic_store(&data_bytes, 0);
    atomic_store(&asked, 0);
    atomic_store(&in_place, 0);
    atomic_store(&kept, NULL);
    server_start(&server, (struct io_settings){ .timeouts = timeouts }, NULL, handle);
    return 0;
}

static int start(void **state)
{
    (void)state;
    return start_with(NULL);
}

static int start_quick(void **state)
{
    (void)state;
    return start_with(&quick_timeouts);
}

static int stop(void **state)
{
    (void)state;
    server_stop(&server);
    return 0;
}

#define GET(path)  "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST(path) "POST " path " HTTP/1.1\r\nHost: a\r\n"

static void one_connection_serves_many_requests(void **state)
{
    int fd = client_open(&server);

    (void)state;
    for (int i = 0; i < 5; i++)
        expect_answer(fd, GET("/"), 200, "hello");
    assert_int_equal(io_pool_connections(server.pool), 1);
    close(fd);
    WAIT_FOR(atomic_load(&releases) == 5);
    WAIT_FOR(io_pool_connections(server.pool) == 0);
}

static void pipelined_requests_are_answered_in_their_order(void **state)
{
    int fd = client_open(&server);

    (void)state;
    client_say(
        fd,
        GET("/late") POST("/echo") "Content-Length: 3\r\n\r\none" GET("/")
            POST("/echo") "Transfer-Encoding: chunked\r\n\r\n2\r\ntw\r\n1\r\no\r\n0\r\n\r\n" GET(
                "/late"));
    expect_answer(fd, "", 200, "late");
    expect_answer(fd, "", 200, "one");
    expect_answer(fd, "", 200, "hello");
    expect_answer(fd, "", 200, "two");
    expect_answer(fd, "", 200, "late");
    close(fd);
}

static void a_request_may_come_byte_by_byte(void **state)
{
    static const char text[] = POST("/echo") "Transfer-Encoding: chunked\r\n\r\n"
                                             "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
    int fd = client_open(&server);

    (void)state;
    for (size_t i = 0; i < sizeof(text) - 1; i++)
        client_send(fd, text + i, 1);
    expect_answer(fd, "", 200, "hello world");
    close(fd);
}

static void a_client_that_expects_it_is_told_to_continue(void **state)
{
    int fd = client_open(&server);
    char words[25];

    (void)state;
    client_say(fd, POST("/echo") "Content-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    client_take(fd, words, sizeof(words));
    assert_memory_equal(words, "HTTP/1.1 100 Continue\r\n\r\n", sizeof(words));
    expect_answer(fd, "body", 200, "body");
    expect_answer(fd, GET("/"), 200, "hello");
    close(fd);
}

static void a_refused_body_is_not_invited(void **state)
{
    int fd = client_open(&server);

    (void)state;
    expect_answer(fd, POST("/echo") "Content-Length: 4000\r\nExpect: 100-continue\r\n\r\n", 413,
                  NULL);
    client_expect_end(fd);
}

static void head_has_the_length_and_no_body(void **state)
{
    int fd = client_open(&server);
    struct answer a;

    (void)state;
    for (int i = 0; i < 2; i++) {
        client_say(fd, i == 0 ? "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
                              : "HEAD /file HTTP/1.1\r\nHost: a\r\n\r\n");
        answer_read(&a, fd, false);
        assert_int_equal(a.status, 200);
        assert_int_equal(strtol(answer_field(&a, "Content-Length"), NULL, 10),
                         i == 0 ? 5 : FILE_BYTES);
        answer_deinit(&a);
    }
    expect_answer(fd, GET("/"), 200, "hello");
    close(fd);
}

static void an_answer_has_date_and_fields_and_204_no_length(void **state)
{
    int fd = client_open(&server);
    struct answer a;

    (void)state;
    client_say(fd, GET("/fields"));
    answer_read(&a, fd, true);
    assert_int_equal(a.status, 204);
    assert_string_equal(answer_field(&a, "X-One"), "1");
    assert_string_equal(answer_field(&a, "X-Two"), "2");
    assert_int_equal(strlen(answer_field(&a, "Date")), 29);
    assert_null(answer_field(&a, "Content-Length"));
    assert_null(answer_field(&a, "Server"));
    answer_deinit(&a);
    expect_answer(fd, GET("/"), 200, "hello");
    close(fd);
}

static void a_malformed_request_is_told_so_and_closed(void **state)
{
    int fd = client_open(&server);
    struct answer a;

    (void)state;
    client_say(fd, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" GET("/"));
    answer_read(&a, fd, true);
    assert_int_equal(a.status, 400);
    assert_string_equal(answer_field(&a, "Connection"), "close");
    assert_string_equal(answer_field(&a, "Content-Type"), "application/json");
    assert_string_equal(buf_text(&a.body),
                        "{\"error\":{\"code\":\"BAD_REQUEST\",\"message\":\"Bad Request\"}}");
    answer_deinit(&a);
    client_expect_end(fd);
    assert_int_equal(atomic_load(&asked), 0);
}

static void a_body_too_long_is_413_however_it_comes(void **state)
{
    char chunk[2000];
    int fd = client_open(&server);

    (void)state;
    expect_answer(fd, POST("/echo") "Content-Length: 1001\r\n\r\n", 413, NULL);
    client_expect_end(fd);

    memset(chunk, 'x', sizeof(chunk));
    fd = client_open(&server);
    client_say(fd, POST("/echo") "Transfer-Encoding: chunked\r\n\r\n7d0\r\n");
    client_send(fd, chunk, sizeof(chunk));
    expect_answer(fd, "\r\n0\r\n\r\n", 413, NULL);
    client_expect_end(fd);
    WAIT_FOR(atomic_load(&releases) == 2);
}

static void fields_that_are_kept_are_in_our_refusals_too(void **state)
{
    static const struct {
        const char *text;
        int status;
    } table[] = {
        { POST("/read-with-fields") "Content-Length: 2\r\n\r\nhi", 200 },
        { POST("/echo") "Content-Length: 2\r\n\r\nhi", 200 },
        { POST("/read-with-fields") "Content-Length: 1001\r\n\r\n", 413 },
    };
    int fd = client_open(&server);
    struct answer a;

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        client_say(fd, table[i].text);
        answer_read(&a, fd, true);
        assert_int_equal(a.status, table[i].status);
        assert_int_equal(answer_field(&a, "X-One") != NULL, i != 1);
        assert_int_equal(answer_field(&a, "X-Two") != NULL, i == 0);
        answer_deinit(&a);
    }
    client_expect_end(fd);
    fd = client_open(&server);
    client_say(fd, POST("/read-with-fields") "Transfer-Encoding: chunked\r\n\r\n");
    WAIT_FOR(atomic_load(&asked) == 4);
    client_say(fd, "no chunk\r\n");
    answer_read(&a, fd, true);
    assert_int_equal(a.status, 400);
    assert_non_null(answer_field(&a, "X-One"));
    answer_deinit(&a);
    client_expect_end(fd);
}

static void a_client_still_sending_sees_the_refusal(void **state)
{
    static char block[100000];
    int fd = client_open(&server);

    (void)state;
    client_say(fd, POST("/refusing") "Content-Length: 5000000\r\n\r\n");
    for (int i = 0; i < 50; i++)
        client_send(fd, block, sizeof(block));
    expect_answer(fd, "", 403, "enough");
    client_expect_end(fd);
}

static void a_broken_body_is_400_and_the_handler_hears_of_it(void **state)
{
    int fd = client_open(&server);

    (void)state;
    client_say(fd, POST("/stream") "Transfer-Encoding: chunked\r\n\r\n");
    WAIT_FOR(atomic_load(&asked) == 1);
    expect_answer(fd, "zz\r\n", 400, NULL);
    client_expect_end(fd);
    WAIT_FOR(atomic_load(&gone_events) == 1 && atomic_load(&releases) == 1);
}

static void a_body_streams_through_pauses(void **state)
{
    static char block[300000];
    char text[64];
    int fd = client_open(&server);

    (void)state;
    snprintf(text, sizeof(text), "Content-Length: %zu\r\n\r\n", sizeof(block) * 5);
    client_say(fd, POST("/pausing"));
    client_say(fd, text);
    for (int i = 0; i < 5; i++)
        client_send(fd, block, sizeof(block));
    expect_answer(fd, "", 200, "1500000");
    expect_answer(fd, GET("/"), 200, "hello");
    close(fd);
}

static void a_body_of_known_length_is_read_into_its_place_and_no_byte_further(void **state)
{
    static char block[100000];
    char text[64];
    int fd = client_open(&server);

    (void)state;
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = (char)(i * 2654435761u >> 24);
    snprintf(text, sizeof(text), "Content-Length: %zu\r\n\r\n", sizeof(block));
    client_say(fd, POST("/placing"));
    client_say(fd, text);
    client_send(fd, block, sizeof(block));
    /* The next request lies directly behind it. */
    client_say(fd, GET("/"));
    expect_answer(fd, "", 200, "100000");
    expect_answer(fd, "", 200, "hello");
    assert_memory_equal(placed_body, block, sizeof(block));
    assert_in_range(atomic_load(&in_place), sizeof(block) - 64 * 1024, sizeof(block));
    close(fd);
}

static void chunks_are_never_read_into_a_place(void **state)
{
    int fd = client_open(&server);

    (void)state;
    client_say(fd, POST("/placing") "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 100; i++)
        client_say(fd, "a\r\n0123456789\r\n");
    expect_answer(fd, "0\r\n\r\n", 200, "1000");
    assert_int_equal(atomic_load(&in_place), 0);
    assert_memory_equal(placed_body, "0123456789012345", 16);
    close(fd);
}

static void chunks_stream_through_pauses(void **state)
{
    int fd = client_open(&server);

    (void)state;
    client_say(fd, POST("/pausing") "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 1000; i++)
        client_say(fd, "a\r\n0123456789\r\n");
    expect_answer(fd, "0\r\n\r\n", 200, "10000");
    close(fd);
}

static void a_body_may_be_asked_for_late(void **state)
{
    int fd = client_open(&server);

    (void)state;
    expect_answer(fd, POST("/read-late") "Content-Length: 4\r\n\r\nbody", 200, "body");
    client_say(fd, POST("/read-late") "Content-Length: 4\r\n\r\n");
    client_say(fd, "bo");
    expect_answer(fd, "dy", 200, "body");
    close(fd);
}

static void an_unread_body_that_is_here_keeps_the_connection(void **state)
{
    int fd = client_open(&server);

    (void)state;
    expect_answer(fd, POST("/") "Content-Length: 4\r\n\r\nbody", 200, "hello");
    expect_answer(fd, GET("/"), 200, "hello");
    close(fd);
}

static void http10_closes_unless_asked_to_keep_alive(void **state)
{
    int fd = client_open(&server);
    struct answer a;

    (void)state;
    client_say(fd, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    answer_read(&a, fd, true);
    assert_string_equal(answer_field(&a, "Connection"), "keep-alive");
    answer_deinit(&a);
    expect_answer(fd, "GET / HTTP/1.0\r\n\r\n", 200, "hello");
    client_expect_end(fd);
}

static void a_client_that_ended_its_side_is_still_answered(void **state)
{
    int fd = client_open(&server);

    (void)state;
    client_say(fd, GET("/late") GET("/"));
    shutdown(fd, SHUT_WR);
    expect_answer(fd, "", 200, "late");
    expect_answer(fd, "", 200, "hello");
    client_expect_end(fd);
}

static void a_head_too_slow_is_408(void **state)
{
    int fd = client_open(&server);

    (void)state;
    expect_answer(fd, "GET / HT", 408, NULL);
    client_expect_end(fd);
}

static void a_body_too_slow_is_408_and_the_handler_hears_of_it(void **state)
{
    int fd = client_open(&server);

    (void)state;
    expect_answer(fd, POST("/stream") "Content-Length: 10\r\n\r\n12345", 408, NULL);
    client_expect_end(fd);
    WAIT_FOR(atomic_load(&gone_events) == 1 && atomic_load(&releases) == 1);
}

static void an_idle_connection_is_closed_without_a_word(void **state)
{
    int silent = client_open(&server), served = client_open(&server);

    (void)state;
    expect_answer(served, GET("/"), 200, "hello");
    client_expect_end(silent);
    client_expect_end(served);
}

static long cpu_ms(void)
{
    struct timespec used;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return used.tv_sec * 1000 + used.tv_nsec / 1000000;
}

static void a_client_that_reads_nothing_costs_nothing_and_is_cut(void **state)
{
    int fd = client_open_slow(&server);

    (void)state;
    long before = cpu_ms();
    client_say(fd, GET("/file"));
    WAIT_FOR(atomic_load(&releases) == 1);
    WAIT_FOR(io_pool_connections(server.pool) == 0);
    assert_in_range(cpu_ms() - before, 0, quick_timeouts.write / 2);
    close(fd);
}

static void a_slow_reader_gets_the_whole_file(void **state)
{
    int fd = client_open_slow(&server);
    struct answer a;

    (void)state;
    client_say(fd, GET("/file"));
    answer_read(&a, fd, true);
    assert_int_equal(a.body.len, FILE_BYTES);
    for (size_t i = 0; i < a.body.len; i++)
        if (a.body.data[i] != (char)(i * 7 + i / 1000))
            fail_msg("byte %zu", i);
    answer_deinit(&a);
    expect_answer(fd, GET("/"), 200, "hello");
    expect_answer(fd, GET("/part") GET("/"), 200, NULL);
    expect_answer(fd, "", 200, "hello");
    close(fd);
}

static void a_part_of_a_file_is_that_part(void **state)
{
    int fd = client_open(&server);
    struct answer a;

    (void)state;
    client_say(fd, GET("/part"));
    answer_read(&a, fd, true);
    assert_int_equal(a.body.len, 10);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal((unsigned char)a.body.data[i], (unsigned char)((i + 5) * 7));
    answer_deinit(&a);
    close(fd);
}

static void a_file_shorter_than_promised_cuts_the_connection(void **state)
{
    int fd = client_open(&server);
    char block[65536];
    size_t total = 0;
    ssize_t got;

    (void)state;
    client_say(fd, GET("/cut"));
    while ((got = recv(fd, block, sizeof(block), 0)) > 0)
        total += (size_t)got;
    assert_in_range(total, FILE_BYTES, FILE_BYTES + 512);
    close(fd);
}

static void reset(int fd)
{
    struct linger now = { .l_onoff = 1 };

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
}

static void a_refused_head_request_gets_no_body(void **state)
{
    int fd = client_open(&server);
    struct answer a;

    (void)state;
    client_say(fd, "HEAD /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n");
    answer_read(&a, fd, false);
    assert_int_equal(a.status, 413);
    answer_deinit(&a);
    client_expect_end(fd);
}

static void a_client_may_vanish_at_any_point(void **state)
{
    static const char *const said[] = {
        "",
        "GET / HT",
        POST("/stream") "Content-Length: 10\r\n\r\n1",
        POST("/echo") "Content-Length: 10\r\n\r\n1",
        POST("/pausing") "Content-Length: 10\r\n\r\n1",
        POST("/read-late") "Content-Length: 10\r\n\r\n1",
        GET("/late"),
        GET("/file"),
        GET("/"),
        "nonsense\r\n\r\n",
    };
    enum { WAYS = sizeof(said) / sizeof(said[0]) };

    (void)state;
    for (int i = 0; i < WAYS * 2; i++) {
        int before = atomic_load(&asked);
        int fd = client_open(&server);
        client_say(fd, said[i / 2]);
        bool is_request = strstr(said[i / 2], "Host") != NULL;
        WAIT_FOR(!is_request || atomic_load(&asked) == before + 1);
        if (i % 2 == 0)
            close(fd);
        else
            reset(fd);
    }
    WAIT_FOR(io_pool_connections(server.pool) == 0);
    WAIT_FOR(atomic_load(&releases) == atomic_load(&asked));
}

static void answer_kept(struct mail *mail)
{
    struct exchange *x = atomic_load(&kept);

    (void)mail;
    assert(exchange_is_gone(x));
    assert(str_equal(exchange_request(x)->path, STR("/keep")));
    reply(x, 200, "nobody reads this");
}

static void an_exchange_outlives_its_client(void **state)
{
    struct mail mail = { .open = answer_kept };
    int fd = client_open(&server);

    (void)state;
    client_say(fd, GET("/keep"));
    WAIT_FOR(atomic_load(&kept) != NULL);
    reset(fd);
    WAIT_FOR(io_pool_connections(server.pool) == 0);
    assert_int_equal(atomic_load(&releases), 0);
    mailbox_post(io_thread_mailbox(exchange_thread(kept)), &mail);
    WAIT_FOR(atomic_load(&releases) == 1);
}

static void an_exchange_never_answered_is_released_at_the_end(void **state)
{
    int fd;

    (void)state;
    start_with(NULL);
    fd = client_open(&server);
    client_say(fd, GET("/keep"));
    WAIT_FOR(atomic_load(&asked) == 1);
    io_pool_stop(server.pool, 50);
    assert_int_equal(atomic_load(&releases), 1);
    close(fd);
}

static void the_peer_is_known(void **state)
{
    int fd = client_open(&server);

    (void)state;
    expect_answer(fd, GET("/peer"), 200, "127.0.0.1 1");
    close(fd);
}

static int make_file(void **state)
{
    char *bytes = mem_alloc(FILE_BYTES);

    (void)state;
    for (size_t i = 0; i < FILE_BYTES; i++)
        bytes[i] = (char)(i * 7 + i / 1000);
    snprintf(file_path, sizeof(file_path), "/tmp/reelay-io-http-XXXXXX");
    int fd = mkstemp(file_path);
    ssize_t wrote = write(fd, bytes, FILE_BYTES);
    mem_free(bytes);
    close(fd);
    return wrote == FILE_BYTES ? 0 : -1;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(file_path);
}

#define USUAL(name) cmocka_unit_test_setup_teardown(name, start, stop)
#define QUICK(name) cmocka_unit_test_setup_teardown(name, start_quick, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        USUAL(one_connection_serves_many_requests),
        USUAL(pipelined_requests_are_answered_in_their_order),
        USUAL(a_request_may_come_byte_by_byte),
        USUAL(a_client_that_expects_it_is_told_to_continue),
        USUAL(a_refused_body_is_not_invited),
        USUAL(head_has_the_length_and_no_body),
        USUAL(an_answer_has_date_and_fields_and_204_no_length),
        USUAL(a_malformed_request_is_told_so_and_closed),
        USUAL(a_body_too_long_is_413_however_it_comes),
        USUAL(fields_that_are_kept_are_in_our_refusals_too),
        USUAL(a_client_still_sending_sees_the_refusal),
        USUAL(a_broken_body_is_400_and_the_handler_hears_of_it),
        USUAL(a_body_streams_through_pauses),
        USUAL(a_body_of_known_length_is_read_into_its_place_and_no_byte_further),
        USUAL(chunks_are_never_read_into_a_place),
        USUAL(chunks_stream_through_pauses),
        USUAL(a_body_may_be_asked_for_late),
        USUAL(an_unread_body_that_is_here_keeps_the_connection),
        USUAL(http10_closes_unless_asked_to_keep_alive),
        USUAL(a_client_that_ended_its_side_is_still_answered),
        QUICK(a_head_too_slow_is_408),
        QUICK(a_body_too_slow_is_408_and_the_handler_hears_of_it),
        QUICK(an_idle_connection_is_closed_without_a_word),
        QUICK(a_client_that_reads_nothing_costs_nothing_and_is_cut),
        USUAL(a_slow_reader_gets_the_whole_file),
        USUAL(a_part_of_a_file_is_that_part),
        USUAL(a_file_shorter_than_promised_cuts_the_connection),
        USUAL(a_refused_head_request_gets_no_body),
        USUAL(a_client_may_vanish_at_any_point),
        USUAL(an_exchange_outlives_its_client),
        cmocka_unit_test(an_exchange_never_answered_is_released_at_the_end),
        USUAL(the_peer_is_known),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
