/* world.h: what a model saw of the scenes of the synthetic world (mm-synth --format vqa).
 *
 * Captions are read object by object (said.h), answers compared as VQA's scorer normalises
 * them.  Beside the score of each measure stands what a constant answer gives: of each form of
 * question the most frequent one in these scenes.
 */
#ifndef MM_EVAL_WORLD_H
#define MM_EVAL_WORLD_H

#include "eval/boot.h"
#include "eval/items.h"

/* Predictions are objects that name the scene ("image" or "image_id": a path or an id, of
 * which the stem counts) and hold a text; with "question_id" they answer that question,
 * without they caption the picture. */
struct mm_eval_world {
    const json_t *scenes;  /* lines of scenes.jsonl, of any tiers; ids differ */
    const json_t *preds;
    const json_t *blind;   /* the same questions asked without the picture; NULL: none */
    const json_t *wrong;   /* and with another scene's picture; NULL: none */
    bool partial;          /* leave out what has no prediction */
};

/* mm_eval_world: members of out, in the order of the table, are measures:
 *
 *   { label, n, score, chance, want, pass, blind, wrong, guess_pass, ci95: { score: [..] .. } }
 *
 * percent; n counts what is averaged (scenes, objects, questions).  want: the least score
 * asked for, where there is one; pass: it is reached.  guess_pass: blind and wrong are at
 * most 5 above chance.  Then `pass`: all are.
 *
 * captions: a scene is right when the caption names its objects, all and no others, each
 * with name, size, colour (shapes, words) and place (shapes, things); of m objects right,
 * k there and n named m / max(k, n) counts.  Names are right where the caption has
 * them, averaged noun by noun; printed words likewise, by the questions that ask for the
 * word.  A scene with `fill` true counts for printed words alone.  Intervals resample scenes.
 *
 * MM_EDATA: a scene without id or objects, an id or a prediction twice, a prediction of no
 * scene, a question or caption without prediction (unless partial: what preds has
 * none of; if preds has no captions at all, they are not scored). */
MM_MUST_CHECK int mm_eval_world(json_t *out, const struct mm_eval_world *w, struct mm_arena *a,
                                const struct mm_eval_boot *b, struct mm_err *e);

#endif
