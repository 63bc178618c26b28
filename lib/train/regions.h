/* regions.h: pictures, boxes in them and phrases that are true of what is in a box.
 *
 * From Visual Genome's region_descriptions.json (an array, or lines):
 *
 *   {"id": 7, "regions": [{"x": 4, "y": 2, "width": 9, "height": 9, "phrase": "red"}, ...]}
 *
 * Boxes are in pixels of the picture's file, which is ID.jpg or what a member "image" says.
 * A box that is listed again with another phrase is the same box.
 */
#ifndef MM_TRAIN_REGIONS_H
#define MM_TRAIN_REGIONS_H

#include "train/texts.h"

struct mm_regions;

struct mm_region {
    float x, y, w, h; /* w, h > 0 */
    int32_t box;      /* number of the box among the picture's, from 0 */
    int32_t phrase;   /* see mm_regions_texts */
};

/* mm_regions_open: t (tok, context, vocab; borrowed members) says how phrases are read; it is
 * emptied.  Pictures without regions are left out.  MM_ENOENT, MM_EDATA. */
MM_MUST_CHECK int mm_regions_open(struct mm_regions **r, char *const *path, int n,
                                  const struct mm_texts *t, struct mm_err *e);
void mm_regions_free(struct mm_regions *r); /* takes NULL */

size_t mm_regions_count(const struct mm_regions *r); /* pictures */
uint64_t mm_regions_hash(const struct mm_regions *r); /* of the files */
const char *mm_regions_image(const struct mm_regions *r, size_t i);

/* mm_regions_of: the n regions of picture i, those of a box one after another. */
const struct mm_region *mm_regions_of(const struct mm_regions *r, size_t i, size_t *n);

/* mm_regions_texts: every phrase once. */
const struct mm_texts *mm_regions_texts(const struct mm_regions *r);

#endif
