#include "fleet/keys.h"

#include <assert.h>
#include <string.h>

#include "core/job.h"

#define TAG_BEGIN "{job_status:"
#define TAG_END   "}"

static struct fleet_key make(struct str before, const char *id, struct str after)
{
    struct fleet_key key = { .len = before.len + strlen(id) + after.len };

    assert(key.len < sizeof(key.text));
    memcpy(key.text, before.at, before.len);
    memcpy(key.text + before.len, id, key.len - before.len - after.len);
    memcpy(key.text + key.len - after.len, after.at, after.len);
    return key;
}

struct fleet_key fleet_key_record(const char *id)
{
    return make(STR("reelay:job:" TAG_BEGIN), id, STR(TAG_END));
}

struct fleet_key fleet_key_seen(const char *id)
{
    return make(STR("reelay:seen:" TAG_BEGIN), id, STR(TAG_END));
}

struct fleet_key fleet_key_channel(const char *id)
{
    return make(STR("reelay:state:" TAG_BEGIN), id, STR(TAG_END));
}

struct fleet_key fleet_key_status(const char *id)
{
    return make(STR("job_status:"), id, STR(""));
}

struct fleet_key fleet_key_reports(const char *id)
{
    return make(STR("job_progress:"), id, STR(""));
}

struct fleet_key fleet_key_bytes(const char *id)
{
    return make(STR("progress:"), id, STR(""));
}

struct fleet_key fleet_key_room(const char *pid)
{
    return make(STR("reelay:room:"), pid, STR(""));
}

struct str fleet_key_str(const struct fleet_key *key)
{
    return (struct str){ key->text, key->len };
}

bool fleet_channel_read(struct str channel, enum fleet_channel *kind, char id[JOB_ID_MAX + 1])
{
    static const struct {
        const char *before, *after;
        enum fleet_channel kind;
    } forms[] = {
        { "reelay:state:" TAG_BEGIN, TAG_END, FLEET_CHANNEL_RECORDS },
        { "job_progress:", "", FLEET_CHANNEL_REPORTS },
        { "progress:", "", FLEET_CHANNEL_BYTES },
    };

    for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
        size_t before = strlen(forms[i].before), after = strlen(forms[i].after);
        if (channel.len <= before + after || channel.len - before - after > JOB_ID_MAX ||
            memcmp(channel.at, forms[i].before, before) != 0 ||
            memcmp(channel.at + channel.len - after, forms[i].after, after) != 0)
            continue;
        struct str name = (struct str){ channel.at + before, channel.len - before - after };
        if (!job_id_is_valid(name))
            return false;
        memcpy(id, name.at, name.len);
        id[name.len] = '\0';
        *kind = forms[i].kind;
        return true;
    }
    return false;
}
