/* instruct.c: instruction data from captions and boxes. */
#include "net/instruct.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/io.h"
#include "base/rng.h"

enum { MAX_PROMPT = 1 << 20, MAX_TURN = 8000, FAR = 100 /* sides of a picture */ };

static const char white[] = " \t\r\n";

static int no_memory(struct mm_err *e)
{
    return mm_err_set(e, MM_ENOMEM, "instruct: out of memory");
}

const char *mm_instruct_name(enum mm_instruct type)
{
    static const char *const names[] = { "conversation", "detail", "reasoning" };

    return names[type];
}

int mm_instruct_type(const char *name)
{
    for (int t = 0; name != NULL && t < MM_NINSTRUCT; t++)
        if (strcmp(name, mm_instruct_name((enum mm_instruct)t)) == 0)
            return t;
    return -1;
}

/* Adds s[n] without the white space around it. */
static bool add_trimmed(struct mm_strings *l, const char *s, size_t n)
{
    while (n > 0 && strchr(white, s[n - 1]) != NULL)
        n--;
    while (n > 0 && strchr(white, *s) != NULL) {
        s++;
        n--;
    }
    return mm_strings_add(l, s, n);
}

/* --- prompts --- */

void mm_instruct_prompt_free(struct mm_instruct_prompt *p)
{
    mm_strings_free(&p->turns);
    mm_strings_free(&p->questions);
}

/* The text s[n] of the part called name. */
static int add_part(struct mm_instruct_prompt *p, const char *name, const char *s, size_t n,
                    struct mm_err *e)
{
    const char *want = p->turns.n == 0 ? "system" : p->turns.n % 2 ? "user" : "assistant";

    if (strcmp(name, "question") == 0) {
        for (const char *end = s + n; s < end;) {
            const char *eol = memchr(s, '\n', (size_t)(end - s));
            const size_t len = (size_t)((eol != NULL ? eol : end) - s);

            if (strspn(s, " \t\r") < len && !add_trimmed(&p->questions, s, len))
                return no_memory(e);
            s += len + 1;
        }
        return 0;
    }
    if (strcmp(name, want) != 0)
        return mm_err_set(e, MM_EDATA, "part '%s' where '%s' is wanted", name, want);
    return add_trimmed(&p->turns, s, n) ? 0 : no_memory(e);
}

static int parse_prompt(struct mm_instruct_prompt *p, const char *s, struct mm_err *e)
{
    char name[16] = "";
    const char *part = s;
    size_t line = 1, from = 0;
    int rc = 0;

    for (; rc == 0; line++) {
        const char *eol = strchr(s, '\n');
        const bool head = strncmp(s, "@@", 2) == 0;

        if ((head || *s == '\0') && from > 0) {
            rc = add_part(p, name, part, (size_t)(s - part), e);
            if (rc < 0)
                mm_err_prefix(e, "line %zu", from);
        }
        if (rc < 0 || *s == '\0')
            break;
        if (head) {
            if (sscanf(s + 2, " %15[a-z]", name) != 1)
                return mm_err_set(e, MM_EDATA, "line %zu: @@ names no part", line);
            part = eol != NULL ? eol + 1 : s + strlen(s);
            from = line;
        }
        s = eol != NULL ? eol + 1 : s + strlen(s);
    }
    return rc;
}

int mm_instruct_prompt_read(struct mm_instruct_prompt *p, enum mm_instruct type, const char *path,
                            struct mm_err *e)
{
    char *text;
    size_t n;
    int rc;

    *p = (struct mm_instruct_prompt){ 0 };
    rc = mm_io_slurp(path, MAX_PROMPT, &text, &n, e);
    if (rc < 0)
        return rc;
    rc = parse_prompt(p, text, e);
    free(text);
    if (rc == 0 && p->turns.n == 0)
        rc = mm_err_set(e, MM_EDATA, "no part 'system'");
    else if (rc == 0 && p->turns.n % 2 == 0)
        rc = mm_err_set(e, MM_EDATA, "the last example has no answer");
    else if (rc == 0 && type == MM_DETAIL && p->questions.n == 0)
        rc = mm_err_set(e, MM_EDATA, "no part 'question'");
    if (rc < 0) {
        mm_err_prefix(e, "%s", path);
        mm_instruct_prompt_free(p);
        *p = (struct mm_instruct_prompt){ 0 };
    }
    return rc;
}

/* --- pictures --- */

