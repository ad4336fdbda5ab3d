/* Whether an answer is the storage's own. What stands in between (a portal that wants a
 * login, a web server whose back end is away) answers, too, and with good statuses; and
 * what is believed of a storage, somebody may lose his video by. */
#include <string.h>

#include "base/str.h"
#include "storage/http_internal.h"

enum { OK_STATUS = 200, PART_STATUS = 206 };

static bool has_body(const struct fetch_answer *answer)
{
    return answer->length > 0 || answer->body.len > 0 ||
           fetch_header_of(answer, "Transfer-Encoding") != NULL;
}

/* Swift's answers are HTML by their type, too, when there is nothing in them. */
static bool is_of_type(const struct fetch_answer *answer, struct str type)
{
    struct str rest = str_of(fetch_header_of(answer, "Content-Type"));

    return has_body(answer) && str_equal_nocase(str_trim(str_cut(&rest, ';')), type);
}

static bool has_request_id(const struct fetch_answer *answer)
{
    /* Of S3, Azure, Google and R2, which is never without the last one. */
    static const char *const names[] = { "x-amz-request-id", "x-ms-request-id",
                                         "x-guploader-uploadid", "cf-ray" };

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (fetch_header_of(answer, names[i]) != NULL)
            return true;
    return false;
}

/* RFC 9112, 6.3: one without either goes on until the connection is closed, and nobody knows
 * whether that was its end. */
static bool has_end(const struct fetch_answer *answer)
{
    return answer->length >= 0 || fetch_header_of(answer, "Transfer-Encoding") != NULL;
}

static bool has_etag(const struct fetch_answer *answer)
{
    char etag[HTTP_ETAG_SIZE];

    http_etag_of(answer, etag);
    return etag[0] != '\0';
}

bool http_is_nobodys(const struct fetch_answer *answer)
{
    return !has_request_id(answer) &&
           (is_of_type(answer, STR("text/html")) || is_of_type(answer, STR("text/plain")));
}

bool http_is_genuine(const struct http_driver *driver, enum http_verb verb,
                     const struct fetch_answer *answer)
{
    bool is_made = driver->made_status == 0 || answer->status == driver->made_status;
    bool is_page = is_of_type(answer, STR("text/html")) && !has_request_id(answer);

    switch (verb) {
    case VERB_BEGIN:
    case VERB_LIST:
    case VERB_PARTS:
    case VERB_UPLOADS: return true; /* their documents say what they are */
    default: break;
    }
    if (is_page)
        return false;
    switch (verb) {
    case VERB_HEAD: return answer->status == OK_STATUS && answer->length >= 0 && has_etag(answer);
    case VERB_GET:
        return (answer->status == OK_STATUS || answer->status == PART_STATUS) && has_end(answer) &&
               has_etag(answer);
    case VERB_PUT: return is_made && has_etag(answer);
    case VERB_PART_PUT: return is_made && (!driver->needs_etags || has_etag(answer));
    case VERB_COPY:
    case VERB_PART_COPY:
    case VERB_COMPLETE: return is_made;
    default: return true;
    }
}
