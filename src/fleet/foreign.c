#include "fleet/foreign.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "core/limits.h"

/* FNV-1a, 64 bits: messages are told apart, not defended against. */
uint64_t foreign_hash(enum fleet_channel kind, struct str text)
{
    uint64_t hash = UINT64_C(14695981039346656037) ^ (uint64_t)kind;

    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (uint8_t)text.at[i]) * UINT64_C(1099511628211);
    return hash != 0 ? hash : 1;
}

bool foreign_is_own(struct str text)
{
    return text.len > 0 && text.at[text.len - 1] == '\t';
}

/* At a character. */
static void cut(json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);
    const char *text = json_string_value(value);
    size_t len = json_string_length(value), kept = 0, wide;

    if (text == NULL || len <= JOB_TEXT_MAX)
        return;
    while ((wide = utf8_length(text + kept, len - kept)) > 0 && kept + wide <= JOB_TEXT_MAX)
        kept += wide;
    json_object_set_new(object, name, json_stringn(text, kept));
}

/* An exception's dict, or a number, is still what its author has to say. */
static void word(json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);

    if (value == NULL || json_is_null(value) || json_is_string(value))
        return;
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    if (text != NULL)
        json_object_set_new(object, name, json_string(text));
    free(text);
}

/* "42", and "42%" where `unit` is '%'. An end stays one whatever else it says. */
static void number(json_t *object, const char *name, char unit, bool is_end)
{
    json_t *value = json_object_get(object, name);
    struct str text = str_trim((struct str){ json_string_value(value), json_string_length(value) });
    double said;

    if (value == NULL || json_is_null(value) || json_is_number(value))
        return;
    if (text.len > 0 && text.at[text.len - 1] == unit)
        text.len--;
    if (str_parse_double(text, &said) == OK)
        json_object_set_new(object, name, json_real(said));
    else if (is_end)
        json_object_del(object, name);
}

/* -1 is how some say that they do not know. */
static void size(json_t *object, const char *name, bool is_end)
{
    number(object, name, '\0', is_end);
    if (json_number_value(json_object_get(object, name)) < 0)
        json_object_set_new(object, name, json_null());
}

static bool says_end(const json_t *object)
{
    const char *status = json_string_value(json_object_get(object, "status"));

    return status != NULL && strcmp(status, job_state_name(JOB_QUEUED)) != 0 &&
           strcmp(status, job_state_name(JOB_PROCESSING)) != 0;
}

static void drop_unfit(struct fields *f, const char *name, bool only_object)
{
    char *json = NULL;

    if (field_json(f, name, only_object, &json))
        mem_free(json);
    else
        json_object_del(f->object, name);
}

static void mend(struct fields *f)
{
    static const char *const texts[] = { "stage", "message", "error" };
    bool is_end = says_end(f->object);

    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        word(f->object, texts[i]);
        cut(f->object, texts[i]);
    }
    number(f->object, "progress", '\0', is_end);
    number(f->object, "percent", '%', is_end);
    size(f->object, "downloaded_bytes", is_end);
    size(f->object, "total_bytes", is_end);
    drop_unfit(f, "metadata", true);
    drop_unfit(f, "result", false);
    f->code = f->field = NULL;
}

/* The document's null is what its clients are to see. */
static void read_unknown(const struct fields *f, struct change *c)
{
    if (json_is_null(json_object_get(f->object, "downloaded_bytes")))
        c->bytes_done = -1;
    if (json_is_null(json_object_get(f->object, "total_bytes")))
        c->bytes_total = -1;
}

int foreign_read(struct str text, struct report *out, char why[FOREIGN_WHY_MAX])
{
    struct fields f;
    bool is_read = false;

    if (text.len > FOREIGN_MESSAGE_MAX) {
        snprintf(why, FOREIGN_WHY_MAX, "it has %zu bytes, the limit is %d", text.len,
                 FOREIGN_MESSAGE_MAX);
        return FAIL_LIMIT;
    }
    if (fields_parse(&f, text)) {
        mend(&f);
        is_read = report_read(&f, out);
    }
    if (is_read)
        read_unknown(&f, &out->change);
    if (!is_read)
        snprintf(why, FOREIGN_WHY_MAX, "%s", f.message);
    fields_deinit(&f);
    return is_read ? OK : FAIL_SYNTAX;
}
