/* What updates cost on their way through Redis to those who watch, beside a bare
 * subscriber that only counts them. Both hear jobs of their own from one Redis, in turn,
 * round after round, in one go, so that a busy machine is unfair to neither.
 *
 *     redis [--rounds N] [--seconds N] [--rate N] [--jobs N] [--threads N] [--node]
 *           [--way steady|window|flood] REELAY
 *
 * A worker publishes what ProgressReporter does on job_progress:{id}; the server has one
 * viewer per job, the subscriber is subscribed to as many channels. Three ways:
 *
 *   steady   so many updates a second: latency, and CPU time of each process
 *   window   as fast as they arrive, with so many under way
 *   flood    as fast as Redis takes them, whoever lags behind
 *
 * An update is a job's whole state, so the server may merge those of a job that wait;
 * the last of each must arrive, or the run ends with an error. --node: the server's part
 * between Redis and its viewers alone. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/err.h"
#include "broker.h"
#include "node.h"
#include "receivers.h"
#include "server.h"
#include "subscriber.h"
#include "support.h"

enum { ROUNDS_MAX = 99, JOBS_MAX = 20000, WINDOW = 256, FLOOD_WINDOW = 512, FLUSH_EVERY = 32 };

struct settings {
    const char *program;
    unsigned rounds, seconds, rate, jobs, threads; /* jobs 0: 1, 100 and 1,000 */
    bool is_node;
    const char *way; /* NULL: all */
};

enum way { STEADY, WINDOWED, FLOOD, WAYS };
static const char *const way_names[WAYS] = { "steady", "window", "flood" };
enum side { BARE, REELAY, SIDES };

/* One side in one round. */
struct figures {
    double cpu_us, redis_us; /* per update published */
    double p50_ms, p99_ms;
    double published, passed, delivered; /* a second */
    double merged;                       /* per 100 published */
    double behind_ms;                    /* from the last one published to the last heard */
};

struct series {
    struct figures of[ROUNDS_MAX];
    unsigned count;
};

struct contestant {
    const char *prefix;     /* of its jobs' ids */
    struct receivers hears; /* who counts */
    pid_t pid;              /* whose CPU time it is */
    uint64_t number;        /* of the last publication of each of its jobs */
};

struct arena {
    struct broker broker;
    struct server server;
    struct reporter reporter;
    struct contestant of[SIDES];
    unsigned jobs;
    bool is_node;
};

static void arena_open(struct arena *a, const struct settings *settings, unsigned jobs)
{
    struct contestant *bare = &a->of[BARE], *reelay = &a->of[REELAY];

    *a = (struct arena){ .jobs = jobs, .is_node = settings->is_node };
    bare->prefix = "bare-";
    reelay->prefix = "bench-";
    broker_start(&a->broker);
    subscriber_start(&bare->hears, &a->broker, bare->prefix, jobs);
    bare->pid = bare->hears.pid;
    if (a->is_node) {
        node_start(&reelay->hears, &a->broker, reelay->prefix, jobs);
        reelay->pid = reelay->hears.pid;
    } else {
        server_start(&a->server, settings->program, settings->threads, a->broker.url);
        receivers_start_each(&reelay->hears, jobs, a->server.port, "/ws/jobs/bench-", 2);
        reelay->pid = a->server.pid;
    }
    receivers_wait_connected(&bare->hears);
    receivers_wait_connected(&reelay->hears);
    reporter_open(&a->reporter, &a->broker, jobs);
}

/* Whole rounds of all jobs; the next of them, and how many there were. */
struct source {
    struct arena *arena;
    struct contestant *to;
    unsigned place;
    uint64_t count;
    bool is_final;
};

static void say_next(struct source *s)
{
    if (s->place == 0)
        s->to->number++;
    reporter_say(&s->arena->reporter, s->to->prefix, s->place, s->to->number, s->is_final);
    s->place = (s->place + 1) % s->arena->jobs;
    s->count++;
}

/* So many a second, 0: at once. */
static void say_steadily(struct source *s, uint64_t count, unsigned rate)
{
    uint64_t begin = now_ns();

    for (uint64_t i = 0; i < count; i++) {
        uint64_t due = rate > 0 ? begin + i * UINT64_C(1000000000) / rate : 0;
        if (now_ns() < due) {
            reporter_flush(&s->arena->reporter, 0);
            sleep_until_ns(due);
        }
        say_next(s);
    }
    reporter_flush(&s->arena->reporter, 0);
}

/* One of each job, and everybody has it. */
static void finish(struct source *s, unsigned rate)
{
    struct contestant *c = s->to;

    receivers_expect(&c->hears, c->number + 1);
    say_steadily(s, s->arena->jobs, rate);
    receivers_wait_reached(&c->hears);
    errno = 0;
    if (c->hears.report->lost > 0)
        die("%u viewers were lost", c->hears.report->lost);
    if (c->hears.report->disorders > 0)
        die("%llu updates came out of order", (unsigned long long)c->hears.report->disorders);
}

