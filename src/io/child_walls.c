#include <errno.h>
#include <linux/landlock.h>
#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/child.h"

enum { LANDLOCK_WITH_PORTS = 4, WALLS_MAX = 160 };

/* Only a try tells: kernels, their settings, containers and modules each may forbid it. */
static bool can_leave_network(void)
{
    int status = 1;
    pid_t pid = fork();

    if (pid == 0)
        _exit(unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 ? 0 : 1);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return pid > 0 && status == 0;
}

static const char *private_networks(long abi)
{
    if (can_leave_network())
        return ", private networks by namespace";
    if (abi >= LANDLOCK_WITH_PORTS)
        return ", private networks by Landlock";
    return "; no private networks: pages are not downloaded";
}

const char *child_sandbox_describe(void)
{
    static char text[WALLS_MAX];
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    if (*text != '\0')
        return text;
    if (abi < 1)
        snprintf(text, sizeof(text),
                 "seccomp%s; no Landlock: converters can read what the server can",
                 private_networks(abi));
    else
        snprintf(text, sizeof(text), "seccomp, Landlock %ld%s", abi, private_networks(abi));
    return text;
}
