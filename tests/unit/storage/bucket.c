#include "bucket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

enum { BLOCK = 64 * 1024 };

struct guest {
    struct bucket *bucket;
    int fd;
};

static void must(bool is_true)
{
    if (!is_true)
        abort();
}

/* The head, and what came behind it. */
static size_t read_head(int fd, char *head, uint64_t *rest)
{
    size_t len = 0;

    for (;;) {
        ssize_t got = recv(fd, head + len, BLOCK - 1 - len, 0);
        if (got <= 0)
            return 0;
        len += (size_t)got;
        head[len] = '\0';
        char *end = strstr(head, "\r\n\r\n");
        if (end == NULL)
            continue;
        *rest = len - (size_t)(end + 4 - head);
        return len;
    }
}

static void drain(struct bucket *b, int fd, const char *head, uint64_t had)
{
    const char *field = strcasestr(head, "\r\ncontent-length:");
    uint64_t length = field ? strtoull(field + 17, NULL, 10) : 0;
    char *block = mem_alloc(BLOCK);

    while (had < length) {
        ssize_t got = recv(fd, block, BLOCK, 0);
        if (got <= 0)
            break;
        had += (uint64_t)got;
    }
    mem_free(block);
    pthread_mutex_lock(&b->lock);
    b->bytes += had;
    pthread_mutex_unlock(&b->lock);
}

static void enter(struct bucket *b)
{
    pthread_mutex_lock(&b->lock);
    if (++b->open > b->most)
        b->most = b->open;
    pthread_mutex_unlock(&b->lock);
}

static const char *decide(struct bucket *b, const char *head)
{
    pthread_mutex_lock(&b->lock);
    must(b->count < BUCKET_REQUESTS_MAX);
    snprintf(b->lines[b->count++], BUCKET_LINE_SIZE, "%.*s", (int)strcspn(head, "\r"), head);
    pthread_cond_broadcast(&b->changed);
    while (b->count < b->gather)
        pthread_cond_wait(&b->changed, &b->lock);
    const char *answer = b->answer(b, head);
    b->open--; /* before the client can know, and come again */
    pthread_mutex_unlock(&b->lock);
    return answer;
}

static void serve(struct guest *g)
{
    char *head = mem_alloc(BLOCK);
    uint64_t rest = 0;

    if (read_head(g->fd, head, &rest) > 0) {
        enter(g->bucket);
        drain(g->bucket, g->fd, head, rest);
        const char *answer = decide(g->bucket, head);
        if (answer != NULL) {
            (void)send(g->fd, answer, strlen(answer), MSG_NOSIGNAL);
        } else {
            struct linger now = { .l_onoff = 1, .l_linger = 0 };
            setsockopt(g->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        }
    }
    mem_free(head);
}

static void *run(void *context)
{
    struct guest *g = context;

    serve(g);
    close(g->fd);
    mem_free(g);
    return NULL;
}

static void *accept_all(void *context)
{
    struct bucket *b = context;

    for (size_t i = 0;; i++) {
        int fd = accept(b->listener, NULL, NULL);
        if (fd < 0) {
            for (size_t n = 0; n < i; n++)
                pthread_join(b->threads[n], NULL);
            return NULL;
        }
        must(i < BUCKET_REQUESTS_MAX);
        struct guest *g = mem_new(struct guest);
        g->bucket = b;
        g->fd = fd;
        must(pthread_create(&b->threads[i], NULL, run, g) == 0);
    }
}

void bucket_start(struct bucket *b)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(address);

    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->changed, NULL);
    b->listener = socket(AF_INET, SOCK_STREAM, 0);
    must(bind(b->listener, (struct sockaddr *)&address, sizeof(address)) == 0);
    must(listen(b->listener, 64) == 0);
    must(getsockname(b->listener, (struct sockaddr *)&address, &len) == 0);
    snprintf(b->url, sizeof(b->url), "http://127.0.0.1:%u", ntohs(address.sin_port));
    must(pthread_create(&b->acceptor, NULL, accept_all, b) == 0);
}

void bucket_stop(struct bucket *b)
{
    shutdown(b->listener, SHUT_RDWR); /* accept fails */
    pthread_join(b->acceptor, NULL);
    close(b->listener);
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->lock);
}

size_t bucket_count(struct bucket *b, const char *beginning)
{
    size_t count = 0;

    pthread_mutex_lock(&b->lock);
    for (size_t i = 0; i < b->count; i++)
        count += strncmp(b->lines[i], beginning, strlen(beginning)) == 0;
    pthread_mutex_unlock(&b->lock);
    return count;
}
