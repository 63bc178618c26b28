/* prompt.c: parts and positions of a prompt.  See prompt.h and llava.md 6. */
#include "model/prompt.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/progress.h"
#include "base/rng.h"
#include "base/size.h"

static const struct {
    const char *modality, *marker;
} markers[] = {
    { "image", "<image>" }, { "video", "<video>" }, { "audio", "<audio>" }, { "text", "<text>" }
};
enum { NMARKERS = sizeof(markers) / sizeof(*markers) };

static int no_memory(struct mm_err *e)
{
    return mm_err_set(e, MM_ENOMEM, "prompt: out of memory");
}

/* --- parts --------------------------------------------------------------------- */

static void part_free(struct mm_part *p)
{
    if (p->borrowed)
        return;
    free(p->s);
    free(p->rows);
    free(p->hash);
    free(p->ids);
}

void mm_parts_free(struct mm_parts *p)
{
    for (size_t i = 0; i < p->n; i++)
        part_free(&p->v[i]);
    free(p->v);
    *p = (struct mm_parts){ 0 };
}

/* Takes the part over, also on failure. */
static int add_part(struct mm_parts *p, struct mm_part part, struct mm_err *e)
{
    if (!mm_grow(&p->v, &p->cap, p->n + 1, sizeof(*p->v))) {
        part_free(&part);
        return no_memory(e);
    }
    p->v[p->n++] = part;
    return 0;
}

int mm_parts_text(struct mm_parts *p, enum mm_part_kind kind, const char *s, size_t n,
                  struct mm_err *e)
{
    struct mm_part part = { .kind = kind, .n = n, .s = malloc(n + 1) };

    if (!part.s)
        return no_memory(e);
    if (n)
        memcpy(part.s, s, n);
    part.s[n] = '\0';
    if (kind == MM_PART_USER)
        part.marker = "<text>";
    return add_part(p, part, e);
}

int mm_parts_rows(struct mm_parts *p, const char *marker, const struct mm_tensor *t, int64_t dim,
                  struct mm_err *e)
{
    char shape[100];
    struct mm_part part = { .kind = MM_PART_ROWS, .marker = marker };
    const size_t count = mm_tensor_count(t);
    const size_t width = (size_t)dim;
    size_t bytes;

    if (t->dtype > MM_BF16)
        return mm_err_set(e, MM_ESHAPE, "embeddings of type %s, want floating point",
                          mm_dtype_name(t->dtype));
    if (t->ndim < 1 || t->shape[t->ndim - 1] != dim)
        return mm_err_set(e, MM_ESHAPE, "embeddings %s, the language model's rows have %lld",
                          mm_shape_str(shape, sizeof(shape), t->shape, t->ndim), (long long)dim);
    part.n = count / width;
    if (!mm_size_mul(count + 1, sizeof(float), &bytes))
        return no_memory(e);
    part.rows = malloc(bytes);
    part.hash = calloc(part.n + 1, sizeof(*part.hash));
    if (!part.rows || !part.hash) {
        part_free(&part);
        return no_memory(e);
    }
    mm_tensor_to_f32(part.rows, t);
    for (size_t i = 0; i < count; i++)
        if (!isfinite(part.rows[i])) {
            part_free(&part);
            return mm_err_set(e, MM_EDATA, "embeddings: row %zu, column %zu is not finite",
                              i / width, i % width);
        }
    for (size_t i = 0; i < part.n; i++)
        part.hash[i] = mm_hash64(part.rows + i * width, width * sizeof(float));
    return add_part(p, part, e);
}

int mm_parts_known(struct mm_parts *p, const char *marker, const uint64_t *hash, size_t n,
                   struct mm_err *e)
{
    struct mm_part part = { .kind = MM_PART_ROWS, .n = n };

    for (size_t i = 0; marker && i < NMARKERS; i++)
        if (strcmp(marker, markers[i].marker) == 0)
            part.marker = markers[i].marker; /* ours is static */
    part.hash = calloc(n + 1, sizeof(*part.hash));
    if (!part.hash)
        return no_memory(e);
    memcpy(part.hash, hash, n * sizeof(*hash));
    return add_part(p, part, e);
}

/* Element i of an integer tensor; a value that no int64 holds becomes -1. */
static int64_t integer_at(const struct mm_tensor *t, size_t i)
{
    const unsigned char *p = (const unsigned char *)t->data + i * mm_dtype_block_bytes(t->dtype);
    uint64_t u = 0;

    memcpy(&u, p, mm_dtype_block_bytes(t->dtype)); /* little-endian, as the data is */
    switch (t->dtype) {
    case MM_I32: return (int32_t)(uint32_t)u;
    case MM_I16: return (int16_t)(uint16_t)u;
    case MM_I8: return (int8_t)(uint8_t)u;
    default: return u > INT64_MAX ? -1 : (int64_t)u;
    }
}

