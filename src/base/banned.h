/* Calls that have no bound, no error or hidden shared state: using one does
 * not compile. Force-included before every file; the headers that declare the
 * names come first, so that only our own uses are refused. */
#ifndef BASE_BANNED_H
#define BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Some are macros where the C library checks bounds; clang warns of those. */
#undef sprintf
#undef vsprintf
#undef strncpy
#undef strncat
#undef strcpy
#undef strcat

#pragma GCC poison strcpy strcat sprintf vsprintf gets strtok strncpy strncat
#pragma GCC poison atoi atol atoll atof localtime gmtime ctime asctime tmpnam mktemp

#endif
