#include <stdio.h>

#include "base/err.h"
#include "cmd/cmd.h"
#include "io/fetch.h"

enum { HELP_MAX = 64 * 1024, WHY_MAX = 1024, FILE_TEXT_MAX = 4096 + 256 };

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

int command_check_ca(const char *option, const char *file, struct buf *why)
{
    struct buf text;

    if (file == NULL || *file == '\0')
        return OK;
    buf_init(&text, FILE_TEXT_MAX);
    int err = fetch_check_ca(file, &text);
    if (err)
        buf_printf(why, "%s: %s", option, buf_text(&text));
    buf_deinit(&text);
    return err;
}
