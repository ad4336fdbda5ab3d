/* Rooms of one server: in memory, and in its store for the next start. One mutex, which
 * is never taken on the way of an update; the store's queue is taken below it. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <uthash.h>
#include <utlist.h>

#include "api/recovery.h"
#include "base/mem.h"

struct kept_room {
    UT_hash_handle hh;
    char job[];
};

struct client {
    UT_hash_handle hh;
    struct client *prev, *next; /* among the lost, longest first */
    struct kept_room *rooms;    /* by job */
    char *subject;
    char pid[RECOVERY_PID_SIZE];
    char sid[RECOVERY_SID_SIZE];
    uint64_t holder;  /* of the latest hold */
    uint64_t lost_ms; /* when, if is_lost */
    bool is_lost;
};

struct keeper {
    struct recovery recovery; /* first: recoveries are keepers */
    pthread_mutex_t lock;
    struct store *store; /* borrowed */
    struct recovery_settings settings;
    struct client *clients; /* by pid */
    struct client *lost;
    size_t room_count;
    uint64_t holds;
};

static struct keeper *keeper_of(struct recovery *r)
{
    return (struct keeper *)r;
}

static void drop_room(struct keeper *r, struct client *c, struct kept_room *room)
{
    HASH_DEL(c->rooms, room);
    mem_free(room);
    r->room_count--;
}

static void set_held(struct keeper *r, struct client *c)
{
    if (c->is_lost)
        DL_DELETE(r->lost, c);
    c->is_lost = false;
}

static void free_client(struct keeper *r, struct client *c)
{
    struct kept_room *room, *next;

    set_held(r, c);
    HASH_ITER(hh, c->rooms, room, next)
    drop_room(r, c, room);
    HASH_DEL(r->clients, c);
    mem_free(c->subject);
    mem_free(c);
}

/* `job` NULL: all its rooms. */
static void forget_room(struct keeper *r, const char *pid, const char *job)
{
    store_drop_room(r->store, pid, job);
}

static void remove_client(struct keeper *r, struct client *c)
{
    if (c->rooms != NULL)
        forget_room(r, c->pid, NULL);
    free_client(r, c);
}

static struct client *add_client(struct keeper *r, const char *pid, const char *sid,
                                 const char *subject)
{
    struct client *c = mem_new(struct client);

    snprintf(c->pid, sizeof(c->pid), "%s", pid);
    snprintf(c->sid, sizeof(c->sid), "%s", sid);
    c->subject = mem_strdup(subject);
    HASH_ADD_STR(r->clients, pid, c);
    return c;
}

/* False: it is there, or there is no more room. */
static bool add_room(struct keeper *r, struct client *c, const char *job)
{
    struct kept_room *room;
    size_t len = strlen(job);

    HASH_FIND(hh, c->rooms, job, len, room);
    if (room != NULL)
        return false;
    while (r->room_count >= r->settings.rooms_max && r->lost != NULL && r->lost != c)
        remove_client(r, r->lost);
    if (r->room_count >= r->settings.rooms_max)
        return false;
    room = mem_zalloc(sizeof(*room) + len + 1);
    memcpy(room->job, job, len);
    HASH_ADD_KEYPTR(hh, c->rooms, room->job, len, room);
    r->room_count++;
    return true;
}

static void set_lost(struct keeper *r, struct client *c, uint64_t now_ms)
{
    set_held(r, c);
    c->is_lost = true;
    c->lost_ms = now_ms;
    DL_APPEND(r->lost, c);
}

static struct client *find(struct keeper *r, const char *pid)
{
    struct client *c;

    HASH_FIND_STR(r->clients, pid, c);
    return c;
}

/* Of the latest hold, else NULL. */
static struct client *find_held(struct keeper *r, const struct recovery_hold *hold)
{
    struct client *c = find(r, hold->pid);

    return c != NULL && c->holder == hold->number ? c : NULL;
}

static void expire(struct keeper *r, uint64_t now_ms)
{
    while (r->lost != NULL && now_ms - r->lost->lost_ms >= r->settings.lifetime_ms)
        remove_client(r, r->lost);
}

struct reading {
    struct keeper *keeper;
    uint64_t now_ms;
};

static bool read_room(void *context, const struct room *room)
{
    struct reading *reading = context;
    struct keeper *r = reading->keeper;
    struct client *c = find(r, room->pid);

    if (c == NULL) {
        c = add_client(r, room->pid, room->sid, room->subject);
        set_lost(r, c, reading->now_ms);
    }
    if (!add_room(r, c, room->job))
        forget_room(r, room->pid, room->job);
    return true;
}

static void local_free(struct recovery *recovery)
{
    struct keeper *r = keeper_of(recovery);
    struct client *c, *next;

    HASH_ITER(hh, r->clients, c, next)
    free_client(r, c);
    pthread_mutex_destroy(&r->lock);
    mem_free(r);
}

