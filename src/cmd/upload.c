/* `reelay upload`: a file to the server, and the job that makes HLS of it to its
 * end. Given again after a break, it goes on where it was. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/emit.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "cmd/cmd.h"
#include "cmd/follow.h"
#include "cmd/upload_chunks.h"
#include "cmd/upload_memory.h"
#include "core/limits.h"

enum { TRIES = 6, ROUNDS = 3, BODY_MAX = 16 * 1024, PATH_LIMIT = 1024 };

struct upload_options {
    struct client_options client;
    uint64_t chunk_size, parallel;
    const char *title, *priority;
};

static const struct option options[] = {
    CLIENT_OPTIONS(struct upload_options, client),
    { .name = "chunk-size",
      .type = OPTION_SIZE,
      .offset = offsetof(struct upload_options, chunk_size),
      .fallback = "5MiB",
      .min = 64 * 1024,
      .max = UINT64_C(5) << 30,
      .value = "SIZE",
      .help = "bytes sent in one request" },
    { .name = "parallel",
      .type = OPTION_COUNT,
      .offset = offsetof(struct upload_options, parallel),
      .fallback = "4",
      .min = 1,
      .max = UPLOAD_PARALLEL_MAX,
      .value = "N",
      .help = "chunks sent at the same time" },
    { .name = "title",
      .type = OPTION_TEXT,
      .offset = offsetof(struct upload_options, title),
      .value = "TEXT",
      .help = "the video's title; else the file's name" },
    { .name = "priority",
      .type = OPTION_TEXT,
      .offset = offsetof(struct upload_options, priority),
      .fallback = "normal",
      .choices = "high|normal|low",
      .help = "whose processing begins first, where some have to wait" },
    { .name = NULL },
};

static const struct command_help help = {
    .usage = "reelay upload FILE [--server URL] [--token TOKEN] [--title TEXT]\n"
             "                   [--chunk-size SIZE] [--parallel N] [--json]",
    .about = "Sends a video in chunks, then follows the job that makes HLS of it, and prints\n"
             "the playlist's URL.\n"
             "\n"
             "What breaks is tried again. After Ctrl-C, a crash or a lost server the same\n"
             "command goes on: it sends only what the server does not have. What it needs for\n"
             "that is kept in $XDG_STATE_HOME/reelay (else ~/.local/state/reelay) until the\n"
             "job has ended.\n"
             "\n"
             "Where standard output is no terminal, or with --json, it prints one JSON object\n"
             "per line, whose \"state\" is in the end \"completed\" (then with \"playlist_url\"),\n"
             "\"failed\", \"error\" or \"interrupted\".\n"
             "\n"
             "Exit status: 0 the job completed; 1 it failed, was cancelled, or the server\n"
             "refused; 2 wrong usage; 3 the server cannot be reached; 130 interrupted.\n"
             "\n"
             "  reelay upload holiday.mp4\n"
             "  REELAY_TOKEN=... reelay upload talk.mov --server https://video.example.org",
    .options = options,
};

struct upload {
    const struct upload_options *options;
    struct client client;
    struct bar bar;
    struct upload_memory memory;
    struct upload_plan plan;
    struct buf file_name; /* as the server gets it: UTF-8 */
    bool is_resumed;
    bool is_sent; /* the server has all and works on it */
};

static int complain(const char *what, const char *why)
{
    fprintf(stderr, "reelay upload: %s%s%s\n", what, *what ? ": " : "", why);
    return EXIT_USAGE;
}

/* Says why it ends here; returns the exit status. */
static int stop(struct upload *u, const struct client_answer *answer)
{
    bool can_go_on = u->memory.video != NULL && client_exit_status(answer) != EXIT_REFUSED;

    bar_fail(&u->bar, answer->err == FAIL_CANCELLED ? "interrupted" : "error", answer->why);
    if (can_go_on)
        bar_say(&u->bar, false, "To go on from here, give the same command again");
    return client_exit_status(answer);
}

/* The file */

static void set_file_name(struct upload *u)
{
    const char *slash = strrchr(u->memory.path, '/');
    const char *name = slash ? slash + 1 : u->memory.path;

    buf_init(&u->file_name, FILE_NAME_MAX);
    if (utf8_is_valid(name, strlen(name)))
        buf_puts(&u->file_name, name);
    else
        buf_puts(&u->file_name, "video");
}

static int64_t modified_ns(const struct stat *facts)
{
    return (int64_t)facts->st_mtim.tv_sec * 1000000000 + facts->st_mtim.tv_nsec;
}

