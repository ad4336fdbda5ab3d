/* What Redis is told of the clients that are here. */

#include "base/err.h"
#include "base/mem.h"
#include "fleet/keys.h"
#include "fleet/rooms_internal.h"

/* At one tick, and at a time; joins and parts in between are not counted. */
enum { TELL_BATCH = 200, WORDS_MAX = 1000, FIXED_ARGS = 7 };

/* A few refreshes may be missed. */
uint32_t rooms_kept_ms(const struct fleet_rooms *r)
{
    return r->settings.lifetime_ms + 2 * r->settings.refresh_ms;
}

static uint64_t kept_ms(const struct guest *g)
{
    const struct fleet_rooms *r = g->owner;
    uint64_t away_ms = g->is_lost ? rooms_now(r) - g->lost_ms : 0;

    if (!g->is_lost || g->is_over)
        return rooms_kept_ms(r);
    return away_ms < r->settings.lifetime_ms ? r->settings.lifetime_ms - away_ms : 1;
}

static void hurry(struct guest *g)
{
    DL_DELETE(g->owner->due, g);
    g->due_ms = 0;
    DL_PREPEND(g->owner->due, g);
}

/* What Redis is told all of, it need not be told to let go of. */
void guest_tell_all(struct guest *g)
{
    struct room *room, *next;

    g->is_new = g->is_changed = true;
    HASH_ITER(hh, g->rooms, room, next)
    {
        room->is_told = room->is_sent = false;
        if (room->is_parted)
            guest_drop_room(g, room);
    }
    hurry(g);
}

static void put_off(struct guest *g)
{
    DL_DELETE(g->owner->due, g);
    g->due_ms = rooms_now(g->owner) + g->owner->settings.refresh_ms;
    DL_APPEND(g->owner->due, g);
}

static void note_told(struct guest *g, const struct word *w)
{
    struct room *room, *next;

    HASH_ITER(hh, g->rooms, room, next)
    {
        if (!room->is_sent)
            continue;
        room->is_told = true;
        room->is_sent = false;
        if (room->is_parted)
            guest_drop_room(g, room);
    }
    if (w->is_end)
        guest_remove(g);
    else if (g->is_changed)
        guest_tell(g);
}

static bool is_answer(const struct redis_reply *reply, const char *word)
{
    return reply->type == REDIS_TEXT && str_equal(reply->text, str_of(word));
}

static void judge(struct guest *g, const struct word *w, int err, const struct redis_reply *reply)
{
    if (err == OK && is_answer(reply, "ok")) {
        note_told(g, w);
        return;
    }
    /* A claim of ours came between the word and its answer, unless it was another's. */
    if (err == OK && is_answer(reply, "lost") && w->token == g->token) {
        guest_remove(g);
        return;
    }
    guest_tell_all(g);
    if (err == OK)
        guest_tell(g);
    else
        put_off(g);
}

static void answered(void *context, int err, const struct redis_reply *reply)
{
    struct word *w = context;
    struct guest *g = w->guest;

    if (g != NULL) {
        g->word = NULL;
        g->owner->word_count--;
        judge(g, w, err, reply);
    }
    mem_free(w);
}

/* Joined ones first; gives how many those are. */
static size_t list_untold(struct guest *g, struct str *args, size_t *count)
{
    size_t joined = 0;

    for (int parted = 0; parted < 2; parted++)
        for (struct room *room = g->rooms; room != NULL; room = room->hh.next)
            if (!room->is_told && room->is_parted == (parted == 1)) {
                args[(*count)++] = str_of(room->job);
                joined += parted == 0;
            }
    return joined;
}

static void mark_sent(struct guest *g, struct word *w)
{
    for (struct room *room = g->rooms; room != NULL; room = room->hh.next)
        room->is_sent = !room->is_told;
    g->word = w;
    g->owner->word_count++;
    g->is_new = g->is_changed = false;
    put_off(g);
}

static int send_word(struct guest *g, struct word *w)
{
    struct fleet_rooms *r = g->owner;
    struct fleet_key key = fleet_key_room(g->pid);
    char token[STR_U64_SIZE], ttl[STR_U64_SIZE], joined[STR_U64_SIZE];
    struct str *args = mem_alloc((FIXED_ARGS + HASH_COUNT(g->rooms)) * sizeof(*args));
    size_t count = FIXED_ARGS;

    args[0] = fleet_key_str(&key);
    args[1] = str_of_u64(g->token, token);
    args[2] = str_of_u64(kept_ms(g), ttl);
    args[3] = w->is_end ? STR("end") : w->is_all ? STR("all") : STR("some");
    args[4] = str_of(g->sid);
    args[5] = str_of(g->subject);
    args[6] = str_of_u64(list_untold(g, args, &count), joined);
    int err = r->port->ops->run(r->port, &r->tell, 1, args, count, answered, w);
    mem_free(args);
    return err;
}

void guest_tell(struct guest *g)
{
    struct fleet_rooms *r = g->owner;

    if (g->word != NULL || r->is_closed)
        return;
    if (!r->port->ops->is_up(r->port)) {
        guest_tell_all(g);
        return;
    }
    struct word *w = mem_new(struct word);
    *w = (struct word){ .guest = g, .token = g->token, .is_all = g->is_new, .is_end = g->is_over };
    if (send_word(g, w) == OK) {
        mark_sent(g, w);
        return;
    }
    mem_free(w);
    guest_tell_all(g);
}

void rooms_tell_due(struct fleet_rooms *r)
{
    uint64_t now_ms = rooms_now(r);

    if (!r->port->ops->is_up(r->port))
        return;
    for (int i = 0; i < TELL_BATCH && r->word_count < WORDS_MAX; i++) {
        struct guest *g = r->due;
        if (g == NULL || g->due_ms > now_ms)
            return;
        put_off(g);
        guest_tell(g);
        if (g->due_ms == 0)
            return; /* the port takes no more */
    }
}
