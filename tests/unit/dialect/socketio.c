/* Document 001, over Socket.IO and as its wscat session has it. */
#include "spoken.h"

#include <jansson.h>

#define TIME      ",\"timestamp\":\"2024-01-01T00:00:00.000Z\"}"
#define SIO(name) "42/file-processing,[\"" name "\","

/* All messages in `words`, one a line. */
static void says(const struct dialect *d, const char *expected)
{
    d->render(job, &words);
    assert_string_equal(buf_text(&words.bytes), expected);
    words_reset(&words);
}

static void a_queued_job_is_not_mentioned(void **state)
{
    (void)state;
    begins(JOB_UPLOAD, "7", JOB_QUEUED);
    shows(&dialect_socketio, "");
    shows(&dialect_plain, "");
}

static void the_first_processing_update_is_a_start_and_progress(void **state)
{
    (void)state;
    begins(JOB_EXTERNAL, "video-uuid-123", JOB_PROCESSING);
    says(&dialect_socketio,
         SIO("processing:started") "{\"fileId\":\"video-uuid-123\"" TIME "]\n" SIO(
             "processing:progress") "{\"fileId\":\"video-uuid-123\",\"progress\":0,"
                                    "\"status\":\"processing\"" TIME "]\n");
    says(&dialect_plain,
         "{\"event\":\"processing:started\",\"data\":{\"fileId\":\"video-uuid-123\"" TIME "}\n"
         "{\"event\":\"processing:progress\",\"data\":{\"fileId\":\"video-uuid-123\","
         "\"progress\":0,\"status\":\"processing\"" TIME "}\n");
}

static void progress_is_the_percent_of_the_job(void **state)
{
    (void)state;
    begins(JOB_EXTERNAL, "1", JOB_PROCESSING);
    c.fraction = 0.2;
    c.stage_fraction = 0.9;
    c.text[TEXT_MESSAGE] = "Extracting metadata...";
    c.text[TEXT_METADATA] = "{\"width\":1920}";
    happens();
    shows(&dialect_socketio,
          SIO("processing:progress") "{\"fileId\":\"1\",\"progress\":20,\"status\":\"processing\","
                                     "\"message\":\"Extracting metadata...\",\"metadata\":"
                                     "{\"width\":1920}" TIME "]");
}

static void completion_is_the_whole_way_and_the_result(void **state)
{
    (void)state;
    begins(JOB_EXTERNAL, "1", JOB_PROCESSING);
    c.state = JOB_COMPLETED;
    c.text[TEXT_RESULT] = "{\"duration\":12.5}";
    happens();
    says(&dialect_socketio,
         SIO("processing:progress") "{\"fileId\":\"1\",\"progress\":100,"
                                    "\"status\":\"completed\"" TIME
                                    "]\n" SIO("processing:completed") "{\"fileId\":"
                                                                      "\"1\","
                                                                      "\"result\":{"
                                                                      "\"duration\":"
                                                                      "12.5}" TIME "]\n");
}

static void without_a_result_there_is_none(void **state)
{
    (void)state;
    begins(JOB_EXTERNAL, "1", JOB_COMPLETED);
    says(&dialect_plain,
         "{\"event\":\"processing:progress\",\"data\":{\"fileId\":\"1\","
         "\"progress\":100,\"status\":\"completed\"" TIME "}\n"
         "{\"event\":\"processing:completed\",\"data\":{\"fileId\":\"1\"" TIME "}\n");
}

static void a_failure_is_one_event(void **state)
{
    (void)state;
    begins(JOB_EXTERNAL, "1", JOB_PROCESSING);
    c.state = JOB_FAILED;
    c.text[TEXT_ERROR] = "Out of memory";
    happens();
    shows(&dialect_socketio,
          SIO("processing:failed") "{\"fileId\":\"1\",\"error\":\"Out of memory\"" TIME "]");
    begins(JOB_EXTERNAL, "1", JOB_CANCELLED);
    shows(&dialect_plain, "{\"event\":\"processing:failed\",\"data\":{\"fileId\":\"1\","
                          "\"error\":\"Cancelled\"" TIME "}");
}

/* --- what clients say --- */

static struct processing_call call;

static void calls(const char *event, const char *data)
{
    json_t *value = data ? json_loads(data, JSON_DECODE_ANY, NULL) : NULL;

    processing_read(&call, event, value);
    json_decref(value);
}

static void acknowledges(const char *expected)
{
    struct buf out;

    buf_init(&out, 1024);
    processing_acknowledge(&call, &out);
    assert_string_equal(buf_text(&out), expected);
    buf_deinit(&out);
}

