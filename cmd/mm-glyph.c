/* mm-glyph: the colour pictures that a font has for characters, as records: tensors u8
 * [height, width, 4] of kind image, named by the character's number.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cmd.h"
#include "stream/cmdio.h"
#include "synth/font.h"

static const char usage[] = "mm-glyph [-qv] [--keep-going] font U+XXXX ...";
static const char help[] =
    "Makes records of the colour pictures in a font, such as those of emoji.\n"
    "      --keep-going   leave out characters that have none (status 65 at the end)\n";

static const struct option longopts[] = {
    MM_COMMON_LONG,
    MM_KEEP_GOING_LONG,
    { NULL, 0, NULL, 0 },
};

static uint32_t parse_char(struct mm_cmd *cmd, const char *arg)
{
    char *end;
    const unsigned long v = strncmp(arg, "U+", 2) == 0 ? strtoul(arg + 2, &end, 16) : 0;

    if (v == 0 || *end != '\0' || v > 0x10FFFF)
        mm_cmd_usage(cmd, "'%s': want a character as U+XXXX", arg);
    return (uint32_t)v;
}

static int put(struct mm_writer *w, const struct mm_image *im, uint32_t ch, int item,
               struct mm_err *e)
{
    struct mm_rec rec;
    int rc;

    mm_rec_init(&rec, MM_REC_TENSOR);
    rec.t = (struct mm_tensor){ .dtype = MM_U8, .ndim = 3, .data = im->px,
                                .shape = { im->h, im->w, 4 } };
    rec.data = im->px;
    rc = mm_rec_setf(&rec, "item", "%d", item);
    if (rc == 0)
        rc = mm_rec_set(&rec, "modality", "image");
    if (rc == 0)
        rc = mm_rec_set(&rec, "kind", "image");
    if (rc == 0)
        rc = mm_rec_setf(&rec, "name", "%04" PRIX32, ch);
    rc = rc == 0 ? mm_writer_put(w, &rec, e) : mm_err_set(e, rc, "out of memory");
    mm_rec_free(&rec);
    return rc;
}

/* The pictures; returns how many characters had none. */
static int put_all(struct mm_writer *w, struct mm_strikes *s, struct mm_cmd *cmd, char **args, int n,
                   bool keep_going)
{
    int missing = 0, rc = 0;

    for (int i = 0; rc == 0 && i < n; i++) {
        struct mm_image im = { 0 };
        struct mm_err e = { 0 };

        rc = mm_strikes_get(&im, s, parse_char(cmd, args[i]), &e);
        if (rc == MM_ENOKEY && keep_going) {
            mm_cmd_warn(cmd, "%s", e.msg);
            missing++;
            rc = 0;
        } else if (rc < 0) {
            mm_err_set(&cmd->err, rc, "%s", e.msg);
        } else {
            rc = put(w, &im, parse_char(cmd, args[i]), i, &cmd->err);
        }
        mm_image_free(&im);
    }
    return rc < 0 ? rc : missing;
}

int main(int argc, char **argv)
{
    struct mm_strikes *s = NULL;
    struct mm_writer *w = NULL;
    struct mm_cmd cmd;
    bool keep_going = false;
    int c, rc;

    mm_cmd_init(&cmd, argv[0], usage, help);
    while ((c = getopt_long(argc, argv, MM_COMMON_OPTS, longopts, NULL)) != -1)
        if (c == MM_OPT_KEEP_GOING)
            keep_going = true;
        else
            mm_cmd_common(&cmd, c, optarg);
    if (argc - optind < 2)
        mm_cmd_usage(&cmd, "want a font and characters");
    for (int i = optind + 1; i < argc; i++)
        parse_char(&cmd, argv[i]);
    rc = mm_strikes_open(&s, argv[optind], &cmd.err);
    if (rc == 0)
        rc = mm_output_open(&w, &cmd.err);
    if (rc == 0)
        rc = put_all(w, s, &cmd, argv + optind + 1, argc - optind - 1, keep_going);
    if (rc >= 0 && mm_writer_end(w, &cmd.err) == 0 && rc > 0)
        mm_err_set(&cmd.err, MM_EDATA, "%d of %d characters have no picture", rc, argc - optind - 1);
    mm_writer_close(w);
    mm_strikes_close(s);
    return mm_cmd_finish(&cmd);
}
