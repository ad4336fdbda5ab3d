/* The documents that Azure answers with. Pure. */
#ifndef STORAGE_AZURE_READ_H
#define STORAGE_AZURE_READ_H

#include "storage/http_driver.h"

/* As http_driver.read. */
int azure_read(const struct http_ask *ask, struct str body, struct http_result *out);

#endif
