/* `reelay storage check URL`: everything that a server will ask of a bucket, tried in a
 * folder of its own, which is removed again. */
#include "cmd/storage_check.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/depot.h"
#include "cmd/serve_settings.h"

enum { WHY_MAX = 2048, KEY_MAX = 256, FILE_MORE = 1000, READ_MAX = 1024 };

struct storage_options {
    const char *origin, *ca_file, *public_url;
    uint64_t patience_ms;
};

static const struct option options[] = {
    { .name = "origin",
      .type = OPTION_TEXT,
      .offset = offsetof(struct storage_options, origin),
      .fallback = "",
      .value = "ORIGIN",
      .help = "the page that uploads to the bucket and plays from it: https://app.example.com" },
    { .name = "storage-ca-file",
      .type = OPTION_TEXT,
      .offset = offsetof(struct storage_options, ca_file),
      .value = "FILE",
      .help = "certificates to trust of the bucket (PEM) instead of the system's" },
    { .name = "storage-patience",
      .type = OPTION_DURATION,
      .offset = offsetof(struct storage_options, patience_ms),
      .fallback = "10s",
      .min = 1000,
      .max = 3600 * 1000,
      .value = "TIME",
      .help = "how long a request that fails is tried again" },
    { .name = NULL },
};

static const struct command_help help = {
    .usage = "reelay storage check URL [--origin ORIGIN]",
    .about =
        "Tries everything that a server with --storage URL will ask of a bucket, in a folder of\n"
        "its own, and says what is not permitted, or which rule a browser would miss. How\n"
        "URLs are written, and where credentials come from: docs/storage.md.\n"
        "\n"
        "Exit status: 0 all is well; 1 something is not; 2 wrong usage.\n"
        "\n"
        "  AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=... \\\n"
        "    reelay storage check 's3://videos?region=eu-central-1' --origin "
        "https://app.example.com",
    .options = options,
};

void check_begin(struct check *c)
{
    c->is_done = false;
    c->err = OK;
    buf_reset(&c->why);
}

void check_answer(void *context, int err, const char *why)
{
    struct check *c = context;

    c->is_done = true;
    c->err = err;
    if (err)
        buf_puts(&c->why, why && *why ? why : fail_text(err));
}

