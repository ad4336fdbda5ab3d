#include "cmd/run_child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"

/* SIGPIPE and SIGCHLD are not passed on, but a library may have changed them. */
static const int numbers[RUN_SIGNALS_MAX] = { SIGINT,  SIGTERM, SIGHUP,  SIGQUIT,
                                              SIGUSR1, SIGUSR2, SIGPIPE, SIGCHLD };
enum { PASSED_ON = 6 };

void run_signals_note(struct run_signals *s)
{
    *s = (struct run_signals){ .fd = -1 };
    sigprocmask(SIG_BLOCK, NULL, &s->mask);
    for (int i = 0; i < RUN_SIGNALS_MAX; i++)
        sigaction(numbers[i], NULL, &s->was[i]);
}

int run_signals_hold(struct run_signals *s)
{
    sigset_t held;

    sigemptyset(&held);
    for (int i = 0; i < PASSED_ON; i++)
        if (s->was[i].sa_handler != SIG_IGN)
            sigaddset(&held, numbers[i]);
    sigaddset(&held, SIGCHLD);
    /* Ignored, it would not even leave us the child's status. */
    signal(SIGCHLD, SIG_DFL);
    if (sigprocmask(SIG_BLOCK, &held, NULL) != 0)
        return fail_from_errno(errno);
    s->fd = signalfd(-1, &held, SFD_NONBLOCK | SFD_CLOEXEC);
    return s->fd < 0 ? fail_from_errno(errno) : OK;
}

int run_signals_next(const struct run_signals *s, bool *is_shared)
{
    struct signalfd_siginfo info;

    if (read(s->fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return 0;
    *is_shared = info.ssi_code == SI_KERNEL;
    return (int)info.ssi_signo;
}

void run_files_note(struct run_files *f)
{
    /* Else a socket of ours could become the standard output that is passed on. */
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            abort();
    for (int fd = 0; fd < RUN_FILES_MAX; fd++)
        f->is_given[fd] = fcntl(fd, F_GETFD) >= 0;
}

void run_files_keep(const struct run_files *f)
{
    for (int fd = STDERR_FILENO + 1; fd < RUN_FILES_MAX; fd++)
        if (!f->is_given[fd])
            fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static void restore_signals(const struct run_signals *s)
{
    for (int i = 0; i < RUN_SIGNALS_MAX; i++)
        sigaction(numbers[i], &s->was[i], NULL);
    sigprocmask(SIG_SETMASK, &s->mask, NULL);
}

/* In the new process. Comes back only if it cannot become the command. */
static void become(char **argv, int ends[RUN_STREAMS], pid_t parent,
                   const struct run_signals *signals)
{
    if (ends[RUN_OUTPUT] >= 0 && dup2(ends[RUN_OUTPUT], STDOUT_FILENO) < 0)
        return;
    if (ends[RUN_ERRORS] >= 0 && dup2(ends[RUN_ERRORS], STDERR_FILENO) < 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) /* it was killed before we could ask */
        _exit(128 + SIGTERM);
    restore_signals(signals);
    execvp(argv[0], argv);
}

/* Closes `fd` and forgets it. */
static void drop(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int open_pipes(struct run_child *child, int ends[RUN_STREAMS], enum run_parse parse)
{
    for (int i = 0; i < RUN_STREAMS; i++) {
        int pair[2];
        if (!run_parse_wants(parse, (enum run_stream)i))
            continue;
        if (pipe2(pair, O_CLOEXEC) != 0)
            return errno;
        child->pipes[i] = pair[0];
        ends[i] = pair[1];
    }
    return 0;
}

/* 0 once the command is there: the exec closes the pipe. */
static int hear_exec(int fd)
{
    int number = 0;
    ssize_t len;

    do
        len = read(fd, &number, sizeof(number));
    while (len < 0 && errno == EINTR);
    return len == (ssize_t)sizeof(number) ? number : 0;
}

static int start(struct run_child *child, char **argv, int ends[RUN_STREAMS],
                 const struct run_signals *signals)
{
    int word[2];
    pid_t self = getpid();

    if (pipe2(word, O_CLOEXEC) != 0)
        return errno;
    child->pid = fork();
    if (child->pid == 0) {
        become(argv, ends, self, signals);
        int number = errno;
        _exit(write(word[1], &number, sizeof(number)) > 0 ? 127 : 126);
    }
    int err = child->pid < 0 ? errno : 0;
    close(word[1]);
    if (err == 0)
        err = hear_exec(word[0]);
    close(word[0]);
    if (err != 0 && child->pid > 0)
        waitpid(child->pid, NULL, 0);
    return err;
}

int run_child_start(struct run_child *child, char **argv, const char *job, enum run_parse parse,
                    const struct run_signals *signals)
{
    int ends[RUN_STREAMS] = { -1, -1 };

    *child = (struct run_child){ .pid = -1, .pipes = { -1, -1 } };
    setenv("REELAY_JOB", job, 1);
    int err = open_pipes(child, ends, parse);
    if (err == 0)
        err = start(child, argv, ends, signals);
    for (int i = 0; i < RUN_STREAMS; i++) {
        drop(&ends[i]);
        if (err != 0)
            drop(&child->pipes[i]);
    }
    return err;
}

int run_child_refusal(int errno_value)
{
    return errno_value == ENOENT || errno_value == ENOTDIR ? 127 : 126;
}

int run_status_number(int wait_status)
{
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

void run_status_text(int wait_status, const char *name, struct buf *out)
{
    if (!WIFSIGNALED(wait_status)) {
        buf_printf(out, "%s exited with status %d", name, WEXITSTATUS(wait_status));
        return;
    }
    int number = WTERMSIG(wait_status);
    const char *signal_name = sigabbrev_np(number);
    if (signal_name != NULL)
        buf_printf(out, "%s was ended by signal SIG%s", name, signal_name);
    else
        buf_printf(out, "%s was ended by signal %d", name, number);
}
