/* The end of an answer: the file is whole, or is asked for again, from where it broke
 * off or from its first byte. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/err.h"
#include "media/download_direct.h"
#include "media/download_read.h"

enum {
    TRIES_MAX = 6, /* in a row that bring nothing */
    ANEW_MAX = 4,  /* from the first byte */
    BACKOFF_MAX_MS = 10 * 1000,
    RETRY_AFTER_MAX_S = 60,
};

static void whole_work(void *context)
{
    struct direct *d = context;
    struct verdict *v = &d->storing;

    direct_sniff(d, 0, v);
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

    if (direct_come_back(d))
        return;
    if (d->storing.err) {
        direct_refuse(d, &d->storing);
        return;
    }
    d->total = (int64_t)d->offset;
    d->fraction = 1;
    direct_tell(d, d->offset);
    direct_end(d, OK, "");
}

static void on_retry(uv_timer_t *timer)
{
    direct_ask(timer->data);
}

static void try_again(struct direct *d, uint64_t wait_ms)
{
    uv_timer_start(&d->retry, on_retry, wait_ms, 0);
}

void direct_truncate(void *context)
{
    struct direct *d = context;

    d->storing = (struct verdict){ .why = "it could not be stored" };
    if (ftruncate(d->file, 0) != 0)
        d->storing.err = fail_from_errno(errno);
    unlink(d->from);
}

void direct_go_on(void *context)
{
    struct direct *d = context;

    if (direct_come_back(d))
        return;
    if (d->storing.err)
        direct_refuse(d, &d->storing);
    else
        direct_ask(d);
}

static void begin_anew(struct direct *d)
{
    if (++d->anew > ANEW_MAX) {
        direct_end(d, FAIL_UNSUPPORTED,
                   "the connection broke too often, and the server does not go on "
                   "where it did");
        return;
    }
    d->must_begin_anew = false;
    d->is_sniffed = false;
    d->offset = 0;
    d->total = -1;
    d->validator[0] = '\0';
    direct_hand_over(d, direct_truncate, direct_go_on);
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
        direct_end(d, a->err, d->why.len ? buf_text(&d->why) : "there is no room for it");
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
    direct_end(d, a->err == FAIL_LIMIT && !is_redirected ? FAIL_LIMIT : FAIL_UNSUPPORTED,
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

/* Nothing was left to ask for. Where the length was not known, a 416 says it. */
static bool is_all_there(const struct direct *d, const struct fetch_answer *a)
{
    const char *range = fetch_header_of(a, "Content-Range");
    int64_t total = d->total;

    if (a->err || a->status != 416)
        return false;
    if (total < 0 && range != NULL)
        total = download_unsatisfied_range(range);
    return total > 0 && d->offset == (uint64_t)total;
}

void direct_answered(void *context, const struct fetch_answer *a)
{
    struct direct *d = context;
    bool is_good = a->err == OK && (a->status == 200 || a->status == 206);

    direct_count(d);
    if (d->has_body && !d->must_begin_anew)
        d->offset += fetch_received(d->fetch);
    d->fetch = NULL;
    if (d->must_begin_anew)
        begin_anew(d);
    else if ((is_good || is_all_there(d, a)) && (d->total < 0 || d->offset >= (uint64_t)d->total))
        direct_hand_over(d, whole_work, whole);
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
void direct_stop_asking(struct direct *d)
{
    buf_reset(&d->why);
    if (d->total >= 0 && d->offset == (uint64_t)d->total)
        direct_hand_over(d, whole_work, whole);
    else
        give_up(d, &(struct fetch_answer){ .err = FAIL_LIMIT });
}
