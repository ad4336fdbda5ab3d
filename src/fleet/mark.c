#include "fleet/mark.h"

#include "base/err.h"
#include "base/mem.h"
#include "fleet/keys.h"

enum { RETRY_MS = 1000 };

struct fleet_mark {
    struct fleet_port *port;
    const struct fleet_mark_events *events;
    void *context;
    char *text;
    uint64_t retry_ms; /* when it is asked again, or 0 */
    bool is_asking;
};

static void ask(struct fleet_mark *m);

static void again(struct fleet_mark *m)
{
    m->is_asking = false;
    m->retry_ms = m->port->ops->mono_ms(m->port) + RETRY_MS;
}

static void on_read(void *context, int err, const struct redis_reply *reply)
{
    struct fleet_mark *m = context;

    if (err || reply->type != REDIS_TEXT) { /* it was removed in between */
        again(m);
        return;
    }
    m->is_asking = false;
    if (str_equal(reply->text, str_of(m->text)))
        m->events->agreed(m->context);
    else
        m->events->differs(m->context, reply->text.at);
}

/* A Redis that is full takes nothing new, but may know what was written before. */
static void on_written(void *context, int err, const struct redis_reply *reply)
{
    static const struct str get[] = { { "GET", 3 },
                                      { FLEET_MARK_KEY, sizeof(FLEET_MARK_KEY) - 1 } };
    struct fleet_mark *m = context;

    (void)reply;
    if (err == FAIL_CLOSED || err == FAIL_TIMEOUT || err == FAIL_CANCELLED ||
        m->port->ops->command(m->port, get[1], get, 2, on_read, m) != OK)
        again(m);
}

static void ask(struct fleet_mark *m)
{
    struct str key = STR(FLEET_MARK_KEY);
    struct str set[] = { STR("SET"), key, str_of(m->text), STR("NX") };

    m->retry_ms = 0;
    m->is_asking = true;
    if (m->port->ops->command(m->port, key, set, 4, on_written, m) != OK)
        again(m);
}

struct fleet_mark *fleet_mark_new(struct fleet_port *port, const char *text,
                                  const struct fleet_mark_events *events, void *context)
{
    struct fleet_mark *m = mem_new(struct fleet_mark);

    m->port = port;
    m->events = events;
    m->context = context;
    m->text = mem_strdup(text);
    return m;
}

void fleet_mark_free(struct fleet_mark *m)
{
    if (m == NULL)
        return;
    mem_free(m->text);
    mem_free(m);
}

void fleet_mark_up(struct fleet_mark *m)
{
    if (!m->is_asking)
        ask(m);
}

void fleet_mark_tick(struct fleet_mark *m)
{
    if (m->retry_ms > 0 && m->port->ops->mono_ms(m->port) >= m->retry_ms)
        ask(m);
}
