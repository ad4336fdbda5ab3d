/* The API of two nodes with a real Redis between them, asked over HTTP. What one is
 * told, the other knows: every question goes to another node than the last. Nothing
 * is processed here, so there are no pipelines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>
#include <jansson.h>

#include "../io/redis_harness.h"
#include "api/api.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "fleet/jobs.h"
#include "fleet/port_redis.h"
#include "fleet/work.h"
#include "io/thread.h"

enum { NODES = 2, PATIENCE_MS = 20 * 1000, ANSWER_MAX = 1024 * 1024 };

struct node {
    struct observer observer; /* first: observers are nodes */
    struct fleet_link *link;
    struct ledger *ledger;
    struct fleet_parts parts;
    struct api api;
    struct io_pool *pool;
    atomic_bool is_up, is_ready;
};

static struct server server;
static struct node nodes[NODES];
static unsigned turn;
static uv_loop_t loop;
static struct mailbox *desk;
static pthread_t desk_thread;
static struct disk *disk;
static char folder[] = "/tmp/reelay-records-XXXXXX";
static struct jwt_keys *keys;
static struct presign_key presign;
static struct buf ada, bob, answer;
static CURL *client;

/* The desk */

static void up(void *context)
{
    struct node *n = context;

    atomic_store(&n->is_up, true);
    fleet_jobs_up(n->parts.jobs);
    fleet_work_up(n->parts.work);
}

static void down(void *context, const struct redis_down *why)
{
    struct node *n = context;

    (void)why;
    atomic_store(&n->is_up, false);
    atomic_store(&n->is_ready, false);
    fleet_jobs_down(n->parts.jobs);
    fleet_work_down(n->parts.work);
}

static void heard(void *context, struct str name, enum redis_topic kind)
{
    fleet_jobs_heard(((struct node *)context)->parts.jobs, name, kind);
}

static void push(void *context, const struct redis_push *p)
{
    struct node *n = context;

    fleet_jobs_push(n->parts.jobs, p);
    fleet_work_push(n->parts.work, p);
}

static void tick(void *context)
{
    struct node *n = context;

    fleet_jobs_tick(n->parts.jobs);
    fleet_work_tick(n->parts.work);
    atomic_store(&n->is_ready, fleet_jobs_is_ready(n->parts.jobs));
}

static const struct fleet_link_events events = {
    .up = up, .down = down, .heard = heard, .push = push, .tick = tick
};

static void look(void *context, struct fleet_state *out)
{
    struct node *n = context;

    *out = (struct fleet_state){ .is_up = atomic_load(&n->is_up),
                                 .is_ready = atomic_load(&n->is_ready) };
    snprintf(out->why, sizeof(out->why), "%s", out->is_ready ? "" : "it went away");
}

static void *run_desk(void *unused)
{
    (void)unused;
    uv_run(&loop, UV_RUN_DEFAULT);
    return NULL;
}

static void close_desk(struct mail *mail)
{
    mem_free(mail);
    for (int i = 0; i < NODES; i++) {
        fleet_link_close(nodes[i].link);
        fleet_jobs_free(nodes[i].parts.jobs);
        fleet_work_free(nodes[i].parts.work);
        nodes[i].parts.jobs = NULL;
    }
    uv_stop(&loop);
}

/* Who is watched: from under the ledger's lock, by mail to the desk */

struct notice {
    struct mail mail;
    struct node *node;
    void (*tell)(struct fleet_jobs *j, const char *id);
    char id[JOB_ID_MAX + 1];
};

static void notice_open(struct mail *mail)
{
    struct notice *notice = (struct notice *)mail;

    if (notice->node->parts.jobs != NULL)
        notice->tell(notice->node->parts.jobs, notice->id);
    mem_free(notice);
}

static void notify(struct observer *o, void (*tell)(struct fleet_jobs *j, const char *id),
                   const char *id)
{
    struct notice *notice = mem_new(struct notice);

    notice->mail.open = notice_open;
    notice->node = (struct node *)o;
    notice->tell = tell;
    snprintf(notice->id, sizeof(notice->id), "%s", id);
    mailbox_post(desk, &notice->mail);
}

