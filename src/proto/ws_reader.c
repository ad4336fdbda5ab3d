#include "proto/ws.h"

#include <assert.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

/*   between messages --data frame--> inside a fragmented message --FIN--> between
 *
 * Control frames may stand between any two frames. Bytes go through two states:
 * the head (in_payload false, collected in `head`) and the payload (`left` bytes
 * to come). At a head, `message` is set exactly inside a fragmented message. */

enum {
    FIRST_RSV = 0x70,
    FIRST_OPCODE = 0x0f,
    SECOND_MASK = 0x80,
    SECOND_LEN = 0x7f,
    LEN_16 = 126,
    LEN_64 = 127,
    MASK_SIZE = 4,
    WIRE_SLACK = 64,
};

struct ws_message {
    struct buf data; /* so far, inflated */
    enum ws_opcode type;
    struct utf8 utf8;          /* of a text */
    struct inflater *inflater; /* NULL: not compressed */
    uint64_t wire_len;         /* payload bytes of its frames, this one's included */
};

/* One call of feed: what it was given and what is still to be read of it. */
struct intake {
    struct ws_reader *reader;
    const struct ws_settings *settings;
    const struct ws_events *events;
    void *context;
    char *at;
    size_t len;
};

static void message_free(struct ws_message *m)
{
    if (m == NULL)
        return;
    buf_deinit(&m->data);
    inflater_free(m->inflater);
    mem_free(m);
}

static struct ws_message *message_new(const struct intake *in)
{
    const struct ws_reader *r = in->reader;
    struct ws_message *m = mem_new(struct ws_message);

    buf_init(&m->data, in->settings->message_max);
    m->type = (enum ws_opcode)(r->first_byte & FIRST_OPCODE);
    m->wire_len = r->left;
    if (r->first_byte & WS_RSV1)
        m->inflater = inflater_new();
    return m;
}

static uint16_t message_inflate(struct ws_message *m, const char *bytes, size_t len, bool is_last)
{
    switch (inflater_feed(m->inflater, bytes, len, is_last, &m->data)) {
    case OK: return WS_CLOSE_EMPTY;
    case FAIL_LIMIT: return WS_CLOSE_TOO_BIG;
    default: return WS_CLOSE_NOT_UTF8; /* section 7.4.1: data that does not fit its type */
    }
}

/* Text is checked as it comes in, so that a peer hears of a bad byte at once
 * and not behind the last of 65,536 fragments. */
static uint16_t message_append(struct ws_message *m, const char *bytes, size_t len, bool is_last)
{
    size_t old_len = m->data.len;

    if (m->inflater != NULL) {
        uint16_t code = message_inflate(m, bytes, len, is_last);
        if (code != WS_CLOSE_EMPTY)
            return code;
    } else if (!buf_append(&m->data, bytes, len)) {
        return WS_CLOSE_TOO_BIG;
    }
    if (m->type != WS_TEXT)
        return WS_CLOSE_EMPTY;
    if (!utf8_feed(&m->utf8, buf_text(&m->data) + old_len, m->data.len - old_len) ||
        (is_last && !utf8_is_complete(&m->utf8)))
        return WS_CLOSE_NOT_UTF8;
    return WS_CLOSE_EMPTY;
}

static bool is_control(uint8_t first_byte)
{
    return (first_byte & 0x08) != 0;
}

/* FIN, RSV and opcode (sections 5.2, 5.4 and 5.5; RFC 7692, section 6). */
static bool is_sound_first(const struct ws_reader *r, uint8_t first)
{
    unsigned rsv = first & FIRST_RSV;

    switch (first & FIRST_OPCODE) {
    case WS_CONTINUATION: return r->message != NULL && rsv == 0;
    case WS_TEXT:
    case WS_BINARY: return r->message == NULL && (rsv == 0 || (rsv == WS_RSV1 && r->is_deflate));
    case WS_CLOSE:
    case WS_PING:
    case WS_PONG: return (first & WS_FIN) != 0 && rsv == 0;
    default: return false;
    }
}

