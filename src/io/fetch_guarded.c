/* A fetcher that goes where its guard admits: not in fetcher.c, so that what needs no
 * guard links without one. */
#include "io/fetch_internal.h"
#include "io/guard.h"

static bool admits(const void *context, const char *host, const struct sockaddr *to)
{
    return guard_admits(context, host, to);
}

struct fetcher *fetcher_new_guarded(uv_loop_t *loop, const char *ca_file, const struct guard *guard)
{
    struct fetcher *f = fetcher_new(loop, ca_file);

    fetcher_set_gate(f, admits, guard);
    return f;
}
