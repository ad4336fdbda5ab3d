/* What it costs to take in a file in chunks: the server's PUT of chunks to presigned URLs,
 * in turn with nginx's PUT (its dav module), the same chunks from the same client over one
 * connection. Bytes per second of the server process's CPU time, ratios by rounds.
 * What only one of the two does: a checksum, and fdatasync of the chunk and fsync of its
 * folders before it is acknowledged. nginx syncs nothing.
 *
 *   upload [--rounds N] [--chunks N] [--chunk-mib N] PROGRAM */
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "server.h"
#include "support.h"

enum { MIB = 1024 * 1024, ROUNDS_MAX = 101, CHUNKS_MAX_HERE = 1000, HEAD_MAX = 16 * 1024 };

struct options {
    unsigned rounds, chunks, chunk_mib;
    const char *program;
};

struct answer {
    int status;
    char text[HEAD_MAX]; /* head and body */
    char *body;
};

/* ---- HTTP, as little of it as a client needs ---- */

static void read_answer(int fd, struct answer *a)
{
    size_t len = 0, whole = 0;

    a->body = NULL;
    while (a->body == NULL || len < whole) {
        ssize_t got = recv(fd, a->text + len, sizeof(a->text) - 1 - len, 0);
        if (got <= 0)
            die("a connection ended");
        len += (size_t)got;
        a->text[len] = '\0';
        char *end = strstr(a->text, "\r\n\r\n");
        if (a->body != NULL || end == NULL)
            continue;
        a->body = end + 4;
        const char *length = strcasestr(a->text, "\r\ncontent-length:");
        size_t rest = length != NULL && length < end ? strtoul(length + 17, NULL, 10) : 0;
        whole = (size_t)(a->body - a->text) + rest;
    }
    a->status = (int)strtol(a->text + 9, NULL, 10);
}

static void request(int fd, const char *method, const char *target, const char *fields,
                    const void *body, size_t len, struct answer *a)
{
    char head[4096];
    int size = snprintf(head, sizeof(head),
                        "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%sContent-Length: %zu\r\n\r\n",
                        method, target, fields, len);

    send_all(fd, head, (size_t)size);
    send_all(fd, body, len);
    read_answer(fd, a);
}

/* ---- the two sides ---- */

static char fields_of_ours[2048]; /* of a request of somebody who may upload */

static void get_token(const struct server *s, const char *program)
{
    char command[512], token[1500] = "";

    snprintf(command, sizeof(command), "'%s' token --data-dir '%s/data' --subject bench", program,
             s->folder);
    FILE *out = popen(command, "r");
    if (out == NULL || fgets(token, sizeof(token), out) == NULL || pclose(out) != 0)
        die("%s", command);
    token[strcspn(token, "\n")] = '\0';
    snprintf(fields_of_ours, sizeof(fields_of_ours),
             "Authorization: Bearer %s\r\nContent-Type: application/json\r\n", token);
}

static void ask(int fd, const char *target, json_t *json, struct answer *a)
{
    char *text = json_dumps(json, 0);

    request(fd, "POST", target, fields_of_ours, text, strlen(text), a);
    if (a->status / 100 != 2)
        die("%s: %d %s", target, a->status, a->body);
    free(text);
    json_decref(json);
}

static char *field_of(const struct answer *a, const char *name)
{
    json_t *json = json_loads(a->body, 0, NULL), *value = json_object_get(json, name);
    char number[32];

    snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(value));
    if (!json_is_string(value) && !json_is_integer(value))
        die("no %s in %s", name, a->body);
    char *copy = mem_strdup(json_is_string(value) ? json_string_value(value) : number);
    json_decref(json);
    return copy;
}

