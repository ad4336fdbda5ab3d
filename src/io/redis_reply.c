#include "io/redis_reply.h"

#include <hiredis/hiredis.h>
#include <limits.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

/* The filter. Below the type bytes RESP2 is lines and, behind "$N", N bytes and
 * a line's end; how many items a reply has follows from its "*N", so where it
 * ends is known by counting, whatever the nesting.
 *
 *   AT_TYPE -> IN_HEAD ("$N", "*N") -> IN_BODY -> AT_TYPE
 *          \-> IN_LINE ("+", "-", ":") --------/
 */
enum filter_state { AT_TYPE, IN_HEAD, IN_LINE, IN_BODY };

enum { HEAD_MAX = 16, INTEGER_MAX = 32 };

static const uint64_t TAKEN_OUT_MAX = 1ull << 40;

struct redis_reader {
    redisReader *inner;
    size_t reply_max;
    size_t left; /* of it, in this reply */
    enum filter_state state;
    uint64_t items;     /* that this reply still wants; 0: between two */
    uint64_t taken_out; /* items still to come of what is being taken out */
    uint64_t body;      /* bytes left */
    size_t line;        /* bytes so far */
    char head[HEAD_MAX];
    size_t head_len;
    char type, last;
    bool is_cut;
};

/* Where the next object goes: a root, or a place in its array. */
static struct redis_reply *place(const redisReadTask *task)
{
    if (task->parent == NULL)
        return mem_new(struct redis_reply);
    return &((struct redis_reply *)task->parent->obj)->items[task->idx];
}

static void *create_string(const redisReadTask *task, char *text, size_t len)
{
    struct redis_reply *reply = place(task);
    char *copy = mem_alloc(len + 1);

    memcpy(copy, text, len);
    copy[len] = '\0';
    reply->text = (struct str){ copy, len };
    reply->type = task->type == REDIS_REPLY_ERROR    ? REDIS_ERROR
                  : task->type == REDIS_REPLY_STATUS ? REDIS_STATUS
                                                     : REDIS_TEXT;
    return reply;
}

static void *create_array(const redisReadTask *task, int count)
{
    struct redis_reply *reply = place(task);

    reply->type = REDIS_ARRAY;
    reply->count = (size_t)count;
    if (count > 0)
        reply->items = mem_zalloc((size_t)count * sizeof(*reply->items));
    return reply;
}

static void *create_integer(const redisReadTask *task, long long value)
{
    struct redis_reply *reply = place(task);

    reply->type = REDIS_INTEGER;
    reply->integer = value;
    return reply;
}

static void *create_nil(const redisReadTask *task)
{
    return place(task);
}

static void release(struct redis_reply *reply)
{
    for (size_t i = 0; i < reply->count; i++)
        release(&reply->items[i]);
    mem_free(reply->items);
    mem_free((char *)reply->text.at);
}

static void free_object(void *object)
{
    redis_reply_free(object);
}

void redis_reply_free(struct redis_reply *reply)
{
    if (reply == NULL)
        return;
    release(reply);
    mem_free(reply);
}

struct redis_reader *redis_reader_new(size_t reply_max)
{
    static redisReplyObjectFunctions functions = {
        .createString = create_string,
        .createArray = create_array,
        .createInteger = create_integer,
        .createNil = create_nil,
        .freeObject = free_object,
    };
    struct redis_reader *r = mem_new(struct redis_reader);

    r->reply_max = reply_max;
    r->inner = redisReaderCreateWithFunctions(&functions);
    if (r->inner == NULL)
        abort(); /* as any small allocation */
    return r;
}

void redis_reader_free(struct redis_reader *r)
{
    if (r == NULL)
        return;
    redisReaderFree(r->inner);
    mem_free(r);
}

static int fail(struct buf *why, int err, const char *text)
{
    buf_puts(why, text);
    return err;
}

static int pass(struct redis_reader *r, const char *bytes, size_t len, struct buf *why)
{
    if (redisReaderFeed(r->inner, bytes, len) != REDIS_OK)
        return fail(why, FAIL_SYNTAX, r->inner->errstr);
    return OK;
}