void mm_pictures_free(struct mm_pictures *p)
{
    for (size_t i = 0; i < p->n; i++) {
        free(p->v[i].id);
        free(p->v[i].file);
        mm_buf_free(&p->v[i].captions);
        mm_buf_free(&p->v[i].boxes);
    }
    free(p->v);
    *p = (struct mm_pictures){ 0 };
}

struct place { long long number; size_t at; };

static int by_number(const void *a, const void *b)
{
    const long long x = ((const struct place *)a)->number, y = ((const struct place *)b)->number;

    return (x > y) - (x < y);
}

static struct mm_picture *find(const struct mm_pictures *p, const struct place *index, long long number)
{
    const struct place key = { number, 0 };
    const struct place *hit = bsearch(&key, index, p->n, sizeof(*index), by_number);

    return hit != NULL ? &p->v[hit->at] : NULL;
}

static int add_picture(struct mm_pictures *p, const json_t *o, struct mm_err *e)
{
    struct mm_picture *pic = &p->v[p->n];
    const char *file = mm_json_str(o, "file_name", NULL, e);

    if (file == NULL || !json_is_integer(json_object_get(o, "id")))
        return mm_err_set(e, MM_EDATA, "image %zu: no id and file_name", p->n);
    *pic = (struct mm_picture){ .number = json_integer_value(json_object_get(o, "id")) };
    p->n++;
    pic->width = mm_json_num(o, "width", 0, e);
    pic->height = mm_json_num(o, "height", 0, e);
    if (e->code < 0)
        return mm_err_prefix(e, "image %zu", p->n - 1);
    pic->id = mm_io_stem(file);
    pic->file = strdup(file);
    return pic->id != NULL && pic->file != NULL ? 0 : no_memory(e);
}

/* Pictures of the list, and where each number is. */
static int read_images(struct mm_pictures *p, struct place **index, const json_t *doc, struct mm_err *e)
{
    const json_t *images = json_object_get(doc, "images");
    const size_t n = json_array_size(images);
    int rc = 0;

    if (!json_is_array(images) || !json_is_array(json_object_get(doc, "annotations")))
        return mm_err_set(e, MM_EDATA, "no lists \"images\" and \"annotations\"");
    p->v = calloc(n + 1, sizeof(*p->v));
    *index = calloc(n + 1, sizeof(**index));
    if (p->v == NULL || *index == NULL)
        return no_memory(e);
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = add_picture(p, json_array_get(images, i), e);
        (*index)[i] = (struct place){ p->v[i].number, i };
    }
    if (rc < 0)
        return rc;
    qsort(*index, n, sizeof(**index), by_number);
    for (size_t i = 1; i < n; i++)
        if ((*index)[i].number == (*index)[i - 1].number)
            return mm_err_set(e, MM_EDATA, "image id %lld twice", (*index)[i].number);
    return 0;
}

/* One line of text, its white space single spaces, after what b holds. */
static void add_line(struct mm_buf *b, const char *s)
{
    const char *sep = b->n > 0 ? "\n" : "";

    for (s += strspn(s, white); *s; s += strspn(s, white)) {
        const size_t n = strcspn(s, white);

        mm_buf_str(b, sep);
        mm_buf_add(b, s, n);
        sep = " ";
        s += n;
    }
}

/* A fraction, at most FAR, as the paper has it: at most three decimals, at least one. */
static void add_fraction(struct mm_buf *b, double v)
{
    char s[32];
    int n = snprintf(s, sizeof(s), "%.3f", v == 0 ? 0.0 : v);

    while (s[n - 1] == '0' && s[n - 2] != '.')
        n--;
    mm_buf_add(b, s, (size_t)n);
}

/* The picture that annotation o belongs to, or NULL: it is none of these. */
static int owner(struct mm_picture **pic, const struct mm_pictures *p, const struct place *index,
                 const json_t *o, struct mm_err *e)
{
    const json_t *number = json_object_get(o, "image_id");

    if (!json_is_integer(number))
        return mm_err_set(e, MM_EDATA, "no number image_id");
    *pic = find(p, index, json_integer_value(number));
    return 0;
}

