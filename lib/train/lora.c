/* lora.c: see lora.h. */
#include "train/lora.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/outfile.h"
#include "base/rng.h"
#include "train/export.h"
#include "weights/peft.h"

#define PEFT "base_model.model."

/* Linear layers of attention and MLP, as Hugging Face, Meta and GGUF call them. */
#define LINEAR                                                                                  \
    "[qkvo]_proj|gate_proj|up_proj|down_proj|w[qkvo]|w[123]|attn_[qkv]|attn_output|ffn_gate|"   \
    "ffn_up|ffn_down"

struct one {
    struct mm_lora lora;
    struct mm_var a, b;
    struct mm_var *w; /* beside which it stands */
    char *module; /* as the model's own file calls it */
    char *peft;   /* as it is written */
    size_t heads; /* > 0: rows of b are so many heads in GGUF's order, but Hugging Face's when
                     written */
};

struct mm_loras {
    struct one **v; /* each by itself: weights point to &v[i]->lora */
    size_t n, cap;
    int64_t rank;
    double alpha;
    char *targets;
};

void mm_loras_free(struct mm_loras *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < l->n; i++) {
        struct one *o = l->v[i];

        o->w->lora = NULL;
        free(o->a.t.data);
        free(o->b.t.data);
        free(o->module);
        free(o->peft);
        free(o);
    }
    free(l->v);
    free(l->targets);
    free(l);
}

/* --- which modules --------------------------------------------------------------------- */

static int compile(pcre2_code **re, const char *targets, struct mm_err *e)
{
    struct mm_buf b = { 0 };
    PCRE2_SIZE at;
    int code;

    mm_buf_printf(&b, "^(?:%s)$|(?:^|\\.)(?:%s)$", targets, targets);
    *re = b.failed ? NULL
                   : pcre2_compile((PCRE2_SPTR)b.p, b.n, PCRE2_UTF, &code, &at, NULL);
    mm_buf_free(&b);
    return *re ? 0 : mm_err_set(e, MM_EDATA, "'%.100s' is no regular expression", targets);
}

static bool matches(const pcre2_code *re, const char *module)
{
    pcre2_match_data *md = pcre2_match_data_create_from_pattern(re, NULL);
    const bool yes = md && pcre2_match(re, (PCRE2_SPTR)module, strlen(module), 0, 0, md, NULL) >= 0;

    pcre2_match_data_free(md);
    return yes;
}

/* --- making ------------------------------------------------------------------------------ */

static bool make_var(struct mm_var *v, int64_t rows, int64_t cols)
{
    *v = (struct mm_var){ .t = { .dtype = MM_F32, .ndim = 2, .shape = { rows, cols } },
                          .needs_grad = true };
    v->t.data = calloc(mm_tensor_count(&v->t) + 1, sizeof(float));
    return v->t.data != NULL;
}

/* What its name and rows become when written. */
static void plan_export(struct one *o, const struct mm_llama *m)
{
    const struct mm_llama_config *c = mm_llama_config(m);
    struct mm_peft_module p;

    if (!mm_peft_from_gguf(&p, o->module)) {
        o->peft = strdup(o->module);
        return;
    }
    o->peft = strdup(p.name);
    o->heads = p.rows == MM_PEFT_QUERY_ROWS ? (size_t)c->heads
               : p.rows == MM_PEFT_KEY_ROWS ? (size_t)c->kv_heads
                                            : 0;
}

