#include "storage/azure_id.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"

enum {
    NUMBER_DIGITS = 5,
    NAME_LEN = AZURE_ID_DIGITS + 1 + NUMBER_DIGITS,
    CODED_SIZE = ENCODE_BASE64URL_SIZE(AZURE_TYPE_SIZE),
};

char *azure_id_make(const char *content_type, const char *cache_control)
{
    unsigned char chance[AZURE_ID_DIGITS / 2];
    char digits[AZURE_ID_DIGITS + 1], type[CODED_SIZE], cache[CODED_SIZE];
    char id[AZURE_ID_DIGITS + 2 * CODED_SIZE + 3];

    if (cache_control == NULL)
        cache_control = "";
    if (strlen(content_type) >= AZURE_TYPE_SIZE || strlen(cache_control) >= AZURE_TYPE_SIZE)
        return NULL;
    random_bytes(chance, sizeof chance);
    encode_hex(chance, sizeof chance, digits);
    encode_base64url(content_type, strlen(content_type), type);
    encode_base64url(cache_control, strlen(cache_control), cache);
    snprintf(id, sizeof id, "%s.%s.%s", digits, type, cache);
    return mem_strdup(id);
}

static bool is_ours(const char *id)
{
    return strspn(id, "0123456789abcdef") == AZURE_ID_DIGITS && id[AZURE_ID_DIGITS] == '.' &&
           strchr(id + AZURE_ID_DIGITS + 1, '.') != NULL;
}

static int decode(struct str coded, char out[AZURE_TYPE_SIZE])
{
    size_t len;

    if (coded.len >= CODED_SIZE - 1)
        return FAIL_MISSING;
    if (decode_base64url(coded.at, coded.len, out, &len) != OK || memchr(out, '\0', len) != NULL)
        return FAIL_MISSING;
    out[len] = '\0';
    return OK;
}

int azure_id_read(const char *id, char content_type[AZURE_TYPE_SIZE],
                  char cache_control[AZURE_TYPE_SIZE])
{
    if (!is_ours(id))
        return FAIL_MISSING;
    struct str rest = str_of(id + AZURE_ID_DIGITS + 1);
    struct str type = str_cut(&rest, '.');
    int err = decode(type, content_type);
    return err == OK ? decode(rest, cache_control) : err;
}

int azure_block_name(const char *id, uint32_t number, char out[AZURE_BLOCK_SIZE])
{
    char name[NAME_LEN + 8];

    if (!is_ours(id) || number > 99999)
        return FAIL_MISSING;
    snprintf(name, sizeof name, "%.*s-%05" PRIu32, AZURE_ID_DIGITS, id, number);
    encode_base64(name, NAME_LEN, out);
    return OK;
}

uint32_t azure_block_number(const char *id, struct str block)
{
    char name[AZURE_BLOCK_SIZE];
    uint64_t number;
    size_t len;

    if (block.len != AZURE_BLOCK_SIZE - 1 || !is_ours(id))
        return 0;
    if (decode_base64(block.at, block.len, name, &len) != OK || len != NAME_LEN ||
        memcmp(name, id, AZURE_ID_DIGITS) != 0 || name[AZURE_ID_DIGITS] != '-')
        return 0;
    struct str digits = { name + AZURE_ID_DIGITS + 1, NUMBER_DIGITS };
    return str_parse_u64(digits, UINT32_MAX, &number) == OK ? (uint32_t)number : 0;
}
