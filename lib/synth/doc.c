/* doc.c: items as JSON and as text. */
#include "synth/doc.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "synth/sound.h"
#include "synth/sprite.h"

enum { EXPRESSIONS = 3, REFER = 80 /* purpose of random numbers */ };

/* Categories: shapes, the printed word, then the nouns. */
enum { CATEGORY_WORD = MM_NSHAPES + 1, CATEGORY_NOUN = 100 };

static void quote(struct mm_buf *b, const char *s)
{
    mm_json_quote(b, s, strlen(s));
}

static const char *in_talk(const struct mm_synth_item *it, size_t at)
{
    return it->talk.p + at;
}

static void conversations(struct mm_buf *b, const struct mm_synth_item *it)
{
    mm_buf_char(b, '[');
    for (int i = 0; i < it->nsaid; i++) {
        struct mm_buf ask = { 0 };

        if (i == 0)
            mm_buf_printf(&ask, "<%s>\n", mm_synth_medium(it->s.tier));
        mm_buf_str(&ask, in_talk(it, it->said[i].ask));
        mm_buf_printf(b, "%s{\"from\":\"human\",\"value\":", i > 0 ? "," : "");
        mm_json_quote(b, ask.p, ask.n);
        mm_buf_str(b, "},{\"from\":\"gpt\",\"value\":");
        quote(b, in_talk(it, it->said[i].answer));
        mm_buf_char(b, '}');
        b->failed |= ask.failed;
        mm_buf_free(&ask);
    }
    mm_buf_char(b, ']');
}

/* Expressions that mean object k alone, each once, into zeroed said; returns how many. */
static int expressions(struct mm_buf said[EXPRESSIONS], const struct mm_synth_item *it,
                       const struct mm_view *v, int k)
{
    struct mm_rng r;
    int n = 0;

    mm_rng_of(&r, it->s.paint, (uint64_t)k, REFER);
    for (int i = 0; i < EXPRESSIONS; i++) {
        bool again = !mm_expression(&said[n], v, k, i, &r);

        for (int j = 0; j < n && !again; j++)
            again = said[j].n == said[n].n && memcmp(said[j].p, said[n].p, said[n].n) == 0;
        if (again)
            mm_buf_reset(&said[n]);
        else
            n++;
    }
    return n;
}

/* Appends them as JSON strings. */
static void list_expressions(struct mm_buf *b, const struct mm_synth_item *it,
                             const struct mm_view *v, int k)
{
    struct mm_buf said[EXPRESSIONS] = { { 0 } };
    const int n = expressions(said, it, v, k);

    for (int i = 0; i < n; i++) {
        mm_buf_str(b, i > 0 ? "," : "");
        mm_json_quote(b, said[i].p, said[i].n);
    }
    for (int i = 0; i < EXPRESSIONS; i++) {
        b->failed |= said[i].failed;
        mm_buf_free(&said[i]);
    }
}

/* A sound of a sequence: when it begins in seconds. */
static void sound(struct mm_buf *b, const struct mm_synth_item *it, int k,
                  const struct mm_sprites *sprites)
{
    const struct mm_object *p = &it->s.obj[k];

    mm_buf_str(b, "{\"noun\":");
    quote(b, mm_scene_noun(&it->s, k, sprites));
    if (mm_tier_is_sequence(it->s.tier))
        mm_buf_printf(b, ",\"pitch\":\"%s\"", mm_pitch_name(p->size));
    if (p->colour >= 0 && it->s.tier == MM_SOUNDS)
        mm_buf_printf(b, ",\"glide\":\"%s\"", mm_glide_name(p->colour));
    if (it->s.tier == MM_NOTES)
        mm_buf_printf(b, ",\"voicing\":\"%s\",\"side\":\"%s\"", mm_voicing_name(p->colour > 0),
                      mm_col_name(p->col));
    mm_buf_printf(b, ",\"start\":%.3f}", (double)p->y * MM_SOUND_SAMPLES / MM_SOUND_RATE);
}

