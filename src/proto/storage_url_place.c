#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "proto/storage_url_room.h"

enum { HOST_MAX = 253, PORT_MAX = 65535, PLACE_MAX = 4096 };

static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
static const char capitals[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
static const char digits[] = "0123456789";

static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

static bool is_host(struct str host)
{
    bool is_ipv6 = host.len > 2 && host.at[0] == '[' && host.at[host.len - 1] == ']';

    if (host.len == 0 || host.len > HOST_MAX)
        return false;
    for (size_t i = is_ipv6; i < host.len - is_ipv6; i++) {
        char c = host.at[i];
        bool is_plain = is_one_of(c, letters) || is_one_of(c, capitals) || is_one_of(c, digits);
        if (!is_plain && !is_one_of(c, is_ipv6 ? ":." : ".-_"))
            return false;
    }
    return true;
}

/* "host", "host:port", "[::1]:port" */
static int parse_authority(struct str text, struct storage_url *url, struct buf *why)
{
    const char *bracket = text.len > 0 ? memrchr(text.at, ']', text.len) : NULL;
    const char *from = bracket != NULL ? bracket : text.at;
    const char *colon =
        text.len > 0 ? memchr(from, ':', text.len - (size_t)(from - text.at)) : NULL;
    struct str host = { text.at, colon != NULL ? (size_t)(colon - text.at) : text.len };
    uint64_t port = 0;

    if (!is_host(host))
        return storage_url_fail(why, "its endpoint has no host, or one with a strange character");
    if (colon != NULL) {
        struct str number = { colon + 1, text.len - host.len - 1 };
        if (str_parse_u64(number, PORT_MAX, &port) != OK || port == 0)
            return storage_url_fail(why, "its endpoint's port is not a number from 1 to 65535");
    }
    url->host = mem_strndup(host.at, host.len);
    url->port = port == (url->is_https ? 443 : 80) ? 0 : (uint16_t)port;
    return OK;
}

int storage_url_endpoint(const char *text, struct storage_url *url, struct buf *why)
{
    struct str path = str_of(text);
    struct str scheme = str_cut(&path, ':');

    url->is_https = str_equal_nocase(scheme, STR("https"));
    if ((!url->is_https && !str_equal_nocase(scheme, STR("http"))) || !str_starts(path, STR("//")))
        return storage_url_fail(why, "its endpoint begins with neither https:// nor http://");
    if (strpbrk(text, "?#") != NULL)
        return storage_url_fail(why, "its endpoint has a query");
    path = (struct str){ path.at + 2, path.len - 2 };
    struct str authority = str_cut(&path, '/');
    if (authority.len > 0 && memchr(authority.at, '@', authority.len) != NULL)
        return storage_url_fail(why, "its endpoint has a login; it goes before the bucket");
    int err = parse_authority(authority, url, why);
    while (str_ends(path, STR("/")))
        path.len--;
    if (err != OK || path.len == 0)
        return err;
    char *decoded = NULL;
    err = storage_url_part(path, &decoded, why, "endpoint's path");
    if (err == OK) {
        struct buf root;
        buf_init(&root, PLACE_MAX);
        buf_printf(&root, "/%s", decoded);
        url->root = buf_take(&root);
    }
    mem_free(decoded);
    return err;
}

/* Where the provider has its own. */
static char *own_host(const struct storage_url *url)
{
    struct buf host;

    buf_init(&host, PLACE_MAX);
    if (strcmp(url->scheme, "r2") == 0)
        buf_printf(&host, "%s.r2.cloudflarestorage.com", url->account);
    else if (strcmp(url->scheme, "gs") == 0)
        buf_puts(&host, "storage.googleapis.com");
    else if (url->kind == STORAGE_AZURE)
        buf_printf(&host, "%s.blob.core.windows.net", url->account);
    else
        buf_printf(&host, "s3.%s.amazonaws.com%s", url->region,
                   strncmp(url->region, "cn-", 3) == 0 ? ".cn" : "");
    return buf_take(&host);
}

/* Behind a wildcard certificate there is one label, and names of hosts have no capitals. */
static bool is_label(const char *name)
{
    size_t len = strlen(name);

    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == len && len <= 63 &&
           name[0] != '-' && name[len - 1] != '-';
}

/* Also one in brackets; hosts do not end in a number. */
static bool is_address(const char *host)
{
    const char *last = strrchr(host, '.');

    last = last != NULL ? last + 1 : host;
    return strchr(host, ':') != NULL || last[strspn(last, "0123456789")] == '\0';
}

static int choose_style(struct storage_url *url, const char *style, bool has_endpoint,
                        struct buf *why)
{
    bool is_aws = strcmp(url->scheme, "s3") == 0 && !has_endpoint;
    bool is_virtual =
        style != NULL ? strcmp(style, "virtual") == 0 : is_aws && is_label(url->bucket);

    if (style != NULL && !is_virtual && strcmp(style, "path") != 0)
        return storage_url_fail(why, "its style is neither path nor virtual");
    if (is_virtual && !is_label(url->bucket))
        return storage_url_fail(why, "its bucket's name cannot be part of a host's (style=path)");
    if (is_virtual && is_address(url->host))
        return storage_url_fail(why, "its endpoint is an address, which has no names below it "
                                     "(style=path)");
    url->is_path_style = !is_virtual;
    return OK;
}

int storage_url_place(struct storage_url *url, const char *style, struct buf *why)
{
    bool has_endpoint = url->host != NULL;
    struct buf authority, root;
    int err = OK;

    if (!has_endpoint) {
        url->is_https = true;
        url->host = own_host(url);
    }
    if (url->kind == STORAGE_S3)
        err = choose_style(url, style, has_endpoint, why);
    else if (style != NULL)
        err = storage_url_fail(why, "a style is only for s3, r2 and gs");
    if (err)
        return err;
    buf_init(&authority, PLACE_MAX);
    buf_init(&root, PLACE_MAX);
    bool is_virtual = url->kind == STORAGE_S3 && !url->is_path_style;
    buf_printf(&authority, "%s%s%s", is_virtual ? url->bucket : "", is_virtual ? "." : "",
               url->host);
    if (url->port != 0)
        buf_printf(&authority, ":%u", url->port);
    buf_puts(&root, url->root != NULL ? url->root : "");
    if (!is_virtual)
        buf_printf(&root, "/%s", url->bucket);
    bool is_fitting = !authority.failed && !root.failed;
    mem_free(url->root);
    url->authority = mem_strdup(buf_text(&authority));
    url->root = mem_strdup(buf_text(&root));
    buf_deinit(&authority);
    buf_deinit(&root);
    return is_fitting ? OK : storage_url_fail(why, "its endpoint is too long");
}
