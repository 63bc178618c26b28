/* spm_proto.c: reader of sentencepiece_model.proto (proto2 wire format).
 *
 *   ModelProto: 1 pieces {1 piece, 2 score, 3 type}, 2 trainer_spec, 3 normalizer_spec
 */
#include <string.h>

#include "base/io.h"
#include "base/utf8.h"
#include "text/spm.h"

enum { PIECE_MAX = 2048 }; /* bytes; bounds the time of a unigram step */

struct reader {
    const unsigned char *start, *p, *end; /* of the message */
    const unsigned char *file;            /* for offsets in messages */
    struct mm_err *e;
};

struct field {
    uint64_t number;
    uint64_t value;         /* varint, fixed */
    const unsigned char *p; /* length-delimited */
    size_t n;
    int wire;
};

static int bad(const struct reader *r, const char *what)
{
    return mm_err_set(r->e, MM_EDATA, "offset %zu: %s", (size_t)(r->p - r->file), what);
}

static int read_varint(struct reader *r, uint64_t *v)
{
    *v = 0;
    for (int shift = 0; shift < 70; shift += 7) {
        if (r->p == r->end)
            return bad(r, "truncated number");
        const unsigned char c = *r->p++;
        *v |= (uint64_t)(c & 0x7F) << (shift < 64 ? shift : 63);
        if (c < 0x80)
            return 0;
    }
    return bad(r, "number of more than 10 bytes");
}

static int take(struct reader *r, struct field *f, uint64_t n)
{
    if (n > (uint64_t)(r->end - r->p))
        return bad(r, "field runs past the end");
    f->p = r->p;
    f->n = (size_t)n;
    r->p += n;
    return 0;
}

/* 1: a field, 0: end of the message, or an error. */
static int next_field(struct reader *r, struct field *f)
{
    uint64_t key, n;
    int rc;

    if (r->p == r->end)
        return 0;
    if ((rc = read_varint(r, &key)) < 0)
        return rc;
    *f = (struct field){ .number = key >> 3, .wire = (int)(key & 7) };
    switch (f->wire) {
    case 0:
        rc = read_varint(r, &f->value);
        break;
    case 1:
        if ((rc = take(r, f, 8)) == 0)
            f->value = mm_get_u64(f->p);
        break;
    case 2:
        if ((rc = read_varint(r, &n)) == 0)
            rc = take(r, f, n);
        break;
    case 5:
        if ((rc = take(r, f, 4)) == 0)
            f->value = mm_get_u32(f->p);
        break;
    default:
        return bad(r, "no SentencePiece model (wire type)");
    }
    return rc < 0 ? rc : 1;
}

static struct reader inside(const struct reader *r, const struct field *f)
{
    return (struct reader){
        .start = f->p, .p = f->p, .end = f->p + f->n, .file = r->file, .e = r->e
    };
}

static int read_piece(struct mm_tok *t, struct reader r)
{
    struct field f, piece = { 0 };
    float score = 0;
    uint64_t type = MM_P_NORMAL;
    int rc;

    while ((rc = next_field(&r, &f)) > 0) {
        if (f.number == 1 && f.wire == 2)
            piece = f;
        else if (f.number == 2 && f.wire == 5)
            memcpy(&score, &(uint32_t){ (uint32_t)f.value }, sizeof(score));
        else if (f.number == 3 && f.wire == 0)
            type = f.value;
    }
    if (rc < 0)
        return rc;
    if (piece.n == 0 || piece.n > PIECE_MAX)
        return bad(&r, piece.n ? "piece too long" : "empty piece");
    if (type < MM_P_NORMAL || type > MM_P_BYTE)
        return bad(&r, "unknown type of piece");
    if (score != score)
        return bad(&r, "score is not a number");
    return mm_vocab_set(&t->vocab, (int32_t)t->vocab.n, (const char *)piece.p, piece.n,
                        (enum mm_ptype)type, score, r.e);
}

