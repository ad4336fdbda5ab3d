#include "cmd/programs.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/str.h"

static bool is_program(const char *name)
{
    struct str folders = str_of(strchr(name, '/') ? "" : getenv("PATH"));
    struct buf path;

    if (folders.len == 0)
        return access(name, X_OK) == 0;
    buf_init(&path, 4096);
    bool found = false;
    while (folders.at != NULL && !found) {
        struct str folder = str_cut(&folders, ':');
        buf_reset(&path);
        buf_printf(&path, "%.*s/%s", STR_ARG(folder), name);
        found = !path.failed && access(buf_text(&path), X_OK) == 0;
    }
    buf_deinit(&path);
    return found;
}

void programs_warn(const char *ffmpeg, const char *ffprobe)
{
    const char *const programs[] = { ffmpeg, ffprobe };

    for (size_t i = 0; i < sizeof(programs) / sizeof(*programs); i++)
        if (!is_program(programs[i]))
            log_warn("program_missing", LOG_S("program", programs[i]),
                     LOG_S("means", "uploads cannot be converted"));
}

void programs_warn_pages(const char *yt_dlp)
{
    if (!is_program(yt_dlp))
        log_warn("program_missing", LOG_S("program", yt_dlp),
                 LOG_S("means", "only files can be downloaded, not from pages"));
}
