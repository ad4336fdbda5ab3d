/* Operations that end before anything was asked of a storage: what was wanted of them is
 * nothing that any driver could do. They end as all do, not within the call. On the
 * loop's thread. */
#ifndef STORAGE_STORAGE_REFUSAL_H
#define STORAGE_STORAGE_REFUSAL_H

#include "storage/storage.h"

/* Who hears of an operation's end; one for each of the signatures in storage.h. */
struct storage_ending {
    enum storage_ending_kind {
        ENDING_PLAIN,
        ENDING_GET,
        ENDING_READ,
        ENDING_HEAD,
        ENDING_BEGIN,
        ENDING_PARTS,
    } kind;
    union {
        storage_done *plain;
        void (*get)(void *context, int err, const char *why, uint64_t bytes);
        void (*read)(void *context, int err, const char *why, struct str body);
        void (*head)(void *context, int err, const char *why, const struct storage_object *object);
        void (*begin)(void *context, int err, const char *why, const char *id);
        void (*parts)(void *context, int err, const char *why, const struct storage_part *parts,
                      size_t count);
    };
    void *context;
};

/* Says that it failed, with nothing to show for it. A plain one can also go well. */
void storage_ending_say(const struct storage_ending *ending, int err, const char *why);

/* `why` is static. */
struct storage_task *storage_refuse(struct storage *s, const struct storage_ending *ending, int err,
                                    const char *why);

/* When the storage closes. */
void storage_refusals_cancel(struct storage *s);

#endif
