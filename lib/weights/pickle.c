/* pickle.c: the stack machine.
 *
 * State: a value stack of node ids, a stack of marks (heights of the value
 * stack), a memo (hash from index to id), an array of nodes.
 */
#include "weights/pickle.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/io.h"

#define MAX_NODES ((size_t)1 << 26)

struct memo {
    uint32_t *key, *val; /* val: node id + 1, 0 is an empty slot */
    size_t n, slots;
};

struct mm_pickle {
    struct mm_pk_node *node;
    size_t n, cap;
    mm_pk_id root;
};

struct machine {
    struct mm_pickle *p;
    const unsigned char *data;
    size_t size, at;
    size_t op_at; /* offset of the current opcode */
    mm_pk_id *stack;
    size_t top, stack_cap;
    size_t *mark;
    size_t nmark, mark_cap;
    struct memo memo;
    bool stopped;
    struct mm_err *e;
};

static int nomem(struct machine *m)
{
    mm_err_set(m->e, MM_ENOMEM, "out of memory");
    return MM_ENOMEM;
}

static int bad(struct machine *m, const char *why)
{
    mm_err_set(m->e, MM_EDATA, "pickle offset %zu: opcode 0x%02x: %s", m->op_at,
               m->data[m->op_at], why);
    return MM_EDATA;
}

/* ---- nodes ---- */

static int new_node(struct machine *m, mm_pk_id *id, enum mm_pk_kind kind)
{
    struct mm_pickle *const p = m->p;

    if (p->n >= MAX_NODES)
        return bad(m, "too many objects");
    if (!mm_grow(&p->node, &p->cap, p->n + 1, sizeof *p->node))
        return nomem(m);
    p->node[p->n] = (struct mm_pk_node){ .kind = kind };
    *id = (mm_pk_id)p->n++;
    return 0;
}

static bool holds_items(const struct mm_pk_node *x)
{
    return (x->kind >= MM_PK_TUPLE && x->kind <= MM_PK_DICT) || x->kind == MM_PK_OBJECT;
}

/* Append ids[n] to the items of a container. */
static int add_items(struct machine *m, mm_pk_id to, const mm_pk_id *ids, size_t n)
{
    struct mm_pk_node *const x = &m->p->node[to];
    size_t cap = x->cap;

    if (n == 0)
        return 0;
    if (n > UINT32_MAX - x->n || !mm_grow(&x->u.item, &cap, x->n + n, sizeof *x->u.item))
        return nomem(m);
    x->cap = cap > UINT32_MAX ? UINT32_MAX : (uint32_t)cap;
    memcpy(x->u.item + x->n, ids, n * sizeof *ids);
    x->n += (uint32_t)n;
    return 0;
}

/* ---- stack ---- */

static int push(struct machine *m, mm_pk_id id)
{
    if (!mm_grow(&m->stack, &m->stack_cap, m->top + 1, sizeof *m->stack))
        return nomem(m);
    m->stack[m->top++] = id;
    return 0;
}

/* How many values lie above the last mark. */
static size_t depth(const struct machine *m)
{
    return m->top - (m->nmark ? m->mark[m->nmark - 1] : 0);
}

static int push_new(struct machine *m, enum mm_pk_kind kind)
{
    mm_pk_id id;
    const int rc = new_node(m, &id, kind);
    return rc < 0 ? rc : push(m, id);
}

static int push_int(struct machine *m, enum mm_pk_kind kind, int64_t v)
{
    const int rc = push_new(m, kind);
    if (rc == 0)
        m->p->node[m->stack[m->top - 1]].u.i = v;
    return rc;
}

/* Pop the last mark; *n values lie above it, from m->stack + m->top on. */
static int pop_mark(struct machine *m, size_t *n)
{
    if (m->nmark == 0)
        return bad(m, "no mark");
    const size_t at = m->mark[--m->nmark];
    *n = m->top - at;
    m->top = at;
    return 0;
}

static int push_items(struct machine *m, enum mm_pk_kind kind, size_t n)
{
    mm_pk_id id;
    int rc;

    if (depth(m) < n)
        return bad(m, "stack underflow");
    if ((rc = new_node(m, &id, kind)) < 0 ||
        (rc = add_items(m, id, m->stack + m->top - n, n)) < 0)
        return rc;
    m->top -= n;
    return push(m, id);
}

