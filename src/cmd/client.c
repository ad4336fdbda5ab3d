#include "cmd/client.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"
#include "proto/http.h"

enum {
    ANSWER_MAX = 4 * 1024 * 1024, /* ten thousand chunks are half a megabyte */
    CALL_TIMEOUT_MS = 60 * 1000,
    CALL_BACKOFF_MAX_MS = 10 * 1000,
    URL_MAX = 8 * 1024,
    BACKOFF_FIRST_MS = 500,
};

static void on_signal(uv_signal_t *handle, int number)
{
    struct client *c = handle->data;

    (void)number;
    c->is_interrupted = true;
}

/* That the loop came round is all that is wanted. */
static void on_wake(uv_timer_t *timer)
{
    (void)timer;
}

static char *base_of(const char *server)
{
    struct str url = str_of(server);

    while (url.len > 0 && url.at[url.len - 1] == '/')
        url.len--;
    return mem_strndup(url.at, url.len);
}

static bool is_printable(const char *text)
{
    for (; *text; text++)
        if (*text <= ' ' || *text > '~')
            return false;
    return true;
}

static const char *server_of(const struct client_options *o)
{
    return o->server ? o->server : CLIENT_SERVER_DEFAULT;
}

const char *client_engine(const struct client_options *o)
{
    const char *engine = o->engine;

    if (engine == NULL && o->server == NULL)
        engine = getenv("REDIS_URL");
    if (engine == NULL || *engine == '\0' || strcmp(engine, "local") == 0)
        return NULL;
    return engine;
}

static int check(const struct client_options *o, struct buf *why)
{
    struct str server = str_of(server_of(o));

    if (!str_starts(server, STR("http://")) && !str_starts(server, STR("https://"))) {
        buf_printf(why, "--server: \"%s\" does not begin with http:// or https://", server.at);
        return FAIL_SYNTAX;
    }
    if (!is_printable(server.at)) {
        buf_puts(why, "--server: there are spaces in the URL");
        return FAIL_SYNTAX;
    }
    /* Not shown: it may be nearly right. */
    if (o->token != NULL && !is_printable(o->token)) {
        buf_puts(why, "--token: there are spaces or control characters in it");
        return FAIL_SYNTAX;
    }
    return OK;
}

int client_init(struct client *c, const struct client_options *o, struct buf *why)
{
    static const int numbers[] = { SIGINT, SIGTERM };
    int err = check(o, why);

    if (err)
        return err;
    memset(c, 0, sizeof(*c));
    signal(SIGPIPE, SIG_IGN);
    c->base = base_of(server_of(o));
    c->token = o->token && *o->token ? mem_strdup(o->token) : NULL;
    uv_loop_init(&c->loop);
    uv_timer_init(&c->loop, &c->wake);
    for (int i = 0; i < 2; i++) {
        uv_signal_init(&c->loop, &c->signals[i]);
        c->signals[i].data = c;
        uv_signal_start(&c->signals[i], on_signal, numbers[i]);
    }
    c->fetcher = fetcher_new(&c->loop, o->ca_file && *o->ca_file ? o->ca_file : NULL);
    return OK;
}

void client_deinit(struct client *c)
{
    fetcher_close(c->fetcher);
    uv_close((uv_handle_t *)&c->wake, NULL);
    for (int i = 0; i < 2; i++)
        uv_close((uv_handle_t *)&c->signals[i], NULL);
    uv_run(&c->loop, UV_RUN_DEFAULT);
    uv_loop_close(&c->loop);
    mem_free(c->base);
    mem_free(c->token);
}

bool client_run(struct client *c, uint64_t at_most_ms)
{
    if (c->is_interrupted)
        return false;
    uv_timer_start(&c->wake, on_wake, at_most_ms, 0);
    uv_run(&c->loop, UV_RUN_ONCE);
    uv_timer_stop(&c->wake);
    return !c->is_interrupted;
}

bool client_sleep(struct client *c, uint64_t ms)
{
    uv_update_time(&c->loop);
    uint64_t until = uv_now(&c->loop) + ms;

    while (uv_now(&c->loop) < until)
        if (!client_run(c, until - uv_now(&c->loop)))
            return false;
    return true;
}

bool client_is_good(const struct client_answer *a)
{
    return a->err == OK && a->status >= 200 && a->status < 300;
}

void client_answer_free(struct client_answer *a)
{
    json_decref(a->json);
    a->json = NULL;
}

