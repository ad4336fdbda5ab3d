/* Published trees that are no use any more, out of the storage. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "media/pipeline_run.h"

enum { PREFIX_MAX = 256, ROUNDS_MAX = 3 };

/* list, remove what was found, one behind the other, list again: until there is nothing.
 * What was cancelled in the last moment may arrive behind the first list. */
static const char folder[] = "videos/hls/"; /* of what never had a key */

struct clearing {
    struct storage *storage;
    enum tree_fate fate;
    unsigned rounds;
    size_t folder;          /* bytes of "videos/hls/" */
    char found[PREFIX_MAX]; /* a tree that is to go: "videos/hls/VIDEO-RANDOM/" */
    char last[PREFIX_MAX];  /* the one that was removed before */
    storage_done *done;
    void *context;
    char prefix[PREFIX_MAX]; /* of all keys of the video, or the only one */
    char kept[PREFIX_MAX];   /* with a slash at its end, or "" */
};

static void end(struct clearing *c, int err, const char *why)
{
    c->done(c->context, err, why);
    mem_free(c);
}

static bool is_of_video(const struct clearing *c, const char *key)
{
    return c->fate == TREE_REMOVED || pipeline_key_random(key + strlen(c->prefix)) > 0;
}

static bool each(void *context, const struct storage_object *object)
{
    struct clearing *c = context;
    const char *slash = strchr(object->key + c->folder, '/');

    if (slash == NULL || !is_of_video(c, object->key) ||
        (*c->kept && strncmp(object->key, c->kept, strlen(c->kept)) == 0))
        return true;
    snprintf(c->found, sizeof(c->found), "%.*s", (int)(slash + 1 - object->key), object->key);
    return false;
}

static void look(struct clearing *c);

static void tree_removed(void *context, int err, const char *why)
{
    struct clearing *c = context;

    if (err)
        end(c, err, why);
    else
        look(c);
}

static void listed(void *context, int err, const char *why)
{
    struct clearing *c = context;

    /* What is removed may be listed for a while. */
    c->rounds = strcmp(c->found, c->last) == 0 ? c->rounds + 1 : 0;
    memcpy(c->last, c->found, sizeof(c->last));
    if (err || c->found[0] == '\0' || c->rounds == ROUNDS_MAX)
        end(c, err, why);
    else
        storage_remove_all(c->storage, c->found, tree_removed, c);
}

static void look(struct clearing *c)
{
    c->found[0] = '\0';
    storage_list(c->storage, c->prefix, each, listed, c);
}

void trees_clear(struct storage *s, const char *video, const char *key, enum tree_fate fate,
                 storage_done *done, void *context)
{
    struct clearing *c = mem_new(struct clearing);

    const char *slash = strrchr(key, '/');

    c->storage = s;
    c->folder = slash != NULL ? (size_t)(slash + 1 - key) : sizeof(folder) - 1;
    c->fate = fate;
    c->done = done;
    c->context = context;
    if (fate == TREE_REMOVED)
        snprintf(c->prefix, sizeof(c->prefix), "%s/", key);
    else
        snprintf(c->prefix, sizeof(c->prefix), "%.*s%s-", (int)c->folder, slash ? key : folder,
                 video);
    if (fate == TREE_KEPT)
        snprintf(c->kept, sizeof(c->kept), "%s/", key);
    look(c);
}
