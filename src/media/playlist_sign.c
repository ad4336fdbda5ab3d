#include "media/playlist_sign.h"

#include <string.h>

#include "base/err.h"
#include "storage/disk_dir.h"

#define VARIANT "#EXT-X-STREAM-INF:"
#define URI     "URI=\""

bool playlist_is_master(struct str text)
{
    while (text.len > 0)
        if (str_starts(str_cut(&text, '\n'), STR(VARIANT)))
            return true;
    return false;
}

struct signing {
    const char *folder;
    int (*sign)(void *context, const char *key, struct buf *out);
    void *context;
    struct buf *out;
};

/* With a scheme, a query, from the root or out of the folder: not for us to say. */
static bool is_beside(struct str uri, const struct buf *key)
{
    return uri.len > 0 && memchr(uri.at, ':', uri.len) == NULL &&
           memchr(uri.at, '?', uri.len) == NULL && memchr(uri.at, '%', uri.len) == NULL &&
           uri.at[0] != '/' && !key->failed && strlen(buf_text(key)) == key->len &&
           path_is_normal(buf_text(key));
}

static int put_uri(struct signing *s, struct str uri)
{
    struct buf key;
    int err = OK;

    buf_init(&key, PATH_KEY_MAX);
    buf_printf(&key, "%s/", s->folder);
    buf_append(&key, uri.at, uri.len);
    if (is_beside(uri, &key))
        err = s->sign(s->context, buf_text(&key), s->out);
    else
        buf_append(s->out, uri.at, uri.len);
    buf_deinit(&key);
    return err;
}

/* The tag's attributes are copied up to the URI, and behind it. */
static int put_tag(struct signing *s, struct str line)
{
    const char *found = memmem(line.at, line.len, URI, sizeof(URI) - 1);
    const char *begin = found != NULL ? found + sizeof(URI) - 1 : NULL;
    const char *end =
        begin != NULL ? memchr(begin, '"', line.len - (size_t)(begin - line.at)) : NULL;

    if (end == NULL || !str_starts(line, STR("#EXT-X-"))) {
        buf_append(s->out, line.at, line.len);
        return OK;
    }
    buf_append(s->out, line.at, (size_t)(begin - line.at));
    int err = put_uri(s, (struct str){ begin, (size_t)(end - begin) });
    buf_append(s->out, end, line.len - (size_t)(end - line.at));
    return err;
}

int playlist_sign(struct str text, const char *folder,
                  int (*sign)(void *context, const char *key, struct buf *out), void *context,
                  struct buf *out)
{
    struct signing s = { folder, sign, context, out };

    while (text.len > 0) {
        struct str line = str_cut(&text, '\n');
        if (line.len > 0 && line.at[line.len - 1] == '\r')
            line.len--;
        int err = line.len == 0 || line.at[0] == '#' ? put_tag(&s, line) : put_uri(&s, line);
        if (err)
            return err;
        buf_putc(out, '\n');
    }
    return out->failed ? FAIL_LIMIT : OK;
}
