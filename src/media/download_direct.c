/* A URL that leads to a file: one request, gone on with by Range where it broke off.
 *
 *   open ──> ask ──(it broke)──> wait ──> ask ... ──> whole: sync, rename
 *             └─(other than what was begun, or no ranges)──> ask from the first byte
 *
 * What was received lies in PATH.part, what says that it is still the same file
 * (RFC 9110, 13.1.5) in PATH.from. */
#include "media/download_direct.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "core/counters.h"
#include "io/thread.h"
#include "media/download_read.h"
#include "media/sniff.h"

enum {
    TICK_MS = 200,
    REDIRECTS_MAX = 10,
    ANSWER_MAX = 64 * 1024, /* of an error's body, which nobody reads */
    PATH_LIMIT = 4096,
};
static const uint64_t ROOM_STEP = UINT64_C(64) << 20;

/* The end */

static void on_closed(uv_handle_t *handle)
{
    struct direct *d = handle->data;

    if (--d->timers > 0)
        return;
    d->r.events->done(d->r.context, d->err, buf_text(&d->why));
    buf_deinit(&d->why);
    mem_free(d->part);
    mem_free(d->from);
    mem_free(d->path);
    mem_free(d);
}

static void close_work(void *context)
{
    struct direct *d = context;

    if (d->file >= 0)
        close(d->file);
}

static void closed(void *context)
{
    struct direct *d = context;

    uv_close((uv_handle_t *)&d->tick, on_closed);
    uv_close((uv_handle_t *)&d->retry, on_closed);
}

/* Nothing runs any more. */
static void finish(struct direct *d)
{
    if (d->busy > 0 || d->has_ended)
        return;
    d->has_ended = true;
    uv_timer_stop(&d->tick);
    uv_timer_stop(&d->retry);
    io_offload(d->r.loop, close_work, closed, d);
}

void direct_hand_over(struct direct *d, void (*work)(void *), void (*done)(void *))
{
    d->busy++;
    io_offload(d->r.loop, work, done, d);
}

/* True: it has ended meanwhile. */
bool direct_come_back(struct direct *d)
{
    d->busy--;
    if (d->is_over)
        finish(d);
    return d->is_over;
}

static void released(void *context)
{
    direct_come_back(context);
}

void direct_count(struct direct *d)
{
    uint64_t now = d->fetch != NULL ? fetch_received(d->fetch) : d->counted;

    counter_add(COUNT_DOWNLOADED, (int64_t)(now - d->counted));
    d->counted = now;
}

/* Whatever runs is given up; the first reason counts. */
void direct_end(struct direct *d, int err, const char *why)
{
    struct fetch *running = d->fetch;

    if (d->is_over)
        return;
    d->is_over = true;
    d->err = err;
    if (why != buf_text(&d->why)) {
        buf_reset(&d->why);
        buf_puts(&d->why, why);
    }
    direct_count(d);
    d->fetch = NULL;
    if (running == NULL) {
        finish(d);
        return;
    }
    d->busy++; /* until `released` */
    fetch_cancel(running);
}

/* What it is, by its first bytes */

void direct_sniff(const struct direct *d, size_t least, struct verdict *out)
{
    char *bytes = mem_alloc(SNIFF_BYTES);
    ssize_t len = pread(d->file, bytes, SNIFF_BYTES, 0);

    *out = (struct verdict){ .why = "the file cannot be read" };
    if (len < 0) {
        out->err = FAIL_IO;
    } else if ((size_t)len < least) {
        out->is_early = true;
    } else if (sniff_demuxer(bytes, (size_t)len, &out->why) == NULL) {
        out->is_page = download_is_page(bytes, (size_t)len);
        out->err = FAIL_UNSUPPORTED;
    }
    mem_free(bytes);
}

void direct_refuse(struct direct *d, const struct verdict *v)
{
    *d->is_page = v->is_page;
    direct_end(d, v->err, v->why);
}

/* What was received may be on its way to the disk, on another worker thread. */
static void sniff_work(void *context)
{
    struct direct *d = context;

    direct_sniff(d, SNIFF_BYTES, &d->sniffing);
}

static void sniffed(void *context)
{
    struct direct *d = context;

    if (direct_come_back(d))
        return;
    if (d->sniffed_of != d->anew || d->sniffing.is_early)
        d->is_sniffed = false; /* it was cut short meanwhile, or is not there yet */
    else if (d->sniffing.err)
        direct_refuse(d, &d->sniffing);
}

/* How far it is */

static uint64_t received(const struct direct *d)
{
    return d->offset + (d->fetch ? fetch_received(d->fetch) : 0);
}

int direct_make_room(struct direct *d, uint64_t bytes)
{
    while (d->roomed < bytes) {
        uint64_t step = d->total > 0 ? (uint64_t)d->total - d->roomed : ROOM_STEP;
        int err = d->r.events->room(d->r.context, step ? step : ROOM_STEP);
        if (err)
            return err;
        d->roomed += step ? step : ROOM_STEP;
    }
    return OK;
}

