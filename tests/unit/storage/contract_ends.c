/* How operations end that do not end well: cancelled, closed upon, refused, unheard. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "contract.h"

enum { MIB = 1024 * 1024, TASKS = 14, ROUNDS = 40, ROUNDS_AT_SERVERS = 12, IDLE_TURNS_MAX = 60 };

/* A server takes its time with what nobody wants any more. */
static unsigned rounds(void)
{
    return contract.driver->server != NULL ? ROUNDS_AT_SERVERS : ROUNDS;
}

struct effort {
    struct storage_task *tasks[TASKS];
    struct outcome outcomes[TASKS];
    int from, to;
};

static const char id_of_none[] = "0123456789abcdef0123456789abcdef";

/* One of each kind, on `s`. */
static void effort_begin(struct effort *e)
{
    static const struct storage_part part = { .number = 1, .size = 10, .etag = "x" };
    struct storage *s = contract.place->s;
    struct outcome *o = e->outcomes;
    struct storage_put large = { .key = "cancel/large",
                                 .has_file = true,
                                 .file = e->from,
                                 .length = 17 * MIB,
                                 .moved = on_moved,
                                 .done = on_done,
                                 .context = &o[0] };
    struct storage_put small = {
        .key = "cancel/small", .bytes = STR("x"), .done = on_done, .context = &o[1]
    };
    struct storage_get get = {
        .key = "cancel/there", .file = e->to, .moved = on_moved, .done = on_got, .context = &o[2]
    };
    struct storage_part_put part_put = { .key = "cancel/p",
                                         .id = id_of_none,
                                         .number = 1,
                                         .file = e->from,
                                         .length = MIB,
                                         .done = on_done,
                                         .context = &o[8] };

    for (size_t i = 0; i < TASKS; i++)
        outcome_init(&o[i]);
    e->tasks[0] = storage_put(s, &large);
    e->tasks[1] = storage_put(s, &small);
    e->tasks[2] = storage_get(s, &get);
    e->tasks[3] = storage_read(s, "cancel/there", 8 * MIB, on_body, &o[3]);
    e->tasks[4] = storage_head(s, "cancel/there", on_head, &o[4]);
    e->tasks[5] = storage_remove(s, "cancel/none", on_done, &o[5]);
    e->tasks[6] = storage_list(s, "cancel/", on_object, on_done, &o[6]);
    e->tasks[7] = storage_remove_all(s, "cancel/never/", on_done, &o[7]);
    e->tasks[8] = storage_part_put(s, &part_put);
    e->tasks[9] = storage_part_copy(s, "cancel/p", id_of_none, 2, "cancel/there", on_done, &o[9]);
    e->tasks[10] = storage_parts(s, "cancel/p", id_of_none, on_parts, &o[10]);
    e->tasks[11] = storage_upload_complete(s, "cancel/p", id_of_none, &part, 1, on_done, &o[11]);
    e->tasks[12] = storage_uploads(s, "cancel/", on_pending, on_done, &o[12]);
    e->tasks[13] = storage_head(s, "not//a key", on_head, &o[13]);
}

static void effort_init(struct effort *e)
{
    memset(e, 0, sizeof *e);
    e->from = file_of(17 * MIB, 30);
    e->to = file_empty();
    assert_int_equal(put_range("cancel/there", e->from, 0, 6 * MIB), OK);
}

static void effort_deinit(struct effort *e)
{
    close(e->from);
    close(e->to);
}

static void forget(struct effort *e)
{
    for (size_t i = 0; i < TASKS; i++)
        outcome_deinit(&e->outcomes[i]);
}

