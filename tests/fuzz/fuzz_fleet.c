/* What lies in a Redis that others write to as well: foreign messages, records
 * under our keys, names of channels, and the URL that leads there. The first byte
 * chooses. Whatever is taken keeps its bounds, and says itself again. */
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "fleet/foreign.h"
#include "fleet/record.h"
#include "proto/redis_url.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

enum { INPUT_MAX = 300 * 1024, WHY_MAX = 1024 };

static void take_foreign(struct str text)
{
    struct report report;
    char why[FOREIGN_WHY_MAX] = "";

    if (foreign_read(text, &report, why) != OK) {
        CHECK(memchr(why, '\0', sizeof(why)) != NULL && *why);
        return;
    }
    for (int i = 0; i < UPDATE_TEXTS; i++)
        CHECK(report.change.text[i] == NULL || strlen(report.change.text[i]) <= 4 * JOB_JSON_MAX);
    report_deinit(&report);
}

static void take_record(struct str text)
{
    struct fleet_record r, again;
    struct buf out;

    if (fleet_record_read(text, &r) != OK)
        return;
    buf_init(&out, 4 * FLEET_RECORD_MAX);
    buf_puts(&out, "7 0 ");
    fleet_record_write(r.update, r.write, r.from, &out);
    CHECK(!out.failed);
    if (out.len <= FLEET_RECORD_MAX) {
        CHECK(fleet_record_read(buf_str(&out), &again) == OK);
        CHECK(again.update->state == r.update->state && again.update->seq == 7);
        CHECK(strcmp(again.update->text[TEXT_ID], r.update->text[TEXT_ID]) == 0);
        fleet_record_deinit(&again);
    }
    buf_deinit(&out);
    fleet_record_deinit(&r);
}

static void take_channel(struct str name)
{
    enum fleet_channel kind;
    char id[JOB_ID_MAX + 1];

    if (fleet_channel_read(name, &kind, id))
        CHECK(job_id_is_valid(str_of(id)));
}

static void take_url(struct str text)
{
    char *copy = mem_strndup(text.at, text.len);
    struct redis_url url;
    struct buf why;

    buf_init(&why, WHY_MAX);
    if (redis_url_parse(copy, &url, &why) == OK) {
        buf_reset(&why);
        redis_url_describe(&url, &why);
        redis_url_deinit(&url);
    } else {
        CHECK(why.len > 0);
    }
    buf_deinit(&why);
    mem_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const takers[])(struct str) = { take_foreign, take_record, take_channel,
                                                  take_url };

    if (size == 0 || size > INPUT_MAX)
        return 0;
    takers[data[0] % 4]((struct str){ (const char *)data + 1, size - 1 });
    return 0;
}
