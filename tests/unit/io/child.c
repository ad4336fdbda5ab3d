#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "cmd/sandbox.h"
#include "io/child.h"

struct run {
    uv_loop_t loop;
    struct child *child;
    struct buf lines;
    unsigned line_count, ends;
    size_t longest;
    int status;
    char complaint[16 * 1024];
    void (*on_line)(struct run *r);
};

static void on_line(void *context, const char *text, size_t len)
{
    struct run *r = context;

    r->line_count++;
    if (len > r->longest)
        r->longest = len;
    buf_append(&r->lines, text, len);
    buf_putc(&r->lines, '|');
    if (r->on_line)
        r->on_line(r);
}

static void on_end(void *context, int status, const char *complaint)
{
    struct run *r = context;

    r->ends++;
    r->status = status;
    snprintf(r->complaint, sizeof(r->complaint), "%s", complaint);
}

static const struct child_events events = { .line = on_line, .end = on_end };

static void start(struct run *r, const char *const *argv, const struct child_limits *limits)
{
    static const struct child_limits none;

    assert_int_equal(uv_loop_init(&r->loop), 0);
    buf_init(&r->lines, 1 << 20);
    assert_int_equal(child_start(&r->loop, argv, limits ? limits : &none, &events, r, &r->child),
                     OK);
    assert_int_equal(r->ends, 0);
}

static void finish(struct run *r)
{
    assert_int_equal(uv_run(&r->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&r->loop), 0);
    assert_int_equal(r->ends, 1);
}

static void shell(struct run *r, const char *script, const struct child_limits *limits)
{
    const char *argv[] = { "sh", "-c", script, NULL };

    start(r, argv, limits);
    finish(r);
}

#define assert_lines(r, text) assert_string_equal(buf_text(&(r)->lines), text)

static void lines_come_one_by_one_and_the_last_needs_no_newline(void **state)
{
    struct run r = { 0 };

    (void)state;
    shell(&r, "echo one; echo; printf two", NULL);
    assert_lines(&r, "one||two|");
    assert_int_equal(r.status, 0);
    buf_deinit(&r.lines);
}

static void the_exit_status_and_the_complaint_are_told(void **state)
{
    struct run r = { 0 };

    (void)state;
    shell(&r, "echo oh no >&2; exit 3", NULL);
    assert_int_equal(r.status, 3);
    assert_string_equal(r.complaint, "oh no\n");
    buf_deinit(&r.lines);
}

static void a_signal_is_a_negative_status(void **state)
{
    struct run r = { 0 };

    (void)state;
    shell(&r, "kill -SEGV $$", NULL);
    assert_int_equal(r.status, -SIGSEGV);
    buf_deinit(&r.lines);
}

static void of_a_long_complaint_the_end_is_kept(void **state)
{
    struct run r = { 0 };

    (void)state;
    shell(&r, "i=0; while [ $i -lt 9000 ]; do echo line $i >&2; i=$((i+1)); done", NULL);
    assert_int_equal(strlen(r.complaint), 8192);
    assert_non_null(strstr(r.complaint, "line 8999\n"));
    assert_null(strstr(r.complaint, "line 7000\n"));
    buf_deinit(&r.lines);
}

static void a_line_without_end_comes_in_pieces(void **state)
{
    struct run r = { 0 };
    const char *argv[] = { "head", "-c", "150000", "/dev/zero", NULL };

    (void)state;
    start(&r, argv, NULL);
    finish(&r);
    assert_int_equal(r.line_count, 3);
    assert_int_equal(r.longest, 65536);
    assert_int_equal(r.lines.len, 150000 + 3);
    buf_deinit(&r.lines);
}

static void a_program_that_is_not_there_ends_with_127(void **state)
{
    struct run r = { 0 };
    const char *argv[] = { "no-such-program", NULL };

    (void)state;
    start(&r, argv, NULL);
    finish(&r);
    assert_int_equal(r.status, 127);
    assert_non_null(strstr(r.complaint, "no-such-program"));
    buf_deinit(&r.lines);
}

static void a_missing_helper_fails_the_start_and_nobody_hears_an_end(void **state)
{
    struct run r = { 0 };
    const char *argv[] = { "true", NULL };
    static const struct child_limits none;

    (void)state;
    child_set_helper("/nonexistent/reelay");
    assert_int_equal(uv_loop_init(&r.loop), 0);
    assert_int_equal(child_start(&r.loop, argv, &none, &events, &r, &r.child), FAIL_MISSING);
    child_set_helper("/proc/self/exe");
    assert_int_equal(uv_run(&r.loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&r.loop), 0);
    assert_int_equal(r.ends, 0);
}

