/* What every part of a measurement needs: the clock, processes, and a way out.
 * Failing is always fatal here: half a measurement is none. */
#ifndef BENCH_SUPPORT_H
#define BENCH_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Prints, with what errno says if it is set, and ends the process. */
void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

uint64_t now_ns(void); /* monotonic, the same in every process */
void sleep_until_ns(uint64_t when);
void sleep_ms(unsigned ms);

/* As many descriptors as the hard limit allows; returns how many that is. */
size_t raise_descriptor_limit(void);

/* CPU time of all threads of a process that runs, and what of its memory lies
 * in RAM. */
uint64_t cpu_ns_of(pid_t pid);
uint64_t resident_of(pid_t pid);

/* Keeps this process, and what it starts, on the first core it may use, or on
 * the last. Does nothing before cores_part, or where there is one core only. */
enum core { SENDERS_CORE, RECEIVERS_CORE };
void cores_part(void);
void stay_on(enum core core);

/* A child that dies with us. In the child, 0. */
pid_t fork_child(void);
void end_child(pid_t pid);

/* Memory that children share with us; zeroed. */
void *share_memory(size_t size);

/* A loopback address, 127.0.0.`host`. `port` 0: listens on any. */
int listen_on(unsigned host, uint16_t *port);

/* Tries for ten seconds. `source` is the host to come from, 0: any. */
int connect_to(unsigned host, uint16_t port, unsigned source);

void send_all(int fd, const void *bytes, size_t len);

/* 1 to `max`. */
unsigned number_of(const char *text, unsigned max);

/* The folder and all below it; links are not followed. */
void remove_tree(const char *folder);

double median(double *values, size_t count); /* sorts them */

#endif
