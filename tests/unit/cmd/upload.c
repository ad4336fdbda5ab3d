#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "cmd/job_view.h"
#include "cmd/upload_chunks.h"
#include "cmd/upload_memory.h"

enum { MIB = 1024 * 1024 };

static void the_last_chunk_is_what_is_left(void **state)
{
    bool has[3] = { false };
    struct upload_plan plan = { .size = 25, .chunk_size = 10, .count = 3, .has = has };

    (void)state;
    assert_int_equal(upload_chunk_length(&plan, 0), 10);
    assert_int_equal(upload_chunk_length(&plan, 1), 10);
    assert_int_equal(upload_chunk_length(&plan, 2), 5);
    assert_int_equal(upload_bytes_there(&plan), 0);
    has[0] = has[2] = true;
    assert_int_equal(upload_bytes_there(&plan), 15);
    plan.size = 30;
    assert_int_equal(upload_chunk_length(&plan, 2), 10);
}

static void chunks_grow_when_there_would_be_too_many(void **state)
{
    (void)state;
    assert_int_equal(upload_chunk_size(1, 5 * MIB), 5 * MIB);
    assert_int_equal(upload_chunk_size(UINT64_C(50000) * MIB, 5 * MIB), 5 * MIB);
    assert_int_equal(upload_chunk_size(UINT64_C(50000) * MIB + 1, 5 * MIB), 6 * MIB);
    assert_int_equal(upload_chunk_size(UINT64_C(1) << 40, 64 * 1024), 105 * MIB);
}

/* The memory, in a folder of the test's own. */

static int make_home(void **state)
{
    char name[] = "/tmp/reelay-memory-XXXXXX";

    if (mkdtemp(name) == NULL)
        return -1;
    *state = mem_strdup(name);
    unsetenv("XDG_STATE_HOME");
    setenv("HOME", *state, 1);
    return 0;
}

static int remove_home(void **state)
{
    static const char *const inside[] = {
        "/.local/state/reelay", "/.local/state", "/.local", "/x/reelay", "/x", ""
    };
    char path[256];

    for (size_t i = 0; i < sizeof(inside) / sizeof(*inside); i++) {
        snprintf(path, sizeof(path), "%s%s", (char *)*state, inside[i]);
        rmdir(path);
    }
    assert_int_equal(access(path, F_OK), -1); /* nothing was left behind */
    mem_free(*state);
    return 0;
}

static struct upload_memory memory(void)
{
    return (struct upload_memory){
        .path = mem_strdup("/videos/a \"b\".mp4"),
        .server = mem_strdup("http://127.0.0.1:3001"),
        .size = UINT64_C(1) << 40,
        .modified_ns = 1700000000123456789,
    };
}

static void remember(const char *video)
{
    struct upload_memory m = memory();

    m.video = mem_strdup(video);
    m.chunk_size = 5 * MIB;
    assert_int_equal(upload_memory_save(&m), OK);
    upload_memory_deinit(&m);
}

static void forget(void)
{
    struct upload_memory m = memory();

    upload_memory_forget(&m);
    assert_int_equal(upload_memory_load(&m), FAIL_MISSING);
    upload_memory_deinit(&m);
}

static void what_was_begun_is_remembered(void **state)
{
    struct upload_memory m = memory();

    (void)state;
    assert_int_equal(upload_memory_load(&m), FAIL_MISSING);
    remember("41");
    remember("42");
    assert_int_equal(upload_memory_load(&m), OK);
    assert_string_equal(m.video, "42");
    assert_int_equal(m.chunk_size, 5 * MIB);
    upload_memory_deinit(&m);
    forget();
}

static void another_file_is_not_taken_for_it(void **state)
{
    struct upload_memory m;

    (void)state;
    remember("42");
    for (int i = 0; i < 4; i++) {
        m = memory();
        m.size += i == 0;
        m.modified_ns += i == 1;
        if (i >= 2) {
            char **text = i == 2 ? &m.path : &m.server;
            mem_free(*text);
            *text = mem_strdup("other");
        }
        assert_int_equal(upload_memory_load(&m), FAIL_MISSING);
        assert_null(m.video);
        upload_memory_deinit(&m);
    }
    forget();
}

static void the_state_folder_is_that_of_the_environment(void **state)
{
    struct upload_memory m = memory();
    char path[256];

    snprintf(path, sizeof(path), "%s/x", (char *)*state);
    setenv("XDG_STATE_HOME", path, 1);
    remember("42");
    snprintf(path, sizeof(path), "%s/x/reelay", (char *)*state);
    struct stat facts;
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0700);
    setenv("XDG_STATE_HOME", "relative", 1); /* to be ignored */
    assert_int_equal(upload_memory_load(&m), FAIL_MISSING);
    snprintf(path, sizeof(path), "%s/x", (char *)*state);
    setenv("XDG_STATE_HOME", path, 1);
    assert_int_equal(upload_memory_load(&m), OK);
    upload_memory_deinit(&m);
    forget();
}

