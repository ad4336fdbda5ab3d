/* How far something is, shown to people or to programs: on a terminal a line
 * that is redrawn in place and fits its width, else (or with --json) one JSON
 * object per line. Text from elsewhere never reaches the terminal with its
 * control characters. */
#ifndef CMD_BAR_H
#define CMD_BAR_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"

enum bar_unit { BAR_NO_UNIT, BAR_BYTES, BAR_TIMES }; /* of `speed`: bytes/s, times real time */

struct bar_state {
    const char *state;   /* "uploading", "queued", "processing", ... */
    const char *stage;   /* "converting"; a terminal shows it with a capital */
    const char *message; /* or NULL */
    double fraction;     /* 0 to 1; negative: unknown */
    enum bar_unit unit;
    double speed;         /* negative: unknown */
    int64_t eta_s;        /* negative: unknown */
    uint64_t done, total; /* bytes, if BAR_BYTES; total 0: unknown */
};

/* The line, at most `width` columns wide. Pure. */
void bar_format(const struct bar_state *s, unsigned width, bool is_utf8, struct buf *out);
/* The same as {"id":...,"state":...,"stage":...,"progress":...}; `id` may be NULL.
 * Pure. */
void bar_json(const struct bar_state *s, const char *id, struct buf *out);

/* "1.4 GiB"; "1:03", "2:05:09". */
void bar_put_bytes(struct buf *out, double bytes);
void bar_put_time(struct buf *out, int64_t seconds);
/* Text with control characters and broken UTF-8 as '?', at most `columns` wide
 * and then cut with an ellipsis; returns the columns used. */
unsigned bar_put_text(struct buf *out, const char *text, unsigned columns, bool is_utf8);

struct bar {
    FILE *out;
    const char *id; /* of the job, once it is known; borrowed */
    bool is_json;
    bool is_utf8, has_escapes, has_colour;
    bool is_shown;      /* a line is there that the next one replaces */
    unsigned width_was; /* columns it had */
    uint64_t drawn_ms;  /* monotonic, 0: never */
    char stage[64];     /* last shown */
    struct buf last;    /* the last JSON, which is not said twice */
};

void bar_init(struct bar *bar, FILE *out, bool wants_json);
void bar_deinit(struct bar *bar);

/* Draws, unless it did a moment ago; a new stage is always drawn. */
void bar_show(struct bar *bar, const struct bar_state *state);
/* Draws in any case. */
void bar_show_now(struct bar *bar, const struct bar_state *state);

/* Leaves the line as it is and goes to the next one. */
void bar_keep(struct bar *bar);
/* Wipes the line. */
void bar_clear(struct bar *bar);

/* A line of its own for people on a terminal; a good one with a check mark. */
void bar_say(struct bar *bar, bool is_good, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A line of its own for programs: a JSON object. */
void bar_event(struct bar *bar, const char *json);

/* Why it did not come to what it was for: on standard error in any case, and
 * for programs as {"id":...,"state":STATE,"error":...}. */
void bar_fail(struct bar *bar, const char *state, const char *why);

#endif
