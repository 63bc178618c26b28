/* refer.c: classes of objects and their English. */
#include "synth/refer.h"

#include <string.h>

#include "synth/sprite.h"

static const float plainly = 0.13f; /* that far apart, one is left of the other */
static const float hardly = 0.03f;  /* that near, it is not */
static const float margin = 0.08f;  /* by that much the outermost is */

struct mm_class mm_class_of(const struct mm_scene *s, int k, int by)
{
    const struct mm_object *o = &s->obj[k];

    return (struct mm_class){ .by = by, .size = o->size, .colour = o->colour, .what = o->what,
                              .col = o->col, .row = o->row };
}

bool mm_class_has(const struct mm_class *c, const struct mm_object *o)
{
    return (!(c->by & MM_BY_SIZE) || o->size == c->size)
           && (!(c->by & MM_BY_COLOUR) || o->colour == c->colour)
           && (!(c->by & MM_BY_WHAT) || o->what == c->what)
           && (!(c->by & MM_BY_CELL) || (o->col == c->col && o->row == c->row));
}

int mm_class_count(const struct mm_class *c, const struct mm_scene *s)
{
    int n = 0;

    for (int k = 0; k < s->n; k++)
        n += mm_class_has(c, &s->obj[k]);
    return n;
}

static const char *head(const struct mm_class *c, enum mm_article how, const struct mm_view *v)
{
    if (mm_tier_is_sequence(v->s->tier) && !(c->by & MM_BY_WHAT))
        return how == MM_PLURAL ? "sounds" : "sound";
    if (v->s->tier == MM_NOTES)
        return mm_instrument_name(c->what);
    if (v->s->tier == MM_SOUNDS)
        return how == MM_PLURAL ? mm_sound_plural(c->what) : mm_sound_name(c->what);
    if (v->s->tier == MM_WORDS)
        return how == MM_PLURAL ? "words" : "word";
    if (!(c->by & MM_BY_WHAT))
        return how == MM_PLURAL ? "objects" : "object";
    if (mm_tier_has_nouns(v->s->tier))
        return how == MM_PLURAL ? mm_sprites_plural(v->sprites, c->what)
                                : mm_sprites_noun(v->sprites, c->what);
    return how == MM_PLURAL ? mm_shape_plural(c->what) : mm_shape_name(c->what);
}

void mm_class_say(struct mm_buf *b, const struct mm_class *c, enum mm_article how,
                  const struct mm_view *v)
{
    const char *noun = head(c, how, v);
    const bool sound = mm_tier_is_sequence(v->s->tier), note = v->s->tier == MM_NOTES;
    const char *size = c->by & MM_BY_SIZE ? (sound ? mm_pitch_name : mm_size_name)(c->size) : "";
    const char *colour = (c->by & MM_BY_COLOUR) && !note ? (sound ? mm_glide_name : mm_colour_name)(c->colour)
                                              : "";
    const char *first = size[0] != '\0' ? size : colour[0] != '\0' ? colour : noun;

    if (how == MM_THE)
        mm_buf_str(b, "the ");
    if (how == MM_A)
        mm_buf_str(b, strchr("aeiou", first[0]) != NULL ? "an " : "a ");
    if (size[0] != '\0')
        mm_buf_printf(b, "%s ", size);
    if (colour[0] != '\0')
        mm_buf_printf(b, "%s ", colour);
    mm_buf_str(b, noun);
    if (note && (c->by & MM_BY_COLOUR) && c->colour >= 0)
        mm_buf_printf(b, " %s", mm_voicing_name(c->colour));
    if (note && (c->by & MM_BY_WHAT) && how == MM_PLURAL)
        mm_buf_str(b, " sounds"); /* two of them are heard, perhaps of one piano */
    if (c->by & MM_BY_CELL)
        mm_buf_printf(b, " %s", mm_cell_phrase(c->col, c->row));
}

bool mm_refer(struct mm_class *c, const struct mm_view *v, int k, int not_by, struct mm_rng *r)
{
    int n = 0, found[16];

    if (v->s->tier == MM_THINGS || v->s->tier == MM_NOTES)
        not_by |= MM_BY_COLOUR;
    if (v->s->tier == MM_SOUNDS)
        not_by |= MM_BY_COLOUR | MM_BY_CELL;
    if (v->s->tier == MM_WORDS)
        not_by = ~0;
    for (int by = 0; by < 16; by++) {
        const struct mm_class t = mm_class_of(v->s, k, by);

        /* a place stands alone, as in "the object at the top" */
        if ((by & not_by) == 0 && (by <= MM_BY_CELL) && mm_class_count(&t, v->s) == 1)
            found[n++] = by;
    }
    if (n == 0)
        return false;
    *c = mm_class_of(v->s, k, found[mm_rng_below(r, (uint64_t)n)]);
    return true;
}

