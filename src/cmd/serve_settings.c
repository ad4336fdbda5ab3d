#include "cmd/serve_settings.h"

#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/err.h"
#include "cmd/fetching.h"
#include "io/listener.h"

enum { DESCRIPTORS_KEPT = 256 };

/* Where it listens, and whom it asks */

static bool is_loopback(const char *address)
{
    struct str a = str_of(address);

    return str_starts(a, STR("127.")) || str_starts(a, STR("[::1]:")) ||
           str_starts(a, STR("localhost:"));
}

static bool is_all_loopback(const struct option_list *addresses)
{
    for (size_t i = 0; i < addresses->count; i++)
        if (!is_loopback(addresses->items[i]))
            return false;
    return true;
}

/* What follows http:// or https://, or NULL. */
static const char *behind_scheme(const char *url)
{
    static const char *const schemes[] = { "https://", "http://" };

    for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++)
        if (str_starts(str_of(url), str_of(schemes[i])))
            return url + strlen(schemes[i]);
    return NULL;
}

/* As browsers send it (RFC 6454, 6.2): anything else would never match. Apps
 * have schemes of their own ("capacitor://localhost"). */
bool serve_settings_is_origin(const char *text)
{
    const char *colon = strstr(text, "://");

    if (strcmp(text, "*") == 0)
        return true;
    return colon != NULL && colon != text && colon[3] != '\0' &&
           strpbrk(colon + 3, "/?#@ \t\r\n\"*") == NULL;
}

/* Paths are put right behind it. */
static bool is_base_url(const char *text)
{
    const char *host = behind_scheme(text);

    return host != NULL && *host != '\0' && *host != '/' && strpbrk(host, "?#@ \t\r\n\"") == NULL &&
           !str_ends(str_of(host), STR("/"));
}

static int read_proxies(struct serve_settings *s, struct buf *why)
{
    const struct option_list *list = &s->options->trusted_proxies;

    for (size_t i = 0; i < list->count; i++)
        if (network_parse(list->items[i], &s->trusted[i]) != OK) {
            buf_printf(why,
                       "--trusted-proxy: \"%s\" is neither an address nor a range such as "
                       "10.0.0.0/8 or 2001:db8::/32",
                       list->items[i]);
            return FAIL_SYNTAX;
        }
    return OK;
}

static int check_listen(const struct option_list *list, struct buf *why)
{
    struct listen_address address;

    if (list->count == 0) {
        buf_puts(why, "--listen: an address is missing (ADDR:PORT)");
        return FAIL_SYNTAX;
    }
    for (size_t i = 0; i < list->count; i++)
        if (listen_address_parse(list->items[i], &address) == FAIL_SYNTAX) {
            buf_printf(why,
                       "--listen: \"%s\" is not an address and port such as 127.0.0.1:3001 or "
                       "[::1]:3001",
                       list->items[i]);
            return FAIL_SYNTAX;
        }
    return OK;
}

static int check_addresses(struct serve_settings *s, struct buf *why)
{
    const struct serve_options *o = s->options;
    int err = check_listen(&o->listen, why);

    if (err)
        return err;
    if (*o->public_url && !is_base_url(o->public_url)) {
        buf_printf(why,
                   "--public-url: \"%s\" is not a URL such as https://host, without a "
                   "slash at its end",
                   o->public_url);
        return FAIL_SYNTAX;
    }
    for (size_t i = 0; i < o->origins.count; i++)
        if (!serve_settings_is_origin(o->origins.items[i])) {
            buf_printf(why,
                       "--cors-origin: \"%s\" is not an origin such as https://host:port, nor *",
                       o->origins.items[i]);
            return FAIL_SYNTAX;
        }
    return read_proxies(s, why);
}

static int check_security(struct serve_settings *s, struct buf *why)
{
    const struct serve_options *o = s->options;
    bool is_local = is_all_loopback(&o->listen);
    bool has_key = keys_are_configured(&o->keys);

    if (!is_local && !has_key && !o->is_insecure) {
        buf_puts(why, "listening beyond this machine needs a key: give --jwt-secret, "
                      "--jwt-key-file or --jwt-jwks-file (or --insecure)");
        return FAIL_DENIED;
    }
    if (o->auth == AUTH_OFF && !o->is_insecure) {
        buf_puts(why, "--auth off needs --insecure");
        return FAIL_DENIED;
    }
    s->api.asks_all = o->auth == AUTH_ALL || (o->auth == AUTH_AUTO && (has_key || !is_local));
    s->api.guards_host = is_local && !s->api.asks_all;
    s->api.closes_expired = o->token_expiry == TOKEN_EXPIRY_CLOSE;
    s->api.gives_sessions = o->auth != AUTH_ALL && !has_key && is_local;
    return OK;
}

