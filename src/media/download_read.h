/* What is read of others while downloading: a file's name and validators from an
 * answer's fields, what yt-dlp prints. Pure. */
#ifndef MEDIA_DOWNLOAD_READ_H
#define MEDIA_DOWNLOAD_READ_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "media/downloads.h"

/* "attachment; filename*=UTF-8''a%20b.mp4" (RFC 6266): "a b.mp4". FAIL_MISSING. */
int download_disposition_name(const char *field, struct buf *out);

/* The last segment of a URL's path, decoded, or "". */
void download_url_name(const char *url, struct buf *out);

/* A name as a title: without its ending, if that is one of a file. */
void download_title_of(struct str name, struct buf *out);

/* A title as a file's name: no slashes, no control characters, no dot or dash at its
 * beginning, at most 120 bytes of UTF-8; never empty. `ending` is put behind it, with
 * its dot. */
void download_file_name(struct str title, const char *ending, struct buf *out);

/* The ending for what a demuxer reads: "mov" gives ".mp4". Static. */
const char *download_ending(const char *demuxer, bool has_video);

/* "bytes 100-199/1000" (RFC 9110, 14.4): first byte, and the whole's length or -1. */
int download_content_range(const char *field, uint64_t *first, int64_t *total);
/* The same of a 416, which has a star for the bytes: the whole's length, or -1. */
int64_t download_unsatisfied_range(const char *field);

/* Whether a media type says that it is a page or a manifest. */
bool download_is_page_type(const char *content_type);
/* The same by the first bytes. */
bool download_is_page(const void *bytes, size_t len);

/* What yt-dlp says of a video (-j). */

enum { PAGE_PASSES_MAX = 2 };

/* A file of several that make one: the picture, the sound. */
struct page_pass {
    char format[64];
    int64_t size;  /* bytes, or -1 */
    bool is_exact; /* not estimated */
    bool has_video;
};

struct page_info {
    struct remote_info remote;
    bool is_live;
    unsigned passes; /* 1 or 2 */
    struct page_pass pass[PAGE_PASSES_MAX];
};

/* FAIL_SYNTAX. */
int page_info_read(struct str json, struct page_info *out);

/* One monotone bar over all passes. */
struct page_progress {
    double weight[PAGE_PASSES_MAX], fraction;
    int64_t seen[PAGE_PASSES_MAX];  /* bytes */
    int64_t total[PAGE_PASSES_MAX]; /* or -1 */
    unsigned passes, at;
};

void page_progress_init(struct page_progress *p, const struct page_info *info);

/* A line of the progress template; false: it is none. */
bool page_progress_line(struct page_progress *p, const struct page_info *info, struct str line);
void page_progress_now(const struct page_progress *p, struct download_progress *out);

/* How far `done` bytes of nobody knows how many are: grows, and never reaches 1. */
double download_guess(uint64_t done);

/* What yt-dlp complained of, as a clause for people without paths and URLs. */
void page_complaint(const char *text, struct buf *why);

#endif
