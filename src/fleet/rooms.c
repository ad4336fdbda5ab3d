#include "fleet/rooms.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "fleet/lua.h"
#include "fleet/rooms_internal.h"

uint64_t rooms_now(const struct fleet_rooms *r)
{
    return r->port->ops->mono_ms(r->port);
}

/* The table */

struct guest *guest_find(struct fleet_rooms *r, const char *pid)
{
    struct guest *g;

    HASH_FIND_STR(r->guests, pid, g);
    return g;
}

struct guest *guest_add(struct fleet_rooms *r, const char *pid, const char *sid,
                        const char *subject)
{
    struct guest *g = mem_new(struct guest);

    g->owner = r;
    g->token = 1;
    g->due_ms = rooms_now(r) + r->settings.refresh_ms;
    g->subject = mem_strdup(subject);
    snprintf(g->pid, sizeof(g->pid), "%s", pid);
    snprintf(g->sid, sizeof(g->sid), "%s", sid);
    HASH_ADD_STR(r->guests, pid, g);
    DL_APPEND(r->due, g);
    return g;
}

void guest_drop_room(struct guest *g, struct room *room)
{
    HASH_DEL(g->rooms, room);
    mem_free(room);
    g->owner->room_count--;
}

static void drop_rooms(struct guest *g)
{
    struct room *room, *next;

    HASH_ITER(hh, g->rooms, room, next)
    guest_drop_room(g, room);
}

static void set_present(struct guest *g)
{
    if (g->is_lost)
        DL_DELETE2(g->owner->lost, g, lost_prev, lost_next);
    g->is_lost = false;
}

static void set_lost(struct guest *g)
{
    set_present(g);
    g->is_lost = true;
    g->lost_ms = rooms_now(g->owner);
    DL_APPEND2(g->owner->lost, g, lost_prev, lost_next);
}

void guest_remove(struct guest *g)
{
    struct fleet_rooms *r = g->owner;

    drop_rooms(g);
    set_present(g);
    if (g->word != NULL) {
        g->word->guest = NULL;
        r->word_count--;
    }
    DL_DELETE(r->due, g);
    HASH_DEL(r->guests, g);
    mem_free(g->subject);
    mem_free(g);
}

/* Whoever makes room here is still in Redis, for as long as that keeps it. */
static bool make_room(struct guest *g)
{
    struct fleet_rooms *r = g->owner;

    while (r->room_count >= r->settings.rooms_max && r->lost != NULL && r->lost != g)
        guest_remove(r->lost);
    return r->room_count < r->settings.rooms_max;
}

struct room *guest_add_room(struct guest *g, struct str job)
{
    struct room *room;

    HASH_FIND(hh, g->rooms, job.at, job.len, room);
    if (room != NULL)
        return room;
    if (!make_room(g))
        return NULL;
    room = mem_zalloc(sizeof(*room) + job.len + 1);
    memcpy(room->job, job.at, job.len);
    HASH_ADD_KEYPTR(hh, g->rooms, room->job, job.len, room);
    g->owner->room_count++;
    return room;
}

uint64_t guest_hold(struct guest *g)
{
    set_present(g);
    g->holder = ++g->owner->holds;
    return g->holder;
}

static struct guest *find_held(struct fleet_rooms *r, const struct fleet_hold *hold)
{
    struct guest *g = guest_find(r, hold->pid);

    return g != NULL && !g->is_over && g->holder == hold->number ? g : NULL;
}

/* What the holder says */

void fleet_rooms_join(struct fleet_rooms *r, const struct fleet_hold *hold, const char *job)
{
    struct guest *g = guest_find(r, hold->pid);

    if (r->is_closed || (g == NULL && hold->number != 0))
        return;
    /* Whoever is in no room has nothing to come back to, and no place here. */
    if (g == NULL) {
        g = guest_add(r, hold->pid, hold->sid, hold->subject);
        g->is_new = true;
    }
    if (g->is_over || g->holder != hold->number)
        return;
    struct room *room = guest_add_room(g, str_of(job));
    if (room == NULL || (!room->is_parted && (room->is_told || room->is_sent)))
        return;
    room->is_parted = room->is_sent = room->is_told = false;
    g->is_changed = true;
    guest_tell(g);
}

void fleet_rooms_part(struct fleet_rooms *r, const struct fleet_hold *hold, const char *job)
{
    struct guest *g = find_held(r, hold);
    struct room *room = NULL;

    if (g != NULL)
        HASH_FIND_STR(g->rooms, job, room);
    if (r->is_closed || room == NULL || room->is_parted)
        return;
    room->is_parted = true;
    room->is_sent = room->is_told = false;
    g->is_changed = true;
    guest_tell(g);
}

void fleet_rooms_lose(struct fleet_rooms *r, const struct fleet_hold *hold)
{
    struct guest *g = find_held(r, hold);

    if (r->is_closed || g == NULL)
        return;
    set_lost(g);
    g->is_changed = true;
    guest_tell(g);
}

void fleet_rooms_forget(struct fleet_rooms *r, const struct fleet_hold *hold)
{
    struct guest *g = find_held(r, hold);

    if (r->is_closed || g == NULL)
        return;
    set_lost(g);
    g->is_over = g->is_changed = true;
    drop_rooms(g);
    guest_tell(g);
}

/* The port */

void fleet_rooms_up(struct fleet_rooms *r)
{
    struct guest *g;

    DL_FOREACH(r->due, g)
    g->due_ms = 0;
    claims_run(r);
}

void fleet_rooms_tick(struct fleet_rooms *r)
{
    uint64_t now_ms = rooms_now(r);

    while (r->lost != NULL && now_ms - r->lost->lost_ms >= r->settings.lifetime_ms)
        guest_remove(r->lost);
    claims_run(r);
    rooms_tell_due(r);
}

struct fleet_rooms *fleet_rooms_new(struct fleet_port *port,
                                    const struct fleet_rooms_settings *settings)
{
    struct fleet_rooms *r = mem_new(struct fleet_rooms);

    r->port = port;
    r->settings = *settings;
    redis_script_init(&r->claim, fleet_lua_rooms_claim);
    redis_script_init(&r->tell, fleet_lua_rooms_tell);
    return r;
}

void fleet_rooms_close(struct fleet_rooms *r)
{
    r->is_closed = true;
    claims_end(r);
}

void fleet_rooms_free(struct fleet_rooms *r)
{
    struct guest *g, *next;

    if (r == NULL)
        return;
    HASH_ITER(hh, r->guests, g, next)
    guest_remove(g);
    mem_free(r);
}

void fleet_rooms_count(const struct fleet_rooms *r, size_t *clients, size_t *rooms)
{
    *clients = HASH_COUNT(r->guests);
    *rooms = r->room_count;
}
