/* Which request goes where, and what holds for all of them: tokens, origins,
 * which methods there are. */
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "base/err.h"
#include "base/mem.h"
#include "proto/url.h"

static const struct route routes[] = {
    { HTTP_GET, "/health", POLICY_OPEN, health_get },
    { HTTP_GET, "/ready", POLICY_OPEN, health_ready },
    { HTTP_GET, "/metrics", POLICY_DOOR, metrics_get },
    { HTTP_POST, "/api/session", POLICY_OPEN, session_create },

    /* Document 000 */
    { HTTP_POST, "/streaming/create-video", POLICY_TOKEN, videos_create },
    { HTTP_POST, "/streaming/get-chunk-upload-url", POLICY_TOKEN, videos_chunk_url },
    { HTTP_POST, "/streaming/assemble-chunks", POLICY_TOKEN, videos_assemble },
    { HTTP_GET, "/streaming/uploads/{}", POLICY_TOKEN, videos_upload_state },
    { HTTP_PUT, "/uploads/{}/{}", POLICY_OPEN, chunks_put },
    /* Its policy is its own: 4001 instead of 401. */
    { HTTP_GET, "/socket/stream/progress/{}", POLICY_OPEN, door_stream },

    /* Document 001. Refused in oRPC's words, so the policy is its own, too. */
    { HTTP_POST, "/rpc/*", POLICY_OPEN, orpc_call },
    { HTTP_POST, "/orpc/*", POLICY_OPEN, orpc_call },
    { HTTP_POST, "/api/rpc/*", POLICY_OPEN, orpc_call },
    { HTTP_POST, "/api/orpc/*", POLICY_OPEN, orpc_call },
    { HTTP_POST, "/api/uploadVideo", POLICY_OPEN, orpc_call },
    { HTTP_POST, "/uploadVideo", POLICY_OPEN, orpc_call },
    { HTTP_GET | HTTP_POST, "/socket.io", POLICY_OPEN, door_socketio },
    { HTTP_GET, "/file-processing", POLICY_OPEN, door_plain },

    /* tus 1.0 */
    { HTTP_POST, "/files", POLICY_DOOR, tus_create, tus_greet },
    { HTTP_HEAD | HTTP_POST | HTTP_PATCH | HTTP_DELETE, "/files/{}", POLICY_DOOR, tus_upload,
      tus_greet },

    /* Documents 002, 003, 004 */
    { HTTP_GET, "/ws/download/{}", POLICY_OPEN, door_download },
    { HTTP_GET, "/ws/jobs/{}", POLICY_OPEN, door_jobs },
    { HTTP_GET, "/ws/progress", POLICY_OPEN, door_broadcast },
    { HTTP_POST, "/api/download", POLICY_DOOR, downloads_create },
    { HTTP_GET, "/api/status/{}", POLICY_DOOR, jobs_status },
    { HTTP_POST, "/jobs/create", POLICY_DOOR, jobs_create },

    { HTTP_GET, "/api/jobs", POLICY_DOOR, jobs_list },
    { HTTP_GET, "/api/jobs/{}", POLICY_DOOR, jobs_show },
    { HTTP_GET, "/api/jobs/{}/events", POLICY_DOOR, door_events },
    { HTTP_DELETE, "/api/jobs/{}", POLICY_DOOR, jobs_cancel },
    { HTTP_POST, "/api/jobs/{}/progress", POLICY_DOOR, jobs_report },

    { HTTP_GET, "/api/webhooks/deliveries", POLICY_DOOR, webhooks_list },
    { HTTP_POST, "/api/webhooks/deliveries/{}/replay", POLICY_DOOR, webhooks_replay },

    { HTTP_GET, "/videos/*", POLICY_PUBLIC, files_published },
    { HTTP_GET, "/*", POLICY_OPEN, files_page },
};

static void call_free(void *state)
{
    struct call *c = state;

    viewer_unref(&c->viewer);
    buf_deinit(&c->path_buf);
    mem_free(c->state);
    mem_free(c);
}

static bool take_segment(struct call *c, unsigned n, struct str segment)
{
    if (n >= CALL_SEGMENTS_MAX || segment.len == 0 || segment.len > JOB_ID_MAX)
        return false;
    memcpy(c->segments[n], segment.at, segment.len);
    c->segments[n][segment.len] = '\0';
    return true;
}

static bool matches(struct call *c, const char *pattern)
{
    struct str wants = str_of(pattern), path = c->path;
    unsigned n = 0;

    if (path.len > 1 && path.at[path.len - 1] == '/')
        path.len--;
    while (wants.at != NULL && path.at != NULL) {
        struct str want = str_cut(&wants, '/'), have = str_cut(&path, '/');
        if (str_equal(want, STR("*")))
            return true;
        if (str_equal(want, STR("{}"))) {
            if (!take_segment(c, n++, have))
                return false;
        } else if (!str_equal(want, have)) {
            return false;
        }
    }
    return wants.at == NULL && path.at == NULL;
}

