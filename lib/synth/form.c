/* form.c: what can be asked of a scene. */
#include "synth/form.h"

#include <ctype.h>
#include <string.h>

#include "synth/sprite.h"

enum { MOST_COUNTED = 3, MOST_OTHERS = 2 };

enum { S = 1 << MM_SHAPES, T = 1 << MM_THINGS, W = 1 << MM_WORDS, C = 1 << MM_CLIPS,
       N = 1 << MM_SOUNDS, Y = 1 << MM_CRIES, I = 1 << MM_NOTES };

static int below(struct mm_rng *r, int n)
{
    return (int)mm_rng_below(r, (uint64_t)n);
}

static struct mm_ask *add(struct mm_asks *out, int answer)
{
    struct mm_ask *a = &out->v[out->n < MM_ASKS ? out->n : MM_ASKS - 1];

    out->n += out->n < MM_ASKS;
    memset(a, 0, sizeof(*a));
    a->answer = answer;
    a->k = -1;
    return a;
}

/* Kinds there are. */
static int kinds(const struct mm_view *v)
{
    return mm_tier_has_nouns(v->s->tier) ? mm_sprites_count(v->sprites)
           : v->s->tier == MM_SOUNDS ? MM_NSOUNDS
           : v->s->tier == MM_NOTES  ? MM_NINSTRUMENTS
                                     : MM_NSHAPES;
}

/* A class that no object belongs to, and that is not held out of training. */
static bool absent(struct mm_class *c, int by, const struct mm_view *v, struct mm_rng *r)
{
    const struct mm_scene *s = v->s;

    for (int i = 0; i < 100; i++) {
        /* half of them near misses: a colour and a shape that are there, but not together */
        const bool near = below(r, 2) == 0;

        *c = mm_class_of(s, below(r, s->n), by);
        if (!near || s->tier == MM_THINGS || mm_tier_is_sequence(s->tier))
            c->what = below(r, kinds(v));
        else
            c->what = s->obj[below(r, s->n)].what;
        if (!near)
            c->colour = below(r, MM_NCOLOURS);
        c->size = below(r, MM_NSIZES);
        if (s->tier != MM_THINGS && (by & MM_BY_COLOUR) && (by & MM_BY_WHAT)
            && mm_shape_held(c->what, c->colour) && !s->held)
            continue;
        if (mm_class_count(c, s) == 0)
            return true;
    }
    return false;
}

static void list_exist(struct mm_asks *out, const struct mm_view *v, struct mm_rng *r)
{
    static const int shapes[] = { MM_BY_COLOUR, MM_BY_WHAT, MM_BY_COLOUR | MM_BY_WHAT,
                                  MM_BY_SIZE | MM_BY_COLOUR | MM_BY_WHAT };
    static const int things[] = { MM_BY_WHAT, MM_BY_WHAT, MM_BY_WHAT, MM_BY_SIZE | MM_BY_WHAT };
    const int *by = v->s->tier == MM_THINGS || mm_tier_is_sequence(v->s->tier) ? things : shapes;

    for (int i = 0; i < 4; i++) {
        struct mm_class c;

        add(out, 1)->p = mm_class_of(v->s, below(r, v->s->n), by[i]);
        if (absent(&c, by[i], v, r))
            add(out, 0)->p = c;
    }
}

static void list_count_all(struct mm_asks *out, const struct mm_view *v, struct mm_rng *r)
{
    (void)r;
    add(out, v->s->n);
}

static void list_count(struct mm_asks *out, const struct mm_view *v, struct mm_rng *r, int by)
{
    struct mm_class c;

    for (int k = 0; k < v->s->n; k++) {
        c = mm_class_of(v->s, k, by);
        if (mm_class_count(&c, v->s) <= MOST_COUNTED)
            add(out, mm_class_count(&c, v->s))->p = c;
    }
    if (absent(&c, by, v, r))
        add(out, 0)->p = c;
}

static void list_count_colour(struct mm_asks *out, const struct mm_view *v, struct mm_rng *r)
{
    list_count(out, v, r, MM_BY_COLOUR);
}

