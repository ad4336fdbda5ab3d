#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdbool.h>

#include "base/msg.h"

static void it_holds_a_copy_of_the_bytes(void **state)
{
    char bytes[] = "a\0b";
    struct msg *m = msg_new(bytes, 3);

    (void)state;
    bytes[0] = 'x';
    assert_int_equal(m->len, 3);
    assert_memory_equal(m->data, "a\0b", 3);
    msg_unref(&m);
    assert_null(m);
}

static void the_last_reference_frees_it(void **state)
{
    struct msg *first = msg_new("abc", 3);
    struct msg *second = msg_ref(first);

    (void)state;
    assert_ptr_equal(first, second);
    msg_unref(&first);
    assert_null(first);
    assert_memory_equal(second->data, "abc", 3); /* the sanitizer watches this */
    assert_int_equal(atomic_load(&second->refs), 1);
    msg_unref(&second);
}

static void nothing_may_be_unreferenced(void **state)
{
    struct msg *none = NULL;

    (void)state;
    msg_unref(&none);
    struct msg *empty = msg_new(NULL, 0);
    assert_int_equal(empty->len, 0);
    msg_unref(&empty);
}

enum { THREADS = 4, ROUNDS = 20000 };

static void *ref_and_unref(void *shared)
{
    bool is_whole = true;

    for (int i = 0; i < ROUNDS; i++) {
        struct msg *mine = msg_ref(shared);
        is_whole = is_whole && mine->data[0] == 'a';
        msg_unref(&mine);
    }
    struct msg *last = shared;
    msg_unref(&last);
    return is_whole ? NULL : shared;
}

static void threads_share_it(void **state)
{
    pthread_t threads[THREADS];
    struct msg *m = msg_new("a", 1);

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ref_and_unref, msg_ref(m)), 0);
    for (int i = 0; i < THREADS; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    assert_int_equal(atomic_load(&m->refs), 1);
    msg_unref(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_holds_a_copy_of_the_bytes),
        cmocka_unit_test(the_last_reference_frees_it),
        cmocka_unit_test(nothing_may_be_unreferenced),
        cmocka_unit_test(threads_share_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
