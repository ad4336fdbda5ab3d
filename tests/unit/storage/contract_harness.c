#include "contract.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <curl/curl.h>
#include <jansson.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

enum { PATIENCE_MS = 90 * 1000, SLICE = 1024 * 1024, LINE_MAX_BYTES = 4096 };

struct contract contract;

static void become_server(const struct contract_driver *d, int in, int out)
{
    char path[512];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    snprintf(path, sizeof path, "%s/%s", getenv("TESTS_SUPPORT"), d->server);
    execl(path, path, d->options, d->style, NULL);
    _exit(127);
}

static char *text_of(const json_t *said, const char *name)
{
    const char *text = json_string_value(json_object_get(said, name));

    return text == NULL ? NULL : mem_strdup(text);
}

/* The same URL, where nobody listens. */
static char *url_of_nobody(const char *url, const char *endpoint)
{
    const char *at = strstr(url, endpoint);
    struct buf out;

    buf_init(&out, LINE_MAX_BYTES);
    const char *port = strrchr(endpoint, ':');
    assert_non_null(at);
    buf_append(&out, url, (size_t)(at - url + (port - endpoint)));
    buf_puts(&out, ":1");
    port = at + (port - endpoint) + 1;
    buf_puts(&out, port + strspn(port, "0123456789"));
    return buf_take(&out);
}

static void read_line(int fd, char line[LINE_MAX_BYTES])
{
    size_t len = 0;

    while (len == 0 || line[len - 1] != '\n') {
        ssize_t got = read(fd, line + len, LINE_MAX_BYTES - 1 - len);
        assert_true(got > 0); /* else it did not come up: see what it said */
        len += (size_t)got;
    }
    line[len] = '\0';
}

static void start_server(void)
{
    struct contract *c = &contract;
    int in[2], out[2];
    char line[LINE_MAX_BYTES];

    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    c->pid = fork();
    assert_true(c->pid >= 0);
    if (c->pid == 0)
        become_server(c->driver, in[0], out[1]);
    close(in[0]);
    close(out[1]);
    c->hold = in[1];
    read_line(out[0], line);
    close(out[0]);
    json_t *said = json_loads(line, 0, NULL);
    assert_non_null(said);
    c->url = text_of(said, c->driver->uses_sas ? "bare" : "url");
    c->wrong = text_of(said, c->driver->uses_sas ? "bare" : "wrong");
    c->missing = text_of(said, c->driver->uses_sas ? "bareMissing" : "missing");
    c->nobody = url_of_nobody(c->url, json_string_value(json_object_get(said, "endpoint")));
    if (c->driver->uses_sas) {
        c->token = text_of(said, "sas");
        c->wrong_token = text_of(said, "wrongSas");
        c->missing_token = text_of(said, "missingSas");
        setenv("AZURE_STORAGE_SAS_TOKEN", c->token, 1);
    }
    json_decref(said);
}

void place_enter(struct place *p, const char *url, uint32_t patience_ms)
{
    struct storage_settings settings = {
        .url = url,
        .public_url = "https://cdn.example/media",
        .parallel = 8,
        .patience_ms = patience_ms,
    };
    struct buf why;

    memset(p, 0, sizeof *p);
    assert_int_equal(uv_loop_init(&p->loop), 0);
    buf_init(&why, 1024);
    int err = storage_open(&p->loop, &settings, &p->s, &why);
    if (err != OK)
        fprintf(stderr, "%s: %s\n", fail_name(err), buf_text(&why));
    buf_deinit(&why);
    assert_int_equal(err, OK);
    p->outer = contract.place;
    contract.place = p;
}

void place_leave(void)
{
    struct place *p = contract.place;

    storage_close(p->s);
    uv_run(&p->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&p->loop), 0);
    contract.place = p->outer;
}

