/* arena.c: a list of blocks, each allocated once and reused after a release. */
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/pages.h"
#include "base/size.h"

/* A block is at least half of all before it, up to MAX_GROWTH, and a large one begins at
 * a huge page: touching memory page by page costs more than filling it. */
enum { ALIGN = 64, MIN_BLOCK = 1 << 20, MAX_GROWTH = 32 << 20, HUGE_PAGE = 2 << 20 };

struct block {
    struct block *next;
    size_t size;    /* bytes at data */
    size_t used;    /* of an earlier block: when the next one was entered */
    size_t before;  /* bytes in use in all earlier blocks */
    unsigned char *data;
};

struct mm_arena {
    struct block *first, *cur;
    size_t peak;
};

struct mm_arena *mm_arena_new(void)
{
    return calloc(1, sizeof(struct mm_arena));
}

void mm_arena_free(struct mm_arena *a)
{
    struct block *b, *next;

    if (a == NULL)
        return;
    for (b = a->first; b != NULL; b = next) {
        next = b->next;
        free(b->data);
        free(b);
    }
    free(a);
}

static struct block *new_block(size_t n, size_t before)
{
    struct block *b = malloc(sizeof(*b));
    size_t least = before / 2 < MAX_GROWTH ? before / 2 : MAX_GROWTH;

    if (b == NULL)
        return NULL;
    least = least < HUGE_PAGE ? MIN_BLOCK : least & ~(size_t)(HUGE_PAGE - 1);
    b->size = n < least ? least : n;
    b->data = mm_pages_alloc(b->size);
    if (b->data == NULL) {
        free(b);
        return NULL;
    }
    return b;
}

/* The next kept block that holds n bytes, or a new one put before the rest. */
static struct block *enter(struct mm_arena *a, size_t n)
{
    struct block **at = a->cur != NULL ? &a->cur->next : &a->first;
    struct block **p = at;
    struct block *b;

    while (*p != NULL && (*p)->size < n)
        p = &(*p)->next;
    b = *p;
    if (b != NULL) {
        *p = b->next;
    } else {
        b = new_block(n, a->cur != NULL ? a->cur->before + a->cur->used : 0);
        if (b == NULL)
            return NULL;
    }
    b->next = *at;
    *at = b;
    b->used = 0;
    b->before = a->cur != NULL ? a->cur->before + a->cur->used : 0;
    a->cur = b;
    return b;
}

void *mm_arena_alloc(struct mm_arena *a, size_t n)
{
    struct block *b = a->cur;
    void *p;

    if (!mm_size_align(n, ALIGN, &n))
        return NULL;
    if (n == 0)
        n = ALIGN;
    if (b == NULL || b->size - b->used < n) {
        b = enter(a, n);
        if (b == NULL)
            return NULL;
    }
    p = b->data + b->used;
    b->used += n;
    if (b->before + b->used > a->peak)
        a->peak = b->before + b->used;
    return p;
}

void *mm_arena_zalloc(struct mm_arena *a, size_t n)
{
    void *p = mm_arena_alloc(a, n);

    return p != NULL ? memset(p, 0, n) : NULL;
}

char *mm_arena_strdup(struct mm_arena *a, const char *s, size_t n)
{
    char *p;
    size_t size;

    if (!mm_size_add(n, 1, &size))
        return NULL;
    p = mm_arena_alloc(a, size);
    if (p == NULL)
        return NULL;
    if (n > 0)
        memcpy(p, s, n);
    p[n] = '\0';
    return p;
}

struct mm_arena_mark mm_arena_mark(struct mm_arena *a)
{
    return (struct mm_arena_mark){ a->cur, a->cur != NULL ? a->cur->used : 0 };
}

void mm_arena_release(struct mm_arena *a, struct mm_arena_mark m)
{
    a->cur = m.block;
    if (a->cur != NULL)
        a->cur->used = m.used;
}

size_t mm_arena_peak(const struct mm_arena *a)
{
    return a->peak;
}