void direct_tell(struct direct *d, uint64_t now)
{
    double fraction;

    if (now > d->high)
        d->high = now;
    fraction = d->total > 0 ? (double)d->high / (double)d->total : download_guess(d->high);
    if (fraction > d->fraction)
        d->fraction = fraction < 1 ? fraction : 1;
    if (d->total >= 0 && d->high > (uint64_t)d->total)
        d->high = (uint64_t)d->total;
    if (d->has_told)
        d->r.events->progress(d->r.context, &(struct download_progress){ .fraction = d->fraction,
                                                                         .done = (int64_t)d->high,
                                                                         .total = d->total });
}

static void on_tick(uv_timer_t *timer)
{
    struct direct *d = timer->data;
    uint64_t now = received(d);

    if (d->is_over)
        return;
    direct_count(d);
    if (uv_now(d->r.loop) > d->deadline_ms) {
        direct_end(d, FAIL_LIMIT, "the download takes too long");
        return;
    }
    if (d->fetch == NULL)
        return;
    if (d->total < 0 && direct_make_room(d, now + 1) != OK) {
        direct_end(d, FAIL_FULL, "there is no room for it");
        return;
    }
    if (!d->is_sniffed && now >= SNIFF_BYTES && d->busy == 0) {
        d->is_sniffed = true;
        d->sniffed_of = d->anew;
        direct_hand_over(d, sniff_work, sniffed);
    }
    direct_tell(d, now);
}

/* Asking */

void direct_ask(struct direct *d)
{
    const struct fetch_header headers[] = {
        { "Accept-Encoding", "identity" },
        { "If-Range", d->validator },
    };
    struct fetch_request request = {
        .method = "GET",
        .url = d->r.what->url,
        .headers = headers,
        .header_count = d->offset > 0 ? 2 : 1,
        .answer_max = ANSWER_MAX,
        .has_sink = true,
        .sink = d->file,
        .sink_at = d->offset,
        .sink_max = d->r.settings->bytes_max - d->offset,
        .redirects_max = REDIRECTS_MAX,
        .is_range = d->offset > 0,
        .range_from = d->offset,
        .range_to = UINT64_MAX,
        .stall_ms = d->r.settings->stall_ms,
        .done = direct_answered,
        .begun = direct_begun,
        .released = released,
        .context = d,
    };

    if (d->is_over)
        return;
    if (d->offset >= d->r.settings->bytes_max) {
        direct_stop_asking(d); /* a sink_max of 0 would be none */
        return;
    }
    d->has_begun = d->has_body = false;
    buf_reset(&d->why);
    d->counted = 0;
    d->fetch = fetch_start(d->r.fetcher, &request);
}

/* The beginning */

static void open_work(void *context)
{
    struct direct *d = context;
    struct stat st;

    d->file = open(d->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (d->file < 0 || fstat(d->file, &st) != 0) {
        d->storing =
            (struct verdict){ .err = fail_from_errno(errno), .why = "the file could not be made" };
        return;
    }
    direct_load(d);
    d->offset = (uint64_t)st.st_size;
    bool is_usable = d->validator[0] != '\0' && d->offset < d->r.settings->bytes_max &&
                     (d->total < 0 || d->offset <= (uint64_t)d->total);
    if (!is_usable) {
        d->validator[0] = '\0';
        d->total = -1;
        d->offset = 0;
        direct_truncate(d);
    }
    d->had = d->roomed = d->offset;
}

static void cancel(struct media_task *t)
{
    direct_end((struct direct *)t, FAIL_CANCELLED, "cancelled");
}

static char *beside(const char *path, const char *ending)
{
    struct buf name;

    buf_init(&name, PATH_LIMIT);
    buf_printf(&name, "%s%s", path, ending);
    return buf_take(&name);
}

int download_direct_start(const struct download_request *request, bool *is_page,
                          struct media_task **out)
{
    struct direct *d = mem_new(struct direct);

    d->task.cancel = cancel;
    d->r = *request;
    d->is_page = is_page;
    *is_page = false;
    d->path = mem_strdup(request->path);
    d->part = beside(request->path, ".part");
    d->from = beside(request->path, ".from");
    d->file = -1;
    d->total = -1;
    d->timers = 2;
    buf_init(&d->why, MEDIA_WHY_MAX);
    uv_timer_init(d->r.loop, &d->tick);
    uv_timer_init(d->r.loop, &d->retry);
    d->tick.data = d->retry.data = d;
    d->deadline_ms = uv_now(d->r.loop) + d->r.settings->timeout_ms;
    uv_timer_start(&d->tick, on_tick, TICK_MS, TICK_MS);
    direct_hand_over(d, open_work, direct_go_on);
    *out = &d->task;
    return OK;
}
