/* convs.c: see convs.h. */
#include "train/convs.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/json.h"
#include "base/rng.h"

#define MARK "<image>"
enum { MOST_TURNS = 256, MOST_BYTES = 1 << 30 };

/* Where the samples from `first` on come from. */
struct origin {
    const char *path;
    size_t first;
};

struct mm_convs {
    struct origin *file;
    size_t files, file_cap;
    json_t **root;        /* what the samples belong to */
    size_t nroot, root_cap;
    json_t **v;           /* [n] borrowed */
    size_t n, cap;
    uint64_t hash;
};

/* --- reading ------------------------------------------------------------------------- */

static int role_of(const json_t *turn)
{
    static const struct {
        const char *from;
        enum mm_role role;
    } names[] = { { "human", MM_ROLE_USER }, { "gpt", MM_ROLE_ASSISTANT },
                  { "user", MM_ROLE_USER }, { "assistant", MM_ROLE_ASSISTANT },
                  { "system", MM_ROLE_SYSTEM } };
    const char *from = json_string_value(json_object_get(turn, "from"));

    for (size_t i = 0; from && i < sizeof(names) / sizeof(*names); i++)
        if (!strcmp(names[i].from, from))
            return (int)names[i].role;
    return -1;
}

/* What every objective relies on. */
static int check_form(const json_t *sample, struct mm_err *e)
{
    const json_t *list = json_object_get(sample, "conversations"), *turn;
    const json_t *image = json_object_get(sample, "image");
    const char *name = json_string_value(image);
    size_t i;

    if (!json_is_array(list))
        return mm_err_set(e, MM_EDATA, "no array \"conversations\"");
    if (image && !json_is_null(image) && !(name && *name))
        return mm_err_set(e, MM_EDATA, "\"image\" is no name of a file");
    json_array_foreach(list, i, turn) {
        const char *from = json_string_value(json_object_get(turn, "from"));

        if (role_of(turn) < 0)
            return mm_err_set(e, MM_EDATA, "turn %zu: from '%.40s': human, gpt or system is wanted", i,
                              from ? from : "");
        if (!json_is_string(json_object_get(turn, "value")))
            return mm_err_set(e, MM_EDATA, "turn %zu: no string \"value\"", i);
    }
    return 0;
}

static int add_root(struct mm_convs *c, json_t *j, struct mm_err *e)
{
    const size_t n = json_is_array(j) ? json_array_size(j) : 1;

    if (!mm_grow(&c->root, &c->root_cap, c->nroot + 1, sizeof(*c->root)) ||
        !mm_grow(&c->v, &c->cap, c->n + n + 1, sizeof(*c->v))) {
        json_decref(j);
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    }
    c->root[c->nroot++] = j;
    for (size_t i = 0; i < n; i++) {
        json_t *s = json_is_array(j) ? json_array_get(j, i) : j;

        c->v[c->n] = s;
        if (check_form(s, e) < 0) {
            mm_convs_blame(c, c->n, e);
            return e->code;
        }
        c->n++;
    }
    return 0;
}

static int add_text(struct mm_convs *c, const char *path, const char *s, size_t n,
                    struct mm_err *e)
{
    const size_t begin = mm_json_space(s, n, 0);
    const bool lines = begin < n && s[begin] == '{';
    size_t number = 0;

    while (n > 0) {
        const char *end = lines ? memchr(s, '\n', n) : NULL;
        const size_t len = end ? (size_t)(end - s) : n;
        char what[40];
        json_t *j = NULL;

        snprintf(what, sizeof(what), lines ? "line %zu" : "JSON", ++number);
        if (mm_json_space(s, len, 0) < len) {
            if (mm_json_load(&j, s, len, what, e) < 0)
                return mm_err_prefix(e, "%s", path);
            if (add_root(c, j, e) < 0)
                return e->code;
        }
        s += end ? len + 1 : len;
        n -= end ? len + 1 : len;
    }
    return 0;
}

