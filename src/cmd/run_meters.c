/* Downloaders and meters: yt-dlp, curl, pv, and lines made for us. */
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "cmd/bar.h"
#include "cmd/run_programs.h"

static void set_speed(struct run_finding *out, double bytes_per_second)
{
    out->speed = bytes_per_second;
    out->speed_unit = bytes_per_second >= 0 ? "bytes/s" : NULL;
}

static void put_pace(struct run_finding *out)
{
    if (out->speed <= 0)
        return;
    buf_puts(&out->message, ", ");
    bar_put_bytes(&out->message, out->speed);
    buf_puts(&out->message, "/s");
}

/* yt-dlp */

void yt_dlp_reader_init(struct yt_dlp_reader *r)
{
    *r = (struct yt_dlp_reader){ .item = 1, .items = 1, .parts = 1 };
}

static void begin_item(struct yt_dlp_reader *r, uint64_t parts)
{
    r->parts = parts;
    r->part = 0;
    r->has_part = false;
}

/* "[download] Downloading item 3 of 10" ("video" in older ones) */
static bool read_item(struct yt_dlp_reader *r, struct str rest)
{
    uint64_t item, items;
    struct str what = run_word(&rest);

    if (!str_equal(what, STR("item")) && !str_equal(what, STR("video")))
        return false;
    if (str_parse_u64(run_word(&rest), 1000000, &item) != OK ||
        !str_equal(run_word(&rest), STR("of")) ||
        str_parse_u64(run_word(&rest), 1000000, &items) != OK || item < 1 || item > items)
        return false;
    r->item = item;
    r->items = items;
    begin_item(r, 1);
    return true;
}

/* "[info] ID: Downloading 1 format(s): 137+140": two files, one behind the other. */
static bool read_formats(struct yt_dlp_reader *r, struct str line)
{
    struct str formats = run_behind(line, STR(" format(s): "));
    uint64_t parts = 1;

    if (formats.at == NULL)
        return false;
    for (size_t i = 0; i < formats.len; i++)
        parts += formats.at[i] == '+' || formats.at[i] == ',';
    begin_item(r, parts);
    return true;
}

static double of_all(const struct yt_dlp_reader *r, double fraction)
{
    double item = ((double)r->part + fraction) / (double)r->parts;

    return ((double)(r->item - 1) + item) / (double)r->items;
}

/* "42.0% of ~ 10.00MiB at 1.00MiB/s ETA 00:06 (frag 3/20)", "100% of 10.00MiB in
 * 00:00:08 at 1.17MiB/s" */
static enum run_verdict read_share(struct yt_dlp_reader *r, double share, struct str rest,
                                   struct run_finding *out)
{
    struct str size = run_behind(rest, STR(" of ")), at = run_behind(rest, STR(" at "));
    struct str eta = run_behind(rest, STR(" ETA "));

    if (size.at == NULL)
        return RUN_KNOWN;
    struct str word = run_word(&size);
    if (str_equal(word, STR("~")))
        word = run_word(&size);
    else if (str_starts(word, STR("~")))
        word = (struct str){ word.at + 1, word.len - 1 };
    r->has_part = true;
    out->fraction = of_all(r, share);
    out->bytes_total = run_bytes(word);
    if (out->bytes_total >= 0)
        out->bytes_done = floor(out->bytes_total * share);
    set_speed(out, run_bytes(run_word(&at)));
    out->eta_s = run_clock(run_word(&eta));
    buf_printf(&out->message, "yt-dlp: %.1f%%", share * 100);
    if (out->bytes_total >= 0) {
        buf_puts(&out->message, " of ");
        bar_put_bytes(&out->message, out->bytes_total);
    }
    if (r->parts > 1)
        buf_printf(&out->message, " (file %u of %u)", (unsigned)r->part + 1, (unsigned)r->parts);
    put_pace(out);
    return RUN_NEWS;
}

/* "1.00MiB at  500.00KiB/s (00:00:02)": nobody knows of how much. */
static enum run_verdict read_size(double size, struct str rest, struct run_finding *out)
{
    struct str at = run_behind(rest, STR(" at "));

    if (size < 0 || at.at == NULL)
        return RUN_KNOWN;
    out->bytes_done = size;
    set_speed(out, run_bytes(run_word(&at)));
    buf_puts(&out->message, "yt-dlp: ");
    bar_put_bytes(&out->message, size);
    put_pace(out);
    return RUN_NEWS;
}

enum run_verdict yt_dlp_reader_line(struct yt_dlp_reader *r, struct str line,
                                    struct run_finding *out)
{
    if (str_starts(line, STR("[info] ")))
        return read_formats(r, line) ? RUN_KNOWN : RUN_FOREIGN;
    if (!str_starts(line, STR("[download] ")))
        return RUN_FOREIGN;
    struct str rest = { line.at + 11, line.len - 11 };
    struct str word = run_word(&rest);
    double share = run_percent(word);
    if (share >= 0)
        return read_share(r, share, rest, out);
    if (str_equal(word, STR("Downloading"))) {
        read_item(r, rest);
    } else if (str_equal(word, STR("Destination:")) ||
               str_ends(line, STR(" has already been downloaded"))) {
        if (r->has_part && r->part + 1 < r->parts)
            r->part++;
        r->has_part = true;
    } else {
        return read_size(run_bytes(word), rest, out);
    }
    return RUN_KNOWN;
}

/* curl */

enum { CURL_COLUMNS_MAX = 16 };

static size_t split(struct str line, struct str words[CURL_COLUMNS_MAX])
{
    size_t count = 0;

    while (count < CURL_COLUMNS_MAX && (words[count] = run_word(&line)).len > 0)
        count++;
    return count;
}

