/* What a dialect says, as texts to compare with the documents. */
#ifndef TEST_DIALECT_SPOKEN_H
#define TEST_DIALECT_SPOKEN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/err.h"
#include "dialect/dialects.h"

/* 2024-01-01T00:00:00Z */
#define NEW_YEAR_MS INT64_C(1704067200000)

/* The job under test, and what will be said about it next. */
static struct update *job;
static struct change c;
static struct words words;

static inline int begin(void **state)
{
    (void)state;
    words_init(&words);
    change_init(&c);
    return 0;
}

static inline int end(void **state)
{
    (void)state;
    words_deinit(&words);
    update_unref(&job);
    return 0;
}

/* Applies `c` to the job, which is made if need be. */
static inline void happens(void)
{
    struct update *u;

    assert_int_equal(update_derive(job, &c, job ? job->seq + 1 : 1, NEW_YEAR_MS, &u), OK);
    update_unref(&job);
    job = u;
    change_init(&c);
}

static inline void begins(enum job_kind kind, const char *id, enum job_state state)
{
    update_unref(&job);
    change_init(&c);
    c.kind = (int)kind;
    c.state = (int)state;
    c.text[TEXT_ID] = id;
    happens();
    c.state = (int)state;
}

/* The one message in `words`, or "" when there is none. */
static inline void said(const char *expected)
{
    if (*expected == '\0') {
        assert_int_equal(words.count, 0);
        return;
    }
    assert_int_equal(words.count, 1);
    assert_int_equal(words.ends[0] + 1, words.bytes.len);
    words.bytes.data[words.ends[0]] = '\0';
    assert_string_equal(words.bytes.data, expected);
    words_reset(&words);
}

static inline void shows(const struct dialect *d, const char *expected)
{
    d->render(job, &words);
    said(expected);
}

static inline void answers(const struct dialect *d, const char *message, const char *expected)
{
    struct request request = { 0 };

    d->receive(str_of(message), &words, &request);
    assert_int_equal(request.kind, REQUEST_NOTHING);
    said(expected);
}

#define SPEAKS(test) cmocka_unit_test_setup_teardown(test, begin, end)

#endif
