/* The model against a real redis-server: the same random commands on both, and
 * the answers compared. What depends on the clock is bent to one shape first:
 * the model's is set to the server's before every command. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "model.h"
#include "random.h"

enum { ARGS_MAX = 24, PATIENCE_MS = 20 * 1000 };

struct command_line {
    struct str args[ARGS_MAX];
    char room[ARGS_MAX][160];
    size_t count;
};

struct pair {
    pid_t pid;
    char folder[64];
    redisContext *server;
    struct model *model;
    struct random random;
};

static void become_server(const char *folder)
{
    char path[96];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(path, sizeof(path), "%s/socket", folder);
    if (freopen("/dev/null", "w", stdout) == NULL)
        _exit(127);
    execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", path, "--dir", folder,
           "--save", "", "--appendonly", "no", (char *)NULL);
    _exit(127);
}

static int setup(void **state)
{
    struct pair *p = mem_new(struct pair);
    uint64_t end = clock_mono_ms() + PATIENCE_MS;
    char path[96];

    snprintf(p->folder, sizeof(p->folder), "/tmp/reelay-model-XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    snprintf(path, sizeof(path), "%s/socket", p->folder);
    p->pid = fork();
    if (p->pid == 0)
        become_server(p->folder);
    while (p->server == NULL || p->server->err != 0) {
        assert_int_equal(waitpid(p->pid, NULL, WNOHANG), 0);
        assert_true(clock_mono_ms() < end);
        if (p->server != NULL)
            redisFree(p->server);
        poll(NULL, 0, 5);
        p->server = redisConnectUnix(path);
    }
    p->model = model_new();
    p->random.state = getenv("SIM_SEED") ? strtoull(getenv("SIM_SEED"), NULL, 10) : 1;
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct pair *p = *state;

    redisFree(p->server);
    model_free(p->model);
    kill(p->pid, SIGKILL);
    waitpid(p->pid, NULL, 0);
    char path[96];
    snprintf(path, sizeof(path), "%s/socket", p->folder);
    unlink(path);
    rmdir(p->folder);
    mem_free(p);
    return 0;
}

static void describe(struct buf *out, const struct redis_reply *r)
{
    switch (r->type) {
    case REDIS_NIL: buf_puts(out, "nil"); return;
    case REDIS_TEXT: buf_printf(out, "\"%.*s\"", STR_ARG(r->text)); return;
    case REDIS_STATUS: buf_printf(out, "+%.*s", STR_ARG(r->text)); return;
    case REDIS_ERROR: buf_printf(out, "-%.*s", STR_ARG(r->text)); return;
    case REDIS_INTEGER: buf_printf(out, "%" PRId64, r->integer); return;
    case REDIS_ARRAY:
        buf_putc(out, '[');
        for (size_t i = 0; i < r->count; i++) {
            if (i > 0)
                buf_putc(out, ' ');
            describe(out, &r->items[i]);
        }
        buf_putc(out, ']');
    }
}

static void translate(const redisReply *from, struct redis_reply *to)
{
    switch (from->type) {
    case REDIS_REPLY_STRING: to->type = REDIS_TEXT; break;
    case REDIS_REPLY_STATUS: to->type = REDIS_STATUS; break;
    case REDIS_REPLY_ERROR: to->type = REDIS_ERROR; break;
    case REDIS_REPLY_INTEGER: to->type = REDIS_INTEGER; break;
    case REDIS_REPLY_ARRAY: to->type = REDIS_ARRAY; break;
    default: to->type = REDIS_NIL;
    }
    to->integer = from->integer;
    if (to->type == REDIS_TEXT || to->type == REDIS_STATUS || to->type == REDIS_ERROR) {
        char *copy = mem_strndup(from->str, from->len);
        to->text = (struct str){ copy, from->len };
    }
    if (to->type != REDIS_ARRAY)
        return;
    to->count = from->elements;
    to->items = mem_zalloc((to->count + 1) * sizeof(*to->items));
    for (size_t i = 0; i < to->count; i++)
        translate(from->element[i], &to->items[i]);
}

static struct redis_reply *ask_server(struct pair *p, const struct str *args, size_t count)
{
    const char *at[ARGS_MAX];
    size_t len[ARGS_MAX];
    struct redis_reply *reply = mem_new(struct redis_reply);

    for (size_t i = 0; i < count; i++) {
        at[i] = args[i].at;
        len[i] = args[i].len;
    }
    redisReply *raw = redisCommandArgv(p->server, (int)count, at, len);
    assert_non_null(raw);
    translate(raw, reply);
    freeReplyObject(raw);
    return reply;
}

static int64_t server_time(struct pair *p)
{
    struct str time = STR("TIME");
    struct redis_reply *reply = ask_server(p, &time, 1);
    uint64_t seconds, us;

    assert_int_equal(str_parse_u64(reply->items[0].text, UINT64_MAX, &seconds), OK);
    assert_int_equal(str_parse_u64(reply->items[1].text, UINT64_MAX, &us), OK);
    redis_reply_free(reply);
    return (int64_t)(seconds * 1000000 + us);
}

/* Of an error of a script Redis also says which script and where. */
static bool are_like_errors(const struct redis_reply *a, const struct redis_reply *b)
{
    struct str x = a->text, y = b->text;
    struct str first = str_cut(&x, ' ');

    if (!str_equal(first, str_cut(&y, ' ')))
        return false;
    return !str_equal(first, STR("WRONGTYPE")) || str_starts(x, (struct str){ y.at, 40 });
}

