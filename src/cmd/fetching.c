#include "cmd/fetching.h"

#include "base/err.h"

enum { WHY_MAX = 1024 };

void fetching_settings(const struct serve_options *o, struct download_settings *out)
{
    *out = (struct download_settings){ .yt_dlp = o->yt_dlp,
                                       .bytes_max = o->download_max,
                                       .timeout_ms = o->download_timeout_ms,
                                       .stall_ms = o->download_stall_ms,
                                       .memory_max = o->memory_max,
                                       .at_a_time = (unsigned)o->downloads };
}

int fetching_open(uv_loop_t *loop, const struct serve_options *o, struct fetching *out,
                  struct buf *why)
{
    const struct guard_rules rules = {
        .deny = o->download_deny.items,
        .deny_count = o->download_deny.count,
        .allow = o->download_allow.items,
        .allow_count = o->download_allow.count,
        .only = o->download_only.items,
        .only_count = o->download_only.count,
    };

    if (o->downloads == 0)
        return OK;
    struct buf text;
    buf_init(&text, WHY_MAX);
    int err = guard_new(&rules, &out->guard, &text);
    if (err)
        buf_printf(why, "--download-%s", text.len ? buf_text(&text) : fail_text(err));
    buf_deinit(&text);
    if (err == OK)
        out->fetcher = fetcher_new_guarded(loop, NULL, out->guard);
    return err;
}

void fetching_close(struct fetching *f)
{
    if (f->fetcher != NULL)
        fetcher_close(f->fetcher);
    f->fetcher = NULL;
}

void fetching_free(struct fetching *f)
{
    if (f->guard != NULL)
        guard_free(f->guard);
    f->guard = NULL;
}
