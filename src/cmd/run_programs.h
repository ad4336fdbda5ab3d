/* One reader for each program whose progress is known. A reader is told every
 * line and keeps what it must remember; what it finds it puts into `out`, which
 * comes empty (run_finding_init). */
#ifndef CMD_RUN_PROGRAMS_H
#define CMD_RUN_PROGRAMS_H

#include "base/buf.h"
#include "base/str.h"
#include "media/progress.h"

struct run_finding {
    double fraction; /* negative: unknown */
    double eta_s;    /* negative: unknown */
    double speed;    /* negative: unknown */
    const char *speed_unit;
    double bytes_done, bytes_total; /* negative: unknown */
    struct buf message;             /* for people; empty: keep the last one */
};

enum run_verdict {
    RUN_FOREIGN, /* not this program's */
    RUN_KNOWN,   /* its own, and no news */
    RUN_NEWS,    /* `out` is filled */
};

/* ffmpeg's status line, its -progress, and the Duration: it prints. */
struct ffmpeg_reader {
    double given_s; /* of the whole, by whoever asked; 0: as it says itself */
    double whole_s; /* the longest input of this run; 0: unknown */
    bool is_known;  /* it has shown progress */
    struct progress_block block;
};

void ffmpeg_reader_init(struct ffmpeg_reader *r, double given_s);
enum run_verdict ffmpeg_reader_line(struct ffmpeg_reader *r, struct str line,
                                    struct run_finding *out);

/* yt-dlp's [download] lines; several files count as one whole where it says
 * beforehand how many there are. */
struct yt_dlp_reader {
    uint64_t item, items; /* of a playlist, from 1 */
    uint64_t part, parts; /* of an item: picture and sound, from 0 */
    bool has_part;        /* a part has begun */
};

void yt_dlp_reader_init(struct yt_dlp_reader *r);
enum run_verdict yt_dlp_reader_line(struct yt_dlp_reader *r, struct str line,
                                    struct run_finding *out);

/* curl's table (also that of --parallel), known by its head, and its bar (-#). */
struct curl_reader {
    enum { CURL_NO_TABLE, CURL_TABLE, CURL_TABLE_PARALLEL } table;
};

enum run_verdict curl_reader_line(struct curl_reader *r, struct str line, struct run_finding *out);

/* pv -n: whole numbers. Of two in a row the second is believed, unless the
 * program was named. */
struct pv_reader {
    bool is_certain;
    bool has_last;
    uint64_t last;
};

enum run_verdict pv_reader_line(struct pv_reader *r, struct str line, struct run_finding *out);

/* "PROGRESS 0.42 message", "PROGRESS 42% message" */
enum run_verdict progress_line(struct str line, struct run_finding *out);

/* Pieces that the readers share. */

/* The next run of other than spaces; empty at the end. */
struct str run_word(struct str *rest);
/* What stands behind `mark`, or at NULL. */
struct str run_behind(struct str line, struct str mark);
/* "01:02:03.04", "02:03", "--:--" and N/A: negative. */
double run_clock(struct str text);
/* "10.00MiB", "28.6M", "356", "1.00MiB/s"; else negative. */
double run_bytes(struct str text);
/* "42.0%" as 0.42; else negative. */
double run_percent(struct str text);
/* 00:00:10 */
void run_put_clock(struct buf *out, double seconds);

#endif