/* The page and the published files match everything: they count only when
 * nothing more exact has the path. */
static bool is_catch_all(const struct route *r)
{
    return str_ends(str_of(r->pattern), STR("/*"));
}

/* What a path has, whichever method was asked for. */
struct found {
    const struct route *route; /* NULL: not with this method */
    unsigned methods;
    bool is_public;
    bool is_known; /* something else than the page's files has the path */
    void (*greet)(struct call *c, bool may_read);
};

static void find_route(struct call *c, unsigned method, struct found *f)
{
    *f = (struct found){ 0 };
    for (size_t i = 0; i < sizeof(routes) / sizeof(*routes); i++) {
        const struct route *r = &routes[i];
        if (f->route != NULL || !matches(c, r->pattern) || (is_catch_all(r) && f->methods != 0))
            continue;
        unsigned methods = r->methods | (r->methods & HTTP_GET ? HTTP_HEAD : 0u);
        f->methods |= methods;
        f->is_public |= r->policy == POLICY_PUBLIC;
        f->is_known |= !str_equal(str_of(r->pattern), STR("/*"));
        if (r->greet != NULL)
            f->greet = r->greet;
        if (methods & method)
            f->route = r;
    }
}

static void allow_header(struct call *c, const char *name, unsigned methods)
{
    static const enum http_method all[] = { HTTP_GET,   HTTP_HEAD,   HTTP_POST,   HTTP_PUT,
                                            HTTP_PATCH, HTTP_DELETE, HTTP_OPTIONS };
    struct buf value;

    buf_init(&value, 128);
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        if ((methods | HTTP_OPTIONS) & all[i])
            buf_printf(&value, "%s%s", value.len ? ", " : "", http_method_name(all[i]));
    exchange_header(c->x, name, buf_text(&value));
    buf_deinit(&value);
}

static void refuse_viewer(struct call *c, const char *why)
{
    exchange_header(c->x, "WWW-Authenticate", "Bearer");
    reply_error(c->x, 401, "token_required", NULL, "%s", why);
}

static bool needs_viewer(enum policy policy)
{
    return policy == POLICY_DOOR || policy == POLICY_TOKEN;
}

static void dispatch(struct call *c, const struct found *f)
{
    const struct http_request *request = exchange_request(c->x);
    const struct route *route = f->route;
    const char *why;

    if (route == NULL && !f->is_known && c->path.len > 1) {
        reply_error(c->x, 404, "not_found", NULL, "there is nothing at this path");
        return;
    }
    if (route == NULL) {
        allow_header(c, "Allow", f->methods);
        reply_error(c->x, 405, "method_not_allowed", NULL, "%s is not possible here",
                    http_method_name(request->method));
        return;
    }
    if (needs_viewer(route->policy)) {
        c->viewer = auth_viewer(c->api, request, route->policy, &why);
        if (c->viewer == NULL) {
            refuse_viewer(c, why);
            return;
        }
    }
    route->handle(c);
}

/* Any answer says who may read it, so this comes before the first. */
static void welcome(struct call *c, const struct found *f)
{
    bool is_options = exchange_request(c->x)->method == HTTP_OPTIONS;

    bool may_read = origin_may_read(c, f->is_public);
    if (may_read && is_options)
        allow_header(c, "Access-Control-Allow-Methods", f->methods);
    if (f->greet != NULL)
        f->greet(c, may_read);
    exchange_keep_headers(c->x);
    if (!origin_may_enter(c))
        return;
    if (is_options) {
        allow_header(c, "Allow", f->methods);
        exchange_reply(c->x, f->greet != NULL ? 200 : 204, NULL, NULL);
        return;
    }
    dispatch(c, f);
}

static int read_path(struct call *c)
{
    struct buf decoded;

    if (str_equal(exchange_request(c->x)->target, STR("*"))) {
        buf_puts(&c->path_buf, "/");
        return OK;
    }
    buf_init(&decoded, HTTP_TARGET_MAX);
    int err = url_decode(exchange_request(c->x)->path, false, &decoded);
    if (err == OK)
        err = url_normalize_path(buf_str(&decoded), &c->path_buf);
    buf_deinit(&decoded);
    return err;
}

void api_handle(void *context, struct exchange *x)
{
    struct call *c = mem_new(struct call);
    struct found found;

    c->api = context;
    c->x = x;
    buf_init(&c->path_buf, HTTP_TARGET_MAX);
    exchange_attach(x, c, call_free);
    if (read_path(c) != OK) {
        origin_may_read(c, false);
        reply_error(x, 400, "invalid_path", NULL, "the path is not valid");
        return;
    }
    c->path = buf_str(&c->path_buf);
    find_route(c, exchange_request(x)->method, &found);
    welcome(c, &found);
}
