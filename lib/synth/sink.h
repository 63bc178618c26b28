/* sink.h: where items go, a format each.
 *
 *   records     mmts: per item the picture (tensor u8 [h, w, 3], kind image; clips
 *               [frames, h, w, 3]; sounds f32 [1, n], notes [2, n], kind samples), its caption (text),
 *               its description (json, kind scene; formats/scene.md), with masks its
 *               label map (u8 [h, w], kind mask)
 *   llava       DIR/llava.json, DIR/images/ID.png
 *   coco        DIR/instances.json, DIR/captions.json, DIR/images/ID.png
 *   refcoco     DIR/refs.json, DIR/instances.json, DIR/images/ID.png
 *   regions     DIR/region_descriptions.json, DIR/images/ID.png
 *   webdataset  a tar of ID.png, ID.txt, ID.json
 *   vqa         DIR/questions.jsonl (question_id, image, text, category), DIR/answers.jsonl
 *               (question_id, answer, question_type, wording, held), DIR/scenes.jsonl,
 *               DIR/images/ID.png
 *   text        plain text: caption, description, questions with answers
 */
#ifndef MM_SYNTH_SINK_H
#define MM_SYNTH_SINK_H

#include "synth/synth.h"

enum mm_sink_format {
    MM_TO_RECORDS, MM_TO_LLAVA, MM_TO_COCO, MM_TO_REFCOCO, MM_TO_REGIONS, MM_TO_VQA,
    MM_TO_WEBDATASET, MM_TO_TEXT, MM_NSINKS
};

bool mm_sink_is_folder(enum mm_sink_format format);

/* mm_sink_needs: set what the format needs of each item: picture, labels, file. */
void mm_sink_needs(enum mm_sink_format format, struct mm_synth_opts *o);

/* mm_sink_doc: it->doc (and aside) for the format; called by the worker that made it.
 * MM_ENOMEM. */
MM_MUST_CHECK int mm_sink_doc(struct mm_synth_item *it, enum mm_sink_format format,
                              const struct mm_synth_opts *o, struct mm_err *e);

struct mm_sink;

/* mm_sink_open: path: a folder, made if it is not there, old files that list pictures are
 * removed; or a file, "-" standard output; records, webdataset and text in a folder that
 * is there or whose name ends with a slash are DIR/records.mmt, DIR/webdataset.tar,
 * DIR/text.txt. */
MM_MUST_CHECK int mm_sink_open(struct mm_sink **k, enum mm_sink_format format, const char *path,
                               const struct mm_synth_opts *o, struct mm_err *e);

/* mm_sink_put: items in order.  Pictures are files at once; the files that list them
 * appear with mm_sink_commit.  MM_EIO, MM_ENOMEM. */
MM_MUST_CHECK int mm_sink_put(struct mm_sink *k, const struct mm_synth_item *it, struct mm_err *e);

/* mm_sink_commit: what is left; frees k whatever happens.  mm_sink_abort takes NULL. */
MM_MUST_CHECK int mm_sink_commit(struct mm_sink *k, struct mm_err *e);
void mm_sink_abort(struct mm_sink *k);

#endif
