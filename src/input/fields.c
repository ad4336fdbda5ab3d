#include "input/fields.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/job.h"

bool fields_refuse(struct fields *f, const char *code, const char *field, const char *format, ...)
{
    va_list args;

    f->code = code;
    f->field = field;
    va_start(args, format);
    vsnprintf(f->message, sizeof(f->message), format, args);
    va_end(args);
    return false;
}

static bool refuse_value(struct fields *f, const char *name, const char *wants)
{
    return fields_refuse(f, "invalid_field", name, "%s must be %s", name, wants);
}

bool fields_parse(struct fields *f, struct str text)
{
    json_error_t error;

    *f = (struct fields){ 0 };
    /* jansson passes over a NUL behind a number or a word. */
    if (text.len > 0 && memchr(text.at, '\0', text.len) != NULL)
        return fields_refuse(f, "invalid_json", NULL, "the body is not JSON: it has a NUL in it");
    json_t *object = json_loadb(text.at, text.len, JSON_REJECT_DUPLICATES, &error);
    if (object == NULL)
        return fields_refuse(f, "invalid_json", NULL,
                             "the body is not JSON: %s (line %d, column %d)", error.text,
                             error.line, error.column);
    if (!json_is_object(object)) {
        json_decref(object);
        return fields_refuse(f, "invalid_json", NULL, "the body must be a JSON object");
    }
    f->object = object;
    return true;
}

void fields_deinit(struct fields *f)
{
    json_decref(f->object);
    f->object = NULL;
}

/* NULL for absent and null; `*ok` false when it was needed. */
static json_t *member(struct fields *f, const char *name, enum need need, bool *ok)
{
    json_t *value = json_object_get(f->object, name);

    *ok = true;
    if (value != NULL && !json_is_null(value))
        return value;
    if (need == REQUIRED)
        *ok = fields_refuse(f, "missing_field", name, "%s is missing", name);
    return NULL;
}

bool field_text(struct fields *f, const char *name, enum need need, size_t max, const char **out)
{
    char wants[64];
    bool ok;
    json_t *value = member(f, name, need, &ok);

    if (value == NULL)
        return ok;
    if (!json_is_string(value) || json_string_length(value) > max ||
        (need == REQUIRED && json_string_length(value) == 0)) {
        snprintf(wants, sizeof(wants), "a string of %d to %zu bytes", need == REQUIRED, max);
        return refuse_value(f, name, wants);
    }
    *out = json_string_value(value);
    return true;
}

bool field_integer(struct fields *f, const char *name, enum need need, int64_t min, int64_t max,
                   int64_t *out)
{
    char wants[96];
    bool ok;
    json_t *value = member(f, name, need, &ok);

    if (value == NULL)
        return ok;
    if (!json_is_integer(value) || json_integer_value(value) < min ||
        json_integer_value(value) > max) {
        snprintf(wants, sizeof(wants), "a whole number from %" PRId64 " to %" PRId64, min, max);
        return refuse_value(f, name, wants);
    }
    *out = json_integer_value(value);
    return true;
}

bool field_bytes(struct fields *f, const char *name, int64_t *out)
{
    bool ok;
    json_t *value = member(f, name, OPTIONAL, &ok);
    double bytes = json_is_real(value) ? json_real_value(value) : -1;

    if (bytes < 0 || bytes >= 0x1p63)
        return field_integer(f, name, OPTIONAL, 0, INT64_MAX, out);
    *out = (int64_t)bytes;
    return true;
}

bool field_real(struct fields *f, const char *name, double *out)
{
    bool ok;
    json_t *value = member(f, name, OPTIONAL, &ok);

    if (value == NULL)
        return ok;
    if (!json_is_number(value))
        return refuse_value(f, name, "a number");
    *out = json_number_value(value);
    return true;
}

bool field_id(struct fields *f, const char *name, char out[JOB_ID_MAX + 1])
{
    char id[JOB_ID_MAX + 1] = "";
    bool ok;
    json_t *value = member(f, name, REQUIRED, &ok);

    if (value == NULL)
        return false;
    if (json_is_integer(value))
        snprintf(id, sizeof(id), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_string(value) && json_string_length(value) <= JOB_ID_MAX)
        snprintf(id, sizeof(id), "%s", json_string_value(value));
    if (!job_id_is_valid(str_of(id)))
        return refuse_value(f, name,
                            "an id: 1 to 128 letters, digits and -_.:~@+=,!$, the first not '.'");
    snprintf(out, JOB_ID_MAX + 1, "%s", id);
    return true;
}

static bool is_deeper(json_t *value, int levels)
{
    const char *key;
    size_t i;
    json_t *child;

    if (!json_is_object(value) && !json_is_array(value))
        return false;
    if (levels == 0)
        return true;
    if (json_is_array(value)) {
        json_array_foreach(value, i, child) if (is_deeper(child, levels - 1)) return true;
        return false;
    }
    json_object_foreach(value, key, child) if (is_deeper(child, levels - 1)) return true;
    return false;
}

bool field_json(struct fields *f, const char *name, bool only_object, char **out)
{
    bool ok;
    json_t *value = member(f, name, OPTIONAL, &ok);

    if (value == NULL)
        return ok;
    if (only_object && !json_is_object(value))
        return refuse_value(f, name, "a JSON object");
    char *text = is_deeper(value, JOB_JSON_DEPTH_MAX)
                     ? NULL
                     : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    struct str s = str_of(text);
    if (text == NULL || s.len > JOB_JSON_MAX) {
        free(text);
        return fields_refuse(f, "invalid_field", name,
                             "%s must be at most %d bytes of JSON, nested at most %d deep", name,
                             JOB_JSON_MAX, JOB_JSON_DEPTH_MAX);
    }
    *out = mem_strndup(text, s.len);
    free(text);
    return true;
}
