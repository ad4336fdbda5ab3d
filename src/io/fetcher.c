/* libcurl's sockets and its one timer, on a libuv loop. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <uv.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/fetch_internal.h"

/* libcurl asks for a socket to be watched, and later not to be. */
struct watch {
    uv_poll_t poll;
    struct fetcher *fetcher;
    curl_socket_t socket;
};

struct fetcher {
    uv_loop_t *loop;
    CURLM *multi;
    char *ca_file;
    uv_timer_t timer;
    struct transfer *transfers;
    bool (*admits)(const void *context, const char *host, const struct sockaddr *to);
    const void *gate;
    bool is_closing;
};

enum { CONNECT_TIMEOUT_MS = 10 * 1000 };

uv_loop_t *fetcher_loop(const struct fetcher *f)
{
    return f->loop;
}

int fail_from_curl(CURLcode code)
{
    switch (code) {
    case CURLE_OK: return OK;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT: return FAIL_CLOSED;
    case CURLE_OPERATION_TIMEDOUT: return FAIL_TIMEOUT;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL: return FAIL_SYNTAX;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE: return FAIL_UNTRUSTED;
    case CURLE_TOO_MANY_REDIRECTS: return FAIL_LIMIT;
    case CURLE_OUT_OF_MEMORY: return FAIL_NOMEM;
    default: return FAIL_IO;
    }
}

static bool was_refused(const struct transfer *t, CURLcode code)
{
    return code == CURLE_COULDNT_CONNECT && t->refused[0] != '\0';
}

/* libcurl says the same of an answer that is not HTTP as of a scheme that it does not know. */
static bool is_no_http(const struct transfer *t, CURLcode code)
{
    char *url = NULL;
    long sent = 0;

    curl_easy_getinfo(t->easy, CURLINFO_EFFECTIVE_URL, &url);
    curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &sent);
    return code == CURLE_UNSUPPORTED_PROTOCOL && sent > 0 && url != NULL &&
           strncasecmp(url, "http", 4) == 0;
}

int transfer_fail(const struct transfer *t, CURLcode code)
{
    if (is_no_http(t, code))
        return FAIL_IO;
    return was_refused(t, code) ? FAIL_DENIED : fail_from_curl(code);
}

const char *transfer_why(struct transfer *t, CURLcode code)
{
    if (was_refused(t, code)) {
        snprintf(t->error, sizeof(t->error), "it leads to an address that is not public (%s)",
                 t->refused);
        return t->error;
    }
    if (code == CURLE_COULDNT_CONNECT)
        return "nothing answers there"; /* libcurl says it in two sentences */
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        return transfer_distrust(t);
    if (code == CURLE_SSL_CACERT_BADFILE) /* libcurl names it to strangers */
        return "the certificates to trust cannot be read";
    if (code == CURLE_SSL_CONNECT_ERROR && strstr(t->error, "wrong version number") != NULL)
        return "it does not speak TLS";
    return *t->error ? t->error : curl_easy_strerror(code);
}

static void reap(struct fetcher *f)
{
    int left;

    while (!f->is_closing) {
        CURLMsg *message = curl_multi_info_read(f->multi, &left);
        if (message == NULL)
            return;
        if (message->msg != CURLMSG_DONE)
            continue;
        struct transfer *t = NULL;
        CURLcode code = message->data.result; /* the message dies with what comes next */
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&t);
        t->finished(t, code);
    }
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct watch *w = (struct watch *)poll;
    struct fetcher *f = w->fetcher;
    int flags = 0, running;

    if (status < 0)
        flags |= CURL_CSELECT_ERR;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    curl_multi_socket_action(f->multi, w->socket, flags, &running);
    reap(f);
}

static void on_timer(uv_timer_t *timer)
{
    struct fetcher *f = timer->data;
    int running;

    curl_multi_socket_action(f->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    reap(f);
}

static int set_timer(CURLM *multi, long timeout_ms, void *context)
{
    struct fetcher *f = context;

    (void)multi;
    if (timeout_ms < 0)
        uv_timer_stop(&f->timer);
    else
        uv_timer_start(&f->timer, on_timer, (uint64_t)timeout_ms, 0);
    return 0;
}

static void watch_closed(uv_handle_t *handle)
{
    mem_free(handle->data);
}

static struct watch *watch_new(struct fetcher *f, curl_socket_t s)
{
    struct watch *w = mem_new(struct watch);

    w->fetcher = f;
    w->socket = s;
    if (uv_poll_init_socket(f->loop, &w->poll, s) != 0) {
        mem_free(w);
        return NULL;
    }
    w->poll.data = w;
    curl_multi_assign(f->multi, s, w);
    return w;
}

static int set_watch(CURL *easy, curl_socket_t s, int what, void *context, void *of_socket)
{
    struct fetcher *f = context;
    struct watch *w = of_socket;
    int events = 0;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w != NULL) {
            curl_multi_assign(f->multi, s, NULL);
            uv_close((uv_handle_t *)&w->poll, watch_closed);
        }
        return 0;
    }
    if (w == NULL)
        w = watch_new(f, s);
    if (w == NULL)
        return -1; /* the transfers on it fail */
    if (what & CURL_POLL_IN)
        events |= UV_READABLE;
    if (what & CURL_POLL_OUT)
        events |= UV_WRITABLE;
    uv_poll_start(&w->poll, events, on_ready);
    return 0;
}

struct fetcher *fetcher_new(uv_loop_t *loop, const char *ca_file)
{
    static bool is_ready;
    struct fetcher *f = mem_new(struct fetcher);

