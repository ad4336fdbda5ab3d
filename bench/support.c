#include "support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ftw.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"

void die(const char *format, ...)
{
    int why = errno;
    va_list args;

    fputs("bench: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, why ? ": %s\n" : "\n", strerror(why));
    exit(1);
}

uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void sleep_until_ns(uint64_t when)
{
    struct timespec t = { .tv_sec = (time_t)(when / 1000000000u),
                          .tv_nsec = (long)(when % 1000000000u) };

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

void sleep_ms(unsigned ms)
{
    sleep_until_ns(now_ns() + ms * UINT64_C(1000000));
}

size_t raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        die("getrlimit");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        die("setrlimit");
    return limit.rlim_cur;
}

uint64_t cpu_ns_of(pid_t pid)
{
    struct timespec used;
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0)
        die("process %d has no clock: did it end?", (int)pid);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

uint64_t resident_of(pid_t pid)
{
    unsigned long pages = 0;
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    FILE *file = fopen(path, "r");
    if (file == NULL || fscanf(file, "%*u %lu", &pages) != 1)
        die("%s", path);
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static int core_of[2] = { -1, -1 };

void cores_part(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        die("sched_getaffinity");
    if (CPU_COUNT(&set) < 2)
        return;
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (!CPU_ISSET(i, &set))
            continue;
        core_of[RECEIVERS_CORE] = i;
        if (core_of[SENDERS_CORE] < 0)
            core_of[SENDERS_CORE] = i;
    }
}

void stay_on(enum core core)
{
    cpu_set_t set;

    if (core_of[core] < 0)
        return;
    CPU_ZERO(&set);
    CPU_SET((size_t)core_of[core], &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0)
        die("sched_setaffinity");
}

pid_t fork_child(void)
{
    pid_t parent = getpid();

    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
    }
    return pid;
}

void end_child(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

void *share_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        die("mmap");
    return memory;
}

static struct sockaddr_in address_of(unsigned host, uint16_t port)
{
    return (struct sockaddr_in){ .sin_family = AF_INET,
                                 .sin_port = htons(port),
                                 .sin_addr.s_addr = htonl(0x7f000000u + host) };
}

int listen_on(unsigned host, uint16_t *port)
{
    struct sockaddr_in a = address_of(host, *port);
    socklen_t len = sizeof(a);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    /* Without delay from the start: what is accepted inherits it. */
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
        bind(fd, (struct sockaddr *)&a, len) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) != 0)
        die("listening on loopback");
    *port = ntohs(a.sin_port);
    return fd;
}

static int try_connect(unsigned host, uint16_t port, unsigned source)
{
    struct sockaddr_in to = address_of(host, port), from = address_of(source, 0);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        die("socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    /* Ports are then counted per destination, not per source address. */
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    if (source != 0 && bind(fd, (struct sockaddr *)&from, sizeof(from)) != 0)
        die("bind to 127.0.0.%u", source);
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
        return fd;
    close(fd);
    return -1;
}

int connect_to(unsigned host, uint16_t port, unsigned source)
{
    uint64_t end = now_ns() + UINT64_C(10000000000);

    for (;;) {
        int fd = try_connect(host, port, source);
        if (fd >= 0)
            return fd;
        if (now_ns() > end)
            die("connecting to 127.0.0.%u:%u", host, port);
        sleep_ms(10);
    }
}

void send_all(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;

    while (len > 0) {
        ssize_t sent = send(fd, at, len, MSG_NOSIGNAL);
        if (sent < 0)
            die("send");
        at += sent;
        len -= (size_t)sent;
    }
}

unsigned number_of(const char *text, unsigned max)
{
    uint64_t value;

    if (str_parse_u64(str_of(text), max, &value) != OK || value == 0)
        die("%s is not between 1 and %u", text, max);
    return (unsigned)value;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info;
    (void)type;
    (void)where;
    return remove(path);
}

void remove_tree(const char *folder)
{
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double median(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}
