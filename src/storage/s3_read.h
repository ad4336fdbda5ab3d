/* The documents that S3 answers with. Pure. */
#ifndef STORAGE_S3_READ_H
#define STORAGE_S3_READ_H

#include "storage/http_driver.h"

/* As http_driver.read. */
int s3_read(const struct http_ask *ask, struct str body, struct http_result *out);

/* Of "2009-10-12T17:50:30.000Z", in seconds since 1970; or -1. */
int64_t s3_time(struct str text);

#endif
