/* mm-quantize: a checkpoint's weights at another precision, as a GGUF.
 *
 *   safetensors, PyTorch or GGUF -> language model (or tower and projector)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cmd.h"
#include "base/pool.h"
#include "base/progress.h"
#include "base/quant.h"
#include "model/llama_gguf.h"
#include "model/mmproj.h"
#include "text/tokexport.h"
#include "weights/adapt.h"

static const char usage[] =
    "mm-quantize [-qv] [-j n] [-t type] [--pack] -o out.gguf [--mmproj] [--base B] [--lora L]\n"
    "            model";
static const char help[] =
    "  -t, --type T           f32, f16, bf16, q4_0, q4_1, q5_0, q5_1 or q8_0\n"
    "      --pack             matrices in the order of products: opens at once, in this\n"
    "                         program's family only; without -t the types stay\n"
    "  -o, --output FILE      GGUF to write\n"
    "      --mmproj           vision tower and projector instead of the language model\n"
    "      --vision-tower P   tower that the checkpoint only names\n"
    "      --base B           weights below the adapter or deltas in model\n"
    "      --lora L           adapter to merge first\n";

enum { OPT_MMPROJ = MM_OPT_FIRST, OPT_TOWER, OPT_BASE, OPT_LORA, OPT_PACK };

static const struct option longopts[] = {
    MM_COMMON_LONG,
    { "type", required_argument, NULL, 't' }, { "output", required_argument, NULL, 'o' },
    { "pack", no_argument, NULL, OPT_PACK },
    { "mmproj", no_argument, NULL, OPT_MMPROJ },
    { "vision-tower", required_argument, NULL, OPT_TOWER },
    { "base", required_argument, NULL, OPT_BASE }, { "lora", required_argument, NULL, OPT_LORA },
    { NULL, 0, NULL, 0 }
};

struct opts {
    enum mm_dtype type; /* MM_NDTYPE: as stored */
    const char *output, *model, *tower, *base, *lora;
    bool mmproj, pack;
};

/* What is open while a file is made. */
struct work {
    struct mm_pool *pool;
    struct mm_ckpt *ck;
    struct mm_ggufw *w;
    struct mm_convert *c;
    struct mm_llama_gguf lm;
    struct mm_vision vision;
};

static enum mm_dtype parse_type(struct mm_cmd *cmd, const char *arg)
{
    const enum mm_dtype d = mm_dtype_parse(arg);

    if (d == MM_NDTYPE || !mm_quant_can(d))
        mm_cmd_usage(cmd, "--type: '%s': want f32, f16, bf16, q4_0, q4_1, q5_0, q5_1 or q8_0",
                     arg);
    return d;
}

static void parse(struct mm_cmd *cmd, struct opts *o, int argc, char **argv)
{
    int c;

    *o = (struct opts){ .type = MM_NDTYPE };
    while ((c = getopt_long(argc, argv, "t:o:" MM_COMMON_OPTS, longopts, NULL)) != -1)
        switch (c) {
        case 't':        o->type = parse_type(cmd, optarg); break;
        case 'o':        o->output = optarg; break;
        case OPT_MMPROJ: o->mmproj = true; break;
        case OPT_PACK:   o->pack = true; break;
        case OPT_TOWER:  o->tower = optarg; break;
        case OPT_BASE:   o->base = optarg; break;
        case OPT_LORA:   o->lora = optarg; break;
        default:         mm_cmd_common(cmd, c, optarg);
        }
    if ((o->type == MM_NDTYPE && !o->pack) || !o->output)
        mm_cmd_usage(cmd, "--output and --type or --pack are needed");
    if (argc - optind != 1)
        mm_cmd_usage(cmd, "one model is wanted, %d are given", argc - optind);
    if (o->tower && !o->mmproj)
        mm_cmd_usage(cmd, "--vision-tower is of use with --mmproj only");
    o->model = argv[optind];
}

static int open_model(struct work *k, const struct opts *o, struct mm_err *e)
{
    char *path = NULL, *base = NULL;
    int rc = mm_ckpt_find(&path, o->model, e);

    if (rc == 0 && o->base)
        rc = mm_ckpt_find(&base, o->base, e);
    const struct mm_adapt_spec s = { .path = path, .base = base, .lora = o->lora,
                                     .store = MM_ADAPT_F32, .pool = k->pool };
    if (rc == 0)
        rc = mm_adapt_open(&k->ck, &s, e);
    free(path);
    free(base);
    return rc;
}

/* The last component of a path, as general.name. */
static void model_name(char *buf, size_t n, const char *path)
{
    size_t end = strlen(path);

    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    snprintf(buf, n, "%.*s", (int)(end - begin), path + begin);
}

/* Keys that the new file has values of its own for. */
static bool is_replaced(const char *key)
{
    return strcmp(key, "general.file_type") == 0 ||
           strcmp(key, "general.quantization_version") == 0 ||
           strcmp(key, "general.alignment") == 0 || strcmp(key, MM_GGUF_PANEL_KEY) == 0 ||
           strncmp(key, "split.", 6) == 0;
}

/* Matrices of a GGUF that are no linear layers; an embedding is one if it is tied. */
static enum mm_convert_role role_of(const struct mm_ckpt *ck, const char *name)
{
    if (strstr(name, "position_embd") || strstr(name, "patch_embd"))
        return MM_CONVERT_TABLE;
    if (strcmp(name, "token_embd.weight") == 0 && mm_ckpt_lookup(ck, "output.weight"))
        return MM_CONVERT_LOOKUP;
    return MM_CONVERT_MATRIX;
}

