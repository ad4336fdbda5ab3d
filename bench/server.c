#include "server.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support.h"

static void run(const struct server *s, const char *program, unsigned threads, const char *engine)
{
    char address[32], count[16], data[96], log[96];

    snprintf(address, sizeof(address), "127.0.0.1:%u", s->port);
    snprintf(count, sizeof(count), "%u", threads);
    snprintf(data, sizeof(data), "%s/data", s->folder);
    snprintf(log, sizeof(log), "%s/log", s->folder);
    int fd = open(log, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || dup2(fd, STDERR_FILENO) < 0)
        die("%s", log);
    stay_on(SENDERS_CORE);
    execl(program, program, "serve", "--listen", address, "--data-dir", data, "--threads", count,
          "--log-level", "warn", engine != NULL ? "--engine" : (char *)NULL, engine, (char *)NULL);
    die("%s", program);
}

void server_start(struct server *s, const char *program, unsigned threads, const char *engine)
{
    *s = (struct server){ .folder = "/tmp/reelay-bench-XXXXXX" };
    if (mkdtemp(s->folder) == NULL)
        die("mkdtemp");
    close(listen_on(1, &s->port)); /* to learn of a free port */
    s->pid = fork_child();
    if (s->pid == 0)
        run(s, program, threads, engine);
    close(connect_to(1, s->port, 0));
}

void server_end(struct server *s)
{
    end_child(s->pid);
    remove_tree(s->folder);
}
