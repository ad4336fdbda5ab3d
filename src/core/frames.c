#include "core/frames.h"

#include <assert.h>

#include "base/err.h"
#include "proto/deflate.h"
#include "proto/ws.h"

/* Shared frames are compressed with the largest window: whoever negotiated a
 * smaller one is given the uncompressed framing instead. */
enum { SHARED_WINDOW_BITS = 15 };

/* Stands in the cache for "nothing to say". */
static struct msg nothing = { .refs = 1 };

static void put_compressed(struct buf *out, const char *bytes, size_t len)
{
    struct buf small;

    /* Only what is shorter than the plain text is worth inflating. */
    buf_init(&small, len);
    if (deflate_message(bytes, len, SHARED_WINDOW_BITS, &small) == OK && small.len < len)
        ws_append_frame(out, WS_FIN | WS_RSV1 | WS_TEXT, small.data, small.len);
    else
        ws_append_frame(out, WS_FIN | WS_TEXT, bytes, len);
    buf_deinit(&small);
}

static void put(struct buf *out, const char *at, size_t len, enum framing framing)
{
    switch (framing) {
    case FRAMING_WS_DEFLATE: put_compressed(out, at, len); break;
    case FRAMING_LINES:
        buf_append(out, at, len);
        buf_append(out, "\n", 1);
        break;
    case FRAMING_RECORDS:
        if (out->len > 0)
            buf_append(out, FRAMES_SEPARATOR, 1);
        buf_append(out, at, len);
        break;
    default: ws_append_frame(out, WS_FIN | WS_TEXT, at, len);
    }
}

struct msg *frames_pack(const struct words *words, enum framing framing)
{
    struct buf out;
    size_t begin = 0;

    assert(!words->bytes.failed);
    if (words->count == 0)
        return NULL;
    buf_init(&out, words->bytes.len + WORDS_MESSAGES_MAX * WS_HEAD_MAX);
    for (unsigned i = 0; i < words->count; i++) {
        const char *at = buf_text(&words->bytes) + begin;
        size_t len = words->ends[i] - begin;
        put(&out, at, len, framing);
        begin = words->ends[i] + 1;
    }
    struct msg *m = msg_new(out.data, out.len);
    buf_deinit(&out);
    return m;
}

static struct msg *render(const struct update *u, const struct dialect *dialect,
                          enum framing framing)
{
    struct words words;

    words_init(&words);
    dialect->render(u, &words);
    struct msg *m = frames_pack(&words, framing);
    words_deinit(&words);
    return m ? m : msg_ref(&nothing);
}

struct msg *frames_of(struct update *u, const struct dialect *dialect, enum framing framing)
{
    _Atomic(struct msg *) *slot = &u->frames[dialect->index * FRAMINGS + framing];
    struct msg *m = atomic_load_explicit(slot, memory_order_acquire);

    if (m == NULL) {
        struct msg *mine = render(u, dialect, framing);
        if (atomic_compare_exchange_strong_explicit(slot, &m, mine, memory_order_acq_rel,
                                                    memory_order_acquire))
            m = mine;
        else
            msg_unref(&mine);
    }
    return m->len ? m : NULL;
}
