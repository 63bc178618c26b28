/* caption.c: captions and descriptions. */
#include "synth/caption.h"

#include <ctype.h>
#include <string.h>

static const char *motion_phrase(enum mm_motion motion)
{
    static const char *const phrases[MM_NMOTIONS] = {
        "standing still", "moving left", "moving right", "moving up",
        "moving down",    "growing",     "shrinking",    "turning",
    };

    return phrases[motion];
}

/* One object, with its article; full: with size and place, or what it does. */
static void one(struct mm_buf *b, const struct mm_view *v, int k, bool full)
{
    const struct mm_object *o = &v->s->obj[k];
    int by = MM_BY_WHAT | (full && v->s->tier != MM_CRIES ? MM_BY_SIZE : 0);
    struct mm_class c;

    if (o->colour >= 0 && (full || v->s->tier != MM_NOTES))
        by |= MM_BY_COLOUR;
    if (full && v->s->tier == MM_NOTES)
        by |= MM_BY_CELL;
    if (v->s->tier == MM_SOUNDS)
        by |= MM_BY_SIZE;
    c = mm_class_of(v->s, k, by);
    if (v->s->tier == MM_WORDS) {
        c.by = MM_BY_COLOUR;
        mm_class_say(b, &c, MM_THE, v);
        mm_buf_printf(b, " %s", v->s->word);
        return;
    }
    mm_class_say(b, &c, MM_A, v);
    if (full && !mm_tier_is_heard(v->s->tier))
        mm_buf_printf(b, " %s", v->s->tier == MM_CLIPS ? motion_phrase(o->motion)
                                                      : mm_cell_phrase(o->col, o->row));
}

static void all(struct mm_buf *b, const struct mm_view *v, bool full)
{
    for (int k = 0; k < v->s->n; k++) {
        if (mm_tier_is_sequence(v->s->tier))
            mm_buf_str(b, k == 0 ? "" : ", then ");
        else
            mm_buf_str(b, k == 0 ? "" : k + 1 < v->s->n ? ", " : " and ");
        one(b, v, k, full);
    }
    if (mm_tier_is_sequence(v->s->tier) && full && v->s->n > 1)
        mm_buf_printf(b, ", in a %s rhythm", v->s->fast ? "fast" : "slow");
}

void mm_caption(struct mm_buf *b, const struct mm_view *v, int wording)
{
    static const char *const before[MM_NCAPTIONS] = {
        "", "There is ", "The picture shows ", "You can see ", "This is a picture of ", "I see ",
        "", "A picture of ",
    };
    static const char *const clips[MM_NCAPTIONS] = {
        "", "There is ", "The clip shows ", "You can see ", "This is a clip of ", "I see ", "",
        "A clip of ",
    };
    static const char *const cries[MM_NCAPTIONS] = {
        "", "There is ", "This is ", "You can hear ", "This is the sound of ", "I hear ", "It is ",
        "The sound of ",
    };
    static const char *const sounds[MM_NCAPTIONS] = {
        "", "There is ", "The sound is ", "You can hear ", "This is the sound of ", "I hear ", "",
        "The sound of ",
    };

    mm_buf_str(b, v->s->tier == MM_CRIES              ? cries[wording]
                  : mm_tier_is_sequence(v->s->tier) ? sounds[wording]
                  : v->s->tier == MM_CLIPS          ? clips[wording]
                                                    : before[wording]);
    all(b, v, wording < 6);
    mm_buf_char(b, '.');
}

static void sentence(struct mm_buf *b, const struct mm_view *v, int k)
{
    const size_t start = b->n;

    one(b, v, k, false);
    if (!b->failed)
        b->p[start] = (char)toupper((unsigned char)b->p[start]);
}

/* How object k lies to the one before it, if both can be called by name. */
static void relate(struct mm_buf *b, const struct mm_view *v, int k, struct mm_rng *r)
{
    const int side = (int)mm_rng_below(r, MM_NSIDES);

    for (int i = 0; k > 0 && i < MM_NSIDES; i++) {
        const enum mm_side s = (enum mm_side)((side + i) % MM_NSIDES);
        struct mm_class c;

        if (mm_lies(v->s, k, k - 1, s) && mm_refer(&c, v, k - 1, MM_BY_CELL, r)) {
            mm_buf_printf(b, " It is %s ", mm_side_phrase(s, v->s->tier));
            mm_class_say(b, &c, MM_THE, v);
            mm_buf_char(b, '.');
            return;
        }
    }
}

