/* convs.h: LLaVA's training data (id, image, conversations) as token ids and labels.
 *
 * Ids are those that mm-llm gives the same conversation: the prompt is built by the
 * same code, whole and up to each border, and a border lies where the two part.  So
 * no token is counted twice or not at all, whatever the tokenizer.
 *
 *   plain   <image>caption\n              caption and newline are trained
 *   v0      ### Human: ...\n### Assistant: ...\n### : answers with their role, and the first
 *           two tokens of each human turn (the stop mark)
 *   others  the template's turns: answers and what ends them
 *
 * A first turn "from": "system" replaces the system text of the others, an empty one removes it.
 * In all but v0 the marker of a picture is moved to the front of its turn (llava.md 12.3).
 */
#ifndef MM_TRAIN_CONVS_H
#define MM_TRAIN_CONVS_H

#include "model/prompt.h"
#include "text/template.h"

enum { MM_LABEL_NONE = -100, MM_IMAGE_ID = -200 };

struct mm_convs;

/* mm_convs_open: n files, each a JSON array or JSON lines; "-" is standard input.  The paths
 * must outlive c.  MM_ENOENT; MM_EDATA: no JSON, a sample whose turns are not of "from" (human,
 * user, gpt, assistant, system) and "value", an "image" that is no name (null: there is none). */
MM_MUST_CHECK int mm_convs_open(struct mm_convs **c, char *const *path, int n, struct mm_err *e);
void mm_convs_free(struct mm_convs *c); /* takes NULL */

size_t mm_convs_count(const struct mm_convs *c);
uint64_t mm_convs_hash(const struct mm_convs *c); /* of the files */
const char *mm_convs_id(const struct mm_convs *c, size_t i);    /* "" if it has none */
const char *mm_convs_image(const struct mm_convs *c, size_t i); /* NULL: text only */

/* mm_convs_blame: file and number of sample i to the front of e's message. */
void mm_convs_blame(const struct mm_convs *c, size_t i, struct mm_err *e);

/* mm_convs_length: words, negative for a sample without a picture: what grouping goes by. */
int32_t mm_convs_length(const struct mm_convs *c, size_t i);

/* mm_convs_answer: the first answer (a caption); NULL if there is none. */
const char *mm_convs_answer(const struct mm_convs *c, size_t i);

struct mm_convs_spec {
    struct mm_prompt_spec prompt;
    const struct mm_template *template;
    bool start_end;  /* <im_start> and <im_end> around a picture */
    size_t context;  /* most positions of a sample */
};

/* A sample.  id[t] < 0: row ~id[t] of its picture; label[t]: id[t] if it is trained, else
 * MM_LABEL_NONE. */
struct mm_labelled {
    int32_t *id, *label;
    size_t n, rows; /* rows: of the picture that are left */
};
void mm_labelled_free(struct mm_labelled *l); /* takes a zeroed one */

/* mm_convs_check: is sample i what mm_convs_build takes, as far as its turns tell? */
MM_MUST_CHECK int mm_convs_check(const struct mm_convs *c, size_t i, const struct mm_convs_spec *s,
                                 struct mm_err *e);

/* mm_convs_build: sample i, its picture being `rows` positions long.  MM_EDATA (naming file and
 * sample): roles out of order, more than one picture, no trained token. */
MM_MUST_CHECK int mm_convs_build(struct mm_labelled *l, const struct mm_convs *c, size_t i,
                                 size_t rows, const struct mm_convs_spec *s, struct mm_err *e);

#endif
