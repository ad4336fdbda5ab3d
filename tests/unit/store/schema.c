#include "desk.h"

#include "store/store_schema.h"

/* What a later version might do to the tables of version 1. */
static const char later_step[] = "ALTER TABLE jobs ADD COLUMN priority INTEGER NOT NULL DEFAULT 5;"
                                 "CREATE TABLE notes (text TEXT) STRICT";
static const char broken_step[] = "CREATE TABLE half (x TEXT) STRICT; CREATE TABLE half (x TEXT)";

enum { STEPS_MAX = 16 };

/* The real steps and one more. */
static int with_step(const char *step, const char *steps[STEPS_MAX])
{
    for (int i = 0; i < schema_count; i++)
        steps[i] = schema_steps[i];
    steps[schema_count] = step;
    return schema_count + 1;
}

static int64_t number(sqlite3 *db, const char *sql)
{
    int64_t value = -1;

    assert_int_equal(sql_number(db, sql, &value), OK);
    return value;
}

static sqlite3 *open_file(struct desk *d)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(d->path, &db), SQLITE_OK);
    return db;
}

static void assert_refused(struct desk *d, int expected, const char *reason)
{
    struct store *s = NULL;
    struct buf why;

    buf_init(&why, 1024);
    assert_int_equal(store_open(d->path, &s, &why), expected);
    assert_null(s);
    if (strstr(buf_text(&why), reason) == NULL || strstr(buf_text(&why), d->path) == NULL)
        fail_msg("why: %s", buf_text(&why));
    buf_deinit(&why);
}

static void a_new_file_has_the_present_version(void **state)
{
    struct desk *d = *state;
    sqlite3 *db = open_file(d);

    assert_int_equal(number(db, "PRAGMA user_version"), schema_count);
    assert_int_equal(number(db,
                            "SELECT count(*) FROM pragma_journal_mode WHERE journal_mode='wal'"),
                     1);
    sqlite3_close(db);
}

static void an_older_file_is_brought_up_with_its_rows(void **state)
{
    struct desk *d = *state;
    const char *steps[STEPS_MAX];
    int count = with_step(later_step, steps);
    struct buf why;

    assert_int_equal(store_start(d->store, d->ledger), OK);
    desk_say(d, "j", JOB_COMPLETED, -1);
    desk_close_store(d);
    sqlite3 *db = open_file(d);
    buf_init(&why, 1024);
    assert_int_equal(schema_migrate(db, steps, count, &why), OK);
    assert_int_equal(number(db, "PRAGMA user_version"), count);
    assert_int_equal(number(db, "SELECT priority FROM jobs WHERE id = 'j'"), 5);
    assert_int_equal(number(db, "SELECT count(*) FROM notes"), 0);
    /* A second time there is nothing left to do. */
    assert_int_equal(schema_migrate(db, steps, count, &why), OK);
    buf_deinit(&why);
    sqlite3_close(db);
}

static void all_steps_are_taken_from_nothing(void **state)
{
    struct desk *d = *state;
    const char *steps[STEPS_MAX];
    int count = with_step(later_step, steps);
    struct buf why;
    sqlite3 *db;

    (void)d;
    buf_init(&why, 1024);
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(schema_migrate(db, steps, count, &why), OK);
    assert_int_equal(number(db, "PRAGMA user_version"), count);
    assert_int_equal(number(db, "SELECT count(priority) FROM jobs"), 0);
    buf_deinit(&why);
    sqlite3_close(db);
}

