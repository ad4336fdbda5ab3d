#include "lib/message.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/emit.h"
#include "base/utf8.h"

enum { FRAME_MAX = 1024, ESCAPED_MAX = 6 }; /* names and numbers; "\u0001" */

/* Days since 1970 as a date of the proleptic Gregorian calendar. Years are
 * counted from March here, so that the leap day is the last one. */
static void date_of(int64_t days, int64_t *year, int *month, int *day)
{
    enum { DAYS_400 = 146097, DAYS_100 = 36524, DAYS_4 = 1461, FROM_YEAR_0 = 719468 };

    days += FROM_YEAR_0;
    int64_t era = (days >= 0 ? days : days - DAYS_400 + 1) / DAYS_400;
    int64_t rest = days - era * DAYS_400;
    int64_t years = (rest - rest / (DAYS_4 - 1) + rest / DAYS_100 - rest / (DAYS_400 - 1)) / 365;
    rest -= years * 365 + years / 4 - years / 100;
    int from_march = (int)(rest * 5 + 2) / 153;

    *day = (int)rest - (from_march * 153 + 2) / 5 + 1;
    *month = from_march < 10 ? from_march + 3 : from_march - 9;
    *year = era * 400 + years + (*month <= 2);
}

void message_time(int64_t wall_ms, char out[MESSAGE_TIME_SIZE])
{
    enum { DAY_MS = 24 * 60 * 60 * 1000 };
    int64_t days = wall_ms / DAY_MS - (wall_ms % DAY_MS < 0);
    int ms = (int)(wall_ms - days * DAY_MS);
    int64_t year;
    int month, day;

    date_of(days, &year, &month, &day);
    snprintf(out, MESSAGE_TIME_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", (int)year, month, day,
             ms / 3600000, ms / 60000 % 60, ms / 1000 % 60, ms % 1000);
}

/* printf's %f would write the locale's decimal point. */
static void emit_progress(struct buf *b, double progress)
{
    char digits[16];
    int scaled = (int)(progress * 10000 + 0.5);
    int len = snprintf(digits, sizeof(digits), "%d.%04d", scaled / 10000, scaled % 10000);

    while (len > 2 && digits[len - 1] == '0' && digits[len - 2] != '.')
        digits[--len] = '\0';
    emit_field_raw(b, "progress", digits);
}

/* How much of `out` is in use then. */
static size_t append_text(const char *text, char out[JOB_TEXT_MAX + 1], size_t used)
{
    static const char replacement[] = "\xef\xbf\xbd";
    size_t left = strlen(text);

    while (left > 0) {
        size_t valid = utf8_length(text, left);
        const char *from = valid ? text : replacement;
        size_t len = valid ? valid : sizeof(replacement) - 1;
        if (used + len > JOB_TEXT_MAX)
            break;
        memcpy(out + used, from, len);
        used += len;
        text += valid ? valid : 1;
        left -= valid ? valid : 1;
    }
    out[used] = '\0';
    return used;
}

void message_text(const char *before, const char *text, char out[JOB_TEXT_MAX + 1])
{
    append_text(text, out, append_text(before, out, 0));
}

static size_t length(const char *text)
{
    return text ? strlen(text) : 0;
}

static size_t size_bound(const struct message *m)
{
    return FRAME_MAX + ESCAPED_MAX * (length(m->stage) + length(m->text) + length(m->error)) +
           length(m->result) + length(m->metadata);
}

char *message_render(const struct message *m, size_t *len)
{
    size_t max = size_bound(m);
    char when[MESSAGE_TIME_SIZE];
    /* The whole of it is allocated beforehand: a buf that grows ends the
     * process without memory, which is not this library's to do. */
    struct buf b = { .data = malloc(max + 1), .cap = max + 1, .max = max };

    if (b.data == NULL)
        return NULL;
    message_time(m->time_ms, when);
    emit_open(&b, '{');
    emit_field_string(&b, "job_id", m->job);
    emit_field_string(&b, "status", m->status);
    emit_field_string(&b, "stage", m->stage);
    emit_progress(&b, m->progress);
    emit_field_string(&b, "message", m->text);
    if (m->result != NULL)
        emit_field_raw(&b, "result", m->result);
    if (m->error != NULL)
        emit_field_string(&b, "error", m->error);
    emit_field_string(&b, "timestamp", when);
    if (m->metadata != NULL)
        emit_field_raw(&b, "metadata", m->metadata);
    emit_close(&b, '}');
    *len = b.len;
    char *fitted = realloc(b.data, b.len + 1);
    return fitted ? fitted : b.data;
}
