#include "fleet/foreign.h"

#include <stdio.h>

#include "base/err.h"

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

int foreign_read(struct str text, struct report *out, char why[FOREIGN_WHY_MAX])
{
    struct fields f;
    bool is_read = false;

    if (text.len > FOREIGN_MESSAGE_MAX) {
        snprintf(why, FOREIGN_WHY_MAX, "it has %zu bytes, the limit is %d", text.len,
                 FOREIGN_MESSAGE_MAX);
        return FAIL_LIMIT;
    }
    if (fields_parse(&f, text))
        is_read = report_read(&f, out);
    if (!is_read)
        snprintf(why, FOREIGN_WHY_MAX, "%s", f.message);
    fields_deinit(&f);
    return is_read ? OK : FAIL_SYNTAX;
}
