/* compare.c: how far one tensor is from another. */
#include "base/compare.h"

#include <math.h>
#include <string.h>

#include "base/io.h"
#include "base/panel.h"

enum { BLOCK = 4096 };

static bool is_integer(enum mm_dtype d)
{
    return (d >= MM_I64 && d <= MM_U8) || d == MM_BOOL;
}

bool mm_compare_shape(const struct mm_tensor *a, const struct mm_tensor *b)
{
    int i = 0;
    int j = 0;

    for (;;) {
        while (i < a->ndim && a->shape[i] == 1)
            i++;
        while (j < b->ndim && b->shape[j] == 1)
            j++;
        if (i == a->ndim || j == b->ndim)
            return i == a->ndim && j == b->ndim;
        if (a->shape[i++] != b->shape[j++])
            return false;
    }
}

/* An element of a type that a float would not hold exactly. */
static double exact(enum mm_dtype type, const unsigned char *p)
{
    double v;

    switch (type) {
    case MM_I64:
        return (double)(int64_t)mm_get_u64(p);
    case MM_U64:
        return (double)mm_get_u64(p);
    case MM_I32:
        return (double)(int32_t)mm_get_u32(p);
    case MM_U32:
        return (double)mm_get_u32(p);
    default:
        memcpy(&v, p, sizeof(v));
        return v;
    }
}

/* n real elements from first on, widened; a complex one counts as two. */
static void widen(double *out, const struct mm_tensor *t, size_t first, size_t n)
{
    const enum mm_dtype type = t->dtype == MM_C64 ? MM_F32 : t->dtype;
    const size_t bytes = mm_dtype_block_bytes(type);
    unsigned char *p = (unsigned char *)t->data + first / mm_dtype_block(type) * bytes;
    const struct mm_tensor part = { .dtype = type, .ndim = 1, .shape = { (int64_t)n }, .data = p };
    float f[BLOCK];

    if (mm_dtype_packed(type)) {
        mm_panel_read(f, t, first, n);
        for (size_t i = 0; i < n; i++)
            out[i] = (double)f[i];
        return;
    }
    if (type == MM_F64 || type == MM_I64 || type == MM_U64 || type == MM_I32 || type == MM_U32) {
        for (size_t i = 0; i < n; i++)
            out[i] = exact(type, p + i * bytes);
        return;
    }
    mm_tensor_to_f32(f, &part);
    for (size_t i = 0; i < n; i++)
        out[i] = (double)f[i];
}

struct sums {
    double d2, a2; /* squares of the difference, of the reference */
};

static void compare_block(struct mm_compare *r, struct sums *s, const double *a, const double *b,
                          size_t first, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double d = fabs(b[i] - a[i]);

        if (isnan(a[i]) != isnan(b[i])) {
            r->why = "NaN on one side";
            d = HUGE_VAL;
        } else if (isnan(a[i]) || a[i] == b[i]) { /* equal infinities too */
            d = 0.0;
        }
        if (d > r->max_abs || (r->worst == SIZE_MAX && d > 0.0)) {
            r->max_abs = d;
            r->worst = first + i;
        }
        s->d2 += d * d;
        if (isfinite(a[i]))
            s->a2 += a[i] * a[i];
    }
}

static bool bytes_differ(const struct mm_tensor *a, const struct mm_tensor *b)
{
    return a->dtype != b->dtype || memcmp(a->data, b->data, mm_tensor_bytes(a)) != 0;
}

struct mm_compare mm_compare(const struct mm_tensor *a, const struct mm_tensor *b,
                             double tolerance)
{
    struct mm_compare r = { .worst = SIZE_MAX };
    struct sums s = { 0 };
    const bool complex_a = a->dtype == MM_C64;
    size_t n, i;
    double x[BLOCK], y[BLOCK];

    if (!mm_compare_shape(a, b) || complex_a != (b->dtype == MM_C64)) {
        r.why = mm_compare_shape(a, b) ? "complex and real" : "another shape";
        r.rel = r.max_abs = HUGE_VAL;
        return r;
    }
    n = mm_tensor_count(a) << complex_a;
    for (i = 0; i < n; i += BLOCK) {
        const size_t k = n - i < BLOCK ? n - i : BLOCK;

        widen(x, a, i, k);
        widen(y, b, i, k);
        compare_block(&r, &s, x, y, i, k);
    }
    if (complex_a && r.worst != SIZE_MAX)
        r.worst /= 2;
    r.rel = s.a2 > 0.0 ? sqrt(s.d2 / s.a2) : sqrt(s.d2);
    if (r.why != NULL)
        return r;
    if (is_integer(a->dtype) && is_integer(b->dtype)) {
        /* 64-bit values need not fit a double: equal bytes settle it */
        if (r.max_abs > 0.0 || (a->dtype == b->dtype && n > 0 && bytes_differ(a, b)))
            r.why = "integers differ";
    } else if (!(r.rel <= tolerance)) {
        r.why = "differs";
    }
    return r;
}
