#include "tally.h"

#include <stdio.h>
#include <string.h>

#include "support.h"

enum { NUMBER_DIGITS = 10, TIME_DIGITS = 19 };

void mark_write(uint64_t number, unsigned padding, char out[MARK_MAX])
{
    int len = snprintf(out, MARK_MAX, "%010llu %019llu", (unsigned long long)number,
                       (unsigned long long)now_ns());

    if ((size_t)len + padding >= MARK_MAX)
        die("%u bytes of padding do not fit", padding);
    memset(out + len, '.', padding);
    out[(size_t)len + padding] = '\0';
}

static uint64_t digits_at(const char *at, unsigned count)
{
    uint64_t value = 0;

    while (count-- > 0)
        value = value * 10 + (uint64_t)(*at++ - '0');
    return value;
}

static void note_latency(struct tally *t, uint64_t published_ns, uint64_t at_ns)
{
    uint64_t bucket = (at_ns - published_ns) / (LATENCY_BUCKET_US * 1000u);

    if (bucket >= LATENCY_BUCKETS)
        bucket = LATENCY_BUCKETS - 1;
    atomic_fetch_add_explicit(&t->latency[bucket], 1, memory_order_relaxed);
}

/* One process writes: adding needs no locked instruction. */
static void add(_Atomic uint64_t *counter, uint64_t value)
{
    uint64_t old = atomic_load_explicit(counter, memory_order_relaxed);

    atomic_store_explicit(counter, old + value, memory_order_relaxed);
}

void tally_mark(struct tally *t, uint64_t *number, const char *mark, size_t frame, uint64_t at_ns)
{
    uint64_t heard = digits_at(mark, NUMBER_DIGITS);

    if (heard > *number)
        add(&t->passed, heard - *number);
    else if (!t->is_unordered)
        add(&t->disorders, 1);
    *number = heard;
    note_latency(t, digits_at(mark + NUMBER_DIGITS + 1, TIME_DIGITS), at_ns);
    add(&t->frames, 1);
    atomic_store_explicit(&t->frame_size, (unsigned)frame, memory_order_relaxed);
    if (heard == atomic_load_explicit(&t->last, memory_order_relaxed))
        atomic_fetch_add(&t->reached, 1);
}

void tally_message(struct tally *t, uint64_t *number, const char *text, size_t len, size_t frame,
                   uint64_t at_ns)
{
    static const char key[] = "\"message\":\"";
    const char *mark = memmem(text, len, key, sizeof(key) - 1);
    size_t left = mark != NULL ? len - (size_t)(mark - text) - (sizeof(key) - 1) : 0;

    if (left < NUMBER_DIGITS + 1 + TIME_DIGITS) {
        add(&t->others, 1);
        return;
    }
    mark += sizeof(key) - 1;
    if (*mark >= '0' && *mark <= '9')
        tally_mark(t, number, mark, frame, at_ns);
    else
        add(&t->others, 1);
}

void tally_forget_latency(struct tally *t)
{
    for (int i = 0; i < LATENCY_BUCKETS; i++)
        atomic_store_explicit(&t->latency[i], 0, memory_order_relaxed);
}

double tally_latency_ms(const struct tally *t, double quantile)
{
    uint64_t total = 0, seen = 0;

    for (int i = 0; i < LATENCY_BUCKETS; i++)
        total += t->latency[i];
    for (int i = 0; i < LATENCY_BUCKETS; i++) {
        seen += t->latency[i];
        if ((double)seen >= (double)total * quantile)
            return (i + 1) * (LATENCY_BUCKET_US / 1000.0);
    }
    return 0;
}