static void list_count_kind(struct mm_asks *out, const struct mm_view *v, struct mm_rng *r)
{
    list_count(out, v, r, MM_BY_WHAT);
}

/* A property of one object, which is called by anything but that. */
static void list_property(struct mm_asks *out, const struct mm_view *v, struct mm_rng *r, int by,
                          int answer_of)
{
    for (int k = 0; k < v->s->n; k++) {
        const struct mm_object *o = &v->s->obj[k];
        struct mm_class c;
        int answer;

        if (!mm_refer(&c, v, k, by, r))
            continue;
        switch (answer_of) {
        case MM_COLOUR: answer = o->colour; break;
        case MM_WHAT: answer = o->what; break;
        case MM_SIZE: answer = o->size; break;
        case MM_COL: answer = o->col; break;
        case MM_ROW: answer = o->row; break;
        default: answer = (int)o->motion;
        }
        add(out, answer)->p = c;
    }
}

static void list_colour(struct mm_asks *out, const struct mm_view *v, struct mm_rng *r)
{
    list_property(out, v, r, v->s->tier == MM_CLIPS ? MM_BY_COLOUR | MM_BY_CELL : MM_BY_COLOUR,
                  MM_COLOUR);
}

static void list_kind(struct mm_asks *out, const struct mm_view *v, struct mm_rng *r)
{
    list_property(out, v, r, v->s->tier == MM_CLIPS ? MM_BY_WHAT | MM_BY_CELL : MM_BY_WHAT, MM_WHAT);
}

static void list_size(struct mm_asks *out, const struct mm_view *v, struct mm_rng *r)
{
    list_property(out, v, r, MM_BY_SIZE, MM_SIZE);
}

static void list_col(struct mm_asks *out, const struct mm_view *v, struct mm_rng *r)
{
    list_property(out, v, r, MM_BY_CELL, MM_COL);
}

static void list_row(struct mm_asks *out, const struct mm_view *v, struct mm_rng *r)
{
    list_property(out, v, r, MM_BY_CELL, MM_ROW);
}

static void list_motion(struct mm_asks *out, const struct mm_view *v, struct mm_rng *r)
{
    list_property(out, v, r, MM_BY_CELL | MM_BY_SIZE, MM_MOTION);
}

/* Every two objects that both have names which do not tell `hide`. */
static void list_pairs(struct mm_asks *out, const struct mm_view *v, struct mm_rng *r, int hide,
                       void (*each)(struct mm_asks *, const struct mm_view *, int, int,
                                    const struct mm_ask *))
{
    struct mm_class name[MM_SCENE_MAX];
    bool has[MM_SCENE_MAX];

    for (int k = 0; k < v->s->n; k++)
        has[k] = mm_refer(&name[k], v, k, hide | MM_BY_CELL, r);
    for (int a = 0; a < v->s->n; a++)
        for (int b = 0; b < v->s->n; b++) {
            const struct mm_ask names = { .p = name[a], .q = name[b] };

            if (a != b && has[a] && has[b])
                each(out, v, a, b, &names);
        }
}

static void each_relation(struct mm_asks *out, const struct mm_view *v, int a, int b,
                          const struct mm_ask *names)
{
    for (int side = 0; side < MM_NSIDES; side++) {
        const bool yes = mm_lies(v->s, a, b, (enum mm_side)side);
        const bool no = mm_lies(v->s, b, a, (enum mm_side)side);

        if (yes || no) {
            struct mm_ask *k = add(out, yes);

            k->p = names->p;
            k->q = names->q;
            k->side = (enum mm_side)side;
        }
    }
}

static void list_relation(struct mm_asks *out, const struct mm_view *v, struct mm_rng *r)
{
    list_pairs(out, v, r, 0, each_relation);
}

static void each_larger(struct mm_asks *out, const struct mm_view *v, int a, int b,
                        const struct mm_ask *names)
{
    if (v->s->obj[a].size != v->s->obj[b].size) {
        struct mm_ask *k = add(out, v->s->obj[a].size > v->s->obj[b].size);

        k->p = names->p;
        k->q = names->q;
    }
}

static void list_larger(struct mm_asks *out, const struct mm_view *v, struct mm_rng *r)
{
    list_pairs(out, v, r, MM_BY_SIZE, each_larger);
}

