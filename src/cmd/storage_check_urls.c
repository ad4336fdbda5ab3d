/* What a browser does: it asks whether its page may (a preflight), then uses the URL. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "cmd/storage_check.h"

enum { ANSWER_MAX = 64 * 1024, URL_MAX = 8 * 1024, LIFETIME_S = 300, TIMEOUT_MS = 20000 };

struct visit {
    struct check *check;
    const char *method; /* that the page wants */
    bool is_preflight;
};

static bool names(const char *list, const char *name)
{
    struct str rest = str_of(list);

    while (rest.at != NULL && rest.len > 0) {
        struct str item = str_trim(str_cut(&rest, ','));
        if (str_equal_nocase(item, str_of(name)) || str_equal(item, STR("*")))
            return true;
    }
    return false;
}

static const char *refusal(const struct visit *v, const struct fetch_answer *a)
{
    const char *origin = fetch_header_of(a, "Access-Control-Allow-Origin");
    const char *methods = fetch_header_of(a, "Access-Control-Allow-Methods");

    if (*v->check->origin == '\0')
        return NULL;
    if (origin == NULL || (strcmp(origin, "*") != 0 && strcmp(origin, v->check->origin) != 0))
        return "CORS: the bucket does not let pages of that origin in";
    if (v->is_preflight && (methods == NULL || !names(methods, v->method)))
        return "CORS: the method is not allowed";
    return NULL;
}

static void on_answer(void *context, const struct fetch_answer *a)
{
    const struct visit *v = context;
    const char *why = a->err ? a->why : NULL;
    char text[64];

    if (why == NULL)
        why = refusal(v, a);
    if (why == NULL && (a->status < 200 || a->status > 299)) {
        snprintf(text, sizeof(text), "it answers %d", a->status);
        why = text;
    }
    check_answer(v->check, why == NULL ? OK : a->err ? a->err : FAIL_DENIED, why);
}

static bool visit(struct visit *v, const char *url, const char *what)
{
    struct check *c = v->check;
    bool has_body = !v->is_preflight && strcmp(v->method, "PUT") == 0;
    struct fetch_header headers[3];
    size_t count = 0;

    if (*c->origin)
        headers[count++] = (struct fetch_header){ "Origin", c->origin };
    if (v->is_preflight) {
        headers[count++] = (struct fetch_header){ "Access-Control-Request-Method", v->method };
        if (strcmp(v->method, "PUT") == 0)
            headers[count++] =
                (struct fetch_header){ "Access-Control-Request-Headers", "content-type" };
    }
    check_begin(c);
    fetch_start(c->fetcher,
                &(struct fetch_request){ .method = v->is_preflight ? "OPTIONS" : v->method,
                                         .url = url,
                                         .body = has_body ? STR("reelay") : STR(""),
                                         .headers = headers,
                                         .header_count = count,
                                         .answer_max = ANSWER_MAX,
                                         .timeout_ms = TIMEOUT_MS,
                                         .done = on_answer,
                                         .context = v });
    return check_wait(c, what, "", "");
}

/* Only PUT has a preflight; a page's GET is sent at once. */
static bool visit_both(struct check *c, const char *method, const char *url, const char *what)
{
    struct visit preflight = { .check = c, .method = method, .is_preflight = true };
    struct visit itself = { .check = c, .method = method };
    char line[128];

    if (*c->origin && strcmp(method, "PUT") == 0) {
        snprintf(line, sizeof(line), "%s: preflight", what);
        if (!visit(&preflight, url, line))
            return false;
    }
    return visit(&itself, url, what);
}

void check_print_rule(const struct check *c, const char *origin)
{
    const char *provider = storage_traits(c->storage)->provider;

    printf("The rule that lets it in:\n");
    if (c->is_azure)
        printf("  az storage cors add --services b --methods GET HEAD PUT OPTIONS \\\n"
               "    --origins '%s' --allowed-headers '*' --exposed-headers 'ETag' --max-age 3600\n",
               origin);
    else if (strcmp(provider, "gcs") == 0)
        printf("  [{\"origin\": [\"%s\"], \"method\": [\"GET\", \"HEAD\", \"PUT\"],\n"
               "    \"responseHeader\": [\"Content-Type\", \"ETag\"], \"maxAgeSeconds\": 3600}]\n"
               "  in a file, and: gsutil cors set FILE gs://BUCKET\n",
               origin);
    else
        printf(
            "  [{\"AllowedOrigins\": [\"%s\"], \"AllowedMethods\": [\"GET\", \"HEAD\", \"PUT\"],\n"
            "    \"AllowedHeaders\": [\"*\"], \"ExposeHeaders\": [\"ETag\"], \"MaxAgeSeconds\": "
            "3600}]\n"
            "  in the bucket's settings; for aws s3api put-bucket-cors inside {\"CORSRules\": "
            "...}\n",
            origin);
}

static bool check_put_url(struct check *c, struct buf *url)
{
    buf_reset(url);
    if (storage_put_url(c->storage, check_key(c, "by-url"), LIFETIME_S, url) != OK)
        return true;
    return visit_both(c, "PUT", buf_text(url), "a client writes an object by a signed URL");
}

struct begun {
    struct check *check;
    char id[STORAGE_UPLOAD_ID_MAX + 1];
};

static void on_begun(void *context, int err, const char *why, const char *id)
{
    struct begun *b = context;

    if (err == OK)
        snprintf(b->id, sizeof(b->id), "%s", id);
    check_answer(b->check, err, why);
}

/* As it sends the chunks of a video. */
static bool check_part_url(struct check *c, struct buf *url)
{
    struct begun b = { .check = c };
    bool is_well = false;

    check_begin(c);
    storage_upload_begin(c->storage, check_key(c, "part-by-url"), "video/mp4", on_begun, &b);
    if (!check_wait(c, "begin a multipart upload for a client", "s3:PutObject", "sp=w (write)"))
        return false;
    buf_reset(url);
    if (storage_part_url(c->storage, check_key(c, "part-by-url"), b.id, 1, LIFETIME_S, url) == OK)
        is_well = visit_both(c, "PUT", buf_text(url), "a client uploads a part by a signed URL");
    check_begin(c);
    storage_upload_abort(c->storage, check_key(c, "part-by-url"), b.id, check_answer, c);
    return check_wait(c, "give it up", "s3:AbortMultipartUpload", "sp=d (delete)") && is_well;
}

static bool check_get_url(struct check *c, struct buf *url)
{
    buf_reset(url);
    if (storage_url(c->storage, check_key(c, "text"), NULL, LIFETIME_S, url) != OK)
        return true;
    return visit_both(c, "GET", buf_text(url), "a client reads an object by a signed URL");
}

void check_urls(struct check *c)
{
    struct buf url;

    if (!storage_traits(c->storage)->has_urls) {
        printf("  --      it has no URLs: all bytes pass through the server\n");
        return;
    }
    buf_init(&url, URL_MAX);
    bool is_well = check_get_url(c, &url);
    is_well = check_put_url(c, &url) && is_well;
    is_well = check_part_url(c, &url) && is_well;
    buf_deinit(&url);
    if (*c->origin == '\0')
        printf("  --      whether a page may: say which, with --origin https://...\n");
    else if (!is_well)
        check_print_rule(c, c->origin);
}
