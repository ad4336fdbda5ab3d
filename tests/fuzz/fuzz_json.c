/* JSON of strangers: reports, request members, what viewers say, checkpoints
 * that lay on a disk, what ffprobe found in a file. The first byte chooses whom
 * the rest is for. Whatever is taken must keep its bounds, and what we then say
 * about it must be JSON again. */
#include <jansson.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/emit.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "dialect/dialects.h"
#include "input/fields.h"
#include "input/report.h"
#include "media/pipeline_run.h"
#include "media/probe_read.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

enum { INPUT_MAX = 128 * 1024, WRITTEN_MAX = 64 * 1024 };

static const struct dialect *const dialects[] = { &dialect_stream, &dialect_download, &dialect_jobs,
                                                  &dialect_broadcast, &dialect_plain };
enum { DIALECTS = sizeof(dialects) / sizeof(*dialects) };

static void check_object(const char *text, size_t len)
{
    json_t *object = json_loadb(text, len, 0, NULL);

    CHECK(json_is_object(object));
    CHECK(utf8_is_valid(text, len));
    json_decref(object);
}

static void check_words(const struct words *w)
{
    size_t at = 0;

    CHECK(!w->bytes.failed);
    for (unsigned i = 0; i < w->count; i++) {
        check_object(w->bytes.data + at, w->ends[i] - at);
        at = w->ends[i] + 1;
    }
}

static void check_complaint(const struct fields *f)
{
    struct buf answer;

    CHECK(f->code != NULL && *f->message != '\0');
    buf_init(&answer, WRITTEN_MAX);
    emit_open(&answer, '{');
    emit_field_string(&answer, "message", f->message);
    emit_close(&answer, '}');
    check_object(answer.data, answer.len);
    buf_deinit(&answer);
}

static void render_all(const struct update *u)
{
    struct words words;
    struct buf data;

    words_init(&words);
    for (int i = 0; i < DIALECTS; i++) {
        words_reset(&words);
        dialects[i]->render(u, &words);
        check_words(&words);
    }
    words_deinit(&words);
    buf_init(&data, 6 * WRITTEN_MAX);
    download_data(u, &data);
    CHECK(!data.failed);
    check_object(data.data, data.len);
    buf_deinit(&data);
}

static void check_update(const struct update *u, const struct update *from)
{
    CHECK(u->fraction == UNKNOWN_FRACTION || (u->fraction >= 0 && u->fraction <= 1));
    CHECK(u->stage_fraction == UNKNOWN_FRACTION ||
          (u->stage_fraction >= 0 && u->stage_fraction <= 1));
    CHECK(u->state != JOB_COMPLETED || u->fraction == 1);
    CHECK(u->bytes_done >= -1 && u->bytes_total >= -1);
    if (from != NULL) {
        CHECK(!job_is_final(from->state));
        CHECK(strcmp(update_text(u, TEXT_STAGE), update_text(from, TEXT_STAGE)) != 0 ||
              u->fraction >= from->fraction);
    }
}

/* True while the job goes on. */
static bool report(struct update **job, struct str text)
{
    struct fields f;
    struct report r;
    struct update *next = NULL;

    if (!fields_parse(&f, text)) {
        check_complaint(&f);
        return true;
    }
    if (!report_read(&f, &r)) {
        check_complaint(&f);
        fields_deinit(&f);
        return true;
    }
    fields_deinit(&f);
    for (int i = 0; i < UPDATE_TEXTS; i++)
        CHECK(r.change.text[i] == NULL || strlen(r.change.text[i]) <= JOB_JSON_MAX);
    r.change.text[TEXT_ID] = "job";
    uint64_t seq = *job ? (*job)->seq + 1 : 1;
    if (update_derive(*job, &r.change, seq, (int64_t)seq, &next) == OK) {
        check_update(next, *job);
        render_all(next);
        update_unref(job);
        *job = next;
    }
    report_deinit(&r);
    return *job == NULL || !job_is_final((*job)->state);
}

/* Each line is a report of the same job. */
static void fuzz_report(struct str text)
{
    struct update *job = NULL;

    while (text.at != NULL && report(&job, str_cut(&text, '\n')))
        ;
    update_unref(&job);
}

