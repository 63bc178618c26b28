/* bpe.c: symbols are a doubly linked list in an array, candidate pairs a binary
 * heap by (rank, position); stale candidates are recognised when they come up. */
#include "text/bpe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/size.h"
#include "base/utf8.h"

struct pair { /* of a merge, in an open-addressing hash */
    int32_t left, right; /* left -1: free */
    uint32_t rank;
    int32_t id;          /* what the two become */
};

struct mm_bpe {
    struct mm_bpe_conf c;
    char *prefix, *suffix;
    size_t nprefix, nsuffix;
    int32_t byte_id[256];
    size_t limit;        /* tokens added later, from this id on, are not the model's */
    struct pair *pair;
    size_t npair, used; /* npair is a power of two or 0 */
    uint32_t nrank;
};

struct sym {
    int32_t id; /* -1: merged into its left neighbour */
    int32_t prev, next;
};

struct cand {
    uint32_t rank;
    int32_t pos; /* left symbol */
    int32_t id;  /* what they become */
};

/* Working space of one word. */
struct work {
    struct sym *sym;
    size_t n;
    struct cand *heap;
    size_t nheap;
};

#define SHORT 64 /* words of up to so many symbols need no allocation */

int mm_bpe_new(struct mm_bpe **out, const struct mm_bpe_conf *c, struct mm_err *e)
{
    struct mm_bpe *b = calloc(1, sizeof(*b));

    if (!b)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    b->c = *c;
    b->nprefix = c->prefix ? strlen(c->prefix) : 0;
    b->nsuffix = c->suffix ? strlen(c->suffix) : 0;
    b->prefix = strdup(c->prefix ? c->prefix : "");
    b->suffix = strdup(c->suffix ? c->suffix : "");
    if (!b->prefix || !b->suffix) {
        mm_bpe_free(b);
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    }
    b->limit = c->vocab->n;
    for (unsigned i = 0; i < 256; i++) {
        char name[8];
        snprintf(name, sizeof(name), "<0x%02X>", i);
        b->byte_id[i] = mm_vocab_find(c->vocab, name, 6);
    }
    *out = b;
    return 0;
}

void mm_bpe_free(struct mm_bpe *b)
{
    if (!b)
        return;
    free(b->prefix);
    free(b->suffix);
    free(b->pair);
    free(b);
}

static int32_t find_token(const struct mm_bpe *b, const char *s, size_t n)
{
    const int32_t id = mm_vocab_find(b->c.vocab, s, n);

    return id >= 0 && (size_t)id < b->limit ? id : -1;
}

static size_t pair_slot(const struct mm_bpe *b, int32_t left, int32_t right)
{
    const size_t mask = b->npair - 1;
    const uint64_t both = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    const uint64_t key = both * 0x9e3779b97f4a7c15u;
    size_t i = (size_t)(key >> 32) & mask;

    while (b->pair[i].left >= 0 && (b->pair[i].left != left || b->pair[i].right != right))
        i = (i + 1) & mask;
    return i;
}

static const struct pair *find_pair(const struct mm_bpe *b, int32_t left, int32_t right)
{
    if (!b->npair)
        return NULL;
    const struct pair *p = &b->pair[pair_slot(b, left, right)];
    return p->left >= 0 ? p : NULL;
}

static bool grow_pairs(struct mm_bpe *b)
{
    struct pair *const old = b->pair;
    const size_t nold = b->npair, size = nold ? 2 * nold : 1024;
    struct pair *p = malloc(size * sizeof(*p));

    if (!p)
        return false;
    for (size_t i = 0; i < size; i++)
        p[i].left = -1;
    b->pair = p;
    b->npair = size;
    for (size_t i = 0; i < nold; i++)
        if (old[i].left >= 0)
            p[pair_slot(b, old[i].left, old[i].right)] = old[i];
    free(old);
    return true;
}

