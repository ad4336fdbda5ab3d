/* A URL that leads to a file: one request, gone on with by Range where it broke off.
 *
 *   open ──> ask ──(it broke)──> wait ──> ask ... ──> whole: sync, rename
 *             └─(other than what was begun, or no ranges)──> ask from the first byte
 *
 * What was received lies in PATH.part, what says that it is still the same file
 * (RFC 9110, 13.1.5) in PATH.from. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "io/fetch.h"
#include "io/thread.h"
#include "media/download_read.h"
#include "media/downloads.h"
#include "media/sniff.h"
#include "media/task.h"

enum {
    TICK_MS = 200,
    TRIES_MAX = 6, /* in a row that bring nothing */
    ANEW_MAX = 4,  /* from the first byte */
    REDIRECTS_MAX = 10,
    ANSWER_MAX = 64 * 1024, /* of an error's body, which nobody reads */
    BACKOFF_MAX_MS = 10 * 1000,
    RETRY_AFTER_MAX_S = 60,
    VALIDATOR_MAX = 256,
    FROM_MAX = 1024,
    PATH_LIMIT = 4096,
};
static const uint64_t ROOM_STEP = UINT64_C(64) << 20;

/* What came of work on a worker thread. */
struct verdict {
    int err;
    bool is_page;
    const char *why; /* static */
};

struct direct {
    struct media_task task; /* first */
    struct download_request r;
    bool *is_page;
    char *part, *from, *path;
    int file;
    struct fetch *fetch; /* running, or NULL */
    uv_timer_t tick, retry;
    unsigned timers; /* not closed yet */
    uint64_t deadline_ms;
    uint64_t offset; /* of the running request's first byte */
    uint64_t high;   /* bytes, as shown: never less */
    double fraction; /* the same */
    uint64_t roomed; /* bytes that there is room for */
    int64_t total;   /* -1: not known */
    uint64_t had;    /* before the last request */
    unsigned tries, anew;
    char validator[VALIDATOR_MAX]; /* for If-Range; "": begin anew */
    char saving[FROM_MAX];         /* a worker thread's, while it writes that down */
    bool has_begun;                /* the last request has brought an answer's head */
    bool has_body;                 /* ... and what of the file is behind it */
    bool has_told, is_sniffed, is_saving, is_over, has_ended, must_begin_anew;
    unsigned busy;                    /* what is waited for: worker threads, a cancelled request */
    unsigned sniffed_of;              /* `anew` when the sniffing began */
    struct verdict sniffing, storing; /* each of one worker thread */
    int err;
    struct buf why;
};

static void ask(struct direct *d);
static void end(struct direct *d, int err, const char *why);

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

static void hand_over(struct direct *d, void (*work)(void *), void (*done)(void *))
{
    d->busy++;
    io_offload(d->r.loop, work, done, d);
}

/* True: it has ended meanwhile. */
static bool come_back(struct direct *d)
{
    d->busy--;
    if (d->is_over)
        finish(d);
    return d->is_over;
}

static void released(void *context)
{
    come_back(context);
}

/* Whatever runs is given up; the first reason counts. */
static void end(struct direct *d, int err, const char *why)
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
    d->fetch = NULL;
    if (running == NULL) {
        finish(d);
        return;
    }
    d->busy++; /* until `released` */
    fetch_cancel(running);
}

/* What it is, by its first bytes */

static void sniff(const struct direct *d, struct verdict *out)
{
    char *bytes = mem_alloc(SNIFF_BYTES);
    ssize_t len = pread(d->file, bytes, SNIFF_BYTES, 0);

    *out = (struct verdict){ .why = "the file cannot be read" };
    if (len < 0) {
        out->err = FAIL_IO;
    } else if (sniff_demuxer(bytes, (size_t)len, &out->why) == NULL) {
        out->is_page = download_is_page(bytes, (size_t)len);
        out->err = FAIL_UNSUPPORTED;
    }
    mem_free(bytes);
}

static void refuse(struct direct *d, const struct verdict *v)
{
    *d->is_page = v->is_page;
    end(d, v->err, v->why);
}

static void sniff_work(void *context)
{
    struct direct *d = context;

    sniff(d, &d->sniffing);
}

