/* refer.h: classes of objects by what is said of them, and their English.
 *
 * "the small red circle", "red objects", "the object at the top left".
 */
#ifndef MM_SYNTH_REFER_H
#define MM_SYNTH_REFER_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/rng.h"
#include "synth/scene.h"

/* What a class fixes. */
enum { MM_BY_SIZE = 1, MM_BY_COLOUR = 2, MM_BY_WHAT = 4, MM_BY_CELL = 8 };

struct mm_class {
    int by; /* bits of what is fixed; the other fields do not count */
    int size, colour, what, col, row;
};

/* A scene and the names of its things. */
struct mm_view {
    const struct mm_scene *s;
    const struct mm_sprites *sprites; /* NULL where s has no things */
};

/* mm_class_of: the class of objects like object k, by these. */
struct mm_class mm_class_of(const struct mm_scene *s, int k, int by);
bool mm_class_has(const struct mm_class *c, const struct mm_object *o);
int mm_class_count(const struct mm_class *c, const struct mm_scene *s);

enum mm_article { MM_BARE, MM_PLURAL, MM_A, MM_THE };

/* mm_class_say: append "red circle", "red circles", "a red circle", "the red circle". */
void mm_class_say(struct mm_buf *b, const struct mm_class *c, enum mm_article how,
                  const struct mm_view *v);

/* mm_refer: a class that holds object k alone, by none of `not`; one at random of those
 * there are.  False: there is none. */
bool mm_refer(struct mm_class *c, const struct mm_view *v, int k, int not_by, struct mm_rng *r);

/* How two objects lie: the direction from b to a, plain to see. */
enum mm_side { MM_SIDE_LEFT, MM_SIDE_RIGHT, MM_SIDE_ABOVE, MM_SIDE_BELOW, MM_NSIDES };
bool mm_lies(const struct mm_scene *s, int a, int b, enum mm_side side);
/* "to the left of", "above"; of sequences: "before", "after" */
const char *mm_side_phrase(enum mm_side side, enum mm_tier tier);

/* mm_only_one_on: the only object that lies on that side of object k, no other being
 * nearly so; -1: none, several or doubtful. */
int mm_only_one_on(const struct mm_scene *s, int k, enum mm_side side);

/* mm_outermost: the object farthest to that side, by a clear margin; -1: none. */
int mm_outermost(const struct mm_scene *s, enum mm_side side);
const char *mm_outermost_name(enum mm_side side, enum mm_tier tier); /* "leftmost object" */

/* mm_expression: expression number i (0, 1, 2: by attributes, by place, by another object)
 * that means object k and no other, with "the"; false: there is none. */
bool mm_expression(struct mm_buf *b, const struct mm_view *v, int k, int i, struct mm_rng *r);

#endif
