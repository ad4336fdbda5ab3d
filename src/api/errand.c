#include "api/errand.h"

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

void errand_go(struct errand *e, struct call *c, void (*run)(struct errand *e),
               void (*back)(struct errand *e))
{
    e->api = c->api;
    e->home = io_thread_mailbox(exchange_thread(c->x));
    e->call = c;
    e->run = run;
    e->back = back;
    e->mail.open = run_open;
    mailbox_post(e->api->desk, &e->mail);
}

void errand_return(struct errand *e)
{
    e->mail.open = back_open;
    mailbox_post(e->home, &e->mail);
}

struct assembly {
    struct errand errand;
    upload_assembled *done;
    int err;
    char id[JOB_ID_MAX + 1];
    char file_name[FILE_NAME_MAX + 1];
    uint32_t chunks;
    char why[1024];
};

static void assembled(void *context, int err, const char *why)
{
    struct assembly *a = context;

    a->err = err;
    snprintf(a->why, sizeof(a->why), "%s", why ? why : "");
    errand_return(&a->errand);
}

static void assemble_run(struct errand *errand)
{
    struct assembly *a = (struct assembly *)errand;

    pipelines_assemble(errand->api->pipelines, a->id, a->file_name, a->chunks, assembled, a);
}

static void assemble_back(struct errand *errand)
{
    struct assembly *a = (struct assembly *)errand;

    a->done(errand->call, a->err, a->why);
    mem_free(a);
}

void errand_assemble(struct call *c, const char *id, const char *file_name, uint32_t chunks,
                     upload_assembled *done)
{
    struct assembly *a = mem_new(struct assembly);

    a->done = done;
    a->chunks = chunks;
    snprintf(a->id, sizeof(a->id), "%s", id);
    snprintf(a->file_name, sizeof(a->file_name), "%s", file_name);
    errand_go(&a->errand, c, assemble_run, assemble_back);
}
