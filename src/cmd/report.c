/* `reelay report`: a worker's progress, told over plain HTTP, or to Redis. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/emit.h"
#include "base/err.h"
#include "cmd/cmd.h"
#include "cmd/follow.h"
#include "cmd/report.h"
#include "core/job.h"

enum { BODY_MAX = 64 * 1024, PATH_LIMIT = 1024, TRIES = 4 };

static const struct option options[] = {
    { .name = "stage",
      .type = OPTION_TEXT,
      .offset = offsetof(struct report_options, stage),
      .value = "NAME",
      .help = "what is being done: \"rendering\"" },
    { .name = "progress",
      .type = OPTION_TEXT,
      .offset = offsetof(struct report_options, progress),
      .value = "FRACTION",
      .help = "how far the whole job is, 0 to 1" },
    { .name = "message",
      .type = OPTION_TEXT,
      .offset = offsetof(struct report_options, message),
      .value = "TEXT",
      .help = "a sentence for people" },
    { .name = "metadata",
      .type = OPTION_TEXT,
      .offset = offsetof(struct report_options, metadata),
      .value = "JSON",
      .help = "an object that watchers get as it is" },
    { .name = "complete",
      .type = OPTION_FLAG,
      .offset = offsetof(struct report_options, is_complete),
      .help = "the job is done" },
    { .name = "result",
      .type = OPTION_TEXT,
      .offset = offsetof(struct report_options, result),
      .value = "JSON",
      .help = "what came of it, with --complete" },
    { .name = "error",
      .type = OPTION_TEXT,
      .offset = offsetof(struct report_options, error),
      .value = "TEXT",
      .help = "the job failed, and why" },
    CLIENT_OPTIONS(struct report_options, client),
    CLIENT_ENGINE_OPTION(struct report_options, client),
    { .name = NULL },
};

static const struct command_help help = {
    .usage = "reelay report JOB [--stage NAME] [--progress FRACTION] [--message TEXT]\n"
             "       reelay report JOB --complete [--result JSON] [--message TEXT]\n"
             "       reelay report JOB --error TEXT [--stage NAME]",
    .about = "Tells the server how far a job is that is worked on elsewhere, and through it\n"
             "everybody who watches. The first report of a new id makes the job. A job that\n"
             "has ended takes no further report. Prints nothing unless --json is given. With\n"
             "--engine, Redis is told, and whoever listens there.\n"
             "\n"
             "Exit status: 0 told; 1 refused; 2 wrong usage; 3 the server, or Redis, cannot be\n"
             "reached; 130 interrupted.\n"
             "\n"
             "  reelay report job-7 --stage rendering --progress 0.25 --message 'Frame 500'\n"
             "  reelay report job-7 --complete --result '{\"video_url\":\"https://...\"}'",
    .options = options,
};

static int wrong(const char *why)
{
    fprintf(stderr, "reelay report: %s\n", why);
    return EXIT_USAGE;
}

static bool is_json(const char *text, bool only_object)
{
    json_error_t error;
    json_t *value = json_loads(text, JSON_DECODE_ANY, &error);
    bool is_good = value != NULL && (!only_object || json_is_object(value));

    json_decref(value);
    return is_good;
}

/* -1: fine; else the exit status. */
static int check(const struct report_options *o, const char *id)
{
    double fraction = 0;

    if (!job_id_is_valid(str_of(id)))
        return wrong(
            "this cannot be a job's id: letters, digits and -_.:~@+=,!$, the first not '.'");
    if (o->is_complete && o->error != NULL)
        return wrong("--complete and --error exclude each other");
    if ((o->is_complete || o->error != NULL) && o->progress != NULL)
        return wrong("--progress is for a job that has not ended");
    if (o->result != NULL && !o->is_complete)
        return wrong("--result goes with --complete");
    if (!o->is_complete && !o->error && !o->stage && !o->progress && !o->message && !o->metadata)
        return wrong("there is nothing to report: --progress, --complete or --error");
    if (o->progress != NULL &&
        (str_parse_double(str_of(o->progress), &fraction) != OK || fraction < 0 || fraction > 1))
        return wrong("--progress is a fraction: 0 to 1 (half is 0.5)");
    if (o->metadata != NULL && !is_json(o->metadata, true))
        return wrong("--metadata is not a JSON object");
    if (o->result != NULL && !is_json(o->result, false))
        return wrong("--result is not JSON");
    return -1;
}

static void text_if_given(struct buf *out, const char *name, const char *text)
{
    if (text != NULL)
        emit_field_string(out, name, text);
}

static void json_if_given(struct buf *out, const char *name, const char *json)
{
    if (json != NULL)
        emit_field_raw(out, name, json);
}

static void write_body(const struct report_options *o, struct buf *out)
{
    double fraction;

    emit_open(out, '{');
    if (o->is_complete)
        emit_field_string(out, "status", "completed");
    if (o->error != NULL)
        emit_field_string(out, "status", "failed");
    text_if_given(out, "error", o->error);
    text_if_given(out, "stage", o->stage);
    if (o->progress != NULL && str_parse_double(str_of(o->progress), &fraction) == OK)
        emit_field_real(out, "progress", fraction, 6);
    text_if_given(out, "message", o->message);
    json_if_given(out, "metadata", o->metadata);
    json_if_given(out, "result", o->result);
    emit_close(out, '}');
}

static void print_answer(const struct client_answer *answer)
{
    char *text = answer->json ? json_dumps(answer->json, JSON_COMPACT) : NULL;

    printf("%s\n", text ? text : "{}");
    free(text);
}

static void post(struct client *c, const char *id, const char *body, struct client_answer *out)
{
    struct buf path;

    client_login(c, out);
    if (out->err)
        return;
    client_answer_free(out);
    buf_init(&path, PATH_LIMIT);
    follow_path(&path, "/api/jobs/", id, "/progress");
    client_call(c, TRIES, "POST", buf_text(&path), body, out);
    buf_deinit(&path);
}

static int tell(struct client *c, const struct report_options *o, const char *id, const char *body)
{
    struct client_answer answer;
    int status = EXIT_DONE;

    post(c, id, body, &answer);
    if (!client_is_good(&answer)) {
        fprintf(stderr, "reelay report: %s\n", answer.why);
        status = client_exit_status(&answer);
    } else if (o->client.wants_json) {
        print_answer(&answer);
    }
    client_answer_free(&answer);
    return status;
}

static int report(const struct report_options *o, const char *id)
{
    struct client client;
    struct buf why, body;

    int status = check(o, id);
    if (status >= 0)
        return status;
    buf_init(&why, 1024);
    buf_init(&body, BODY_MAX);
    write_body(o, &body);
    if (body.failed) {
        status = wrong("the report is too long");
    } else if (client_init(&client, &o->client, &why) != OK) {
        status = wrong(buf_text(&why));
    } else {
        if (client_engine(&o->client) != NULL)
            status = report_to_redis(&client, o, id);
        else
            status = tell(&client, o, id, buf_text(&body));
        client_deinit(&client);
    }
    buf_deinit(&why);
    buf_deinit(&body);
    return status;
}

int cmd_report(int argc, char **argv)
{
    struct report_options o = { 0 };
    struct config config = { .into = &o };
    int status = command_begin(&help, &config, argc, argv, 1, 1);

    if (status < 0)
        status = report(&o, config.rest[0]);
    config_release(&config, options);
    return status;
}
