#include "cmd/upload_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "base/emit.h"
#include "base/err.h"
#include "base/mem.h"

enum { NAME_MAX_LEN = 4096, FILE_LIMIT = 16 * 1024 };

static int put_folder(struct buf *out)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

    /* The base directory specification: a relative path is to be ignored. */
    if (state != NULL && *state == '/')
        buf_printf(out, "%s/reelay", state);
    else if (home != NULL && *home == '/')
        buf_printf(out, "%s/.local/state/reelay", home);
    else
        return FAIL_MISSING;
    return out->failed ? FAIL_LIMIT : OK;
}

/* FNV-1a. Should two files meet in one name, the later one is remembered: what
 * is read must have the file's own path and server. */
static uint64_t hash_of(const char *text, uint64_t hash)
{
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return hash;
}

static int put_name(const struct upload_memory *m, struct buf *out)
{
    int err = put_folder(out);

    if (err)
        return err;
    uint64_t hash = hash_of(m->path, hash_of(m->server, UINT64_C(0xcbf29ce484222325)));
    buf_printf(out, "/upload-%016" PRIx64 ".json", hash);
    return out->failed ? FAIL_LIMIT : OK;
}

static bool is_text(const json_t *object, const char *name, const char *text)
{
    const char *value = json_string_value(json_object_get(object, name));

    return value != NULL && strcmp(value, text) == 0;
}

static bool is_number(const json_t *object, const char *name, int64_t number)
{
    const json_t *value = json_object_get(object, name);

    return json_is_integer(value) && json_integer_value(value) == number;
}

static int read_memory(struct upload_memory *m, const json_t *object)
{
    const char *video = json_string_value(json_object_get(object, "video"));
    json_int_t chunk_size = json_integer_value(json_object_get(object, "chunk_size"));

    if (video == NULL || chunk_size <= 0 || !is_text(object, "path", m->path) ||
        !is_text(object, "server", m->server) || !is_number(object, "size", (int64_t)m->size) ||
        !is_number(object, "modified_ns", m->modified_ns))
        return FAIL_MISSING;
    m->video = mem_strdup(video);
    m->chunk_size = (uint64_t)chunk_size;
    return OK;
}

int upload_memory_load(struct upload_memory *m)
{
    json_error_t error;
    struct buf name;

    buf_init(&name, NAME_MAX_LEN);
    int err = put_name(m, &name);
    if (err == OK) {
        json_t *object = json_load_file(buf_text(&name), 0, &error);
        err = read_memory(m, object);
        json_decref(object);
    }
    buf_deinit(&name);
    return err;
}

static void write_memory(const struct upload_memory *m, struct buf *out)
{
    emit_open(out, '{');
    emit_field_string(out, "path", m->path);
    emit_field_string(out, "server", m->server);
    emit_field_int(out, "size", (int64_t)m->size);
    emit_field_int(out, "modified_ns", m->modified_ns);
    emit_field_string(out, "video", m->video);
    emit_field_int(out, "chunk_size", (int64_t)m->chunk_size);
    emit_close(out, '}');
    buf_putc(out, '\n');
}

/* Makes the folders of a path, as mkdir -p does. */
static int make_folders(char *path)
{
    for (char *slash = path + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        int made = mkdir(path, 0700);
        *slash = '/';
        if (made != 0 && errno != EEXIST)
            return fail_from_errno(errno);
    }
    return OK;
}

static int write_file(const char *name, const struct buf *text)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return fail_from_errno(errno);
    ssize_t written = write(fd, text->data, text->len);
    int err = written == (ssize_t)text->len ? OK : FAIL_IO;
    if (close(fd) != 0)
        err = FAIL_IO;
    return err;
}

int upload_memory_save(const struct upload_memory *m)
{
    struct buf name, draft, text;

    buf_init(&name, NAME_MAX_LEN);
    buf_init(&draft, NAME_MAX_LEN);
    buf_init(&text, FILE_LIMIT);
    int err = put_name(m, &name);
    buf_printf(&draft, "%s.%ld", buf_text(&name), (long)getpid());
    write_memory(m, &text);
    if (err == OK && (draft.failed || text.failed))
        err = FAIL_LIMIT;
    if (err == OK)
        err = make_folders(name.data);
    if (err == OK)
        err = write_file(draft.data, &text);
    if (err == OK && rename(draft.data, name.data) != 0) {
        err = fail_from_errno(errno);
        unlink(draft.data);
    }
    buf_deinit(&name);
    buf_deinit(&draft);
    buf_deinit(&text);
    return err;
}

void upload_memory_forget(const struct upload_memory *m)
{
    struct buf name;

    buf_init(&name, NAME_MAX_LEN);
    if (put_name(m, &name) == OK)
        unlink(name.data);
    buf_deinit(&name);
}

void upload_memory_deinit(struct upload_memory *m)
{
    mem_free(m->path);
    mem_free(m->server);
    mem_free(m->video);
    m->path = m->server = m->video = NULL;
}