/* The end of each job is heard whatever was before. */
static void arena_close(struct arena *a)
{
    for (int side = 0; side < SIDES; side++)
        finish(&(struct source){ .arena = a, .to = &a->of[side], .is_final = true }, 0);
    reporter_close(&a->reporter);
    receivers_end(&a->of[BARE].hears);
    receivers_end(&a->of[REELAY].hears);
    if (!a->is_node)
        server_end(&a->server);
    broker_end(&a->broker);
}

static void complete(struct source *s)
{
    while (s->place != 0)
        say_next(s);
    reporter_flush(&s->arena->reporter, 0);
}

static void publish_steadily(struct source *s, unsigned rate, double seconds)
{
    uint64_t rounds = (uint64_t)(rate * seconds) / s->arena->jobs;

    if (rounds > 1)
        say_steadily(s, (rounds - 1) * s->arena->jobs, rate);
}

static void publish_windowed(struct source *s, double seconds)
{
    const struct tally *t = s->to->hears.report;
    uint64_t end = now_ns() + (uint64_t)(seconds * 1e9), before = t->passed;

    while (now_ns() < end) {
        uint64_t under_way = s->count - (t->passed - before);
        if (under_way >= WINDOW) {
            sleep_until_ns(now_ns() + 50000);
            continue;
        }
        for (; under_way < WINDOW; under_way++)
            say_next(s);
        reporter_flush(&s->arena->reporter, 0);
    }
    complete(s);
}

static void publish_flood(struct source *s, double seconds)
{
    uint64_t end = now_ns() + (uint64_t)(seconds * 1e9);

    while (now_ns() < end) {
        for (int i = 0; i < FLUSH_EVERY; i++)
            say_next(s);
        reporter_flush(&s->arena->reporter, FLOOD_WINDOW);
    }
    complete(s);
}

static struct figures measure(struct arena *a, enum side side, enum way way, unsigned rate,
                              double seconds)
{
    struct contestant *c = &a->of[side];
    struct tally *t = c->hears.report;
    struct source source = { .arena = a, .to = c };

    tally_forget_latency(t);
    uint64_t cpu = cpu_ns_of(c->pid), redis = cpu_ns_of(a->broker.pid), begin = now_ns();
    uint64_t frames = t->frames, passed = t->passed;
    if (way == STEADY)
        publish_steadily(&source, rate, seconds);
    else if (way == WINDOWED)
        publish_windowed(&source, seconds);
    else
        publish_flood(&source, seconds);
    double publishing = (double)(now_ns() - begin) / 1e9;
    uint64_t published = source.count;
    finish(&source, way == STEADY ? rate : 0);
    double until_heard = (double)(now_ns() - begin) / 1e9;
    double count = (double)source.count;
    return (struct figures){
        .cpu_us = (double)(cpu_ns_of(c->pid) - cpu) / 1e3 / count,
        .redis_us = (double)(cpu_ns_of(a->broker.pid) - redis) / 1e3 / count,
        .p50_ms = tally_latency_ms(t, 0.5),
        .p99_ms = tally_latency_ms(t, 0.99),
        .published = (double)published / publishing,
        .behind_ms = (until_heard - publishing) * 1e3,
        .passed = (double)(t->passed - passed) / until_heard,
        .delivered = (double)(t->frames - frames) / until_heard,
        .merged = 100 * (1 - (double)(t->frames - frames) / count),
    };
}

/* A median, and the quartiles around it. */
struct spread {
    double low, middle, high;
};

static struct spread spread_of(double *values, unsigned count)
{
    double middle = median(values, count); /* sorts */

    return (struct spread){ values[count / 4], middle, values[count - 1 - count / 4] };
}

static struct spread spread_in(const struct series *s, size_t offset)
{
    double values[ROUNDS_MAX];

    for (unsigned i = 0; i < s->count; i++)
        values[i] = *(const double *)((const char *)&s->of[i] + offset);
    return spread_of(values, s->count);
}

static void print_row(const char *what, const struct series both[SIDES], size_t offset,
                      const char *unit, int digits)
{
    double ratios[ROUNDS_MAX];
    struct spread bare = spread_in(&both[BARE], offset), reelay = spread_in(&both[REELAY], offset);

    for (unsigned i = 0; i < both[BARE].count; i++) {
        double below = *(const double *)((const char *)&both[BARE].of[i] + offset);
        ratios[i] =
            below > 0 ? *(const double *)((const char *)&both[REELAY].of[i] + offset) / below : 0;
    }
    struct spread ratio = spread_of(ratios, both[BARE].count);
    printf("  %-26s %10.*f %11.*f %-3s [%.*f..%.*f]", what, digits, bare.middle, digits,
           reelay.middle, unit, digits, reelay.low, digits, reelay.high);
    if (ratio.middle > 0)
        printf("  ratio %.2f [%.2f..%.2f]", ratio.middle, ratio.low, ratio.high);
    putchar('\n');
}

