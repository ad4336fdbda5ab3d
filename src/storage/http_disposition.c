#include "storage/http_disposition.h"

#include <string.h>

#include "proto/url.h"

/* RFC 6266: the name in ASCII for those who read no other, and as it is. */
void http_disposition(const char *file_name, struct buf *out)
{
    buf_puts(out, "attachment; filename=\"");
    for (const char *at = file_name; *at != '\0'; at++)
        buf_putc(out, *at < 0x20 || *at > 0x7e || strchr("\"\\%/", *at) ? '_' : *at);
    buf_puts(out, "\"; filename*=UTF-8''");
    url_encode(str_of(file_name), false, out);
}
