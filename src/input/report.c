#include "input/report.h"

#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

void report_deinit(struct report *r)
{
    mem_free(r->stage);
    mem_free(r->message);
    mem_free(r->error);
    mem_free(r->metadata);
    mem_free(r->result);
    *r = (struct report){ 0 };
}

static bool read_state(struct fields *f, struct change *change)
{
    const char *status = NULL;
    enum job_state state = JOB_PROCESSING;

    if (!field_text(f, "status", OPTIONAL, 32, &status))
        return false;
    /* Document 004's word, and the broadcast door's. */
    if (status != NULL && strcmp(status, "complete") == 0)
        status = job_state_name(JOB_COMPLETED);
    if (status != NULL && job_state_parse(str_of(status), &state) != OK)
        return fields_refuse(f, "invalid_field", "status",
                             "status must be queued, processing, completed, failed or cancelled");
    change->state = (int)state;
    return true;
}

static bool read_numbers(struct fields *f, struct change *change)
{
    double progress = NAN, percent = NAN; /* not said: JSON has no such number */

    if (!field_real(f, "progress", &progress) || !field_real(f, "percent", &percent) ||
        !field_bytes(f, "downloaded_bytes", &change->bytes_done) ||
        !field_bytes(f, "total_bytes", &change->bytes_total))
        return false;
    if (!isnan(progress))
        change->fraction = progress < 0 ? 0 : progress;
    else if (!isnan(percent))
        change->fraction = percent < 0 ? 0 : percent / 100;
    return true;
}

static bool read_text(struct fields *f, const char *name, char **out)
{
    const char *text = NULL;

    if (!field_text(f, name, OPTIONAL, JOB_TEXT_MAX, &text))
        return false;
    if (text != NULL)
        *out = mem_strdup(text);
    return true;
}

/* The documents' reporter says "Job completed" and "Error: ..." by default. */
static void word_ending(struct report *r)
{
    struct buf message;

    if (r->message != NULL || !job_is_final((enum job_state)r->change.state))
        return;
    buf_init(&message, JOB_TEXT_MAX + 16);
    if (r->change.state == JOB_COMPLETED)
        buf_puts(&message, "Job completed");
    else
        buf_printf(&message, "Error: %s", r->error ? r->error : "Processing failed");
    r->message = buf_take(&message);
}

bool report_read(struct fields *f, struct report *out)
{
    struct report r = { 0 };

    change_init(&r.change);
    r.change.kind = JOB_EXTERNAL;
    if (!read_state(f, &r.change) || !read_numbers(f, &r.change) ||
        !read_text(f, "stage", &r.stage) || !read_text(f, "message", &r.message) ||
        !read_text(f, "error", &r.error) || !field_json(f, "metadata", true, &r.metadata) ||
        !field_json(f, "result", false, &r.result)) {
        report_deinit(&r);
        return false;
    }
    word_ending(&r);
    r.change.text[TEXT_STAGE] = r.stage;
    r.change.text[TEXT_MESSAGE] = r.message;
    r.change.text[TEXT_ERROR] = r.error;
    /* What was said last is all there is: metadata goes when it is not said again. */
    r.change.text[TEXT_METADATA] = r.metadata ? r.metadata : "";
    r.change.text[TEXT_RESULT] = r.result;
    *out = r;
    return true;
}
