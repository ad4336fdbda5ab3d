/* Words as they go over the wire, rendered at most once per update, dialect
 * and framing, then shared by reference with every socket. */
#ifndef CORE_FRAMES_H
#define CORE_FRAMES_H

#include "base/msg.h"
#include "core/dialect.h"
#include "core/update.h"

enum framing {
    FRAMING_WS,         /* RFC 6455 text frames */
    FRAMING_WS_DEFLATE, /* the same, compressed by RFC 7692 where it is shorter */
    FRAMING_LINES,      /* as they are, a newline behind each: server-sent events, polls */
    FRAMING_RECORDS,    /* 0x1e between them: Engine.IO's payloads */
    FRAMINGS
};

/* Between two records: the Engine.IO protocol, "Payload encoding". */
#define FRAMES_SEPARATOR "\x1e"

_Static_assert(DIALECTS_MAX *FRAMINGS <= UPDATE_FRAMES_MAX, "the rendering cache is too small");

/* The update's messages, framed; NULL when the dialect has nothing to say about
 * it. Borrowed: lives as long as the update. Any thread: two that race render
 * twice and one copy wins. */
struct msg *frames_of(struct update *u, const struct dialect *dialect, enum framing framing);

/* Words that are not an update's, framed; NULL when there are none. Gives a
 * reference. */
struct msg *frames_pack(const struct words *words, enum framing framing);

#endif
