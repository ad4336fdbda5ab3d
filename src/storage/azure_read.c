#include "storage/azure_read.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "proto/content_date.h"
#include "proto/xml.h"
#include "storage/azure_id.h"

struct reading {
    const struct http_ask *ask;
    struct http_result *out;
    char *name;            /* of the blob or block that is being read */
    struct http_item item; /* without a key */
    char *next;
};

static void keep(char **field, struct str text)
{
    mem_free(*field);
    *field = mem_strndup(text.len > 0 ? text.at : "", text.len);
}

static void end_item(struct reading *r)
{
    struct http_item *item = NULL;
    struct str name = str_of(r->name);
    uint32_t number = r->ask->verb == VERB_PARTS ? azure_block_number(r->ask->id, name) : 0;

    if (r->ask->verb == VERB_LIST)
        item = http_result_add(r->out, name, (struct str){ NULL, 0 });
    else if (number > 0)
        item = http_result_add(r->out, (struct str){ NULL, 0 }, (struct str){ NULL, 0 });
    if (item != NULL) {
        item->size = r->item.size;
        item->modified_s = r->item.modified_s;
        item->number = number;
        memcpy(item->etag, r->item.etag, sizeof item->etag);
    }
    r->item = (struct http_item){ .modified_s = -1 };
    keep(&r->name, STR(""));
}

static int on_blob(struct reading *r, const char *path, struct str text)
{
    static const char properties[] = "EnumerationResults/Blobs/Blob/Properties/";

    if (strcmp(path, "EnumerationResults/NextMarker") == 0)
        keep(&r->next, text);
    else if (strcmp(path, "EnumerationResults/Blobs/Blob") == 0)
        end_item(r);
    else if (strcmp(path, "EnumerationResults/Blobs/Blob/Name") == 0)
        keep(&r->name, text);
    if (strncmp(path, properties, sizeof properties - 1) != 0)
        return OK;
    path += sizeof properties - 1;
    if (strcmp(path, "Content-Length") == 0)
        return str_parse_u64(str_trim(text), INT64_MAX, &r->item.size);
    if (strcmp(path, "Last-Modified") == 0)
        r->item.modified_s = content_parse_date(str_trim(text));
    else if (strcmp(path, "Etag") == 0)
        http_item_etag(&r->item, text);
    return OK;
}

static int on_block(struct reading *r, const char *path, struct str text)
{
    if (strcmp(path, "BlockList/UncommittedBlocks/Block") == 0)
        end_item(r);
    else if (strcmp(path, "BlockList/UncommittedBlocks/Block/Name") == 0)
        keep(&r->name, str_trim(text));
    else if (strcmp(path, "BlockList/UncommittedBlocks/Block/Size") == 0)
        return str_parse_u64(str_trim(text), INT64_MAX, &r->item.size);
    return OK;
}

static int on_begun(void *context, const char *path)
{
    struct reading *r = context;
    const char *root = r->ask->verb == VERB_LIST ? "EnumerationResults" : "BlockList";

    return strchr(path, '/') != NULL || strcmp(path, root) == 0 ? OK : FAIL_SYNTAX;
}

static int on_ended(void *context, const char *path, struct str text)
{
    struct reading *r = context;

    return r->ask->verb == VERB_LIST ? on_blob(r, path, text) : on_block(r, path, text);
}

int azure_read(const struct http_ask *ask, struct str body, struct http_result *out)
{
    struct reading r = { .ask = ask, .out = out, .item.modified_s = -1 };
    struct xml_handler handler = { on_begun, on_ended, &r };

    /* What was done is said by the status alone. */
    if (ask->verb != VERB_LIST && ask->verb != VERB_PARTS)
        return OK;
    int err = xml_read(body, &handler, NULL);
    if (err == OK && r.next != NULL && r.next[0] != '\0') {
        /* The same page again would be read for ever. */
        if (ask->after != NULL && strcmp(ask->after, r.next) == 0)
            err = FAIL_SYNTAX;
        out->after = r.next;
        r.next = NULL;
    }
    mem_free(r.next);
    mem_free(r.name);
    return err == OK ? OK : FAIL_SYNTAX;
}
