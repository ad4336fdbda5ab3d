/* What it costs to make one file of many chunks: media/assemble, in turn with `cat` of the same
 * chunks into a file that is then synced, on the same disk, each with what it reads in the page
 * cache or (--cold) not. Both have made their file durable when the clock is stopped.
 *
 *   assemble [--rounds N] [--mib N] [--chunk-mib N] [--cold] [--folder FOLDER] */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "media/assemble.h"
#include "storage/disk.h"
#include "support.h"

enum { MIB = 1024 * 1024, ROUNDS_MAX = 101 };

static const char video[] = "bench";

struct options {
    unsigned rounds, mib, chunk_mib;
    bool is_cold;
    const char *folder;
};

static void make_chunks(struct disk *d, const struct options *o)
{
    size_t size = (size_t)o->chunk_mib * MIB;
    char *bytes = mem_alloc(size);

    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 2654435761u >> 24);
    for (unsigned i = 0; i < o->mib / o->chunk_mib; i++) {
        struct chunk_write w;
        if (disk_chunk_begin(d, video, i, &w) != OK || disk_chunk_write(&w, bytes, size) != OK ||
            disk_chunk_commit(d, &w) != OK)
            die("chunk %u", i);
    }
    mem_free(bytes);
}

/* All of them in the page cache, or none. */
static void settle_cache(const char *root, const struct options *o)
{
    char path[256], *block = mem_alloc(MIB);

    for (unsigned i = 0; i < o->mib / o->chunk_mib; i++) {
        snprintf(path, sizeof(path), "%s/uploads/%s/%06u", root, video, i);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || (o->is_cold && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0))
            die("%s", path);
        while (!o->is_cold && read(fd, block, MIB) > 0)
            ;
        close(fd);
    }
    mem_free(block);
}

static void no_progress(void *context, uint32_t chunk)
{
    (void)context;
    (void)chunk;
}

static void assemble_it(struct disk *d, const char *path, const struct options *o)
{
    atomic_bool is_stopped = false;
    struct assembly a = { .disk = d,
                          .video = video,
                          .total_chunks = o->mib / o->chunk_mib,
                          .path = path,
                          .is_stopped = &is_stopped,
                          .progress = no_progress };
    uint64_t size = 0;
    struct buf why;

    buf_init(&why, 1024);
    if (assemble(&a, &size, &why) != OK || size != (uint64_t)o->mib * MIB)
        die("assemble: %s", buf_text(&why));
    buf_deinit(&why);
}

static void cat_it(const char *root, const char *path)
{
    char command[1024];

    snprintf(command, sizeof(command), "cat %s/uploads/%s/* > %s && sync %s %s", root, video, path,
             path, root);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    die("sh");
}

struct cost {
    double wall_s, cpu_s;
};

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static struct cost measure(struct disk *d, const char *root, const struct options *o, bool is_ours)
{
    char path[256];
    struct rusage before, after;
    int status;

    snprintf(path, sizeof(path), "%s/assembled", root);
    settle_cache(root, o);
    sync(); /* what others have written is not on our account */
    getrusage(RUSAGE_CHILDREN, &before);
    uint64_t began = now_ns();
    pid_t pid = fork_child();
    if (pid == 0) {
        if (!is_ours)
            cat_it(root, path);
        assemble_it(d, path, o);
        _exit(0);
    }
    if (waitpid(pid, &status, 0) != pid || status != 0)
        die("one side failed");
    uint64_t ended = now_ns();
    getrusage(RUSAGE_CHILDREN, &after);
    unlink(path);
    return (struct cost){ .wall_s = (double)(ended - began) / 1e9,
                          .cpu_s = seconds(after.ru_utime) + seconds(after.ru_stime) -
                                   seconds(before.ru_utime) - seconds(before.ru_stime) };
}

static void measure_all(struct disk *d, const char *root, const struct options *o)
{
    double ours[ROUNDS_MAX], cat[ROUNDS_MAX], ratio[ROUNDS_MAX];
    double ours_cpu[ROUNDS_MAX], cat_cpu[ROUNDS_MAX];

    for (unsigned i = 0; i < o->rounds; i++) {
        /* Who goes first changes: the disk may remember the one before. */
        struct cost first = measure(d, root, o, i % 2 == 0);
        struct cost second = measure(d, root, o, i % 2 != 0);
        struct cost a = i % 2 == 0 ? first : second, b = i % 2 == 0 ? second : first;
        ours[i] = a.wall_s;
        ours_cpu[i] = a.cpu_s;
        cat[i] = b.wall_s;
        cat_cpu[i] = b.cpu_s;
        ratio[i] = a.wall_s / b.wall_s;
        printf("  %.2f s, cat %.2f s, ratio %.3f\n", a.wall_s, b.wall_s, ratio[i]);
        fflush(stdout);
    }
    printf("assemble: %u MiB in chunks of %u MiB, %s cache, %u rounds in turn\n"
           "  reelay %.2f s (CPU %.2f s), cat %.2f s (CPU %.2f s), ratio %.3f\n",
           o->mib, o->chunk_mib, o->is_cold ? "cold" : "warm", o->rounds, median(ours, o->rounds),
           median(ours_cpu, o->rounds), median(cat, o->rounds), median(cat_cpu, o->rounds),
           median(ratio, o->rounds));
}

int main(int argc, char **argv)
{
    struct options o = { .rounds = 3, .mib = 5000, .chunk_mib = 5, .folder = "/tmp" };
    char root[128];
    struct disk *d;
    struct buf why;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc)
            o.rounds = number_of(argv[++i], ROUNDS_MAX);
        else if (strcmp(argv[i], "--mib") == 0 && i + 1 < argc)
            o.mib = number_of(argv[++i], 100000);
        else if (strcmp(argv[i], "--chunk-mib") == 0 && i + 1 < argc)
            o.chunk_mib = number_of(argv[++i], 1000);
        else if (strcmp(argv[i], "--folder") == 0 && i + 1 < argc)
            o.folder = argv[++i];
        else if (strcmp(argv[i], "--cold") == 0)
            o.is_cold = true;
        else if (argv[i][0] == '-')
            die("assemble [--rounds N] [--mib N] [--chunk-mib N] [--cold] [--folder FOLDER]");
    }
    snprintf(root, sizeof(root), "%s/reelay-bench-XXXXXX", o.folder);
    buf_init(&why, 512);
    if (mkdtemp(root) == NULL || disk_open(root, 0, false, &d, &why) != OK)
        die("%s: %s", root, buf_text(&why));
    o.mib -= o.mib % o.chunk_mib;
    make_chunks(d, &o);
    measure_all(d, root, &o);
    disk_close(d);
    buf_deinit(&why);
    remove_tree(root);
    return 0;
}
