/* Feeds the reader of XML with anything. Every element that begins ends, unless the
 * document is refused; paths and texts keep their bounds. What it tells of a document is
 * then written down as a document of one element each, and must be read as it was. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "proto/xml.h"

enum { INPUT_MAX = 1 << 20 };

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

struct heard {
    size_t open, texts;
    struct str expected;
};

static int begun(void *context, const char *path)
{
    struct heard *heard = context;

    CHECK(path[0] != '\0' && strlen(path) <= XML_PATH_MAX);
    CHECK(++heard->open <= XML_DEPTH_MAX);
    return OK;
}

static int expect(void *context, const char *path, struct str text)
{
    struct heard *heard = context;

    CHECK(strcmp(path, "a") == 0 && str_equal(text, heard->expected));
    heard->texts++;
    return OK;
}

static int ended(void *context, const char *path, struct str text)
{
    struct heard *heard = context, again = { .expected = text };
    struct buf document;

    CHECK(heard->open-- > 0 && text.len <= XML_TEXT_MAX && path[0] != '\0');
    buf_init(&document, 8 * XML_TEXT_MAX);
    buf_puts(&document, "<a>");
    xml_escape(text, &document);
    buf_puts(&document, "</a>");
    CHECK(xml_read(buf_str(&document), &(struct xml_handler){ NULL, expect, &again }, NULL) == OK);
    CHECK(again.texts == 1);
    buf_deinit(&document);
    return OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct heard heard = { 0 };
    struct buf why;

    if (size > INPUT_MAX)
        return 0;
    buf_init(&why, 256);
    int err = xml_read((struct str){ (const char *)data, size },
                       &(struct xml_handler){ begun, ended, &heard }, &why);
    CHECK((err == OK) == (why.len == 0));
    CHECK(err != OK || heard.open == 0);
    buf_deinit(&why);
    return 0;
}
