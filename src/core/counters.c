#include "core/counters.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stddef.h>

/* More threads than this share; that is slower and just as right. */
enum { STRIPES = 16 };

struct stripe {
    _Alignas(64) _Atomic int64_t values[COUNTERS];
};

static struct stripe stripes[STRIPES];
static atomic_uint stripes_given;
static _Thread_local struct stripe *own;

/* Of those that had a session; others have no name here and are not shown. */
static _Atomic(const char *) dialect_names[DIALECTS_MAX];

static const uint16_t close_codes[] = { 1000, 1001, 1002, 1003, 1005, 1007,
                                        1008, 1009, 1011, 1013, 4001 };
_Static_assert(sizeof(close_codes) / sizeof(*close_codes) == CLOSE_CODES - 1,
               "every code has its counter, and the rest has one");

static const char *const close_names[CLOSE_CODES] = { "1000", "1001", "1002", "1003",
                                                      "1005", "1007", "1008", "1009",
                                                      "1011", "1013", "4001", "other" };
static const char *const kinds[] = { "http", "websocket" };
static const char *const ends[] = { "completed", "failed", "cancelled" };
static const char *const doors[] = { "chunks", "rpc", "tus" };
static const char *const foreign[] = { "taken", "dropped" };
static const char *const requests[] = { "good", "repeated", "failed" };
static const char *const ways[] = { "sent", "received" };
static const char *const attempts[] = { "delivered", "failed", "given_up" };
static const char *const answers[] = { "2xx", "3xx", "4xx", "5xx" };
/* A limit that is an option has its name. */
static const char *const limits[] = {
    "max_connections", "max_connections_per_address",
    "max_messages",    "max_subscriptions",
    "max_message",     "handshake_timeout",
    "body_timeout",    "write_timeout",
    "idle_timeout",    "ws_timeout",
    "head_size",       "body_size",
    "replies",
};
_Static_assert(sizeof(limits) / sizeof(*limits) ==
                   COUNT_LIMITED_REPLIES - COUNT_LIMITED_CONNECTIONS + 1,
               "every limit has a name");

/* One name, and a sample for each value of its label. */
struct family {
    const char *name, *type, *help;
    const char *label; /* NULL: one sample without a label */
    const char *const *values;
    enum counter first, last;
};

static const struct family families[] = {
    { "reelay_connections", "gauge", "Connections open now", "kind", kinds, COUNT_OPEN_HTTP,
      COUNT_OPEN_WEBSOCKET },
    { "reelay_connections_opened_total", "counter",
      "Connections accepted, and those of them that became WebSockets", "kind", kinds,
      COUNT_OPENED_HTTP, COUNT_OPENED_WEBSOCKET },
    { "reelay_limited_total", "counter", "What was refused or closed because of a limit", "limit",
      limits, COUNT_LIMITED_CONNECTIONS, COUNT_LIMITED_REPLIES },
    { "reelay_http_answers_total", "counter", "HTTP answers", "code", answers, COUNT_ANSWERS,
      COUNT_ANSWERS_LAST },
    { "reelay_websocket_server_closes_total", "counter", "WebSockets that the server closed first",
      "code", close_names, COUNT_SERVER_CLOSES, COUNT_SERVER_CLOSES_LAST },
    { "reelay_websocket_client_closes_total", "counter", "WebSockets that the client closed first",
      "code", close_names, COUNT_CLIENT_CLOSES, COUNT_CLIENT_CLOSES_LAST },
    { "reelay_websocket_lost_total", "counter", "WebSockets that ended without a Close", NULL, NULL,
      COUNT_LOST_WEBSOCKETS, COUNT_LOST_WEBSOCKETS },
    { "reelay_updates_total", "counter", "States of jobs that were written down and told", NULL,
      NULL, COUNT_UPDATES, COUNT_UPDATES },
    { "reelay_jobs_ended_total", "counter", "Jobs that came to an end", "state", ends, COUNT_ENDED,
      COUNT_ENDED_LAST },
    { "reelay_downloads_ended_total", "counter", "Downloads that came to an end", "state", ends,
      COUNT_DOWNLOADS_ENDED, COUNT_DOWNLOADS_ENDED_LAST },
    { "reelay_deliveries_total", "counter", "Messages that sessions' sockets took", NULL, NULL,
      COUNT_DELIVERIES, COUNT_DELIVERIES },
    { "reelay_foreign_messages_total", "counter", "Messages of foreign reporters, through Redis",
      "outcome", foreign, COUNT_FOREIGN, COUNT_FOREIGN_DROPPED },
    { "reelay_upload_bytes_total", "counter", "Bytes of files that clients sent", "door", doors,
      COUNT_UPLOADED_CHUNKS, COUNT_UPLOADED_TUS },
    { "reelay_download_bytes_total", "counter", "Bytes that came of downloads", NULL, NULL,
      COUNT_DOWNLOADED, COUNT_DOWNLOADED },
    { "reelay_storage_requests_total", "counter", "Requests to the bucket", "outcome", requests,
      COUNT_STORAGE_GOOD, COUNT_STORAGE_FAILED },
    { "reelay_storage_bytes_total", "counter", "Bytes of objects that went to and from the bucket",
      "direction", ways, COUNT_STORAGE_SENT, COUNT_STORAGE_RECEIVED },
    { "reelay_webhooks_total", "counter", "Attempts to deliver a webhook", "outcome", attempts,
      COUNT_WEBHOOKS_DELIVERED, COUNT_WEBHOOKS_GIVEN_UP },
};

