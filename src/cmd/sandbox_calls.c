#include <errno.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "cmd/sandbox.h"

enum { SOCKET_TYPES = 0xf }; /* the bits of socket(2)'s type that are no flags */

/* A list of what is refused, not of what is allowed: ffmpeg stands on some two
 * hundred libraries, and each may probe something harmless tomorrow. Names,
 * because libseccomp's headers may be older than a call that the kernel and
 * its table know; one that it does not know cannot be filtered by it either. */

/* Nothing that decodes media ever means these. */
static const char *const deadly[] = {
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "bpf",
    "userfaultfd",
    "kexec_load",
    "kexec_file_load",
    "init_module",
    "finit_module",
    "delete_module",
    "mount",
    "umount2",
    "pivot_root",
    "reboot",
    "swapon",
    "swapoff",
    "iopl",
    "ioperm",
    NULL,
};

static const char *const refused[] = {
    /* other processes */
    "kcmp",
    "pidfd_open",
    "pidfd_getfd",
    "pidfd_send_signal",
    "rt_sigqueueinfo",
    "rt_tgsigqueueinfo",
    "tkill",
    "setsid",
    "setpgid",
    "setpriority",
    "ioprio_set",
    "process_madvise",
    "migrate_pages",
    "move_pages",
    /* the system */
    "unshare",
    "setns",
    "chroot",
    "open_tree",
    "move_mount",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "mount_setattr",
    "keyctl",
    "add_key",
    "request_key",
    "perf_event_open",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "acct",
    "quotactl",
    "quotactl_fd",
    "settimeofday",
    "clock_settime",
    "clock_adjtime",
    "adjtimex",
    "stime",
    "sethostname",
    "setdomainname",
    "modify_ldt",
    "personality",
    "lookup_dcookie",
    "nfsservctl",
    "vhangup",
    "syslog",
    "fanotify_init",
    "name_to_handle_at",
    "open_by_handle_at",
    /* files, where Landlock does not look: owners, modes, times, attributes */
    "chmod",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "chown",
    "fchown",
    "lchown",
    "fchownat",
    "setxattr",
    "lsetxattr",
    "fsetxattr",
    "setxattrat",
    "removexattr",
    "lremovexattr",
    "fremovexattr",
    "removexattrat",
    "utime",
    "utimes",
    "futimesat",
    "utimensat",
    "mknod",
    "mknodat",
    "memfd_create",
    "memfd_secret",
    /* memory shared by name */
    "shmget",
    "shmat",
    "shmctl",
    "msgget",
    "msgsnd",
    "msgrcv",
    "msgctl",
    "semget",
    "semop",
    "semtimedop",
    "semctl",
    "mq_open",
    "mq_unlink",
    /* who it is */
    "setuid",
    "setgid",
    "setreuid",
    "setregid",
    "setresuid",
    "setresgid",
    "setgroups",
    "setfsuid",
    "setfsgid",
    "capset",
    "seccomp",
    NULL,
};

static const char *const network_calls[] = {
    "socket",   "socketpair", "connect", "bind",     "listen",   "accept",     "accept4", "sendto",
    "recvfrom", "sendmsg",    "recvmsg", "sendmmsg", "recvmmsg", "socketcall", NULL,
};

/* Of those, what a client of a proxy has no use for. */
static const char *const server_calls[] = {
    "bind", "listen", "accept", "accept4", "sendmmsg", "recvmmsg", "socketcall", NULL,
};

static int add_each(scmp_filter_ctx filter, const char *const *names, uint32_t action)
{
    for (; *names; names++) {
        int call = seccomp_syscall_resolve_name(*names);
        if (call == __NR_SCMP_ERROR)
            continue;
        int err = seccomp_rule_add(filter, action, call, 0);
        if (err != 0)
            return err;
    }
    return 0;
}

static int add_if(scmp_filter_ctx filter, int call, struct scmp_arg_cmp when)
{
    return seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EPERM), call, 1, &when);
}

/* TCP over IPv4, and nothing else: no datagrams, so no names; no AF_UNIX, behind which other
 * resolvers and whole machines listen; no MPTCP, which Landlock does not see. Comparisons
 * are of 64 bits: one that the kernel would cut to a harmless 32 is refused, too. */
static int confine_sockets(scmp_filter_ctx filter)
{
    int call = SCMP_SYS(socket);
    int err = add_if(filter, call, SCMP_A0(SCMP_CMP_NE, AF_INET));

    for (uint64_t type = 0; type <= SOCKET_TYPES && err == 0; type++)
        if (type != SOCK_STREAM)
            err = add_if(filter, call, SCMP_A1(SCMP_CMP_MASKED_EQ, SOCKET_TYPES, type));
    for (uint64_t protocol = 1; protocol < IPPROTO_TCP && err == 0; protocol++)
        err = add_if(filter, call, SCMP_A2(SCMP_CMP_EQ, protocol));
    err = err ? err : add_if(filter, call, SCMP_A2(SCMP_CMP_GT, IPPROTO_TCP));
    return err ? err : add_if(filter, SCMP_SYS(socketpair), SCMP_A0(SCMP_CMP_NE, AF_UNIX));
}

