/* pairs.c: see pairs.h. */
#include "train/pairs.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/rng.h"
#include "stream/cmdio.h"
#include "stream/operand.h"
#include "train/convs.h"
#include "train/pictures.h"
#include "train/texts.h"

enum { MOST = 1 << 30 };

struct mm_pairs {
    struct mm_pairs_spec s;
    struct mm_convs *convs; /* JSON; NULL: a stream, its pictures in px */
    float *px;              /* [pictures, 3, side, side] */
    size_t pictures, px_cap;
    struct mm_texts texts;
};

static size_t view(const struct mm_pairs *p)
{
    return (size_t)(3 * p->s.side * p->s.side);
}

void mm_pairs_free(struct mm_pairs *p)
{
    if (!p)
        return;
    mm_convs_free(p->convs);
    free(p->px);
    mm_texts_free(&p->texts);
    free(p);
}

/* --- texts --------------------------------------------------------------------------- */

static int add_tokens(struct mm_pairs *p, const struct mm_tensor *t, struct mm_err *e)
{
    const size_t T = t->ndim ? (size_t)t->shape[t->ndim - 1] : 1, n = mm_tensor_count(t);
    int32_t *v;
    int rc = 0;

    if (t->dtype != MM_I64 && t->dtype != MM_I32)
        return mm_err_set(e, MM_EDATA, "tokens of type %s: i32 or i64 is wanted",
                          mm_dtype_name(t->dtype));
    if (!T || !(v = malloc(T * sizeof(*v))))
        return mm_err_set(e, T ? MM_ENOMEM : MM_EDATA, T ? "out of memory" : "empty text");
    for (size_t at = 0; rc == 0 && at < n; at += T) {
        for (size_t i = 0; i < T; i++) {
            const int64_t x = t->dtype == MM_I64 ? ((const int64_t *)t->data)[at + i]
                                                 : ((const int32_t *)t->data)[at + i];

            v[i] = x < 0 || x > INT32_MAX ? -1 : (int32_t)x;
        }
        rc = mm_texts_add_ids(&p->texts, v, T, e);
    }
    free(v);
    return rc;
}

/* --- pictures ------------------------------------------------------------------------ */

static int add_pixels(struct mm_pairs *p, const struct mm_tensor *t, struct mm_err *e)
{
    const int64_t *last = t->shape + t->ndim - 3;
    const size_t n = mm_tensor_count(t) / view(p);
    char got[100];

    if (t->ndim < 3 || last[0] != 3 || last[1] != p->s.side || last[2] != p->s.side)
        return mm_err_set(e, MM_EDATA, "pixels %s, want [..., 3, %lld, %lld]",
                          mm_shape_str(got, sizeof(got), t->shape, t->ndim),
                          (long long)p->s.side, (long long)p->s.side);
    if (!mm_grow(&p->px, &p->px_cap, (p->pictures + n) * view(p), sizeof(*p->px)))
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    mm_tensor_to_f32(p->px + p->pictures * view(p), t);
    p->pictures += n;
    return 0;
}

static int read_stream(struct mm_pairs *p, struct mm_reader *r, struct mm_err *e)
{
    struct mm_rec rec;
    int rc;

    while ((rc = mm_reader_get(r, &rec, e)) > 0) {
        if (rec.type == MM_REC_TENSOR && mm_rec_is(&rec, "pixels"))
            rc = add_pixels(p, &rec.t, e);
        else if (rec.type == MM_REC_TENSOR && mm_rec_is(&rec, "tokens"))
            rc = add_tokens(p, &rec.t, e);
        else if (rec.type == MM_REC_TEXT && !mm_rec_is_error(&rec))
            rc = mm_texts_add(&p->texts, rec.data, rec.size, e);
        if (rc < 0)
            return rc;
    }
    return rc;
}

static int read_json(struct mm_pairs *p, struct mm_err *e)
{
    int rc = mm_convs_open(&p->convs, p->s.path, p->s.n, e);

    if (rc == 0 && !p->s.images)
        return mm_err_set(e, MM_EUSAGE, "the data have pictures: --images says where they are");
    for (size_t i = 0; rc == 0 && i < mm_convs_count(p->convs); i++) {
        const char *text = mm_convs_answer(p->convs, i);

        if (!text || !mm_convs_image(p->convs, i))
            rc = mm_err_set(e, MM_EDATA, "a picture and an answer are wanted");
        if (rc < 0) {
            mm_convs_blame(p->convs, i, e);
            return rc;
        }
        if ((rc = mm_pictures_there(p->s.images, mm_convs_image(p->convs, i), e)) < 0)
            return rc;
        rc = mm_texts_add(&p->texts, text, strlen(text), e);
    }
    return rc;
}

static int read_all(struct mm_pairs *p, struct mm_err *e)
{
    for (int i = 0; i < p->s.n; i++) {
        struct mm_operand op;
        int rc = mm_operand_open(&op, p->s.path[i], MOST, e);

        if (rc < 0)
            return rc;
        const bool stream = op.reader != NULL;
        if (stream && (rc = read_stream(p, op.reader, e)) < 0)
            mm_err_prefix(e, "%s", op.what);
        mm_operand_close(&op);
        if (rc < 0)
            return rc;
        if (!stream) /* all of them */
            return i == 0 ? read_json(p, e)
                          : mm_err_set(e, MM_EDATA, "%s: no stream, as those before it are",
                                       p->s.path[i]);
    }
    if (p->pictures != p->texts.n)
        return mm_err_set(e, MM_EDATA, "%zu pictures and %zu texts", p->pictures, p->texts.n);
    return 0;
}

int mm_pairs_open(struct mm_pairs **out, const struct mm_pairs_spec *s, struct mm_err *e)
{
    struct mm_pairs *p = calloc(1, sizeof(*p));

    if (!p)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    p->s = *s;
    p->texts = (struct mm_texts){ .tok = s->tok, .context = s->context, .vocab = s->vocab };
    if (read_all(p, e) < 0) {
        mm_pairs_free(p);
        return e->code;
    }
    *out = p;
    return 0;
}

size_t mm_pairs_count(const struct mm_pairs *p)
{
    return p->texts.n;
}

uint64_t mm_pairs_hash(const struct mm_pairs *p)
{
    const uint64_t h = p->convs ? mm_convs_hash(p->convs)
                                : mm_hash64(p->px, p->pictures * view(p) * sizeof(*p->px));

    return mm_hash64_add(h, p->texts.ids, p->texts.n * (size_t)p->texts.context * sizeof(*p->texts.ids));
}

const int32_t *mm_pairs_ids(const struct mm_pairs *p, size_t i)
{
    return mm_texts_ids(&p->texts, i);
}

const char *mm_pairs_image(const struct mm_pairs *p, size_t i)
{
    return p->convs ? mm_convs_image(p->convs, i) : NULL;
}

const float *mm_pairs_pixels(const struct mm_pairs *p, size_t i)
{
    return p->convs ? NULL : p->px + i * view(p);
}
