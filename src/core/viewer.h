/* Who is on the other side of a connection, as far as jobs are concerned.
 * Immutable and reference-counted; any thread. */
#ifndef CORE_VIEWER_H
#define CORE_VIEWER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/update.h"

struct viewer {
    atomic_uint refs;
    bool sees_all;      /* no authentication is asked here, or scope admin */
    int64_t expires_ms; /* wall clock; 0: never */
    char subject[];     /* `sub`; "" when not authenticated */
};

struct viewer *viewer_new(const char *subject, bool sees_all, int64_t expires_ms);

/* Who came without a token where none is asked for: one for all of them. Gives
 * a reference. */
struct viewer *viewer_anyone(void);

struct viewer *viewer_ref(struct viewer *v);
void viewer_unref(struct viewer **v);

/* Own jobs, nobody's jobs, or all of them. */
bool viewer_may_see(const struct viewer *v, const struct update *u);

#endif
