/* Options of a command: one table from which flags, environment, --help and
 * the documentation all come. An option is read from `--name value` or
 * `--name=value`, else from REELAY_NAME, else from its alias, else it has its
 * fallback. To add one: a field in the command's struct and a row. */
#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum option_type {
    OPTION_TEXT,     /* const char * */
    OPTION_LIST,     /* struct option_list; repeatable, or comma-separated */
    OPTION_FLAG,     /* bool; the flag takes no value, the variable 1/0 */
    OPTION_COUNT,    /* uint64_t */
    OPTION_SIZE,     /* uint64_t bytes; KiB, MiB, GiB or K, M, G (1024) */
    OPTION_DURATION, /* uint64_t milliseconds; ms, s, m, h, d; bare: seconds */
    OPTION_CHOICE,   /* int: index into `choices` */
};

enum { OPTION_LIST_MAX = 64, CONFIG_OPTIONS_MAX = 128 };

struct option_list {
    const char *items[OPTION_LIST_MAX];
    size_t count;
};

struct option {
    const char *name; /* without dashes; NULL ends a table */
    enum option_type type;
    size_t offset;        /* of the field in the command's struct */
    const char *fallback; /* as it would be typed; NULL: zero */
    uint64_t min, max;    /* for COUNT, SIZE, DURATION (ms); max 0: no maximum */
    const char *choices;  /* for CHOICE: "auto|all|off"; a TEXT that has them is one of them */
    const char *value;    /* what --help calls the value: "ADDR:PORT" */
    const char *help;     /* one line */
    const char *alias;    /* environment names also read: "REDIS_URL|..." */
};

struct config {
    void *into;  /* the command's struct */
    char **rest; /* what is not an option, in order; borrowed from argv */
    size_t rest_count;
    bool wants_help;                /* --help or -h was given */
    bool given[CONFIG_OPTIONS_MAX]; /* on the command line, by place in the table */
};

/* Fills `config->into` from argv (argv[0] is skipped) and the environment. The
 * texts it points at live until config_release. On failure `why` names the
 * option, the value and what is allowed. FAIL_SYNTAX, FAIL_LIMIT. */
int config_read(struct config *config, const struct option *table, int argc, char **argv,
                struct buf *why);
/* For a `why` of later that begins with an option, "--name: ...": if that was read
 * from the environment, the variable is put behind, as config_read does. */
void config_blame(const struct config *config, const struct option *table, struct buf *why);

void config_release(struct config *config, const struct option *table);

/* The table as --help text (80 columns) or as a Markdown table. */
void config_help(const struct option *table, struct buf *out);
void config_markdown(const struct option *table, struct buf *out);

#endif
