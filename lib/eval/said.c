/* said.c: see said.h. */
#include "eval/said.h"

#include <stdio.h>
#include <string.h>

#include "synth/world.h"

struct reader {
    struct mm_said *v;
    size_t n;
    bool coloured;
    struct mm_said one; /* the object at hand */
    bool open;          /* there is one */
    bool odd;           /* it is said to be two different things */
    bool literal;       /* the next word is a printed one */
    int col, row;       /* of its place, -1: not said */
};

/* Length of the word that s begins with. */
static size_t word_at(const char *s)
{
    size_t n = 0;

    while ((s[n] >= 'a' && s[n] <= 'z') || (s[n] >= 'A' && s[n] <= 'Z') ||
           (s[n] >= '0' && s[n] <= '9') || s[n] == '-' || s[n] == '\'' || (unsigned char)s[n] >= 128)
        n++;
    return n;
}

/* The next word in lower case, cut to fit; false: there is none. */
static bool next_word(char word[64], const char **s)
{
    size_t n;

    while (**s != '\0' && word_at(*s) == 0)
        (*s)++;
    n = word_at(*s);
    for (size_t i = 0; i < n && i < 63; i++)
        word[i] = (char)((*s)[i] >= 'A' && (*s)[i] <= 'Z' ? (*s)[i] + ('a' - 'A') : (*s)[i]);
    word[n < 63 ? n : 63] = '\0';
    *s += n;
    return n > 0;
}

static bool is_one_of(const char *word, const char *const *list)
{
    for (; *list != NULL; list++)
        if (strcmp(word, *list) == 0)
            return true;
    return false;
}

static const char *size_of(const char *word)
{
    static const char *const small[] = { "little", "tiny", NULL }, *const large[] = { "big", NULL };

    for (int i = 0; i < MM_NSIZES; i++)
        if (strcmp(word, mm_size_name(i)) == 0)
            return mm_size_name(i);
    return is_one_of(word, small) ? mm_size_name(0) : is_one_of(word, large) ? mm_size_name(1) : NULL;
}

static const char *colour_of(const char *word)
{
    for (int i = 0; i < MM_NCOLOURS; i++)
        if (strcmp(word, mm_colour_name(i)) == 0)
            return mm_colour_name(i);
    return NULL;
}

/* One member, once. */
static void set(struct reader *r, const char **member, const char *value)
{
    r->odd = r->odd || (**member != '\0' && strcmp(*member, value) != 0);
    *member = value;
}

static void set_third(struct reader *r, int *third, int value)
{
    r->odd = r->odd || (*third >= 0 && *third != value);
    *third = value;
}

/* The words of a place after "at the"; what they say adds up: "on the left, at the top". */
static bool read_place(struct reader *r, const char **s)
{
    static const char *const cols[][4] = { { "left", NULL }, { NULL }, { "right", NULL } };
    static const char *const rows[][4] = { { "top", "upper", NULL },
                                           { NULL },
                                           { "bottom", "lower", NULL } };
    static const char *const middle[] = { "center", "centre", "middle", NULL };
    static const char *const tail[] = { "side", "corner", "part", NULL };
    const char *at = *s;
    char word[64];
    bool any = false;

    while (next_word(word, &at)) {
        bool known = is_one_of(word, middle) || (any && is_one_of(word, tail));

        for (int i = 0; i < 3; i++) {
            if (is_one_of(word, cols[i])) {
                set_third(r, &r->col, i);
                known = true;
            }
            if (is_one_of(word, rows[i])) {
                set_third(r, &r->row, i);
                known = true;
            }
        }
        if (!known)
            break;
        any = true;
        *s = at;
    }
    if (any)
        r->one.place = mm_cell_name(r->col < 0 ? 1 : r->col, r->row < 0 ? 1 : r->row);
    return any;
}

static void close_object(struct reader *r)
{
    static const char *const frames[] = { "picture", "image", "photo", "clip", NULL };
    char first[64] = "";
    const char *s = r->one.name;

    next_word(first, &s);
    if (r->open && !is_one_of(first, frames)) {
        if (r->odd)
            r->one.name[0] = '\0';
        if (r->n < MM_SAID_MAX)
            r->v[r->n] = r->one;
        r->n++;
    }
    r->one = (struct mm_said){ "", "", "", "" };
    r->col = r->row = -1;
    r->open = r->odd = r->literal = false;
}

static void add_to_name(struct reader *r, const char *word)
{
    const size_t n = strlen(r->one.name), more = strlen(word);

    if (n + more + 2 > sizeof(r->one.name))
        return;
    if (n > 0)
        r->one.name[n] = ' ';
    memcpy(r->one.name + n + (n > 0), word, more + 1);
}

/* A word inside an object: what it says of it. */
static void read_word(struct reader *r, const char *word)
{
    static const char *const joints[] = { "and", "is",   "are",  "it",   "that", "which",
                                          "there", "says", "of", "with", NULL };
    const char *size = size_of(word), *colour = r->coloured ? colour_of(word) : NULL;

    if (r->literal) {
        snprintf(r->one.name, sizeof(r->one.name), "%s", word);
        r->literal = false;
    } else if (size != NULL) {
        set(r, &r->one.size, size);
    } else if (colour != NULL) {
        set(r, &r->one.colour, colour);
    } else if (r->coloured && strcmp(word, "word") == 0 && r->one.name[0] == '\0') {
        r->literal = true;
    } else if (!is_one_of(word, joints)) {
        add_to_name(r, word);
    }
}

size_t mm_eval_said(struct mm_said v[MM_SAID_MAX], const char *text, bool coloured)
{
    static const char *const articles[] = { "a", "an", "the", NULL };
    static const char *const before_place[] = { "at", "in", "on", "to", NULL };
    struct reader r = { .v = v, .coloured = coloured, .col = -1, .row = -1 };
    char word[64], next[64];

    r.one = (struct mm_said){ "", "", "", "" };
    while (next_word(word, &text)) {
        const char *ahead = text;

        if (r.open && !r.literal && is_one_of(word, before_place) && next_word(next, &ahead) &&
            strcmp(next, "the") == 0 && read_place(&r, &ahead)) {
            text = ahead;
        } else if (is_one_of(word, articles)) {
            close_object(&r);
            r.open = true;
        } else if (r.open) {
            read_word(&r, word);
        }
    }
    close_object(&r);
    return r.n;
}

bool mm_said_same(const struct mm_said *a, const struct mm_said *b, int what)
{
    if (a->name[0] == '\0' || b->name[0] == '\0')
        return false;
    return (!(what & MM_SAID_NAME) || strcmp(a->name, b->name) == 0) &&
           (!(what & MM_SAID_SIZE) || strcmp(a->size, b->size) == 0) &&
           (!(what & MM_SAID_COLOUR) || strcmp(a->colour, b->colour) == 0) &&
           (!(what & MM_SAID_PLACE) || strcmp(a->place, b->place) == 0);
}
