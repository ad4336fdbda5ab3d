#include "api/api.h"
#include "base/err.h"
#include "proto/url.h"

int query_number(struct call *c, const char *name, uint64_t max, uint64_t *out)
{
    struct buf value;

    buf_init(&value, 64);
    int err = url_query_get(exchange_request(c->x)->query, name, &value);
    if (err == OK)
        err = str_parse_u64(buf_str(&value), max, out);
    else if (err == FAIL_MISSING)
        err = OK;
    buf_deinit(&value);
    if (err)
        reply_error(c->x, 400, "invalid_field", name, "%s must be a whole number up to %llu", name,
                    (unsigned long long)max);
    return err;
}