static void watched(struct observer *o, const char *id)
{
    notify(o, fleet_jobs_watch, id);
}

static void unwatched(struct observer *o, const char *id)
{
    notify(o, fleet_jobs_unwatch, id);
}

static void watched_all(struct observer *o, bool is_watched)
{
    (void)o;
    (void)is_watched; /* nobody does here */
}

struct work_mail {
    struct mail mail;
    const char *job;
    atomic_int *result;
};

static void enqueued(void *context, int err)
{
    atomic_store((atomic_int *)context, err);
}

static void enqueue_open(struct mail *mail)
{
    struct work_mail *m = (struct work_mail *)mail;

    fleet_work_enqueue(nodes[0].parts.work, m->job, "assemble", "{}", FLEET_NORMAL, enqueued,
                       m->result);
    mem_free(m);
}

static void enqueue(const char *job)
{
    atomic_int result = 1;
    struct work_mail *m = mem_new(struct work_mail);

    m->mail.open = enqueue_open;
    m->job = job;
    m->result = &result;
    mailbox_post(desk, &m->mail);
    while (atomic_load(&result) > 0)
        usleep(1000);
    assert_int_equal(atomic_load(&result), OK);
}

/* The nodes */

static void report(const struct update *u, struct buf *out)
{
    buf_printf(out, "{\"status\":\"%s\"}", job_state_name(u->state));
}

static const struct fleet_jobs_settings of_jobs = {
    .report = report,
    .bytes = report,
    .status_ttl_s = 3600,
    .job_ttl_ms = 60 * 1000,
    .report_ttl_ms = 60 * 1000,
    .pending_max = 1000,
};
static const struct fleet_work_settings of_work = {
    .node = "node",
    .lease_ms = 10000,
    .attempts_max = 3,
    .backoff_min_ms = 1000,
    .backoff_max_ms = 10000,
};
static const struct option_list nobodys;
static const struct api_settings of_api = {
    .asks_all = true,
    .chunk_max = 1024 * 1024,
    .upload_max = INT64_MAX,
    .url_lifetime_ms = 60 * 1000,
    .public_url = "",
    .origins = &nobodys,
};

static void node_start(struct node *n)
{
    static const char *const address[] = { "127.0.0.1:0" };
    struct buf why;

    buf_init(&why, 256);
    assert_int_equal(fleet_link_open(&loop, server.url,
                                     &(struct fleet_link_settings){ .name = "test" }, &events, n,
                                     &n->link, &why),
                     OK);
    n->observer = (struct observer){ watched, unwatched, watched_all };
    n->ledger = ledger_new_mirror(&n->observer);
    n->parts = (struct fleet_parts){
        .jobs = fleet_jobs_new(fleet_link_port(n->link), n->ledger, &of_jobs),
        .work = fleet_work_new(fleet_link_port(n->link), &of_work),
        .look = look,
        .context = n,
    };
    n->api = (struct api){
        .settings = &of_api,
        .records = &records_fleet,
        .fleet = &n->parts,
        .ledger = n->ledger,
        .disk = disk,
        .desk = desk,
        .keys = keys,
        .presign = &presign,
        .started_ms = clock_mono_ms(),
    };
    struct io_settings io = {
        .threads = 1,
        .connections_max = 100,
        .ws = { .message_max = 1024 },
        .addresses = address,
        .address_count = 1,
    };
    assert_int_equal(io_pool_start(&io, n->ledger, api_handle, &n->api, &n->pool, &why), OK);
    buf_deinit(&why);
}

static bool are_ready(bool is_wanted)
{
    for (int i = 0; i < NODES; i++)
        if (atomic_load(&nodes[i].is_ready) != is_wanted)
            return false;
    return true;
}

static void await_ready(bool is_wanted)
{
    uint64_t end = clock_mono_ms() + PATIENCE_MS;

    while (!are_ready(is_wanted)) {
        assert_true(clock_mono_ms() < end);
        usleep(1000);
    }
}

