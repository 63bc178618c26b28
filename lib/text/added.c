/* added.c: tokens that are cut out of the text before the model sees it. */
#include <string.h>
#include <unictype.h>

#include "base/utf8.h"
#include "text/impl.h"

/* Longer spellings are refused: matching is linear times the longest one. */
enum { ADDED_MAX = 1024 };

int mm_tok_add_at(struct mm_tok *t, const struct mm_added *a, const char *s, size_t n,
                  struct mm_err *e)
{
    const bool known = a->id >= 0 && (size_t)a->id < t->vocab.n && t->vocab.v[a->id].s;

    if (n > ADDED_MAX)
        return mm_err_set(e, MM_EDATA, "added token %ld has %zu bytes, more than %d", (long)a->id,
                          n, ADDED_MAX);
    if (!known) {
        const int rc = mm_vocab_set(&t->vocab, a->id, s, n,
                                    a->special ? MM_P_CONTROL : MM_P_USER, 0, e);
        if (rc < 0)
            return rc;
    }
    if (!mm_grow(&t->added_at, &t->added_at_n, (size_t)a->id + 1, sizeof(*t->added_at)) ||
        !mm_grow(&t->added, &t->cap_added, t->nadded + 1, sizeof(*t->added)))
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    for (; t->added_at_used <= (size_t)a->id; t->added_at_used++)
        t->added_at[t->added_at_used] = 0;
    if (!t->added_at[a->id]) {
        t->added_at[a->id] = (uint32_t)t->nadded + 1;
        t->nadded++;
    }
    t->added[t->added_at[a->id] - 1] = *a;
    return 0;
}

const struct mm_added *mm_tok_added(const struct mm_tok *t, int32_t id)
{
    if (id < 0 || (size_t)id >= t->added_at_used || !t->added_at[id])
        return NULL;
    return &t->added[t->added_at[id] - 1];
}

int mm_tok_make_trie(struct mm_tok *t, struct mm_err *e)
{
    mm_trie_free(t->trie);
    t->trie = t->nadded ? mm_trie_new() : NULL;
    if (t->nadded && !t->trie)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    for (size_t i = 0; i < t->nadded; i++) {
        const struct mm_vpiece *const p = &t->vocab.v[t->added[i].id];
        if (mm_trie_add(t->trie, p->s, p->n, (int32_t)i) < 0)
            return mm_err_set(e, MM_ENOMEM, "out of memory");
    }
    return 0;
}

/* White_Space of Unicode 14; with python also what str.strip takes. */
static bool is_space(uint32_t c, bool python)
{
    return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000 || (python && c >= 0x1C && c <= 0x1F);
}

/* \w of regular expressions (Unicode Technical Standard 18, annex C). */
static bool is_word(uint32_t c)
{
    return uc_is_property_alphabetic(c) || uc_is_property_join_control(c) ||
           uc_is_general_category_withtable(c, UC_CATEGORY_MASK_M | UC_CATEGORY_MASK_Nd |
                                                   UC_CATEGORY_MASK_Pc);
}

/* The character that ends at s[end]: its length, 0 at the start. */
static size_t char_before(const char *s, size_t end, uint32_t *cp)
{
    size_t n = end > 0;

    while (n < end && n < 4 && ((unsigned char)s[end - n] & 0xC0) == 0x80)
        n++;
    return mm_utf8_get(s + end - n, n, cp);
}

static bool word_beside(const char *s, size_t n, size_t start, size_t end)
{
    uint32_t c;

    return (char_before(s, start, &c) && is_word(c)) ||
           (mm_utf8_get(s + end, n - end, &c) && is_word(c));
}

void mm_cut_start(struct mm_cut *c, const char *s, size_t n)
{
    *c = (struct mm_cut){ .s = s, .n = n, .held = -1 };
}

/* Widen the match [*start, *end) over white space, not before pos. */
static void take_spaces(const struct mm_cut *c, const struct mm_added *a, bool python,
                        size_t *start, size_t *end)
{
    uint32_t cp;
    size_t k;

    while (a->lstrip && *start > c->pos && (k = char_before(c->s, *start, &cp)) > 0 &&
           *start - k >= c->pos && is_space(cp, python))
        *start -= k;
    while (a->rstrip && (k = mm_utf8_get(c->s + *end, c->n - *end, &cp)) > 0 &&
           is_space(cp, python))
        *end += k;
}

static bool give(struct mm_cut *c, struct mm_frag *f, size_t end, int32_t id)
{
    *f = (struct mm_frag){ .s = c->s + c->pos, .n = end - c->pos, .id = id };
    c->pos = end;
    return true;
}

bool mm_cut_next(struct mm_cut *c, const struct mm_tok *t, const struct mm_trie *trie, bool parse,
                 struct mm_frag *f)
{
    int32_t which = -1;

    if (c->held >= 0) {
        const int32_t id = c->held;
        c->held = -1;
        return give(c, f, c->held_end, id);
    }
    while (trie && c->scan < c->n) {
        const size_t len = mm_trie_longest(trie, c->s + c->scan, c->n - c->scan, &which);
        if (!len) {
            c->scan++;
            continue;
        }
        const struct mm_added *const a = &t->added[which];
        size_t start = c->scan, end = start + len;
        c->scan = end;
        if ((a->special && !parse) || (a->single_word && word_beside(c->s, c->n, start, end)))
            continue;
        take_spaces(c, a, t->python_space, &start, &end);
        if (start < c->pos && a->lstrip) { /* the last token took its space */
            start = c->pos;
            if (start >= end) {
                c->pos = end;
                continue;
            }
        }
        if (start < c->pos) /* it is in the space that the last one took: both stand */
            c->pos = start;
        if (start == c->pos)
            return give(c, f, end, a->id);
        c->held = a->id;
        c->held_end = end;
        return give(c, f, start, -1);
    }
    if (c->pos < c->n)
        return give(c, f, c->n, -1);
    return false;
}

/* Length of the maximal prefix of s[n] that begins a valid character, at
 * least 1; s does not begin with a whole one (Unicode 3.9, U+FFFD
 * substitution of maximal subparts). */
static size_t bad_part(const unsigned char *s, size_t n)
{
    const unsigned char b = s[0];
    const size_t need = b >= 0xF0 ? 4 : b >= 0xE0 ? 3 : 2;
    const unsigned char lo = b == 0xE0 ? 0xA0 : b == 0xF0 ? 0x90 : 0x80;
    const unsigned char hi = b == 0xED ? 0x9F : b == 0xF4 ? 0x8F : 0xBF;
    size_t k = 2;

    if (b < 0xC2 || b > 0xF4 || n < 2 || s[1] < lo || s[1] > hi)
        return 1;
    while (k < need && k < n && (s[k] & 0xC0) == 0x80)
        k++;
    return k;
}

void mm_utf8_repair(struct mm_buf *out, const char *s, size_t n, bool per_byte)
{
    while (n > 0) {
        const size_t good = mm_utf8_valid(s, n);
        mm_buf_add(out, s, good);
        s += good;
        n -= good;
        if (n > 0) {
            const size_t k = per_byte ? 1 : bad_part((const unsigned char *)s, n);
            mm_buf_str(out, "\xEF\xBF\xBD");
            s += k;
            n -= k;
        }
    }
}
