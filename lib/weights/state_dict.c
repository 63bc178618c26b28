/* state_dict.c: from inert pickle nodes to named tensors.
 *
 * The meaning of the globals is that of torch/_utils.py and of
 * torch/csrc/jit/serialization/pickler.cpp.
 */
#include "weights/state_dict.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/size.h"

#define MAX_DEPTH 64 /* of nested containers; deeper ones hold no weights */
#define MAX_HOPS 16  /* of wrappers around one tensor */

static const struct { const char *storage, *dtype; enum mm_dtype d; } dtypes[] = {
    { "DoubleStorage", "float64", MM_F64 },    { "FloatStorage", "float32", MM_F32 },
    { "HalfStorage", "float16", MM_F16 },      { "BFloat16Storage", "bfloat16", MM_BF16 },
    { "LongStorage", "int64", MM_I64 },        { "IntStorage", "int32", MM_I32 },
    { "ShortStorage", "int16", MM_I16 },       { "CharStorage", "int8", MM_I8 },
    { "", "uint64", MM_U64 },                  { "", "uint32", MM_U32 },
    { "", "uint16", MM_U16 },                  { "ByteStorage", "uint8", MM_U8 },
    { "BoolStorage", "bool", MM_BOOL },        { "ComplexFloatStorage", "complex64", MM_C64 },
    { "", "float8_e4m3fn", MM_F8_E4M3 },       { "", "float8_e5m2", MM_F8_E5M2 },
};

static const char *const unread[] = {
    "ComplexDoubleStorage", "complex128", "QInt8Storage", "QUInt8Storage", "QInt32Storage",
    "QUInt4x2Storage", "QUInt2x4Storage", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu",
};

/* Root keys under which training programs keep the weights. */
static const char *const wrappers[] = {
    "state_dict", "model", "model_state_dict", "module", "net", "ema", "weights",
};

/* Attributes of a pickled module that are no part of a name. */
static const char *const transparent[] = { "_parameters", "_buffers", "_modules" };

enum mode {
    ITEMS, /* keys and values in turn, or a sequence */
    PAIRS, /* a sequence of (key, value): OrderedDict's argument in Python 2 */
    STATE  /* the attributes of an object, after its items */
};

struct frame {
    mm_pk_id id;
    enum mode mode;
    uint32_t next; /* item to visit */
    size_t name;   /* length of the name when the container was entered */
};

struct walk {
    struct mm_entries *en;
    const struct mm_sdict_source *src;
    const char *file;
    struct mm_buf name;
    struct frame frame[MAX_DEPTH];
    int depth;
    size_t visits;
    struct mm_err *e;
};

static const struct mm_pk_node *node(const struct walk *w, mm_pk_id id)
{
    return mm_pickle_node(w->src->pickle, id);
}

int mm_sdict_dtype(enum mm_dtype *d, bool *untyped, const struct mm_pickle *p, mm_pk_id global,
                   struct mm_err *e)
{
    const struct mm_pk_node *const g = mm_pickle_node(p, global);

    *untyped = false;
    if (g->kind != MM_PK_GLOBAL)
        return mm_err_set(e, MM_EDATA, "the type of a storage is no class");
    const struct mm_pk_node *const name = mm_pickle_node(p, g->b);
    if (mm_pickle_is_str(p, g->a, "torch") || mm_pickle_is_str(p, g->a, "torch.storage") ||
        mm_pickle_is_str(p, g->a, "torch.cuda")) {
        if ((*untyped = mm_pickle_is_str(p, g->b, "UntypedStorage"))) {
            *d = MM_U8;
            return 0;
        }
        for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
            if ((*dtypes[i].storage && mm_pickle_is_str(p, g->b, dtypes[i].storage)) ||
                mm_pickle_is_str(p, g->b, dtypes[i].dtype)) {
                *d = dtypes[i].d;
                return 0;
            }
        for (size_t i = 0; i < sizeof unread / sizeof *unread; i++)
            if (mm_pickle_is_str(p, g->b, unread[i]))
                return mm_err_set(e, MM_EMISSING, "%s is not supported", unread[i]);
    }
    return mm_err_set(e, MM_EDATA, "'%.*s.%.*s' is no storage type",
                      (int)mm_pickle_node(p, g->a)->n, mm_pickle_node(p, g->a)->u.s,
                      (int)name->n, name->u.s);
}

