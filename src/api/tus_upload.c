/* An upload in the path: /files/ID. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "api/tus.h"
#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"

/* HEAD */

/* As they were noted when it began. */
static void put_fields(struct tus *t)
{
    struct str rest = str_of(t->upload.fields);
    struct buf name, value;

    buf_init(&name, UPLOAD_FIELDS_MAX);
    buf_init(&value, UPLOAD_FIELDS_MAX);
    while (rest.len > 0) {
        struct str field = str_cut(&rest, '\n');
        struct str before = str_cut(&field, ' ');
        buf_reset(&name);
        buf_reset(&value);
        buf_append(&name, before.at, before.len);
        buf_append(&value, field.at, field.len);
        exchange_header(t->call->x, buf_text(&name), buf_text(&value));
    }
    buf_deinit(&name);
    buf_deinit(&value);
}

/* The same of an upload that is over, from what its job has kept: in a fleet anybody who
 * reports may have put names there that are none of an answer's field. */
static void put_metadata(struct tus *t)
{
    json_t *pairs = json_loads(update_text(t->job, TEXT_METADATA), 0, NULL);
    const char *key;
    json_t *value;
    struct buf text;

    buf_init(&text, UPLOAD_FIELDS_MAX);
    json_object_foreach(pairs, key, value)
    {
        const char *said = json_string_value(value);
        if (!tus_key_is_valid(str_of(key)))
            continue;
        char *encoded = mem_alloc(ENCODE_BASE64_SIZE(said ? strlen(said) : 0));
        encode_base64(said, said ? strlen(said) : 0, encoded);
        buf_printf(&text, *encoded ? "%s%s %s" : "%s%s%s", text.len ? "," : "", key, encoded);
        mem_free(encoded);
    }
    if (text.len > 0 && !text.failed)
        exchange_header(t->call->x, "Upload-Metadata", buf_text(&text));
    buf_deinit(&text);
    json_decref(pairs);
}

static void answer_head(struct tus *t)
{
    struct exchange *x = t->call->x;
    char length[STR_U64_SIZE];

    if (t->has_upload)
        put_fields(t);
    else
        put_metadata(t);
    tus_put_offset(t);
    tus_put_job(t);
    if (t->length >= 0)
        exchange_header(x, "Upload-Length", str_of_u64((uint64_t)t->length, length).at);
    else
        exchange_header(x, "Upload-Defer-Length", "1");
    if (t->state == TUS_OPEN)
        tus_put_expiry(t, t->upload.touched_ms);
    exchange_header(x, "Cache-Control", "no-store");
    tus_release(t);
    exchange_reply(x, 200, NULL, NULL);
}

static void head_surveyed(struct tus *t)
{
    if (t->state == TUS_GONE) {
        tus_refuse(t, 410, "gone", "upload %s was removed", t->id);
    } else if (t->job != NULL && t->job->state == JOB_QUEUED) {
        /* It may have broken off between its last byte and this. */
        tus_conclude(t, answer_head);
    } else {
        answer_head(t);
    }
}

static void head_granted(struct tus *t)
{
    tus_survey(t, head_surveyed);
}

static void head_found(struct tus *t)
{
    tus_take_turn(t, head_granted);
}

/* DELETE */

static void answer_removed(struct tus *t)
{
    tus_release(t);
    exchange_reply(t->call->x, 204, NULL, NULL);
}

static void removed(struct tus *t, int err)
{
    if (err == OK)
        answer_removed(t);
    else if (err == FAIL_MISSING && t->job == NULL)
        tus_refuse_unknown(t);
    else if (err == FAIL_STATE || err == FAIL_MISSING)
        tus_refuse(t, 409, "already_finished", "upload %s is finished already", t->id);
    else
        tus_fail(t, err);
}

static void cancelled(struct call *c, int err, struct update *u)
{
    (void)u;
    removed(c->state, err);
}

static void discarded(struct call *c, int err)
{
    removed(c->state, err);
}

static void remove_granted(struct tus *t)
{
    const struct records_ops *records = t->call->api->records;

    if (t->job == NULL)
        records->discard(t->call, t->id, discarded);
    else if (t->job->state == JOB_CANCELLED)
        tus_refuse(t, 410, "gone", "upload %s was removed", t->id);
    else
        records->cancel(t->call, t->job, cancelled);
}

static void remove_found(struct tus *t)
{
    tus_take_turn(t, remove_granted);
}

/* Which of them */

static struct str method_of(const struct call *c)
{
    const struct http_request *request = exchange_request(c->x);
    struct str wanted = http_header(request, "X-HTTP-Method-Override");

    if (request->method == HTTP_POST && wanted.at != NULL)
        return wanted;
    return str_of(http_method_name(request->method));
}

void tus_upload(struct call *c)
{
    struct str method = method_of(c);
    void (*then)(struct tus * t) = str_equal(method, STR("HEAD"))     ? head_found
                                   : str_equal(method, STR("DELETE")) ? remove_found
                                   : str_equal(method, STR("PATCH"))  ? tus_patch
                                                                      : NULL;

    if (then == NULL) {
        exchange_header(c->x, "Allow", "HEAD, PATCH, DELETE, OPTIONS");
        reply_error(c->x, 405, "method_not_allowed", NULL, "%.*s is not possible here",
                    method.len < 32 ? (int)method.len : 32, method.at);
        return;
    }
    struct tus *t = tus_begin(c);
    if (t == NULL)
        return;
    snprintf(t->id, sizeof(t->id), "%s", c->segments[0]);
    tus_find(t, then);
}
