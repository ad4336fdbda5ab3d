/*
 *   idle -> asking (for a URL) -> putting -> idle
 *              \______ waiting ______/
 */
#include "cmd/upload_chunks.h"

#include <string.h>

#include "base/clock.h"
#include "base/emit.h"
#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"
#include "cmd/pace.h"
#include "core/limits.h"

enum {
    TRIES = 10, /* of one chunk: with the waits between them some three minutes */
    BACKOFF_MAX_MS = 30 * 1000,
    RETRY_AFTER_MAX_S = 120,
    STALL_MS = 60 * 1000,
    TICK_MS = 100,
    ANSWER_MAX = 64 * 1024,
    MIB = 1024 * 1024,
};

enum slot_step { SLOT_IDLE, SLOT_ASKING, SLOT_PUTTING, SLOT_WAITING };

struct slot {
    struct sending *sending;
    enum slot_step step;
    uint32_t index;
    unsigned tries;
    uint64_t again_ms; /* monotonic, when waiting */
    struct fetch *fetch;
};

struct sending {
    struct client *client;
    struct upload_plan *plan;
    struct client_answer *out;
    struct slot slots[UPLOAD_PARALLEL_MAX];
    uint32_t next;   /* no chunk before it is neither there nor in a slot */
    uint32_t left;   /* chunks the server does not have */
    bool is_over;    /* `out` says why */
    bool must_login; /* the session has expired */
};

uint64_t upload_chunk_length(const struct upload_plan *plan, uint32_t index)
{
    uint64_t from = index * plan->chunk_size;

    return plan->size - from < plan->chunk_size ? plan->size - from : plan->chunk_size;
}

uint64_t upload_bytes_there(const struct upload_plan *plan)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < plan->count; i++)
        if (plan->has[i])
            bytes += upload_chunk_length(plan, i);
    return bytes;
}

uint64_t upload_chunk_size(uint64_t size, uint64_t wanted)
{
    if (size <= wanted * CHUNKS_MAX)
        return wanted;
    uint64_t least = (size + CHUNKS_MAX - 1) / CHUNKS_MAX;
    return (least + MIB - 1) / MIB * MIB;
}

/* An answer that is not good has no body to own. */
static void give_up(struct sending *s, const struct client_answer *a)
{
    *s->out = *a;
    s->out->json = NULL;
    s->is_over = true;
}

static void try_again(struct slot *slot, const struct client_answer *a, int64_t retry_after_s)
{
    struct sending *s = slot->sending;
    uint64_t wait_ms = client_backoff_ms(slot->tries, BACKOFF_MAX_MS, random_u64());

    if (++slot->tries >= TRIES) {
        give_up(s, a);
        return;
    }
    if (retry_after_s > 0 && retry_after_s <= RETRY_AFTER_MAX_S)
        wait_ms = (uint64_t)retry_after_s * 1000 + wait_ms / 4;
    slot->step = SLOT_WAITING;
    slot->again_ms = clock_mono_ms() + wait_ms;
}

/* What an answer that is not good means. */
static void fail(struct slot *slot, const struct fetch_answer *from, struct client_answer *a)
{
    struct sending *s = slot->sending;
    bool is_expired = strcmp(a->code, "url_expired") == 0; /* it lay in the queue too long */

    slot->step = SLOT_IDLE;
    if (s->is_over)
        return;
    if (a->status == 401 && s->client->has_session) {
        s->must_login = true;
        try_again(slot, a, 0);
    } else if (is_expired || client_is_transient(a->err, a->status)) {
        try_again(slot, a, from->retry_after_s);
    } else {
        give_up(s, a);
    }
}

static void put_done(void *context, const struct fetch_answer *from)
{
    struct slot *slot = context;
    struct sending *s = slot->sending;
    struct client_answer a;

    slot->fetch = NULL;
    client_answer_read(s->client, from, &a);
    if (client_is_good(&a)) {
        s->plan->has[slot->index] = true;
        s->left--;
        slot->step = SLOT_IDLE;
    } else {
        if (from->err == FAIL_STATE) /* ours, not the server's */
            snprintf(a.why, sizeof(a.why), "%s", from->why);
        fail(slot, from, &a);
    }
    client_answer_free(&a);
}

/* The URL is its own credential: the token stays here. */
static void put_chunk(struct slot *slot, const char *url)
{
    struct sending *s = slot->sending;
    const struct upload_plan *plan = s->plan;

    slot->step = SLOT_PUTTING;
    slot->fetch =
        fetch_start(s->client->fetcher, &(struct fetch_request){
                                            .method = "PUT",
                                            .url = url,
                                            .content_type = "application/octet-stream",
                                            .has_file = true,
                                            .file = plan->file,
                                            .offset = slot->index * plan->chunk_size,
                                            .length = upload_chunk_length(plan, slot->index),
                                            .answer_max = ANSWER_MAX,
                                            .stall_ms = STALL_MS,
                                            .done = put_done,
                                            .context = slot,
                                        });
}