/* What is asked for before the measurement: a video and its chunks' URLs. */
static char *open_upload(int fd, const struct options *o, char **targets)
{
    struct answer a;
    size_t chunk = (size_t)o->chunk_mib * MIB;

    ask(fd, "/streaming/create-video/",
        json_pack("{s:s,s:s,s:I}", "title", "x", "fileName", "x.mp4", "fileSize",
                  (json_int_t)(o->chunks * chunk)),
        &a);
    char *id = field_of(&a, "id");
    for (unsigned i = 0; i < o->chunks; i++) {
        ask(fd, "/streaming/get-chunk-upload-url/",
            json_pack("{s:s,s:i,s:i}", "videoId", id, "chunkIndex", (int)i, "totalChunks",
                      (int)o->chunks),
            &a);
        char *url = field_of(&a, "upload_url");
        char *path = strstr(url, "://") ? strchr(strstr(url, "://") + 3, '/') : url;
        targets[i] = mem_strdup(path);
        mem_free(url);
    }
    return id;
}

/* CPU seconds that the server took for all chunks. */
static double put_all(int fd, pid_t server, const struct options *o, char **targets,
                      const char *bytes, double *wall_s)
{
    size_t chunk = (size_t)o->chunk_mib * MIB;
    uint64_t cpu = cpu_ns_of(server), began = now_ns();
    struct answer a;

    for (unsigned i = 0; i < o->chunks; i++) {
        request(fd, "PUT", targets[i], "", bytes, chunk, &a);
        if (a.status / 100 != 2)
            die("PUT %s: %d %s", targets[i], a.status, a.body);
    }
    *wall_s = (double)(now_ns() - began) / 1e9;
    return (double)(cpu_ns_of(server) - cpu) / 1e9;
}

static double round_of_ours(int fd, const struct server *s, const struct options *o,
                            const char *bytes, double *wall_s)
{
    char *targets[CHUNKS_MAX_HERE], path[512];
    char *id = open_upload(fd, o, targets);
    double cpu_s = put_all(fd, s->pid, o, targets, bytes, wall_s);

    for (unsigned i = 0; i < o->chunks; i++) {
        snprintf(path, sizeof(path), "%s/data/uploads/%s/%06u", s->folder, id, i);
        if (unlink(path) != 0)
            die("%s", path);
        mem_free(targets[i]);
    }
    mem_free(id);
    return cpu_s;
}

struct nginx {
    pid_t pid;
    uint16_t port;
    char folder[96];
};

static void nginx_start(struct nginx *n, const char *folder, const char *name, const char *buffer)
{
    char path[160];

    snprintf(n->folder, sizeof(n->folder), "%s/%s", folder, name);
    snprintf(path, sizeof(path), "%s/nginx.conf", n->folder);
    if (mkdir(n->folder, 0755) != 0)
        die("%s", n->folder);
    n->port = 0;
    close(listen_on(1, &n->port)); /* to learn of a free port */
    FILE *conf = fopen(path, "w");
    if (conf == NULL)
        die("%s", path);
    fprintf(conf,
            "daemon off; master_process off; worker_processes 1; pid %1$s/pid;\n"
            "error_log %1$s/log crit; events { worker_connections 64; }\n"
            "http { access_log off; client_max_body_size 0; client_body_temp_path %1$s/tmp;\n"
            "client_body_buffer_size %2$s; keepalive_requests 1000000;\n"
            "proxy_temp_path %1$s/p; fastcgi_temp_path %1$s/f; uwsgi_temp_path %1$s/u;\n"
            "scgi_temp_path %1$s/s; server { listen 127.0.0.1:%3$u; location / {\n"
            "root %1$s/root; dav_methods PUT; create_full_put_path on; } } }\n",
            n->folder, buffer, n->port);
    fclose(conf);
    n->pid = fork_child();
    if (n->pid == 0) {
        stay_on(SENDERS_CORE);
        close(STDERR_FILENO); /* it warns of the folder of its first log */
        execlp("nginx", "nginx", "-p", n->folder, "-c", path, (char *)NULL);
        die("nginx");
    }
    close(connect_to(1, n->port, 0));
}

