#include "api/form.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/utf8.h"

static const struct multipart_limits limits = {
    .head_max = FORM_HEAD_MAX,
    .line_max = FORM_HEADERS_MAX,
    .part_max = FORM_PARTS_MAX,
    .around_max = FORM_HEAD_MAX,
};

static int refuse(struct form *f, const char *field, const char *message)
{
    fields_refuse(&f->complaint, "invalid_form", field, "%s", message);
    return FAIL_SYNTAX;
}

static bool is_number(struct str name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.at[i] < '0' || name.at[i] > '9')
            return false;
    return name.len > 0;
}

/* What comes behind the last slash, of either kind: some clients send a path.
 * Cut at a whole character where it is too long; a name is only for people. */
static void take_file_name(struct form *f, struct str name)
{
    size_t len = 0;

    for (size_t i = name.len; i > 0; i--) {
        if (name.at[i - 1] != '/' && name.at[i - 1] != '\\')
            continue;
        name = (struct str){ name.at + i, name.len - i };
        break;
    }
    while (name.len > 0) {
        size_t step = utf8_length(name.at, name.len);
        if (step == 0 || len + step > FILE_NAME_MAX)
            break;
        unsigned char c = (unsigned char)name.at[0];
        if (c >= 0x20 && c != 0x7f) {
            memcpy(f->file_name + len, name.at, step);
            len += step;
        }
        name = (struct str){ name.at + step, name.len - step };
    }
    f->file_name[len] = '\0';
}

static int begin_file(struct form *f, const struct multipart_part *part)
{
    if (f->has_file)
        return refuse(f, "file", "there is more than one file");
    f->part = FORM_FILE;
    f->has_file = true;
    f->is_numbered = !str_equal(part->name, STR("file"));
    if (f->is_numbered && !str_equal(part->name, STR("0")))
        return refuse(f, "file", "the file is neither in the field \"file\" nor in \"0\"");
    take_file_name(f, part->file_name);
    return OK;
}

static int on_part(void *context, const struct multipart_part *part)
{
    struct form *f = context;

    if (part->file_name.at != NULL || str_equal(part->name, STR("file")) || is_number(part->name))
        return begin_file(f, part);
    f->part = FORM_OTHER;
    if (str_equal(part->name, STR("data"))) {
        if (f->has_data)
            return refuse(f, "data", "there is more than one field \"data\"");
        f->has_data = true;
        f->part = FORM_DATA;
    } else if (str_equal(part->name, STR("title"))) {
        buf_reset(&f->title_part);
        f->part = FORM_TITLE;
    }
    return OK;
}

static int too_long(struct form *f, const char *field, size_t max)
{
    fields_refuse(&f->complaint, "invalid_form", field, "%s may have %zu bytes at most", field,
                  max);
    return FAIL_SYNTAX;
}

static int on_data(void *context, const char *bytes, size_t len)
{
    struct form *f = context;

    switch (f->part) {
    case FORM_FILE: return f->file(f->context, bytes, len);
    case FORM_DATA: return buf_append(&f->data, bytes, len) ? OK : too_long(f, "data", f->data.max);
    case FORM_TITLE:
        return buf_append(&f->title_part, bytes, len) ? OK
                                                      : too_long(f, "title", f->title_part.max);
    case FORM_OTHER: break;
    }
    f->other += len;
    return f->other <= HTTP_BODY_MAX ? OK : refuse(f, NULL, "there is too much beside the file");
}

static int on_end(void *context)
{
    struct form *f = context;

    f->is_file_over = f->is_file_over || f->part == FORM_FILE;
    return OK;
}

static const struct multipart_events events = { .part = on_part, .data = on_data, .end = on_end };

int form_init(struct form *f, struct str content_type,
              int (*file)(void *context, const char *bytes, size_t len), void *context)
{
    char boundary[MULTIPART_BOUNDARY_MAX + 1];
    int err = multipart_boundary(content_type, boundary);

    if (err)
        return err;
    *f = (struct form){ .file = file, .context = context };
    f->multipart = multipart_new(boundary, &limits, &events, f);
    buf_init(&f->data, HTTP_BODY_MAX);
    buf_init(&f->title_part, sizeof(f->title) - 1);
    return OK;
}

void form_deinit(struct form *f)
{
    multipart_free(f->multipart);
    f->multipart = NULL;
    buf_deinit(&f->data);
    buf_deinit(&f->title_part);
}

/* A refusal of the parser's, or of our own that passed through it. */
static int explain(struct form *f, int err)
{
    if (f->complaint.code == NULL && (err == FAIL_SYNTAX || err == FAIL_LIMIT))
        fields_refuse(&f->complaint, "invalid_form", NULL, "the form is malformed: %s",
                      multipart_why(f->multipart));
    return err;
}

int form_feed(struct form *f, const char *bytes, size_t len)
{
    return explain(f, multipart_feed(f->multipart, bytes, len));
}

/* oRPC's `maps` is a list of places, each a list of keys. Ours is one of one. */
static bool leads_to_file(const json_t *maps, const json_t *input)
{
    const json_t *place = json_array_get(maps, 0);
    const char *key = json_string_value(json_array_get(place, 0));

    return json_array_size(maps) == 1 && json_array_size(place) == 1 && key != NULL &&
           strcmp(key, "file") == 0 && json_object_get(input, "file") != NULL;
}

static int read_data(struct form *f)
{
    const char *title = NULL;
    struct fields data;
    int err = OK;

    if (!fields_parse(&data, buf_str(&f->data)))
        return refuse(f, "data", data.message);
    json_t *input = json_object_get(data.object, "json");
    struct fields members = { .object = input };
    if (!json_is_object(input) || !leads_to_file(json_object_get(data.object, "maps"), input))
        err = refuse(f, "file", "the input is not {file}, with a File or Blob");
    else if (!field_text(&members, "title", OPTIONAL, sizeof(f->title) - 1, &title))
        err = refuse(f, members.field, members.message);
    else if (title != NULL)
        snprintf(f->title, sizeof(f->title), "%s", title);
    fields_deinit(&data);
    return err;
}

static int read_title(struct form *f)
{
    struct str title = buf_str(&f->title_part);

    if (!utf8_is_valid(title.at, title.len) ||
        (title.len > 0 && memchr(title.at, '\0', title.len) != NULL))
        return refuse(f, "title", "title is not text in UTF-8");
    snprintf(f->title, sizeof(f->title), "%s", buf_text(&f->title_part));
    return OK;
}

int form_end(struct form *f)
{
    int err = explain(f, multipart_end(f->multipart));

    if (err)
        return err;
    if (!f->has_file)
        return refuse(f, "file", "there is no file");
    if (f->is_numbered && !f->has_data)
        return refuse(f, "data", "there is no field \"data\" that says what the file is");
    err = f->is_numbered ? read_data(f) : read_title(f);
    if (err == OK && f->title[0] == '\0')
        snprintf(f->title, sizeof(f->title), "%s", f->file_name);
    return err;
}
