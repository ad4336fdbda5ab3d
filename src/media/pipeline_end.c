/* How a job ends: completed, cancelled or failed, and what is then cleared off
 * the disk. */
#include <stdio.h>
#include <string.h>

#include "base/emit.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/thread.h"
#include "media/pipeline_run.h"

/* The remains of a job that has ended. Its work record is dropped only when they
 * are gone, so that a crash, or a disk that refuses, leaves them to the next
 * start. */
struct remains {
    struct pipelines *owner;
    bool is_published; /* the tree under `key` stays */
    int err;
    char video[JOB_ID_MAX + 1];
    char key[sizeof((struct spec *)0)->key];
};

static void remove_work(void *context)
{
    struct remains *r = context;
    struct disk *disk = r->owner->parts.disk;

    r->err = disk_chunks_remove(disk, r->video);
    if (r->err == OK)
        r->err = disk_scratch_remove(disk, r->video);
    if (r->err == OK && !r->is_published && r->key[0] != '\0')
        r->err = disk_unpublish(disk, r->key);
}

static void dropped(void *context, int err)
{
    struct remains *r = context;
    struct pipelines *ps = r->owner;

    (void)err;
    mem_free(r);
    ps->clearing--;
    pipelines_drained(ps);
}

static void removed(void *context)
{
    struct remains *r = context;
    struct pipelines *ps = r->owner;

    if (r->err == OK) {
        ps->book->ops->leave(ps->book, &(struct book_leave){ .video = r->video, .how = BOOK_DROP },
                             dropped, r);
        return;
    }
    log_warn("remains_kept", LOG_S("job", r->video), LOG_S("reason", fail_name(r->err)));
    dropped(r, r->err);
}

void pipelines_clear(struct pipelines *ps, const char *video, const char *key, bool is_published)
{
    struct remains *r = mem_new(struct remains);

    r->owner = ps;
    r->is_published = is_published;
    snprintf(r->video, sizeof(r->video), "%s", video);
    snprintf(r->key, sizeof(r->key), "%s", key);
    ps->clearing++;
    io_offload(ps->parts.loop, remove_work, removed, r);
}

/* Whatever ran has stopped: the job is told, then the disk cleared. */
static void told(void *context, int err)
{
    struct pipeline *p = context;

    (void)err;
    pipelines_clear(p->owner, p->video, p->spec.key, p->is_published);
    pipeline_free(p);
}

static void end(struct pipeline *p, const struct change *c)
{
    struct pipeline_book *book = p->owner->book;

    p->is_published = c->state == JOB_COMPLETED;
    book->ops->end(book, &(struct book_end){ .video = p->video, .change = c }, told, p);
}

static void result(struct pipeline *p, const char *url, struct buf *out)
{
    const struct media_info *info = &p->spec.info;

    emit_open(out, '{');
    emit_field_string(out, "hls_path", p->spec.key);
    emit_field_string(out, "hls_url", url);
    emit_field_real(out, "duration", info->duration_ms >= 0 ? (double)info->duration_ms / 1000 : 0,
                    3);
    if (info->has_video) {
        emit_field_int(out, "width", info->width);
        emit_field_int(out, "height", info->height);
    }
    emit_field_int(out, "size", (int64_t)p->published);
    emit_close(out, '}');
}

void pipeline_end_completed(struct pipeline *p)
{
    const struct pipeline_parts *parts = &p->owner->parts;
    struct change c;
    struct buf url, json;

    buf_init(&url, JOB_TEXT_MAX);
    buf_init(&json, JOB_JSON_MAX);
    buf_printf(&url, "%s/%s/master.m3u8", parts->settings->public_url, p->spec.key);
    result(p, buf_text(&url), &json);
    change_init(&c);
    c.state = JOB_COMPLETED;
    c.file_size = (int64_t)p->published;
    c.text[TEXT_MESSAGE] = "Video processing completed successfully";
    c.text[TEXT_HLS_PATH] = p->spec.key;
    c.text[TEXT_URL] = buf_text(&url);
    c.text[TEXT_STORAGE] = "disk";
    c.text[TEXT_RESULT] = buf_text(&json);
    log_info("job_completed", LOG_S("job", p->video), LOG_I("bytes", p->published));
    end(p, &c);
    buf_deinit(&url);
    buf_deinit(&json);
}

void pipeline_end_cancelled(struct pipeline *p)
{
    struct change c;

    change_init(&c);
    c.state = JOB_CANCELLED;
    c.text[TEXT_MESSAGE] = "Cancelled";
    c.text[TEXT_ERROR] = "Cancelled";
    log_info("job_cancelled", LOG_S("job", p->video));
    end(p, &c);
}

static void failure_told(void *context, int err)
{
    (void)err;
    pipeline_free(context);
}

static void tell_failure(struct pipeline *p)
{
    struct pipeline_book *book = p->owner->book;
    struct change c;

    change_init(&c);
    c.state = JOB_FAILED;
    c.text[TEXT_MESSAGE] = p->step->failure;
    c.text[TEXT_ERROR] = buf_text(&p->why);
    log_warn("job_failed", LOG_S("job", p->video), LOG_S("step", p->step->name),
             LOG_S("reason", fail_name(p->err)), LOG_S("why", c.text[TEXT_ERROR]));
    book->ops->end(book,
                   &(struct book_end){ .video = p->video, .change = &c, .reopen = &p->spec.upload },
                   failure_told, p);
}

/* Of a failed attempt only what the next one starts from stays: the chunks, or
 * the source once they are gone. It will publish under another key. */
static void clear_work(void *context)
{
    struct pipeline *p = context;
    struct disk *disk = p->owner->parts.disk;

    if (p->spec.upload.has_source)
        disk_scratch_clear(disk, p->video, "source");
    else
        disk_scratch_remove(disk, p->video);
    disk_unpublish(disk, p->spec.key);
}

static void cleared(void *context)
{
    struct pipeline *p = context;

    if (p->is_cancelled)
        pipeline_end_cancelled(p);
    else
        tell_failure(p);
}

void pipeline_end_failed(struct pipeline *p, int err, const char *why)
{
    pipeline_stop_converting(p);
    p->err = err;
    if (why == NULL || *why == '\0')
        why = fail_text(err);
    if (why != p->why.data) {
        buf_reset(&p->why);
        buf_puts(&p->why, why);
    }
    io_offload(p->owner->parts.loop, clear_work, cleared, p);
}
