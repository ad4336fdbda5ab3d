#include <stdio.h>

#include "api/api.h"
#include "base/mem.h"
#include "io/thread.h"

static void run_open(struct mail *mail)
{
    struct errand *e = (struct errand *)mail;

    e->run(e);
}

static void back_open(struct mail *mail)
{
    struct errand *e = (struct errand *)mail;

    e->back(e);
}

struct errand *errand_new(struct call *c, void (*run)(struct errand *),
                          void (*back)(struct errand *))
{
    struct errand *e = mem_new(struct errand);

    e->api = c->api;
    e->home = io_thread_mailbox(exchange_thread(c->x));
    e->call = c;
    e->run = run;
    e->back = back;
    return e;
}

void errand_go(struct errand *e)
{
    e->mail.open = run_open;
    mailbox_post(e->api->desk, &e->mail);
}

void errand_return(struct errand *e)
{
    e->mail.open = back_open;
    mailbox_post(e->home, &e->mail);
}

void errand_done(void *context, int err)
{
    struct errand *e = context;

    e->err = err;
    errand_return(e);
}

static void assembled(void *context, int err, const char *why)
{
    struct errand *e = context;

    e->err = err;
    snprintf(e->why, sizeof(e->why), "%s", why ? why : "");
    errand_return(e);
}

void errand_assemble(struct errand *e)
{
    pipelines_assemble(e->api->pipelines, e->video, e->file_name, e->total_chunks, assembled, e);
}
