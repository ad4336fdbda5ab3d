#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/redis.h"

enum { FIXED_ARGS = 3 }; /* EVALSHA digest numkeys */

/* A script under way: what it takes to send it whole. */
struct run {
    struct redis *redis;
    const struct redis_script *script;
    redis_done *done;
    void *context;
    size_t count;
    char keys[24];
    struct str args[]; /* with the fixed ones; the bytes lie behind them */
};

void redis_script_init(struct redis_script *script, const char *source)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (EVP_Digest(source, strlen(source), digest, &len, EVP_sha1(), NULL) != 1)
        abort(); /* out of memory, as any small allocation */
    script->source = source;
    encode_hex(digest, len, script->digest);
}

static struct run *run_new(size_t keys, const struct str *args, size_t count)
{
    size_t bytes = 0;
    struct run *run;
    char *at;

    for (size_t i = 0; i < count; i++)
        bytes += args[i].len;
    run = mem_alloc(sizeof(*run) + (FIXED_ARGS + count) * sizeof(run->args[0]) + bytes);
    at = (char *)&run->args[FIXED_ARGS + count];
    for (size_t i = 0; i < count; i++) {
        if (args[i].len > 0)
            memcpy(at, args[i].at, args[i].len);
        run->args[FIXED_ARGS + i] = (struct str){ at, args[i].len };
        at += args[i].len;
    }
    snprintf(run->keys, sizeof(run->keys), "%zu", keys);
    run->args[2] = str_of(run->keys);
    run->count = FIXED_ARGS + count;
    return run;
}

static void finish(struct run *run, int err, const struct redis_reply *reply)
{
    if (run->done != NULL)
        run->done(run->context, err, reply);
    mem_free(run);
}

static void on_done(void *context, int err, const struct redis_reply *reply)
{
    finish(context, err, reply);
}

static void on_first_done(void *context, int err, const struct redis_reply *reply)
{
    struct run *run = context;

    if (reply == NULL || !redis_reply_is_error(reply, "NOSCRIPT")) {
        finish(run, err, reply);
        return;
    }
    run->args[0] = STR("EVAL");
    run->args[1] = str_of(run->script->source);
    err = redis_command(run->redis, run->args, run->count, 0, on_done, run);
    if (err != OK)
        finish(run, err, NULL);
}

int redis_script_run(struct redis *r, const struct redis_script *script, size_t keys,
                     const struct str *args, size_t count, redis_done *done, void *context)
{
    struct run *run;
    int err;

    if (!redis_is_up(r))
        return FAIL_CLOSED;
    run = run_new(keys, args, count);
    run->redis = r;
    run->script = script;
    run->done = done;
    run->context = context;
    run->args[0] = STR("EVALSHA");
    run->args[1] = str_of(script->digest);
    err = redis_command(r, run->args, run->count, 0, on_first_done, run);
    if (err != OK)
        mem_free(run);
    return err;
}
