#include "api/api.h"
#include "base/clock.h"
#include "base/err.h"
#include "proto/url.h"

/* The token as it came; empty if there is none. */
static void find_token(const struct http_request *request, struct buf *out)
{
    struct str field = http_header(request, "Authorization");
    struct str scheme = str_cut(&field, ' ');

    if (str_equal_nocase(scheme, STR("Bearer"))) {
        struct str token = str_trim(field);
        buf_append(out, token.at, token.len);
        return;
    }
    if (url_query_get(request->query, "token", out) != OK)
        buf_reset(out);
}

static const char *explain(int err)
{
    return err == FAIL_TIMEOUT ? "the token has expired" : "the token is not valid here";
}

struct viewer *auth_token(const struct api *api, struct str token, enum policy policy,
                          const char **why)
{
    bool is_needed = policy == POLICY_TOKEN || (policy == POLICY_DOOR && api->settings->asks_all);
    bool is_given = token.len > 0;
    struct jwt_claims claims;
    int err = is_given ? jwt_verify(api->keys, token, clock_wall_ms(), &claims) : FAIL_MISSING;

    if (err == OK)
        return viewer_new(claims.subject, claims.is_admin || !is_needed, claims.expires_ms);
    if (!is_needed)
        return viewer_new("", true, 0);
    *why = is_given ? explain(err) : "a token is needed: Authorization: Bearer, or ?token=";
    return NULL;
}

struct viewer *auth_viewer(const struct api *api, const struct http_request *request,
                           enum policy policy, const char **why)
{
    struct buf token;

    buf_init(&token, JWT_TEXT_MAX);
    find_token(request, &token);
    struct viewer *viewer = auth_token(api, buf_str(&token), policy, why);
    buf_deinit(&token);
    return viewer;
}
