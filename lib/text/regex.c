/* regex.c: see regex.h.  The bound on steps makes a hostile pattern an error. */
#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unictype.h>

#include "base/buf.h"
#include "text/unicode.h"

#define MATCH_LIMIT 50000000u /* steps; a megabyte of spaces needs some millions */
#define DEPTH_LIMIT 1000000u
#define HEAP_LIMIT (256u << 10) /* KiB */
#define JIT_STACK (8u << 20)

#define SPACE "\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}" \
    "\\x{202f}\\x{205f}\\x{3000}"
#define NOSPACE "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}" \
    "\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}" \
    "\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}"
#define CIRCLED "\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}" \
    "\\x{1f170}-\\x{1f189}"
#define ALPHA "\\p{Alphabetic}"
#define WORD "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}" CIRCLED
#define LATIN1_NUMBERS "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}" /* of Oniguruma's \w outside classes */

struct mm_regex {
    pcre2_code *code;
};

struct mm_regex_run {
    const struct mm_regex *r;
    pcre2_match_data *data;
    pcre2_match_context *ctx;
    pcre2_jit_stack *stack; /* made when the machine's is too small */
};

/* A pattern on its way from Oniguruma's words to PCRE2's. */
struct translation {
    struct mm_buf out;
    const char *p, *end;
    int depth; /* of classes: "[a[bc]]" is "[abc]" */
    const char *wrong; /* what cannot be said, or NULL */
};

/* The replacement of the escape \c, or NULL. */
static const char *escape_class(char c, bool in_class)
{
    switch (c) {
    case 's': return in_class ? SPACE : "[" SPACE "]";
    case 'S': return in_class ? NOSPACE : "[^" SPACE "]";
    case 'w': return in_class ? WORD : "[" WORD LATIN1_NUMBERS "]";
    case 'W': return in_class ? NULL : "[^" WORD LATIN1_NUMBERS "]";
    case 'h': return in_class ? "0-9a-fA-F" : "[0-9a-fA-F]";
    default: return NULL;
    }
}

/* \p{Han} is the script alone; PCRE2 takes its extensions too unless told. */
static void property(struct translation *t)
{
    const char *open = t->p + 1;
    const char *close = open < t->end ? memchr(open, '}', (size_t)(t->end - open)) : NULL;
    char name[64];
    size_t n;

    mm_buf_char(&t->out, '\\');
    mm_buf_char(&t->out, *t->p);
    if (!close || *open != '{')
        return;
    open++;
    n = (size_t)(close - open);
    mm_buf_char(&t->out, '{');
    if (n > 0 && *open == '^') {
        mm_buf_char(&t->out, '^');
        open++;
        n--;
    }
    if (n < sizeof(name)) {
        memcpy(name, open, n);
        name[n] = '\0';
        if (uc_script_byname(name))
            mm_buf_str(&t->out, "sc:");
    }
    mm_buf_add(&t->out, open, n);
    mm_buf_char(&t->out, '}');
    t->p = close;
}

/* \\W inside a class: all that is no word character, range by range. */
static void other_ranges(struct mm_buf *out)
{
    uint32_t from = 0;

    for (uint32_t c = 0; c <= 0x110000; c++) {
        const bool word = c == 0x110000 || (c >= 0xd800 && c < 0xe000) || mm_uc_old_word(c);
        if (!word)
            continue;
        if (c > from)
            mm_buf_printf(out, "\\x{%x}-\\x{%x}", (unsigned)from, (unsigned)c - 1);
        from = c + 1;
    }
}

static void escape(struct translation *t)
{
    const char c = *++t->p;
    const char *class = escape_class(c, t->depth > 0);

    if (class) {
        mm_buf_str(&t->out, class);
    } else if (c == 'p' || c == 'P') {
        property(t);
    } else if (c == 'W' && t->depth > 0) {
        other_ranges(&t->out);
    } else {
        mm_buf_char(&t->out, '\\');
        mm_buf_char(&t->out, c);
    }
}

/* [:punct:] and its like, at "[:"; false if it is none. */
static bool posix_class(struct translation *t)
{
    static const char *const names[][2] = {
        { "[:punct:]", "\\p{P}" }, { "[:space:]", SPACE },        { "[:word:]", WORD },
        { "[:alpha:]", ALPHA },    { "[:alnum:]", ALPHA "\\p{Nd}" }, { "[:digit:]", "\\p{Nd}" },
        { "[:xdigit:]", "0-9a-fA-F" }, { "[:cntrl:]", "\\p{Cc}" }
    };
    const size_t left = (size_t)(t->end - t->p);

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const size_t n = strlen(names[i][0]);
        if (left >= n && memcmp(t->p, names[i][0], n) == 0) {
            mm_buf_str(&t->out, names[i][1]);
            t->p += n - 1;
            return true;
        }
    }
    const char *close = left > 2 && t->p[1] == ':' ? memchr(t->p, ']', left) : NULL;
    if (!close || close[-1] != ':')
        return false;
    mm_buf_add(&t->out, t->p, (size_t)(close - t->p) + 1);
    t->p = close;
    return true;
}

static void open_class(struct translation *t)
{
    if (t->depth > 0 && posix_class(t))
        return;
    t->depth++;
    if (t->depth > 1) {
        if (t->p + 1 < t->end && t->p[1] == '^')
            t->wrong = "a negated class in a class";
        return;
    }
    mm_buf_char(&t->out, '[');
    if (t->p + 1 < t->end && t->p[1] == '^')
        mm_buf_char(&t->out, *++t->p);
    if (t->p + 1 < t->end && t->p[1] == ']') { /* the first is a character */
        mm_buf_str(&t->out, "\\]");
        t->p++;
    }
}

static void close_class(struct translation *t)
{
    if (t->depth <= 1)
        mm_buf_char(&t->out, ']');
    t->depth -= t->depth > 0;
}

static void translate(struct translation *t)
{
    for (; t->p < t->end; t->p++) {
        if (*t->p == '\\' && t->p + 1 < t->end)
            escape(t);
        else if (*t->p == '[')
            open_class(t);
        else if (*t->p == ']')
            close_class(t);
        else
            mm_buf_char(&t->out, *t->p);
        if (t->depth > 0 && *t->p == '&' && t->p + 1 < t->end && t->p[1] == '&')
            t->wrong = "an intersection of classes";
    }
    mm_buf_char(&t->out, '\0');
}

int mm_regex_new(struct mm_regex **out, const char *pattern, size_t n, struct mm_err *e)
{
    struct mm_regex *r = calloc(1, sizeof(*r));
    struct translation t = { .p = pattern, .end = pattern + n };
    int code;
    PCRE2_SIZE at;

    translate(&t);
    if (!r || t.out.failed || t.wrong) {
        free(r);
        mm_buf_free(&t.out);
        return t.wrong ? mm_err_set(e, MM_EMISSING, "pattern '%.*s': %s is not supported",
                                    (int)(n < 200 ? n : 200), pattern, t.wrong) :
            mm_err_set(e, MM_ENOMEM, "out of memory");
    }
    /* (*NUL) and the like at the start would change the limits: not taken. */
    r->code = strncmp(t.out.p, "(*", 2) == 0 ? NULL :
        pcre2_compile((PCRE2_SPTR)t.out.p, t.out.n - 1,
                      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &code, &at,
                      NULL);
    mm_buf_free(&t.out);
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