static void object(struct mm_buf *b, const struct mm_synth_item *it, const struct mm_view *v, int k,
                   const struct mm_synth_opts *o)
{
    const struct mm_object *p = &it->s.obj[k];
    const double side = o->size;

    mm_buf_str(b, "{\"noun\":");
    quote(b, mm_scene_noun(&it->s, k, v->sprites));
    if (p->colour >= 0)
        mm_buf_printf(b, ",\"color\":\"%s\"", mm_colour_name(p->colour));
    if (it->s.tier != MM_WORDS)
        mm_buf_printf(b, ",\"size\":\"%s\"", mm_size_name(p->size));
    if (it->s.tier == MM_THINGS) {
        mm_buf_str(b, ",\"artist\":");
        quote(b, mm_sprites_artist(v->sprites, p->look));
    }
    if (it->s.tier == MM_CLIPS)
        mm_buf_printf(b, ",\"motion\":\"%s\"", mm_motion_name(p->motion));
    mm_buf_printf(b, ",\"place\":\"%s\",\"center\":[%.1f,%.1f],\"angle\":%.0f,\"seen\":%.3f",
                  mm_cell_name(p->col, p->row), (double)p->x * side, (double)p->y * side,
                  (double)p->angle * 57.29578, (double)p->seen);
    if (o->labels)
        mm_buf_printf(b, ",\"box\":[%d,%d,%d,%d],\"area\":%d", it->ext[k].x, it->ext[k].y,
                      it->ext[k].w, it->ext[k].h, it->ext[k].area);
    if (it->s.tier != MM_WORDS) {
        mm_buf_str(b, ",\"expressions\":[");
        list_expressions(b, it, v, k);
        mm_buf_char(b, ']');
    }
    mm_buf_char(b, '}');
}

static void questions(struct mm_buf *b, const struct mm_synth_item *it)
{
    for (size_t i = 0; i < it->q.n; i++) {
        const struct mm_question *q = &it->q.v[i];

        mm_buf_printf(b, "%s{\"type\":\"%s\",\"form\":%d,\"wording\":%d,\"question\":",
                      i > 0 ? "," : "", mm_qtype_name(q->type), q->form, q->wording);
        quote(b, q->text);
        mm_buf_str(b, ",\"answer\":");
        quote(b, q->answer);
        mm_buf_char(b, '}');
    }
}

static void captions(struct mm_buf *b, const struct mm_view *v)
{
    struct mm_buf text = { 0 };

    for (int i = 0; i < MM_NCAPTIONS; i++) {
        mm_buf_reset(&text);
        mm_caption(&text, v, i);
        b->failed |= text.failed;
        mm_buf_str(b, i > 0 ? "," : "");
        mm_json_quote(b, text.p, text.n);
    }
    mm_buf_free(&text);
}

void mm_doc_scene(struct mm_buf *b, const struct mm_synth_item *it, const struct mm_synth_opts *o)
{
    const struct mm_view v = mm_synth_view(it, o);

    mm_buf_printf(b, "{\"id\":\"%s\",\"tier\":\"%s\",\"split\":\"%s\",\"seed\":%" PRIu64
                  ",\"index\":%" PRIu64 ",\"held\":%s,",
                  it->id, mm_tier_name(it->s.tier), mm_split_name(it->s.split), it->s.seed,
                  it->s.index, it->s.held ? "true" : "false");
    if (o->scene.held == MM_HELD_ARTIST)
        mm_buf_str(b, "\"held_artist\":true,");
    if (it->s.tier == MM_CRIES)
        mm_buf_printf(b, "\"speed\":%.2f,", (double)it->s.obj[0].r);
    else if (mm_tier_is_sequence(it->s.tier))
        mm_buf_printf(b, "\"rhythm\":\"%s\",", it->s.fast ? "fast" : "slow");
    else
        mm_buf_printf(b, "\"width\":%d,\"height\":%d,\"background\":\"%s\",", o->size, o->size,
                      mm_ground_name(it->finish.ground));
    mm_buf_str(b, "\"objects\":[");
    for (int k = 0; k < it->s.n; k++) {
        mm_buf_str(b, k > 0 ? "," : "");
        if (mm_tier_is_heard(it->s.tier))
            sound(b, it, k, v.sprites);
        else
            object(b, it, &v, k, o);
    }
    mm_buf_str(b, "],\"captions\":[");
    captions(b, &v);
    mm_buf_str(b, "],\"description\":");
    mm_json_quote(b, it->description.p, it->description.n);
    mm_buf_str(b, ",\"questions\":[");
    questions(b, it);
    mm_buf_str(b, "],\"conversations\":");
    conversations(b, it);
    mm_buf_char(b, '}');
}

/* "image":"images/ID.png", or what else it is. */
static void file_member(struct mm_buf *b, const struct mm_synth_item *it)
{
    const char *folder = mm_tier_is_heard(it->s.tier) ? "sounds"
                         : it->s.tier == MM_CLIPS     ? "videos"
                                                      : "images";

    mm_buf_printf(b, "\"%s\":\"%s/%s.%s\"", mm_synth_medium(it->s.tier), folder, it->id,
                  mm_synth_suffix(it->s.tier));
}