/* How far object k lies to that side. */
static float along(const struct mm_scene *s, int k, enum mm_side side)
{
    const struct mm_object *o = &s->obj[k];

    switch (side) {
    case MM_SIDE_LEFT:
        return -o->x;
    case MM_SIDE_RIGHT:
        return o->x;
    case MM_SIDE_ABOVE:
        return -o->y;
    default:
        return o->y;
    }
}

/* Of what is heard one after another nothing is above or below. */
static bool has_side(const struct mm_scene *s, enum mm_side side)
{
    return !mm_tier_is_sequence(s->tier) || side == MM_SIDE_LEFT || side == MM_SIDE_RIGHT;
}

bool mm_lies(const struct mm_scene *s, int a, int b, enum mm_side side)
{
    return has_side(s, side) && along(s, a, side) - along(s, b, side) >= plainly;
}

const char *mm_side_phrase(enum mm_side side, enum mm_tier tier)
{
    static const char *const phrases[] = { "to the left of", "to the right of", "above", "below" };

    if (mm_tier_is_sequence(tier))
        return side == MM_SIDE_LEFT ? "before" : "after";
    return phrases[side];
}

int mm_only_one_on(const struct mm_scene *s, int k, enum mm_side side)
{
    int found = -1;

    for (int i = 0; i < s->n; i++) {
        const float d = along(s, i, side) - along(s, k, side);

        if (i == k || d <= hardly)
            continue;
        if (d < plainly || found >= 0)
            return -1;
        found = i;
    }
    return found;
}

int mm_outermost(const struct mm_scene *s, enum mm_side side)
{
    int best = 0;

    if (s->n < 2 || !has_side(s, side))
        return -1;
    for (int i = 1; i < s->n; i++)
        if (along(s, i, side) > along(s, best, side))
            best = i;
    for (int i = 0; i < s->n; i++)
        if (i != best && along(s, best, side) - along(s, i, side) < margin)
            return -1;
    return best;
}

const char *mm_outermost_name(enum mm_side side, enum mm_tier tier)
{
    static const char *const names[] = { "leftmost object", "rightmost object", "highest object",
                                         "lowest object" };

    if (mm_tier_is_sequence(tier))
        return side == MM_SIDE_LEFT ? "first sound" : "last sound";
    return names[side];
}

static bool by_another(struct mm_buf *b, const struct mm_view *v, int k, struct mm_rng *r)
{
    const int from = (int)mm_rng_below(r, (uint64_t)v->s->n);

    for (int i = 0; i < v->s->n * MM_NSIDES; i++) {
        const int other = (from + i / MM_NSIDES) % v->s->n;
        const enum mm_side side = (enum mm_side)(i % MM_NSIDES);
        struct mm_class c;

        if (other == k || mm_only_one_on(v->s, other, side) != k
            || !mm_refer(&c, v, other, MM_BY_CELL, r))
            continue;
        mm_buf_printf(b, "the %s %s ", mm_tier_is_sequence(v->s->tier) ? "sound" : "object",
                      mm_side_phrase(side, v->s->tier));
        mm_class_say(b, &c, MM_THE, v);
        return true;
    }
    return false;
}

static bool by_place(struct mm_buf *b, const struct mm_view *v, int k)
{
    struct mm_class c = mm_class_of(v->s, k, MM_BY_CELL);

    for (int side = 0; side < MM_NSIDES; side++)
        if (mm_outermost(v->s, (enum mm_side)side) == k) {
            mm_buf_printf(b, "the %s", mm_outermost_name((enum mm_side)side, v->s->tier));
            return true;
        }
    if (mm_tier_is_sequence(v->s->tier))
        return false;
    if (mm_class_count(&c, v->s) != 1) {
        c.by |= v->s->tier == MM_THINGS ? MM_BY_WHAT : MM_BY_WHAT | MM_BY_COLOUR;
        if (mm_class_count(&c, v->s) != 1)
            return false;
    }
    mm_class_say(b, &c, MM_THE, v);
    return true;
}

bool mm_expression(struct mm_buf *b, const struct mm_view *v, int k, int i, struct mm_rng *r)
{
    struct mm_class c;

    if (i == 1)
        return by_place(b, v, k);
    if (i == 2)
        return by_another(b, v, k, r);
    if (!mm_refer(&c, v, k, MM_BY_CELL, r))
        return false;
    mm_class_say(b, &c, MM_THE, v);
    return true;
}
