#include <stdio.h>

#include "base/err.h"
#include "cmd/cmd.h"

enum { HELP_MAX = 64 * 1024, WHY_MAX = 1024 };

static void print_help(const struct command_help *help)
{
    struct buf text;

    buf_init(&text, HELP_MAX);
    buf_printf(&text,
               "usage: %s\n\n%s\n\nOptions (each also in the environment, as REELAY_NAME):\n",
               help->usage, help->about);
    config_help(help->options, &text);
    fputs(buf_text(&text), stdout);
    buf_deinit(&text);
}

int command_begin(const struct command_help *help, struct config *config, int argc, char **argv,
                  size_t least, size_t most)
{
    struct buf why;
    int status = -1;

    buf_init(&why, WHY_MAX);
    int err = config_read(config, help->options, argc, argv, &why);
    if (config->wants_help) {
        print_help(help);
        status = 0;
    } else if (err) {
        fprintf(stderr, "reelay: %s\n", buf_text(&why));
        status = 2;
    } else if (config->rest_count < least || config->rest_count > most) {
        fprintf(stderr, "usage: %s\n", help->usage);
        status = 2;
    }
    buf_deinit(&why);
    return status;
}
