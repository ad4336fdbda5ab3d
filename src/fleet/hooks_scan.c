/* Until when everything was heard by somebody stands in Redis. Behind a silence the
 * jobs that the list has of later are looked at; who hears everything moves the mark. */
#include <inttypes.h>
#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"
#include "fleet/hooks_room.h"
#include "fleet/keys.h"

#define UNTIL HOOK_KEYS "until"

enum {
    PAGE = 200,
    NOTE_MS = 10 * 1000,   /* how often the mark is moved */
    MARGIN_MS = 60 * 1000, /* what is on its way, and clocks that differ */
    AGAIN_MS = 1000,
};

static struct str number(char out[24], int64_t value)
{
    int len = snprintf(out, 24, "%" PRId64, value);

    return (struct str){ out, (size_t)len };
}

static void scan_end(struct fleet_hooks *h, int err)
{
    h->is_scanning = false;
    if (err == OK)
        return;
    h->needs_scan = true;
    h->scan_again_ms = h->port->ops->mono_ms(h->port) + AGAIN_MS;
}

static void scan_page(struct fleet_hooks *h);

static void page_done(struct fleet_hooks *h)
{
    if (h->scan_page < PAGE)
        scan_end(h, OK);
    else
        scan_page(h);
}

static void found(void *context, int err, struct update *u)
{
    struct fleet_hooks *h = context;

    if (err == FAIL_CANCELLED) /* nothing is asked any more */
        return;
    if (err == OK)
        news_take(h, u);
    else if (err != FAIL_MISSING)
        h->needs_scan = true;
    if (--h->scan_waiting == 0)
        page_done(h);
}

static void look_at(struct fleet_hooks *h, struct str text)
{
    char id[JOB_ID_MAX + 1];

    if (!job_id_is_valid(text))
        return;
    snprintf(id, sizeof(id), "%.*s", STR_ARG(text));
    h->scan_waiting++;
    fleet_jobs_find(h->jobs, id, found, h);
}

static void page_read(void *context, int err, const struct redis_reply *reply)
{
    struct fleet_hooks *h = context;
    double score;

    if (err == FAIL_CANCELLED)
        return;
    if (err || reply->type != REDIS_ARRAY) {
        scan_end(h, FAIL_CLOSED);
        return;
    }
    int64_t before_ms = h->scanned_ms;
    h->scan_page = reply->count / 2;
    h->scan_waiting = 1; /* until all are asked for */
    for (size_t i = 0; i + 1 < reply->count; i += 2) {
        if (str_parse_double(reply->items[i + 1].text, &score) == OK)
            h->scanned_ms = (int64_t)score;
        look_at(h, reply->items[i].text);
    }
    h->scanned_ms += h->scan_page == PAGE && h->scanned_ms == before_ms; /* it goes on */
    if (--h->scan_waiting == 0)
        page_done(h);
}

static void scan_page(struct fleet_hooks *h)
{
    char from[24], most[24];
    struct str args[] = { STR("ZRANGEBYSCORE"),
                          STR(FLEET_JOBS "all"),
                          number(from, h->scanned_ms),
                          STR("+inf"),
                          STR("WITHSCORES"),
                          STR("LIMIT"),
                          STR("0"),
                          number(most, PAGE) };

    if (h->port->ops->command(h->port, args[1], args, 8, page_read, h) != OK)
        scan_end(h, FAIL_CLOSED);
}

static int64_t mark_now(const struct fleet_hooks *h)
{
    return h->port->ops->wall_ms(h->port);
}

static void note(struct fleet_hooks *h, int64_t until_ms)
{
    char text[24];
    struct str args[] = { STR("SET"), STR(UNTIL), number(text, until_ms) };

    h->port->ops->command(h->port, args[1], args, 3, NULL, NULL);
}

static void until_read(void *context, int err, const struct redis_reply *reply)
{
    struct fleet_hooks *h = context;
    uint64_t until_ms;

    if (err == FAIL_CANCELLED)
        return;
    if (err) {
        scan_end(h, err);
        return;
    }
    if (reply->type != REDIS_TEXT || str_parse_u64(reply->text, INT64_MAX, &until_ms) != OK) {
        note(h, mark_now(h)); /* nobody has told of anything here before */
        scan_end(h, OK);
        return;
    }
    h->scanned_ms = (int64_t)until_ms - MARGIN_MS;
    scan_page(h);
}

static void begin(struct fleet_hooks *h)
{
    struct str args[] = { STR("GET"), STR(UNTIL) };

    h->needs_scan = false;
    h->is_scanning = true;
    if (h->port->ops->command(h->port, args[1], args, 2, until_read, h) != OK)
        scan_end(h, FAIL_CLOSED);
}

void scan_tick(struct fleet_hooks *h, uint64_t now_ms)
{
    if (h->is_scanning || !fleet_jobs_is_ready(h->jobs))
        return;
    if (h->needs_scan && now_ms >= h->scan_again_ms) {
        begin(h);
        return;
    }
    if (h->needs_scan || h->news != NULL || now_ms - h->noted_ms < NOTE_MS)
        return;
    h->noted_ms = now_ms;
    note(h, mark_now(h));
}
