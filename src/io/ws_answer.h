/* The client's half of the WebSocket handshake (RFC 6455, sections 4.1 and 4.2.2)
 * as text: what is asked and how the answer is read. */
#ifndef IO_WS_ANSWER_H
#define IO_WS_ANSWER_H

#include <stddef.h>

#include "base/buf.h"
#include "proto/ws.h"

enum { WS_KEY_SIZE = 25 };

/* A fresh Sec-WebSocket-Key. */
void ws_key(char out[WS_KEY_SIZE]);

/* Appends the request for an http or https URL. FAIL_SYNTAX, FAIL_LIMIT. */
int ws_ask(const char *url, const char *key, const char *token, struct buf *out);

struct ws_answer_head {
    size_t len; /* bytes of the head; frames follow */
    int status;
    const char *why; /* for people; static */
};

/* OK: the connection is a WebSocket. FAIL_MISSING: more is needed.
 * FAIL_UNSUPPORTED: another answer than 101 (`status`). FAIL_SYNTAX: `why`. */
int ws_answer_read(struct str bytes, const char *accept, struct ws_answer_head *out);

#endif
