/* gguf.h: reader of one GGUF file (versions 2 and 3): key-values and tensors.
 *
 * Format: ggml-org/ggml docs/gguf.md.  Values stay in the mapped file; a
 * vocabulary of 128k tokens is checked in a millisecond and never copied.
 * mm_ckpt_meta gives the same values as JSON, without the arrays of more than
 * MM_GGUF_JSON_MAX elements; those are reached here:
 *
 *   const struct mm_gguf *g = mm_ckpt_gguf(ck);
 *   const struct mm_gguf_kv *kv = mm_gguf_find(g, "tokenizer.ggml.tokens");
 *   struct mm_gguf_str_iter it = mm_gguf_strs(kv);
 *   const char *s; size_t n;
 *   while (mm_gguf_next_str(&it, &s, &n)) ...          bytes, NUL and odd ones included
 *   kv = mm_gguf_find(g, "tokenizer.ggml.scores");
 *   for (size_t i = 0; kv && i < kv->count; i++) ... mm_gguf_num(kv, i) ...
 */
#ifndef MM_WEIGHTS_GGUF_H
#define MM_WEIGHTS_GGUF_H

#include "weights/entries.h"

#define MM_GGUF_JSON_MAX 1024 /* longest array that mm_ckpt_meta holds */

/* Matrices packed for products (base/panel.h; formats/gguf.md): the type number
 * is ggml's of the rows plus MM_GGUF_PANEL_ID, the key holds the version. */
#define MM_GGUF_PANEL_ID 0x6d6d0000 /* "mm" */
#define MM_GGUF_PANEL_IDS 64
#define MM_GGUF_PANEL_KEY "mm.panel32.version"

enum mm_gguf_type {
    MM_GGUF_U8, MM_GGUF_I8, MM_GGUF_U16, MM_GGUF_I16, MM_GGUF_U32, MM_GGUF_I32, MM_GGUF_F32,
    MM_GGUF_BOOL, MM_GGUF_STRING, MM_GGUF_ARRAY, MM_GGUF_U64, MM_GGUF_I64, MM_GGUF_F64,
    MM_GGUF_NTYPE
};

/* One key-value.  A scalar is an array of one element here; is_array tells
 * them apart.  Strings have a u64 length before their bytes in data. */
struct mm_gguf_kv {
    const char *key;           /* NUL-terminated copy */
    enum mm_gguf_type type;    /* of the elements; never MM_GGUF_ARRAY */
    bool is_array;
    size_t count;              /* elements; 1 for a scalar */
    const unsigned char *data; /* first element, in the file, unaligned */
    size_t bytes;
};

struct mm_gguf;

/* mm_gguf_open: parse data[size] (which must outlive *g) and append its tensors
 * to en, in file order, shapes reversed to row-major.  MM_EDATA (the message
 * names key or tensor and offset), MM_EMISSING for a block type we do not
 * read, MM_ENOMEM. */
MM_MUST_CHECK int mm_gguf_open(struct mm_gguf **g, struct mm_entries *en,
                               const unsigned char *data, size_t size, const char *file,
                               struct mm_err *e);
void mm_gguf_close(struct mm_gguf *g); /* takes NULL */

/* Key-values in file order, and by key (NULL if absent; g may be NULL). */
size_t mm_gguf_count(const struct mm_gguf *g);
const struct mm_gguf_kv *mm_gguf_at(const struct mm_gguf *g, size_t i);
const struct mm_gguf_kv *mm_gguf_find(const struct mm_gguf *g, const char *key);

/* Element i < kv->count of any numeric type, widened.  mm_gguf_int: u64 above
 * INT64_MAX gives INT64_MAX, reals are truncated; mm_gguf_num: u64 and i64 may
 * round; a string gives 0. */
int64_t mm_gguf_int(const struct mm_gguf_kv *kv, size_t i);
double mm_gguf_num(const struct mm_gguf_kv *kv, size_t i);

/* The strings of a string value, in order; next is false after the last (and
 * at once when kv is NULL or holds no strings).  s is not NUL-terminated. */
struct mm_gguf_str_iter {
    const unsigned char *p;
    size_t left;
};
struct mm_gguf_str_iter mm_gguf_strs(const struct mm_gguf_kv *kv);
bool mm_gguf_next_str(struct mm_gguf_str_iter *it, const char **s, size_t *n);

/* Single values with a default, as a model reads its parameters: dflt if the
 * key is absent or of another type. */
int64_t mm_gguf_get_int(const struct mm_gguf *g, const char *key, int64_t dflt);
double mm_gguf_get_num(const struct mm_gguf *g, const char *key, double dflt);

/* mm_gguf_version, mm_gguf_alignment: of the file. */
uint32_t mm_gguf_version(const struct mm_gguf *g);
size_t mm_gguf_alignment(const struct mm_gguf *g);

/* mm_gguf_json: all values but the longest arrays as a new JSON object; NULL if
 * out of memory.  Strings that are no UTF-8 have U+FFFD for bad bytes, u64
 * above INT64_MAX become reals. */
json_t *mm_gguf_json(const struct mm_gguf *g);

/* mm_gguf_dtype_id: the type number of a dtype, -1 if it has none. */
int mm_gguf_dtype_id(enum mm_dtype d);

#endif
