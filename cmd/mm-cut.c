/* mm-cut: selects, renames and relabels records.
 *
 *   records -> those that match every selection, with attributes set
 */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cmd.h"
#include "stream/cmdio.h"
#include "stream/format.h"

static const char usage[] =
    "mm-cut [-qv] [-k kind] [-i items] [-w key=pattern] [-n name] [-a key=value]\n"
    "       [--max-record size] [file ...]";
static const char help[] =
    "Passes the records that match, attributes changed.\n"
    "  -k KIND            of this kind (may be given again: any of them)\n"
    "  -i ITEMS           of these items: 3, 2-5, 7-, or a list with commas\n"
    "  -w KEY=PATTERN     whose attribute matches (may be given again: all of them)\n"
    "  -n NAME            set the name\n"
    "  -a KEY=VALUE       set an attribute; KEY alone removes it\n"
    "      --max-record SIZE  largest record accepted (1G)\n";

static const struct option longopts[] = {
    MM_COMMON_LONG,
    MM_MAX_RECORD_LONG,
    { "kind", required_argument, NULL, 'k' },
    { "items", required_argument, NULL, 'i' },
    { "where", required_argument, NULL, 'w' },
    { "name", required_argument, NULL, 'n' },
    { "attribute", required_argument, NULL, 'a' },
    { NULL, 0, NULL, 0 },
};

struct range {
    int64_t first, last;
};

struct pair {
    char *key;         /* malloc'd */
    const char *value; /* NULL: remove */
};

struct opts {
    const char **kind;
    struct range *item;
    struct pair *where, *set;
    size_t nkind, nitem, nwhere, nset;
    size_t kcap, icap, wcap, scap;
    size_t max_record;
};

static void no_memory(struct mm_cmd *c)
{
    mm_err_set(&c->err, MM_ENOMEM, "out of memory");
    mm_cmd_fail(c);
}

/* A list like 3,5-7,9- */
static void parse_items(struct opts *o, struct mm_cmd *c, const char *arg)
{
    for (const char *p = arg;;) {
        const size_t n = strcspn(p, ",");
        const size_t first = strcspn(p, ",-");
        struct range r = { 0, INT64_MAX };
        uint64_t lo, hi;

        if (!mm_format_number(p, first, &lo))
            mm_cmd_usage(c, "-i: '%s' is no list of items", arg);
        r.first = r.last = (int64_t)lo;
        if (first < n) {
            if (n == first + 1)
                r.last = INT64_MAX;
            else if (mm_format_number(p + first + 1, n - first - 1, &hi) && hi >= lo)
                r.last = (int64_t)hi;
            else
                mm_cmd_usage(c, "-i: '%s' is no list of items", arg);
        }
        if (!mm_grow(&o->item, &o->icap, o->nitem + 1, sizeof(*o->item)))
            no_memory(c);
        o->item[o->nitem++] = r;
        if (p[n] == '\0')
            return;
        p += n + 1;
    }
}

/* KEY=VALUE or KEY of an option named opt. */
static struct pair parse_pair(struct mm_cmd *c, const char *opt, const char *arg)
{
    const char *eq = strchr(arg, '=');
    const size_t n = eq != NULL ? (size_t)(eq - arg) : strlen(arg);
    struct pair p = { strndup(arg, n), eq != NULL ? eq + 1 : NULL };

    if (p.key == NULL)
        no_memory(c);
    if (!mm_format_key(p.key, n))
        mm_cmd_usage(c, "%s: '%s' is no attribute", opt, p.key);
    return p;
}

static void add_pair(struct pair **v, size_t *n, size_t *cap, struct pair p, struct mm_cmd *c)
{
    if (p.key == NULL || !mm_grow(v, cap, *n + 1, sizeof(**v)))
        no_memory(c);
    (*v)[(*n)++] = p;
}

static void parse_set(struct opts *o, struct mm_cmd *c, const char *arg)
{
    const struct pair p = parse_pair(c, "-a", arg);
    uint64_t item;

    if (mm_format_own(p.key))
        mm_cmd_usage(c, "-a: '%s' belongs to the format", p.key);
    if (strcmp(p.key, "item") == 0 && p.value != NULL
        && !mm_format_number(p.value, strlen(p.value), &item))
        mm_cmd_usage(c, "-a: item '%s' is no number", p.value);
    add_pair(&o->set, &o->nset, &o->scap, p, c);
}

