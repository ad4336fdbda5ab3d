/* A server that says what the test wrote down, on a thread of its own: one
 * answer per connection, in order. It keeps what it was sent. */
#ifndef UNIT_IO_SCRIPTED_H
#define UNIT_IO_SCRIPTED_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

enum { SCRIPTED_MAX = 8, SCRIPTED_HEARD_MAX = 512 * 1024 };

struct scripted_answer {
    const char *text; /* NULL: reset the connection; %s in it: the WebSocket key's answer */
    size_t len;       /* 0: strlen */
    bool keeps_open;  /* until the client closes */
    unsigned late_ms; /* behind the request */
};

struct scripted {
    const struct scripted_answer *answers;
    size_t count;
    int listener;
    unsigned short port;
    pthread_t thread;
    bool is_joined;
    char *heard[SCRIPTED_MAX]; /* per connection, '\0'-terminated */
    size_t heard_len[SCRIPTED_MAX];
    char url[64]; /* "http://127.0.0.1:PORT" */
};

void scripted_start(struct scripted *s, const struct scripted_answer *answers, size_t count);
/* Waits until every answer was given: `heard` is then complete. */
void scripted_wait(struct scripted *s);
/* The same, and frees it. */
void scripted_stop(struct scripted *s);

#endif
