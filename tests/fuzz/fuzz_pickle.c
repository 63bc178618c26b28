/* fuzz_pickle: a bare pickle, and the tensors of its object over storages of
 * 64 bytes.
 *
 * covers: lib/weights/pickle.c
 * covers: lib/weights/state_dict.c
 * covers: lib/weights/strided.c
 * seeds: tests/fuzz/seeds/pickle
 */
#include <stdint.h>
#include <stdlib.h>

#include "weights/pickle.h"
#include "weights/state_dict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const unsigned char bytes[64] = { 1, 2, 3 };

static int storage(void *arg, struct mm_sdict_storage *s, struct mm_err *e)
{
    (void)arg;
    if (s->numel > (int64_t)(sizeof bytes / mm_dtype_block_bytes(s->dtype)))
        return mm_err_set(e, MM_EDATA, "too many elements");
    s->data = bytes;
    s->bytes = (size_t)s->numel * mm_dtype_block_bytes(s->dtype);
    return 0;
}

static int tensor(void *arg, int64_t id, struct mm_tensor *t, struct mm_err *e)
{
    (void)arg;
    if (id < 0)
        return mm_err_set(e, MM_EDATA, "negative");
    *t = (struct mm_tensor){ .dtype = MM_U8, .ndim = 1, .shape = { 64 }, .data = (void *)bytes };
    return id != 7;
}

static void read_tensors(const struct mm_pickle *p, int kind)
{
    static volatile unsigned sink;
    const struct mm_sdict_source src = { .pickle = p, .swap = kind == 1, .storage = storage,
                                         .tensor = kind == 2 ? tensor : NULL };
    struct mm_err e = { 0 };
    struct mm_entries en;

    if (mm_entries_init(&en, &e) < 0)
        return;
    if (mm_sdict_read(&en, &src, "fuzz", &e) == 0)
        for (size_t i = 0; i < en.n; i++)
            for (size_t k = 0; k < mm_tensor_bytes(&en.v[i].t); k++)
                sink += ((const unsigned char *)en.v[i].t.data)[k];
    else if (e.code == 0)
        abort();
    mm_entries_free(&en);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mm_pickle *p;
    struct mm_err e = { 0 };
    size_t used;

    if (mm_pickle_run(&p, data, size, &used, &e) == 0) {
        if (used > size)
            abort();
        for (int kind = 0; kind < 3; kind++)
            read_tensors(p, kind);
    } else if (e.code == 0 || p)
        abort();
    mm_pickle_free(p);
    return 0;
}
