/* make_model: random weights in the shape of a real model, as GGUF.
 *
 *   make_model 135m|1.1b|7b TYPE out.gguf      a LLaMA without a tokenizer, of any type
 *   make_model vit-l-336 TYPE out.gguf         CLIP ViT-L/14-336 and LLaVA 1.5's projector
 *
 * For measuring speed and memory: the products cost what real ones cost.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/quant.h"
#include "base/rng.h"
#include "weights/gguf_write.h"

struct shape {
    const char *name;
    int64_t dim, ffn, layers, heads, kv_heads, vocab;
};

static const struct shape shapes[] = { { "135m", 576, 1536, 30, 9, 3, 49152 },
                                       { "1.1b", 2048, 5632, 22, 32, 4, 32000 },
                                       { "7b", 4096, 11008, 32, 32, 32, 32000 } };

enum { CHUNK = 1 << 22 };

struct out {
    struct mm_ggufw *w;
    struct mm_err e;
    struct mm_tensor list[1024];
    size_t n;
    struct mm_rng rng;
    unsigned char *chunk[MM_NDTYPE]; /* CHUNK random weights of a dtype */
};

static void die(struct out *o)
{
    fprintf(stderr, "make_model: %s\n", o->e.msg);
    exit(70);
}

static void add(struct out *o, enum mm_dtype d, int64_t rows, int64_t cols, const char *fmt, int i)
{
    char name[64];
    struct mm_tensor t = { d, rows ? 2 : 1, { rows ? rows : cols, cols }, NULL };

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(name, sizeof(name), fmt, i);
#pragma GCC diagnostic pop
    mm_ggufw_tensor(o->w, name, &t);
    o->list[o->n++] = t;
}

/* K types have no quantiser here: random bytes are valid codes and scales, and d (and
 * dmin) are set so that the weights spread as the other types' do. */
static const struct k_type {
    enum mm_dtype dtype;
    size_t d, dmin; /* offsets in the block; dmin = d: the type has none */
    float d_value, dmin_value;
} k_types[] = { { MM_Q2_K, 80, 82, 1.8e-3f, 2.7e-3f },
                { MM_Q3_K, 108, 108, 2.7e-4f, 2.7e-4f },
                { MM_Q4_K, 0, 2, 8e-5f, 6e-4f },
                { MM_Q5_K, 0, 2, 4e-5f, 6e-4f },
                { MM_Q6_K, 208, 208, 8.4e-6f, 8.4e-6f } };

static bool random_blocks(struct out *o, unsigned char *b, enum mm_dtype d, size_t bytes)
{
    const size_t block = mm_dtype_block_bytes(d);
    const struct k_type *k = NULL;

    for (size_t i = 0; i < sizeof(k_types) / sizeof(*k_types); i++)
        if (k_types[i].dtype == d)
            k = &k_types[i];
    if (!k)
        return false;
    const uint16_t scale = mm_f32_to_f16(k->d_value), min = mm_f32_to_f16(k->dmin_value);
    for (size_t i = 0; i + 8 <= bytes; i += 8) {
        const uint64_t r = mm_rng_u64(&o->rng);
        memcpy(b + i, &r, 8);
    }
    for (size_t i = 0; i < bytes; i += block) {
        memcpy(b + i + k->dmin, &min, 2);
        memcpy(b + i + k->d, &scale, 2);
    }
    return true;
}

/* One chunk of random weights, quantised once and written over and over. */
static const unsigned char *chunk_of(struct out *o, enum mm_dtype d, size_t *bytes)
{
    float *x;

    if (!mm_dtype_bytes(d, CHUNK, bytes))
        exit(70);
    if (o->chunk[d])
        return o->chunk[d];
    o->chunk[d] = malloc(*bytes);
    x = malloc(CHUNK * sizeof(*x));
    if (!o->chunk[d] || !x)
        exit(70);
    if (random_blocks(o, o->chunk[d], d, *bytes)) {
        free(x);
        return o->chunk[d];
    }
    for (size_t i = 0; i < CHUNK; i++)
        x[i] = (float)(mm_rng_uniform(&o->rng) - 0.5) * 0.04f;
    if (d == MM_F32)
        memcpy(o->chunk[d], x, *bytes);
    else
        mm_quant_row(o->chunk[d], d, x, CHUNK);
    free(x);
    return o->chunk[d];
}