static void the_environment_is_cleared(void **state)
{
    struct run r = { 0 };

    (void)state;
    setenv("SECRET_TOKEN", "hunter2", 1);
    struct child_limits limits = { .write_path = "/tmp" };
    const char *argv[] = { "env", NULL };
    start(&r, argv, &limits);
    finish(&r);
    unsetenv("SECRET_TOKEN");
    assert_null(strstr(buf_text(&r.lines), "SECRET"));
    assert_non_null(strstr(buf_text(&r.lines), "HOME=/nonexistent|"));
    assert_non_null(strstr(buf_text(&r.lines), "TMPDIR=/tmp|"));
    assert_int_equal(r.line_count, 4);
    buf_deinit(&r.lines);
}

/* A folder with one thing in it to read and one to write in. */
struct place {
    char root[64], input[96], folder[96], secret[96];
};

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int make_place(void **state)
{
    static struct place p;

    snprintf(p.root, sizeof(p.root), "/tmp/reelay-child-XXXXXX");
    if (mkdtemp(p.root) == NULL)
        return -1;
    snprintf(p.input, sizeof(p.input), "%s/input", p.root);
    snprintf(p.folder, sizeof(p.folder), "%s/out", p.root);
    snprintf(p.secret, sizeof(p.secret), "%s/secret", p.root);
    write_text(p.input, "the input\n");
    write_text(p.secret, "the secret\n");
    mkdir(p.folder, 0700);
    *state = &p;
    return 0;
}

static int drop_place(void **state)
{
    struct place *p = *state;
    char command[128];

    snprintf(command, sizeof(command), "rm -r '%s'", p->root);
    return system(command);
}

static bool has_landlock(void)
{
    return strstr(child_sandbox_describe(), "no Landlock") == NULL;
}

static void it_reads_its_input_and_writes_in_its_folder(void **state)
{
    struct place *p = *state;
    struct run r = { 0 };
    char script[512];

    snprintf(script, sizeof(script),
             "read x < %s; echo $x; echo $x > %s/copy; read y < %s/copy; echo $y", p->input,
             p->folder, p->folder);
    shell(&r, script, &(struct child_limits){ .read_path = p->input, .write_path = p->folder });
    assert_lines(&r, "the input|the input|");
    buf_deinit(&r.lines);
}

static void it_reads_the_certificates_that_are_named_to_it(void **state)
{
    struct place *p = *state;
    struct run r = { 0 };

    shell(&r, "read x < $SSL_CERT_FILE; echo $x",
          &(struct child_limits){
              .read_path = p->input, .ca_file = p->secret, .write_path = p->folder });
    assert_lines(&r, "the secret|");
    buf_deinit(&r.lines);
}

static void it_reads_and_writes_nothing_else(void **state)
{
    struct place *p = *state;
    struct run r = { 0 };
    char script[1024];

    if (!has_landlock())
        skip();
    snprintf(script, sizeof(script),
             "for f in %s /etc/passwd /proc/%d/environ %s/../secret; do"
             " (read x < $f) && echo read $f; done;"
             "for f in %s %s %s/new /tmp/reelay-child-new; do"
             " (echo x >> $f) && echo wrote $f; done; echo done",
             p->secret, (int)getpid(), p->folder, p->secret, p->input, p->root);
    shell(&r, script,
          &(struct child_limits){
              .read_path = p->input, .write_path = p->folder, .may_run = true });
    assert_lines(&r, "done|");
    assert_non_null(strstr(r.complaint, "Permission denied"));
    buf_deinit(&r.lines);
}

static void a_second_program_or_process_is_refused(void **state)
{
    struct run r = { 0 };

    (void)state;
    shell(&r, "(echo forked) || echo no fork", NULL);
    assert_null(strstr(buf_text(&r.lines), "forked"));
    buf_deinit(&r.lines);

    r = (struct run){ 0 };
    shell(&r, "exec /bin/echo executed", NULL);
    assert_lines(&r, "");
    assert_int_not_equal(r.status, 0);
    buf_deinit(&r.lines);

    r = (struct run){ 0 };
    shell(&r, "/bin/echo executed", &(struct child_limits){ .may_run = true });
    assert_lines(&r, "executed|");
    buf_deinit(&r.lines);
}

/* This program itself, confined, tries what no shell can: see main. */
static void probe(struct run *r, const char *what, const struct child_limits *limits)
{
    static char self[4096];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

    assert_true(len > 0);
    self[len] = '\0';
    const char *argv[] = { self, "try", what, NULL };
    start(r, argv, limits);
    finish(r);
}