static void what_is_cancelled_is_not_heard_of_again(void **state)
{
    struct effort *e = calloc(1, sizeof *e);
    struct place place;
    unsigned chance = 1, ended[TASKS];

    (void)state;
    effort_init(e);
    for (unsigned round = 0; round < rounds(); round++) {
        place_enter(&place, contract.url, 20 * 1000);
        effort_begin(e);
        chance = chance * 1103515245u + 12345u;
        for (unsigned turns = (chance >> 16) % IDLE_TURNS_MAX; turns > 0; turns--)
            uv_run(&place.loop, UV_RUN_NOWAIT);
        for (size_t i = 0; i < TASKS; i++) {
            ended[i] = e->outcomes[i].ended;
            if (ended[i] == 0)
                storage_cancel(e->tasks[i]);
        }
        place_leave();
        for (size_t i = 0; i < TASKS; i++)
            assert_int_equal(e->outcomes[i].ended, ended[i]);
        forget(e);
    }
    effort_deinit(e);
    free(e);
}

/* Between one operation's events, another's end: what is cancelled is cancelled there. */
struct chain {
    struct storage_task *victim, *own;
    unsigned calls, victim_calls;
    bool is_over;
};

static void on_victim(void *context, int err, const char *why)
{
    struct chain *chain = context;

    (void)err;
    (void)why;
    chain->victim = NULL; /* it is gone: there is nothing to be cancelled */
    chain->victim_calls++;
}

static bool on_first_object(void *context, const struct storage_object *object)
{
    struct chain *chain = context;

    (void)object;
    chain->calls++;
    if (chain->victim != NULL)
        storage_cancel(chain->victim);
    storage_cancel(chain->own);
    return true;
}

static void it_can_be_cancelled_from_within_its_own_calls(void **state)
{
    struct chain chain = { 0 };
    struct outcome o;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        char key[32];
        snprintf(key, sizeof key, "within/%u", i);
        assert_int_equal(put_text(key, "x"), OK);
    }
    chain.own = storage_list(contract.place->s, "within/", on_first_object, on_victim, &chain);
    chain.victim = storage_list(contract.place->s, "within/none/", on_object, on_victim, &chain);
    /* Another one shows that the loop has come by, however long it takes. */
    while (chain.calls == 0) {
        outcome_init(&o);
        storage_head(contract.place->s, "within/1", on_head, &o);
        assert_int_equal(settle(&o), OK);
        outcome_deinit(&o);
        if (chain.victim == NULL && chain.calls == 0) /* it was faster */
            chain.victim =
                storage_list(contract.place->s, "within/none/", on_object, on_victim, &chain);
    }
    unsigned heard = chain.victim_calls;
    assert_int_equal(put_text("within/4", "x"), OK);
    assert_int_equal(chain.calls, 1);
    assert_int_equal(chain.victim_calls, heard);
}

static void closing_cancels_what_is_under_way(void **state)
{
    struct effort *e = calloc(1, sizeof *e);
    struct place place;
    unsigned ended[TASKS];

    (void)state;
    effort_init(e);
    for (unsigned turns = 0; turns < rounds() / 2; turns++) {
        place_enter(&place, contract.url, 20 * 1000);
        effort_begin(e);
        for (unsigned i = 0; i < turns; i++)
            uv_run(&place.loop, UV_RUN_NOWAIT);
        for (size_t i = 0; i < TASKS; i++)
            ended[i] = e->outcomes[i].ended;
        place_leave();
        for (size_t i = 0; i < TASKS; i++)
            assert_int_equal(e->outcomes[i].ended, ended[i]);
        forget(e);
    }
    effort_deinit(e);
    free(e);
}

/* Each kind that asks the server for something. */
static void expect_all_fail(int err)
{
    char id[STORAGE_UPLOAD_ID_MAX + 1];
    int file = file_of(1000, 31);
    struct outcome o;
    struct buf keys;

    buf_init(&keys, 4096);
    assert_int_equal(put_text("fails/a", "x"), err);
    assert_int_equal(put_range("fails/a", file, 0, 1000), err);
    assert_int_equal(get_range("fails/a", 0, 0, file, 0, NULL), err);
    assert_int_equal(head("fails/a", &o), err);
    assert_int_equal(list_keys("fails/", &keys), err);
    assert_int_equal(remove_below("fails/"), err);
    if (!contract.driver->has_no_uploads)
        assert_int_equal(begin("fails/a", id), err);
    outcome_init(&o);
    storage_read(contract.place->s, "fails/a", 100, on_body, &o);
    assert_int_equal(settle(&o), err);
    outcome_deinit(&o);
    buf_deinit(&keys);
    close(file);
}

