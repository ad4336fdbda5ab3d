#include "proto/http_reading.h"

#include "base/mem.h"

static struct http_reading *reading_of(llhttp_t *llhttp)
{
    return llhttp->data;
}

/* The head is one run of memory, so a field that llhttp reports in pieces has
 * them side by side. */
static void extend(struct str *s, const char *at, size_t len)
{
    if (s->at == NULL)
        s->at = at;
    s->len = (size_t)(at + len - s->at);
}

static int on_url(llhttp_t *llhttp, const char *at, size_t len)
{
    extend(&reading_of(llhttp)->target, at, len);
    return 0;
}

static int on_field(llhttp_t *llhttp, const char *at, size_t len)
{
    struct http_reading *r = reading_of(llhttp);

    if (r->is_head_parsed)
        return 0;
    if (r->header_count == r->facts->fields)
        return -1;
    r->headers[r->header_count++] = (struct http_header){ .name = { at, len } };
    return 0;
}

static int on_value(llhttp_t *llhttp, const char *at, size_t len)
{
    struct http_reading *r = reading_of(llhttp);

    if (r->is_head_parsed)
        return 0;
    if (r->header_count == 0)
        return -1;
    extend(&r->headers[r->header_count - 1].value, at, len);
    return 0;
}

/* Two readings of one head: what they do not agree about is refused. */
static int on_headers_complete(llhttp_t *llhttp)
{
    struct http_reading *r = reading_of(llhttp);
    const struct http_facts *facts = r->facts;
    const char *method = llhttp_method_name(llhttp->method);
    bool has_length = llhttp->flags & F_CONTENT_LENGTH;

    r->is_head_parsed = true;
    if (http_method_of(str_of(method)) != facts->method || llhttp->http_major != 1 ||
        llhttp->http_minor != !facts->is_http10 || r->header_count != facts->fields ||
        has_length != (facts->content_length >= 0) ||
        (has_length && llhttp->content_length != (uint64_t)facts->content_length) ||
        !(llhttp->flags & F_CHUNKED) != (facts->codings == 0))
        return -1;
    return 0;
}

static int on_body(llhttp_t *llhttp, const char *at, size_t len)
{
    struct http_reading *r = reading_of(llhttp);

    r->refusal = r->events->body(r->context, at, len);
    return r->refusal == 0 ? 0 : -1;
}

static int on_complete(llhttp_t *llhttp)
{
    reading_of(llhttp)->is_complete = true;
    return 0;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

/* An upgrade makes llhttp pause behind the request: nothing more will come. */
int http_reading_give(struct http_reading *r, struct str bytes)
{
    llhttp_errno_t error = llhttp_execute(&r->llhttp, bytes.at, bytes.len);

    if (r->refusal != 0)
        return r->refusal;
    return error == HPE_OK || (error == HPE_PAUSED_UPGRADE && r->is_complete) ? 0 : 400;
}

/* llhttp passes over an empty value, which is not an absent field. */
static void trim_values(struct http_reading *r)
{
    for (unsigned i = 0; i < r->header_count; i++) {
        struct http_header *h = &r->headers[i];
        h->value = h->value.at ? str_trim(h->value) : (struct str){ h->name.at, 0 };
    }
}

int http_reading_begin(struct http_reading *r, const struct http_facts *facts, struct str head,
                       const struct http_events *events, void *context)
{
    *r = (struct http_reading){ .facts = facts, .events = events, .context = context };
    r->headers = mem_alloc(facts->fields * sizeof(*r->headers));
    llhttp_init(&r->llhttp, HTTP_REQUEST, &settings);
    r->llhttp.data = r;
    int status = http_reading_give(r, head);
    trim_values(r);
    return status == 0 && !r->is_head_parsed ? 400 : status;
}

void http_reading_end(struct http_reading *r)
{
    mem_free(r->headers);
    *r = (struct http_reading){ 0 };
}
