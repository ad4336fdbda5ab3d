#include "storage/http_pages.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

/* Brent's way to find a circle: the mark is moved at powers of two, so it comes to lie on
 * any circle, and stays there for longer than the way around it. */
int http_pages_turn(struct http_pages *p, const char *after, const char **why)
{
    if (p->mark != NULL && strcmp(p->mark, after) == 0) {
        *why = "the storage gives the same page of a list again and again";
        return FAIL_SYNTAX;
    }
    if (++p->count >= HTTP_PAGES_MAX) {
        *why = "the storage gives a list without end";
        return FAIL_SYNTAX;
    }
    if ((p->count & (p->count - 1)) == 0) {
        mem_free(p->mark);
        p->mark = mem_strdup(after);
    }
    return OK;
}

void http_pages_deinit(struct http_pages *p)
{
    mem_free(p->mark);
    p->mark = NULL;
}