/* From GGUF to GGUF: everything keeps its name. */
static int plan_gguf(struct work *k, struct mm_err *e)
{
    const struct mm_gguf *const g = mm_ckpt_gguf(k->ck);
    int rc = 0;

    for (size_t i = 0; i < mm_gguf_count(g); i++)
        if (!is_replaced(mm_gguf_at(g, i)->key))
            mm_ggufw_kv(k->w, mm_gguf_at(g, i));
    for (size_t i = 0; i < mm_ckpt_count(k->ck) && rc == 0; i++) {
        const struct mm_ckpt_entry *const x = mm_ckpt_at(k->ck, i);
        const struct mm_convert_spec s = { .role = role_of(k->ck, x->name) };
        rc = mm_convert_add(k->c, x->name, &x->t, &s, e);
    }
    mm_ggufw_u32(k->w, "general.file_type", mm_convert_file_type(k->c));
    mm_ggufw_u32(k->w, "general.quantization_version", 2);
    return rc;
}

static int plan_mmproj(struct work *k, const struct opts *o, const char *name, struct mm_err *e)
{
    const struct mm_vision_opts vo = { .tower = o->tower };
    const int rc = mm_vision_open(&k->vision, k->ck, &vo, e);

    return rc < 0 ? rc : mm_mmproj_plan(k->c, k->w, &k->vision, k->ck, name, e);
}

static int plan_language(struct work *k, const struct mm_cmd *cmd, const char *name,
                         struct mm_err *e)
{
    int rc = mm_llama_gguf_plan(&k->lm, k->c, k->w, k->ck, name, e);

    if (rc < 0)
        return rc;
    const struct mm_tokexport_spec s = { .rows = k->lm.vocab, .bos = k->lm.bos,
                                         .eos = k->lm.eos };
    rc = mm_tokexport_gguf(k->w, mm_ckpt_dir(k->ck), &s, e);
    if (rc == MM_ENOENT) {
        mm_cmd_warn(cmd, "%s; the file will take and give token ids only", e->msg);
        mm_err_clear(e);
        rc = 0;
        if (k->lm.bos >= 0)
            mm_ggufw_u32(k->w, "tokenizer.ggml.bos_token_id", (uint32_t)k->lm.bos);
        if (k->lm.eos >= 0)
            mm_ggufw_u32(k->w, "tokenizer.ggml.eos_token_id", (uint32_t)k->lm.eos);
    }
    return rc;
}

static int plan(struct work *k, const struct opts *o, const struct mm_cmd *cmd, struct mm_err *e)
{
    char name[256];

    k->w = mm_ggufw_new();
    k->c = mm_convert_new(o->type);
    if (!k->w || !k->c)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    if (o->pack)
        mm_convert_pack(k->c);
    model_name(name, sizeof name, o->model);
    if (mm_ckpt_is_gguf(k->ck))
        return plan_gguf(k, e);
    return o->mmproj ? plan_mmproj(k, o, name, e) : plan_language(k, cmd, name, e);
}

static int write_all(struct work *k, const struct opts *o, const struct mm_cmd *cmd,
                     struct mm_err *e)
{
    struct mm_progress pr;
    uint64_t total = 0, done = 0;
    const size_t n = mm_convert_count(k->c);
    int rc = mm_convert_begin(k->c, k->w, o->output, e);

    for (size_t i = 0; i < n; i++)
        total += mm_tensor_bytes(mm_convert_out(k->c, i));
    mm_progress_start(&pr, cmd, "writing", total);
    for (size_t i = 0; i < n && rc == 0; i++) {
        const struct mm_tensor *const t = mm_convert_out(k->c, i);
        rc = mm_convert_tensor(k->c, i, k->w, k->pool, e);
        done += mm_tensor_bytes(t);
        mm_progress_step(&pr, done);
        mm_cmd_info(cmd, "%s: %s", mm_convert_name(k->c, i), mm_dtype_name(t->dtype));
    }
    mm_progress_end(&pr);
    return rc < 0 ? rc : mm_ggufw_commit(k->w, e);
}

static void close_all(struct work *k)
{
    mm_ggufw_free(k->w);
    mm_convert_free(k->c);
    mm_llama_gguf_free(&k->lm);
    mm_vision_close(&k->vision);
    mm_ckpt_close(k->ck);
    mm_pool_free(k->pool);
}

int main(int argc, char **argv)
{
    struct mm_cmd cmd;
    struct opts o;
    struct work k = { 0 };

    mm_cmd_init(&cmd, argv[0], usage, help);
    parse(&cmd, &o, argc, argv);
    k.pool = mm_pool_new(cmd.threads);
    if (!k.pool)
        mm_err_set(&cmd.err, MM_ENOMEM, "cannot start %d threads", cmd.threads);
    else if (open_model(&k, &o, &cmd.err) == 0) {
        for (size_t i = 0; mm_ckpt_warning(k.ck, i); i++)
            mm_cmd_warn(&cmd, "%s", mm_ckpt_warning(k.ck, i));
        if (plan(&k, &o, &cmd, &cmd.err) == 0)
            (void)!write_all(&k, &o, &cmd, &cmd.err);
    }
    close_all(&k);
    return mm_cmd_finish(&cmd);
}
