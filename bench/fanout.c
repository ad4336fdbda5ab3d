/* What one job's updates cost on their way to everybody who watches it, beside
 * a bare loop of send() over as many sockets. Both run in turn, round after
 * round, in one go, so that a busy machine is unfair to neither.
 *
 *     fanout [--rounds N] [--seconds N] [--threads N] [--part small|large|flood|idle]
 *            [--free] REELAY
 *
 * Senders have the first core to themselves and all clients the last. Left to the
 * scheduler, a sender now and then shares a core with its receivers, and then
 * pays half: it wakes up nobody elsewhere. Which side has that luck decides more
 * than what is measured here. With --free, or several threads, it is left so.
 *
 * The server's CPU time is that of its process: all threads, HTTP and the
 * record on disk included. What publishing costs without viewers is measured
 * as well, and shown beside. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bare.h"
#include "base/err.h"
#include "publisher.h"
#include "receivers.h"
#include "server.h"
#include "support.h"

enum {
    FRAME_SIZE = 220,
    ROUNDS_MAX = 99,
    IDLE_CONNECTIONS = 19000,
    WARM_CONNECTIONS = 100,
    PUBLISH_RATE = 100, /* where only publishing is measured */
    FLOOD_LINES = 16,
};

static const double RATIO_AIM = 1.1, IDLE_AIM = 1024;

struct settings {
    const char *program;
    unsigned rounds, seconds, threads;
    const char *part; /* NULL: all */
    bool is_free;     /* the scheduler places everybody as it likes */
};

/* One side of a comparison in one round. */
struct figures {
    double cpu_us; /* per delivery */
    double p50_ms, p99_ms;
    double per_second; /* deliveries */
    uint64_t missing;  /* deliveries */
};

struct series {
    struct figures of[ROUNDS_MAX];
    unsigned count;
};

static double median_of(const struct series *s, size_t offset)
{
    double values[ROUNDS_MAX];

    for (unsigned i = 0; i < s->count; i++)
        values[i] = *(const double *)((const char *)&s->of[i] + offset);
    return median(values, s->count);
}

#define MEDIAN(series, field) median_of(series, offsetof(struct figures, field))

static uint64_t missing_in(const struct series *s)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < s->count; i++)
        sum += s->of[i].missing;
    return sum;
}

/* Both sides of a comparison, connected. */
struct arena {
    struct server server;
    struct bare bare;
    struct receivers watching, bared;
    struct publisher publisher;
};

/* The first update tells how large a frame is; padding makes up the rest. */
static void settle_frame_size(struct arena *a)
{
    struct publisher *p = &a->publisher;

    for (int i = 0; i < 2; i++) {
        receivers_expect(&a->watching, p->number + 1);
        publish(p, "bench");
        receivers_wait_reached(&a->watching);
        unsigned size = a->watching.report->frame_size;
        if (size == FRAME_SIZE)
            return;
        if (i > 0 || size > FRAME_SIZE)
            die("frames have %u bytes, not %d", size, FRAME_SIZE);
        p->padding = FRAME_SIZE - size;
    }
}

static void arena_open(struct arena *a, const struct settings *settings, unsigned viewers)
{
    server_start(&a->server, settings->program, settings->threads, NULL);
    bare_start(&a->bare, viewers);
    receivers_start(&a->watching, viewers, a->server.port, "/ws/jobs/bench", 2);
    receivers_start(&a->bared, viewers, a->bare.port, NULL, 3);
    receivers_wait_connected(&a->watching);
    receivers_wait_connected(&a->bared);
    publisher_open(&a->publisher, a->server.port, FLOOD_LINES);
    settle_frame_size(a);
}

static void arena_close(struct arena *a)
{
    publisher_close(&a->publisher);
    receivers_end(&a->watching);
    receivers_end(&a->bared);
    bare_end(&a->bare);
    server_end(&a->server);
}

/* Around one measurement. */
struct gauge {
    struct receivers *receivers;
    pid_t pid;
    uint64_t cpu_ns, began_ns, frames;
};

static struct gauge gauge_begin(struct receivers *r, pid_t pid)
{
    tally_forget_latency(r->report);
    return (struct gauge){ r, pid, cpu_ns_of(pid), now_ns(), r->report->frames };
}

static void check_receivers(const struct receivers *r)
{
    const struct tally *seen = r->report;

    errno = 0;
    if (seen->lost > 0)
        die("%u viewers were lost", seen->lost);
    if (seen->disorders > 0)
        die("%llu updates came out of order", (unsigned long long)seen->disorders);
}

/* The last publication has reached everybody: whatever is not counted now was
 * left out. */
static struct figures gauge_end(const struct gauge *g, uint64_t publications)
{
    uint64_t frames = g->receivers->report->frames - g->frames;
    uint64_t due = publications * g->receivers->count;

