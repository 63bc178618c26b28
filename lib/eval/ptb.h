/* ptb.h: words as the Penn Treebank cuts them, for captions.
 *
 * What coco-caption's tokenizer (PTBTokenizer 3.4.1, -preserveLines -lowerCase) makes of
 * one line: clitics apart (is n't, man 's), brackets as -lrb-, quotes as `` and '',
 * abbreviations with their period, addresses, numbers and hyphenated words whole, all
 * in lower case; characters it has no rule for vanish.
 */
#ifndef MM_EVAL_PTB_H
#define MM_EVAL_PTB_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

/* mm_eval_ptb: tokens of text (UTF-8), one space between them, into out (reset first).
 * filter leaves out the tokens that coco-caption does: '' ' ` `` . ? ! , : - -- ... ;
 * MM_ENOMEM. */
MM_MUST_CHECK int mm_eval_ptb(struct mm_buf *out, const char *text, bool filter,
                              struct mm_err *e);

#endif
