/* lm.c: objective `lm`: the next token of texts (Radford 2018; Touvron 2023).
 *
 * A row of T ids predicts T - 1: logits i are scored against id i + 1.
 */
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "model/llama.h"
#include "train/corpus.h"
#include "train/export.h"
#include "train/objectives.h"

struct lm {
    struct mm_ckpt *ck;
    struct mm_llama *m;
    struct mm_tok *tok; /* NULL: none */
    struct mm_corpus corpus;
};

static void lm_close(void *own)
{
    struct lm *l = own;

    if (!l)
        return;
    mm_corpus_free(&l->corpus);
    mm_tok_free(l->tok);
    mm_llama_free(l->m);
    mm_ckpt_close(l->ck);
    free(l);
}

static int open_model(struct lm *l, const struct mm_job_spec *s, struct mm_err *e)
{
    struct mm_err why = { 0 };
    char *path = NULL;
    int rc = mm_ckpt_find(&path, s->model, e);

    if (rc == 0)
        rc = mm_ckpt_open(&l->ck, path, e);
    free(path);
    if (rc < 0 || (rc = mm_llama_open(&l->m, l->ck, e)) < 0)
        return rc;
    rc = mm_tok_open(&l->tok, s->tokenizer ? s->tokenizer : mm_ckpt_dir(l->ck), &why);
    return rc < 0 && rc != MM_ENOENT ? mm_err_set(e, rc, "%s", why.msg) : 0;
}

static int lm_open(struct mm_job *j, struct mm_err *e)
{
    static const char *const all[] = { "*", NULL };
    const struct mm_job_spec *s = j->spec;
    const struct mm_set_spec set = {
        .train = s->train[0] ? s->train : all, .freeze = s->freeze,
        .decay = s->decay, .rate = 1
    };
    struct lm *l = j->own = calloc(1, sizeof(*l));
    int rc = l ? open_model(l, s, e) : mm_err_set(e, MM_ENOMEM, "out of memory");

    if (rc < 0)
        return rc;
    const struct mm_corpus_spec corpus = { .path = s->data, .n = s->ndata, .lines = s->lines,
                                           .row = s->context ? s->context : 256, .tok = l->tok,
                                           .vocab = mm_llama_config(l->m)->vocab };
    if ((rc = mm_corpus_load(&l->corpus, &corpus, j->ctx.pool, e)) < 0 ||
        (rc = mm_set_add(&j->set, mm_llama_params(l->m), &set, e)) < 0)
        return rc;
    j->nsamples = l->corpus.rows;
    j->data = mm_hash64_add(mm_hash64(&l->corpus.row, sizeof(l->corpus.row)), l->corpus.ids,
                            l->corpus.n * sizeof(*l->corpus.ids));
    j->model = mm_ckpt_fingerprint(l->ck);
    return 0;
}

static int64_t lm_count(void *own, struct mm_ctx *c, const size_t *sample, size_t n)
{
    const struct lm *l = own;
    int64_t count = 0;
    size_t len;

    (void)c;
    for (size_t i = 0; i < n; i++) {
        (void)mm_corpus_row(&l->corpus, sample[i], &len);
        count += (int64_t)len - 1;
    }
    return count;
}

static struct mm_var *lm_loss(void *own, struct mm_ctx *c, const size_t *sample, size_t n,
                              float scale)
{
    const struct lm *l = own;
    int32_t *ids = mm_ctx_alloc(c, n * l->corpus.row, sizeof(*ids));
    int32_t *target = mm_ctx_alloc(c, n * l->corpus.row, sizeof(*target));
    struct mm_seq *seq = mm_ctx_alloc(c, n, sizeof(*seq));
    size_t rows = 0;

    if (!ids || !target || !seq)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        const int32_t *row = mm_corpus_row(&l->corpus, sample[i], &seq[i].n);

        memcpy(ids + rows, row, seq[i].n * sizeof(*ids));
        memcpy(target + rows, row + 1, (seq[i].n - 1) * sizeof(*ids));
        target[rows + seq[i].n - 1] = -1;
        seq[i].kv = NULL;
        seq[i].rope_len = 0;
        rows += seq[i].n;
    }
    return mm_llama_loss(c, l->m, mm_llama_embed(c, l->m, ids, rows), seq, n, target, scale);
}

static int lm_export(struct mm_job *j, struct mm_err *e)
{
    const struct lm *l = j->own;

    return mm_export_model(j->spec->out, l->ck, &j->set, j->spec->dtype, NULL, e);
}

const struct mm_objective mm_objective_lm = {
    .name = "lm", .what = "the next token of texts", .lr = 1e-3, .takes = MM_TAKES_TEXTS,
    .open = lm_open, .close = lm_close, .count = lm_count, .loss = lm_loss, .export = lm_export
};