static int begin(void **state)
{
    static const char secret[] = "a secret of thirty-two bytes or more";
    struct jwt_settings how = { .algorithm = JWT_HS256 };
    struct buf why;

    (void)state;
    buf_init(&why, 256);
    buf_init(&ada, JWT_TEXT_MAX);
    buf_init(&bob, JWT_TEXT_MAX);
    buf_init(&answer, ANSWER_MAX);
    assert_int_equal(jwt_keys_from_secret(&how, secret, sizeof(secret) - 1, &keys, &why), OK);
    assert_int_equal(presign_key_derive(secret, sizeof(secret) - 1, &presign), OK);
    assert_int_equal(jwt_mint(keys, "ada", false, clock_wall_ms(), 600000, &ada), OK);
    assert_int_equal(jwt_mint(keys, "bob", false, clock_wall_ms(), 600000, &bob), OK);
    assert_non_null(mkdtemp(folder));
    assert_int_equal(disk_open(folder, 0, true, &disk, &why), OK);
    buf_deinit(&why);
    server_start(&server, NULL);
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(mailbox_open(&loop, &desk), OK);
    for (int i = 0; i < NODES; i++)
        node_start(&nodes[i]);
    assert_int_equal(pthread_create(&desk_thread, NULL, run_desk, NULL), 0);
    client = curl_easy_init();
    await_ready(true);
    return 0;
}

static int end(void **state)
{
    struct mail *mail = mem_new(struct mail);
    char command[64];

    (void)state;
    curl_easy_cleanup(client);
    for (int i = 0; i < NODES; i++)
        io_pool_stop(nodes[i].pool, 1000);
    mail->open = close_desk;
    mailbox_post(desk, mail);
    pthread_join(desk_thread, NULL);
    mailbox_close(desk);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    for (int i = 0; i < NODES; i++)
        ledger_free(nodes[i].ledger);
    server_stop(&server);
    disk_close(disk);
    jwt_keys_free(keys);
    buf_deinit(&ada);
    buf_deinit(&bob);
    buf_deinit(&answer);
    snprintf(command, sizeof(command), "rm -r %s", folder);
    return system(command);
}

/* Asking */

static size_t on_body(char *bytes, size_t size, size_t count, void *unused)
{
    (void)unused;
    buf_append(&answer, bytes, size * count);
    return size * count;
}

