#include "base/log.h"

#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/emit.h"

enum { LOG_LINE_MAX = 8 * 1024 };

static enum log_level least_level = LOG_INFO;
static enum log_format line_format = LOG_LOGFMT;
static const char *const level_names[] = { "debug", "info", "warn", "error" };

void log_setup(enum log_level least, enum log_format format)
{
    least_level = least;
    line_format = format;
}

static bool is_bare(const char *text)
{
    if (*text == '\0')
        return false;
    for (; *text; text++)
        if ((unsigned char)*text <= ' ' || *text == '"' || *text == '=' ||
            (unsigned char)*text >= 0x7f)
            return false;
    return true;
}

static void logfmt_field(struct buf *line, const struct log_field *field)
{
    buf_printf(line, " %s=", field->key);
    if (field->text == NULL)
        buf_printf(line, "%lld", (long long)field->number);
    else if (is_bare(field->text))
        buf_puts(line, field->text);
    else {
        /* emit_string would see a value before it and put a comma. */
        struct buf value;
        buf_init(&value, LOG_LINE_MAX);
        emit_string(&value, field->text);
        line->failed = line->failed || value.failed;
        buf_puts(line, buf_text(&value));
        buf_deinit(&value);
    }
}

/* What does not fit is left out whole, so that the line stays readable. */
static void put_field(struct buf *line, const struct log_field *field,
                      void (*put)(struct buf *, const struct log_field *))
{
    size_t before = line->len;

    put(line, field);
    if (!line->failed)
        return;
    line->len = before;
    line->data[before] = '\0';
    line->failed = false;
}

static void json_field(struct buf *line, const struct log_field *field)
{
    if (field->text == NULL)
        emit_field_int(line, field->key, field->number);
    else
        emit_field_string(line, field->key, field->text);
}

void log_write(enum log_level level, const char *event, const struct log_field *fields)
{
    char now[CLOCK_ISO_SIZE];
    struct buf line;

    if (level < least_level)
        return;
    clock_iso8601(clock_wall_ms(), now);
    buf_init(&line, LOG_LINE_MAX - 2); /* room for the end */
    if (line_format == LOG_JSON) {
        emit_open(&line, '{');
        emit_field_string(&line, "time", now);
        emit_field_string(&line, "level", level_names[level]);
        emit_field_string(&line, "event", event);
        for (; fields->key; fields++)
            put_field(&line, fields, json_field);
        line.max = LOG_LINE_MAX;
        emit_close(&line, '}');
    } else {
        buf_printf(&line, "time=%s level=%s event=%s", now, level_names[level], event);
        for (; fields->key; fields++)
            put_field(&line, fields, logfmt_field);
        line.max = LOG_LINE_MAX;
    }
    buf_putc(&line, '\n');
    /* A log that cannot be written has nowhere to complain. */
    ssize_t ignored = write(STDERR_FILENO, line.data, line.len);
    (void)ignored;
    buf_deinit(&line);
}
