/* regions.c: see regions.h. */
#include "train/regions.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/json.h"
#include "base/rng.h"

enum { MOST_BYTES = 1 << 30 };

struct picture {
    size_t name;  /* offset in names */
    size_t first; /* region */
};

struct mm_regions {
    struct mm_buf names; /* NUL-terminated */
    struct picture *pic; /* [n + 1], the last for its first */
    size_t n, pic_cap;
    struct mm_region *v;
    size_t nv, cap;
    struct mm_texts texts;
    json_t *number;      /* phrase -> its number */
    uint64_t hash;
};

void mm_regions_free(struct mm_regions *r)
{
    if (!r)
        return;
    mm_buf_free(&r->names);
    free(r->pic);
    free(r->v);
    mm_texts_free(&r->texts);
    json_decref(r->number);
    free(r);
}

static int no_memory(struct mm_err *e)
{
    return mm_err_set(e, MM_ENOMEM, "regions: out of memory");
}

/* The number of a phrase, a new one if need be; negative: an error. */
static int64_t phrase_number(struct mm_regions *r, const char *s, struct mm_err *e)
{
    const json_t *known = json_object_get(r->number, s);
    int rc;

    if (known)
        return json_integer_value(known);
    if ((rc = mm_texts_add(&r->texts, s, strlen(s), e)) < 0)
        return rc;
    if (r->texts.n > INT32_MAX)
        return mm_err_set(e, MM_EDATA, "too many phrases");
    const int64_t n = (int64_t)r->texts.n - 1;
    return json_object_set_new(r->number, s, json_integer(n)) == 0 ? n : no_memory(e);
}

static int order(float a, float b)
{
    return (a > b) - (a < b);
}

static int by_box(const struct mm_region *a, const struct mm_region *b)
{
    const int o[4] = { order(a->x, b->x), order(a->y, b->y), order(a->w, b->w),
                       order(a->h, b->h) };

    return o[0] ? o[0] : o[1] ? o[1] : o[2] ? o[2] : o[3];
}

static int by_box_and_phrase(const void *a, const void *b)
{
    const struct mm_region *x = a, *y = b;
    const int o = by_box(x, y);

    return o ? o : (x->phrase > y->phrase) - (x->phrase < y->phrase);
}

/* Numbers of boxes from `first` on; the same phrase of a box once. */
static void number_boxes(struct mm_regions *r, size_t first)
{
    struct mm_region *v = r->v + first;
    const size_t n = r->nv - first;
    size_t kept = 0;

    qsort(v, n, sizeof(*v), by_box_and_phrase);
    for (size_t i = 0; i < n; i++) {
        const bool same = i > 0 && by_box(&v[i], &v[kept - 1]) == 0;

        if (same && v[i].phrase == v[kept - 1].phrase)
            continue;
        v[i].box = i == 0 ? 0 : v[kept - 1].box + !same;
        v[kept++] = v[i];
    }
    r->nv = first + kept;
}

static int add_region(struct mm_regions *r, const json_t *j, struct mm_err *e)
{
    const char *phrase = mm_json_str(j, "phrase", NULL, e);
    struct mm_region v = { .x = (float)mm_json_num(j, "x", NAN, e),
                           .y = (float)mm_json_num(j, "y", NAN, e),
                           .w = (float)mm_json_num(j, "width", NAN, e),
                           .h = (float)mm_json_num(j, "height", NAN, e) };

    if (e->code)
        return e->code;
    if (!phrase || !isfinite(v.x) || !isfinite(v.y) || !(v.w > 0) || !(v.h > 0) ||
        !isfinite(v.w) || !isfinite(v.h))
        return mm_err_set(e, MM_EDATA, "a region wants x, y, width, height above 0 and a phrase");
    const int64_t number = phrase_number(r, phrase, e);
    if (number < 0)
        return (int)number;
    v.phrase = (int32_t)number;
    if (!mm_grow(&r->v, &r->cap, r->nv + 1, sizeof(*r->v)))
        return no_memory(e);
    r->v[r->nv++] = v;
    return 0;
}

static int add_picture(struct mm_regions *r, const json_t *j, struct mm_err *e)
{
    const char *image = mm_json_str(j, "image", NULL, e);
    const json_t *list = json_object_get(j, "regions"), *one;
    const int64_t id = mm_json_int(j, "id", -1, e);
    const size_t first = r->nv, name = r->names.n;
    size_t i;

    if (e->code)
        return e->code;
    if (!json_is_array(list) || (image ? !*image : id < 0))
        return mm_err_set(e, MM_EDATA, "an id or an image and an array of regions are wanted");
    json_array_foreach(list, i, one)
        if (add_region(r, one, e) < 0) {
            mm_err_prefix(e, "region %zu", i + 1);
            return e->code;
        }
    if (r->nv == first)
        return 0;
    number_boxes(r, first);
    if (image)
        mm_buf_str(&r->names, image);
    else
        mm_buf_printf(&r->names, "%lld.jpg", (long long)id);
    mm_buf_char(&r->names, '\0');
    if (r->names.failed || !mm_grow(&r->pic, &r->pic_cap, r->n + 2, sizeof(*r->pic)))
        return no_memory(e);
    r->pic[r->n++] = (struct picture){ name, first };
    r->pic[r->n].first = r->nv;
    return 0;
}

static int read_file(struct mm_regions *r, const char *path, struct mm_err *e)
{
    size_t size = 0, at = 0, number = 0;
    char *text = NULL;
    json_t *j = NULL;
    int rc = mm_io_slurp(path, MOST_BYTES, &text, &size, e);

    while (rc == 0 && (rc = mm_json_each(&j, text, size, &at, path, e)) > 0) {
        number++;
        if ((rc = add_picture(r, j, e)) < 0)
            mm_err_prefix(e, "%s: element %zu", path, number);
        json_decref(j);
    }
    r->hash = rc == 0 ? mm_hash64_add(r->hash, text, size) : 0;
    free(text);
    return rc;
}

int mm_regions_open(struct mm_regions **out, char *const *path, int n, const struct mm_texts *t,
                    struct mm_err *e)
{
    struct mm_regions *r = calloc(1, sizeof(*r));
    int rc = r ? 0 : no_memory(e);

    if (rc == 0) {
        r->texts = (struct mm_texts){ .tok = t->tok, .context = t->context, .vocab = t->vocab };
        r->number = json_object();
        rc = r->number ? 0 : no_memory(e);
    }
    for (int i = 0; rc == 0 && i < n; i++)
        rc = read_file(r, path[i], e);
    if (rc == 0 && r->n == 0)
        rc = mm_err_set(e, MM_EDATA, "the data have no regions");
    if (rc < 0)
        mm_regions_free(r);
    else
        *out = r;
    return rc;
}

size_t mm_regions_count(const struct mm_regions *r)
{
    return r->n;
}

uint64_t mm_regions_hash(const struct mm_regions *r)
{
    return r->hash;
}

const char *mm_regions_image(const struct mm_regions *r, size_t i)
{
    return r->names.p + r->pic[i].name;
}

const struct mm_region *mm_regions_of(const struct mm_regions *r, size_t i, size_t *n)
{
    *n = r->pic[i + 1].first - r->pic[i].first;
    return r->v + r->pic[i].first;
}

const struct mm_texts *mm_regions_texts(const struct mm_regions *r)
{
    return &r->texts;
}
