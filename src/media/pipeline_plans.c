/* Which steps a job goes through. */
#include <string.h>

#include "base/err.h"
#include "io/thread.h"
#include "media/pipeline_run.h"

static const struct step *const upload_plan[] = {
    &step_assemble, &step_probe, &step_clean, &step_convert, &step_publish, NULL,
};

static const struct step *const download_plan[] = { &step_fetch, &step_examine, &step_store, NULL };
static const struct step *const download_hls_plan[] = { &step_fetch, &step_examine, &step_convert,
                                                        &step_publish, NULL };

static const struct plan {
    const char *name; /* as in a checkpoint */
    const struct step *const *steps;
} plans[PIPELINE_PLANS] = {
    [PLAN_UPLOAD] = { "upload", upload_plan },
    [PLAN_DOWNLOAD] = { "download", download_plan },
    [PLAN_DOWNLOAD_HLS] = { "download-hls", download_hls_plan },
};

const char *pipeline_plan_name(enum pipeline_plan plan)
{
    return plans[plan].name;
}

enum pipeline_plan pipeline_plan_named(const char *name)
{
    for (int i = 0; i < PIPELINE_PLANS; i++)
        if (strcmp(plans[i].name, name) == 0)
            return (enum pipeline_plan)i;
    return PIPELINE_PLANS;
}

bool spec_is_download(const struct spec *s)
{
    return s->plan != PLAN_UPLOAD || s->upload.download.url[0] != '\0';
}

const struct step *pipeline_first(const struct spec *s)
{
    return plans[s->plan].steps[0];
}

const struct step *pipeline_next(const struct spec *s, const struct step *step)
{
    const struct step *const *at = plans[s->plan].steps;

    while (*at != step)
        at++;
    return at[1];
}

const struct step *pipeline_step(const struct spec *s, const char *name)
{
    const struct step *const *at = plans[s->plan].steps;

    while (*at != NULL && strcmp((*at)->name, name) != 0)
        at++;
    return *at;
}

bool pipeline_is_step(const char *name)
{
    for (int i = 0; i < PIPELINE_PLANS; i++)
        for (const struct step *const *at = plans[i].steps; *at != NULL; at++)
            if (strcmp((*at)->name, name) == 0)
                return true;
    return false;
}

void pipeline_offload(struct pipeline *p, void (*work)(void *), void (*done)(void *))
{
    buf_reset(&p->why);
    p->err = OK;
    io_offload(p->owner->parts.loop, work, done, p);
}

void pipeline_offloaded(void *context)
{
    struct pipeline *p = context;

    pipeline_step_done(p, p->err, buf_text(&p->why));
}
