/* strided.c: bounds, the contiguous case, and gathering. */
#include "weights/strided.h"

#include <string.h>

#include "base/size.h"

/* Highest element index of the view, which holds at least one element. */
static int last_index(size_t *last, const struct mm_strided *v, struct mm_err *e)
{
    int64_t at = v->offset, step;

    for (int i = 0; i < v->ndim; i++)
        if (__builtin_mul_overflow(v->size[i] - 1, v->stride[i], &step) ||
            __builtin_add_overflow(at, step, &at))
            return mm_err_set(e, MM_EDATA, "stride %lld of axis %d overflows",
                              (long long)v->stride[i], i);
    *last = (size_t)at;
    return 0;
}

static bool is_contiguous(const struct mm_strided *v)
{
    int64_t run = 1;

    for (int i = v->ndim - 1; i >= 0; i--) {
        if (v->size[i] != 1 && v->stride[i] != run)
            return false;
        run *= v->size[i]; /* the count was checked */
    }
    return true;
}

/* Reverse the bytes of each of n words of w bytes. */
static void swap_words(unsigned char *p, size_t n, size_t w)
{
    for (; n > 0; n--, p += w)
        for (size_t b = 0; b < w / 2; b++) {
            const unsigned char c = p[b];
            p[b] = p[w - 1 - b];
            p[w - 1 - b] = c;
        }
}

/* Bytes that are swapped together: the half of a complex number. */
static size_t word_of(enum mm_dtype d)
{
    return d == MM_C64 ? 4 : mm_dtype_block_bytes(d);
}

/* Copy count elements in row-major order; index is an odometer over all axes
 * but the last. */
static void gather(unsigned char *out, const struct mm_strided *v, const unsigned char *data,
                   size_t count)
{
    const size_t elem = mm_dtype_block_bytes(v->dtype);
    const int inner = v->ndim - 1;
    const size_t row = v->ndim ? (size_t)v->size[inner] : 1;
    const int64_t step = v->ndim ? v->stride[inner] : 1;
    int64_t index[MM_MAX_DIMS] = { 0 }, at = v->offset; /* element */

    for (size_t done = 0; done < count; done += row) {
        const unsigned char *const in = data + (size_t)at * elem;
        if (step == 1)
            memcpy(out, in, row * elem);
        else
            for (size_t i = 0; i < row; i++)
                memcpy(out + i * elem, in + i * (size_t)step * elem, elem);
        out += row * elem;
        for (int d = inner - 1; d >= 0; d--) {
            at += v->stride[d];
            if (++index[d] < v->size[d])
                break;
            at -= v->stride[d] * v->size[d];
            index[d] = 0;
        }
    }
}

static int check(const struct mm_strided *v, size_t *count, struct mm_err *e)
{
    char shape[200];

    for (int i = 0; i < v->ndim; i++)
        if (v->size[i] < 0 || v->stride[i] < 0)
            return mm_err_set(e, MM_EDATA, "axis %d has size %lld and stride %lld", i,
                              (long long)v->size[i], (long long)v->stride[i]);
    if (v->offset < 0)
        return mm_err_set(e, MM_EDATA, "offset %lld in its storage", (long long)v->offset);
    if (!mm_shape_count(v->size, v->ndim, count))
        return mm_err_set(e, MM_EDATA, "shape %s overflows",
                          mm_shape_str(shape, sizeof shape, v->size, v->ndim));
    return 0;
}

int mm_strided_view(struct mm_tensor *t, const struct mm_strided *v, const unsigned char *data,
                    size_t bytes, struct mm_entries *en, struct mm_err *e)
{
    const size_t elem = mm_dtype_block_bytes(v->dtype);
    size_t count, last = 0, need;
    void *out;
    int rc = check(v, &count, e);

    if (rc < 0 || (count && (rc = last_index(&last, v, e)) < 0))
        return rc;
    if (count && last >= bytes / elem)
        return mm_err_set(e, MM_EDATA, "element %zu of a storage of %zu", last, bytes / elem);
    *t = (struct mm_tensor){ .dtype = v->dtype, .ndim = v->ndim };
    memcpy(t->shape, v->size, sizeof t->shape);
    if (count == 0 || (is_contiguous(v) && !v->swap)) {
        t->data = (void *)(count ? data + (size_t)v->offset * elem : data);
        return 0;
    }
    if (!mm_size_mul(count, elem, &need))
        return mm_err_set(e, MM_EDATA, "too large");
    if ((rc = mm_entries_alloc(&out, en, need, e)) < 0)
        return rc;
    t->data = out;
    gather(out, v, data, count);
    if (v->swap)
        swap_words(out, need / word_of(v->dtype), word_of(v->dtype));
    return 0;
}
