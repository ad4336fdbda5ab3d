/* `reelay run`: any command, its output and exit status unchanged, and everybody
 * who watches sees how far it is.
 *
 *   the command ──pipes──> pumps (threads) ──> our own output
 *                            └──news──> the loop ──> reporter ──> target
 *
 * Nothing on the right is ever waited for by what is on the left. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/err.h"
#include "cmd/cmd.h"
#include "cmd/run_child.h"
#include "cmd/run_pump.h"
#include "cmd/run_reporter.h"
#include "core/job.h"
#include "core/limits.h"

enum {
    CREATE_TIMEOUT_MS = 2000, /* then the job gets an id of our own making */
    LAST_WORDS_MS = 1000,     /* how long the end is kept back for them */
    LEAVE_MS = 500,           /* for a name that is being looked up, and nobody waits for */
};

struct run_options {
    struct client_options client;
    const char *job, *stage, *result;
    int parse;
    uint64_t duration_ms, report_timeout_ms;
};

const struct option run_option_table[] = {
    { .name = "job",
      .type = OPTION_TEXT,
      .offset = offsetof(struct run_options, job),
      .value = "ID",
      .help = "which job; else one is made, and its id said (REELAY_JOB is not read)" },
    { .name = "stage",
      .type = OPTION_TEXT,
      .offset = offsetof(struct run_options, stage),
      .fallback = "running",
      .value = "NAME",
      .help = "what is being done: \"rendering\"" },
    { .name = "parse",
      .type = OPTION_CHOICE,
      .offset = offsetof(struct run_options, parse),
      .fallback = "auto",
      .choices = RUN_PARSE_CHOICES,
      .help = "whose progress is read; none: the command gets our own streams" },
    { .name = "duration",
      .type = OPTION_DURATION,
      .offset = offsetof(struct run_options, duration_ms),
      .fallback = "0",
      .value = "TIME",
      .help = "of what ffmpeg makes; 0: that of its input, as it says" },
    { .name = "result",
      .type = OPTION_TEXT,
      .offset = offsetof(struct run_options, result),
      .value = "JSON",
      .help = "what came of it, once it is done; else {\"exit_status\":0}" },
    { .name = "report-timeout",
      .type = OPTION_DURATION,
      .offset = offsetof(struct run_options, report_timeout_ms),
      .fallback = "10s",
      .max = 3600 * 1000,
      .value = "TIME",
      .help = "how long the end is tried to be reported" },
    CLIENT_SERVER_OPTIONS(struct run_options, client),
    CLIENT_ENGINE_OPTION(struct run_options, client),
    { .name = NULL },
};

static const struct command_help help = {
    .usage = "reelay run [--job ID] [--stage NAME] [options] -- COMMAND [ARGUMENTS]",
    .about =
        "Runs a command and tells the server how far it is, and through it everybody who\n"
        "watches; with --engine, Redis and whoever listens there. What the command prints\n"
        "passes through unchanged, and its exit status is ours. Progress is read from what\n"
        "ffmpeg (also -progress pipe:1), yt-dlp, curl and pv -n print, and from lines that\n"
        "begin with PROGRESS. A server that is away or slow never holds the command up.\n"
        "\n"
        "Exit status: the command's; 128 and the signal if one ended it; 127 there is no\n"
        "such command; 126 it cannot be run; 2 wrong usage.\n"
        "\n"
        "  reelay run --job clip-7 -- ffmpeg -i in.mov out.mp4\n"
        "  reelay run -- sh -c 'for i in 1 2 3 4; do work $i; echo PROGRESS $((i * 25))%; done'",
    .options = run_option_table,
};

