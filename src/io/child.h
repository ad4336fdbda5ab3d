/* A child process on a loop, in a group and a sandbox of its own: started by
 * way of `reelay sandbox`, which gives up everything the program does not need
 * before it executes it. Its lines come out, its end is told exactly once. One
 * loop thread: the one that starts it. The kernel ends the child when that
 * thread ends. */
#ifndef IO_CHILD_H
#define IO_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/buf.h"

struct child;

struct child_limits {
    uint64_t memory_max;    /* RLIMIT_AS, bytes; 0: no limit, as for all of these */
    uint64_t file_max;      /* RLIMIT_FSIZE, bytes */
    uint32_t cpu_max_s;     /* RLIMIT_CPU */
    uint32_t files_max;     /* RLIMIT_NOFILE */
    const char *read_path;  /* the one input it may read, beside the system's libraries; or NULL */
    const char *ca_file;    /* one more: named to it in SSL_CERT_FILE; or NULL */
    const char *write_path; /* the one folder it may write in; or NULL */
    bool may_connect;       /* it may use the network */
    bool has_private_network; /* or only the proxy behind events->listening (io/guard.h) */
    bool may_run;             /* it may start programs of the system's folders */
};

struct child_events {
    /* A line of its standard output, without the newline; a longer one than
     * 64 KiB comes in pieces. */
    void (*line)(void *context, const char *text, size_t len);
    /* It has ended and its pipes are empty. `status` is its exit status, or
     * -signal; 126 and 127 are the sandbox's: it refused, there is no such
     * program. `complaint` is the last of its standard error (at most 8 KiB).
     * The child is freed behind this call. Never runs within child_start. */
    void (*end)(void *context, int status, const char *complaint);
    /* With has_private_network: what it connects to is accepted from this listening
     * socket, which is the callee's. Once at most, before `end`; not if the machine cannot
     * confine a program so: then that is the complaint, and the program has not run. */
    void (*listening)(void *context, int fd);
};

/* argv[0] is looked up in PATH. Borrows `events`; copies the rest. */
int child_start(uv_loop_t *loop, const char *const *argv, const struct child_limits *limits,
                const struct child_events *events, void *context, struct child **out);

/* SIGTERM to the group, SIGKILL after `grace_ms` (0: at once); `end` comes as
 * always. Fine to repeat, with a shorter grace too. */
void child_stop(struct child *c, uint32_t grace_ms);

int child_pid(const struct child *c);

/* The program whose subcommand `sandbox` is used, instead of our own
 * executable. Borrowed; before the first start. */
void child_set_helper(const char *path);

/* What the sandbox can do on this kernel, for the log: "seccomp, Landlock 7, private
 * networks by namespace", or "seccomp; no Landlock: ...; ...". Static. The first call
 * forks once, to see; before threads that could make it, too. */
const char *child_sandbox_describe(void);

#endif
