/* Everything at once, as in `serve`: I/O threads with their hubs, publishers at
 * the ledger, a store that writes down, and a crowd of real WebSockets of which
 * some read slowly, some leave and come back, some change their mind. The
 * threads are the point: it runs under ThreadSanitizer too.
 *
 *   publishers -> ledger (-> store) -> mailboxes -> hubs -> sockets -> crowd
 *
 * What a viewer saw last of a job it remembers over its reconnects, to whatever
 * thread they lead. */
#include "../io/harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "dialect/dialects.h"
#include "proto/ws.h"
#include "store/store.h"

enum {
    IO_THREADS = 4,
    PUBLISHERS = 3,
    JOBS = 50,
    SUBSCRIPTIONS = 2,
    CROWD = 2200,
    UPDATES = 400, /* of each publisher */
    STIRS = 4,     /* viewers that leave, or change their mind, in a round */
    PADDING = 2000,
    WAIT_MS = 60 * 1000,
};

/* --- the server's side: two doors with the least of words --- */

struct door {
    struct session session;
    struct ws_link *link;
};

static void render(const struct update *u, struct words *out)
{
    buf_printf(&out->bytes, "%s %llu %d %*s", u->text[TEXT_ID], (unsigned long long)u->seq,
               job_is_final(u->state), PADDING, ".");
    words_end(out);
}

/* "+7" and "-7". */
static void receive(struct str message, struct words *out, struct request *request)
{
    (void)out;
    if (message.len < 2)
        return;
    request->kind = message.at[0] == '+' ? REQUEST_SUBSCRIBE : REQUEST_UNSUBSCRIBE;
    snprintf(request->job, sizeof(request->job), "%.*s", (int)message.len - 1, message.at + 1);
}

/* Behind the real dialects' places in the rendering cache. */
static const struct dialect some = {
    .name = "some",
    .index = DIALECTS_MAX - 2,
    .render = render,
    .receive = receive,
};
static const struct dialect all = {
    .name = "all",
    .index = DIALECTS_MAX - 1,
    .hears_all = true,
    .render = render,
};

static struct ledger *ledger;
static struct server server;
static pthread_mutex_t heard_all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct io_thread *heard_all[IO_THREADS]; /* where somebody hears all */
static atomic_uint noted, drains;

static void on_message(void *context, enum ws_opcode type, struct str message)
{
    struct door *d = context;
    struct request request = { 0 };

    (void)type;
    session_receive(&d->session, message, &request);
    if (request.kind == REQUEST_NOTHING)
        return;
    if (request.kind == REQUEST_UNSUBSCRIBE)
        hub_unsubscribe(d->session.hub, &d->session, request.job);
    else
        hub_subscribe(d->session.hub, &d->session, request.job);
}

static void on_drain(void *context)
{
    atomic_fetch_add(&drains, 1);
    session_drain(&((struct door *)context)->session);
}

static void on_gone(void *context)
{
    session_close(&((struct door *)context)->session);
    mem_free(context);
}

static const struct ws_link_events door_events = { on_message, on_drain, on_gone };

static void note_thread(struct io_thread *t)
{
    unsigned i = 0;

    pthread_mutex_lock(&heard_all_lock);
    while (heard_all[i] != NULL && heard_all[i] != t)
        i++;
    heard_all[i] = t;
    pthread_mutex_unlock(&heard_all_lock);
    atomic_fetch_add(&noted, 1);
}

static bool is_all_heard_everywhere(void)
{
    pthread_mutex_lock(&heard_all_lock);
    bool is_full = heard_all[IO_THREADS - 1] != NULL;
    pthread_mutex_unlock(&heard_all_lock);
    return is_full;
}

static void handle(void *context, struct exchange *x)
{
    struct hub *hub = io_thread_hub(exchange_thread(x));
    bool hears_all = str_equal(exchange_request(x)->path, STR("/"));
    struct deflate_params deflate;
    char accept[WS_ACCEPT_SIZE];
    struct ws_answer answer = { .accept = accept };
    struct door *d = mem_new(struct door);

    (void)context;
    if (hears_all)
        note_thread(exchange_thread(x));
    if (ws_handshake(exchange_request(x), accept) != 0)
        abort();
    if (deflate_negotiate(exchange_request(x), &deflate))
        answer.deflate = &deflate;
    d->link = ws_link_open(x, &answer, &door_events, d);
    struct viewer *viewer = viewer_new("", true, 0);
    session_open(&d->session, hub, hears_all ? &all : &some, ws_link_sink(d->link),
                 ws_link_framing(d->link), viewer);
    viewer_unref(&viewer);
    if (hears_all)
        hub_subscribe_all(hub, &d->session);
}

