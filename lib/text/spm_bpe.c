/* spm_bpe.c: SentencePiece's BPE: the adjacent pair whose union has the best
 * score is merged first, the leftmost of equals.
 */
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "text/spm.h"

struct symbol {
    uint32_t at, n; /* bytes of the text; n = 0: merged away */
    int32_t prev, next;
    bool frozen;    /* user-defined: takes part in no merge */
};

struct pair {
    float score;
    int32_t left, right;
    uint32_t n; /* bytes of both: stale if it differs */
};

/* Where an UNUSED piece was put together: it is taken apart there again. */
struct split {
    int32_t id;
    uint32_t left_n;
};

struct bpe {
    const struct mm_tok *t;
    const struct mm_spm *m;
    const char *s;
    struct symbol *sym;
    size_t nsym, cap_sym;
    struct pair *heap;
    size_t nheap, cap_heap;
    struct split *split; /* open addressing by id, id -1 is free */
    size_t nsplit, used_split;
};

size_t mm_spm_char(const char *s, size_t n)
{
    static const unsigned char len[16] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4 };
    const size_t k = len[(unsigned char)s[0] >> 4];

    return k < n ? k : n;
}

int mm_spm_emit(const struct mm_spm *m, struct mm_ids *ids, int32_t id, const char *s, size_t n,
                bool *unk_before)
{
    const bool unk = id == m->unk;
    int rc = 0;

    if (unk && m->byte_fallback)
        for (size_t i = 0; i < n && rc == 0; i++) {
            const int32_t byte = m->byte_id[(unsigned char)s[i]];
            rc = mm_ids_add(ids, byte >= 0 ? byte : m->unk);
        }
    else if (!unk || !*unk_before) /* a run of unknowns is one */
        rc = mm_ids_add(ids, id);
    *unk_before = unk;
    return rc;
}

static bool before(const struct pair *a, const struct pair *b)
{
    return a->score > b->score || (a->score == b->score && a->left < b->left);
}

static bool push(struct bpe *b, struct pair p)
{
    if (!mm_grow(&b->heap, &b->cap_heap, b->nheap + 1, sizeof(*b->heap)))
        return false;
    size_t i = b->nheap++;
    for (; i > 0 && before(&p, &b->heap[(i - 1) / 2]); i = (i - 1) / 2)
        b->heap[i] = b->heap[(i - 1) / 2];
    b->heap[i] = p;
    return true;
}

static struct pair pop(struct bpe *b)
{
    const struct pair top = b->heap[0], last = b->heap[--b->nheap];
    size_t i = 0;

    for (size_t c; (c = 2 * i + 1) < b->nheap; i = c) {
        if (c + 1 < b->nheap && before(&b->heap[c + 1], &b->heap[c]))
            c++;
        if (!before(&b->heap[c], &last))
            break;
        b->heap[i] = b->heap[c];
    }
    b->heap[i] = last;
    return top;
}

static struct split *find_split(const struct bpe *b, int32_t id)
{
    const size_t mask = b->nsplit - 1;
    size_t i = (size_t)((uint32_t)id * 0x9E3779B1u) & mask;

    while (b->split[i].id >= 0 && b->split[i].id != id)
        i = (i + 1) & mask;
    return &b->split[i];
}

/* Remember the last way in which the pieces of an UNUSED one stood together. */
static bool note_split(struct bpe *b, int32_t id, uint32_t left_n)
{
    if (2 * (b->used_split + 1) > b->nsplit) {
        struct split *const old = b->split;
        const size_t nold = b->nsplit;
        b->nsplit = nold ? 2 * nold : 64;
        b->split = malloc(b->nsplit * sizeof(*b->split));
        if (!b->split) {
            b->split = old;
            b->nsplit = nold;
            return false;
        }
        for (size_t i = 0; i < b->nsplit; i++)
            b->split[i].id = -1;
        for (size_t i = 0; i < nold; i++)
            if (old[i].id >= 0)
                *find_split(b, old[i].id) = old[i];
        free(old);
    }
    struct split *const sp = find_split(b, id);
    b->used_split += sp->id < 0;
    *sp = (struct split){ id, left_n };
    return true;
}

