/* What a file request needs to know of RFC 9110: ranges, conditions, media
 * types. Pure. */
#ifndef PROTO_CONTENT_H
#define PROTO_CONTENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "proto/http.h"

/* By the file name's ending: .m3u8 application/vnd.apple.mpegurl, .m4s
 * video/iso.segment, .mp4, .ts, .vtt, .html, .js, .css, .svg, .json, .png,
 * .jpg, .ico, .txt, .webmanifest, and what videos and sound are called; else
 * application/octet-stream. Static. */
const char *content_type_of(struct str file_name);

enum content_answer {
    CONTENT_WHOLE,         /* 200 */
    CONTENT_PART,          /* 206: first..last */
    CONTENT_NOT_MODIFIED,  /* 304 */
    CONTENT_FAILED,        /* 412 Precondition Failed */
    CONTENT_UNSATISFIABLE, /* 416 */
};

/* Evaluates If-Match, If-Unmodified-Since, If-None-Match, If-Modified-Since,
 * Range and If-Range in the order of RFC 9110, 13.2.2. `etag` is quoted and
 * strong, `modified` in seconds since 1970. More than one range, or a unit
 * that is not bytes, is answered whole. On CONTENT_PART: 0 <= first <= last < size. */
enum content_answer content_evaluate(const struct http_request *request, const char *etag,
                                     int64_t modified, uint64_t size, uint64_t *first,
                                     uint64_t *last);

#endif