void mm_doc_vqa(struct mm_buf *ask, struct mm_buf *answers, const struct mm_synth_item *it)
{
    for (size_t i = 0; i < it->q.n && i < 64; i++) {
        const struct mm_question *q = &it->q.v[i];
        const uint64_t id = 64 * it->s.index + i;

        mm_buf_printf(ask, "%s{\"question_id\":%" PRIu64 ",", i > 0 ? "\n" : "", id);
        file_member(ask, it);
        mm_buf_str(ask, ",\"text\":");
        quote(ask, q->text);
        mm_buf_printf(ask, ",\"category\":\"%s\"}", mm_qtype_name(q->type));
        mm_buf_printf(answers, "%s{\"question_id\":%" PRIu64 ",\"answer\":", i > 0 ? "\n" : "", id);
        quote(answers, q->answer);
        mm_buf_printf(answers, ",\"question_type\":\"%s\",\"form\":%d,\"wording\":%d,\"held\":%s}",
                      mm_qtype_name(q->type), q->form, q->wording, it->s.held ? "true" : "false");
    }
}

void mm_doc_llava(struct mm_buf *b, const struct mm_synth_item *it)
{
    if (it->nsaid == 0)
        return;
    mm_buf_printf(b, "{\"id\":\"%s\",", it->id);
    file_member(b, it);
    mm_buf_str(b, ",\"conversations\":");
    conversations(b, it);
    mm_buf_char(b, '}');
}

void mm_doc_coco_image(struct mm_buf *b, const struct mm_synth_item *it, int size)
{
    mm_buf_printf(b, "{\"id\":%" PRIu64 ",\"file_name\":\"images/%s.png\",\"width\":%d,\"height\":%d}",
                  it->s.index, it->id, size, size);
}

static int category(const struct mm_scene *s, int k)
{
    return s->tier == MM_THINGS  ? CATEGORY_NOUN + s->obj[k].what
           : s->tier == MM_WORDS ? CATEGORY_WORD
                                 : 1 + s->obj[k].what;
}

/* Lengths of runs of 0 and 1 in turn, column after column. */
static void run_lengths(struct mm_buf *b, const struct mm_synth_item *it, int k, int size)
{
    int run = 0, value = 0;

    mm_buf_str(b, "{\"counts\":[");
    for (int i = 0; i < size * size; i++) {
        const int is = it->labels[i % size * size + i / size] == k + 1;

        if (is != value) {
            mm_buf_printf(b, "%d,", run);
            value = is;
            run = 0;
        }
        run++;
    }
    mm_buf_printf(b, "%d],\"size\":[%d,%d]}", run, size, size);
}

/* A polygon where that says all: a shape without a hole, of which nothing is hidden. */
static void segmentation(struct mm_buf *b, const struct mm_synth_item *it, int k, int size)
{
    const struct mm_object *o = &it->s.obj[k];
    const float side = (float)size;
    const struct mm_pose pose = { o->x * side, o->y * side, o->r * side, o->angle };
    struct mm_outline line;

    if (it->s.tier != MM_SHAPES || o->what == MM_RING || o->seen < 0.9995f) {
        run_lengths(b, it, k, size);
        return;
    }
    mm_outline_shape(&line, o->what, &pose);
    mm_buf_str(b, "[[");
    for (int i = 0; i < line.n; i++)
        mm_buf_printf(b, "%s%.2f,%.2f", i > 0 ? "," : "", (double)line.xy[i][0],
                      (double)line.xy[i][1]);
    mm_buf_str(b, "]]");
}

void mm_doc_coco_instances(struct mm_buf *b, const struct mm_synth_item *it, const struct mm_synth_opts *o)
{
    bool first = true;

    for (int k = 0; k < it->s.n; k++) {
        const struct mm_extent *x = &it->ext[k];

        if (x->area == 0)
            continue;
        mm_buf_printf(b, "%s{\"id\":%" PRIu64 ",\"image_id\":%" PRIu64 ",\"category_id\":%d,"
                      "\"bbox\":[%d,%d,%d,%d],\"area\":%d,\"iscrowd\":0,\"segmentation\":",
                      first ? "" : ",", 8 * it->s.index + (uint64_t)k + 1, it->s.index,
                      category(&it->s, k), x->x, x->y, x->w, x->h, x->area);
        segmentation(b, it, k, o->size);
        mm_buf_char(b, '}');
        first = false;
    }
}

