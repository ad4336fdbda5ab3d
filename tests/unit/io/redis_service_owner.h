/* Who has a redis_service, and what it was told: for the tests of every
 * deployment. */
#ifndef TESTS_REDIS_SERVICE_OWNER_H
#define TESTS_REDIS_SERVICE_OWNER_H

#include "io/redis_service.h"
#include "redis_harness.h"

enum { OWNER_TEXT_MAX = 512, OWNER_LOG_MAX = 16 * 1024 };

struct service_owner {
    uv_loop_t loop;
    struct redis_service *service;
    int ups, downs, heards, pushes, refusals;
    bool was_up;
    int err;
    size_t log_len;
    char why[OWNER_TEXT_MAX], heard[OWNER_TEXT_MAX], push[OWNER_TEXT_MAX], refused[OWNER_TEXT_MAX];
    char log[OWNER_LOG_MAX]; /* "up ", "down ", "heard:kind:name " in their order */
    bool closes_on_up, closes_on_down, closes_on_heard, closes_on_push;
};

struct service_answer {
    int count, err;
    enum redis_type type;
    int64_t integer;
    size_t len; /* of all its text */
    char text[OWNER_TEXT_MAX];
    struct service_owner *closes; /* within it */
};

struct service_owner *owner_new(void);
void owner_free(struct service_owner *o); /* closes; the loop has to close clean */

/* With waits that are short. */
struct redis_settings owner_settings(void);
void owner_open(struct service_owner *o, const char *url, const struct redis_settings *settings);
void owner_open_up(struct service_owner *o, const char *url);

/* The words of a command; its second is the key. */
int owner_send(struct service_owner *o, struct service_answer *a, const char *words);
void owner_ask(struct service_owner *o, struct service_answer *a, const char *words);
void owner_expect(struct service_owner *o, const char *words, const char *text);
void owner_on_answer(void *context, int err, const struct redis_reply *reply);

void owner_subscribe(struct service_owner *o, const char *name, enum redis_topic kind);

/* Asks again until it succeeds: while a failover is under way. */
void owner_insist(struct service_owner *o, const char *words, const char *text);

#endif