/* `slack`: by how much numbers may differ (what is idle, what is left). */
static bool are_like(const struct redis_reply *a, const struct redis_reply *b, int64_t slack)
{
    if (a->type != b->type || a->count != b->count)
        return false;
    if (a->type == REDIS_ERROR)
        return are_like_errors(a, b);
    if (a->type == REDIS_INTEGER)
        return llabs(a->integer - b->integer) <= slack;
    if (a->type == REDIS_TEXT || a->type == REDIS_STATUS)
        return str_equal(a->text, b->text);
    for (size_t i = 0; i < a->count; i++)
        if (!are_like(&a->items[i], &b->items[i], slack))
            return false;
    return true;
}

static void run_both(struct pair *p, const struct command_line *line, int64_t slack)
{
    model_set_time(p->model, server_time(p));
    struct redis_reply *real = ask_server(p, line->args, line->count);
    struct redis_reply *ours = model_run(p->model, line->args, line->count);
    if (!are_like(real, ours, slack)) {
        struct buf text;
        buf_init(&text, 1 << 20);
        for (size_t i = 0; i < line->count; i++)
            buf_printf(&text, "%.*s ", STR_ARG(line->args[i]));
        buf_puts(&text, "\n  redis: ");
        describe(&text, real);
        buf_puts(&text, "\n  model: ");
        describe(&text, ours);
        print_error("%s\n", buf_text(&text));
        buf_deinit(&text);
        fail();
    }
    redis_reply_free(real);
    redis_reply_free(ours);
}

static void flush(struct pair *p)
{
    struct command_line line = { .args = { STR("FLUSHALL") }, .count = 1 };

    run_both(p, &line, 0);
}

static struct str *next(struct command_line *line)
{
    assert_true(line->count < ARGS_MAX);
    return &line->args[line->count++];
}

/* What stands for something else in a form: %k a key, %s a string, %n a number, %i
 * an id, %m a member or field, %c a consumer, %g a group, %f a score, %r a rank. */
static const char *fill(struct pair *p, char kind, char *room, size_t size)
{
    static const char *const ids[] = { "0", "1-0", "1-1", "2-0", "3", "5-1", "7-3", "9" };
    uint64_t r = random_below(&p->random, 1000);

    switch (kind) {
    case 'k': snprintf(room, size, "k%" PRIu64, r % 3); break;
    case 't': snprintf(room, size, "t%" PRIu64, r % 2); break;
    case 's': snprintf(room, size, "v%" PRIu64, r % 20); break;
    case 'n': snprintf(room, size, "%" PRId64, (int64_t)(r % 12) - 3); break;
    case 'i': return ids[r % 8];
    case 'm': snprintf(room, size, "m%" PRIu64, r % 5); break;
    case 'c': snprintf(room, size, "c%" PRIu64, r % 3); break;
    case 'g': snprintf(room, size, "g%" PRIu64, r % 2); break;
    case 'f': snprintf(room, size, "%g", (double)(r % 9) / 2 - 1); break;
    case 'r': snprintf(room, size, "%" PRId64, (int64_t)(r % 9) - 4); break;
    case 'p': snprintf(room, size, "%" PRIu64, 1 + r % 5); break;
    default: fail();
    }
    return room;
}

