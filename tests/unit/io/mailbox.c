#include "io/mailbox.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"

enum { SENDERS = 4, EACH = 20000 };

struct letter {
    struct mail mail;
    unsigned sender, number;
};

static struct mailbox *mailbox;
static unsigned next_of[SENDERS], opened;
static bool is_in_order;

static void open_letter(struct mail *mail)
{
    struct letter *letter = (struct letter *)mail;

    is_in_order = is_in_order && letter->number == next_of[letter->sender];
    next_of[letter->sender]++;
    mem_free(letter);
    if (++opened == SENDERS * EACH)
        mailbox_close(mailbox);
}

static void post(unsigned sender, unsigned number)
{
    struct letter *letter = mem_new(struct letter);

    letter->mail.open = open_letter;
    letter->sender = sender;
    letter->number = number;
    mailbox_post(mailbox, &letter->mail);
}

static void *send_all(void *context)
{
    for (unsigned i = 0; i < EACH; i++)
        post((unsigned)(uintptr_t)context, i);
    return NULL;
}

static void all_mail_is_opened_in_each_senders_order(void **state)
{
    pthread_t ids[SENDERS];
    uv_loop_t loop;

    (void)state;
    is_in_order = true;
    uv_loop_init(&loop);
    assert_int_equal(mailbox_open(&loop, &mailbox), OK);
    for (uintptr_t i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_create(&ids[i], NULL, send_all, (void *)i), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    for (int i = 0; i < SENDERS; i++)
        pthread_join(ids[i], NULL);
    assert_int_equal(opened, SENDERS * EACH);
    assert_true(is_in_order);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void closing_opens_what_is_still_there(void **state)
{
    uv_loop_t loop;

    (void)state;
    opened = 0;
    next_of[0] = 0;
    is_in_order = true;
    uv_loop_init(&loop);
    assert_int_equal(mailbox_open(&loop, &mailbox), OK);
    for (unsigned i = 0; i < 3; i++)
        post(0, i);
    mailbox_close(mailbox);
    assert_int_equal(opened, 3);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_mail_is_opened_in_each_senders_order),
        cmocka_unit_test(closing_opens_what_is_still_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
