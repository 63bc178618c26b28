/* said.h: which objects a caption of the synthetic world names.
 *
 * Order and wording are free.  An object begins at its article ("a", "an", "the");
 * its size and colour are words of the closed lists of synth/world.h ("big", "little"
 * count as large, small), its place is what follows "at", "in" or "on the"; the other words
 * are its name, but for those that only join ("and", "which is", "it is").  What stands before
 * the first article, and "a picture of", is left out.
 */
#ifndef MM_EVAL_SAID_H
#define MM_EVAL_SAID_H

#include <stdbool.h>
#include <stddef.h>

/* Which members are said, compared, or known. */
enum { MM_SAID_SIZE = 1, MM_SAID_COLOUR = 2, MM_SAID_PLACE = 4, MM_SAID_NAME = 8 };

/* Members are "" where the caption does not say them; name is "" too where it says two
 * sizes, colours or places of one object, so that it is like no other. */
struct mm_said {
    char name[64];        /* cut at that length */
    const char *size;     /* static: "small", "large" */
    const char *colour;   /* static: "red" ... */
    const char *place;    /* static: "top left" ... */
};

enum { MM_SAID_MAX = 32 };

/* mm_eval_said: the objects of text in its order, at most MM_SAID_MAX; coloured: are
 * names of colours colours there?  Of things they belong to the name.  Returns how many
 * objects text names, which may be more than v holds. */
size_t mm_eval_said(struct mm_said v[MM_SAID_MAX], const char *text, bool coloured);

/* mm_said_same: are both equal in the members of `what`, and has each a name? */
bool mm_said_same(const struct mm_said *a, const struct mm_said *b, int what);

#endif
