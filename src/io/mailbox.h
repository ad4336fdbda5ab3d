/* How one thread gives work to another: a queue under a mutex and one wake-up
 * for however much is in it. Mail is opened on the receiving loop, in the order
 * it was posted. */
#ifndef IO_MAILBOX_H
#define IO_MAILBOX_H

#include <uv.h>

/* Embedded as first member in what is sent. */
struct mail {
    struct mail *next;
    void (*open)(struct mail *mail); /* on the receiver's thread; owns the mail */
};

struct mailbox;

/* On the receiving loop's thread, before it runs. */
int mailbox_open(uv_loop_t *loop, struct mailbox **out);

/* Any thread, also with locks held: never blocks beyond the queue's own mutex
 * and never opens mail itself. Takes the mail. */
void mailbox_post(struct mailbox *m, struct mail *mail);

/* Opens what is still there, then closes. On the receiver's thread; posting
 * must have ended. Frees the mailbox in the loop's close callback. */
void mailbox_close(struct mailbox *m);

#endif
