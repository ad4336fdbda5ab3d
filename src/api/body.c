#include "api/api.h"
#include "base/mem.h"

/* Handed through exchange_read, which knows only exchanges. */
struct reading {
    struct call *call;
    void (*handle)(struct call *c, struct json_t *object);
};

static bool answer(struct call *c, const struct fields *f)
{
    reply_error(c->x, 400, f->code, f->field, "%s", f->message);
    return false;
}

static void body_done(struct exchange *x, struct str body)
{
    struct call *c = exchange_state(x);
    struct reading *reading = c->state;
    void (*handle)(struct call *, struct json_t *) = reading->handle;
    struct fields f;

    mem_free(reading);
    c->state = NULL;
    if (!fields_parse(&f, body.len ? body : STR("{}"))) {
        answer(c, &f);
        return;
    }
    handle(c, f.object);
    fields_deinit(&f);
}

void body_read(struct call *c, void (*handle)(struct call *c, struct json_t *object))
{
    struct reading *reading = mem_new(struct reading);

    reading->call = c;
    reading->handle = handle;
    c->state = reading;
    exchange_read(c->x, HTTP_BODY_MAX, body_done);
}

bool body_text(struct call *c, struct json_t *object, const char *name, enum need need, size_t max,
               const char **out)
{
    struct fields f = { .object = object };

    return field_text(&f, name, need, max, out) || answer(c, &f);
}

bool body_integer(struct call *c, struct json_t *object, const char *name, enum need need,
                  int64_t min, int64_t max, int64_t *out)
{
    struct fields f = { .object = object };

    return field_integer(&f, name, need, min, max, out) || answer(c, &f);
}

bool body_id(struct call *c, struct json_t *object, const char *name, char out[JOB_ID_MAX + 1])
{
    struct fields f = { .object = object };

    return field_id(&f, name, out) || answer(c, &f);
}

bool body_report(struct call *c, struct json_t *object, struct report *out)
{
    struct fields f = { .object = object };

    return report_read(&f, out) || answer(c, &f);
}
