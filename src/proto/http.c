#include "proto/http.h"

#include <assert.h>

#include "base/mem.h"
#include "proto/http_filter.h"
#include "proto/http_reading.h"

/*               CRLF, once
 *                 .---.
 *                 v   |          no body
 *   AT_END --> AT_REQUEST_LINE -> AT_FIELDS ----------------------------> AT_END
 *     ^                             |  |                                   ^  ^
 *     '-- next feed                 |  '-> AT_BODY ------------------------'  |
 *                                   v            size 0                       |
 *               .-------------> AT_CHUNK_LINE ----------> AT_TRAILER ---------'
 *               |                   v
 *               '- AT_CHUNK_END <- AT_CHUNK_DATA            any: AT_REFUSED
 *
 * Lines are collected whole and filtered before llhttp gets them; content goes
 * to llhttp as it comes. The filter counts where content ends, so that llhttp
 * is never given a byte of what follows the request. */
enum state {
    AT_REQUEST_LINE,
    AT_FIELDS,
    AT_BODY,
    AT_CHUNK_LINE,
    AT_CHUNK_DATA,
    AT_CHUNK_END,
    AT_TRAILER,
    AT_END,
    AT_REFUSED,
};

struct http_parser {
    const struct http_limits *limits;
    const struct http_events *events;
    void *context;
    struct http_request request;
    struct http_facts facts;
    struct http_reading reading;
    struct buf head;    /* request line and fields; the request points into it */
    struct buf section; /* a chunk's line, or the trailer, as it arrives */
    size_t line_at;     /* where the line being collected begins */
    uint64_t body_left; /* of the content or the chunk */
    unsigned trailers;
    enum state state;
    bool has_skipped_line; /* the empty line before a request line */
};

static int give_section(struct http_parser *p)
{
    int status = http_reading_give(&p->reading, buf_str(&p->section));

    buf_reset(&p->section);
    return status;
}

static int finish(struct http_parser *p)
{
    if (!p->reading.is_complete)
        return 400;
    p->state = AT_END;
    buf_deinit(&p->section);
    p->events->complete(p->context);
    return 0;
}

/* RFC 9112, 9.3. */
static bool keeps_alive(const struct http_request *request)
{
    if (http_header_has(request, "Connection", "close"))
        return false;
    return !request->is_http10 || http_header_has(request, "Connection", "keep-alive");
}

static int fill_request(struct http_parser *p)
{
    struct http_request *r = &p->request;
    const struct http_facts *facts = &p->facts;
    struct http_target parts;

    r->method = facts->method;
    r->target = p->reading.target;
    if (http_target_split(r->target, r->method, &parts) != 0)
        return 400;
    r->path = parts.path;
    r->query = parts.query;
    r->headers = p->reading.headers;
    r->header_count = p->reading.header_count;
    /* RFC 9112, 3.2.2: the authority of an absolute target replaces Host. */
    r->host = parts.authority.len > 0 ? parts.authority : http_header(r, "Host");
    r->content_length = facts->content_length;
    r->is_chunked = facts->codings > 0;
    r->is_http10 = facts->is_http10;
    r->keeps_alive = keeps_alive(r);
    /* RFC 9110, 10.1.1 and 7.8: neither exists in HTTP/1.0. */
    r->expects_continue =
        facts->expects_continue && !r->is_http10 && (r->is_chunked || r->content_length > 0);
    r->wants_upgrade = !r->is_http10 && http_header_has(r, "Connection", "upgrade") &&
                       http_header(r, "Upgrade").at != NULL;
    return 0;
}

static int finish_head(struct http_parser *p)
{
    int status = http_filter_end(&p->facts);

    if (status != 0)
        return status;
    status = http_reading_begin(&p->reading, &p->facts, buf_str(&p->head), p->events, p->context);
    if (status == 0)
        status = fill_request(p);
    if (status == 0)
        status = p->events->head(p->context, &p->request);
    if (status != 0)
        return status;
    if (p->request.is_chunked) {
        p->state = AT_CHUNK_LINE;
        return 0;
    }
    if (p->request.content_length <= 0)
        return finish(p);
    p->body_left = (uint64_t)p->request.content_length;
    p->state = AT_BODY;
    return 0;
}

static struct str current_line(const struct http_parser *p, const struct buf *b)
{
    return (struct str){ b->data + p->line_at, b->len - p->line_at - 2 };
}

static int take_request_line(struct http_parser *p, struct str bytes, size_t *used)
{
    size_t max = p->limits->target_max + HTTP_METHOD_MAX + sizeof("  HTTP/1.1\r");
    bool is_whole;

    if (max > p->limits->head_max)
        max = p->limits->head_max;
    int status = http_line_take(&p->head, 0, max, bytes, used, &is_whole);
    if (status == 431)
        return http_filter_long_line(buf_str(&p->head));
    if (status != 0 || !is_whole)
        return status;
    struct str line = current_line(p, &p->head);
    if (line.len == 0 && !p->has_skipped_line) {
        p->has_skipped_line = true; /* RFC 9112, 2.2 */
        buf_reset(&p->head);
        return 0;
    }
    p->line_at = p->head.len;
    p->state = AT_FIELDS;
    return http_filter_request_line(&p->facts, line, p->limits->target_max);
}

