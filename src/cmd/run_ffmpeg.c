#include <math.h>

#include "base/err.h"
#include "cmd/run_programs.h"

void ffmpeg_reader_init(struct ffmpeg_reader *r, double given_s)
{
    *r = (struct ffmpeg_reader){ .given_s = given_s };
    progress_block_init(&r->block);
}

/* "1.5x", "   0x", "N/A" */
static double read_speed(struct str text)
{
    struct str word = run_word(&text);
    double speed;

    if (!str_ends(word, STR("x")))
        return -1;
    word.len--;
    return str_parse_double(word, &speed) == OK && speed > 0 ? speed : -1;
}

static void tell(const struct ffmpeg_reader *r, double at_s, double speed, struct run_finding *out)
{
    double whole_s = r->given_s > 0 ? r->given_s : r->whole_s;

    buf_puts(&out->message, "ffmpeg: ");
    run_put_clock(&out->message, at_s);
    if (whole_s > 0) {
        out->fraction = fmin(at_s / whole_s, 1);
        buf_puts(&out->message, " of ");
        run_put_clock(&out->message, whole_s);
    }
    if (speed <= 0)
        return;
    out->speed = speed;
    out->speed_unit = "x";
    buf_printf(&out->message, ", %.3gx", speed);
    if (whole_s > 0)
        out->eta_s = fmax(whole_s - at_s, 0) / speed;
}

/* "frame=  100 fps= 25 q=-0.0 size=N/A time=00:00:04.00 bitrate=N/A speed=0.988x";
 * with sound alone it begins with size=. Before the first packet the time is
 * N/A, or negative. */
static enum run_verdict read_status(struct ffmpeg_reader *r, struct str line,
                                    struct run_finding *out)
{
    struct str time = run_behind(line, STR(" time="));

    if (time.at == NULL || run_behind(line, STR("size=")).at == NULL ||
        run_behind(time, STR(" bitrate=")).at == NULL)
        return RUN_FOREIGN;
    r->is_known = true;
    double at_s = run_clock(run_word(&time));
    if (at_s < 0)
        return RUN_KNOWN;
    tell(r, at_s, read_speed(run_behind(time, STR("speed="))), out);
    return RUN_NEWS;
}

/* Of several inputs the longest makes the whole. */
static enum run_verdict read_input(struct ffmpeg_reader *r, struct str line)
{
    if (str_starts(line, STR("Input #0, "))) {
        r->whole_s = 0;
        return RUN_KNOWN;
    }
    struct str rest = str_trim(line);
    if (!str_starts(rest, STR("Duration: ")))
        return RUN_FOREIGN;
    rest = run_behind(rest, STR("Duration: "));
    double length_s = run_clock(str_cut(&rest, ','));
    if (length_s > r->whole_s)
        r->whole_s = length_s;
    return length_s >= 0 ? RUN_KNOWN : RUN_FOREIGN;
}

static bool is_block_key(struct str key)
{
    static const char *const keys[] = { "frame",       "fps",         "bitrate",  "total_size",
                                        "out_time_us", "out_time_ms", "out_time", "dup_frames",
                                        "drop_frames", "speed",       "progress" };

    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
        if (str_equal(key, str_of(keys[i])))
            return true;
    return str_starts(key, STR("stream_")) && str_ends(key, STR("_q"));
}

/* A line of -progress; a block of them ends with progress=. */
static enum run_verdict read_block(struct ffmpeg_reader *r, struct str line,
                                   struct run_finding *out)
{
    struct str rest = line;
    struct str key = str_cut(&rest, '=');

    if (rest.at == NULL || !is_block_key(key))
        return RUN_FOREIGN;
    bool is_whole = progress_read_line(&r->block, line);
    if (!is_whole)
        return r->is_known || r->block.out_us >= 0 ? RUN_KNOWN : RUN_FOREIGN;
    struct progress_block block = r->block;
    progress_block_init(&r->block);
    if (block.out_us < 0)
        return r->is_known ? RUN_KNOWN : RUN_FOREIGN;
    r->is_known = true;
    tell(r, (double)block.out_us / 1e6, block.speed, out);
    return RUN_NEWS;
}

enum run_verdict ffmpeg_reader_line(struct ffmpeg_reader *r, struct str line,
                                    struct run_finding *out)
{
    enum run_verdict verdict = read_status(r, line, out);

    if (verdict == RUN_FOREIGN)
        verdict = read_input(r, line);
    return verdict == RUN_FOREIGN ? read_block(r, line, out) : verdict;
}