static void try(const char *what)
{
    if (strcmp(what, "socket") == 0)
        puts(socket(AF_INET, SOCK_STREAM, 0) < 0 ? strerror(errno) : "opened");
    else if (strcmp(what, "limits") == 0) {
        struct rlimit r;
        getrlimit(RLIMIT_NOFILE, &r);
        printf("%llu", (unsigned long long)r.rlim_max);
        getrlimit(RLIMIT_FSIZE, &r);
        printf(" %llu", (unsigned long long)r.rlim_max);
        getrlimit(RLIMIT_CORE, &r);
        printf(" %llu", (unsigned long long)r.rlim_max);
        r = (struct rlimit){ RLIM_INFINITY, RLIM_INFINITY };
        puts(setrlimit(RLIMIT_FSIZE, &r) == 0 ? " raised" : " kept");
    } else if (strcmp(what, "parent") == 0)
        puts(kill(getppid(), 0) != 0 ? strerror(errno) : "reached");
    else if (strcmp(what, "bpf") == 0)
        puts(syscall(SYS_bpf, 0, NULL, 0) != 0 ? strerror(errno) : "done");
    else if (strcmp(what, "chmod") == 0)
        puts(chmod("/tmp", 01777) != 0 ? strerror(errno) : "done");
    else if (strcmp(what, "group") == 0)
        puts(setsid() < 0 && getpgrp() == getpid() ? "own" : "shared");
    else if (strcmp(what, "descriptor") == 0)
        puts(fcntl(77, F_GETFD) < 0 ? "closed" : "open");
    else if (strcmp(what, "priority") == 0)
        printf("%d\n", getpriority(PRIO_PROCESS, 0));
}

static void assert_probe(const char *what, const char *answer)
{
    struct run r = { 0 };

    probe(&r, what, NULL);
    assert_lines(&r, answer);
    buf_deinit(&r.lines);
}

static void it_opens_no_socket_reaches_no_process_changes_no_mode(void **state)
{
    (void)state;
    assert_probe("socket", "Operation not permitted|");
    assert_probe("parent", "Operation not permitted|");
    assert_probe("chmod", "Operation not permitted|");
    assert_probe("group", "own|");
    assert_probe("priority", "10|");
}

static void no_descriptor_of_ours_is_inherited(void **state)
{
    struct run r = { 0 };

    (void)state;
    int fd = open("/dev/null", O_WRONLY);
    assert_int_equal(dup2(fd, 77), 77);
    probe(&r, "descriptor", NULL);
    close(fd);
    close(77);
    assert_lines(&r, "closed|");
    buf_deinit(&r.lines);
}

static void a_blatant_call_ends_it(void **state)
{
    struct run r = { 0 };

    (void)state;
    probe(&r, "bpf", NULL);
    assert_int_equal(r.status, -SIGSYS);
    buf_deinit(&r.lines);
}

static void with_leave_to_connect_a_socket_opens(void **state)
{
    struct run r = { 0 };

    (void)state;
    probe(&r, "socket", &(struct child_limits){ .may_connect = true });
    assert_lines(&r, "opened|");
    buf_deinit(&r.lines);
}

static void limits_hold_and_cannot_be_raised(void **state)
{
    struct run r = { 0 };

    (void)state;
    probe(&r, "limits", &(struct child_limits){ .files_max = 50, .file_max = 4096 });
    assert_lines(&r, "50 4096 0 kept|");
    buf_deinit(&r.lines);
}

static void memory_is_limited(void **state)
{
    struct run r = { 0 };

    (void)state;
    shell(&r, "x=0123456789abcdef; while :; do x=$x$x; done",
          &(struct child_limits){ .memory_max = 256u << 20 });
    assert_int_not_equal(r.status, 0);
    buf_deinit(&r.lines);
}

static int number(const char *text)
{
    return (int)strtol(text, NULL, 10);
}

/* Gone, or dead and not yet collected by init. */
static bool has_ended(int pid)
{
    char path[64], state = 'Z';

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return true;
    if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
        state = 'Z';
    fclose(f);
    return state == 'Z' || state == 'X';
}

static bool ends_soon(int pid)
{
    uint64_t deadline = clock_mono_ms() + 20000;

    while (!has_ended(pid) && clock_mono_ms() < deadline)
        poll(NULL, 0, 2);
    return has_ended(pid);
}

static void stop_it(struct run *r)
{
    child_stop(r->child, 100);
}

