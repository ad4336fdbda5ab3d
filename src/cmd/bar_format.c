/* The bar's line:
 *
 *   Converting  ━━━━━━━━━━━━━━━━──────────  62%  2.4x  ETA 1:03  message
 *
 * What does not fit is left out, the least important first. */
#include <math.h>
#include <string.h>
#include <wchar.h>

#include "base/emit.h"
#include "base/utf8.h"
#include "cmd/bar.h"

enum { STAGE_COLUMNS = 10, BAR_MIN = 8, BAR_MAX = 40, MESSAGE_MIN = 12, PIECE_MAX = 96 };

void bar_put_bytes(struct buf *out, double bytes)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    size_t unit = 0;

    while (bytes >= 1024 && unit + 1 < sizeof(units) / sizeof(*units)) {
        bytes /= 1024;
        unit++;
    }
    buf_printf(out, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
}

void bar_put_time(struct buf *out, int64_t seconds)
{
    long long hours = seconds / 3600, minutes = seconds / 60 % 60;

    if (hours > 0)
        buf_printf(out, "%lld:%02lld:%02d", hours, minutes, (int)(seconds % 60));
    else
        buf_printf(out, "%lld:%02d", minutes, (int)(seconds % 60));
}

static wchar_t decode(const char *at, size_t len)
{
    unsigned value = (unsigned char)at[0];

    if (len > 1)
        value &= 0xffu >> (len + 1);
    for (size_t i = 1; i < len; i++)
        value = value << 6 | ((unsigned char)at[i] & 0x3f);
    return (wchar_t)value;
}

/* Columns of the character at `at`, whose bytes go to `len`; -1 if it must not
 * be shown. */
static int columns_of(const char *at, size_t left, bool is_utf8, size_t *len)
{
    *len = utf8_length(at, left);
    if (*len == 0) {
        *len = 1;
        return -1;
    }
    wchar_t c = decode(at, *len);
    if (c < ' ' || (c >= 0x7f && c < 0xa0) || (*len > 1 && !is_utf8))
        return -1;
    /* Marks that turn the reading direction could reorder the whole line. */
    if ((c >= 0x200e && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) ||
        (c >= 0x2066 && c <= 0x2069))
        return -1;
    int columns = wcwidth(c);
    return columns < 0 ? 1 : columns;
}

static unsigned text_width(const char *text, bool is_utf8)
{
    size_t left = strlen(text), len;
    unsigned width = 0;

    for (; left > 0; text += len, left -= len) {
        int columns = columns_of(text, left, is_utf8, &len);
        width += columns < 0 ? 1u : (unsigned)columns;
    }
    return width;
}

unsigned bar_put_text(struct buf *out, const char *text, unsigned columns, bool is_utf8)
{
    const char *ellipsis = is_utf8 ? "\xe2\x80\xa6" : ".";
    bool is_cut = text_width(text, is_utf8) > columns;
    size_t left = strlen(text), len;
    unsigned used = 0;

    for (; left > 0; text += len, left -= len) {
        int wide = columns_of(text, left, is_utf8, &len);
        unsigned needs = wide < 0 ? 1u : (unsigned)wide;
        if (used + needs + (is_cut ? 1u : 0u) > columns)
            break;
        if (wide < 0)
            buf_putc(out, '?');
        else
            buf_append(out, text, len);
        used += needs;
    }
    if (is_cut && used < columns) {
        buf_puts(out, ellipsis);
        used++;
    }
    return used;
}

static void put_bar(struct buf *out, double fraction, unsigned columns, bool is_utf8)
{
    const char *full = is_utf8 ? "\xe2\x94\x81" : "#", *empty = is_utf8 ? "\xe2\x94\x80" : "-";
    unsigned filled = fraction > 0 ? (unsigned)(fraction * columns) : 0;

    for (unsigned i = 0; i < columns; i++)
        buf_puts(out, i < filled ? full : empty);
}

/* What stands behind the bar, the most important first. */
enum { PERCENT, ETA, SPEED, SIZES, PIECES };

static double clamp(double fraction)
{
    return fraction < 1 ? fraction : 1;
}