static double round_of_nginx(int fd, const struct nginx *n, const struct options *o,
                             const char *bytes, double *wall_s)
{
    char *targets[CHUNKS_MAX_HERE], path[512];

    for (unsigned i = 0; i < o->chunks; i++) {
        snprintf(path, sizeof(path), "/%06u", i);
        targets[i] = mem_strdup(path);
    }
    double cpu_s = put_all(fd, n->pid, o, targets, bytes, wall_s);
    for (unsigned i = 0; i < o->chunks; i++) {
        snprintf(path, sizeof(path), "%s/root%s", n->folder, targets[i]);
        if (unlink(path) != 0)
            die("%s", path);
        mem_free(targets[i]);
    }
    return cpu_s;
}

/* ---- rounds ---- */

enum { OURS, NGINX_16K, NGINX_1M, SIDES };
static const char *const side_names[SIDES] = { "reelay", "nginx, buffers of 16 KiB",
                                               "nginx, buffers of 1 MiB" };

static void measure(const struct options *o)
{
    double cpu[SIDES][ROUNDS_MAX], wall[SIDES][ROUNDS_MAX], ratio[SIDES][ROUNDS_MAX];
    double mib = (double)o->chunks * o->chunk_mib;
    struct nginx nginx[SIDES];
    struct server s;
    int fds[SIDES];

    char *bytes = mem_alloc((size_t)o->chunk_mib * MIB);
    for (size_t i = 0; i < (size_t)o->chunk_mib * MIB; i++)
        bytes[i] = (char)(i * 2654435761u >> 24);
    server_start(&s, o->program, 1, NULL);
    get_token(&s, o->program);
    nginx_start(&nginx[NGINX_16K], s.folder, "nginx-16k", "16k");
    nginx_start(&nginx[NGINX_1M], s.folder, "nginx-1m", "1m");
    stay_on(RECEIVERS_CORE);
    fds[OURS] = connect_to(1, s.port, 0);
    for (int side = NGINX_16K; side < SIDES; side++)
        fds[side] = connect_to(1, nginx[side].port, 0);
    for (unsigned i = 0; i <= o->rounds; i++) { /* the first one only warms up */
        unsigned at = i > 0 ? i - 1 : 0;
        cpu[OURS][at] = round_of_ours(fds[OURS], &s, o, bytes, &wall[OURS][at]);
        for (int side = NGINX_16K; side < SIDES; side++) {
            cpu[side][at] = round_of_nginx(fds[side], &nginx[side], o, bytes, &wall[side][at]);
            ratio[side][at] = cpu[side][at] / cpu[OURS][at];
        }
    }
    printf("upload: %u chunks of %u MiB a round, %u rounds in turn\n", o->chunks, o->chunk_mib,
           o->rounds);
    for (int side = 0; side < SIDES; side++) {
        printf("  %-26s %7.0f MiB per CPU second, %6.0f MiB/s", side_names[side],
               mib / median(cpu[side], o->rounds), mib / median(wall[side], o->rounds));
        if (side != OURS)
            printf("; bytes per CPU second of ours by theirs: %.2f",
                   median(ratio[side], o->rounds));
        putchar('\n');
    }
    for (int side = NGINX_16K; side < SIDES; side++)
        end_child(nginx[side].pid);
    server_end(&s);
    mem_free(bytes);
}

int main(int argc, char **argv)
{
    struct options o = { .rounds = 7, .chunks = 40, .chunk_mib = 5 };

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc)
            o.rounds = number_of(argv[++i], ROUNDS_MAX);
        else if (strcmp(argv[i], "--chunks") == 0 && i + 1 < argc)
            o.chunks = number_of(argv[++i], CHUNKS_MAX_HERE);
        else if (strcmp(argv[i], "--chunk-mib") == 0 && i + 1 < argc)
            o.chunk_mib = number_of(argv[++i], 100);
        else
            o.program = argv[i];
    }
    if (o.program == NULL)
        die("upload [--rounds N] [--chunks N] [--chunk-mib N] PROGRAM");
    cores_part();
    measure(&o);
    return 0;
}
