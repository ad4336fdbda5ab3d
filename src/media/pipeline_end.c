/* How a job ends: completed, cancelled or failed. */
#include <stdio.h>
#include <string.h>

#include "base/emit.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "io/thread.h"
#include "media/bucket.h"
#include "media/download_read.h"
#include "media/pipeline_run.h"
#include "media/publish.h"
#include "proto/url.h"

/* What signatures allow at most (S3). */
enum { DOWNLOAD_URL_LIFETIME_S = 7 * 24 * 3600 };

/* Whatever ran has stopped: the job is told, then the disk cleared. */
static void told(void *context, int err)
{
    struct pipeline *p = context;

    if (pipeline_forget(p, err))
        return;
    if (err && err != FAIL_STATE && p->token > 0) {
        pipeline_end_failed(p, FAIL_IO, "its end could not be put on record");
        return;
    }
    /* It ended otherwise before: nobody will ever hear of the tree. */
    enum tree_fate fate = err == FAIL_STATE ? TREE_REMOVED
                          : p->is_published ? TREE_KEPT
                                            : TREES_REMOVED;
    pipelines_clear(p->owner, p->video, p->token, p->spec.key, fate);
    pipeline_free(p);
}

static void tell_end(struct pipeline *p, const struct change *c, const struct upload *reopen,
                     book_done *done)
{
    struct pipeline_book *book = p->owner->book;

    p->is_ending = true;
    book->ops->end(book,
                   &(struct book_end){
                       .video = p->video, .token = p->token, .change = c, .reopen = reopen },
                   done, p);
}

