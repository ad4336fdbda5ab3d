/* What everybody hears of a job on its way. */
#include <stdio.h>
#include <string.h>

#include "base/emit.h"
#include "media/pipeline_run.h"

static double of_job(const struct pipeline *p, const char *stage, double fraction)
{
    if (p->spec.plan == PLAN_DOWNLOAD_HLS) /* 0-50 % is downloading it */
        return 0.5 + 0.5 * fraction;
    /* The contract: assembling is 0-20 % of the whole, converting 20-100 %. */
    return strcmp(stage, "assembling") == 0 ? 0.2 * fraction : 0.2 + 0.8 * fraction;
}

/* What the other side said of a download, and then what was found in the file. */
static void video_info(struct pipeline *p, struct buf *out)
{
    const struct media_info *info = &p->spec.info;
    const struct remote_info *remote = &p->spec.remote;
    int short_side = info->width < info->height ? info->width : info->height;
    const char *title = p->spec.title[0] ? p->spec.title : p->spec.upload.file_name;
    int64_t duration_ms = p->spec.has_info ? info->duration_ms : remote->duration_ms;
    char quality[16];

    if (p->spec.has_info && info->has_video)
        snprintf(quality, sizeof(quality), "%dp", short_side);
    else
        snprintf(quality, sizeof(quality), "%s", p->spec.has_info ? "audio" : remote->quality);
    emit_open(out, '{');
    emit_field_string(out, "id", remote->id[0] ? remote->id : p->video);
    emit_field_string(out, "title", title);
    emit_field_string(out, "thumbnail", remote->thumbnail[0] ? remote->thumbnail : NULL);
    if (p->spec.has_info || duration_ms >= 0)
        emit_field_real(out, "duration", duration_ms >= 0 ? (double)duration_ms / 1000 : 0, 3);
    if (quality[0])
        emit_field_string(out, "quality", quality);
    emit_close(out, '}');
}

static void begin(struct change *c, const char *stage, double fraction, const char *message)
{
    change_init(c);
    c->state = JOB_PROCESSING;
    c->text[TEXT_STAGE] = stage;
    c->text[TEXT_MESSAGE] = message;
    c->stage_fraction = fraction;
}

static void tell(struct pipeline *p, struct change *c)
{
    struct buf info;

    buf_init(&info, JOB_JSON_MAX);
    if (p->spec.has_remote || p->spec.has_info) {
        video_info(p, &info);
        c->text[TEXT_VIDEO_INFO] = buf_text(&info);
    }
    p->owner->book->ops->say(p->owner->book, p->video, p->token, c);
    buf_deinit(&info);
}

void pipeline_say(struct pipeline *p, const char *stage, double fraction, const char *message,
                  const struct convert_progress *more)
{
    struct change c;

    begin(&c, stage, fraction, message);
    c.fraction = of_job(p, stage, fraction);
    c.speed = more ? more->speed : -1;
    c.eta_ms = more ? more->eta_ms : -1;
    tell(p, &c);
}

void pipeline_say_bytes(struct pipeline *p, const char *stage, double fraction, const char *message,
                        int64_t done, int64_t total)
{
    struct change c;

    begin(&c, stage, fraction, message);
    c.fraction = fraction;
    if (done >= 0) {
        c.bytes_done = done;
        c.bytes_total = total;
    }
    if (p->spec.title[0] != '\0')
        c.text[TEXT_TITLE] = p->spec.title;
    tell(p, &c);
}
