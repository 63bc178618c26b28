/* spm_unigram.c: SentencePiece's unigram model: the segmentation with the best
 * sum of scores (Kudo 2018), by Viterbi over byte positions.
 *
 * Ties in long runs of one character are decided by rounding, so the sums are
 * the reference's to the bit (sentencepiece 0.2.3): in float, strictly better
 * replaces, lifted when they fall below -100,000.  A user-defined symbol scores
 * 0.1 (length - 1) there; older releases had length * max_score - 0.1.
 */
#include <stdlib.h>

#include "base/size.h"
#include "text/spm.h"

static const float unk_penalty = 10.0f;
static const float lift_below = -100000.0f;
static const float user_bonus = 0.1f; /* a byte, but the first, of a user-defined symbol */

struct node { /* best path that ends here */
    float score;
    int32_t id;
    int32_t from; /* -1: none yet */
};

static void relax(struct node *to, float score, int32_t id, size_t from)
{
    if (to->from < 0 || score > to->score)
        *to = (struct node){ .score = score, .id = id, .from = (int32_t)from };
}

/* Far down, floats are coarse: the paths under way are lifted by as much as
 * the one that ends at `at` has lost. */
static void lift(struct node *best, size_t n, size_t at, size_t longest)
{
    const float by = best[at].score;
    const size_t last = n - at > longest ? at + longest : n;

    for (size_t i = at; i <= last; i++)
        if (best[i].from >= 0)
            best[i].score -= by;
}

/* All pieces that begin at s[at]. */
static void step(const struct mm_tok *t, const struct mm_spm *m, struct node *best, const char *s,
                 size_t n, size_t at)
{
    const size_t one = mm_spm_char(s + at, n - at);
    bool single = false; /* a piece is this very character */
    uint32_t node = 0;

    for (size_t end = at; end < n;) {
        if (!(node = mm_trie_step(m->pieces, node, (unsigned char)s[end++])))
            break;
        const int32_t id = mm_trie_value(m->pieces, node);
        if (id < 0 || t->vocab.v[id].type == MM_P_UNUSED)
            continue;
        const float score = t->vocab.v[id].type == MM_P_USER ? (float)(end - at - 1) * user_bonus
                                                             : t->vocab.v[id].score;
        relax(&best[end], score + best[at].score, id, at);
        single |= end - at == one;
    }
    if (!single)
        relax(&best[at + one], m->min_score - unk_penalty + best[at].score, m->unk, at);
}

int mm_spm_unigram(const struct mm_tok *t, const struct mm_spm *m, struct mm_ids *ids,
                   const char *s, size_t n, struct mm_err *e)
{
    size_t bytes, count = 0;
    bool unk = false;
    int rc = 0;

    if (n > INT32_MAX / 2)
        return mm_err_set(e, MM_EDATA, "text of %zu bytes is too long", n);
    struct node *const best =
        mm_size_mul(n + 1, sizeof(*best), &bytes) ? malloc(bytes) : NULL;
    if (!best)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    for (size_t i = 0; i <= n; i++)
        best[i] = (struct node){ .from = -1 };
    for (size_t at = 0; at < n; at += mm_spm_char(s + at, n - at)) {
        if (best[at].score < lift_below)
            lift(best, n, at, t->vocab.maxlen);
        step(t, m, best, s, n, at);
    }

    /* Backwards, chain the nodes: from becomes the end of the next segment. */
    size_t end = n, next = 0;
    for (; end > 0; count++) {
        const size_t from = (size_t)best[end].from;
        best[end].from = (int32_t)next;
        next = end;
        end = from;
    }
    for (size_t at = 0; count > 0 && rc == 0; count--) {
        rc = mm_spm_emit(m, ids, best[next].id, s + at, next - at, &unk);
        at = next;
        next = (size_t)best[next].from;
    }
    free(best);
    return rc < 0 ? mm_err_set(e, MM_ENOMEM, "out of memory") : 0;
}
