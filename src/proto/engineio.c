#include "proto/engineio.h"

#include "base/emit.h"
#include "base/encode.h"
#include "base/err.h"
#include "proto/ws.h"

static size_t base64_length(size_t len)
{
    return ENCODE_BASE64_SIZE(len) - 1;
}

static void append_base64(struct buf *out, struct str bytes)
{
    char *to = buf_reserve(out, base64_length(bytes.len));

    if (to == NULL)
        return;
    encode_base64(bytes.at, bytes.len, to);
    out->len += base64_length(bytes.len);
}

static int append_bytes(struct buf *out, struct str text)
{
    char *to = buf_reserve(out, text.len / 4 * 3);
    size_t len;

    if (to == NULL)
        return FAIL_LIMIT;
    int err = decode_base64(text.at, text.len, to, &len);
    if (err)
        return err;
    to[len] = '\0';
    out->len += len;
    return OK;
}

static int read_base64(struct str text, struct buf *binary, struct engineio_packet *out)
{
    buf_reset(binary);
    int rc = append_bytes(binary, text);
    if (rc != OK) {
        buf_reset(binary);
        return rc;
    }
    *out = (struct engineio_packet){ ENGINEIO_MESSAGE, true, buf_str(binary) };
    return OK;
}

int engineio_read(enum engineio_revision revision, struct str text, struct buf *binary,
                  struct engineio_packet *out)
{
    if (revision == ENGINEIO_V3 && str_starts(text, STR("b4")))
        return read_base64((struct str){ text.at + 2, text.len - 2 }, binary, out);
    if (revision == ENGINEIO_V4 && str_starts(text, STR("b")))
        return read_base64((struct str){ text.at + 1, text.len - 1 }, binary, out);
    if (text.len == 0 || text.at[0] < ENGINEIO_OPEN || text.at[0] > ENGINEIO_NOOP)
        return FAIL_SYNTAX;
    *out = (struct engineio_packet){ (enum engineio_type)text.at[0],
                                     false,
                                     { text.at + 1, text.len - 1 } };
    return OK;
}

int engineio_read_bytes(enum engineio_revision revision, struct str bytes,
                        struct engineio_packet *out)
{
    if (revision == ENGINEIO_V3) {
        if (bytes.len == 0 || bytes.at[0] != ENGINEIO_MESSAGE - '0')
            return FAIL_SYNTAX;
        bytes = (struct str){ bytes.at + 1, bytes.len - 1 };
    }
    *out = (struct engineio_packet){ ENGINEIO_MESSAGE, true, bytes };
    return OK;
}

/* How many UTF-16 units a character has, by its first byte. */
static size_t units_of(char first)
{
    return ((uint8_t)first & 0xc0) == 0x80 ? 0 : (uint8_t)first >= 0xf0 ? 2 : 1;
}

static size_t utf16_length(struct str text)
{
    size_t units = 0;

    for (size_t i = 0; i < text.len; i++)
        units += units_of(text.at[i]);
    return units;
}

/* The first `units` of the text; false when they end within a character, or are
 * more than there are. */
static bool cut_units(struct str *rest, uint64_t units, struct str *text)
{
    size_t i = 0;

    for (; i < rest->len; i++) {
        size_t next = units_of(rest->at[i]);
        if (next > 0 && units < next)
            break;
        units -= next;
    }
    if (units > 0)
        return false;
    *text = (struct str){ rest->at, i };
    rest->at = i < rest->len ? rest->at + i : NULL;
    rest->len -= i;
    return true;
}

static void next_with_length(struct str *payload, struct str *text)
{
    uint64_t units;
    struct str length = str_cut(payload, ':');

    if (payload->at != NULL && str_parse_u64(length, UINT32_MAX, &units) == OK &&
        cut_units(payload, units, text))
        return;
    *text = STR("");
    payload->at = NULL;
}

bool engineio_next(enum engineio_revision revision, struct str *payload, struct str *text)
{
    if (payload->at == NULL)
        return false;
    if (revision == ENGINEIO_V3)
        next_with_length(payload, text);
    else
        *text = str_cut(payload, ENGINEIO_SEPARATOR);
    return true;
}

void engineio_append(enum engineio_revision revision, struct buf *payload,
                     const struct engineio_packet *packet)
{
    bool is_v3 = revision == ENGINEIO_V3;

    if (is_v3 && packet->is_binary)
        buf_printf(payload, "%zu:b4", 2 + base64_length(packet->data.len));
    else if (is_v3)
        buf_printf(payload, "%zu:%c", 1 + utf16_length(packet->data), packet->type);
    else if (payload->len > 0)
        buf_putc(payload, ENGINEIO_SEPARATOR);
    if (!is_v3)
        buf_putc(payload, packet->is_binary ? 'b' : (char)packet->type);
    if (packet->is_binary)
        append_base64(payload, packet->data);
    else
        buf_append(payload, packet->data.at, packet->data.len);
}

void engineio_append_frame(enum engineio_revision revision, struct buf *frames,
                           const struct engineio_packet *packet)
{
    uint8_t opcode = packet->is_binary ? WS_BINARY : WS_TEXT;
    bool is_typed = !packet->is_binary || revision == ENGINEIO_V3;
    char type = (char)(packet->is_binary ? ENGINEIO_MESSAGE - '0' : packet->type);
    uint8_t head[WS_HEAD_MAX];

    buf_append(frames, head, ws_head(head, WS_FIN | opcode, packet->data.len + is_typed));
    buf_append(frames, &type, is_typed);
    buf_append(frames, packet->data.at, packet->data.len);
}

void engineio_append_open(struct buf *json, const struct engineio_open *open)
{
    emit_open(json, '{');
    emit_field_string(json, "sid", open->sid);
    emit_field_raw(json, "upgrades", open->may_upgrade ? "[\"websocket\"]" : "[]");
    emit_field_int(json, "pingInterval", open->ping_interval_ms);
    emit_field_int(json, "pingTimeout", open->ping_timeout_ms);
    emit_field_int(json, "maxPayload", (int64_t)open->payload_max);
    emit_close(json, '}');
}