    check_receivers(g->receivers);
    return (struct figures){
        .cpu_us = (double)(cpu_ns_of(g->pid) - g->cpu_ns) / 1e3 / (double)frames,
        .per_second = (double)frames * 1e9 / (double)(now_ns() - g->began_ns),
        .p50_ms = tally_latency_ms(g->receivers->report, 0.5),
        .p99_ms = tally_latency_ms(g->receivers->report, 0.99),
        .missing = due - frames,
    };
}

static struct figures measure_bare(struct arena *a, unsigned per_second, double seconds)
{
    struct gauge g = gauge_begin(&a->bared, a->bare.pid);
    uint64_t count = bare_publish_for(&a->bare, FRAME_SIZE, per_second, seconds);

    receivers_expect(&a->bared, a->bare.number + 1);
    bare_publish(&a->bare, FRAME_SIZE);
    receivers_wait_reached(&a->bared);
    return gauge_end(&g, count + 1);
}

/* `lines` publishes are under way at a time. */
static struct figures measure_reelay(struct arena *a, unsigned per_second, double seconds,
                                     unsigned lines)
{
    struct publisher *p = &a->publisher;
    struct gauge g = gauge_begin(&a->watching, a->server.pid);

    /* Of reports under way at the same time, any may be accepted first. */
    a->watching.report->is_unordered = lines > 1;
    p->lines = lines;
    uint64_t count = publish_for(p, "bench", per_second, seconds);
    receivers_expect(&a->watching, p->number + 1);
    publish(p, "bench");
    receivers_wait_reached(&a->watching);
    p->lines = FLOOD_LINES;
    a->watching.report->is_unordered = false;
    return gauge_end(&g, count + 1);
}

/* Microseconds of CPU time per publication that nobody watches. */
static double measure_publishing(struct arena *a, double seconds)
{
    uint64_t before = cpu_ns_of(a->server.pid);
    uint64_t count = publish_for(&a->publisher, "unwatched", PUBLISH_RATE, seconds);

    return (double)(cpu_ns_of(a->server.pid) - before) / 1e3 / (double)count;
}

static void judge(const char *what, double value, double aim, const char *unit)
{
    bool is_met = value <= aim;

    printf("  %-38s %8.2f%s  (aim: at most %.4g%s)%s\n", what, value, unit, aim, unit,
           is_met ? "" : "  MISSED");
}

static void print_pair(const char *what, double bare, double reelay, const char *unit)
{
    printf("  %-38s %8.2f%s %12.2f%s\n", what, bare, unit, reelay, unit);
}

static void compare(const struct settings *settings, unsigned viewers, unsigned per_second)
{
    struct series bare = { .count = settings->rounds }, reelay = { .count = settings->rounds };
    double ratios[ROUNDS_MAX], net_ratios[ROUNDS_MAX], publishing[ROUNDS_MAX];
    double seconds = settings->seconds;
    struct arena a;

    arena_open(&a, settings, viewers);
    measure_bare(&a, per_second, 1);
    measure_reelay(&a, per_second, 1, 1);
    for (unsigned i = 0; i < settings->rounds; i++) {
        if (i % 2)
            reelay.of[i] = measure_reelay(&a, per_second, seconds, 1);
        bare.of[i] = measure_bare(&a, per_second, seconds);
        if (i % 2 == 0)
            reelay.of[i] = measure_reelay(&a, per_second, seconds, 1);
        publishing[i] = measure_publishing(&a, 0.5);
        double fanout_us = reelay.of[i].cpu_us - publishing[i] / viewers;
        ratios[i] = reelay.of[i].cpu_us / bare.of[i].cpu_us;
        net_ratios[i] = fanout_us / bare.of[i].cpu_us;
    }
    double publish_us = median(publishing, settings->rounds);
    printf("\n%u viewers of one job, %u updates a second %18s %12s\n", viewers, per_second, "bare",
           "reelay");
    print_pair("CPU per delivery", MEDIAN(&bare, cpu_us), MEDIAN(&reelay, cpu_us), " us");
    print_pair("  of that, publishing", 0, publish_us / viewers, " us");
    print_pair("latency, median", MEDIAN(&bare, p50_ms), MEDIAN(&reelay, p50_ms), " ms");
    print_pair("latency, 99th percentile", MEDIAN(&bare, p99_ms), MEDIAN(&reelay, p99_ms), " ms");
    print_pair("deliveries left out", (double)missing_in(&bare), (double)missing_in(&reelay), "");
    printf("  %-38s %8.1f us\n", "CPU per publication without viewers", publish_us);
    printf("  %-38s %8.2f\n", "ratio without publishing", median(net_ratios, settings->rounds));
    judge("ratio", median(ratios, settings->rounds), RATIO_AIM, "");
    arena_close(&a);
}