struct run {
    const struct run_options *o;
    char **argv;
    const char *name; /* of the command, without its folder */
    char id[JOB_ID_MAX + 1];
    struct client client;
    struct run_target *target;
    struct run_reporter reporter;
    struct run_signals signals;
    struct run_files files;
    struct run_child child;
    struct run_read *read;
    struct run_pumps pumps;
    uv_async_t wake;
    uv_poll_t signal_poll;
    uv_timer_t last_words_timer;
    struct run_report report;
    uint64_t told; /* news.count of what was passed on last */
    int wait_status;
    int status;         /* ours */
    bool has_exited;    /* the command */
    bool is_late;       /* its last words are not waited for any longer */
    bool has_reported;  /* its end was given to the reporter */
    bool is_in_a_hurry; /* somebody wants us gone */
};

static int wrong(const char *why)
{
    fprintf(stderr, "reelay run: %s\n", why);
    return EXIT_USAGE;
}

static bool is_json(const char *text)
{
    json_error_t error;
    json_t *value = json_loads(text, JSON_DECODE_ANY, &error);
    bool is_good = value != NULL;

    json_decref(value);
    return is_good;
}

static int check(const struct run_options *o)
{
    if (o->job != NULL && !job_id_is_valid(str_of(o->job)))
        return wrong(
            "this cannot be a job's id: letters, digits and -_.:~@+=,!$, the first not '.'");
    if (o->stage[0] == '\0' || strlen(o->stage) > JOB_TEXT_MAX)
        return wrong("--stage is a word or a few");
    if (o->result != NULL && (strlen(o->result) > JOB_JSON_MAX || !is_json(o->result)))
        return wrong("--result is not JSON, or too long");
    return -1;
}

/* The job */

struct creation {
    struct run *run;
    bool has_answer;
};

static void created(void *context, const struct run_answer *answer)
{
    struct creation *creation = context;

    creation->has_answer = true;
    if (answer->id != NULL && job_id_is_valid(str_of(answer->id)))
        snprintf(creation->run->id, sizeof(creation->run->id), "%s", answer->id);
}

/* False: interrupted. Should the server not make a job in time, the first report
 * of an id of our own will. */
static bool choose_job(struct run *r)
{
    struct creation creation = { .run = r };
    uint64_t until = clock_mono_ms() + CREATE_TIMEOUT_MS, now_ms;

    if (r->o->job != NULL) {
        snprintf(r->id, sizeof(r->id), "%s", r->o->job);
        return true;
    }
    if (r->target->ops->create == NULL)
        creation.has_answer = true;
    else
        r->target->ops->create(r->target, r->name, created, &creation);
    while (!creation.has_answer && (now_ms = clock_mono_ms()) < until)
        if (!client_run(&r->client, until - now_ms))
            break;
    r->target->ops->cancel(r->target);
    if (r->client.is_interrupted)
        return false;
    if (r->id[0] == '\0') {
        char uuid[UUID_SIZE];
        random_uuid(uuid);
        snprintf(r->id, sizeof(r->id), "%s", uuid);
    }
    fprintf(stderr, "reelay run: job %s\n", r->id);
    return true;
}

/* What is reported */

static void report_begin(struct run *r)
{
    struct run_news *news = &r->report.news;

    r->report.state = RUN_PROCESSING;
    *news = (struct run_news){
        .fraction = -1, .eta_s = -1, .speed = -1, .bytes_done = -1, .bytes_total = -1
    };
    char text[RUN_TEXT_MAX];
    snprintf(text, sizeof(text), "%s has started", r->name);
    run_text_clean(str_of(text), news->message, sizeof(news->message));
    run_reporter_tell(&r->reporter, &r->report);
}

static void report_news(struct run *r)
{
    run_pumps_news(&r->pumps, &r->report.news);
    if (r->report.news.count == r->told)
        return;
    r->told = r->report.news.count;
    run_reporter_tell(&r->reporter, &r->report);
}

static void report_failure(struct run *r, const char *why)
{
    r->report.state = RUN_FAILED;
    run_text_clean(str_of(why), r->report.error, sizeof(r->report.error));
}

