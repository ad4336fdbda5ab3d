/* A hub with its ledger and mailbox, and clients whose sinks remember what they
 * were sent and can be made to block. Nothing is delivered by itself: reports
 * lie in the mailbox until `deliver` or `turn`. */
#ifndef TEST_CORE_WATCHER_H
#define TEST_CORE_WATCHER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "core/hub.h"
#include "core/topic.h"
#include "proto/ws.h"

enum { LINES_MAX = 4096, LINE_SIZE = 48, MAIL_MAX = 8192, ROOM_ENDLESS = 1 << 30 };

struct watcher {
    struct sink sink; /* first: found from the session's calls */
    struct session session;
    unsigned room;   /* messages it still takes, then it is blocked */
    unsigned sends;  /* calls */
    uint16_t closed; /* the code it was closed with */
    void (*heard)(struct watcher *w, const char *line, uint64_t seq); /* instead of keeping lines */
    size_t read; /* lines that a test has looked at */
    size_t count;
    char lines[LINES_MAX][LINE_SIZE];
};

static struct ledger *ledger;
static struct hub *hub;

/* --- the mailbox --- */

static struct update *mail[MAIL_MAX];
static size_t mail_first, mail_last;

static void mail_post(struct listener *listener, struct update *u)
{
    (void)listener;
    assert_true(mail_last - mail_first < MAIL_MAX);
    mail[mail_last++ % MAIL_MAX] = update_ref(u);
}

static struct listener mail_ear = { .post = mail_post };

static inline void deliver(size_t count)
{
    while (count-- > 0 && mail_first < mail_last) {
        struct update *u = mail[mail_first++ % MAIL_MAX];
        hub_publish(hub, u);
        update_unref(&u);
    }
}

/* One turn of the loop: all mail is opened, then what is due is sent. */
static inline void turn(void)
{
    deliver(MAIL_MAX);
    hub_flush(hub);
}

static inline int open_hub(void **state)
{
    unsigned index;

    (void)state;
    ledger = ledger_new(NULL, 0);
    assert_int_equal(ledger_listen(ledger, &mail_ear, &index), OK);
    hub = hub_new(ledger, index);
    return 0;
}

static inline size_t topics(void)
{
    return HASH_COUNT(hub->topics);
}

/* With nobody there, nothing may be left. */
static inline int close_hub(void **state)
{
    struct ledger_count count;

    (void)state;
    turn();
    assert_int_equal(hub_sessions(hub), 0);
    assert_int_equal(topics(), 0);
    ledger_count(ledger, &count);
    assert_int_equal(count.watched, 0);
    hub_free(hub);
    ledger_free(ledger);
    return 0;
}

/* --- reports --- */

static inline void report(const char *id, enum job_state state, int percent)
{
    struct change c;

    change_init(&c);
    c.state = (int)state;
    c.kind = JOB_UPLOAD;
    c.fraction = percent / 100.0;
    assert_int_equal(ledger_apply(ledger, id, &c, true, NULL), OK);
}

static inline void progress(const char *id, int percent)
{
    report(id, JOB_PROCESSING, percent);
}

static inline void complete(const char *id)
{
    report(id, JOB_COMPLETED, 100);
}

/* --- dialects --- */

/* "a 50|7": job, percent or how it ended, number; silent about queued jobs. */
static inline void test_render(const struct update *u, struct words *out)
{
    if (u->state == JOB_QUEUED)
        return;
    if (job_is_final(u->state))
        buf_printf(&out->bytes, "%s %s", u->text[TEXT_ID], job_state_name(u->state));
    else
        buf_printf(&out->bytes, "%s %d", u->text[TEXT_ID], percent_of(u->fraction));
    buf_printf(&out->bytes, "|%llu", (unsigned long long)u->seq);
    words_end(out);
}

static inline void test_greet(const char *job, struct words *out)
{
    buf_printf(&out->bytes, "hello %s", job);
    words_end(out);
}

static inline void test_receive(struct str message, struct words *out, struct request *request)
{
    if (str_starts(message, STR("subscribe "))) {
        request->kind = REQUEST_SUBSCRIBE;
        snprintf(request->job, sizeof(request->job), "%.*s", (int)message.len - 10,
                 message.at + 10);
        return;
    }
    buf_printf(&out->bytes, "re %.*s", STR_ARG(message));
    words_end(out);
}

static inline void test_keepalive(const char *job, struct words *out)
{
    buf_printf(&out->bytes, "alive %s", job);
    words_end(out);
}