static void flood(const struct settings *settings, unsigned viewers)
{
    struct series bare = { .count = settings->rounds }, one = bare, many = bare;
    struct arena a;

    arena_open(&a, settings, viewers);
    for (unsigned i = 0; i < settings->rounds; i++) {
        bare.of[i] = measure_bare(&a, 0, 1);
        one.of[i] = measure_reelay(&a, 0, 1, 1);
        many.of[i] = measure_reelay(&a, 0, 1, FLOOD_LINES);
    }
    printf("\n%u viewers of one job, updates without a pause %11s %12s %12s\n", viewers, "bare",
           "one at once", "16 at once");
    printf("  %-38s %8.0f    %12.0f %12.0f\n", "deliveries a second", MEDIAN(&bare, per_second),
           MEDIAN(&one, per_second), MEDIAN(&many, per_second));
    printf("  %-38s %8.2f us %12.2f %12.2f\n", "CPU per delivery", MEDIAN(&bare, cpu_us),
           MEDIAN(&one, cpu_us), MEDIAN(&many, cpu_us));
    printf("  %-38s %8llu    %12llu %12llu\n", "steps skipped by slow readers",
           (unsigned long long)missing_in(&bare), (unsigned long long)missing_in(&one),
           (unsigned long long)missing_in(&many));
    arena_close(&a);
}

static void idle(const struct settings *settings)
{
    unsigned count = IDLE_CONNECTIONS;
    struct receivers warm, many;
    struct publisher p;
    struct server s;

    server_start(&s, settings->program, settings->threads, NULL);
    publisher_open(&p, s.port, 1);
    publish(&p, "bench");
    publisher_close(&p);
    receivers_start(&warm, WARM_CONNECTIONS, s.port, "/ws/jobs/bench", 2);
    receivers_wait_connected(&warm);
    uint64_t memory = resident_of(s.pid), cpu_ns = cpu_ns_of(s.pid);
    receivers_start(&many, count, s.port, "/ws/jobs/bench", 3);
    receivers_wait_connected(&many);
    cpu_ns = cpu_ns_of(s.pid) - cpu_ns;
    uint64_t began_cpu_ns = cpu_ns_of(s.pid);
    sleep_ms(5000);
    printf("\n%u viewers who hear nothing\n", count);
    printf("  %-38s %8.1f us\n", "CPU per connection made", (double)cpu_ns / 1e3 / count);
    printf("  %-38s %8.2f %%\n", "CPU while idle, of one core",
           (double)(cpu_ns_of(s.pid) - began_cpu_ns) / 5e7);
    judge("memory per connection", ((double)resident_of(s.pid) - (double)memory) / (double)count,
          IDLE_AIM, " B");
    receivers_end(&many);
    receivers_end(&warm);
    server_end(&s);
}

static void usage(void)
{
    fputs("usage: fanout [--rounds N] [--seconds N] [--threads N]"
          " [--part small|large|flood|idle] [--free] REELAY\n",
          stderr);
    exit(2);
}

static void read_options(int argc, char **argv, struct settings *out)
{
    static const struct option options[] = {
        { "rounds", required_argument, NULL, 'r' },  { "seconds", required_argument, NULL, 's' },
        { "threads", required_argument, NULL, 't' }, { "part", required_argument, NULL, 'p' },
        { "free", no_argument, NULL, 'f' },          { 0 }
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'r': out->rounds = number_of(optarg, ROUNDS_MAX); break;
        case 's': out->seconds = number_of(optarg, 20); break;
        case 't': out->threads = number_of(optarg, 64); break;
        case 'f': out->is_free = true; break;
        case 'p': out->part = optarg; break;
        default: usage();
        }
    }
    if (optind + 1 != argc)
        usage();
    if (out->threads > 1)
        out->is_free = true;
    out->program = argv[optind];
}

static bool wants(const struct settings *s, const char *part)
{
    return s->part == NULL || strcmp(s->part, part) == 0;
}

int main(int argc, char **argv)
{
    struct settings settings = { .rounds = 21, .seconds = 1, .threads = 1 };
    struct utsname kernel;

    read_options(argc, argv, &settings);
    uname(&kernel);
    printf("fanout: %ld cores, Linux %s, frames of %d bytes, %u rounds of %u s, medians, %u I/O "
           "thread(s), cores %s\n",
           sysconf(_SC_NPROCESSORS_ONLN), kernel.release, FRAME_SIZE, settings.rounds,
           settings.seconds, settings.threads, settings.is_free ? "free" : "parted");
    if (raise_descriptor_limit() < IDLE_CONNECTIONS + 100)
        die("too few descriptors are allowed: ulimit -Hn");
    if (!settings.is_free)
        cores_part();
    stay_on(RECEIVERS_CORE); /* who publishes is a client too */
    if (wants(&settings, "small"))
        compare(&settings, 1000, 100);
    if (wants(&settings, "large"))
        compare(&settings, 10000, 5);
    if (wants(&settings, "flood"))
        flood(&settings, 1000);
    if (wants(&settings, "idle"))
        idle(&settings);
    return 0;
}