static int ask_url(const struct buf *token, const char *method, const char *url, const char *body)
{
    struct curl_slist *fields = NULL;
    struct buf field;
    long status = 0;

    buf_init(&field, JWT_TEXT_MAX + 64);
    buf_printf(&field, "Authorization: Bearer %s", token ? buf_text(token) : "");
    if (token != NULL)
        fields = curl_slist_append(fields, buf_text(&field));
    buf_deinit(&field);
    buf_reset(&answer);
    curl_easy_reset(client);
    curl_easy_setopt(client, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(client, CURLOPT_URL, url);
    curl_easy_setopt(client, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(client, CURLOPT_HTTPHEADER, fields);
    curl_easy_setopt(client, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(client, CURLOPT_TIMEOUT, 20L);
    if (body != NULL)
        curl_easy_setopt(client, CURLOPT_POSTFIELDS, body);
    assert_int_equal(curl_easy_perform(client), CURLE_OK);
    curl_easy_getinfo(client, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(fields);
    return (int)status;
}

/* The status; the body is in `answer`. */
static int ask(const struct buf *token, const char *method, const char *path, const char *body)
{
    char url[512];

    snprintf(url, sizeof(url), "http://%s%s", io_pool_address(nodes[turn++ % NODES].pool, 0), path);
    return ask_url(token, method, url, body);
}

/* A text of the answer, as "error.code" or "jobs.0.id"; static. */
static const char *said(const char *path)
{
    static char text[1024];
    json_t *root = json_loads(buf_text(&answer), 0, NULL), *at = root;
    struct str rest = str_of(path);
    char name[64];

    while (rest.at != NULL && at != NULL) {
        struct str part = str_cut(&rest, '.');
        snprintf(name, sizeof(name), "%.*s", STR_ARG(part));
        at = json_is_array(at) ? json_array_get(at, (size_t)strtoul(name, NULL, 10))
                               : json_object_get(at, name);
    }
    snprintf(text, sizeof(text), "%s", json_is_string(at) ? json_string_value(at) : "");
    if (json_is_integer(at))
        snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(at));
    json_decref(root);
    return text;
}

#define EXPECT(status, token, method, path, body)                                                  \
    do {                                                                                           \
        int status_ = ask(token, method, path, body);                                              \
        if (status_ != (status))                                                                   \
            fail_msg("%s %s: %d %s", method, path, status_, buf_text(&answer));                    \
    } while (0)
#define EXPECT_CODE(status, code, token, method, path, body)                                       \
    do {                                                                                           \
        EXPECT(status, token, method, path, body);                                                 \
        assert_string_equal(said("error.code"), code);                                             \
    } while (0)

static const char *path_of(const char *format, const char *id)
{
    static char paths[4][256];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, 256, "%.*s%s%s", (int)strcspn(format, "*"), format, id,
             format + strcspn(format, "*") + 1);
    return path;
}

/* Jobs */

static void a_job_that_one_node_makes_is_there_at_the_other(void **state)
{
    char id[JOB_ID_MAX + 1];

    (void)state;
    EXPECT(200, &ada, "POST", "/jobs/create", "{\"title\":\"a film\"}");
    snprintf(id, sizeof(id), "%s", said("job_id"));
    for (int i = 0; i < NODES; i++) {
        EXPECT(200, &ada, "GET", path_of("/api/jobs/*", id), NULL);
        assert_string_equal(said("state"), "queued");
        assert_string_equal(said("title"), "a film");
        EXPECT(200, &ada, "GET", "/api/jobs", NULL);
        assert_string_equal(said("jobs.0.id"), id);
    }
}

static void somebody_elses_job_is_like_one_that_is_not_there(void **state)
{
    (void)state;
    EXPECT(200, &ada, "POST", "/api/jobs/hers/progress", "{\"progress\":0.5}");
    EXPECT_CODE(404, "not_found", &bob, "GET", "/api/jobs/hers", NULL);
    EXPECT_CODE(404, "not_found", &bob, "DELETE", "/api/jobs/hers", NULL);
    EXPECT_CODE(409, "id_taken", &bob, "POST", "/api/jobs/hers/progress", "{\"progress\":0.6}");
    EXPECT(200, &bob, "GET", "/api/jobs", NULL);
    assert_string_equal(buf_text(&answer), "{\"jobs\":[]}");
    EXPECT_CODE(404, "not_found", &ada, "GET", "/api/jobs/nobodys", NULL);
}

static void reports_go_to_whichever_node(void **state)
{
    (void)state;
    EXPECT(200, &ada, "POST", "/api/jobs/told/progress", "{\"stage\":\"a\",\"progress\":0.25}");
    long long first = strtoll(said("seq"), NULL, 10);
    EXPECT(200, &ada, "POST", "/api/jobs/told/progress", "{\"stage\":\"b\",\"progress\":0.5}");
    assert_true(strtoll(said("seq"), NULL, 10) > first);
    EXPECT(200, &ada, "GET", "/api/jobs/told", NULL);
    assert_string_equal(said("stage"), "b");
    EXPECT_CODE(409, "already_begun", &ada, "POST", "/api/jobs/told/progress",
                "{\"status\":\"queued\"}");
    EXPECT(200, &ada, "POST", "/api/jobs/told/progress",
           "{\"status\":\"completed\",\"result\":{\"frames\":\"all\"}}");
    EXPECT_CODE(409, "already_finished", &ada, "POST", "/api/jobs/told/progress",
                "{\"progress\":0.9}");
    EXPECT(200, &ada, "GET", "/api/status/told", NULL);
    EXPECT(200, &ada, "GET", "/api/jobs/told", NULL);
    assert_string_equal(said("state"), "completed");
    assert_string_equal(said("result.frames"), "all");
}

/* The ledger hears of the job only once it is watched: that is no news. */
static void a_poll_waits_for_what_its_client_does_not_know(void **state)
{
    char path[128], seq[32];

    (void)state;
    EXPECT(200, &ada, "POST", "/api/jobs/polled/progress", "{\"progress\":0.5}");
    snprintf(seq, sizeof(seq), "%s", said("seq"));
    for (int i = 0; i < NODES; i++) {
        snprintf(path, sizeof(path), "/api/jobs/polled?wait=1&after=%s", seq);
        uint64_t begin_ms = clock_mono_ms();
        EXPECT(200, &ada, "GET", path, NULL);
        assert_string_equal(said("seq"), seq);
        assert_true(clock_mono_ms() - begin_ms >= 900);
    }
}

static void an_external_job_is_cancelled_once(void **state)
{
    (void)state;
    EXPECT(200, &ada, "POST", "/api/jobs/ended/progress", "{\"progress\":0.5}");
    EXPECT(202, &ada, "DELETE", "/api/jobs/ended", NULL);
    EXPECT(200, &ada, "GET", "/api/jobs/ended", NULL);
    assert_string_equal(said("state"), "cancelled");
    assert_string_equal(said("error"), "Cancelled");
    EXPECT_CODE(409, "already_finished", &ada, "DELETE", "/api/jobs/ended", NULL);
}

static void a_list_is_of_one_state_if_so_asked(void **state)
{
    (void)state;
    EXPECT(200, &ada, "POST", "/api/jobs/sorry/progress", "{\"status\":\"failed\"}");
    EXPECT(200, &ada, "GET", "/api/jobs?state=failed&limit=1", NULL);
    assert_string_equal(said("jobs.0.id"), "sorry");
    assert_string_equal(said("jobs.1.id"), "");
}

/* Uploads */

static void create_video(char id[JOB_ID_MAX + 1])
{
    EXPECT(201, &ada, "POST", "/streaming/create-video", "{\"title\":\"a clip\"}");
    snprintf(id, JOB_ID_MAX + 1, "%s", said("id"));
}

static int ask_for_url(const char *id, int index, int total)
{
    char body[256];

    snprintf(body, sizeof(body), "{\"videoId\":%s,\"chunkIndex\":%d,\"totalChunks\":%d}", id, index,
             total);
    return ask(&ada, "POST", "/streaming/get-chunk-upload-url", body);
}

/* At another node than the one that gave the URL. */
static int put_chunk(const char *url, const char *bytes)
{
    const char *path = strstr(url, "/uploads/");

    assert_non_null(path);
    return ask(NULL, "PUT", path, bytes);
}

static void chunks_go_to_whichever_node(void **state)
{
    char id[JOB_ID_MAX + 1], url[512];

    (void)state;
    create_video(id);
    EXPECT(200, &ada, "GET", path_of("/api/jobs/*", id), NULL);
    assert_string_equal(said("kind"), "upload");
    assert_string_equal(said("title"), "a clip");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask_for_url(id, i, 3), 200);
        snprintf(url, sizeof(url), "%s", said("upload_url"));
        assert_int_equal(put_chunk(url, "some bytes"), 200);
        assert_string_equal(said("size"), "10");
    }
    assert_int_equal(ask_for_url(id, 0, 4), 409);
    assert_string_equal(said("error.code"), "wrong_count");
    assert_string_equal(said("error.message"), "totalChunks is 4 here but was 3 before");
    EXPECT(200, &ada, "GET", path_of("/streaming/uploads/*", id), NULL);
    assert_string_equal(said("state"), "open");
    assert_string_equal(said("total_chunks"), "3");
    assert_string_equal(said("chunks.2.index"), "2");
    EXPECT_CODE(409, "not_external", &ada, "POST", path_of("/api/jobs/*/progress", id),
                "{\"progress\":0.5}");
    EXPECT_CODE(404, "not_found", &bob, "GET", path_of("/streaming/uploads/*", id), NULL);
}

