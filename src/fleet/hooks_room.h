/* Private to the files of fleet/hooks. */
#ifndef FLEET_HOOKS_ROOM_H
#define FLEET_HOOKS_ROOM_H

#define HASH_NONFATAL_OOM 0
#include <uthash.h>
#include <utlist.h>

#include "fleet/hooks.h"

enum { HOOK_HASH_SIZE = 33 };

/* A state that is to be told of, until Redis has it. */
struct news {
    struct news *prev, *next;
    struct fleet_hooks *owner;
    struct update *update; /* one reference */
    bool is_sent;
    uint64_t retry_ms;
};

/* A job whose begin is told of, or is on its way. */
struct begun {
    UT_hash_handle hh;
    char id[];
};

struct fleet_hooks {
    struct listener listener; /* first: the ledger's */
    struct fleet_port *port;
    struct fleet_jobs *jobs;
    struct fleet_hooks_settings settings;
    char (*hashes)[HOOK_HASH_SIZE]; /* of each URL */
    struct redis_script add, take, settle, list, replay, sweep;
    struct news *news;
    size_t news_count, sent_count;
    struct begun *begun;
    bool needs_scan; /* something may have been missed */
    bool is_scanning;
    uint64_t scan_again_ms, noted_ms;
    int64_t scanned_ms;  /* score of the last that was looked at */
    size_t scan_waiting; /* jobs that were asked for */
    size_t scan_page;    /* how many the last page had */
};

#define HOOK_KEYS FLEET_WORK "hooks:"

/* hooks.c */
void news_take(struct fleet_hooks *h, struct update *u); /* unless it is told already */

/* hooks_scan.c: makes good what was missed */
void scan_tick(struct fleet_hooks *h, uint64_t now_ms);

#endif