const char *client_text(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

double client_number(const json_t *object, const char *name, double fallback)
{
    const json_t *member = json_object_get(object, name);

    return json_is_number(member) ? json_number_value(member) : fallback;
}

/* {"error":{"code","message","field"}} */
static void read_refusal(const struct client *c, const json_t *body, struct client_answer *out)
{
    const json_t *error = json_object_get(body, "error");
    const char *code = client_text(error, "code"), *message = client_text(error, "message");

    snprintf(out->code, sizeof(out->code), "%s", code ? code : "");
    if (message != NULL)
        snprintf(out->why, sizeof(out->why), "%s", message);
    else
        snprintf(out->why, sizeof(out->why), "the server answered %d %s", out->status,
                 http_status_text(out->status));
    if (out->status == 401 && c->token == NULL)
        snprintf(out->why, sizeof(out->why),
                 "%s wants a token: make one with `reelay token` where the server runs and give it "
                 "with --token or REELAY_TOKEN",
                 c->base);
}

void client_answer_read(const struct client *c, const struct fetch_answer *from,
                        struct client_answer *out)
{
    json_error_t error;

    *out = (struct client_answer){ .err = from->err, .status = from->status };
    if (from->err) {
        snprintf(out->why, sizeof(out->why), "cannot reach %s: %s", c->base, from->why);
        return;
    }
    json_t *body = json_loadb(from->body.at ? from->body.at : "", from->body.len, 0, &error);
    if (client_is_good(out)) {
        out->json = json_is_object(body) ? json_incref(body) : NULL;
    } else if (from->location != NULL) {
        snprintf(out->why, sizeof(out->why), "%s sends on to %s: name that with --server", c->base,
                 from->location);
    } else {
        read_refusal(c, body, out);
    }
    json_decref(body);
}

bool client_is_transient(int err, int status)
{
    if (err)
        return err == FAIL_CLOSED || err == FAIL_TIMEOUT || err == FAIL_IO;
    if (status == 408 || status == 429)
        return true;
    return status >= 500 && status != 501 && status != 505 && status != 507;
}

uint64_t client_backoff_ms(unsigned attempt, uint64_t most_ms, uint64_t random)
{
    uint64_t full = attempt < 16 ? (uint64_t)BACKOFF_FIRST_MS << attempt : most_ms;

    if (full > most_ms)
        full = most_ms;
    return full / 2 + random % (full / 2 + 1);
}

int client_exit_status(const struct client_answer *a)
{
    if (a->err == FAIL_CANCELLED)
        return EXIT_INTERRUPTED;
    return a->err ? EXIT_UNREACHABLE : EXIT_REFUSED;
}

struct fetch *client_begin(struct client *c, const char *method, const char *path, const char *body,
                           void (*done)(void *context, const struct fetch_answer *), void *context)
{
    struct buf url;

    buf_init(&url, URL_MAX);
    buf_printf(&url, "%s%s", c->base, path);
    struct fetch *fetch =
        fetch_start(c->fetcher, &(struct fetch_request){
                                    .method = method,
                                    .url = buf_text(&url),
                                    .token = c->token,
                                    .content_type = body ? "application/json" : NULL,
                                    .body = str_of(body),
                                    .answer_max = ANSWER_MAX,
                                    .timeout_ms = CALL_TIMEOUT_MS,
                                    .done = done,
                                    .context = context,
                                });
    buf_deinit(&url);
    return fetch;
}

struct waiting {
    struct client *client;
    struct client_answer *answer;
    struct fetch *fetch; /* NULL once it is there */
};

static void arrived(void *context, const struct fetch_answer *from)
{
    struct waiting *w = context;

    w->fetch = NULL;
    client_answer_read(w->client, from, w->answer);
    /* An answer may be there as soon as the question is sent, by a timer: before the loop
     * looks for anything, and it would go on to wait for that. */
    uv_stop(&w->client->loop);
}

static void call_once(struct client *c, const char *method, const char *path, const char *body,
                      struct client_answer *out)
{
    struct waiting w = { .client = c, .answer = out };

    w.fetch = client_begin(c, method, path, body, arrived, &w);
    while (w.fetch != NULL && client_run(c, CALL_TIMEOUT_MS))
        continue;
    if (w.fetch == NULL)
        return;
    fetch_cancel(w.fetch);
    *out = (struct client_answer){ .err = FAIL_CANCELLED, .why = "interrupted" };
}

void client_call(struct client *c, unsigned tries, const char *method, const char *path,
                 const char *body, struct client_answer *out)
{
    bool has_renewed = false;

    for (unsigned attempt = 0;;) {
        call_once(c, method, path, body, out);
        if (client_is_good(out))
            return;
        if (out->err == OK && out->status == 401 && c->has_session && !has_renewed) {
            struct client_answer login;
            has_renewed = true;
            client_login(c, &login);
            client_answer_free(&login);
            continue;
        }
        if (!client_is_transient(out->err, out->status) || ++attempt >= tries)
            return;
        uint64_t wait_ms = client_backoff_ms(attempt - 1, CALL_BACKOFF_MAX_MS, random_u64());
        if (!client_sleep(c, wait_ms)) {
            *out = (struct client_answer){ .err = FAIL_CANCELLED, .why = "interrupted" };
            return;
        }
    }
}

void client_login(struct client *c, struct client_answer *out)
{
    *out = (struct client_answer){ .status = 200 };
    if ((c->token != NULL && !c->has_session) || !fetch_is_local(c->base))
        return;
    mem_free(c->token);
    c->token = NULL;
    c->has_session = false;
    call_once(c, "POST", "/api/session", "{}", out);
    const char *token = client_text(out->json, "token");
    if (token != NULL && is_printable(token)) {
        c->token = mem_strdup(token);
        c->has_session = true;
    }
    if (out->err == OK && !client_is_good(out) && !client_is_transient(OK, out->status)) {
        client_answer_free(out);
        *out = (struct client_answer){ .status = 200 };
    }
}
