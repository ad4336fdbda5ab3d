#include "fleet/foreign.h"

#include <stdio.h>

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
    cut(f->object, "stage");
    cut(f->object, "message");
    cut(f->object, "error");
    drop_unfit(f, "metadata", true);
    drop_unfit(f, "result", false);
    f->code = f->field = NULL;
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
    if (!is_read)
        snprintf(why, FOREIGN_WHY_MAX, "%s", f.message);
    fields_deinit(&f);
    return is_read ? OK : FAIL_SYNTAX;
}