/* The jobs, one behind the other, each with its '\0'. */
static char *list_rooms(const struct client *c, size_t *count)
{
    struct buf list;

    buf_init(&list, SIZE_MAX / 2);
    *count = HASH_COUNT(c->rooms);
    for (const struct kept_room *room = c->rooms; room != NULL; room = room->hh.next)
        buf_append(&list, room->job, strlen(room->job) + 1);
    return buf_take(&list);
}

static void fill_hold(struct keeper *r, struct client *c, struct recovery_hold *hold)
{
    set_held(r, c);
    c->holder = ++r->holds;
    memcpy(hold->pid, c->pid, sizeof(hold->pid));
    memcpy(hold->sid, c->sid, sizeof(hold->sid));
    hold->number = c->holder;
}

static struct recovery_wait *local_claim(struct recovery *recovery, const struct recovery_ask *ask)
{
    struct keeper *r = keeper_of(recovery);
    struct recovery_answer answer = { 0 };
    char *jobs = NULL;

    pthread_mutex_lock(&r->lock);
    expire(r, ask->now_ms);
    struct client *c = find(r, ask->pid);
    answer.is_known = c != NULL && strcmp(c->subject, ask->subject) == 0;
    if (answer.is_known) {
        fill_hold(r, c, &answer.hold);
        jobs = list_rooms(c, &answer.count);
    }
    pthread_mutex_unlock(&r->lock);
    if (!answer.is_known)
        recovery_name(&answer.hold);
    answer.jobs = jobs;
    ask->done(ask->context, &answer);
    mem_free(jobs);
    return NULL;
}

static void local_join(struct recovery *recovery, const struct recovery_hold *hold,
                       const char *subject, const char *job)
{
    struct keeper *r = keeper_of(recovery);

    pthread_mutex_lock(&r->lock);
    struct client *c = find(r, hold->pid);
    /* Whoever is in no room has nothing to come back to, and no place here. */
    if (c == NULL && hold->number == 0)
        c = add_client(r, hold->pid, hold->sid, subject);
    if (c != NULL && c->holder == hold->number && add_room(r, c, job))
        store_put_room(r->store, &(struct room){ c->pid, c->sid, c->subject, job });
    pthread_mutex_unlock(&r->lock);
}

static void local_part(struct recovery *recovery, const struct recovery_hold *hold, const char *job)
{
    struct keeper *r = keeper_of(recovery);
    struct kept_room *room = NULL;

    pthread_mutex_lock(&r->lock);
    struct client *c = find_held(r, hold);
    if (c != NULL)
        HASH_FIND_STR(c->rooms, job, room);
    if (room != NULL) {
        drop_room(r, c, room);
        forget_room(r, c->pid, job);
    }
    pthread_mutex_unlock(&r->lock);
}

static void local_lose(struct recovery *recovery, const struct recovery_hold *hold, uint64_t now_ms)
{
    struct keeper *r = keeper_of(recovery);

    pthread_mutex_lock(&r->lock);
    struct client *c = find_held(r, hold);
    if (c != NULL)
        set_lost(r, c, now_ms);
    expire(r, now_ms);
    pthread_mutex_unlock(&r->lock);
}

static void local_forget(struct recovery *recovery, const struct recovery_hold *hold)
{
    struct keeper *r = keeper_of(recovery);

    pthread_mutex_lock(&r->lock);
    struct client *c = find_held(r, hold);
    if (c != NULL)
        remove_client(r, c);
    pthread_mutex_unlock(&r->lock);
}

static void local_sweep(struct recovery *recovery, uint64_t now_ms)
{
    struct keeper *r = keeper_of(recovery);

    pthread_mutex_lock(&r->lock);
    expire(r, now_ms);
    pthread_mutex_unlock(&r->lock);
}

void recovery_local_count(struct recovery *recovery, size_t *clients, size_t *rooms)
{
    struct keeper *r = keeper_of(recovery);

    pthread_mutex_lock(&r->lock);
    *clients = HASH_COUNT(r->clients);
    *rooms = r->room_count;
    pthread_mutex_unlock(&r->lock);
}

static const struct recovery_ops local_ops = {
    .claim = local_claim,
    .join = local_join,
    .part = local_part,
    .lose = local_lose,
    .forget = local_forget,
    .sweep = local_sweep,
    .free = local_free,
};

struct recovery *recovery_new_local(struct store *store, const struct recovery_settings *settings,
                                    uint64_t now_ms)
{
    struct keeper *r = mem_new(struct keeper);
    struct reading reading = { r, now_ms };

    pthread_mutex_init(&r->lock, NULL);
    r->recovery.ops = &local_ops;
    r->store = store;
    r->settings = *settings;
    /* What cannot be read was no promise: its clients subscribe anew. */
    store_each_room(store, read_room, &reading);
    return &r->recovery;
}
