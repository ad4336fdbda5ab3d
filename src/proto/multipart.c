#include "proto/multipart.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "proto/multipart_head.h"

enum { DELIMITER_MAX = MULTIPART_BOUNDARY_MAX + 4 };

/*                    CRLF
 *   PREAMBLE ─► TAIL ─────► HEAD ─► CONTENT ─┐
 *                ▲ │                         │ CRLF "--" boundary
 *                │ │ "--"                    │
 *                └─┼─────────────────────────┘
 *                  └► CLOSING ─► EPILOGUE */
enum state { PREAMBLE, TAIL, TAIL_LF, TAIL_DASH, HEAD, CONTENT, CLOSING, CLOSING_LF, EPILOGUE };

struct multipart {
    const struct multipart_limits *limits;
    const struct multipart_events *events;
    void *context;
    enum state state;
    int err;
    const char *why;
    size_t matched; /* bytes of the delimiter seen, held back: they may be content */
    size_t around;  /* bytes of preamble, padding or epilogue */
    unsigned parts;
    size_t line_at; /* where the line being read begins in `text` */
    struct buf text;
    struct multipart_head head;
    size_t delimiter_len;
    char delimiter[DELIMITER_MAX + 1];
};

struct multipart *multipart_new(const char *boundary, const struct multipart_limits *limits,
                                const struct multipart_events *events, void *context)
{
    struct multipart *m = mem_new(struct multipart);

    m->limits = limits;
    m->events = events;
    m->context = context;
    m->state = PREAMBLE;
    /* RFC 2046, 5.1.1: the first delimiter may stand at the very beginning,
     * where no CRLF is. */
    m->matched = 2;
    m->delimiter_len =
        (size_t)snprintf(m->delimiter, sizeof(m->delimiter), "\r\n--%.70s", boundary);
    buf_init(&m->text, limits->head_max);
    multipart_head_init(&m->head, limits->head_max);
    return m;
}

void multipart_free(struct multipart *m)
{
    if (m == NULL)
        return;
    buf_deinit(&m->text);
    multipart_head_deinit(&m->head);
    mem_free(m);
}

const char *multipart_why(const struct multipart *m)
{
    return m->why ? m->why : "";
}

static int fail(struct multipart *m, int err, const char *why)
{
    m->why = why;
    return err;
}

static void skip(struct str *in, size_t len)
{
    in->at += len;
    in->len -= len;
}

static int count_around(struct multipart *m, size_t len)
{
    m->around += len;
    return m->around <= m->limits->around_max
               ? OK
               : fail(m, FAIL_LIMIT, "there is too much outside of the parts");
}

static int give(struct multipart *m, const char *bytes, size_t len)
{
    return m->state == PREAMBLE ? count_around(m, len) : m->events->data(m->context, bytes, len);
}

/* How many bytes come before the delimiter, or before its beginning at the end
 * of what is there. */
static size_t before_delimiter(const struct multipart *m, struct str in)
{
    const char *end = in.at + in.len, *at = in.at;

    while ((at = memchr(at, '\r', (size_t)(end - at))) != NULL) {
        size_t room = (size_t)(end - at);
        if (memcmp(at, m->delimiter, room < m->delimiter_len ? room : m->delimiter_len) == 0)
            return (size_t)(at - in.at);
        at++;
    }
    return in.len;
}

static int pass_delimiter(struct multipart *m)
{
    bool has_part = m->state == CONTENT;

    m->matched = 0;
    m->around = 0;
    m->state = TAIL;
    return has_part ? m->events->end(m->context) : OK;
}

