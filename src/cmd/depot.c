#include "cmd/depot.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "cmd/cmd.h"
#include "cmd/keys.h"
#include "fleet/mark.h"

enum { DESCRIPTION_MAX = 2048, PATH_MAX_HERE = 4096 };

bool depot_is_bucket(const struct serve_options *o)
{
    /* REELAY_STORAGE may be there and empty, as compose files make it. */
    return *o->storage != '\0' && strcmp(o->storage, "disk") != 0;
}

static bool is_public_base(const char *url)
{
    bool has_scheme =
        str_starts(str_of(url), STR("https://")) || str_starts(str_of(url), STR("http://"));

    return has_scheme && strpbrk(url, "?#@ \t\r\n\"") == NULL && !str_ends(str_of(url), STR("/"));
}

/* Nodes that share a folder share the key that lies in it. */
static int check_keys(const struct serve_options *o, struct buf *why)
{
    bool has_tokens = keys_are_configured(&o->keys);

    if (o->keys.secret != NULL || (has_tokens && o->keys.url_secret != NULL))
        return OK;
    if (has_tokens) {
        buf_puts(why,
                 "--storage with --engine redis://...: a public key signs no upload URLs; give "
                 "each `serve` the same --url-secret");
        return FAIL_DENIED;
    }
    buf_puts(why, "--storage with --engine redis://...: nodes share no folder that a key could lie "
                  "in; give each `serve` the same --jwt-secret");
    return FAIL_DENIED;
}

int depot_check(const struct serve_options *o, bool is_fleet, bool serves, struct buf *why)
{
    if (!depot_is_bucket(o)) {
        if (*o->storage_public_url == '\0')
            return OK;
        buf_puts(why, "--storage-public-url: it is a bucket's; say which one with --storage");
        return FAIL_SYNTAX;
    }
    if (*o->storage_public_url && !is_public_base(o->storage_public_url)) {
        buf_printf(why,
                   "--storage-public-url: \"%s\" is not a URL such as https://cdn.example.com, "
                   "without a slash at its end",
                   o->storage_public_url);
        return FAIL_SYNTAX;
    }
    if (command_check_ca("--storage-ca-file", o->storage_ca_file, why) != OK)
        return FAIL_SYNTAX;
    return is_fleet && serves ? check_keys(o, why) : OK;
}

static bool is_enough(void *context, const struct storage_object *object)
{
    (void)context;
    (void)object;
    return false;
}

static void on_tried(void *context, int err, const char *why)
{
    (void)context;
    (void)err;
    (void)why;
}

void depot_try(struct storage *s)
{
    if (s != NULL)
        storage_list(s, "uploads/", is_enough, on_tried, NULL);
}

/* What bytes reach viewers by. */
static const char *way_to_viewers(const struct serve_options *o, const struct storage *s)
{
    if (*o->storage_public_url)
        return o->storage_public_url;
    return storage_traits(s)->has_urls ? "signed URLs" : "this server";
}

int depot_open(uv_loop_t *loop, const struct serve_options *o, struct storage **out,
               struct buf *why)
{
    struct buf text;

    *out = NULL;
    if (!depot_is_bucket(o))
        return OK;
    buf_init(&text, DESCRIPTION_MAX);
    int err = storage_open(loop,
                           &(struct storage_settings){
                               .url = o->storage,
                               .ca_file = o->storage_ca_file,
                               .public_url = o->storage_public_url,
                               .parallel = (unsigned)o->storage_parallel,
                               .patience_ms = (uint32_t)o->storage_patience_ms,
                           },
                           out, &text);
    if (err) {
        buf_printf(why, "--storage: %s", text.len ? buf_text(&text) : fail_text(err));
    } else {
        buf_reset(&text);
        storage_describe(*out, &text);
        log_info("storage", LOG_S("provider", storage_traits(*out)->provider),
                 LOG_S("where", buf_text(&text)), LOG_S("viewers", way_to_viewers(o, *out)));
    }
    buf_deinit(&text);
    return err;
}

int depot_mark(const struct storage *s, const char *data_dir, struct buf *out, struct buf *why)
{
    struct buf path, id = { 0 };

    if (s != NULL) {
        storage_describe(s, out);
        return OK;
    }
    buf_init(&path, PATH_MAX_HERE);
    buf_printf(&path, "%s/id", data_dir);
    int err = keys_own_text(buf_text(&path), &id, why);
    if (err == OK)
        buf_printf(out, "folder %s", buf_text(&id));
    buf_deinit(&path);
    buf_deinit(&id);
    return err;
}

void depot_explain(const struct serve_options *o, const char *own, const char *theirs,
                   struct buf *out)
{
    if (depot_is_bucket(o) || !str_starts(str_of(theirs), STR("folder ")))
        buf_printf(out,
                   "the other nodes of this Redis have their files in %s, this one would have them "
                   "in %s: give all the same --storage",
                   theirs, own);
    else
        buf_printf(out,
                   "--data-dir: %s is another folder than that of the other nodes of this Redis",
                   o->data_dir);
    buf_puts(out, ". If the files have moved: stop all nodes, redis-cli DEL " FLEET_MARK_KEY);
}