static void stopping_kills_the_group_also_when_it_ignores_sigterm(void **state)
{
    struct run r = { .on_line = stop_it };
    const char *argv[] = { "sh", "-c",
                           "trap '' TERM; sh -c 'trap \"\" TERM; echo $$; while :; do :; done'",
                           NULL };

    (void)state;
    start(&r, argv, &(struct child_limits){ .may_run = true });
    assert_true(child_pid(r.child) > 1);
    finish(&r);
    assert_int_equal(r.status, -SIGKILL);
    assert_true(ends_soon(number(buf_text(&r.lines))));
    buf_deinit(&r.lines);
}

static void stop_softly(struct run *r)
{
    child_stop(r->child, 60000);
    child_stop(r->child, 60000);
}

static void a_program_that_heeds_sigterm_ends_by_itself(void **state)
{
    struct run r = { .on_line = stop_softly };

    (void)state;
    const char *argv[] = { "sh", "-c", "trap 'echo bye; exit 7' TERM; echo up; while :; do :; done",
                           NULL };
    start(&r, argv, NULL);
    finish(&r);
    assert_lines(&r, "up|bye|");
    assert_int_equal(r.status, 7);
    buf_deinit(&r.lines);
}

static void what_it_started_does_not_outlive_it(void **state)
{
    struct run r = { 0 };
    const char *argv[] = { "sh", "-c", "sleep 600 & echo $!", NULL };

    (void)state;
    start(&r, argv, &(struct child_limits){ .may_run = true });
    finish(&r);
    assert_int_equal(r.status, 0);
    assert_true(ends_soon(number(buf_text(&r.lines))));
    buf_deinit(&r.lines);
}

static void tell_pid(struct run *r)
{
    int pid = child_pid(r->child);

    if (write(STDOUT_FILENO, &pid, sizeof(pid)) != sizeof(pid))
        _exit(1);
}

/* A process between us and the child is killed, so that it can do nothing more. */
static void it_dies_with_its_parent(void **state)
{
    int ends[2], child = 0;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    pid_t middle = fork();
    if (middle == 0) {
        struct run r = { .on_line = tell_pid };
        const char *argv[] = { "sh", "-c", "echo up; while :; do :; done", NULL };
        dup2(ends[1], STDOUT_FILENO);
        start(&r, argv, NULL);
        uv_run(&r.loop, UV_RUN_DEFAULT);
        _exit(0);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &child, sizeof(child)), sizeof(child));
    close(ends[0]);
    assert_false(has_ended(child));
    kill(middle, SIGKILL);
    waitpid(middle, NULL, 0);
    assert_true(ends_soon(child));
}

static void the_sandbox_can_be_described(void **state)
{
    (void)state;
    assert_non_null(strstr(child_sandbox_describe(), "seccomp"));
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "sandbox") == 0)
        return cmd_sandbox(argc - 1, argv + 1);
    if (argc > 2 && strcmp(argv[1], "try") == 0) {
        try(argv[2]);
        fflush(stdout);
        _exit(0); /* a leak checker would fork, which it may not */
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_come_one_by_one_and_the_last_needs_no_newline),
        cmocka_unit_test(the_exit_status_and_the_complaint_are_told),
        cmocka_unit_test(a_signal_is_a_negative_status),
        cmocka_unit_test(of_a_long_complaint_the_end_is_kept),
        cmocka_unit_test(a_line_without_end_comes_in_pieces),
        cmocka_unit_test(a_program_that_is_not_there_ends_with_127),
        cmocka_unit_test(a_missing_helper_fails_the_start_and_nobody_hears_an_end),
        cmocka_unit_test(the_environment_is_cleared),
        cmocka_unit_test(no_descriptor_of_ours_is_inherited),
        cmocka_unit_test_setup_teardown(it_reads_its_input_and_writes_in_its_folder, make_place,
                                        drop_place),
        cmocka_unit_test_setup_teardown(it_reads_the_certificates_that_are_named_to_it, make_place,
                                        drop_place),
        cmocka_unit_test_setup_teardown(it_reads_and_writes_nothing_else, make_place, drop_place),
        cmocka_unit_test(a_second_program_or_process_is_refused),
        cmocka_unit_test(it_opens_no_socket_reaches_no_process_changes_no_mode),
        cmocka_unit_test(a_blatant_call_ends_it),
        cmocka_unit_test(with_leave_to_connect_a_socket_opens),
        cmocka_unit_test(limits_hold_and_cannot_be_raised),
        cmocka_unit_test(memory_is_limited),
        cmocka_unit_test(stopping_kills_the_group_also_when_it_ignores_sigterm),
        cmocka_unit_test(a_program_that_heeds_sigterm_ends_by_itself),
        cmocka_unit_test(what_it_started_does_not_outlive_it),
        cmocka_unit_test(it_dies_with_its_parent),
        cmocka_unit_test(the_sandbox_can_be_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