/* ---- memo ---- */

static size_t memo_slot(const struct memo *t, uint32_t key)
{
    size_t i = (key * (size_t)0x9e3779b97f4a7c15u >> 20) & (t->slots - 1);

    while (t->val[i] && t->key[i] != key)
        i = (i + 1) & (t->slots - 1);
    return i;
}

static bool memo_grow(struct memo *t)
{
    struct memo u = { .n = t->n, .slots = t->slots ? 2 * t->slots : 64 };

    u.key = calloc(u.slots, sizeof *u.key);
    u.val = calloc(u.slots, sizeof *u.val);
    if (!u.key || !u.val) {
        free(u.key);
        free(u.val);
        return false;
    }
    for (size_t i = 0; i < t->slots; i++)
        if (t->val[i]) {
            const size_t s = memo_slot(&u, t->key[i]);
            u.key[s] = t->key[i];
            u.val[s] = t->val[i];
        }
    free(t->key);
    free(t->val);
    *t = u;
    return true;
}

static int memo_put(struct machine *m, uint32_t key)
{
    struct memo *const t = &m->memo;

    if (depth(m) < 1)
        return bad(m, "stack underflow");
    if (t->n >= t->slots / 2 && !memo_grow(t))
        return nomem(m);
    const size_t s = memo_slot(t, key);
    t->n += t->val[s] == 0;
    t->key[s] = key;
    t->val[s] = m->stack[m->top - 1] + 1;
    return 0;
}

static int memo_get(struct machine *m, uint32_t key)
{
    const struct memo *const t = &m->memo;
    const size_t s = t->slots ? memo_slot(t, key) : 0;

    if (!t->slots || !t->val[s])
        return bad(m, "memo entry was never set");
    return push(m, t->val[s] - 1);
}

/* ---- arguments in the byte string ---- */

static const unsigned char *take(struct machine *m, size_t n)
{
    if (n > m->size - m->at)
        return NULL;
    m->at += n;
    return m->data + m->at - n;
}

/* An unsigned little-endian number of n bytes. */
static int get_uint(struct machine *m, size_t n, uint64_t *v)
{
    const unsigned char *const p = take(m, n);

    if (!p)
        return bad(m, "truncated");
    *v = 0;
    for (size_t i = n; i > 0; i--)
        *v = *v << 8 | p[i - 1];
    return 0;
}

/* Push the text or bytes whose length is a number of len bytes. */
static int push_bytes(struct machine *m, enum mm_pk_kind kind, size_t len)
{
    uint64_t n;
    int rc = get_uint(m, len, &n);

    if (rc < 0)
        return rc;
    const unsigned char *const p = n > UINT32_MAX ? NULL : take(m, (size_t)n);
    if (!p)
        return bad(m, "longer than what is left");
    if ((rc = push_new(m, kind)) < 0)
        return rc;
    struct mm_pk_node *const x = &m->p->node[m->stack[m->top - 1]];
    x->u.s = (const char *)p;
    x->n = (uint32_t)n;
    return 0;
}

/* LONG1, LONG4: two's complement; what exceeds 64 bits stays bytes. */
static int push_long(struct machine *m, size_t len)
{
    int rc = push_bytes(m, MM_PK_BIGINT, len);

    if (rc < 0)
        return rc;
    struct mm_pk_node *const x = &m->p->node[m->stack[m->top - 1]];
    if (x->n > 8)
        return 0;
    const unsigned char *const p = (const unsigned char *)x->u.s;
    uint64_t v = x->n && (p[x->n - 1] & 0x80) ? UINT64_MAX : 0;
    for (uint32_t i = x->n; i > 0; i--)
        v = v << 8 | p[i - 1];
    x->kind = MM_PK_INT;
    x->n = 0;
    x->u.i = (int64_t)v;
    return 0;
}

