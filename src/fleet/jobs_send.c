/* A state on its way into Redis: the arguments of lua/apply.lua. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "fleet/jobs_room.h"

enum { HASH_SIZE = 17 };

struct texts {
    struct buf state, report, bytes;
    bool is_report_there, is_bytes_there; /* on its channel, as the foreign message it came by */
    bool keeps_status;
};

static void write_texts(struct job *job, const struct update *u, struct texts *t)
{
    const struct fleet_jobs_settings *s = &job->owner->settings;
    struct write *w = job->writes;

    buf_init(&t->state, FLEET_RECORD_MAX);
    buf_init(&t->report, FLEET_RECORD_MAX);
    buf_init(&t->bytes, FLEET_RECORD_MAX);
    job->next_from = job->known.from;
    for (size_t i = 0; i < job->sent; i++, w = w->next) {
        if (w->hash == 0)
            continue;
        t->keeps_status = true;
        t->is_report_there |= w->is_of_reports;
        t->is_bytes_there |= !w->is_of_reports;
        if (w->is_of_reports)
            job->next_from = w->hash;
    }
    fleet_record_write(u, job->next_write, job->next_from, &t->state);
    s->report(u, &t->report);
    s->bytes(u, &t->bytes);
    if (t->report.len > 0)
        buf_putc(&t->report, '\t');
    if (t->bytes.len > 0)
        buf_putc(&t->bytes, '\t');
}

static size_t hash_args(const struct job *job, char hashes[BATCH_MAX][HASH_SIZE], struct str *args)
{
    const struct write *w = job->writes;
    size_t count = 0;

    for (size_t i = 0; i < job->sent; i++, w = w->next) {
        if (w->hash == 0)
            continue;
        snprintf(hashes[count], HASH_SIZE, "%016" PRIx64, w->hash);
        args[count] = str_of(hashes[count]);
        count++;
    }
    return count;
}

/* `u` with a number of its own choice (0: Redis'). Nothing is published of what is put back
 * but to the other nodes. */
int send_state(struct job *job, const struct update *u, uint64_t number, redis_done *done)
{
    struct fleet_jobs *j = job->owner;
    const struct fleet_jobs_settings *s = &j->settings;
    struct fleet_key record = fleet_key_record(job->id), status = fleet_key_status(job->id);
    struct fleet_key seen = fleet_key_seen(job->id), channel = fleet_key_channel(job->id);
    struct fleet_key reports = fleet_key_reports(job->id), bytes = fleet_key_bytes(job->id);
    char token[STR_U64_SIZE], known[STR_U64_SIZE], put[STR_U64_SIZE];
    char ttl[STR_U64_SIZE], status_ttl[STR_U64_SIZE];
    char hashes[BATCH_MAX][HASH_SIZE];
    struct str args[3 + 15 + BATCH_MAX];
    struct texts t = { .keeps_status = false };
    uint64_t ttl_ms = s->job_ttl_ms + (job_is_final(u->state) ? 0 : s->report_ttl_ms);
    size_t count = 0;

    write_texts(job, u, &t);
    args[count++] = fleet_key_str(&record);
    args[count++] = fleet_key_str(&status);
    args[count++] = fleet_key_str(&seen);
    args[count++] = str_of(job->expected);
    args[count++] = str_of_u64(number || !job->writes ? 0 : job->writes->token, token);
    args[count++] = buf_str(&t.state);
    args[count++] = str_of_u64(ttl_ms, ttl);
    args[count++] = buf_str(&t.report);
    args[count++] = str_of_u64(s->status_ttl_s, status_ttl);
    args[count++] = t.keeps_status ? STR("1") : STR("0");
    args[count++] = fleet_key_str(&channel);
    args[count++] = j->port->ops->is_cluster(j->port) ? STR("1") : STR("0");
    args[count++] = fleet_key_str(&reports);
    args[count++] = t.is_report_there || number ? STR("") : buf_str(&t.report);
    args[count++] = fleet_key_str(&bytes);
    args[count++] = t.is_bytes_there || number ? STR("") : buf_str(&t.bytes);
    args[count++] = str_of_u64(learn_number(job), known);
    args[count++] = str_of_u64(number, put);
    count += hash_args(job, hashes, args + count);
    int err = t.state.failed || t.report.failed
                  ? FAIL_NOMEM
                  : j->port->ops->run(j->port, &j->apply, 3, args, count, done, job);
    buf_deinit(&t.state);
    buf_deinit(&t.report);
    buf_deinit(&t.bytes);
    return err;
}