static struct stripe *own_stripe(void)
{
    if (own == NULL) {
        unsigned given = atomic_fetch_add_explicit(&stripes_given, 1, memory_order_relaxed);
        own = &stripes[given % STRIPES];
    }
    return own;
}

void counter_add(enum counter which, int64_t change)
{
    atomic_fetch_add_explicit(&own_stripe()->values[which], change, memory_order_relaxed);
}

int64_t counter_sum(enum counter which)
{
    int64_t sum = 0;

    for (int i = 0; i < STRIPES; i++)
        sum += atomic_load_explicit(&stripes[i].values[which], memory_order_relaxed);
    return sum;
}

void counter_close(enum counter closes, uint16_t code)
{
    unsigned i = 0;

    if (code == 0)
        code = 1005; /* RFC 6455, 7.1.5: what a Close without a code is called */
    while (i < CLOSE_CODES - 1 && close_codes[i] != code)
        i++;
    counter_add((enum counter)(closes + i), 1);
}

void counter_session(const struct dialect *dialect, int change)
{
    assert(dialect->index < DIALECTS_MAX);
    atomic_store_explicit(&dialect_names[dialect->index], dialect->name, memory_order_relaxed);
    counter_add((enum counter)(COUNT_SESSIONS + dialect->index), change);
}

void counter_head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s.\n# TYPE %s %s\n", name, help, name, type);
}

static void write_family(struct buf *out, const struct family *f)
{
    counter_head(out, f->name, f->type, f->help);
    for (unsigned i = 0; i <= f->last - f->first; i++) {
        buf_puts(out, f->name);
        if (f->label != NULL)
            buf_printf(out, "{%s=\"%s\"}", f->label, f->values[i]);
        buf_printf(out, " %" PRId64 "\n", counter_sum((enum counter)(f->first + i)));
    }
}

static void write_sessions(struct buf *out)
{
    counter_head(out, "reelay_sessions", "gauge", "Sessions open now");
    for (unsigned i = 0; i < DIALECTS_MAX; i++) {
        const char *name = atomic_load_explicit(&dialect_names[i], memory_order_relaxed);
        if (name != NULL)
            buf_printf(out, "reelay_sessions{dialect=\"%s\"} %" PRId64 "\n", name,
                       counter_sum((enum counter)(COUNT_SESSIONS + i)));
    }
}

void counters_write(struct buf *out)
{
    for (size_t i = 0; i < sizeof(families) / sizeof(*families); i++)
        write_family(out, &families[i]);
    write_sessions(out);
}
