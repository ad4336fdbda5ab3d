/* `reelay download`: has the server download a video from elsewhere, and follows the job
 * to its end. */
#include <stdio.h>
#include <string.h>

#include "base/emit.h"
#include "base/err.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/follow.h"
#include "core/job.h"
#include "core/limits.h"

enum { BODY_MAX = 16 * 1024 };

struct download_options {
    struct client_options client;
    const char *quality, *title;
    bool is_hls;
};

static const struct option options[] = {
    CLIENT_OPTIONS(struct download_options, client),
    { .name = "quality",
      .type = OPTION_TEXT,
      .offset = offsetof(struct download_options, quality),
      .fallback = "best",
      .choices = "best|2160p|1080p|720p|480p|360p|audio",
      .help = "where there are several: the best up to this one" },
    { .name = "hls",
      .type = OPTION_FLAG,
      .offset = offsetof(struct download_options, is_hls),
      .help = "make HLS of it" },
    { .name = "title",
      .type = OPTION_TEXT,
      .offset = offsetof(struct download_options, title),
      .value = "TEXT",
      .help = "the video's title; else what its page or file is called" },
    { .name = NULL },
};

static const struct command_help help = {
    .usage = "reelay download URL [--server URL] [--token TOKEN] [--quality QUALITY] [--hls]\n"
             "                    [--title TEXT] [--json]",
    .about = "Has the server download a video (a file, or from a page), then follows the job\n"
             "and prints where the file, or the playlist, can be fetched.\n"
             "\n"
             "The server goes on without this command: after Ctrl-C, \"reelay watch JOB\" shows\n"
             "the rest.\n"
             "\n"
             "Where standard output is no terminal, or with --json, it prints one JSON object\n"
             "per line, whose \"state\" is in the end \"completed\" (then with \"download_url\",\n"
             "or \"playlist_url\"), \"failed\", \"error\" or \"interrupted\".\n"
             "\n"
             "Exit status: 0 the job completed; 1 it failed, was cancelled, or the server\n"
             "refused; 2 wrong usage; 3 the server cannot be reached; 130 interrupted.\n"
             "\n"
             "  reelay download https://example.org/talk.mp4\n"
             "  reelay download https://example.org/watch?v=7 --quality 720p --hls",
    .options = options,
};

struct downloading {
    const struct download_options *options;
    const char *url;
    struct client client;
    struct bar bar;
    char job[JOB_ID_MAX + 1];
};

/* Tried once: asked for again it would be downloaded twice. */
static void create(struct downloading *d, struct client_answer *out)
{
    const struct download_options *o = d->options;
    struct buf body;

    buf_init(&body, BODY_MAX);
    emit_open(&body, '{');
    emit_field_string(&body, "url", d->url);
    emit_field_string(&body, "quality", o->quality);
    emit_field_bool(&body, "hls", o->is_hls);
    if (o->title != NULL && *o->title)
        emit_field_string(&body, "title", o->title);
    emit_close(&body, '}');
    client_call(&d->client, 1, "POST", "/api/download", buf_text(&body), out);
    buf_deinit(&body);
    if (!client_is_good(out))
        return;
    const char *job = client_text(out->json, "jobId");
    if (job != NULL && job_id_is_valid(str_of(job))) {
        snprintf(d->job, sizeof(d->job), "%s", job);
    } else {
        client_answer_free(out);
        *out = (struct client_answer){ .status = 502, .why = "the server's answer has no jobId" };
    }
}

static int run(struct downloading *d)
{
    struct client_answer answer;
    bool has_ended;

    client_login(&d->client, &answer);
    if (client_is_good(&answer)) {
        client_answer_free(&answer);
        create(d, &answer);
    }
    bool is_good = client_is_good(&answer);
    int status = is_good ? EXIT_DONE : client_exit_status(&answer);
    if (!is_good)
        bar_fail(&d->bar, answer.err == FAIL_CANCELLED ? "interrupted" : "error", answer.why);
    client_answer_free(&answer);
    if (!is_good)
        return status;
    d->bar.id = d->job;
    return follow_job(&d->client, &d->bar, d->job, true, &has_ended);
}

static int download(const struct download_options *o, const char *url)
{
    struct downloading d = { .options = o, .url = url };
    struct buf why;

    buf_init(&why, 1024);
    int err = client_init(&d.client, &o->client, &why);
    if (err)
        fprintf(stderr, "reelay download: %s\n", buf_text(&why));
    buf_deinit(&why);
    if (err)
        return EXIT_USAGE;
    bar_init(&d.bar, stdout, o->client.wants_json);
    int status = run(&d);
    bar_deinit(&d.bar);
    client_deinit(&d.client);
    return status;
}

int cmd_download(int argc, char **argv)
{
    struct download_options o = { 0 };
    struct config config = { .into = &o };
    int status = command_begin(&help, &config, argc, argv, 1, 1);

    if (status < 0)
        status = download(&o, config.rest[0]);
    config_release(&config, options);
    return status;
}
