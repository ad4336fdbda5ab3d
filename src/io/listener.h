/* Listening sockets: bound once per thread with SO_REUSEPORT, so that the
 * kernel spreads the clients and no thread hands a connection to another. */
#ifndef IO_LISTENER_H
#define IO_LISTENER_H

#include <stddef.h>
#include <sys/socket.h>

#include "base/buf.h"

struct io_thread;
struct acceptor;

struct listen_address {
    struct sockaddr_storage address;
    socklen_t len;
};

/* "127.0.0.1:3001", "[::1]:0", "localhost:80". Asks the resolver, so it may
 * block. FAIL_SYNTAX, FAIL_MISSING. */
int listen_address_parse(const char *text, struct listen_address *out);

/* The address with the real port, as text: "127.0.0.1:3001". */
enum { LISTEN_TEXT_MAX = 72 };
void listen_address_text(const struct listen_address *a, char out[LISTEN_TEXT_MAX]);

/* Refuses an address that another process listens on: with SO_REUSEPORT alone
 * two servers would share its clients without a word. */
int listener_probe(const struct listen_address *a);

/* A listening socket; a port 0 in `a` becomes the one the kernel chose. */
int listener_bind(struct listen_address *a, int *fd);

/* Takes the socket; on the thread, or before it runs. */
int acceptor_open(struct io_thread *t, int fd);
void acceptors_close(struct io_thread *t);
/* Goes on where descriptors had run out. */
void acceptors_resume(struct io_thread *t);

#endif
