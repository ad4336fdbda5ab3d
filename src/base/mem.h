/* Small fixed allocations: they succeed or the process ends with a message.
 * What a stranger sizes does not belong here but in a struct buf, which has a
 * maximum. Any thread. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

/* Uninitialised, zeroed, resized, copied: all freed with mem_free. */
void *mem_alloc(size_t size);
void *mem_zalloc(size_t size);
void *mem_resize(void *old, size_t size);
char *mem_strdup(const char *text);
char *mem_strndup(const char *text, size_t len);

/* NULL is fine. */
void mem_free(void *block);

#define mem_new(type) ((type *)mem_zalloc(sizeof(type)))

#endif
