#include "api/turns.h"

#include <pthread.h>
#include <string.h>

#include <uthash.h>
#include <utlist.h>

#include "base/mem.h"

/* The first has the turn, the others wait. */
struct line {
    UT_hash_handle hh;
    struct turn *turns;
    char id[];
};

struct turns {
    pthread_mutex_t lock;
    struct line *lines;
    uint64_t taken;
};

struct turns *turns_new(void)
{
    struct turns *ts = mem_new(struct turns);

    pthread_mutex_init(&ts->lock, NULL);
    return ts;
}

void turns_free(struct turns *ts)
{
    if (ts == NULL)
        return;
    pthread_mutex_destroy(&ts->lock);
    mem_free(ts);
}

/* It may have left before it is opened, so it names its addressee. */
struct notice {
    struct mail mail;
    struct turns *turns;
    uint64_t number;
    char id[];
};

static struct line *find(struct turns *ts, const char *id)
{
    struct line *l;

    HASH_FIND_STR(ts->lines, id, l);
    return l;
}

static void notice_open(struct mail *mail)
{
    struct notice *n = (struct notice *)mail;

    pthread_mutex_lock(&n->turns->lock);
    struct line *l = find(n->turns, n->id);
    struct turn *t = l != NULL && l->turns->number == n->number ? l->turns : NULL;
    pthread_mutex_unlock(&n->turns->lock);
    /* It leaves only on this thread. */
    if (t != NULL)
        t->unwanted(t);
    mem_free(n);
}

static void give_notice(struct turns *ts, struct line *l)
{
    struct turn *t = l->turns;
    size_t len = strlen(l->id);

    if (t->unwanted == NULL)
        return;
    struct notice *n = mem_zalloc(sizeof(*n) + len + 1);
    n->mail.open = notice_open;
    n->turns = ts;
    n->number = t->number;
    memcpy(n->id, l->id, len);
    mailbox_post(t->home, &n->mail);
}

static void grant_open(struct mail *mail)
{
    struct turn *t = ((struct grant *)mail)->turn;

    t->granted(t);
}

static struct line *line_of(struct turns *ts, const char *id)
{
    struct line *l = find(ts, id);
    size_t len = strlen(id);

    if (l != NULL)
        return l;
    l = mem_zalloc(sizeof(*l) + len + 1);
    memcpy(l->id, id, len);
    HASH_ADD_KEYPTR(hh, ts->lines, l->id, len, l);
    return l;
}

bool turn_take(struct turns *ts, struct turn *t, const char *id)
{
    t->grant.mail.open = grant_open;
    t->grant.turn = t;
    pthread_mutex_lock(&ts->lock);
    t->number = ++ts->taken;
    struct line *l = line_of(ts, id);
    bool is_first = l->turns == NULL;
    bool is_second = !is_first && l->turns->next == NULL;
    t->line = l;
    DL_APPEND(l->turns, t);
    if (is_second)
        give_notice(ts, l);
    pthread_mutex_unlock(&ts->lock);
    return is_first;
}

void turn_leave(struct turns *ts, struct turn *t)
{
    pthread_mutex_lock(&ts->lock);
    struct line *l = t->line;
    DL_DELETE(l->turns, t);
    if (l->turns == NULL) {
        HASH_DEL(ts->lines, l);
        mem_free(l);
    } else {
        mailbox_post(l->turns->home, &l->turns->grant.mail);
        if (l->turns->next != NULL)
            give_notice(ts, l);
    }
    pthread_mutex_unlock(&ts->lock);
}
