/* entries.c: growable list of named tensors with a hash of names. */
#include "weights/entries.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/rng.h"
#include "base/size.h"

#define BUDGET_FLOOR ((size_t)64 << 20)

int mm_entries_init(struct mm_entries *en, struct mm_err *e)
{
    *en = (struct mm_entries){ .budget = BUDGET_FLOOR };
    en->text = mm_arena_new();
    if (!en->text)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    return 0;
}

void mm_entries_free(struct mm_entries *en)
{
    for (size_t i = 0; i < en->nowned; i++)
        free(en->owned[i]);
    for (size_t i = 0; i < en->nwarn; i++)
        free(en->warn[i]);
    if (en->text)
        mm_arena_free(en->text);
    free(en->owned);
    free(en->warn);
    free(en->slot);
    free(en->v);
    *en = (struct mm_entries){ 0 };
}

void mm_entries_allow(struct mm_entries *en, size_t n)
{
    if (!mm_size_add(en->budget, n, &en->budget))
        en->budget = SIZE_MAX;
}

const char *mm_entries_file(struct mm_entries *en, const char *path, size_t size)
{
    size_t extra;

    mm_entries_allow(en, mm_size_mul(size, 4, &extra) ? extra : SIZE_MAX);
    return mm_arena_strdup(en->text, path, strlen(path));
}

/* The slot that holds name, or the empty one where it belongs. */
static size_t slot_of(const struct mm_entries *en, const char *name, size_t n)
{
    size_t i = (size_t)mm_hash64(name, n) & (en->nslot - 1);

    while (en->slot[i]) {
        const char *have = en->v[en->slot[i] - 1].name;
        if (strncmp(have, name, n) == 0 && have[n] == '\0')
            break;
        i = (i + 1) & (en->nslot - 1);
    }
    return i;
}

/* Keep the table at most half full. */
static bool grow_slots(struct mm_entries *en)
{
    if (en->nslot && en->n < en->nslot / 2)
        return true;

    const size_t nslot = en->nslot ? 2 * en->nslot : 256;
    uint32_t *const old = en->slot;
    uint32_t *const slot = calloc(nslot, sizeof *slot);
    if (!slot || en->n >= UINT32_MAX / 2) {
        free(slot);
        return false;
    }
    en->slot = slot;
    en->nslot = nslot;
    for (size_t i = 0; i < en->n; i++)
        slot[slot_of(en, en->v[i].name, strlen(en->v[i].name))] = (uint32_t)(i + 1);
    free(old);
    return true;
}

int mm_entries_add(struct mm_entries *en, const char *name, size_t n, const struct mm_tensor *t,
                   const char *file, struct mm_err *e)
{
    if (memchr(name, '\0', n))
        return mm_err_set(e, MM_EDATA, "tensor %zu: NUL in its name", en->n);
    if (!mm_grow(&en->v, &en->cap, en->n + 1, sizeof *en->v) || !grow_slots(en))
        return mm_err_set(e, MM_ENOMEM, "out of memory for %zu tensors", en->n + 1);

    const size_t s = slot_of(en, name, n);
    if (en->slot[s]) {
        const char *const first = en->v[en->slot[s] - 1].file;
        if (en->keep_first && first != file)
            return 0;
        return mm_err_set(e, MM_EDATA, "tensor '%.*s' appears twice", (int)(n < 200 ? n : 200),
                          name);
    }
    char *const copy = mm_arena_strdup(en->text, name, n);
    if (!copy)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    en->v[en->n] = (struct mm_ckpt_entry){ .name = copy, .t = *t, .file = file };
    en->slot[s] = (uint32_t)++en->n;
    return 0;
}

int mm_entries_alloc(void **p, struct mm_entries *en, size_t n, struct mm_err *e)
{
    *p = NULL;
    if (n > en->budget)
        return mm_err_set(e, MM_EDATA, "would expand to %zu bytes, far more than the file has", n);
    if (!mm_grow(&en->owned, &en->owned_cap, en->nowned + 1, sizeof *en->owned))
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    void *const q = malloc(n ? n : 1);
    if (!q)
        return mm_err_set(e, MM_ENOMEM, "out of memory: %zu bytes", n);
    en->owned[en->nowned++] = q;
    en->budget -= n;
    *p = q;
    return 0;
}

const struct mm_ckpt_entry *mm_entries_find(const struct mm_entries *en, const char *name)
{
    if (!en->nslot)
        return NULL;
    const size_t s = slot_of(en, name, strlen(name));
    return en->slot[s] ? &en->v[en->slot[s] - 1] : NULL;
}

void mm_entries_warn(struct mm_entries *en, const char *fmt, ...)
{
    char line[500];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (!mm_grow(&en->warn, &en->warn_cap, en->nwarn + 1, sizeof *en->warn))
        return;
    char *const copy = strdup(line);
    if (copy)
        en->warn[en->nwarn++] = copy;
}