static void each_same(struct mm_asks *out, const struct mm_view *v, int a, int b,
                      const struct mm_ask *names)
{
    struct mm_ask *k = add(out, v->s->obj[a].colour == v->s->obj[b].colour);

    k->p = names->p;
    k->q = names->q;
}

static void list_same(struct mm_asks *out, const struct mm_view *v, struct mm_rng *r)
{
    list_pairs(out, v, r, MM_BY_COLOUR, each_same);
}

static void list_more(struct mm_asks *out, const struct mm_view *v, struct mm_rng *r)
{
    const int by = v->s->tier == MM_THINGS || below(r, 2) == 0 ? MM_BY_WHAT : MM_BY_COLOUR;

    for (int a = 0; a < v->s->n; a++)
        for (int b = 0; b < v->s->n; b++) {
            const struct mm_class p = mm_class_of(v->s, a, by), q = mm_class_of(v->s, b, by);
            const int more = mm_class_count(&p, v->s) - mm_class_count(&q, v->s);

            if (more != 0) {
                struct mm_ask *k = add(out, more > 0);

                k->p = p;
                k->q = q;
            }
        }
}

static void list_outermost(struct mm_asks *out, const struct mm_view *v, bool colour)
{
    for (int side = 0; side < MM_NSIDES; side++) {
        const int k = mm_outermost(v->s, (enum mm_side)side);

        if (k >= 0) {
            struct mm_ask *a = add(out, colour ? v->s->obj[k].colour : v->s->obj[k].what);

            a->k = k;
            a->via = MM_OUTERMOST;
            a->side = (enum mm_side)side;
        }
    }
}

static void list_outermost_colour(struct mm_asks *out, const struct mm_view *v, struct mm_rng *r)
{
    (void)r;
    list_outermost(out, v, true);
}

static void list_outermost_kind(struct mm_asks *out, const struct mm_view *v, struct mm_rng *r)
{
    (void)r;
    list_outermost(out, v, false);
}

static void list_beside(struct mm_asks *out, const struct mm_view *v, struct mm_rng *r, bool colour)
{
    for (int b = 0; b < v->s->n; b++)
        for (int side = 0; side < MM_NSIDES; side++) {
            const int k = mm_only_one_on(v->s, b, (enum mm_side)side);
            struct mm_class q;

            if (k >= 0 && mm_refer(&q, v, b, MM_BY_CELL, r)) {
                struct mm_ask *a = add(out, colour ? v->s->obj[k].colour : v->s->obj[k].what);

                a->k = k;
                a->via = MM_BESIDE;
                a->side = (enum mm_side)side;
                a->q = q;
            }
        }
}

static void list_beside_colour(struct mm_asks *out, const struct mm_view *v, struct mm_rng *r)
{
    list_beside(out, v, r, true);
}

static void list_beside_kind(struct mm_asks *out, const struct mm_view *v, struct mm_rng *r)
{
    list_beside(out, v, r, false);
}

static void list_others(struct mm_asks *out, const struct mm_view *v, struct mm_rng *r)
{
    for (int k = 0; k < v->s->n; k++) {
        const struct mm_class alike = mm_class_of(v->s, k, MM_BY_COLOUR);
        const int others = mm_class_count(&alike, v->s) - 1;
        struct mm_class p;

        if (others <= MOST_OTHERS && mm_refer(&p, v, k, MM_BY_CELL | MM_BY_COLOUR, r))
            add(out, others)->p = p;
    }
}

static void list_cry(struct mm_asks *out, const struct mm_view *v, struct mm_rng *r)
{
    (void)r;
    add(out, v->s->obj[0].what);
}

/* Another noun that has a sound. */
static void list_is_cry(struct mm_asks *out, const struct mm_view *v, struct mm_rng *r)
{
    int noun = v->s->obj[0].what;

    add(out, 1)->p = mm_class_of(v->s, 0, MM_BY_WHAT);
    for (int i = 0; i < 1000 && noun == v->s->obj[0].what; i++) {
        const int look = below(r, mm_sprites_all(v->sprites));

        if (mm_sprites_sound(v->sprites, look) != NULL)
            noun = mm_sprites_noun_of(v->sprites, look);
    }
    if (noun != v->s->obj[0].what)
        add(out, 0)->p = (struct mm_class){ .by = MM_BY_WHAT, .what = noun };
}