int mm_parts_ids(struct mm_parts *p, const struct mm_tensor *t, int64_t vocab, struct mm_err *e)
{
    struct mm_part part = { .kind = MM_PART_IDS, .n = mm_tensor_count(t) };

    if (t->dtype < MM_I64 || t->dtype > MM_U8)
        return mm_err_set(e, MM_ESHAPE, "tokens of type %s, want integers",
                          mm_dtype_name(t->dtype));
    part.ids = calloc(part.n + 1, sizeof(*part.ids));
    if (!part.ids)
        return no_memory(e);
    for (size_t i = 0; i < part.n; i++) {
        const int64_t id = integer_at(t, i);
        if (id < 0 || id >= vocab) {
            part_free(&part);
            return mm_err_set(e, MM_EDATA, "tokens: element %zu is %lld, the vocabulary has %lld",
                              i, (long long)id, (long long)vocab);
        }
        part.ids[i] = (int32_t)id;
    }
    return add_part(p, part, e);
}

/* --- markers -------------------------------------------------------------------- */

const char *mm_part_marker(const char *modality)
{
    for (size_t i = 0; i < NMARKERS; i++)
        if (!modality || strcmp(modality, markers[i].modality) == 0)
            return markers[i].marker;
    return NULL;
}

/* The marker that stands at s, or NULL. */
static const char *marker_at(const char *s, size_t n)
{
    for (size_t i = 0; i < NMARKERS; i++) {
        const size_t len = strlen(markers[i].marker);
        if (n >= len && memcmp(s, markers[i].marker, len) == 0)
            return markers[i].marker;
    }
    return NULL;
}

bool mm_has_marker(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (s[i] == '<' && marker_at(s + i, n - i))
            return true;
    return false;
}

static int check_counts(const char *s, size_t n, const struct mm_parts *media, struct mm_err *e)
{
    for (size_t k = 0; k < NMARKERS; k++) {
        const char *m = markers[k].marker;
        size_t want = 0;
        size_t have = 0;
        for (size_t i = 0; i < n; i++)
            want += s[i] == '<' && marker_at(s + i, n - i) == m;
        for (size_t i = 0; i < media->n; i++)
            have += media->v[i].marker && strcmp(media->v[i].marker, m) == 0;
        if (want != have)
            return mm_err_set(e, MM_EDATA, "the prompt has %zu %s, the item has %zu records for it",
                              want, m, have);
    }
    for (size_t i = 0; i < media->n; i++)
        if (!media->v[i].marker)
            return mm_err_set(e, MM_EDATA, "a record of token ids cannot fill a prompt's markers");
    return 0;
}

int mm_parts_fill(struct mm_parts *p, enum mm_part_kind kind, const char *s, size_t n,
                  struct mm_parts *media, struct mm_err *e)
{
    size_t start = 0;
    int rc = check_counts(s, n, media, e);

    for (size_t i = 0; i < n && rc == 0; i++) {
        const char *m = s[i] == '<' ? marker_at(s + i, n - i) : NULL;
        if (!m)
            continue;
        if (i > start)
            rc = mm_parts_text(p, kind, s + start, i - start, e);
        size_t k = 0;
        while (!media->v[k].marker || strcmp(media->v[k].marker, m) != 0)
            k++;
        if (rc == 0) {
            const struct mm_part part = media->v[k];
            media->v[k] = (struct mm_part){ 0 };
            rc = add_part(p, part, e);
        }
        i += strlen(m) - 1;
        start = i + 1;
    }
    if (rc == 0 && (start < n || p->n == 0))
        rc = mm_parts_text(p, kind, s + start, n - start, e);
    return rc;
}

int mm_parts_move(struct mm_parts *p, struct mm_parts *media, struct mm_err *e)
{
    int rc = 0;

    for (size_t i = 0; i < media->n && rc == 0; i++) {
        const struct mm_part part = media->v[i];
        media->v[i] = (struct mm_part){ 0 };
        rc = add_part(p, part, e);
    }
    return rc;
}

int mm_parts_borrow(struct mm_parts *p, const struct mm_parts *src, struct mm_err *e)
{
    int rc = 0;

    for (size_t i = 0; i < src->n && rc == 0; i++) {
        struct mm_part part = src->v[i];
        part.borrowed = true;
        rc = add_part(p, part, e);
    }
    return rc;
}

void mm_parts_spell(struct mm_buf *out, const struct mm_parts *p)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct mm_part *part = &p->v[i];
        if (part->kind == MM_PART_TEXT || part->kind == MM_PART_USER)
            mm_buf_add(out, part->s, part->n);
        else if (part->marker)
            mm_buf_str(out, part->marker);
    }
}