static bool charge(struct redis_reader *r, uint64_t cost)
{
    if (cost > r->left)
        return false;
    r->left -= (size_t)cost;
    return true;
}

/* What is taken out counts for one item when all of it has come. */
static void item_done(struct redis_reader *r)
{
    r->state = AT_TYPE;
    if (r->taken_out > 0 && --r->taken_out > 0)
        return;
    r->items--;
}

/* "-1" is a nil. FAIL_SYNTAX. */
static int head_number(const struct redis_reader *r, int64_t *out)
{
    struct str digits = { r->head + 1, r->head_len - 3 };
    uint64_t number;

    if (str_equal(digits, STR("-1"))) {
        *out = -1;
        return OK;
    }
    if (str_parse_u64(digits, INT_MAX, &number) != OK)
        return FAIL_SYNTAX;
    *out = (int64_t)number;
    return OK;
}

static int on_bulk(struct redis_reader *r, uint64_t len, struct buf *why)
{
    int err = OK;

    r->body = len + 2;
    r->state = IN_BODY;
    if (r->taken_out > 0)
        return OK;
    if (charge(r, len + 1))
        return pass(r, r->head, r->head_len, why);
    err = pass(r, "$-1\r\n", 5, why);
    r->taken_out = 1;
    r->is_cut = true;
    return err;
}

static int on_array(struct redis_reader *r, uint64_t count, struct buf *why)
{
    int err = OK;

    if (r->taken_out > 0) {
        r->taken_out += count;
    } else if (charge(r, count * sizeof(struct redis_reply))) {
        r->items += count;
        err = pass(r, r->head, r->head_len, why);
    } else {
        err = pass(r, "*-1\r\n", 5, why);
        r->taken_out = count + 1;
        r->is_cut = true;
    }
    item_done(r);
    if (r->taken_out > TAKEN_OUT_MAX)
        return fail(why, FAIL_LIMIT, "an array without an end");
    return err;
}

static int on_head(struct redis_reader *r, struct buf *why)
{
    int64_t number;

    if (r->head_len < 4 || head_number(r, &number) != OK)
        return fail(why, FAIL_SYNTAX, "a length that is none");
    if (number >= 0 && r->type == '$')
        return on_bulk(r, (uint64_t)number, why);
    if (number >= 0)
        return on_array(r, (uint64_t)number, why);
    int err = r->taken_out > 0 ? OK : pass(r, r->head, r->head_len, why);
    item_done(r);
    return err;
}

/* Each of these takes what it can of `bytes` and says in `used` how much. */

static int read_type(struct redis_reader *r, char type, struct buf *why)
{
    if (r->items == 0) {
        r->items = 1;
        r->left = r->reply_max;
        r->is_cut = false;
    }
    if (type == '\0' || strchr("$*+-:", type) == NULL)
        return fail(why, FAIL_SYNTAX, "a reply that begins like none of Redis");
    r->type = type;
    r->state = type == '$' || type == '*' ? IN_HEAD : IN_LINE;
    r->head_len = r->line = 0;
    r->last = '\0';
    return OK;
}

static int read_head(struct redis_reader *r, char c, struct buf *why)
{
    if (r->head_len == HEAD_MAX)
        return fail(why, FAIL_SYNTAX, "a length that is none");
    r->head[r->head_len++] = c;
    if (c != '\n' || r->head[r->head_len - 2] != '\r')
        return OK;
    return on_head(r, why);
}

static size_t line_part(struct redis_reader *r, const char *bytes, size_t len, bool *is_end)
{
    *is_end = false;
    for (size_t i = 0; i < len; i++) {
        *is_end = bytes[i] == '\n' && r->last == '\r';
        r->last = bytes[i];
        if (*is_end)
            return i + 1;
    }
    return len;
}

static int read_line(struct redis_reader *r, const char *bytes, size_t len, size_t *used,
                     struct buf *why)
{
    bool is_end;
    int err = OK;