/* Chirps: rising or falling; instruments that play chords: a note or a chord. */
static void list_glide(struct mm_asks *out, const struct mm_view *v, struct mm_rng *r)
{
    for (int k = 0; k < v->s->n; k++) {
        struct mm_class c;

        if (v->s->obj[k].colour >= 0 && mm_refer(&c, v, k, 0, r))
            add(out, v->s->obj[k].colour)->p = c;
    }
}

static void list_pace(struct mm_asks *out, const struct mm_view *v, struct mm_rng *r)
{
    (void)r;
    if (v->s->n > 1)
        add(out, v->s->fast);
}

static void list_read(struct mm_asks *out, const struct mm_view *v, struct mm_rng *r)
{
    (void)r;
    add(out, v->s->obj[0].what);
}

static void list_says(struct mm_asks *out, const struct mm_view *v, struct mm_rng *r)
{
    const int what = v->s->obj[0].what;
    const bool held = what >= MM_NWORDS;
    int other;

    do
        other = what >= MM_INVENTED ? mm_word_invent(r)
                : held              ? MM_NWORDS + below(r, MM_NWORDS_HELD)
                                    : below(r, MM_NWORDS);
    while (other == what);
    add(out, 1)->word = what;
    add(out, 0)->word = other;
}

static const char *const exist[] = {
    "Is there %P?", "Is there %P in the picture?", "Can you see %P?", "Do you see %P?",
    "Does the picture show %P?", "Is %P in the picture?", "Can you see %P in the picture?",
    "Does the picture have %P?",
};
static const char *const count_all[] = {
    "How many objects are there?", "How many objects are in the picture?",
    "How many objects can you see?", "Count the objects.", "What is the number of objects?",
    "How many objects does the picture show?", "How many objects do you see?",
    "Count the objects in the picture.",
};
static const char *const count[] = {
    "How many %p are there?", "How many %p are in the picture?", "How many %p can you see?",
    "Count the %p.", "What is the number of %p?", "How many %p does the picture show?",
    "How many %p do you see?", "Count the %p in the picture.",
};
static const char *const colour[] = {
    "What color is %A?", "What is the color of %A?", "Which color is %A?",
    "Which color does %A have?", "Tell me the color of %A.", "Name the color of %A.",
    "What color does %A have?", "What is the color that %A has?",
};
static const char *const shape[] = {
    "What shape is %A?", "What is the shape of %A?", "Which shape is %A?",
    "Which shape does %A have?", "Tell me the shape of %A.", "Name the shape of %A.",
    "What shape does %A have?", "What is the shape that %A has?",
};
static const char *const name[] = {
    "What is %A?", "Name %A.", "Tell me what %A is.", "What kind of object is %A?",
    "What do you call %A?", "Which thing is %A?", "What is the name of %A?",
    "What kind of thing is %A?",
};
static const char *const size[] = {
    "Is %A small or large?", "What size is %A?", "What is the size of %A?",
    "Which size does %A have?", "Tell me the size of %A.", "Is the size of %A small or large?",
    "What size does %A have?", "Is %A large or small?",
};
static const char *const column[] = {
    "Is %A on the left, in the center or on the right?", "Is %A left, center or right?",
    "Left, center or right: where is %A?", "On which side is %A, left, center or right?",
    "Tell me if %A is left, center or right.", "What is the place of %A: left, center or right?",
    "Is %A right, center or left?", "Where is %A: left, center or right?",
};
static const char *const row[] = {
    "Is %A at the top, in the middle or at the bottom?", "Is %A top, middle or bottom?",
    "Top, middle or bottom: where is %A?", "At which height is %A, top, middle or bottom?",
    "Tell me if %A is top, middle or bottom.", "What is the place of %A: top, middle or bottom?",
    "Is %A bottom, middle or top?", "Where is %A: top, middle or bottom?",
};
static const char *const relation[] = {
    "Is %A %d %B?", "Can you see %A %d %B?", "Is it true that %A is %d %B?",
    "Do you see %A %d %B?", "Does the picture show %A %d %B?", "Tell me if %A is %d %B.",
    "Is it right that %A is %d %B?", "In the picture, is %A %d %B?",
};
static const char *const larger[] = {
    "Is %A larger than %B?", "Is it true that %A is larger than %B?",
    "Does %A look larger than %B?", "Tell me if %A is larger than %B.",
    "Is %B smaller than %A?", "Does %B look smaller than %A?",
    "Is it true that %B is smaller than %A?", "In the picture, is %A larger than %B?",
};
static const char *const same_colour[] = {
    "Do %A and %B have the same color?", "Are %A and %B the same color?",
    "Is the color of %A the same as the color of %B?", "Is %A the same color as %B?",
    "Does %A have the same color as %B?", "Tell me if %A and %B have the same color.",
    "Is it true that %A and %B have the same color?", "Is %B the same color as %A?",
};
static const char *const more[] = {
    "Are there more %p than %q?", "Can you see more %p than %q?",
    "Is it true that there are more %p than %q?", "Does the picture show more %p than %q?",
    "Are there fewer %q than %p?", "Tell me if there are more %p than %q.",
    "Do you see more %p than %q?", "Is it true that there are fewer %q than %p?",
};
static const char *const others[] = {
    "How many other objects have the same color as %A?",
    "How many other objects are the same color as %A?",
    "Count the other objects that have the same color as %A.",
    "What is the number of other objects with the same color as %A?",
    "How many other objects share the color of %A?",
    "Tell me how many other objects have the same color as %A.",
    "How many other objects can you see with the same color as %A?",
    "Count the other objects that are the same color as %A.",
};
static const char *const read_word[] = {
    "What does it say?", "What word is this?", "Which word is this?", "Read the word.",
    "What is the word?", "Tell me the word.", "Which word can you see?",
    "Read the word in the picture.",
};
static const char *const says[] = {
    "Does it say %w?", "Is the word %w?", "Does the picture show the word %w?",
    "Can you read the word %w?", "Is this the word %w?", "Tell me if the word is %w.",
    "Is it true that the word is %w?", "Do you see the word %w?",
};
static const char *const motion[] = {
    "How does %A move?", "What is the motion of %A?", "Which motion does %A have?",
    "Tell me the motion of %A.", "Name the motion of %A.", "What motion does %A have?",
    "Which way does %A move?", "What is the motion that %A has?",
};