void serve_settings_pipeline(const struct serve_options *o, struct pipeline_settings *out)
{
    *out = (struct pipeline_settings){
        .media = {
            .ffmpeg = o->ffmpeg,
            .ffprobe = o->ffprobe,
            .preset = o->preset,
            .crf = (unsigned)o->crf,
            .stall_ms = (uint32_t)o->stall_ms,
            .memory_max = o->memory_max,
            .pixels_max = o->pixels_max,
            .duration_max_ms = o->duration_max_ms,
        },
        .conversions_max = (unsigned)o->conversions,
        .public_url = o->public_url,
    };
    fetching_settings(o, &out->download);
}

static void copy_rest(struct serve_settings *s)
{
    const struct serve_options *o = s->options;

    serve_settings_pipeline(o, &s->pipeline);
    s->api.chunk_max = o->chunk_max;
    s->api.upload_max = o->upload_max;
    s->pipeline.upload_max = o->upload_max;
    s->api.url_lifetime_ms = o->url_ttl_ms;
    s->api.upload_ttl_ms = o->upload_ttl_ms;
    s->api.public_url = o->public_url;
    s->api.takes_chunks = o->upload_via == UPLOAD_VIA_SERVER;
    s->api.storage_url_lifetime_s = o->storage_url_ttl_ms / 1000;
    s->api.origins = &o->origins;
}

static unsigned thread_count(const struct serve_settings *s)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (s->options->threads > 0)
        return (unsigned)s->options->threads;
    return cores < 1 ? 1 : cores > LEDGER_LISTENERS_MAX ? LEDGER_LISTENERS_MAX : (unsigned)cores;
}

static uint32_t connection_limit(const struct serve_settings *s)
{
    struct rlimit files = { 1024, 1024 };

    if (s->options->connections_max > 0)
        return (uint32_t)s->options->connections_max;
    getrlimit(RLIMIT_NOFILE, &files);
    uint64_t most = files.rlim_cur > 10000000 ? 10000000 : files.rlim_cur;
    return (uint32_t)(most > 2 * DESCRIPTORS_KEPT ? most - DESCRIPTORS_KEPT : most / 2);
}

static void set_timeouts(struct serve_settings *s)
{
    const struct serve_options *o = s->options;

    s->timeouts = io_timeouts_default;
    s->timeouts.head = (uint32_t)o->handshake_ms;
    s->timeouts.body = (uint32_t)o->body_ms;
    s->timeouts.write = (uint32_t)o->write_ms;
    s->timeouts.idle = (uint32_t)o->idle_ms;
    s->timeouts.ws_dead = (uint32_t)o->ws_ms;
    s->timeouts.ws_ping = (uint32_t)o->ws_ms / 3;
}

/* Who comes back after a disconnect subscribes to all it had at once. */
static struct bucket_limit message_limit(const struct serve_options *o)
{
    return (struct bucket_limit){
        .per_second = (uint32_t)o->messages_max,
        .burst = (uint32_t)(o->messages_max * WS_BURST_SECONDS + o->subscriptions_max),
    };
}

static void copy_io(struct serve_settings *s)
{
    const struct serve_options *o = s->options;

    set_timeouts(s);
    s->io = (struct io_settings){
        .threads = thread_count(s),
        .connections_max = connection_limit(s),
        .peers = { .per_address = (uint32_t)o->connections_per_address,
                   .trusted = s->trusted,
                   .trusted_count = o->trusted_proxies.count },
        .ws = { .message_max = o->message_max },
        .messages = message_limit(o),
        .subscriptions_max = (unsigned)o->subscriptions_max,
        .timeouts = &s->timeouts,
        .addresses = o->listen.items,
        .address_count = o->listen.count,
    };
}

int serve_settings_read(const struct serve_options *o, struct serve_settings *out, struct buf *why)
{
    *out = (struct serve_settings){ .options = o };
    int err = check_addresses(out, why);

    if (err == OK)
        err = check_security(out, why);
    copy_rest(out);
    copy_io(out);
    return err;
}
