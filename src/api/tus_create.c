/* POST /files: an upload, whole or a part of one, and perhaps its first bytes. */
#include <stdio.h>
#include <string.h>

#include "api/errand.h"
#include "api/tus.h"
#include "base/clock.h"
#include "base/emit.h"
#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"

enum {
    TRIES = 8,
    METADATA_MAX = 3 * 1024,
    LOCATION_MAX = 4 * 1024,
    FIELDS_MAX = UPLOAD_FIELDS_MAX
};

/* Answering */

void tus_created(struct tus *t)
{
    struct exchange *x = t->call->x;
    struct buf url;

    buf_init(&url, LOCATION_MAX);
    buf_printf(&url, "%s/files/%s", t->call->api->settings->public_url, t->id);
    exchange_header(x, "Location", buf_text(&url));
    buf_deinit(&url);
    tus_put_job(t);
    if (t->state == TUS_OPEN)
        tus_put_expiry(t, clock_wall_ms());
    tus_release(t);
    exchange_reply(x, 201, NULL, NULL);
}

/* Metadata */

static bool is_control(char c)
{
    return (unsigned char)c < ' ' || c == '\x7f';
}

/* Of a name from anywhere, what can be shown: its last part, in UTF-8, of one line. */
static void clean_name(struct str name, char *out, size_t size)
{
    size_t len = 0;

    for (size_t i = 0; i < name.len;) {
        size_t step = utf8_length(name.at + i, name.len - i);
        char c = step == 0 || is_control(name.at[i]) ? '_' : name.at[i];
        if (len + (step ? step : 1) >= size)
            break;
        if (c == '/' || c == '\\')
            len = 0;
        else if (step > 1)
            memcpy(out + len, name.at + i, step);
        else
            out[len] = c;
        if (c != '/' && c != '\\')
            len += step ? step : 1;
        i += step ? step : 1;
    }
    out[len] = '\0';
}

static int find_name(struct tus *t, struct str metadata, const char *key)
{
    struct buf value;

    if (t->upload.file_name[0] != '\0')
        return OK;
    buf_init(&value, METADATA_MAX);
    int err = tus_metadata_get(metadata, key, &value);
    if (err == OK)
        clean_name(buf_str(&value), t->upload.file_name, sizeof(t->upload.file_name));
    buf_deinit(&value);
    return err == FAIL_MISSING ? OK : err;
}

static bool add_field(struct tus *t, const char *name, struct str value)
{
    size_t have = strlen(t->upload.fields), room = sizeof(t->upload.fields) - have;
    int len = snprintf(t->upload.fields + have, room, "%s %.*s\n", name, STR_ARG(value));

    return len > 0 && (size_t)len < room;
}

bool tus_read_metadata(struct tus *t)
{
    const struct http_request *request = exchange_request(t->call->x);
    struct str metadata = http_header(request, "Upload-Metadata");
    struct str concat = http_header(request, "Upload-Concat");
    int err = find_name(t, metadata, "filename");

    if (err == OK)
        err = find_name(t, metadata, "name");
    if (err == OK && metadata.at != NULL && !add_field(t, "Upload-Metadata", metadata))
        err = FAIL_LIMIT;
    if (err == OK && concat.at != NULL && !add_field(t, "Upload-Concat", concat))
        err = FAIL_LIMIT;
    if (err == FAIL_LIMIT || metadata.len > METADATA_MAX)
        tus_refuse(t, 413, "too_large", "Upload-Metadata may have %d bytes and %d pairs",
                   METADATA_MAX, TUS_PAIRS_MAX);
    else if (err)
        tus_refuse(t, 400, "invalid_metadata",
                   "Upload-Metadata is pairs of a key and a value in Base64, each key once");
    return err == OK && metadata.len <= METADATA_MAX;
}

/* What the job shows of it: texts that are texts. */
static int emit_pair(void *context, struct str key, struct str value)
{
    struct buf *json = context;
    char *name = mem_strndup(key.at, key.len), *text = mem_strndup(value.at, value.len);

    if (utf8_is_valid(value.at, value.len) && strlen(text) == value.len)
        emit_field_string(json, name, text);
    mem_free(name);
    mem_free(text);
    return OK;
}

static void write_metadata(const struct tus *t, struct buf *json)
{
    struct str metadata = http_header(exchange_request(t->call->x), "Upload-Metadata");

    emit_open(json, '{');
    tus_metadata_each(metadata, emit_pair, json);
    emit_close(json, '}');
}

/* On record */

static void open_once(struct tus *t);

static void opened(struct call *c, int err)
{
    struct tus *t = c->state;

    if (err == FAIL_EXISTS && ++t->tries < TRIES) {
        open_once(t);
        return;
    }
    switch (err) {
    case OK: t->then(t); break;
    case FAIL_FULL:
        tus_refuse(t, 507, "no_space", "there is no room for %lld bytes",
                   (long long)t->upload.size);
        break;
    case FAIL_LIMIT:
        if (t->upload.is_partial)
            tus_refuse(t, 429, "too_many_uploads", "too many parts of uploads are open");
        else
            tus_fail(t, err);
        break;
    case FAIL_IO: tus_refuse(t, 507, "not_stored", "the upload could not be put on record"); break;
    default: tus_fail(t, err); break;
    }
}

