/* doc.h: an item as JSON, in the layouts of formats/scene.md and of other tools. */
#ifndef MM_SYNTH_DOC_H
#define MM_SYNTH_DOC_H

#include "synth/synth.h"

/* All append to b; its `failed` tells of lack of memory. */

/* mm_doc_scene: the description of formats/scene.md, one object on one line. */
void mm_doc_scene(struct mm_buf *b, const struct mm_synth_item *it, const struct mm_synth_opts *o);

/* mm_doc_llava: an element of LLaVA's training file: id, image, conversations; nothing where
 * nothing is said. */
void mm_doc_llava(struct mm_buf *b, const struct mm_synth_item *it);

/* COCO: numbers of picture and object (annotation): index, 8 * index + k + 1.  Elements
 * are separated by commas; an item's elements come without one before and after. */
void mm_doc_coco_image(struct mm_buf *b, const struct mm_synth_item *it, int size);
void mm_doc_coco_instances(struct mm_buf *b, const struct mm_synth_item *it, const struct mm_synth_opts *o);
void mm_doc_coco_captions(struct mm_buf *b, const struct mm_synth_item *it, const struct mm_synth_opts *o);
/* Members of the document: "categories":[...] and "info":{...},"licenses":[]. */
void mm_doc_coco_categories(struct mm_buf *b, const struct mm_synth_opts *o);
void mm_doc_coco_info(struct mm_buf *b, const struct mm_synth_opts *o);

/* mm_doc_refs: an element for each object that has referring expressions, laid out as
 * the refs of the refer data sets. */
void mm_doc_refs(struct mm_buf *b, const struct mm_synth_item *it, const struct mm_synth_opts *o);

/* mm_doc_regions: an element laid out as Visual Genome's region_descriptions.json: regions
 * with boxes in pixels, one for each thing that is said of an object (noun, colour, size,
 * place; of words what is printed, colour, and each letter).  Those of which nothing is seen
 * give none.  Region k of an item has the number 64 * index + k.  Needs o->labels. */
void mm_doc_regions(struct mm_buf *b, const struct mm_synth_item *it,
                    const struct mm_synth_opts *o);

/* mm_doc_vqa: a line for each question: what is asked, and (in answers) what is right.
 * Question i of an item has the number 64 * index + i. */
void mm_doc_vqa(struct mm_buf *ask, struct mm_buf *answers, const struct mm_synth_item *it);

/* mm_doc_text: caption, description and questions as lines, an empty one after them. */
void mm_doc_text(struct mm_buf *b, const struct mm_synth_item *it, const struct mm_synth_opts *o);

#endif
