#include "proto/socketio_server.h"

#include <assert.h>
#include <jansson.h>
#include <string.h>

#include "base/emit.h"
#include "base/err.h"
#include "proto/url.h"

/* Words to the client are ours, but for a namespace's name and what an
 * application echoes, which came in one message. */
enum { PACKET_EXTRA_MAX = 4096 };

void socketio_server_init(struct socketio_server *s, const struct socketio_rules *rules,
                          void *context)
{
    assert(rules->count <= SOCKETIO_NAMESPACES_MAX);
    *s = (struct socketio_server){ .rules = rules, .context = context };
    socketio_reader_init(&s->reader, rules->bytes_max);
}

void socketio_server_deinit(struct socketio_server *s)
{
    socketio_reader_deinit(&s->reader);
}

static void say(struct socketio_server *s, const struct socketio_packet *p)
{
    struct buf text;

    buf_init(&text, p->json.len + p->namespace.len + PACKET_EXTRA_MAX);
    socketio_encode(p, &text);
    s->rules->say(s->context, buf_str(&text));
    buf_deinit(&text);
}

static struct str name_of(const struct socketio_server *s, unsigned ns)
{
    return str_of(s->rules->namespaces[ns]);
}

static void move(struct socketio_server *s, unsigned ns, enum socketio_place place)
{
    s->places[ns] = place;
    s->has_joined |= place == SOCKETIO_JOINED;
}

void socketio_server_accept(struct socketio_server *s, unsigned ns, const char *data)
{
    assert(s->places[ns] == SOCKETIO_ASKING);
    move(s, ns, SOCKETIO_JOINED);
    say(s, &(struct socketio_packet){ .type = SOCKETIO_CONNECT,
                                      .namespace = name_of(s, ns),
                                      .json = s->is_old ? STR("") : str_of(data) });
}

/* Revision 4's ERROR: the message alone. */
static void say_old_error(struct socketio_server *s, struct str namespace, const char *data)
{
    json_t *object = json_loads(data, 0, NULL);
    struct buf text;

    buf_init(&text, PACKET_EXTRA_MAX);
    emit_string(&text, json_string_value(json_object_get(object, "message")));
    json_decref(object);
    say(s, &(struct socketio_packet){
               .type = SOCKETIO_CONNECT_ERROR, .namespace = namespace, .json = buf_str(&text) });
    buf_deinit(&text);
}

static void say_error(struct socketio_server *s, struct str namespace, const char *data)
{
    if (s->is_old)
        say_old_error(s, namespace, data);
    else
        say(s, &(struct socketio_packet){
                   .type = SOCKETIO_CONNECT_ERROR, .namespace = namespace, .json = str_of(data) });
}

void socketio_server_refuse(struct socketio_server *s, unsigned ns, const char *data)
{
    assert(s->places[ns] == SOCKETIO_ASKING);
    move(s, ns, SOCKETIO_ABSENT);
    say_error(s, name_of(s, ns), data);
}

void socketio_server_acknowledge(struct socketio_server *s, unsigned ns, uint64_t id,
                                 struct str arguments)
{
    struct buf json;

    buf_init(&json, arguments.len + 2);
    buf_putc(&json, '[');
    buf_append(&json, arguments.at, arguments.len);
    buf_putc(&json, ']');
    say(s, &(struct socketio_packet){ .type = SOCKETIO_ACK,
                                      .namespace = name_of(s, ns),
                                      .has_id = true,
                                      .id = id,
                                      .json = buf_str(&json) });
    buf_deinit(&json);
}

static bool find(const struct socketio_server *s, struct str namespace, unsigned *ns)
{
    for (*ns = 0; *ns < s->rules->count; ++*ns)
        if (str_equal(name_of(s, *ns), namespace))
            return true;
    return false;
}

static void ask(struct socketio_server *s, unsigned ns, const json_t *auth)
{
    move(s, ns, SOCKETIO_ASKING);
    s->rules->connect(s->context, ns, auth);
}

void socketio_server_welcome_old(struct socketio_server *s, unsigned ns)
{
    s->is_old = true;
    ask(s, ns, NULL);
}

/* What others have in their CONNECT's payload; NULL if there is none. */
static json_t *auth_of_query(struct str query)
{
    struct buf token;
    json_t *auth = NULL;

    buf_init(&token, SOCKETIO_QUERY_MAX);
    if (query.at != NULL && url_query_get(query, "token", &token) == OK)
        auth = json_pack("{ss}", "token", buf_text(&token));
    buf_deinit(&token);
    return auth;
}

static void ask_old(struct socketio_server *s, unsigned ns, struct str query)
{
    json_t *auth = auth_of_query(query);

    ask(s, ns, auth);
    json_decref(auth);
}

static int take_connect(struct socketio_server *s, const struct socketio_packet *p)
{
    struct str rest = p->namespace, name = s->is_old ? str_cut(&rest, '?') : rest;
    unsigned ns;

    if (!find(s, name, &ns)) {
        say_error(s, name, "{\"message\":\"Invalid namespace\"}");
        return OK;
    }
    if (s->places[ns] != SOCKETIO_ABSENT)
        return FAIL_STATE;
    if (s->is_old)
        ask_old(s, ns, rest);
    else
        ask(s, ns, p->parsed);
    return OK;
}

static int take(struct socketio_server *s, const struct socketio_packet *p)
{
    unsigned ns;

    if (p->type == SOCKETIO_CONNECT)
        return take_connect(s, p);
    if (!find(s, p->namespace, &ns) || s->places[ns] != SOCKETIO_JOINED)
        return FAIL_STATE;
    switch (p->type) {
    case SOCKETIO_EVENT: s->rules->event(s->context, ns, p); return OK;
    case SOCKETIO_DISCONNECT:
        move(s, ns, SOCKETIO_ABSENT);
        s->rules->leave(s->context, ns);
        return OK;
    case SOCKETIO_ACK: return OK; /* we ask for none: a stray one harms nobody */
    default: return FAIL_STATE;
    }
}

int socketio_server_feed(struct socketio_server *s, bool is_binary, struct str message)
{
    const struct socketio_packet *packet;
    int err = socketio_reader_feed(&s->reader, is_binary, message, &packet);

    return err == OK && packet != NULL ? take(s, packet) : err;
}
