/* `reelay token`: a JWT from the same secret that `serve` checks with. */
#include <stdio.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/keys.h"

struct token_options {
    const char *data_dir;
    const char *subject;
    bool is_admin;
    uint64_t lifetime_ms;
    struct key_options keys;
};

static const struct option options[] = {
    { .name = "data-dir",
      .type = OPTION_TEXT,
      .offset = offsetof(struct token_options, data_dir),
      .fallback = "reelay-data",
      .value = "DIR",
      .help = "the server's data directory" },
    { .name = "subject",
      .type = OPTION_TEXT,
      .offset = offsetof(struct token_options, subject),
      .fallback = "local",
      .value = "NAME",
      .help = "whose token: owns what it creates" },
    { .name = "admin",
      .type = OPTION_FLAG,
      .offset = offsetof(struct token_options, is_admin),
      .help = "sees everybody's jobs" },
    { .name = "ttl",
      .type = OPTION_DURATION,
      .offset = offsetof(struct token_options, lifetime_ms),
      .fallback = "12h",
      .min = 1000,
      .max = UINT64_C(366) * 24 * 3600 * 1000,
      .value = "TIME",
      .help = "how long it is good for" },
    KEY_OPTIONS(struct token_options, keys),
    { .name = NULL },
};

static const struct command_help help = {
    .usage = "reelay token [--subject NAME] [--admin] [--ttl TIME]",
    .about = "Prints a token signed with the server's secret.",
    .options = options,
};

static int mint(const struct token_options *o, struct buf *out, struct buf *why)
{
    struct jwt_keys *keys;
    int err = keys_load(&o->keys, o->data_dir, false, &keys, NULL, why);

    if (err)
        return err;
    err = jwt_mint(keys, o->subject, o->is_admin, clock_wall_ms(), (int64_t)o->lifetime_ms, out);
    jwt_keys_free(keys);
    if (err == FAIL_UNSUPPORTED)
        buf_puts(why, "only a secret (HS256, HS384, HS512) can make tokens");
    else if (err)
        buf_puts(why, fail_text(err));
    return err;
}

int cmd_token(int argc, char **argv)
{
    struct token_options o = { 0 };
    struct config config = { .into = &o };
    struct buf token;
    struct buf why;
    int status = command_begin(&help, &config, argc, argv, 0, 0);

    if (status < 0) {
        buf_init(&token, JWT_TEXT_MAX);
        buf_init(&why, 1024);
        int err = mint(&o, &token, &why);
        config_blame(&config, options, &why);
        if (err)
            fprintf(stderr, "reelay token: %s\n", buf_text(&why));
        else
            printf("%s\n", buf_text(&token));
        status = err ? 1 : 0;
        buf_deinit(&token);
        buf_deinit(&why);
    }
    config_release(&config, options);
    return status;
}