static const char *const exist_sound[] = {
    "Is there %P?", "Is there %P in the sound?", "Can you hear %P?", "Do you hear %P?",
    "Is %P to be heard?", "Is %P in the sound?", "Can you hear %P in the sound?",
    "Do you hear %P in the sound?",
};
static const char *const count_sounds[] = {
    "How many sounds are there?", "How many sounds can you hear?", "Count the sounds.",
    "What is the number of sounds?", "How many sounds are to be heard?",
    "Tell me how many sounds there are.", "How many sounds do you hear?",
    "Tell me the number of sounds.",
};
static const char *const count_kind[] = {
    "How many %p are there?", "How many %p can you hear?", "Count the %p.",
    "What is the number of %p?", "How many %p are to be heard?", "Tell me how many %p there are.",
    "How many %p do you hear?", "Tell me the number of %p.",
};
static const char *const name_sound[] = {
    "What is %A?", "Name %A.", "Tell me what %A is.", "What kind of sound is %A?",
    "Which kind of sound is %A?", "What do you call %A?", "What is the name of %A?",
    "Name the kind of %A.",
};
static const char *const pitch[] = {
    "Is %A high or low?", "What is the pitch of %A?", "Which pitch does %A have?",
    "Tell me the pitch of %A.", "Is the pitch of %A high or low?", "Name the pitch of %A.",
    "What pitch does %A have?", "Is %A low or high?",
};
static const char *const glide[] = {
    "Is %A rising or falling?", "Does the pitch of %A go up or down, rising or falling?",
    "Rising or falling: what is %A?", "Tell me if %A is rising or falling.",
    "Is the pitch of %A rising or falling?", "Which way does %A go, rising or falling?",
    "Is %A falling or rising?", "Does %A go up or down, rising or falling?",
};
static const char *const order[] = {
    "Is %A %d %B?", "Do you hear %A %d %B?", "Can you hear %A %d %B?",
    "Is it true that %A is %d %B?", "Does %A come %d %B?", "Tell me if %A is %d %B.",
    "Is it right that %A is %d %B?", "Tell me if %A comes %d %B.",
};
static const char *const cry[] = {
    "What makes this sound?", "What is this the sound of?", "What do you hear?",
    "Name what makes this sound.", "Tell me what makes this sound.", "Which thing makes this sound?",
    "What can you hear?", "Tell me what you hear.",
};
static const char *const is_cry[] = {
    "Is this the sound of %P?", "Do you hear %P?", "Can you hear %P?", "Is this %P?",
    "Is %P to be heard?", "Tell me if this is %P.", "Is it true that this is %P?",
    "Tell me if you hear %P.",
};
static const char *const pace[] = {
    "Is the rhythm fast or slow?", "How fast is the rhythm, fast or slow?", "What is the rhythm?",
    "Tell me the rhythm.", "Do the sounds come fast or slow?", "Tell me if the rhythm is fast or slow.",
    "Is the rhythm slow or fast?", "Which rhythm do you hear?",
};

