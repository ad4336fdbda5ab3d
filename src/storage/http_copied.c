/* The tags of parts that were copied. They stand in the answer to the copy and, with most
 * servers, in the list of parts; Swift leaves them out there, and completes nothing
 * without them. So the last ones are kept; a part whose tag is not known counts as not
 * there, and is made again. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <uthash.h>

#include "base/mem.h"
#include "storage/http_internal.h"

enum { COPIED_MAX = STORAGE_PARTS_MAX, COPIED_KEY_SIZE = STORAGE_UPLOAD_ID_MAX + 16 };

struct http_copied {
    UT_hash_handle hh;
    char *name; /* "NUMBER ID" */
    char etag[HTTP_ETAG_SIZE];
};

static void name_of(const char *id, uint32_t number, char out[COPIED_KEY_SIZE])
{
    snprintf(out, COPIED_KEY_SIZE, "%" PRIu32 " %s", number, id);
}

static struct http_copied *find(const struct http_storage *h, const char *id, uint32_t number)
{
    char name[COPIED_KEY_SIZE];
    struct http_copied *c;

    name_of(id, number, name);
    HASH_FIND_STR(h->copied, name, c);
    return c;
}

static void drop(struct http_storage *h, struct http_copied *c)
{
    HASH_DEL(h->copied, c);
    mem_free(c->name);
    mem_free(c);
}

const char *http_copied_etag(const struct http_storage *h, const char *id, uint32_t number)
{
    const struct http_copied *c = find(h, id, number);

    return c != NULL ? c->etag : NULL;
}

void http_copied_keep(struct http_storage *h, const char *id, uint32_t number, const char *etag)
{
    struct http_copied *c = find(h, id, number);
    char name[COPIED_KEY_SIZE];

    if (c == NULL) {
        if (HASH_COUNT(h->copied) >= COPIED_MAX)
            drop(h, h->copied); /* the oldest: uthash keeps the order */
        c = mem_new(struct http_copied);
        name_of(id, number, name);
        c->name = mem_strdup(name);
        HASH_ADD_KEYPTR(hh, h->copied, c->name, strlen(c->name), c);
    }
    snprintf(c->etag, sizeof(c->etag), "%s", etag);
}

void http_copied_forget(struct http_storage *h, const char *id)
{
    struct http_copied *c, *next;

    HASH_ITER(hh, h->copied, c, next)
    if (id == NULL || strcmp(strchr(c->name, ' ') + 1, id) == 0)
        drop(h, c);
}
