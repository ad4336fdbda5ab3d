#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "scripted_store.h"

int set_up(void **state)
{
    struct world *w = mem_new(struct world);
    char name[] = "/tmp/reelay-store-XXXXXX";

    assert_int_equal(uv_loop_init(&w->loop), 0);
    w->file = mkstemp(name);
    assert_true(w->file >= 0);
    unlink(name);
    *state = w;
    return 0;
}

int tear_down(void **state)
{
    struct world *w = *state;

    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    close(w->file);
    mem_free(w);
    return 0;
}

void open_store(struct world *w, const char *url, const struct scripted_answer *script,
                size_t count, unsigned parallel, uint32_t patience_ms)
{
    char whole[300];
    struct buf why;
    struct storage_settings settings = {
        .url = whole, .public_url = "", .parallel = parallel, .patience_ms = patience_ms
    };

    scripted_start(&w->server, script, count);
    snprintf(whole, sizeof(whole), "%s%s", url, w->server.url);
    buf_init(&why, 1000);
    int err = storage_open(&w->loop, &settings, &w->storage, &why);
    assert_string_equal(buf_text(&why), "");
    assert_int_equal(err, OK);
    buf_deinit(&why);
}

void stop(struct world *w)
{
    storage_close(w->storage);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    scripted_stop(&w->server);
}

void wait_for(struct world *w)
{
    assert_int_equal(w->calls, 0);
    while (w->calls == 0)
        uv_run(&w->loop, UV_RUN_ONCE);
    assert_int_equal(w->calls, 1);
    w->calls = 0;
}

void hear(struct world *w, int err, const char *why)
{
    w->calls++;
    w->err = err;
    snprintf(w->why, sizeof(w->why), "%s", why ? why : "");
}

void on_done(void *context, int err, const char *why)
{
    hear(context, err, why);
}

void on_head(void *context, int err, const char *why, const struct storage_object *object)
{
    struct world *w = context;

    hear(w, err, why);
    w->size = object != NULL ? object->size : 0;
}

void on_get(void *context, int err, const char *why, uint64_t bytes)
{
    struct world *w = context;

    hear(w, err, why);
    w->bytes = bytes;
}

void on_read(void *context, int err, const char *why, struct str body)
{
    struct world *w = context;

    hear(w, err, why);
    snprintf(w->body, sizeof(w->body), "%.*s", STR_ARG(body));
}
