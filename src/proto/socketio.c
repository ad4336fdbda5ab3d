#include "proto/socketio.h"

#include <jansson.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"

enum { BINARY_EVENT = 5, BINARY_ACK = 6, TYPES = 7 };

#define ID_MAX ((UINT64_C(1) << 53) - 1)

static bool is_digit(struct str s)
{
    return s.len > 0 && s.at[0] >= '0' && s.at[0] <= '9';
}

static struct str skip(struct str s, size_t len)
{
    return (struct str){ s.at + len, s.len - len };
}

static int take_number(struct str *rest, uint64_t max, uint64_t *out)
{
    struct str digits = { rest->at, 0 };

    while (is_digit(*rest)) {
        *rest = skip(*rest, 1);
        digits.len++;
    }
    return str_parse_u64(digits, max, out);
}

static int take_type(struct str *rest, unsigned *wire)
{
    if (!is_digit(*rest) || rest->at[0] >= '0' + TYPES)
        return FAIL_SYNTAX;
    *wire = (unsigned)(rest->at[0] - '0');
    *rest = skip(*rest, 1);
    return OK;
}

static int take_attachment_count(struct str *rest, unsigned *out)
{
    uint64_t count;
    int err = take_number(rest, SOCKETIO_ATTACHMENTS_MAX, &count);

    if (err != OK)
        return err;
    if (rest->len == 0 || rest->at[0] != '-')
        return FAIL_SYNTAX;
    *rest = skip(*rest, 1);
    *out = (unsigned)count;
    return OK;
}

/* It is said again in answers: what would break those is refused. */
static bool is_speakable(struct str name)
{
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.at[i] < ' ')
            return false;
    return utf8_is_valid(name.at, name.len);
}

static int take_namespace(struct str *rest, struct str *out)
{
    struct str query, name;

    *out = STR("/");
    if (rest->len == 0 || rest->at[0] != '/')
        return OK;
    *out = str_cut(rest, ',');
    query = *out;
    name = str_cut(&query, '?');
    if (name.len > SOCKETIO_NAMESPACE_MAX || out->len - name.len > SOCKETIO_QUERY_MAX)
        return FAIL_LIMIT;
    return is_speakable(*out) ? OK : FAIL_SYNTAX;
}

static int take_id(struct str *rest, struct socketio_packet *p)
{
    if (!is_digit(*rest))
        return OK;
    p->has_id = true;
    return take_number(rest, ID_MAX, &p->id);
}

static bool is_shallow(struct str json)
{
    bool is_quoted = false;
    int depth = 0;

    for (size_t i = 0; i < json.len; i++) {
        char c = json.at[i];
        if (is_quoted && c == '\\')
            i++;
        else if (c == '"')
            is_quoted = !is_quoted;
        else if (!is_quoted && (c == '{' || c == '['))
            depth++;
        else if (!is_quoted && (c == '}' || c == ']'))
            depth--;
        if (depth > SOCKETIO_DEPTH_MAX)
            return false;
    }
    return true;
}

