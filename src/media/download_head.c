/* The head of an answer: whether this is the file, and the part of it, that was asked
 * for. What says that it is still the same one is kept for the next start. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/utf8.h"
#include "media/download_direct.h"
#include "media/download_read.h"

/* What is kept for the next start */

static void save_work(void *context)
{
    struct direct *d = context;
    int fd = open(d->from, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t len = strlen(d->saving);

    if (fd < 0)
        return;
    if (write(fd, d->saving, len) != (ssize_t)len)
        unlink(d->from);
    close(fd);
}

static void saved(void *context)
{
    ((struct direct *)context)->is_saving = false;
    direct_come_back(context);
}

void direct_load(struct direct *d)
{
    char text[DIRECT_FROM_MAX];
    int fd = open(d->from, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text));
    uint64_t total;

    if (fd >= 0)
        close(fd);
    if (len <= 0)
        return;
    struct str rest = { text, (size_t)len };
    struct str first = str_cut(&rest, '\n'), validator = str_cut(&rest, '\n');
    if (validator.at == NULL || validator.len >= sizeof(d->validator))
        return;
    d->total = str_parse_u64(first, INT64_MAX, &total) == OK ? (int64_t)total : -1;
    snprintf(d->validator, sizeof(d->validator), "%.*s", STR_ARG(validator));
}

/* The answer's head */

static void keep_validator(struct direct *d, const struct fetch_answer *a)
{
    const char *etag = fetch_header_of(a, "ETag");
    const char *modified = fetch_header_of(a, "Last-Modified");
    const char *ranges = fetch_header_of(a, "Accept-Ranges");
    const char *best = etag != NULL && *etag == '"' ? etag : modified;

    d->validator[0] = '\0';
    if (best != NULL && strlen(best) < sizeof(d->validator) &&
        (ranges == NULL || strcmp(ranges, "none") != 0))
        snprintf(d->validator, sizeof(d->validator), "%s", best);
    if (d->is_saving)
        return;
    d->is_saving = true;
    snprintf(d->saving, sizeof(d->saving), "%lld\n%s\n", (long long)d->total, d->validator);
    direct_hand_over(d, save_work, saved);
}

static void tell_info(struct direct *d, const struct fetch_answer *a)
{
    const char *disposition = fetch_header_of(a, "Content-Disposition");
    struct remote_info info = { .duration_ms = -1 };
    struct buf name, title;

    if (d->has_told)
        return;
    buf_init(&name, DOWNLOAD_URL_MAX);
    buf_init(&title, DOWNLOAD_URL_MAX);
    if (disposition == NULL || download_disposition_name(disposition, &name) != OK) {
        buf_reset(&name);
        download_url_name(a->url ? a->url : d->r.what->url, &name);
    }
    download_title_of(buf_str(&name), &title);
    size_t len = utf8_cut(buf_text(&title), title.len, sizeof(info.title) - 1);
    snprintf(info.title, sizeof(info.title), "%.*s", (int)len, buf_text(&title));
    buf_deinit(&name);
    buf_deinit(&title);
    d->r.events->info(d->r.context, &info);
    d->has_told = true;
}

static bool is_encoded(const struct fetch_answer *a)
{
    const char *encoding = fetch_header_of(a, "Content-Encoding");

    return encoding != NULL && *encoding != '\0' && strcmp(encoding, "identity") != 0;
}

/* Not OK: the request is given up, for d->why. */
static int check_size(struct direct *d)
{
    if (d->total > 0 && (uint64_t)d->total > d->r.settings->bytes_max) {
        buf_printf(&d->why, "it has %lld bytes, at most %llu are allowed", (long long)d->total,
                   (unsigned long long)d->r.settings->bytes_max);
        return FAIL_LIMIT;
    }
    if (d->total > 0 && direct_make_room(d, (uint64_t)d->total) != OK) {
        buf_printf(&d->why, "there is no room for %lld bytes", (long long)d->total);
        return FAIL_FULL;
    }
    return OK;
}

static int begun_whole(struct direct *d, const struct fetch_answer *a)
{
    if (d->offset > 0) {
        d->must_begin_anew = true;
        return FAIL_STATE;
    }
    if (download_is_page_type(fetch_header_of(a, "Content-Type"))) {
        *d->is_page = true;
        buf_puts(&d->why, "this is a web page, not a video");
        return FAIL_UNSUPPORTED;
    }
    if (is_encoded(a)) {
        buf_puts(&d->why, "the server sends it compressed");
        return FAIL_UNSUPPORTED;
    }
    d->total = a->length;
    int err = check_size(d);
    if (err == OK) {
        tell_info(d, a);
        keep_validator(d, a);
    }
    return err;
}

/* RFC 9110, 15.3.7: a 206 names its file as a 200 would. Not every server heeds If-Range. */
static bool is_of_another(const struct direct *d, const struct fetch_answer *a)
{
    const char *said = fetch_header_of(a, *d->validator == '"' ? "ETag" : "Last-Modified");

    if (said == NULL)
        return false;
    return strcmp(strncmp(said, "W/", 2) == 0 ? said + 2 : said, d->validator) != 0;
}

static int begun_part(struct direct *d, const struct fetch_answer *a)
{
    const char *range = fetch_header_of(a, "Content-Range");
    uint64_t first;
    int64_t total;

    if (d->offset == 0 || range == NULL || is_encoded(a) || is_of_another(d, a) ||
        download_content_range(range, &first, &total) != OK || first != d->offset ||
        (d->total >= 0 && total >= 0 && total != d->total)) {
        d->must_begin_anew = true;
        return FAIL_STATE;
    }
    if (total >= 0)
        d->total = total;
    int err = check_size(d);
    if (err == OK)
        tell_info(d, a);
    return err;
}

int direct_begun(void *context, const struct fetch_answer *a)
{
    struct direct *d = context;

    d->has_begun = true;
    d->has_body = a->status == 200 || a->status == 206;
    buf_reset(&d->why);
    if (a->status == 200)
        return begun_whole(d, a);
    return a->status == 206 ? begun_part(d, a) : OK;
}
