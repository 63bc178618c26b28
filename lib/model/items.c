/* items.c: records to items.  See items.h. */
#include "model/items.h"

#include <stdlib.h>
#include <string.h>

static int no_memory(struct mm_err *e)
{
    return mm_err_set(e, MM_ENOMEM, "records: out of memory");
}

void mm_item_free(struct mm_item *it)
{
    mm_parts_free(&it->parts);
    for (size_t i = 0; i < it->nsource; i++)
        free(it->source[i]);
    free(it->source);
    for (size_t i = 0; i < it->nother; i++) {
        free(it->other[i].data);
        mm_rec_free(&it->other[i]);
    }
    free(it->other);
    *it = (struct mm_item){ 0 };
}

int mm_item_source(struct mm_item *it, const char *source, struct mm_err *e)
{
    for (size_t i = 0; i < it->nsource; i++)
        if (strcmp(it->source[i], source) == 0)
            return 0;
    if (!mm_grow(&it->source, &it->source_cap, it->nsource + 1, sizeof(*it->source)))
        return no_memory(e);
    it->source[it->nsource] = strdup(source);
    return it->source[it->nsource++] ? 0 : no_memory(e);
}

/* Keep a copy of what is no part. */
static int keep(struct mm_item *it, const struct mm_rec *rec, struct mm_err *e)
{
    if (!mm_grow(&it->other, &it->other_cap, it->nother + 1, sizeof(*it->other)))
        return no_memory(e);
    struct mm_rec *r = &it->other[it->nother];
    mm_rec_init(r, rec->type);
    r->data = malloc(rec->size + 1);
    if (!r->data || mm_rec_copy_attrs(r, rec) < 0) {
        free(r->data);
        mm_rec_free(r);
        return no_memory(e);
    }
    if (rec->size)
        memcpy(r->data, rec->data, rec->size);
    r->size = rec->size;
    r->t = rec->t;
    r->t.data = r->data;
    it->nother++;
    return 0;
}

static int add_embeds(struct mm_items *s, struct mm_item *it, const struct mm_rec *rec,
                      struct mm_err *fault)
{
    const char *modality = mm_rec_attr(rec, "modality");
    const char *marker = mm_part_marker(modality);

    if (!marker)
        return mm_err_set(fault, MM_EDATA, "embeddings of unknown modality '%s'", modality);
    return mm_parts_rows(&it->parts, marker, &rec->t, s->dim, fault);
}

/* One record into the item.  What is wrong with the record is the item's fault. */
static int add(struct mm_items *s, struct mm_item *it, struct mm_err *e)
{
    const struct mm_rec *rec = &s->rec;
    const char *source = mm_rec_attr(rec, "source");
    struct mm_err fault = { 0 };
    int rc = source ? mm_item_source(it, source, e) : 0;

    if (rc < 0)
        return rc;
    if (mm_rec_is_error(rec)) {
        const char *reason = mm_rec_attr(rec, "reason");
        const size_t n = source ? strlen(source) : 0;
        if (n && reason && !strncmp(reason, source, n) && !strncmp(reason + n, ": ", 2))
            reason += n + 2; /* whoever prints it names the source */
        mm_err_set(&it->fault, MM_EDATA, "%s", reason ? reason : "failed before");
        return keep(it, rec, e);
    }
    if (rec->type == MM_REC_TENSOR && mm_rec_is(rec, "embeds"))
        rc = add_embeds(s, it, rec, &fault);
    else if (rec->type == MM_REC_TENSOR && mm_rec_is(rec, "tokens"))
        rc = mm_parts_ids(&it->parts, &rec->t, s->vocab, &fault);
    else if (rec->type == MM_REC_TEXT && (!mm_rec_attr(rec, "kind") || mm_rec_is(rec, "text")))
        rc = mm_parts_text(&it->parts, MM_PART_USER, rec->data, rec->size, &fault);
    else
        return keep(it, rec, e);
    if (rc == MM_ENOMEM)
        return no_memory(e);
    if (rc < 0) {
        mm_err_prefix(&fault, "%s", mm_input_name(s->in));
        mm_err_set(&it->fault, MM_EDATA, "%s", fault.msg);
    }
    return 0;
}

/* The input failed.  If what is left of its last record names another item, the one
 * at hand is complete all the same. */
static bool complete(struct mm_items *s, const struct mm_item *it, struct mm_err *e)
{
    const int64_t next = mm_rec_int(&s->rec, "item", -1);

    if (next < 0 || next == it->number)
        return false;
    s->broken = *e;
    mm_err_clear(e);
    return true;
}

int mm_items_next(struct mm_items *s, struct mm_item *it, struct mm_err *e)
{
    int rc = 1;

    if (s->broken.code)
        return mm_err_set(e, s->broken.code, "%s", s->broken.msg);
    if (!s->have)
        rc = mm_input_get(s->in, &s->rec, e);
    if (rc <= 0)
        return rc;
    it->number = mm_rec_int(&s->rec, "item", -1);
    do {
        rc = add(s, it, e);
        s->have = false;
        if (rc < 0)
            return rc;
        rc = mm_input_get(s->in, &s->rec, e);
        s->have = rc > 0;
    } while (rc > 0 && mm_rec_int(&s->rec, "item", -1) == it->number);
    return rc < 0 && !complete(s, it, e) ? rc : 1;
}