static void write_all(struct out *o, const char *path)
{
    static float ones[1 << 16];

    for (size_t i = 0; i < sizeof(ones) / sizeof(*ones); i++)
        ones[i] = 1.0f;
    if (mm_ggufw_begin(o->w, path, &o->e) < 0)
        die(o);
    for (size_t i = 0; i < o->n; i++) {
        size_t left = mm_tensor_bytes(&o->list[i]), bytes = 0;
        const bool vec = o->list[i].ndim == 1;
        const void *p = vec ? (const void *)ones : chunk_of(o, o->list[i].dtype, &bytes);

        if (vec)
            bytes = left;
        for (; left; left -= left < bytes ? left : bytes)
            if (mm_ggufw_data(o->w, p, left < bytes ? left : bytes, &o->e) < 0)
                die(o);
    }
    if (mm_ggufw_commit(o->w, &o->e) < 0)
        die(o);
}

static void llama(struct out *o, const struct shape *s, enum mm_dtype d)
{
    const int64_t kv = s->dim / s->heads * s->kv_heads;

    mm_ggufw_str(o->w, "general.architecture", "llama", 5);
    mm_ggufw_str(o->w, "general.name", s->name, strlen(s->name));
    mm_ggufw_u32(o->w, "llama.context_length", 8192);
    mm_ggufw_u32(o->w, "llama.embedding_length", (uint32_t)s->dim);
    mm_ggufw_u32(o->w, "llama.block_count", (uint32_t)s->layers);
    mm_ggufw_u32(o->w, "llama.feed_forward_length", (uint32_t)s->ffn);
    mm_ggufw_u32(o->w, "llama.attention.head_count", (uint32_t)s->heads);
    mm_ggufw_u32(o->w, "llama.attention.head_count_kv", (uint32_t)s->kv_heads);
    mm_ggufw_u32(o->w, "llama.rope.dimension_count", (uint32_t)(s->dim / s->heads));
    mm_ggufw_f32(o->w, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    mm_ggufw_u32(o->w, "llama.vocab_size", (uint32_t)s->vocab);
    mm_ggufw_str(o->w, "tokenizer.ggml.model", "no_vocab", 8);
    add(o, d, s->vocab, s->dim, "token_embd.weight", 0);
    for (int i = 0; i < s->layers; i++) {
        add(o, MM_F32, 0, s->dim, "blk.%d.attn_norm.weight", i);
        add(o, d, s->dim, s->dim, "blk.%d.attn_q.weight", i);
        add(o, d, kv, s->dim, "blk.%d.attn_k.weight", i);
        add(o, d, kv, s->dim, "blk.%d.attn_v.weight", i);
        add(o, d, s->dim, s->dim, "blk.%d.attn_output.weight", i);
        add(o, MM_F32, 0, s->dim, "blk.%d.ffn_norm.weight", i);
        add(o, d, s->ffn, s->dim, "blk.%d.ffn_gate.weight", i);
        add(o, d, s->ffn, s->dim, "blk.%d.ffn_up.weight", i);
        add(o, d, s->dim, s->ffn, "blk.%d.ffn_down.weight", i);
    }
    add(o, MM_F32, 0, s->dim, "output_norm.weight", 0);
    add(o, d, s->vocab, s->dim, "output.weight", 0);
}

static void vit_l(struct out *o, enum mm_dtype d)
{
    const enum mm_dtype plain = mm_dtype_quantised(d) ? MM_F16 : d;
    const struct mm_tensor kernel = { plain, 4, { 1024, 3, 14, 14 }, NULL };
    static const char *const lin[] = { "attn_q", "attn_k", "attn_v", "attn_out" };
    const float mean[3] = { 0.48145466f, 0.4578275f, 0.40821073f };
    const float std[3] = { 0.26862954f, 0.26130258f, 0.27577711f };
    char name[64];

    mm_ggufw_str(o->w, "general.architecture", "clip", 4);
    mm_ggufw_bool(o->w, "clip.has_vision_encoder", true);
    mm_ggufw_str(o->w, "clip.projector_type", "mlp", 3);
    mm_ggufw_u32(o->w, "clip.vision.image_size", 336);
    mm_ggufw_u32(o->w, "clip.vision.patch_size", 14);
    mm_ggufw_u32(o->w, "clip.vision.embedding_length", 1024);
    mm_ggufw_u32(o->w, "clip.vision.feed_forward_length", 4096);
    mm_ggufw_u32(o->w, "clip.vision.block_count", 23);
    mm_ggufw_u32(o->w, "clip.vision.attention.head_count", 16);
    mm_ggufw_u32(o->w, "clip.vision.projection_dim", 768);
    mm_ggufw_f32(o->w, "clip.vision.attention.layer_norm_epsilon", 1e-5f);
    mm_ggufw_f32s(o->w, "clip.vision.image_mean", mean, 3);
    mm_ggufw_f32s(o->w, "clip.vision.image_std", std, 3);
    mm_ggufw_bool(o->w, "clip.use_gelu", false);
    mm_ggufw_tensor(o->w, "v.patch_embd.weight", &kernel);
    o->list[o->n++] = kernel;
    add(o, MM_F32, 0, 1024, "v.class_embd", 0);
    add(o, MM_F32, 577, 1024, "v.position_embd.weight", 0);
    add(o, MM_F32, 0, 1024, "v.pre_ln.weight", 0);
    add(o, MM_F32, 0, 1024, "v.pre_ln.bias", 0);
    for (int i = 0; i < 23; i++) {
        for (size_t j = 0; j < 4; j++) {
            snprintf(name, sizeof(name), "v.blk.%%d.%s.weight", lin[j]);
            add(o, d, 1024, 1024, name, i);
            snprintf(name, sizeof(name), "v.blk.%%d.%s.bias", lin[j]);
            add(o, MM_F32, 0, 1024, name, i);
        }
        add(o, MM_F32, 0, 1024, "v.blk.%d.ln1.weight", i);
        add(o, MM_F32, 0, 1024, "v.blk.%d.ln1.bias", i);
        add(o, MM_F32, 0, 1024, "v.blk.%d.ln2.weight", i);
        add(o, MM_F32, 0, 1024, "v.blk.%d.ln2.bias", i);
        add(o, d, 4096, 1024, "v.blk.%d.ffn_up.weight", i);
        add(o, MM_F32, 0, 4096, "v.blk.%d.ffn_up.bias", i);
        add(o, d, 1024, 4096, "v.blk.%d.ffn_down.weight", i);
        add(o, MM_F32, 0, 1024, "v.blk.%d.ffn_down.bias", i);
    }
    add(o, d, 4096, 1024, "mm.0.weight", 0);
    add(o, MM_F32, 0, 4096, "mm.0.bias", 0);
    add(o, d, 4096, 4096, "mm.2.weight", 0);
    add(o, MM_F32, 0, 4096, "mm.2.bias", 0);
}

int main(int argc, char **argv)
{
    static struct out o;
    const enum mm_dtype d = argc == 4 ? mm_dtype_parse(argv[2]) : MM_NDTYPE;
    const bool known = d < MM_NDTYPE && (mm_quant_can(d) || mm_dtype_block(d) == 256);

    if (!known || !(o.w = mm_ggufw_new())) {
        fputs("usage: make_model 135m|1.1b|7b|vit-l-336 TYPE out.gguf\n", stderr);
        return 64;
    }
    mm_rng_seed(&o.rng, 1);
    for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++)
        if (!strcmp(argv[1], shapes[i].name))
            llama(&o, &shapes[i], d);
    if (!strcmp(argv[1], "vit-l-336"))
        vit_l(&o, d);
    if (!o.n) {
        fprintf(stderr, "make_model: no shape '%s'\n", argv[1]);
        return 64;
    }
    write_all(&o, argv[3]);
    mm_ggufw_free(o.w);
    for (int i = 0; i < MM_NDTYPE; i++)
        free(o.chunk[i]);
    return 0;
}
