#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/landlock.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "cmd/sandbox.h"

/* Rights that are younger than the headers of the oldest system we build on;
 * the kernel's numbers are fixed. */
#define FS_TRUNCATE         (1ULL << 14) /* ABI 3 */
#define FS_IOCTL_DEV        (1ULL << 15) /* ABI 5 */
#define NET_BIND_TCP        (1ULL << 0)  /* ABI 4 */
#define NET_CONNECT_TCP     (1ULL << 1)
#define SCOPE_ABSTRACT_UNIX (1ULL << 0) /* ABI 6 */
#define SCOPE_SIGNAL        (1ULL << 1)

#define FS_READ   (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_ABI_1  (LANDLOCK_ACCESS_FS_MAKE_SYM * 2 - 1)
#define FS_DEVICE (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE)
#define FS_WORK                                                                                    \
    (FS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE | LANDLOCK_ACCESS_FS_MAKE_REG |         \
     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR)
/* What still makes sense when the path is not a folder. */
#define FS_FILE                                                                                    \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |   \
     FS_TRUNCATE | FS_IOCTL_DEV)

/* struct landlock_ruleset_attr as of ABI 6. Older kernels take it too as long
 * as what they do not know is zero. */
struct rules {
    uint64_t files, net, scope;
};

struct port_rule {
    uint64_t allowed, port;
};
enum { RULE_NET_PORT = 2, ABI_WITH_PORTS = 4 };

struct wall {
    int fd;
    uint64_t known;     /* the file rights this kernel handles */
    uint64_t known_net; /* and those of the network */
};

static int landlock_abi(void)
{
    return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

bool sandbox_confines_ports(void)
{
    return landlock_abi() >= ABI_WITH_PORTS;
}

static struct rules rules_of(int abi, enum sandbox_network network)
{
    struct rules rules = { .files = FS_ABI_1 };

    if (abi >= 2)
        rules.files |= LANDLOCK_ACCESS_FS_REFER;
    if (abi >= 3)
        rules.files |= FS_TRUNCATE;
    if (abi >= ABI_WITH_PORTS)
        rules.net = network == SANDBOX_NETWORK ? NET_BIND_TCP : NET_BIND_TCP | NET_CONNECT_TCP;
    if (abi >= 5)
        rules.files |= FS_IOCTL_DEV;
    if (abi >= 6)
        rules.scope = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
    return rules;
}

/* What is not there needs no rule. */
static int allow(const struct wall *wall, const char *path, uint64_t rights)
{
    struct stat st;
    int fd = path ? open(path, O_PATH | O_CLOEXEC) : -1;

    if (fd < 0)
        return path == NULL || errno == ENOENT || errno == ENOTDIR ? 0 : -1;
    int err = fstat(fd, &st);
    if (err == 0 && !S_ISDIR(st.st_mode))
        rights &= FS_FILE;
    struct landlock_path_beneath_attr rule = { .allowed_access = rights & wall->known,
                                               .parent_fd = fd };
    if (err == 0)
        err = (int)syscall(SYS_landlock_add_rule, wall->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    int error = errno;
    close(fd);
    errno = error;
    return err;
}

static int allow_each(const struct wall *wall, const char *const *paths, uint64_t rights)
{
    for (; *paths; paths++)
        if (allow(wall, *paths, rights) != 0)
            return -1;
    return 0;
}

/* On whatever host: there is no rule for addresses. */
static int allow_port(const struct wall *wall, uint16_t port)
{
    struct port_rule rule = { .allowed = NET_CONNECT_TCP, .port = port };

    if (port == 0 || (wall->known_net & NET_CONNECT_TCP) == 0)
        return 0;
    return (int)syscall(SYS_landlock_add_rule, wall->fd, RULE_NET_PORT, &rule, 0);
}

static int note_interpreter(struct dl_phdr_info *info, size_t size, void *context)
{
    const char **out = context;

    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_INTERP)
            *out = (const char *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
    return 1; /* the first entry is the program itself */
}

/* The dynamic loader, which execve opens for execution beside the program: the
 * one we were started with serves every program of this system. */
static const char *interpreter(void)
{
    const char *path = NULL;

    dl_iterate_phdr(note_interpreter, &path);
    return path;
}

static int allow_all(const struct wall *wall, const struct sandbox_files *f)
{
    static const char *const system[] = { "/usr", "/lib",       "/lib32", "/lib64",
                                          "/bin", "/nix/store", NULL };
    static const char *const readable[] = { "/etc/ld.so.cache",
                                            "/etc/localtime",
                                            "/proc/self/status",
                                            "/sys/devices/system/cpu",
                                            "/sys/devices/system/node",
                                            "/dev/urandom",
                                            "/dev/random",
                                            "/dev/zero",
                                            NULL };
    static const char *const names[] = {
        "/etc/resolv.conf", "/run/systemd/resolve", "/etc/hosts", "/etc/nsswitch.conf",
        "/etc/host.conf",   "/etc/gai.conf",        NULL
    };
    /* Not all of /etc/ssl and /etc/pki: private keys lie there, too. */
    static const char *const trust[] = { "/etc/ssl/certs",         "/etc/ssl/cert.pem",
                                         "/etc/ssl/ca-bundle.pem", "/etc/ssl/openssl.cnf",
                                         "/etc/ca-certificates",   "/var/lib/ca-certificates",
                                         "/etc/pki/ca-trust",      "/etc/pki/tls/cert.pem",
                                         "/etc/pki/tls/certs",     "/etc/pki/tls/openssl.cnf",
                                         "/etc/crypto-policies",   NULL };
    uint64_t run = f->programs ? LANDLOCK_ACCESS_FS_EXECUTE : 0;

    if (allow_each(wall, system, FS_READ | run) != 0 || allow_each(wall, readable, FS_READ) != 0)
        return -1;
    if (f->network == SANDBOX_NETWORK && allow_each(wall, names, FS_READ) != 0)
        return -1;
    if (f->network != SANDBOX_NO_NETWORK && allow_each(wall, trust, FS_READ) != 0)
        return -1;
    if (allow_port(wall, f->proxy_port) != 0)
        return -1;
    if (allow(wall, "/dev/null", FS_DEVICE) != 0)
        return -1;
    uint64_t execute = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE;
    if (allow(wall, f->program, execute) != 0 || allow(wall, interpreter(), execute) != 0)
        return -1;
    if (allow(wall, f->trust, FS_READ) != 0)
        return -1;
    return allow(wall, f->read, FS_READ) != 0 || allow(wall, f->write, FS_WORK) != 0 ? -1 : 0;
}

int sandbox_confine_files(const struct sandbox_files *files)
{
    int abi = landlock_abi();

    if (abi < 1)
        return OK;
    struct rules rules = rules_of(abi, files->network);
    struct wall wall = { .known = rules.files, .known_net = rules.net };
    wall.fd = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0);
    if (wall.fd < 0)
        return FAIL_DENIED;
    int err = allow_all(&wall, files);
    if (err == 0)
        err = (int)syscall(SYS_landlock_restrict_self, wall.fd, 0);
    int error = errno;
    close(wall.fd);
    errno = error;
    return err == 0 ? OK : FAIL_DENIED;
}
