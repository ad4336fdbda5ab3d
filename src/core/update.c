#include "core/update.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

void change_init(struct change *c)
{
    *c = (struct change){
        .state = CHANGE_KEEP_STATE,
        .fraction = CHANGE_KEEP_REAL,
        .stage_fraction = CHANGE_KEEP_REAL,
        .speed = CHANGE_KEEP_REAL,
        .eta_ms = CHANGE_KEEP_NUMBER,
        .bytes_done = CHANGE_KEEP_NUMBER,
        .bytes_total = CHANGE_KEEP_NUMBER,
        .file_size = CHANGE_KEEP_NUMBER,
    };
}

/* One block: the struct, then its texts. */
static struct update *build(const char *const text[UPDATE_TEXTS])
{
    size_t size = sizeof(struct update);

    for (int i = 0; i < UPDATE_TEXTS; i++)
        if (text[i] != NULL && *text[i])
            size += strlen(text[i]) + 1;
    struct update *u = mem_zalloc(size);
    char *at = (char *)(u + 1);
    for (int i = 0; i < UPDATE_TEXTS; i++) {
        if (text[i] == NULL || *text[i] == '\0')
            continue;
        size_t len = strlen(text[i]) + 1;
        memcpy(at, text[i], len);
        u->text[i] = at;
        at += len;
    }
    atomic_init(&u->refs, 1);
    return u;
}

static bool is_same(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

/* A reported fraction: in range, and not behind `least`. */
static double advance(double reported, double least)
{
    if (!isfinite(reported) || reported < 0)
        return least;
    if (reported > 1)
        reported = 1;
    return reported > least ? reported : least;
}

static int64_t number(int64_t reported, int64_t before)
{
    if (reported == CHANGE_KEEP_NUMBER)
        return before;
    return reported < 0 ? -1 : reported;
}

static bool is_allowed(const struct update *from, const struct change *c, enum job_state to)
{
    if (from == NULL)
        return c->text[TEXT_ID] != NULL;
    if (c->is_retry)
        return job_may_retry(from->state) && to == JOB_QUEUED;
    return job_may_move(from->state, to);
}

/* What is left of the texts before, then what the change says. */
static void merge_texts(const struct update *from, const struct change *c, enum job_state to,
                        const char *text[UPDATE_TEXTS])
{
    static const enum update_text of_one_attempt[] = { TEXT_STAGE,  TEXT_MESSAGE,  TEXT_ERROR,
                                                       TEXT_RESULT, TEXT_METADATA, TEXT_HLS_PATH,
                                                       TEXT_URL,    TEXT_STORAGE };

    for (int i = 0; i < UPDATE_TEXTS; i++)
        text[i] = from ? from->text[i] : NULL;
    if (c->is_retry)
        for (size_t i = 0; i < sizeof(of_one_attempt) / sizeof(*of_one_attempt); i++)
            text[of_one_attempt[i]] = NULL;
    for (int i = 0; i < UPDATE_TEXTS; i++)
        if (c->text[i] != NULL && (from == NULL || (i != TEXT_ID && i != TEXT_OWNER)))
            text[i] = c->text[i];
    if (to == JOB_COMPLETED)
        text[TEXT_STAGE] = "complete";
}

static void set_fractions(struct update *u, const struct update *from, const struct change *c)
{
    bool is_anew = from == NULL || c->is_retry;
    bool is_new_stage = is_anew || !is_same(u->text[TEXT_STAGE], from->text[TEXT_STAGE]);
    double least = is_anew || (is_new_stage && u->kind == JOB_EXTERNAL && c->fraction >= 0)
                       ? 0
                       : from->fraction;
    double stage_least = is_new_stage ? 0 : from->stage_fraction;
    double stage = c->stage_fraction;

    if (stage == CHANGE_KEEP_REAL && u->kind == JOB_EXTERNAL)
        stage = c->fraction;
    u->fraction = advance(c->fraction, least);
    u->stage_fraction = advance(stage, stage_least);
    if (c->fraction == UNKNOWN_FRACTION && u->fraction == 0)
        u->fraction = UNKNOWN_FRACTION;
    u->speed = c->speed != CHANGE_KEEP_REAL ? c->speed : is_new_stage ? -1 : from->speed;
    u->eta_ms = number(c->eta_ms, is_new_stage ? -1 : from->eta_ms);
}

static void set_final(struct update *u, const struct update *from)
{
    u->speed = -1;
    u->eta_ms = -1;
    if (u->state == JOB_COMPLETED) {
        u->fraction = 1;
        u->stage_fraction = 1;
    } else if (from != NULL) {
        u->fraction = from->fraction;
        u->stage_fraction = from->stage_fraction;
    }
}

int update_derive(const struct update *from, const struct change *c, uint64_t seq, int64_t now_ms,
                  struct update **out)
{
    const char *text[UPDATE_TEXTS];
    enum job_state to = c->state != CHANGE_KEEP_STATE ? (enum job_state)c->state
                        : from                        ? from->state
                                                      : JOB_QUEUED;

    assert(from == NULL || seq > from->seq);
    if (!is_allowed(from, c, to))
        return FAIL_STATE;
    merge_texts(from, c, to, text);

    struct update *u = build(text);
    u->state = to;
    u->is_start = to == JOB_PROCESSING && (from == NULL || from->state != to);
    u->kind = from ? from->kind : (enum job_kind)c->kind;
    u->seq = seq;
    u->created_ms = from ? from->created_ms : now_ms;
    u->time_ms = from && from->time_ms > now_ms ? from->time_ms : now_ms;
    u->bytes_done = number(c->bytes_done, from && !c->is_retry ? from->bytes_done : -1);
    u->bytes_total = number(c->bytes_total, from && !c->is_retry ? from->bytes_total : -1);
    u->file_size = number(c->file_size, from && !c->is_retry ? from->file_size : -1);
    set_fractions(u, from, c);
    if (job_is_final(to))
        set_final(u, from);
    *out = u;
    return OK;
}

struct update *update_restore(const struct change *fields, uint64_t seq, int64_t created_ms,
                              int64_t time_ms)
{
    struct update *u = build(fields->text);

    u->state = (enum job_state)fields->state;
    u->kind = (enum job_kind)fields->kind;
    u->seq = seq;
    u->created_ms = created_ms;
    u->time_ms = time_ms;
    u->fraction = fields->fraction;
    u->stage_fraction = fields->stage_fraction;
    u->speed = fields->speed;
    u->eta_ms = fields->eta_ms;
    u->bytes_done = fields->bytes_done;
    u->bytes_total = fields->bytes_total;
    u->file_size = fields->file_size;
    return u;
}

struct update *update_ref(struct update *u)
{
    atomic_fetch_add_explicit(&u->refs, 1, memory_order_relaxed);
    return u;
}

void update_unref(struct update **u)
{
    struct update *gone = *u;

    *u = NULL;
    if (gone == NULL || atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (int i = 0; i < UPDATE_FRAMES_MAX; i++) {
        struct msg *m = atomic_load_explicit(&gone->frames[i], memory_order_relaxed);
        msg_unref(&m);
    }
    mem_free(gone);
}

const char *update_text(const struct update *u, enum update_text which)
{
    return u->text[which] ? u->text[which] : "";
}

int percent_of(double fraction)
{
    if (!(fraction > 0))
        return 0;
    if (fraction >= 1)
        return 100;
    /* 0.29 * 100 is 28.999...: a hair is added so that 0.29 shows as 29. */
    int percent = (int)(fraction * 100 + 1e-9);
    return percent < 100 ? percent : 99;
}
