#include "io/mailbox.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"

struct mailbox {
    uv_async_t async;
    pthread_mutex_t mutex;
    struct mail *first; /* under the mutex, as `last` */
    struct mail *last;
};

static struct mail *take_all(struct mailbox *m)
{
    pthread_mutex_lock(&m->mutex);
    struct mail *first = m->first;
    m->first = m->last = NULL;
    pthread_mutex_unlock(&m->mutex);
    return first;
}

static void open_all(struct mailbox *m)
{
    struct mail *mail = take_all(m);

    while (mail != NULL) {
        struct mail *next = mail->next; /* opening gives the mail away */
        mail->open(mail);
        mail = next;
    }
}

static void on_wake(uv_async_t *async)
{
    open_all((struct mailbox *)async);
}

int mailbox_open(uv_loop_t *loop, struct mailbox **out)
{
    struct mailbox *m = mem_new(struct mailbox);

    if (uv_async_init(loop, &m->async, on_wake) != 0) {
        mem_free(m);
        return FAIL_IO;
    }
    pthread_mutex_init(&m->mutex, NULL);
    *out = m;
    return 0;
}

void mailbox_post(struct mailbox *m, struct mail *mail)
{
    mail->next = NULL;
    pthread_mutex_lock(&m->mutex);
    bool was_empty = m->first == NULL;
    if (was_empty)
        m->first = mail;
    else
        m->last->next = mail;
    m->last = mail;
    /* Mail behind the first is found by the wake-up of the first. Inside the
     * mutex, because this mail may be the one that ends in mailbox_close. */
    if (was_empty)
        uv_async_send(&m->async);
    pthread_mutex_unlock(&m->mutex);
}

static void on_closed(uv_handle_t *handle)
{
    struct mailbox *m = (struct mailbox *)handle;

    assert(m->first == NULL);
    pthread_mutex_destroy(&m->mutex);
    mem_free(m);
}

void mailbox_close(struct mailbox *m)
{
    open_all(m);
    uv_close((uv_handle_t *)&m->async, on_closed);
}