static void compose(struct pair *p, const char *form, struct command_line *line)
{
    struct str rest = str_of(form);

    line->count = 0;
    while (rest.len > 0) {
        char *room = line->room[line->count];
        struct str word = str_cut(&rest, ' ');
        if (word.len == 2 && word.at[0] == '%')
            word = str_of(fill(p, word.at[1], room, sizeof(line->room[0])));
        *next(line) = word;
    }
}

static void run_forms(struct pair *p, const char *const *forms, size_t count, unsigned rounds)
{
    struct command_line line;

    for (unsigned i = 0; i < rounds; i++) {
        if (i % 500 == 0)
            flush(p);
        compose(p, forms[random_below(&p->random, count)], &line);
        run_both(p, &line, 0);
    }
}

#define RUN_FORMS(p, forms, rounds) run_forms(p, forms, sizeof(forms) / sizeof(*(forms)), rounds)

static void strings_are_those_of_redis(void **state)
{
    static const char *const forms[] = {
        "GET %k",
        "SET %k %s",
        "SET %k %n",
        "SET %k %s NX",
        "SET %k %s XX",
        "SET %k %s EX 9",
        "SET %k %s KEEPTTL",
        "SET %k %s GET",
        "INCR %k",
        "DECR %k",
        "INCRBY %k %n",
        "DEL %k %k",
        "EXISTS %k %k",
        "TYPE %k",
        "EXPIRE %k 100",
        "EXPIRE %k %n",
        "PERSIST %k",
        "TTL %k",
        "SETEX %k 50 %s",
        "SETEX %k 0 %s",
        "SETNX %k %s",
        "MGET %k %k",
        "HSET %k %m %s",
        "ZADD %k %f %m",
        "SET %k %s FOO",
        "GET",
        "PSETEX %k 90000 %s",
        "SET %k %s EX",
        "SET %k %s EX %s",
    };

    RUN_FORMS(*state, forms, 4000);
}

static void hashes_are_those_of_redis(void **state)
{
    static const char *const forms[] = {
        "HSET %k %m %s",    "HSET %k %m %s %m %n", "HSET %k %m",    "HMSET %k %m %s", "HGET %k %m",
        "HMGET %k %m %m",   "HGETALL %k",          "HDEL %k %m %m", "HEXISTS %k %m",  "HLEN %k",
        "HINCRBY %k %m %n", "HSETNX %k %m %s",     "HKEYS %k",      "HVALS %k",       "DEL %k",
        "EXISTS %k",        "HSET %k %m 5",
    };

    RUN_FORMS(*state, forms, 4000);
}

static void sorted_sets_are_those_of_redis(void **state)
{
    static const char *const forms[] = {
        "ZADD %k %f %m",
        "ZADD %k %f %m %f %m",
        "ZADD %k NX %f %m",
        "ZADD %k XX %f %m",
        "ZADD %k GT %f %m",
        "ZADD %k LT CH %f %m %f %m",
        "ZADD %k INCR %f %m",
        "ZADD %k XX CH %f %m",
        "ZADD %k %s %m",
        "ZADD %k %f",
        "ZSCORE %k %m",
        "ZRANK %k %m",
        "ZCARD %k",
        "ZREM %k %m %m",
        "ZRANGE %k %r %r",
        "ZRANGE %k %r %r WITHSCORES",
        "ZRANGE %k %r %r REV",
        "ZRANGE %k %f %f BYSCORE",
        "ZRANGE %k +inf -inf BYSCORE REV LIMIT 0 2",
        "ZREVRANGE %k %r %r",
        "ZRANGEBYSCORE %k %f %f",
        "ZRANGEBYSCORE %k -inf (%f",
        "ZRANGEBYSCORE %k -inf +inf WITHSCORES LIMIT 1 2",
        "ZREVRANGEBYSCORE %k +inf %f LIMIT 0 3",
        "ZCOUNT %k %f +inf",
        "ZREMRANGEBYSCORE %k -inf %f",
        "ZREMRANGEBYRANK %k %r %r",
        "ZPOPMIN %k",
        "ZPOPMAX %k",
        "EXISTS %k",
    };

    RUN_FORMS(*state, forms, 6000);
}