static void url_done(void *context, const struct fetch_answer *from)
{
    struct slot *slot = context;
    struct sending *s = slot->sending;
    struct client_answer a;

    slot->fetch = NULL;
    client_answer_read(s->client, from, &a);
    const char *url = client_text(a.json, "upload_url");
    if (url != NULL) {
        put_chunk(slot, url);
    } else {
        if (client_is_good(&a)) {
            a.status = 0;
            a.err = FAIL_SYNTAX;
            snprintf(a.why, sizeof(a.why), "the server's answer has no upload_url");
        }
        fail(slot, from, &a);
    }
    client_answer_free(&a);
}

static void ask_url(struct slot *slot)
{
    struct sending *s = slot->sending;
    struct buf body;

    buf_init(&body, 4096);
    emit_open(&body, '{');
    emit_field_string(&body, "videoId", s->plan->video);
    emit_field_int(&body, "chunkIndex", slot->index);
    emit_field_int(&body, "totalChunks", s->plan->count);
    emit_close(&body, '}');
    slot->step = SLOT_ASKING;
    slot->fetch = client_begin(s->client, "POST", "/streaming/get-chunk-upload-url/",
                               buf_text(&body), url_done, slot);
    buf_deinit(&body);
}

static bool take_next(struct sending *s, struct slot *slot)
{
    while (s->next < s->plan->count && s->plan->has[s->next])
        s->next++;
    if (s->next == s->plan->count)
        return false;
    slot->index = s->next++;
    slot->tries = 0;
    return true;
}

static void advance(struct sending *s)
{
    uint64_t now_ms = clock_mono_ms();

    for (unsigned i = 0; i < s->plan->parallel; i++) {
        struct slot *slot = &s->slots[i];
        if (slot->step == SLOT_WAITING && now_ms >= slot->again_ms)
            ask_url(slot);
        else if (slot->step == SLOT_IDLE && take_next(s, slot))
            ask_url(slot);
    }
}

static uint64_t bytes_sent(const struct sending *s)
{
    uint64_t bytes = upload_bytes_there(s->plan);

    for (unsigned i = 0; i < s->plan->parallel; i++)
        if (s->slots[i].step == SLOT_PUTTING && s->slots[i].fetch != NULL)
            bytes += fetch_sent(s->slots[i].fetch);
    return bytes;
}

static void show(const struct sending *s, struct bar *bar, struct pace *pace,
                 void (*draw)(struct bar *bar, const struct bar_state *state))
{
    uint64_t done = bytes_sent(s), total = s->plan->size;

    pace_note(pace, clock_mono_ms(), done);
    double speed = pace_per_second(pace);
    draw(bar, &(struct bar_state){
                  .state = "uploading",
                  .stage = "uploading",
                  .fraction = (double)done / (double)total,
                  .unit = BAR_BYTES,
                  .speed = speed,
                  .eta_s = pace_eta_s(speed, total - done),
                  .done = done,
                  .total = total,
              });
}

static void stop(struct sending *s)
{
    for (unsigned i = 0; i < UPLOAD_PARALLEL_MAX; i++) {
        if (s->slots[i].fetch != NULL)
            fetch_cancel(s->slots[i].fetch);
        s->slots[i].fetch = NULL;
    }
}

static void login(struct sending *s)
{
    struct client_answer answer;

    s->must_login = false;
    client_login(s->client, &answer);
    client_answer_free(&answer);
}

void upload_chunks(struct client *c, struct bar *bar, struct upload_plan *plan,
                   struct client_answer *out)
{
    struct sending *s = mem_new(struct sending);
    struct pace pace = { 0 };

    s->client = c;
    s->plan = plan;
    s->out = out;
    *out = (struct client_answer){ .status = 200 };
    for (uint32_t i = 0; i < plan->count; i++)
        s->left += plan->has[i] ? 0 : 1;
    for (unsigned i = 0; i < UPLOAD_PARALLEL_MAX; i++)
        s->slots[i].sending = s;
    while (s->left > 0 && !s->is_over) {
        advance(s);
        show(s, bar, &pace, bar_show);
        if (!client_run(c, TICK_MS)) {
            *out = (struct client_answer){ .err = FAIL_CANCELLED, .why = "interrupted" };
            break;
        }
        if (s->must_login)
            login(s);
    }
    stop(s);
    show(s, bar, &pace, bar_show_now);
    mem_free(s);
}
