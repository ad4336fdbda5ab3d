#include "io/redis_lookup.h"

#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/redis_wire.h"

struct wire_lookup {
    union {
        uv_req_t any;
        uv_work_t load;
        uv_getaddrinfo_t resolve;
    } request;
    struct wire *wire; /* NULL: nobody waits for it any more */
    char *host;
    char port[8];
    struct redis_settings settings; /* the worker thread's own copy */
    struct tls_trust *trust;
    int err;
    struct buf why;
};

static void lookup_free(struct wire_lookup *l)
{
    if (l->wire != NULL)
        l->wire->lookup = NULL;
    tls_trust_free(l->trust);
    settings_deinit(&l->settings);
    buf_deinit(&l->why);
    mem_free(l->host);
    mem_free(l);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    struct wire_lookup *l = request->data;
    struct wire *w = l->wire;
    struct tls_trust *trust = l->trust;

    if (w == NULL || w->state != WIRE_RESOLVING) {
        uv_freeaddrinfo(addresses);
        lookup_free(l);
        return;
    }
    w->lookup = NULL;
    l->wire = NULL;
    if (status == 0) {
        l->trust = NULL;
        wire_found(w, addresses, trust);
    } else {
        buf_printf(&l->why, "%s: %s", l->host, uv_strerror(status));
        wire_not_found(w, FAIL_CLOSED, buf_text(&l->why));
    }
    lookup_free(l);
}

static int resolve(struct wire_lookup *l, uv_loop_t *loop)
{
    static const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };

    l->request.resolve.data = l;
    return uv_getaddrinfo(loop, &l->request.resolve, on_resolved, l->host, l->port, &hints);
}

static void on_load(uv_work_t *request)
{
    struct wire_lookup *l = request->data;

    l->err = tls_trust_load(&l->settings, &l->trust, &l->why);
}

static void on_loaded(uv_work_t *request, int status)
{
    struct wire_lookup *l = request->data;
    struct wire *w = l->wire;

    if (w == NULL) { /* also if it was cancelled */
        lookup_free(l);
        return;
    }
    if (l->err == OK)
        status = resolve(l, w->loop);
    if (l->err == OK && status == 0)
        return;
    if (status != 0)
        buf_puts(&l->why, uv_strerror(status));
    w->lookup = NULL;
    l->wire = NULL;
    if (w->state == WIRE_RESOLVING)
        wire_not_found(w, FAIL_IO, buf_text(&l->why));
    lookup_free(l);
}

static int begin(struct wire_lookup *l, const struct wire *w)
{
    if (!w->url.is_tls)
        return resolve(l, w->loop);
    l->request.load.data = l;
    return uv_queue_work(w->loop, &l->request.load, on_load, on_loaded);
}

int lookup_start(struct wire *w)
{
    struct wire_lookup *l;
    int status;

    if (w->lookup != NULL)
        return 0;
    l = mem_new(struct wire_lookup);
    l->host = mem_strdup(w->url.hosts[0].name);
    snprintf(l->port, sizeof(l->port), "%u", w->url.hosts[0].port);
    settings_copy(&w->settings, &l->settings);
    buf_init(&l->why, WIRE_WHY_MAX);
    status = begin(l, w);
    if (status != 0) {
        lookup_free(l);
        return status;
    }
    l->wire = w;
    w->lookup = l;
    return 0;
}

void lookup_abandon(struct wire *w)
{
    if (w->lookup == NULL)
        return;
    w->lookup->wire = NULL;
    uv_cancel(&w->lookup->request.any);
    w->lookup = NULL;
}
