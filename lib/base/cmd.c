/* cmd.c: what every program repeats: common options, messages, exit status. */
#include "base/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/outfile.h"
#include "base/pool.h"

static void on_signal(int sig)
{
    mm_outfile_cleanup();
    signal(sig, SIG_DFL);
    raise(sig); /* delivered when the handler returns */
}

static void on_bus(int sig)
{
    static const char msg[] = "input/output error in a mapped file\n";

    (void)sig;
    mm_outfile_cleanup();
    if (mm_io_write(2, msg, sizeof(msg) - 1, NULL) < 0)
        _exit(74); /* nobody listens: the status tells */
    _exit(74);
}

/* A failed assertion: libc has printed it. */
static void on_abort(int sig)
{
    (void)sig;
    mm_outfile_cleanup();
    _exit(70);
}

static void handle(int sig, void (*fn)(int))
{
    struct sigaction sa, old;

    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = fn;
    sigemptyset(&sa.sa_mask);
    if (sigaction(sig, NULL, &old) == 0 && old.sa_handler == SIG_IGN)
        return; /* nohup, or a parent that wants EPIPE */
    sigaction(sig, &sa, NULL);
}

/* Returns false if standard output was closed. */
static bool open_std_fds(void)
{
    bool out = true;

    /* a descriptor that cannot be used keeps the number from being reused:
     * reading from it, or writing to it, fails as it should */
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        if (open("/dev/null", fd == 0 ? O_WRONLY : O_RDWR) != fd)
            return false;
        if (fd == 1)
            out = false;
    }
    return out;
}

void mm_cmd_init(struct mm_cmd *c, const char *argv0, const char *usage, const char *help)
{
    const char *slash = argv0 != NULL ? strrchr(argv0, '/') : NULL;

    memset(c, 0, sizeof(*c));
    c->prog = slash != NULL ? slash + 1 : argv0 != NULL ? argv0 : "mm";
    c->usage = usage;
    c->help = help;
    c->threads = mm_pool_cpus();
    setlocale(LC_MESSAGES, "");
    setlocale(LC_CTYPE, "");
    if (!open_std_fds()) {
        fprintf(stderr, "%s: standard output: %s\n", c->prog, strerror(EBADF));
        exit(74);
    }
    handle(SIGINT, on_signal);
    handle(SIGTERM, on_signal);
    handle(SIGHUP, on_signal);
    handle(SIGPIPE, on_signal);
    handle(SIGBUS, on_bus);
    handle(SIGABRT, on_abort);
}

void mm_cmd_common(struct mm_cmd *c, int opt, const char *arg)
{
    switch (opt) {
    case 'q':
        c->quiet = true;
        return;
    case 'v':
        c->verbose++;
        return;
    case 'j':
        c->threads = (int)mm_opt_int(c, "-j", arg, 1, 1024);
        return;
    case 's':
        c->seed = (uint64_t)mm_opt_int(c, "-s", arg, 0, INT64_MAX);
        return;
    case 'h':
        printf("usage: %s\n%s", c->usage, c->help != NULL ? c->help : "");
        exit(mm_cmd_finish(c));
    case MM_OPT_VERSION:
        printf("%s %s\n", c->prog, MM_VERSION);
        exit(mm_cmd_finish(c));
    default: /* getopt has said what is wrong */
        fprintf(stderr, "usage: %s\n", c->usage);
        exit(64);
    }
}

double mm_opt_double(struct mm_cmd *c, const char *opt, const char *arg, double lo, double hi)
{
    char *end;
    const double v = strtod(arg, &end);

    if (end == arg || *end != '\0' || isnan(v))
        mm_cmd_usage(c, "%s: '%s' is not a number", opt, arg);
    if (v < lo || v > hi)
        mm_cmd_usage(c, "%s: %s is not between %g and %g", opt, arg, lo, hi);
    return v;
}

int64_t mm_opt_int(struct mm_cmd *c, const char *opt, const char *arg, int64_t lo, int64_t hi)
{
    char *end;
    long long v;

    errno = 0;
    v = strtoll(arg, &end, 10);
    if (end == arg || *end != '\0')
        mm_cmd_usage(c, "%s: '%s' is not an integer", opt, arg);
    if (errno == ERANGE || v < lo || v > hi)
        mm_cmd_usage(c, "%s: %s is not between %lld and %lld", opt, arg, (long long)lo,
                     (long long)hi);
    return v;
}