static bool get_int(const struct mm_pickle *p, mm_pk_id id, int64_t *v)
{
    const struct mm_pk_node *const x = mm_pickle_node(p, id);

    if (x->kind != MM_PK_INT)
        return false;
    *v = x->u.i;
    return true;
}

/* view_metadata of the stacked pickles: None or (view key, offset, size). */
static int parse_view(struct mm_sdict_storage *s, const struct mm_pickle *p, mm_pk_id id,
                      struct mm_err *e)
{
    const struct mm_pk_node *const x = mm_pickle_node(p, id);

    if (x->kind == MM_PK_NONE)
        return 0;
    if (x->kind != MM_PK_TUPLE || x->n != 3 || !get_int(p, x->u.item[1], &s->view_offset) ||
        !get_int(p, x->u.item[2], &s->view_numel) || s->view_offset < 0 || s->view_numel < 0 ||
        s->view_offset > s->numel || s->view_numel > s->numel - s->view_offset)
        return mm_err_set(e, MM_EDATA, "view of storage '%.*s' is malformed", (int)s->key_len,
                          s->key);
    return 0;
}

int mm_sdict_persid(struct mm_sdict_storage *s, const struct mm_pickle *p, mm_pk_id persid,
                    struct mm_err *e)
{
    const struct mm_pk_node *const x = mm_pickle_node(p, mm_pickle_node(p, persid)->a);
    int rc;

    if (x->kind == MM_PK_INT)
        return 0;
    if (x->kind != MM_PK_TUPLE || x->n < 1)
        return mm_err_set(e, MM_EDATA, "a persistent id is no tuple");
    if (mm_pickle_is_str(p, x->u.item[0], "module"))
        return 0;
    if (x->n < 5 || !mm_pickle_is_str(p, x->u.item[0], "storage"))
        return mm_err_set(e, MM_EDATA, "a persistent id is no storage");
    *s = (struct mm_sdict_storage){ .view_offset = -1, .view_numel = -1 };
    if ((rc = mm_sdict_dtype(&s->dtype, &s->untyped, p, x->u.item[1], e)) < 0)
        return rc;
    const struct mm_pk_node *const key = mm_pickle_node(p, x->u.item[2]);
    if (key->kind != MM_PK_STR || !get_int(p, x->u.item[4], &s->numel) || s->numel < 0)
        return mm_err_set(e, MM_EDATA, "a storage's key or size is malformed");
    s->key = key->u.s;
    s->key_len = key->n < 200 ? key->n : 200;
    if (x->n >= 6 && (rc = parse_view(s, p, x->u.item[5], e)) < 0)
        return rc;
    return 1;
}

/* The bytes of a storage, view applied. */
static int get_storage(const struct walk *w, struct mm_sdict_storage *s, mm_pk_id persid)
{
    int rc;

    if (node(w, persid)->kind != MM_PK_PERSID)
        return mm_err_set(w->e, MM_EDATA, "its storage is no persistent id");
    rc = mm_sdict_persid(s, w->src->pickle, persid, w->e);
    if (rc == 0)
        return mm_err_set(w->e, MM_EDATA, "its storage is of another kind");
    if (rc < 0 || (rc = w->src->storage(w->src->arg, s, w->e)) < 0)
        return rc;
    if (s->view_numel >= 0) {
        const size_t elem = mm_dtype_block_bytes(s->dtype);
        s->data += (size_t)s->view_offset * elem;
        s->bytes = (size_t)s->view_numel * elem;
    }
    return 0;
}

/* A tuple or list of integers, maybe inside torch.Size or a TorchScript list. */
static int get_ints(const struct walk *w, mm_pk_id id, int64_t *v, int *n)
{
    const struct mm_pk_node *x = node(w, id);

    if (x->kind == MM_PK_OBJECT && node(w, x->b)->kind == MM_PK_TUPLE && node(w, x->b)->n == 1)
        x = node(w, node(w, x->b)->u.item[0]);
    if (x->kind != MM_PK_TUPLE && x->kind != MM_PK_LIST)
        return mm_err_set(w->e, MM_EDATA, "its size or stride is no tuple");
    if (x->n > MM_MAX_DIMS)
        return mm_err_set(w->e, MM_EDATA, "%u dimensions, at most %d", x->n, MM_MAX_DIMS);
    for (uint32_t i = 0; i < x->n; i++)
        if (!get_int(w->src->pickle, x->u.item[i], &v[i]))
            return mm_err_set(w->e, MM_EDATA, "its size or stride is no integer");
    *n = (int)x->n;
    return 0;
}

