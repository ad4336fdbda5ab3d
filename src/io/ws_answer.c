#include "io/ws_answer.h"

#include <string.h>

#include <curl/curl.h>

#include "base/encode.h"
#include "base/err.h"

void ws_key(char out[WS_KEY_SIZE])
{
    uint8_t nonce[16];

    random_bytes(nonce, sizeof(nonce));
    encode_base64(nonce, sizeof(nonce), out);
}

static bool part(CURLU *url, CURLUPart which, unsigned flags, char **out)
{
    return curl_url_get(url, which, out, flags) == CURLUE_OK;
}

int ws_ask(const char *text, const char *key, const char *token, struct buf *out)
{
    CURLU *url = curl_url();
    char *host = NULL, *port = NULL, *path = NULL, *query = NULL;
    int err = FAIL_SYNTAX;

    if (curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK ||
        !part(url, CURLUPART_HOST, 0, &host) || !part(url, CURLUPART_PATH, 0, &path))
        goto end;
    part(url, CURLUPART_PORT, CURLU_NO_DEFAULT_PORT, &port);
    part(url, CURLUPART_QUERY, 0, &query);
    buf_printf(out, "GET %s%s%s HTTP/1.1\r\nHost: %s%s%s\r\n", path, query ? "?" : "",
               query ? query : "", host, port ? ":" : "", port ? port : "");
    buf_printf(out,
               "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
               "Sec-WebSocket-Version: 13\r\nUser-Agent: reelay/" REELAY_VERSION "\r\n",
               key);
    if (token != NULL)
        buf_printf(out, "Authorization: Bearer %s\r\n", token);
    buf_puts(out, "\r\n");
    err = out->failed ? FAIL_LIMIT : OK;
end:
    curl_free(host);
    curl_free(port);
    curl_free(path);
    curl_free(query);
    curl_url_cleanup(url);
    return err;
}

static struct str line_of(struct str *rest)
{
    struct str line = str_cut(rest, '\n');

    if (line.len > 0 && line.at[line.len - 1] == '\r')
        line.len--;
    return line;
}

static bool has_token(struct str list, struct str token)
{
    while (list.at != NULL)
        if (str_equal_nocase(str_trim(str_cut(&list, ',')), token))
            return true;
    return false;
}

/* "HTTP/1.1 101 ..."; 0 if it is not that. */
static int status_of(struct str line)
{
    uint64_t status = 0;

    if (!str_starts(line, STR("HTTP/1.1 ")) || line.len < 12)
        return 0;
    if (str_parse_u64((struct str){ line.at + 9, 3 }, 999, &status) != OK)
        return 0;
    return (int)status;
}

static int refuse(struct ws_answer_head *out, const char *why)
{
    out->why = why;
    return FAIL_SYNTAX;
}

static int check_fields(struct str rest, const char *accept, struct ws_answer_head *out)
{
    bool upgrades = false, agrees = false, accepts = false;

    while (rest.at != NULL && rest.len > 0) {
        struct str value = line_of(&rest);
        struct str name = str_cut(&value, ':');
        value = str_trim(value);
        if (str_equal_nocase(name, STR("Upgrade")))
            upgrades = str_equal_nocase(value, STR("websocket"));
        else if (str_equal_nocase(name, STR("Connection")))
            agrees = has_token(value, STR("upgrade")) || agrees;
        else if (str_equal_nocase(name, STR("Sec-WebSocket-Accept")))
            accepts = str_equal(value, str_of(accept));
        else if (str_equal_nocase(name, STR("Sec-WebSocket-Extensions")) ||
                 str_equal_nocase(name, STR("Sec-WebSocket-Protocol")))
            return refuse(out, "the server chose what it was not asked for");
    }
    if (!upgrades || !agrees || !accepts)
        return refuse(out, "the server's WebSocket handshake is not valid");
    return OK;
}

int ws_answer_read(struct str bytes, const char *accept, struct ws_answer_head *out)
{
    const char *end = bytes.len ? memmem(bytes.at, bytes.len, "\r\n\r\n", 4) : NULL;

    if (end == NULL)
        return FAIL_MISSING;
    struct str rest = { bytes.at, (size_t)(end - bytes.at) };
    *out = (struct ws_answer_head){ .len = rest.len + 4 };
    out->status = status_of(line_of(&rest));
    if (out->status == 0)
        return refuse(out, "the server does not speak HTTP/1.1");
    if (out->status != 101) {
        out->why = "the server refused the WebSocket";
        return FAIL_UNSUPPORTED;
    }
    return check_fields(rest, accept, out);
}
