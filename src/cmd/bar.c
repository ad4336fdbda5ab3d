/* Showing: which form, when, and what the terminal can do. bar_format.c has the
 * line itself. */
#include "cmd/bar.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/emit.h"

enum {
    REDRAW_MS = 100,
    JSON_MS = 500,
    WIDTH_DEFAULT = 80,
    WIDTH_MAX = 400,
    LINE_MAX = 4096,
    JSON_MAX = 512 * 1024
};

static unsigned width_of(const struct bar *bar)
{
    struct winsize size;

    if (ioctl(fileno(bar->out), TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return WIDTH_DEFAULT;
    return size.ws_col < WIDTH_MAX ? size.ws_col : WIDTH_MAX;
}

void bar_init(struct bar *bar, FILE *out, bool wants_json)
{
    const char *term = getenv("TERM");
    const char *no_colour = getenv("NO_COLOR"); /* no-color.org */

    memset(bar, 0, sizeof(*bar));
    setlocale(LC_CTYPE, ""); /* for the widths of characters */
    bar->out = out;
    bar->is_json = wants_json || !isatty(fileno(out));
    bar->is_utf8 = mblen("\xc3\xa9", 2) == 2;
    bar->has_escapes = term != NULL && *term != '\0' && strcmp(term, "dumb") != 0;
    bar->has_colour = bar->has_escapes && (no_colour == NULL || *no_colour == '\0');
    buf_init(&bar->last, JSON_MAX);
}

void bar_deinit(struct bar *bar)
{
    buf_deinit(&bar->last);
}

static void wipe(struct bar *bar)
{
    if (bar->has_escapes)
        fputs("\r\033[K", bar->out);
    else
        fprintf(bar->out, "\r%*s\r", (int)bar->width_was, "");
}

/* The last column stays free: writing there makes some terminals wrap. */
static void draw(struct bar *bar, const struct bar_state *state)
{
    unsigned width = width_of(bar) - 1;
    struct buf line;

    buf_init(&line, 4 * LINE_MAX);
    bar_format(state, width, bar->is_utf8, &line);
    if (bar->is_shown)
        wipe(bar);
    fputs(buf_text(&line), bar->out);
    fflush(bar->out);
    bar->is_shown = true;
    bar->width_was = width;
    buf_deinit(&line);
}

static void print_json(struct bar *bar, const struct bar_state *state)
{
    struct buf line;

    buf_init(&line, JSON_MAX);
    bar_json(state, bar->id, &line);
    if (!line.failed && !str_equal(buf_str(&line), buf_str(&bar->last))) {
        bar_event(bar, buf_text(&line));
        buf_reset(&bar->last);
        buf_append(&bar->last, line.data, line.len);
    }
    buf_deinit(&line);
}

void bar_show_now(struct bar *bar, const struct bar_state *state)
{
    bar->drawn_ms = clock_mono_ms();
    snprintf(bar->stage, sizeof(bar->stage), "%s", state->stage);
    if (bar->is_json)
        print_json(bar, state);
    else
        draw(bar, state);
}

void bar_show(struct bar *bar, const struct bar_state *state)
{
    uint64_t least_ms = bar->is_json ? JSON_MS : REDRAW_MS;
    bool is_same = strncmp(bar->stage, state->stage, sizeof(bar->stage) - 1) == 0;

    if (bar->drawn_ms != 0 && is_same && clock_mono_ms() - bar->drawn_ms < least_ms)
        return;
    bar_show_now(bar, state);
}

void bar_keep(struct bar *bar)
{
    if (bar->is_shown)
        fputc('\n', bar->out);
    bar->is_shown = false;
    fflush(bar->out);
}

void bar_clear(struct bar *bar)
{
    if (bar->is_shown)
        wipe(bar);
    bar->is_shown = false;
    fflush(bar->out);
}

static void put_clean(struct bar *bar, FILE *out, const char *text)
{
    struct buf clean;

    buf_init(&clean, 4 * LINE_MAX);
    bar_put_text(&clean, text, LINE_MAX, bar->is_utf8);
    fputs(buf_text(&clean), out);
    buf_deinit(&clean);
}

void bar_say(struct bar *bar, bool is_good, const char *format, ...)
{
    struct buf text;
    va_list args;

    if (bar->is_json)
        return;
    bar_clear(bar);
    buf_init(&text, 4 * LINE_MAX);
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    if (is_good && bar->is_utf8)
        fputs(bar->has_colour ? "\033[32m\xe2\x9c\x93\033[0m " : "\xe2\x9c\x93 ", bar->out);
    put_clean(bar, bar->out, buf_text(&text));
    fputc('\n', bar->out);
    fflush(bar->out);
    buf_deinit(&text);
}

void bar_event(struct bar *bar, const char *json)
{
    if (!bar->is_json)
        return;
    fprintf(bar->out, "%s\n", json);
    fflush(bar->out);
}

void bar_fail(struct bar *bar, const char *state, const char *why)
{
    struct buf json;

    buf_init(&json, JSON_MAX);
    emit_open(&json, '{');
    if (bar->id != NULL)
        emit_field_string(&json, "id", bar->id);
    emit_field_string(&json, "state", state);
    emit_field_string(&json, "error", why);
    emit_close(&json, '}');
    bar_event(bar, buf_text(&json));
    buf_deinit(&json);
    bar_keep(bar);
    fputs("reelay: ", stderr);
    put_clean(bar, stderr, why);
    fputc('\n', stderr);
}
