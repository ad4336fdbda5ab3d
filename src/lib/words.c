#include <string.h>
#include <unistd.h>

#include "lib/reporter.h"
#include "reelay/reelay.h"

const char *reelay_strerror(int error)
{
    switch (error) {
    case REELAY_OK: return "no error";
    case REELAY_INVALID: return "an argument is not valid";
    case REELAY_TOO_LONG: return "an argument or an answer is too long";
    case REELAY_FULL: return "too much is unsent";
    case REELAY_COMPLETED: return "the job is completed already";
    case REELAY_NO_STATUS: return "there is no status of this job";
    case REELAY_TIMEOUT: return "Redis did not answer in time";
    case REELAY_UNREACHABLE: return "Redis cannot be reached";
    case REELAY_REFUSED: return "Redis answered with an error";
    case REELAY_NO_MEMORY: return "out of memory";
    case REELAY_FORKED: return "the reporter belongs to another process";
    default: return "unknown error";
    }
}

void reelay_last_error(struct reelay *r, char *text, size_t size)
{
    if (size == 0)
        return;
    text[0] = '\0';
    if (r == NULL || r->owner != getpid())
        return;
    pthread_mutex_lock(&r->lock);
    snprintf(text, size, "%s", r->error);
    pthread_mutex_unlock(&r->lock);
}

const char *reelay_version(void)
{
    return REELAY_VERSION;
}