/* Put left and right on the agenda if their union is a piece. */
static bool consider(struct bpe *b, int32_t left, int32_t right)
{
    if (left < 0 || right < 0 || b->sym[left].frozen || b->sym[right].frozen)
        return true;
    const struct symbol *const l = &b->sym[left];
    const uint32_t n = l->n + b->sym[right].n;
    const int32_t id = mm_vocab_find(&b->t->vocab, b->s + l->at, n);
    if (id < 0)
        return true;
    const struct mm_vpiece *const p = &b->t->vocab.v[id];
    if (p->type != MM_P_NORMAL && p->type != MM_P_USER && p->type != MM_P_UNUSED)
        return true;
    if (p->type == MM_P_UNUSED && !note_split(b, id, l->n))
        return false;
    return push(b, (struct pair){ .score = p->score, .left = left, .right = right, .n = n });
}

static bool cut_symbols(struct bpe *b, size_t n)
{
    for (size_t at = 0; at < n;) {
        int32_t id;
        size_t k = mm_trie_longest(b->m->user, b->s + at, n - at, &id);
        const bool frozen = k > 0;
        if (!frozen)
            k = mm_spm_char(b->s + at, n - at);
        if (!mm_grow(&b->sym, &b->cap_sym, b->nsym + 1, sizeof(*b->sym)))
            return false;
        b->sym[b->nsym] = (struct symbol){
            .at = (uint32_t)at, .n = (uint32_t)k, .frozen = frozen,
            .prev = (int32_t)b->nsym - 1, .next = at + k < n ? (int32_t)b->nsym + 1 : -1
        };
        b->nsym++;
        at += k;
    }
    return true;
}

static bool merge_all(struct bpe *b)
{
    for (size_t i = 1; i < b->nsym; i++)
        if (!consider(b, (int32_t)i - 1, (int32_t)i))
            return false;
    while (b->nheap > 0) {
        const struct pair p = pop(b);
        struct symbol *const l = &b->sym[p.left], *const r = &b->sym[p.right];
        if (l->n == 0 || r->n == 0 || l->n + r->n != p.n)
            continue;
        l->n = p.n;
        l->next = r->next;
        if (r->next >= 0)
            b->sym[r->next].prev = p.left;
        r->n = 0;
        if (!consider(b, l->prev, p.left) || !consider(b, p.left, l->next))
            return false;
    }
    return true;
}

/* Emit one symbol; an UNUSED piece is taken apart until none is left.  The
 * stack holds right halves: their lengths shrink, so it is bounded by the
 * longest piece. */
static bool emit_symbol(const struct bpe *b, struct mm_ids *ids, const struct symbol *y, bool *unk)
{
    struct mm_str *stack = NULL;
    size_t n = 0, cap = 0;
    bool ok = true;
    struct mm_str w = { b->s + y->at, y->n };

    while (ok) {
        const int32_t found = mm_vocab_find(&b->t->vocab, w.s, w.n);
        const int32_t id = found >= 0 ? found : b->m->unk;
        const struct split *const sp =
            b->nsplit && b->t->vocab.v[id].type == MM_P_UNUSED ? find_split(b, id) : NULL;
        if (sp && sp->id >= 0) {
            if ((ok = mm_grow(&stack, &cap, n + 1, sizeof(*stack))))
                stack[n++] = (struct mm_str){ w.s + sp->left_n, w.n - sp->left_n };
            w.n = sp->left_n;
            continue;
        }
        ok = mm_spm_emit(b->m, ids, id, w.s, w.n, unk) == 0;
        if (n == 0)
            break;
        w = stack[--n];
    }
    free(stack);
    return ok;
}

/* Bytes of the next word of s[n]: up to a mark behind another character. */
static size_t word_length(const char *s, size_t n)
{
    for (size_t i = 1; i + 3 <= n; i++)
        if (memcmp(s + i, "\xE2\x96\x81", 3) == 0 &&
            (i < 3 || memcmp(s + i - 3, "\xE2\x96\x81", 3) != 0))
            return i;
    return n;
}

int mm_spm_bpe(const struct mm_tok *t, const struct mm_spm *m, struct mm_ids *ids, const char *s,
               size_t n, struct mm_err *e)
{
    struct bpe b = { .t = t, .m = m };
    bool unk = false, ok = true;

    if (n > INT32_MAX / 2)
        return mm_err_set(e, MM_EDATA, "text of %zu bytes is too long", n);
    for (size_t at = 0, len; ok && at < n; at += len) {
        len = m->by_words ? word_length(s + at, n - at) : n;
        b.s = s + at;
        b.nsym = 0;
        ok = cut_symbols(&b, len) && merge_all(&b);
        for (int32_t i = 0; ok && i >= 0; i = b.sym[i].next)
            ok = emit_symbol(&b, ids, &b.sym[i], &unk);
    }
    free(b.sym);
    free(b.heap);
    free(b.split);
    return ok ? 0 : mm_err_set(e, MM_ENOMEM, "out of memory");
}
