/* fuzz_gguf: a GGUF file: tensors (packed ones unpacked), values one by one, values as JSON.
 *
 * covers: lib/weights/gguf.c
 * seeds: tests/fuzz/seeds/gguf
 * seeds: tests/golden/weights/gguf-container/files
 * seeds: tests/golden/weights/malformed/files/gguf
 * seeds: tests/golden/tokenizer/gguf_llama/model
 */
#include "ckpt.h"

#include "base/panel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every element of what is packed, and its last row. */
static void unpack(const struct mm_ckpt *ck)
{
    enum { MOST = 1 << 20 };

    for (size_t i = 0; i < mm_ckpt_count(ck); i++) {
        const struct mm_tensor *const t = &mm_ckpt_at(ck, i)->t;
        const size_t n = mm_tensor_count(t), bytes = mm_tensor_bytes(t);

        if (!mm_dtype_packed(t->dtype) || n == 0 || n > MOST || bytes > MOST)
            continue;
        float *const f = malloc(n * sizeof *f);
        void *const row = malloc(bytes);
        if (!f || !row)
            abort();
        mm_tensor_to_f32(f, t);
        mm_panel_tensor_row(row, t, (size_t)t->shape[0] - 1);
        free(row);
        free(f);
    }
}

static void values(const struct mm_ckpt *ck)
{
    static volatile double sink;
    const struct mm_gguf *const g = mm_ckpt_gguf(ck);
    const char *s;
    size_t n;

    unpack(ck);
    for (size_t i = 0; g && i < mm_gguf_count(g); i++) {
        const struct mm_gguf_kv *const kv = mm_gguf_at(g, i);
        struct mm_gguf_str_iter it = mm_gguf_strs(kv);
        if (mm_gguf_find(g, kv->key) != kv)
            abort();
        while (mm_gguf_next_str(&it, &s, &n))
            for (size_t k = 0; k < n; k++)
                sink += s[k];
        for (size_t k = 0; k < kv->count && kv->type != MM_GGUF_STRING; k++)
            sink += mm_gguf_num(kv, k) + (double)mm_gguf_int(kv, k);
        sink += mm_gguf_get_num(g, kv->key, 1) + (double)mm_gguf_get_int(g, kv->key, 1);
    }
    if (g && (mm_gguf_find(g, "") || mm_gguf_version(g) < 2 || mm_gguf_alignment(g) == 0))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_ckpt(data, size, values);
    return 0;
}