static void streams_are_those_of_redis(void **state)
{
    static const char *const forms[] = {
        "XADD %t %i f %s",
        "XADD %t %i f %s g %s",
        "XADD %t NOMKSTREAM %i f %s",
        "XADD %t %i f",
        "XADD %t MAXLEN 3 %i f %s",
        "XLEN %t",
        "XDEL %t %i %i",
        "XRANGE %t - +",
        "XRANGE %t %i + COUNT 2",
        "XREVRANGE %t + - COUNT 1",
        "XRANGE %t (%i +",
        "XTRIM %t MAXLEN 4",
        "XGROUP CREATE %t %g 0",
        "XGROUP CREATE %t %g $ MKSTREAM",
        "XGROUP DESTROY %t %g",
        "XGROUP CREATECONSUMER %t %g %c",
        "XGROUP DELCONSUMER %t %g %c",
        "XREADGROUP GROUP %g %c COUNT 1 STREAMS %t >",
        "XREADGROUP GROUP %g %c COUNT %p STREAMS %t >",
        "XREADGROUP GROUP %g %c STREAMS t0 t1 > >",
        "XREADGROUP GROUP %g %c STREAMS %t %i",
        "XREADGROUP GROUP %g %c NOACK STREAMS %t >",
        "XACK %t %g %i %i",
        "XPENDING %t %g",
        "XCLAIM %t %g %c 0 %i %i",
        "XCLAIM %t %g %c 0 %i JUSTID",
        "XCLAIM %t %g %c 0 %i FORCE",
        "XCLAIM %t %g %c 0 %i IDLE 100000 RETRYCOUNT %p JUSTID",
        "XCLAIM %t %g %c 90000 %i",
        "XAUTOCLAIM %t %g %c 0 0",
        "XAUTOCLAIM %t %g %c 0 %i COUNT 1",
        "XAUTOCLAIM %t %g %c 0 - COUNT 2 JUSTID",
        "XAUTOCLAIM %t %g %c 90000 0 COUNT %p",
        "XGROUP CREATE %t %g 0 MKSTREAM",
    };
    static const char *const idle[] = {
        "XPENDING %t %g - + 10",
        "XPENDING %t %g %i + 2 %c",
        "XPENDING %t %g IDLE 50000 - + 10",
    };
    struct pair *p = *state;
    struct command_line line;

    for (unsigned i = 0; i < 12000; i++) {
        if (i % 300 == 0)
            flush(p);
        compose(p, forms[random_below(&p->random, sizeof(forms) / sizeof(*forms))], &line);
        run_both(p, &line, 0);
        if (i % 10 != 0)
            continue;
        compose(p, idle[random_below(&p->random, 3)], &line);
        run_both(p, &line, 1000);
    }
}

