/* pictures.c: see pictures.h. */
#include "train/pictures.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"

struct look {
    float *px;
    int (*size)[2];
    const char *dir;
    const char *const *name;
    const struct mm_preprocess *pre;
    size_t side;
    struct mm_err *err; /* [pictures] */
};

static void look(void *arg, size_t tile, int thread)
{
    const struct look *k = arg;
    const size_t n = 3 * k->side * k->side;
    struct mm_image im = { 0 };
    struct mm_pixels px = { 0 };
    struct mm_buf path = { 0 };
    struct mm_err *e = &k->err[tile];

    (void)thread;
    mm_buf_printf(&path, "%s/%s", k->dir, k->name[tile]);
    if (path.failed)
        mm_err_set(e, MM_ENOMEM, "out of memory");
    else if (mm_image_load(&im, path.p, e) == 0 && mm_preprocess_run(&px, &im, k->pre, e) == 0) {
        if (px.tiles != 1 || (size_t)px.size_h != k->side || (size_t)px.size_w != k->side)
            mm_err_set(e, MM_EDATA, "%s: %d x %d pixels after preparation", path.p, px.size_w,
                       px.size_h);
        else
            memcpy(k->px + tile * n, px.px, n * sizeof(float));
        if (k->size) {
            k->size[tile][0] = px.orig_w;
            k->size[tile][1] = px.orig_h;
        }
    }
    mm_pixels_free(&px);
    mm_image_free(&im);
    mm_buf_free(&path);
}

int mm_pictures_load(float *px, int (*size)[2], const char *dir, const char *const *name, size_t n,
                     const struct mm_preprocess *pre, int64_t side, struct mm_pool *p,
                     struct mm_err *e)
{
    struct look k = { px, size, dir, name, pre, (size_t)side, calloc(n + 1, sizeof(*k.err)) };
    int rc = 0;

    if (!k.err)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    mm_pool_run(p, n, look, &k);
    for (size_t i = 0; rc == 0 && i < n; i++)
        if (k.err[i].code)
            rc = mm_err_set(e, k.err[i].code, "%s", k.err[i].msg);
    free(k.err);
    return rc;
}

int mm_pictures_there(const char *dir, const char *name, struct mm_err *e)
{
    struct mm_buf path = { 0 };
    int rc = 0;

    mm_buf_printf(&path, "%s/%s", dir, name);
    if (path.failed)
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    else if (access(path.p, R_OK) < 0)
        rc = mm_err_set(e, MM_ENOENT, "%s:", path.p);
    mm_buf_free(&path);
    return rc;
}
