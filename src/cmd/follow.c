#include "cmd/follow.h"

#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/err.h"
#include "cmd/job_view.h"
#include "io/ws_client.h"
#include "proto/url.h"
#include "proto/ws.h"

enum {
    BACKOFF_MAX_MS = 10 * 1000,
    GIVE_UP_AFTER_MS = 5 * 60 * 1000, /* without a sign of the server */
    REDRAW_MS = 250,
    SILENCE_MS = 1000, /* from then on it is of a job that has nothing to say yet */
    PATH_MAX_LEN = 1024,
};

struct follow {
    struct client *client;
    struct bar *bar;
    const char *id;
    struct job_view view;
    unsigned attempt;   /* since something was heard */
    uint64_t heard_ms;  /* monotonic; 0: never */
    uint64_t opened_ms; /* likewise: the WebSocket */
    bool is_told;       /* `view` is the server's, not only what it begins with */
    bool is_broken;     /* the WebSocket has ended */
    bool is_unwelcome;  /* because of the token */
    struct ws_client *ws;
};

void follow_path(struct buf *out, const char *before, const char *id, const char *behind)
{
    buf_puts(out, before);
    url_encode(str_of(id), false, out);
    buf_puts(out, behind);
}

static void heard(struct follow *f)
{
    f->heard_ms = clock_mono_ms();
}

static void on_open(void *context)
{
    struct follow *f = context;

    heard(f);
    f->opened_ms = f->heard_ms;
}

static void on_text(void *context, struct str message)
{
    struct follow *f = context;

    heard(f);
    f->attempt = 0;
    f->is_told = true;
    job_view_read_message(&f->view, message);
}

static void on_end(void *context, const struct ws_client_end *end)
{
    struct follow *f = context;

    f->ws = NULL;
    f->is_broken = true;
    f->is_unwelcome = end->status == 401 || end->code == WS_CLOSE_UNAUTHORIZED;
}

static const struct ws_client_events ws_events = { .open = on_open,
                                                   .text = on_text,
                                                   .end = on_end };

static bool is_silent(const struct follow *f)
{
    return f->opened_ms != 0 && clock_mono_ms() - f->opened_ms >= SILENCE_MS;
}

static void show(struct follow *f)
{
    struct bar_state state;

    if (f->view.is_final)
        return; /* job_view_end says it */
    if (!f->is_told && !is_silent(f))
        return;
    job_view_state(&f->view, &state);
    bar_show(f->bar, &state);
}

/* Until the job has ended, the connection has, or the user has enough. */
static void hear_out(struct follow *f)
{
    struct buf url;

    buf_init(&url, PATH_MAX_LEN + 1024);
    buf_puts(&url, f->client->base);
    follow_path(&url, "/ws/jobs/", f->id, "");
    f->is_broken = f->is_unwelcome = false;
    f->ws = ws_client_new(f->client->fetcher, buf_text(&url), f->client->token, &ws_events, f);
    buf_deinit(&url);
    while (!f->is_broken && !f->view.is_final && client_run(f->client, REDRAW_MS))
        show(f);
    if (f->ws != NULL)
        ws_client_close(f->ws);
    f->ws = NULL;
}

/* What the WebSocket did not say, or cannot any more. -1: go on. */
static int ask(struct follow *f, struct client_answer *answer)
{
    struct buf path;

    buf_init(&path, PATH_MAX_LEN);
    follow_path(&path, "/api/jobs/", f->id, "");
    client_call(f->client, 1, "GET", buf_text(&path), NULL, answer);
    buf_deinit(&path);
    if (answer->err == FAIL_CANCELLED)
        return EXIT_INTERRUPTED;
    if (client_is_good(answer)) {
        heard(f);
        f->is_told = true;
        job_view_read_job(&f->view, answer->json);
        return -1;
    }
    if (answer->err == OK && answer->status == 404) {
        heard(f);
        f->is_told = true;
        return -1;
    }
    bool is_patient = f->heard_ms != 0 && clock_mono_ms() - f->heard_ms < GIVE_UP_AFTER_MS;
    if (client_is_transient(answer->err, answer->status) && is_patient)
        return -1;
    return client_exit_status(answer);
}

/* A session that the server gave lives for some hours; the job may take longer. */
static void renew(struct follow *f)
{
    struct client_answer login;

    if (!f->is_unwelcome || !f->client->has_session)
        return;
    client_login(f->client, &login);
    client_answer_free(&login);
}

static int interrupted(struct follow *f)
{
    bar_fail(f->bar, "interrupted", "interrupted: the job goes on by itself");
    bar_say(f->bar, false, "To see it again: reelay watch %s", f->id);
    return EXIT_INTERRUPTED;
}

static int follow_on(struct follow *f)
{
    struct client_answer answer;

    for (;;) {
        hear_out(f);
        if (f->client->is_interrupted)
            return interrupted(f);
        renew(f);
        /* Also when the WebSocket told the end: where the playlist is, it did not. */
        int status = ask(f, &answer);
        if (status == EXIT_INTERRUPTED && !f->view.is_final) {
            client_answer_free(&answer);
            return interrupted(f);
        }
        if (status >= 0 && !f->view.is_final) {
            bar_fail(f->bar, "error", answer.why);
            client_answer_free(&answer);
            return status;
        }
        client_answer_free(&answer);
        if (f->view.is_final)
            return job_view_end(&f->view, f->bar, f->client->base);
        show(f);
        if (!client_sleep(f->client, client_backoff_ms(f->attempt++, BACKOFF_MAX_MS, random_u64())))
            return interrupted(f);
    }
}

int follow_job(struct client *c, struct bar *bar, const char *id, bool has_been_reached,
               bool *has_ended)
{
    struct follow f = { .client = c, .bar = bar, .id = id };

    bar->id = id;
    job_view_init(&f.view);
    if (has_been_reached)
        heard(&f);
    int status = follow_on(&f);
    *has_ended = f.view.is_final;
    job_view_deinit(&f.view);
    return status;
}
