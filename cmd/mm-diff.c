/* mm-diff: tensors of A against those of the same name in B.
 *
 *   A, B (streams, checkpoints) -> per tensor: relative L2 distance, largest
 *   absolute error and the place of the worst element; status 1 if any differs
 *
 * B is held in memory or mapped, A is read tensor by tensor.
 */
#include <fnmatch.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cmd.h"
#include "base/compare.h"
#include "base/io.h"
#include "base/json.h"
#include "stream/cmdio.h"
#include "weights/ckpt.h"

static const char usage[] =
    "mm-diff [-qv] [-r tolerance] [-i item] [--prefix text] [--map file] [--only pattern]\n"
    "       [--all] [--json] [--max-record size] A B";
static const char help[] =
    "Compares the tensors of A with those of the same name in B (streams or checkpoints).\n"
    "  -r TOLERANCE       largest relative L2 distance that passes (0)\n"
    "  -i ITEM            only records of this item\n"
    "      --prefix TEXT  only tensors of A whose name begins so, the beginning cut off\n"
    "      --map FILE     names of A in B: lines 'from to'; # is a number, #-1 one less\n"
    "      --only PATTERN only names of A that match\n"
    "      --all          tensors that only B has count as a difference\n"
    "      --json         one JSON object a line\n"
    "      --max-record SIZE  largest record accepted (1G)\n"
    "Status: 0 all pass, 1 a difference, a tensor missing in B, or none in common.\n";

enum { OPT_PREFIX = MM_OPT_FIRST, OPT_MAP, OPT_ONLY, OPT_ALL, OPT_JSON };

static const struct option longopts[] = {
    MM_COMMON_LONG,
    MM_MAX_RECORD_LONG,
    { "prefix", required_argument, NULL, OPT_PREFIX },
    { "map", required_argument, NULL, OPT_MAP },
    { "only", required_argument, NULL, OPT_ONLY },
    { "all", no_argument, NULL, OPT_ALL },
    { "json", no_argument, NULL, OPT_JSON },
    { NULL, 0, NULL, 0 },
};

struct rule {
    const char *from, *to;
};

struct opts {
    double tolerance;
    int64_t item; /* -1: all */
    const char *prefix, *map, *only;
    bool all, json;
    size_t max_record;
};

/* A named tensor of one side. */
struct entry {
    char *name;
    int64_t item; /* -1: none */
    struct mm_tensor t;
    bool seen;    /* of B: compared with one of A */
};

struct side {
    const char *path;
    struct entry *v;
    size_t n, cap;
    struct mm_ckpt *ck; /* owns the data, or NULL: each entry does */
};

struct diff {
    const struct opts *o;
    struct mm_cmd *cmd;
    struct rule *rule;
    size_t nrule, rule_cap;
    char *rule_text;
    size_t compared, failed;
};

static void side_free(struct side *s)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->ck == NULL)
            free(s->v[i].t.data);
        free(s->v[i].name);
    }
    free(s->v);
    mm_ckpt_close(s->ck);
}

static int side_add(struct side *s, const char *name, int64_t item, const struct mm_tensor *t,
                    struct mm_err *e)
{
    struct entry en = { .item = item, .t = *t };

    en.name = strdup(name);
    if (en.name == NULL || !mm_grow(&s->v, &s->cap, s->n + 1, sizeof(*s->v))) {
        free(en.name);
        return mm_err_set(e, MM_ENOMEM, "%s: out of memory", s->path);
    }
    s->v[s->n++] = en;
    return 0;
}

static int load_ckpt(struct side *s, struct mm_err *e)
{
    char *stem = mm_io_stem(s->path); /* what mm-pack calls an array without a name */
    char *path = NULL;
    int rc = mm_ckpt_find(&path, s->path, e);

    if (rc == 0)
        rc = mm_ckpt_open(&s->ck, path, e);
    for (size_t i = 0; rc == 0 && i < mm_ckpt_count(s->ck); i++) {
        const struct mm_ckpt_entry *en = mm_ckpt_at(s->ck, i);

        rc = side_add(s, en->name[0] == '\0' && stem != NULL ? stem : en->name, -1, &en->t, e);
    }
    free(path);
    free(stem);
    return rc;
}

/* The name a record is compared by. */
static const char *record_name(const struct mm_rec *rec)
{
    const char *name = mm_rec_attr(rec, "name");

    if (name == NULL)
        name = mm_rec_attr(rec, "kind");
    return name != NULL ? name : "";
}

