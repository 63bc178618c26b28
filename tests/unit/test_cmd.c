/* test_cmd.c: how a program ends: status, message, temporaries, signals.  Each case
 * is a child process.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cmd.h"
#include "base/io.h"
#include "base/outfile.h"
#include "base/progress.h"

static char dir[] = "/tmp/test_cmd.XXXXXX";

typedef int child_fn(struct mm_cmd *c);

static int ends_well(struct mm_cmd *c)
{
    printf("result\n");
    return mm_cmd_finish(c);
}

static int bad_data(struct mm_cmd *c)
{
    mm_err_set(&c->err, MM_EDATA, "file: why");
    return mm_cmd_finish(c);
}

static int closed_stdout(struct mm_cmd *c)
{
    close(1);
    mm_cmd_init(c, "/bin/mm-test", "mm-test", NULL);
    return 0;
}

static int closed_stdin(struct mm_cmd *c)
{
    char b;
    size_t got;

    close(0);
    mm_cmd_init(c, "/bin/mm-test", "mm-test", NULL);
    if (open("/dev/null", O_RDONLY) < 3) /* the number must not be handed out again */
        return 1;
    return mm_io_read(0, &b, 1, &got, &c->err) == MM_EIO ? mm_cmd_finish(c) : 1;
}

static int full_disk(struct mm_cmd *c)
{
    const int fd = open("/dev/full", O_WRONLY);

    dup2(fd, 1);
    printf("result\n");
    return mm_cmd_finish(c);
}

static void open_temporary(struct mm_cmd *c)
{
    static struct mm_outfile *f; /* reachable to the end: no leak */

    if (mm_outfile_open(&f, "out", &c->err) < 0)
        mm_cmd_fail(c);
    fputs("half", mm_outfile_fp(f));
    fflush(mm_outfile_fp(f));
}

static int terminated(struct mm_cmd *c)
{
    open_temporary(c);
    raise(SIGTERM);
    return 1;
}

static int reader_left(struct mm_cmd *c)
{
    int fd[2];

    open_temporary(c);
    if (pipe(fd) < 0)
        return 1;
    close(fd[0]);
    if (mm_io_write(fd[1], "x", 1, &c->err) == 0)
        return 1;
    return mm_cmd_finish(c);
}

static int reader_left_ignored(struct mm_cmd *c)
{
    signal(SIGPIPE, SIG_IGN);
    return reader_left(c);
}

static int bug(struct mm_cmd *c)
{
    open_temporary(c);
    assert(c == NULL);
    return 1;
}

static int shrunk_map(struct mm_cmd *c)
{
    struct mm_map m;
    const int fd = open("shrinks", O_RDWR | O_CREAT, 0600);
    int rc;

    open_temporary(c);
    if (fd < 0 || ftruncate(fd, 100000) < 0 || mm_map_open(&m, "shrinks", 0, &c->err) < 0)
        return 1;
    unlink("shrinks");
    if (ftruncate(fd, 0) < 0)
        return 1;
    rc = m.data[50000]; /* SIGBUS */
    return rc == 0;
}

static int fails(struct mm_cmd *c)
{
    open_temporary(c);
    mm_err_set(&c->err, MM_ENOMEM, "out of memory");
    mm_cmd_fail(c);
}

static int bad_integer(struct mm_cmd *c)
{
    return mm_opt_int(c, "-n", "12x", 0, 100) == 12;
}

static int large_integer(struct mm_cmd *c)
{
    return mm_opt_int(c, "-n", "101", 0, 100) == 101;
}

static int bad_double(struct mm_cmd *c)
{
    return mm_opt_double(c, "-t", "nan", 0.0, 1.0) > 0.0;
}

static int bad_word(struct mm_cmd *c)
{
    static const char *const words[] = { "one", "two", NULL };

    return mm_opt_word(c, "--mode", "three", words);
}

