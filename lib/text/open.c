/* open.c: which tokenizer a path holds. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "text/gguf_vocab.h"
#include "text/impl.h"

/* Tokens that end a generation wherever a vocabulary has them as special. */
static const char *const end_names[] = { "<|eot_id|>", "<|im_end|>", "<|end|>", "<|endoftext|>",
                                         "<|eom_id|>", "<end_of_turn>", "<EOT>" };

static bool is_file(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && !S_ISDIR(st.st_mode);
}

static bool ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), k = strlen(end);

    return n >= k && strcmp(s + n - k, end) == 0;
}

/* dir/name in out; is it there? */
static bool have(struct mm_buf *out, const char *dir, const char *name)
{
    mm_buf_reset(out);
    mm_buf_printf(out, "%s/%s", dir, name);
    return !out->failed && is_file(out->p);
}

/* A vocab.json is CLIP's if its words end in "</w>". */
static int open_merges(struct mm_tok *t, const char *vocab, const char *merges,
                       const struct mm_conf *c, struct mm_err *e)
{
    char *text = NULL;
    size_t n;
    int rc = mm_io_slurp(vocab, (size_t)1 << 28, &text, &n, e);

    if (rc < 0)
        return rc;
    const bool clip = strstr(text, "</w>\"") != NULL;
    free(text);
    return (clip ? mm_tok_clip_open : mm_tok_gpt2_open)(t, vocab, merges, c, e);
}

/* The merges.txt beside vocab.json, dir taken from its path. */
static int open_vocab_json(struct mm_tok *t, const char *vocab, const struct mm_conf *c,
                           struct mm_err *e)
{
    const char *const slash = strrchr(vocab, '/');
    struct mm_buf merges = { 0 };
    int rc;

    mm_buf_add(&merges, vocab, slash ? (size_t)(slash + 1 - vocab) : 0);
    mm_buf_str(&merges, "merges.txt");
    if (merges.failed)
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    else if (!is_file(merges.p))
        rc = mm_err_set(e, MM_ENOENT, "%s: no merges.txt beside it", vocab);
    else
        rc = open_merges(t, vocab, merges.p, c, e);
    mm_buf_free(&merges);
    return rc;
}

/* A file by its first bytes, then by its name. */
static int open_file(struct mm_tok *t, const char *path, const struct mm_conf *c, struct mm_err *e)
{
    struct mm_map m = { 0 };
    const int rc = mm_map_open(&m, path, (size_t)1 << 30, e);

    if (rc < 0)
        return rc;
    const bool gguf = m.size >= 4 && memcmp(m.data, "GGUF", 4) == 0;
    const bool gzip = m.size >= 2 && m.data[0] == 0x1F && m.data[1] == 0x8B;
    size_t i = 0;
    while (i < m.size && strchr(" \t\r\n", m.data[i]) && m.data[i])
        i++;
    const bool json = i < m.size && m.data[i] == '{';
    mm_map_close(&m);
    if (gguf)
        return mm_gguf_vocab_open(t, path, e);
    if (gzip)
        return mm_tok_openclip_open(t, path, c, e);
    if (json && ends_with(path, "vocab.json"))
        return open_vocab_json(t, path, c, e);
    if (json)
        return mm_tok_hfjson_open(t, path, c, e);
    if (ends_with(path, ".txt"))
        return mm_tok_bert_open(t, path, c, e);
    return mm_tok_spm_open(t, path, c, e);
}

/* The only .gguf of a directory, or false. */
static bool only_gguf(struct mm_buf *out, const char *dir)
{
    DIR *const d = opendir(dir);
    int found = 0;

    if (!d)
        return false;
    for (const struct dirent *de; (de = readdir(d));)
        if (ends_with(de->d_name, ".gguf") && ++found == 1) {
            mm_buf_reset(out);
            mm_buf_printf(out, "%s/%s", dir, de->d_name);
        }
    closedir(d);
    return found == 1 && !out->failed;
}

static int open_dir(struct mm_tok *t, const char *dir, const struct mm_conf *c, struct mm_err *e)
{
    struct mm_buf p = { 0 }, q = { 0 };
    int rc;

    if (have(&p, dir, "tokenizer.json"))
        rc = mm_tok_hfjson_open(t, p.p, c, e);
    else if (have(&p, dir, "tokenizer.model") || have(&p, dir, "spiece.model"))
        rc = mm_tok_spm_open(t, p.p, c, e);
    else if (have(&p, dir, "vocab.json") && have(&q, dir, "merges.txt"))
        rc = open_merges(t, p.p, q.p, c, e);
    else if (have(&p, dir, "vocab.txt"))
        rc = mm_tok_bert_open(t, p.p, c, e);
    else if (have(&p, dir, "bpe_simple_vocab_16e6.txt.gz"))
        rc = mm_tok_openclip_open(t, p.p, c, e);
    else if (only_gguf(&p, dir))
        rc = mm_gguf_vocab_open(t, p.p, e);
    else if (p.failed || q.failed)
        rc = mm_err_set(e, MM_ENOMEM, "%s: out of memory", dir);
    else
        rc = mm_err_set(e, MM_ENOENT, "%s: no tokenizer (tokenizer.json, tokenizer.model, "
                        "vocab.json and merges.txt, vocab.txt)", dir);
    mm_buf_free(&p);
    mm_buf_free(&q);
    return rc;
}

static int add_eog(struct mm_tok *t, int32_t id)
{
    for (size_t i = 0; i < t->eog.n; i++)
        if (t->eog.v[i] == id)
            return 0;
    return id < 0 ? 0 : mm_ids_add(&t->eog, id);
}

static int finish(struct mm_tok *t, struct mm_err *e)
{
    int rc = t->ops->ready ? t->ops->ready(t, e) : mm_tok_make_trie(t, e);

    if (rc < 0)
        return rc;
    rc = add_eog(t, t->eos);
    for (size_t i = 0; i < sizeof(end_names) / sizeof(end_names[0]) && rc == 0; i++) {
        const int32_t id = mm_tok_id(t, end_names[i]);
        if (id >= 0 && mm_tok_is_special(t, id))
            rc = add_eog(t, id);
    }
    return rc < 0 ? mm_err_set(e, MM_ENOMEM, "out of memory") : 0;
}

int mm_tok_open(struct mm_tok **out, const char *path, struct mm_err *e)
{
    struct mm_conf c = { 0 };
    struct mm_tok *t = calloc(1, sizeof(*t));
    struct stat st;
    int rc;

    if (!t)
        return mm_err_set(e, MM_ENOMEM, "%s: out of memory", path);
    t->bos = t->eos = t->unk = t->pad = -1;
    t->default_parse = true;
    if (stat(path, &st) < 0)
        rc = mm_err_set(e, MM_ENOENT, "%s:", path);
    else if (!S_ISDIR(st.st_mode))
        rc = open_file(t, path, &c, e);
    else if ((rc = mm_conf_load(&c, path, e)) == 0 && (rc = open_dir(t, path, &c, e)) == 0)
        rc = mm_conf_apply(t, &c, e);
    if (rc == 0)
        rc = finish(t, e);
    mm_conf_free(&c);
    if (rc < 0) {
        mm_tok_free(t);
        return rc;
    }
    *out = t;
    return 0;
}
