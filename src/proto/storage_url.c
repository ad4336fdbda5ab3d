#include "proto/storage_url.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "proto/azure_sign.h"
#include "proto/storage_url_room.h"
#include "proto/url.h"

enum { PART_MAX = 4096, PREFIX_MAX = 512, FOLDER_MAX = 3072, NAME_SHOWN = 24 };

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789-."

int storage_url_fail(struct buf *why, const char *text)
{
    buf_puts(why, text);
    return FAIL_SYNTAX;
}

int storage_url_part(struct str text, char **out, struct buf *why, const char *what)
{
    int err = url_part(text, PART_MAX, out, why, what);

    if (err != OK || strpbrk(*out, "\r\n\t\v\f") == NULL)
        return err;
    storage_url_wipe(out);
    buf_printf(why, "its %s has a control character", what);
    return FAIL_SYNTAX;
}

void storage_url_wipe(char **secret)
{
    if (*secret != NULL)
        explicit_bzero(*secret, strlen(*secret));
    mem_free(*secret);
    *secret = NULL;
}

/* What a URL says besides its place. */
struct words {
    char *user, *password, *endpoint, *region, *style;
};

static void words_deinit(struct words *w)
{
    storage_url_wipe(&w->user);
    storage_url_wipe(&w->password);
    mem_free(w->endpoint);
    mem_free(w->region);
    mem_free(w->style);
}

/* What stands before an '@' is the end of a secret that has a '?' in it: it is not shown. */
static int fail_parameter(struct str name, bool has_login, struct buf *why)
{
    if (has_login || name.len > NAME_SHOWN)
        return storage_url_fail(why, "it has a parameter besides endpoint, region and style");
    buf_printf(why, "it has a parameter \"%.*s\": there are endpoint, region and style",
               STR_ARG(name));
    return FAIL_SYNTAX;
}

static int parse_query(struct str query, struct words *w, struct buf *why)
{
    bool has_login = query.len > 0 && memchr(query.at, '@', query.len) != NULL;

    while (query.len > 0) {
        struct str value = str_cut(&query, '&');
        struct str name = str_cut(&value, '=');
        char **out = str_equal(name, STR("endpoint")) ? &w->endpoint
                     : str_equal(name, STR("region")) ? &w->region
                     : str_equal(name, STR("style"))  ? &w->style
                                                      : NULL;
        if (out == NULL) {
            return fail_parameter(name, has_login, why);
        }
        if (*out != NULL)
            return storage_url_fail(why, "it has a parameter twice");
        int err = storage_url_part(value, out, why, "query");
        if (err)
            return err;
    }
    return OK;
}

/* "KEY:SECRET" or ":KEY" */
static int parse_login(struct str login, struct words *w, struct buf *why)
{
    struct str user = str_cut(&login, ':');

    if (login.len == 0)
        return storage_url_fail(why, "it has half a login: KEY:SECRET@ is what it takes");
    int err = storage_url_part(user, &w->user, why, "login's key");
    return err != OK ? err : storage_url_part(login, &w->password, why, "login's secret");
}

static bool has_length(const char *text, size_t min, size_t max)
{
    size_t len = strlen(text);

    return len >= min && len <= max;
}

static int check_bucket(const struct storage_url *url, struct buf *why)
{
    size_t max = strcmp(url->scheme, "gs") == 0 ? 222 : 63;
    const char *set = url->kind == STORAGE_AZURE ? NAME_CHARACTERS "$"
                                                 : NAME_CHARACTERS "_ABCDEFGHIJKLMNOPQRSTUVWXYZ";

    if (url->bucket == NULL || url->bucket[0] == '\0')
        return storage_url_fail(why, "it has no bucket");
    if (strchr(url->bucket, ':') != NULL)
        return storage_url_fail(why, "its bucket has a ':'; if that was meant as a login, a '/' in "
                                     "a secret is written %2F, and '@' comes behind it");
    if (!has_length(url->bucket, 3, max) || url->bucket[strspn(url->bucket, set)] != '\0' ||
        strstr(url->bucket, "..") != NULL || url->bucket[0] == '.')
        return storage_url_fail(why, "its bucket's name must have 3 to 63 letters, digits, "
                                     "'-', '.' and '_'");
    return OK;
}

/* A prefix is a folder: whole segments, none of which a path could be led astray by. */
static int parse_prefix(struct str text, struct storage_url *url, struct buf *why)
{
    struct buf prefix;
    char *decoded = NULL;
    int err = storage_url_part(text, &decoded, why, "prefix");
    struct str rest = str_of(decoded);

    if (err)
        return err;
    buf_init(&prefix, PREFIX_MAX);
    while (rest.len > 0) {
        struct str segment = str_cut(&rest, '/');
        if (segment.len == 0 || str_equal(segment, STR(".")) || str_equal(segment, STR("..")))
            err = storage_url_fail(why, "its prefix has an empty segment, or a '.' or '..'");
        if (err)
            break;
        buf_append(&prefix, segment.at, segment.len);
        buf_putc(&prefix, '/');
    }
    if (err == OK && prefix.failed)
        err = storage_url_fail(why, "its prefix is longer than 511 bytes");
    url->prefix = mem_strdup(buf_text(&prefix));
    buf_deinit(&prefix);
    mem_free(decoded);
    return err;
}