static void without_a_place_there_is_no_memory(void **state)
{
    struct upload_memory m = memory();

    (void)state;
    setenv("HOME", "/proc", 1);
    m.video = mem_strdup("42");
    m.chunk_size = 1;
    assert_int_not_equal(upload_memory_save(&m), OK);
    setenv("HOME", *state, 1);
    upload_memory_deinit(&m);
}

/* What is known of a job. */

static void read_message(struct job_view *v, const char *text)
{
    job_view_read_message(v, str_of(text));
}

static void read_job(struct job_view *v, const char *text)
{
    json_t *job = json_loads(text, 0, NULL);

    job_view_read_job(v, job);
    json_decref(job);
}

static void messages_move_the_view(void **state)
{
    struct job_view v;
    struct bar_state s;

    (void)state;
    job_view_init(&v);
    job_view_state(&v, &s);
    assert_string_equal(s.stage, "waiting");
    read_message(&v, "{\"type\":\"connected\",\"job_id\":\"1\",\"message\":\"Connected\"}");
    read_message(&v, "{\"type\":\"ping\",\"message\":\"keepalive\",\"job_id\":\"1\"}");
    read_message(&v, "nonsense");
    read_message(&v, "[1]");
    job_view_state(&v, &s);
    assert_null(s.message);
    read_message(&v, "{\"job_id\":\"1\",\"status\":\"processing\",\"stage\":\"converting\","
                     "\"progress\":0.5,\"message\":\"m\",\"metadata\":{\"stage_progress\":0.2,"
                     "\"speed\":2.5,\"eta_seconds\":12}}");
    job_view_state(&v, &s);
    assert_string_equal(s.state, "processing");
    assert_string_equal(s.stage, "converting");
    assert_string_equal(s.message, "m");
    assert_true(s.fraction == 0.5 && s.speed == 2.5 && s.eta_s == 12);
    read_message(&v, "{\"job_id\":\"1\",\"status\":\"processing\",\"progress\":0.6,"
                     "\"metadata\":{\"speed\":120,\"eta_seconds\":\"soon\"}}");
    job_view_state(&v, &s);
    assert_true(s.fraction == 0.6 && s.speed < 0 && s.eta_s < 0);
    assert_false(v.is_final);
    job_view_deinit(&v);
}

static void an_end_stays_the_end(void **state)
{
    struct job_view v;

    (void)state;
    job_view_init(&v);
    read_message(&v, "{\"job_id\":\"1\",\"status\":\"completed\",\"result\":{\"a\":1}}");
    assert_true(v.is_final && v.is_completed);
    read_message(&v, "{\"job_id\":\"1\",\"status\":\"processing\",\"progress\":0.1}");
    read_job(&v, "{\"id\":\"1\",\"state\":\"processing\",\"hls_url\":\"/x.m3u8\"}");
    assert_true(v.is_final && v.is_completed);
    assert_string_equal(buf_text(&v.url), "/x.m3u8");
    assert_string_equal(buf_text(&v.result), "{\"a\":1}");
    job_view_deinit(&v);
}

static void every_unhappy_end_is_one(void **state)
{
    static const char *const states[] = { "failed", "cancelled" };

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct job_view v;
        char text[128];
        job_view_init(&v);
        snprintf(text, sizeof(text), "{\"id\":\"1\",\"state\":\"%s\",\"error\":\"why\"}",
                 states[i]);
        read_job(&v, text);
        assert_true(v.is_final);
        assert_false(v.is_completed);
        assert_string_equal(buf_text(&v.error), "why");
        job_view_deinit(&v);
    }
}

static void the_end_names_the_playlist(void **state)
{
    static const char *const urls[][2] = { { "/v/a.m3u8", "http://host/v/a.m3u8" },
                                           { "https://cdn/a.m3u8", "https://cdn/a.m3u8" } };

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct bar bar;
        struct job_view v;
        char line[512] = "", wanted[128];
        FILE *file = tmpfile();
        bar_init(&bar, file, true);
        bar.id = "1";
        job_view_init(&v);
        snprintf(line, sizeof(line), "{\"id\":\"1\",\"state\":\"completed\",\"hls_url\":\"%s\"}",
                 urls[i][0]);
        read_job(&v, line);
        assert_int_equal(job_view_end(&v, &bar, "http://host"), 0);
        rewind(file);
        assert_non_null(fgets(line, sizeof(line), file));
        snprintf(wanted, sizeof(wanted), "\"playlist_url\":\"%s\"}", urls[i][1]);
        assert_non_null(strstr(line, wanted));
        job_view_deinit(&v);
        bar_deinit(&bar);
        fclose(file);
    }
}

#define AT_HOME(name) cmocka_unit_test_setup_teardown(name, make_home, remove_home)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_chunk_is_what_is_left),
        cmocka_unit_test(chunks_grow_when_there_would_be_too_many),
        AT_HOME(what_was_begun_is_remembered),
        AT_HOME(another_file_is_not_taken_for_it),
        AT_HOME(the_state_folder_is_that_of_the_environment),
        AT_HOME(without_a_place_there_is_no_memory),
        cmocka_unit_test(messages_move_the_view),
        cmocka_unit_test(an_end_stays_the_end),
        cmocka_unit_test(every_unhappy_end_is_one),
        cmocka_unit_test(the_end_names_the_playlist),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
