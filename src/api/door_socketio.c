/* Door `socketio`, document 001: the namespace /file-processing over Socket.IO.
 * One session per client, with a subscription for each file it asked for.
 * Answers go straight into the Engine.IO socket, states through the session. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "api/recovery.h"
#include "base/clock.h"
#include "base/emit.h"
#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"
#include "dialect/dialects.h"
#include "io/socketio_link.h"
#include "io/thread.h"
#include "proto/url.h"

enum { ANSWER_MAX = 4096, MAIN_SID_BYTES = 15 };

enum { NS_MAIN, NS_FILES };
static const char *const namespaces[] = { "/", SOCKETIO_NAMESPACE };

struct client {
    struct api *api;
    struct socketio_link *link;
    struct viewer *viewer; /* by the token of the handshake's request, or NULL ... */
    const char *why;       /* ... for this reason */
    struct session session;
    struct recovery_hold hold;  /* while it is in the namespace */
    struct recovery_wait *wait; /* for what it had, while it comes in, or NULL */
    struct viewer *entrant;     /* who comes in: one reference, or NULL */
    bool is_in;                 /* the namespace: then there is a session */
};

/* Who is asking */

static struct str token_of(const json_t *auth)
{
    const json_t *value = json_object_get(auth, "token");
    struct str token = { json_string_value(value), json_string_length(value) };
    struct str rest = token;

    /* Some put there what they would put in a header. */
    if (token.len > 0 && str_equal_nocase(str_cut(&rest, ' '), STR("Bearer")) && rest.at != NULL)
        token = str_trim(rest);
    return token;
}

/* Gives a reference, or NULL and `why`. */
static struct viewer *viewer_of(const struct client *c, const json_t *auth, const char **why)
{
    struct str token = token_of(auth);

    if (token.len > 0)
        return auth_viewer_of_token(c->api, token, POLICY_DOOR, why);
    *why = c->why;
    return c->viewer != NULL ? viewer_ref(c->viewer) : NULL;
}

static void refuse(struct client *c, unsigned ns, const char *why)
{
    struct buf data;

    buf_init(&data, ANSWER_MAX);
    emit_open(&data, '{');
    emit_field_string(&data, "message", "unauthorized");
    emit_key(&data, "data");
    emit_open(&data, '{');
    emit_field_string(&data, "code", "token_required");
    emit_field_string(&data, "message", why);
    emit_close(&data, '}');
    emit_close(&data, '}');
    socketio_link_refuse(c->link, ns, buf_text(&data));
    buf_deinit(&data);
}

/* Coming in */

static void accept_as(struct client *c, unsigned ns, const char *sid, const char *pid)
{
    struct buf data;

    buf_init(&data, ANSWER_MAX);
    emit_open(&data, '{');
    emit_field_string(&data, "sid", sid);
    if (pid != NULL)
        emit_field_string(&data, "pid", pid);
    emit_close(&data, '}');
    socketio_link_accept(c->link, ns, buf_text(&data));
    buf_deinit(&data);
}

static void enter_main(struct client *c)
{
    char sid[ENCODE_BASE64URL_SIZE(MAIN_SID_BYTES)];
    unsigned char dice[MAIN_SID_BYTES];

    random_bytes(dice, sizeof(dice));
    encode_base64url(dice, sizeof(dice), sid);
    accept_as(c, NS_MAIN, sid, NULL);
}

static int subscribe(struct client *c, const char *job)
{
    int err = hub_subscribe(c->session.hub, &c->session, job);

    if (err == OK)
        c->api->records->recall(c->api, engine_socket_thread(socketio_link_socket(c->link)), job);
    return err;
}

static void open_session(struct client *c)
{
    struct engine_socket *socket = socketio_link_socket(c->link);
    struct hub *hub = io_thread_hub(engine_socket_thread(socket));

    session_open(&c->session, hub, &dialect_socketio, engine_socket_sink(socket),
                 engine_socket_framing(socket), c->entrant);
    viewer_unref(&c->entrant);
    c->is_in = true;
}

static void on_claimed(void *context, const struct recovery_answer *answer)
{
    struct client *c = context;
    const char *job = answer->jobs;

    c->wait = NULL;
    c->hold = answer->hold;
    open_session(c);
    for (size_t i = 0; i < answer->count; i++, job += strlen(job) + 1)
        subscribe(c, job);
    accept_as(c, NS_FILES, c->hold.sid, c->hold.pid);
}

static void enter_files(struct client *c, struct viewer *viewer, const json_t *auth)
{
    struct io_thread *thread = engine_socket_thread(socketio_link_socket(c->link));

    c->entrant = viewer_ref(viewer);
    /* `offset`, which clients also send, counts messages kept for them: here the
     * present is kept, and it is all they missed. */
    c->wait =
        recovery_claim(c->api->recovery, &(struct recovery_ask){
                                             .home = io_thread_mailbox(thread),
                                             .pid = json_string_value(json_object_get(auth, "pid")),
                                             .subject = viewer->subject,
                                             .now_ms = clock_mono_ms(),
                                             .done = on_claimed,
                                             .context = c,
                                         });
}

