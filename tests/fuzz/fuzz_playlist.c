/* Playlists: as ffmpeg leaves them, and as viewers get them with URLs put in. Nothing is
 * signed but what lies in the playlist's own folder, no line comes or goes, and what names
 * nothing of that folder stays as it is. What can be read is written so that it reads the
 * same. */
#undef NDEBUG
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "media/playlist.h"
#include "media/playlist_sign.h"
#include "storage/disk_dir.h"

enum { OUT_MAX = 16 * 1024 * 1024 };

static const char folder[] = "videos/hls/V-1";

static int sign(void *context, const char *key, struct buf *out)
{
    size_t *count = context;
    struct str rest = str_of(key);

    assert(path_is_normal(key));
    assert(strncmp(key, folder, strlen(folder)) == 0 && key[strlen(folder)] == '/');
    while (rest.at != NULL) {
        struct str part = str_cut(&rest, '/');
        assert(part.len > 0 && !str_equal(part, STR(".")) && !str_equal(part, STR("..")));
    }
    (*count)++;
    buf_puts(out, "https://bucket.test/signed");
    return OK;
}

static size_t lines_of(struct str text)
{
    size_t count = 0;

    for (; text.len > 0; count++)
        str_cut(&text, '\n');
    return count;
}

static void check_signing(struct str text)
{
    size_t count = 0, again = 0;
    struct buf out, twice;

    buf_init(&out, OUT_MAX);
    buf_init(&twice, OUT_MAX);
    assert(playlist_sign(text, folder, sign, &count, &out) == OK);
    assert(lines_of(buf_str(&out)) == lines_of(text));
    /* What is signed has a scheme: it is not signed again. */
    if (count == 0) {
        assert(playlist_sign(buf_str(&out), folder, sign, &again, &twice) == OK);
        assert(again == 0);
    }
    buf_deinit(&out);
    buf_deinit(&twice);
}

static void check_reading(struct str text)
{
    struct playlist first, second;
    struct buf out;

    if (playlist_read(text, &first) != OK)
        return;
    buf_init(&out, OUT_MAX);
    playlist_write(&first, &out);
    if (!out.failed && first.count > 0) {
        assert(playlist_read(buf_str(&out), &second) == OK);
        assert(second.count == first.count && second.is_ended);
        assert(strcmp(first.map, second.map) == 0);
        for (size_t i = 0; i < first.count; i++)
            assert(strcmp(first.segments[i].name, second.segments[i].name) == 0);
        playlist_deinit(&second);
    }
    buf_deinit(&out);
    playlist_deinit(&first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = { (const char *)data, size };

    check_signing(text);
    check_reading(text);
    return 0;
}
