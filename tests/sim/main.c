/* Runs world after world, each from its own seed, for as long as SIM_SECONDS says;
 * with SIM_SEED just that one, and what happened in it is told. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "facts.h"

enum { TROUBLE_US = 40 * SECOND, LIMIT_US = 300 * SECOND, QUIET_US = 100 * SECOND };
enum { SECONDS = 60 };

struct tally {
    uint64_t worlds, steps, records, posts, claims, losses, steps_back;
};

static uint64_t current;

/* Whatever ends the program names the world that it was in. */
static void died(int number)
{
    char text[64];
    int len = snprintf(text, sizeof(text), "\nin the world of SIM_SEED=%" PRIu64 "\n", current);

    if (write(STDERR_FILENO, text, (size_t)len) != len)
        _exit(1);
    signal(number, SIG_DFL);
    raise(number);
}

void __asan_on_error(void);
void __asan_on_error(void)
{
    fprintf(stderr, "in the world of SIM_SEED=%" PRIu64 "\n", current);
}

static void run(struct world *w)
{
    world_run(w, TROUBLE_US);
    script_calm(w);
    while (!w->is_failed && !script_is_over(w->script) && w->now_us < LIMIT_US)
        world_run(w, w->now_us + SECOND);
    const struct actor *a = script_unfinished(w->script);
    if (a != NULL)
        world_fail(w, "%s has come to no end (step %d)", a->id, a->step);
    world_run(w, w->now_us + QUIET_US);
    if (!w->is_failed)
        facts_settled(w);
}

static bool run_seed(uint64_t seed, FILE *trace, struct tally *t)
{
    struct world w;

    current = seed;
    world_init(&w, seed, trace);
    w.facts = facts_new();
    w.redis.offset_us = INT64_C(1700000000) * SECOND;
    redis_start(&w, MEMORY_NONE);
    for (int i = 0; i < NODES; i++)
        w.nodes[i] = node_new(&w, i);
    script_new(&w);
    for (int i = 0; i < NODES; i++)
        node_start(w.nodes[i]);
    run(&w);
    t->worlds++;
    t->steps += w.steps;
    t->records += w.facts->records;
    t->posts += w.facts->posts;
    t->claims += w.facts->claims;
    t->losses += w.facts->losses;
    t->steps_back += w.facts->steps_back;
    bool is_well = !w.is_failed;
    if (!is_well && trace == NULL)
        printf("SIM_SEED=%" PRIu64 ": %s\n", seed, w.failure);
    w.trace = NULL;
    w.is_failed = true; /* what comes now is no fact */
    for (int i = 0; i < NODES; i++)
        node_crash(w.nodes[i]);
    world_deinit(&w);
    for (int i = 0; i < NODES; i++)
        node_free(w.nodes[i]);
    script_free(w.script);
    facts_free(w.facts);
    return is_well;
}

/* The same world again: the last of what happened there. */
static void tell_end(uint64_t seed)
{
    enum { LINES = 60, LINE_MAX_LEN = 240 };
    static char lines[LINES][LINE_MAX_LEN];
    struct tally t = { 0 };
    uint64_t count = 0;
    FILE *trace = tmpfile();

    if (trace == NULL)
        return;
    run_seed(seed, trace, &t);
    rewind(trace);
    while (fgets(lines[count % LINES], LINE_MAX_LEN, trace) != NULL)
        count++;
    fclose(trace);
    for (uint64_t i = count > LINES ? count - LINES : 0; i < count; i++)
        fputs(lines[i % LINES], stdout);
}

/* Else no failure could be had again. */
static bool is_same_again(uint64_t seed)
{
    struct tally a = { 0 }, b = { 0 };

    run_seed(seed, NULL, &a);
    run_seed(seed, NULL, &b);
    if (memcmp(&a, &b, sizeof(a)) != 0)
        printf("SIM_SEED=%" PRIu64 " is another world the second time\n", seed);
    return memcmp(&a, &b, sizeof(a)) == 0;
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text != NULL && *text != '\0' ? strtoull(text, NULL, 10) : otherwise;
}

int main(void)
{
    uint64_t seconds = number_of("SIM_SECONDS", SECONDS), seed = number_of("SIM_SEED", 0);
    uint64_t first = number_of("SIM_FIRST", 1), begin = clock_mono_ms();
    uint64_t failures_max = number_of("SIM_FAILURES", 1), failures = 0;
    struct tally t = { 0 };

    signal(SIGABRT, died);
    signal(SIGSEGV, died);
    log_setup(seed != 0 ? LOG_INFO : LOG_ERROR, LOG_LOGFMT);
    if (seed != 0)
        return run_seed(seed, stdout, &t) ? 0 : 1;
    failures += !is_same_again(first);
    for (seed = first; clock_mono_ms() - begin < seconds * 1000 && failures < failures_max;
         seed++) {
        bool is_well = run_seed(seed, NULL, &t);
        failures += !is_well;
        if (!is_well && failures_max == 1)
            tell_end(seed);
    }
    printf("%" PRIu64 " worlds, %" PRIu64 " steps, %" PRIu64 " records, %" PRIu64 " seen, %" PRIu64
           " claims, %" PRIu64 " records lost, %" PRIu64 " steps back at another node\n",
           t.worlds, t.steps, t.records, t.posts, t.claims, t.losses, t.steps_back);
    if (failures > 0)
        puts("all of it: SIM_SEED=N BUILD/tests/sim/sim-nodes");
    return failures > 0;
}
