#include "io/redis_greeting.h"

#include <stdio.h>

#include "base/err.h"

enum { QUOTE_MAX = 200 };

static void say(struct greeting *g, enum greeting_word word, const struct str *args, size_t count,
                struct buf *out)
{
    g->words[g->count++] = word;
    redis_format(out, args, count);
}

void greeting_say(struct greeting *g, const struct redis_url *url, const char *name,
                  struct buf *out)
{
    char db[16];

    *g = (struct greeting){ 0 };
    if (url->password != NULL) {
        const struct str args[] = { STR("AUTH"), str_of(url->user), str_of(url->password) };
        const struct str alone[] = { args[0], args[2] };
        say(g, GREET_AUTH, url->user ? args : alone, url->user ? 3 : 2, out);
    }
    snprintf(db, sizeof(db), "%u", url->db);
    if (url->db != 0)
        say(g, GREET_SELECT, (struct str[]){ STR("SELECT"), str_of(db) }, 2, out);
    if (name != NULL)
        say(g, GREET_NAME, (struct str[]){ STR("CLIENT"), STR("SETNAME"), str_of(name) }, 3, out);
    say(g, GREET_PING, (struct str[]){ STR("PING") }, 1, out);
}

/* Redis may have a user without the right to some of this. */
static bool is_tolerable(enum greeting_word word, const struct redis_reply *reply)
{
    return (word == GREET_NAME || word == GREET_PING) &&
           (redis_reply_is_error(reply, "NOPERM") ||
            str_starts(reply->text, STR("ERR unknown command")) ||
            str_starts(reply->text, STR("ERR unknown subcommand")));
}

static int refused(enum greeting_word word, const struct redis_reply *reply, struct buf *why)
{
    static const char *const names[] = { "AUTH", "SELECT", "CLIENT SETNAME", "PING" };
    int err = redis_reply_err(reply);
    struct str text = reply->text;

    if (str_starts(text, STR("ERR max number of clients")))
        err = FAIL_STATE;
    else if (err == FAIL_SYNTAX)
        err = FAIL_DENIED;
    /* Where AUTH was renamed, Redis repeats what it was given: the password. */
    if (word == GREET_AUTH && str_starts(text, STR("ERR unknown")))
        text = STR("Redis knows no AUTH");
    buf_printf(why, "%s: %.*s", names[word], text.len < QUOTE_MAX ? (int)text.len : QUOTE_MAX,
               text.at);
    return err;
}

int greeting_answered(struct greeting *g, const struct redis_reply *reply, struct buf *why)
{
    enum greeting_word word = g->words[g->answered++];

    if (reply->type == REDIS_ERROR && !is_tolerable(word, reply))
        return refused(word, reply, why);
    return reply->type == REDIS_STATUS || reply->type == REDIS_ERROR ? OK : FAIL_SYNTAX;
}

bool greeting_is_over(const struct greeting *g)
{
    return g->answered == g->count;
}