static bool wanted(const struct opts *o, const struct mm_rec *rec)
{
    return rec->type == MM_REC_TENSOR && (o->item < 0 || mm_rec_int(rec, "item", -1) == o->item);
}

static int load_stream(struct side *s, const struct opts *o, struct mm_err *e)
{
    char *paths[] = { (char *)(uintptr_t)s->path };
    struct mm_input *in = NULL;
    struct mm_rec rec;
    int rc = mm_input_open(&in, paths, 1, o->max_record, e);

    while (rc == 0 && (rc = mm_input_get(in, &rec, e)) > 0) {
        struct mm_tensor t = rec.t;

        rc = 0;
        if (!wanted(o, &rec))
            continue;
        t.data = malloc(rec.size + 1);
        if (t.data == NULL) {
            rc = mm_err_set(e, MM_ENOMEM, "%s: out of memory", s->path);
            break;
        }
        memcpy(t.data, rec.data, rec.size);
        rc = side_add(s, record_name(&rec), mm_rec_int(&rec, "item", -1), &t, e);
        if (rc < 0)
            free(t.data);
    }
    mm_input_close(in);
    return rc;
}

static int side_load(struct side *s, const struct opts *o, struct mm_err *e)
{
    return mm_input_is_stream(s->path) ? load_stream(s, o, e) : load_ckpt(s, e);
}

