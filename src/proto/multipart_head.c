#include "proto/multipart_head.h"

#include <string.h>

#include "base/err.h"
#include "base/utf8.h"
#include "proto/http_filter.h"
#include "proto/url.h"

void multipart_head_init(struct multipart_head *h, size_t max)
{
    *h = (struct multipart_head){ 0 };
    buf_init(&h->name, max);
    buf_init(&h->file_name, max);
    buf_init(&h->type, max);
}

void multipart_head_deinit(struct multipart_head *h)
{
    buf_deinit(&h->name);
    buf_deinit(&h->file_name);
    buf_deinit(&h->type);
}

/* Parameters: *( OWS ";" OWS name "=" ( token / quoted-string ) ) */

struct parameter {
    struct str name, value; /* the value as it stands there, without its quotes */
    bool is_quoted;
};

static void skip_blanks(struct str *s)
{
    while (s->len > 0 && (*s->at == ' ' || *s->at == '\t')) {
        s->at++;
        s->len--;
    }
}

static struct str cut_at(struct str *rest, size_t len)
{
    struct str cut = { rest->at, len };

    rest->at += len;
    rest->len -= len;
    return cut;
}

/* Browsers write a backslash in a name as it is, some other clients a quote as
 * \". So \" is a quote, unless what follows shows that the value ends there. */
static bool is_escaped_quote(struct str s, size_t i)
{
    if (i + 1 >= s.len || s.at[i] != '\\' || s.at[i + 1] != '"')
        return false;
    struct str behind = { s.at + i + 2, s.len - i - 2 };
    skip_blanks(&behind);
    return behind.len > 0 && behind.at[0] != ';';
}

static int read_value(struct str *rest, struct parameter *p)
{
    size_t i = 0;

    p->is_quoted = rest->len > 0 && rest->at[0] == '"';
    if (!p->is_quoted) {
        while (i < rest->len && rest->at[i] != ';' && rest->at[i] != ' ' && rest->at[i] != '\t')
            i++;
        p->value = cut_at(rest, i);
        return http_is_token(p->value) ? OK : FAIL_SYNTAX;
    }
    cut_at(rest, 1);
    while (i < rest->len && rest->at[i] != '"')
        i += is_escaped_quote(*rest, i) ? 2 : 1;
    if (i >= rest->len)
        return FAIL_SYNTAX;
    p->value = cut_at(rest, i);
    cut_at(rest, 1);
    return OK;
}

/* FAIL_MISSING: there is none left. */
static int next_parameter(struct str *rest, struct parameter *p)
{
    size_t i = 0;

    skip_blanks(rest);
    if (rest->len == 0)
        return FAIL_MISSING;
    if (rest->at[0] != ';')
        return FAIL_SYNTAX;
    cut_at(rest, 1);
    skip_blanks(rest);
    if (rest->len == 0)
        return FAIL_MISSING;
    while (i < rest->len && rest->at[i] != '=')
        i++;
    if (i == rest->len)
        return FAIL_SYNTAX;
    p->name = cut_at(rest, i);
    cut_at(rest, 1);
    return http_is_token(p->name) ? read_value(rest, p) : FAIL_SYNTAX;
}

/* RFC 2046, 5.1.1: bchars, the last one no space. */
static bool is_boundary(struct str s)
{
    static const char marks[] = "'()+_,-./:=? ";

    if (s.len == 0 || s.len > MULTIPART_BOUNDARY_MAX || s.at[s.len - 1] == ' ')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        bool is_alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!is_alnum && (c == '\0' || strchr(marks, c) == NULL))
            return false;
    }
    return true;
}

int multipart_boundary(struct str content_type, char out[MULTIPART_BOUNDARY_MAX + 1])
{
    struct str rest = content_type, boundary = { 0 };
    struct parameter p;
    size_t i = 0;
    int err;

    while (i < rest.len && rest.at[i] != ';')
        i++;
    if (!str_equal_nocase(str_trim(cut_at(&rest, i)), STR("multipart/form-data")))
        return FAIL_UNSUPPORTED;
    while ((err = next_parameter(&rest, &p)) == OK) {
        if (!str_equal_nocase(p.name, STR("boundary")))
            continue;
        if (boundary.at != NULL)
            return FAIL_SYNTAX;
        boundary = p.value;
    }
    if (err != FAIL_MISSING || !is_boundary(boundary))
        return FAIL_SYNTAX;
    memcpy(out, boundary.at, boundary.len);
    out[boundary.len] = '\0';
    return OK;
}

static int fail(struct multipart_head *h, int err, const char *why)
{
    h->why = why;
    return err;
}

/* The three that the WHATWG's "multipart/form-data encoding algorithm" escapes;
 * a percent sign it leaves as it is. */
static char unescaped(struct str s)
{
    if (str_equal_nocase(s, STR("%22")))
        return '"';
    if (str_equal_nocase(s, STR("%0d")))
        return '\r';
    return str_equal_nocase(s, STR("%0a")) ? '\n' : '\0';
}

