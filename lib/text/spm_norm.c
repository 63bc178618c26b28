/* spm_norm.c: SentencePiece's normaliser: user-defined symbols are copied,
 * the longest rule of the charsmap is applied elsewhere, spaces are marked.
 *
 * charsmap: u32 bytes of the trie, a Darts double array of u32 units (Yata's
 * darts-clone), then NUL-separated replacements that its values point into.
 */
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/utf8.h"
#include "text/spm.h"

static const char mark[] = "\xE2\x96\x81"; /* U+2581 */

int mm_spm_set_charsmap(struct mm_spm *m, const unsigned char *p, size_t n, struct mm_err *e)
{
    if (n < 4 || mm_get_u32(p) > n - 4 || mm_get_u32(p) % 4 != 0 || mm_get_u32(p) == 0)
        return mm_err_set(e, MM_EDATA, "precompiled_charsmap: size of the trie");
    const size_t trie = mm_get_u32(p);
    if (trie == n - 4 || p[n - 1] != '\0')
        return mm_err_set(e, MM_EDATA, "precompiled_charsmap: unterminated strings");
    free(m->charsmap);
    if (!(m->charsmap = malloc(n)))
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    memcpy(m->charsmap, p, n);
    m->nunits = trie / 4;
    m->pool = (const char *)m->charsmap + 4 + trie;
    m->npool = n - 4 - trie;
    return 0;
}

static uint32_t unit_at(const struct mm_spm *m, size_t i)
{
    return i < m->nunits ? mm_get_u32(m->charsmap + 4 + 4 * i) : 0xFFFFFFFFu; /* no label */
}

static size_t offset_of(uint32_t unit)
{
    return (size_t)(unit >> 10) << ((unit & (1u << 9)) >> 6);
}

size_t mm_spm_rule(const struct mm_spm *m, enum mm_spm_match which, const char *s, size_t n,
                   struct mm_str *to)
{
    size_t best = 0;

    if (!m->charsmap)
        return 0;
    size_t node = offset_of(unit_at(m, 0));
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)s[i];
        node ^= c;
        const uint32_t unit = unit_at(m, node);
        if ((unit & (1u << 31 | 0xFF)) != c)
            break;
        node ^= offset_of(unit);
        if (unit >> 8 & 1) {
            const size_t at = unit_at(m, node) & 0x7FFFFFFF;
            if (at >= m->npool)
                break;
            best = i + 1;
            to->s = m->pool + at;
            to->n = strlen(to->s);
            if (which == MM_SPM_SHORTEST)
                break;
        }
    }
    return best;
}

/* The next rewriting at s[n], n > 0: bytes taken and what they become. */
static size_t next_part(const struct mm_spm *m, const char *s, size_t n, struct mm_str *to)
{
    uint32_t cp;
    int32_t id;
    size_t len = mm_trie_longest(m->user, s, n, &id);

    if (len > 0) {
        *to = (struct mm_str){ s, len };
        return len;
    }
    if ((len = mm_spm_rule(m, MM_SPM_LONGEST, s, n, to)) > 0)
        return len;
    if ((len = mm_utf8_get(s, n, &cp)) > 0) {
        *to = (struct mm_str){ s, len };
        return len;
    }
    *to = (struct mm_str){ "\xEF\xBF\xBD", 3 };
    return 1;
}

static void add_marked(const struct mm_spm *m, struct mm_buf *out, const char *s, size_t n)
{
    while (n > 0) {
        const char *const space = m->escape ? memchr(s, ' ', n) : NULL;
        const size_t k = space ? (size_t)(space - s) : n;
        mm_buf_add(out, s, k);
        if (space)
            mm_buf_str(out, mark);
        s += k + (space != NULL);
        n -= k + (space != NULL);
    }
}

void mm_spm_normalize(const struct mm_spm *m, struct mm_buf *out, const char *s, size_t n,
                      bool prefix, bool keep_lead)
{
    const char *const space = m->escape ? mark : " ";
    const size_t space_n = strlen(space), start = out->n;
    struct mm_str part;
    size_t used;
    bool after_space = m->remove_extra && !keep_lead;

    for (; after_space && n > 0; s += used, n -= used) {
        used = next_part(m, s, n, &part);
        if (part.n != 1 || part.s[0] != ' ')
            break;
    }
    if (n == 0)
        return;
    if (prefix && m->dummy_prefix && !m->suffix)
        mm_buf_str(out, space);
    for (; n > 0; s += used, n -= used) {
        used = next_part(m, s, n, &part);
        for (; after_space && part.n > 0 && part.s[0] == ' '; part.s++)
            part.n--;
        add_marked(m, out, part.s, part.n);
        if (part.n > 0)
            after_space = m->remove_extra && part.s[part.n - 1] == ' ';
    }
    while (m->remove_extra && out->n >= start + space_n &&
           memcmp(out->p + out->n - space_n, space, space_n) == 0)
        out->n -= space_n;
    if (prefix && m->dummy_prefix && m->suffix)
        mm_buf_str(out, space);
}
