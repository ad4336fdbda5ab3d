/* A file as an answer's content: slices of sendfile(2) on worker threads,
 * because reading may wait for the disk, and in between the loop waits for the
 * socket. The worker holds the connection, so that the descriptor it writes to
 * cannot become somebody else's. */
#include <errno.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/conversation.h"

enum { SLICE_BYTES = 1024 * 1024 };

enum slice_end { SLICE_SENT, SLICE_BLOCKED, SLICE_FAILED };

struct file_answer {
    struct exchange *exchange;
    struct connection *connection; /* held while busy */
    int file, socket;
    off_t at;
    uint64_t left;
    uint64_t done; /* by the last slice */
    enum slice_end end;
    bool is_busy;
    bool is_blocked; /* the socket is to be waited for */
};

void file_answer_start(struct exchange *x, int fd, uint64_t first, uint64_t length)
{
    struct file_answer *f = mem_new(struct file_answer);

    f->exchange = x;
    f->file = fd;
    f->at = (off_t)first;
    f->left = length;
    x->file = f;
}

bool file_answer_is_busy(const struct exchange *x)
{
    return x->file != NULL && x->file->is_busy;
}

void file_answer_unblock(struct exchange *x)
{
    if (x->file != NULL)
        x->file->is_blocked = false;
}

void file_answer_free(struct exchange *x)
{
    if (x->file == NULL)
        return;
    close(x->file->file);
    mem_free(x->file);
    x->file = NULL;
}

/* On a worker thread: touches nothing but `f`. */
static void send_slice(void *context)
{
    struct file_answer *f = context;
    uint64_t most = f->left < SLICE_BYTES ? f->left : SLICE_BYTES;

    f->done = 0;
    f->end = SLICE_SENT;
    while (f->done < most) {
        ssize_t sent = sendfile(f->socket, f->file, &f->at, (size_t)(most - f->done));
        if (sent > 0) {
            f->done += (uint64_t)sent;
            continue;
        }
        if (sent < 0 && errno == EINTR)
            continue;
        /* 0: the file is shorter than it was when its length was promised. */
        f->end = sent < 0 && errno == EAGAIN ? SLICE_BLOCKED : SLICE_FAILED;
        return;
    }
}

static void slice_done(void *context)
{
    struct file_answer *f = context;
    struct exchange *x = f->exchange;
    struct connection *c = f->connection;

    f->is_busy = false;
    f->is_blocked = f->end == SLICE_BLOCKED;
    f->left -= f->done;
    x->has_progress = f->done > 0;
    if (f->end == SLICE_FAILED)
        connection_close(c);
    connection_release(c);
    conversation_run(x);
}

bool file_answer_write(struct exchange *x)
{
    struct file_answer *f = x->file;

    if (f->is_busy || f->is_blocked || x->connection->is_closing)
        return false;
    if (f->left == 0)
        return true;
    f->connection = x->connection;
    f->socket = x->connection->fd;
    f->is_busy = true;
    connection_hold(f->connection);
    io_offload(&x->thread->loop, send_slice, slice_done, f);
    return false;
}
