#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/sandbox.h"
#include "cmd/serve_options.h"

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary; /* NULL: not for people */
};

static int options_markdown(int argc, char **argv)
{
    struct buf text;
    const char *command = argc > 1 ? argv[1] : "";

    buf_init(&text, 64 * 1024);
    config_markdown(strcmp(command, "run") == 0      ? run_option_table
                    : strcmp(command, "worker") == 0 ? worker_option_table()
                                                     : serve_option_table,
                    &text);
    fputs(buf_text(&text), stdout);
    buf_deinit(&text);
    return 0;
}

static const struct command commands[] = {
    { "serve", cmd_serve, "run the server" },
    { "worker", cmd_worker, "process what servers that share a Redis have taken in" },
    { "upload", cmd_upload, "upload a video and watch it become HLS" },
    { "download", cmd_download, "have the server download a video" },
    { "watch", cmd_watch, "follow a job" },
    { "report", cmd_report, "tell the server how far a job is" },
    { "run", cmd_run, "run a command and report how far it is" },
    { "token", cmd_token, "make a token" },
    { "storage", cmd_storage, "try whether a bucket does what a server asks of it" },
    { "sandbox", cmd_sandbox, NULL },
    { "options", options_markdown, NULL },
};

static void usage(FILE *to)
{
    fputs("usage: reelay COMMAND [options]    (reelay COMMAND --help tells more)\n\n", to);
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
        if (commands[i].summary != NULL)
            fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].summary);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";

    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    if (strcmp(name, "--version") == 0 || strcmp(name, "version") == 0) {
        puts("reelay " REELAY_VERSION);
        return 0;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        usage(stdout);
        return 0;
    }
    if (*name)
        fprintf(stderr, "reelay: there is no command %s\n", name);
    usage(stderr);
    return 2;
}
