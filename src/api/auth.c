#include <string.h>

#include "api/api.h"
#include "base/clock.h"
#include "base/err.h"
#include "proto/url.h"

static const char protocol_field[] = "Sec-WebSocket-Protocol";

static bool is_base64url(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              c == '-' || c == '_'))
            return false;
    }
    return true;
}

/* Base64url of '{': what else has three parts ("wamp.2.json") does not begin so. */
static bool is_object(struct str s)
{
    return s.len >= 2 && s.at[0] == 'e' && strchr("wxyz0123456789-_", s.at[1]) != NULL;
}

static bool looks_like_token(struct str s)
{
    struct str rest = s;
    struct str header = str_cut(&rest, '.');
    struct str payload = str_cut(&rest, '.');

    return rest.at != NULL && is_object(header) && is_base64url(header) && is_base64url(payload) &&
           is_base64url(rest);
}

static struct str without_bearer(struct str s)
{
    struct str rest = s;
    struct str first = str_cut(&rest, '.');

    return rest.at != NULL && str_equal_nocase(first, STR("bearer")) ? rest : s;
}

/* RFC 6455, 4.1: a token of RFC 9110; those of a JWT and usual names are enough. */
static bool is_protocol(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.at[i] <= ' ' || s.at[i] > '~' || strchr("\"(),/:;<=>?@[\\]{}", s.at[i]) != NULL)
            return false;
    return s.len > 0;
}

/* What is offered; `at` NULL: no such. */
struct offer {
    struct str token; /* as it was offered */
    struct str other; /* the first that is no token */
    bool is_bearer;   /* somebody spoke of one */
};

static void read_offers(struct str list, struct offer *o)
{
    while (list.at != NULL) {
        struct str item = str_trim(str_cut(&list, ','));
        if (!is_protocol(item))
            continue;
        /* What stands behind "bearer" is meant as one, whatever it looks like. */
        bool is_meant = o->is_bearer || looks_like_token(without_bearer(item));
        if (o->token.at == NULL && is_meant)
            o->token = item;
        else if (o->other.at == NULL)
            o->other = item;
        o->is_bearer |= str_equal_nocase(item, STR("bearer"));
    }
}

static void read_offer(const struct http_request *request, struct offer *o)
{
    *o = (struct offer){ 0 };
    for (unsigned i = 0; i < request->header_count && request->wants_upgrade; i++)
        if (str_equal_nocase(request->headers[i].name, str_of(protocol_field)))
            read_offers(request->headers[i].value, o);
}

bool auth_protocol(const struct http_request *request, struct buf *out)
{
    struct offer offer;

    read_offer(request, &offer);
    if (offer.token.at == NULL && !offer.is_bearer)
        return false;
    struct str selected = offer.other.at != NULL ? offer.other : offer.token;
    return buf_append(out, selected.at, selected.len);
}

/* Of two fields, one may be what a proxy in front has looked at. */
static bool is_only_field(const struct http_request *request, const char *name)
{
    unsigned count = 0;

    for (unsigned i = 0; i < request->header_count; i++)
        count += str_equal_nocase(request->headers[i].name, str_of(name));
    return count == 1;
}

/* The token as it came; `at` NULL if there is none. A place where there is one
 * is the only one that counts: a bad one is never made up for by another. */
static struct str find_token(const struct http_request *request, struct buf *query)
{
    struct str field = http_header(request, "Authorization");
    struct str scheme = str_cut(&field, ' ');
    struct offer offer;

    if (str_equal_nocase(scheme, STR("Bearer")))
        return is_only_field(request, "Authorization") && field.at ? str_trim(field) : STR("");
    read_offer(request, &offer);
    if (offer.token.at != NULL)
        return without_bearer(offer.token);
    int err = url_query_get(request->query, "token", query);
    if (err == FAIL_MISSING || (err == OK && query->len == 0))
        return (struct str){ 0 };
    return err == OK ? buf_str(query) : STR("");
}

static const char *explain(int err)
{
    switch (err) {
    case FAIL_MISSING: return "a token is needed: Authorization: Bearer, or ?token=";
    case FAIL_TIMEOUT: return "the token has expired, or is not valid yet";
    default: return "the token is not valid here";
    }
}

/* When a connection ends that is not to outlive its token. One that was let in
 * thanks to the leeway alone has the leeway. */
static int64_t end_of(const struct jwt_claims *claims, int64_t now_ms)
{
    return now_ms < claims->expires_ms ? claims->expires_ms : claims->refused_ms;
}

struct viewer *auth_viewer_of_token(const struct api *api, struct str token, enum policy policy,
                                    const char **why)
{
    const struct api_settings *settings = api->settings;
    bool is_needed = policy == POLICY_TOKEN || (policy == POLICY_DOOR && settings->asks_all);
    bool ends = is_needed && settings->closes_expired;
    int64_t now_ms = clock_wall_ms();
    struct jwt_claims claims;
    int err = token.at != NULL ? jwt_verify(api->keys, token, now_ms, &claims) : FAIL_MISSING;

    if (err == OK)
        return viewer_new(claims.subject, claims.is_admin || !is_needed,
                          ends ? end_of(&claims, now_ms) : 0);
    if (!is_needed)
        return viewer_anyone();
    *why = explain(err);
    return NULL;
}

struct viewer *auth_viewer(const struct api *api, const struct http_request *request,
                           enum policy policy, const char **why)
{
    struct buf query;

    buf_init(&query, JWT_TEXT_MAX);
    struct viewer *v = auth_viewer_of_token(api, find_token(request, &query), policy, why);
    buf_deinit(&query);
    return v;
}