/* For what is opened from here on. */
static void use_token(const char *token)
{
    if (token != NULL)
        setenv("AZURE_STORAGE_SAS_TOKEN", token, 1);
}

static void wrong_credentials_are_denied(void **state)
{
    struct place place;

    (void)state;
    use_token(contract.wrong_token);
    place_enter(&place, contract.wrong, 20 * 1000);
    expect_all_fail(FAIL_DENIED);
    assert_int_equal(remove_key("fails/a"), FAIL_DENIED);
    place_leave();
    use_token(contract.token);
}

static void a_bucket_that_is_not_there_is_missing(void **state)
{
    struct place place;

    (void)state;
    use_token(contract.missing_token);
    place_enter(&place, contract.missing, 20 * 1000);
    expect_all_fail(FAIL_MISSING);
    place_leave();
    use_token(contract.token);
}

static void a_server_that_is_gone_is_told(void **state)
{
    struct place place;

    (void)state;
    place_enter(&place, contract.nobody, 300);
    expect_all_fail(FAIL_CLOSED);
    assert_int_equal(remove_key("fails/a"), FAIL_CLOSED);
    place_leave();
}

static void a_prefix_in_the_url_is_never_seen(void **state)
{
    struct place place;
    struct outcome o;
    struct buf url, keys;
    const char *query = strchr(contract.url, '?');

    (void)state;
    buf_init(&url, 4096);
    buf_init(&keys, 4096);
    buf_append(&url, contract.url, (size_t)(query - contract.url));
    buf_printf(&url, "/one%%20tenant/x%s", query);
    assert_int_equal(put_text("one tenant/y", "not theirs"), OK);
    place_enter(&place, buf_text(&url), 20 * 1000);
    assert_int_equal(put_text("a/b", "theirs"), OK);
    expect_text("a/b", "theirs");
    assert_int_equal(list_keys("", &keys), OK);
    assert_string_equal(buf_text(&keys), "a/b\n");
    assert_int_equal(head("y", &o), FAIL_MISSING);
    if (contract.driver->has_urls) {
        buf_reset(&keys);
        assert_int_equal(storage_url(place.s, "a/b", NULL, 60, &keys), OK);
        assert_int_equal(plain_get(buf_text(&keys), NULL), 200);
    }
    place_leave();
    expect_text("one tenant/x/a/b", "theirs");
    place_enter(&place, buf_text(&url), 20 * 1000);
    assert_int_equal(remove_below(""), OK);
    place_leave();
    expect_text("one tenant/y", "not theirs");
    buf_deinit(&url);
    buf_deinit(&keys);
}

#define CASE(name) cmocka_unit_test_teardown(name, contract_case_end)

int contract_ends_cases(void);

int contract_ends_cases(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_is_cancelled_is_not_heard_of_again),
        CASE(it_can_be_cancelled_from_within_its_own_calls),
        CASE(closing_cancels_what_is_under_way),
    };
    const struct CMUnitTest of_servers[] = {
        CASE(wrong_credentials_are_denied),
        CASE(a_bucket_that_is_not_there_is_missing),
        CASE(a_server_that_is_gone_is_told),
        CASE(a_prefix_in_the_url_is_never_seen),
    };
    int failed = cmocka_run_group_tests_name("ends", tests, NULL, NULL);

    if (contract.driver->server != NULL)
        failed += cmocka_run_group_tests_name("ends at servers", of_servers, NULL, NULL);
    return failed;
}