void mm_doc_coco_captions(struct mm_buf *b, const struct mm_synth_item *it, const struct mm_synth_opts *o)
{
    const struct mm_view v = mm_synth_view(it, o);
    struct mm_buf text = { 0 };

    for (int i = 0; i < 5; i++) {
        mm_buf_reset(&text);
        mm_caption(&text, &v, i);
        b->failed |= text.failed;
        mm_buf_printf(b, "%s{\"id\":%" PRIu64 ",\"image_id\":%" PRIu64 ",\"caption\":",
                      i > 0 ? "," : "", 8 * it->s.index + (uint64_t)i + 1, it->s.index);
        mm_json_quote(b, text.p, text.n);
        mm_buf_char(b, '}');
    }
    mm_buf_free(&text);
}

/* What pycocotools wants of every file beside annotations and images. */
void mm_doc_coco_info(struct mm_buf *b, const struct mm_synth_opts *o)
{
    mm_buf_printf(b, "\"info\":{\"description\":\"mm-synth, seed %" PRIu64 ", %s\"},\"licenses\":[]",
                  o->scene.seed, mm_split_name(o->scene.split));
}

static void one_category(struct mm_buf *b, int id, const char *name, const char *super)
{
    mm_buf_printf(b, "%s{\"id\":%d,\"name\":", b->n > 0 ? "," : "", id);
    quote(b, name);
    mm_buf_printf(b, ",\"supercategory\":\"%s\"}", super);
}

void mm_doc_coco_categories(struct mm_buf *b, const struct mm_synth_opts *o)
{
    struct mm_buf list = { 0 };

    for (int i = 0; i < MM_NSHAPES && (o->scene.tiers & 1 << MM_SHAPES); i++)
        one_category(&list, 1 + i, mm_shape_name(i), "shape");
    if (o->scene.tiers & 1 << MM_WORDS)
        one_category(&list, CATEGORY_WORD, "word", "word");
    for (int i = 0; o->scene.tiers & 1 << MM_THINGS && i < mm_sprites_count(o->sprites); i++)
        one_category(&list, CATEGORY_NOUN + i, mm_sprites_noun(o->sprites, i), "thing");
    mm_buf_str(b, "\"categories\":[");
    mm_buf_add(b, list.p, list.n);
    mm_buf_char(b, ']');
    b->failed |= list.failed;
    mm_buf_free(&list);
}

/* "the red star" -> "the","red","star". */
static void tokens(struct mm_buf *b, const struct mm_buf *said)
{
    for (size_t i = 0; i < said->n;) {
        const size_t n = strcspn(said->p + i, " ");

        mm_buf_str(b, i > 0 ? "," : "");
        mm_json_quote(b, said->p + i, n);
        i += n + 1;
    }
}

static void sentence(struct mm_buf *b, const struct mm_buf *said, uint64_t id)
{
    mm_buf_printf(b, "{\"sent_id\":%" PRIu64 ",\"sent\":", id);
    mm_json_quote(b, said->p, said->n);
    mm_buf_str(b, ",\"raw\":");
    mm_json_quote(b, said->p, said->n);
    mm_buf_str(b, ",\"tokens\":[");
    tokens(b, said);
    mm_buf_str(b, "]}");
}

static void ref(struct mm_buf *b, const struct mm_synth_item *it, int k, const struct mm_buf *said,
                int n)
{
    const uint64_t id = 8 * it->s.index + (uint64_t)k + 1;

    mm_buf_printf(b, "{\"ref_id\":%" PRIu64 ",\"ann_id\":%" PRIu64 ",\"image_id\":%" PRIu64
                  ",\"category_id\":%d,\"file_name\":\"images/%s.png\",\"split\":\"%s\",\"sent_ids\":[",
                  id, id, it->s.index, category(&it->s, k), it->id, mm_split_name(it->s.split));
    for (int i = 0; i < n; i++)
        mm_buf_printf(b, "%s%" PRIu64, i > 0 ? "," : "", 4 * id + (uint64_t)i);
    mm_buf_str(b, "],\"sentences\":[");
    for (int i = 0; i < n; i++) {
        mm_buf_str(b, i > 0 ? "," : "");
        sentence(b, &said[i], 4 * id + (uint64_t)i);
    }
    mm_buf_str(b, "]}");
}