static const char *const instrument[] = {
    "What instrument makes %A?", "Which instrument makes %A?", "What makes %A?",
    "Name the instrument that makes %A.", "Tell me which instrument makes %A.",
    "Which instrument is %A?", "What instrument is %A?", "Tell me what makes %A.",
};
static const char *const voicing[] = {
    "Is %A a note or a chord?", "Is %A one note or a chord?", "Note or chord: what is %A?",
    "Tell me if %A is a note or a chord.", "Which is %A, a note or a chord?",
    "Do you hear %A as a note or a chord?", "Is %A a chord or a note?",
    "What is %A, a chord or a note?",
};

/* Sentences that answer. */
static const char *const exist_says[] = {
    "No, there is no %b in the picture.", "Yes, there is %P in the picture."
};
static const char *const count_all_says[] = { "There %i %a %o in the picture." };
static const char *const count_says[] = { "There %i %a %s in the picture." };
static const char *const is[] = { "%A is %a." };
static const char *const is_a[] = { "%A is %K." };
static const char *const lies[] = { "%A is %l." };
static const char *const relation_says[] = { "No, %A is not %d %B.", "Yes, %A is %d %B." };
static const char *const larger_says[] = {
    "No, %A is not larger than %B.", "Yes, %A is larger than %B."
};
static const char *const same_says[] = {
    "No, %A and %B do not have the same color.", "Yes, %A and %B have the same color."
};
static const char *const more_says[] = {
    "No, there are not more %p than %q.", "Yes, there are more %p than %q."
};
static const char *const others_says[] = {
    "There %i %a other %o with the same color as %A."
};
static const char *const word_says[] = { "The word is %a." };
static const char *const says_says[] = { "No, the word is not %w.", "Yes, the word is %w." };

