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

static void ended(void *context, int err)
{
    struct ending *e = context;

    e->err = err;
    errand_return(&e->errand);
}

static void end_run(struct errand *errand)
{
    struct ending *e = (struct ending *)errand;

    pipelines_cancel(errand->api->pipelines, e->id, ended, e);
}

static struct ending *ending_new(const char *id)
{
    struct ending *e = mem_new(struct ending);

    snprintf(e->id, sizeof(e->id), "%s", id);
    return e;
}

void ending_free(struct ending *e)
{
    update_unref(&e->update);
    mem_free(e);
}

void errand_cancel(struct call *c, struct update *u, record_done *done,
                   void (*back)(struct errand *e))
{
    struct ending *e = ending_new(u->text[TEXT_ID]);

    e->cancelled = done;
    e->update = update_ref(u);
    errand_go(&e->errand, c, end_run, back);
}

void errand_discard(struct call *c, const char *id, upload_done *done,
                    void (*back)(struct errand *e))
{
    struct ending *e = ending_new(id);

    e->discarded = done;
    errand_go(&e->errand, c, end_run, back);
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