/* _rebuild_tensor(storage, offset, size, stride), _v2 with more behind it,
 * _v3 with the dtype as the seventh. */
static int rebuild(struct walk *w, const struct mm_pk_node *args, bool v3, struct mm_tensor *t)
{
    struct mm_sdict_storage s = { 0 };
    struct mm_strided v = { .swap = w->src->swap };
    const mm_pk_id *const a = args->u.item;
    bool untyped;
    int nstride, rc;

    if (args->n < (v3 ? 7u : 4u))
        return mm_err_set(w->e, MM_EDATA, "rebuilt from %u arguments", args->n);
    if ((rc = get_storage(w, &s, a[0])) < 0 || (rc = get_ints(w, a[2], v.size, &v.ndim)) < 0 ||
        (rc = get_ints(w, a[3], v.stride, &nstride)) < 0)
        return rc;
    v.dtype = s.dtype;
    if (v3 && (rc = mm_sdict_dtype(&v.dtype, &untyped, w->src->pickle, a[6], w->e)) < 0)
        return rc;
    if (!v3 && s.untyped)
        return mm_err_set(w->e, MM_EDATA, "an untyped storage without a dtype");
    if (nstride != v.ndim || !get_int(w->src->pickle, a[1], &v.offset))
        return mm_err_set(w->e, MM_EDATA, "%d sizes, %d strides, or no offset", v.ndim, nstride);
    return mm_strided_view(t, &v, s.data, s.bytes, w->en, w->e);
}

static bool is_call(const struct walk *w, mm_pk_id callable, const char *module, const char *name)
{
    return mm_pickle_is_global(w->src->pickle, callable, module, name);
}

/* The only argument worth following: a Parameter's tensor, a tagged value. */
static bool is_wrapper(const struct walk *w, mm_pk_id callable)
{
    return is_call(w, callable, "torch._utils", "_rebuild_parameter") ||
           is_call(w, callable, "torch._utils", "_rebuild_parameter_with_state") ||
           is_call(w, callable, "torch.nn.parameter", "Parameter") ||
           is_call(w, callable, "torch.nn", "Parameter") ||
           is_call(w, callable, "torch.jit._pickle", "restore_type_tag");
}

static bool is_rebuild(const struct walk *w, mm_pk_id callable)
{
    static const char *const names[] = { "_rebuild_tensor", "_rebuild_tensor_v2",
                                         "_rebuild_tensor_v3", "_rebuild_qtensor" };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (is_call(w, callable, "torch._utils", names[i]))
            return true;
    return is_call(w, callable, "torch._tensor", "_rebuild_from_type_v2");
}

/* One of the _rebuild_* functions applied to args. */
static int call_rebuild(struct walk *w, mm_pk_id call, const struct mm_pk_node *args,
                        struct mm_tensor *t)
{
    if (is_call(w, call, "torch._utils", "_rebuild_qtensor"))
        return mm_err_set(w->e, MM_EMISSING, "a quantised PyTorch tensor is not supported");
    const bool v3 = is_call(w, call, "torch._utils", "_rebuild_tensor_v3");
    const int rc = rebuild(w, args, v3, t);
    return rc < 0 ? rc : 1;
}

