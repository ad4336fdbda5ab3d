#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/emit.h"
#include "core/counters.h"
#include "io/conversation.h"
#include "proto/http.h"

enum { ANSWER_HEAD_MAX = 64 * 1024 };

static bool has_length(int status)
{
    /* RFC 9110, 8.6. */
    return status >= 200 && status != 204 && status != 304;
}

static const char *connection_value(const struct exchange *x, int status)
{
    if (status == 426) /* RFC 9110, 15.5.22: names what to upgrade to */
        return x->must_close ? "upgrade, close" : "upgrade";
    if (x->must_close)
        return "close";
    return x->request->is_http10 ? "keep-alive" : NULL;
}

void answer_put_head(const struct exchange *x, struct buf *head, int status,
                     const char *content_type, const char *connection)
{
    buf_printf(head, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, http_status_text(status),
               x->thread->date);
    if (content_type != NULL)
        buf_printf(head, "Content-Type: %s\r\n", content_type);
    if (connection != NULL)
        buf_printf(head, "Connection: %s\r\n", connection);
    /* The rest of what the handler had added was for its own answer. */
    buf_append(head, x->fields.data, x->is_refused ? x->fields_kept : x->fields.len);
}

void answer_begin(struct exchange *x, int status, const char *content_type, uint64_t length)
{
    struct buf *head = &x->head;

    if (x->request == NULL || !x->request->keeps_alive || !x->is_complete || x->is_at_end ||
        x->thread->is_draining)
        x->must_close = true;
    if (status >= 200)
        counter_add((enum counter)(COUNT_ANSWERS + status / 100 - 2), 1);
    buf_init(head, ANSWER_HEAD_MAX);
    answer_put_head(x, head, status, content_type, connection_value(x, status));
    if (has_length(status))
        buf_printf(head, "Content-Length: %llu\r\n", (unsigned long long)length);
    buf_puts(head, "\r\n");
    assert(!head->failed);
    x->is_answered = true;
}

/* "Bad Request" as "BAD_REQUEST". */
static void put_code(struct buf *out, const char *text)
{
    char code[48];
    size_t len = 0;

    for (; *text != '\0' && len < sizeof(code) - 1; text++)
        code[len++] = isalpha((unsigned char)*text) ? (char)toupper((unsigned char)*text) : '_';
    code[len] = '\0';
    emit_field_string(out, "code", code);
}

struct msg *answer_error(int status)
{
    const char *text = http_status_text(status);
    struct buf out;

    buf_init(&out, 512);
    emit_open(&out, '{');
    emit_key(&out, "error");
    emit_open(&out, '{');
    put_code(&out, text);
    emit_field_string(&out, "message", text);
    emit_close(&out, '}');
    emit_close(&out, '}');
    struct msg *m = msg_new(out.data, out.len);
    buf_deinit(&out);
    return m;
}

/* Head and content from where the last write stopped. */
static unsigned gather(const struct exchange *x, struct iovec iov[2])
{
    unsigned count = 0;
    size_t skip = x->sent;

    if (skip < x->head.len) {
        iov[count++] = (struct iovec){ x->head.data + skip, x->head.len - skip };
        skip = 0;
    } else {
        skip -= x->head.len;
    }
    if (x->content != NULL && skip < x->content->len)
        iov[count++] = (struct iovec){ x->content->data + skip, x->content->len - skip };
    return count;
}

bool answer_write(struct exchange *x)
{
    size_t total = x->head.len + (x->content != NULL ? x->content->len : 0);
    struct iovec iov[2];

    while (x->sent < total) {
        unsigned count = gather(x, iov);
        ssize_t sent = connection_write(x->connection, iov, count, x->file != NULL);
        if (sent <= 0)
            return false;
        x->sent += (size_t)sent;
        x->has_progress = true;
    }
    return x->file == NULL || file_answer_write(x);
}

void answer_reset(struct exchange *x)
{
    buf_deinit(&x->fields);
    buf_deinit(&x->head);
    msg_unref(&x->content);
    file_answer_free(x);
    x->sent = x->fields_kept = 0;
}
