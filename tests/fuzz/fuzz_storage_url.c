/* Feeds the reader of storage URLs with anything: the first line is the URL, the second
 * the value of every environment variable. What it takes is whole and in order; a secret
 * of the environment never shows in what people see. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "proto/storage_url.h"

enum { INPUT_MAX = 16384 };

#define SECRET "hUnTeR2%/+"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static const char *get(void *context, const char *name)
{
    if (strcmp(name, "AWS_SECRET_ACCESS_KEY") == 0 || strcmp(name, "AWS_SESSION_TOKEN") == 0)
        return SECRET;
    return context;
}

static void check(const struct storage_url *url)
{
    if (url->kind == STORAGE_FILE) {
        CHECK(url->folder[0] == '/' && url->folder[strlen(url->folder) - 1] != '/');
        return;
    }
    CHECK(url->bucket[0] != '\0' && strchr(url->bucket, '/') == NULL);
    CHECK(url->prefix[0] != '/' && strstr(url->prefix, "//") == NULL);
    CHECK(strlen(url->prefix) == 0 || url->prefix[strlen(url->prefix) - 1] == '/');
    CHECK(url->host[0] != '\0' && strpbrk(url->authority, "/?#@ \r\n") == NULL);
    CHECK(url->root[0] == '\0' || url->root[strlen(url->root) - 1] != '/');
    CHECK(url->secret != NULL || url->sas_token != NULL);
    CHECK(url->kind == STORAGE_AZURE ? url->account != NULL : url->key_id != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct storage_url url;
    struct buf said;

    if (size > INPUT_MAX)
        return 0;
    char *text = mem_strndup((const char *)data, size);
    char *line = strchr(text, '\n');
    if (line != NULL)
        *line++ = '\0';
    buf_init(&said, 65536);
    int err = storage_url_parse(text, get, line, &url, &said);
    CHECK((err == OK) == (said.len == 0));
    if (err == OK) {
        check(&url);
        storage_url_describe(&url, &said);
        storage_url_deinit(&url);
    }
    CHECK(said.len > 0 && !said.failed);
    CHECK(strstr(text, SECRET) != NULL || strstr(buf_text(&said), SECRET) == NULL);
    buf_deinit(&said);
    mem_free(text);
    return 0;
}
