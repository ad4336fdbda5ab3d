#include "base/config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

struct unit {
    const char *suffix;
    uint64_t factor;
};

static const struct unit size_units[] = {
    { "", 1 },           { "B", 1 },
    { "K", 1u << 10 },   { "KiB", 1u << 10 },
    { "M", 1u << 20 },   { "MiB", 1u << 20 },
    { "G", 1u << 30 },   { "GiB", 1u << 30 },
    { "T", 1ull << 40 }, { "TiB", 1ull << 40 },
    { NULL, 0 },
};

static const struct unit duration_units[] = {
    { "", 1000 },     { "ms", 1 },           { "s", 1000 }, { "m", 60 * 1000 },
    { "h", 3600000 }, { "d", 24 * 3600000 }, { NULL, 0 },
};

static const struct unit count_units[] = { { "", 1 }, { NULL, 0 } };

static const struct unit *units_of(enum option_type type)
{
    if (type == OPTION_SIZE)
        return size_units;
    return type == OPTION_DURATION ? duration_units : count_units;
}

static void *field_of(struct config *config, const struct option *option)
{
    return (char *)config->into + option->offset;
}

static int refuse(struct buf *why, const struct option *option, const char *text, const char *wants)
{
    buf_printf(why, "--%s: \"%s\" is not %s", option->name, text, wants);
    return FAIL_SYNTAX;
}

/* 3600000 reads "1h". */
static void put_amount(struct buf *out, const struct option *option, uint64_t number)
{
    static const struct unit sizes[] = {
        { "TiB", 1ull << 40 }, { "GiB", 1u << 30 }, { "MiB", 1u << 20 },
        { "KiB", 1u << 10 },   { " bytes", 1 },
    };
    static const struct unit durations[] = {
        { "d", 24 * 3600000 }, { "h", 3600000 }, { "m", 60 * 1000 }, { "s", 1000 }, { "ms", 1 },
    };
    static const struct unit counts[] = { { "", 1 } };
    const struct unit *unit = option->type == OPTION_SIZE       ? sizes
                              : option->type == OPTION_DURATION ? durations
                                                                : counts;

    while (unit->factor > 1 && (number == 0 || number % unit->factor != 0))
        unit++;
    buf_printf(out, "%llu%s", (unsigned long long)(number / unit->factor), unit->suffix);
}

static int refuse_range(struct buf *why, const struct option *option, const char *text)
{
    buf_printf(why, "--%s: %s is out of range, which is ", option->name, text);
    put_amount(why, option, option->min);
    buf_puts(why, option->max == 0 ? " or more" : " to ");
    if (option->max != 0)
        put_amount(why, option, option->max);
    return FAIL_LIMIT;
}

static int read_number(const struct option *option, const char *text, uint64_t *out,
                       struct buf *why)
{
    size_t digits = strspn(text, "0123456789");
    const struct unit *unit = units_of(option->type);
    uint64_t number;

    while (unit->suffix != NULL && strcmp(unit->suffix, text + digits) != 0)
        unit++;
    if (unit->suffix == NULL ||
        str_parse_u64((struct str){ text, digits }, UINT64_MAX / unit->factor, &number) != OK)
        return refuse(why, option, text,
                      option->type == OPTION_SIZE ? "a size such as 512K, 64MiB or 2G"
                      : option->type == OPTION_DURATION
                          ? "a time such as 500ms, 30s, 10m, 24h or 7d"
                          : "a whole number");
    number *= unit->factor;
    if (number < option->min || (option->max != 0 && number > option->max))
        return refuse_range(why, option, text);
    *out = number;
    return OK;
}

static int read_choice(const struct option *option, const char *text, int *out, struct buf *why)
{
    struct str rest = str_of(option->choices);

    for (int i = 0; rest.at != NULL; i++) {
        if (str_equal(str_cut(&rest, '|'), str_of(text))) {
            *out = i;
            return OK;
        }
    }
    buf_printf(why, "--%s: \"%s\" is not one of %s", option->name, text, option->choices);
    return FAIL_SYNTAX;
}

static int read_list(struct option_list *list, const struct option *option, const char *text,
                     struct buf *why)
{
    struct str rest = str_of(text);

    while (rest.at != NULL && rest.len > 0) {
        struct str item = str_trim(str_cut(&rest, ','));
        if (item.len == 0)
            continue;
        if (list->count == OPTION_LIST_MAX) {
            buf_printf(why, "--%s: more than %d values", option->name, OPTION_LIST_MAX);
            return FAIL_LIMIT;
        }
        list->items[list->count++] = mem_strndup(item.at, item.len);
    }
    return OK;
}

static int read_flag(const struct option *option, const char *text, bool *out, struct buf *why)
{
    static const char *const yes[] = { "1", "true", "yes", "on", NULL };
    static const char *const no[] = { "0", "false", "no", "off", "", NULL };

    for (int i = 0; yes[i]; i++)
        if (strcmp(text, yes[i]) == 0) {
            *out = true;
            return OK;
        }
    for (int i = 0; no[i]; i++)
        if (strcmp(text, no[i]) == 0) {
            *out = false;
            return OK;
        }
    return refuse(why, option, text, "1 or 0");
}

static int read_value(struct config *config, const struct option *option, const char *text,
                      struct buf *why)
{
    void *field = field_of(config, option);

    switch (option->type) {
    case OPTION_TEXT: {
        const char **slot = field;
        int place;
        if (option->choices != NULL && read_choice(option, text, &place, why) != OK)
            return FAIL_SYNTAX;
        mem_free((void *)(uintptr_t)*slot);
        *slot = mem_strdup(text);
        return OK;
    }
    case OPTION_LIST: return read_list(field, option, text, why);
    case OPTION_FLAG: return read_flag(option, text, field, why);
    case OPTION_CHOICE: return read_choice(option, text, field, why);
    default: return read_number(option, text, field, why);
    }
}