/* Whoever knows the name of a partial one can do with it what its maker can. */
static void name_partial(struct tus *t)
{
    uint8_t secret[16];
    size_t len;

    video_id(t->id);
    len = strlen(t->id);
    t->id[len] = '-';
    random_bytes(secret, sizeof(secret));
    encode_hex(secret, sizeof(secret), t->id + len + 1);
}

static void open_once(struct tus *t)
{
    struct call *c = t->call;
    struct change change;
    struct buf metadata;

    if (t->upload.is_partial) {
        name_partial(t);
        c->api->records->open(c, t->id, NULL, &t->upload, opened);
        return;
    }
    video_id(t->id);
    buf_init(&metadata, JOB_JSON_MAX);
    write_metadata(t, &metadata);
    change_init(&change);
    change.state = JOB_QUEUED;
    change.kind = JOB_UPLOAD;
    if (t->upload.size >= 0)
        change.bytes_total = t->upload.size;
    change.text[TEXT_OWNER] = c->viewer->subject;
    change.text[TEXT_TITLE] = t->upload.file_name;
    if (!metadata.failed && metadata.len > 2)
        change.text[TEXT_METADATA] = buf_text(&metadata);
    c->api->records->open(c, t->id, &change, &t->upload, opened);
    buf_deinit(&metadata);
}

void tus_open(struct tus *t, void (*then)(struct tus *t))
{
    t->then = then;
    t->upload.is_tus = true;
    t->upload.place.layout = upload_layout_new(t->call->api, &t->upload);
    t->upload.touched_ms = clock_wall_ms();
    t->state = TUS_OPEN;
    t->length = t->upload.size;
    open_once(t);
}

/* Its first bytes */

static void refused(struct call *c, int err)
{
    struct tus *t = c->state;

    (void)err;
    tus_refuse(t, t->status, t->code, "%s", t->why);
}

static void answer_begun(struct tus *t)
{
    tus_put_offset(t);
    tus_created(t);
}

/* A client that did not hear where it is cannot go on with it. */
static void received(struct tus *t)
{
    bool is_whole = t->length >= 0 && t->offset == (uint64_t)t->length;

    if (t->status == 0 && t->is_cut && !is_whole) {
        t->status = 400;
        t->code = "broken_off";
    }
    if (t->status != 0)
        t->call->api->records->discard(t->call, t->id, refused);
    else
        tus_conclude(t, answer_begun);
}

static void begin_receiving(struct tus *t)
{
    tus_receive(t, received);
}

static void begun(struct tus *t)
{
    if (tus_has_bytes(t->call))
        tus_take_turn(t, begin_receiving);
    else
        tus_conclude(t, tus_created);
}

/* What it shall be */

static bool read_length(struct tus *t)
{
    uint64_t max = t->call->api->settings->upload_max;
    struct str defer = http_header(exchange_request(t->call->x), "Upload-Defer-Length");
    int64_t length = -1;
    int err = tus_number(t->call, "Upload-Length", &length);

    if (defer.at != NULL && (err != FAIL_MISSING || !str_equal(defer, STR("1"))))
        tus_refuse(t, 400, "invalid_length",
                   "Upload-Defer-Length is 1, and stands where Upload-Length does not");
    else if (defer.at == NULL && err)
        tus_refuse(t, 400, "invalid_length",
                   "Upload-Length must say how many bytes there are, or Upload-Defer-Length: 1");
    else if (length >= 0 && (uint64_t)length > max)
        tus_refuse(t, 413, "too_large", "an upload may have %llu bytes at most",
                   (unsigned long long)max);
    else {
        t->upload.size = length;
        return true;
    }
    return false;
}

static bool read_concat(struct tus *t)
{
    struct str text = http_header(exchange_request(t->call->x), "Upload-Concat");

    if (text.at == NULL)
        return true;
    int err = tus_concat_parse(text, &t->concat);
    if (err == FAIL_LIMIT)
        tus_refuse(t, 413, "too_large", "a file is made of %d uploads at most", TUS_PARTIALS_MAX);
    else if (err)
        tus_refuse(t, 400, "invalid_concat",
                   "Upload-Concat is \"partial\", or \"final;\" and the URLs of uploads");
    t->upload.is_partial = err == OK && t->concat.count == 0;
    if (t->upload.is_partial)
        tus_owner(t->call, t->upload.owner);
    return err == OK;
}

void tus_create(struct call *c)
{
    struct tus *t = tus_begin(c);

    if (t != NULL && exchange_request(c->x)->content_length > 0 && !tus_has_bytes(c)) {
        tus_refuse(t, 415, "wrong_type", "bytes come as application/offset+octet-stream");
        return;
    }
    if (t == NULL || !read_concat(t) || !tus_read_metadata(t))
        return;
    if (t->concat.count > 0)
        tus_concat(t);
    else if (read_length(t) && (!tus_has_bytes(c) || tus_read_checksum(t)))
        tus_open(t, begun);
}