static int open_file(struct upload *u, const char *path)
{
    struct stat facts;

    u->plan.file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (u->plan.file < 0 || fstat(u->plan.file, &facts) != 0)
        return complain(path, strerror(errno));
    if (!S_ISREG(facts.st_mode))
        return complain(path, "this is not a file");
    if (facts.st_size == 0)
        return complain(path, "the file is empty");
    char *absolute = realpath(path, NULL);
    if (absolute == NULL)
        return complain(path, strerror(errno));
    u->memory.path = mem_strdup(absolute);
    free(absolute);
    u->memory.size = u->plan.size = (uint64_t)facts.st_size;
    u->memory.modified_ns = modified_ns(&facts);
    set_file_name(u);
    return EXIT_DONE;
}

static bool has_changed(const struct upload *u)
{
    struct stat facts;

    return fstat(u->plan.file, &facts) != 0 || (uint64_t)facts.st_size != u->memory.size ||
           modified_ns(&facts) != u->memory.modified_ns;
}

static void make_plan(struct upload *u)
{
    struct upload_plan *plan = &u->plan;

    mem_free(plan->has);
    plan->video = u->memory.video;
    plan->chunk_size = u->memory.chunk_size;
    plan->count = (uint32_t)((plan->size + plan->chunk_size - 1) / plan->chunk_size);
    plan->has = mem_zalloc(plan->count * sizeof(*plan->has));
    plan->parallel = (unsigned)u->options->parallel;
}

/* Going on */

static void forget(struct upload *u)
{
    upload_memory_forget(&u->memory);
    mem_free(u->memory.video);
    u->memory.video = NULL;
}

static void call_about(struct upload *u, const char *path, struct client_answer *out)
{
    struct buf full;

    buf_init(&full, PATH_LIMIT);
    follow_path(&full, path, u->memory.video, "");
    client_call(&u->client, TRIES, "GET", buf_text(&full), NULL, out);
    buf_deinit(&full);
}

/* A chunk that has another length was meant for another division. */
static void read_chunks(struct upload *u, const json_t *answer)
{
    const json_t *chunks = json_object_get(answer, "chunks"), *chunk;
    struct upload_plan *plan = &u->plan;
    size_t i;

    memset(plan->has, 0, plan->count * sizeof(*plan->has));
    json_array_foreach(chunks, i, chunk)
    {
        double index = client_number(chunk, "index", -1);
        double size = client_number(chunk, "size", -1);
        if (index < 0 || index >= plan->count)
            continue;
        uint32_t which = (uint32_t)index;
        plan->has[which] = size == (double)upload_chunk_length(plan, which);
    }
}

/* Of a job that failed nothing is left to go on with. */
static bool is_worth_following(struct upload *u)
{
    struct client_answer job;

    call_about(u, "/api/jobs/", &job);
    const char *state = client_text(job.json, "state");
    bool is_lost =
        state != NULL && (strcmp(state, "failed") == 0 || strcmp(state, "cancelled") == 0);
    client_answer_free(&job);
    return !is_lost;
}

/* False: the server knows nothing that helps; begin anew. */
static bool read_upload_state(struct upload *u, const json_t *answer)
{
    const char *state = client_text(answer, "state");
    double total = client_number(answer, "total_chunks", u->plan.count);

    if (state == NULL)
        return false;
    if (strcmp(state, "open") != 0) {
        u->is_sent = is_worth_following(u);
        return u->is_sent;
    }
    if (total != u->plan.count)
        return false;
    read_chunks(u, answer);
    return true;
}

/* What the server has of it. A good answer with `is_known` false: nothing. */
static void ask_state(struct upload *u, bool *is_known, struct client_answer *out)
{
    *is_known = false;
    call_about(u, "/streaming/uploads/", out);
    if (client_is_good(out)) {
        *is_known = read_upload_state(u, out->json);
    } else if (out->err == OK && out->status == 404) {
        *out = (struct client_answer){ .status = 200 };
    }
}

static void resume(struct upload *u, struct client_answer *out)
{
    struct buf there;
    bool is_known;

    *out = (struct client_answer){ .status = 200 };
    if (upload_memory_load(&u->memory) != OK)
        return;
    make_plan(u);
    ask_state(u, &is_known, out);
    if (!client_is_good(out))
        return;
    if (!is_known) {
        forget(u);
        return;
    }
    u->is_resumed = true;
    if (u->is_sent)
        return;
    buf_init(&there, 64);
    bar_put_bytes(&there, (double)upload_bytes_there(&u->plan));
    bar_say(&u->bar, false, "Going on: %s of it are on the server already", buf_text(&there));
    buf_deinit(&there);
}

/* Beginning */

static char *id_of(const json_t *answer)
{
    const json_t *id = json_object_get(answer, "id");
    char digits[32];

    if (json_is_string(id) && json_string_length(id) <= JOB_ID_MAX)
        return mem_strdup(json_string_value(id));
    if (!json_is_integer(id))
        return NULL;
    snprintf(digits, sizeof(digits), "%lld", (long long)json_integer_value(id));
    return mem_strdup(digits);
}