static int add_box(struct mm_picture *p, const char *category, const json_t *box, struct mm_err *e)
{
    double v[4];

    if (json_array_size(box) != 4)
        return mm_err_set(e, MM_EDATA, "bbox is not four numbers");
    if (!(p->width > 0) || !(p->height > 0))
        return mm_err_set(e, MM_EDATA, "image %lld has no width and height", p->number);
    for (size_t i = 0; i < 4; i++) {
        if (!json_is_number(json_array_get(box, i)))
            return mm_err_set(e, MM_EDATA, "bbox is not four numbers");
        v[i] = json_number_value(json_array_get(box, i));
    }
    v[2] += v[0];
    v[3] += v[1];
    for (int i = 0; i < 4; i++) {
        v[i] /= i % 2 ? p->height : p->width;
        if (!(fabs(v[i]) <= FAR))
            return mm_err_set(e, MM_EDATA, "bbox is far outside of image %lld", p->number);
    }
    add_line(&p->boxes, category);
    mm_buf_str(&p->boxes, ": [");
    for (int i = 0; i < 4; i++) {
        mm_buf_str(&p->boxes, i > 0 ? ", " : "");
        add_fraction(&p->boxes, v[i]);
    }
    mm_buf_char(&p->boxes, ']');
    return p->boxes.failed ? no_memory(e) : 0;
}

static const char *category(const json_t *list, json_int_t id)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *o = json_array_get(list, i);

        if (json_integer_value(json_object_get(o, "id")) == id)
            return json_string_value(json_object_get(o, "name"));
    }
    return NULL;
}

static int read_captions(struct mm_pictures *p, struct place **index, const char *path, struct mm_err *e)
{
    json_t *doc;
    int rc = mm_json_file(&doc, path, e);

    if (rc == 0)
        rc = read_images(p, index, doc, e);
    const json_t *list = json_object_get(doc, "annotations");
    for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
        const json_t *o = json_array_get(list, i);
        const char *s = json_string_value(json_object_get(o, "caption"));
        struct mm_picture *pic = NULL;

        rc = s != NULL ? owner(&pic, p, *index, o, e) : mm_err_set(e, MM_EDATA, "no caption");
        if (rc < 0)
            mm_err_prefix(e, "annotation %zu", i);
        else if (pic != NULL) {
            add_line(&pic->captions, s);
            rc = pic->captions.failed ? no_memory(e) : 0;
        }
    }
    json_decref(doc);
    return rc;
}

static int read_boxes(struct mm_pictures *p, const struct place *index, const char *path, struct mm_err *e)
{
    json_t *doc;
    int rc = mm_json_file(&doc, path, e);
    const json_t *list = json_object_get(doc, "annotations");
    const json_t *kinds = json_object_get(doc, "categories");

    if (rc == 0 && (!json_is_array(list) || !json_is_array(kinds)))
        rc = mm_err_set(e, MM_EDATA, "no lists \"annotations\" and \"categories\"");
    for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
        const json_t *o = json_array_get(list, i);
        const char *name = category(kinds, json_integer_value(json_object_get(o, "category_id")));
        struct mm_picture *pic = NULL;

        rc = owner(&pic, p, index, o, e);
        if (rc == 0 && pic == NULL)
            continue;
        if (rc == 0)
            rc = name == NULL ? mm_err_set(e, MM_EDATA, "unknown category")
                              : add_box(pic, name, json_object_get(o, "bbox"), e);
        if (rc < 0)
            mm_err_prefix(e, "annotation %zu", i);
    }
    json_decref(doc);
    return rc;
}

int mm_pictures_read(struct mm_pictures *p, const char *captions, const char *instances, struct mm_err *e)
{
    struct place *index = NULL;
    const char *path = captions;
    int rc;

    *p = (struct mm_pictures){ 0 };
    rc = read_captions(p, &index, captions, e);
    if (rc == 0 && instances != NULL) {
        path = instances;
        rc = read_boxes(p, index, instances, e);
    }
    free(index);
    if (rc < 0) {
        if (rc == MM_EDATA && strncmp(e->msg, path, strlen(path)) != 0)
            mm_err_prefix(e, "%s", path);
        mm_pictures_free(p);
    }
    return rc;
}

void mm_instruct_context(struct mm_buf *b, const struct mm_picture *p, enum mm_instruct type)
{
    mm_buf_add(b, p->captions.p, p->captions.n);
    if (type == MM_CONVERSATION || p->boxes.n == 0)
        return;
    mm_buf_str(b, "\n\n");
    mm_buf_add(b, p->boxes.p, p->boxes.n);
}

/* --- answers --- */

static bool holds(const char *s, const char *const *words)
{
    for (; *words != NULL; words++)
        for (const char *p = s; *p; p++)
            if (strncasecmp(p, *words, strlen(*words)) == 0)
                return true;
    return false;
}

