/* GET /metrics: what this process counts, and what the system says of it, for
 * Prometheus and whatever reads its format. */
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/api.h"
#include "core/counters.h"

enum { METRICS_MAX = 64 * 1024 };

static void put(struct buf *out, const char *name, const char *type, const char *help, double value)
{
    counter_head(out, name, type, help);
    buf_printf(out, "%s %.15g\n", name, value);
}

static void put_own(struct buf *out, const struct ledger_count *count)
{
    put(out, "reelay_jobs_in_progress", "gauge", "Jobs that have not ended",
        (double)count->unfinished);
}

static void put_work(struct buf *out, const struct records_shared *s)
{
    const struct {
        const char *state;
        int64_t count;
    } rows[] = { { "open", s->open },
                 { "queued", s->queued },
                 { "running", s->running },
                 { "delayed", s->delayed } };

    put(out, "reelay_redis_up", "gauge", "Whether Redis is heard and answers", s->is_up);
    if (s->workers >= 0)
        put(out, "reelay_workers", "gauge", "Nodes that process uploads", (double)s->workers);
    counter_head(out, "reelay_work", "gauge",
                 "Uploads that all nodes share, by what they wait for");
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        if (rows[i].count >= 0)
            buf_printf(out, "reelay_work{state=\"%s\"} %" PRId64 "\n", rows[i].state,
                       rows[i].count);
}

static void put_jobs(struct buf *out, const struct api *api, const struct records_health *health)
{
    struct ledger_count count;

    ledger_count(api->ledger, &count);
    if (health->shared != NULL)
        put_work(out, health->shared);
    else
        put_own(out, &count);
    put(out, "reelay_jobs_watched", "gauge", "Jobs that somebody follows", (double)count.watched);
    put(out, "reelay_disk_available_bytes", "gauge", "Room for uploads and videos",
        (double)disk_available(api->disk));
}

/* The names that Prometheus clients agree on. procfs is memory: reading it does
 * not block. */
static void put_memory(struct buf *out)
{
    double page = (double)sysconf(_SC_PAGESIZE);
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long long all, resident;

    if (file == NULL)
        return;
    if (fscanf(file, "%llu %llu", &all, &resident) == 2) {
        put(out, "process_virtual_memory_bytes", "gauge", "Virtual memory", (double)all * page);
        put(out, "process_resident_memory_bytes", "gauge", "Resident memory",
            (double)resident * page);
    }
    fclose(file);
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void put_process(struct buf *out, const struct api *api)
{
    struct rlimit files;
    struct rusage usage;

    counter_head(out, "reelay_build_info", "gauge", "Which program this is");
    buf_puts(out, "reelay_build_info{version=\"" REELAY_VERSION "\"} 1\n");
    put(out, "process_start_time_seconds", "gauge", "When it started, since 1970",
        (double)api->started_wall_ms / 1000);
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        put(out, "process_cpu_seconds_total", "counter", "Processor time, user and system",
            seconds(usage.ru_utime) + seconds(usage.ru_stime));
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        put(out, "process_max_fds", "gauge", "Descriptors it may have", (double)files.rlim_cur);
    put_memory(out);
}

static void tell(struct call *c, const struct records_health *health)
{
    struct buf out;

    buf_init(&out, METRICS_MAX);
    counters_write(&out);
    put_jobs(&out, c->api, health);
    put_process(&out, c->api);
    exchange_header(c->x, "Cache-Control", "no-store");
    exchange_reply(c->x, 200, "text/plain; version=0.0.4; charset=utf-8",
                   msg_new(out.data, out.len));
    buf_deinit(&out);
}

void metrics_get(struct call *c)
{
    if (c->viewer->sees_all)
        c->api->records->health(c, tell);
    else
        reply_error(c->x, 403, "admin_only", NULL, "the token needs scope admin");
}
