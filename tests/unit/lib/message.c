#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "core/update.h"
#include "dialect/dialects.h"
#include "lib/message.h"

static void times_are_those_of_the_server(void **state)
{
    char ours[MESSAGE_TIME_SIZE], theirs[CLOCK_ISO_SIZE];

    (void)state;
    /* Every month, leap years, the ends of centuries and of 400 years. */
    for (int64_t ms = -86400000LL * 400; ms < 86400000LL * 365 * 600;
         ms += 86400000LL * 9 + 12345678) {
        message_time(ms, ours);
        clock_iso8601(ms, theirs);
        if (ms >= 0 || ms % 1000 == 0)
            assert_string_equal(ours, theirs);
    }
    message_time(951782399999, ours);
    assert_string_equal(ours, "2000-02-28T23:59:59.999Z");
    message_time(951782400000, ours);
    assert_string_equal(ours, "2000-02-29T00:00:00.000Z");
}

/* The same job through the server's `jobs` door. */
static void expect_the_doors_words(const struct message *m, struct change *c)
{
    struct update *u;
    struct words w;
    size_t len;

    c->kind = JOB_EXTERNAL;
    c->text[TEXT_ID] = m->job;
    c->text[TEXT_STAGE] = m->stage;
    c->text[TEXT_MESSAGE] = m->text;
    c->text[TEXT_ERROR] = m->error;
    c->text[TEXT_RESULT] = m->result;
    c->text[TEXT_METADATA] = m->metadata;
    c->fraction = m->progress;
    u = update_restore(c, 1, m->time_ms, m->time_ms);
    words_init(&w);
    dialect_jobs.render(u, &w);
    char *ours = message_render(m, &len);
    assert_non_null(ours);
    assert_int_equal(len, strlen(ours));
    assert_memory_equal(ours, buf_text(&w.bytes), len);
    assert_int_equal(w.bytes.len, len + 1); /* and the newline between messages */
    free(ours);
    words_deinit(&w);
    update_unref(&u);
}

static void messages_are_the_jobs_doors_to_the_byte(void **state)
{
    struct message m = { .job = "job_1",
                         .status = "processing",
                         .stage = "rendering",
                         .progress = 0.75,
                         .text = "Frame \"1500\"\n\xff \xc3\xa4 \x01",
                         .metadata = "{\"current_frame\":1500}",
                         .time_ms = 1704067200123 };
    static const double steps[] = { 0, 1, 0.5, 0.3333333, 0.00004, 0.99999, 0.1234, 0.1 };
    struct change c;

    (void)state;
    change_init(&c);
    c.state = JOB_PROCESSING;
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
        m.progress = steps[i];
        expect_the_doors_words(&m, &c);
    }
    m.metadata = NULL;
    expect_the_doors_words(&m, &c);

    m.status = "completed";
    m.stage = "complete";
    m.progress = 1;
    m.text = "Job completed";
    m.result = "{\"video_url\":\"https://x/y.mp4\"}";
    c.state = JOB_COMPLETED;
    expect_the_doors_words(&m, &c);

    m.status = "failed";
    m.stage = "rendering";
    m.progress = 0.5;
    m.text = "Error: Out of memory";
    m.error = "Out of memory";
    m.result = NULL;
    c.state = JOB_FAILED;
    expect_the_doors_words(&m, &c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_those_of_the_server),
        cmocka_unit_test(messages_are_the_jobs_doors_to_the_byte),
    };

    return cmocka_run_group_tests_name("lib/message", tests, NULL, NULL);
}
