#include "proto/ws_extension.h"

#include <string.h>

#include "base/err.h"

/* RFC 9110, section 5.6.2. */
static bool is_token_char(char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return true;
    return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static void skip(struct str *s, size_t len)
{
    s->at += len;
    s->len -= len;
}

static void skip_blank(struct str *s)
{
    while (s->len > 0 && (s->at[0] == ' ' || s->at[0] == '\t'))
        skip(s, 1);
}

static bool skip_char(struct str *s, char c)
{
    if (s->len == 0 || s->at[0] != c)
        return false;
    skip(s, 1);
    return true;
}

static int take_token(struct str *s, struct str *out)
{
    size_t len = 0;

    while (len < s->len && is_token_char(s->at[len]))
        len++;
    if (len == 0)
        return FAIL_SYNTAX;
    *out = (struct str){ .at = s->at, .len = len };
    skip(s, len);
    return OK;
}

/* Behind the opening quote. What stands inside must be a token once it is
 * unescaped, so the only thing an escape can do is to be in the way. */
static int take_quoted(struct str *s, struct str *out)
{
    size_t len = 0;

    while (len < s->len && s->at[len] != '"') {
        if (s->at[len] == '\\')
            len++;
        if (len == s->len || !is_token_char(s->at[len]))
            return FAIL_SYNTAX;
        len++;
    }
    if (len == 0 || len == s->len)
        return FAIL_SYNTAX;
    *out = (struct str){ .at = s->at, .len = len };
    skip(s, len + 1);
    return OK;
}

static int take_value(struct str *s, struct str *out)
{
    skip_blank(s);
    if (!skip_char(s, '='))
        return OK;
    skip_blank(s);
    return skip_char(s, '"') ? take_quoted(s, out) : take_token(s, out);
}

static int take_delimiter(struct ws_extension_walk *w)
{
    skip_blank(&w->rest);
    w->is_param_next = skip_char(&w->rest, ';');
    if (w->is_param_next || w->rest.len == 0 || skip_char(&w->rest, ','))
        return OK;
    return FAIL_SYNTAX;
}

void ws_extension_walk_init(struct ws_extension_walk *w, struct str value)
{
    *w = (struct ws_extension_walk){ .rest = value };
}

int ws_extension_next(struct ws_extension_walk *w, struct ws_extension_part *out)
{
    struct ws_extension_part part = { .is_param = w->is_param_next };

    skip_blank(&w->rest);
    if (!part.is_param) {
        /* RFC 9110, section 5.6.1.2: empty list elements count for nothing. */
        while (skip_char(&w->rest, ','))
            skip_blank(&w->rest);
        if (w->rest.len == 0)
            return FAIL_MISSING;
    }
    int code = take_token(&w->rest, &part.name);
    if (code == OK && part.is_param)
        code = take_value(&w->rest, &part.value);
    if (code == OK)
        code = take_delimiter(w);
    if (code == OK)
        *out = part;
    return code;
}

bool ws_extension_is_header(const struct http_header *header)
{
    return str_equal_nocase(header->name, STR("Sec-WebSocket-Extensions"));
}