int mm_convs_open(struct mm_convs **out, char *const *path, int n, struct mm_err *e)
{
    struct mm_convs *c = calloc(1, sizeof(*c));
    int rc = c ? 0 : mm_err_set(e, MM_ENOMEM, "out of memory");

    for (int i = 0; rc == 0 && i < n; i++) {
        char *text = NULL;
        size_t size = 0;

        if (!mm_grow(&c->file, &c->file_cap, c->files + 1, sizeof(*c->file))) {
            rc = mm_err_set(e, MM_ENOMEM, "out of memory");
            break;
        }
        c->file[c->files++] = (struct origin){ path[i], c->n };
        if ((rc = mm_io_slurp(path[i], MOST_BYTES, &text, &size, e)) == 0)
            rc = add_text(c, path[i], text, size, e);
        c->hash = rc == 0 ? mm_hash64_add(c->hash, text, size) : 0;
        free(text);
    }
    if (rc < 0)
        mm_convs_free(c);
    else
        *out = c;
    return rc;
}

void mm_convs_free(struct mm_convs *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->nroot; i++)
        json_decref(c->root[i]);
    free(c->root);
    free(c->v);
    free(c->file);
    free(c);
}

size_t mm_convs_count(const struct mm_convs *c)
{
    return c->n;
}

uint64_t mm_convs_hash(const struct mm_convs *c)
{
    return c->hash;
}

const char *mm_convs_id(const struct mm_convs *c, size_t i)
{
    const char *id = json_string_value(json_object_get(c->v[i], "id"));

    return id ? id : "";
}

const char *mm_convs_image(const struct mm_convs *c, size_t i)
{
    return json_string_value(json_object_get(c->v[i], "image"));
}

static const char *value_of(const json_t *turn)
{
    return json_string_value(json_object_get(turn, "value"));
}

void mm_convs_blame(const struct mm_convs *c, size_t i, struct mm_err *e)
{
    size_t f = c->files;

    while (f > 1 && c->file[f - 1].first > i)
        f--;
    mm_err_prefix(e, "%s: sample %zu (id '%.100s')", c->file[f - 1].path, i - c->file[f - 1].first + 1,
                  mm_convs_id(c, i));
}

int32_t mm_convs_length(const struct mm_convs *c, size_t i)
{
    const json_t *turn;
    int32_t words = 0;
    size_t k;

    json_array_foreach(json_object_get(c->v[i], "conversations"), k, turn) {
        bool in = false;

        for (const char *s = value_of(turn); *s; s++) {
            const bool space = isspace((unsigned char)*s) != 0;

            words += !space && !in;
            in = !space;
        }
    }
    words = words ? words : 1;
    return mm_convs_image(c, i) ? words : -words;
}

const char *mm_convs_answer(const struct mm_convs *c, size_t i)
{
    const json_t *turn;
    size_t k;

    json_array_foreach(json_object_get(c->v[i], "conversations"), k, turn)
        if (role_of(turn) == MM_ROLE_ASSISTANT)
            return value_of(turn);
    return NULL;
}

/* --- turns ----------------------------------------------------------------------------- */

/* A conversation as the template gets it. */
struct talk {
    struct mm_turn turn[MOST_TURNS];
    struct mm_buf text[MOST_TURNS];
    size_t n;
};

static void talk_free(struct talk *t)
{
    for (size_t i = 0; i < t->n; i++)
        mm_buf_free(&t->text[i]);
}

static void add_mark(struct mm_buf *b, const struct mm_convs_spec *s)
{
    mm_buf_str(b, s->start_end ? "<im_start>" MARK "<im_end>" : MARK);
}

/* s without markers and the white space around, behind a marker and a newline. */
static void mark_first(struct mm_buf *b, const char *s, const struct mm_convs_spec *spec)
{
    struct mm_buf rest = { 0 };
    size_t from = 0;

    for (const char *at; (at = strstr(s, MARK)); s = at + strlen(MARK))
        mm_buf_add(&rest, s, (size_t)(at - s));
    mm_buf_str(&rest, s);
    while (from < rest.n && isspace((unsigned char)rest.p[from]))
        from++;
    while (rest.n > from && isspace((unsigned char)rest.p[rest.n - 1]))
        rest.n--;
    add_mark(b, spec);
    if (rest.n > from) {
        mm_buf_char(b, '\n');
        mm_buf_add(b, rest.p + from, rest.n - from);
    }
    b->failed |= rest.failed;
    mm_buf_free(&rest);
}

