#include "proto/socketio_server.h"

#include <assert.h>
#include <string.h>

#include "base/err.h"

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
    say(s, &(struct socketio_packet){
               .type = SOCKETIO_CONNECT, .namespace = name_of(s, ns), .json = str_of(data) });
}

void socketio_server_refuse(struct socketio_server *s, unsigned ns, const char *data)
{
    assert(s->places[ns] == SOCKETIO_ASKING);
    move(s, ns, SOCKETIO_ABSENT);
    say(s, &(struct socketio_packet){
               .type = SOCKETIO_CONNECT_ERROR, .namespace = name_of(s, ns), .json = str_of(data) });
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

static void refuse_unknown(struct socketio_server *s, struct str namespace)
{
    say(s, &(struct socketio_packet){ .type = SOCKETIO_CONNECT_ERROR,
                                      .namespace = namespace,
                                      .json = STR("{\"message\":\"Invalid namespace\"}") });
}

static bool find(const struct socketio_server *s, struct str namespace, unsigned *ns)
{
    for (*ns = 0; *ns < s->rules->count; ++*ns)
        if (str_equal(name_of(s, *ns), namespace))
            return true;
    return false;
}

static int take_connect(struct socketio_server *s, const struct socketio_packet *p)
{
    unsigned ns;

    if (!find(s, p->namespace, &ns)) {
        refuse_unknown(s, p->namespace);
        return OK;
    }
    if (s->places[ns] != SOCKETIO_ABSENT)
        return FAIL_STATE;
    move(s, ns, SOCKETIO_ASKING);
    s->rules->connect(s->context, ns, p->parsed);
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
