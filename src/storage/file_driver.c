#include "storage/file_driver.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "proto/url.h"
#include "storage/disk_dir.h"
#include "storage/file_task.h"

void file_driver_free(struct file_driver *d)
{
    file_room_close(&d->room);
    mem_free(d->storage.prefix);
    mem_free(d->storage.public_url);
    mem_free(d);
}

static void file_close(struct storage *s)
{
    struct file_driver *d = (struct file_driver *)s;

    d->is_closing = true;
    for (struct file_task *t = d->tasks; t != NULL; t = t->next)
        file_task_cancel(&t->task);
    if (d->tasks == NULL)
        file_driver_free(d);
}

static void file_describe(const struct storage *s, struct buf *out)
{
    buf_printf(out, "the folder %s", ((const struct file_driver *)s)->room.root);
}

/* No URLs: storage.c refuses those. */
static const struct storage_ops file_ops = {
    .close = file_close,
    .describe = file_describe,
    .put = file_do_put,
    .get = file_do_get,
    .read = file_do_read,
    .head = file_do_head,
    .copy = file_do_copy,
    .remove = file_do_remove_one,
    .list = file_do_list,
    .remove_all = file_do_remove_all,
    .upload_begin = file_do_begin,
    .part_put = file_do_part_put,
    .part_copy = file_do_part_copy,
    .parts = file_do_parts,
    .upload_complete = file_do_complete,
    .upload_abort = file_do_abort,
    .uploads = file_do_uploads,
};

static const struct storage_traits file_traits = {
    .provider = "disk",
    .part_max = INT64_MAX,
    .parts_max = STORAGE_PARTS_MAX,
    .has_part_copy = true,
    .copy_max = INT64_MAX,
};

/* The folder that file:///FOLDER names. */
static int parse_url(const char *url, struct buf *folder, struct buf *why)
{
    static const char start[] = "file:///";
    struct str rest = str_of(url);

    if (!str_starts(rest, STR("file:///"))) {
        buf_puts(why, "a folder's URL is file:///FOLDER, with its whole path");
        return FAIL_SYNTAX;
    }
    rest.at += sizeof start - 2;
    rest.len -= sizeof start - 2;
    int err = url_decode(rest, false, folder);
    if (err != OK || memchr(rest.at, '?', rest.len) != NULL ||
        strlen(buf_text(folder)) != folder->len) {
        buf_puts(why, "the folder's path is malformed");
        return FAIL_SYNTAX;
    }
    return OK;
}

int file_driver_open(uv_loop_t *loop, const struct storage_settings *settings, struct storage **out,
                     struct buf *why)
{
    struct file_room room;
    struct buf folder;

    buf_init(&folder, PATH_KEY_MAX);
    int err = parse_url(settings->url, &folder, why);
    if (err == OK) {
        err = file_room_open(buf_text(&folder), &room);
        if (err != OK)
            buf_printf(why, "%s: %s", buf_text(&folder), fail_text(err));
    }
    buf_deinit(&folder);
    if (err != OK)
        return err;
    struct file_driver *d = mem_new(struct file_driver);
    d->storage = (struct storage){
        .ops = &file_ops,
        .traits = &file_traits,
        .loop = loop,
        .prefix = mem_strdup(""),
        .public_url = mem_strdup(settings->public_url == NULL ? "" : settings->public_url),
    };
    d->room = room;
    *out = &d->storage;
    return OK;
}
