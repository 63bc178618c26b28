/* nomem.h: an operation repeated with its n-th allocation failing, for every n.
 *
 * The program is linked with --wrap for the functions below (see the Makefile), so
 * the calls of libmm.a are counted and refused here; those inside shared libraries
 * are not.  An operation gives a code and a digest of its result:
 *
 *   clean run -> 0, digest, N allocations
 *   n = 1..N: MM_ENOMEM with a message, or success with the same digest
 *   clean run -> 0 and the same digest
 *
 * Under the sanitizers what an operation leaves behind is a leak.
 */
#ifndef TESTS_NOMEM_H
#define TESTS_NOMEM_H

#include <errno.h>
#include <execinfo.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/rng.h"

#ifdef __SANITIZE_ADDRESS__
int __lsan_do_recoverable_leak_check(void);
#define nomem_leaks() __lsan_do_recoverable_leak_check()
#else
#define nomem_leaks() 0
#endif

static struct {
    size_t count;   /* allocations since armed */
    size_t fail_at; /* this one fails; 0: none */
    void *stack[8]; /* who asked for it */
    int depth;
    size_t bad;     /* failures of this test not answered with MM_ENOMEM */
} nomem;

static int nomem_refuse(void)
{
    if (++nomem.count != nomem.fail_at)
        return 0;
    nomem.depth = backtrace(nomem.stack, 8);
    errno = ENOMEM;
    return 1;
}

/* The linker resolves FN to __wrap_FN and __real_FN to the C library's. */
#define NOMEM_WRAP(type, fn, fails, params, args) \
    type __real_##fn params; \
    type __wrap_##fn params; \
    type __wrap_##fn params \
    { \
        return nomem_refuse() ? fails : __real_##fn args; \
    }
NOMEM_WRAP(void *, malloc, NULL, (size_t n), (n))
NOMEM_WRAP(void *, calloc, NULL, (size_t n, size_t size), (n, size))
NOMEM_WRAP(void *, realloc, NULL, (void *p, size_t n), (p, n))
NOMEM_WRAP(void *, aligned_alloc, NULL, (size_t align, size_t n), (align, n))
NOMEM_WRAP(char *, strdup, NULL, (const char *s), (s))
NOMEM_WRAP(char *, strndup, NULL, (const char *s, size_t n), (s, n))
NOMEM_WRAP(FILE *, fdopen, NULL, (int fd, const char *mode), (fd, mode))
NOMEM_WRAP(void *, mmap, MAP_FAILED, (void *at, size_t n, int prot, int flags, int fd, off_t off),
           (at, n, prot, flags, fd, off))

/* An operation: 0 or a negative code with *e filled; mixes its result into *sum. */
typedef int nomem_op(void *arg, struct mm_err *e, uint64_t *sum);

static int nomem_try(nomem_op *op, void *arg, size_t fail_at, struct mm_err *e, uint64_t *sum)
{
    *e = (struct mm_err){ 0 };
    *sum = 0;
    nomem.count = 0;
    nomem.depth = 0;
    nomem.fail_at = fail_at;
    const int rc = op(arg, e, sum);
    nomem.fail_at = 0;
    return rc;
}

/* nomem_run: the first `most` allocations, then about as many of the others, spread evenly. */
static void nomem_run(const char *name, nomem_op *op, void *arg, size_t most)
{
    struct mm_err e;
    uint64_t want;
    uint64_t sum;
    size_t bad = 0;
    size_t borne = 0;
    size_t tried = 0;

    if (nomem_try(op, arg, 0, &e, &want) < 0)
        fail_msg("%s: %s", name, e.msg);
    const size_t all = nomem.count;
    const size_t step = all / most + 1;
    assert_true(all > 0);
    for (size_t n = 1; n <= all; n += n < most ? 1 : step) {
        const int rc = nomem_try(op, arg, n, &e, &sum);
        const int kept = rc == 0 && sum == want;

        tried++;
        borne += (size_t)kept;
        if (kept || (rc == MM_ENOMEM && e.code == rc && e.msg[0] != '\0'))
            continue;
        print_error("%s: allocation %zu: code %d, error %d '%s'%s; asked for by\n", name, n, rc,
                    e.code, e.msg, rc == 0 ? ", another result" : "");
        if (nomem.depth > 2) /* for addr2line */
            backtrace_symbols_fd(nomem.stack + 2, nomem.depth - 2, 2);
        bad++;
    }
    if (nomem_try(op, arg, 0, &e, &sum) < 0 || sum != want)
        fail_msg("%s: not as before after the failures: %s", name, e.msg);
    print_message("%s: %zu allocations, %zu failed, %zu of them borne, %zu wrong\n", name, all,
                  tried, borne, bad);
    nomem.bad += bad;
}

/* nomem_verdict: teardown of each test: was every failure answered rightly, and nothing lost? */
static int nomem_verdict(void **state)
{
    const size_t bad = nomem.bad;

    (void)state;
    nomem.bad = 0;
    return bad == 0 && !nomem_leaks() ? 0 : -1;
}

static inline void nomem_mix(uint64_t *sum, const void *p, size_t n)
{
    *sum = *sum * 1099511628211u + mm_hash64(p, n) + n;
}

/* --- what the operations share ------------------------------------------------ */

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static char tmp[] = "/tmp/test_nomem.XXXXXX";

/* The path of a golden file; good until the call after the next three. */
static inline const char *golden(const char *rel)
{
    static char buf[4][600];
    static unsigned turn;
    const char *dir = getenv("MM_GOLDEN");
    char *p = buf[turn++ % 4];

    snprintf(p, sizeof(buf[0]), "%s/%s", dir ? dir : "tests/golden", rel);
    return p;
}

static inline const char *scratch(const char *name)
{
    static char buf[4][600];
    static unsigned turn;
    char *p = buf[turn++ % 4];

    snprintf(p, sizeof(buf[0]), "%s/%s", tmp, name);
    return p;
}

/* Every operation that gets no code of its own from what it calls. */
static inline int nomem_err(struct mm_err *e)
{
    return mm_err_set(e, MM_ENOMEM, "out of memory");
}

/* The bytes of path into *sum; the file goes. */
static inline int mix_file(uint64_t *sum, const char *path)
{
    unsigned char buf[4096];
    FILE *f = fopen(path, "rb");
    size_t n;

    if (!f)
        return -1;
    while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
        nomem_mix(sum, buf, n);
    fclose(f);
    unlink(path);
    return 0;
}

/* Nothing may be left in it: outputs appear complete or not at all. */
static inline int nomem_setup(void **state)
{
    (void)state;
    return mkdtemp(tmp) ? 0 : -1;
}

static inline int nomem_teardown(void **state)
{
    (void)state;
    return rmdir(tmp);
}

#endif