static void a_subscription_is_answered_by_its_file(void **state)
{
    (void)state;
    calls("subscribe:file", "{\"fileId\":\"video-uuid-123\"}");
    assert_int_equal(call.kind, REQUEST_SUBSCRIBE);
    assert_string_equal(call.job, "video-uuid-123");
    acknowledges("{\"fileId\":\"video-uuid-123\"}");
    socketio_answer(&call, &words);
    said(SIO("subscribed") "{\"fileId\":\"video-uuid-123\"}]");
    calls("unsubscribe:file", "{\"fileId\":\"video-uuid-123\"}");
    assert_int_equal(call.kind, REQUEST_UNSUBSCRIBE);
    socketio_answer(&call, &words);
    said(SIO("unsubscribed") "{\"fileId\":\"video-uuid-123\"}]");
}

static void a_number_counts_as_its_digits(void **state)
{
    (void)state;
    calls("subscribe:file", "{\"fileId\":9007199254740991}");
    assert_null(call.error);
    assert_string_equal(call.job, "9007199254740991");
}

static void a_bad_payload_is_an_exception(void **state)
{
    static const char *const bad[] = { NULL,
                                       "null",
                                       "[]",
                                       "\"video-uuid-123\"",
                                       "{}",
                                       "{\"fileId\":null}",
                                       "{\"fileId\":\"\"}",
                                       "{\"fileId\":1.5}",
                                       "{\"fileId\":[\"a\"]}",
                                       "{\"fileId\":\"../x\"}",
                                       "{\"fileId\":\"a b\"}" };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        calls("subscribe:file", bad[i]);
        assert_int_equal(call.kind, REQUEST_SUBSCRIBE);
        assert_non_null(call.error);
    }
    acknowledges("{\"status\":\"error\",\"message\":\"fileId is not a file's id\"}");
    socketio_answer(&call, &words);
    said(SIO("exception") "{\"status\":\"error\",\"message\":\"fileId is not a file's id\"}]");
}

static void an_unknown_event_is_only_refused_to_who_asks(void **state)
{
    (void)state;
    calls("hello", "{}");
    assert_int_equal(call.kind, REQUEST_NOTHING);
    acknowledges("{\"status\":\"error\",\"message\":\"There is no such event here\"}");
    socketio_answer(&call, &words);
    said("");
    calls(NULL, NULL);
    assert_int_equal(call.kind, REQUEST_NOTHING);
}

static void hears(const char *message, enum request_kind kind, const char *answer)
{
    struct request request = { 0 };

    dialect_plain.receive(str_of(message), &words, &request);
    assert_int_equal(request.kind, kind);
    if (kind != REQUEST_NOTHING)
        assert_string_equal(request.job, "video-uuid-123");
    said(answer);
}

static void the_wscat_session_of_the_document(void **state)
{
    (void)state;
    hears("{\"event\":\"subscribe:file\",\"data\":{\"fileId\":\"video-uuid-123\"}}",
          REQUEST_SUBSCRIBE, "{\"event\":\"subscribed\",\"data\":{\"fileId\":\"video-uuid-123\"}}");
    hears("{\"event\":\"unsubscribe:file\",\"data\":{\"fileId\":\"video-uuid-123\"}}",
          REQUEST_UNSUBSCRIBE,
          "{\"event\":\"unsubscribed\",\"data\":{\"fileId\":\"video-uuid-123\"}}");
    hears("{\"event\":\"subscribe:file\"}", REQUEST_NOTHING,
          "{\"event\":\"exception\",\"data\":{\"status\":\"error\","
          "\"message\":\"The data must be an object with a fileId\"}}");
}

static void what_is_no_event_is_ignored(void **state)
{
    (void)state;
    hears("ping", REQUEST_NOTHING, "");
    hears("{\"event\":1}", REQUEST_NOTHING, "");
    hears("[]", REQUEST_NOTHING, "");
    hears("{\"event\":\"hello\",\"data\":{}}", REQUEST_NOTHING, "");
    hears("", REQUEST_NOTHING, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPEAKS(a_queued_job_is_not_mentioned),
        SPEAKS(the_first_processing_update_is_a_start_and_progress),
        SPEAKS(progress_is_the_percent_of_the_job),
        SPEAKS(completion_is_the_whole_way_and_the_result),
        SPEAKS(without_a_result_there_is_none),
        SPEAKS(a_failure_is_one_event),
        SPEAKS(a_subscription_is_answered_by_its_file),
        SPEAKS(a_number_counts_as_its_digits),
        SPEAKS(a_bad_payload_is_an_exception),
        SPEAKS(an_unknown_event_is_only_refused_to_who_asks),
        SPEAKS(the_wscat_session_of_the_document),
        SPEAKS(what_is_no_event_is_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
