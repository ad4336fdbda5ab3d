/* `reelay sandbox`: becomes another program after giving up what that program
 * does not need. Internal: io/child starts it. What holds for the program:
 *
 *   process    a low priority, resource limits, no capabilities; it dies when
 *              the thread that started it does
 *   files      standard input, output and error, and by Landlock: system
 *              folders and one input to read, one folder to write in
 *   calls      by seccomp: no network, no second program, no other process
 *   network    with a private one: a proxy, which listens on a socket that the parent got,
 *              is all there is. In a network namespace, whose loopback has nothing else;
 *              or, where none can be made, Landlock lets it connect to that port only. In
 *              both, seccomp leaves it TCP over IPv4: no names are looked up by it
 *
 * A kernel without Landlock leaves the other walls standing; one that has neither it nor
 * namespaces for us runs no program with a private network. */
#ifndef CMD_SANDBOX_H
#define CMD_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

/* sandbox [--parent PID] [--memory N] [--file N] [--cpu S] [--files N]
 *   [--read PATH] [--trust PATH] [--write FOLDER] [--network] [--private-network] [--programs]
 *   -- PROGRAM [ARG...]
 * With --private-network, descriptor 3 is a unix socket that the listening one goes to, and
 * the program finds http_proxy and its like in its environment.
 * Does not return when the program starts. Otherwise a sentence is on standard
 * error and the status is 127 (no such program) or 126. */
int cmd_sandbox(int argc, char **argv);

enum sandbox_network { SANDBOX_NO_NETWORK, SANDBOX_NETWORK, SANDBOX_PROXY_ONLY };

/* The walls. All return OK or a FAIL_*; none can be undone. */
struct sandbox_files {
    const char *program;          /* resolved: what may be executed, and read */
    const char *read;             /* or NULL */
    const char *trust;            /* one more to read, certificates; or NULL */
    const char *write;            /* or NULL */
    enum sandbox_network network; /* it may read what TLS needs, and name lookup */
    uint16_t proxy_port;          /* what it may connect to, if that is all */
    bool programs;                /* it may execute what lies in the system folders */
};

/* Before the others, which would be in its way. FAIL_UNSUPPORTED: this machine lets us
 * neither have a network namespace nor confine ports. */
int sandbox_make_network(uint16_t *port);

/* Whether Landlock is young enough to know ports (Linux 6.7). */
bool sandbox_confines_ports(void);

/* OK also when the kernel has no Landlock. */
int sandbox_confine_files(const struct sandbox_files *files);

/* `program` is the very pointer that execve will be called with: the filter
 * lets that one through and no other. */
int sandbox_confine_calls(const char *program, enum sandbox_network network, bool programs);

#endif
