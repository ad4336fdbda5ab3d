/* Private to the files of fleet/rooms: a client as this node knows it, and who waits
 * for one. */
#ifndef FLEET_ROOMS_INTERNAL_H
#define FLEET_ROOMS_INTERNAL_H

#define HASH_NONFATAL_OOM 0
#include <uthash.h>
#include <utlist.h>

#include "fleet/rooms.h"

struct room {
    UT_hash_handle hh;
    bool is_told;   /* Redis has it as it is here */
    bool is_sent;   /* it is part of the word under way */
    bool is_parted; /* left; gone once that is told */
    char job[];
};

struct guest {
    UT_hash_handle hh;
    struct guest *prev, *next;           /* of all, in the order of due_ms */
    struct guest *lost_prev, *lost_next; /* of the lost, longest first */
    struct fleet_rooms *owner;
    struct room *rooms; /* by job */
    char *subject;
    struct word *word; /* under way, or NULL */
    uint64_t token;
    uint64_t holder; /* number of the latest hold */
    uint64_t due_ms; /* Redis is told of it again */
    uint64_t lost_ms;
    bool is_lost;
    bool is_over;    /* the client has left; kept until Redis knows */
    bool is_new;     /* Redis has to be told all */
    bool is_changed; /* something is untold */
    char pid[FLEET_PID_SIZE];
    char sid[FLEET_SID_SIZE];
};

/* What Redis is being told of a guest, who may be gone when it answers. */
struct word {
    struct guest *guest; /* NULL: nobody waits for the answer */
    uint64_t token;
    bool is_all, is_end;
};

struct claim {
    struct claim *prev, *next; /* among those that wait */
    struct fleet_rooms *owner;
    fleet_rooms_done *done;
    void *context;
    uint64_t deadline_ms;
    uint64_t number; /* of the hold it came to */
    bool is_sent;    /* Redis' answer is to come */
    bool is_settled; /* and nobody waits for it */
    char pid[FLEET_PID_SIZE];
    char subject[];
};

struct fleet_rooms {
    struct fleet_port *port;
    struct fleet_rooms_settings settings;
    struct redis_script claim, tell;
    struct guest *guests; /* by pid */
    struct guest *due;
    struct guest *lost;
    struct claim *claims;
    size_t claim_count, room_count, word_count;
    uint64_t holds;
    bool is_closed;
};

uint64_t rooms_now(const struct fleet_rooms *r);

/* rooms.c: the table */
struct guest *guest_find(struct fleet_rooms *r, const char *pid);
struct guest *guest_add(struct fleet_rooms *r, const char *pid, const char *sid,
                        const char *subject);
void guest_remove(struct guest *g);
struct room *guest_add_room(struct guest *g, struct str job); /* NULL: there is no more room */
void guest_drop_room(struct guest *g, struct room *room);
uint64_t guest_hold(struct guest *g); /* by a new holder, whose number it gives */

/* rooms_tell.c */
void guest_tell(struct guest *g);     /* what there is to say, unless a word is under way */
void guest_tell_all(struct guest *g); /* at the next tick */
void rooms_tell_due(struct fleet_rooms *r);
uint32_t rooms_kept_ms(const struct fleet_rooms *r); /* by Redis, without a word */

/* rooms_claim.c */
void claims_run(struct fleet_rooms *r); /* asks what was not asked, ends what has waited too long */
void claims_end(struct fleet_rooms *r);

#endif
