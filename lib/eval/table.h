/* table.h: scores for people: what mm_eval_* left in an object, as text. */
#ifndef MM_EVAL_TABLE_H
#define MM_EVAL_TABLE_H

#include "base/buf.h"
#include "base/json.h"

/* mm_eval_table: append the table that a paper prints of a task (caption, vqa, exact,
 * scienceqa, pope, auc, bench, world): rows and columns, then 95% intervals where there are. */
void mm_eval_table(struct mm_buf *b, const char *task, const json_t *out);

/* mm_eval_lines: append every single number of out, "name<tab>number" a line, members of
 * members as "path.name", intervals as "name.ci95.low" and "name.ci95.high"; of bench
 * "category.relative", "category.reference", "category.candidate".  Lists are left out. */
void mm_eval_lines(struct mm_buf *b, const char *task, const json_t *out);

#endif