static void describe_sounds(struct mm_buf *b, const struct mm_view *v)
{
    const int n = v->s->n;

    mm_buf_printf(b, "There %s %d sound%s", n > 1 ? "are" : "is", n, n > 1 ? "s" : "");
    if (n > 1)
        mm_buf_printf(b, " in a %s rhythm", v->s->fast ? "fast" : "slow");
    mm_buf_char(b, '.');
    for (int k = 0; k < n; k++) {
        mm_buf_str(b, k == 0 ? " First there is " : " Then there is ");
        one(b, v, k, true);
        mm_buf_char(b, '.');
    }
}

void mm_describe(struct mm_buf *b, const struct mm_view *v, const struct mm_finish *f,
                 struct mm_rng *r)
{
    const struct mm_scene *s = v->s;
    const char *things = s->tier == MM_WORDS ? "word" : "object";

    if (mm_tier_is_sequence(s->tier)) {
        describe_sounds(b, v);
        return;
    }
    if (s->tier == MM_CRIES) {
        mm_caption(b, v, 4);
        return;
    }
    mm_buf_printf(b, "The %s shows %d %s%s on a %s background.",
                  s->tier == MM_CLIPS ? "clip" : "picture", s->n, things, s->n > 1 ? "s" : "",
                  mm_ground_name(f->ground));
    for (int k = 0; k < s->n; k++) {
        const struct mm_object *o = &s->obj[k];

        mm_buf_char(b, ' ');
        sentence(b, v, k);
        if (s->tier == MM_WORDS) {
            mm_buf_str(b, " is printed there.");
        } else if (s->tier == MM_CLIPS) {
            mm_buf_printf(b, " is %s. It is %s.", motion_phrase(o->motion), mm_size_name(o->size));
        } else {
            mm_buf_printf(b, " is %s. It is %s.", mm_cell_phrase(o->col, o->row),
                          mm_size_name(o->size));
            relate(b, v, k, r);
        }
    }
}

/* "picture" in text becomes what it is. */
static void say_prompt(struct mm_buf *b, const char *text, enum mm_tier tier)
{
    static const char word[] = "picture";
    const char *what = tier == MM_CLIPS ? "clip" : mm_tier_is_heard(tier) ? "sound" : word;
    const char *at;

    while ((at = strstr(text, word)) != NULL) {
        mm_buf_add(b, text, (size_t)(at - text));
        mm_buf_str(b, what);
        text = at + strlen(word);
    }
    mm_buf_str(b, text);
}

int mm_turn_ask(struct mm_buf *b, enum mm_turn turn, const struct mm_scene *s, struct mm_rng *r)
{
    static const char *const caption[MM_WORDINGS] = {
        "Describe the picture.", "What is in the picture?", "What does the picture hold?",
        "Write a caption for the picture.", "Describe this picture in one sentence.",
        "Tell me what is in the picture.", "What do you find in the picture?",
        "Write down what is in the picture.",
    };
    static const char *const detail[MM_WORDINGS] = {
        "Describe the picture in detail.", "Give a detailed description of the picture.",
        "Tell me everything about the picture.", "What is in the picture, in detail?",
        "Write a detailed description of the picture.", "Tell me in detail what is in the picture.",
        "What do you find in the picture, in detail?", "Give a description of the picture in detail.",
    };
    const int n = s->split == MM_TEST ? MM_WORDINGS : MM_WORDINGS_SEEN;
    const int pick = (int)mm_rng_below(r, (uint64_t)n);

    say_prompt(b, turn == MM_TURN_DETAIL ? detail[pick] : caption[pick], s->tier);
    return pick;
}

bool mm_reason(struct mm_buf *b, const struct mm_view *v, const struct mm_question *q)
{
    const struct mm_ask *a = &q->ask;
    const int all_of_it = MM_BY_SIZE | MM_BY_WHAT | (v->s->tier == MM_THINGS ? 0 : MM_BY_COLOUR);
    struct mm_class c;

    if (a->via == MM_DIRECT || a->k < 0 || mm_tier_is_sequence(v->s->tier))
        return false;
    c = mm_class_of(v->s, a->k, all_of_it);
    if (a->via == MM_OUTERMOST) {
        mm_buf_printf(b, "The %s is ", mm_outermost_name(a->side, v->s->tier));
    } else {
        mm_buf_printf(b, "The only object %s ", mm_side_phrase(a->side, v->s->tier));
        mm_class_say(b, &a->q, MM_THE, v);
        mm_buf_str(b, " is ");
    }
    mm_class_say(b, &c, MM_A, v);
    mm_buf_printf(b, " %s, so the answer is %s.", mm_cell_phrase(v->s->obj[a->k].col, v->s->obj[a->k].row),
                  q->answer);
    return true;
}
