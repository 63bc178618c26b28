/* adapt.c: names of adapter tensors to names of the base, and the merge. */
#include "weights/adapt.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/quant.h"
#include "base/size.h"
#include "kernel/gemm.h"
#include "weights/ckpt_impl.h"
#include "weights/peft.h"

#define PEFT "base_model.model."

struct adapter {
    const struct mm_ckpt *ck; /* its tensors */
    const json_t *conf;       /* adapter_config.json, NULL for a GGUF */
    struct mm_ckpt *base;
    enum mm_adapt_store store;
    struct mm_pool *pool;
    bool undo; /* subtract */
    struct mm_buf name;
};

static const char *skip(const char *s, const char *prefix)
{
    const size_t n = strlen(prefix);
    return strncmp(s, prefix, n) == 0 ? s + n : s;
}

static bool ends(const char *s, const char *tail)
{
    const size_t n = strlen(s), m = strlen(tail);
    return n >= m && strcmp(s + n - m, tail) == 0;
}

/* ---- what the configuration says of a module ---- */

/* Does the pattern (text or regular expression) match the end of the module's
 * name, from a '.' or the beginning on? */
static int matches_end(bool *yes, const char *pattern, const char *module, struct mm_err *e)
{
    struct mm_buf b = { 0 };
    PCRE2_SIZE at;
    int code, rc = 0;

    *yes = false;
    mm_buf_printf(&b, "^(?:.*\\.)?(?:%s)$", pattern);
    if (b.failed)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    pcre2_code *const re = pcre2_compile((PCRE2_SPTR)b.p, b.n, PCRE2_UTF, &code, &at, NULL);
    pcre2_match_data *const md = re ? pcre2_match_data_create_from_pattern(re, NULL) : NULL;
    if (!re)
        rc = mm_err_set(e, MM_EDATA, "'%.100s' is no regular expression", pattern);
    else if (!md)
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    else
        *yes = pcre2_match(re, (PCRE2_SPTR)module, strlen(module), 0, 0, md, NULL) >= 0;
    pcre2_match_data_free(md);
    pcre2_code_free(re);
    mm_buf_free(&b);
    return rc;
}

/* The number that rank_pattern or alpha_pattern gives a module, else dflt. */
static int pattern_value(double *v, const json_t *patterns, const char *module, double dflt,
                         struct mm_err *e)
{
    const char *key;
    json_t *x;

    *v = dflt;
    json_object_foreach ((json_t *)patterns, key, x) {
        bool yes;
        const int rc = matches_end(&yes, key, module, e);
        if (rc < 0)
            return rc;
        if (yes && json_is_number(x)) {
            *v = json_number_value(x);
            return 0;
        }
    }
    return 0;
}

static int scale_of(double *scale, const struct adapter *a, const char *module, int64_t rank,
                    struct mm_err *e)
{
    double r, alpha;
    int rc;

    if (!a->conf) {
        alpha = mm_gguf_get_num(mm_ckpt_gguf(a->ck), "adapter.lora.alpha", (double)rank);
        *scale = alpha / (double)rank;
        return 0;
    }
    if ((rc = pattern_value(&r, json_object_get(a->conf, "rank_pattern"), module,
                            mm_json_num(a->conf, "r", (double)rank, e), e)) < 0 ||
        (rc = pattern_value(&alpha, json_object_get(a->conf, "alpha_pattern"), module,
                            mm_json_num(a->conf, "lora_alpha", 8, e), e)) < 0)
        return rc;
    if ((double)rank != r)
        return mm_err_set(e, MM_EDATA, "'%s': rank %lld, the configuration says %g", module,
                          (long long)rank, r);
    *scale = mm_json_bool(a->conf, "use_rslora", false, e) ? alpha / sqrt(r) : alpha / r;
    return e && e->code ? e->code : 0;
}

/* ---- replacing tensors of the base ---- */

static struct mm_ckpt_entry *find_entry(struct mm_ckpt *ck, const char *name)
{
    const struct mm_ckpt_entry *const x = mm_entries_find(&ck->en, name);
    return x ? &ck->en.v[x - ck->en.v] : NULL;
}

