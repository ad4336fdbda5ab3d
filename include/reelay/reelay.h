/* libreelay: a program that works on something says how far it is. Each report
 * goes to Redis as the channel `job_progress:{id}` and the key `job_status:{id}`
 * carry it: SETEX and PUBLISH of the same JSON message, in one transaction.
 *
 * Threads    Every function may be called from any thread, and one reporter from
 *            many at a time; reelay_close comes last, alone.
 * Time       A reporter has one thread and one connection of its own. Nothing
 *            here waits for the network, except where it says so, and then at
 *            most timeout_ms.
 * Order      A job's messages are published in the order of the calls. A job's
 *            first report, a new stage and an ending go out at once; of other
 *            reports within interval_ms the latest stands for all.
 * Redis away The latest state of each job is kept, and every ending; they are
 *            sent when Redis is back. What was sent while a connection broke may
 *            be published twice.
 * Strings    UTF-8, ended by '\0', copied before a call returns. Bytes that are
 *            not UTF-8 become U+FFFD in texts, and what is over REELAY_TEXT_MAX
 *            then is cut off; in JSON they are refused.
 * Fork       The reporter stays with the process that opened it. In a child
 *            every call gives REELAY_FORKED; the child opens a new one, and may
 *            close the old one, which frees the child's descriptors only.
 * It leaves signals, locale, stdio and the environment of the program alone,
 * and starts nothing before reelay_open. */
#ifndef REELAY_REELAY_H
#define REELAY_REELAY_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define REELAY_API __attribute__((visibility("default")))
#else
#define REELAY_API
#endif

/* What a function returns: REELAY_OK or one of these. */
enum reelay_error {
    REELAY_OK = 0,
    REELAY_INVALID = -1,     /* an argument; reelay_last_error names it */
    REELAY_TOO_LONG = -2,    /* an argument is over its size; the name as above */
    REELAY_FULL = -3,        /* jobs_max jobs have something unsent, or this one has too much */
    REELAY_COMPLETED = -4,   /* this reporter has said that the job is completed */
    REELAY_NO_STATUS = -5,   /* Redis has no status of this job */
    REELAY_TIMEOUT = -6,     /* Redis did not answer within timeout_ms */
    REELAY_UNREACHABLE = -7, /* no connection to Redis within timeout_ms */
    REELAY_REFUSED = -8,     /* Redis answered with an error; its text as above */
    REELAY_NO_MEMORY = -9,
    REELAY_FORKED = -10 /* the reporter was opened by another process */
};

/* Limits, in bytes without the final '\0'; JSON as it is sent, without spaces. */
enum {
    REELAY_JOB_ID_MAX = 128,
    REELAY_TEXT_MAX = 4096,      /* stage, message, error: each */
    REELAY_JSON_MAX = 16 * 1024, /* metadata, result: each */
    REELAY_JSON_DEPTH_MAX = 32   /* nested arrays and objects */
};

struct reelay;

/* All zero, as from `struct reelay_options options = { 0 }`, is every default. */
struct reelay_options {
    /* redis://[[user]:password@]host[:port][/db] or unix://[[user]:password@]/path[?db=N]
     * (or redis+unix://); percent-encoded where need be, an IPv6 address in brackets. NULL: the
     * environment's REDIS_URL, or redis://localhost:6379 without one. */
    const char *redis_url;
    int timeout_ms;   /* 1 to 600000; 0: 2000. For connecting and for answers too */
    int status_ttl_s; /* how long job_status:{id} lives: 1 to 31536000; 0: 3600 */
    int interval_ms;  /* 1 to 60000; 0: 100 */
    int jobs_max;     /* jobs known at a time, 1 to 10000; 0: 1000 */
    void *reserved[4];
};

/* A new reporter; `options` may be NULL. Connects later, when there is
 * something to send. NULL with errno: EINVAL (an option or the URL is wrong),
 * ENOTSUP (TLS, Sentinels or a cluster: rediss://, redis+sentinel://, several hosts),
 * ENOMEM, EAGAIN, EMFILE, ENFILE. */
REELAY_API struct reelay *reelay_open(const struct reelay_options *options);

/* The job is being worked on. Never waits.
 *   job_id    1 to 128 letters, digits and "-_.:~@+=,!$", not beginning with '.'
 *   stage     NULL or "": "processing"
 *   progress  0.0 to 1.0, of the whole job; beyond is clamped, NaN refused
 *   message   for people; NULL: ""
 *   metadata_json  a JSON object, or NULL
 * INVALID, TOO_LONG, FULL, COMPLETED, NO_MEMORY, FORKED. */
REELAY_API int reelay_report(struct reelay *reporter, const char *job_id, const char *stage,
                             double progress, const char *message, const char *metadata_json);

/* The job failed, at the progress last reported here. stage NULL: the last one
 * reported here, else "error"; error NULL: "Processing failed".
 * Waits until Redis has it. TIMEOUT, UNREACHABLE and REFUSED mean that it is
 * kept and will be sent; otherwise as reelay_report. */
REELAY_API int reelay_report_error(struct reelay *reporter, const char *job_id, const char *error,
                                   const char *stage);

/* The job is completed: stage "complete", progress 1.0. Nothing can be reported
 * of it afterwards. result_json is any JSON value, NULL: {}; message NULL: "Job
 * completed". Waits and returns as reelay_report_error. */
REELAY_API int reelay_report_complete(struct reelay *reporter, const char *job_id,
                                      const char *result_json, const char *message);

/* What Redis has as the job's status, by this or any other reporter, behind
 * what was reported here before. Waits. `*json` is the caller's, to be freed
 * with reelay_free; untouched on failure. INVALID, NO_STATUS, TOO_LONG (over
 * 256 KiB), TIMEOUT, UNREACHABLE, REFUSED, NO_MEMORY, FORKED. */
REELAY_API int reelay_get_status(struct reelay *reporter, const char *job_id, char **json);

/* NULL is fine. */
REELAY_API void reelay_free(char *json);

/* Waits until Redis has everything that was reported before the call. TIMEOUT,
 * UNREACHABLE and REFUSED mean that the rest is kept; FORKED. */
REELAY_API int reelay_flush(struct reelay *reporter);

/* Flushes, ends the thread and frees everything, whatever it returns; what was
 * not sent by then is lost, and the return value is reelay_flush's. May take
 * longer than timeout_ms only while the system looks up the host's name. NULL
 * is fine. */
REELAY_API int reelay_close(struct reelay *reporter);

/* One clause of English, static. */
REELAY_API const char *reelay_strerror(int error);

/* What went wrong last, with the argument's name or Redis's words: of any call
 * on this reporter and of its connection. Writes at most `size` bytes with the
 * final '\0'; "" if nothing did. Never the URL or the password. */
REELAY_API void reelay_last_error(struct reelay *reporter, char *text, size_t size);

/* "0.1.0": of the library that runs. */
REELAY_API const char *reelay_version(void);

#ifdef __cplusplus
}
#endif

#endif