static int add(struct mm_loras *l, const struct mm_llama *m, struct mm_var *w, const char *module,
               uint64_t seed, struct mm_err *e)
{
    struct one *o = calloc(1, sizeof(*o));
    struct mm_rng r;

    if (!o || !mm_grow(&l->v, &l->cap, l->n + 1, sizeof(struct one *))) {
        free(o);
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    }
    o->w = w;
    o->module = strdup(module);
    l->v[l->n++] = o;
    if (o->module)
        plan_export(o, m);
    if (!o->module || !o->peft || !make_var(&o->a, l->rank, w->t.shape[1]) ||
        !make_var(&o->b, w->t.shape[0], l->rank))
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    const float bound = (float)(1 / sqrt((double)w->t.shape[1]));
    mm_rng_seed(&r, mm_hash64_add(mm_hash64(&seed, sizeof(seed)), module, strlen(module)));
    for (size_t i = 0; i < mm_tensor_count(&o->a.t); i++)
        mm_f32(&o->a)[i] = bound * (float)(2 * mm_rng_uniform(&r) - 1);
    o->lora = (struct mm_lora){ &o->a, &o->b, (float)(l->alpha / (double)l->rank) };
    w->lora = &o->lora;
    return 0;
}

static int add_all(struct mm_loras *l, struct mm_llama *m, uint64_t seed, struct mm_err *e)
{
    struct mm_params *p = mm_llama_params(m);
    struct mm_peft_module hf;
    pcre2_code *re;
    int rc = compile(&re, l->targets, e);

    for (size_t i = 0; rc == 0 && i < mm_params_count(p); i++) {
        const char *name;
        struct mm_var *w = mm_params_at(p, i, &name);
        const size_t n = strlen(name);

        if (w->t.ndim != 2 || n < 7 || strcmp(name + n - 7, ".weight"))
            continue;
        char *module = strndup(name, n - 7);
        if (!module)
            rc = mm_err_set(e, MM_ENOMEM, "out of memory");
        else if (matches(re, module) || (mm_peft_from_gguf(&hf, module) && matches(re, hf.name)))
            rc = add(l, m, w, module, seed, e);
        free(module);
    }
    if (rc == 0 && !l->n)
        rc = mm_err_set(e, MM_EDATA, "no layer is called '%s'", l->targets);
    pcre2_code_free(re);
    return rc;
}

/* --- an adapter to go on from ----------------------------------------------------------------- */

/* "target_modules": one expression, or a list of ends of names */
static char *targets_of(const json_t *config)
{
    const json_t *t = json_object_get(config, "target_modules"), *x;
    struct mm_buf b = { 0 };
    size_t i;

    if (json_is_string(t))
        return strdup(json_string_value(t));
    json_array_foreach(t, i, x)
        mm_buf_printf(&b, "%s%s", i ? "|" : "", json_string_value(x) ? json_string_value(x) : "");
    if (b.failed || !b.n) {
        mm_buf_free(&b);
        return b.failed ? NULL : strdup(LINEAR);
    }
    return b.p;
}

static int read_config(struct mm_loras *l, const char *dir, struct mm_err *e)
{
    struct mm_buf path = { 0 };
    json_t *c = NULL;
    int rc;

    mm_buf_printf(&path, "%s/adapter_config.json", dir);
    rc = path.failed ? mm_err_set(e, MM_ENOMEM, "out of memory") : mm_json_file(&c, path.p, e);
    if (rc == 0) {
        l->rank = mm_json_int(c, "r", 8, e);
        l->alpha = mm_json_num(c, "lora_alpha", 8, e);
        if (mm_json_bool(c, "use_rslora", false, e)) /* the same factor, said plainly */
            l->alpha *= sqrt((double)l->rank);
        l->targets = targets_of(c);
        if (mm_json_bool(c, "use_dora", false, e))
            mm_err_set(e, MM_EMISSING, "DoRA is not supported");
        if (json_object_size(json_object_get(c, "rank_pattern")) ||
            json_object_size(json_object_get(c, "alpha_pattern")))
            mm_err_set(e, MM_EMISSING, "going on from several ranks or alphas is not supported");
        rc = e->code ? e->code
             : !l->targets ? mm_err_set(e, MM_ENOMEM, "out of memory")
             : l->rank < 1 ? mm_err_set(e, MM_EDATA, "r is %lld", (long long)l->rank)
                           : 0;
        if (rc < 0)
            mm_err_prefix(e, "%s", path.p);
    }
    json_decref(c);
    mm_buf_free(&path);
    return rc;
}