static void create(struct upload *u, struct client_answer *out)
{
    const char *title = u->options->title;
    struct buf body;

    buf_init(&body, BODY_MAX);
    emit_open(&body, '{');
    emit_field_string(&body, "title", title && *title ? title : buf_text(&u->file_name));
    emit_field_string(&body, "priority", u->options->priority);
    emit_field_string(&body, "fileName", buf_text(&u->file_name));
    emit_field_int(&body, "fileSize", (int64_t)u->plan.size);
    emit_close(&body, '}');
    client_call(&u->client, 1, "POST", "/streaming/create-video/", buf_text(&body), out);
    buf_deinit(&body);
    if (!client_is_good(out))
        return;
    u->memory.video = id_of(out->json);
    if (u->memory.video == NULL) {
        client_answer_free(out);
        *out = (struct client_answer){ .status = 502, .why = "the server's answer has no id" };
        return;
    }
    u->memory.chunk_size = upload_chunk_size(u->plan.size, u->options->chunk_size);
    make_plan(u);
    if (upload_memory_save(&u->memory) != OK)
        bar_say(&u->bar, false,
                "(If this breaks off it cannot be gone on with: "
                "there is no place to remember it)");
}

/* Sending */

static void assemble(struct upload *u, struct client_answer *out)
{
    struct buf body;

    buf_init(&body, BODY_MAX);
    emit_open(&body, '{');
    emit_field_string(&body, "videoId", u->memory.video);
    emit_field_string(&body, "fileName", buf_text(&u->file_name));
    emit_field_int(&body, "totalChunks", u->plan.count);
    emit_close(&body, '}');
    client_call(&u->client, TRIES, "POST", "/streaming/assemble-chunks/", buf_text(&body), out);
    buf_deinit(&body);
    bool is_known =
        strcmp(out->code, "already_processing") == 0 || strcmp(out->code, "already_finished") == 0;
    if (is_known) /* a try that seemed to fail did not */
        *out = (struct client_answer){ .status = 202 };
    u->is_sent = client_is_good(out);
}

/* A chunk that the server confirmed may be gone, were its disk to break: then it
 * says so when it assembles, and is asked what it has. */
static void send_all(struct upload *u, struct client_answer *out)
{
    bool is_known = true;

    for (int round = 0; round < ROUNDS && is_known && !u->is_sent; round++) {
        upload_chunks(&u->client, &u->bar, &u->plan, out);
        if (!client_is_good(out))
            return;
        if (has_changed(u)) {
            forget(u);
            *out = (struct client_answer){ .status = 409,
                                           .why = "the file has changed while it was sent" };
            return;
        }
        client_answer_free(out);
        assemble(u, out);
        if (strcmp(out->code, "chunks_missing") != 0)
            return;
        ask_state(u, &is_known, out);
        if (!client_is_good(out))
            return;
    }
}

static int follow(struct upload *u)
{
    bool has_ended = false;
    int status = follow_job(&u->client, &u->bar, u->memory.video, true, &has_ended);

    if (has_ended)
        upload_memory_forget(&u->memory);
    return status;
}

static int run(struct upload *u)
{
    struct client_answer answer;

    client_login(&u->client, &answer);
    if (client_is_good(&answer)) {
        client_answer_free(&answer);
        resume(u, &answer);
    }
    if (client_is_good(&answer) && u->memory.video == NULL) {
        client_answer_free(&answer);
        create(u, &answer);
    }
    if (client_is_good(&answer)) {
        client_answer_free(&answer);
        u->bar.id = u->memory.video;
        send_all(u, &answer);
    }
    int status = client_is_good(&answer) ? EXIT_DONE : stop(u, &answer);
    client_answer_free(&answer);
    if (status != EXIT_DONE)
        return status;
    bar_keep(&u->bar);
    return follow(u);
}

static int upload(const struct upload_options *o, const char *path)
{
    struct upload u = { .options = o, .plan.file = -1 };
    struct buf why;

    buf_init(&why, 1024);
    int status = open_file(&u, path);
    if (status == EXIT_DONE && client_init(&u.client, &o->client, &why) != OK)
        status = complain("", buf_text(&why));
    if (status == EXIT_DONE) {
        u.memory.server = mem_strdup(u.client.base);
        bar_init(&u.bar, stdout, o->client.wants_json);
        status = run(&u);
        bar_deinit(&u.bar);
        client_deinit(&u.client);
    }
    buf_deinit(&why);
    buf_deinit(&u.file_name);
    mem_free(u.plan.has);
    upload_memory_deinit(&u.memory);
    if (u.plan.file >= 0)
        close(u.plan.file);
    return status;
}

int cmd_upload(int argc, char **argv)
{
    struct upload_options o = { 0 };
    struct config config = { .into = &o };
    int status = command_begin(&help, &config, argc, argv, 1, 1);

    if (status < 0)
        status = upload(&o, config.rest[0]);
    config_release(&config, options);
    return status;
}
