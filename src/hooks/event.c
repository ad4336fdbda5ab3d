#include "hooks/event.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/emit.h"
#include "base/encode.h"
#include "proto/sign.h"

enum { ID_BYTES = 21 };

/* From the update itself: several nodes may come upon the same one. */
static void write_id(const struct update *u, struct hook_event *event)
{
    uint8_t digest[SIGN_SIZE];
    struct buf text;

    buf_init(&text, 1024);
    buf_printf(&text, "%s\n%s\n%" PRId64 "\n%" PRIu64, u->text[TEXT_ID],
               hook_type_name(event->type), u->created_ms,
               event->type == HOOK_CREATED ? 0 : u->seq);
    sign_sha256(buf_str(&text), digest);
    buf_deinit(&text);
    memcpy(event->message, "msg_", 4);
    encode_base64url(digest, ID_BYTES, event->message + 4);
}

void hook_event_write(const struct update *u, void (*data)(const struct update *u, struct buf *out),
                      struct hook_event *event)
{
    char time[CLOCK_ISO_SIZE];

    write_id(u, event);
    clock_iso8601(event->type == HOOK_CREATED ? u->created_ms : u->time_ms, time);
    emit_open(&event->body, '{');
    emit_field_string(&event->body, "type", hook_type_name(event->type));
    emit_field_string(&event->body, "timestamp", time);
    emit_key(&event->body, "data");
    data(u, &event->body);
    emit_close(&event->body, '}');
}

void hook_url_show(const char *url, struct buf *out)
{
    struct str rest = str_of(url);
    struct str scheme = str_cut(&rest, ':');

    while (str_starts(rest, STR("/")))
        rest = (struct str){ rest.at + 1, rest.len - 1 };
    rest.len = rest.at != NULL ? strcspn(rest.at, "?#") : 0;
    struct str authority = { rest.at, rest.at != NULL ? strcspn(rest.at, "/?#") : 0 };
    const char *at = authority.len > 0 ? memrchr(authority.at, '@', authority.len) : NULL;
    if (at != NULL)
        rest = (struct str){ at + 1, rest.len - (size_t)(at + 1 - rest.at) };
    buf_printf(out, "%.*s://%.*s", STR_ARG(scheme), STR_ARG(rest));
}

bool hook_url_is_valid(const char *url)
{
    struct str rest = str_of(url);
    struct str scheme = str_cut(&rest, ':');

    if (!str_equal_nocase(scheme, STR("http")) && !str_equal_nocase(scheme, STR("https")))
        return false;
    for (const char *c = url; *c != '\0'; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return false;
    return str_starts(rest, STR("//")) && rest.len > 2 && strchr("/?#@:", rest.at[2]) == NULL;
}
