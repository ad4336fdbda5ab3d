/* What a process that hears publications has heard: in memory that the one who
 * measures reads meanwhile.
 *
 * A publication's mark, "SSSSSSSSSS NNNNNNNNNNNNNNNNNNN", tells its number and when
 * it was published (now_ns). Numbers grow by one, of each job by themselves where
 * there are several. */
#ifndef BENCH_TALLY_H
#define BENCH_TALLY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LATENCY_BUCKETS = 250000, LATENCY_BUCKET_US = 20, MARK_MAX = 1024 };

/* Written by the process that hears, read by the one that measures. */
struct tally {
    _Atomic unsigned connected;  /* so many are ready */
    _Atomic unsigned lost;       /* ended by the other side */
    _Atomic unsigned frame_size; /* of the last frame with a number, head included */
    _Atomic uint64_t frames;     /* with a number */
    _Atomic uint64_t passed;     /* numbers, those that were left out among them */
    _Atomic uint64_t others;     /* frames without: greetings */
    _Atomic uint64_t disorders;  /* a number that was not above the one before */
    _Atomic bool is_unordered;   /* set by the measurer: there are no disorders now */
    _Atomic uint64_t last;       /* set by the measurer: the number all wait for ... */
    _Atomic unsigned reached;    /* ... and how many have got it */
    _Atomic uint32_t latency[LATENCY_BUCKETS];
};

/* The mark of a publication made now, with padding behind it. */
void mark_write(uint64_t number, unsigned padding, char out[MARK_MAX]);

/* `number` is the last that this ear heard. */
void tally_mark(struct tally *t, uint64_t *number, const char *mark, size_t frame, uint64_t at_ns);
/* The same for a message in JSON: the mark is its "message". */
void tally_message(struct tally *t, uint64_t *number, const char *text, size_t len, size_t frame,
                   uint64_t at_ns);

void tally_forget_latency(struct tally *t);
/* Milliseconds, of those since the last forgetting. */
double tally_latency_ms(const struct tally *t, double quantile);

#endif