int contract_setup(void **state)
{
    static const char *const ours[] = { "AWS_ACCESS_KEY_ID",       "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SESSION_TOKEN",       "AZURE_STORAGE_KEY",
                                        "AZURE_STORAGE_SAS_TOKEN", "AWS_ENDPOINT_URL" };
    struct contract *c = &contract;

    (void)state;
    signal(SIGPIPE, SIG_IGN);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        unsetenv(ours[i]);
    snprintf(c->folder, sizeof c->folder, "/tmp/reelay-contract-XXXXXX");
    assert_non_null(mkdtemp(c->folder));
    if (c->driver->server != NULL) {
        start_server();
    } else {
        struct buf url;
        buf_init(&url, LINE_MAX_BYTES);
        buf_printf(&url, "file://%s/objects", c->folder);
        c->url = buf_take(&url);
    }
    place_enter(&c->first, c->url, 30 * 1000);
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

int contract_teardown(void **state)
{
    struct contract *c = &contract;

    (void)state;
    place_leave();
    if (c->pid > 0) {
        close(c->hold);
        assert_int_equal(waitpid(c->pid, NULL, 0), c->pid);
    }
    nftw(c->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    char *texts[] = { c->url,   c->wrong,       c->missing,      c->nobody,
                      c->token, c->wrong_token, c->missing_token };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        mem_free(texts[i]);
    curl_global_cleanup();
    return 0;
}

int contract_case_end(void **state)
{
    (void)state;
    return remove_below("") == OK ? 0 : -1;
}

void outcome_init(struct outcome *o)
{
    memset(o, 0, sizeof *o);
    o->err = 1;
    buf_init(&o->body, 8 * 1024 * 1024);
}

void outcome_deinit(struct outcome *o)
{
    buf_deinit(&o->body);
}

void on_done(void *context, int err, const char *why)
{
    struct outcome *o = context;

    o->ended++;
    o->err = err;
    snprintf(o->why, sizeof o->why, "%s", why == NULL ? "" : why);
    if (err != OK)
        assert_true(o->why[0] != '\0'); /* people are told */
}

void on_got(void *context, int err, const char *why, uint64_t bytes)
{
    ((struct outcome *)context)->bytes = bytes;
    on_done(context, err, why);
}

void on_body(void *context, int err, const char *why, struct str body)
{
    struct outcome *o = context;

    if (err == OK)
        buf_append(&o->body, body.at, body.len);
    on_done(context, err, why);
}

void on_head(void *context, int err, const char *why, const struct storage_object *object)
{
    struct outcome *o = context;

    if (err == OK) {
        o->size = object->size;
        o->modified_s = object->modified_s;
        snprintf(o->etag, sizeof o->etag, "%s", object->etag);
        buf_puts(&o->body, object->key);
    }
    on_done(context, err, why);
}

void on_begun(void *context, int err, const char *why, const char *id)
{
    struct outcome *o = context;

    if (err == OK)
        snprintf(o->id, sizeof o->id, "%s", id);
    on_done(context, err, why);
}

void on_parts(void *context, int err, const char *why, const struct storage_part *parts,
              size_t count)
{
    struct outcome *o = context;

    assert_true(count <= PARTS_KEPT);
    if (err == OK && count > 0)
        memcpy(o->parts, parts, count * sizeof *parts);
    o->part_count = count;
    on_done(context, err, why);
}

void on_moved(void *context, uint64_t bytes)
{
    struct outcome *o = context;

    assert_int_equal(o->ended, 0);
    assert_true(bytes >= o->moved);
    o->moved = bytes;
}

bool on_object(void *context, const struct storage_object *object)
{
    struct outcome *o = context;

    assert_int_equal(o->ended, 0);
    buf_printf(&o->body, "%s\n", object->key);
    o->size += object->size;
    o->modified_s = object->modified_s;
    return ++o->rows != o->rows_max;
}

bool on_pending(void *context, const struct storage_pending *pending)
{
    struct outcome *o = context;

    assert_int_equal(o->ended, 0);
    buf_printf(&o->body, "%s %s\n", pending->key, pending->id);
    o->modified_s = pending->begun_s;
    return ++o->rows != o->rows_max;
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

static void on_tick_closed(uv_handle_t *handle)
{
    handle->data = NULL;
}

void settle_all(struct outcome *all, size_t count)
{
    uint64_t until_ms = clock_mono_ms() + PATIENCE_MS;
    uv_timer_t tick;

    uv_timer_init(&contract.place->loop, &tick);
    uv_timer_start(&tick, on_tick, 100, 100);
    for (size_t i = 0; i < count; i++)
        while (all[i].ended == 0) {
            if (clock_mono_ms() > until_ms) {
                fprintf(stderr, "waited too long for an operation's end\n");
                abort(); /* the loop is full of what will not end */
            }
            uv_run(&contract.place->loop, UV_RUN_ONCE);
        }
    tick.data = &tick;
    uv_close((uv_handle_t *)&tick, on_tick_closed);
    while (tick.data != NULL)
        uv_run(&contract.place->loop, UV_RUN_NOWAIT);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(all[i].ended, 1);
}

int settle(struct outcome *o)
{
    assert_int_equal(o->ended, 0); /* never within the call */
    settle_all(o, 1);
    return o->err;
}

/* When only the error is of interest. */
static int end_of(struct outcome *o)
{
    int err = settle(o);

    outcome_deinit(o);
    return err;
}

int put_text(const char *key, const char *text)
{
    struct outcome o;

    outcome_init(&o);
    storage_put(contract.place->s,
                &(struct storage_put){
                    .key = key, .bytes = str_of(text), .done = on_done, .context = &o });
    return end_of(&o);
}

int put_range(const char *key, int file, uint64_t offset, uint64_t length)
{
    struct outcome o;

    outcome_init(&o);
    storage_put(contract.place->s, &(struct storage_put){ .key = key,
                                                          .has_file = true,
                                                          .file = file,
                                                          .offset = offset,
                                                          .length = length,
                                                          .moved = on_moved,
                                                          .done = on_done,
                                                          .context = &o });
    int err = settle(&o);
    if (err == OK && length > 0)
        assert_int_equal(o.moved, length);
    outcome_deinit(&o);
    return err;
}

int get_range(const char *key, uint64_t offset, uint64_t length, int file, uint64_t at,
              uint64_t *bytes)
{
    struct outcome o;

    outcome_init(&o);
    storage_get(contract.place->s, &(struct storage_get){ .key = key,
                                                          .offset = offset,
                                                          .length = length,
                                                          .file = file,
                                                          .at = at,
                                                          .moved = on_moved,
                                                          .done = on_got,
                                                          .context = &o });
    int err = settle(&o);
    if (bytes != NULL)
        *bytes = o.bytes;
    outcome_deinit(&o);
    return err;
}

int head(const char *key, struct outcome *o)
{
    outcome_init(o);
    storage_head(contract.place->s, key, on_head, o);
    int err = settle(o);
    if (err == OK)
        assert_string_equal(buf_text(&o->body), key);
    outcome_deinit(o);
    return err;
}

int remove_key(const char *key)
{
    struct outcome o;

    outcome_init(&o);
    storage_remove(contract.place->s, key, on_done, &o);
    return end_of(&o);
}

int remove_below(const char *prefix)
{
    struct outcome o;

    outcome_init(&o);
    storage_remove_all(contract.place->s, prefix, on_done, &o);
    return end_of(&o);
}

int list_keys(const char *prefix, struct buf *out)
{
    struct outcome o;

    outcome_init(&o);
    storage_list(contract.place->s, prefix, on_object, on_done, &o);
    int err = settle(&o);
    buf_reset(out);
    buf_append(out, buf_text(&o.body), o.body.len);
    outcome_deinit(&o);
    return err;
}

int begin(const char *key, char id[STORAGE_UPLOAD_ID_MAX + 1])
{
    struct outcome o;

    outcome_init(&o);
    storage_upload_begin(contract.place->s, key, "video/mp4", on_begun, &o);
    int err = settle(&o);
    memcpy(id, o.id, sizeof o.id);
    outcome_deinit(&o);
    return err;
}

int put_part(const char *key, const char *id, uint32_t number, int file, uint64_t offset,
             uint64_t length)
{
    struct outcome o;

    outcome_init(&o);
    storage_part_put(contract.place->s, &(struct storage_part_put){ .key = key,
                                                                    .id = id,
                                                                    .number = number,
                                                                    .file = file,
                                                                    .offset = offset,
                                                                    .length = length,
                                                                    .moved = on_moved,
                                                                    .done = on_done,
                                                                    .context = &o });
    return end_of(&o);
}

int copy_object(const char *key, const char *from)
{
    struct outcome o;

    outcome_init(&o);
    storage_copy(contract.place->s, key, from, on_done, &o);
    return end_of(&o);
}

int copy_part(const char *key, const char *id, uint32_t number, const char *from)
{
    struct outcome o;

    outcome_init(&o);
    storage_part_copy(contract.place->s, key, id, number, from, on_done, &o);
    return end_of(&o);
}

int list_parts(const char *key, const char *id, struct outcome *o)
{
    outcome_init(o);
    storage_parts(contract.place->s, key, id, on_parts, o);
    return end_of(o);
}

int complete(const char *key, const char *id, const struct storage_part *parts, size_t count)
{
    struct outcome o;

    outcome_init(&o);
    storage_upload_complete(contract.place->s, key, id, parts, count, on_done, &o);
    return end_of(&o);
}

int abort_upload(const char *key, const char *id)
{
    struct outcome o;

    outcome_init(&o);
    storage_upload_abort(contract.place->s, key, id, on_done, &o);
    return end_of(&o);
}

void expect_text(const char *key, const char *text)
{
    struct outcome o;

    outcome_init(&o);
    storage_read(contract.place->s, key, 64 * 1024, on_body, &o);
    assert_int_equal(settle(&o), OK);
    assert_string_equal(buf_text(&o.body), text);
    outcome_deinit(&o);
}

int file_empty(void)
{
    int fd = memfd_create("contract", MFD_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

int file_of(uint64_t size, uint64_t seed)
{
    uint64_t *slice = mem_alloc(SLICE), x = seed * 0x9e3779b97f4a7c15u + 1;
    int fd = file_empty();

    for (uint64_t at = 0; at < size;) {
        for (size_t i = 0; i < SLICE / sizeof *slice; i++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            slice[i] = x;
        }
        size_t len = size - at < SLICE ? (size_t)(size - at) : SLICE;
        assert_int_equal(pwrite(fd, slice, len, (off_t)at), len);
        at += len;
    }
    mem_free(slice);
    return fd;
}

void expect_same(int a, uint64_t a_at, int b, uint64_t b_at, uint64_t length)
{
    char *x = mem_alloc(SLICE), *y = mem_alloc(SLICE);

    for (uint64_t at = 0; at < length; at += SLICE) {
        size_t len = length - at < SLICE ? (size_t)(length - at) : SLICE;
        assert_int_equal(pread(a, x, len, (off_t)(a_at + at)), len);
        assert_int_equal(pread(b, y, len, (off_t)(b_at + at)), len);
        assert_true(memcmp(x, y, len) == 0);
    }
    mem_free(x);
    mem_free(y);
}

void expect_object(const char *key, int file, uint64_t offset, uint64_t length)
{
    int got = file_empty();
    uint64_t bytes = 0;

    assert_int_equal(get_range(key, 0, 0, got, 0, &bytes), OK);
    assert_int_equal(bytes, length);
    expect_same(got, 0, file, offset, length);
    close(got);
}

static size_t on_answer(char *bytes, size_t size, size_t count, void *context)
{
    struct buf *out = context;

    if (out != NULL)
        buf_append(out, bytes, size * count);
    return size * count;
}

static long perform(CURL *curl, const char *url, struct buf *answer)
{
    long status = 0;

    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 60L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_answer);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, answer);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_answer);
    assert_int_equal(curl_easy_perform(curl), CURLE_OK);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(curl);
    return status;
}

long plain_get(const char *url, struct buf *answer)
{
    CURL *curl = curl_easy_init();

    assert_non_null(curl);
    return perform(curl, url, answer);
}

long plain_head(const char *url, struct buf *answer)
{
    CURL *curl = curl_easy_init();

    assert_non_null(curl);
    curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    return perform(curl, url, answer);
}

struct sending {
    int file;
    uint64_t at, left;
};

static size_t on_send(char *out, size_t size, size_t count, void *context)
{
    struct sending *s = context;
    size_t len = size * count < s->left ? size * count : (size_t)s->left;

    assert_int_equal(pread(s->file, out, len, (off_t)s->at), len);
    s->at += len;
    s->left -= len;
    return len;
}

long plain_put(const char *url, int file, uint64_t offset, uint64_t length)
{
    struct sending sending = { file, offset, length };
    struct curl_slist *fields = curl_slist_append(NULL, "Content-Type: application/octet-stream");
    CURL *curl = curl_easy_init();

    assert_non_null(curl);
    curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, fields);
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_send);
    curl_easy_setopt(curl, CURLOPT_READDATA, &sending);
    curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)length);
    long status = perform(curl, url, NULL);
    curl_slist_free_all(fields);
    return status;
}
