#include "cmd/teller.h"

#include <stdio.h>
#include <string.h>

#include "base/emit.h"
#include "base/err.h"
#include "base/mem.h"
#include "cmd/client.h"
#include "core/limits.h"
#include "dialect/dialects.h"
#include "io/redis_service.h"

enum {
    KEY_MAX = 32 + JOB_ID_MAX,
    CONNECT_TIMEOUT_MS = 3000,
    COMMAND_TIMEOUT_MS = 5000,
    BACKOFF_MAX_MS = 2000, /* an end is told within seconds, or not at all */
};

/* One script and not MULTI: on a cluster the key's node can do it alone. */
static const char source[] = "redis.call('SETEX', KEYS[1], ARGV[1], ARGV[2])\n"
                             "return redis.call('PUBLISH', ARGV[3], ARGV[2])";
#define STATUS_TTL_S "3600"

/* What was handed to io/redis, which answers also when nobody waits any more. */
struct flight {
    struct teller *teller; /* NULL: cancelled */
};

struct teller {
    struct redis_service *redis;
    struct redis_script script;
    struct buf name; /* of Redis, for people */
    uv_timer_t soon; /* an answer that is known at once */
    bool is_waiting; /* for a connection */
    bool is_question;
    struct flight *flight; /* NULL: nothing is under way */
    struct buf key, channel;
    struct words message;
    teller_done *done;
    void *context;
    int down; /* why there is no connection; OK: not known, or there is one */
    char why[CLIENT_WHY_MAX];
};

bool teller_is_transient(int err)
{
    switch (err) {
    case FAIL_CLOSED:
    case FAIL_TIMEOUT:
    case FAIL_IO:
    case FAIL_STATE:
    case FAIL_FULL: return true;
    default: return false;
    }
}

static void answer(struct teller *t, const struct teller_answer *a)
{
    t->is_waiting = false;
    t->flight = NULL;
    uv_timer_stop(&t->soon);
    t->done(t->context, a);
}

static void answer_failure(struct teller *t, int err)
{
    answer(t, &(struct teller_answer){ .err = err, .why = t->why });
}

static void on_soon(uv_timer_t *timer)
{
    struct teller *t = timer->data;

    answer_failure(t, t->down);
}

/* Behind an error within the script Redis says where, which helps nobody here. */
static struct str error_text(const struct redis_reply *reply)
{
    struct str text = reply->text;
    const char *where = strstr(text.at, " script: ");

    if (where != NULL)
        text.len = (size_t)(where - text.at);
    return text;
}

static void on_done(void *context, int err, const struct redis_reply *reply)
{
    struct flight *flight = context;
    struct teller *t = flight->teller;

    mem_free(flight);
    if (t == NULL)
        return;
    t->flight = NULL;
    if (reply == NULL && t->down != OK) {
        answer_failure(t, t->down);
    } else if (reply == NULL && (err == FAIL_CLOSED || err == FAIL_TIMEOUT)) {
        t->is_waiting = true; /* `down` comes at once, and knows why */
    } else if (err != OK) {
        struct str why = reply ? error_text(reply) : str_of(fail_text(err));
        snprintf(t->why, sizeof(t->why), "%s: %.*s", buf_text(&t->name), STR_ARG(why));
        answer_failure(t, err);
    } else {
        bool is_text = reply->type == REDIS_TEXT;
        answer(t, &(struct teller_answer){ .text = is_text ? reply->text : (struct str){ 0 } });
    }
}

struct str teller_message(const struct teller *t)
{
    return buf_str(&t->message.bytes);
}

static int send_question(struct teller *t)
{
    struct str args[] = { STR("GET"), buf_str(&t->key) };

    return redis_service_command(t->redis, args[1], args, 2, 0, on_done, t->flight);
}

static int send_message(struct teller *t)
{
    struct str args[] = { buf_str(&t->key), STR(STATUS_TTL_S), teller_message(t),
                          buf_str(&t->channel) };

    return redis_service_run(t->redis, &t->script, 1, args, 4, on_done, t->flight);
}