/* The id of left and right written together, the inner prefix left out. */
static int32_t joined(const struct mm_bpe *b, const char *left, size_t nleft, const char *right,
                      size_t nright)
{
    char stack[256];
    const size_t cut = b->nprefix <= nright ? b->nprefix : nright;
    const size_t n = nleft + nright - cut;
    char *s = n <= sizeof(stack) ? stack : malloc(n);

    if (!s)
        return -1;
    memcpy(s, left, nleft);
    memcpy(s + nleft, right + cut, nright - cut);
    const int32_t id = mm_vocab_find(b->c.vocab, s, n);
    if (s != stack)
        free(s);
    return id;
}

int mm_bpe_merge(struct mm_bpe *b, const char *left, size_t nleft, const char *right,
                 size_t nright, struct mm_err *e)
{
    const uint32_t rank = b->nrank++;
    struct pair p = { .rank = rank };

    if (nleft >= 65536 || nright >= 65536)
        return mm_err_set(e, MM_EDATA, "merge %u is too long", rank);
    p.left = mm_vocab_find(b->c.vocab, left, nleft);
    p.right = mm_vocab_find(b->c.vocab, right, nright);
    p.id = joined(b, left, nleft, right, nright);
    if (p.left < 0 || p.right < 0 || p.id < 0) {
        if (b->c.skip_unknown)
            return 0;
        return mm_err_set(e, MM_EDATA, "merge %u: '%.*s' + '%.*s': %s is not in the vocabulary",
                          rank, (int)(nleft < 100 ? nleft : 100), left,
                          (int)(nright < 100 ? nright : 100), right,
                          p.left < 0 ? "the left part" :
                          p.right < 0 ? "the right part" : "the sum");
    }
    if (2 * (b->used + 1) > b->npair && !grow_pairs(b))
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    struct pair *slot = &b->pair[pair_slot(b, p.left, p.right)];
    if (slot->left < 0)
        b->used++;
    *slot = p;
    return 0;
}

int mm_bpe_merge_line(struct mm_bpe *b, const char *s, size_t n, struct mm_err *e)
{
    const char *sp = n > 2 ? memchr(s + 1, ' ', n - 2) : NULL;

    if (!sp)
        return mm_err_set(e, MM_EDATA, "merge %u: '%.*s' has no two parts", b->nrank,
                          (int)(n < 100 ? n : 100), s);
    const size_t at = (size_t)(sp - s);
    return mm_bpe_merge(b, s, at, sp + 1, n - at - 1, e);
}

static bool cand_less(const struct cand *a, const struct cand *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->pos < b->pos;
}