static const char *from_environment(storage_url_getter *get, void *context, const char *name)
{
    const char *value = get != NULL ? get(context, name) : NULL;

    return value != NULL && value[0] != '\0' ? value : NULL;
}

static int choose_region(struct storage_url *url, struct words *w, storage_url_getter *get,
                         void *context, struct buf *why)
{
    const char *region = w->region;

    if (url->kind == STORAGE_AZURE) {
        url->region = mem_strdup("");
        return region == NULL ? OK : storage_url_fail(why, "a region is only for s3, r2 and gs");
    }
    if (region == NULL && strcmp(url->scheme, "s3") == 0) {
        region = from_environment(get, context, "AWS_REGION");
        if (region == NULL)
            region = from_environment(get, context, "AWS_DEFAULT_REGION");
        if (region == NULL)
            region = "us-east-1";
    }
    url->region = mem_strdup(region != NULL ? region : "auto");
    if (!has_length(url->region, 1, 64) ||
        url->region[strspn(url->region, NAME_CHARACTERS "_ABCDEFGHIJKLMNOPQRSTUVWXYZ")] != '\0')
        return storage_url_fail(why, "its region has a strange character, or is empty");
    return OK;
}

static int deny(struct buf *why, const char *text)
{
    buf_puts(why, text);
    return FAIL_DENIED;
}

static char *move(char **from)
{
    char *text = *from;

    *from = NULL;
    return text;
}

static int find_keys(struct storage_url *url, struct words *w, storage_url_getter *get,
                     void *context, struct buf *why)
{
    if (w->password != NULL) {
        if (w->user[0] == '\0' || w->password[0] == '\0')
            return storage_url_fail(why, "it has half a login: KEY:SECRET@ is what it takes");
        url->key_id = move(&w->user);
        url->secret = move(&w->password);
        return OK;
    }
    const char *id = from_environment(get, context, "AWS_ACCESS_KEY_ID");
    const char *secret = from_environment(get, context, "AWS_SECRET_ACCESS_KEY");
    const char *session = from_environment(get, context, "AWS_SESSION_TOKEN");
    if (id == NULL || secret == NULL)
        return deny(why, "there are no credentials for it: AWS_ACCESS_KEY_ID and "
                         "AWS_SECRET_ACCESS_KEY, or KEY:SECRET@ in the URL");
    url->key_id = mem_strdup(id);
    url->secret = mem_strdup(secret);
    url->session = session != NULL ? mem_strdup(session) : NULL;
    return OK;
}

static int check_azure_key(const struct storage_url *url, struct buf *why)
{
    struct azure_key key;

    if (azure_key_init(&key, url->account, url->secret) != OK)
        return storage_url_fail(why, "its account's key is no base64 ('/', '+' and '=' in it are "
                                     "written %2F, %2B and %3D in a URL)");
    azure_key_deinit(&key);
    return OK;
}

static int find_azure_key(struct storage_url *url, struct words *w, storage_url_getter *get,
                          void *context, struct buf *why)
{
    const char *key = from_environment(get, context, "AZURE_STORAGE_KEY");
    const char *token = from_environment(get, context, "AZURE_STORAGE_SAS_TOKEN");

    if (w->password != NULL && w->user[0] != '\0' && strcmp(w->user, url->account) != 0)
        return storage_url_fail(why, "its login is not that of its account (:KEY@ will do)");
    if (w->password != NULL)
        url->secret = move(&w->password);
    else if (key != NULL)
        url->secret = mem_strdup(key);
    if (url->secret != NULL)
        return check_azure_key(url, why);
    if (token == NULL)
        return deny(why, "there are no credentials for it: AZURE_STORAGE_KEY, "
                         "AZURE_STORAGE_SAS_TOKEN, or :KEY@ in the URL");
    url->sas_token = mem_strdup(token[0] == '?' ? token + 1 : token);
    return OK;
}

static int find_endpoint(struct storage_url *url, struct words *w, storage_url_getter *get,
                         void *context, struct buf *why)
{
    const char *endpoint = w->endpoint;

    if (endpoint == NULL && strcmp(url->scheme, "s3") == 0)
        endpoint = from_environment(get, context, "AWS_ENDPOINT_URL");
    return endpoint != NULL ? storage_url_endpoint(endpoint, url, why) : OK;
}

static int parse_account(struct str text, struct storage_url *url, struct buf *why)
{
    int err = storage_url_part(text, &url->account, why, "account");

    if (err == OK && strchr(url->account, ':') != NULL)
        return storage_url_fail(why,
                                "its account has a ':'; if that was meant as a login, a '/' in "
                                "a secret is written %2F, and '@' comes behind it");
    if (err == OK && (!has_length(url->account, 1, 128) ||
                      url->account[strspn(url->account, NAME_CHARACTERS)] != '\0'))
        return storage_url_fail(why,
                                "its account's name must have small letters, digits, '-' and '.'");
    return err;
}

