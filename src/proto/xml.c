#include "proto/xml.h"

#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include <expat.h>

#include "base/err.h"
#include "base/utf8.h"

/* Text of an element may go on behind a child, so each open one has its own. */
struct level {
    size_t path_len; /* of the path up to and with it */
    size_t text_at;  /* where its text begins in `text` */
};

struct reading {
    XML_Parser parser;
    const struct xml_handler *handler;
    struct buf path, text;
    struct level levels[XML_DEPTH_MAX];
    size_t depth, elements;
    int err;
    const char *complaint; /* static */
};

static void stop(struct reading *r, int err, const char *complaint)
{
    if (r->err != OK)
        return;
    r->err = err;
    r->complaint = complaint;
    XML_StopParser(r->parser, XML_FALSE);
}

static void shorten(struct buf *b, size_t len)
{
    b->len = len;
    if (b->data != NULL)
        b->data[len] = '\0';
}

static const char *without_prefix(const char *name)
{
    const char *colon = strrchr(name, ':');

    return colon != NULL && colon[1] != '\0' ? colon + 1 : name;
}

static void XMLCALL on_begin(void *context, const XML_Char *name, const XML_Char **attributes)
{
    struct reading *r = context;

    (void)attributes;
    if (r->err != OK)
        return;
    if (r->depth == XML_DEPTH_MAX || ++r->elements > XML_ELEMENTS_MAX) {
        stop(r, FAIL_LIMIT, r->depth == XML_DEPTH_MAX ? "it is too deep" : "it is too long");
        return;
    }
    if (r->depth > 0)
        buf_putc(&r->path, '/');
    if (!buf_puts(&r->path, without_prefix(name))) {
        stop(r, FAIL_LIMIT, "its names are too long");
        return;
    }
    r->levels[r->depth++] = (struct level){ r->path.len, r->text.len };
    int err =
        r->handler->begun != NULL ? r->handler->begun(r->handler->context, buf_text(&r->path)) : OK;
    if (err != OK)
        stop(r, err, "its reader refuses it");
}

/* Children have taken their text away with them, so what stands behind text_at is the
 * element's own. */
static void XMLCALL on_end(void *context, const XML_Char *name)
{
    struct reading *r = context;

    (void)name;
    if (r->err != OK || r->depth == 0)
        return;
    struct level level = r->levels[--r->depth];
    struct str text = { buf_text(&r->text) + level.text_at, r->text.len - level.text_at };
    int err = r->handler->ended(r->handler->context, buf_text(&r->path), text);
    shorten(&r->text, level.text_at);
    shorten(&r->path, r->depth > 0 ? r->levels[r->depth - 1].path_len : 0);
    if (err != OK)
        stop(r, err, "its reader refuses it");
}

static void XMLCALL on_text(void *context, const XML_Char *text, int len)
{
    struct reading *r = context;

    if (r->err != OK || r->depth == 0)
        return;
    size_t there = r->text.len - r->levels[r->depth - 1].text_at;
    if (there + (size_t)len > XML_TEXT_MAX || !buf_append(&r->text, text, (size_t)len))
        stop(r, FAIL_LIMIT, "it has too much text in one place");
}

/* Whatever a document declares about itself, we do without: entities that grow when they
 * are resolved, and files or hosts that they name. */
static void XMLCALL on_doctype(void *context, const XML_Char *name, const XML_Char *system,
                               const XML_Char *public, int has_subset)
{
    (void)name;
    (void)system;
    (void)public;
    (void)has_subset;
    stop(context, FAIL_SYNTAX, "it has a DOCTYPE");
}

static void conclude(struct reading *r, enum XML_Status status, struct buf *why)
{
    if (status == XML_STATUS_OK && r->err == OK)
        return;
    if (r->err == OK) {
        enum XML_Error code = XML_GetErrorCode(r->parser);
        r->err = code == XML_ERROR_NO_MEMORY ? FAIL_NOMEM : FAIL_SYNTAX;
        r->complaint = XML_ErrorString(code);
    }
    if (why != NULL)
        buf_printf(why, "its XML is not readable: %s (line %lu)", r->complaint,
                   (unsigned long)XML_GetCurrentLineNumber(r->parser));
}

int xml_read(struct str document, const struct xml_handler *handler, struct buf *why)
{
    struct reading r = { .handler = handler, .parser = XML_ParserCreate("UTF-8") };

    if (r.parser == NULL)
        return FAIL_NOMEM;
    buf_init(&r.path, XML_PATH_MAX);
    buf_init(&r.text, (size_t)XML_DEPTH_MAX * XML_TEXT_MAX);
    XML_SetUserData(r.parser, &r);
    XML_SetElementHandler(r.parser, on_begin, on_end);
    XML_SetCharacterDataHandler(r.parser, on_text);
    XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
    if (document.len > INT_MAX)
        r.err = FAIL_LIMIT;
    else
        conclude(&r,
                 XML_Parse(r.parser, document.at != NULL ? document.at : "", (int)document.len,
                           XML_TRUE),
                 why);
    XML_ParserFree(r.parser);
    buf_deinit(&r.path);
    buf_deinit(&r.text);
    return r.err;
}

static void put_char(char c, struct buf *out)
{
    switch (c) {
    case '&': buf_puts(out, "&amp;"); break;
    case '<': buf_puts(out, "&lt;"); break;
    case '>': buf_puts(out, "&gt;"); break;
    case '"': buf_puts(out, "&quot;"); break;
    case '\r': buf_puts(out, "&#13;"); break; /* readers make a line's end of a plain one */
    default:
        if ((unsigned char)c < 0x20 && c != '\t' && c != '\n')
            buf_puts(out, "\xef\xbf\xbd");
        else
            buf_putc(out, c);
    }
}

/* U+FFFE and U+FFFF are no characters of XML's. */
static bool is_noncharacter(const char *at, size_t len)
{
    return len == 3 && memcmp(at, "\xef\xbf", 2) == 0 && (unsigned char)at[2] >= 0xbe;
}

void xml_escape(struct str text, struct buf *out)
{
    while (text.len > 0) {
        size_t len = utf8_length(text.at, text.len);
        if (len == 1)
            put_char(text.at[0], out);
        else if (len == 0 || is_noncharacter(text.at, len))
            buf_puts(out, "\xef\xbf\xbd");
        else
            buf_append(out, text.at, len);
        len = len > 0 ? len : 1;
        text = (struct str){ text.at + len, text.len - len };
    }
}
