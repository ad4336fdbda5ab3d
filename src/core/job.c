#include "core/job.h"

#include <string.h>

#include "base/err.h"
#include "core/limits.h"

static const char *const state_names[JOB_STATES] = { "queued", "processing", "completed", "failed",
                                                     "cancelled" };
static const char *const kind_names[JOB_KINDS] = { "external", "upload", "download" };

/* moves[from][to]; the diagram is in the header. */
static const bool moves[JOB_STATES][JOB_STATES] = {
    [JOB_QUEUED] = { true, true, true, true, true },
    [JOB_PROCESSING] = { false, true, true, true, true },
};

const char *job_state_name(enum job_state state)
{
    return state_names[state];
}

const char *job_kind_name(enum job_kind kind)
{
    return kind_names[kind];
}

int job_state_parse(struct str name, enum job_state *out)
{
    int found = str_index(name, state_names, JOB_STATES);

    if (found < 0)
        return FAIL_SYNTAX;
    *out = (enum job_state)found;
    return OK;
}

int job_kind_parse(struct str name, enum job_kind *out)
{
    int found = str_index(name, kind_names, JOB_KINDS);

    if (found < 0)
        return FAIL_SYNTAX;
    *out = (enum job_kind)found;
    return OK;
}

bool job_is_final(enum job_state state)
{
    return state >= JOB_COMPLETED;
}

bool job_may_move(enum job_state from, enum job_state to)
{
    return moves[from][to];
}

bool job_may_retry(enum job_state from)
{
    return from == JOB_FAILED;
}

bool job_id_is_valid(struct str id)
{
    if (id.len == 0 || id.len > JOB_ID_MAX || id.at[0] == '.')
        return false;
    for (size_t i = 0; i < id.len; i++) {
        char c = id.at[i];
        bool is_alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!is_alnum && (c == '\0' || strchr("-_.:~@+=,!$", c) == NULL))
            return false;
    }
    return true;
}

bool job_id_is_number(const char *id)
{
    uint64_t value;
    struct str s = str_of(id);

    if (s.len > 1 && s.at[0] == '0')
        return false;
    return str_parse_u64(s, (UINT64_C(1) << 53) - 1, &value) == OK;
}