    *used = line_part(r, bytes, len, &is_end);
    r->line += *used;
    if (r->line > (r->type == ':' ? INTEGER_MAX : r->reply_max))
        return fail(why, FAIL_LIMIT, "a line without an end");
    if (r->taken_out == 0) {
        if (r->type != ':' && !charge(r, *used))
            return fail(why, FAIL_LIMIT, "a line beyond the limit of an answer");
        err = pass(r, bytes, *used, why);
    }
    if (is_end)
        item_done(r);
    return err;
}

static int read_body(struct redis_reader *r, const char *bytes, size_t len, size_t *used,
                     struct buf *why)
{
    int err = OK;

    *used = len < r->body ? len : (size_t)r->body;
    r->body -= *used;
    if (r->taken_out == 0)
        err = pass(r, bytes, *used, why);
    if (r->body == 0)
        item_done(r);
    return err;
}

static int read_some(struct redis_reader *r, const char *bytes, size_t len, size_t *used,
                     struct buf *why)
{
    switch (r->state) {
    case AT_TYPE: *used = 0; return read_type(r, *bytes, why);
    case IN_HEAD: *used = 1; return read_head(r, *bytes, why);
    case IN_LINE: return read_line(r, bytes, len, used, why);
    default: return read_body(r, bytes, len, used, why);
    }
}

/* Only a whole reply is asked for, so nothing is parsed twice. */
static int finish(struct redis_reader *r, struct redis_reply **reply, struct buf *why)
{
    void *object = NULL;

    if (redisReaderGetReply(r->inner, &object) != REDIS_OK)
        return fail(why, FAIL_SYNTAX, r->inner->errstr);
    if (object == NULL)
        return fail(why, FAIL_SYNTAX, "a reply that ends before its end");
    *reply = object;
    return OK;
}

int redis_reader_feed(struct redis_reader *r, const char *bytes, size_t len, size_t *used,
                      struct redis_reply **reply, bool *is_cut, struct buf *why)
{
    size_t at = 0, took;

    *reply = NULL;
    while (at < len) {
        int err = read_some(r, bytes + at, len - at, &took, why);
        if (err != OK)
            return err;
        at += took;
        if (r->state == AT_TYPE && r->items == 0)
            break;
    }
    *used = at;
    *is_cut = r->is_cut;
    /* `at` is only 0 if there was nothing to read. */
    if (at > 0 && r->state == AT_TYPE && r->items == 0)
        return finish(r, reply, why);
    return OK;
}

bool redis_reply_is_error(const struct redis_reply *reply, const char *word)
{
    struct str rest = reply->text;

    return reply->type == REDIS_ERROR && str_equal(str_cut(&rest, ' '), str_of(word));
}

int redis_reply_err(const struct redis_reply *reply)
{
    static const struct {
        const char *word;
        int err;
    } words[] = {
        { "NOAUTH", FAIL_DENIED },    { "NOPERM", FAIL_DENIED },
        { "WRONGPASS", FAIL_DENIED }, { "DENIED", FAIL_DENIED },
        { "NOSCRIPT", FAIL_MISSING }, { "NOGROUP", FAIL_MISSING },
        { "BUSYGROUP", FAIL_EXISTS }, { "BUSYKEY", FAIL_EXISTS },
        { "OOM", FAIL_FULL },         { "MOVED", FAIL_UNSUPPORTED },
        { "ASK", FAIL_UNSUPPORTED },  { "CROSSSLOT", FAIL_UNSUPPORTED },
        { "LOADING", FAIL_STATE },    { "READONLY", FAIL_STATE },
        { "MASTERDOWN", FAIL_STATE }, { "BUSY", FAIL_STATE },
        { "TRYAGAIN", FAIL_STATE },   { "CLUSTERDOWN", FAIL_STATE },
        { "NOREPLICAS", FAIL_STATE }, { "MISCONF", FAIL_STATE },
        { "NOTBUSY", FAIL_STATE },    { "EXECABORT", FAIL_CANCELLED },
    };

    if (reply->type != REDIS_ERROR)
        return OK;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (redis_reply_is_error(reply, words[i].word))
            return words[i].err;
    }
    return FAIL_SYNTAX;
}