static void report_end(struct run *r)
{
    char last_words[RUN_TEXT_MAX];
    struct buf why;

    r->has_reported = true;
    run_pumps_news(&r->pumps, &r->report.news); /* what was read behind the command's end */
    r->report.state = RUN_COMPLETED;
    if (r->status != 0) {
        buf_init(&why, 64 * 1024);
        run_status_text(r->wait_status, r->name, &why);
        run_pumps_last_words(&r->pumps, last_words);
        if (last_words[0])
            buf_printf(&why, ": %s", last_words);
        report_failure(r, buf_text(&why));
        buf_deinit(&why);
    }
    run_reporter_end(&r->reporter, &r->report, r->o->report_timeout_ms);
}

static void look(struct run *r)
{
    if (!r->has_exited)
        report_news(r);
    else if (!r->has_reported && (r->is_late || !run_pumps_are_running(&r->pumps)))
        report_end(r);
}

/* What happens */

static void on_wake(uv_async_t *handle)
{
    look(handle->data);
}

static void on_late(uv_timer_t *timer)
{
    struct run *r = timer->data;

    r->is_late = true;
    look(r);
}

static void reap(struct run *r)
{
    if (r->has_exited || waitpid(r->child.pid, &r->wait_status, WNOHANG) != r->child.pid)
        return;
    r->has_exited = true;
    r->status = run_status_number(r->wait_status);
    run_pumps_finish(&r->pumps);
    uv_update_time(&r->client.loop);
    uv_timer_start(&r->last_words_timer, on_late, LAST_WORDS_MS, 0);
    look(r);
}

static void on_signals(uv_poll_t *handle, int status, int events)
{
    struct run *r = handle->data;
    bool is_shared;
    int number;

    (void)status;
    (void)events;
    while ((number = run_signals_next(&r->signals, &is_shared)) != 0) {
        if (number == SIGCHLD)
            reap(r);
        else if (r->has_exited)
            r->is_in_a_hurry = true;
        else if (!is_shared)
            kill(r->child.pid, number);
    }
}

static bool is_over(struct run *r)
{
    if (r->is_in_a_hurry)
        run_reporter_give_up(&r->reporter);
    return r->has_exited && r->reporter.is_done &&
           (r->is_in_a_hurry || !run_pumps_are_running(&r->pumps));
}

/* The whole of it */

static void cannot_start(struct run *r, int number)
{
    struct buf why;

    buf_init(&why, 64 * 1024);
    buf_printf(&why, "%s: %s", r->name, strerror(number));
    wrong(buf_text(&why));
    report_failure(r, buf_text(&why));
    buf_deinit(&why);
    r->has_exited = r->has_reported = true;
    r->status = run_child_refusal(number);
    run_reporter_end(&r->reporter, &r->report, r->o->report_timeout_ms);
}

static void begin(struct run *r)
{
    enum run_parse parse = (enum run_parse)r->o->parse;

    run_files_keep(&r->files);
    int number = run_child_start(&r->child, r->argv, r->id, parse, &r->signals);
    if (run_pumps_start(&r->pumps, r->child.pipes, r->read, &r->wake) != OK)
        fprintf(stderr, "reelay run: there are no threads left: not all output is passed on\n");
    if (number != 0)
        cannot_start(r, number);
    else
        report_begin(r);
}

static void open_handles(struct run *r)
{
    uv_loop_t *loop = &r->client.loop;

    uv_async_init(loop, &r->wake, on_wake);
    uv_poll_init(loop, &r->signal_poll, r->signals.fd);
    uv_timer_init(loop, &r->last_words_timer);
    r->wake.data = r->signal_poll.data = r->last_words_timer.data = r;
    run_reporter_init(&r->reporter, r->target, r->id, loop);
    uv_poll_start(&r->signal_poll, UV_READABLE, on_signals);
}

