/* features.c: see features.h. */
#include "train/features.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "stream/stream.h"

struct entry {
    void *own; /* the data, if they are not in the map; or NULL */
    char *source;
    const char *base; /* its last part */
    struct mm_tensor t;
};

struct mm_features {
    struct mm_map map;
    struct entry *v; /* sorted by base */
    size_t n, cap;
};

static const char *last_part(const char *s)
{
    const char *slash = strrchr(s, '/');

    return slash ? slash + 1 : s;
}

static int by_base(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->base, ((const struct entry *)b)->base);
}

static int add(struct mm_features *f, const struct mm_rec *r, uint64_t payload, struct mm_err *e)
{
    const char *source = mm_rec_attr(r, "source");
    struct entry en = { .t = r->t };

    if (r->type != MM_REC_TENSOR || !mm_rec_is(r, "features") || !source)
        return 0;
    if (en.t.ndim == 3 && en.t.shape[0] == 1) {
        en.t.ndim = 2;
        en.t.shape[0] = en.t.shape[1];
        en.t.shape[1] = en.t.shape[2];
    }
    if (en.t.ndim != 2)
        return mm_err_set(e, MM_EDATA, "features of %s have %d axes, two are wanted", source,
                          r->t.ndim);
    const bool mapped = r->size <= f->map.size && payload <= f->map.size - r->size &&
                        !memcmp(f->map.data + payload, r->data, r->size < 64 ? r->size : 64);

    if (!mapped && (en.own = malloc(r->size + 1))) /* a pipe, or packed */
        memcpy(en.own, r->data, r->size);
    if (!(en.source = strdup(source)) || (!mapped && !en.own) ||
        !mm_grow(&f->v, &f->cap, f->n + 1, sizeof(*f->v))) {
        free(en.source);
        free(en.own);
        return mm_err_set(e, MM_ENOMEM, "features of %s: out of memory", source);
    }
    en.base = last_part(en.source);
    /* read only; struct mm_tensor has one pointer for all uses */
    en.t.data = mapped ? (void *)(uintptr_t)(f->map.data + payload) : en.own;
    f->v[f->n++] = en;
    return 0;
}

static int index_all(struct mm_features *f, int fd, const char *path, struct mm_err *e)
{
    struct mm_reader *r = NULL;
    struct mm_rec rec;
    int rc = mm_reader_open(&r, fd, path, 0, e);

    while (rc == 0 && (rc = mm_reader_get(r, &rec, e)) > 0)
        rc = add(f, &rec, mm_reader_payload(r), e);
    mm_reader_close(r);
    if (rc == 0)
        qsort(f->v, f->n, sizeof(*f->v), by_base);
    return rc;
}

int mm_features_open(struct mm_features **out, const char *path, struct mm_err *e)
{
    struct mm_features *f = calloc(1, sizeof(*f));
    const int fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : 0;
    struct stat st;
    int rc = 0;

    if (!f)
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    else if (fd < 0 || fstat(fd, &st) < 0)
        rc = mm_err_set(e, MM_ENOENT, "%s:", path);
    else if (fd > 0 && S_ISREG(st.st_mode))
        rc = mm_map_open(&f->map, path, SIZE_MAX / 2, e);
    if (rc == 0)
        rc = index_all(f, fd, path, e);
    if (fd > 0)
        close(fd);
    if (rc < 0)
        mm_features_free(f);
    else
        *out = f;
    return rc;
}

void mm_features_free(struct mm_features *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->n; i++) {
        free(f->v[i].source);
        free(f->v[i].own);
    }
    free(f->v);
    mm_map_close(&f->map);
    free(f);
}

static bool ends_with(const char *source, const char *name)
{
    const size_t n = strlen(source), m = strlen(name);

    return n >= m && !strcmp(source + n - m, name) && (n == m || source[n - m - 1] == '/');
}

const struct mm_tensor *mm_features_find(const struct mm_features *f, const char *name)
{
    const char *base = last_part(name);
    size_t lo = 0, hi = f->n;

    while (lo < hi) { /* the first that is not below */
        const size_t mid = lo + (hi - lo) / 2;

        if (strcmp(f->v[mid].base, base) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < f->n && !strcmp(f->v[lo].base, base); lo++)
        if (ends_with(f->v[lo].source, name))
            return &f->v[lo].t;
    return NULL;
}
