#include "base/err.h"

#include <errno.h>

const char *fail_name(int code)
{
    switch (code) {
    case OK: return "OK";
#define X(number, name, text)                                                                      \
    case FAIL_##name: return #name;
        FAIL_MAP(X)
#undef X
    default: return "UNKNOWN";
    }
}

const char *fail_text(int code)
{
    switch (code) {
    case OK: return "no error";
#define X(number, name, text)                                                                      \
    case FAIL_##name: return text;
        FAIL_MAP(X)
#undef X
    default: return "unknown error";
    }
}

int fail_from_errno(int errno_value)
{
    switch (errno_value) {
    case 0: return OK;
    case ENOMEM: return FAIL_NOMEM;
    case ENOENT: return FAIL_MISSING;
    case EEXIST: return FAIL_EXISTS;
    case EACCES:
    case EPERM: return FAIL_DENIED;
    case ENOSPC:
    case EDQUOT: return FAIL_FULL;
    case ETIMEDOUT: return FAIL_TIMEOUT;
    case ECANCELED: return FAIL_CANCELLED;
    case EPIPE:
    case ECONNRESET: return FAIL_CLOSED;
    case EMFILE:
    case ENFILE:
    case EFBIG: return FAIL_LIMIT;
    default: return FAIL_IO;
    }
}