/* --- the crowd: one thread, which alone touches the viewers --- */

enum phase { PUBLISHING, FINISHING };

struct viewer_end {
    int fd; /* -1: it has ended */
    struct ws_reader reader;
    char head[4]; /* the last bytes of the answer's head so far */
    bool is_open; /* the head is behind us */
    bool hears_all, is_deflate, is_slow, is_polled;
    int close_code; /* -1: none */
    unsigned jobs[SUBSCRIPTIONS];
    uint64_t last[JOBS];
    bool is_final[JOBS]; /* on this connection */
    unsigned finals, wanted;
};

static struct viewer_end viewers[CROWD];
static int poller;
static unsigned crowd_size, alive, seed = 1;
static atomic_uint phase, opened, satisfied, steps_back, mistakes, returns, messages;

static unsigned pick(unsigned below)
{
    seed = seed * 1103515245u + 12345u;
    return (seed >> 16) % below;
}

static void poll_viewer(struct viewer_end *v)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = v };

    v->is_polled = true;
    if (epoll_ctl(poller, EPOLL_CTL_ADD, v->fd, &event) != 0)
        atomic_fetch_add(&mistakes, 1);
}

static void say(struct viewer_end *v, uint8_t first_byte, const void *bytes, size_t len)
{
    struct buf frame;

    buf_init(&frame, len + WS_HEAD_MAX);
    ws_append_masked(&frame, first_byte, bytes, len);
    /* A few bytes to somebody who reads: they always fit. */
    if (send(v->fd, frame.data, frame.len, MSG_NOSIGNAL) < 0 && errno == EAGAIN)
        atomic_fetch_add(&mistakes, 1);
    buf_deinit(&frame);
}

static void say_job(struct viewer_end *v, char sign, unsigned job)
{
    char text[8];
    int len = snprintf(text, sizeof(text), "%c%u", sign, job);

    say(v, WS_FIN | WS_TEXT, text, (size_t)len);
}

static void arrive(struct viewer_end *v)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(server.port) };
    int small = 4096;
    char text[512];

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    v->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (v->is_slow)
        setsockopt(v->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    int len = snprintf(text, sizeof(text),
                       "GET /%s HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
                       "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
                       v->hears_all ? "" : "some",
                       v->is_deflate ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : "");
    if (v->fd < 0 || connect(v->fd, (struct sockaddr *)&to, sizeof(to)) != 0 ||
        send(v->fd, text, (size_t)len, MSG_NOSIGNAL) != len ||
        fcntl(v->fd, F_SETFL, O_NONBLOCK) != 0)
        atomic_fetch_add(&mistakes, 1);
    ws_reader_init(&v->reader, v->is_deflate);
    v->is_open = v->is_polled = false;
    v->close_code = -1;
    v->finals = 0;
    memset(v->head, 0, sizeof(v->head));
    memset(v->is_final, 0, sizeof(v->is_final));
    for (unsigned i = 0; i < SUBSCRIPTIONS && !v->hears_all; i++)
        say_job(v, '+', v->jobs[i]);
    if (!v->is_slow)
        poll_viewer(v);
    alive++;
}

static void leave(struct viewer_end *v)
{
    if (v->is_open)
        atomic_fetch_sub(&opened, 1);
    if (v->finals == v->wanted)
        atomic_fetch_sub(&satisfied, 1);
    ws_reader_deinit(&v->reader);
    close(v->fd);
    v->fd = -1;
    alive--;
}

static void hear_message(void *context, enum ws_opcode type, char *data, size_t len)
{
    struct viewer_end *v = context;
    char head[48] = { 0 };
    unsigned long long seq;
    unsigned job;
    int is_final;

    atomic_fetch_add(&messages, 1);
    memcpy(head, data, len < sizeof(head) ? len : sizeof(head) - 1);
    if (type != WS_TEXT || sscanf(head, "%u %llu %d", &job, &seq, &is_final) != 3 || job >= JOBS) {
        atomic_fetch_add(&mistakes, 1);
        return;
    }
    if (seq < v->last[job])
        atomic_fetch_add(&steps_back, 1);
    v->last[job] = seq;
    if (!is_final || v->is_final[job])
        return;
    v->is_final[job] = true;
    if (++v->finals == v->wanted)
        atomic_fetch_add(&satisfied, 1);
}