static void send_it(struct teller *t)
{
    t->is_waiting = false;
    uv_timer_stop(&t->soon);
    t->flight = mem_new(struct flight);
    t->flight->teller = t;
    int err = t->is_question ? send_question(t) : send_message(t);
    if (err == OK)
        return;
    mem_free(t->flight);
    t->flight = NULL;
    t->is_waiting = true;
}

static void on_up(void *context)
{
    struct teller *t = context;

    t->down = OK;
    if (t->is_waiting)
        send_it(t);
}

static void on_down(void *context, const struct redis_down *down)
{
    struct teller *t = context;

    t->down = down->err;
    snprintf(t->why, sizeof(t->why), "cannot reach %s: %s", buf_text(&t->name), down->why);
    if (t->is_waiting)
        answer_failure(t, down->err);
}

static const struct redis_service_events events = { .up = on_up, .down = on_down };

struct teller *teller_open(uv_loop_t *loop, const char *url_text, const char *ca_file,
                           struct buf *why)
{
    struct redis_settings settings = redis_settings_default;
    struct redis_url url;

    if (redis_url_parse(url_text, &url, why) != OK)
        return NULL;
    settings.name = "reelay-reporter";
    settings.ca_file = ca_file;
    settings.connect_timeout_ms = CONNECT_TIMEOUT_MS;
    settings.command_timeout_ms = COMMAND_TIMEOUT_MS;
    settings.backoff_max_ms = BACKOFF_MAX_MS;
    struct teller *t = mem_new(struct teller);
    buf_init(&t->name, CLIENT_WHY_MAX / 2);
    buf_init(&t->key, KEY_MAX);
    buf_init(&t->channel, KEY_MAX);
    words_init(&t->message);
    redis_url_describe(&url, &t->name);
    redis_script_init(&t->script, source);
    uv_timer_init(loop, &t->soon);
    t->soon.data = t;
    t->redis = redis_service_open(loop, &url, &settings, &events, t);
    redis_url_deinit(&url);
    return t;
}

static void on_closed(uv_handle_t *handle)
{
    struct teller *t = handle->data;

    buf_deinit(&t->name);
    buf_deinit(&t->key);
    buf_deinit(&t->channel);
    words_deinit(&t->message);
    mem_free(t);
}

void teller_close(struct teller *t)
{
    teller_cancel(t);
    redis_service_close(t->redis);
    uv_close((uv_handle_t *)&t->soon, on_closed);
}

static void begin(struct teller *t, const char *id, teller_done *done, void *context)
{
    t->done = done;
    t->context = context;
    buf_reset(&t->key);
    buf_printf(&t->key, "job_status:%s", id);
    if (redis_service_is_up(t->redis)) {
        send_it(t);
        return;
    }
    t->is_waiting = true;
    if (t->down != OK)
        uv_timer_start(&t->soon, on_soon, 0, 0);
}

/* The door's message, and the bytes, which it has no words for. */
static void write_message(const struct update *u, struct words *w)
{
    struct buf *b = &w->bytes;

    words_reset(w);
    dialect_jobs.render(u, w);
    b->len -= 2; /* the brace and the newline */
    b->data[b->len] = '\0';
    if (u->bytes_done >= 0)
        emit_field_int(b, "downloaded_bytes", u->bytes_done);
    if (u->bytes_total >= 0)
        emit_field_int(b, "total_bytes", u->bytes_total);
    emit_close(b, '}');
}

void teller_tell(struct teller *t, const struct update *u, teller_done *done, void *context)
{
    t->is_question = false;
    buf_reset(&t->channel);
    buf_printf(&t->channel, "job_progress:%s", u->text[TEXT_ID]);
    write_message(u, &t->message);
    begin(t, u->text[TEXT_ID], done, context);
}

void teller_ask(struct teller *t, const char *id, teller_done *done, void *context)
{
    t->is_question = true;
    begin(t, id, done, context);
}

void teller_cancel(struct teller *t)
{
    uv_timer_stop(&t->soon);
    t->is_waiting = false;
    if (t->flight != NULL)
        t->flight->teller = NULL;
    t->flight = NULL;
}