const struct mm_form mm_forms[MM_NFORMS] = {
    { MM_Q_EXISTENCE, MM_YES_NO, S | T | C, list_exist, exist, exist_says },
    { MM_Q_COUNT, MM_NUMBER, S | T | C, list_count_all, count_all, count_all_says },
    { MM_Q_COUNT, MM_NUMBER, S | C, list_count_colour, count, count_says },
    { MM_Q_COUNT, MM_NUMBER, S | T | C, list_count_kind, count, count_says },
    { MM_Q_COLOUR, MM_COLOUR, S | W | C, list_colour, colour, is },
    { MM_Q_SHAPE, MM_WHAT, S | C, list_kind, shape, is_a },
    { MM_Q_NAME, MM_WHAT, T, list_kind, name, is_a },
    { MM_Q_SIZE, MM_SIZE, S | T | C, list_size, size, is },
    { MM_Q_POSITION, MM_COL, S | T, list_col, column, lies },
    { MM_Q_POSITION, MM_ROW, S | T, list_row, row, lies },
    { MM_Q_RELATION, MM_YES_NO, S | T, list_relation, relation, relation_says },
    { MM_Q_COMPARISON, MM_YES_NO, S | T, list_larger, larger, larger_says },
    { MM_Q_COMPARISON, MM_YES_NO, S | C, list_same, same_colour, same_says },
    { MM_Q_COMPARISON, MM_YES_NO, S | T, list_more, more, more_says },
    { MM_Q_MULTI, MM_COLOUR, S, list_outermost_colour, colour, is },
    { MM_Q_MULTI, MM_WHAT, S, list_outermost_kind, shape, is_a },
    { MM_Q_MULTI, MM_WHAT, T, list_outermost_kind, name, is_a },
    { MM_Q_MULTI, MM_COLOUR, S, list_beside_colour, colour, is },
    { MM_Q_MULTI, MM_WHAT, S, list_beside_kind, shape, is_a },
    { MM_Q_MULTI, MM_WHAT, T, list_beside_kind, name, is_a },
    { MM_Q_MULTI, MM_NUMBER, S, list_others, others, others_says },
    { MM_Q_READING, MM_WORD, W, list_read, read_word, word_says },
    { MM_Q_READING, MM_YES_NO, W, list_says, says, says_says },
    { MM_Q_MOTION, MM_MOTION, C, list_motion, motion, NULL },
    { MM_Q_EXISTENCE, MM_YES_NO, N | I, list_exist, exist_sound, NULL },
    { MM_Q_COUNT, MM_NUMBER, N | I, list_count_all, count_sounds, NULL },
    { MM_Q_COUNT, MM_NUMBER, N | I, list_count_kind, count_kind, NULL },
    { MM_Q_NAME, MM_WHAT, N, list_outermost_kind, name_sound, NULL },
    { MM_Q_PITCH, MM_SIZE, N | I, list_size, pitch, NULL },
    { MM_Q_PITCH, MM_GLIDE, N, list_glide, glide, NULL },
    { MM_Q_RELATION, MM_YES_NO, N | I, list_relation, order, NULL },
    { MM_Q_RHYTHM, MM_PACE, N | I, list_pace, pace, NULL },
    { MM_Q_NAME, MM_WHAT, Y, list_cry, cry, NULL },
    { MM_Q_EXISTENCE, MM_YES_NO, Y, list_is_cry, is_cry, NULL },
    { MM_Q_NAME, MM_WHAT, I, list_outermost_kind, instrument, NULL },
    { MM_Q_NAME, MM_WHAT, I, list_kind, instrument, NULL },
    { MM_Q_PITCH, MM_VOICING, I, list_glide, voicing, NULL },
    { MM_Q_POSITION, MM_COL, I, list_col, column, NULL },
};

int mm_form_answers(const struct mm_form *f, enum mm_tier tier)
{
    static const int n[] = { [MM_YES_NO] = 2, [MM_NUMBER] = MM_SCENE_MAX + 1,
                             [MM_COLOUR] = MM_NCOLOURS, [MM_WHAT] = MM_NSHAPES,
                             [MM_SIZE] = MM_NSIZES, [MM_COL] = 3, [MM_ROW] = 3,
                             [MM_MOTION] = MM_NMOTIONS, [MM_WORD] = 0, [MM_GLIDE] = 2,
                             [MM_PACE] = 2, [MM_VOICING] = 2 };

    if (f->answers == MM_WHAT && tier == MM_NOTES)
        return MM_NINSTRUMENTS;
    return f->answers == MM_WHAT && mm_tier_has_nouns(tier) ? 0 : n[f->answers];
}