#define ROW(what, field, unit, digits)                                                             \
    print_row(what, both, offsetof(struct figures, field), unit, digits)

static void print_way(enum way way, const struct series both[SIDES])
{
    printf(" %-27s %10s %11s\n", way_names[way], "subscriber", "reelay");
    if (way != STEADY) {
        ROW("published a second", published, "", 0);
        ROW("passed a second", passed, "", 0);
        ROW("delivered a second", delivered, "", 0);
        ROW("merged", merged, "%", 1);
        ROW("behind at the end", behind_ms, "ms", 0);
    }
    if (way == STEADY) {
        ROW("latency, median", p50_ms, "ms", 2);
        ROW("latency, 99th percentile", p99_ms, "ms", 2);
    }
    ROW("CPU per update", cpu_us, "us", 1);
    ROW("of Redis per update", redis_us, "us", 1);
}

static void measure_way(struct arena *a, const struct settings *settings, enum way way)
{
    struct series both[SIDES] = { { .count = settings->rounds }, { .count = settings->rounds } };

    a->reporter.unheard = 0;
    for (unsigned i = 0; i < settings->rounds; i++)
        for (int k = 0; k < SIDES; k++) {
            enum side side = (i + (unsigned)k) % 2 ? REELAY : BARE;
            both[side].of[i] = measure(a, side, way, settings->rate, settings->seconds);
        }
    print_way(way, both);
    if (a->reporter.unheard > 0)
        printf("  nobody was subscribed to %llu messages\n",
               (unsigned long long)a->reporter.unheard);
    fflush(stdout);
}

static double load(void)
{
    double average = 0;

    if (getloadavg(&average, 1) != 1)
        die("getloadavg");
    return average;
}

static void compare(const struct settings *settings, unsigned jobs)
{
    struct arena a;

    printf("\n%u jobs, a viewer each; steady: %u updates a second; load %.1f\n", jobs,
           settings->rate, load());
    arena_open(&a, settings, jobs);
    measure(&a, BARE, STEADY, settings->rate, 0.5);
    measure(&a, REELAY, STEADY, settings->rate, 0.5);
    for (int way = 0; way < WAYS; way++)
        if (settings->way == NULL || strcmp(settings->way, way_names[way]) == 0)
            measure_way(&a, settings, (enum way)way);
    arena_close(&a);
    printf("  each job's end was delivered; load %.1f\n", load());
}

static void usage(void)
{
    fputs("usage: redis [--rounds N] [--seconds N] [--rate N] [--jobs N] [--threads N] [--node]"
          " [--way steady|window|flood] REELAY\n",
          stderr);
    exit(2);
}

static void read_options(int argc, char **argv, struct settings *out)
{
    static const struct option options[] = {
        { "rounds", required_argument, NULL, 'r' },  { "seconds", required_argument, NULL, 's' },
        { "threads", required_argument, NULL, 't' }, { "rate", required_argument, NULL, 'u' },
        { "jobs", required_argument, NULL, 'j' },    { "node", no_argument, NULL, 'n' },
        { "way", required_argument, NULL, 'w' },     { 0 }
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'r': out->rounds = number_of(optarg, ROUNDS_MAX); break;
        case 's': out->seconds = number_of(optarg, 20); break;
        case 't': out->threads = number_of(optarg, 64); break;
        case 'u': out->rate = number_of(optarg, 1000000); break;
        case 'j': out->jobs = number_of(optarg, JOBS_MAX); break;
        case 'n': out->is_node = true; break;
        case 'w': out->way = optarg; break;
        default: usage();
        }
    }
    if (optind + 1 != argc)
        usage();
    out->program = argv[optind];
}

int main(int argc, char **argv)
{
    static const unsigned counts[] = { 1, 100, 1000 };
    struct settings settings = { .rounds = 9, .seconds = 1, .rate = 1000, .threads = 1 };
    struct utsname kernel;

    read_options(argc, argv, &settings);
    uname(&kernel);
    printf("redis: %ld cores, Linux %s, %u rounds of %u s, medians and quartiles, %u I/O thread(s)"
           "%s\n",
           sysconf(_SC_NPROCESSORS_ONLN), kernel.release, settings.rounds, settings.seconds,
           settings.threads, settings.is_node ? ", no viewers' sockets" : "");
    raise_descriptor_limit();
    cores_part();
    stay_on(RECEIVERS_CORE); /* who publishes is a client too, and Redis is beside it */
    if (settings.jobs > 0) {
        compare(&settings, settings.jobs);
        return 0;
    }
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++)
        compare(&settings, counts[i]);
    return 0;
}