    /* The loop's thread is the only one of this process that does so. */
    if (!is_ready)
        curl_global_init(CURL_GLOBAL_DEFAULT);
    is_ready = true;
    f->loop = loop;
    f->ca_file = ca_file != NULL && *ca_file ? mem_strdup(ca_file) : NULL;
    f->multi = curl_multi_init();
    if (f->multi == NULL)
        abort(); /* as any small allocation */
    uv_timer_init(loop, &f->timer);
    f->timer.data = f;
    curl_multi_setopt(f->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    curl_multi_setopt(f->multi, CURLMOPT_SOCKETFUNCTION, set_watch);
    curl_multi_setopt(f->multi, CURLMOPT_SOCKETDATA, f);
    curl_multi_setopt(f->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(f->multi, CURLMOPT_TIMERDATA, f);
    return f;
}

void fetcher_set_gate(struct fetcher *f,
                      bool (*admits)(const void *context, const char *host,
                                     const struct sockaddr *to),
                      const void *context)
{
    f->admits = admits;
    f->gate = context;
}

/* Not while libcurl may be calling us. */
static void timer_closed(uv_handle_t *handle)
{
    struct fetcher *f = handle->data;

    /* Closes the idle connections too, each with a last call of set_watch. */
    curl_multi_cleanup(f->multi);
    mem_free(f->ca_file);
    mem_free(f);
}

void fetcher_close(struct fetcher *f)
{
    while (f->transfers != NULL)
        f->transfers->cancel(f->transfers);
    f->is_closing = true;
    uv_close((uv_handle_t *)&f->timer, timer_closed);
}

#ifndef CURLU_PUNYCODE
#define CURLU_PUNYCODE 0 /* before 7.88: the gate gets it as it stands there */
#endif

/* As it will be looked up, and without the brackets of an IPv6 address. */
static char *host_of(const char *url)
{
    CURLU *parsed = curl_url();
    char *host = NULL, *bare = NULL;

    if (curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(parsed, CURLUPART_HOST, &host, CURLU_PUNYCODE) == CURLUE_OK) {
        size_t len = strlen(host);
        bool is_bracketed = len > 2 && host[0] == '[' && host[len - 1] == ']';
        bare = is_bracketed ? mem_strndup(host + 1, len - 2) : mem_strdup(host);
    }
    curl_free(host);
    curl_url_cleanup(parsed);
    return bare;
}

static void write_address(const struct sockaddr *a, char *out, size_t size)
{
    char text[INET6_ADDRSTRLEN] = "?";

    if (a->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)a)->sin_addr, text, sizeof(text));
    else if (a->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)a)->sin6_addr, text, sizeof(text));
    snprintf(out, size, "%s", text);
}

/* Of all the moments at which an address could be judged, the one behind which it cannot
 * become another. */
static curl_socket_t open_admitted(void *context, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct transfer *t = context;
    struct fetcher *f = t->fetcher;
    char *url = NULL;

    (void)purpose;
    curl_easy_getinfo(t->easy, CURLINFO_EFFECTIVE_URL, &url);
    char *host = url ? host_of(url) : NULL;
    bool is_admitted = host != NULL && f->admits(f->gate, host, &to->addr);
    mem_free(host);
    if (!is_admitted) {
        write_address(&to->addr, t->refused, sizeof(t->refused));
        return CURL_SOCKET_BAD;
    }
    return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

CURL *transfer_prepare(struct transfer *t, struct fetcher *f, const char *url)
{
    t->fetcher = f;
    t->easy = curl_easy_init();
    if (t->easy == NULL)
        return NULL;
    curl_easy_setopt(t->easy, CURLOPT_URL, url);
    curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
    curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, t->error);
    curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(t->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(t->easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(t->easy, CURLOPT_USERAGENT, "reelay/" REELAY_VERSION);
    /* Large bodies side by side are better off with connections of their own than with streams
     * of one, where one that is paused fills the others' window. And never both versions: once
     * a host has spoken HTTP/2, libcurl 7.88 takes its HTTP/1.1 connections for multiplexed
     * ones, too, and gives the answer to one request to another. */
    curl_easy_setopt(t->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    transfer_trust(t->easy, f->ca_file);
    if (f->admits != NULL || fetch_is_local(url))
        curl_easy_setopt(t->easy, CURLOPT_PROXY, "");
    if (f->admits != NULL) {
        curl_easy_setopt(t->easy, CURLOPT_OPENSOCKETFUNCTION, open_admitted);
        curl_easy_setopt(t->easy, CURLOPT_OPENSOCKETDATA, t);
    }
    return t->easy;
}

void transfer_begin(struct transfer *t)
{
    struct fetcher *f = t->fetcher;

    t->next = f->transfers;
    if (t->next != NULL)
        t->next->previous = t;
    f->transfers = t;
    t->is_listed = true;
    curl_multi_add_handle(f->multi, t->easy);
}

void transfer_leave(struct transfer *t)
{
    if (!t->is_listed)
        return;
    t->is_listed = false;
    if (t->next != NULL)
        t->next->previous = t->previous;
    if (t->previous != NULL)
        t->previous->next = t->next;
    else
        t->fetcher->transfers = t->next;
}

void transfer_end(struct transfer *t)
{
    curl_multi_remove_handle(t->fetcher->multi, t->easy);
    curl_easy_cleanup(t->easy);
    t->easy = NULL;
    transfer_leave(t);
}

static bool is_local_host(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;

    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6);
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
    /* RFC 6761, 6.3; libcurl takes it for granted, too. */
    struct str name = str_of(host), below = STR(".localhost");
    if (name.len > below.len)
        name = (struct str){ name.at + name.len - below.len, below.len };
    return str_equal_nocase(name, below) || str_equal_nocase(name, STR("localhost"));
}

bool fetch_is_local(const char *url)
{
    char *host = host_of(url);
    bool is_local = host != NULL && is_local_host(host);

    mem_free(host);
    return is_local;
}
