#include "media/complaint.h"

#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "base/utf8.h"

enum { COMPLAINT_TOLD_MAX = 200 };

/* The first row that is found decides, so causes come before consequences. */
static const struct {
    const char *needle;
    int err;
    const char *why;
} known[] = {
    { "No space left on device", FAIL_FULL, "there is no space left" },
    { "Disk quota exceeded", FAIL_FULL, "there is no space left" },
    { "File too large", FAIL_LIMIT, "the result would be too large" },
    { "Cannot allocate memory", FAIL_LIMIT, "converting it needs more memory than is allowed" },
    { "malloc of size", FAIL_LIMIT, "converting it needs more memory than is allowed" },
    { "exceeds specified max pixel count", FAIL_LIMIT, "the picture has too many pixels" },
    { "Picture size", FAIL_LIMIT, "the picture has too many pixels" },
    { "moov atom not found", FAIL_SYNTAX,
      "the file is incomplete: its index (moov) is missing, so the upload may have been cut off" },
    { "not found for input stream", FAIL_UNSUPPORTED, "it uses a codec that cannot be read here" },
    { "Decoder (codec", FAIL_UNSUPPORTED, "it uses a codec that cannot be read here" },
    { "sandbox: ", FAIL_IO, "the converter could not be started" },
};

/* Lines that only follow from another one. */
static const char *const hollow[] = { "Conversion failed!", "Exiting normally", "Last message",
                                      "Error while filtering", "Nothing was written" };

static bool is_hollow(struct str line)
{
    for (size_t i = 0; i < sizeof(hollow) / sizeof(hollow[0]); i++)
        if (str_starts(line, str_of(hollow[i])))
            return true;
    return line.len == 0;
}

/* "[mov,mp4 @ 0x55d0c8] text" to "text", also repeated. */
static struct str without_prefix(struct str line)
{
    line = str_trim(line);
    while (line.len > 0 && line.at[0] == '[') {
        struct str rest = line;
        str_cut(&rest, ']');
        if (rest.at == NULL)
            break;
        line = str_trim(rest);
    }
    return line;
}

/* The last line that says something of its own. */
static struct str telling_line(const char *text)
{
    struct str rest = str_of(text), best = { 0 };

    while (rest.at != NULL) {
        struct str line = without_prefix(str_cut(&rest, '\n'));
        if (!is_hollow(line))
            best = line;
    }
    return best;
}

static bool is_path(struct str word)
{
    return memchr(word.at, '/', word.len) != NULL || str_starts(word, STR("file:"));
}

static void append_printable(struct buf *out, struct str word, size_t len_max)
{
    for (size_t i = 0; i < word.len && out->len < len_max;) {
        size_t len = utf8_length(word.at + i, word.len - i);
        bool is_control = len == 1 && ((unsigned char)word.at[i] < 0x20 || word.at[i] == 0x7f);
        if (len > 0 && !is_control)
            buf_append(out, word.at + i, len);
        i += len ? len : 1;
    }
}

/* Paths tell of the server, and a name with a space in it leaves its second
 * half standing: so everything up to the last slash's word is dropped. */
static void append_safely(struct buf *out, struct str line)
{
    struct str rest = line, word;
    size_t from = 0, start = out->len;

    if (line.len == 0)
        return;
    while (rest.at != NULL) {
        word = str_cut(&rest, ' ');
        if (is_path(word))
            from = (size_t)(word.at - line.at) + word.len;
    }
    rest = (struct str){ line.at + from, line.len - from };
    while (rest.at != NULL && out->len - start < COMPLAINT_TOLD_MAX) {
        word = str_cut(&rest, ' ');
        if (word.len == 0)
            continue;
        if (out->len > start)
            buf_putc(out, ' ');
        append_printable(out, word, start + COMPLAINT_TOLD_MAX);
    }
}

int complaint_read(const char *text, struct buf *why)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strstr(text, known[i].needle) == NULL)
            continue;
        buf_puts(why, known[i].why);
        return known[i].err;
    }
    size_t start = why->len;
    buf_puts(why, "the file is damaged or not what it seems: ");
    size_t said = why->len;
    append_safely(why, telling_line(text));
    if (why->len == said && said > start)
        why->len = said - 2, why->data[why->len] = '\0';
    return FAIL_SYNTAX;
}