static bool is_named(const struct mm_template *t, const char *name)
{
    return !strcmp(mm_template_name(t), name);
}

/* Is turn i left out?  The reference skips an answer before the first question; only the
 * templates that have a place for a system text get it. */
static bool skipped(const struct talk *t, size_t i, enum mm_role role, const struct mm_template *tp)
{
    if (role == MM_ROLE_SYSTEM)
        return i > 0 || is_named(tp, "plain") || is_named(tp, "llava_v0");
    return t->n == 0 && role == MM_ROLE_ASSISTANT;
}

/* User and assistant alternate behind the system text. */
static int check_turns(const struct talk *t, struct mm_err *e)
{
    const size_t first = t->n && t->turn[0].role == MM_ROLE_SYSTEM;

    for (size_t i = first; i < t->n; i++)
        if (t->turn[i].role != ((i - first) % 2 ? MM_ROLE_ASSISTANT : MM_ROLE_USER))
            return mm_err_set(e, MM_EDATA, "turn %zu: user and assistant must alternate", i);
    return t->n < first + 2 ? mm_err_set(e, MM_EDATA, "it has no answer") : 0;
}

static int read_talk(struct talk *t, const struct mm_convs *c, size_t sample,
                     const struct mm_convs_spec *s, struct mm_err *e)
{
    const json_t *list = json_object_get(c->v[sample], "conversations"), *turn;
    const bool in_place = is_named(s->template, "llava_v0");
    size_t i, marks = 0;

    t->n = 0;
    json_array_foreach(list, i, turn) {
        const char *text = value_of(turn);
        const enum mm_role role = (enum mm_role)role_of(turn);

        if (skipped(t, i, role, s->template))
            continue;
        if (t->n == MOST_TURNS)
            return mm_err_set(e, MM_EDATA, "more than %d turns", MOST_TURNS);
        struct mm_buf *b = &t->text[t->n];
        *b = (struct mm_buf){ 0 };
        mm_buf_str(b, ""); /* a valid pointer for an empty turn */
        for (const char *at = text; (at = strstr(at, MARK)); at += strlen(MARK))
            marks++;
        if (strstr(text, MARK) && !in_place)
            mark_first(b, text, s);
        else
            mm_buf_str(b, text);
        t->turn[t->n] = (struct mm_turn){ role, b->p, b->n };
        t->n++;
        if (b->failed)
            return mm_err_set(e, MM_ENOMEM, "out of memory");
    }
    if (marks != (mm_convs_image(c, sample) ? 1 : 0) && !is_named(s->template, "plain"))
        return mm_err_set(e, MM_EDATA, "%zu " MARK " in its turns, one with a picture and none "
                          "without it is wanted", marks);
    return check_turns(t, e);
}

/* --- prompts ---------------------------------------------------------------------------- */

/* Text that holds markers or not, to parts; a marker is `rows` known positions. */
static int add_parts(struct mm_parts *p, enum mm_part_kind kind, const char *s, size_t n,
                     size_t rows, struct mm_err *e)
{
    struct mm_parts media = { 0 };
    uint64_t *hash;
    int rc = 0;

    if (!mm_has_marker(s, n))
        return mm_parts_text(p, kind, s, n, e);
    if (!(hash = malloc((rows + 1) * sizeof(*hash))))
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    for (size_t r = 0; r < rows; r++)
        hash[r] = r + 1;
    for (size_t i = 0; rc == 0 && i + strlen(MARK) <= n; i++)
        if (!memcmp(s + i, MARK, strlen(MARK)))
            rc = mm_parts_known(&media, mm_part_marker("image"), hash, rows, e);
    if (rc == 0)
        rc = mm_parts_fill(p, kind, s, n, &media, e);
    mm_parts_free(&media);
    free(hash);
    return rc;
}

/* Positions of parts; those of p are of no further use. */
static int build(struct mm_prompt *out, struct mm_parts *p, const struct mm_convs_spec *s,
                 struct mm_err *e)
{
    *out = (struct mm_prompt){ 0 };
    return mm_prompt_build(out, &s->prompt, p, e);
}

