#include "clips.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"

static char root[64];

const struct media_settings clips_settings = {
    .ffmpeg = "ffmpeg",
    .ffprobe = "ffprobe",
    .preset = "ultrafast",
    .crf = 30,
    .stall_ms = 60000,
    .memory_max = 4ULL << 30,
    .pixels_max = 35389440,
};

int clips_setup(void **state)
{
    (void)state;
    snprintf(root, sizeof(root), "/tmp/reelay-clips-XXXXXX");
    return mkdtemp(root) == NULL ? -1 : 0;
}

int clips_teardown(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -r '%s'", root);
    return system(command);
}

const char *clips_path(const char *name)
{
    static char paths[8][256];
    static unsigned next;
    char *path = paths[next++ % 8];

    snprintf(path, sizeof(paths[0]), "%s/%s", root, name);
    return path;
}

const char *clips_make(const char *name, const char *words)
{
    const char *path = clips_path(name);
    char command[2048];

    if (access(path, F_OK) == 0)
        return path;
    snprintf(command, sizeof(command), "cd '%s' && ffmpeg -v error -nostdin -y %s '%s' >&2", root,
             words, path);
    if (system(command) != 0)
        fail_msg("%s", command);
    return path;
}

const char *clips_write(const char *name, const void *bytes, size_t len)
{
    const char *path = clips_path(name);
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    fclose(f);
    return path;
}

uint64_t clips_size(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return (uint64_t)st.st_size;
}

const char *clips_cut(const char *name, const char *from, size_t len)
{
    const char *path = clips_path(name);
    char command[1024];

    snprintf(command, sizeof(command), "head -c %zu '%s' > '%s'", len, from, path);
    assert_int_equal(system(command), 0);
    return path;
}

const char *clips_ask(const char *format, ...)
{
    static char answer[4096];
    char command[2048];
    va_list args;

    va_start(args, format);
    vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    size_t len = fread(answer, 1, sizeof(answer) - 1, f);
    answer[len] = '\0';
    if (len > 0 && answer[len - 1] == '\n')
        answer[len - 1] = '\0';
    pclose(f);
    return answer;
}

struct asked {
    int err, times;
    char *why;
    struct media_info *info;
};

static void on_probed(void *context, int err, const char *why, const struct media_info *info)
{
    struct asked *a = context;

    a->err = err;
    a->times++;
    snprintf(a->why, 256, "%s", why);
    if (err == OK)
        *a->info = *info;
    else
        assert_null(info);
}

int clips_probe(const struct media_settings *settings, const char *path, struct media_info *info,
                char *why)
{
    struct asked asked = { .why = why, .info = info };
    struct media_task *task;
    uv_loop_t loop;

    uv_loop_init(&loop);
    assert_int_equal(probe_start(&loop, settings, path, on_probed, &asked, &task), OK);
    assert_int_equal(asked.times, 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(asked.times, 1);
    return asked.err;
}

struct converting {
    struct clips_converted *c;
    struct media_task *task;
    enum clips_act act;
    uv_timer_t look;
};

static void signal_children(int signal)
{
    int pid = 0, count = 0;
    FILE *f = fopen("/proc/thread-self/children", "r");

    assert_non_null(f);
    for (; fscanf(f, "%d", &pid) == 1; count++)
        kill(pid, signal);
    fclose(f);
    assert_true(count > 0);
}

static void on_progress(void *context, const struct convert_progress *p)
{
    struct converting *now = context;
    struct clips_converted *c = now->c;

    if (c->steps++ == 0)
        c->first = p->fraction;
    c->fell = c->fell || p->fraction < c->last;
    c->was_out_of_range = c->was_out_of_range || p->fraction < 0 || p->fraction > 0.99;
    c->last = p->fraction;
    if (c->steps == 1 && now->act == CLIPS_CANCEL)
        media_task_cancel(now->task);
    if (c->steps == 1 && now->act == CLIPS_FREEZE)
        signal_children(SIGSTOP);
}

/* Files, since progress may be told before or long after they are there. */
static void look(uv_timer_t *timer)
{
    static const char *const late[] = { "480p/s00003.m4s", "360p/s00003.m4s" };
    struct converting *now = timer->data;
    char path[256];

    for (unsigned i = 0; i < sizeof(late) / sizeof(*late); i++) {
        snprintf(path, sizeof(path), "%s/%s", now->c->out, late[i]);
        if (access(path, F_OK) != 0)
            return;
    }
    uv_timer_stop(timer);
    if (now->act == CLIPS_CANCEL_LATE)
        media_task_cancel(now->task);
    else
        signal_children(SIGKILL);
}

static void on_resumed(void *context, uint32_t segments, int64_t ms)
{
    struct clips_converted *c = ((struct converting *)context)->c;

    assert_true(segments > 0 && ms > 0);
    assert_int_equal(c->resumed, 0);
    c->resumed = segments;
}

static void on_repeated(void *context, const char *why)
{
    struct clips_converted *c = ((struct converting *)context)->c;

    c->repeated++;
    snprintf(c->reason, sizeof(c->reason), "%s", why);
}

static void on_converted(void *context, int err, const char *why)
{
    struct converting *now = context;
    struct clips_converted *c = now->c;

    uv_close((uv_handle_t *)&now->look, NULL);
    c->err = err;
    c->times++;
    snprintf(c->why, sizeof(c->why), "%s", why);
}

void clips_convert(const struct media_settings *settings, const char *path, const char *out,
                   enum clips_act act, struct clips_converted *c)
{
    static const struct convert_events events = { .progress = on_progress,
                                                  .resumed = on_resumed,
                                                  .repeated = on_repeated,
                                                  .done = on_converted };
    struct converting now = { .c = c, .act = act };
    uv_loop_t loop;

    *c = (struct clips_converted){ 0 };
    snprintf(c->folder, sizeof(c->folder), "%s/%s", root, out);
    snprintf(c->out, sizeof(c->out), "%s/tree", c->folder);
    if (clips_probe(settings, path, &c->info, c->why) != OK)
        fail_msg("%s: %s", path, c->why);
    assert_true(mkdir(c->folder, 0700) == 0 || errno == EEXIST);
    uv_loop_init(&loop);
    uv_timer_init(&loop, &now.look);
    now.look.data = &now;
    if (act == CLIPS_CANCEL_LATE || act == CLIPS_KILL_LATE)
        uv_timer_start(&now.look, look, 0, 2);
    assert_int_equal(convert_start(&loop, settings, path, &c->info, c->folder, &events, &now,
                                   &now.task),
                     OK);
    assert_int_equal(c->times, 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(c->times, 1);
    assert_false(c->fell);
}
