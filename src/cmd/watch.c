/* `reelay watch`: follow any job to its end. */
#include <stdio.h>

#include "base/err.h"
#include "cmd/cmd.h"
#include "cmd/follow.h"
#include "core/job.h"

struct watch_options {
    struct client_options client;
};

static const struct option options[] = {
    CLIENT_OPTIONS(struct watch_options, client),
    { .name = NULL },
};

static const struct command_help help = {
    .usage = "reelay watch JOB [--server URL] [--token TOKEN] [--json]",
    .about = "Shows how far a job is until it has ended. A job that the server does not know\n"
             "yet is waited for. When the connection breaks, it is made again.\n"
             "\n"
             "Prints the playlist's URL in the end. Where standard output is no terminal, or\n"
             "with --json, it prints one JSON object per line, whose \"state\" is in the end\n"
             "\"completed\" (then with \"playlist_url\") or \"failed\".\n"
             "\n"
             "Exit status: 0 the job completed; 1 it failed, was cancelled, or the server\n"
             "refused; 2 wrong usage; 3 the server cannot be reached; 130 interrupted.\n"
             "\n"
             "  reelay watch 42\n"
             "  reelay watch 42 --server https://video.example.org --json | jq .progress",
    .options = options,
};

static int watch(const struct client_options *o, const char *id)
{
    struct client_answer login;
    struct client client;
    struct bar bar;
    struct buf why;
    bool has_ended;

    if (!job_id_is_valid(str_of(id))) {
        fprintf(stderr, "reelay watch: \"%s\" cannot be a job's id\n", id);
        return EXIT_USAGE;
    }
    buf_init(&why, 1024);
    int err = client_init(&client, o, &why);
    if (err)
        fprintf(stderr, "reelay watch: %s\n", buf_text(&why));
    buf_deinit(&why);
    if (err)
        return EXIT_USAGE;
    bar_init(&bar, stdout, o->wants_json);
    bar.id = id;
    client_login(&client, &login);
    int status = client_exit_status(&login);
    if (login.err)
        bar_fail(&bar, "error", login.why);
    else
        status = follow_job(&client, &bar, id, client.has_session, &has_ended);
    client_answer_free(&login);
    bar_deinit(&bar);
    client_deinit(&client);
    return status;
}

int cmd_watch(int argc, char **argv)
{
    struct watch_options o = { 0 };
    struct config config = { .into = &o };
    int status = command_begin(&help, &config, argc, argv, 1, 1);

    if (status < 0)
        status = watch(&o.client, config.rest[0]);
    config_release(&config, options);
    return status;
}
