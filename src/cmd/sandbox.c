#include "cmd/sandbox.h"

#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/config.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

enum { EXIT_REFUSED = 126, EXIT_NO_PROGRAM = 127 };

struct sandbox_options {
    uint64_t parent, memory, file, cpu, files;
    const char *read, *trust, *write;
    bool network, private_network, programs;
};

#define ROW(name, kind, field, say)                                                                \
    {                                                                                              \
        name, kind, offsetof(struct sandbox_options, field), NULL, 0, 0, NULL, "N", say, NULL      \
    }

static const struct option table[] = {
    ROW("parent", OPTION_COUNT, parent, "end at once unless this process is the parent"),
    ROW("memory", OPTION_COUNT, memory, "address space, bytes"),
    ROW("file", OPTION_COUNT, file, "largest file it may write, bytes"),
    ROW("cpu", OPTION_COUNT, cpu, "processor time, seconds"),
    ROW("files", OPTION_COUNT, files, "open descriptors"),
    ROW("read", OPTION_TEXT, read, "the input it may read"),
    ROW("trust", OPTION_TEXT, trust, "certificates that it may read, too"),
    ROW("write", OPTION_TEXT, write, "the folder it may write in"),
    ROW("network", OPTION_FLAG, network, "it may use the network"),
    ROW("private-network", OPTION_FLAG, private_network, "its network is a proxy of the parent's"),
    ROW("programs", OPTION_FLAG, programs, "it may start other programs"),
    { .name = NULL },
};

static int refuse(int status, const char *what, int error)
{
    fprintf(stderr, "sandbox: %s: %s\n", what, strerror(error));
    return status;
}

/* The kernel tells of the death of the thread that forked us, not of the
 * process; and says nothing when that happened before we asked. */
static bool tie_to_parent(uint64_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        return false;
    return parent == 0 || (uint64_t)getppid() == parent;
}

static void close_from(unsigned first)
{
    if (close_range(first, UINT_MAX, 0) == 0)
        return;
    for (int fd = (int)first; fd < 65536; fd++) /* before Linux 5.9 */
        close(fd);
}

/* Best effort: a busy machine is no reason not to run. */
static void step_back(void)
{
    enum { WHO_PROCESS = 1, BEST_EFFORT = 2, LOWEST = 7, CLASS_SHIFT = 13 };

    setpriority(PRIO_PROCESS, 0, 10);
    syscall(SYS_ioprio_set, WHO_PROCESS, 0, BEST_EFFORT << CLASS_SHIFT | LOWEST);
}

static bool limit(__rlimit_resource_t resource, uint64_t value)
{
    struct rlimit now;

    if (value == 0)
        return true;
    if (getrlimit(resource, &now) != 0)
        return false;
    if (now.rlim_max != RLIM_INFINITY && value > now.rlim_max)
        value = now.rlim_max;
    /* At the soft limit of CPU comes a signal that says why, at the hard one
     * SIGKILL, which does not. */
    uint64_t soft = resource == RLIMIT_CPU && value > 10 ? value - 10 : value;
    return setrlimit(resource, &(struct rlimit){ soft, value }) == 0;
}

static bool limit_all(const struct sandbox_options *o)
{
    return setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 }) == 0 && limit(RLIMIT_FSIZE, o->file) &&
           limit(RLIMIT_CPU, o->cpu) && limit(RLIMIT_NOFILE, o->files) &&
           limit(RLIMIT_AS, o->memory);
}

/* With no_new_privs set, executing as root does not give them back. */
static bool drop_capabilities(void)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { { 0 } };

    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return syscall(SYS_capset, &header, none) == 0;
}

static bool is_program(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* As execvp(3) would find it, with links resolved; NULL if there is none. */
static char *find_program(const char *name)
{
    const char *path = getenv("PATH");
    struct str rest = str_of(path ? path : "/usr/bin:/bin");

    if (strchr(name, '/') != NULL)
        return is_program(name) ? realpath(name, NULL) : NULL;
    while (rest.at != NULL) {
        struct str folder = str_cut(&rest, ':');
        char full[PATH_MAX];
        int len = snprintf(full, sizeof(full), "%.*s/%s", STR_ARG(folder), name);
        if (folder.len > 0 && folder.at[0] == '/' && len < (int)sizeof(full) && is_program(full))
            return realpath(full, NULL);
    }
    return NULL;
}

static enum sandbox_network network_of(const struct sandbox_options *o)
{
    if (o->private_network)
        return SANDBOX_PROXY_ONLY;
    return o->network ? SANDBOX_NETWORK : SANDBOX_NO_NETWORK;
}

static int become(const struct sandbox_options *o, char **argv)
{
    char *program = find_program(argv[0]);

    if (program == NULL)
        return refuse(EXIT_NO_PROGRAM, argv[0], ENOENT);
    struct sandbox_files files = { .program = program,
                                   .read = o->read,
                                   .trust = o->trust,
                                   .write = o->write,
                                   .network = network_of(o),
                                   .programs = o->programs };
    int status = EXIT_REFUSED;
    int err = o->private_network ? sandbox_make_network(&files.proxy_port) : OK;
    if (err == FAIL_UNSUPPORTED)
        fputs("sandbox: this machine cannot confine a program to a network of its own: it "
              "permits no network namespaces, and its Landlock knows no ports (Linux 6.7)\n",
              stderr);
    else if (err != OK)
        status = refuse(EXIT_REFUSED, "the private network", errno);
    else if (!tie_to_parent(o->parent))
        status = refuse(EXIT_REFUSED, "the parent has ended", ESRCH);
    else if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        status = refuse(EXIT_REFUSED, "no_new_privs", errno);
    else if (sandbox_confine_files(&files) != OK)
        status = refuse(EXIT_REFUSED, "Landlock", errno);
    else if (!drop_capabilities())
        status = refuse(EXIT_REFUSED, "capabilities", errno);
    else if (sandbox_confine_calls(program, files.network, o->programs) != OK)
        status = refuse(EXIT_REFUSED, "seccomp", EPERM);
    else if (!limit_all(o)) /* last: what comes before it needs memory */
        status = refuse(EXIT_REFUSED, "limits", errno);
    else {
        execve(program, argv, environ);
        status = refuse(EXIT_REFUSED, argv[0], errno);
    }
    free(program);
    return status;
}

int cmd_sandbox(int argc, char **argv)
{
    struct sandbox_options options = { 0 };
    struct config config = { .into = &options };
    struct buf why;

    step_back();
    buf_init(&why, 512);
    int status = EXIT_REFUSED;
    int err = config_read(&config, table, argc, argv, &why);
    close_from(options.private_network ? 4 : 3); /* 3: the parent, who waits for a listener */
    if (err != OK)
        fprintf(stderr, "sandbox: %s\n", buf_text(&why));
    else if (config.rest_count == 0)
        fprintf(stderr, "sandbox: which program?\n");
    else
        status = become(&options, config.rest);
    buf_deinit(&why);
    config_release(&config, table);
    return status;
}
