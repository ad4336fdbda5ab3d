/* Whose certificates are trusted, and what is said of the others. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "io/fetch_internal.h"

static const char *of_environment(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && *value ? value : NULL;
}

const char *fetch_trust_file(void)
{
    return of_environment("SSL_CERT_FILE");
}

enum { KEPT_S = 10 * 60 };

/* Reading it takes OpenSSL tens of milliseconds, which no loop has at each connection;
 * libcurl (7.87) keeps what it has read, unless there is a folder too. */
static void set_system(CURL *easy)
{
    const char *bundle = curl_version_info(CURLVERSION_NOW)->cainfo;

    if (bundle != NULL && access(bundle, R_OK) == 0)
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
}

/* libcurl has a bundle and a folder that are the system's, each in force until another is
 * named; and unlike OpenSSL and the program curl it does not ask the environment. */
void transfer_trust(CURL *easy, const char *ca_file)
{
    const char *file = ca_file ? ca_file : fetch_trust_file();
    const char *folder = of_environment("SSL_CERT_DIR");

    if (file != NULL)
        curl_easy_setopt(easy, CURLOPT_CAINFO, file);
    if (ca_file != NULL)
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    else if (folder != NULL)
        curl_easy_setopt(easy, CURLOPT_CAPATH, folder);
    else if (file == NULL)
        set_system(easy);
#if LIBCURL_VERSION_NUM >= 0x075700
    curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, (long)KEPT_S);
#endif
}

/* libcurl's clause, without what it begins with. */
const char *transfer_distrust(struct transfer *t)
{
    static const char *const openings[] = { "SSL certificate problem: ", "SSL: " };
    char said[CURL_ERROR_SIZE];
    const char *at = t->error;

    for (size_t i = 0; i < sizeof(openings) / sizeof(*openings); i++)
        if (strncmp(at, openings[i], strlen(openings[i])) == 0)
            at += strlen(openings[i]);
    snprintf(said, sizeof(said), "%s", at);
    snprintf(t->error, sizeof(t->error), "%s%s%.200s", fail_text(FAIL_UNTRUSTED), *said ? ": " : "",
             said);
    return t->error;
}

int fetch_check_ca(const char *ca_file, struct buf *why)
{
    if (access(ca_file, R_OK) != 0) {
        buf_printf(why, "%s: %s", ca_file, strerror(errno));
        return FAIL_IO;
    }
    X509_STORE *store = X509_STORE_new();
    bool is_good = store != NULL && X509_STORE_load_file(store, ca_file) == 1;
    X509_STORE_free(store);
    ERR_clear_error();
    if (is_good)
        return OK;
    buf_printf(why, "%s: there is no certificate in it (PEM)", ca_file);
    return FAIL_SYNTAX;
}
