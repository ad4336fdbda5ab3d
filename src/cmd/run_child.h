/* The command that is run: started with what we were started with (standard
 * input, environment, signals, process group), so that it is as it would be
 * without us, except for the streams that are read. It gets SIGTERM should we be
 * killed. Signals meant for us are its own: run_signals holds them back from the
 * process and tells them one by one. */
#ifndef CMD_RUN_CHILD_H
#define CMD_RUN_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"
#include "cmd/run_read.h"

enum { RUN_SIGNALS_MAX = 8 }; /* that matter here */

/* How signals were when we began: what is ignored (nohup) stays so. */
struct run_signals {
    sigset_t mask;
    struct sigaction was[RUN_SIGNALS_MAX];
    int fd; /* a signalfd, non-blocking; or -1 */
};

/* Before anything changes a signal. */
void run_signals_note(struct run_signals *s);
/* From here on the command's signals and SIGCHLD come from `fd`. FAIL_*. */
int run_signals_hold(struct run_signals *s);

/* The next one, or 0. `is_shared`: it came from the terminal, whose whole
 * foreground group gets it: the command has it already. */
int run_signals_next(const struct run_signals *s, bool *is_shared);

enum { RUN_FILES_MAX = 1024 };

/* Which descriptors we were given: the command gets them, and none of ours. (Not
 * every library opens its own so that an exec closes them.) A standard stream that
 * is closed is opened on /dev/null. */
struct run_files {
    bool is_given[RUN_FILES_MAX];
};

void run_files_note(struct run_files *f);
/* Before the start. */
void run_files_keep(const struct run_files *f);

struct run_child {
    pid_t pid;
    int pipes[RUN_STREAMS]; /* what it writes; -1: it has our own stream */
};

/* argv[0] is looked up in PATH. OK, or the positive errno of what was in the way.
 * `job` becomes REELAY_JOB. */
int run_child_start(struct run_child *child, char **argv, const char *job, enum run_parse parse,
                    const struct run_signals *signals);

/* 127 for a program that is not there, 126 for one that cannot be run. */
int run_child_refusal(int errno_value);

/* What a shell makes of a wait status: the exit status, or 128 + the signal. */
int run_status_number(int wait_status);
/* "ffmpeg exited with status 1", "ffmpeg was ended by signal SIGTERM" */
void run_status_text(int wait_status, const char *name, struct buf *out);

#endif