static const struct option *find(const struct option *table, struct str name)
{
    for (; table->name; table++)
        if (str_equal(str_of(table->name), name))
            return table;
    return NULL;
}

enum { VARIABLE_MAX = 64 };

/* `name` is the variable that it stands in. */
static const char *environment(const struct option *option, char name[VARIABLE_MAX])
{
    size_t at = (size_t)snprintf(name, VARIABLE_MAX, "REELAY_");

    for (const char *c = option->name; *c && at < VARIABLE_MAX - 1; c++)
        name[at++] = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    name[at] = '\0';
    const char *value = getenv(name);
    struct str aliases = str_of(option->alias);
    while (value == NULL && aliases.at != NULL && aliases.len > 0) {
        struct str alias = str_cut(&aliases, '|');
        snprintf(name, VARIABLE_MAX, "%.*s", STR_ARG(alias));
        value = getenv(name);
    }
    return value;
}

/* What was not said on the command line; who reads why it is wrong should know where. */
static int read_elsewhere(struct config *config, const struct option *option, struct buf *why)
{
    char name[VARIABLE_MAX];
    const char *value = environment(option, name);

    if (value == NULL)
        return option->fallback ? read_value(config, option, option->fallback, why) : OK;
    int err = read_value(config, option, value, why);
    if (err)
        buf_printf(why, " (%s)", name);
    return err;
}

static const char *value_name(const struct option *option)
{
    if (option->type == OPTION_FLAG)
        return "";
    if (option->choices != NULL)
        return option->choices;
    return option->value ? option->value : "VALUE";
}

static int read_arguments(struct config *config, const struct option *table, int argc, char **argv,
                          struct buf *why)
{
    bool only_rest = false;

    for (int i = 1; i < argc; i++) {
        struct str arg = str_of(argv[i]);
        if (only_rest || arg.len < 2 || arg.at[0] != '-') {
            config->rest[config->rest_count++] = argv[i];
            continue;
        }
        if (str_equal(arg, STR("--"))) {
            only_rest = true;
            continue;
        }
        if (str_equal(arg, STR("--help")) || str_equal(arg, STR("-h"))) {
            config->wants_help = true;
            continue;
        }
        const char *equals = strchr(argv[i], '=');
        struct str name = arg;
        if (equals != NULL)
            name.len = (size_t)(equals - argv[i]);
        const struct option *option = NULL;
        if (str_starts(name, STR("--")))
            option = find(table, (struct str){ name.at + 2, name.len - 2 });
        if (option == NULL) {
            buf_printf(why, "%.*s: no such option (--help lists them)", STR_ARG(name));
            return FAIL_SYNTAX;
        }
        const char *value = equals ? equals + 1 : option->type == OPTION_FLAG ? "1" : NULL;
        if (value == NULL && i + 1 < argc)
            value = argv[++i];
        if (value == NULL) {
            buf_printf(why, "--%s: a value is missing (%s)", option->name, value_name(option));
            return FAIL_SYNTAX;
        }
        config->given[option - table] = true;
        int err = read_value(config, option, value, why);
        if (err)
            return err;
    }
    return OK;
}

int config_read(struct config *config, const struct option *table, int argc, char **argv,
                struct buf *why)
{
    config->rest = mem_zalloc(((size_t)argc + 1) * sizeof(char *));
    int err = read_arguments(config, table, argc, argv, why);
    for (const struct option *option = table; option->name && err == OK; option++)
        if (!config->given[option - table])
            err = read_elsewhere(config, option, why);
    return err;
}

void config_blame(const struct config *config, const struct option *table, struct buf *why)
{
    struct str said = buf_str(why);
    char name[VARIABLE_MAX];

    if (!str_starts(said, STR("--")))
        return;
    said = (struct str){ said.at + 2, said.len - 2 };
    const struct option *option = find(table, str_cut(&said, ':'));
    if (option != NULL && !config->given[option - table] && environment(option, name) != NULL)
        buf_printf(why, " (%s)", name);
}

void config_release(struct config *config, const struct option *table)
{
    for (; table->name; table++) {
        if (table->type == OPTION_TEXT) {
            const char **slot = field_of(config, table);
            mem_free((void *)(uintptr_t)*slot);
            *slot = NULL;
        } else if (table->type == OPTION_LIST) {
            struct option_list *list = field_of(config, table);
            for (size_t i = 0; i < list->count; i++)
                mem_free((void *)(uintptr_t)list->items[i]);
            list->count = 0;
        }
    }
    mem_free(config->rest);
    config->rest = NULL;
}

void config_help(const struct option *table, struct buf *out)
{
    for (; table->name; table++) {
        buf_printf(out, "  --%s%s%s\n", table->name, *value_name(table) ? " " : "",
                   value_name(table));
        buf_printf(out, "        %s", table->help);
        if (table->fallback && *table->fallback)
            buf_printf(out, " [%s]", table->fallback);
        buf_putc(out, '\n');
    }
}

void config_markdown(const struct option *table, struct buf *out)
{
    buf_puts(out, "| option | default | what it does |\n|---|---|---|\n");
    for (; table->name; table++) {
        buf_printf(out, "| `--%s%s", table->name, *value_name(table) ? " " : "");
        for (const char *c = value_name(table); *c; c++)
            buf_printf(out, *c == '|' ? "\\|" : "%c", *c);
        buf_printf(out, "` | %s | %s |\n", table->fallback ? table->fallback : "", table->help);
    }
}
