/* Private to model*.c and lua.c: what lies in a model, and how commands are
 * written. A command reads `args` and writes `reply`, once. */
#ifndef SIM_MODEL_INTERNAL_H
#define SIM_MODEL_INTERNAL_H

#include <uthash.h>

#include "base/err.h"
#include "base/mem.h"
#include "model.h"

/* Owned bytes, with a '\0' behind them. */
struct bytes {
    char *at;
    size_t len;
};

struct bytes bytes_of(struct str s);
void bytes_free(struct bytes *b);
struct str bytes_str(const struct bytes *b);
bool bytes_are(const struct bytes *b, struct str s);
int bytes_compare(struct str a, struct str b);

enum value_kind { VALUE_STRING, VALUE_HASH, VALUE_ZSET, VALUE_STREAM };

struct field {
    struct bytes name, value;
};

struct hash {
    struct field *fields; /* in the order they came */
    size_t count;
};

struct member {
    struct bytes name;
    double score;
};

struct zset {
    struct member *members; /* by score, then name */
    size_t count;
};

struct id {
    uint64_t ms, seq;
};

struct entry {
    struct id id;
    struct bytes *parts; /* fields and values */
    size_t count;
};

struct consumer {
    struct bytes name;
};

/* Delivered and not acknowledged. */
struct pending {
    struct id id;
    size_t consumer;
    int64_t delivered_ms;
    int64_t deliveries;
};

struct group {
    struct bytes name;
    struct id last;
    struct consumer *consumers;
    size_t consumer_count;
    struct pending *pending; /* by id */
    size_t pending_count;
};

struct stream {
    struct entry *entries; /* by id */
    size_t count;
    struct id last;
    struct group *groups;
    size_t group_count;
};

struct value {
    UT_hash_handle hh;
    struct bytes key;
    enum value_kind kind;
    int64_t expires_ms; /* 0: never */
    struct bytes string;
    struct hash hash;
    struct zset zset;
    struct stream stream;
};

struct lua_State;

struct model {
    struct value *values;
    int64_t now_us;
    model_published *published;
    void *context;
    struct lua_State *lua; /* NULL: no script has run yet */
    bool is_script;
};

struct call {
    struct model *m;
    const struct str *args;
    size_t count;
    struct redis_reply *reply;
};

struct command {
    const char *name;
    int arity; /* with the name; negative: at least */
    void (*run)(struct call *c);
};

extern const struct command commands_strings[], commands_hashes[], commands_zsets[],
    commands_streams[], commands_groups[], commands_scripts[];

int64_t model_now_ms(const struct model *m);
void model_execute(struct call *c);

/* Only what has not expired. */
struct value *value_find(struct call *c, struct str key);
/* False, and the reply is an error: something else is there. */
bool value_of(struct call *c, struct str key, enum value_kind kind, struct value **out);
struct value *value_add(struct call *c, struct str key, enum value_kind kind);
void value_remove(struct model *m, struct value *v);
void value_clear(struct value *v); /* what is in it */

void reply_nil(struct redis_reply *r);
void reply_integer(struct redis_reply *r, int64_t n);
void reply_text(struct redis_reply *r, struct str text);
void reply_score(struct redis_reply *r, double score);
void reply_status(struct redis_reply *r, const char *text);
void reply_error(struct redis_reply *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
struct redis_reply *reply_array(struct redis_reply *r, size_t count); /* its items: nil */
struct redis_reply *reply_push(struct redis_reply *array);            /* one more item */
void reply_reset(struct redis_reply *r);

#define ERROR_SYNTAX  "ERR syntax error"
#define ERROR_INTEGER "ERR value is not an integer or out of range"
#define ERROR_FLOAT   "ERR value is not a valid float"

/* False, and the reply is an error. */
bool arg_integer(struct call *c, size_t i, int64_t *out);
bool arg_is(const struct call *c, size_t i, const char *word); /* false also where there is none */

bool text_integer(struct str s, int64_t *out);
bool text_score(struct str s, double *out);

/* The functions of a kind of value. */
void hash_clear(struct hash *h);
void hash_copy(struct hash *to, const struct hash *from);
void zset_clear(struct zset *z);
void zset_copy(struct zset *to, const struct zset *from);
void stream_clear(struct stream *s);
void stream_copy(struct stream *to, const struct stream *from);

int id_compare(struct id a, struct id b);
bool id_parse(struct str s, uint64_t missing_seq, struct id *out);
void reply_id(struct redis_reply *r, struct id id);
void reply_entry(struct redis_reply *r, const struct entry *e);
struct entry *stream_find(struct stream *s, struct id id);
bool arg_range(struct call *c, size_t i, bool is_end, struct id *out);
void group_clear(struct group *g);

/* Makes room for one more of a growing array. */
#define ARRAY_GROW(array, count)                                                                   \
    ((array) = mem_resize((array), ((count) + 1) * sizeof(*(array))), &(array)[(count)++])

#define ARRAY_REMOVE(array, count, i)                                                              \
    (memmove(&(array)[i], &(array)[(i) + 1], (--(count) - (i)) * sizeof(*(array))))

#define ARRAY_INSERT(array, count, i)                                                              \
    ((array) = mem_resize((array), ((count) + 1) * sizeof(*(array))),                              \
     memmove(&(array)[(i) + 1], &(array)[i], ((count)++ - (i)) * sizeof(*(array))), &(array)[i])

void scripts_drop(struct model *m);

#endif
