/* What a command's output says about how far it is. Bytes in, the latest news
 * out; no I/O, and the caller brings the clock. Lines end at CR or LF; of a
 * longer one than RUN_LINE_MAX only the beginning counts. How the bytes were cut
 * into pieces makes no difference.
 *
 * Invariants: the fraction is unknown or 0 to 1 and never falls; texts are short,
 * valid UTF-8 and without control characters.
 * To add a program: a reader in run_programs.h and a row in run_read.c. */
#ifndef CMD_RUN_READ_H
#define CMD_RUN_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* In the order of RUN_PARSE_CHOICES. */
enum run_parse {
    RUN_PARSE_AUTO,
    RUN_PARSE_FFMPEG,
    RUN_PARSE_YT_DLP,
    RUN_PARSE_CURL,
    RUN_PARSE_PV,
    RUN_PARSE_LINES,
    RUN_PARSE_NONE,
};

#define RUN_PARSE_CHOICES "auto|ffmpeg|yt-dlp|curl|pv|lines|none"

enum run_stream { RUN_OUTPUT, RUN_ERRORS, RUN_STREAMS };

enum { RUN_LINE_MAX = 4096, RUN_TEXT_MAX = 512 };

struct run_news {
    uint64_t count;                  /* grows with everything that is news; 0: nothing yet */
    double fraction;                 /* or negative: unknown */
    char message[RUN_TEXT_MAX];      /* "": none */
    int64_t eta_s;                   /* or -1 */
    double speed;                    /* or negative */
    const char *speed_unit;          /* "x" (times real time) or "bytes/s"; NULL without a speed */
    int64_t bytes_done, bytes_total; /* as rounded as the program prints them; or -1 */
};

struct run_read;

/* `whole_ms`: how long what ffmpeg makes will be, 0: as it says itself. */
struct run_read *run_read_new(enum run_parse parse, uint64_t whole_ms);
void run_read_free(struct run_read *r);

/* Times do not go back. True: there is news. */
bool run_read_feed(struct run_read *r, enum run_stream stream, const char *bytes, size_t len,
                   uint64_t now_ms);
/* The stream's end, which ends a line too. */
bool run_read_end(struct run_read *r, enum run_stream stream, uint64_t now_ms);

const struct run_news *run_read_news(const struct run_read *r);

/* The last line of standard error that has anything in it and is not progress,
 * or "". */
const char *run_read_last_words(const struct run_read *r);

/* Which streams there is something to read from. */
bool run_parse_wants(enum run_parse parse, enum run_stream stream);

/* Writes what of `from` is fit for people: valid UTF-8, no control characters,
 * no terminal's sequences, no space at the ends; cut at a character. Returns the
 * length; `size` counts the '\0'. */
size_t run_text_clean(struct str from, char *out, size_t size);

#endif