static int take_field(struct http_parser *p, struct str bytes, size_t *used)
{
    bool is_whole;
    int status = http_line_take(&p->head, p->line_at, p->limits->head_max, bytes, used, &is_whole);

    if (status != 0 || !is_whole)
        return status;
    struct str line = current_line(p, &p->head);
    if (line.len == 0)
        return finish_head(p);
    p->line_at = p->head.len;
    if (p->facts.fields == p->limits->header_max)
        return 431;
    return http_filter_field(&p->facts, line);
}

static int take_content(struct http_parser *p, struct str bytes, size_t *used)
{
    *used = bytes.len < p->body_left ? bytes.len : (size_t)p->body_left;
    p->body_left -= *used;
    int status = http_reading_give(&p->reading, (struct str){ bytes.at, *used });
    if (status != 0 || p->body_left > 0)
        return status;
    if (p->state == AT_BODY)
        return finish(p);
    p->state = AT_CHUNK_END;
    return 0;
}

/* We use no extension (RFC 9112, 7.1.1: ignore them), and llhttp 8 refuses some
 * that are valid: it gets the size alone. */
static int take_chunk_line(struct http_parser *p, struct str bytes, size_t *used)
{
    bool is_whole;
    size_t digits;
    int status = http_line_take(&p->section, 0, HTTP_CHUNK_LINE_MAX, bytes, used, &is_whole);

    if (status != 0)
        return 400;
    if (!is_whole)
        return 0;
    p->line_at = 0;
    status = http_filter_chunk_line(current_line(p, &p->section), &digits, &p->body_left);
    if (status == 0)
        status = http_reading_give(&p->reading, (struct str){ p->section.data, digits });
    if (status != 0)
        return status;
    p->state = p->body_left > 0 ? AT_CHUNK_DATA : AT_TRAILER;
    buf_reset(&p->section);
    return http_reading_give(&p->reading, STR("\r\n"));
}

/* Content longer or shorter than its chunk said is noticed at its first byte. */
static int take_chunk_end(struct http_parser *p, struct str bytes, size_t *used)
{
    *used = 1;
    if (bytes.at[0] != "\r\n"[p->section.len])
        return 400;
    buf_append(&p->section, bytes.at, 1);
    if (p->section.len < 2)
        return 0;
    p->state = AT_CHUNK_LINE;
    return give_section(p);
}

static int take_trailer(struct http_parser *p, struct str bytes, size_t *used)
{
    bool is_whole;
    int status =
        http_line_take(&p->section, p->line_at, p->limits->head_max, bytes, used, &is_whole);

    if (status != 0 || !is_whole)
        return status;
    struct str line = current_line(p, &p->section);
    if (line.len == 0) {
        status = give_section(p);
        return status != 0 ? status : finish(p);
    }
    p->line_at = p->section.len;
    if (p->trailers++ == p->limits->header_max)
        return 431;
    return http_filter_trailer(line);
}

typedef int (*take_function)(struct http_parser *p, struct str bytes, size_t *used);

static const take_function takes[] = {
    [AT_REQUEST_LINE] = take_request_line,
    [AT_FIELDS] = take_field,
    [AT_BODY] = take_content,
    [AT_CHUNK_LINE] = take_chunk_line,
    [AT_CHUNK_DATA] = take_content,
    [AT_CHUNK_END] = take_chunk_end,
    [AT_TRAILER] = take_trailer,
};

static void begin_request(struct http_parser *p)
{
    size_t head_max = p->limits->head_max;

    buf_init(&p->head, head_max);
    buf_init(&p->section, head_max > HTTP_CHUNK_LINE_MAX ? head_max : HTTP_CHUNK_LINE_MAX);
    p->request = (struct http_request){ 0 };
    p->facts = (struct http_facts){ .content_length = -1 };
    p->line_at = 0;
    p->trailers = 0;
    p->has_skipped_line = false;
    p->state = AT_REQUEST_LINE;
}

static void drop_request(struct http_parser *p)
{
    buf_deinit(&p->head);
    buf_deinit(&p->section);
    http_reading_end(&p->reading);
}

struct http_parser *http_parser_new(const struct http_limits *limits,
                                    const struct http_events *events, void *context)
{
    struct http_parser *p = mem_new(struct http_parser);

    p->limits = limits;
    p->events = events;
    p->context = context;
    begin_request(p);
    return p;
}

void http_parser_free(struct http_parser *p)
{
    if (p == NULL)
        return;
    drop_request(p);
    mem_free(p);
}

void http_parser_release(struct http_parser *p)
{
    if (p->state != AT_END)
        return;
    drop_request(p);
    begin_request(p);
}

int http_parser_feed(struct http_parser *p, const char *bytes, size_t len, size_t *used)
{
    size_t at = 0;
    int status = 0;

    assert(p->state != AT_REFUSED);
    if (len > 0)
        http_parser_release(p);
    while (at < len && status == 0 && p->state != AT_END) {
        size_t n = 0;
        status = takes[p->state](p, (struct str){ bytes + at, len - at }, &n);
        at += n;
    }
    if (status != 0)
        p->state = AT_REFUSED;
    *used = at;
    return status;
}

bool http_parser_is_idle(const struct http_parser *p)
{
    return p->state == AT_END || (p->state == AT_REQUEST_LINE && p->head.len == 0);
}

bool http_parser_has_head(const struct http_parser *p)
{
    return p->state > AT_FIELDS && p->state < AT_END;
}

uint64_t http_parser_content_left(const struct http_parser *p)
{
    return p->state == AT_BODY ? p->body_left : 0;
}