static void on_connect(void *context, unsigned ns, const json_t *auth)
{
    struct client *c = context;
    const char *why = NULL;
    struct viewer *viewer = viewer_of(c, auth, &why);

    if (viewer == NULL)
        refuse(c, ns, why);
    else if (ns == NS_MAIN)
        enter_main(c);
    else
        enter_files(c, viewer, auth);
    viewer_unref(&viewer);
}

/* Events */

static void carry_out(struct client *c, struct processing_call *call)
{
    if (call->error != NULL)
        return;
    if (call->kind == REQUEST_UNSUBSCRIBE) {
        hub_unsubscribe(c->session.hub, &c->session, call->job);
        recovery_part(c->api->recovery, &c->hold, call->job);
        return;
    }
    if (subscribe(c, call->job) == OK)
        recovery_join(c->api->recovery, &c->hold, c->session.viewer->subject, call->job);
    else
        call->error = "Too many files on one connection";
}

static void say_words(struct client *c, const struct words *words)
{
    size_t begin = 0;

    for (unsigned i = 0; i < words->count; i++) {
        /* Behind Engine.IO's own digit, which the socket puts there itself. */
        const char *at = words->bytes.data + begin + 1;
        socketio_link_say(c->link, false, (struct str){ at, words->ends[i] - begin - 1 });
        begin = words->ends[i] + 1;
    }
}

static void acknowledge(struct client *c, unsigned ns, uint64_t id,
                        const struct processing_call *call)
{
    struct buf argument;

    buf_init(&argument, ANSWER_MAX);
    processing_acknowledge(call, &argument);
    socketio_link_acknowledge(c->link, ns, id, buf_str(&argument));
    buf_deinit(&argument);
}

static void on_event(void *context, unsigned ns, const struct socketio_packet *event)
{
    struct client *c = context;
    struct processing_call call = {
        .error = "The namespace / has no events: connect to " SOCKETIO_NAMESPACE,
    };
    struct words words;

    if (ns == NS_FILES)
        processing_read(&call, socketio_event(event), json_array_get(event->parsed, 1));
    carry_out(c, &call);
    words_init(&words);
    socketio_answer(&call, &words);
    say_words(c, &words);
    words_deinit(&words);
    /* Whoever waits for an acknowledgement must not wait for ever. */
    if (event->has_id)
        acknowledge(c, ns, event->id, &call);
}

/* Leaving */

static void leave(struct client *c)
{
    if (c->is_in)
        session_close(&c->session);
    c->is_in = false;
}

static void on_leave(void *context, unsigned ns)
{
    struct client *c = context;

    if (ns != NS_FILES)
        return;
    recovery_forget(c->api->recovery, &c->hold);
    leave(c);
}

static void on_gone(void *context)
{
    struct client *c = context;

    if (c->wait != NULL)
        recovery_abandon(c->api->recovery, c->wait);
    if (c->is_in)
        recovery_lose(c->api->recovery, &c->hold, clock_mono_ms());
    leave(c);
    viewer_unref(&c->entrant);
    viewer_unref(&c->viewer);
    mem_free(c);
}

static void on_drain(void *context)
{
    struct client *c = context;

    if (c->is_in)
        session_drain(&c->session);
}

static void on_upgraded(void *context)
{
    struct client *c = context;

    if (c->is_in)
        session_set_framing(&c->session, engine_socket_framing(socketio_link_socket(c->link)));
}

static const struct socketio_settings settings = {
    .namespaces = namespaces,
    .namespace_count = sizeof(namespaces) / sizeof(*namespaces),
    .message_max = WS_MESSAGE_MAX,
    .unsent_max = SOCKETIO_UNSENT_MAX,
    .connect_timeout_ms = SOCKETIO_CONNECT_TIMEOUT_MS,
    .connect = on_connect,
    .event = on_event,
    .leave = on_leave,
    .drain = on_drain,
    .upgraded = on_upgraded,
    .gone = on_gone,
};

/* Kept on the call from the request's head to its socket. */
struct handshake {
    const char *why;
};

static void *open_client(void *argument, struct engine_socket *socket,
                         const struct engine_events **events)
{
    struct call *call = argument;
    struct client *c = mem_new(struct client);

    c->api = call->api;
    c->viewer = call->viewer != NULL ? viewer_ref(call->viewer) : NULL;
    c->why = ((struct handshake *)call->state)->why;
    c->link = socketio_link_open(socket, &settings, c, events);
    socketio_link_welcome(c->link);
    return c->link;
}

void door_socketio(struct call *call)
{
    const struct http_request *request = exchange_request(call->x);
    struct handshake *handshake = mem_new(struct handshake);
    struct buf sid;

    call->state = handshake;
    buf_init(&sid, HTTP_TARGET_MAX);
    /* Who it is counts when a socket is opened, and is not asked again then. */
    if (url_query_get(request->query, "sid", &sid) != OK || sid.len == 0)
        call->viewer = auth_viewer(call->api, request, POLICY_DOOR, &handshake->why);
    buf_deinit(&sid);
    engine_request(call->api->engine, call->x, open_client, call);
}