/* in, A or B of o, with its rows as the other side has them: malloc'd f32. */
static float *turned(const struct one *o, const struct mm_tensor *in, enum mm_peft_way way)
{
    const size_t n = mm_tensor_count(in);
    float *x = malloc(n * sizeof(float) + 1), *y = malloc(n * sizeof(float) + 1);

    if (x && y) {
        mm_tensor_to_f32(x, in);
        mm_peft_turn(y, x, (size_t)in->shape[0], (size_t)in->shape[1], o->heads, way);
    }
    free(x);
    return y;
}

static int read_half(struct one *o, const struct mm_ckpt *ck, char half, struct mm_err *e)
{
    struct mm_var *v = half == 'A' ? &o->a : &o->b;
    const struct mm_ckpt_entry *en;
    char name[400];

    snprintf(name, sizeof(name), PEFT "%s.lora_%c.weight", o->peft, half);
    en = mm_ckpt_lookup(ck, name);
    if (!en || !mm_shape_eq(&en->t, &v->t))
        return mm_err_set(e, MM_EDATA, "%s: tensor '%s' is missing or of another shape",
                          mm_ckpt_path(ck), name);
    mm_tensor_to_f32(mm_f32(v), &en->t);
    if (half == 'A' || !o->heads)
        return 0;
    float *y = turned(o, &v->t, MM_PEFT_TO_GGUF);
    if (!y)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    free(v->t.data);
    v->t.data = y;
    return 0;
}

static int read_weights(struct mm_loras *l, const char *dir, struct mm_err *e)
{
    struct mm_buf path = { 0 };
    struct mm_ckpt *ck = NULL;
    int rc;

    mm_buf_printf(&path, "%s/adapter_model.safetensors", dir);
    if (!path.failed && access(path.p, F_OK) < 0) {
        mm_buf_reset(&path);
        mm_buf_printf(&path, "%s/adapter_model.bin", dir);
    }
    rc = path.failed ? mm_err_set(e, MM_ENOMEM, "out of memory") : mm_ckpt_open(&ck, path.p, e);
    for (size_t i = 0; rc == 0 && i < l->n; i++)
        if ((rc = read_half(l->v[i], ck, 'A', e)) == 0)
            rc = read_half(l->v[i], ck, 'B', e);
    if (rc == 0 && mm_ckpt_count(ck) != 2 * l->n)
        rc = mm_err_set(e, MM_EDATA, "%s: %zu tensors, the model takes %zu", path.p,
                        mm_ckpt_count(ck), 2 * l->n);
    mm_ckpt_close(ck);
    mm_buf_free(&path);
    return rc;
}

int mm_loras_new(struct mm_loras **out, struct mm_llama *m, const struct mm_lora_spec *s,
                 uint64_t seed, struct mm_err *e)
{
    struct mm_loras *l = calloc(1, sizeof(*l));
    int rc = 0;

    if (!l)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    if (s->from) {
        rc = read_config(l, s->from, e);
    } else {
        l->rank = s->rank;
        l->alpha = s->alpha;
        if (!(l->targets = strdup(s->targets ? s->targets : LINEAR)))
            rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    }
    if (rc == 0 && (rc = add_all(l, m, seed, e)) == 0 && s->from)
        rc = read_weights(l, s->from, e);
    if (rc < 0)
        mm_loras_free(l);
    else
        *out = l;
    return rc;
}

int mm_loras_add(struct mm_set *s, struct mm_loras *l, double decay, double rate,
                 struct mm_err *e)
{
    char name[400];
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < 2 * l->n; i++) {
        struct one *o = l->v[i / 2];

        snprintf(name, sizeof(name), PEFT "%s.lora_%c.weight", o->module, i % 2 ? 'B' : 'A');
        rc = mm_set_var(s, i % 2 ? &o->b : &o->a, name, decay, rate, e);
    }
    return rc;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Every module by its whole name: peft takes an expression only if it fits a whole name, and
 * the end of one may fit another tower's layers too. */