/* Nobody can be permitted anything who is not known, or is at the wrong door. */
static const char *explain_denial(const char *why)
{
    static const char key[] = "the credentials are not right, or not for this bucket";
    static const char place[] = "the region or the endpoint is not the bucket's";
    static const struct {
        const char *code, *text;
    } known[] = {
        { "SignatureDoesNotMatch", key },
        { "InvalidAccessKeyId", key },
        { "InvalidToken", key },
        { "ExpiredToken", key },
        { "AuthenticationFailed", key },
        { "AuthorizationFailure", key },
        { "AuthorizationHeaderMalformed", place },
        { "AuthorizationQueryParametersError", place },
        { "PermanentRedirect", place },
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
        if (strstr(why, known[i].code) != NULL)
            return known[i].text;
    return NULL;
}

bool check_wait(struct check *c, const char *what, const char *permission_s3,
                const char *permission_azure)
{
    const char *permission = c->is_azure ? permission_azure : permission_s3;

    while (!c->is_done)
        uv_run(&c->loop, UV_RUN_ONCE);
    if (c->err == OK) {
        printf("  ok      %s\n", what);
        return true;
    }
    c->failed++;
    printf("  FAILED  %s: %s\n", what, buf_text(&c->why));
    const char *denial = c->err == FAIL_DENIED ? explain_denial(buf_text(&c->why)) : NULL;
    if (denial != NULL)
        printf("          %s\n", denial);
    else if (c->err == FAIL_DENIED && *permission)
        printf("          needs %s\n", permission);
    else if (c->err == FAIL_UNTRUSTED)
        printf("          --storage-ca-file says whose signature counts, instead of the system; "
               "it must be good for the endpoint's host\n");
    return false;
}

const char *check_key(struct check *c, const char *name)
{
    static char key[KEY_MAX];

    snprintf(key, sizeof(key), "%s/%s", c->folder, name);
    return key;
}

/* Objects */

static bool put(struct check *c, const char *name, bool has_file)
{
    check_begin(c);
    storage_put(c->storage, &(struct storage_put){ .key = check_key(c, name),
                                                   .content_type = "text/plain",
                                                   .cache_control = "no-store",
                                                   .has_file = has_file,
                                                   .file = c->file,
                                                   .length = has_file ? FILE_MORE : 0,
                                                   .bytes = STR("reelay"),
                                                   .done = check_answer,
                                                   .context = c });
    return check_wait(c, has_file ? "write an object from a file" : "write an object",
                      "s3:PutObject", "sp=cw (create, write)");
}

static void on_head(void *context, int err, const char *why, const struct storage_object *object)
{
    if (err == OK && object->size != FILE_MORE)
        check_answer(context, FAIL_STATE, "it is not as large as what was written");
    else
        check_answer(context, err, why);
}

static void on_range(void *context, int err, const char *why, uint64_t bytes)
{
    if (err == OK && bytes != FILE_MORE / 2)
        check_answer(context, FAIL_STATE, "another range came than was asked for");
    else
        check_answer(context, err, why);
}

static void on_text(void *context, int err, const char *why, struct str body)
{
    if (err == OK && !str_equal(body, STR("reelay")))
        check_answer(context, FAIL_STATE, "it is not what was written");
    else
        check_answer(context, err, why);
}

static void check_reading(struct check *c)
{
    int file = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    check_begin(c);
    storage_head(c->storage, check_key(c, "file"), on_head, c);
    check_wait(c, "ask for an object's size", "s3:GetObject", "sp=r (read)");
    check_begin(c);
    storage_read(c->storage, check_key(c, "text"), READ_MAX, on_text, c);
    check_wait(c, "read an object", "s3:GetObject", "sp=r (read)");
    check_begin(c);
    storage_get(c->storage, &(struct storage_get){ .key = check_key(c, "file"),
                                                   .offset = 10,
                                                   .length = FILE_MORE / 2,
                                                   .file = file,
                                                   .done = on_range,
                                                   .context = c });
    check_wait(c, "read a range of an object", "s3:GetObject", "sp=r (read)");
    close(file);
}

struct count {
    struct check *check;
    unsigned seen;
};

static bool on_object(void *context, const struct storage_object *object)
{
    (void)object;
    ((struct count *)context)->seen++;
    return true;
}

static void on_list(void *context, int err, const char *why)
{
    struct count *n = context;

    if (err == OK && n->seen < 2)
        check_answer(n->check, FAIL_STATE, "what was just written is not in the list");
    else
        check_answer(n->check, err, why);
}

static void check_listing(struct check *c)
{
    struct count n = { .check = c };

    check_begin(c);
    storage_list(c->storage, check_key(c, ""), on_object, on_list, &n);
    check_wait(c, "list objects", "s3:ListBucket (of the bucket itself)", "sp=l (list)");
}

static void check_removing(struct check *c)
{
    check_begin(c);
    storage_remove(c->storage, check_key(c, "text"), check_answer, c);
    check_wait(c, "remove an object", "s3:DeleteObject", "sp=d (delete)");
    check_begin(c);
    storage_remove_all(c->storage, check_key(c, ""), check_answer, c);
    check_wait(c, "remove a folder", "s3:DeleteObject, s3:ListBucket", "sp=dl (delete, list)");
}

/* If nothing can be written, nothing else says anything. */
static void check_all(struct check *c)
{
    if (!put(c, "text", false))
        return;
    put(c, "file", true);
    check_reading(c);
    check_listing(c);
    check_parts(c);
    check_urls(c);
    check_removing(c);
}

/* The command */

static int make_file(struct check *c)
{
    const struct storage_traits *traits = storage_traits(c->storage);

    c->part = traits->part_min > 0 ? traits->part_min : FILE_MORE;
    c->file = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return c->file >= 0 && ftruncate(c->file, (off_t)(c->part + FILE_MORE)) == 0 ? OK : FAIL_IO;
}

static int open_all(struct check *c, const struct storage_options *o, const char *url,
                    struct buf *why)
{
    uv_loop_init(&c->loop);
    int err = command_check_ca("--storage-ca-file", o->ca_file, why);
    if (err)
        return err;
    err = storage_open(&c->loop,
                       &(struct storage_settings){ .url = url,
                                                   .ca_file = o->ca_file,
                                                   .public_url = "",
                                                   .parallel = 4,
                                                   .patience_ms = (uint32_t)o->patience_ms },
                       &c->storage, why);
    if (err)
        return err;
    c->is_azure = strcmp(storage_traits(c->storage)->provider, "azure") == 0;
    c->fetcher = fetcher_new(&c->loop, o->ca_file);
    snprintf(c->folder, sizeof(c->folder), "reelay-check-%016" PRIx64, random_u64());
    return make_file(c);
}

static void close_all(struct check *c)
{
    if (c->storage != NULL)
        storage_close(c->storage);
    if (c->fetcher != NULL)
        fetcher_close(c->fetcher);
    uv_run(&c->loop, UV_RUN_DEFAULT);
    uv_loop_close(&c->loop);
    if (c->file >= 0)
        close(c->file);
}

static void conclude(const struct check *c)
{
    if (c->failed > 0)
        printf("%u FAILED\n", c->failed);
    else
        printf("all is well\n");
}

/* What no browser sends would pass where the rule is "*", and be no answer. */
static bool is_sendable(const char *origin)
{
    return *origin == '\0' || (strcmp(origin, "*") != 0 && serve_settings_is_origin(origin));
}

static int run(const struct storage_options *o, const char *url)
{
    struct check c = { .origin = o->origin, .file = -1 };
    struct buf text;

    setvbuf(stdout, NULL, _IOLBF, 0);
    log_setup(LOG_ERROR, LOG_LOGFMT);
    buf_init(&c.why, WHY_MAX);
    buf_init(&text, WHY_MAX);
    int err = open_all(&c, o, url, &text);
    if (err) {
        fprintf(stderr, "reelay storage: %s\n", text.len ? buf_text(&text) : fail_text(err));
    } else {
        storage_describe(c.storage, &text);
        printf("%s, below %s/\n", buf_text(&text), c.folder);
        check_all(&c);
        conclude(&c);
    }
    close_all(&c);
    buf_deinit(&text);
    buf_deinit(&c.why);
    return err || c.failed > 0 ? 1 : 0;
}

int cmd_storage(int argc, char **argv)
{
    struct storage_options o = { 0 };
    struct config config = { .into = &o };
    int status = command_begin(&help, &config, argc, argv, 2, 2);

    if (status < 0 && strcmp(config.rest[0], "check") != 0) {
        fprintf(stderr, "usage: %s\n", help.usage);
        status = 2;
    } else if (status < 0 && !is_sendable(o.origin)) {
        fprintf(stderr,
                "reelay storage: --origin: \"%s\" is not an origin as browsers send it, such as "
                "https://app.example.com\n",
                o.origin);
        status = 2;
    } else if (status < 0) {
        status = run(&o, config.rest[1]);
    }
    config_release(&config, options);
    return status;
}
