/* items.h: predictions and references, read and put side by side.
 *
 * A file is a JSON array of objects, an object that holds one (annotations,
 * questions, data), an object of objects by id, or JSON lines; the benchmarks'
 * own files and `mm-llm --json` are all of these.
 */
#ifndef MM_EVAL_ITEMS_H
#define MM_EVAL_ITEMS_H

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"

/* mm_eval_load: the objects of a file ("-": standard input) as a new array in *list;
 * an object of objects gives each its key as "id" where it has none; NUL in a text is U+FFFD.
 * MM_ENOENT, MM_EDATA (no JSON, no list of objects), MM_ENOMEM. */
MM_MUST_CHECK int mm_eval_load(json_t **list, const char *path, struct mm_err *e);

/* mm_eval_id: the id of an object: the first of the NULL-terminated keys that it has
 * (integers in decimal, an array of one string as that string); NULL if none.
 * The text lives in a. */
const char *mm_eval_id(struct mm_arena *a, const json_t *obj, const char *const *keys);

/* The usual keys, and those of captions, whose `id` names the annotation. */
extern const char *const mm_eval_ids[];
extern const char *const mm_eval_image_ids[];

/* mm_eval_text: what an object says: the first string or number of text, answer,
 * caption, prediction, pred_answer.  MM_EDATA names `what` when there is none. */
MM_MUST_CHECK int mm_eval_text(const char **text, struct mm_arena *a, const json_t *obj,
                               const char *what, struct mm_err *e);

/* References and the prediction for each, borrowed from the lists. */
struct mm_eval_pairs {
    size_t n;
    const json_t **ref;
    const json_t **pred; /* NULL: none, where that is allowed */
    const char **id;     /* "" where the files have none and go by order */
};

enum mm_eval_missing { MM_EVAL_REFUSE, MM_EVAL_KEEP, MM_EVAL_DROP };

/* mm_eval_pair: each reference with its prediction, in the order of refs.
 *
 *   keys     where ids are; a prediction known by `source` is also found by the
 *            file's name and stem, and by the reference's `image`; one that has a
 *            `prompt` by the reference's `image_id` and `question` (LLaVA's for TextVQA)
 *   missing  a reference without prediction: MM_EDATA, kept with NULL, left out; so is
 *            one of which the prediction has an `error` and no text
 *
 * The arrays live in a, the objects in the lists.  MM_EDATA: an id twice, a
 * prediction for no reference, an object without id, other counts where neither
 * file has ids. */
MM_MUST_CHECK int mm_eval_pair(struct mm_eval_pairs *p, struct mm_arena *a, const json_t *refs,
                               const json_t *preds, const char *const *keys,
                               enum mm_eval_missing missing, struct mm_err *e);

#endif
