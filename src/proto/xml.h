/* XML as object storages answer with: small documents, read whole. What a parser can be
 * attacked with is refused: no DOCTYPE (hence no entities but XML's own five), no
 * encoding but UTF-8, and bounds on depth, elements and text. Pure; any thread. */
#ifndef PROTO_XML_H
#define PROTO_XML_H

#include <stddef.h>

#include "base/buf.h"
#include "base/str.h"

enum {
    XML_DEPTH_MAX = 16,
    XML_PATH_MAX = 512,         /* bytes of a path */
    XML_ELEMENTS_MAX = 1 << 18, /* in a document */
    XML_TEXT_MAX = 64 * 1024,   /* bytes in one element */
};

/* An element's path are the names from the root to it, without namespaces and their
 * prefixes: "ListBucketResult/Contents/Key". Attributes and comments are passed over.
 * What is not OK ends the reading and is its result. */
struct xml_handler {
    int (*begun)(void *context, const char *path); /* may be NULL */
    /* `text` is what stands directly in it, borrowed until this returns. */
    int (*ended)(void *context, const char *path, struct str text);
    void *context;
};

/* FAIL_SYNTAX (no whole document, or a DOCTYPE), FAIL_LIMIT, or what a handler returned;
 * `why` (may be NULL) is a clause for people. */
int xml_read(struct str document, const struct xml_handler *handler, struct buf *why);

/* Appends text as it may stand in an element; what XML cannot hold becomes U+FFFD. */
void xml_escape(struct str text, struct buf *out);

#endif
