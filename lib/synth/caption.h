/* caption.h: what a scene shows, in English, and talks about it. */
#ifndef MM_SYNTH_CAPTION_H
#define MM_SYNTH_CAPTION_H

#include "base/buf.h"
#include "synth/picture.h"
#include "synth/question.h"
#include "synth/refer.h"

enum { MM_NCAPTIONS = 8 };

/* mm_caption: caption in wording 0..7 as one sentence.  0, the one to be learnt: every
 * object with size, colour, kind and place, in reading order:
 * "a large red circle at the top left and a small blue star in the center."
 * 1..5 say the same in other words, 6 and 7 leave out size and place. */
void mm_caption(struct mm_buf *b, const struct mm_view *v, int wording);

/* mm_describe: a detailed description: number, background, each object, how neighbours
 * lie. */
void mm_describe(struct mm_buf *b, const struct mm_view *v, const struct mm_finish *f,
                 struct mm_rng *r);

/* Turns of a talk. */
enum mm_turn {
    MM_TURN_QA, MM_TURN_CAPTION, MM_TURN_DETAIL, MM_TURN_REASON, MM_TURN_SENTENCE, MM_NTURNS
};

/* mm_turn_ask: append a way to ask for a caption or a description; test knows two more.
 * Returns its number. */
int mm_turn_ask(struct mm_buf *b, enum mm_turn turn, const struct mm_scene *s, struct mm_rng *r);

/* mm_reason: a multi-step question's answer with its steps; false: it has none. */
bool mm_reason(struct mm_buf *b, const struct mm_view *v, const struct mm_question *q);

#endif
