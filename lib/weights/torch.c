/* torch.c: zip members to pickle and storages. */
#include "weights/torch.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/size.h"
#include "weights/pickle.h"
#include "weights/state_dict.h"

struct archive {
    const struct mm_zip *z;
    struct mm_entries *en;
    const char *prefix; /* of the member names, without '/' */
    int prefix_len;
    struct mm_buf name;
    const unsigned char **got; /* bytes of each member already read */
};

static const struct mm_zip_member *find(struct archive *a, const char *tail, uint32_t n)
{
    mm_buf_reset(&a->name);
    mm_buf_printf(&a->name, "%.*s/%.*s", a->prefix_len, a->prefix, (int)n, tail);
    return a->name.failed ? NULL : mm_zip_find(a->z, a->name.p);
}

static const struct mm_zip_member *find_str(struct archive *a, const char *tail)
{
    return find(a, tail, (uint32_t)strlen(tail));
}

/* After find gave NULL: MM_ENOMEM, or 0 if there is no such member. */
static int absent(const struct archive *a, struct mm_err *e)
{
    return a->name.failed ? mm_err_set(e, MM_ENOMEM, "out of memory") : 0;
}

/* mm_sdict_source.storage */
static int get_storage(void *arg, struct mm_sdict_storage *s, struct mm_err *e)
{
    struct archive *const a = arg;
    char tail[256] = "data/";
    size_t bytes;

    memcpy(tail + 5, s->key, s->key_len); /* at most 200 */
    const struct mm_zip_member *const m = find(a, tail, 5 + s->key_len);
    if (!m && absent(a, e) < 0)
        return MM_ENOMEM;
    if (!m)
        return mm_err_set(e, MM_EDATA, "storage '%.*s' is not in the archive", (int)s->key_len,
                          s->key);
    if (!mm_size_mul((size_t)s->numel, mm_dtype_block_bytes(s->dtype), &bytes) ||
        bytes != m->size)
        return mm_err_set(e, MM_EDATA, "storage '%s' has %zu bytes, want %lld elements of %s",
                          m->name, m->size, (long long)s->numel, mm_dtype_name(s->dtype));
    const unsigned char **const got = &a->got[m - mm_zip_at(a->z, 0)];
    if (!*got) { /* inflate and check once, however many views there are */
        const int rc = mm_zip_read(got, a->z, m, a->en, e);
        if (rc < 0)
            return rc;
    }
    s->data = *got;
    s->bytes = bytes;
    return 0;
}

static int read_byteorder(struct archive *a, bool *swap, struct mm_err *e)
{
    const struct mm_zip_member *const m = find_str(a, "byteorder");
    const unsigned char *p;
    int rc;

    *swap = false;
    if (!m)
        return absent(a, e);
    if ((rc = mm_zip_read(&p, a->z, m, a->en, e)) < 0)
        return rc;
    *swap = m->size >= 3 && memcmp(p, "big", 3) == 0;
    return 0;
}

static int read_archive(struct archive *a, const char *file, struct mm_err *e)
{
    const struct mm_zip_member *const m = find_str(a, "data.pkl");
    struct mm_sdict_source src = { .arg = a, .storage = get_storage };
    struct mm_pickle *p = NULL;
    const unsigned char *text = NULL;
    size_t used;
    int rc;

    if (!m && find_str(a, "model.json"))
        return mm_err_set(e, MM_EMISSING, "TorchScript of PyTorch 1.0 is not supported");
    if (!m && absent(a, e) < 0)
        return MM_ENOMEM;
    if (!m)
        return mm_err_set(e, MM_EDATA, "a zip archive without '%.*s/data.pkl': no PyTorch file",
                          a->prefix_len, a->prefix);
    if ((rc = read_byteorder(a, &src.swap, e)) < 0 ||
        (rc = mm_zip_read(&text, a->z, m, a->en, e)) < 0)
        return rc;
    rc = mm_pickle_run(&p, text, m->size, &used, e);
    if (rc == 0) {
        src.pickle = p;
        rc = mm_sdict_read(a->en, &src, file, e);
    }
    mm_pickle_free(p);
    return rc < 0 ? mm_err_prefix(e, "%s", m->name) : 0;
}

int mm_torch_read(struct mm_entries *en, const struct mm_zip *z, const char *file,
                  struct mm_err *e)
{
    struct archive a = { .z = z, .en = en };

    if (mm_zip_count(z) == 0)
        return mm_err_set(e, MM_EDATA, "an empty zip archive");
    a.prefix = mm_zip_at(z, 0)->name;
    a.prefix_len = (int)strcspn(a.prefix, "/");
    a.got = calloc(mm_zip_count(z), sizeof *a.got);
    const int rc = a.got ? read_archive(&a, file, e) : mm_err_set(e, MM_ENOMEM, "out of memory");
    free(a.got);
    mm_buf_free(&a.name);
    return rc;
}
