#include <assert.h>
#include <hiredis/hiredis.h>
#include <limits.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/redis_reply.h"

/* "$123\r\n" and "\r\n" around each argument. */
enum { ARGUMENT_COST = 32, FEW = 16 };

static bool fits(const struct buf *out, const struct str *args, size_t count)
{
    size_t room = out->max - out->len, need = ARGUMENT_COST;

    for (size_t i = 0; i < count; i++) {
        if (need > room || args[i].len > room - need)
            return false;
        need += args[i].len + ARGUMENT_COST;
    }
    return need <= room;
}

int redis_format(struct buf *out, const struct str *args, size_t count)
{
    const char *few_texts[FEW], **texts = few_texts;
    size_t few_lens[FEW], *lens = few_lens;
    char *command;

    assert(count > 0);
    if (count > INT_MAX || !fits(out, args, count))
        return FAIL_LIMIT;
    if (count > FEW) {
        texts = mem_alloc(count * sizeof(*texts));
        lens = mem_alloc(count * sizeof(*lens));
    }
    for (size_t i = 0; i < count; i++) {
        texts[i] = args[i].len > 0 ? args[i].at : "";
        lens[i] = args[i].len;
    }
    int len = redisFormatCommandArgv(&command, (int)count, texts, lens);
    if (texts != few_texts) {
        mem_free(texts);
        mem_free(lens);
    }
    if (len < 0)
        return FAIL_NOMEM;
    buf_append(out, command, (size_t)len);
    redisFreeCommand(command);
    return OK;
}