static void sniffed(void *context)
{
    struct direct *d = context;

    if (come_back(d))
        return;
    if (d->sniffed_of != d->anew)
        d->is_sniffed = false; /* it was cut short meanwhile */
    else if (d->sniffing.err)
        refuse(d, &d->sniffing);
}

/* How far it is */

static uint64_t received(const struct direct *d)
{
    return d->offset + (d->fetch ? fetch_received(d->fetch) : 0);
}

static int make_room(struct direct *d, uint64_t bytes)
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

static void tell(struct direct *d, uint64_t now)
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
    if (uv_now(d->r.loop) > d->deadline_ms) {
        end(d, FAIL_LIMIT, "the download takes too long");
        return;
    }
    if (d->fetch == NULL)
        return;
    if (d->total < 0 && make_room(d, now + 1) != OK) {
        end(d, FAIL_FULL, "there is no room for it");
        return;
    }
    if (!d->is_sniffed && now >= SNIFF_BYTES && d->busy == 0) {
        d->is_sniffed = true;
        d->sniffed_of = d->anew;
        hand_over(d, sniff_work, sniffed);
    }
    tell(d, now);
}

/* What is kept for the next start */

static void save_work(void *context)
{
    struct direct *d = context;
    int fd = open(d->from, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t len = strlen(d->saving);

    if (fd < 0)
        return;
    if (write(fd, d->saving, len) != (ssize_t)len)
        unlink(d->from);
    close(fd);
}

static void saved(void *context)
{
    ((struct direct *)context)->is_saving = false;
    come_back(context);
}

static void load(struct direct *d)
{
    char text[FROM_MAX];
    int fd = open(d->from, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text));
    uint64_t total;

    if (fd >= 0)
        close(fd);
    if (len <= 0)
        return;
    struct str rest = { text, (size_t)len };
    struct str first = str_cut(&rest, '\n'), validator = str_cut(&rest, '\n');
    if (validator.at == NULL || validator.len >= sizeof(d->validator))
        return;
    d->total = str_parse_u64(first, INT64_MAX, &total) == OK ? (int64_t)total : -1;
    snprintf(d->validator, sizeof(d->validator), "%.*s", STR_ARG(validator));
}

/* The answer's head */

static void keep_validator(struct direct *d, const struct fetch_answer *a)
{
    const char *etag = fetch_header_of(a, "ETag");
    const char *modified = fetch_header_of(a, "Last-Modified");
    const char *ranges = fetch_header_of(a, "Accept-Ranges");
    const char *best = etag != NULL && *etag == '"' ? etag : modified;

    d->validator[0] = '\0';
    if (best != NULL && strlen(best) < sizeof(d->validator) &&
        (ranges == NULL || strcmp(ranges, "none") != 0))
        snprintf(d->validator, sizeof(d->validator), "%s", best);
    if (d->is_saving)
        return;
    d->is_saving = true;
    snprintf(d->saving, sizeof(d->saving), "%lld\n%s\n", (long long)d->total, d->validator);
    hand_over(d, save_work, saved);
}

static void tell_info(struct direct *d, const struct fetch_answer *a)
{
    const char *disposition = fetch_header_of(a, "Content-Disposition");
    struct remote_info info = { .duration_ms = -1 };
    struct buf name, title;

    if (d->has_told)
        return;
    buf_init(&name, DOWNLOAD_URL_MAX);
    buf_init(&title, DOWNLOAD_URL_MAX);
    if (disposition == NULL || download_disposition_name(disposition, &name) != OK) {
        buf_reset(&name);
        download_url_name(a->url ? a->url : d->r.what->url, &name);
    }
    download_title_of(buf_str(&name), &title);
    size_t len = utf8_cut(buf_text(&title), title.len, sizeof(info.title) - 1);
    snprintf(info.title, sizeof(info.title), "%.*s", (int)len, buf_text(&title));
    buf_deinit(&name);
    buf_deinit(&title);
    d->r.events->info(d->r.context, &info);
    d->has_told = true;
}

static bool is_encoded(const struct fetch_answer *a)
{
    const char *encoding = fetch_header_of(a, "Content-Encoding");

    return encoding != NULL && *encoding != '\0' && strcmp(encoding, "identity") != 0;
}