static void an_upload_that_is_processed_takes_no_chunks(void **state)
{
    char id[JOB_ID_MAX + 1], url[512];

    (void)state;
    create_video(id);
    assert_int_equal(ask_for_url(id, 0, 1), 200);
    snprintf(url, sizeof(url), "%s", said("upload_url"));
    enqueue(id);
    for (int i = 0; i < NODES; i++) {
        assert_int_equal(put_chunk(url, "late"), 409);
        assert_string_equal(said("error.code"), "upload_closed");
        assert_int_equal(ask_for_url(id, 0, 1), 409);
        assert_string_equal(said("error.code"), "upload_closed");
    }
    EXPECT(200, &ada, "GET", path_of("/streaming/uploads/*", id), NULL);
    assert_string_equal(said("state"), "assembling");
    assert_string_equal(said("chunks.0.index"), "");
}

static void what_fits_no_disk_is_refused_before_there_is_a_job(void **state)
{
    (void)state;
    EXPECT_CODE(507, "no_space", &bob, "POST", "/streaming/create-video",
                "{\"fileSize\":4611686018427387904}");
    EXPECT(200, &bob, "GET", "/api/jobs", NULL);
    assert_string_equal(buf_text(&answer), "{\"jobs\":[]}");
}

/* Without Redis */