static int take_content(struct multipart *m, struct str *in)
{
    if (m->matched == 0) {
        struct str run = { in->at, before_delimiter(m, *in) };
        skip(in, run.len);
        if (run.len > 0)
            return give(m, run.at, run.len);
    }
    size_t same = 0, want = m->delimiter_len - m->matched;
    while (same < want && same < in->len && in->at[same] == m->delimiter[m->matched + same])
        same++;
    bool is_other = same < want && same < in->len;
    skip(in, same);
    m->matched += same;
    if (m->matched == m->delimiter_len)
        return pass_delimiter(m);
    if (!is_other)
        return OK;
    /* CR stands only at the delimiter's beginning, so what was held back cannot
     * hold another beginning of it. */
    size_t held = m->matched;
    m->matched = 0;
    return give(m, m->delimiter, held);
}

/* RFC 2046, 5.1.1: a line that begins with the delimiter is one; behind it may
 * be "--", then only blanks. */
static int take_tail(struct multipart *m, struct str *in)
{
    char c = in->at[0];

    skip(in, 1);
    if (m->state == TAIL && c == '-' && m->around == 0)
        m->state = TAIL_DASH;
    else if (m->state == TAIL_DASH && c == '-')
        m->state = CLOSING;
    else if (m->state != TAIL_DASH && (c == ' ' || c == '\t'))
        return count_around(m, 1);
    else if (m->state != TAIL_DASH && c == '\r')
        m->state = m->state == TAIL ? TAIL_LF : CLOSING_LF;
    else
        return fail(m, FAIL_SYNTAX, "a line begins with the boundary and goes on");
    return OK;
}

static int take_lf(struct multipart *m, struct str *in)
{
    if (in->at[0] != '\n')
        return fail(m, FAIL_SYNTAX, "a line does not end with CRLF");
    skip(in, 1);
    m->around = 0;
    m->state = m->state == TAIL_LF ? HEAD : EPILOGUE;
    buf_reset(&m->text);
    m->line_at = 0;
    return OK;
}

static int begin_part(struct multipart *m)
{
    struct multipart_part part;

    if (++m->parts > m->limits->part_max)
        return fail(m, FAIL_LIMIT, "there are too many parts");
    int err = multipart_head_read(&m->head, (struct str){ m->text.data, m->line_at },
                                  m->limits->line_max, &part);
    if (err)
        return fail(m, err, m->head.why);
    m->state = CONTENT;
    return m->events->part(m->context, &part);
}

static int take_head(struct multipart *m, struct str *in)
{
    const char *lf = memchr(in->at, '\n', in->len);
    size_t len = lf ? (size_t)(lf - in->at) + 1 : in->len;

    if (!buf_append(&m->text, in->at, len))
        return fail(m, FAIL_LIMIT, "a part's headers are too long");
    skip(in, len);
    if (lf == NULL)
        return OK;
    struct str line = { m->text.data + m->line_at, m->text.len - m->line_at };
    if (!str_ends(line, STR("\r\n")))
        return fail(m, FAIL_SYNTAX, "a line does not end with CRLF");
    if (line.len == 2)
        return begin_part(m);
    m->line_at = m->text.len;
    return OK;
}

static int take_epilogue(struct multipart *m, struct str *in)
{
    size_t len = in->len;

    skip(in, len);
    return count_around(m, len);
}

int multipart_feed(struct multipart *m, const char *bytes, size_t len)
{
    static int (*const takes[])(struct multipart *, struct str *) = {
        [PREAMBLE] = take_content, [TAIL] = take_tail,     [TAIL_LF] = take_lf,
        [TAIL_DASH] = take_tail,   [HEAD] = take_head,     [CONTENT] = take_content,
        [CLOSING] = take_tail,     [CLOSING_LF] = take_lf, [EPILOGUE] = take_epilogue,
    };
    struct str in = { bytes, len };

    while (in.len > 0 && m->err == OK)
        m->err = takes[m->state](m, &in);
    return m->err;
}

int multipart_end(struct multipart *m)
{
    if (m->err == OK && m->state != CLOSING && m->state != EPILOGUE)
        m->err = fail(m, FAIL_SYNTAX, "it ends without the last boundary");
    return m->err;
}