/* Memory for n elements of a dtype, as long as ck lives. */
static int alloc_data(void **p, struct mm_ckpt *ck, enum mm_dtype d, size_t n, struct mm_err *e)
{
    size_t bytes;

    if (!mm_dtype_bytes(d, n, &bytes))
        return mm_err_set(e, MM_EDATA, "too large");
    mm_entries_allow(&ck->en, bytes);
    return mm_entries_alloc(p, &ck->en, bytes, e);
}

static enum mm_dtype merged_dtype(enum mm_dtype stored, enum mm_adapt_store store)
{
    const enum mm_dtype base = mm_dtype_rows(stored);

    if (store == MM_ADAPT_F32)
        return MM_F32;
    return mm_dtype_quantised(base) || base == MM_F8_E4M3 || base == MM_F8_E5M2 ? MM_F16 : base;
}

/* A tensor of the adapter stored whole: it replaces or joins the base's. */
static int take_whole(struct adapter *a, const char *name, const struct mm_ckpt_entry *x,
                      struct mm_err *e)
{
    struct mm_ckpt_entry *const old = find_entry(a->base, name);
    char sa[100], sb[100];

    if (a->undo)
        return mm_err_set(e, MM_EDATA, "tensor '%s' replaced the base's: that cannot be undone",
                          x->name);
    if (!old)
        return mm_entries_add(&a->base->en, name, strlen(name), &x->t, x->file, e);
    bool fits = old->t.ndim == x->t.ndim;
    for (int i = 1; fits && i < x->t.ndim; i++) /* rows may have been added */
        fits = old->t.shape[i] == x->t.shape[i];
    if (!fits)
        return mm_err_set(e, MM_EDATA, "tensor '%s': shape %s, the base has %s", x->name,
                          mm_shape_str(sa, sizeof sa, x->t.shape, x->t.ndim),
                          mm_shape_str(sb, sizeof sb, old->t.shape, old->t.ndim));
    if (ends(name, "embed_tokens.weight") && a->base->config &&
        old->t.shape[0] != x->t.shape[0]) {
        json_t *const text = json_object_get(a->base->config, "text_config");
        json_object_set_new(text ? text : a->base->config, "vocab_size",
                            json_integer(x->t.shape[0]));
    }
    old->t = x->t;
    old->file = x->file;
    return 0;
}

/* ---- the merge ---- */

static float *widen(const struct mm_tensor *t)
{
    float *const f = malloc(mm_tensor_count(t) * sizeof *f + 1);

    if (f)
        mm_tensor_to_f32(f, t);
    return f;
}

/* f[n] rounded into data of dtype d. */
static void narrow(void *data, enum mm_dtype d, const float *f, size_t n)
{
    if (d == MM_F64)
        for (size_t i = 0; i < n; i++)
            ((double *)data)[i] = (double)f[i];
    else
        mm_quant_row(data, d, f, n);
}

/* B, its rows in the order of the base's. */
static float *widen_b(const struct mm_tensor *B, size_t heads)
{
    float *const f = widen(B);

    if (!f || !heads)
        return f;
    float *const g = malloc(mm_tensor_count(B) * sizeof *g + 1);
    if (g)
        mm_peft_turn(g, f, (size_t)B->shape[0], (size_t)B->shape[1], heads, MM_PEFT_TO_GGUF);
    free(f);
    return g;
}

struct pair {
    const struct mm_tensor *A, *B; /* [r, in], [out, r] */
    double scale;
    bool transposed; /* the base stores [in, out] */
    size_t heads;    /* > 0: B's rows, so many heads, are in Hugging Face's order, W's in GGUF's */
};

/* W[rows][cols] += scale P Q, where P Q is B A, or A' B' when the base stores
 * the transpose. */
