/* Feeds anything to what is read of others while downloading. The first byte chooses
 * which: fields of an answer, names, yt-dlp's JSON, its lines. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "media/download_read.h"
#include "storage/disk_dir.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

enum { OUT_MAX = 4096 };

static void check_fields(const char *text)
{
    struct buf out;
    uint64_t first = 0;
    int64_t total = -1;

    buf_init(&out, OUT_MAX);
    if (download_disposition_name(text, &out) == 0)
        CHECK(out.len <= OUT_MAX);
    buf_reset(&out);
    download_url_name(text, &out);
    CHECK(utf8_is_valid(buf_text(&out), out.len));
    if (download_content_range(text, &first, &total) == 0)
        CHECK(total == -1 || first < (uint64_t)total);
    download_is_page_type(text);
    buf_deinit(&out);
}

/* Whatever it was, it can be a file's name. */
static void check_name(const char *text, size_t len)
{
    struct buf out;

    buf_init(&out, 255);
    download_file_name((struct str){ text, len }, ".mp4", &out);
    CHECK(!out.failed && out.len > 4 && utf8_is_valid(out.data, out.len));
    CHECK(name_is_normal(buf_str(&out)) && out.data[0] != '.' && out.data[0] != '-');
    buf_deinit(&out);
}

static void check_text(const char *text, size_t size)
{
    CHECK(strlen(text) < size && utf8_is_valid(text, strlen(text)));
}

static void check_page(const char *text, size_t len)
{
    struct page_info info;
    struct buf record;
    struct remote_info back;

    if (page_info_read((struct str){ text, len }, &info) != 0)
        return;
    CHECK(info.passes >= 1 && info.passes <= PAGE_PASSES_MAX);
    check_text(info.remote.title, sizeof(info.remote.title));
    check_text(info.remote.id, sizeof(info.remote.id));
    check_text(info.remote.thumbnail, sizeof(info.remote.thumbnail));
    buf_init(&record, 64 * 1024);
    remote_info_write(&info.remote, &record);
    CHECK(remote_info_read(buf_str(&record), &back) == 0);
    CHECK(strcmp(back.title, info.remote.title) == 0);
    buf_deinit(&record);
}

/* However the lines are, the bar goes one way. */
static void check_lines(const char *text, size_t len)
{
    static const struct page_info info = {
        .passes = 2,
        .pass = { { "137", 900, true, true }, { "140", -1, false, false } },
    };
    struct str rest = { text, len };
    struct page_progress p;
    struct download_progress now;
    double least = 0;

    page_progress_init(&p, &info);
    while (rest.at != NULL) {
        page_progress_line(&p, &info, str_cut(&rest, '\n'));
        page_progress_now(&p, &now);
        CHECK(now.fraction >= least && now.fraction <= 1 && now.done >= 0 && now.total >= -1);
        least = now.fraction;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    /* Exactly as long, so that a byte too far is noticed. */
    char *text = mem_strndup((const char *)data + 1, size - 1);

    switch (data[0] % 4) {
    case 0: check_fields(text); break;
    case 1: check_name(text, size - 1); break;
    case 2: check_page(text, size - 1); break;
    default: check_lines(text, size - 1); break;
    }
    mem_free(text);
    return 0;
}
