/* Where a Redis is, read from a URL, and how to log in. The scheme's case does
 * not matter; what is reserved in a URL is percent-encoded; IPv6 in brackets:
 *
 *   redis://[[user][:password]@]host[:port][,host[:port]...][/db]
 *   redis+unix://[[user][:password]@]/path/of/socket[?db=N]     or unix://
 *   redis+sentinel://[[user][:password]@]host[:port][,...]/SERVICE[/db]
 *
 * rediss and rediss+sentinel are the same by TLS. Several hosts of redis:// are
 * seeds: a cluster is asked for at each in turn. Pure. */
#ifndef PROTO_REDIS_URL_H
#define PROTO_REDIS_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum { REDIS_HOSTS_MAX = 64 };

struct redis_host {
    char *name; /* without brackets */
    uint16_t port;
};

struct redis_url {
    struct redis_host *hosts; /* at least one, unless there is a path */
    size_t host_count;
    char *path;     /* of the unix socket, or NULL */
    char *service;  /* what Sentinels, who are at the hosts, call it; or NULL */
    char *user;     /* NULL: the default one */
    char *password; /* NULL: none */
    unsigned db;
    bool is_tls;
};

/* FAIL_SYNTAX; `why` is a clause that names what is wrong and never has the
 * password. */
int redis_url_parse(const char *text, struct redis_url *out, struct buf *why);

/* Wipes the password. */
void redis_url_deinit(struct redis_url *url);

void redis_url_forget_login(struct redis_url *url); /* the same */

void redis_url_copy(const struct redis_url *url, struct redis_url *out);

/* One server at this place; login, database and TLS as in `url`. */
void redis_url_server(const struct redis_url *url, const char *host, uint16_t port,
                      struct redis_url *out);

/* For logs: "redis://user@host:6379/0", without the password. */
void redis_url_describe(const struct redis_url *url, struct buf *out);

#endif
