#include "base/encode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/err.h"

static const char hex_digits[] = "0123456789abcdef";
static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64url_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void encode_hex(const void *bytes, size_t len, char *out)
{
    const uint8_t *in = bytes;

    for (size_t i = 0; i < len; i++) {
        *out++ = hex_digits[in[i] >> 4];
        *out++ = hex_digits[in[i] & 15];
    }
    *out = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int decode_hex(const char *text, size_t text_len, void *out, size_t len)
{
    uint8_t *to = out;

    if (text_len != 2 * len)
        return FAIL_SYNTAX;
    for (size_t i = 0; i < len; i++)
        if (hex_value(text[2 * i]) < 0 || hex_value(text[2 * i + 1]) < 0)
            return FAIL_SYNTAX;
    for (size_t i = 0; i < len; i++)
        to[i] = (uint8_t)(hex_value(text[2 * i]) * 16 + hex_value(text[2 * i + 1]));
    return OK;
}

/* Gives the end of what it wrote. */
static char *put_digits(const char *digits, const void *bytes, size_t len, char *out)
{
    const uint8_t *in = bytes;
    uint32_t held = 0;
    int bits = 0;

    for (size_t i = 0; i < len; i++) {
        held = held << 8 | in[i];
        bits += 8;
        while (bits >= 6) {
            bits -= 6;
            *out++ = digits[held >> bits & 63];
        }
    }
    if (bits > 0)
        *out++ = digits[held << (6 - bits) & 63];
    return out;
}

void encode_base64url(const void *bytes, size_t len, char *out)
{
    *put_digits(base64url_digits, bytes, len, out) = '\0';
}

void encode_base64(const void *bytes, size_t len, char *out)
{
    char *end = put_digits(base64_digits, bytes, len, out);

    while ((end - out) % 4 != 0)
        *end++ = '=';
    *end = '\0';
}

/* The alphabets differ in their last two. */
static int digit_value(const char *digits, char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == digits[62] ? 62 : c == digits[63] ? 63 : -1;
}

static int take_digits(const char *digits, const char *text, size_t text_len, void *out,
                       size_t *len)
{
    uint8_t *to = out;
    uint32_t held = 0;
    int bits = 0;

    if (text_len % 4 == 1)
        return FAIL_SYNTAX;
    for (size_t i = 0; i < text_len; i++) {
        int value = digit_value(digits, text[i]);
        if (value < 0)
            return FAIL_SYNTAX;
        held = held << 6 | (uint32_t)value;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            *to++ = (uint8_t)(held >> bits);
        }
    }
    if (held & ((1u << bits) - 1))
        return FAIL_SYNTAX;
    *len = (size_t)(to - (uint8_t *)out);
    return OK;
}

int decode_base64url(const char *text, size_t text_len, void *out, size_t *len)
{
    return take_digits(base64url_digits, text, text_len, out, len);
}

int decode_base64(const char *text, size_t text_len, void *out, size_t *len)
{
    size_t padding = 0;

    if (text_len % 4 != 0)
        return FAIL_SYNTAX;
    while (padding < 2 && padding < text_len && text[text_len - 1 - padding] == '=')
        padding++;
    return take_digits(base64_digits, text, text_len - padding, out, len);
}

void random_bytes(void *out, size_t len)
{
    char *to = out;

    while (len > 0) {
        ssize_t got = getrandom(to, len, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            fprintf(stderr, "level=error event=no_random errno=%d\n", errno);
            abort();
        }
        to += got;
        len -= (size_t)got;
    }
}

uint64_t random_u64(void)
{
    uint64_t value;

    random_bytes(&value, sizeof(value));
    return value;
}

void random_uuid(char out[UUID_SIZE])
{
    uint8_t id[16];
    char hex[33];

    random_bytes(id, sizeof(id));
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
    encode_hex(id, sizeof(id), hex);
    snprintf(out, UUID_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
             hex + 20);
}