static int merge(struct adapter *a, struct mm_ckpt_entry *w, const struct pair *p,
                 struct mm_err *e)
{
    const struct mm_tensor *const A = p->A;
    const size_t rows = (size_t)w->t.shape[0], cols = (size_t)w->t.shape[1];
    const size_t r = (size_t)A->shape[0], in = (size_t)A->shape[1];
    const enum mm_dtype d = merged_dtype(w->t.dtype, a->store);
    float *const fa = widen(A), *const fb = widen_b(p->B, p->heads);
    const float scale = (float)p->scale;
    float *f = NULL;
    void *out = NULL;
    int rc = fa && fb ? alloc_data(&out, a->base, d, rows * cols, e)
                      : mm_err_set(e, MM_ENOMEM, "out of memory");

    if (rc == 0 && !(f = d == MM_F32 ? out : malloc(rows * cols * sizeof *f + 1)))
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    if (rc == 0) {
        mm_tensor_to_f32(f, &w->t);
        rc = p->transposed ? mm_gemm(MM_TRANS, MM_TRANS, rows, cols, r, scale, fa, in, fb, r, 1,
                                     f, cols, a->pool)
                           : mm_gemm(MM_NOTRANS, MM_NOTRANS, rows, cols, r, scale, fb, r, fa, in,
                                     1, f, cols, a->pool);
        if (rc < 0)
            mm_err_set(e, rc, "out of memory");
    }
    if (rc == 0) {
        if (d != MM_F32)
            narrow(out, d, f, rows * cols);
        w->t.dtype = d;
        w->t.data = out;
    }
    if (f != out)
        free(f);
    free(fa);
    free(fb);
    return rc;
}

/* The base's weight for a module: X.weight, as a GGUF X itself, or what a GGUF calls it;
 * then *rows are not MM_PEFT_ANY_ROWS if B's stand in another order. */
static struct mm_ckpt_entry *target(struct adapter *a, const char *module, enum mm_peft_rows *rows)
{
    struct mm_ckpt_entry *x = find_entry(a->base, module);
    struct mm_peft_module m;

    *rows = MM_PEFT_ANY_ROWS;
    if (x)
        return x;
    mm_buf_reset(&a->name);
    mm_buf_printf(&a->name, "%s.weight", module);
    x = a->name.failed ? NULL : find_entry(a->base, a->name.p);
    if (x || !mm_ckpt_is_gguf(a->base) || !mm_peft_to_gguf(&m, module))
        return x;
    *rows = m.rows;
    mm_buf_reset(&a->name);
    mm_buf_printf(&a->name, "%s.weight", m.name);
    return a->name.failed ? NULL : find_entry(a->base, a->name.p);
}

/* The heads that so many rows of a GGUF's attn_q or attn_k are; 0: they cannot be. */
static size_t heads_of(const struct mm_ckpt *ck, enum mm_peft_rows rows, int64_t n)
{
    const struct mm_gguf *const g = mm_ckpt_gguf(ck);
    const json_t *const arch = json_object_get(mm_ckpt_meta(ck), "general.architecture");
    char key[100];

    snprintf(key, sizeof key, "%.40s.attention.head_count", json_string_value(arch));
    double heads = mm_gguf_get_num(g, key, 0);
    if (rows == MM_PEFT_KEY_ROWS) {
        snprintf(key, sizeof key, "%.40s.attention.head_count_kv", json_string_value(arch));
        heads = mm_gguf_get_num(g, key, heads);
    }
    return heads >= 1 && heads <= (double)n && n % (2 * (int64_t)heads) == 0 ? (size_t)heads : 0;
}

