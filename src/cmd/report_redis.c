/* A report through Redis. There is no server that knows how far the job was, so
 * the status it has is read first, and what follows it by the server's rules is
 * told. Two who report one job at the same moment may both follow the same. */
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/err.h"
#include "cmd/report.h"
#include "cmd/run_read.h"
#include "cmd/teller.h"
#include "core/limits.h"

enum { TRIES = 4, BACKOFF_MAX_MS = 2000, PATIENCE_MS = 60 * 1000 };

struct call {
    struct client *client;
    struct teller *teller;
    const char *id;
    struct update *state; /* NULL: a new job */
    bool is_over;
    int err;
    char why[CLIENT_WHY_MAX];
};

static double fraction_of(const json_t *status)
{
    const json_t *progress = json_object_get(status, "progress");

    return json_is_number(progress) ? json_number_value(progress) : CHANGE_KEEP_REAL;
}

/* What anybody may have written: what is not understood is not there. */
static struct update *read_status(const char *id, struct str text)
{
    enum job_state state;
    json_error_t error;
    struct change c;
    struct update *u = NULL;

    json_t *status = text.at ? json_loadb(text.at, text.len, 0, &error) : NULL;
    const char *word = client_text(status, "status");
    if (word != NULL && job_state_parse(str_of(word), &state) == OK) {
        change_init(&c);
        c.kind = JOB_EXTERNAL;
        c.state = (int)state;
        c.fraction = fraction_of(status);
        c.text[TEXT_ID] = id;
        c.text[TEXT_STAGE] = client_text(status, "stage");
        c.text[TEXT_MESSAGE] = client_text(status, "message");
        if (update_derive(NULL, &c, 1, clock_wall_ms(), &u) != OK)
            u = NULL;
    }
    json_decref(status);
    return u;
}

static void note(struct call *c, const struct teller_answer *a)
{
    c->is_over = true;
    c->err = a->err;
    if (a->err != OK)
        snprintf(c->why, sizeof(c->why), "%s", a->why);
}

static void asked(void *context, const struct teller_answer *a)
{
    struct call *c = context;

    note(c, a);
    if (a->err == OK)
        c->state = read_status(c->id, a->text);
}

static void told(void *context, const struct teller_answer *a)
{
    note(context, a);
}

static void begin(struct call *c, bool is_question)
{
    c->is_over = false;
    if (is_question)
        teller_ask(c->teller, c->id, asked, c);
    else
        teller_tell(c->teller, c->state, told, c);
}

static int interrupted(struct call *c)
{
    teller_cancel(c->teller);
    snprintf(c->why, sizeof(c->why), "interrupted");
    return FAIL_CANCELLED;
}

static int call(struct call *c, bool is_question)
{
    for (unsigned attempt = 0;; attempt++) {
        begin(c, is_question);
        while (!c->is_over)
            if (!client_run(c->client, PATIENCE_MS))
                return interrupted(c);
        if (!teller_is_transient(c->err) || attempt + 1 == TRIES)
            return c->err;
        if (!client_sleep(c->client, client_backoff_ms(attempt, BACKOFF_MAX_MS, random_u64())))
            return interrupted(c);
    }
}

static const char *wording(const struct report_options *o, char message[JOB_TEXT_MAX + 1])
{
    size_t len;

    if (o->message != NULL || (!o->is_complete && o->error == NULL))
        return o->message;
    if (o->is_complete)
        return "Job completed";
    len = (size_t)snprintf(message, JOB_TEXT_MAX + 1, "Error: ");
    run_text_clean(str_of(o->error), message + len, JOB_TEXT_MAX + 1 - len);
    return message;
}

/* Its texts live as long as `message`. */
static void write_change(const struct report_options *o, const char *id,
                         char message[JOB_TEXT_MAX + 1], struct change *c)
{
    change_init(c);
    c->kind = JOB_EXTERNAL;
    c->state = o->is_complete ? JOB_COMPLETED : o->error ? JOB_FAILED : JOB_PROCESSING;
    if (o->progress != NULL)
        (void)str_parse_double(str_of(o->progress), &c->fraction);
    c->text[TEXT_ID] = id;
    c->text[TEXT_STAGE] = o->stage;
    c->text[TEXT_MESSAGE] = wording(o, message);
    c->text[TEXT_METADATA] = o->metadata ? o->metadata : "";
    c->text[TEXT_ERROR] = o->error;
    c->text[TEXT_RESULT] = o->result;
}

/* The server's limits: it would not listen to more. */
static bool fits(const struct change *c)
{
    for (int i = 0; i < UPDATE_TEXTS; i++) {
        size_t most = i == TEXT_METADATA || i == TEXT_RESULT ? JOB_JSON_MAX : JOB_TEXT_MAX;
        if (c->text[i] != NULL && strlen(c->text[i]) > most)
            return false;
    }
    return true;
}

static int derive(struct call *c, const struct change *change)
{
    struct update *next;

    if (!fits(change)) {
        snprintf(c->why, sizeof(c->why), "a text is over %d bytes, or JSON over %d", JOB_TEXT_MAX,
                 JOB_JSON_MAX);
        return FAIL_LIMIT;
    }
    if (update_derive(c->state, change, 2, clock_wall_ms(), &next) != OK) {
        snprintf(c->why, sizeof(c->why), "the job has ended");
        return FAIL_DENIED;
    }
    update_unref(&c->state);
    c->state = next;
    return OK;
}

static int move(struct call *c, const struct report_options *o)
{
    char message[JOB_TEXT_MAX + 1];
    struct change change;

    write_change(o, c->id, message, &change);
    return derive(c, &change);
}

static int exit_status(int err)
{
    if (err == FAIL_CANCELLED)
        return EXIT_INTERRUPTED;
    return teller_is_transient(err) ? EXIT_UNREACHABLE : EXIT_REFUSED;
}

static int report(struct call *c, const struct report_options *o)
{
    int err = call(c, true);
    if (err == OK)
        err = move(c, o);
    if (err == OK)
        err = call(c, false);
    if (err != OK) {
        fprintf(stderr, "reelay report: %s\n", c->why);
        return exit_status(err);
    }
    if (o->client.wants_json)
        printf("%.*s\n", STR_ARG(teller_message(c->teller)));
    return EXIT_DONE;
}

int report_to_redis(struct client *client, const struct report_options *o, const char *id)
{
    struct call c = { .client = client, .id = id };
    struct buf why;

    buf_init(&why, CLIENT_WHY_MAX);
    buf_puts(&why, o->client.engine ? "--engine: " : "REDIS_URL: ");
    c.teller = teller_open(&client->loop, client_engine(&o->client), o->client.ca_file, &why);
    if (c.teller == NULL)
        fprintf(stderr, "reelay report: %s\n", buf_text(&why));
    buf_deinit(&why);
    if (c.teller == NULL)
        return EXIT_USAGE;
    int status = report(&c, o);
    teller_close(c.teller);
    update_unref(&c.state);
    return status;
}