static json_t *modules(const struct mm_loras *l)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < l->n; i++)
        json_array_append_new(list, json_string(l->v[i]->peft));
    return list;
}

static int write_config(const char *dir, const struct mm_loras *l, const char *base,
                        struct mm_err *e)
{
    json_t *c = json_pack("{s:s,s:s,s:I,s:f,s:f,s:s,s:o,s:b,s:b,s:b,s:b,s:n}",
                          "peft_type", "LORA", "base_model_name_or_path", base,
                          "r", (json_int_t)l->rank, "lora_alpha", l->alpha,
                          "lora_dropout", 0.0, "bias", "none", "target_modules", modules(l),
                          "fan_in_fan_out", 0, "inference_mode", 1, "use_rslora", 0,
                          "use_dora", 0, "task_type");
    char *text = c ? json_dumps(c, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    struct mm_outfile *f = NULL;
    struct mm_buf path = { 0 };
    int rc;

    mm_buf_printf(&path, "%s/adapter_config.json", dir);
    if (!text || path.failed)
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    else if ((rc = mm_outfile_open(&f, path.p, e)) == 0) {
        mm_outfile_write(f, text, strlen(text));
        rc = mm_outfile_commit(f, e);
    }
    free(text);
    json_decref(c);
    mm_buf_free(&path);
    return rc;
}

/* The adapter that a trained weight is half of; NULL: it is something else. */
static const struct one *owner(const struct mm_loras *l, const struct mm_var *v)
{
    for (size_t i = 0; i < l->n; i++)
        if (v == &l->v[i]->a || v == &l->v[i]->b)
            return l->v[i];
    return NULL;
}

/* The half t of o as it is written: malloc'd data of a dtype; NULL: out of memory. */
static void *written(const struct one *o, const struct mm_set *s, const struct mm_trained *t,
                     enum mm_dtype dtype)
{
    struct mm_tensor x = t->var->t;

    x.data = mm_export_data(s, t);
    if (t->var == &o->a || !o->heads)
        return mm_export_as(&x, dtype);
    float *y = turned(o, &x, MM_PEFT_FROM_GGUF);
    x.data = y;
    void *out = y ? mm_export_as(&x, dtype) : NULL;
    free(y);
    return out;
}

int mm_loras_export(const char *dir, const struct mm_loras *l, const struct mm_set *s,
                    const char *base, enum mm_dtype dtype, struct mm_err *e)
{
    struct mm_named *v = calloc(2 * l->n + 1, sizeof(*v));
    char (*name)[400] = calloc(2 * l->n + 1, sizeof(*name));
    json_t *meta = json_pack("{s:s}", "format", "pt");
    struct mm_buf path = { 0 };
    size_t n = 0;
    int rc = mm_export_dir(dir, e);

    mm_buf_printf(&path, "%s/adapter_model.safetensors", dir);
    if (rc == 0 && (!v || !name || !meta || path.failed))
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    for (size_t i = 0; rc == 0 && i < s->n; i++) {
        const struct mm_trained *t = &s->v[i];
        const struct one *o = owner(l, t->var);

        if (!o)
            continue;
        snprintf(name[n], sizeof(name[n]), PEFT "%s.lora_%c.weight", o->peft,
                 t->var == &o->a ? 'A' : 'B');
        v[n] = (struct mm_named){ name[n], t->var->t };
        v[n].t.dtype = dtype == MM_NDTYPE ? MM_F32 : dtype;
        v[n].t.data = written(o, s, t, v[n].t.dtype);
        if (!v[n++].t.data)
            rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    }
    if (rc == 0 && (rc = mm_write_safetensors(path.p, v, n, meta, e)) == 0)
        rc = write_config(dir, l, base, e);
    for (size_t i = 0; i < n; i++)
        free(v[i].t.data);
    free(v);
    free(name);
    json_decref(meta);
    mm_buf_free(&path);
    return rc;
}