const char *mm_form_answer(const struct mm_form *f, int answer, const struct mm_view *v)
{
    static const char *const numbers[] = { "0", "1", "2", "3", "4", "5", "6" };

    switch (f->answers) {
    case MM_YES_NO:
        return answer != 0 ? "yes" : "no";
    case MM_NUMBER:
        return numbers[answer];
    case MM_COLOUR:
        return mm_colour_name(answer);
    case MM_WHAT:
        return mm_tier_has_nouns(v->s->tier) ? mm_sprites_noun(v->sprites, answer)
               : v->s->tier == MM_SOUNDS ? mm_sound_name(answer)
               : v->s->tier == MM_NOTES  ? mm_instrument_name(answer)
                                         : mm_shape_name(answer);
    case MM_SIZE:
        return mm_tier_is_sequence(v->s->tier) ? mm_pitch_name(answer) : mm_size_name(answer);
    case MM_GLIDE:
        return mm_glide_name(answer);
    case MM_VOICING:
        return mm_voicing_name(answer);
    case MM_PACE:
        return answer != 0 ? "fast" : "slow";
    case MM_COL:
        return mm_col_name(answer);
    case MM_ROW:
        return mm_row_name(answer);
    case MM_MOTION:
        return mm_motion_name((enum mm_motion)answer);
    default:
        return v->s->word;
    }
}

static void say_a(struct mm_buf *b, const struct mm_ask *ask, const struct mm_view *v)
{
    if (ask->via == MM_OUTERMOST) {
        mm_buf_printf(b, "the %s", mm_outermost_name(ask->side, v->s->tier));
    } else if (ask->via == MM_BESIDE) {
        mm_buf_printf(b, "the object %s ", mm_side_phrase(ask->side, v->s->tier));
        mm_class_say(b, &ask->q, MM_THE, v);
    } else {
        mm_class_say(b, &ask->p, MM_THE, v);
    }
}

/* What stands for %c in a question or an answer. */
static void fill(struct mm_buf *b, char c, const struct mm_form *f, const struct mm_ask *ask,
                 const struct mm_view *v)
{
    const bool one = ask->answer == 1;
    const struct mm_class kind = { .by = MM_BY_WHAT, .what = ask->answer };
    char word[MM_WORD_LEN];

    switch (c) {
    case 'A': say_a(b, ask, v); break;
    case 'B': mm_class_say(b, &ask->q, MM_THE, v); break;
    case 'P': mm_class_say(b, &ask->p, MM_A, v); break;
    case 'p': mm_class_say(b, &ask->p, MM_PLURAL, v); break;
    case 'q': mm_class_say(b, &ask->q, MM_PLURAL, v); break;
    case 'd': mm_buf_str(b, mm_side_phrase(ask->side, v->s->tier)); break;
    case 'a':
        mm_buf_str(b, f->answers == MM_NUMBER && ask->answer == 0 ? "no"
                                                                 : mm_form_answer(f, ask->answer, v));
        break;
    case 'K': mm_class_say(b, &kind, MM_A, v); break;
    case 'l':
        mm_buf_printf(b, "%s the %s", one ? "in" : f->answers == MM_COL ? "on" : "at",
                      mm_form_answer(f, ask->answer, v));
        break;
    case 'b': mm_class_say(b, &ask->p, MM_BARE, v); break;
    case 'i': mm_buf_str(b, one ? "is" : "are"); break;
    case 'o': mm_buf_str(b, one ? "object" : "objects"); break;
    case 's': mm_class_say(b, &ask->p, one ? MM_BARE : MM_PLURAL, v); break;
    default: mm_buf_str(b, mm_world_word(ask->word, word));
    }
}

static void say(struct mm_buf *b, const char *s, const struct mm_form *f, const struct mm_ask *ask,
                const struct mm_view *v)
{
    for (; *s != '\0'; s++) {
        if (v->s->tier == MM_CLIPS && strncmp(s, "picture", 7) == 0) {
            mm_buf_str(b, "clip");
            s += 6;
        } else if (*s == '%') {
            fill(b, *++s, f, ask, v);
        } else {
            mm_buf_char(b, *s);
        }
    }
}

void mm_form_say(struct mm_buf *b, const struct mm_form *f, int wording, const struct mm_ask *ask,
                 const struct mm_view *v)
{
    say(b, f->wording[wording], f, ask, v);
}

bool mm_form_sentence(struct mm_buf *b, const struct mm_form *f, const struct mm_ask *ask,
                      const struct mm_view *v)
{
    const size_t start = b->n;

    if (f->says == NULL)
        return false;
    say(b, f->says[f->answers == MM_YES_NO && ask->answer != 0], f, ask, v);
    if (!b->failed)
        b->p[start] = (char)toupper((unsigned char)b->p[start]);
    return true;
}
