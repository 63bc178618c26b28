/* child.c: a filter run as a child. */
#include "net/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"

extern char **environ;

static int open_pipe(int p[2], struct mm_err *e)
{
    if (pipe(p) < 0) {
        p[0] = p[1] = -1;
        return mm_err_set(e, MM_EIO, "pipe:");
    }
    if (fcntl(p[0], F_SETFD, FD_CLOEXEC) < 0 || fcntl(p[1], F_SETFD, FD_CLOEXEC) < 0)
        return mm_err_set(e, MM_EIO, "pipe:");
    return 0;
}

static void shut(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int start(pid_t *pid, char *const argv[], const int in[2], const int out[2], struct mm_err *e)
{
    posix_spawn_file_actions_t act;
    int rc = posix_spawn_file_actions_init(&act);

    if (rc == 0) {
        rc = posix_spawn_file_actions_addopen(&act, 0, "/dev/null", O_RDONLY, 0);
        if (rc == 0)
            rc = posix_spawn_file_actions_adddup2(&act, out[1], 1);
        if (rc == 0)
            rc = posix_spawn_file_actions_adddup2(&act, in[0], 3);
        if (rc == 0)
            rc = posix_spawnp(pid, argv[0], &act, NULL, argv, environ);
        posix_spawn_file_actions_destroy(&act);
    }
    return rc == 0 ? 0 : mm_err_set(e, MM_EMISSING, "%s cannot be started: %s", argv[0], strerror(rc));
}

/* Writes the text; a child that ended early is told of by its status, not here. */
static int feed(int fd, const char *text, size_t n, struct mm_err *e)
{
    struct sigaction ignore = { .sa_handler = SIG_IGN }, old;
    struct mm_err mine = { 0 };
    int rc;

    sigaction(SIGPIPE, &ignore, &old);
    rc = mm_io_write(fd, text, n, &mine);
    sigaction(SIGPIPE, &old, NULL);
    return rc < 0 && mine.sys != EPIPE ? mm_err_set(e, MM_EIO, "%s", mine.msg) : 0;
}

static int lines(int *fd, mm_child_line fn, void *user, struct mm_err *e)
{
    FILE *f = fdopen(*fd, "r");
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    int rc = 0;

    if (f == NULL)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    *fd = -1;
    while (rc == 0 && (n = getline(&line, &cap, f)) > 0)
        rc = fn(user, line, (size_t)n, e);
    free(line);
    fclose(f);
    return rc;
}

int mm_child_run(char *const argv[], const char *text, size_t n, mm_child_line fn, void *user,
                 struct mm_err *e)
{
    int in[2] = { -1, -1 }, out[2] = { -1, -1 }, status = 0, rc;
    pid_t pid = -1;

    rc = open_pipe(in, e);
    if (rc == 0)
        rc = open_pipe(out, e);
    if (rc == 0)
        rc = start(&pid, argv, in, out, e);
    const bool started = rc == 0;
    shut(&in[0]);
    shut(&out[1]);
    if (started) {
        rc = feed(in[1], text, n, e);
        shut(&in[1]);
        if (rc == 0)
            rc = lines(&out[0], fn, user, e);
    }
    shut(&in[1]);
    shut(&out[0]);
    while (started && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (rc < 0)
        return rc;
    if (WIFSIGNALED(status))
        return mm_err_set(e, MM_EIO, "%s was killed by signal %d", argv[0], WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
        return mm_err_set(e, WEXITSTATUS(status) == 66 ? MM_ENOENT : MM_EMISSING, "%s ended with status %d",
                          argv[0], WEXITSTATUS(status));
    return 0;
}
