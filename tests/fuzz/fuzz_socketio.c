/* Feeds a Socket.IO connection with anything. The input is messages: a byte
 * (its highest bit: binary), then so many bytes of content; after an empty first
 * one the client is of revision 4. Whatever is taken must be written again as it
 * could be read again, and an answer must be a packet. */
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "proto/socketio_server.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

enum { BYTES_MAX = 200, INPUT_MAX = 16 * 1024, WRITTEN_MAX = 4096 };

static struct socketio_server server;

static void check_same(const struct socketio_packet *a, const struct socketio_packet *b)
{
    CHECK(a->type == b->type && a->has_id == b->has_id && a->id == b->id);
    CHECK(a->attachment_count == b->attachment_count);
    CHECK(str_equal(a->namespace, b->namespace) && str_equal(a->json, b->json));
}

static void check_written(const struct socketio_packet *p)
{
    struct socketio_packet again;
    struct buf text;

    buf_init(&text, WRITTEN_MAX);
    socketio_encode(p, &text);
    CHECK(!text.failed);
    CHECK(socketio_parse(buf_str(&text), &again) == OK);
    check_same(p, &again);
    socketio_packet_deinit(&again);
    buf_deinit(&text);
}

/* [name, arguments] must be what the payload was. */
static void check_arguments(const struct socketio_packet *p)
{
    struct str arguments = socketio_arguments(p);
    struct buf text;

    buf_init(&text, WRITTEN_MAX);
    buf_printf(&text, "[%.*s]", STR_ARG(arguments));
    json_t *rest = json_loadb(text.data, text.len, JSON_ALLOW_NUL, NULL);
    CHECK(rest != NULL && json_array_size(rest) + 1 == json_array_size(p->parsed));
    for (size_t i = 0; i < json_array_size(rest); i++)
        CHECK(json_equal(json_array_get(rest, i), json_array_get(p->parsed, i + 1)));
    json_decref(rest);
    buf_deinit(&text);
}

static void on_connect(void *context, unsigned ns, const json_t *auth)
{
    (void)context;
    CHECK(auth == NULL || json_is_object(auth));
    if (ns == 0 || auth != NULL)
        socketio_server_accept(&server, ns, "{\"sid\":\"s\"}");
    else
        socketio_server_refuse(&server, ns, "{\"message\":\"no\"}");
}

static void on_event(void *context, unsigned ns, const struct socketio_packet *event)
{
    size_t bytes = 0;

    (void)context;
    CHECK(server.places[ns] == SOCKETIO_JOINED);
    for (unsigned i = 0; i < event->attachment_count; i++)
        bytes += event->attachments[i].len;
    CHECK(bytes <= BYTES_MAX);
    check_arguments(event);
    if (event->attachment_count == 0)
        check_written(event);
    if (event->has_id)
        socketio_server_acknowledge(&server, ns, event->id, socketio_arguments(event));
}

static void on_leave(void *context, unsigned ns)
{
    (void)context;
    CHECK(server.places[ns] == SOCKETIO_ABSENT);
}

static void on_say(void *context, struct str text)
{
    struct socketio_packet p;

    (void)context;
    CHECK(socketio_parse(text, &p) == OK);
    CHECK(p.type != SOCKETIO_DISCONNECT);
    socketio_packet_deinit(&p);
}

static const char *const namespaces[] = { "/", "/custom" };
static const struct socketio_rules rules = {
    namespaces, 2, BYTES_MAX, on_connect, on_event, on_leave, on_say,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int err = OK;

    if (size > INPUT_MAX)
        return 0;
    socketio_server_init(&server, &rules, NULL);
    if (size > 0 && data[0] == 0) {
        socketio_server_welcome_old(&server, 0);
        data++;
        size--;
    }
    while (size > 0 && err == OK) {
        bool is_binary = data[0] & 0x80;
        size_t len = data[0] & 0x7f;
        data++;
        size--;
        len = len < size ? len : size;
        char *message =
            mem_alloc(len ? len : 1); /* of its own, so that reading past it is noticed */
        memcpy(message, data, len);
        err = socketio_server_feed(&server, is_binary, (struct str){ message, len });
        CHECK(err == OK || err == FAIL_SYNTAX || err == FAIL_LIMIT || err == FAIL_STATE);
        mem_free(message);
        data += len;
        size -= len;
    }
    socketio_server_deinit(&server);
    return 0;
}