static int merge_pair(struct adapter *a, const char *module, const struct mm_ckpt_entry *A,
                      const struct mm_ckpt_entry *B, bool embedding, struct mm_err *e)
{
    enum mm_peft_rows order;
    struct mm_ckpt_entry *const w = target(a, module, &order);
    struct pair p = { .A = &A->t, .B = &B->t };
    char sa[100], sb[100], sw[100];

    if (a->name.failed)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    if (!w)
        return mm_err_set(e, MM_EDATA, "tensor '%s': the base has no '%s.weight'", A->name,
                          module);
    if (A->t.ndim != 2 || B->t.ndim != 2 || w->t.ndim != 2)
        return mm_err_set(e, MM_EMISSING, "tensor '%s': only adapters of matrices are supported",
                          A->name);
    const bool transposed = embedding || mm_json_bool(a->conf, "fan_in_fan_out", false, e);
    const int64_t out = w->t.shape[transposed ? 1 : 0], in = w->t.shape[transposed ? 0 : 1];
    if (A->t.shape[0] != B->t.shape[1] || A->t.shape[1] != in || B->t.shape[0] != out ||
        A->t.shape[0] == 0)
        return mm_err_set(e, MM_EDATA, "'%s': A %s and B %s do not fit W %s", module,
                          mm_shape_str(sa, sizeof sa, A->t.shape, 2),
                          mm_shape_str(sb, sizeof sb, B->t.shape, 2),
                          mm_shape_str(sw, sizeof sw, w->t.shape, 2));
    if (order != MM_PEFT_ANY_ROWS && !(p.heads = heads_of(a->base, order, out)))
        return mm_err_set(e, MM_EDATA, "'%s': %lld rows are no heads of the base", module,
                          (long long)out);
    p.transposed = transposed;
    const int rc = scale_of(&p.scale, a, module, A->t.shape[0], e);
    if (a->undo)
        p.scale = -p.scale;
    return rc < 0 ? rc : merge(a, w, &p, e);
}

/* ---- names ---- */

/* The other half of a LoRA pair: name with its letter at position at changed. */
static const struct mm_ckpt_entry *other_half(struct adapter *a, const char *name, size_t at,
                                              char letter)
{
    mm_buf_reset(&a->name);
    mm_buf_str(&a->name, name);
    if (a->name.failed)
        return NULL;
    a->name.p[at] = letter;
    return mm_ckpt_lookup(a->ck, a->name.p);
}

/* "X.lora_A.weight", "X.lora_A.NAME.weight", "X.lora_embedding_A",
 * "X.weight.lora_a" (GGUF): merge with its B.  *done is false for names of
 * other kinds; the B itself is done with its A. */
static int take_pair(struct adapter *a, const struct mm_ckpt_entry *x, bool *done,
                     struct mm_err *e)
{
    static const struct { const char *mark; char other; bool embedding; } kinds[] = {
        { ".lora_A", 'B', false }, { ".lora_B", 'A', false },
        { ".lora_embedding_A", 'B', true }, { ".lora_embedding_B", 'A', true },
        { ".lora_a", 'b', false }, { ".lora_b", 'a', false },
    };

    *done = true;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const char *const p = strstr(x->name, kinds[i].mark);
        const size_t n = strlen(kinds[i].mark);
        if (!p || (p[n] && p[n] != '.'))
            continue;
        const struct mm_ckpt_entry *const y =
            other_half(a, x->name, (size_t)(p - x->name) + n - 1, kinds[i].other);
        if (a->name.failed)
            return mm_err_set(e, MM_ENOMEM, "out of memory");
        if (!y)
            return mm_err_set(e, MM_EDATA, "tensor '%s' has no counterpart", x->name);
        if (kinds[i].other == 'A' || kinds[i].other == 'a')
            return 0;
        const char *const from = skip(x->name, PEFT);
        char *const module = strndup(from, (size_t)(p - from));
        if (!module)
            return mm_err_set(e, MM_ENOMEM, "out of memory");
        const int rc = merge_pair(a, module, x, y, kinds[i].embedding, e);
        free(module);
        return rc;
    }
    *done = false;
    return 0;
}

/* Remove every occurrence of part from s. */
static void cut_out(struct mm_buf *s, const char *part)
{
    const size_t n = strlen(part);

    for (char *p; s->p && (p = strstr(s->p, part)) != NULL; s->n -= n)
        memmove(p, p + n, strlen(p + n) + 1);
}