static int push_float(struct machine *m)
{
    const unsigned char *const p = take(m, 8); /* big-endian, the only such field */
    uint64_t v = 0;
    int rc;

    if (!p)
        return bad(m, "truncated");
    for (int i = 0; i < 8; i++)
        v = v << 8 | p[i];
    if ((rc = push_new(m, MM_PK_FLOAT)) == 0)
        memcpy(&m->p->node[m->stack[m->top - 1]].u.f, &v, sizeof v);
    return rc;
}

static int push_line(struct machine *m)
{
    const unsigned char *const p = m->data + m->at;
    const unsigned char *const nl = memchr(p, '\n', m->size - m->at);
    int rc;

    if (!nl)
        return bad(m, "truncated");
    if (nl - p > 65535)
        return bad(m, "line too long");
    m->at += (size_t)(nl - p) + 1;
    if ((rc = push_new(m, MM_PK_STR)) < 0)
        return rc;
    struct mm_pk_node *const x = &m->p->node[m->stack[m->top - 1]];
    x->u.s = (const char *)p;
    x->n = (uint32_t)(nl - p);
    return 0;
}

/* ---- operations on the stack ---- */

/* Module and name from the stack. */
static int make_global(struct machine *m)
{
    mm_pk_id id;
    int rc;

    if (depth(m) < 2)
        return bad(m, "stack underflow");
    const mm_pk_id module = m->stack[m->top - 2], name = m->stack[m->top - 1];
    if (m->p->node[module].kind != MM_PK_STR || m->p->node[name].kind != MM_PK_STR)
        return bad(m, "module and name are no text");
    if ((rc = new_node(m, &id, MM_PK_GLOBAL)) < 0)
        return rc;
    m->p->node[id].a = module;
    m->p->node[id].b = name;
    m->top -= 2;
    return push(m, id);
}

static int read_global(struct machine *m)
{
    int rc = push_line(m);

    if (rc == 0)
        rc = push_line(m);
    return rc < 0 ? rc : make_global(m);
}

/* REDUCE, NEWOBJ (drop = 0), NEWOBJ_EX (drop = 1: keyword arguments are
 * forgotten): callable and arguments become an object. */
static int make_object(struct machine *m, size_t drop)
{
    mm_pk_id id;
    int rc;

    if (depth(m) < 2 + drop)
        return bad(m, "stack underflow");
    m->top -= drop;
    if ((rc = new_node(m, &id, MM_PK_OBJECT)) < 0)
        return rc;
    m->p->node[id].a = m->stack[m->top - 2];
    m->p->node[id].b = m->stack[m->top - 1];
    m->top -= 2;
    return push(m, id);
}

static int make_persid(struct machine *m)
{
    mm_pk_id id;
    int rc;

    if (depth(m) < 1)
        return bad(m, "stack underflow");
    if ((rc = new_node(m, &id, MM_PK_PERSID)) < 0)
        return rc;
    m->p->node[id].a = m->stack[--m->top];
    return push(m, id);
}

/* BUILD: the state of an object; attributes of a dict are forgotten. */
static int build(struct machine *m)
{
    if (depth(m) < 2)
        return bad(m, "stack underflow");
    const mm_pk_id state = m->stack[--m->top];
    struct mm_pk_node *const x = &m->p->node[m->stack[m->top - 1]];
    if (x->kind == MM_PK_OBJECT)
        x->c = state;
    else if (!holds_items(x) && x->kind != MM_PK_PERSID && x->kind != MM_PK_GLOBAL)
        return bad(m, "state for a plain value");
    return 0;
}

/* The n values on top go into the container below them. */
static int add_to(struct machine *m, size_t n, bool pairs)
{
    if (m->top < n + 1 || depth(m) < n + 1)
        return bad(m, "stack underflow");
    if (pairs && n % 2 != 0)
        return bad(m, "a key without a value");
    const mm_pk_id to = m->stack[m->top - n - 1];
    const struct mm_pk_node *const x = &m->p->node[to];
    const bool dict = x->kind == MM_PK_DICT, list = x->kind == MM_PK_LIST || x->kind == MM_PK_SET;
    if (x->kind != MM_PK_OBJECT && !(pairs ? dict : list))
        return bad(m, "items for something that holds none");
    m->top -= n;
    if (x->kind == MM_PK_OBJECT && !pairs)
        return 0; /* a subclass of list: of no use here */
    return add_items(m, to, m->stack + m->top, n);
}

