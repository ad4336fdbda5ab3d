#include "proto/ws.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/err.h"
#include "proto/ws_extension.h"

enum { SHA1_SIZE = 20, KEY_DIGITS = 22 };

void ws_accept_key(struct str key, char accept[WS_ACCEPT_SIZE])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* section 1.3 */
    uint8_t digest[SHA1_SIZE];
    EVP_MD_CTX *sha1 = EVP_MD_CTX_new();

    /* Fails only without memory or in an OpenSSL that was built without SHA-1. */
    if (sha1 == NULL || !EVP_DigestInit_ex(sha1, EVP_sha1(), NULL) ||
        !EVP_DigestUpdate(sha1, key.at, key.len) ||
        !EVP_DigestUpdate(sha1, guid, sizeof(guid) - 1) || !EVP_DigestFinal_ex(sha1, digest, NULL))
        abort();
    EVP_MD_CTX_free(sha1);
    EVP_EncodeBlock((unsigned char *)accept, digest, sizeof(digest));
}

/* The value of a header that must be there exactly once. */
static struct str only_header(const struct http_request *request, struct str name)
{
    struct str value = { 0 };

    for (unsigned i = 0; i < request->header_count; i++) {
        if (!str_equal_nocase(request->headers[i].name, name))
            continue;
        if (value.at != NULL)
            return (struct str){ 0 };
        value = request->headers[i].value;
    }
    return value;
}

static bool asks_for_websocket(const struct http_request *request)
{
    for (unsigned i = 0; i < request->header_count; i++) {
        if (!str_equal_nocase(request->headers[i].name, STR("Upgrade")))
            continue;
        struct str rest = request->headers[i].value;
        while (rest.len > 0)
            if (str_equal_nocase(str_trim(str_cut(&rest, ',')), STR("websocket")))
                return true;
    }
    return false;
}

/* Base64 of 16 bytes: 22 digits and two signs of padding. */
static bool is_key(struct str key)
{
    if (key.len != KEY_DIGITS + 2 || !str_ends(key, STR("==")))
        return false;
    for (size_t i = 0; i < KEY_DIGITS; i++) {
        char c = key.at[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '+' || c == '/'))
            return false;
    }
    return true;
}

static int check_version(const struct http_request *request)
{
    struct str version = only_header(request, STR("Sec-WebSocket-Version"));
    uint64_t number;

    if (str_equal(version, STR("13")))
        return 0;
    /* Another version is worth telling which one we speak (section 4.4). */
    return str_parse_u64(version, 255, &number) == OK ? 426 : 400;
}

/* Section 9.1: a value that breaks the grammar fails the connection. */
static bool has_sound_extensions(const struct http_request *request)
{
    for (unsigned i = 0; i < request->header_count; i++) {
        if (!ws_extension_is_header(&request->headers[i]))
            continue;
        struct ws_extension_walk walk;
        struct ws_extension_part part;
        int code;
        ws_extension_walk_init(&walk, request->headers[i].value);
        do {
            code = ws_extension_next(&walk, &part);
        } while (code == OK);
        if (code == FAIL_SYNTAX)
            return false;
    }
    return true;
}

int ws_handshake(const struct http_request *request, char accept[WS_ACCEPT_SIZE])
{
    if (request->method != HTTP_GET)
        return 405;
    if (request->is_http10 || !request->wants_upgrade || !asks_for_websocket(request))
        return 400;
    /* Bytes of a body could be taken for frames. */
    if (request->is_chunked || request->content_length > 0)
        return 400;
    int status = check_version(request);
    if (status != 0)
        return status;
    struct str key = only_header(request, STR("Sec-WebSocket-Key"));
    if (!is_key(key) || !has_sound_extensions(request))
        return 400;
    ws_accept_key(key, accept);
    return 0;
}
