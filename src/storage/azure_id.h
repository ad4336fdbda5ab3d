/* What a multipart upload is in Azure: nothing, until its blocks are committed. So its id
 * has all that must be known of it then:
 *
 *   24 hex digits "." base64url of the Content-Type "." that of Cache-Control
 *
 * and its blocks, of which all that a blob has have ids of one length, are told apart
 * from those of other uploads by theirs: base64 of the digits, "-", and five of the part's
 * number. Pure. */
#ifndef STORAGE_AZURE_ID_H
#define STORAGE_AZURE_ID_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum {
    AZURE_ID_DIGITS = 24,
    AZURE_BLOCK_SIZE = 41, /* of a block's id, in base64 */
    AZURE_TYPE_SIZE = 256, /* of what is remembered */
};

/* A new one; mem_free. NULL: what is to be remembered is too long. */
char *azure_id_make(const char *content_type, const char *cache_control);

/* What it remembers; FAIL_MISSING: it is none of ours. `cache_control` is "" if there is
 * none. */
int azure_id_read(const char *id, char content_type[AZURE_TYPE_SIZE],
                  char cache_control[AZURE_TYPE_SIZE]);

/* FAIL_MISSING: as above. */
int azure_block_name(const char *id, uint32_t number, char out[AZURE_BLOCK_SIZE]);

/* The part's number if the block is of that upload, else 0. */
uint32_t azure_block_number(const char *id, struct str block);

#endif