static void hear_control(void *context, const char *data, size_t len)
{
    (void)context;
    (void)data;
    (void)len;
}

static void hear_close(void *context, uint16_t code, struct str reason)
{
    struct viewer_end *v = context;

    (void)reason;
    v->close_code = code;
}

static const struct ws_settings client_settings = { .message_max = 65536, .is_client = true };
static const struct ws_events client_events = { hear_message, hear_control, hear_control,
                                                hear_close };

/* How many bytes of the answer's head are here; `is_open` behind its end. */
static size_t skip_head(struct viewer_end *v, const char *bytes, size_t len)
{
    size_t at = 0;

    while (at < len && !v->is_open) {
        memmove(v->head, v->head + 1, 3);
        v->head[3] = bytes[at++];
        v->is_open = memcmp(v->head, "\r\n\r\n", 4) == 0;
    }
    if (v->is_open && at > 0)
        atomic_fetch_add(&opened, 1);
    return at;
}

static void read_viewer(struct viewer_end *v, size_t max)
{
    static char bytes[65536];
    ssize_t got = recv(v->fd, bytes, max, 0);

    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) { /* the server ends it, and only behind its Close */
        if (got < 0 || v->close_code != WS_CLOSE_GOING_AWAY)
            atomic_fetch_add(&mistakes, 1);
        leave(v);
        return;
    }
    size_t at = v->is_open ? 0 : skip_head(v, bytes, (size_t)got);
    if (ws_reader_feed(&v->reader, &client_settings, &client_events, v, bytes + at,
                       (size_t)got - at) != WS_CLOSE_EMPTY)
        atomic_fetch_add(&mistakes, 1);
    if (v->close_code == WS_CLOSE_GOING_AWAY)
        say(v, WS_FIN | WS_CLOSE, "\x03\xe9", 2);
}

/* Without a word or with one, or with a reset; and back at once. */
static void come_back(struct viewer_end *v)
{
    struct linger hard = { .l_onoff = 1 };
    unsigned how = pick(3);

    if (how == 0)
        setsockopt(v->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    else if (how == 1)
        say(v, WS_FIN | WS_CLOSE, "\x03\xe8", 2);
    leave(v);
    arrive(v);
    atomic_fetch_add(&returns, 1);
}

static void change_mind(struct viewer_end *v)
{
    unsigned job = v->jobs[pick(SUBSCRIPTIONS)];

    say_job(v, '-', job);
    say_job(v, '+', job);
}

static void stir(void)
{
    struct viewer_end *restless = &viewers[pick(crowd_size)];
    struct viewer_end *fickle = &viewers[pick(crowd_size)];

    if (!restless->hears_all)
        come_back(restless);
    if (!fickle->hears_all && !fickle->is_slow)
        change_mind(fickle);
}

/* A slow one takes a little now and then, until the end: then all of it. */
static void dawdle(void)
{
    bool is_finishing = atomic_load(&phase) == FINISHING;

    for (unsigned i = 0; i < crowd_size; i++) {
        struct viewer_end *v = &viewers[i];
        if (v->fd < 0 || v->is_polled)
            continue;
        if (is_finishing)
            poll_viewer(v);
        else if (!v->is_open || pick(4) == 0)
            read_viewer(v, 512);
    }
}

static void *be_the_crowd(void *unused)
{
    struct epoll_event events[256];

    while (alive > 0) {
        int count = epoll_wait(poller, events, 256, 5);
        for (int i = 0; i < count; i++)
            read_viewer(events[i].data.ptr, 65536);
        dawdle();
        if (atomic_load(&phase) == PUBLISHING && atomic_load(&opened) > crowd_size / 2)
            for (int i = 0; i < STIRS; i++)
                stir();
    }
    return unused;
}

/* --- the publishers --- */

static void apply(unsigned job, enum job_state state, double fraction)
{
    struct change c;
    char id[8];

    change_init(&c);
    c.kind = JOB_EXTERNAL;
    c.state = (int)state;
    c.fraction = fraction;
    snprintf(id, sizeof(id), "%u", job);
    if (ledger_apply(ledger, id, &c, true, NULL) != OK)
        atomic_fetch_add(&mistakes, 1);
}

/* In step with the crowd: it were over before anybody could leave. */
static void *publish(void *unused)
{
    for (unsigned i = 0; i < UPDATES; i++) {
        apply(i % JOBS, JOB_PROCESSING, (double)i / UPDATES);
        do
            harness_breathe();
        while (atomic_load(&returns) < i / 2);
    }
    return unused;
}

/* --- the test --- */

/* Two descriptors a viewer, and some for everything else. */
static unsigned crowd_that_fits(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur > 2 * CROWD + 200 ? CROWD : (unsigned)(limit.rlim_cur - 200) / 2;
}

static void wait_for(atomic_uint *counter, unsigned wanted, const char *what)
{
    for (int i = 0; atomic_load(counter) < wanted; i++) {
        if (i > WAIT_MS)
            fail_msg("%s: %u of %u", what, atomic_load(counter), wanted);
        harness_breathe();
    }
}

static void gather_crowd(void)
{
    poller = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; i < crowd_size; i++) {
        struct viewer_end *v = &viewers[i];
        *v = (struct viewer_end){
            .hears_all = !is_all_heard_everywhere(),
            .is_deflate = i % 5 == 0,
            .jobs = { pick(JOBS / 2), JOBS / 2 + pick(JOBS / 2) },
        };
        v->is_slow = i % (v->hears_all ? 2 : 10) == 1;
        v->wanted = v->hears_all ? JOBS : SUBSCRIPTIONS;
        arrive(v);
        if (v->hears_all) /* the kernel chose its thread: known when it is there */
            wait_for(&noted, i + 1, "those who hear all");
    }
}