static void fuzz_members(struct str text)
{
    char id[JOB_ID_MAX + 1] = "untouched";
    const char *string = NULL;
    int64_t number = 0;
    struct fields f;

    if (!fields_parse(&f, text)) {
        check_complaint(&f);
        return;
    }
    if (field_id(&f, "videoId", id))
        CHECK(job_id_is_valid(str_of(id)));
    else
        CHECK(strcmp(id, "untouched") == 0 && f.code != NULL);
    if (field_text(&f, "fileName", REQUIRED, FILE_NAME_MAX, &string))
        CHECK(*string != '\0' && strlen(string) <= FILE_NAME_MAX &&
              utf8_is_valid(string, strlen(string)));
    if (field_integer(&f, "totalChunks", REQUIRED, 1, CHUNKS_MAX, &number))
        CHECK(number >= 1 && number <= CHUNKS_MAX);
    fields_deinit(&f);
}

/* What a viewer says is a borrowed run of bytes: nothing lies behind it. */
static void fuzz_viewer(struct str text)
{
    struct words words;

    words_init(&words);
    for (int i = 0; i < DIALECTS; i++) {
        struct request request = { 0 };
        if (dialects[i]->receive == NULL)
            continue;
        words_reset(&words);
        dialects[i]->receive(text, &words, &request);
        CHECK(!words.bytes.failed);
        if (request.kind != REQUEST_NOTHING)
            CHECK(job_id_is_valid(str_of(request.job)));
    }
    words_deinit(&words);
}

static void fuzz_upload(struct str text)
{
    struct upload first, second;
    struct buf out;

    if (upload_read(text.at, &first) != OK)
        return;
    buf_init(&out, WRITTEN_MAX);
    upload_write(&first, &out);
    check_object(out.data, out.len);
    CHECK(upload_read(buf_text(&out), &second) == OK);
    CHECK(first.total_chunks == second.total_chunks && first.size == second.size);
    CHECK(first.touched_ms == second.touched_ms && first.has_source == second.has_source);
    CHECK(first.is_one_shot == second.is_one_shot);
    buf_deinit(&out);
}

static void fuzz_spec(struct str text)
{
    struct spec first, second;
    struct buf out;

    if (spec_read(text.at, &first) != OK)
        return;
    buf_init(&out, WRITTEN_MAX);
    spec_write(&first, &out);
    check_object(out.data, out.len);
    CHECK(spec_read(buf_text(&out), &second) == OK);
    CHECK(first.has_info == second.has_info);
    buf_deinit(&out);
}

static void check_info(const struct media_info *info)
{
    struct media_info again;
    struct buf out;

    CHECK(info->audio_count <= MEDIA_AUDIO_MAX);
    if (info->has_video)
        CHECK(info->width > 0 && info->height > 0 && info->fps_num > 0 && info->fps_den > 0);
    buf_init(&out, WRITTEN_MAX);
    media_info_write(info, &out);
    check_object(out.data, out.len);
    CHECK(media_info_read(buf_str(&out), &again) == OK);
    CHECK(again.width == info->width && again.duration_ms == info->duration_ms);
    buf_deinit(&out);
}

static void fuzz_info(struct str text)
{
    struct media_info info;

    if (media_info_read(text, &info) == OK)
        check_info(&info);
}

static void fuzz_probe(struct str text)
{
    struct media_info info = { 0 };
    struct buf why;

    buf_init(&why, 1024);
    if (probe_read(text, &info, &why) == OK)
        check_info(&info);
    else
        CHECK(why.len > 0);
    buf_deinit(&why);
}

static void (*const readers[])(struct str text) = { fuzz_report, fuzz_members, fuzz_viewer,
                                                    fuzz_upload, fuzz_spec,    fuzz_info,
                                                    fuzz_probe };
enum { READERS = sizeof(readers) / sizeof(*readers) };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > INPUT_MAX)
        return 0;
    /* A copy of its own size, so that reading past it is noticed. Checkpoints
     * come as C strings, for which the copy ends with one more byte. */
    size_t len = size - 1;
    unsigned which = data[0] % READERS;
    bool is_text = readers[which] == fuzz_upload || readers[which] == fuzz_spec;
    char *copy = is_text ? mem_strndup((const char *)data + 1, len) : mem_alloc(len);
    if (!is_text)
        memcpy(copy, data + 1, len);
    readers[which]((struct str){ copy, len });
    mem_free(copy);
    return 0;
}