static void a_step_that_fails_leaves_the_version_before_it(void **state)
{
    struct desk *d = *state;
    const char *steps[STEPS_MAX];
    int count = with_step(broken_step, steps);
    struct buf why;

    desk_close_store(d);
    sqlite3 *db = open_file(d);
    buf_init(&why, 1024);
    assert_int_not_equal(schema_migrate(db, steps, count, &why), OK);
    assert_non_null(strstr(buf_text(&why), "half"));
    assert_int_equal(number(db, "PRAGMA user_version"), schema_count);
    assert_int_equal(number(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'half'"), 0);
    assert_int_equal(sqlite3_get_autocommit(db), 1);
    buf_deinit(&why);
    sqlite3_close(db);
    desk_open_store(d);
}

static void a_newer_file_is_refused(void **state)
{
    struct desk *d = *state;
    char sql[64];

    desk_close_store(d);
    sqlite3 *db = open_file(d);
    snprintf(sql, sizeof sql, "PRAGMA user_version = %d", schema_count + 1);
    assert_int_equal(sql_exec(db, sql), OK);
    sqlite3_close(db);
    assert_refused(d, FAIL_UNSUPPORTED, "newer version");
}

static void the_file_of_another_program_is_refused(void **state)
{
    struct desk *d = *state;

    desk_close_store(d);
    assert_int_equal(remove(d->path), 0);
    sqlite3 *db = open_file(d);
    assert_int_equal(sql_exec(db, "CREATE TABLE cookies (x)"), OK);
    sqlite3_close(db);
    assert_refused(d, FAIL_UNSUPPORTED, "another program's");
    db = open_file(d);
    assert_int_equal(number(db, "SELECT count(*) FROM sqlite_schema"), 1);
    sqlite3_close(db);
}

static void a_file_that_is_no_database_is_refused(void **state)
{
    struct desk *d = *state;

    desk_close_store(d);
    FILE *f = fopen(d->path, "w");
    for (int i = 0; i < 500; i++)
        fputs("just some text\n", f);
    fclose(f);
    assert_refused(d, FAIL_UNSUPPORTED, "not a database");
    assert_int_equal(remove(d->path), 0);
    snprintf(d->path, sizeof d->path, "%s/no/such/folder", d->root);
    assert_refused(d, FAIL_IO, "unable to open");
}

/* Lists must not grow slow with the table: no sorting, no full scan. */
static void assert_plan(sqlite3 *db, const char *sql)
{
    char explain[1024];
    sqlite3_stmt *statement;

    snprintf(explain, sizeof explain, "EXPLAIN QUERY PLAN %s", sql);
    assert_int_equal(sqlite3_prepare_v2(db, explain, -1, &statement, NULL), SQLITE_OK);
    while (sqlite3_step(statement) == SQLITE_ROW) {
        const char *line = (const char *)sqlite3_column_text(statement, 3);
        if (strstr(line, "TEMP B-TREE") != NULL ||
            (strstr(line, "SCAN") != NULL && strstr(line, "USING INDEX") == NULL))
            fail_msg("%s: %s", sql, line);
    }
    sqlite3_finalize(statement);
}

static void lists_come_from_an_index(void **state)
{
    struct desk *d = *state;
    sqlite3 *db = open_file(d);

    assert_plan(db, "SELECT * FROM jobs WHERE updated_ms < ?1 AND (?2 IS NULL OR state = ?2)"
                    " ORDER BY updated_ms DESC LIMIT ?3");
    assert_plan(db, "SELECT * FROM jobs WHERE owner = ?4 AND updated_ms < ?1 UNION ALL"
                    " SELECT * FROM jobs WHERE owner IS NULL AND updated_ms < ?1"
                    " ORDER BY updated_ms DESC LIMIT ?3");
    assert_plan(db, "SELECT * FROM jobs WHERE state IN ('queued', 'processing')"
                    " ORDER BY created_ms");
    sqlite3_close(db);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, desk_setup_idle, desk_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_new_file_has_the_present_version),
        CASE(an_older_file_is_brought_up_with_its_rows),
        CASE(all_steps_are_taken_from_nothing),
        CASE(a_step_that_fails_leaves_the_version_before_it),
        CASE(a_newer_file_is_refused),
        CASE(the_file_of_another_program_is_refused),
        CASE(a_file_that_is_no_database_is_refused),
        CASE(lists_come_from_an_index),
    };
    faults_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
