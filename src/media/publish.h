/* A tree of HLS files on its way into a storage, from the moment that its first segment
 * is whole.
 *
 *   follow: segments that a later one stands behind ──┐
 *   finish: all else there is ── list: is it all there, and nothing besides? ──
 *           media playlists ── master.m3u8 ── the note is removed
 *
 * What was sent may be made anew before the end (a conversion that is repeated, a tail
 * that is dropped): a file that is not the one that was sent is sent again, and what is
 * not in the tree at the end is removed. What an earlier process had sent under the same
 * key is found by the list; what has the same size and digest is not sent again.
 *
 * On the loop's thread. */
#ifndef MEDIA_PUBLISH_H
#define MEDIA_PUBLISH_H

#include <stdint.h>
#include <uv.h>

#include "media/media.h"
#include "storage/storage.h"

struct publish;

struct publish_events {
    /* Of the bytes of the whole tree; behind publish_finish only, several times a second. */
    void (*moved)(void *context, uint64_t sent, uint64_t total);
    /* `bytes` of the whole tree. What is wrong is never the input's fault. */
    void (*done)(void *context, int err, const char *why, uint64_t bytes);
};

/* Where a tree says, as long as it is not whole, what it is made of: KEY/recipe; and
 * KEY/sound-a0 that all of that track is there, which is the playlist that it has by then. */
extern const char publish_note[], publish_sound[];

/* Begins to follow. `tree` (a folder, which may not be there yet), `key` and `note` are
 * copied; `note` (or NULL) lies at KEY/recipe until all is there. Trouble is kept for the
 * end, which tries once more. */
struct publish *publish_begin(uv_loop_t *loop, struct storage *storage, const char *tree,
                              const char *key, const char *note);

/* The picture's first `segments` were fetched from below `key`: they need not be sent, as
 * long as they are copied there. */
void publish_inherit(struct publish *p, const char *key, uint32_t segments);

/* The tree is made anew, from the beginning. */
void publish_again(struct publish *p);

/* The tree is as it shall be. `done` comes exactly once, not within the call, and frees
 * it; `out` is for media_task_cancel. */
void publish_finish(struct publish *p, const struct publish_events *events, void *context,
                    struct media_task **out);

/* Of one that was not finished: what is under way is cancelled, and it is gone. What was
 * sent stays. */
void publish_abandon(struct publish *p);

#endif
