/* The subcommands: one file each, every one with its table of options. An entry
 * returns the process's exit status: 0 done, 1 it failed, 2 wrong usage, 3 the
 * server could not be reached; `run` that of the command. */
#ifndef CMD_CMD_H
#define CMD_CMD_H

#include "base/config.h"

int cmd_serve(int argc, char **argv);
int cmd_worker(int argc, char **argv);
int cmd_token(int argc, char **argv);
int cmd_storage(int argc, char **argv);
int cmd_upload(int argc, char **argv);
int cmd_download(int argc, char **argv);
int cmd_watch(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_run(int argc, char **argv);

extern const struct option run_option_table[];
const struct option *worker_option_table(void);

struct command_help {
    const char *usage; /* "reelay token [--admin]" */
    const char *about; /* a sentence or a few lines */
    const struct option *options;
};

/* Reads the options. -1: go on; else the exit status, and what there was to say
 * (help, or what is wrong) has been said. Between `least` and `most` arguments
 * that are not options must be left. config_release is the caller's in any case. */
int command_begin(const struct command_help *help, struct config *config, int argc, char **argv,
                  size_t least, size_t most);

/* Whether the file that `option` names can be read and holds certificates, unless it is NULL
 * or empty. FAIL_IO, FAIL_SYNTAX, and `why` names the option. */
int command_check_ca(const char *option, const char *file, struct buf *why);

#endif
