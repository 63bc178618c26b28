/* regex.c: see regex.h.  The bound on steps makes a hostile pattern an error. */
#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

#define MATCH_LIMIT 50000000u /* steps; a megabyte of spaces needs some millions */
#define DEPTH_LIMIT 1000000u
#define HEAP_LIMIT (256u << 10) /* KiB */
#define JIT_STACK (8u << 20)

#define SPACE "\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}" \
    "\\x{202f}\\x{205f}\\x{3000}"
#define NOSPACE "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}" \
    "\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}" \
    "\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}"
#define WORD "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}" \
    "\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}"

struct mm_regex {
    pcre2_code *code;
};

struct mm_regex_run {
    const struct mm_regex *r;
    pcre2_match_data *data;
    pcre2_match_context *ctx;
    pcre2_jit_stack *stack; /* made when the machine's is too small */
};

/* The replacement of the escape \c, or NULL. */
static const char *escape_class(char c, bool in_class)
{
    switch (c) {
    case 's': return in_class ? SPACE : "[" SPACE "]";
    case 'S': return in_class ? NOSPACE : "[^" SPACE "]";
    case 'w': return in_class ? WORD : "[" WORD "]";
    case 'W': return in_class ? NULL : "[^" WORD "]";
    case 'h': return in_class ? "0-9a-fA-F" : "[0-9a-fA-F]";
    default: return NULL;
    }
}

/* Oniguruma's pattern in PCRE2's words. */
static void translate(struct mm_buf *out, const char *p, size_t n)
{
    bool in_class = false;

    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\\' && i + 1 < n) {
            const char *class = escape_class(p[++i], in_class);
            if (class) {
                mm_buf_str(out, class);
            } else {
                mm_buf_char(out, '\\');
                mm_buf_char(out, p[i]);
            }
            continue;
        }
        if (p[i] == '[' && in_class && i + 1 < n && p[i + 1] == ':') {
            const char *end = memchr(p + i, ']', n - i); /* [:punct:] */
            const size_t len = end ? (size_t)(end - (p + i)) + 1 : 1;
            mm_buf_add(out, p + i, len);
            i += len - 1;
            continue;
        }
        if (p[i] == '[' && !in_class) {
            in_class = true;
            mm_buf_char(out, '[');
            if (i + 1 < n && p[i + 1] == '^')
                mm_buf_char(out, p[++i]);
            if (i + 1 < n && p[i + 1] == ']')
                mm_buf_char(out, p[++i]);
            continue;
        }
        if (p[i] == ']')
            in_class = false;
        mm_buf_char(out, p[i]);
    }
}

int mm_regex_new(struct mm_regex **out, const char *pattern, size_t n, struct mm_err *e)
{
    struct mm_regex *r = calloc(1, sizeof(*r));
    struct mm_buf b = { 0 };
    int code;
    PCRE2_SIZE at;

    translate(&b, pattern, n);
    mm_buf_char(&b, '\0');
    if (!r || b.failed) {
        free(r);
        mm_buf_free(&b);
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    }
    /* (*NUL) and the like at the start would change the limits: not taken. */
    r->code = strncmp(b.p, "(*", 2) == 0 ? NULL :
        pcre2_compile((PCRE2_SPTR)b.p, b.n - 1,
                      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &code, &at,
                      NULL);
    mm_buf_free(&b);
    if (!r->code) {
        free(r);
        return mm_err_set(e, MM_EDATA, "pattern '%.*s' cannot be compiled",
                          (int)(n < 200 ? n : 200), pattern);
    }
    pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE); /* matching works without it */
    *out = r;
    return 0;
}

void mm_regex_free(struct mm_regex *r)
{
    if (!r)
        return;
    pcre2_code_free(r->code);
    free(r);
}

int mm_regex_start(struct mm_regex_run **out, const struct mm_regex *r, struct mm_err *e)
{
    struct mm_regex_run *run = calloc(1, sizeof(*run));

    if (run) {
        run->r = r;
        run->data = pcre2_match_data_create(1, NULL);
        run->ctx = pcre2_match_context_create(NULL);
    }
    if (!run || !run->data || !run->ctx) {
        mm_regex_end(run);
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    }
    pcre2_set_match_limit(run->ctx, MATCH_LIMIT);
    pcre2_set_depth_limit(run->ctx, DEPTH_LIMIT);
    pcre2_set_heap_limit(run->ctx, HEAP_LIMIT);
    *out = run;
    return 0;
}

void mm_regex_end(struct mm_regex_run *run)
{
    if (!run)
        return;
    pcre2_match_data_free(run->data);
    pcre2_match_context_free(run->ctx);
    pcre2_jit_stack_free(run->stack);
    free(run);
}

int mm_regex_find(struct mm_regex_run *run, const char *s, size_t n, size_t from, size_t *ms,
                  size_t *me, struct mm_err *e)
{
    for (;;) {
        const int rc = pcre2_match(run->r->code, (PCRE2_SPTR)s, n, from, PCRE2_NO_UTF_CHECK,
                                   run->data, run->ctx);
        if (rc == PCRE2_ERROR_NOMATCH)
            return 0;
        if (rc == PCRE2_ERROR_JIT_STACKLIMIT && !run->stack) {
            run->stack = pcre2_jit_stack_create(32 << 10, JIT_STACK, NULL);
            pcre2_jit_stack_assign(run->ctx, NULL, run->stack);
            if (run->stack)
                continue;
        }
        if (rc == PCRE2_ERROR_NOMEMORY)
            return mm_err_set(e, MM_ENOMEM, "out of memory");
        if (rc < 0)
            return mm_err_set(e, MM_EDATA, "pattern needs too many steps at byte %zu", from);
        const PCRE2_SIZE *v = pcre2_get_ovector_pointer(run->data);
        *ms = v[0];
        *me = v[1] < v[0] ? v[0] : v[1]; /* \K in a lookahead */
        return 1;
    }
}