static int take_tensor(struct adapter *a, const struct mm_ckpt_entry *x, struct mm_err *e)
{
    bool done;
    int rc = take_pair(a, x, &done, e);

    if (rc < 0 || done || strstr(x->name, ".original_module."))
        return rc;
    if (strstr(x->name, ".lora_magnitude_vector"))
        return mm_err_set(e, MM_EMISSING, "DoRA is not supported");
    struct mm_buf name = { 0 };
    mm_buf_str(&name, skip(x->name, PEFT));
    cut_out(&name, ".base_layer");
    cut_out(&name, ".modules_to_save.default");
    cut_out(&name, ".modules_to_save");
    rc = name.failed ? mm_err_set(e, MM_ENOMEM, "out of memory") : take_whole(a, name.p, x, e);
    mm_buf_free(&name);
    return rc;
}

/* ---- files ---- */

static bool exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

/* DIR/NAME in b; is it there? */
static bool in_dir(struct mm_buf *b, const char *dir, const char *name)
{
    mm_buf_reset(b);
    mm_buf_printf(b, "%s/%s", dir, name);
    return !b->failed && exists(b->p);
}

/* The error after in_dir(b) was false. */
static int absent(const struct mm_buf *b, struct mm_err *e, const char *dir, const char *name)
{
    return b->failed ? mm_err_set(e, MM_ENOMEM, "%s: out of memory", dir)
                     : mm_err_set(e, MM_ENOENT, "%s: no %s", dir, name);
}

/* Keep a part open as long as ck: the base's entries point into it. */
static int keep(struct mm_ckpt *ck, struct mm_ckpt *part, struct mm_err *e)
{
    if (!mm_grow(&ck->part, &ck->part_cap, ck->nparts + 1, sizeof *ck->part)) {
        mm_ckpt_close(part);
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    }
    ck->part[ck->nparts++] = part;
    return 0;
}

static int open_part(struct mm_ckpt **part, struct mm_ckpt *ck, const char *path,
                     struct mm_err *e)
{
    const int rc = mm_ckpt_open(part, path, e);
    return rc < 0 ? rc : keep(ck, *part, e);
}

/* non_lora_trainables.bin: strip base_model., and one model. where names then
 * begin with model.model. */
static int take_trainables(struct adapter *a, const char *path, struct mm_err *e)
{
    struct mm_ckpt *part;
    bool twice = false;
    int rc = open_part(&part, a->base, path, e);

    for (size_t i = 0; rc == 0 && i < mm_ckpt_count(part); i++)
        twice = twice || strncmp(skip(mm_ckpt_at(part, i)->name, "base_model."), "model.model.",
                                 12) == 0;
    for (size_t i = 0; rc == 0 && i < mm_ckpt_count(part); i++) {
        const struct mm_ckpt_entry *const x = mm_ckpt_at(part, i);
        const char *const name = skip(x->name, "base_model.");
        rc = take_whole(a, twice ? skip(name, "model.") : name, x, e);
        if (rc < 0)
            mm_err_prefix(e, "%s", path);
    }
    return rc;
}

static int take_all(struct adapter *a, const char *path, struct mm_err *e)
{
    struct mm_ckpt *part;
    int rc = open_part(&part, a->base, path, e);

    a->ck = part;
    if (rc == 0 && !a->conf && !mm_ckpt_is_gguf(part))
        rc = mm_err_set(e, MM_EDATA, "%s: name the adapter's directory, its adapter_config.json "
                        "is needed", path);
    for (size_t i = 0; rc == 0 && i < mm_ckpt_count(part); i++)
        if ((rc = take_tensor(a, mm_ckpt_at(part, i), e)) < 0)
            mm_err_prefix(e, "%s", path);
    return rc;
}

static int check_conf(const json_t *conf, const char *path, struct mm_err *e)
{
    struct mm_err bad = { 0 };
    const char *const type = mm_json_str(conf, "peft_type", "LORA", &bad);

    if (!json_is_object(conf) || bad.code)
        return mm_err_set(e, MM_EDATA, "%s: no configuration of an adapter", path);
    if (strcmp(type, "LORA") != 0)
        return mm_err_set(e, MM_EMISSING, "%s: adapters of type '%.40s' are not supported", path,
                          type);
    if (mm_json_bool(conf, "use_dora", false, &bad))
        return mm_err_set(e, MM_EMISSING, "%s: DoRA is not supported", path);
    return 0;
}

