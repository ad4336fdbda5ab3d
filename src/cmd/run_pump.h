/* Passes what the command writes through, byte for byte and at once, and reads
 * along. A thread for each stream, so that neither a reader of ours who takes
 * nothing nor a slow server holds up the other stream, a signal or a report. When
 * our reader is gone the command's writes fail as they would without us.
 *
 * Behind the command's end a stream is passed on to its own end; if somebody else
 * keeps it open, until nothing has come for a moment. */
#ifndef CMD_RUN_PUMP_H
#define CMD_RUN_PUMP_H

#include <pthread.h>
#include <uv.h>

#include "cmd/run_read.h"

struct run_pump {
    struct run_pumps *all;
    enum run_stream stream;
    int from; /* the command's; closed by the thread */
    pthread_t thread;
    bool has_thread;
};

struct run_pumps {
    pthread_mutex_t lock; /* over `read`, `running` */
    struct run_read *read;
    unsigned running; /* threads that have not finished */
    int ended_fd;     /* an eventfd: the command has ended */
    uv_async_t *wake; /* there is news, or a thread has finished */
    struct run_pump pumps[RUN_STREAMS];
};

/* Takes the descriptors in `pipes` (-1: none). Borrows `wake` and `read`, which
 * belongs to the pumps until they are closed. FAIL_*. */
int run_pumps_start(struct run_pumps *p, const int pipes[RUN_STREAMS], struct run_read *read,
                    uv_async_t *wake);
/* The command has ended. */
void run_pumps_finish(struct run_pumps *p);
/* Waits for the threads. */
void run_pumps_close(struct run_pumps *p);

void run_pumps_news(struct run_pumps *p, struct run_news *out);
void run_pumps_last_words(struct run_pumps *p, char out[RUN_TEXT_MAX]);
bool run_pumps_are_running(struct run_pumps *p);

#endif