/* --- positions ------------------------------------------------------------------- */

void mm_prompt_free(struct mm_prompt *p)
{
    free(p->id);
    free(p->row);
    free(p->hash);
    *p = (struct mm_prompt){ 0 };
}

int mm_prompt_add(struct mm_prompt *p, int32_t id)
{
    if (!mm_grow(&p->id, &p->cap, p->n + 1, sizeof(*p->id)))
        return MM_ENOMEM;
    p->id[p->n++] = id;
    return 0;
}

static int add_rows(struct mm_prompt *p, const struct mm_part *part, int64_t dim)
{
    if (!mm_grow(&p->row, &p->row_cap, p->nrows + part->n + 1, sizeof(*p->row)) ||
        !mm_grow(&p->hash, &p->hash_cap, p->nrows + part->n + 1, sizeof(*p->hash)))
        return MM_ENOMEM;
    for (size_t i = 0; i < part->n; i++) {
        const int32_t r = (int32_t)p->nrows;
        p->row[p->nrows] = part->rows ? part->rows + i * (size_t)dim : NULL;
        p->hash[p->nrows++] = part->hash[i];
        if (mm_prompt_add(p, ~r) < 0)
            return MM_ENOMEM;
    }
    return 0;
}

int mm_prompt_copy(struct mm_prompt *dst, const struct mm_prompt *src)
{
    if (!mm_grow(&dst->id, &dst->cap, src->n + 1, sizeof(*dst->id)) ||
        !mm_grow(&dst->row, &dst->row_cap, src->nrows + 1, sizeof(*dst->row)) ||
        !mm_grow(&dst->hash, &dst->hash_cap, src->nrows + 1, sizeof(*dst->hash)))
        return MM_ENOMEM;
    if (src->n)
        memcpy(dst->id, src->id, src->n * sizeof(*dst->id));
    if (src->nrows) {
        memcpy(dst->row, src->row, src->nrows * sizeof(*dst->row));
        memcpy(dst->hash, src->hash, src->nrows * sizeof(*dst->hash));
    }
    dst->n = src->n;
    dst->nrows = src->nrows;
    return 0;
}

size_t mm_prompt_common(const struct mm_prompt *a, const struct mm_prompt *b)
{
    size_t i = 0;

    for (; i < a->n && i < b->n; i++) {
        const bool rows = a->id[i] < 0 && b->id[i] < 0;
        if (rows ? a->hash[~a->id[i]] != b->hash[~b->id[i]] : a->id[i] != b->id[i])
            break;
    }
    return i;
}

/* --- build ------------------------------------------------------------------------ */

struct builder {
    struct mm_prompt *p;
    const struct mm_prompt_spec *spec;
    struct mm_buf text;           /* gathered, not yet tokenized */
    const struct mm_part **held;  /* pictures whose tokens stand in text */
    size_t nheld, held_cap;
    int32_t place;                /* the token that a row overwrites; -1: none */
    bool begun;                   /* BOS is behind us */
    struct mm_err *e;
};

/* Add ids, the rows of held pictures in place of their tokens. */
static int place_ids(struct builder *b, const struct mm_ids *ids, size_t from)
{
    size_t h = 0;

    for (size_t i = from; i < ids->n; i++) {
        if (b->place < 0 || ids->v[i] != b->place || h >= b->nheld) {
            if (mm_prompt_add(b->p, ids->v[i]) < 0)
                return no_memory(b->e);
            continue;
        }
        if (add_rows(b->p, b->held[h], b->spec->dim) < 0)
            return no_memory(b->e);
        if (b->spec->style == MM_MARK_PATCH) /* one token a row */
            i += b->held[h]->n - 1;
        h++;
    }
    if (h != b->nheld)
        return mm_err_set(b->e, MM_EBUG, "prompt: %zu of %zu pictures found their place", h,
                          b->nheld);
    b->nheld = 0;
    return 0;
}

static int encode(struct builder *b, const char *s, size_t n, unsigned flags)
{
    const struct mm_tok *tok = b->spec->tok;
    struct mm_ids ids = { 0 };
    size_t from = 0;

    if (!tok)
        return mm_err_set(b->e, MM_EMISSING,
                          "the model has no tokenizer: a prompt must be token ids or embeddings");
    if (!b->begun)
        flags |= MM_TOK_SPECIAL;
    int rc = mm_tok_encode(tok, &ids, s, n, flags, b->e);
    if (rc == 0 && !b->begun && ids.n >= 2 && ids.v[0] == mm_tok_bos(tok) && ids.v[1] == ids.v[0])
        from = 1; /* the text spelled it already */
    if (rc == 0)
        rc = place_ids(b, &ids, from);
    b->begun = true;
    mm_ids_free(&ids);
    return rc;
}

