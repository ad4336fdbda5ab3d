#include "media/playlist.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

static bool take_name(struct str s, char out[PLAYLIST_NAME])
{
    if (s.len == 0 || s.len >= PLAYLIST_NAME || s.at[0] == '.')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_plain && c != '.' && c != '_' && c != '-')
            return false;
    }
    memcpy(out, s.at, s.len);
    out[s.len] = '\0';
    return true;
}

/* #EXT-X-MAP:URI="init_0.mp4" */
static bool take_map(struct str attributes, struct playlist *p)
{
    if (!str_starts(attributes, STR("URI=\"")))
        return false;
    struct str rest = { attributes.at + 5, attributes.len - 5 };
    struct str name = str_cut(&rest, '"');
    return rest.at != NULL && take_name(name, p->map);
}

static bool take_seconds(struct str value, double *out)
{
    struct str number = str_cut(&value, ',');

    return str_parse_double(number, out) == OK && *out >= 0 && *out < 1e6;
}

static int add_segment(struct playlist *p, struct str name, double seconds)
{
    struct segment segment = { .seconds = seconds };

    if (seconds < 0 || !take_name(name, segment.name))
        return FAIL_SYNTAX;
    if (p->count == PLAYLIST_SEGMENTS_MAX)
        return FAIL_LIMIT;
    if ((p->count & (p->count - 1)) == 0) /* grows at the powers of two */
        p->segments = mem_resize(p->segments, (p->count ? p->count * 2 : 1) * sizeof(segment));
    p->segments[p->count++] = segment;
    return OK;
}

static bool after(struct str *line, struct str tag)
{
    if (!str_starts(*line, tag))
        return false;
    line->at += tag.len;
    line->len -= tag.len;
    return true;
}

static int read_line(struct playlist *p, struct str line, double *seconds)
{
    if (after(&line, STR("#EXTINF:")))
        return take_seconds(line, seconds) ? OK : FAIL_SYNTAX;
    if (after(&line, STR("#EXT-X-MAP:")))
        return take_map(line, p) ? OK : FAIL_SYNTAX;
    if (str_equal(line, STR("#EXT-X-ENDLIST")))
        p->is_ended = true;
    if (line.len == 0 || line.at[0] == '#')
        return OK;
    int err = add_segment(p, line, *seconds);
    *seconds = -1;
    return err;
}

int playlist_read(struct str text, struct playlist *out)
{
    struct playlist p = { 0 };
    double seconds = -1; /* of the segment to come */
    int err = str_starts(text, STR("#EXTM3U")) ? OK : FAIL_SYNTAX;

    while (text.at != NULL && err == OK) {
        struct str line = str_cut(&text, '\n');
        if (line.len > 0 && line.at[line.len - 1] == '\r')
            line.len--;
        err = read_line(&p, line, &seconds);
    }
    if (err == OK && p.map[0] == '\0')
        err = FAIL_SYNTAX;
    if (err)
        playlist_deinit(&p);
    else
        *out = p;
    return err;
}

void playlist_deinit(struct playlist *p)
{
    mem_free(p->segments);
    *p = (struct playlist){ 0 };
}

static double longest(const struct playlist *p)
{
    double seconds = 0;

    for (size_t i = 0; i < p->count; i++)
        seconds = fmax(seconds, p->segments[i].seconds);
    return seconds;
}

void playlist_write(const struct playlist *p, struct buf *out)
{
    buf_puts(out, "#EXTM3U\n#EXT-X-VERSION:7\n");
    buf_printf(out, "#EXT-X-TARGETDURATION:%.0f\n", fmax(1, round(longest(p))));
    buf_puts(out, "#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:VOD\n");
    buf_printf(out, "#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI=\"%s\"\n", p->map);
    for (size_t i = 0; i < p->count; i++)
        buf_printf(out, "#EXTINF:%.6f,\n%s\n", p->segments[i].seconds, p->segments[i].name);
    buf_puts(out, "#EXT-X-ENDLIST\n");
}

double playlist_seconds(const struct playlist *p)
{
    double seconds = 0;

    for (size_t i = 0; i < p->count; i++)
        seconds += p->segments[i].seconds;
    return seconds;
}

static uint64_t rate(double bytes, double seconds)
{
    return seconds > 0 ? (uint64_t)ceil(bytes * 8 / seconds) : 0;
}

uint64_t playlist_average(const struct playlist *p)
{
    double bytes = 0;

    for (size_t i = 0; i < p->count; i++)
        bytes += (double)p->segments[i].size;
    return rate(bytes, playlist_seconds(p));
}

uint64_t playlist_peak(const struct playlist *p)
{
    double half = longest(p) / 2;
    uint64_t peak = 0;

    for (size_t i = 0; i < p->count; i++) {
        const struct segment *s = &p->segments[i];
        uint64_t bits = rate((double)s->size, s->seconds);
        if (s->seconds >= half && bits > peak)
            peak = bits;
    }
    return peak;
}
