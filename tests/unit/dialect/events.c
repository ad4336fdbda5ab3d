/* Server-sent events, and the polls of document 002. */
#include "spoken.h"

#include "core/frames.h"

#define BORN                                                                                       \
    "\"created_at\":\"2024-01-01T00:00:00.000Z\",\"updated_at\":\"2024-01-01T00:00:00.000Z\"}"

/* What goes over the wire. */
static void sends(const struct dialect *d, const char *expected)
{
    struct msg *m = frames_of(job, d, FRAMING_LINES);

    if (m->len != strlen(expected) || memcmp(m->data, expected, m->len) != 0)
        fail_msg("sent %.*s", (int)m->len, m->data);
}

static void an_event_is_an_id_and_the_job_and_ends_with_an_empty_line(void **state)
{
    (void)state;
    begins(JOB_EXTERNAL, "abc", JOB_QUEUED);
    sends(&dialect_events,
          "id: 1\ndata: {\"id\":\"abc\",\"kind\":\"external\",\"state\":\"queued\","
          "\"seq\":1,\"progress\":0.0,\"stage_progress\":0.0," BORN "\n\n");
    c.state = JOB_PROCESSING;
    c.fraction = 0.5;
    c.text[TEXT_STAGE] = "rendering";
    c.text[TEXT_MESSAGE] = "two\r\nlines";
    c.text[TEXT_METADATA] = "{\"frame\":7}";
    happens();
    sends(&dialect_events,
          "id: 2\ndata: {\"id\":\"abc\",\"kind\":\"external\",\"state\":\"processing\",\"seq\":2,"
          "\"stage\":\"rendering\",\"progress\":0.5,\"stage_progress\":0.5,"
          "\"message\":\"two\\r\\nlines\",\"metadata\":{\"frame\":7}," BORN "\n\n");
}

static void a_number_is_whole_however_large_it_is(void **state)
{
    struct change fields = { .state = JOB_QUEUED, .fraction = -1, .stage_fraction = -1 };

    (void)state;
    fields.speed = -1;
    fields.eta_ms = fields.bytes_done = fields.bytes_total = fields.file_size = -1;
    fields.text[TEXT_ID] = "abc";
    job = update_restore(&fields, INT64_MAX, NEW_YEAR_MS, NEW_YEAR_MS);
    dialect_events.render(job, &words);
    assert_memory_equal(buf_text(&words.bytes), "id: 9223372036854775807\n", 24);
}

static void every_state_is_told(void **state)
{
    (void)state;
    for (int s = 0; s < JOB_STATES; s++) {
        begins(JOB_UPLOAD, "abc", (enum job_state)s);
        dialect_events.render(job, &words);
        assert_int_equal(words.count, 1);
        words_reset(&words);
    }
}

static void it_begins_with_the_time_to_come_back_and_keeps_the_line_warm(void **state)
{
    struct msg *m;

    (void)state;
    dialect_events.greet("abc", &words);
    m = frames_pack(&words, FRAMING_LINES);
    assert_int_equal(m->len, 13);
    assert_memory_equal(m->data, "retry: 2000\n\n", 13);
    msg_unref(&m);
    words_reset(&words);
    dialect_events.keepalive("abc", &words);
    m = frames_pack(&words, FRAMING_LINES);
    assert_memory_equal(m->data, ": keepalive\n\n", 13);
    msg_unref(&m);
    assert_int_equal(dialect_events.keepalive_ms, 15000);
    assert_true(dialect_events.ends_with_job);
}

static void a_poll_is_answered_with_the_data_alone(void **state)
{
    (void)state;
    begins(JOB_DOWNLOAD, "abc123", JOB_PROCESSING);
    sends(&dialect_poll, "{\"jobId\":\"abc123\",\"status\":\"processing\",\"progress\":0}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPEAKS(an_event_is_an_id_and_the_job_and_ends_with_an_empty_line),
        SPEAKS(a_number_is_whole_however_large_it_is),
        SPEAKS(every_state_is_told),
        SPEAKS(it_begins_with_the_time_to_come_back_and_keeps_the_line_warm),
        SPEAKS(a_poll_is_answered_with_the_data_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
