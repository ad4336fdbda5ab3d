#include "proto/http_filter.h"

static const struct {
    enum http_method method;
    const char *name;
} methods[] = {
    { HTTP_GET, "GET" },         { HTTP_HEAD, "HEAD" },   { HTTP_POST, "POST" },
    { HTTP_PUT, "PUT" },         { HTTP_PATCH, "PATCH" }, { HTTP_DELETE, "DELETE" },
    { HTTP_OPTIONS, "OPTIONS" },
};
enum { METHODS = sizeof(methods) / sizeof(methods[0]) };

enum http_method http_method_of(struct str name)
{
    for (int i = 0; i < METHODS; i++)
        if (str_equal(name, str_of(methods[i].name)))
            return methods[i].method;
    return 0;
}

const char *http_method_name(enum http_method method)
{
    for (int i = 0; i < METHODS; i++)
        if (methods[i].method == method)
            return methods[i].name;
    return "UNKNOWN";
}

#define STATUS_MAP(X)                                                                              \
    X(100, "Continue")                                                                             \
    X(101, "Switching Protocols")                                                                  \
    X(200, "OK")                                                                                   \
    X(201, "Created")                                                                              \
    X(202, "Accepted")                                                                             \
    X(204, "No Content")                                                                           \
    X(206, "Partial Content")                                                                      \
    X(301, "Moved Permanently")                                                                    \
    X(302, "Found")                                                                                \
    X(303, "See Other")                                                                            \
    X(304, "Not Modified")                                                                         \
    X(307, "Temporary Redirect")                                                                   \
    X(308, "Permanent Redirect")                                                                   \
    X(400, "Bad Request")                                                                          \
    X(401, "Unauthorized")                                                                         \
    X(403, "Forbidden")                                                                            \
    X(404, "Not Found")                                                                            \
    X(405, "Method Not Allowed")                                                                   \
    X(406, "Not Acceptable")                                                                       \
    X(408, "Request Timeout")                                                                      \
    X(409, "Conflict")                                                                             \
    X(410, "Gone")                                                                                 \
    X(411, "Length Required")                                                                      \
    X(412, "Precondition Failed")                                                                  \
    X(413, "Content Too Large")                                                                    \
    X(414, "URI Too Long")                                                                         \
    X(415, "Unsupported Media Type")                                                               \
    X(416, "Range Not Satisfiable")                                                                \
    X(417, "Expectation Failed")                                                                   \
    X(421, "Misdirected Request")                                                                  \
    X(422, "Unprocessable Content")                                                                \
    X(423, "Locked")                                                                               \
    X(424, "Failed Dependency")                                                                    \
    X(425, "Too Early")                                                                            \
    X(426, "Upgrade Required")                                                                     \
    X(428, "Precondition Required")                                                                \
    X(429, "Too Many Requests")                                                                    \
    X(431, "Request Header Fields Too Large")                                                      \
    X(451, "Unavailable For Legal Reasons")                                                        \
    X(460, "Checksum Mismatch")                                                                    \
    X(500, "Internal Server Error")                                                                \
    X(501, "Not Implemented")                                                                      \
    X(502, "Bad Gateway")                                                                          \
    X(503, "Service Unavailable")                                                                  \
    X(504, "Gateway Timeout")                                                                      \
    X(505, "HTTP Version Not Supported")                                                           \
    X(507, "Insufficient Storage")

const char *http_status_text(int status)
{
    switch (status) {
#define X(number, text)                                                                            \
    case number: return text;
        STATUS_MAP(X)
#undef X
    default: return "Unknown";
    }
}

struct str http_header(const struct http_request *request, const char *name)
{
    struct str wanted = str_of(name);

    for (unsigned i = 0; i < request->header_count; i++)
        if (str_equal_nocase(request->headers[i].name, wanted))
            return request->headers[i].value;
    return (struct str){ 0 };
}

/* Cuts the next element off a list (RFC 9110, 5.6.1): a comma inside a quoted
 * string (5.6.4) separates nothing. */
static struct str cut_element(struct str *list)
{
    struct str element = *list;
    bool is_quoted = false;
    size_t i = 0;

    for (; i < list->len && (is_quoted || list->at[i] != ','); i++) {
        if (list->at[i] == '"')
            is_quoted = !is_quoted;
        else if (is_quoted && list->at[i] == '\\' && i + 1 < list->len)
            i++;
    }
    element.len = i;
    size_t gone = i < list->len ? i + 1 : i;
    list->at += gone;
    list->len -= gone;
    return str_trim(element);
}

static bool list_has(struct str list, struct str token)
{
    while (list.len > 0)
        if (str_equal_nocase(cut_element(&list), token))
            return true;
    return false;
}

bool http_header_has(const struct http_request *request, const char *name, const char *token)
{
    struct str wanted = str_of(name);

    for (unsigned i = 0; i < request->header_count; i++)
        if (str_equal_nocase(request->headers[i].name, wanted) &&
            list_has(request->headers[i].value, str_of(token)))
            return true;
    return false;
}