static int sizes(struct mm_cmd *c)
{
    if (mm_opt_size(c, "-m", "3K", SIZE_MAX) != 3072
        || mm_opt_size(c, "-m", "2G", SIZE_MAX) != (size_t)2 << 30
        || mm_opt_size(c, "-m", "77", SIZE_MAX) != 77)
        return 1;
    return (int)mm_opt_size(c, "-m", "99999999999999G", SIZE_MAX);
}

static int quiet_progress(struct mm_cmd *c)
{
    struct mm_progress p;

    mm_progress_start(&p, c, "work", 10); /* standard error is no terminal */
    mm_progress_step(&p, 5);
    mm_progress_end(&p);
    mm_cmd_info(c, "only with -v");
    return mm_cmd_finish(c);
}

/* Runs fn in a child whose standard error is caught in text[size]; its wait status. */
static int run(child_fn *fn, char *text, size_t size)
{
    int fd[2], status;
    size_t got;
    pid_t pid;

    assert_int_equal(pipe(fd), 0);
    fflush(stdout);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct mm_cmd c;
        const int null = open("/dev/null", O_WRONLY);

        dup2(fd[1], 2);
        dup2(null, 1);
        close(fd[0]);
        close(fd[1]);
        close(null);
        mm_cmd_init(&c, "/bin/mm-test", "mm-test [-q]", NULL);
        _exit(fn(&c));
    }
    close(fd[1]);
    if (mm_io_read(fd[0], text, size - 1, &got, NULL) == MM_EIO)
        got = 0;
    text[got] = '\0';
    close(fd[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void test_endings(void **state)
{
    static const struct {
        const char *name;
        child_fn *fn;
        int status; /* negative: died of this signal */
        const char *message; /* a part of it; NULL: silence */
    } cases[] = {
        { "ends well", ends_well, 0, NULL },
        { "bad data", bad_data, 65, "mm-test: file: why\n" },
        { "closed stdout", closed_stdout, 74, "mm-test: standard output: " },
        { "closed stdin", closed_stdin, 74, "mm-test: read: " },
        { "full disk", full_disk, 74, "mm-test: standard output: No space left on device\n" },
        { "terminated", terminated, -SIGTERM, NULL },
        { "reader left", reader_left, -SIGPIPE, NULL },
        { "reader left, ignored", reader_left_ignored, -SIGPIPE, NULL },
        { "bug", bug, 70, "c == NULL" },
        { "shrunk map", shrunk_map, 74, "mapped file" },
        { "fails", fails, 70, "mm-test: out of memory\n" },
        { "bad integer", bad_integer, 64,
          "mm-test: -n: '12x' is not an integer\nusage: mm-test [-q]\n" },
        { "large integer", large_integer, 64, "-n: 101 is not between 0 and 100" },
        { "bad double", bad_double, 64, "-t: 'nan' is not a number" },
        { "bad word", bad_word, 64, "--mode: 'three' is none of: one two" },
        { "sizes", sizes, 64, "is not between 1 and" },
        { "progress", quiet_progress, 0, NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[2000];
        const int status = run(cases[i].fn, text, sizeof(text));
        const int got = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
        DIR *d;

        if (got != cases[i].status)
            fail_msg("%s: status %d: %s", cases[i].name, got, text);
        if (cases[i].message == NULL ? text[0] != '\0' : strstr(text, cases[i].message) == NULL)
            fail_msg("%s: message '%s'", cases[i].name, text);
        d = opendir(".");
        assert_non_null(d);
        for (struct dirent *de; (de = readdir(d)) != NULL;)
            if (de->d_name[0] != '.')
                fail_msg("%s: leaves %s", cases[i].name, de->d_name);
        closedir(d);
    }
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(dir) != NULL && chdir(dir) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return chdir("/") == 0 && rmdir(dir) == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_endings) };

    return cmocka_run_group_tests(tests, setup, teardown);
}