/* The positions of the first n turns, open: up to where an answer begins. */
static int build_turns(struct mm_prompt *out, const struct talk *t, size_t n, bool open,
                       size_t rows, const struct mm_convs_spec *s, struct mm_err *e)
{
    struct mm_pieces pieces = { 0 };
    struct mm_parts parts = { 0 };
    int rc = mm_template_render(s->template, &pieces, t->turn, n, open, e);

    *out = (struct mm_prompt){ 0 };
    for (size_t i = 0; rc == 0 && i < pieces.n; i++)
        rc = add_parts(&parts, pieces.v[i].user ? MM_PART_USER : MM_PART_TEXT, pieces.v[i].s,
                       pieces.v[i].n, rows, e);
    if (rc == 0)
        rc = build(out, &parts, s, e);
    mm_parts_free(&parts);
    mm_pieces_free(&pieces);
    return rc;
}

/* Where the first n turns (open) end among the positions of all. */
static int border(size_t *at, const struct mm_prompt *all, const struct talk *t, size_t n,
                  bool open, size_t rows, const struct mm_convs_spec *s, struct mm_err *e)
{
    struct mm_prompt head;
    const int rc = build_turns(&head, t, n, open, rows, s, e);

    *at = rc == 0 ? mm_prompt_common(all, &head) : 0;
    mm_prompt_free(&head);
    return rc;
}

static int take(struct mm_labelled *l, const struct mm_prompt *all, size_t context,
                struct mm_err *e)
{
    l->n = all->n < context ? all->n : context;
    l->id = malloc((l->n + 1) * sizeof(*l->id));
    l->label = malloc((l->n + 1) * sizeof(*l->label));
    if (!l->id || !l->label)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    for (size_t i = 0; i < l->n; i++) {
        l->id[i] = all->id[i];
        l->label[i] = MM_LABEL_NONE;
        l->rows += all->id[i] < 0;
    }
    return 0;
}

static void train(struct mm_labelled *l, size_t from, size_t to)
{
    for (size_t i = from; i < to && i < l->n; i++)
        if (l->id[i] >= 0)
            l->label[i] = l->id[i];
}

static int build_template(struct mm_labelled *l, const struct talk *t, size_t rows,
                          const struct mm_convs_spec *s, struct mm_err *e)
{
    const size_t first = t->n && t->turn[0].role == MM_ROLE_SYSTEM ? 2 : 1; /* answer */
    struct mm_prompt all;
    size_t from = 0, to = 0;
    int rc = build_turns(&all, t, t->n, false, rows, s, e);

    if (rc == 0)
        rc = take(l, &all, s->context, e);
    for (size_t k = first; rc == 0 && k < t->n; k += 2)
        if ((rc = border(&from, &all, t, k, true, rows, s, e)) == 0 &&
            (rc = border(&to, &all, t, k + 1, false, rows, s, e)) == 0)
            train(l, from, to);
    mm_prompt_free(&all);
    return rc;
}

/* <image>caption\n */
static int build_plain(struct mm_labelled *l, const struct talk *t, bool image, size_t rows,
                       const struct mm_convs_spec *s, struct mm_err *e)
{
    struct mm_parts parts = { 0 };
    struct mm_prompt all = { 0 };
    int rc = 0;

    if (image)
        rc = add_parts(&parts, MM_PART_TEXT, MARK, strlen(MARK), rows, e);
    if (rc == 0)
        rc = mm_parts_text(&parts, MM_PART_USER, t->turn[1].text, t->turn[1].n, e);
    if (rc == 0)
        rc = mm_parts_text(&parts, MM_PART_TEXT, "\n", 1, e);
    if (rc == 0 && (rc = build(&all, &parts, s, e)) == 0)
        rc = take(l, &all, s->context, e);
    for (size_t i = 0; rc == 0 && i < l->n; i++)
        if (l->id[i] >= 0 && !(i == 0 && l->id[i] == mm_tok_bos(s->prompt.tok)))
            train(l, i, i + 1);
    mm_prompt_free(&all);
    mm_parts_free(&parts);
    return rc;
}