static int flush(struct builder *b)
{
    int rc = 0;

    if (b->text.failed)
        return no_memory(b->e);
    if (b->text.n)
        rc = encode(b, b->text.p, b->text.n, MM_TOK_PARSE);
    mm_buf_reset(&b->text);
    return rc;
}

/* Would parsing change what this text means? */
static int spells_special(struct builder *b, const struct mm_part *part, bool *yes)
{
    struct mm_ids parsed = { 0 };
    struct mm_ids plain = { 0 };
    const struct mm_tok *tok = b->spec->tok;
    int rc = mm_tok_encode(tok, &parsed, part->s, part->n, MM_TOK_PARSE, b->e);

    if (rc == 0)
        rc = mm_tok_encode(tok, &plain, part->s, part->n, 0, b->e);
    *yes = parsed.n != plain.n ||
           (plain.n && memcmp(parsed.v, plain.v, plain.n * sizeof(*plain.v)) != 0);
    mm_ids_free(&parsed);
    mm_ids_free(&plain);
    return rc;
}

/* User text joins the text around it, so that words merge across the border as
 * the reference's do, unless it spells a special token: then it stands alone. */
static int add_user(struct builder *b, const struct mm_part *part)
{
    bool alone = false;
    int rc = b->spec->tok ? spells_special(b, part, &alone) : 0;

    if (rc < 0 || !alone) {
        mm_buf_add(&b->text, part->s, part->n);
        return rc;
    }
    rc = flush(b);
    return rc < 0 ? rc : encode(b, part->s, part->n, 0);
}

static int add_picture(struct builder *b, const struct mm_part *part)
{
    const bool image = part->marker && strcmp(part->marker, "<image>") == 0;

    if (b->place >= 0 && image && part->n) {
        if (!mm_grow(&b->held, &b->held_cap, b->nheld + 1, sizeof(*b->held)))
            return no_memory(b->e);
        b->held[b->nheld++] = part;
        if (b->spec->style == MM_MARK_TOKEN) {
            mm_buf_str(&b->text, "<image>");
            return 0;
        }
        mm_buf_str(&b->text, "<im_start>");
        for (size_t i = 0; i < part->n; i++)
            mm_buf_str(&b->text, "<im_patch>");
        mm_buf_str(&b->text, "<im_end>");
        return 0;
    }
    int rc = flush(b);
    if (rc == 0 && !b->begun && b->spec->tok)
        rc = encode(b, "", 0, MM_TOK_PARSE);
    if (rc == 0 && add_rows(b->p, part, b->spec->dim) < 0)
        rc = no_memory(b->e);
    return rc;
}

static int add_ids(struct builder *b, const struct mm_part *part)
{
    int rc = flush(b);

    for (size_t i = 0; i < part->n && rc == 0; i++)
        if (mm_prompt_add(b->p, part->ids[i]) < 0)
            rc = no_memory(b->e);
    b->begun = true;
    return rc;
}

/* The token that stands for a picture in the vocabulary, -1 if there is none. */
static int32_t placeholder(const struct mm_prompt_spec *spec)
{
    static const char *const name[] = {
        [MM_MARK_TOKEN] = "<image>", [MM_MARK_PATCH] = "<im_patch>"
    };

    if (!spec->tok || spec->style == MM_MARK_CHUNK)
        return -1;
    return mm_tok_id(spec->tok, name[spec->style]);
}

int mm_prompt_build(struct mm_prompt *p, const struct mm_prompt_spec *spec,
                    const struct mm_parts *parts, struct mm_err *e)
{
    struct builder b = { .p = p, .spec = spec, .place = placeholder(spec), .e = e };
    const double start = spec->seconds ? mm_now() : 0;
    int rc = 0;

    for (size_t i = 0; i < parts->n && rc == 0; i++) {
        const struct mm_part *part = &parts->v[i];
        switch (part->kind) {
        case MM_PART_TEXT: mm_buf_add(&b.text, part->s, part->n); break;
        case MM_PART_USER: rc = add_user(&b, part); break;
        case MM_PART_ROWS: rc = add_picture(&b, part); break;
        case MM_PART_IDS:  rc = add_ids(&b, part); break;
        }
    }
    if (rc == 0)
        rc = flush(&b);
    if (rc == 0 && !b.begun && spec->tok)
        rc = encode(&b, "", 0, MM_TOK_PARSE);
    mm_buf_free(&b.text);
    free(b.held);
    if (spec->seconds)
        *spec->seconds += mm_now() - start;
    return rc;
}
