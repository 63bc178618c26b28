/* question.h: questions about a scene and their answers.
 *
 * A question is one of a closed list of forms, each of a type (existence, count, ...).
 * What can be asked of a scene is listed; then an answer is drawn and a question
 * that has it.  Answers are drawn by weights and kept with probabilities found by
 * mm_balance_fit on many scenes, so that in each form every answer is
 * equally frequent: the question alone tells nothing.
 */
#ifndef MM_SYNTH_QUESTION_H
#define MM_SYNTH_QUESTION_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "synth/refer.h"
#include "synth/scene.h"

enum mm_qtype {
    MM_Q_EXISTENCE, MM_Q_COUNT, MM_Q_COLOUR, MM_Q_SHAPE, MM_Q_NAME, MM_Q_SIZE, MM_Q_POSITION,
    MM_Q_RELATION, MM_Q_COMPARISON, MM_Q_MULTI, MM_Q_READING, MM_Q_MOTION,
    MM_Q_PITCH, MM_Q_RHYTHM, MM_NQTYPES
};

const char *mm_qtype_name(enum mm_qtype type); /* "existence" ... */

enum { MM_NFORMS = 38, MM_NANSWERS = 16, MM_WORDINGS = 8, MM_WORDINGS_SEEN = 6 };

struct mm_balance {
    float weight[MM_NTIERS][MM_NFORMS][MM_NANSWERS]; /* of drawing an answer that is possible */
    float keep[MM_NTIERS][MM_NFORMS][MM_NANSWERS];   /* 0..1: of keeping it */
};

/* mm_balance_fit: from scenes of o.  MM_EDATA, MM_ENOMEM as mm_scene_make. */
MM_MUST_CHECK int mm_balance_fit(struct mm_balance *b, const struct mm_scene_opts *o,
                                 struct mm_err *e);

/* How %A is said: by class p; as the outermost on a side; by what lies beside class q. */
enum mm_via { MM_DIRECT, MM_OUTERMOST, MM_BESIDE };

/* One thing that can be asked. */
struct mm_ask {
    int answer;
    int k;               /* the object that the answer is of, or -1 */
    enum mm_via via;
    enum mm_side side;
    struct mm_class p, q; /* what is asked about: classes that are counted, or of one object */
    int word;
};

struct mm_question {
    enum mm_qtype type;
    int form;
    int wording;     /* 0..7; 6 and 7 are asked in test alone */
    char *text;      /* both NUL-terminated, malloc'd */
    char *answer;    /* one word; of things perhaps several */
    struct mm_ask ask;
};

struct mm_questions {
    struct mm_question *v;
    size_t n, cap;
};

void mm_questions_free(struct mm_questions *q); /* takes a zeroed one */
void mm_questions_reset(struct mm_questions *q);

/* mm_questions_ask: draws `tries` forms and appends what comes of them, at least one
 * question with one word as its answer, none twice; and again, `rounds` times in all:
 * further rounds ask of other objects in the same forms, so that rare answers become rarer.
 * MM_ENOMEM. */
MM_MUST_CHECK int mm_questions_ask(struct mm_questions *q, const struct mm_view *v,
                                   const struct mm_balance *b, int tries, int rounds,
                                   struct mm_err *e);

#endif