static void end(struct pipeline *p, const struct change *c)
{
    p->is_published = c->state == JOB_COMPLETED;
    tell_end(p, c, NULL, told);
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

static void download_url(const struct pipeline *p, struct buf *out)
{
    const struct pipeline_parts *parts = &p->owner->parts;
    const char *name = p->spec.upload.file_name;
    struct buf key;

    buf_init(&key, 1024);
    buf_printf(&key, "%s/%s", p->spec.key, name);
    if (parts->storage == NULL || !storage_traits(parts->storage)->has_urls) {
        buf_printf(out, "%s/", parts->settings->public_url);
        url_encode(buf_str(&key), true, out);
    } else if (storage_public_url(parts->storage, buf_text(&key), out) != OK) {
        buf_reset(out);
        storage_url(parts->storage, buf_text(&key), name, DOWNLOAD_URL_LIFETIME_S, out);
    }
    buf_deinit(&key);
}

void pipeline_end_downloaded(struct pipeline *p)
{
    struct storage *storage = p->owner->parts.storage;
    struct change c;
    struct buf url, json;

    buf_init(&url, JOB_TEXT_MAX);
    buf_init(&json, JOB_JSON_MAX);
    download_url(p, &url);
    emit_open(&json, '{');
    emit_field_string(&json, "url", buf_text(&url));
    emit_field_string(&json, "fileName", p->spec.upload.file_name);
    emit_field_int(&json, "size", (int64_t)p->published);
    emit_field_real(&json, "duration",
                    p->spec.info.duration_ms >= 0 ? (double)p->spec.info.duration_ms / 1000 : 0, 3);
    emit_close(&json, '}');
    change_init(&c);
    c.state = JOB_COMPLETED;
    c.file_size = (int64_t)p->published;
    c.text[TEXT_MESSAGE] = "Job complete";
    c.text[TEXT_URL] = buf_text(&url);
    c.text[TEXT_STORAGE] = storage ? storage_traits(storage)->provider : "disk";
    c.text[TEXT_RESULT] = buf_text(&json);
    log_info("job_completed", LOG_S("job", p->video), LOG_I("bytes", p->published));
    end(p, &c);
    buf_deinit(&url);
    buf_deinit(&json);
}

/* Without a public base of the storage it is this server's own, which knows the way. */
static void write_url(struct pipeline *p, struct buf *out)
{
    const struct pipeline_parts *parts = &p->owner->parts;
    char key[sizeof(p->spec.key) + 16];

    snprintf(key, sizeof(key), "%s/master.m3u8", p->spec.key);
    if (parts->storage == NULL || storage_public_url(parts->storage, key, out) != OK)
        buf_printf(out, "%s/%s", parts->settings->public_url, key);
}

void pipeline_end_completed(struct pipeline *p)
{
    const struct storage *storage = p->owner->parts.storage;
    struct change c;
    struct buf url, json;

    if (p->spec.plan == PLAN_DOWNLOAD) {
        pipeline_end_downloaded(p);
        return;
    }
    buf_init(&url, JOB_TEXT_MAX);
    buf_init(&json, JOB_JSON_MAX);
    write_url(p, &url);
    result(p, buf_text(&url), &json);
    change_init(&c);
    c.state = JOB_COMPLETED;
    c.file_size = (int64_t)p->published;
    c.text[TEXT_MESSAGE] = "Video processing completed successfully";
    c.text[TEXT_HLS_PATH] = p->spec.key;
    c.text[TEXT_URL] = buf_text(&url);
    c.text[TEXT_STORAGE] = storage ? storage_traits(storage)->provider : "disk";
    c.text[TEXT_RESULT] = buf_text(&json);
    log_info("job_completed", LOG_S("job", p->video), LOG_I("bytes", p->published));
    end(p, &c);
    buf_deinit(&url);
    buf_deinit(&json);
}

/* Before what was sent is removed. */
static void stop_following(struct pipeline *p)
{
    if (p->publish != NULL)
        publish_abandon(p->publish);
    p->publish = NULL;
}

void pipeline_end_cancelled(struct pipeline *p)
{
    struct change c;

    stop_following(p);
    change_init(&c);
    c.state = JOB_CANCELLED;
    c.text[TEXT_MESSAGE] = "Cancelled";
    c.text[TEXT_ERROR] = "Cancelled";
    log_info("job_cancelled", LOG_S("job", p->video));
    end(p, &c);
}

static void failure_told(void *context, int err)
{
    struct pipeline *p = context;

    if (err)
        told(p, err);
    else if (!pipeline_forget(p, err))
        pipeline_free(p);
}

/* Of what failed before it said how it is called people know the address, which may
 * hold secrets: so only the name in it, or the host. */
static void name_download(const struct pipeline *p, struct buf *title)
{
    const char *url = p->spec.upload.download.url, *host = strstr(url, "://");
    struct buf name;

    buf_init(&name, DOWNLOAD_URL_MAX);
    download_url_name(url, &name);
    if (name.len == 0 && host != NULL) {
        struct str rest = { host + 3, strcspn(host + 3, "/?#") };
        struct str login = str_cut(&rest, '@');
        buf_append(&name, rest.at ? rest.at : login.at, rest.at ? rest.len : login.len);
    }
    buf_append(title, buf_text(&name), utf8_cut(buf_text(&name), name.len, FILE_NAME_MAX));
    buf_deinit(&name);
}

static void tell_failure(struct pipeline *p)
{
    struct buf title;
    struct change c;

    change_init(&c);
    buf_init(&title, DOWNLOAD_URL_MAX);
    c.state = JOB_FAILED;
    c.text[TEXT_MESSAGE] = p->step->failure;
    c.text[TEXT_ERROR] = buf_text(&p->why);
    log_warn("job_failed", LOG_S("job", p->video), LOG_S("step", p->step->name),
             LOG_S("reason", fail_name(p->err)), LOG_S("why", c.text[TEXT_ERROR]));
    p->spec.upload.has_failed = true;
    if (spec_is_download(&p->spec) && p->spec.title[0] == '\0') {
        name_download(p, &title);
        c.text[TEXT_TITLE] = buf_text(&title);
    }
    if (spec_is_download(&p->spec)) /* nobody can send what is missing */
        tell_end(p, &c, NULL, told);
    else
        tell_end(p, &c, &p->spec.upload, failure_told);
    buf_deinit(&title);
}

/* Of a failed attempt only what the next one starts from stays: the chunks, or
 * the source once they are gone. */
static int clear_attempt(struct pipeline *p)
{
    struct disk *disk = p->owner->parts.disk;
    bool has_source = p->spec.upload.has_source;
    struct buf path;

    if (p->token == 0)
        return has_source ? disk_scratch_clear(disk, p->video, 0, "source")
                          : disk_scratch_remove(disk, p->video);
    /* The source may be in an older lease's yet. */
    buf_init(&path, 4096);
    int err = disk_scratch(disk, p->video, p->token, &path);
    if (err == OK)
        err = disk_scratch_clear(disk, p->video, p->token, has_source ? "source" : "");
    buf_deinit(&path);
    return err;
}

/* The next attempt will publish under another key. What fails by its input's fault
 * was never published; to remove what is under the key then could hit what a newer
 * lease has published. */
static void clear_work(void *context)
{
    struct pipeline *p = context;

    p->is_stale = clear_attempt(p) == FAIL_STALE;
    if (p->token == 0 || (p->is_given_up && !p->is_stale))
        disk_unpublish(p->owner->parts.disk, p->spec.key);
}

static void attempt_cleared(struct pipeline *p)
{
    if (pipeline_forget(p, p->is_stale ? FAIL_STALE : OK))
        return;
    if (p->is_cancelled)
        pipeline_end_cancelled(p);
    else
        tell_failure(p);
}

static void tree_removed(void *context, int err, const char *why)
{
    struct pipeline *p = context;

    /* It goes when the job does. */
    if (err)
        log_warn("remains_kept", LOG_S("job", p->video), LOG_S("reason", fail_name(err)),
                 LOG_S("why", why));
    attempt_cleared(p);
}

/* Nobody but this attempt has had its key. */
static void cleared(void *context)
{
    struct pipeline *p = context;

    if (p->has_sent)
        trees_clear(p->owner->parts.storage, p->video, p->spec.key, TREE_REMOVED, tree_removed, p);
    else
        attempt_cleared(p);
}

static void note_failure(struct pipeline *p, int err, const char *why)
{
    pipeline_stop_converting(p);
    stop_following(p);
    p->err = err;
    if (why == NULL || *why == '\0')
        why = fail_text(err);
    if (why != p->why.data) {
        buf_reset(&p->why);
        buf_puts(&p->why, why);
    }
}

void pipeline_end_for_good(struct pipeline *p, int err, const char *why)
{
    note_failure(p, err, why);
    io_offload(p->owner->parts.loop, clear_work, cleared, p);
}

bool pipeline_is_inputs_fault(int err)
{
    return err == FAIL_SYNTAX || err == FAIL_UNSUPPORTED || err == FAIL_LIMIT;
}

int pipeline_storage_err(int err)
{
    return pipeline_is_inputs_fault(err) ? FAIL_IO : err;
}

/* Of several nodes another may do better, or this one later. */
void pipeline_end_failed(struct pipeline *p, int err, const char *why)
{
    if (p->token == 0 || pipeline_is_inputs_fault(err)) {
        pipeline_end_for_good(p, err, why);
        return;
    }
    note_failure(p, err, why);
    log_warn("job_retried", LOG_S("job", p->video), LOG_S("step", p->step->name),
             LOG_S("reason", fail_name(err)), LOG_S("why", buf_text(&p->why)));
    pipeline_leave(p, BOOK_RETRY);
}

/* One that is not being processed here */

struct ending {
    struct pipelines *owner;
    uint64_t token;
    char video[JOB_ID_MAX + 1];
};

static void upload_ended(void *context, int err)
{
    struct ending *e = context;

    /* A failed job stays failed: only its remains are cleared away. */
    if (err != FAIL_STALE && err != FAIL_CANCELLED)
        pipelines_clear(e->owner, e->video, e->token, "", TREES_REMOVED);
    pipelines_settled(e->owner);
    mem_free(e);
}

void pipelines_end_upload(struct pipelines *ps, const char *video, uint64_t token,
                          enum job_state state, const char *error)
{
    struct ending *e = mem_new(struct ending);
    struct change c;

    change_init(&c);
    c.state = (int)state;
    c.text[TEXT_MESSAGE] = error;
    c.text[TEXT_ERROR] = error;
    e->owner = ps;
    e->token = token;
    snprintf(e->video, sizeof(e->video), "%s", video);
    ps->pending++;
    ps->book->ops->end(ps->book,
                       &(struct book_end){ .video = e->video, .token = token, .change = &c },
                       upload_ended, e);
}
