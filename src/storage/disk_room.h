/* What a struct disk is made of, for the files of src/storage alone. */
#ifndef STORAGE_DISK_ROOM_H
#define STORAGE_DISK_ROOM_H

#include <pthread.h>
#include <stdint.h>

#include "storage/disk.h"

struct disk {
    char *root; /* absolute, without links */
    int root_fd;
    int lock_fd; /* holds the flock as long as it is open */
    int uploads_fd, work_fd, media_fd;
    uint64_t min_free;
    bool is_shared;
    pthread_mutex_t lock; /* guards promised */
    uint64_t promised;
};

/* Opens a regular file below `root` for reading, never through a link: in one
 * step where the kernel has openat2(2), else component by component. */
int object_open_beneath(int root, const char *key, int *fd);
int object_open_by_steps(int root, const char *key, int *fd);

/* Where what is being removed waits, in work/: no job's id begins with a dot. */
#define GONE_PREFIX ".gone-"

#endif