static int lora_dir(struct adapter *a, const char *dir, struct mm_err *e)
{
    struct mm_buf path = { 0 };
    json_t *conf = NULL;
    int rc;

    if (!in_dir(&path, dir, "adapter_config.json"))
        rc = absent(&path, e, dir, "adapter_config.json");
    else if ((rc = mm_json_file(&conf, path.p, e)) == 0 &&
             (rc = check_conf(conf, path.p, e)) == 0) {
        a->conf = conf;
        if (!in_dir(&path, dir, "adapter_model.safetensors") &&
            !in_dir(&path, dir, "adapter_model.bin"))
            rc = absent(&path, e, dir, "adapter_model.safetensors or .bin");
        else
            rc = take_all(a, path.p, e);
        if (rc == 0 && in_dir(&path, dir, "non_lora_trainables.bin"))
            rc = take_trainables(a, path.p, e);
    }
    if (rc == 0 && path.failed)
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    json_decref(conf);
    mm_buf_free(&path);
    return rc;
}

static bool is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int apply(struct adapter *a, const char *path, struct mm_err *e)
{
    const int rc = is_dir(path) ? lora_dir(a, path, e) : take_all(a, path, e);

    mm_buf_free(&a->name);
    return rc;
}

int mm_adapt_lora(struct mm_ckpt *ck, const char *path, enum mm_adapt_store store,
                  struct mm_pool *p, struct mm_err *e)
{
    return apply(&(struct adapter){ .base = ck, .store = store, .pool = p }, path, e);
}

int mm_adapt_unmerge(struct mm_ckpt *ck, const char *path, enum mm_adapt_store store,
                     struct mm_pool *p, struct mm_err *e)
{
    return apply(&(struct adapter){ .base = ck, .store = store, .pool = p, .undo = true }, path, e);
}

/* ---- deltas ---- */

/* d += b over the overlapping rows and columns. */
static int add_delta(struct mm_ckpt *ck, struct mm_ckpt_entry *d, const struct mm_tensor *b,
                     struct mm_err *e)
{
    const size_t n = mm_tensor_count(&d->t);
    const size_t width = d->t.ndim > 1 ? (size_t)d->t.shape[d->t.ndim - 1] : 1;
    const size_t base_width = b->ndim > 1 ? (size_t)b->shape[b->ndim - 1] : 1;
    float *const f = widen(&d->t), *const g = widen(b);
    void *out;
    int rc = f && g ? alloc_data(&out, ck, d->t.dtype, n, e)
                    : mm_err_set(e, MM_ENOMEM, "out of memory");

    if (rc == 0) {
        const size_t count = mm_tensor_count(b);
        for (size_t i = 0; i < count; i++)
            f[i / base_width * width + i % base_width] += g[i];
        narrow(out, d->t.dtype, f, n);
        d->t.data = out;
    }
    free(f);
    free(g);
    return rc;
}

static bool is_real(enum mm_dtype d)
{
    return d == MM_F64 || d == MM_F32 || d == MM_F16 || d == MM_BF16;
}

int mm_adapt_delta(struct mm_ckpt *ck, const struct mm_ckpt *base, struct mm_err *e)
{
    size_t shared = 0;
    char sa[100], sb[100];

    for (size_t i = 0; i < ck->en.n; i++) {
        struct mm_ckpt_entry *const d = &ck->en.v[i];
        const struct mm_ckpt_entry *const b = mm_ckpt_lookup(base, d->name);
        if (!b || !is_real(d->t.dtype))
            continue;
        bool fits = d->t.ndim == b->t.ndim;
        for (int k = 0; fits && k < d->t.ndim; k++)
            fits = b->t.shape[k] == d->t.shape[k] ||
                   (d->t.ndim == 2 && b->t.shape[k] < d->t.shape[k]);
        if (!fits)
            return mm_err_set(e, MM_EDATA, "tensor '%s': shape %s, the base has %s", d->name,
                              mm_shape_str(sa, sizeof sa, d->t.shape, d->t.ndim),
                              mm_shape_str(sb, sizeof sb, b->t.shape, b->t.ndim));
        const int rc = add_delta(ck, d, &b->t, e);
        if (rc < 0)
            return mm_err_prefix(e, "tensor '%s'", d->name);
        shared++;
    }
    if (!shared)
        return mm_err_set(e, MM_EDATA, "%s and %s have no tensor in common", mm_ckpt_path(ck),
                          mm_ckpt_path(base));
    return 0;
}