static void heap_push(struct work *w, struct cand c)
{
    size_t i = w->nheap++;

    while (i > 0 && cand_less(&c, &w->heap[(i - 1) / 2])) {
        w->heap[i] = w->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->heap[i] = c;
}

static struct cand heap_pop(struct work *w)
{
    const struct cand top = w->heap[0];
    const struct cand last = w->heap[--w->nheap];
    size_t i = 0;

    for (;;) {
        size_t k = 2 * i + 1;
        if (k >= w->nheap)
            break;
        if (k + 1 < w->nheap && cand_less(&w->heap[k + 1], &w->heap[k]))
            k++;
        if (!cand_less(&w->heap[k], &last))
            break;
        w->heap[i] = w->heap[k];
        i = k;
    }
    w->heap[i] = last;
    return top;
}

static void push_pair(const struct mm_bpe *b, struct work *w, int32_t pos)
{
    if (pos < 0 || w->sym[pos].next < 0)
        return;
    const struct pair *p = find_pair(b, w->sym[pos].id, w->sym[w->sym[pos].next].id);
    if (p)
        heap_push(w, (struct cand){ .rank = p->rank, .pos = pos, .id = p->id });
}

static void merge_all(const struct mm_bpe *b, struct work *w)
{
    w->nheap = 0;
    for (size_t i = 0; i + 1 < w->n; i++)
        push_pair(b, w, (int32_t)i);
    while (w->nheap > 0) {
        const struct cand c = heap_pop(w);
        struct sym *const l = &w->sym[c.pos];
        if (l->id < 0 || l->next < 0)
            continue;
        struct sym *const r = &w->sym[l->next];
        const struct pair *p = find_pair(b, l->id, r->id);
        if (!p || p->id != c.id) /* the reference compares the product, not the rank */
            continue;
        l->id = c.id;
        r->id = -1;
        l->next = r->next;
        if (l->next >= 0)
            w->sym[l->next].prev = c.pos;
        push_pair(b, w, l->prev);
        push_pair(b, w, c.pos);
    }
}

static void add_sym(struct work *w, int32_t id)
{
    w->sym[w->n++].id = id;
}

/* The id of one character with what its place adds. */
static int32_t char_id(const struct mm_bpe *b, const char *s, size_t n, bool first, bool last)
{
    char stack[256];

    if ((first || !b->nprefix) && (!last || !b->nsuffix))
        return find_token(b, s, n);
    const size_t np = first ? 0 : b->nprefix, ns = last ? b->nsuffix : 0;
    if (np + n + ns > sizeof(stack))
        return -1;
    memcpy(stack, b->prefix, np);
    memcpy(stack + np, s, n);
    memcpy(stack + np + n, b->suffix, ns);
    return find_token(b, stack, np + n + ns);
}

static bool fall_back(const struct mm_bpe *b, struct work *w, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (b->byte_id[(unsigned char)s[i]] < 0)
            return false;
    for (size_t i = 0; i < n; i++)
        add_sym(w, b->byte_id[(unsigned char)s[i]]);
    return true;
}

/* One symbol per known character; a run of unknown ones waits in `unk` until a
 * known one comes (byte tokens do not end the wait: so does the reference). */
static void first_symbols(const struct mm_bpe *b, struct work *w, const char *s, size_t n)
{
    bool unk = false;

    for (size_t i = 0, len; i < n; i += len) {
        uint32_t c;
        len = mm_utf8_get(s + i, n - i, &c);
        len = len ? len : 1;
        const int32_t id = char_id(b, s + i, len, i == 0, i + len == n);
        if (id >= 0) {
            if (unk)
                add_sym(w, b->c.unk);
            unk = false;
            add_sym(w, id);
        } else if (b->c.byte_fallback && fall_back(b, w, s + i, len)) {
            continue;
        } else if (b->c.unk >= 0) {
            if (unk && !b->c.fuse_unk)
                add_sym(w, b->c.unk);
            unk = true;
        }
    }
    if (unk)
        add_sym(w, b->c.unk);
}

static int emit(struct mm_ids *ids, const struct work *w, struct mm_err *e)
{
    for (int32_t i = w->n ? 0 : -1; i >= 0; i = w->sym[i].next)
        if (mm_ids_add(ids, w->sym[i].id) < 0)
            return mm_err_set(e, MM_ENOMEM, "out of memory");
    return 0;
}

int mm_bpe_word(const struct mm_bpe *b, struct mm_ids *ids, const char *s, size_t n,
                struct mm_err *e)
{
    struct sym sym[SHORT];
    struct cand heap[3 * SHORT];
    struct work w = { .sym = sym, .heap = heap };
    int r;

    if (n == 0)
        return 0;
    if (b->c.ignore_merges) {
        const int32_t id = find_token(b, s, n);
        if (id >= 0)
            return mm_ids_add(ids, id) < 0 ? mm_err_set(e, MM_ENOMEM, "out of memory") : 0;
    }
    if (n >= INT32_MAX / 4)
        return mm_err_set(e, MM_EDATA, "text of %zu bytes is too long", n);
    if (n > SHORT) { /* at most one symbol a byte; each merge adds two candidates */
        w.sym = malloc(n * sizeof(*w.sym));
        w.heap = malloc(3 * n * sizeof(*w.heap));
    }
    if (!w.sym || !w.heap) {
        r = mm_err_set(e, MM_ENOMEM, "out of memory");
        goto out;
    }
    first_symbols(b, &w, s, n);
    for (size_t i = 0; i < w.n; i++) {
        w.sym[i].prev = (int32_t)i - 1;
        w.sym[i].next = i + 1 < w.n ? (int32_t)i + 1 : -1;
    }
    merge_all(b, &w);
    r = emit(ids, &w, e);
out:
    if (w.sym != sym)
        free(w.sym);
    if (w.heap != heap)
        free(w.heap);
    return r;
}