static void put_text(const struct parameter *p, struct buf *out)
{
    struct str s = p->value;

    for (size_t i = 0; i < s.len; i++) {
        struct str three = { s.at + i, s.len - i < 3 ? s.len - i : 3 };
        char c = p->is_quoted ? unescaped(three) : '\0';
        if (c != '\0')
            i += 2;
        else if (p->is_quoted && s.at[i] == '\\' && i + 1 < s.len && s.at[i + 1] == '"')
            c = s.at[++i];
        else
            c = s.at[i];
        buf_putc(out, c);
    }
}

/* RFC 8187: UTF-8'language'percent-encoded. RFC 7578 does without it, some
 * clients do not; it says more than a file name beside it. */
static int put_extended(struct multipart_head *h, const struct parameter *p)
{
    struct str rest = p->value;
    struct str charset = str_cut(&rest, '\'');

    str_cut(&rest, '\'');
    if (p->is_quoted || rest.at == NULL || !str_equal_nocase(charset, STR("UTF-8")))
        return FAIL_SYNTAX;
    buf_reset(&h->file_name);
    return url_decode(rest, false, &h->file_name);
}

static int read_disposition(struct multipart_head *h, struct str value)
{
    static const char why[] = "a part's Content-Disposition is malformed";
    bool has_extended = false, is_plain;
    struct parameter p;
    size_t i = 0;
    int err;

    if (h->has_disposition)
        return fail(h, FAIL_SYNTAX, "a part has two Content-Dispositions");
    h->has_disposition = true;
    while (i < value.len && value.at[i] != ';')
        i++;
    if (!str_equal_nocase(str_trim(cut_at(&value, i)), STR("form-data")))
        return fail(h, FAIL_SYNTAX, "a part is not form-data");
    while ((err = next_parameter(&value, &p)) == OK) {
        bool is_name = str_equal_nocase(p.name, STR("name"));
        is_plain = str_equal_nocase(p.name, STR("filename"));
        bool is_extended = str_equal_nocase(p.name, STR("filename*"));
        if ((is_name && h->has_name) || (is_plain && h->has_file_name) ||
            (is_extended && has_extended))
            return fail(h, FAIL_SYNTAX, why);
        if (is_extended && put_extended(h, &p) != OK)
            return fail(h, FAIL_SYNTAX, "a part's filename* is malformed");
        if (is_name)
            put_text(&p, &h->name);
        else if (is_plain && !has_extended)
            put_text(&p, &h->file_name);
        h->has_name = h->has_name || is_name;
        h->has_file_name = h->has_file_name || is_plain;
        has_extended = has_extended || is_extended;
    }
    h->has_file_name = h->has_file_name || has_extended;
    return err == FAIL_MISSING ? OK : fail(h, FAIL_SYNTAX, why);
}

/* RFC 7578, 4.7: not used with HTTP. One that changes nothing is let pass. */
static int read_encoding(struct multipart_head *h, struct str value)
{
    static const char *const plain[] = { "binary", "8bit", "7bit" };

    for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++)
        if (str_equal_nocase(value, str_of(plain[i])))
            return OK;
    return fail(h, FAIL_SYNTAX, "a part has a Content-Transfer-Encoding");
}

static bool is_clean(struct str line)
{
    for (size_t i = 0; i < line.len; i++) {
        unsigned char c = (unsigned char)line.at[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return utf8_is_valid(line.at, line.len);
}

static int read_line(struct multipart_head *h, struct str line)
{
    struct str value = line;
    struct str name = str_cut(&value, ':');

    if (!is_clean(line) || value.at == NULL || !http_is_token(name))
        return fail(h, FAIL_SYNTAX, "a part's header is malformed");
    value = str_trim(value);
    if (str_equal_nocase(name, STR("Content-Disposition")))
        return read_disposition(h, value);
    if (str_equal_nocase(name, STR("Content-Transfer-Encoding")))
        return read_encoding(h, value);
    if (str_equal_nocase(name, STR("Content-Type"))) {
        if (h->has_type)
            return fail(h, FAIL_SYNTAX, "a part has two Content-Types");
        h->has_type = true;
        buf_append(&h->type, value.at, value.len);
    }
    /* RFC 7578, 4.8: others are ignored. */
    return OK;
}

static struct str text_of(const struct buf *b, bool is_there)
{
    return is_there ? (struct str){ buf_text(b), b->len } : (struct str){ 0 };
}

int multipart_head_read(struct multipart_head *h, struct str text, unsigned line_max,
                        struct multipart_part *part)
{
    unsigned lines = 0;

    buf_reset(&h->name);
    buf_reset(&h->file_name);
    buf_reset(&h->type);
    h->has_disposition = h->has_name = h->has_file_name = h->has_type = false;
    while (text.len > 0) {
        struct str line = str_cut(&text, '\n');
        line.len--; /* its CR */
        if (++lines > line_max)
            return fail(h, FAIL_LIMIT, "a part has too many headers");
        int err = read_line(h, line);
        if (err)
            return err;
    }
    if (!h->has_name)
        return fail(h, FAIL_SYNTAX, "a part has no name");
    part->name = text_of(&h->name, true);
    part->file_name = text_of(&h->file_name, h->has_file_name);
    part->type = text_of(&h->type, h->has_type);
    return OK;
}
