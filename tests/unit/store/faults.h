/* A disk that does as it is told: SQLite's own file layer, with syncs of the
 * log counted and writes refused on demand. The default from faults_install
 * on. */
#ifndef TESTS_STORE_FAULTS_H
#define TESTS_STORE_FAULTS_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

static atomic_uint faults_syncs;     /* of the write-ahead log */
static atomic_uint faults_refused;   /* writes */
static atomic_int faults_write_code; /* what every write answers; 0: it works */
static sqlite3_vfs *faults_real;
/* One kind of file: how it really works, and our way of it. */
struct faults_kind {
    const sqlite3_io_methods *real;
    sqlite3_io_methods ours;
};
static struct faults_kind faults_log, faults_main;
static pthread_mutex_t faults_lock = PTHREAD_MUTEX_INITIALIZER;

static int faults_write_to(const struct faults_kind *kind, sqlite3_file *file, const void *bytes,
                           int len, sqlite3_int64 at)
{
    int code = atomic_load(&faults_write_code);

    if (code == SQLITE_OK)
        return kind->real->xWrite(file, bytes, len, at);
    atomic_fetch_add(&faults_refused, 1);
    return code;
}

static int faults_write_log(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 at)
{
    return faults_write_to(&faults_log, file, bytes, len, at);
}

static int faults_write_main(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 at)
{
    return faults_write_to(&faults_main, file, bytes, len, at);
}

static int faults_sync_log(sqlite3_file *file, int flags)
{
    atomic_fetch_add(&faults_syncs, 1);
    return faults_log.real->xSync(file, flags);
}

/* All files of a kind have the same methods; known once one is open. */
static void faults_learn(struct faults_kind *kind, sqlite3_file *file)
{
    pthread_mutex_lock(&faults_lock);
    if (kind->real == NULL) {
        kind->real = file->pMethods;
        kind->ours = *file->pMethods;
        kind->ours.xWrite = kind == &faults_log ? faults_write_log : faults_write_main;
        if (kind == &faults_log)
            kind->ours.xSync = faults_sync_log;
    }
    pthread_mutex_unlock(&faults_lock);
    file->pMethods = &kind->ours;
}

static int faults_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags,
                       int *out_flags)
{
    (void)vfs;
    int rc = faults_real->xOpen(faults_real, name, file, flags, out_flags);
    if (rc == SQLITE_OK && flags & SQLITE_OPEN_WAL)
        faults_learn(&faults_log, file);
    else if (rc == SQLITE_OK && flags & SQLITE_OPEN_MAIN_DB)
        faults_learn(&faults_main, file);
    return rc;
}

static inline void faults_install(void)
{
    static sqlite3_vfs layer;

    faults_real = sqlite3_vfs_find(NULL);
    layer = *faults_real;
    layer.pNext = NULL;
    layer.zName = "faults";
    layer.xOpen = faults_open;
    sqlite3_vfs_register(&layer, 1);
}

static inline void faults_refuse(int code)
{
    atomic_store(&faults_write_code, code);
}

#endif