static int32_t as_id(uint64_t v)
{
    return v < MM_VOCAB_MAX ? (int32_t)v : -1; /* -1 is stored in ten bytes */
}

static int read_trainer(struct mm_tok *t, struct mm_spm *m, struct reader r)
{
    struct field f;
    int rc;

    while ((rc = next_field(&r, &f)) > 0)
        switch (f.number) {
        case 3:
            if (f.value != MM_SPM_UNIGRAM && f.value != MM_SPM_BPE)
                return mm_err_set(r.e, MM_EMISSING, "SentencePiece model type %llu",
                                  (unsigned long long)f.value);
            m->type = (enum mm_spm_type)f.value;
            break;
        case 24: m->suffix = f.value != 0; break;
        case 35: m->byte_fallback = f.value != 0; break;
        case 40: t->unk = as_id(f.value); break;
        case 41: t->bos = as_id(f.value); break;
        case 42: t->eos = as_id(f.value); break;
        case 43: t->pad = as_id(f.value); break;
        case 44:
            free(m->unk_surface);
            if (!(m->unk_surface = strndup((const char *)f.p, f.n)))
                return mm_err_set(r.e, MM_ENOMEM, "out of memory");
            break;
        }
    return rc;
}

static int read_normalizer(struct mm_spm *m, struct reader r)
{
    struct field f;
    int rc;

    while ((rc = next_field(&r, &f)) > 0)
        switch (f.number) {
        case 2:
            if (f.n > 0 && (rc = mm_spm_set_charsmap(m, f.p, f.n, r.e)) < 0)
                return rc;
            break;
        case 3: m->dummy_prefix = f.value != 0; break;
        case 4: m->remove_extra = f.value != 0; break;
        case 5: m->escape = f.value != 0; break;
        }
    return rc;
}

static void defaults(struct mm_tok *t, struct mm_spm *m)
{
    m->type = MM_SPM_UNIGRAM;
    m->dummy_prefix = true;
    m->remove_extra = true;
    m->escape = true;
    t->unk = 0;
    t->bos = 1;
    t->eos = 2;
    t->pad = -1;
}

/* A mark that is no control symbol is none. */
static int32_t control_or_none(const struct mm_vocab *v, int32_t id)
{
    return id >= 0 && (size_t)id < v->n && v->v[id].type == MM_P_CONTROL ? id : -1;
}

int mm_spm_parse(struct mm_tok *t, struct mm_spm *m, const unsigned char *data, size_t n,
                 struct mm_err *e)
{
    struct reader r = { .start = data, .p = data, .end = data + n, .file = data, .e = e };
    struct field f;
    int rc;

    defaults(t, m);
    while ((rc = next_field(&r, &f)) > 0) {
        if (f.wire != 2)
            continue;
        if (f.number == 1)
            rc = read_piece(t, inside(&r, &f));
        else if (f.number == 2)
            rc = read_trainer(t, m, inside(&r, &f));
        else if (f.number == 3)
            rc = read_normalizer(m, inside(&r, &f));
        if (rc < 0)
            return rc;
    }
    if (rc < 0)
        return rc;
    if (t->vocab.n == 0)
        return mm_err_set(e, MM_EDATA, "no pieces: no SentencePiece model");
    if ((size_t)t->unk >= t->vocab.n || t->vocab.v[t->unk].type != MM_P_UNKNOWN)
        for (t->unk = (int32_t)t->vocab.n - 1;
             t->unk >= 0 && t->vocab.v[t->unk].type != MM_P_UNKNOWN; t->unk--)
            ;
    if (t->unk < 0)
        return mm_err_set(e, MM_EDATA, "no piece of type unknown");
    t->bos = control_or_none(&t->vocab, t->bos);
    t->eos = control_or_none(&t->vocab, t->eos);
    t->pad = control_or_none(&t->vocab, t->pad);
    return 0;
}