/* The text of v0 up to turn n, and the final mark. */
static void spell_v0(struct mm_buf *b, const struct talk *t, size_t n, bool end)
{
    mm_buf_str(b, "A chat between a curious human and an artificial intelligence assistant. The "
                  "assistant gives helpful, detailed, and polite answers to the human's "
                  "questions.\n\n");
    for (size_t i = 0; i < n; i++) {
        mm_buf_str(b, t->turn[i].role == MM_ROLE_USER ? "### Human: " : "### Assistant: ");
        mm_buf_add(b, t->turn[i].text, t->turn[i].n);
        mm_buf_char(b, '\n');
    }
    if (end)
        mm_buf_str(b, "### ");
}

static int build_spelled(struct mm_prompt *out, const struct talk *t, size_t n, bool end,
                         size_t rows, const struct mm_convs_spec *s, struct mm_err *e)
{
    struct mm_parts parts = { 0 };
    struct mm_buf b = { 0 };
    int rc;

    *out = (struct mm_prompt){ 0 };
    spell_v0(&b, t, n, end);
    rc = b.failed ? mm_err_set(e, MM_ENOMEM, "out of memory")
                  : add_parts(&parts, MM_PART_USER, b.p, b.n, rows, e);
    if (rc == 0)
        rc = build(out, &parts, s, e);
    mm_parts_free(&parts);
    mm_buf_free(&b);
    return rc;
}

static int build_v0(struct mm_labelled *l, const struct talk *t, size_t rows,
                    const struct mm_convs_spec *s, struct mm_err *e)
{
    struct mm_prompt all, head;
    size_t at = 0;
    int rc = build_spelled(&all, t, t->n, true, rows, s, e);

    if (rc == 0)
        rc = take(l, &all, s->context, e);
    for (size_t k = 0; rc == 0 && k <= t->n; k++) {
        rc = build_spelled(&head, t, k, false, rows, s, e);
        const size_t to = rc == 0 ? mm_prompt_common(&all, &head) : at;
        if (k > 0 && t->turn[k - 1].role == MM_ROLE_USER)
            train(l, at, at + 2 < to ? at + 2 : to); /* "##" "#" */
        else if (k > 0)
            train(l, at, to);
        at = to;
        mm_prompt_free(&head);
    }
    if (rc == 0)
        train(l, at, l->n);
    mm_prompt_free(&all);
    return rc;
}

void mm_labelled_free(struct mm_labelled *l)
{
    free(l->id);
    free(l->label);
    *l = (struct mm_labelled){ 0 };
}

/* Something to learn, unless the cut took it. */
static int check(const struct mm_labelled *l, size_t context, struct mm_err *e)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->label[i] != MM_LABEL_NONE)
            return 0;
    return l->n >= context ? 0 : mm_err_set(e, MM_EDATA, "no token of it is trained");
}

int mm_convs_build(struct mm_labelled *l, const struct mm_convs *c, size_t i, size_t rows,
                   const struct mm_convs_spec *s, struct mm_err *e)
{
    struct talk *t = calloc(1, sizeof(*t));
    const bool image = mm_convs_image(c, i) != NULL;
    int rc;

    *l = (struct mm_labelled){ 0 };
    if (!t)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    rc = read_talk(t, c, i, s, e);
    if (rc == 0 && is_named(s->template, "plain"))
        rc = build_plain(l, t, image, rows, s, e);
    else if (rc == 0 && is_named(s->template, "llava_v0"))
        rc = build_v0(l, t, rows, s, e);
    else if (rc == 0)
        rc = build_template(l, t, rows, s, e);
    if (rc == 0)
        rc = check(l, s->context, e);
    if (rc < 0) {
        mm_labelled_free(l);
        mm_convs_blame(c, i, e);
    }
    talk_free(t);
    free(t);
    return rc;
}

int mm_convs_check(const struct mm_convs *c, size_t i, const struct mm_convs_spec *s,
                   struct mm_err *e)
{
    struct talk *t = calloc(1, sizeof(*t));
    int rc = t ? read_talk(t, c, i, s, e) : mm_err_set(e, MM_ENOMEM, "out of memory");

    if (rc < 0)
        mm_convs_blame(c, i, e);
    if (t)
        talk_free(t);
    free(t);
    return rc;
}
