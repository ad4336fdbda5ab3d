#include "base/mem.h"
#include "io/redis_wire.h"

const struct redis_settings redis_settings_default = {
    .connect_timeout_ms = 5 * 1000,
    .command_timeout_ms = 10 * 1000,
    .backoff_min_ms = 200,
    .backoff_max_ms = 15 * 1000,
    .silence_ms = 10 * 1000,
    .pong_ms = 5 * 1000,
    .out_max = 16 * 1024 * 1024,
    .commands_max = 100000,
    .reply_max = 16 * 1024 * 1024,
    .message_max = 1024 * 1024,
    .topics_max = 200000,
};

static const char *copy(const char *text)
{
    return text != NULL ? mem_strdup(text) : NULL;
}

void settings_copy(const struct redis_settings *settings, struct redis_settings *out)
{
    *out = settings != NULL ? *settings : redis_settings_default;
    out->name = copy(out->name);
    out->ca_file = copy(out->ca_file);
    out->cert_file = copy(out->cert_file);
    out->key_file = copy(out->key_file);
}

void settings_deinit(struct redis_settings *settings)
{
    mem_free((char *)settings->name);
    mem_free((char *)settings->ca_file);
    mem_free((char *)settings->cert_file);
    mem_free((char *)settings->key_file);
}
