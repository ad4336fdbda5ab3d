/* The names of everything in Redis. `job_status:{id}`, `job_progress:{id}` and
 * `progress:{id}` are the contract's (document 003 and 004; here {id} is the id
 * itself, without braces); all others begin with "reelay:".
 *
 *   reelay:job:{job_status:ID}    a job's record, in the slot of its status
 *   reelay:seen:{job_status:ID}   foreign messages of late, by hash
 *   reelay:state:{job_status:ID}  the channel of its records
 *   reelay:room:PID               what a Socket.IO client is subscribed to
 *   {reelay}:...                  work: all of one slot, so that one script can
 *                                 move a job between queue, lease and end
 *   {reelay:jobs}:...             which jobs there are */
#ifndef FLEET_KEYS_H
#define FLEET_KEYS_H

#include "base/str.h"
#include "core/limits.h"

enum { FLEET_KEY_MAX = JOB_ID_MAX + 48 };

struct fleet_key {
    size_t len;
    char text[FLEET_KEY_MAX];
};

struct fleet_key fleet_key_record(const char *id);
struct fleet_key fleet_key_seen(const char *id);
struct fleet_key fleet_key_channel(const char *id);
struct fleet_key fleet_key_status(const char *id);
struct fleet_key fleet_key_reports(const char *id); /* job_progress:ID */
struct fleet_key fleet_key_bytes(const char *id);   /* progress:ID */
struct fleet_key fleet_key_room(const char *pid);
struct str fleet_key_str(const struct fleet_key *key); /* borrows */

/* The id in a channel's name. False when it is none of ours or no valid id. */
enum fleet_channel { FLEET_CHANNEL_RECORDS, FLEET_CHANNEL_REPORTS, FLEET_CHANNEL_BYTES };
bool fleet_channel_read(struct str channel, enum fleet_channel *kind, char id[JOB_ID_MAX + 1]);

#define FLEET_PATTERN_RECORDS "reelay:state:*"
#define FLEET_PATTERN_REPORTS "job_progress:*"
#define FLEET_PATTERN_BYTES   "progress:*"

#define FLEET_WORK "{reelay}:"      /* before every key of work */
#define FLEET_JOBS "{reelay:jobs}:" /* before every key of the list of jobs */

#endif