/* Is the node a tensor?  1: it is, in *t; 0: it is not; negative: error. */
static int get_tensor(struct walk *w, mm_pk_id id, struct mm_tensor *t)
{
    const struct mm_pk_node *x = node(w, id);

    if (x->kind == MM_PK_PERSID && w->src->tensor && node(w, x->a)->kind == MM_PK_INT)
        return w->src->tensor(w->src->arg, node(w, x->a)->u.i, t, w->e);
    if (x->kind != MM_PK_OBJECT)
        return 0;
    mm_pk_id call = x->a;
    const struct mm_pk_node *args = node(w, x->b);
    for (int hop = 0; hop < MAX_HOPS && args->kind == MM_PK_TUPLE; hop++) {
        if (is_call(w, call, "torch._tensor", "_rebuild_from_type_v2") && args->n == 4) {
            call = args->u.item[0];
            args = node(w, args->u.item[2]);
        } else if (is_rebuild(w, call)) {
            return call_rebuild(w, call, args, t);
        } else if (is_wrapper(w, call) && args->n > 0 &&
                   node(w, args->u.item[0])->kind == MM_PK_OBJECT) {
            x = node(w, args->u.item[0]);
            call = x->a;
            args = node(w, x->b);
        } else {
            return 0;
        }
    }
    return 0;
}

/* ---- walking ---- */

static bool is_transparent(const struct walk *w, mm_pk_id key)
{
    for (size_t i = 0; i < sizeof transparent / sizeof *transparent; i++)
        if (mm_pickle_is_str(w->src->pickle, key, transparent[i]))
            return true;
    return false;
}

/* Append ".key" to the name; false for a key that cannot be in a name. */
static bool append_key(struct walk *w, mm_pk_id key, bool in_state)
{
    const struct mm_pk_node *const k = node(w, key);

    if (in_state && is_transparent(w, key))
        return true;
    if (k->kind != MM_PK_STR && k->kind != MM_PK_INT)
        return false;
    if (w->name.n)
        mm_buf_char(&w->name, '.');
    if (k->kind == MM_PK_STR)
        mm_buf_add(&w->name, k->u.s, k->n);
    else
        mm_buf_printf(&w->name, "%lld", (long long)k->u.i);
    return true;
}

static void cut_name(struct walk *w, size_t n)
{
    if (w->name.p)
        w->name.p[n] = '\0';
    w->name.n = n;
}

static bool is_sequence(const struct mm_pk_node *x)
{
    return x->kind == MM_PK_LIST || x->kind == MM_PK_TUPLE;
}

/* The argument of OrderedDict([(key, value), ...]), 0 for anything else. */
static mm_pk_id ordered_pairs(const struct walk *w, const struct mm_pk_node *x)
{
    if (x->kind != MM_PK_OBJECT || !is_call(w, x->a, "collections", "OrderedDict"))
        return 0;
    const struct mm_pk_node *const args = node(w, x->b);
    if (args->kind != MM_PK_TUPLE || args->n != 1 || !is_sequence(node(w, args->u.item[0])))
        return 0;
    return args->u.item[0];
}

static void enter(struct walk *w, mm_pk_id id)
{
    const struct mm_pk_node *const x = node(w, id);
    const mm_pk_id pairs = ordered_pairs(w, x);
    const bool container = is_sequence(x) || x->kind == MM_PK_DICT || x->kind == MM_PK_OBJECT;

    if (container && w->depth < MAX_DEPTH)
        w->frame[w->depth++] = (struct frame){ .id = pairs ? pairs : id, .name = w->name.n,
                                               .mode = pairs ? PAIRS : ITEMS };
}

static int visit(struct walk *w, mm_pk_id id)
{
    struct mm_tensor t = { 0 };
    const int rc = get_tensor(w, id, &t);

    if (rc < 0)
        return mm_err_prefix(w->e, "tensor '%.*s'", (int)(w->name.n < 200 ? w->name.n : 200),
                             w->name.p ? w->name.p : "");
    if (rc == 1)
        return mm_entries_add(w->en, w->name.p ? w->name.p : "", w->name.n, &t, w->file, w->e);
    enter(w, id);
    return 0;
}

/* The items of f are done: an object may have a dict of attributes besides. */
static void leave(struct walk *w, struct frame *f)
{
    const struct mm_pk_node *const x = node(w, f->id);

    if (f->mode == ITEMS && x->kind == MM_PK_OBJECT && node(w, x->c)->kind == MM_PK_DICT)
        *f = (struct frame){ .id = x->c, .mode = STATE, .name = f->name };
    else
        w->depth--;
}

