/* The library inside of other programs: their threads, forks, signals, and
 * programs that load and unload it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "redis.h"
#include "reelay/reelay.h"

static struct redis server;
static struct reelay_options options = { .redis_url = server.url, .timeout_ms = 10000 };

static int set_up(void **state)
{
    (void)state;
    redis_start(&server);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    redis_stop(&server);
    return 0;
}

enum { THREADS = 8, ROUNDS = 300 };

struct worker {
    struct reelay *reporter;
    int number;
    int failures;
    pthread_t thread;
};

static void *work(void *data)
{
    struct worker *w = data;
    char id[32], error[64];
    char *status;

    snprintf(id, sizeof(id), "thread-%d", w->number);
    for (int i = 0; i < ROUNDS; i++) {
        w->failures += reelay_report(w->reporter, id, "s", i / 300.0, "", "{}") != REELAY_OK;
        w->failures += reelay_report(w->reporter, "shared", "s", i / 300.0, "", NULL) != REELAY_OK;
        if (i % 100 == 50) {
            w->failures += reelay_get_status(w->reporter, id, &status) != REELAY_OK;
            reelay_free(status);
            w->failures += reelay_flush(w->reporter) != REELAY_OK;
            w->failures += reelay_report(w->reporter, id, "s", 0, "", "x") != REELAY_INVALID;
            reelay_last_error(w->reporter, error, sizeof(error));
        }
    }
    w->failures += reelay_report_complete(w->reporter, id, NULL, NULL) != REELAY_OK;
    return NULL;
}

static void many_threads_share_a_reporter(void **state)
{
    struct worker workers[THREADS];
    struct reelay *r = reelay_open(&options);

    (void)state;
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){ .reporter = r, .number = i };
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_int_equal(workers[i].failures, 0);
    }
    assert_int_equal(reelay_close(r), REELAY_OK);
    for (int i = 0; i < THREADS; i++) {
        char key[32];
        snprintf(key, sizeof(key), "job_status:thread-%d", i);
        char *status = redis_ask(&server, "GET", key, NULL);
        assert_non_null(strstr(status, "\"completed\""));
        free(status);
    }
}

static int open_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;

    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

/* In the child; its exit status says which step went wrong. */
static int as_a_child(struct reelay *parents)
{
    char *status;
    int before = open_descriptors();

    if (reelay_report(parents, "a", "s", 0, "", NULL) != REELAY_FORKED)
        return 1;
    if (reelay_flush(parents) != REELAY_FORKED ||
        reelay_get_status(parents, "a", &status) != REELAY_FORKED)
        return 2;
    if (reelay_close(parents) != REELAY_FORKED)
        return 3;
    if (open_descriptors() != before - 2)
        return 4;
    struct reelay *r = reelay_open(&options);
    if (r == NULL || reelay_report_complete(r, "child", NULL, NULL) != REELAY_OK)
        return 5;
    return reelay_close(r) == REELAY_OK ? 0 : 6;
}

static void a_forked_child_opens_its_own(void **state)
{
#ifdef __SANITIZE_THREAD__
    skip(); /* it ends a child that starts threads */
#endif
    struct reelay *r = reelay_open(&options);
    int status;

    (void)state;
    assert_int_equal(reelay_report_complete(r, "before", NULL, NULL), REELAY_OK);
    pid_t child = fork();
    if (child == 0)
        _exit(as_a_child(r));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(reelay_report_complete(r, "after", NULL, NULL), REELAY_OK);
    assert_int_equal(reelay_close(r), REELAY_OK);
    assert_int_equal(redis_ask_int(&server, "DBSIZE", NULL), 3);
}

static volatile sig_atomic_t signalled_thread;
static pthread_t main_thread;

static void on_signal(int number)
{
    (void)number;
    signalled_thread = pthread_equal(pthread_self(), main_thread) ? 1 : 2;
}

static void signals_go_to_the_programs_threads(void **state)
{
    struct sigaction action = { .sa_handler = on_signal }, before;
    sigset_t mask_before, mask_after;

    (void)state;
    main_thread = pthread_self();
    sigaction(SIGUSR1, &action, &before);
    pthread_sigmask(SIG_SETMASK, NULL, &mask_before);
    struct reelay *r = reelay_open(&options);
    pthread_sigmask(SIG_SETMASK, NULL, &mask_after);
    for (int number = 1; number < NSIG; number++)
        assert_int_equal(sigismember(&mask_before, number), sigismember(&mask_after, number));
    for (int i = 0; i < 50; i++) {
        signalled_thread = 0;
        kill(getpid(), SIGUSR1);
        assert_int_equal(signalled_thread, 1);
    }
    assert_int_equal(reelay_report_complete(r, "a", NULL, NULL), REELAY_OK);
    assert_int_equal(reelay_close(r), REELAY_OK);
    sigaction(SIGUSR1, &before, NULL);
}

static void descriptors_are_not_for_started_programs(void **state)
{
    int before = open_descriptors();
    struct reelay *r = reelay_open(&options);

    (void)state;
    assert_int_equal(reelay_report_complete(r, "a", NULL, NULL), REELAY_OK);
    assert_int_equal(open_descriptors(), before + 2);
    for (int fd = 0; fd < 1024; fd++) {
        char link[64], target[64] = "";
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        if (readlink(link, target, sizeof(target) - 1) > 0 &&
            (strstr(target, "socket:") || strstr(target, "eventfd")) && fd > 2)
            assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    }
    assert_int_equal(reelay_close(r), REELAY_OK);
    assert_int_equal(open_descriptors(), before);
}

/* This program has the static one: REELAY_LIBRARY says where it lies. */
static void a_program_may_unload_it(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        void *library = dlopen(getenv("REELAY_LIBRARY"), RTLD_NOW | RTLD_LOCAL);
        if (library == NULL)
            fail_msg("%s", dlerror());
        struct reelay *(*open_it)(const struct reelay_options *);
        int (*complete)(struct reelay *, const char *, const char *, const char *);
        int (*close_it)(struct reelay *);
        *(void **)&open_it = dlsym(library, "reelay_open");
        *(void **)&complete = dlsym(library, "reelay_report_complete");
        *(void **)&close_it = dlsym(library, "reelay_close");
        assert_null(dlsym(library, "buf_append"));
        assert_null(dlsym(library, "job_id_is_valid"));
        struct reelay *r = open_it(&options);
        assert_int_equal(complete(r, "a", NULL, NULL), REELAY_OK);
        assert_int_equal(close_it(r), REELAY_OK);
        assert_int_equal(dlclose(library), 0);
        assert_null(dlopen(getenv("REELAY_LIBRARY"), RTLD_NOW | RTLD_NOLOAD));
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(many_threads_share_a_reporter),
        TEST(a_forked_child_opens_its_own),
        TEST(signals_go_to_the_programs_threads),
        TEST(descriptors_are_not_for_started_programs),
        TEST(a_program_may_unload_it),
    };

    return cmocka_run_group_tests_name("lib/program", tests, NULL, NULL);
}
