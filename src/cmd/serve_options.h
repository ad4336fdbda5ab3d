/* What `reelay serve` can be told. */
#ifndef CMD_SERVE_OPTIONS_H
#define CMD_SERVE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"
#include "cmd/keys.h"

enum auth_mode { AUTH_AUTO, AUTH_ALL, AUTH_OFF };
enum upload_via { UPLOAD_VIA_BUCKET, UPLOAD_VIA_SERVER };
enum token_expiry { TOKEN_EXPIRY_KEEP, TOKEN_EXPIRY_CLOSE };

struct serve_options {
    struct option_list listen;
    const char *data_dir;
    const char *engine; /* "local", or where Redis is */
    const char *redis_ca_file, *redis_cert_file, *redis_key_file;
    uint64_t status_ttl_ms;
    const char *storage; /* "disk", or where the bucket is */
    int upload_via;      /* enum upload_via */
    const char *storage_public_url, *storage_ca_file;
    uint64_t storage_parallel, storage_patience_ms, storage_url_ttl_ms;
    uint64_t threads;
    uint64_t connections_max, connections_per_address;
    struct option_list trusted_proxies;
    bool is_insecure;
    int auth; /* enum auth_mode */
    struct key_options keys;
    int token_expiry; /* enum token_expiry */
    const char *public_url;
    struct option_list origins;

    uint64_t messages_max, subscriptions_max, message_max;
    uint64_t handshake_ms, body_ms, write_ms, idle_ms, ws_ms;

    uint64_t chunk_max, upload_max, min_free;
    uint64_t upload_ttl_ms, url_ttl_ms, report_ttl_ms, job_ttl_ms;

    const char *ffmpeg, *ffprobe, *preset;
    uint64_t crf, conversions, memory_max, pixels_max;
    uint64_t stall_ms, duration_max_ms;

    uint64_t downloads, download_max, download_timeout_ms, download_stall_ms;
    struct option_list download_allow, download_deny, download_only;
    const char *yt_dlp;

    struct option_list webhooks;
    const char *webhook_secret;
    uint64_t webhook_timeout_ms, webhook_retry_ms, webhook_log_ttl_ms;

    uint64_t drain_ms;
    int log_level, log_format;
};

extern const struct option serve_option_table[];

#endif
