/* What a browser is told to save an answer as. Pure. */
#ifndef STORAGE_HTTP_DISPOSITION_H
#define STORAGE_HTTP_DISPOSITION_H

#include "base/buf.h"

/* Appends the value of a Content-Disposition. */
void http_disposition(const char *file_name, struct buf *out);

#endif
