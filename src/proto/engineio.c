#include "proto/engineio.h"

#include "base/emit.h"
#include "base/err.h"
#include "proto/ws.h"

/* RFC 4648, section 4. */
static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int digit_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static void append_base64(struct buf *out, struct str bytes)
{
    const uint8_t *from = (const uint8_t *)bytes.at;
    char *to = buf_reserve(out, (bytes.len + 2) / 3 * 4);

    if (to == NULL)
        return;
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t group = (uint32_t)from[i] << 16;
        group |= left > 1 ? (uint32_t)from[i + 1] << 8 : 0;
        group |= left > 2 ? from[i + 2] : 0;
        *to++ = digits[group >> 18];
        *to++ = digits[group >> 12 & 63];
        *to++ = left > 1 ? digits[group >> 6 & 63] : '=';
        *to++ = left > 2 ? digits[group & 63] : '=';
    }
    *to = '\0';
    out->len += (bytes.len + 2) / 3 * 4;
}

static size_t padding_of(struct str text)
{
    size_t padding = 0;

    while (padding < 2 && padding < text.len && text.at[text.len - 1 - padding] == '=')
        padding++;
    return padding;
}

/* Strict: padded, no spare bits, nothing between the digits. */
static int append_bytes(struct buf *out, struct str text)
{
    size_t padding = padding_of(text);
    uint32_t held = 0;
    unsigned bits = 0;

    if (text.len % 4 != 0)
        return FAIL_SYNTAX;
    char *to = buf_reserve(out, text.len / 4 * 3);
    if (to == NULL)
        return FAIL_LIMIT;
    for (size_t i = 0; i < text.len - padding; i++) {
        int value = digit_value(text.at[i]);
        if (value < 0)
            return FAIL_SYNTAX;
        held = held << 6 | (uint32_t)value;
        bits += 6;
        if (bits < 8)
            continue;
        bits -= 8;
        *to++ = (char)(held >> bits);
    }
    if (held & ((1u << bits) - 1))
        return FAIL_SYNTAX;
    *to = '\0';
    out->len += text.len / 4 * 3 - padding;
    return OK;
}

int engineio_read(struct str text, struct buf *binary, struct engineio_packet *out)
{
    if (text.len == 0)
        return FAIL_SYNTAX;
    struct str data = { text.at + 1, text.len - 1 };
    if (text.at[0] == 'b') {
        buf_reset(binary);
        int rc = append_bytes(binary, data);
        if (rc != OK) {
            buf_reset(binary);
            return rc;
        }
        *out = (struct engineio_packet){ ENGINEIO_MESSAGE, true, buf_str(binary) };
        return OK;
    }
    if (text.at[0] < ENGINEIO_OPEN || text.at[0] > ENGINEIO_NOOP)
        return FAIL_SYNTAX;
    *out = (struct engineio_packet){ (enum engineio_type)text.at[0], false, data };
    return OK;
}

bool engineio_next(struct str *payload, struct str *text)
{
    if (payload->at == NULL)
        return false;
    *text = str_cut(payload, ENGINEIO_SEPARATOR);
    return true;
}

void engineio_append(struct buf *payload, const struct engineio_packet *packet)
{
    if (payload->len > 0)
        buf_putc(payload, ENGINEIO_SEPARATOR);
    if (packet->is_binary) {
        buf_putc(payload, 'b');
        append_base64(payload, packet->data);
        return;
    }
    buf_putc(payload, (char)packet->type);
    buf_append(payload, packet->data.at, packet->data.len);
}

void engineio_append_frame(struct buf *frames, const struct engineio_packet *packet)
{
    uint8_t head[WS_HEAD_MAX];

    if (packet->is_binary) {
        ws_append_frame(frames, WS_FIN | WS_BINARY, packet->data.at, packet->data.len);
        return;
    }
    buf_append(frames, head, ws_head(head, WS_FIN | WS_TEXT, packet->data.len + 1));
    buf_putc(frames, (char)packet->type);
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
