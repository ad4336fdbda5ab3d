/* `reelay sandbox`: becomes another program after giving up what that program
 * does not need. Internal: io/child starts it. What holds for the program:
 *
 *   process    a low priority, resource limits, no capabilities; it dies when
 *              the thread that started it does
 *   files      standard input, output and error, and by Landlock: system
 *              folders and one input to read, one folder to write in
 *   calls      by seccomp: no network, no second program, no other process
 *
 * A kernel without Landlock leaves the other two walls standing. */
#ifndef CMD_SANDBOX_H
#define CMD_SANDBOX_H

#include <stdbool.h>

/* sandbox [--parent PID] [--memory N] [--file N] [--cpu S] [--files N]
 *   [--read PATH] [--write FOLDER] [--network] [--programs] -- PROGRAM [ARG...]
 * Does not return when the program starts. Otherwise a sentence is on standard
 * error and the status is 127 (no such program) or 126. */
int cmd_sandbox(int argc, char **argv);

/* The two walls. Both return OK or a FAIL_*; neither can be undone. */
struct sandbox_files {
    const char *program; /* resolved: what may be executed, and read */
    const char *read;    /* or NULL */
    const char *write;   /* or NULL */
    bool network;        /* it may read what name lookup and TLS need */
    bool programs;       /* it may execute what lies in the system folders */
};

/* OK also when the kernel has no Landlock. */
int sandbox_confine_files(const struct sandbox_files *files);

/* `program` is the very pointer that execve will be called with: the filter
 * lets that one through and no other. */
int sandbox_confine_calls(const char *program, bool network, bool programs);

#endif
