/* vocab.c: pieces by id in an array, ids by piece in an open-addressing hash
 * kept at most half full. */
#include "text/vocab.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

static uint64_t hash_bytes(const char *s, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a, folded */
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)s[i]) * 0x100000001b3u;
    return h ^ (h >> 29);
}

/* The slot that holds s[n], or the free one where it belongs. */
static size_t find_slot(const struct mm_vocab *v, const char *s, size_t n)
{
    const size_t mask = v->nhash - 1;
    size_t i = (size_t)hash_bytes(s, n) & mask;

    for (; v->hash[i] >= 0; i = (i + 1) & mask) {
        const struct mm_vpiece *p = &v->v[v->hash[i]];
        if (p->n == n && memcmp(p->s, s, n) == 0)
            break;
    }
    return i;
}

static bool rehash(struct mm_vocab *v, size_t size)
{
    int32_t *const old = v->hash;
    const size_t nold = v->nhash;
    int32_t *h = malloc(size * sizeof(*h));

    if (!h)
        return false;
    for (size_t i = 0; i < size; i++)
        h[i] = -1;
    v->hash = h;
    v->nhash = size;
    for (size_t i = 0; i < nold; i++)
        if (old[i] >= 0)
            h[find_slot(v, v->v[old[i]].s, v->v[old[i]].n)] = old[i];
    free(old);
    return true;
}

int mm_vocab_set(struct mm_vocab *v, int32_t id, const char *s, size_t n, enum mm_ptype type,
                 float score, struct mm_err *e)
{
    if (id < 0 || id >= MM_VOCAB_MAX)
        return mm_err_set(e, MM_EDATA, "token id %ld is out of range", (long)id);
    if (n >= 65536)
        return mm_err_set(e, MM_EDATA, "token %ld has %zu bytes", (long)id, n);
    if ((size_t)id < v->n && v->v[id].s)
        return mm_err_set(e, MM_EDATA, "token id %ld is there twice", (long)id);
    if (!v->mem && !(v->mem = mm_arena_new()))
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    if (!mm_grow(&v->v, &v->cap, (size_t)id + 1, sizeof(*v->v)))
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    if (2 * (v->used + 1) > v->nhash && !rehash(v, v->nhash ? 2 * v->nhash : 1024))
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    char *const copy = mm_arena_strdup(v->mem, s, n);
    if (!copy)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    for (; v->n <= (size_t)id; v->n++)
        v->v[v->n] = (struct mm_vpiece){ .type = MM_P_HOLE };
    v->v[id] = (struct mm_vpiece){
        .s = copy, .n = (uint32_t)n, .score = score, .type = (uint8_t)type
    };
    if (n > v->maxlen)
        v->maxlen = n;
    const size_t slot = find_slot(v, copy, n);
    if (v->hash[slot] < 0) {
        v->hash[slot] = id;
        v->used++;
    }
    return 0;
}

int32_t mm_vocab_find(const struct mm_vocab *v, const char *s, size_t n)
{
    if (!v->nhash || n > v->maxlen)
        return -1;
    return v->hash[find_slot(v, s, n)];
}

void mm_vocab_free(struct mm_vocab *v)
{
    free(v->v);
    free(v->hash);
    mm_arena_free(v->mem);
    *v = (struct mm_vocab){ 0 };
}
