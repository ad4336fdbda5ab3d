#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "cmd/sandbox.h"

enum { PORT_INSIDE = 3128, BACKLOG = 64, PARENT = 3, ID_MAP_MAX = 64 };

static bool put_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t len = (ssize_t)strlen(text);
    bool done = write(fd, text, (size_t)len) == len;

    close(fd);
    return done;
}

/* So that it still is who it was, by name too. user_namespaces(7): setgroups must be given
 * up first. Without it nothing but the names would be wrong. */
static void keep_ids(uid_t uid, gid_t gid)
{
    char map[ID_MAP_MAX];

    put_text("/proc/self/setgroups", "deny");
    snprintf(map, sizeof(map), "%u %u 1\n", uid, uid);
    put_text("/proc/self/uid_map", map);
    snprintf(map, sizeof(map), "%u %u 1\n", gid, gid);
    put_text("/proc/self/gid_map", map);
}

static bool raise_loopback(void)
{
    struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return false;
    bool done = ioctl(fd, SIOCSIFFLAGS, &lo) == 0;
    close(fd);
    return done;
}

/* As root in a world of our own making, or else in a user's: there anybody may. */
static bool leave_network(void)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();

    if (unshare(CLONE_NEWNET) == 0)
        return raise_loopback();
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
        return false;
    keep_ids(uid, gid);
    return raise_loopback();
}

static int listen_on_loopback(uint16_t *port)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(*port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (bind(fd, (struct sockaddr *)&address, len) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0) {
        close(fd);
        return -1;
    }
    *port = ntohs(address.sin_port);
    return fd;
}

static bool hand_over(int listener)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct iovec byte = { .iov_base = "", .iov_len = 1 };
    struct msghdr message = { .msg_iov = &byte,
                              .msg_iovlen = 1,
                              .msg_control = control.bytes,
                              .msg_controllen = sizeof(control.bytes) };

    control.head.cmsg_level = SOL_SOCKET;
    control.head.cmsg_type = SCM_RIGHTS;
    control.head.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.head), &listener, sizeof(listener));
    return sendmsg(PARENT, &message, MSG_NOSIGNAL) == 1;
}

/* What libcurl, ffmpeg, Python and most others look for. */
static bool name_proxy(uint16_t port)
{
    char url[64];

    snprintf(url, sizeof(url), "http://127.0.0.1:%u", port);
    return setenv("http_proxy", url, 1) == 0 && setenv("https_proxy", url, 1) == 0 &&
           setenv("all_proxy", url, 1) == 0;
}

int sandbox_make_network(uint16_t *port)
{
    bool is_own = leave_network();

    if (!is_own && !sandbox_confines_ports())
        return FAIL_UNSUPPORTED;
    uint16_t chosen = is_own ? PORT_INSIDE : 0;
    int listener = listen_on_loopback(&chosen);
    if (listener < 0)
        return FAIL_IO;
    bool done = hand_over(listener) && name_proxy(chosen);
    close(listener);
    close(PARENT);
    if (!done)
        return FAIL_IO;
    *port = chosen;
    return OK;
}
