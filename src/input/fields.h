/* The members of a JSON object that a stranger sent: each is asked for by name,
 * type and bounds, and the first that does not fit leaves a complaint in words.
 * Pure; no exchange is needed, so that all of it can be fuzzed. Not shared
 * between threads.
 *
 * Every field_* returns false when the member has the wrong type or is out of
 * bounds. Absent or null: true and `*out` untouched, unless REQUIRED. */
#ifndef INPUT_FIELDS_H
#define INPUT_FIELDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "core/limits.h"

struct json_t;

struct fields {
    struct json_t *object; /* owned after fields_parse, else borrowed */
    const char *code;      /* of the complaint: "invalid_json", ...; NULL: none */
    const char *field;     /* whose it is, or NULL */
    char message[256];
};

enum need { OPTIONAL, REQUIRED };

/* Exactly one JSON object, no key twice. True: end with fields_deinit. */
bool fields_parse(struct fields *f, struct str text);
void fields_deinit(struct fields *f);

/* Leaves a complaint; always false. */
bool fields_refuse(struct fields *f, const char *code, const char *field, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* At most `max` bytes of UTF-8 without '\0'; REQUIRED ones are not empty. Lives
 * as long as the object. */
bool field_text(struct fields *f, const char *name, enum need need, size_t max, const char **out);
bool field_integer(struct fields *f, const char *name, enum need need, int64_t min, int64_t max,
                   int64_t *out);
/* From 0, and a fraction is cut off: downloaders estimate. */
bool field_bytes(struct fields *f, const char *name, int64_t *out);
bool field_real(struct fields *f, const char *name, double *out);
/* An id: a string or a whole number. REQUIRED. */
bool field_id(struct fields *f, const char *name, char out[JOB_ID_MAX + 1]);
/* Any JSON value, as compact text within the limits of JOB_JSON_*; mem_free. */
bool field_json(struct fields *f, const char *name, bool only_object, char **out);

#endif