/* Behind the columns of times, which have two words each from a day on. */
static void curl_times(struct str left, struct str speed, struct run_finding *out)
{
    out->eta_s = run_clock(left);
    set_speed(out, run_bytes(speed));
}

static enum run_verdict curl_tell(double share, double done, double total, struct run_finding *out)
{
    out->bytes_done = done;
    if (total > 0) {
        out->bytes_total = total;
        out->fraction = share;
    }
    buf_puts(&out->message, "curl: ");
    bar_put_bytes(&out->message, done);
    if (total > 0) {
        buf_puts(&out->message, " of ");
        bar_put_bytes(&out->message, total);
    }
    put_pace(out);
    return RUN_NEWS;
}

/*   % Total    % Received % Xferd  Average Speed   Time    Time     Time  Current
 *                                  Dload  Upload   Total   Spent    Left  Speed
 *  51 28.6M   51 14.7M    0     0   9.9M      0  0:00:02  0:00:01  0:00:01  9.9M */
static enum run_verdict curl_row(struct str line, struct run_finding *out)
{
    struct str words[CURL_COLUMNS_MAX];
    size_t count = split(line, words);
    uint64_t percent;

    if (count < 12 || str_parse_u64(words[0], 100, &percent) != OK)
        return RUN_FOREIGN;
    double total = run_bytes(words[1]), got = run_bytes(words[3]), sent = run_bytes(words[5]);
    if (total < 0 || got < 0 || sent < 0)
        return RUN_FOREIGN;
    curl_times(words[count - 2], words[count - 1], out);
    return curl_tell((double)percent / 100, fmax(got, sent), total, out);
}

/* DL% UL%  Dled  Uled  Xfers  Live Total     Current  Left    Speed
 * 100 --  57.2M     0     2     0  --:--:-- --:--:-- --:--:--  544M */
static enum run_verdict curl_row_parallel(struct str line, struct run_finding *out)
{
    struct str words[CURL_COLUMNS_MAX];
    size_t count = split(line, words);
    uint64_t percent;

    if (count < 10)
        return RUN_FOREIGN;
    bool is_upload = str_equal(words[0], STR("--"));
    double got = run_bytes(words[2]), sent = run_bytes(words[3]);
    if (got < 0 || sent < 0)
        return RUN_FOREIGN;
    curl_times(words[count - 2], words[count - 1], out);
    curl_tell(0, fmax(got, sent), -1, out);
    if (str_parse_u64(words[is_upload], 100, &percent) == OK)
        out->fraction = (double)percent / 100;
    return RUN_NEWS;
}

/* "######            42.3%" */
static enum run_verdict curl_bar(struct str line, struct run_finding *out)
{
    enum { NARROWEST = 16 };
    size_t marks = 0;

    while (marks < line.len && (line.at[marks] == '#' || line.at[marks] == ' '))
        marks++;
    struct str word = { line.at + marks, line.len - marks };
    double share = run_percent(word);
    if (share < 0 || line.len < NARROWEST || memchr(word.at, '.', word.len) == NULL)
        return RUN_FOREIGN;
    out->fraction = share;
    buf_printf(&out->message, "curl: %.1f%%", share * 100);
    return RUN_NEWS;
}

enum run_verdict curl_reader_line(struct curl_reader *r, struct str line, struct run_finding *out)
{
    struct str text = str_trim(line);

    if (text.len == 0)
        return RUN_FOREIGN;
    if (str_starts(text, STR("% Total "))) {
        r->table = CURL_TABLE;
        return RUN_KNOWN;
    }
    if (str_starts(text, STR("DL% UL%"))) {
        r->table = CURL_TABLE_PARALLEL;
        return RUN_KNOWN;
    }
    if (r->table != CURL_NO_TABLE && str_starts(text, STR("Dload ")))
        return RUN_KNOWN;
    enum run_verdict verdict = RUN_FOREIGN;
    if (r->table == CURL_TABLE)
        verdict = curl_row(text, out);
    else if (r->table == CURL_TABLE_PARALLEL)
        verdict = curl_row_parallel(text, out);
    return verdict == RUN_FOREIGN ? curl_bar(line, out) : verdict;
}

/* pv -n */

enum run_verdict pv_reader_line(struct pv_reader *r, struct str line, struct run_finding *out)
{
    uint64_t percent;

    if (line.len == 0)
        return RUN_FOREIGN;
    if (line.len > 3 || str_parse_u64(line, 100, &percent) != OK) {
        r->has_last = false;
        return RUN_FOREIGN;
    }
    bool is_believed = r->is_certain || (r->has_last && percent >= r->last);
    r->has_last = true;
    r->last = percent;
    if (!is_believed)
        return RUN_FOREIGN;
    out->fraction = (double)percent / 100;
    buf_printf(&out->message, "pv: %u%%", (unsigned)percent);
    return RUN_NEWS;
}

/* Lines made for us */

enum run_verdict progress_line(struct str line, struct run_finding *out)
{
    double fraction;

    if (!str_starts(line, STR("PROGRESS ")))
        return RUN_FOREIGN;
    struct str rest = { line.at + 9, line.len - 9 };
    struct str word = run_word(&rest);
    double factor = str_ends(word, STR("%")) ? 0.01 : 1;
    if (factor < 1)
        word.len--;
    if (str_parse_double(word, &fraction) != OK)
        return RUN_FOREIGN;
    out->fraction = fmin(fmax(fraction * factor, 0), 1);
    rest = str_trim(rest);
    if (rest.len > 0)
        buf_append(&out->message, rest.at, rest.len);
    return RUN_NEWS;
}