/* Mask and length (sections 5.1, 5.5 and 5.5.1). */
static bool is_sound_second(const struct intake *in, uint8_t first, uint8_t second)
{
    bool is_masked = (second & SECOND_MASK) != 0;
    unsigned len = second & SECOND_LEN;

    if (is_masked == in->settings->is_client)
        return false;
    if (is_control(first) && len > WS_CONTROL_MAX)
        return false;
    return (first & FIRST_OPCODE) != WS_CLOSE || len != 1;
}

static unsigned len_bytes(uint8_t second)
{
    unsigned len = second & SECOND_LEN;

    return len == LEN_16 ? 2 : len == LEN_64 ? 8 : 0;
}

static unsigned head_size(uint8_t second)
{
    return 2 + len_bytes(second) + (second & SECOND_MASK ? MASK_SIZE : 0);
}

/* Section 5.2: the shortest form is the only one, the top bit is 0. */
static bool read_len(const uint8_t *head, uint64_t *out)
{
    unsigned bytes = len_bytes(head[1]);
    uint64_t len = bytes ? 0 : head[1] & SECOND_LEN;

    for (unsigned i = 0; i < bytes; i++)
        len = len << 8 | head[2 + i];
    if ((bytes == 2 && len < LEN_16) || (bytes == 8 && (len <= UINT16_MAX || len >> 63)))
        return false;
    *out = len;
    return true;
}

/* Before a byte of the payload came. What is compressed may be longer than its
 * content, but not without end: empty blocks would never fill the message. */
static bool fits(const struct intake *in, uint64_t len)
{
    const struct ws_reader *r = in->reader;
    uint64_t max = in->settings->message_max;
    uint64_t before = r->message ? r->message->wire_len : 0;

    if (r->message ? r->message->inflater != NULL : (r->first_byte & WS_RSV1) != 0)
        max = 2 * max + WIRE_SLACK;
    return len <= max - before;
}

static uint16_t begin_payload(struct intake *in)
{
    struct ws_reader *r = in->reader;
    uint64_t len;

    if (!read_len(r->head, &len))
        return WS_CLOSE_PROTOCOL;
    r->first_byte = r->head[0];
    if (!is_control(r->first_byte)) {
        if (!fits(in, len))
            return WS_CLOSE_TOO_BIG;
        if (r->message != NULL)
            r->message->wire_len += len;
    }
    if (!in->settings->is_client)
        memcpy(r->mask, r->head + r->head_len - MASK_SIZE, MASK_SIZE);
    r->mask_at = 0;
    r->left = len;
    r->head_len = 0;
    r->in_payload = true;
    return WS_CLOSE_EMPTY;
}

static uint16_t take_head(struct intake *in)
{
    struct ws_reader *r = in->reader;

    while (in->len > 0) {
        r->head[r->head_len++] = (uint8_t)*in->at++;
        in->len--;
        if (r->head_len == 1 && !is_sound_first(r, r->head[0]))
            return WS_CLOSE_PROTOCOL;
        if (r->head_len == 2 && !is_sound_second(in, r->head[0], r->head[1]))
            return WS_CLOSE_PROTOCOL;
        if (r->head_len >= 2 && r->head_len == head_size(r->head[1]))
            return begin_payload(in);
    }
    return WS_CLOSE_EMPTY;
}

/* What there is of the payload, unmasked. */
static struct str take_piece(struct intake *in)
{
    struct ws_reader *r = in->reader;
    size_t len = r->left < in->len ? (size_t)r->left : in->len;
    char *at = in->at;

    if (!in->settings->is_client) {
        ws_mask(at, len, r->mask, r->mask_at);
        r->mask_at = (uint8_t)((r->mask_at + len) & 3);
    }
    in->at += len;
    in->len -= len;
    r->left -= len;
    r->in_payload = r->left > 0;
    return (struct str){ .at = at, .len = len };
}

/* Section 7.4: those that may be sent. 1004 to 1006 and 1015 are reserved, and
 * what is below 3000 belongs to the protocol. */
