#include "io/peers.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>

#include <uthash.h>

#include "base/mem.h"
#include "core/limits.h"

struct peer {
    UT_hash_handle hh;
    uint64_t key;
    uint32_t count;
};

struct peers {
    pthread_mutex_t mutex;
    struct peer *by_key;
    struct peers_settings settings;
    uint64_t seeds[2];
};

struct peers *peers_new(const struct peers_settings *settings)
{
    struct peers *p = mem_new(struct peers);

    pthread_mutex_init(&p->mutex, NULL);
    p->settings = *settings;
    /* So few bytes are never refused once the system has started. */
    ssize_t got = getrandom(p->seeds, sizeof(p->seeds), 0);
    assert(got == sizeof(p->seeds));
    (void)got;
    return p;
}

void peers_free(struct peers *p)
{
    assert(p->by_key == NULL);
    pthread_mutex_destroy(&p->mutex);
    mem_free(p);
}

/* 0: any number. */
static uint32_t limit_of(const struct peers *p, const struct ip *ip)
{
    const struct peers_settings *s = &p->settings;

    for (size_t i = 0; i < s->trusted_count; i++)
        if (network_has(&s->trusted[i], ip))
            return 0;
    if (s->per_address > 0)
        return s->per_address;
    return ip_is_loopback(ip) ? 0 : CONNECTIONS_PER_ADDRESS_MAX;
}

/* An IPv6 address's upper half; an IPv4 address's form has its number in the
 * lower one, and ::/32, to which that would belong, is nobody's network. */
static uint64_t key_of(const struct ip *ip)
{
    uint64_t key;

    memcpy(&key, ip->bytes + (ip_is_ipv4(ip) ? sizeof(key) : 0), sizeof(key));
    return key;
}

/* Addresses are a stranger's choice: without the seeds one could choose such
 * that fall together. */
static unsigned hash_of(const struct peers *p, uint64_t key)
{
    __uint128_t product = (__uint128_t)(key ^ p->seeds[0]) * (p->seeds[1] | 1);

    return (unsigned)(product >> 64) ^ (unsigned)product;
}

static struct peer *find_or_add(struct peers *p, uint64_t key)
{
    unsigned hash = hash_of(p, key);
    struct peer *peer;

    HASH_FIND_BYHASHVALUE(hh, p->by_key, &key, sizeof(key), hash, peer);
    if (peer != NULL)
        return peer;
    peer = mem_new(struct peer);
    peer->key = key;
    HASH_ADD_BYHASHVALUE(hh, p->by_key, key, sizeof(key), hash, peer);
    return peer;
}

bool peers_enter(struct peers *p, const struct sockaddr_storage *address, struct peer **out)
{
    struct ip ip;

    ip_of(address, &ip);
    *out = NULL;
    uint32_t limit = limit_of(p, &ip);
    if (limit == 0)
        return true;
    pthread_mutex_lock(&p->mutex);
    struct peer *peer = find_or_add(p, key_of(&ip));
    bool fits = peer->count < limit;
    if (fits) {
        peer->count++;
        *out = peer;
    }
    pthread_mutex_unlock(&p->mutex);
    return fits;
}

void peers_leave(struct peers *p, struct peer **peer)
{
    struct peer *it = *peer;

    *peer = NULL;
    if (it == NULL)
        return;
    pthread_mutex_lock(&p->mutex);
    assert(it->count > 0);
    if (--it->count == 0) {
        HASH_DEL(p->by_key, it);
        mem_free(it);
    }
    pthread_mutex_unlock(&p->mutex);
}

size_t peers_count(struct peers *p)
{
    pthread_mutex_lock(&p->mutex);
    size_t count = HASH_COUNT(p->by_key);
    pthread_mutex_unlock(&p->mutex);
    return count;
}
