/* mm-lora: merge a low-rank adapter into a model's weights, or take it out again.
 *
 *   W' = W + s B A (merge), W = W' - s B A (unmerge)
 */
#include <stdlib.h>
#include <string.h>

#include "base/cmd.h"
#include "train/export.h"
#include "weights/adapt.h"

static const char usage[] = "mm-lora [-qv] -m model --lora dir -o dir [--dtype type] merge|unmerge";
static const char help[] =
    "  merge | unmerge     add the adapter to the weights, or subtract it\n"
    "  -m, --model M       model in Hugging Face layout\n"
    "      --lora DIR      adapter in peft layout\n"
    "  -o, --out DIR       the model written\n"
    "      --dtype T       f32, f16, bf16 (as it was)\n";

enum { OPT_LORA = MM_OPT_FIRST, OPT_DTYPE };

static const struct option longopts[] = {
    MM_COMMON_LONG,
    { "model", required_argument, NULL, 'm' },
    { "lora", required_argument, NULL, OPT_LORA },
    { "out", required_argument, NULL, 'o' },
    { "dtype", required_argument, NULL, OPT_DTYPE },
    { NULL, 0, NULL, 0 }
};

struct opts {
    const char *model, *lora, *out;
    enum mm_dtype dtype;
    bool unmerge;
};

static int run(const struct opts *o, struct mm_cmd *cmd)
{
    /* rounded once, when it is written */
    struct mm_pool *pool = mm_pool_new(cmd->threads);
    struct mm_err *e = &cmd->err;
    struct mm_ckpt *ck = NULL;
    char *path = NULL, *lora = NULL;
    int rc = pool ? 0 : mm_err_set(e, MM_ENOMEM, "cannot start %d threads", cmd->threads);

    if (rc == 0 && (rc = mm_ckpt_find(&path, o->model, e)) == 0 &&
        (rc = mm_ckpt_find(&lora, o->lora, e)) == 0)
        rc = mm_ckpt_open(&ck, path, e);
    if (rc == 0 && mm_ckpt_is_gguf(ck))
        rc = mm_err_set(e, MM_EMISSING, "%s: a GGUF: mm-quantize --lora merges into one", path);
    const enum mm_adapt_store store = o->dtype == MM_F32 ? MM_ADAPT_F32 : MM_ADAPT_STORED;
    if (rc == 0)
        rc = o->unmerge ? mm_adapt_unmerge(ck, lora, store, pool, e)
                        : mm_adapt_lora(ck, lora, store, pool, e);
    if (rc == 0)
        rc = mm_export_model(o->out, ck, NULL, o->dtype, NULL, e);
    mm_ckpt_close(ck);
    free(path);
    free(lora);
    mm_pool_free(pool);
    return rc;
}

int main(int argc, char **argv)
{
    static const char *const words[] = { "merge", "unmerge", NULL };
    static const char *const dtypes[] = { "f32", "f16", "bf16", NULL };
    struct opts o = { .dtype = MM_NDTYPE };
    struct mm_cmd cmd;
    int c;

    mm_cmd_init(&cmd, argv[0], usage, help);
    while ((c = getopt_long(argc, argv, "m:o:" MM_COMMON_OPTS, longopts, NULL)) != -1)
        switch (c) {
        case 'm': o.model = optarg; break;
        case 'o': o.out = optarg; break;
        case OPT_LORA: o.lora = optarg; break;
        case OPT_DTYPE:
            o.dtype = mm_dtype_parse(dtypes[mm_opt_word(&cmd, "--dtype", optarg, dtypes)]);
            break;
        default: mm_cmd_common(&cmd, c, optarg);
        }
    if (argc - optind != 1)
        mm_cmd_usage(&cmd, "one of merge and unmerge is wanted");
    o.unmerge = mm_opt_word(&cmd, "operand", argv[optind], words) == 1;
    if (!o.model || !o.lora || !o.out)
        mm_cmd_usage(&cmd, "model, adapter and directory of the result are wanted");
    (void)run(&o, &cmd); /* the error is in cmd */
    return mm_cmd_finish(&cmd);
}
