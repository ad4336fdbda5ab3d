/* The pieces of which programs build their progress: words, times, sizes. */
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/utf8.h"
#include "cmd/run_programs.h"
#include "cmd/run_read.h"

static const double CLOCK_MAX_S = 1e9; /* thirty years: beyond it is nonsense */

struct str run_word(struct str *rest)
{
    struct str text = *rest;
    size_t len = 0;

    if (text.len == 0) /* perhaps there is no text at all */
        return STR("");
    while (text.len > 0 && (text.at[0] == ' ' || text.at[0] == '\t')) {
        text.at++;
        text.len--;
    }
    while (len < text.len && text.at[len] != ' ' && text.at[len] != '\t')
        len++;
    *rest = (struct str){ text.at + len, text.len - len };
    return (struct str){ text.at, len };
}

struct str run_behind(struct str line, struct str mark)
{
    const char *found = line.len > 0 ? memmem(line.at, line.len, mark.at, mark.len) : NULL;

    if (found == NULL)
        return (struct str){ 0 };
    found += mark.len;
    return (struct str){ found, line.len - (size_t)(found - line.at) };
}

/* Digits with at most one point: neither signs nor exponents nor "inf". */
static double decimal(struct str text)
{
    double value;

    if (text.len == 0 || text.len > 20 || text.at[0] < '0' || text.at[0] > '9')
        return -1;
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] != '.' && (text.at[i] < '0' || text.at[i] > '9'))
            return -1;
    return str_parse_double(text, &value) == OK ? value : -1;
}

double run_clock(struct str text)
{
    double seconds = 0;
    unsigned fields = 0;

    for (; text.at != NULL; fields++) {
        double field = decimal(str_cut(&text, ':'));
        if (field < 0 || fields == 3)
            return -1;
        seconds = seconds * 60 + field;
    }
    return fields >= 2 && seconds <= CLOCK_MAX_S ? seconds : -1;
}

double run_bytes(struct str text)
{
    static const char powers[] = "kMGTP";
    double factor = 1;

    if (str_ends(text, STR("/s")))
        text.len -= 2;
    if (str_ends(text, STR("B")))
        text.len--;
    if (str_ends(text, STR("i")))
        text.len--;
    if (text.len == 0)
        return -1;
    char last = text.at[text.len - 1];
    const char *power = last ? strchr(powers, last == 'K' ? 'k' : last) : NULL;
    if (power != NULL) {
        factor = ldexp(1, 10 * (int)(power - powers + 1));
        text.len--;
    }
    double number = decimal(text);
    return number < 0 || number * factor > 1e18 ? -1 : number * factor;
}

double run_percent(struct str text)
{
    if (!str_ends(text, STR("%")))
        return -1;
    text.len--;
    double percent = decimal(text);
    return percent > 100 ? -1 : percent < 0 ? -1 : percent / 100;
}

void run_put_clock(struct buf *out, double seconds)
{
    unsigned long whole = seconds > 0 ? (unsigned long)fmin(seconds, CLOCK_MAX_S) : 0;

    buf_printf(out, "%02lu:%02lu:%02lu", whole / 3600, whole / 60 % 60, whole % 60);
}

/* ECMA-48: ESC [ parameters, then one byte from @ to ~. Returns its length. */
static size_t escape_length(struct str s)
{
    size_t len = 2;

    if (s.len < 2 || s.at[1] != '[')
        return 1;
    while (len < s.len && s.at[len] >= ' ' && s.at[len] < '@')
        len++;
    return len < s.len ? len + 1 : len;
}

/* C0, DEL, and C1 as UTF-8 has them. */
static bool is_control(struct str s)
{
    unsigned char first = (unsigned char)s.at[0];

    return first < ' ' || first == 0x7f ||
           (first == 0xc2 && s.len > 1 && (unsigned char)s.at[1] < 0xa0);
}

size_t run_text_clean(struct str from, char *out, size_t size)
{
    size_t len = 0;

    while (from.len > 0) {
        size_t taken = utf8_length(from.at, from.len);
        struct str piece = { from.at, taken };
        if (from.at[0] == '\x1b') {
            taken = escape_length(from);
            piece.len = 0;
        } else if (taken == 0) {
            piece = STR("\xef\xbf\xbd");
            taken = 1;
        } else if (is_control(from)) {
            piece = STR(" ");
        }
        from.at += taken;
        from.len -= taken;
        if (len == 0 && str_equal(piece, STR(" ")))
            continue;
        if (len + piece.len >= size)
            break;
        memcpy(out + len, piece.at, piece.len);
        len += piece.len;
    }
    while (len > 0 && out[len - 1] == ' ')
        len--;
    out[len] = '\0';
    return len;
}
