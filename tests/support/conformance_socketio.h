/* What the Socket.IO protocol's own suite asks of a server: the namespaces /
 * and /custom, which emit `auth` with what the client authenticated with, answer
 * `message` by `message-back`, and acknowledge `message-with-ack`. */
#ifndef TEST_SUPPORT_CONFORMANCE_SOCKETIO_H
#define TEST_SUPPORT_CONFORMANCE_SOCKETIO_H

#include "io/engine.h"

/* engine_open */
void *open_socketio_echo(void *argument, struct engine_socket *socket,
                         const struct engine_events **events);

#endif
