/* cmd.h: what every program repeats: common options, messages, exit status.
 *
 * Only programs call this.  It prints, installs signal handlers and exits.
 */
#ifndef MM_BASE_CMD_H
#define MM_BASE_CMD_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct mm_cmd {
    const char *prog;   /* base name of argv[0] */
    const char *usage;  /* synopsis line */
    const char *help;   /* option text for --help, fits one screen; may be NULL */
    bool quiet;         /* -q */
    int verbose;        /* -v, counted */
    int threads;        /* -j; default: online processors */
    uint64_t seed;      /* -s; default 0 */
    struct mm_err err;  /* first error of the program */
};

/* Common short options, and long ones to put at the head of a longopts table. */
#define MM_COMMON_OPTS "qvj:s:h"
#define MM_COMMON_LONG \
    { "help", no_argument, NULL, 'h' }, \
    { "version", no_argument, NULL, MM_OPT_VERSION }, \
    { "quiet", no_argument, NULL, 'q' }, \
    { "verbose", no_argument, NULL, 'v' }, \
    { "threads", required_argument, NULL, 'j' }, \
    { "seed", required_argument, NULL, 's' }
enum { MM_OPT_VERSION = 1000, MM_OPT_FIRST = 1001 }; /* own long options from MM_OPT_FIRST */

/* mm_cmd_init: makes descriptors 0-2 valid (exit 74 when standard output is
 * closed), sets the locale for messages, removes temporaries on SIGINT,
 * SIGTERM and SIGHUP, turns SIGBUS (a mapped file that shrank) into exit 74. */
void mm_cmd_init(struct mm_cmd *c, const char *argv0, const char *usage, const char *help);

/* mm_cmd_common: handle a common option, or print the synopsis and exit 64. */
void mm_cmd_common(struct mm_cmd *c, int opt, const char *arg);

/* Checked numbers of an option (named in the message); exit 64 when wrong. */
double mm_opt_double(struct mm_cmd *c, const char *opt, const char *arg, double lo, double hi);
int64_t mm_opt_int(struct mm_cmd *c, const char *opt, const char *arg, int64_t lo, int64_t hi);

/* mm_opt_size: bytes, with an optional suffix K, M, G (powers of 1024); exit 64
 * when it is no such number or not in 1..hi. */
size_t mm_opt_size(struct mm_cmd *c, const char *opt, const char *arg, size_t hi);

/* mm_opt_word: index of arg among NULL-terminated words; exit 64, listing them. */
int mm_opt_word(struct mm_cmd *c, const char *opt, const char *arg, const char *const *words);

/* mm_cmd_usage: "prog: message", synopsis, exit 64. */
void mm_cmd_usage(struct mm_cmd *c, const char *fmt, ...) MM_PRINTF(2, 3)
    __attribute__((noreturn));

/* mm_cmd_warn: "prog: message" unless -q;  mm_cmd_info: only with -v. */
void mm_cmd_warn(const struct mm_cmd *c, const char *fmt, ...) MM_PRINTF(2, 3);
void mm_cmd_info(const struct mm_cmd *c, const char *fmt, ...) MM_PRINTF(2, 3);

/* mm_cmd_info_lines: mm_cmd_info of each line of text, which may be NULL. */
void mm_cmd_info_lines(const struct mm_cmd *c, const char *text);

/* mm_cmd_fail: print err (MM_EIO on a closed pipe dies quietly by SIGPIPE),
 * remove temporaries, exit with its status. */
void mm_cmd_fail(struct mm_cmd *c) __attribute__((noreturn));

/* mm_cmd_finish: flush and close standard output; print err if set; returns
 * the exit status for main. */
int mm_cmd_finish(struct mm_cmd *c);

#endif
