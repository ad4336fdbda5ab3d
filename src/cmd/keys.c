#include "cmd/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"

enum { SECRET_BYTES = 32, SECRET_TEXT = 2 * SECRET_BYTES + 1, KEY_FILE_MAX = 1 << 20 };

bool keys_are_configured(const struct key_options *options)
{
    return options->secret || options->key_file || options->jwks_file;
}

static int read_file(const char *path, size_t max, struct buf *out, struct buf *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int cause = fd < 0 ? errno : 0;
    int err = fail_from_errno(cause);

    buf_init(out, max);
    while (err == OK) {
        char *at = buf_reserve(out, 4096);
        ssize_t got = at ? read(fd, at, 4096) : -1;
        if (at == NULL)
            err = FAIL_LIMIT;
        else if (got < 0 && errno != EINTR)
            err = fail_from_errno(cause = errno);
        else if (got == 0)
            break;
        out->len += got > 0 ? (size_t)got : 0;
        if (at != NULL)
            out->data[out->len] = '\0'; /* a secret is as long as its text */
    }
    if (fd >= 0)
        close(fd);
    if (err)
        buf_printf(why, "%s: %s", path, cause ? strerror(cause) : fail_text(err));
    return err;
}

static void secret_path(const char *data_dir, struct buf *out)
{
    buf_init(out, 4096);
    buf_printf(out, "%s/secret", data_dir);
}

/* Whole or not at all: a server killed in between must not leave half a key. Of nodes
 * that start together in one folder the first one makes it, for all. */
static int write_secret(int fd, const char *tmp, const char *path)
{
    uint8_t bytes[SECRET_BYTES];
    char text[SECRET_TEXT];

    random_bytes(bytes, sizeof(bytes));
    encode_hex(bytes, sizeof(bytes), text);
    errno = 0;
    if (write(fd, text, SECRET_TEXT - 1) == SECRET_TEXT - 1 && fsync(fd) == 0 &&
        (link(tmp, path) == 0 || errno == EEXIST))
        return OK;
    return errno ? fail_from_errno(errno) : FAIL_IO;
}

static int make_secret(const char *path, struct buf *why)
{
    struct buf tmp;

    buf_init(&tmp, 4096);
    buf_printf(&tmp, "%s.%016" PRIx64 ".tmp", path, random_u64());
    int fd = open(buf_text(&tmp), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    int err = fd < 0 ? fail_from_errno(errno) : write_secret(fd, buf_text(&tmp), path);
    if (fd >= 0) {
        close(fd);
        unlink(buf_text(&tmp));
    }
    if (err)
        buf_printf(why, "%s could not be made: %s", path, fail_text(err));
    buf_deinit(&tmp);
    return err;
}

int keys_own_text(const char *path, struct buf *out, struct buf *why)
{
    int err = access(path, F_OK) != 0 ? make_secret(path, why) : OK;

    if (err == OK)
        return read_file(path, KEY_FILE_MAX, out, why);
    buf_init(out, KEY_FILE_MAX);
    return err;
}

static int own_secret(const char *data_dir, bool may_make, struct buf *out, struct buf *why)
{
    struct buf path;

    secret_path(data_dir, &path);
    int err = OK;
    if (access(buf_text(&path), F_OK) != 0) {
        err = may_make ? make_secret(buf_text(&path), why) : FAIL_MISSING;
        if (!may_make)
            buf_printf(why, "%s is not there: start `reelay serve` first, or give --jwt-secret",
                       buf_text(&path));
    }
    if (err == OK)
        err = read_file(buf_text(&path), KEY_FILE_MAX, out, why);
    else
        buf_init(out, KEY_FILE_MAX);
    buf_deinit(&path);
    if (err == OK && out->len < SECRET_TEXT - 1) {
        buf_printf(why, "%s/secret is cut short", data_dir);
        err = FAIL_SYNTAX;
    }
    return err;
}

static int load_file(const struct key_options *options, const struct jwt_settings *settings,
                     struct jwt_keys **keys, struct buf *why)
{
    const char *path = options->key_file ? options->key_file : options->jwks_file;
    struct buf content;
    int err = read_file(path, KEY_FILE_MAX, &content, why);

    if (err == OK)
        err = options->key_file
                  ? jwt_keys_from_pem(settings, content.data, content.len, keys, why)
                  : jwt_keys_from_jwks(settings, content.data, content.len, keys, why);
    buf_deinit(&content);
    return err;
}

/* Of several options it is that one that is wrong. */
static void blame(struct buf *why, const char *option)
{
    struct buf said;

    buf_init(&said, why->len + 1);
    buf_append(&said, why->data, why->len);
    buf_reset(why);
    buf_printf(why, "%s: %.*s", option, STR_ARG(buf_str(&said)));
    buf_deinit(&said);
}

static int check_url_secret(const char *text, struct buf *why)
{
    if (text == NULL || strlen(text) >= SECRET_BYTES)
        return OK;
    buf_printf(why, "--url-secret: it has %zu bytes, upload URLs are signed with %d or more",
               strlen(text), SECRET_BYTES);
    return FAIL_SYNTAX;
}

static int check_choice(const struct key_options *options, struct buf *why)
{
    int given =
        (options->secret != NULL) + (options->key_file != NULL) + (options->jwks_file != NULL);

    if (given <= 1)
        return check_url_secret(options->url_secret, why);
    buf_puts(why, "--jwt-secret, --jwt-key-file and --jwt-jwks-file: give only one");
    return FAIL_SYNTAX;
}

int keys_load(const struct key_options *options, const char *data_dir, bool may_make,
              struct jwt_keys **keys, struct presign_key *presign, struct buf *why)
{
    struct jwt_settings settings = {
        .algorithm = (enum jwt_algorithm)options->algorithm,
        .audience = options->audience,
        .issuer = options->issuer,
        .subject = options->subject_claim,
        .leeway_ms = (int64_t)options->leeway_ms,
    };
    struct buf secret = { 0 };
    struct jwt_keys *made = NULL;
    bool is_own = !keys_are_configured(options);
    const char *signs = options->secret ? options->secret : options->url_secret;
    int err = check_choice(options, why);

    /* Upload URLs are always signed with a secret of the server's own, unless
     * one was configured: a public key signs nothing. */
    if (err == OK && (is_own || (presign != NULL && signs == NULL)) && options->secret == NULL)
        err = own_secret(data_dir, may_make, &secret, why);
    if (err == OK && options->key_file == NULL && options->jwks_file == NULL) {
        const char *text = options->secret ? options->secret : secret.data;
        err = jwt_keys_from_secret(&settings, text, strlen(text), &made, why);
        if (err && options->secret)
            blame(why, "--jwt-secret");
    } else if (err == OK) {
        err = load_file(options, &settings, &made, why);
        if (err)
            blame(why, options->key_file ? "--jwt-key-file" : "--jwt-jwks-file");
    }
    if (err == OK && presign != NULL) {
        const char *text = signs ? signs : secret.data;
        err = presign_key_derive(text, strlen(text), presign);
    }
    buf_deinit(&secret);
    if (err) {
        jwt_keys_free(made);
        if (why->len == 0)
            buf_puts(why, fail_text(err));
        return err;
    }
    *keys = made;
    return OK;
}