/* APPENDS, SETITEMS, ADDITEMS: everything above the mark. */
static int add_marked(struct machine *m, bool pairs)
{
    size_t n;
    const int rc = pop_mark(m, &n);

    if (rc < 0)
        return rc;
    m->top += n;
    return add_to(m, n, pairs);
}

static int push_marked(struct machine *m, enum mm_pk_kind kind)
{
    size_t n;
    const int rc = pop_mark(m, &n);

    if (rc < 0)
        return rc;
    m->top += n;
    return push_items(m, kind, n);
}

static int push_mark(struct machine *m)
{
    if (!mm_grow(&m->mark, &m->mark_cap, m->nmark + 1, sizeof *m->mark))
        return nomem(m);
    m->mark[m->nmark++] = m->top;
    return 0;
}

static int pop(struct machine *m)
{
    if (depth(m) < 1) { /* POP also takes a mark */
        size_t n;
        return pop_mark(m, &n);
    }
    m->top--;
    return 0;
}

static int stop(struct machine *m)
{
    if (m->top < 1)
        return bad(m, "stack underflow");
    m->p->root = m->stack[m->top - 1];
    m->stopped = true;
    return 0;
}

/* Numbers, text and memo indices: opcodes with an argument in the data. */
static int step_argument(struct machine *m, unsigned char op)
{
    uint64_t v = 0;
    int rc;

    switch (op) {
    case 0x8c: return push_bytes(m, MM_PK_STR, 1);   /* SHORT_BINUNICODE */
    case 'X':  return push_bytes(m, MM_PK_STR, 4);   /* BINUNICODE */
    case 0x8d: return push_bytes(m, MM_PK_STR, 8);   /* BINUNICODE8 */
    case 'U':  return push_bytes(m, MM_PK_STR, 1);   /* SHORT_BINSTRING, Python 2 */
    case 'T':  return push_bytes(m, MM_PK_STR, 4);   /* BINSTRING */
    case 'C':  return push_bytes(m, MM_PK_BYTES, 1); /* SHORT_BINBYTES */
    case 'B':  return push_bytes(m, MM_PK_BYTES, 4); /* BINBYTES */
    case 0x8e:                                       /* BINBYTES8 */
    case 0x96: return push_bytes(m, MM_PK_BYTES, 8); /* BYTEARRAY8 */
    case 0x8a: return push_long(m, 1);               /* LONG1 */
    case 0x8b: return push_long(m, 4);               /* LONG4 */
    case 'G':  return push_float(m);                 /* BINFLOAT */
    case 'K':  rc = get_uint(m, 1, &v); break;       /* BININT1 */
    case 'M':  rc = get_uint(m, 2, &v); break;       /* BININT2 */
    case 'J':  rc = get_uint(m, 4, &v);              /* BININT */
               v = (uint64_t)(int64_t)(int32_t)v;
               break;
    case 'q':
    case 'h':  rc = get_uint(m, 1, &v); break;       /* BINPUT, BINGET */
    case 'r':
    case 'j':  rc = get_uint(m, 4, &v); break;       /* LONG_BINPUT, LONG_BINGET */
    case 0x95: rc = get_uint(m, 8, &v); break;       /* FRAME */
    case 0x80: rc = get_uint(m, 1, &v); break;       /* PROTO */
    case 'c':  return read_global(m);                /* GLOBAL */
    default:   return bad(m, "unknown");
    }
    if (rc < 0 || op == 0x95)
        return rc;
    if (op == 0x80)
        return v >= 2 && v <= 5 ? 0 : bad(m, "protocol is not 2 to 5");
    if (op == 'q' || op == 'r')
        return memo_put(m, (uint32_t)v);
    if (op == 'h' || op == 'j')
        return memo_get(m, (uint32_t)v);
    return push_int(m, MM_PK_INT, (int64_t)v);
}