/* What a turn says that one who looks at a picture would not. */
static const char *fault(const char *s)
{
    static const char *const leaks[] = { "caption", "bounding box", "coordinate", "sentence",
                                         "provided information", "provided description", "[0.", "(0.", NULL };
    static const char *const refusals[] = { "i'm sorry", "i am sorry", "i cannot", "i can't",
                                            "as an ai", "as a language model", NULL };

    if (*s == '\0')
        return "empty";
    if (strlen(s) > MAX_TURN)
        return "too-long";
    for (const char *const *w = refusals; *w != NULL; w++)
        if (strncasecmp(s, *w, strlen(*w)) == 0)
            return "refusal";
    return holds(s, leaks) ? "leak" : NULL;
}

/* A block between lines of ===: its header must be the one whose turn it is. */
static const char *add_block(struct mm_strings *turns, const char *s, size_t n)
{
    static const char *const heads[] = { "Question:", "Answer:" };
    size_t is;

    while (n > 0 && strchr(white, *s) != NULL) {
        s++;
        n--;
    }
    if (n == 0)
        return NULL;
    for (is = 0; is < 2; is++)
        if (n >= strlen(heads[is]) && strncasecmp(s, heads[is], strlen(heads[is])) == 0)
            break;
    if (is == 2)
        return "no-header";
    if (is != turns->n % 2)
        return "order";
    return add_trimmed(turns, s + strlen(heads[is]), n - strlen(heads[is])) ? NULL : "memory";
}

static const char *split(struct mm_strings *turns, const char *s)
{
    const char *block = s, *why = NULL;

    while (why == NULL) {
        const size_t n = strcspn(s, "\n");
        const size_t lead = strspn(s, " \t");
        const bool mark = strncmp(s + lead, "===", 3) == 0 && lead + 3 + strspn(s + lead + 3, "= \t\r") == n;

        if (mark || s[n] == '\0') {
            why = add_block(turns, block, (size_t)(s + (mark ? 0 : n) - block));
            block = s + n + 1;
        }
        if (s[n] == '\0')
            break;
        s += n + 1;
    }
    return why;
}

const char *mm_instruct_parse(struct mm_strings *turns, enum mm_instruct type, const char *text)
{
    const char *why = NULL;

    *turns = (struct mm_strings){ 0 };
    if (text[strspn(text, white)] == '\0')
        return "empty";
    if (type == MM_DETAIL)
        why = add_trimmed(turns, text, strlen(text)) ? NULL : "memory";
    else
        why = split(turns, text);
    if (why == NULL && type != MM_DETAIL) {
        if (turns->n % 2)
            free(turns->v[--turns->n]);
        if (turns->n == 0)
            why = "empty";
        else if (type == MM_REASONING && turns->n != 2)
            why = "pairs";
    }
    for (size_t i = 0; why == NULL && i < turns->n; i++) {
        why = fault(turns->v[i]);
        if (why != NULL || type == MM_DETAIL || i % 2)
            continue;
        if (strchr(turns->v[i], '?') == NULL)
            why = "no-question-mark";
        for (size_t k = 0; why == NULL && k < i; k += 2)
            if (strcasecmp(turns->v[k], turns->v[i]) == 0)
                why = "duplicate";
    }
    if (why != NULL) {
        mm_strings_free(turns);
        *turns = (struct mm_strings){ 0 };
    }
    return why;
}

/* --- records --- */

static json_t *turn(const char *from, const char *text)
{
    return json_pack("{s:s, s:s}", "from", from, "value", text);
}

json_t *mm_instruct_record(const struct mm_picture *p, enum mm_instruct type,
                           const struct mm_strings *questions, const struct mm_strings *turns,
                           uint64_t seed)
{
    const char *name = mm_instruct_name(type);
    const size_t skip = type == MM_DETAIL ? 0 : 1;
    json_t *list = json_array();
    struct mm_buf b = { 0 };
    struct mm_rng r;

    mm_rng_seed(&r, seed ^ mm_hash64_add(mm_hash64(p->id, strlen(p->id)), name, strlen(name)));
    const bool after = mm_rng_below(&r, 2) == 1;
    const char *first = type == MM_DETAIL ? questions->v[mm_rng_below(&r, questions->n)] : turns->v[0];
    mm_buf_printf(&b, after ? "%s\n<image>" : "<image>\n%s", first);
    bool bad = b.failed || json_array_append_new(list, turn("human", b.p)) < 0;
    for (size_t i = skip; !bad && i < turns->n; i++)
        bad = json_array_append_new(list, turn((i - skip) % 2 ? "human" : "gpt", turns->v[i])) < 0;
    mm_buf_free(&b);
    if (bad) {
        json_decref(list);
        return NULL;
    }
    return json_pack("{s:s, s:s, s:s, s:o}", "id", p->id, "image", p->file, "type", name,
                     "conversations", list);
}