/* Not OK: the request is given up, for d->why. */
static int check_size(struct direct *d)
{
    if (d->total > 0 && (uint64_t)d->total > d->r.settings->bytes_max) {
        buf_printf(&d->why, "it has %lld bytes, at most %llu are allowed", (long long)d->total,
                   (unsigned long long)d->r.settings->bytes_max);
        return FAIL_LIMIT;
    }
    if (d->total > 0 && make_room(d, (uint64_t)d->total) != OK) {
        buf_printf(&d->why, "there is no room for %lld bytes", (long long)d->total);
        return FAIL_FULL;
    }
    return OK;
}

static int begun_whole(struct direct *d, const struct fetch_answer *a)
{
    if (d->offset > 0) {
        d->must_begin_anew = true;
        return FAIL_STATE;
    }
    if (download_is_page_type(fetch_header_of(a, "Content-Type"))) {
        *d->is_page = true;
        buf_puts(&d->why, "this is a web page, not a video");
        return FAIL_UNSUPPORTED;
    }
    if (is_encoded(a)) {
        buf_puts(&d->why, "the server sends it compressed");
        return FAIL_UNSUPPORTED;
    }
    d->total = a->length;
    int err = check_size(d);
    if (err == OK) {
        tell_info(d, a);
        keep_validator(d, a);
    }
    return err;
}

static int begun_part(struct direct *d, const struct fetch_answer *a)
{
    const char *range = fetch_header_of(a, "Content-Range");
    uint64_t first;
    int64_t total;

    if (d->offset == 0 || range == NULL || is_encoded(a) ||
        download_content_range(range, &first, &total) != OK || first != d->offset ||
        (d->total >= 0 && total >= 0 && total != d->total)) {
        d->must_begin_anew = true;
        return FAIL_STATE;
    }
    if (total >= 0)
        d->total = total;
    int err = check_size(d);
    if (err == OK)
        tell_info(d, a);
    return err;
}

static int begun(void *context, const struct fetch_answer *a)
{
    struct direct *d = context;

    d->has_begun = true;
    d->has_body = a->status == 200 || a->status == 206;
    buf_reset(&d->why);
    if (a->status == 200)
        return begun_whole(d, a);
    return a->status == 206 ? begun_part(d, a) : OK;
}

/* Its end */

static void whole_work(void *context)
{
    struct direct *d = context;
    struct verdict *v = &d->storing;

    sniff(d, v);
    if (v->err)
        return;
    if (fsync(d->file) != 0 || rename(d->part, d->path) != 0)
        *v = (struct verdict){ .err = fail_from_errno(errno), .why = "it could not be stored" };
    else
        unlink(d->from);
}

static void whole(void *context)
{
    struct direct *d = context;

    if (come_back(d))
        return;
    if (d->storing.err) {
        refuse(d, &d->storing);
        return;
    }
    d->total = (int64_t)d->offset;
    d->fraction = 1;
    tell(d, d->offset);
    end(d, OK, "");
}

static void on_retry(uv_timer_t *timer)
{
    ask(timer->data);
}

static void try_again(struct direct *d, uint64_t wait_ms)
{
    uv_timer_start(&d->retry, on_retry, wait_ms, 0);
}

static void anew_work(void *context)
{
    struct direct *d = context;

    d->storing = (struct verdict){ .why = "it could not be stored" };
    if (ftruncate(d->file, 0) != 0)
        d->storing.err = fail_from_errno(errno);
    unlink(d->from);
}

static void ready(void *context)
{
    struct direct *d = context;

    if (come_back(d))
        return;
    if (d->storing.err)
        refuse(d, &d->storing);
    else
        ask(d);
}

static void begin_anew(struct direct *d)
{
    if (++d->anew > ANEW_MAX) {
        end(d, FAIL_UNSUPPORTED,
            "the connection broke too often, and the server does not go on "
            "where it did");
        return;
    }
    d->must_begin_anew = false;
    d->is_sniffed = false;
    d->offset = 0;
    d->total = -1;
    d->validator[0] = '\0';
    hand_over(d, anew_work, ready);
}

static bool is_passing(const struct fetch_answer *a)
{
    if (a->err)
        return a->err == FAIL_CLOSED || a->err == FAIL_IO || a->err == FAIL_TIMEOUT;
    return a->status == 408 || a->status == 429 ||
           (a->status >= 500 && a->status != 501 && a->status != 505);
}