void mm_doc_refs(struct mm_buf *b, const struct mm_synth_item *it, const struct mm_synth_opts *o)
{
    const struct mm_view v = mm_synth_view(it, o);
    bool first = true;

    for (int k = 0; k < it->s.n && it->s.tier != MM_WORDS; k++) {
        struct mm_buf said[EXPRESSIONS] = { { 0 } };
        const int n = it->ext[k].area > 0 ? expressions(said, it, &v, k) : 0;

        if (n > 0) {
            mm_buf_str(b, first ? "" : ",");
            ref(b, it, k, said, n);
            first = false;
        }
        for (int i = 0; i < EXPRESSIONS; i++) {
            b->failed |= said[i].failed;
            mm_buf_free(&said[i]);
        }
    }
}

/* The element that regions are appended to, and how many it has. */
struct regions {
    struct mm_buf *b;
    uint64_t index;
    int n;
};

static void region(struct regions *r, const struct mm_extent *x, const char *phrase)
{
    mm_buf_printf(r->b, "%s{\"region_id\":%" PRIu64 ",\"image_id\":%" PRIu64
                  ",\"x\":%d,\"y\":%d,\"width\":%d,\"height\":%d,\"phrase\":",
                  r->n > 0 ? "," : "", 64 * r->index + (uint64_t)r->n, r->index, x->x, x->y, x->w,
                  x->h);
    quote(r->b, phrase);
    mm_buf_char(r->b, '}');
    r->n++;
}

/* The pixels that a box of floats touches in a picture; w = 0: none. */
static struct mm_extent pixels(const float box[4], int size)
{
    const float x0 = fmaxf(box[0], 0), y0 = fmaxf(box[1], 0);
    const float x1 = fminf(box[2], (float)size), y1 = fminf(box[3], (float)size);
    struct mm_extent e = { 0 };

    if (!(x0 < x1 && y0 < y1))
        return e;
    e.x = (int)floorf(x0);
    e.y = (int)floorf(y0);
    e.w = (int)ceilf(x1) - e.x;
    e.h = (int)ceilf(y1) - e.y;
    return e;
}

static void letters(struct regions *r, const struct mm_synth_item *it, int k,
                    const struct mm_synth_opts *o)
{
    const struct mm_object *p = &it->s.obj[k];
    const float side = (float)o->size;
    const struct mm_pose pose = { p->x * side, p->y * side, p->r * side, p->angle };
    float box[MM_WORD_LEN][4];

    mm_fonts_boxes(box, o->fonts, it->s.word, p->look, &pose);
    for (int i = 0; it->s.word[i] != '\0'; i++) {
        const struct mm_extent x = pixels(box[i], o->size);
        char phrase[] = "letter ?";

        phrase[sizeof(phrase) - 2] = it->s.word[i];
        if (x.w > 0)
            region(r, &x, phrase);
    }
}

void mm_doc_regions(struct mm_buf *b, const struct mm_synth_item *it,
                    const struct mm_synth_opts *o)
{
    struct regions r = { .b = b, .index = it->s.index };

    mm_buf_printf(b, "{\"id\":%" PRIu64 ",", it->s.index);
    file_member(b, it);
    mm_buf_str(b, ",\"regions\":[");
    for (int k = 0; k < it->s.n; k++) {
        const struct mm_object *p = &it->s.obj[k];
        const struct mm_extent *x = &it->ext[k];

        if (x->w == 0)
            continue;
        region(&r, x, mm_scene_noun(&it->s, k, o->sprites));
        if (p->colour >= 0)
            region(&r, x, mm_colour_name(p->colour));
        if (it->s.tier == MM_WORDS) {
            letters(&r, it, k, o);
            continue;
        }
        region(&r, x, mm_size_name(p->size));
        region(&r, x, mm_cell_name(p->col, p->row));
    }
    mm_buf_str(b, "]}");
}

void mm_doc_text(struct mm_buf *b, const struct mm_synth_item *it, const struct mm_synth_opts *o)
{
    const struct mm_view v = mm_synth_view(it, o);
    struct mm_rng r;

    mm_rng_of(&r, it->s.paint, it->s.index, REFER);
    mm_caption(b, &v, (int)mm_rng_below(&r, MM_NCAPTIONS));
    mm_buf_printf(b, "\n%s\n", it->description.p);
    for (int i = 0; i < it->nsaid; i++)
        if (it->said[i].turn == MM_TURN_QA || it->said[i].turn == MM_TURN_REASON)
            mm_buf_printf(b, "%s %s\n", in_talk(it, it->said[i].ask), in_talk(it, it->said[i].answer));
    mm_buf_char(b, '\n');
}