enum { TEST_KEEPALIVE_MS = 30000 };

static const struct dialect one_dialect = {
    .name = "one",
    .index = 0,
    .keepalive_ms = TEST_KEEPALIVE_MS,
    .greet = test_greet,
    .render = test_render,
    .receive = test_receive,
    .keepalive = test_keepalive,
};

static const struct dialect all_dialect = {
    .name = "all",
    .index = 1,
    .hears_all = true,
    .render = test_render,
    .receive = test_receive,
};

/* --- watchers --- */

static inline void take_line(struct watcher *w, const char *bytes, size_t len)
{
    char line[LINE_SIZE];
    uint64_t seq = 0;

    assert_true(len < sizeof(line));
    memcpy(line, bytes, len);
    line[len] = '\0';
    char *bar = strchr(line, '|');
    if (bar != NULL) {
        assert_int_equal(str_parse_u64(str_of(bar + 1), UINT64_MAX, &seq), OK);
        *bar = '\0';
    }
    if (w->heard != NULL) {
        w->heard(w, line, seq);
        return;
    }
    assert_true(w->count < LINES_MAX);
    memcpy(w->lines[w->count++], line, sizeof(line));
}

/* Unmasked text frames of less than 126 bytes, one after the other. */
static inline void take_message(struct watcher *w, const struct msg *m)
{
    for (size_t at = 0; at < m->len;) {
        size_t len = (unsigned char)m->data[at + 1];
        assert_int_equal((unsigned char)m->data[at], WS_FIN | WS_TEXT);
        assert_true(len < 126 && at + 2 + len <= m->len);
        take_line(w, m->data + at + 2, len);
        at += 2 + len;
    }
}

static inline unsigned sink_send(struct sink *sink, struct msg *const *messages, unsigned count)
{
    struct watcher *w = (struct watcher *)sink;
    unsigned taken = count < w->room ? count : w->room;

    assert_int_equal(w->closed, 0);
    assert_int_not_equal(count, 0);
    w->sends++;
    for (unsigned i = 0; i < taken; i++)
        take_message(w, messages[i]);
    if (w->room < ROOM_ENDLESS)
        w->room -= taken;
    return taken;
}

static inline void sink_close(struct sink *sink, uint16_t code, const char *reason)
{
    struct watcher *w = (struct watcher *)sink;

    assert_int_equal(w->closed, 0);
    assert_non_null(reason);
    w->closed = code;
}

static const struct sink_ops test_sink = { .send = sink_send, .close = sink_close };

/* `subject` NULL sees all jobs. */
static inline void enter(struct watcher *w, const struct dialect *dialect, const char *subject)
{
    struct viewer *v = viewer_new(subject ? subject : "", subject == NULL, 0);

    w->sink.ops = &test_sink;
    w->room = ROOM_ENDLESS;
    w->sends = 0;
    w->closed = 0;
    w->count = w->read = 0;
    session_open(&w->session, hub, dialect, &w->sink, FRAMING_WS, v);
    viewer_unref(&v);
}

static inline void subscribe(struct watcher *w, const char *job)
{
    assert_int_equal(hub_subscribe(hub, &w->session, job), OK);
}

static inline void enter_for(struct watcher *w, const char *job)
{
    enter(w, &one_dialect, NULL);
    subscribe(w, job);
    turn();
}

static inline void enter_for_all(struct watcher *w)
{
    enter(w, &all_dialect, NULL);
    hub_subscribe_all(hub, &w->session);
    turn();
}

static inline void leave(struct watcher *w)
{
    session_close(&w->session);
}

/* The socket takes `room` more messages. */
static inline void unblock(struct watcher *w, unsigned room)
{
    w->room = room;
    session_drain(&w->session);
    turn();
}

static inline void ask(struct watcher *w, const char *message)
{
    struct request request;

    session_receive(&w->session, str_of(message), &request);
    assert_int_equal(request.kind, REQUEST_NOTHING);
}

/* What it was sent since the last look, separated by commas. */
static inline void heard(struct watcher *w, const char *expected)
{
    struct buf all;

    buf_init(&all, LINES_MAX * LINE_SIZE);
    for (size_t i = w->read; i < w->count; i++)
        buf_printf(&all, "%s%s", i > w->read ? ", " : "", w->lines[i]);
    w->read = w->count;
    assert_string_equal(buf_text(&all), expected);
    buf_deinit(&all);
}

#define IN_HUB(test) cmocka_unit_test_setup_teardown(test, open_hub, close_hub)

#endif