/* Key and value of the next item of f; false if it has no name. */
static bool next_item(struct walk *w, struct frame *f, mm_pk_id *child)
{
    const struct mm_pk_node *const x = node(w, f->id);

    if (f->mode == PAIRS) {
        const struct mm_pk_node *const pair = node(w, x->u.item[f->next++]);
        if (!is_sequence(pair) || pair->n != 2)
            return false;
        *child = pair->u.item[1];
        return append_key(w, pair->u.item[0], false);
    }
    if (!is_sequence(x)) {
        *child = x->u.item[f->next + 1];
        f->next += 2;
        return append_key(w, x->u.item[f->next - 2], f->mode == STATE);
    }
    *child = x->u.item[f->next];
    if (w->name.n)
        mm_buf_char(&w->name, '.');
    mm_buf_printf(&w->name, "%u", f->next++);
    return true;
}

/* The next child of the innermost container; an exhausted one is left. */
static int step(struct walk *w)
{
    struct frame *const f = &w->frame[w->depth - 1];
    mm_pk_id child = 0;

    cut_name(w, f->name);
    if (f->next >= node(w, f->id)->n) {
        leave(w, f);
        return 0;
    }
    const bool named = next_item(w, f, &child);
    if (w->name.failed)
        return mm_err_set(w->e, MM_ENOMEM, "out of memory");
    return named ? visit(w, child) : 0;
}

/* Shared containers may be visited more often than there are nodes, but not
 * without bound. */
static int walk(struct walk *w, mm_pk_id root)
{
    const size_t limit = 8 * mm_pickle_count(w->src->pickle) + 100000;
    int rc = visit(w, root);

    while (rc == 0 && w->depth > 0) {
        if (++w->visits > limit)
            return mm_err_set(w->e, MM_EDATA, "the object refers to itself without end");
        rc = step(w);
    }
    return rc;
}

/* Does a dict hold a tensor directly? */
static bool holds_tensors(const struct walk *w, mm_pk_id id)
{
    const struct mm_pk_node *const x = node(w, id);

    if (x->kind != MM_PK_DICT && x->kind != MM_PK_OBJECT)
        return false;
    for (uint32_t i = 1; i < x->n; i += 2) {
        const struct mm_pk_node *const v = node(w, x->u.item[i]);
        if (v->kind == MM_PK_OBJECT && (is_rebuild(w, v->a) || is_wrapper(w, v->a)))
            return true;
        if (v->kind == MM_PK_PERSID && w->src->tensor)
            return true;
    }
    return false;
}

/* The dict of weights inside a training checkpoint, or root itself. */
static mm_pk_id enter_wrapper(struct walk *w, mm_pk_id root)
{
    mm_pk_id inner = root;
    size_t found = 0;
    const char *name = NULL;

    for (size_t i = 0; i < sizeof wrappers / sizeof *wrappers; i++) {
        const mm_pk_id x = mm_pickle_get(w->src->pickle, root, wrappers[i]);
        if (x && holds_tensors(w, x)) {
            inner = x;
            name = wrappers[i];
            found++;
        }
    }
    if (found != 1)
        return root;
    mm_entries_warn(w->en, "%s: weights taken from '%s'", w->file, name);
    return inner;
}

/* Storages that no tensor uses must be sound too. */
static int check_storages(struct walk *w)
{
    const struct mm_pickle *const p = w->src->pickle;
    struct mm_sdict_storage s;

    for (size_t i = 0; i < mm_pickle_count(p); i++) {
        if (mm_pickle_node(p, (mm_pk_id)i)->kind != MM_PK_PERSID)
            continue;
        int rc = mm_sdict_persid(&s, p, (mm_pk_id)i, w->e);
        if (rc == 1)
            rc = w->src->storage(w->src->arg, &s, w->e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int mm_sdict_read(struct mm_entries *en, const struct mm_sdict_source *src, const char *file,
                  struct mm_err *e)
{
    struct walk w = { .en = en, .src = src, .file = file, .e = e };
    const mm_pk_id root = mm_pickle_root(src->pickle);
    const size_t before = en->n;
    int rc = check_storages(&w);

    if (rc == 0)
        rc = walk(&w, enter_wrapper(&w, root));
    mm_buf_free(&w.name);
    if (rc == 0 && en->n == before && !en->keep_first)
        return mm_err_set(e, MM_EDATA, "holds no tensors");
    return rc;
}