static int step(struct machine *m, unsigned char op)
{
    size_t n;

    switch (op) {
    case '(':  return push_mark(m);
    case '.':  return stop(m);
    case '0':  return pop(m);
    case '1':  return pop_mark(m, &n);
    case '2':  return depth(m) < 1 ? bad(m, "stack underflow") : push(m, m->stack[m->top - 1]);
    case 'N':  return push_new(m, MM_PK_NONE);
    case 0x88: return push_int(m, MM_PK_BOOL, 1);
    case 0x89: return push_int(m, MM_PK_BOOL, 0);
    case ')':  return push_new(m, MM_PK_TUPLE);
    case '}':  return push_new(m, MM_PK_DICT);
    case ']':  return push_new(m, MM_PK_LIST);
    case 0x8f: return push_new(m, MM_PK_SET);
    case 't':  return push_marked(m, MM_PK_TUPLE);
    case 'l':  return push_marked(m, MM_PK_LIST);
    case 0x91: return push_marked(m, MM_PK_SET);
    case 0x85: return push_items(m, MM_PK_TUPLE, 1);
    case 0x86: return push_items(m, MM_PK_TUPLE, 2);
    case 0x87: return push_items(m, MM_PK_TUPLE, 3);
    case 'Q':  return make_persid(m);
    case 'R':
    case 0x81: return make_object(m, 0);
    case 0x92: return make_object(m, 1);
    case 'b':  return build(m);
    case 's':  return add_to(m, 2, true);
    case 'a':  return add_to(m, 1, false);
    case 'u':  return add_marked(m, true);
    case 'e':
    case 0x90: return add_marked(m, false);
    case 0x93: return make_global(m);
    case 0x94: return memo_put(m, (uint32_t)m->memo.n);
    default:   return step_argument(m, op);
    }
}

int mm_pickle_run(struct mm_pickle **pp, const unsigned char *data, size_t size, size_t *used,
                  struct mm_err *e)
{
    struct machine m = { .data = data, .size = size, .e = e };
    mm_pk_id none;
    int rc;

    *pp = NULL;
    m.p = calloc(1, sizeof *m.p);
    /* a stack there is, so that pointers into an empty one may be formed */
    rc = m.p && mm_grow(&m.stack, &m.stack_cap, 64, sizeof *m.stack)
             ? new_node(&m, &none, MM_PK_NONE) : nomem(&m);
    while (rc == 0 && !m.stopped) {
        m.op_at = m.at;
        if (m.at == size)
            rc = mm_err_set(e, MM_EDATA, "pickle offset %zu: ends without STOP", m.at);
        else
            rc = step(&m, data[m.at++]);
    }
    free(m.stack);
    free(m.mark);
    free(m.memo.key);
    free(m.memo.val);
    if (rc < 0)
        mm_pickle_free(m.p);
    else
        *pp = m.p;
    *used = m.at;
    return rc;
}

void mm_pickle_free(struct mm_pickle *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++)
        if (holds_items(&p->node[i]))
            free(p->node[i].u.item);
    free(p->node);
    free(p);
}

mm_pk_id mm_pickle_root(const struct mm_pickle *p)
{
    return p->root;
}

size_t mm_pickle_count(const struct mm_pickle *p)
{
    return p->n;
}

const struct mm_pk_node *mm_pickle_node(const struct mm_pickle *p, mm_pk_id id)
{
    return &p->node[id];
}

int mm_pickle_is_str(const struct mm_pickle *p, mm_pk_id id, const char *s)
{
    const struct mm_pk_node *const x = &p->node[id];
    return x->kind == MM_PK_STR && x->n == strlen(s) && memcmp(x->u.s, s, x->n) == 0;
}

int mm_pickle_is_global(const struct mm_pickle *p, mm_pk_id id, const char *module,
                        const char *name)
{
    const struct mm_pk_node *const x = &p->node[id];
    return x->kind == MM_PK_GLOBAL && mm_pickle_is_str(p, x->a, module) &&
           mm_pickle_is_str(p, x->b, name);
}

mm_pk_id mm_pickle_get(const struct mm_pickle *p, mm_pk_id dict, const char *key)
{
    const struct mm_pk_node *const x = &p->node[dict];

    if (x->kind != MM_PK_DICT && x->kind != MM_PK_OBJECT)
        return 0;
    for (uint32_t i = 0; i + 1 < x->n; i += 2)
        if (mm_pickle_is_str(p, x->u.item[i], key))
            return x->u.item[i + 1];
    return 0;
}