/* ---- -m, --base, --lora together ---- */

/* An adapter directory over its base: LLaVA keeps the whole model's
 * config.json beside the adapter. */
static int open_over(struct mm_ckpt **ck, const struct mm_adapt_spec *s, struct mm_err *e)
{
    struct mm_buf path = { 0 };
    json_t *conf = NULL;
    int rc = mm_ckpt_open(ck, s->base, e);

    if (rc == 0 && in_dir(&path, s->path, "config.json") &&
        (rc = mm_json_file(&conf, path.p, e)) == 0) {
        json_decref((*ck)->config);
        (*ck)->config = conf;
    }
    if (rc == 0 && path.failed)
        rc = absent(&path, e, s->path, "config.json");
    if (rc == 0)
        rc = mm_adapt_lora(*ck, s->path, s->store, s->pool, e);
    mm_buf_free(&path);
    return rc;
}

static int open_delta(struct mm_ckpt **ck, const struct mm_adapt_spec *s, struct mm_err *e)
{
    struct mm_ckpt *base = NULL;
    int rc = mm_ckpt_open(ck, s->path, e);

    if (rc == 0 && (rc = mm_ckpt_open(&base, s->base, e)) == 0)
        rc = mm_adapt_delta(*ck, base, e);
    mm_ckpt_close(base);
    return rc;
}

/* The same over the base that the adapter's configuration names. */
static int open_over_own(struct mm_ckpt **ck, const struct mm_adapt_spec *s, const char *conf,
                         struct mm_err *e)
{
    struct mm_adapt_spec own = *s;
    struct mm_err why = { 0 };
    char *path = NULL;
    json_t *j = NULL;
    int rc = mm_json_file(&j, conf, e);
    const char *const base = rc == 0 ? mm_json_str(j, "base_model_name_or_path", "", &why) : "";

    if (rc == 0 && !*base)
        rc = mm_err_set(e, MM_EMISSING, "%s: an adapter; its base model is needed too (--base)",
                        s->path);
    else if (rc == 0 && mm_ckpt_find_named(&path, s->path, base, &why) < 0)
        rc = strchr(base, '/')
                 ? mm_err_set(e, MM_EMISSING, "%s: an adapter; its base model '%s' is not here: "
                              "give it (--base)", s->path, base)
                 : mm_err_set(e, MM_EMISSING, "%s: an adapter; its base model '%s' is not here: "
                              "install it (mm-get %s), or give it (--base)", s->path, base, base);
    own.base = path;
    if (rc == 0)
        rc = open_over(ck, &own, e);
    free(path);
    json_decref(j);
    return rc;
}

int mm_adapt_open(struct mm_ckpt **ck, const struct mm_adapt_spec *s, struct mm_err *e)
{
    struct mm_buf conf = { 0 };
    const bool adapter = in_dir(&conf, s->path, "adapter_config.json");
    int rc = conf.failed ? absent(&conf, e, s->path, "adapter_config.json") : 0;

    *ck = NULL;
    if (rc == 0 && s->base)
        rc = adapter ? open_over(ck, s, e) : open_delta(ck, s, e);
    else if (rc == 0 && adapter)
        rc = open_over_own(ck, s, conf.p, e);
    else if (rc == 0)
        rc = mm_ckpt_open(ck, s->path, e);
    mm_buf_free(&conf);
    if (rc == 0 && s->lora)
        rc = mm_adapt_lora(*ck, s->lora, s->store, s->pool, e);
    if (rc < 0) {
        mm_ckpt_close(*ck);
        *ck = NULL;
    }
    return rc;
}
