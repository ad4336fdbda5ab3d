#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/api.h"
#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"

/* Handed through exchange_read, which knows only exchanges. */
struct reading {
    struct call *call;
    void (*handle)(struct call *c, struct json_t *object);
};

static void refuse(struct call *c, const char *field, const char *wants)
{
    reply_error(c->x, 400, "invalid_field", field, "%s must be %s", field, wants);
}

static void body_done(struct exchange *x, struct str body)
{
    struct call *c = exchange_state(x);
    struct reading *reading = c->state;
    void (*handle)(struct call *, struct json_t *) = reading->handle;
    json_error_t error;

    mem_free(reading);
    c->state = NULL;
    json_t *object = json_loadb(body.len ? body.at : "{}", body.len ? body.len : 2,
                                JSON_REJECT_DUPLICATES, &error);
    if (object == NULL)
        reply_error(x, 400, "invalid_json", NULL, "the body is not JSON: %s (line %d, column %d)",
                    error.text, error.line, error.column);
    else if (!json_is_object(object))
        reply_error(x, 400, "invalid_json", NULL, "the body must be a JSON object");
    else
        handle(c, object);
    json_decref(object);
}

void body_read(struct call *c, void (*handle)(struct call *c, struct json_t *object))
{
    struct reading *reading = mem_new(struct reading);

    reading->call = c;
    reading->handle = handle;
    c->state = reading;
    exchange_read(c->x, HTTP_BODY_MAX, body_done);
}

/* NULL for absent and null; `*ok` false when that was answered with 400. */
static json_t *member(struct call *c, json_t *object, const char *name, enum need need, bool *ok)
{
    json_t *value = json_object_get(object, name);

    *ok = true;
    if (value != NULL && !json_is_null(value))
        return value;
    if (need == REQUIRED) {
        reply_error(c->x, 400, "missing_field", name, "%s is missing", name);
        *ok = false;
    }
    return NULL;
}

bool body_text(struct call *c, struct json_t *object, const char *name, enum need need, size_t max,
               const char **out)
{
    char wants[64];
    bool ok;
    json_t *value = member(c, object, name, need, &ok);

    if (value == NULL)
        return ok;
    if (!json_is_string(value) || json_string_length(value) > max ||
        (need == REQUIRED && json_string_length(value) == 0)) {
        snprintf(wants, sizeof(wants), "a string of %d to %zu bytes", need == REQUIRED, max);
        refuse(c, name, wants);
        return false;
    }
    *out = json_string_value(value);
    return true;
}

bool body_integer(struct call *c, struct json_t *object, const char *name, enum need need,
                  int64_t min, int64_t max, int64_t *out)
{
    char wants[96];
    bool ok;
    json_t *value = member(c, object, name, need, &ok);

    if (value == NULL)
        return ok;
    if (!json_is_integer(value) || json_integer_value(value) < min ||
        json_integer_value(value) > max) {
        snprintf(wants, sizeof(wants), "a whole number from %" PRId64 " to %" PRId64, min, max);
        refuse(c, name, wants);
        return false;
    }
    *out = json_integer_value(value);
    return true;
}

bool body_real(struct call *c, struct json_t *object, const char *name, double *out)
{
    bool ok;
    json_t *value = member(c, object, name, OPTIONAL, &ok);

    if (value == NULL)
        return ok;
    if (!json_is_number(value)) {
        refuse(c, name, "a number");
        return false;
    }
    *out = json_number_value(value);
    return true;
}

bool body_id(struct call *c, struct json_t *object, const char *name, char out[JOB_ID_MAX + 1])
{
    bool ok;
    json_t *value = member(c, object, name, REQUIRED, &ok);

    if (value == NULL)
        return false;
    if (json_is_integer(value))
        snprintf(out, JOB_ID_MAX + 1, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_string(value) && json_string_length(value) <= JOB_ID_MAX)
        snprintf(out, JOB_ID_MAX + 1, "%s", json_string_value(value));
    else
        out[0] = '\0';
    if (job_id_is_valid(str_of(out)))
        return true;
    refuse(c, name, "an id: 1 to 128 letters, digits and -_.:~@+=,!$");
    return false;
}

static bool is_deeper(const json_t *value, int levels)
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
    json_object_foreach((json_t *)(uintptr_t)value, key,
                        child) if (is_deeper(child, levels - 1)) return true;
    return false;
}

bool body_json(struct call *c, struct json_t *object, const char *name, bool only_object,
               char **out)
{
    bool ok;
    json_t *value = member(c, object, name, OPTIONAL, &ok);

    if (value == NULL)
        return ok;
    if (only_object && !json_is_object(value)) {
        refuse(c, name, "a JSON object");
        return false;
    }
    char *text = is_deeper(value, JOB_JSON_DEPTH_MAX)
                     ? NULL
                     : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    struct str s = str_of(text);
    if (text == NULL || s.len > JOB_JSON_MAX) {
        free(text);
        reply_error(c->x, 400, "invalid_field", name,
                    "%s must be at most %d bytes of JSON, nested at most %d deep", name,
                    JOB_JSON_MAX, JOB_JSON_DEPTH_MAX);
        return false;
    }
    *out = mem_strndup(text, s.len);
    free(text);
    return true;
}