static void scripts_are_those_of_redis(void **state)
{
    static const char *const scripts[] = {
        "return redis.call('GET', KEYS[1])",
        "return redis.call('GET', KEYS[1]) or ''",
        "return redis.call('SET', KEYS[1], ARGV[1])",
        "return redis.call('INCR', KEYS[1])",
        "return redis.pcall('INCR', KEYS[1])",
        "return redis.pcall('INCR', KEYS[1]).err and 1 or 0",
        "return {1, 2.9, -2.9, 'a', false, true, {3, nil, 4}, {ok = 'fine'}, {err = 'BAD x'}}",
        "return nil",
        "return true",
        "return {err = 'STALE it is'}",
        "return redis.error_reply('STALE it is')",
        "return redis.status_reply('fine')",
        "return redis.call('HGETALL', KEYS[1])",
        "redis.call('HSET', KEYS[1], 'n', 1700000000123456) return redis.call('HGET', KEYS[1], "
        "'n')",
        "redis.call('SET', KEYS[1], 2^53 - 1) return redis.call('GET', KEYS[1])",
        "redis.call('SET', KEYS[1], 0.1) return redis.call('GET', KEYS[1])",
        "redis.call('SET', KEYS[1], tostring(1700000000123456)) return redis.call('GET', KEYS[1])",
        "return string.format('%.0f', 1700000000123456)",
        "return type(redis.call('ZADD', KEYS[1], ARGV[2], 'm'))",
        "redis.call('ZADD', KEYS[1], 1700000000123456, 'm') return redis.call('ZSCORE', KEYS[1], "
        "'m')",
        "return redis.call('ZADD', KEYS[1], 'x', 'm')",
        "undefined = 1",
        "return undefined",
        "return redis.call('GET')",
        "return redis.call()",
        "return redis.call('GET', {})",
        "return type(redis.call('ZSCORE', KEYS[1], 'none'))",
        "return redis.call('XADD', KEYS[1], '5-1', 'a', ARGV[1])",
        "return redis.call('XREADGROUP', 'GROUP', 'g', 'c', 'COUNT', 1, 'STREAMS', KEYS[1], '>')",
        "return type(redis.pcall('XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', KEYS[1], '>'))",
        "return redis.call('XGROUP', 'CREATE', KEYS[1], 'g', '0', 'MKSTREAM')",
        "return redis.call('PUBLISH', 'nobody', 'x')",
        "return redis.call('DEL', KEYS[1])",
        "return redis.call('TYPE', KEYS[1])",
        "return redis.call('TYPE', KEYS[1]).ok == 'hash'",
        "return #redis.call('TIME')",
        "local n = tonumber(ARGV[2]) return {tostring(n), n * 2, math.max(n, 3), n == nil}",
        "return redis.call('EXISTS', KEYS[1]) == 1",
        "return redis.sha1hex(ARGV[1])",
        "this is no lua",
    };
    struct pair *p = *state;
    struct command_line line;

    flush(p);
    for (unsigned i = 0; i < 4000; i++) {
        compose(p, "EVAL . 1 %k %s %n", &line);
        line.args[1] =
            str_of(scripts[random_below(&p->random, sizeof(scripts) / sizeof(*scripts))]);
        run_both(p, &line, 0);
    }
}

static bool is_gone(struct pair *p, bool is_real)
{
    struct str args[] = { STR("EXISTS"), STR("brief") };
    struct redis_reply *reply = is_real ? ask_server(p, args, 2) : model_run(p->model, args, 2);
    bool is = reply->integer == 0;

    redis_reply_free(reply);
    return is;
}

static void what_has_expired_is_gone(void **state)
{
    struct pair *p = *state;
    struct command_line line;

    compose(p, "SET brief v PX 30", &line);
    int64_t first = server_time(p) + 30000;
    run_both(p, &line, 0);
    int64_t last = server_time(p) + 30000;
    model_set_time(p->model, first - 2000);
    assert_false(is_gone(p, false));
    model_set_time(p->model, last + 2000);
    assert_true(is_gone(p, false));
    while (!is_gone(p, true))
        assert_true(server_time(p) < last + 10000000);
    assert_true(server_time(p) >= first - 2000);
}

static void a_copy_has_all_and_is_of_its_own(void **state)
{
    static const char *const made[] = {
        "SET k0 a EX 100", "HSET k1 f v",          "ZADD k2 1 m",
        "XADD t0 1-1 f v", "XGROUP CREATE t0 g 0", "XREADGROUP GROUP g c STREAMS t0 >"
    };
    static const char *const asked[] = { "GET k0",         "TTL k0",        "HGETALL k1",
                                         "ZRANGE k2 0 -1", "XRANGE t0 - +", "XPENDING t0 g" };
    struct pair *p = *state;
    struct command_line line;

    flush(p);
    for (size_t i = 0; i < sizeof(made) / sizeof(*made); i++) {
        compose(p, made[i], &line);
        run_both(p, &line, 0);
    }
    struct model *copy = model_copy(p->model), *first = p->model;
    struct str all = STR("FLUSHALL");
    redis_reply_free(model_run(first, &all, 1));
    p->model = copy;
    for (size_t i = 0; i < sizeof(asked) / sizeof(*asked); i++) {
        compose(p, asked[i], &line);
        run_both(p, &line, 0);
    }
    model_free(first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(strings_are_those_of_redis, setup, teardown),
        cmocka_unit_test_setup_teardown(hashes_are_those_of_redis, setup, teardown),
        cmocka_unit_test_setup_teardown(sorted_sets_are_those_of_redis, setup, teardown),
        cmocka_unit_test_setup_teardown(streams_are_those_of_redis, setup, teardown),
        cmocka_unit_test_setup_teardown(scripts_are_those_of_redis, setup, teardown),
        cmocka_unit_test_setup_teardown(what_has_expired_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_copy_has_all_and_is_of_its_own, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
