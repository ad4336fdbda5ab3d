/* What publish.h is made of, for src/media/publish*.c alone. */
#ifndef MEDIA_PUBLISH_ROOM_H
#define MEDIA_PUBLISH_ROOM_H

#include <stdbool.h>
#include <uthash.h>

#include "base/digest.h"
#include "media/publish.h"
#include "media/task.h"

enum {
    PUBLISH_NAME = 64, /* "720p/s00012.m4s" */
    PUBLISH_FOLDERS_MAX = 32,
    PUBLISH_FILES_MAX = 2000000,
    PUBLISH_KEY_MAX = 1024,
};

/* Which file it is, as long as the tree is on one file system. */
struct publish_stamp {
    uint64_t inode, size;
    int64_t seconds, nanoseconds;
};

enum publish_kind { PUBLISH_DATA, PUBLISH_PLAYLIST, PUBLISH_MASTER, PUBLISH_NOTE };

enum publish_state {
    PUBLISH_WAITING,
    PUBLISH_SENDING,
    PUBLISH_SENT,   /* `stamp` */
    PUBLISH_ABSENT, /* not in the tree; perhaps in the storage */
};

struct publish_file {
    UT_hash_handle hh;
    struct publish_file *prev, *next; /* in the queue, if it is waiting in it */
    enum publish_state state;
    enum publish_kind kind;
    bool is_queued;
    bool is_wanted; /* in the tree */
    bool is_known;  /* an earlier process may have sent it: `there`, `etag` */
    bool is_listed; /* by the storage, with `there` bytes */
    bool is_asked;  /* is not listed: to be asked for by itself */
    bool is_doomed; /* a note that is not true any more */
    bool is_sure;   /* the storage has said so by itself: lists may be late */
    uint64_t there;
    uint64_t moved; /* bytes, of what is being sent */
    char etag[MD5_HEX_SIZE];
    struct publish_stamp stamp;
    char name[PUBLISH_NAME];
};

/* What a worker thread finds. */
struct publish_found {
    struct publish_stamp stamp;
    char name[PUBLISH_NAME];
};

struct publish_finds {
    struct publish_found *items;
    size_t count, room;
};

/* How far a folder was followed. */
struct publish_folder {
    uint32_t next;
    char name[12];
};

struct publish_scan {
    struct publish_finds finds;
    struct publish_folder folders[PUBLISH_FOLDERS_MAX];
    unsigned folder_count;
    bool is_sound_whole;
    bool has_notes; /* sound that is whole goes as such, with a note that says so */
    int err;
};

/* Both block. Segments of which another stands behind them, from where the folders were
 * followed to. */
void publish_look(const char *tree, struct publish_scan *scan);
/* All there is. FAIL_UNSUPPORTED: something in it is no file; FAIL_LIMIT. */
void publish_look_at_all(const char *tree, struct publish_scan *scan);
/* Of a name in the tree: whether it is below a folder of sound. */
bool publish_is_sound(const char *name);
/* Opens one for reading, or what is a note's text. FAIL_MISSING. Blocks. */
int publish_open(const char *tree, const char *name, int *fd, struct publish_stamp *stamp);

enum publish_phase {
    PHASE_LEARNING, /* what an earlier process has left is listed */
    PHASE_FOLLOWING,
    PHASE_SETTLING, /* what runs ends, and then the whole tree is looked at */
    PHASE_SENDING,
    PHASE_CHECKING,
    PHASE_PLAYLISTS,
    PHASE_MASTER,
    PHASE_TIDYING, /* the note goes: until now another could have gone on with it */
    PHASE_OVER,
};

struct publish {
    struct media_task task; /* first */
    uv_loop_t *loop;
    struct storage *storage;
    char *tree, *key;
    char *note; /* or NULL */
    char *from; /* the key that segments below `inherited` came from, or NULL */
    uint32_t inherited;
    enum publish_phase phase;
    struct publish_file *files, *queue;
    struct publish_sending *sendings;
    unsigned sending_count;
    struct storage_task *list;
    uv_timer_t timer; /* following */
    struct publish_scan scan;
    bool is_scanning; /* on a worker thread */
    bool is_anew;     /* what the scan finds is of no use */
    bool is_finishing, is_abandoned, is_closing;
    bool is_hopeless; /* to follow: what is denied now will be denied later */
    unsigned rounds;  /* of checking */
    unsigned offloaded;
    uint64_t total, sent; /* bytes: of the tree; of what is there of it */
    uint64_t told_ms, retry_ms;
    int err;
    struct buf why;
    const struct publish_events *events;
    void *context;
};

/* publish_send.c */

/* Into the queue, at its end. */
void publish_enqueue(struct publish *p, struct publish_file *f);
/* Begins as many as may be under way. */
void publish_pump(struct publish *p);
void publish_stop_sending(struct publish *p);
/* KEY/NAME */
void publish_key(const struct publish *p, const char *name, struct buf *out);
void publish_tell(struct publish *p, bool is_now);

/* publish.c */

/* One is sent, or was removed, or it failed. */
void publish_sending_ended(struct publish *p);
/* The first trouble counts. */
void publish_fail(struct publish *p, int err, const char *why);

#endif