static void who_asks_hears_that_redis_is_away(void **state)
{
    char id[JOB_ID_MAX + 1], url[512];

    (void)state;
    EXPECT(200, NULL, "GET", "/ready", NULL);
    EXPECT(200, NULL, "GET", "/health", NULL);
    assert_string_equal(said("status"), "ok");
    assert_string_equal(said("redis.status"), "up");
    create_video(id);
    assert_int_equal(ask_for_url(id, 0, 1), 200);
    snprintf(url, sizeof(url), "%s", said("upload_url"));

    server_kill(&server);
    await_ready(false);
    EXPECT_CODE(503, "not_ready", NULL, "GET", "/ready", NULL);
    EXPECT(200, NULL, "GET", "/health", NULL);
    assert_string_equal(said("status"), "degraded");
    assert_string_equal(said("engine"), "redis");
    assert_string_equal(said("redis.status"), "away");
    EXPECT_CODE(503, "redis_away", &ada, "POST", "/jobs/create", "{}");
    EXPECT_CODE(503, "redis_away", &ada, "GET", "/api/jobs", NULL);
    EXPECT_CODE(503, "redis_away", &ada, "GET", "/api/jobs/unheard", NULL);
    EXPECT_CODE(503, "redis_away", &ada, "POST", "/streaming/create-video", "{}");
    assert_int_equal(put_chunk(url, "some bytes"), 503);
    assert_string_equal(said("error.code"), "redis_away");

    server_start_again(&server);
    await_ready(true);
    EXPECT(200, NULL, "GET", "/ready", NULL);
    EXPECT(200, &ada, "POST", "/jobs/create", "{}");
    assert_int_equal(put_chunk(url, "some bytes"), 404); /* it kept nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits_no_disk_is_refused_before_there_is_a_job),
        cmocka_unit_test(a_job_that_one_node_makes_is_there_at_the_other),
        cmocka_unit_test(somebody_elses_job_is_like_one_that_is_not_there),
        cmocka_unit_test(reports_go_to_whichever_node),
        cmocka_unit_test(a_poll_waits_for_what_its_client_does_not_know),
        cmocka_unit_test(an_external_job_is_cancelled_once),
        cmocka_unit_test(a_list_is_of_one_state_if_so_asked),
        cmocka_unit_test(chunks_go_to_whichever_node),
        cmocka_unit_test(an_upload_that_is_processed_takes_no_chunks),
        cmocka_unit_test(who_asks_hears_that_redis_is_away),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
