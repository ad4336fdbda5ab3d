#include <assert.h>
#include <limits.h>

#include "base/err.h"
#include "io/redis_reply.h"

/* "$123\r\n" and "\r\n" around each argument. */
enum { ARGUMENT_COST = 32 };

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

/* An array of bulk strings: what hiredis would write into memory of its own first,
 * with a printf for each length. */
int redis_format(struct buf *out, const struct str *args, size_t count)
{
    assert(count > 0);
    if (count > INT_MAX || !fits(out, args, count))
        return FAIL_LIMIT;
    buf_putc(out, '*');
    buf_put_u64(out, count);
    for (size_t i = 0; i < count; i++) {
        buf_puts(out, "\r\n$");
        buf_put_u64(out, args[i].len);
        buf_puts(out, "\r\n");
        buf_append(out, args[i].at, args[i].len);
    }
    buf_puts(out, "\r\n");
    return OK;
}