size_t mm_opt_size(struct mm_cmd *c, const char *opt, const char *arg, size_t hi)
{
    static const char suffix[] = "KMG";
    char *end;
    unsigned long long v;
    unsigned shift = 0;

    errno = 0;
    v = strtoull(arg, &end, 10);
    if (end == arg || strchr(arg, '-') != NULL)
        mm_cmd_usage(c, "%s: '%s' is not a size", opt, arg);
    if (*end != '\0') {
        const char *s = strchr(suffix, *end);

        if (s == NULL || end[1] != '\0')
            mm_cmd_usage(c, "%s: '%s' is not a size (suffixes are K, M, G)", opt, arg);
        shift = 10 * (unsigned)(s - suffix + 1);
    }
    if (errno == ERANGE || v == 0 || v > (hi >> shift))
        mm_cmd_usage(c, "%s: %s is not between 1 and %zu bytes", opt, arg, hi);
    return (size_t)v << shift;
}

int mm_opt_word(struct mm_cmd *c, const char *opt, const char *arg, const char *const *words)
{
    char list[400] = "";
    size_t n = 0;

    for (int i = 0; words[i] != NULL; i++) {
        if (strcmp(arg, words[i]) == 0)
            return i;
        if (n < sizeof(list))
            n += (size_t)snprintf(list + n, sizeof(list) - n, " %s", words[i]);
    }
    mm_cmd_usage(c, "%s: '%s' is none of:%s", opt, arg, list);
}

static void print(const struct mm_cmd *c, const char *fmt, va_list ap) MM_PRINTF(2, 0);

/* One line: what came from outside must not forge a second one. */
static void print(const struct mm_cmd *c, const char *fmt, va_list ap)
{
    char line[1200];

    vsnprintf(line, sizeof(line), fmt, ap);
    for (char *p = line; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7F)
            *p = '?';
    fprintf(stderr, "%s: %s\n", c->prog, line);
}

void mm_cmd_usage(struct mm_cmd *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    print(c, fmt, ap);
    va_end(ap);
    fprintf(stderr, "usage: %s\n", c->usage);
    mm_outfile_cleanup();
    exit(64);
}

void mm_cmd_warn(const struct mm_cmd *c, const char *fmt, ...)
{
    va_list ap;

    if (c->quiet)
        return;
    va_start(ap, fmt);
    print(c, fmt, ap);
    va_end(ap);
}

void mm_cmd_info(const struct mm_cmd *c, const char *fmt, ...)
{
    va_list ap;

    if (c->quiet || c->verbose == 0)
        return;
    va_start(ap, fmt);
    print(c, fmt, ap);
    va_end(ap);
}

/* Prints c->err; a closed pipe ends the program as SIGPIPE would, in silence. */
static void report(const struct mm_cmd *c)
{
    if (c->err.code == MM_EIO && c->err.sys == EPIPE) {
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
    }
    fprintf(stderr, "%s: %s\n", c->prog, c->err.msg[0] != '\0' ? c->err.msg : "internal error");
}

void mm_cmd_info_lines(const struct mm_cmd *c, const char *text)
{
    while (text && *text) {
        const size_t n = strcspn(text, "\n");

        mm_cmd_info(c, "%.*s", (int)n, text);
        text += n + (text[n] == '\n');
    }
}

void mm_cmd_fail(struct mm_cmd *c)
{
    if (c->err.code == MM_OK)
        mm_err_set(&c->err, MM_EBUG, "failed without a reason");
    exit(mm_cmd_finish(c));
}

int mm_cmd_finish(struct mm_cmd *c)
{
    const bool bad = ferror(stdout) != 0;

    errno = EIO;
    if (fflush(stdout) != 0 || bad || fclose(stdout) != 0)
        mm_err_set(&c->err, MM_EIO, "standard output:");
    if (c->err.code == MM_OK)
        return 0;
    mm_outfile_cleanup();
    report(c);
    return mm_err_status(c->err.code);
}
