/* What the commands that talk to a server share: where it is, the token, calls
 * and what their failures are called. One thread, one loop; a command is written
 * as a sequence that runs the loop whenever it waits. Ctrl-C ends every wait. */
#ifndef CMD_CLIENT_H
#define CMD_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/config.h"
#include "io/fetch.h"

/* Exit statuses. */
enum {
    EXIT_DONE = 0,
    EXIT_REFUSED = 1, /* the job failed, or the server said no */
    EXIT_USAGE = 2,
    EXIT_UNREACHABLE = 3,
    EXIT_INTERRUPTED = 130, /* as a shell has it: 128 + SIGINT */
};

#define CLIENT_SERVER_DEFAULT "http://127.0.0.1:3001"

struct client_options {
    const char *server; /* NULL: nobody said which */
    const char *token, *ca_file;
    const char *engine; /* as `serve` has it; NULL: none */
    bool wants_json;
};

/* Rows for a command whose struct has a struct client_options `field`: which
 * server, and all. */
#define CLIENT_SERVER_OPTIONS(command, field)                                                      \
    { .name = "server",                                                                            \
      .type = OPTION_TEXT,                                                                         \
      .offset = offsetof(command, field.server),                                                   \
      .value = "URL",                                                                              \
      .help = "where the server is, if not at " CLIENT_SERVER_DEFAULT },                           \
        { .name = "token",                                                                         \
          .type = OPTION_TEXT,                                                                     \
          .offset = offsetof(command, field.token),                                                \
          .value = "TOKEN",                                                                        \
          .help = "who you are; a server on this machine gives one by itself" },                   \
    {                                                                                              \
        .name = "ca-file", .type = OPTION_TEXT, .offset = offsetof(command, field.ca_file),        \
        .value = "FILE", .help = "certificates to trust (PEM) instead of the system's"             \
    }

/* For commands that can also report through Redis. */
#define CLIENT_ENGINE_OPTION(command, field)                                                       \
    {                                                                                              \
        .name = "engine", .type = OPTION_TEXT, .offset = offsetof(command, field.engine),          \
        .value = "URL",                                                                            \
        .help = "a Redis to report to (redis://...), not to a server; else REDIS_URL, unless "     \
                "a server is named"                                                                \
    }

#define CLIENT_OPTIONS(command, field)                                                             \
    CLIENT_SERVER_OPTIONS(command, field),                                                         \
    {                                                                                              \
        .name = "json", .type = OPTION_FLAG, .offset = offsetof(command, field.wants_json),        \
        .help = "one JSON object per line, also on a terminal"                                     \
    }

struct client {
    uv_loop_t loop;
    uv_timer_t wake;
    uv_signal_t signals[2];
    struct fetcher *fetcher;
    char *base;          /* "http://host:port", no slash at its end */
    char *token;         /* NULL: none */
    bool has_session;    /* the server gave the token; it gives another */
    bool is_interrupted; /* Ctrl-C, or SIGTERM */
};

/* The Redis to report to, or NULL: to a server. Who names a server, names no
 * Redis that happens to be in the environment for something else. */
const char *client_engine(const struct client_options *o);

/* FAIL_SYNTAX with `why` (a usage error): the URL or the token is none. */
int client_init(struct client *c, const struct client_options *options, struct buf *why);
void client_deinit(struct client *c);

/* Runs the loop until something happened, at most that long. False: interrupted. */
bool client_run(struct client *c, uint64_t at_most_ms);
bool client_sleep(struct client *c, uint64_t ms);

enum { CLIENT_WHY_MAX = 512 };

struct client_answer {
    int err; /* as struct fetch_answer's */
    int status;
    json_t *json;             /* of a 2xx: an object, or NULL; one reference */
    char code[64];            /* the error's code, or "" */
    char why[CLIENT_WHY_MAX]; /* what went wrong, for people; "" on 2xx */
};

bool client_is_good(const struct client_answer *a); /* 2xx */
void client_answer_free(struct client_answer *a);
void client_answer_read(const struct client *c, const struct fetch_answer *from,
                        struct client_answer *out);

/* Trying again may help: the connection broke or there was none, 408, 429, and
 * 5xx except those that say "never" (501, 505) or "full" (507). */
bool client_is_transient(int err, int status);

/* 500 ms, doubling with each attempt (0, 1, ...) up to `most_ms`, of which
 * between half and all, by `random`, so that clients do not come in step. */
uint64_t client_backoff_ms(unsigned attempt, uint64_t most_ms, uint64_t random);

/* Which exit status a failed answer leads to. */
int client_exit_status(const struct client_answer *a);

/* Begins a call with a JSON body (or NULL); `path` begins with '/'. */
struct fetch *client_begin(struct client *c, const char *method, const char *path, const char *body,
                           void (*done)(void *context, const struct fetch_answer *), void *context);

/* The same, and waits for it; transient failures are tried `tries` times in
 * all, and an expired session is renewed once. An interruption is
 * FAIL_CANCELLED. */
void client_call(struct client *c, unsigned tries, const char *method, const char *path,
                 const char *body, struct client_answer *out);

/* Gets a token from a server on this machine if none was given. That it has
 * none to give is no failure here: the next call will tell. */
void client_login(struct client *c, struct client_answer *out);

/* Members of an answer; NULL or the fallback when absent or of another type. */
const char *client_text(const json_t *object, const char *name);
double client_number(const json_t *object, const char *name, double fallback);

#endif
