/* form.h: the forms of questions: when one can be asked, and its wordings. */
#ifndef MM_SYNTH_FORM_H
#define MM_SYNTH_FORM_H

#include "synth/question.h"

/* How an answer's number is said. */
enum mm_answers {
    MM_YES_NO, MM_NUMBER, MM_COLOUR, MM_WHAT, MM_SIZE, MM_COL, MM_ROW, MM_MOTION, MM_WORD,
    MM_GLIDE, MM_PACE, MM_VOICING
};

enum { MM_ASKS = 160 };

struct mm_asks {
    struct mm_ask v[MM_ASKS];
    int n;
};

struct mm_form {
    enum mm_qtype type;
    enum mm_answers answers;
    unsigned tiers; /* bit set */
    /* list: what can be asked of the scene, at most MM_ASKS, each answer by a fair choice */
    void (*list)(struct mm_asks *out, const struct mm_view *v, struct mm_rng *r);
    /* %A the one of p (see enum mm_via), %B the one of q, %P p with "a", %p %q in the
     * plural, %d where p lies from q, %w the word; the first MM_WORDINGS_SEEN are used in every split */
    const char *const *wording;
    /* the answer as a sentence, of yes or no: that of no, of yes; NULL: it has none.  Also %a
     * the answer, %K it as a kind with "a", %l it as a place, %b p bare, of numbers %i is or
     * are, %o objects and %s p so many */
    const char *const *says;
};

extern const struct mm_form mm_forms[MM_NFORMS];

/* mm_form_answers: how many answers there are, 0: too many to weigh. */
int mm_form_answers(const struct mm_form *f, enum mm_tier tier);

/* mm_form_answer: the answer in words, static or of the sprites or the scene. */
const char *mm_form_answer(const struct mm_form *f, int answer, const struct mm_view *v);

/* mm_form_sentence: append the answer as a whole sentence; false: the form has none. */
bool mm_form_sentence(struct mm_buf *b, const struct mm_form *f, const struct mm_ask *ask,
                      const struct mm_view *v);

/* mm_form_say: append the question. */
void mm_form_say(struct mm_buf *b, const struct mm_form *f, int wording, const struct mm_ask *ask,
                 const struct mm_view *v);

#endif
