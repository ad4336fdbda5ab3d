#include "proto/ws.h"

#include <string.h>

#include "base/encode.h"

enum { MASK_BIT = 0x80, MASK_SIZE = 4, REASON_MAX = WS_CONTROL_MAX - 2 };

void ws_mask(char *bytes, size_t len, const uint8_t mask[4], unsigned at)
{
    uint8_t key[8];
    uint64_t wide, word;
    size_t i = 0;

    for (unsigned k = 0; k < sizeof(key); k++)
        key[k] = mask[(at + k) & 3];
    memcpy(&wide, key, sizeof(wide));
    for (; len - i >= sizeof(word); i += sizeof(word)) {
        memcpy(&word, bytes + i, sizeof(word));
        word ^= wide;
        memcpy(bytes + i, &word, sizeof(word));
    }
    for (; i < len; i++)
        bytes[i] = (char)((uint8_t)bytes[i] ^ key[i & 7]);
}

/* Section 5.2: the shortest of three forms of the length. */
size_t ws_head(uint8_t out[WS_HEAD_MAX], uint8_t first_byte, uint64_t len)
{
    size_t bytes = len < 126 ? 0 : len <= UINT16_MAX ? 2 : 8;

    out[0] = first_byte;
    out[1] = bytes == 0 ? (uint8_t)len : bytes == 2 ? 126 : 127;
    for (size_t i = 0; i < bytes; i++)
        out[2 + i] = (uint8_t)(len >> (8 * (bytes - 1 - i)));
    return 2 + bytes;
}

static void append(struct buf *out, uint8_t first_byte, const uint8_t *mask, const void *data,
                   size_t len)
{
    uint8_t head[WS_HEAD_MAX];
    size_t head_len = ws_head(head, first_byte, len);

    if (mask != NULL) {
        head[1] |= MASK_BIT;
        memcpy(head + head_len, mask, MASK_SIZE);
        head_len += MASK_SIZE;
    }
    char *at = buf_reserve(out, head_len + len);
    if (at == NULL)
        return;
    memcpy(at, head, head_len);
    if (len > 0)
        memcpy(at + head_len, data, len);
    if (mask != NULL)
        ws_mask(at + head_len, len, mask, 0);
    out->len += head_len + len;
    out->data[out->len] = '\0';
}

void ws_append_frame(struct buf *out, uint8_t first_byte, const void *data, size_t len)
{
    append(out, first_byte, NULL, data, len);
}

/* Section 10.3: the mask must not be foreseeable by who chose the payload. */
void ws_append_masked(struct buf *out, uint8_t first_byte, const void *data, size_t len)
{
    uint8_t mask[MASK_SIZE];

    random_bytes(mask, sizeof(mask));
    append(out, first_byte, mask, data, len);
}

/* As many whole characters as a Close frame has room for. */
static size_t reason_len(const char *reason)
{
    size_t total = strlen(reason), len = 0;

    while (len < total) {
        size_t step = utf8_length(reason + len, total - len);
        if (step == 0 || len + step > REASON_MAX)
            break;
        len += step;
    }
    return len;
}

void ws_append_close(struct buf *out, uint16_t code, const char *reason, bool is_client)
{
    uint8_t payload[WS_CONTROL_MAX];
    size_t len = 0;

    if (code != WS_CLOSE_EMPTY) {
        size_t text_len = reason ? reason_len(reason) : 0;
        payload[0] = (uint8_t)(code >> 8);
        payload[1] = (uint8_t)code;
        if (text_len > 0)
            memcpy(payload + 2, reason, text_len);
        len = 2 + text_len;
    }
    if (is_client)
        ws_append_masked(out, WS_FIN | WS_CLOSE, payload, len);
    else
        ws_append_frame(out, WS_FIN | WS_CLOSE, payload, len);
}
