/* What the files of io/guard share: rules, and the judgement with its reason. */
#ifndef IO_GUARD_INTERNAL_H
#define IO_GUARD_INTERNAL_H

#include "io/guard.h"
#include "io/network.h"

/* Of a host as far as it is known: before it is looked up there is no address. */
struct guard_target {
    struct str name; /* as asked for, without a trailing dot; empty: none */
    bool has_address;
    struct ip address;
    uint16_t port;
};

struct guard_rule {
    char *name;      /* or NULL: it is the net's */
    bool with_below; /* also the names that end with it */
    struct network net;
    uint16_t port; /* 0: any */
};

struct guard_list {
    struct guard_rule *rules;
    size_t count;
};

/* FAIL_SYNTAX: `why` names the list and the rule. What was read is freed with
 * guard_list_deinit. */
int guard_list_read(struct guard_list *list, const char *name, const char *const *texts,
                    size_t count, struct buf *why);
void guard_list_deinit(struct guard_list *list);
bool guard_list_has(const struct guard_list *list, const struct guard_target *target);
/* Whether an address could still be what the list has, with that port. */
bool guard_list_has_nets(const struct guard_list *list, uint16_t port);

/* The letters of a host's name in DNS, no label empty, and not to be mistaken for an
 * address in one of its many forms: RFC 3986, 3.2.2 has only a.b.c.d, but inet_aton(3),
 * and with it getaddrinfo(3), takes also "127.1", "0x7f.1", "017700000001". */
bool guard_name_is_valid(struct str name);

/* As guard_check_url, of a host as it will be looked up (IPv6 without brackets). */
int guard_check_host(const struct guard *g, const char *host, uint16_t port, struct buf *why);

/* As guard_admits; `why` says why not. */
bool guard_judge(const struct guard *g, const char *host, const struct sockaddr *to,
                 struct buf *why);

#endif
