#include "fleet/record.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/emit.h"
#include "base/err.h"

/* Names in the JSON; rows may be added, none may change its name. */
static const struct {
    enum update_text text;
    const char *name;
} texts[] = {
    { TEXT_ID, "id" },
    { TEXT_OWNER, "owner" },
    { TEXT_TITLE, "title" },
    { TEXT_STAGE, "stage" },
    { TEXT_MESSAGE, "message" },
    { TEXT_ERROR, "error" },
    { TEXT_METADATA, "metadata" },
    { TEXT_RESULT, "result" },
    { TEXT_VIDEO_INFO, "video_info" },
    { TEXT_HLS_PATH, "hls_path" },
    { TEXT_URL, "url" },
    { TEXT_STORAGE, "storage" },
};
enum { TEXTS = sizeof(texts) / sizeof(*texts) };
_Static_assert(TEXTS == (int)UPDATE_TEXTS, "every text has a name");

static void emit_hash(struct buf *out, const char *key, uint64_t hash)
{
    char text[24];

    snprintf(text, sizeof(text), "%016" PRIx64, hash);
    emit_field_string(out, key, text);
}

/* What is not known is -1 in all numbers, and left out. */

/* Exactly: two nodes must not differ in the last digit. */
static void emit_exact(struct buf *out, const char *key, double value)
{
    char text[32];

    if (!isfinite(value) || value == -1)
        return;
    snprintf(text, sizeof(text), "%.17g", value);
    emit_field_raw(out, key, text);
}

static void emit_known_int(struct buf *out, const char *key, int64_t value)
{
    if (value != -1)
        emit_field_int(out, key, value);
}

void fleet_record_write(const struct update *u, uint64_t write, uint64_t from, struct buf *out)
{
    emit_open(out, '{');
    for (size_t i = 0; i < TEXTS; i++)
        if (u->text[texts[i].text] != NULL)
            emit_field_string(out, texts[i].name, u->text[texts[i].text]);
    emit_field_string(out, "state", job_state_name(u->state));
    emit_field_string(out, "kind", job_kind_name(u->kind));
    if (u->is_start)
        emit_field_bool(out, "is_start", true);
    emit_field_int(out, "created_ms", u->created_ms);
    emit_field_int(out, "time_ms", u->time_ms);
    emit_exact(out, "fraction", u->fraction);
    emit_exact(out, "stage_fraction", u->stage_fraction);
    emit_exact(out, "speed", u->speed);
    emit_known_int(out, "eta_ms", u->eta_ms);
    emit_known_int(out, "bytes_done", u->bytes_done);
    emit_known_int(out, "bytes_total", u->bytes_total);
    emit_known_int(out, "file_size", u->file_size);
    emit_hash(out, "write", write);
    if (from != 0)
        emit_hash(out, "from", from);
    emit_close(out, '}');
}

/* It stands at the end, before `from` at most. */
bool fleet_record_is_of(struct str text, uint64_t write)
{
    enum { TAIL = 64 };
    size_t len = text.len < TAIL ? text.len : TAIL;
    char mark[40];
    int size = snprintf(mark, sizeof(mark), "\"write\":\"%016" PRIx64 "\"", write);

    return memmem(text.at + text.len - len, len, mark, (size_t)size) != NULL;
}

static uint64_t hash_of(const json_t *root, const char *key)
{
    const char *text = json_string_value(json_object_get(root, key));

    return text != NULL ? strtoull(text, NULL, 16) : 0;
}

static int64_t integer_of(const json_t *root, const char *key, int64_t otherwise)
{
    const json_t *value = json_object_get(root, key);

    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

static double real_of(const json_t *root, const char *key)
{
    const json_t *value = json_object_get(root, key);

    return json_is_number(value) ? json_number_value(value) : -1;
}

static int read_state(const json_t *root, uint64_t seq, struct fleet_record *out)
{
    struct change c = { .is_retry = false };
    enum job_state state;
    enum job_kind kind;

    for (size_t i = 0; i < TEXTS; i++)
        c.text[texts[i].text] = json_string_value(json_object_get(root, texts[i].name));
    if (c.text[TEXT_ID] == NULL || !job_id_is_valid(str_of(c.text[TEXT_ID])) ||
        job_state_parse(str_of(json_string_value(json_object_get(root, "state"))), &state) != OK ||
        job_kind_parse(str_of(json_string_value(json_object_get(root, "kind"))), &kind) != OK)
        return FAIL_SYNTAX;
    c.state = (int)state;
    c.kind = (int)kind;
    c.fraction = real_of(root, "fraction");
    c.stage_fraction = real_of(root, "stage_fraction");
    c.speed = real_of(root, "speed");
    c.eta_ms = integer_of(root, "eta_ms", -1);
    c.bytes_done = integer_of(root, "bytes_done", -1);
    c.bytes_total = integer_of(root, "bytes_total", -1);
    c.file_size = integer_of(root, "file_size", -1);
    out->update =
        update_restore(&c, seq, integer_of(root, "created_ms", 0), integer_of(root, "time_ms", 0));
    out->update->is_start = json_is_true(json_object_get(root, "is_start"));
    out->write = hash_of(root, "write");
    out->from = hash_of(root, "from");
    return OK;
}

int fleet_record_read(struct str text, struct fleet_record *out)
{
    struct fleet_record r = { 0 };
    struct str seq = str_cut(&text, ' ');
    struct str token = str_cut(&text, ' ');
    uint64_t number;

    if (text.len == 0 || text.len > FLEET_RECORD_MAX ||
        str_parse_u64(seq, UINT64_MAX, &number) != OK ||
        str_parse_u64(token, UINT64_MAX, &r.token) != OK)
        return FAIL_SYNTAX;
    json_t *root = json_loadb(text.at, text.len, JSON_REJECT_DUPLICATES, NULL);
    int err = json_is_object(root) ? read_state(root, number, &r) : FAIL_SYNTAX;
    json_decref(root);
    if (err == OK)
        *out = r;
    return err;
}

void fleet_record_deinit(struct fleet_record *r)
{
    update_unref(&r->update);
}