/* What stands before the first '/' and there before the last '@'. */
static struct str cut_login(struct str *place)
{
    struct str rest = *place;
    struct str authority = str_cut(&rest, '/');
    const char *at = authority.len > 0 ? memrchr(authority.at, '@', authority.len) : NULL;
    struct str login = { NULL, 0 };

    if (at != NULL) {
        login = (struct str){ place->at, (size_t)(at - place->at) };
        *place = (struct str){ at + 1, place->len - login.len - 1 };
    }
    return login;
}

static int parse_bucket(struct str place, struct storage_url *url, struct words *w,
                        storage_url_getter *get, void *context, struct buf *why)
{
    struct str prefix = place;
    struct str login = cut_login(&prefix);
    int err = login.at != NULL ? parse_login(login, w, why) : OK;

    if (err == OK && (url->kind == STORAGE_AZURE || strcmp(url->scheme, "r2") == 0))
        err = parse_account(str_cut(&prefix, '/'), url, why);
    if (err == OK)
        err = storage_url_part(str_cut(&prefix, '/'), &url->bucket, why, "bucket");
    if (err == OK)
        err = check_bucket(url, why);
    if (err == OK)
        err = parse_prefix(prefix, url, why);
    if (err == OK)
        err = choose_region(url, w, get, context, why);
    if (err == OK)
        err = find_endpoint(url, w, get, context, why);
    if (err == OK)
        err = storage_url_place(url, w->style, why);
    if (err != OK)
        return err;
    return url->kind == STORAGE_AZURE ? find_azure_key(url, w, get, context, why)
                                      : find_keys(url, w, get, context, why);
}

static int parse_folder(struct str place, struct storage_url *url, struct buf *why)
{
    if (!str_starts(place, STR("/")))
        return storage_url_fail(why, "its folder is no absolute path (file:///FOLDER)");
    while (str_ends(place, STR("/")))
        place.len--;
    if (place.len == 0 || place.len > FOLDER_MAX)
        return storage_url_fail(why, "its folder is empty, or its name too long");
    url->prefix = mem_strdup("");
    int err = storage_url_part(place, &url->folder, why, "folder");
    if (err)
        return err;
    size_t len = strlen(url->folder);
    while (len > 0 && url->folder[len - 1] == '/') /* "%2F" */
        url->folder[--len] = '\0';
    return len > 0 ? OK : storage_url_fail(why, "its folder is empty, or its name too long");
}

static const struct scheme {
    const char *name, *provider;
    enum storage_kind kind;
} schemes[] = {
    { "file", "disk", STORAGE_FILE },    { "s3", "s3", STORAGE_S3 },
    { "r2", "s3", STORAGE_S3 },          { "gs", "gcs", STORAGE_S3 },
    { "azure", "azure", STORAGE_AZURE },
};

static const struct scheme *cut_scheme(struct str *place)
{
    struct str name = url_cut_scheme(place);

    for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++)
        if (str_equal_nocase(name, str_of(schemes[i].name)))
            return &schemes[i];
    return NULL;
}

int storage_url_parse(const char *text, storage_url_getter *get, void *context,
                      struct storage_url *out, struct buf *why)
{
    struct str query = str_of(text);
    const struct scheme *scheme = cut_scheme(&query);
    struct words words = { 0 };

    if (scheme == NULL)
        return storage_url_fail(why, "it begins with none of file://, s3://, r2://, gs:// and "
                                     "azure://");
    if (strchr(text, '#') != NULL)
        return storage_url_fail(why, "it has a '#', which is written %23");
    struct storage_url url = { .kind = scheme->kind,
                               .scheme = scheme->name,
                               .provider = scheme->provider };
    struct str place = str_cut(&query, '?');
    int err = parse_query(query, &words, why);
    if (err == OK && url.kind == STORAGE_FILE)
        err = query.len == 0 ? parse_folder(place, &url, why)
                             : storage_url_fail(why, "a folder takes no parameters");
    else if (err == OK)
        err = parse_bucket(place, &url, &words, get, context, why);
    words_deinit(&words);
    if (err == OK)
        *out = url;
    else
        storage_url_deinit(&url);
    return err;
}

void storage_url_deinit(struct storage_url *url)
{
    mem_free(url->folder);
    mem_free(url->bucket);
    mem_free(url->prefix);
    mem_free(url->host);
    mem_free(url->authority);
    mem_free(url->root);
    mem_free(url->region);
    mem_free(url->account);
    storage_url_wipe(&url->key_id);
    storage_url_wipe(&url->secret);
    storage_url_wipe(&url->session);
    storage_url_wipe(&url->sas_token);
    *url = (struct storage_url){ 0 };
}

void storage_url_describe(const struct storage_url *url, struct buf *out)
{
    if (url->kind == STORAGE_FILE) {
        buf_printf(out, "file://%s", url->folder);
        return;
    }
    buf_printf(out, "%s://", url->scheme);
    if (url->account != NULL)
        buf_printf(out, "%s/", url->account);
    buf_printf(out, "%s/%s at %s://%s", url->bucket, url->prefix, url->is_https ? "https" : "http",
               url->host);
    if (url->port != 0)
        buf_printf(out, ":%u", url->port);
}
