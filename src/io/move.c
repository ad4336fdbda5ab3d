/* A connection on its way to another I/O thread, with the request that was read
 * on this one. The socket itself is never closed, so what the client sends
 * meanwhile waits in the kernel. */
#include "base/mem.h"
#include "io/conversation.h"

struct move {
    struct mail mail; /* first: mail is cast back */
    struct io_thread *to;
    struct exchange *exchange;
    struct given given;
};

static void arrive(struct mail *mail)
{
    struct move *m = (struct move *)mail;
    struct connection *c = NULL;

    if (m->to->is_ending)
        connection_lose(m->to, &m->given);
    else
        c = connection_take(m->to, &m->given);
    conversation_unpack(m->exchange, m->to, c);
    mem_free(m);
}

void conversation_move(struct exchange *x)
{
    struct move *m = mem_new(struct move);
    struct connection *c = x->connection;
    struct io_thread *from = x->thread;

    m->mail.open = arrive;
    m->to = x->move_to;
    m->exchange = x;
    conversation_pack(x);
    m->given = connection_give(c);
    if (io_thread_post(m->to, &m->mail))
        return;
    connection_lose(from, &m->given);
    conversation_unpack(x, from, NULL);
    mem_free(m);
}
