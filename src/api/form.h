/* What an upload's form means: the one file in it, and what stands beside it.
 * Two kinds of client send one. oRPC's puts the call's input into the field
 * `data`, where `maps` says which place in it each numbered file belongs to:
 *
 *   data: {"json":{"file":{},"title":"A clip"},"maps":[["file"]]}   0: the file
 *
 * A plain form has the fields `file` and, if it likes, `title`. No I/O: bytes in,
 * the file's bytes out. Not shared between threads. */
#ifndef API_FORM_H
#define API_FORM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "core/limits.h"
#include "input/fields.h"
#include "proto/multipart.h"

enum form_part { FORM_OTHER, FORM_FILE, FORM_DATA, FORM_TITLE };

struct form {
    struct multipart *multipart;
    /* The file's next bytes; anything but 0 ends the form and is returned. */
    int (*file)(void *context, const char *bytes, size_t len);
    void *context;
    enum form_part part;     /* being read */
    bool has_file, has_data; /* has begun */
    bool is_file_over;
    bool is_numbered; /* the file belongs into `data` */
    size_t other;     /* bytes of parts that nobody asked for */
    struct buf data, title_part;
    char title[JOB_TEXT_MAX];          /* complete at the end; the file's name if there is none */
    char file_name[FILE_NAME_MAX + 1]; /* without folders and control characters, UTF-8 */
    struct fields complaint;           /* after a failure: code, field, message */
};

/* FAIL_UNSUPPORTED, FAIL_SYNTAX: there is no form with that Content-Type, and
 * nothing to deinit. */
int form_init(struct form *f, struct str content_type,
              int (*file)(void *context, const char *bytes, size_t len), void *context);
void form_deinit(struct form *f);

/* FAIL_SYNTAX, FAIL_LIMIT with a complaint, or what `file` returned. */
int form_feed(struct form *f, const char *bytes, size_t len);
int form_end(struct form *f);

#endif