static void close_handles(struct run *r)
{
    run_reporter_deinit(&r->reporter);
    uv_close((uv_handle_t *)&r->wake, NULL);
    uv_close((uv_handle_t *)&r->signal_poll, NULL);
    uv_close((uv_handle_t *)&r->last_words_timer, NULL);
}

static void run_to_the_end(struct run *r)
{
    r->report.stage = r->o->stage;
    r->report.result = r->o->result ? r->o->result : "{\"exit_status\":0}";
    r->read = run_read_new((enum run_parse)r->o->parse, r->o->duration_ms);
    open_handles(r);
    begin(r);
    while (!is_over(r))
        uv_run(&r->client.loop, UV_RUN_ONCE);
    /* A thread may hang in a write to a reader who takes nothing. */
    if (r->is_in_a_hurry && run_pumps_are_running(&r->pumps))
        _exit(r->status);
    run_pumps_close(&r->pumps);
    close_handles(r);
    run_read_free(r->read);
}

static int choose_target(struct run *r, struct buf *why)
{
    const char *engine = client_engine(&r->o->client);

    if (engine == NULL) {
        r->target = run_http_new(&r->client);
        return OK;
    }
    buf_puts(why, r->o->client.engine ? "--engine: " : "REDIS_URL: ");
    r->target = run_redis_new(&r->client.loop, engine, r->o->client.ca_file, why);
    return r->target ? OK : FAIL_SYNTAX;
}

static int open_target(struct run *r)
{
    struct buf why;

    buf_init(&why, 1024);
    int err = client_init(&r->client, &r->o->client, &why);
    if (err == OK) {
        err = choose_target(r, &why);
        if (err)
            client_deinit(&r->client);
    }
    if (err)
        wrong(buf_text(&why));
    buf_deinit(&why);
    return err;
}

static void on_leave(uv_timer_t *timer)
{
    struct run *r = timer->data;

    _exit(r->status);
}

/* A lookup that has begun cannot be stopped, and even exit() would wait for it. */
static void settle(struct run *r)
{
    struct client *c = &r->client;

    for (int i = 0; i < 2; i++)
        uv_unref((uv_handle_t *)&c->signals[i]);
    c->wake.data = r;
    uv_update_time(&c->loop);
    uv_timer_start(&c->wake, on_leave, LEAVE_MS, 0);
    uv_unref((uv_handle_t *)&c->wake);
    uv_run(&c->loop, UV_RUN_DEFAULT);
}

static void close_target(struct run *r)
{
    r->target->ops->free(r->target);
    if (client_engine(&r->o->client) != NULL)
        settle(r);
    client_deinit(&r->client);
}

static int run(struct run *r)
{
    if (open_target(r) != OK)
        return EXIT_USAGE;
    if (!choose_job(r)) {
        r->status = EXIT_INTERRUPTED;
    } else if (run_signals_hold(&r->signals) != OK) {
        r->status = wrong("signals cannot be held");
    } else {
        run_to_the_end(r);
        close(r->signals.fd);
    }
    close_target(r);
    return r->status;
}

int cmd_run(int argc, char **argv)
{
    struct run_options o = { 0 };
    struct run r = { .o = &o };
    struct config config = { .into = &o };

    run_signals_note(&r.signals);
    run_files_note(&r.files);
    /* A command that runs commands this way has jobs of its own for them, and
     * does not end the one that it is itself. */
    unsetenv("REELAY_JOB");
    int status = command_begin(&help, &config, argc, argv, 1, (size_t)argc);
    if (status < 0 && strcmp(argv[argc - (int)config.rest_count - 1], "--") != 0)
        status = wrong("the command goes behind --");
    if (status < 0)
        status = check(&o);
    if (status < 0) {
        const char *slash = strrchr(config.rest[0], '/');
        r.argv = config.rest;
        r.name = slash && slash[1] ? slash + 1 : config.rest[0];
        status = run(&r);
    }
    config_release(&config, run_option_table);
    return status;
}