static int take_payload(struct str rest, struct socketio_packet *p)
{
    if (rest.len == 0)
        return OK;
    /* jansson passes over a NUL behind a number or a word. */
    if (memchr(rest.at, '\0', rest.len) != NULL)
        return FAIL_SYNTAX;
    if (!is_shallow(rest))
        return FAIL_LIMIT;
    p->json = rest;
    p->parsed = json_loadb(rest.at, rest.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    return p->parsed != NULL ? OK : FAIL_SYNTAX;
}

/* Names that mean something else in the clients' and servers' interfaces: the
 * reference takes no such event from the wire. */
static bool is_reserved(const char *name)
{
    static const char *const names[] = { "connect",       "connect_error", "disconnect",
                                         "disconnecting", "newListener",   "removeListener" };

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static bool is_event(const json_t *payload)
{
    const json_t *name = json_array_get(payload, 0);

    return json_is_number(name) || (json_is_string(name) && !is_reserved(json_string_value(name)));
}

static bool suits(enum socketio_type type, const json_t *payload)
{
    switch (type) {
    case SOCKETIO_CONNECT: return payload == NULL || json_is_object(payload);
    case SOCKETIO_DISCONNECT: return payload == NULL;
    case SOCKETIO_EVENT: return is_event(payload);
    case SOCKETIO_ACK: return json_is_array(payload);
    case SOCKETIO_CONNECT_ERROR: return json_is_object(payload) || json_is_string(payload);
    }
    return false;
}

/* {"_placeholder":true,"num":0} stands for the first attachment. */
static bool are_placed(const json_t *value, unsigned count)
{
    const char *key;
    json_t *member;
    size_t i;

    if (json_is_object(value) && json_is_true(json_object_get(value, "_placeholder"))) {
        const json_t *num = json_object_get(value, "num");
        return json_is_integer(num) && json_integer_value(num) >= 0 &&
               json_integer_value(num) < count;
    }
    if (json_is_array(value))
        json_array_foreach(value, i, member) if (!are_placed(member, count)) return false;
    if (json_is_object(value))
        json_object_foreach((json_t *)(uintptr_t)value, key,
                            member) if (!are_placed(member, count)) return false;
    return true;
}

static int parse(struct str rest, struct socketio_packet *p)
{
    unsigned wire = 0;
    int err = take_type(&rest, &wire);
    bool is_binary = wire >= BINARY_EVENT;

    p->type = wire == BINARY_EVENT ? SOCKETIO_EVENT
              : wire == BINARY_ACK ? SOCKETIO_ACK
                                   : (enum socketio_type)wire;
    if (err == OK && is_binary)
        err = take_attachment_count(&rest, &p->attachment_count);
    if (err == OK)
        err = take_namespace(&rest, &p->namespace);
    if (err == OK)
        err = take_id(&rest, p);
    if (err == OK)
        err = take_payload(rest, p);
    if (err != OK)
        return err;
    if (!suits(p->type, p->parsed) || (p->type == SOCKETIO_ACK && !p->has_id))
        return FAIL_SYNTAX;
    return !is_binary || are_placed(p->parsed, p->attachment_count) ? OK : FAIL_SYNTAX;
}

int socketio_parse(struct str text, struct socketio_packet *out)
{
    struct socketio_packet p = { 0 };
    int err = parse(text, &p);

    if (err == OK)
        *out = p;
    else
        socketio_packet_deinit(&p);
    return err;
}

void socketio_packet_deinit(struct socketio_packet *p)
{
    json_decref(p->parsed);
    *p = (struct socketio_packet){ 0 };
}

void socketio_encode(const struct socketio_packet *p, struct buf *out)
{
    if (p->attachment_count > 0)
        buf_printf(out, "%d%u-", p->type == SOCKETIO_EVENT ? BINARY_EVENT : BINARY_ACK,
                   p->attachment_count);
    else
        buf_printf(out, "%d", p->type);
    if (!str_equal(p->namespace, STR("/")))
        buf_printf(out, "%.*s,", STR_ARG(p->namespace));
    if (p->has_id)
        buf_printf(out, "%llu", (unsigned long long)p->id);
    buf_append(out, p->json.at, p->json.len);
}

const char *socketio_event(const struct socketio_packet *p)
{
    return json_string_value(json_array_get(p->parsed, 0));
}

/* Where the value at the beginning of `json`, a string or a number, ends. */
static size_t first_value_end(struct str json)
{
    size_t i = 0;

    if (json.at[0] != '"') {
        while (i < json.len && strchr(",] \t\r\n", json.at[i]) == NULL)
            i++;
        return i;
    }
    for (i = 1; i < json.len && json.at[i] != '"'; i++)
        if (json.at[i] == '\\')
            i++;
    return i + 1;
}

static struct str without_space(struct str s)
{
    while (s.len > 0 && strchr(" \t\r\n", s.at[0]) != NULL)
        s = skip(s, 1);
    while (s.len > 0 && strchr(" \t\r\n", s.at[s.len - 1]) != NULL)
        s.len--;
    return s;
}

struct str socketio_arguments(const struct socketio_packet *p)
{
    struct str inside = without_space(p->json);

    inside = without_space((struct str){ inside.at + 1, inside.len - 2 });
    inside = without_space(skip(inside, first_value_end(inside)));
    return inside.len > 0 ? without_space(skip(inside, 1)) : inside;
}

void socketio_reader_init(struct socketio_reader *r, size_t bytes_max)
{
    *r = (struct socketio_reader){ 0 };
    buf_init(&r->bytes, bytes_max);
}

static void forget_packet(struct socketio_reader *r)
{
    size_t bytes_max = r->bytes.max;

    socketio_packet_deinit(&r->packet);
    mem_free(r->text);
    r->text = NULL;
    buf_deinit(&r->bytes);
    buf_init(&r->bytes, bytes_max);
    r->have = 0;
    r->is_waiting = false;
}

void socketio_reader_deinit(struct socketio_reader *r)
{
    forget_packet(r);
}

static int feed_text(struct socketio_reader *r, struct str text, const struct socketio_packet **out)
{
    if (r->is_waiting)
        return FAIL_SYNTAX;
    forget_packet(r);
    int err = socketio_parse(text, &r->packet);
    if (err != OK)
        return err;
    *out = &r->packet;
    if (r->packet.attachment_count == 0)
        return OK;
    /* It outlives this message. */
    socketio_packet_deinit(&r->packet);
    r->text = mem_strndup(text.at, text.len);
    err = socketio_parse((struct str){ r->text, text.len }, &r->packet);
    r->is_waiting = true;
    *out = NULL;
    return err;
}

/* The bytes have moved while they grew: only now is it known where they lie. */
static void attach(struct socketio_reader *r)
{
    size_t begin = 0;

    for (unsigned i = 0; i < r->have; i++) {
        r->attachments[i] = (struct str){ buf_text(&r->bytes) + begin, r->ends[i] - begin };
        begin = r->ends[i];
    }
    r->packet.attachments = r->attachments;
}

static int feed_binary(struct socketio_reader *r, struct str bytes,
                       const struct socketio_packet **out)
{
    if (!r->is_waiting)
        return FAIL_SYNTAX;
    if (!buf_append(&r->bytes, bytes.at, bytes.len))
        return FAIL_LIMIT;
    r->ends[r->have++] = r->bytes.len;
    *out = NULL;
    if (r->have < r->packet.attachment_count)
        return OK;
    attach(r);
    r->is_waiting = false;
    *out = &r->packet;
    return OK;
}

int socketio_reader_feed(struct socketio_reader *r, bool is_binary, struct str message,
                         const struct socketio_packet **out)
{
    *out = NULL;
    return is_binary ? feed_binary(r, message, out) : feed_text(r, message, out);
}