static void parse_where(struct opts *o, struct mm_cmd *c, const char *arg)
{
    if (strchr(arg, '=') == NULL)
        mm_cmd_usage(c, "-w: '%s' is not key=pattern", arg);
    add_pair(&o->where, &o->nwhere, &o->wcap, parse_pair(c, "-w", arg), c);
}

static bool selected(const struct opts *o, const struct mm_rec *rec)
{
    const int64_t item = mm_rec_int(rec, "item", -1);
    bool ok = o->nkind == 0;

    for (size_t i = 0; i < o->nkind; i++)
        ok = ok || mm_rec_is(rec, o->kind[i]);
    if (!ok)
        return false;
    ok = o->nitem == 0;
    for (size_t i = 0; i < o->nitem; i++)
        ok = ok || (item >= o->item[i].first && item <= o->item[i].last);
    for (size_t i = 0; i < o->nwhere && ok; i++) {
        const char *v = mm_rec_attr(rec, o->where[i].key);

        ok = v != NULL && fnmatch(o->where[i].value, v, 0) == 0;
    }
    return ok;
}

static int relabel(struct mm_rec *rec, const struct opts *o, struct mm_err *e)
{
    for (size_t i = 0; i < o->nset; i++) {
        const int rc = mm_rec_set(rec, o->set[i].key, o->set[i].value);

        if (rc < 0)
            return mm_err_set(e, rc, "%s: cannot be set", o->set[i].key);
    }
    return 0;
}

static int cut(char *const *files, int n, const struct opts *o, struct mm_err *e)
{
    struct mm_input *in = NULL;
    struct mm_writer *out = NULL;
    struct mm_rec rec;
    int rc = mm_output_open(&out, e);

    if (rc == 0)
        rc = mm_input_open(&in, files, n, o->max_record, e);
    while (rc == 0 && (rc = mm_input_get(in, &rec, e)) > 0) {
        rc = 0;
        if (!selected(o, &rec))
            continue;
        rc = relabel(&rec, o, e);
        if (rc == 0)
            rc = mm_writer_put(out, &rec, e);
    }
    if (rc == 0)
        rc = mm_writer_end(out, e);
    mm_input_close(in);
    mm_writer_close(out);
    return rc;
}

static void parse(struct opts *o, struct mm_cmd *cmd, int argc, char **argv)
{
    int c;

    while ((c = getopt_long(argc, argv, "k:i:w:n:a:" MM_COMMON_OPTS, longopts, NULL)) != -1)
        switch (c) {
        case 'k':
            if (!mm_grow(&o->kind, &o->kcap, o->nkind + 1, sizeof(*o->kind)))
                no_memory(cmd);
            o->kind[o->nkind++] = optarg;
            break;
        case 'i':
            parse_items(o, cmd, optarg);
            break;
        case 'w':
            parse_where(o, cmd, optarg);
            break;
        case 'n':
            add_pair(&o->set, &o->nset, &o->scap, (struct pair){ strdup("name"), optarg }, cmd);
            break;
        case 'a':
            parse_set(o, cmd, optarg);
            break;
        case MM_OPT_MAX_RECORD:
            o->max_record = mm_opt_size(cmd, "--max-record", optarg, SIZE_MAX / 2);
            break;
        default:
            mm_cmd_common(cmd, c, optarg);
        }
}

static void opts_free(struct opts *o)
{
    for (size_t i = 0; i < o->nwhere; i++)
        free(o->where[i].key);
    for (size_t i = 0; i < o->nset; i++)
        free(o->set[i].key);
    free(o->kind);
    free(o->item);
    free(o->where);
    free(o->set);
}

int main(int argc, char **argv)
{
    struct opts o = { 0 };
    struct mm_cmd cmd;

    mm_cmd_init(&cmd, argv[0], usage, help);
    parse(&o, &cmd, argc, argv);
    cut(argv + optind, argc - optind, &o, &cmd.err);
    opts_free(&o);
    return mm_cmd_finish(&cmd);
}