/* What is sent with MSG_FASTOPEN connects without connect(2), and past Landlock. */
static int confine_to_proxy(scmp_filter_ctx filter)
{
    int err = add_each(filter, server_calls, SCMP_ACT_ERRNO(EPERM));

    err = err ? err : confine_sockets(filter);
    err = err ? err
              : add_if(filter, SCMP_SYS(sendto),
                       SCMP_A3(SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, MSG_FASTOPEN));
    err = err ? err
              : add_if(filter, SCMP_SYS(sendmsg),
                       SCMP_A2(SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, MSG_FASTOPEN));
    return err;
}

static int confine_network(scmp_filter_ctx filter, enum sandbox_network network)
{
    switch (network) {
    case SANDBOX_NETWORK: return 0;
    case SANDBOX_PROXY_ONLY: return confine_to_proxy(filter);
    default: return add_each(filter, network_calls, SCMP_ACT_ERRNO(EPERM));
    }
}

/* clone3 hides its flags behind a pointer: said not to exist, so that the C
 * library takes clone, whose flags can be read. Threads stay allowed. */
static int confine_forking(scmp_filter_ctx filter, bool programs)
{
    static const uint64_t namespaces[] = { CLONE_NEWNS,  CLONE_NEWCGROUP, CLONE_NEWUTS,
                                           CLONE_NEWIPC, CLONE_NEWUSER,   CLONE_NEWPID,
                                           CLONE_NEWNET };
    int err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);

    for (size_t i = 0; i < sizeof(namespaces) / sizeof(namespaces[0]) && err == 0; i++)
        err = add_if(filter, SCMP_SYS(clone),
                     SCMP_A0(SCMP_CMP_MASKED_EQ, namespaces[i], namespaces[i]));
    if (err != 0 || programs)
        return err;
    static const char *const forks[] = { "fork", "vfork", NULL };
    err = add_each(filter, forks, SCMP_ACT_ERRNO(EPERM));
    return err ? err
               : add_if(filter, SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
}

/* One execve with one pointer gets through. The new program could build that
 * address again, but only to execute what Landlock still lets it: itself. */
static int confine_execution(scmp_filter_ctx filter, const char *program)
{
    int err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(execveat), 0);

    return err ? err : add_if(filter, SCMP_SYS(execve), SCMP_A0(SCMP_CMP_NE, (uintptr_t)program));
}

/* Its own signals and limits are its own business: abort() needs the first. */
static int confine_to_itself(scmp_filter_ctx filter)
{
    scmp_datum_t self = (scmp_datum_t)getpid();
    int err = add_if(filter, SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_NE, self));

    err = err ? err : add_if(filter, SCMP_SYS(kill), SCMP_A0(SCMP_CMP_NE, self));
    err = err ? err : add_if(filter, SCMP_SYS(prlimit64), SCMP_A0(SCMP_CMP_NE, 0));
    return err;
}

/* It ends the programs that it started; only a young Landlock (Linux 6.12) keeps it from
 * others of the same user. The kernel takes 32 bits of each. */
static int confine_kills(scmp_filter_ctx filter)
{
    scmp_datum_t parent = (scmp_datum_t)getppid(), negative = UINT64_C(1) << 31;
    int err = add_if(filter, SCMP_SYS(kill), SCMP_A0(SCMP_CMP_MASKED_EQ, negative, negative));

    err =
        err ? err : add_if(filter, SCMP_SYS(kill), SCMP_A0(SCMP_CMP_MASKED_EQ, UINT32_MAX, parent));
    return err ? err
               : add_if(filter, SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_MASKED_EQ, UINT32_MAX, parent));
}

static int add_rules(scmp_filter_ctx filter, const char *program, enum sandbox_network network,
                     bool programs)
{
    int err = add_each(filter, deadly, SCMP_ACT_KILL_PROCESS);

    err = err ? err : add_each(filter, refused, SCMP_ACT_ERRNO(EPERM));
    err = err ? err : confine_network(filter, network);
    err = err ? err : confine_forking(filter, programs);
    if (programs) {
        err = err ? err : confine_kills(filter);
    } else {
        err = err ? err : confine_execution(filter, program);
        err = err ? err : confine_to_itself(filter);
    }
    /* Typing into a terminal, and outliving the parent. */
    err = err ? err
              : add_if(filter, SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, TIOCSTI));
    err = err ? err
              : add_if(filter, SCMP_SYS(prctl),
                       SCMP_A0(SCMP_CMP_MASKED_EQ, UINT32_MAX, PR_SET_PDEATHSIG));
    return err;
}

int sandbox_confine_calls(const char *program, enum sandbox_network network, bool programs)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

    if (filter == NULL)
        return FAIL_NOMEM;
    int err = add_rules(filter, program, network, programs);
    if (err == 0)
        err = seccomp_load(filter);
    seccomp_release(filter);
    return err == 0 ? OK : FAIL_DENIED;
}