static void give_up(struct direct *d, const struct fetch_answer *a)
{
    if (a->err == FAIL_FULL || (a->err == FAIL_LIMIT && d->why.len > 0)) {
        end(d, a->err, d->why.len ? buf_text(&d->why) : "there is no room for it");
        return;
    }
    bool is_redirected = a->err == FAIL_LIMIT && !d->has_begun;
    if (d->why.len == 0 && is_redirected)
        buf_puts(&d->why, "it was redirected too often");
    else if (d->why.len == 0 && a->err == FAIL_LIMIT)
        buf_printf(&d->why, "it is too large: at most %llu bytes are allowed",
                   (unsigned long long)d->r.settings->bytes_max);
    else if (d->why.len == 0 && a->err)
        buf_puts(&d->why, a->why);
    else if (d->why.len == 0)
        buf_printf(&d->why, "the server answered %d", a->status);
    end(d, a->err == FAIL_LIMIT && !is_redirected ? FAIL_LIMIT : FAIL_UNSUPPORTED,
        buf_text(&d->why));
}

/* Where the next request begins: behind what this one has brought. */
static void broken(struct direct *d, const struct fetch_answer *a)
{
    uint64_t wait_ms = UINT64_C(500) << (d->tries < 5 ? d->tries : 5);

    if (d->offset > d->had)
        d->tries = 0;
    d->had = d->offset;
    if (++d->tries >= TRIES_MAX) {
        give_up(d, a);
        return;
    }
    if (d->validator[0] == '\0' && d->offset > 0) {
        begin_anew(d);
        return;
    }
    if (wait_ms > BACKOFF_MAX_MS)
        wait_ms = BACKOFF_MAX_MS;
    if (a->err == OK && a->retry_after_s > 0)
        wait_ms = 1000 * (uint64_t)(a->retry_after_s < RETRY_AFTER_MAX_S ? a->retry_after_s
                                                                         : RETRY_AFTER_MAX_S);
    try_again(d, wait_ms / 2 + random_u64() % (wait_ms / 2 + 1));
}

/* Nothing was left to ask for. */
static bool is_all_there(const struct direct *d, const struct fetch_answer *a)
{
    return a->err == OK && a->status == 416 && d->total > 0 && d->offset == (uint64_t)d->total;
}

static void answered(void *context, const struct fetch_answer *a)
{
    struct direct *d = context;
    bool is_good = a->err == OK && (a->status == 200 || a->status == 206);

    if (d->has_body && !d->must_begin_anew)
        d->offset += fetch_received(d->fetch);
    d->fetch = NULL;
    if (d->must_begin_anew)
        begin_anew(d);
    else if ((is_good || is_all_there(d, a)) && (d->total < 0 || d->offset >= (uint64_t)d->total))
        hand_over(d, whole_work, whole);
    else if (is_good)
        broken(d, &(struct fetch_answer){ .err = FAIL_IO, .why = "the connection broke" });
    else if (a->err == OK && a->status == 416 && d->offset > 0)
        begin_anew(d);
    else if (d->why.len == 0 && is_passing(a))
        broken(d, a);
    else
        give_up(d, a);
}

/* Nothing more may come: it is there as a whole, or it is too large. */
static void stop_asking(struct direct *d)
{
    buf_reset(&d->why);
    if (d->total >= 0 && d->offset == (uint64_t)d->total)
        hand_over(d, whole_work, whole);
    else
        give_up(d, &(struct fetch_answer){ .err = FAIL_LIMIT });
}

static void ask(struct direct *d)
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
        .done = answered,
        .begun = begun,
        .released = released,
        .context = d,
    };

    if (d->is_over)
        return;
    if (d->offset >= d->r.settings->bytes_max) {
        stop_asking(d); /* a sink_max of 0 would be none */
        return;
    }
    d->has_begun = d->has_body = false;
    buf_reset(&d->why);
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
    load(d);
    d->offset = (uint64_t)st.st_size;
    bool is_usable = d->validator[0] != '\0' && d->offset < d->r.settings->bytes_max &&
                     (d->total < 0 || d->offset <= (uint64_t)d->total);
    if (!is_usable) {
        d->validator[0] = '\0';
        d->total = -1;
        d->offset = 0;
        anew_work(d);
    }
    d->had = d->roomed = d->offset;
}

static void cancel(struct media_task *t)
{
    end((struct direct *)t, FAIL_CANCELLED, "cancelled");
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
    hand_over(d, open_work, ready);
    *out = &d->task;
    return OK;
}
