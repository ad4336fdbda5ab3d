#include "cmd/run_read.h"

#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "cmd/pace.h"
#include "cmd/run_programs.h"

static const double PACE_WHOLE = 1e9; /* what a fraction of 1 is to struct pace */

struct line {
    size_t len;
    char text[RUN_LINE_MAX];
};

struct run_read {
    enum run_parse parse;
    enum run_parse source; /* who spoke last; AUTO: nobody yet */
    struct ffmpeg_reader ffmpeg;
    struct yt_dlp_reader yt_dlp;
    struct curl_reader curl;
    struct pv_reader pv;
    struct pace pace;
    struct run_news news;
    struct line lines[RUN_STREAMS];
    char last_words[RUN_TEXT_MAX];
};

struct run_read *run_read_new(enum run_parse parse, uint64_t whole_ms)
{
    struct run_read *r = mem_new(struct run_read);

    r->parse = parse;
    r->pv.is_certain = parse == RUN_PARSE_PV;
    r->news = (struct run_news){
        .fraction = -1, .eta_s = -1, .speed = -1, .bytes_done = -1, .bytes_total = -1
    };
    ffmpeg_reader_init(&r->ffmpeg, (double)whole_ms / 1000);
    yt_dlp_reader_init(&r->yt_dlp);
    return r;
}

void run_read_free(struct run_read *r)
{
    mem_free(r);
}

const struct run_news *run_read_news(const struct run_read *r)
{
    return &r->news;
}

const char *run_read_last_words(const struct run_read *r)
{
    return r->last_words;
}

bool run_parse_wants(enum run_parse parse, enum run_stream stream)
{
    if (parse == RUN_PARSE_NONE)
        return false;
    return stream == RUN_ERRORS || (parse != RUN_PARSE_CURL && parse != RUN_PARSE_PV);
}

static enum run_verdict ask_ffmpeg(struct run_read *r, struct str line, struct run_finding *out)
{
    return ffmpeg_reader_line(&r->ffmpeg, line, out);
}

static enum run_verdict ask_yt_dlp(struct run_read *r, struct str line, struct run_finding *out)
{
    return yt_dlp_reader_line(&r->yt_dlp, line, out);
}

static enum run_verdict ask_curl(struct run_read *r, struct str line, struct run_finding *out)
{
    return curl_reader_line(&r->curl, line, out);
}

static enum run_verdict ask_pv(struct run_read *r, struct str line, struct run_finding *out)
{
    return pv_reader_line(&r->pv, line, out);
}

static enum run_verdict ask_lines(struct run_read *r, struct str line, struct run_finding *out)
{
    (void)r;
    return progress_line(line, out);
}

static const struct source {
    enum run_parse parse;
    bool only_errors; /* it shows progress on standard error alone */
    enum run_verdict (*ask)(struct run_read *r, struct str line, struct run_finding *out);
} sources[] = {
    { RUN_PARSE_LINES, false, ask_lines },   { RUN_PARSE_FFMPEG, false, ask_ffmpeg },
    { RUN_PARSE_YT_DLP, false, ask_yt_dlp }, { RUN_PARSE_CURL, true, ask_curl },
    { RUN_PARSE_PV, true, ask_pv },
};

/* Who was named is asked alone. Else: lines made for us count more than what the
 * programs behind them print, and bare numbers less than anything. */
static bool is_asked(const struct run_read *r, const struct source *s, enum run_stream stream)
{
    if (s->only_errors && stream != RUN_ERRORS)
        return false;
    if (r->parse != RUN_PARSE_AUTO)
        return r->parse == s->parse;
    if (r->source == RUN_PARSE_LINES)
        return s->parse == RUN_PARSE_LINES;
    return s->parse != RUN_PARSE_PV || r->source == RUN_PARSE_AUTO || r->source == RUN_PARSE_PV;
}

static int64_t whole(double number, double most)
{
    return number >= 0 ? (int64_t)fmin(number, most) : -1;
}

/* An estimate of our own where the program has none. */
static int64_t estimate(struct run_read *r, uint64_t now_ms)
{
    if (r->news.fraction < 0)
        return -1;
    uint64_t done = (uint64_t)(r->news.fraction * PACE_WHOLE);
    pace_note(&r->pace, now_ms, done);
    return pace_eta_s(pace_per_second(&r->pace), (uint64_t)PACE_WHOLE - done);
}

static void take_finding(struct run_read *r, const struct run_finding *f, uint64_t now_ms)
{
    struct run_news *news = &r->news;

    news->count++;
    news->fraction = fmax(news->fraction, f->fraction);
    news->speed = f->speed;
    news->speed_unit = f->speed >= 0 ? f->speed_unit : NULL;
    news->bytes_done = whole(f->bytes_done, 1e18);
    news->bytes_total = whole(f->bytes_total, 1e18);
    int64_t estimated = estimate(r, now_ms);
    news->eta_s = f->eta_s >= 0 ? whole(ceil(f->eta_s), 1e9) : estimated;
    if (f->message.len > 0)
        run_text_clean(buf_str(&f->message), news->message, sizeof(news->message));
}

static enum run_verdict ask(struct run_read *r, enum run_stream stream, struct str line,
                            struct run_finding *out)
{
    for (size_t i = 0; i < sizeof(sources) / sizeof(*sources); i++) {
        if (!is_asked(r, &sources[i], stream))
            continue;
        enum run_verdict verdict = sources[i].ask(r, line, out);
        if (verdict == RUN_NEWS)
            r->source = sources[i].parse;
        if (verdict != RUN_FOREIGN)
            return verdict;
    }
    return RUN_FOREIGN;
}

static bool take_line(struct run_read *r, enum run_stream stream, struct str line, uint64_t now_ms)
{
    struct run_finding finding = {
        .fraction = -1, .eta_s = -1, .speed = -1, .bytes_done = -1, .bytes_total = -1
    };
    char words[RUN_TEXT_MAX];

    buf_init(&finding.message, RUN_LINE_MAX);
    enum run_verdict verdict = ask(r, stream, line, &finding);
    if (verdict == RUN_NEWS)
        take_finding(r, &finding, now_ms);
    else if (verdict == RUN_FOREIGN && stream == RUN_ERRORS &&
             run_text_clean(line, words, sizeof(words)) > 0)
        memcpy(r->last_words, words, sizeof(words));
    buf_deinit(&finding.message);
    return verdict == RUN_NEWS;
}

static void keep(struct line *line, const char *bytes, size_t len)
{
    size_t room = sizeof(line->text) - line->len;

    if (len > room)
        len = room;
    memcpy(line->text + line->len, bytes, len);
    line->len += len;
}

static bool end_line(struct run_read *r, enum run_stream stream, uint64_t now_ms)
{
    struct line *line = &r->lines[stream];

    if (line->len == 0)
        return false;
    bool is_news = take_line(r, stream, (struct str){ line->text, line->len }, now_ms);
    line->len = 0;
    return is_news;
}

bool run_read_feed(struct run_read *r, enum run_stream stream, const char *bytes, size_t len,
                   uint64_t now_ms)
{
    bool is_news = false;

    while (len > 0) {
        size_t part = 0;
        while (part < len && bytes[part] != '\n' && bytes[part] != '\r')
            part++;
        keep(&r->lines[stream], bytes, part);
        if (part == len)
            break;
        is_news |= end_line(r, stream, now_ms);
        bytes += part + 1;
        len -= part + 1;
    }
    return is_news;
}

bool run_read_end(struct run_read *r, enum run_stream stream, uint64_t now_ms)
{
    return end_line(r, stream, now_ms);
}
