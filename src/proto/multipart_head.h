/* The headers of one part. Internal to the multipart parser. */
#ifndef PROTO_MULTIPART_HEAD_H
#define PROTO_MULTIPART_HEAD_H

#include "base/buf.h"
#include "proto/multipart.h"

struct multipart_head {
    struct buf name, file_name, type;
    bool has_disposition, has_name, has_file_name, has_type;
    const char *why;
};

void multipart_head_init(struct multipart_head *h, size_t max);
void multipart_head_deinit(struct multipart_head *h);

/* `text` is the header lines, each with its CRLF, without the empty one. `part`
 * points into `h`, until the next read. FAIL_SYNTAX, FAIL_LIMIT; h->why. */
int multipart_head_read(struct multipart_head *h, struct str text, unsigned line_max,
                        struct multipart_part *part);

#endif
