/* instruct.h: instruction data about pictures from a language model that sees
 * only their captions and boxes (Liu et al., Visual Instruction Tuning, 2023).
 */
#ifndef MM_NET_INSTRUCT_H
#define MM_NET_INSTRUCT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/strings.h"

enum mm_instruct { MM_CONVERSATION, MM_DETAIL, MM_REASONING, MM_NINSTRUCT };

/* "conversation", "detail", "reasoning" */
const char *mm_instruct_name(enum mm_instruct type);

/* mm_instruct_type: the type of that name, or -1; name may be NULL. */
int mm_instruct_type(const char *name);

/* What a model is told before the picture it is asked about.  A file of parts;
 * a part begins with a line "@@ system", "@@ user", "@@ assistant" or
 * "@@ question" and what stands before the first is a comment. */
struct mm_instruct_prompt {
    struct mm_strings turns;     /* system, then examples: user, assistant, user, ... */
    struct mm_strings questions; /* of MM_DETAIL: what may be asked, one a line */
};

/* mm_instruct_prompt_read: MM_ENOENT, MM_EDATA (naming the line) when the parts
 * are not as said above, MM_ENOMEM.  A MM_DETAIL needs a question. */
MM_MUST_CHECK int mm_instruct_prompt_read(struct mm_instruct_prompt *p, enum mm_instruct type,
                                          const char *path, struct mm_err *e);
void mm_instruct_prompt_free(struct mm_instruct_prompt *p); /* takes a zeroed one */

struct mm_picture {
    long long number;    /* COCO's id */
    char *id;            /* file name without directory and suffix */
    char *file;          /* as COCO has it */
    double width, height;
    struct mm_buf captions; /* one a line, no newline at the end */
    struct mm_buf boxes;    /* lines "category: [x1, y1, x2, y2]", likewise */
};

struct mm_pictures {
    struct mm_picture *v; /* [n], in the order of the captions file */
    size_t n;
};

/* mm_pictures_read: COCO's captions file, and instances for the boxes (or NULL).
 * Boxes are fractions of width and height, rounded to three decimals.  MM_ENOENT;
 * MM_EDATA: no COCO, a picture without size, an id twice, an annotation that names no
 * picture, an unknown category, a box far outside of its picture.
 * Annotations of pictures that the captions file lacks are passed over. */
MM_MUST_CHECK int mm_pictures_read(struct mm_pictures *p, const char *captions,
                                   const char *instances, struct mm_err *e);
void mm_pictures_free(struct mm_pictures *p); /* takes a zeroed one */

/* mm_instruct_context: append what a model is shown of a picture: captions, and
 * but for conversations an empty line and the boxes. */
void mm_instruct_context(struct mm_buf *b, const struct mm_picture *p, enum mm_instruct type);

/* mm_instruct_parse: an answer as turns: question, answer, question, ... (of a
 * MM_DETAIL the answer alone).  A last question without an answer is dropped.
 * Returns NULL, or why the answer is of no use, one word:
 *   empty, no-header (a block that is neither Question nor Answer), order, pairs
 *   (not exactly one in MM_REASONING), no-question-mark, duplicate (a question
 *   twice), leak (speaks of captions, boxes or coordinates), refusal, too-long (a
 *   turn of more than 8,000 bytes), memory */
const char *mm_instruct_parse(struct mm_strings *turns, enum mm_instruct type, const char *text);

/* mm_instruct_record: a record of LLaVA's JSON: id, image, type, conversations.  <image>
 * stands before or after the first question, and the question of a MM_DETAIL is one
 * of questions: drawn by seed, type and the picture's id, by nothing else.  A new
 * reference, NULL if out of memory or a text is not UTF-8. */
json_t *mm_instruct_record(const struct mm_picture *p, enum mm_instruct type,
                           const struct mm_strings *questions, const struct mm_strings *turns,
                           uint64_t seed);

#endif