/* Lines "from to" of --map; empty lines do not count. */
static int load_map(struct diff *d, struct mm_err *e)
{
    char *line, *save = NULL;
    size_t n, number = 0;
    int rc = mm_io_slurp(d->o->map, 16 << 20, &d->rule_text, &n, e);

    if (rc < 0)
        return rc;
    for (line = strtok_r(d->rule_text, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        char *word = NULL;
        struct rule r = { strtok_r(line, " \t\r", &word), NULL };

        number++;
        if (r.from == NULL)
            continue;
        r.to = strtok_r(NULL, " \t\r", &word);
        if (r.to == NULL || strtok_r(NULL, " \t\r", &word) != NULL)
            return mm_err_set(e, MM_EDATA, "%s: line %zu is not 'from to'", d->o->map, number);
        if (!mm_grow(&d->rule, &d->rule_cap, d->nrule + 1, sizeof(*d->rule)))
            return mm_err_set(e, MM_ENOMEM, "out of memory");
        d->rule[d->nrule++] = r;
    }
    return 0;
}

/* Does name match from, in which # stands for a decimal number?  Sets *number. */
static bool match_rule(const char *from, const char *name, long *number)
{
    const char *hash = strchr(from, '#');
    const size_t head = hash != NULL ? (size_t)(hash - from) : 0;
    char *end;

    if (hash == NULL)
        return strcmp(from, name) == 0;
    if (strncmp(from, name, head) != 0 || name[head] < '0' || name[head] > '9')
        return false;
    *number = strtol(name + head, &end, 10);
    return strcmp(hash + 1, end) == 0;
}

/* The name in B of what A calls name, appended to b. */
static void map_name(struct mm_buf *b, const struct diff *d, const char *name)
{
    for (size_t i = 0; i < d->nrule; i++) {
        const char *hash;
        long number = 0;
        char *end;

        if (!match_rule(d->rule[i].from, name, &number))
            continue;
        hash = strchr(d->rule[i].to, '#');
        if (hash == NULL) {
            mm_buf_str(b, d->rule[i].to);
            return;
        }
        mm_buf_add(b, d->rule[i].to, (size_t)(hash - d->rule[i].to));
        end = (char *)(uintptr_t)(hash + 1);
        if ((hash[1] == '-' || hash[1] == '+') && hash[2] >= '0' && hash[2] <= '9')
            number += strtol(hash + 1, &end, 10);
        mm_buf_printf(b, "%ld%s", number, end);
        return;
    }
    mm_buf_str(b, name);
}

static void index_str(struct mm_buf *b, const struct mm_tensor *t, size_t i)
{
    int64_t at[MM_MAX_DIMS];
    char s[MM_MAX_DIMS * 21 + 3];

    for (int k = t->ndim - 1; k >= 0; k--) {
        at[k] = (int64_t)(i % (size_t)t->shape[k]);
        i /= (size_t)t->shape[k];
    }
    mm_buf_str(b, mm_shape_str(s, sizeof(s), at, t->ndim));
}

static void json_number(struct mm_buf *b, const char *key, double v)
{
    if (isfinite(v))
        mm_buf_printf(b, ",\"%s\":%.9g", key, v);
    else
        mm_buf_printf(b, ",\"%s\":null", key);
}

/* One line of the report; b is NULL when the tensor is missing there. */
static void report(struct diff *d, const char *name, const struct entry *a, const struct entry *b,
                   const struct mm_compare *r)
{
    char sa[200], sb[200];
    struct mm_buf out = { 0 };

    mm_shape_str(sa, sizeof(sa), a->t.shape, a->t.ndim);
    if (d->o->json) {
        mm_buf_str(&out, "{\"name\":");
        mm_json_quote(&out, name, strlen(name));
        if (a->item >= 0)
            mm_buf_printf(&out, ",\"item\":%" PRId64, a->item);
        mm_buf_printf(&out, ",\"dtype\":\"%s\",\"shape\":%s", mm_dtype_name(a->t.dtype), sa);
        if (b != NULL) {
            json_number(&out, "rel", r->rel);
            json_number(&out, "max_abs", r->max_abs);
            mm_buf_str(&out, ",\"at\":");
            if (r->worst != SIZE_MAX)
                index_str(&out, &a->t, r->worst);
            else
                mm_buf_str(&out, "null");
        }
        mm_buf_printf(&out, ",\"ok\":%s", r->why == NULL ? "true" : "false");
        if (r->why != NULL)
            mm_buf_printf(&out, ",\"why\":\"%s\"", r->why);
        mm_buf_char(&out, '}');
    } else {
        mm_buf_printf(&out, "%-4s %-28s %-16s", r->why == NULL ? "ok" : "FAIL", name, sa);
        if (b != NULL && mm_compare_shape(&a->t, &b->t)) {
            mm_buf_printf(&out, " rel %-11.4g max %-11.4g", r->rel, r->max_abs);
            if (r->worst != SIZE_MAX) {
                mm_buf_str(&out, " at ");
                index_str(&out, &a->t, r->worst);
            }
        } else if (b != NULL) {
            mm_buf_printf(&out, " other shape %s", mm_shape_str(sb, sizeof(sb), b->t.shape,
                                                                b->t.ndim));
        }
        if (r->why != NULL && strcmp(r->why, "another shape") != 0)
            mm_buf_printf(&out, " %s", r->why);
    }
    if (!d->cmd->quiet)
        printf("%s\n", out.p != NULL ? out.p : "");
    mm_buf_free(&out);
}

/* The entry of B for A's: of the same item where both have one, or the only one of
 * that name.  *count is how many have the name. */
static struct entry *find(struct side *b, const char *name, int64_t item, size_t *count)
{
    struct entry *only = NULL;
    struct entry *exact = NULL;

    *count = 0;
    for (size_t i = 0; i < b->n; i++) {
        if (strcmp(b->v[i].name, name) != 0)
            continue;
        ++*count;
        only = &b->v[i];
        if (exact == NULL && !only->seen && only->item == item)
            exact = only;
    }
    if (exact != NULL)
        return exact;
    return *count == 1 && !only->seen ? only : NULL;
}

/* Compares one tensor of A. */
static int diff_one(struct diff *d, struct side *b, const struct entry *a, struct mm_err *e)
{
    const size_t prefix = strlen(d->o->prefix);
    struct mm_compare r = { .why = "missing in B" };
    struct mm_buf name = { 0 };
    struct entry *found;
    size_t count;
    int rc = 0;

    if (strncmp(a->name, d->o->prefix, prefix) != 0
        || (d->o->only != NULL && fnmatch(d->o->only, a->name + prefix, 0) != 0))
        return 0;
    map_name(&name, d, a->name + prefix);
    if (name.failed) {
        mm_buf_free(&name);
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    }
    found = find(b, name.p, a->item, &count);
    if (found == NULL && count > 1 && a->item < 0) {
        rc = mm_err_set(e, MM_EDATA, "%s: '%s' is there %zu times: choose an item with -i", b->path,
                        name.p, count);
    } else {
        if (found != NULL) {
            found->seen = true;
            d->compared++;
            r = mm_compare(&a->t, &found->t, d->o->tolerance);
        }
        d->failed += r.why != NULL;
        report(d, name.p, a, found, &r);
    }
    mm_buf_free(&name);
    return rc;
}

static int diff_ckpt(struct diff *d, struct side *a, struct side *b, struct mm_err *e)
{
    int rc = load_ckpt(a, e);

    for (size_t i = 0; rc == 0 && i < a->n; i++)
        rc = diff_one(d, b, &a->v[i], e);
    return rc;
}

static int diff_stream(struct diff *d, struct side *a, struct side *b, struct mm_err *e)
{
    char *paths[] = { (char *)(uintptr_t)a->path };
    struct mm_input *in = NULL;
    struct mm_rec rec;
    int rc = mm_input_open(&in, paths, 1, d->o->max_record, e);

    while (rc == 0 && (rc = mm_input_get(in, &rec, e)) > 0) {
        struct entry en = { .item = mm_rec_int(&rec, "item", -1), .t = rec.t };

        rc = 0;
        en.name = (char *)(uintptr_t)record_name(&rec);
        if (wanted(d->o, &rec))
            rc = diff_one(d, b, &en, e);
    }
    mm_input_close(in);
    return rc;
}

static void report_rest(struct diff *d, const struct side *b)
{
    const struct opts *o = d->o;
    struct mm_buf q = { 0 };

    for (size_t i = 0; i < b->n; i++) {
        if (b->v[i].seen)
            continue;
        d->failed += o->all;
        if (d->cmd->quiet)
            continue;
        mm_buf_reset(&q);
        mm_json_quote(&q, b->v[i].name, strlen(b->v[i].name));
        if (o->json)
            printf("{\"name\":%s,\"ok\":%s,\"why\":\"only in B\"}\n", q.p != NULL ? q.p : "null",
                   o->all ? "false" : "true");
        else
            printf("%-4s %-28s only in B\n", o->all ? "FAIL" : "-", b->v[i].name);
    }
    mm_buf_free(&q);
}

static void run(struct diff *d, const char *path_a, const char *path_b)
{
    struct mm_err *e = &d->cmd->err;
    struct side a = { .path = path_a };
    struct side b = { .path = path_b };
    int rc = d->o->map != NULL ? load_map(d, e) : 0;

    if (rc == 0)
        rc = side_load(&b, d->o, e);
    if (rc == 0)
        rc = mm_input_is_stream(path_a) ? diff_stream(d, &a, &b, e) : diff_ckpt(d, &a, &b, e);
    if (rc == 0) {
        report_rest(d, &b);
        if (d->compared == 0)
            mm_cmd_warn(d->cmd, "%s and %s have no tensor in common", path_a, path_b);
    }
    side_free(&a);
    side_free(&b);
    free(d->rule);
    free(d->rule_text);
}

int main(int argc, char **argv)
{
    struct opts o = { .item = -1, .prefix = "" };
    struct mm_cmd cmd;
    struct diff d = { .o = &o, .cmd = &cmd };
    int c, status;

    mm_cmd_init(&cmd, argv[0], usage, help);
    while ((c = getopt_long(argc, argv, "r:i:" MM_COMMON_OPTS, longopts, NULL)) != -1)
        switch (c) {
        case 'r':
            o.tolerance = mm_opt_double(&cmd, "-r", optarg, 0.0, HUGE_VAL);
            break;
        case 'i':
            o.item = mm_opt_int(&cmd, "-i", optarg, 0, INT64_MAX);
            break;
        case OPT_PREFIX:
            o.prefix = optarg;
            break;
        case OPT_MAP:
            o.map = optarg;
            break;
        case OPT_ONLY:
            o.only = optarg;
            break;
        case OPT_ALL:
            o.all = true;
            break;
        case OPT_JSON:
            o.json = true;
            break;
        case MM_OPT_MAX_RECORD:
            o.max_record = mm_opt_size(&cmd, "--max-record", optarg, SIZE_MAX / 2);
            break;
        default:
            mm_cmd_common(&cmd, c, optarg);
        }
    if (argc - optind != 2)
        mm_cmd_usage(&cmd, "two operands are needed");
    if (strcmp(argv[optind], "-") == 0 && strcmp(argv[optind + 1], "-") == 0)
        mm_cmd_usage(&cmd, "only one operand can be standard input");
    run(&d, argv[optind], argv[optind + 1]);
    status = mm_cmd_finish(&cmd);
    return status != 0 ? status : d.failed > 0 || d.compared == 0;
}