static bool is_close_code(unsigned code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

static uint16_t close_came(struct intake *in, struct str payload)
{
    uint16_t code = WS_CLOSE_EMPTY;
    struct str reason = STR("");

    if (payload.len > 0) {
        code = (uint16_t)((uint8_t)payload.at[0] << 8 | (uint8_t)payload.at[1]);
        reason = (struct str){ .at = payload.at + 2, .len = payload.len - 2 };
        if (!is_close_code(code))
            return WS_CLOSE_PROTOCOL;
        if (!utf8_is_valid(reason.at, reason.len))
            return WS_CLOSE_NOT_UTF8;
    }
    in->reader->is_over = true;
    in->events->close(in->context, code, reason);
    return WS_CLOSE_EMPTY;
}

static uint16_t control_came(struct intake *in, struct str payload)
{
    switch (in->reader->first_byte & FIRST_OPCODE) {
    case WS_PING: in->events->ping(in->context, payload.at, payload.len); break;
    case WS_PONG: in->events->pong(in->context, payload.at, payload.len); break;
    default: return close_came(in, payload);
    }
    return WS_CLOSE_EMPTY;
}

static uint16_t take_control(struct intake *in)
{
    struct ws_reader *r = in->reader;
    struct str piece = take_piece(in);

    if (r->control == NULL) {
        if (!r->in_payload)
            return control_came(in, piece);
        r->control = mem_alloc(WS_CONTROL_MAX);
        r->control_len = 0;
    }
    memcpy(r->control + r->control_len, piece.at, piece.len);
    r->control_len = (uint8_t)(r->control_len + piece.len);
    if (r->in_payload)
        return WS_CLOSE_EMPTY;

    uint16_t code = control_came(in, (struct str){ .at = r->control, .len = r->control_len });
    mem_free(r->control);
    r->control = NULL;
    return code;
}

/* A message in one frame that is here completely: handed out where it lies. */
static uint16_t take_whole_message(struct intake *in)
{
    enum ws_opcode type = (enum ws_opcode)(in->reader->first_byte & FIRST_OPCODE);
    char *data = in->at;
    size_t len = take_piece(in).len;

    if (type == WS_TEXT && !utf8_is_valid(data, len))
        return WS_CLOSE_NOT_UTF8;
    in->events->message(in->context, type, data, len);
    return WS_CLOSE_EMPTY;
}

static void message_came(struct intake *in)
{
    struct ws_message *m = in->reader->message;

    in->reader->message = NULL;
    buf_reserve(&m->data, 0); /* data is not NULL, also of an empty message */
    in->events->message(in->context, m->type, m->data.data, m->data.len);
    message_free(m);
}

static uint16_t take_data(struct intake *in)
{
    struct ws_reader *r = in->reader;

    if (r->message == NULL) {
        if ((r->first_byte & (WS_FIN | WS_RSV1)) == WS_FIN && r->left <= in->len)
            return take_whole_message(in);
        r->message = message_new(in);
    }
    struct str piece = take_piece(in);
    bool is_last = !r->in_payload && (r->first_byte & WS_FIN) != 0;
    uint16_t code = message_append(r->message, piece.at, piece.len, is_last);
    if (code == WS_CLOSE_EMPTY && is_last)
        message_came(in);
    return code;
}

static uint16_t take(struct intake *in)
{
    struct ws_reader *r = in->reader;

    if (!r->in_payload)
        return take_head(in);
    return is_control(r->first_byte) ? take_control(in) : take_data(in);
}

void ws_reader_init(struct ws_reader *r, bool is_deflate)
{
    *r = (struct ws_reader){ .is_deflate = is_deflate };
}

void ws_reader_deinit(struct ws_reader *r)
{
    message_free(r->message);
    mem_free(r->control);
    *r = (struct ws_reader){ .is_over = true };
}

uint16_t ws_reader_feed(struct ws_reader *r, const struct ws_settings *settings,
                        const struct ws_events *events, void *context, char *bytes, size_t len)
{
    struct intake in = { r, settings, events, context, bytes, len };
    uint16_t code = WS_CLOSE_EMPTY;

    assert(settings->message_max <= SIZE_MAX / 4);
    /* An empty payload is complete although no byte is left to read. */
    while (!r->is_over && (in.len > 0 || (r->in_payload && r->left == 0))) {
        code = take(&in);
        if (code != WS_CLOSE_EMPTY)
            r->is_over = true;
    }
    if (r->is_over)
        ws_reader_deinit(r);
    return code;
}
