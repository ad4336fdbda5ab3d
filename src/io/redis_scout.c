#include "io/redis_scout.h"

#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/redis_wire.h"

struct scout {
    uv_loop_t *loop;
    struct redis_url url; /* its hosts: where to begin */
    struct redis_settings settings;
    const char *channel;
    const struct scout_events *events;
    void *context;
    struct redis_host *places;
    size_t count, at;
    unsigned failures; /* places in a row */
    bool is_shy;
    bool is_known; /* who it is: a password is asked for here */
    bool is_up, is_over;
    struct redis *link; /* NULL: between two attempts */
    struct redis_listener *listener;
    uv_timer_t timer;
};

static void on_timer(uv_timer_t *timer);

static void hang_up(struct scout *s)
{
    struct redis *link = s->link;
    struct redis_listener *listener = s->listener;

    s->is_up = false;
    s->link = NULL;
    s->listener = NULL;
    if (listener != NULL)
        redis_listener_close(listener);
    if (link != NULL)
        redis_close(link); /* answers fail within: the last thing here */
}

/* As redis_wire.c's: full jitter, and who is not let in asks seldom. */
static uint32_t wait_ms(const struct scout *s, int err)
{
    uint64_t most = s->settings.backoff_min_ms, max = s->settings.backoff_max_ms;

    if (s->failures % s->count != 0)
        return 0;
    if (err == FAIL_DENIED)
        return (uint32_t)(max / 2 + random_u64() % (max / 2 + 1));
    for (size_t round = 1; round < s->failures / s->count && most < max; round++)
        most *= 2;
    return (uint32_t)(random_u64() % (most < max ? most : max) + 1);
}

static void on_up(void *context)
{
    struct scout *s = context;

    if (s->is_up || !redis_is_up(s->link) ||
        (s->listener != NULL && !redis_listener_is_up(s->listener)))
        return;
    s->is_up = true;
    s->events->up(s->context);
}

static void go_on(struct scout *s, uint32_t wait)
{
    s->at = (s->at + 1) % s->count;
    s->is_known = false;
    uv_timer_start(&s->timer, on_timer, wait, 0);
}

static void on_down(void *context, const struct redis_down *down)
{
    struct scout *s = context;
    struct redis_down told = *down;
    char why[WIRE_WHY_MAX];

    if (s->link == NULL)
        return;
    if (s->is_shy && !s->is_known && down->err == FAIL_DENIED && s->url.password != NULL) {
        s->is_known = true;
        uv_timer_start(&s->timer, on_timer, 0, 0);
        hang_up(s);
        return;
    }
    snprintf(why, sizeof(why), "%s", down->why); /* the link's own, which goes */
    s->failures++;
    told.why = why;
    told.retry_ms = wait_ms(s, down->err);
    go_on(s, told.retry_ms);
    hang_up(s);
    if (!s->is_over)
        s->events->down(s->context, &told);
}

static void on_push(void *context, const struct redis_push *push)
{
    struct scout *s = context;

    s->events->push(s->context, push);
}

static const struct redis_events link_events = { on_up, on_down };
static const struct redis_listener_events listener_events = { .up = on_up,
                                                              .down = on_down,
                                                              .push = on_push };

static void on_timer(uv_timer_t *timer)
{
    struct scout *s = timer->data;
    struct redis_url url;

    redis_url_server(&s->url, s->places[s->at].name, s->places[s->at].port, &url);
    url.db = 0; /* a Sentinel knows no SELECT, a cluster no other */
    if (s->is_shy && !s->is_known)
        redis_url_forget_login(&url);
    s->link = redis_open(s->loop, &url, &s->settings, &link_events, s);
    if (s->channel != NULL) {
        s->listener = redis_listener_open(s->loop, &url, &s->settings, &listener_events, s);
        redis_listener_subscribe(s->listener, str_of(s->channel), REDIS_CHANNEL);
    }
    redis_url_deinit(&url);
}

static void free_places(struct scout *s)
{
    for (size_t i = 0; i < s->count; i++)
        mem_free(s->places[i].name);
    mem_free(s->places);
}

static bool is_among(const struct redis_host *hosts, size_t count, const struct redis_host *host)
{
    for (size_t i = 0; i < count; i++) {
        if (hosts[i].port == host->port && str_equal(str_of(hosts[i].name), str_of(host->name)))
            return true;
    }
    return false;
}

static size_t add_places(struct redis_host *places, size_t have, const struct redis_host *hosts,
                         size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!is_among(places, have, &hosts[i]))
            places[have++] = (struct redis_host){ mem_strdup(hosts[i].name), hosts[i].port };
    }
    return have;
}

/* Where it is now comes first, so that it stays there. */
void scout_set_places(struct scout *s, const struct redis_host *hosts, size_t count)
{
    size_t max = 1 + s->url.host_count + count, have = 0;
    struct redis_host *places = mem_zalloc(max * sizeof(*places));

    have = add_places(places, have, s->count > 0 ? &s->places[s->at] : NULL, s->count > 0);
    have = add_places(places, have, hosts, count);
    have = add_places(places, have, s->url.hosts, s->url.host_count);
    free_places(s);
    s->places = places;
    s->count = have;
    s->at = 0;
}

struct scout *scout_open(uv_loop_t *loop, const struct redis_url *url,
                         const struct redis_settings *settings, const char *channel, bool is_shy,
                         const struct scout_events *events, void *context)
{
    struct scout *s = mem_new(struct scout);

    s->loop = loop;
    redis_url_copy(url, &s->url);
    settings_copy(settings, &s->settings);
    s->channel = channel;
    s->is_shy = is_shy;
    s->events = events;
    s->context = context;
    scout_set_places(s, NULL, 0);
    uv_timer_init(loop, &s->timer);
    s->timer.data = s;
    uv_timer_start(&s->timer, on_timer, 0, 0);
    return s;
}

static void on_closed(uv_handle_t *handle)
{
    struct scout *s = handle->data;

    free_places(s);
    redis_url_deinit(&s->url);
    settings_deinit(&s->settings);
    mem_free(s);
}

void scout_close(struct scout *s)
{
    if (s->is_over)
        return;
    s->is_over = true;
    uv_close((uv_handle_t *)&s->timer, on_closed);
    hang_up(s);
}

const struct redis_host *scout_place(const struct scout *s)
{
    return &s->places[s->at];
}

bool scout_is_up(const struct scout *s)
{
    return s->is_up;
}

int scout_ask(struct scout *s, const struct str *args, size_t count, redis_done *done,
              void *context)
{
    if (!s->is_up)
        return FAIL_CLOSED;
    return redis_command(s->link, args, count, s->settings.connect_timeout_ms, done, context);
}

void scout_leave(struct scout *s)
{
    if (s->link == NULL || s->is_over)
        return;
    s->failures++;
    go_on(s, wait_ms(s, FAIL_CLOSED));
    hang_up(s);
}

void scout_stay(struct scout *s)
{
    s->failures = 0;
}