static void make_pieces(const struct bar_state *s, struct buf pieces[PIECES])
{
    if (s->fraction >= 0) /* 100% is for what is complete */
        buf_printf(&pieces[PERCENT], "  %3d%%", (int)floor(clamp(s->fraction) * 100));
    if (s->eta_s >= 0) {
        buf_puts(&pieces[ETA], "  ETA ");
        bar_put_time(&pieces[ETA], s->eta_s);
    }
    if (s->speed >= 0 && s->unit == BAR_BYTES) {
        buf_puts(&pieces[SPEED], "  ");
        bar_put_bytes(&pieces[SPEED], s->speed);
        buf_puts(&pieces[SPEED], "/s");
    } else if (s->speed >= 0 && s->unit == BAR_TIMES) {
        buf_printf(&pieces[SPEED], "  %.1fx", s->speed);
    }
    if (s->unit == BAR_BYTES && s->total > 0) {
        buf_puts(&pieces[SIZES], "  ");
        bar_put_bytes(&pieces[SIZES], (double)s->done);
        buf_puts(&pieces[SIZES], " of ");
        bar_put_bytes(&pieces[SIZES], (double)s->total);
    }
}

/* Drops pieces, the last first and never the percentage, until stage and bar have
 * room; returns what is left for the bar. */
static unsigned make_room(struct buf pieces[PIECES], unsigned width, unsigned stage)
{
    for (int last = PIECES; last > 0; last--) {
        size_t taken = stage + 2;
        for (int i = 0; i < PIECES; i++) {
            if (i >= last)
                buf_reset(&pieces[i]);
            taken += pieces[i].len;
        }
        if (taken + BAR_MIN <= width)
            return width - (unsigned)taken < BAR_MAX ? width - (unsigned)taken : BAR_MAX;
    }
    return 0;
}

static void put_line(const struct bar_state *s, unsigned width, bool is_utf8,
                     struct buf pieces[PIECES], struct buf *out)
{
    unsigned stage = text_width(s->stage, is_utf8);
    size_t begin = out->len;

    stage = stage < STAGE_COLUMNS ? STAGE_COLUMNS : stage;
    if (stage > width)
        stage = width;
    unsigned used = bar_put_text(out, s->stage, stage, is_utf8);
    if (out->len > begin && out->data[begin] >= 'a' && out->data[begin] <= 'z')
        out->data[begin] = (char)(out->data[begin] - 'a' + 'A');
    unsigned bar = make_room(pieces, width, stage);
    if (bar == 0) { /* too narrow for a bar */
        if (s->fraction >= 0 && used + 6 <= width)
            buf_printf(out, " %3d%%", (int)floor(clamp(s->fraction) * 100));
        return;
    }
    buf_printf(out, "%*s", (int)(stage - used + 2), "");
    put_bar(out, clamp(s->fraction), bar, is_utf8);
    used = stage + 2 + bar;
    for (int i = 0; i < PIECES; i++) {
        int in_order = (int[]){ PERCENT, SIZES, SPEED, ETA }[i];
        buf_append(out, buf_text(&pieces[in_order]), pieces[in_order].len);
        used += (unsigned)pieces[in_order].len;
    }
    if (s->message != NULL && *s->message && used + 2 + MESSAGE_MIN <= width) {
        buf_puts(out, "  ");
        bar_put_text(out, s->message, width - used - 2, is_utf8);
    }
}

void bar_format(const struct bar_state *s, unsigned width, bool is_utf8, struct buf *out)
{
    struct buf pieces[PIECES];

    for (int i = 0; i < PIECES; i++)
        buf_init(&pieces[i], PIECE_MAX);
    make_pieces(s, pieces);
    put_line(s, width, is_utf8, pieces, out);
    for (int i = 0; i < PIECES; i++)
        buf_deinit(&pieces[i]);
}

void bar_json(const struct bar_state *s, const char *id, struct buf *out)
{
    emit_open(out, '{');
    if (id != NULL)
        emit_field_string(out, "id", id);
    emit_field_string(out, "state", s->state);
    emit_field_string(out, "stage", s->stage);
    if (s->fraction >= 0)
        emit_field_real(out, "progress", clamp(s->fraction), 4);
    if (s->message != NULL)
        emit_field_string(out, "message", s->message);
    if (s->unit == BAR_BYTES) {
        emit_field_int(out, "sent", (int64_t)s->done);
        emit_field_int(out, "total", (int64_t)s->total);
    }
    if (s->speed >= 0 && s->unit != BAR_NO_UNIT)
        emit_field_real(out, s->unit == BAR_BYTES ? "bytes_per_second" : "speed", s->speed, 2);
    if (s->eta_s >= 0)
        emit_field_int(out, "eta_seconds", s->eta_s);
    emit_close(out, '}');
}