static void let_them_publish(void)
{
    pthread_t publishers[PUBLISHERS];

    for (unsigned i = 0; i < PUBLISHERS; i++)
        assert_int_equal(pthread_create(&publishers[i], NULL, publish, NULL), 0);
    for (unsigned i = 0; i < PUBLISHERS; i++)
        pthread_join(publishers[i], NULL);
    atomic_store(&phase, FINISHING);
    for (unsigned job = 0; job < JOBS; job++)
        apply(job, JOB_COMPLETED, 1);
}

static void run(struct journal *journal, struct store *store)
{
    pthread_t crowd;

    crowd_size = crowd_that_fits();
    memset(heard_all, 0, sizeof(heard_all));
    atomic_store(&phase, PUBLISHING);
    atomic_store(&opened, 0);
    atomic_store(&noted, 0);
    atomic_store(&drains, 0);
    atomic_store(&satisfied, 0);
    ledger = ledger_new(journal, 0);
    if (store != NULL)
        assert_int_equal(store_start(store, ledger), OK);
    server_start(&server, (struct io_settings){ .threads = IO_THREADS }, ledger, handle);
    gather_crowd();
    assert_int_equal(pthread_create(&crowd, NULL, be_the_crowd, NULL), 0);
    wait_for(&opened, crowd_size, "handshakes");
    let_them_publish();
    wait_for(&satisfied, crowd_size, "those who heard the end");
    io_pool_stop(server.pool, WAIT_MS);
    pthread_join(crowd, NULL);
    close(poller);
    assert_int_equal(atomic_load(&steps_back), 0);
    assert_int_equal(atomic_load(&mistakes), 0);
    assert_true(atomic_load(&drains) > 0); /* some did read slowly enough */
    print_message("%u viewers, %u returns, %u messages, %u drains\n", crowd_size,
                  atomic_exchange(&returns, 0), atomic_exchange(&messages, 0), drains);
}

static void a_crowd_hears_every_job_in_order_to_its_end(void **state)
{
    (void)state;
    run(NULL, NULL);
    ledger_free(ledger);
}

static void remove_folder(const char *folder)
{
    static const char *const names[] = { "jobs.db", "jobs.db-wal", "jobs.db-shm" };
    char path[128];

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(folder), 0);
}

static void a_crowd_hears_what_the_store_wrote_down(void **state)
{
    char folder[] = "/tmp/reelay-crowd-XXXXXX", path[128];
    struct store *store;
    struct buf why;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/jobs.db", folder);
    buf_init(&why, 1024);
    assert_int_equal(store_open(path, &store, &why), OK);
    buf_deinit(&why);
    run(store_journal(store), store);
    store_close(store);
    ledger_free(ledger);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crowd_hears_every_job_in_order_to_its_end),
        cmocka_unit_test(a_crowd_hears_what_the_store_wrote_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
