/* llm.c: see llm.h. */
#include "model/llm.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/io.h"
#include "base/json.h"
#include "nn/gbnf.h"
#include "nn/jsonschema.h"

static int open_tokenizer(struct mm_llm *l, const struct mm_adapt_spec *spec, struct mm_err *e)
{
    const char *path = mm_ckpt_dir(l->ck);
    struct mm_err why = { 0 };

    if (mm_ckpt_is_gguf(l->ck) && mm_ckpt_count(l->ck))
        path = mm_ckpt_at(l->ck, 0)->file;
    int rc = mm_tok_open(&l->tok, path, &why);
    if (rc == MM_ENOENT && spec->base) { /* an adapter without one: the base's */
        mm_err_clear(&why);
        rc = mm_tok_open(&l->tok, spec->base, &why);
    }
    if (rc < 0)
        l->tok = NULL;
    return rc < 0 && rc != MM_ENOENT ? mm_err_set(e, rc, "%s", why.msg) : 0;
}

static void add_eos(struct mm_llm *l, int32_t id)
{
    for (size_t i = 0; i < l->neos; i++)
        if (l->eos[i] == id)
            return;
    if (id >= 0 && l->neos < MM_LLM_EOS)
        l->eos[l->neos++] = id;
}

/* Generation settings first; the tokenizer's where they are silent, and always
 * the marks of a GGUF's vocabulary. */
static void find_ends(struct mm_llm *l)
{
    const struct mm_llama_config *c = mm_llama_config(l->m);
    size_t n = 0;
    const int32_t *eog = l->tok ? mm_tok_eog(l->tok, &n) : NULL;

    for (int i = 0; i < c->neos; i++)
        add_eos(l, c->eos[i]);
    for (size_t i = 0; i < n && (c->neos == 0 || mm_ckpt_is_gguf(l->ck)); i++)
        add_eos(l, eog[i]);
    if (l->tok && l->neos == 0)
        add_eos(l, mm_tok_eos(l->tok));
}

static void find_placeholders(struct mm_llm *l)
{
    static const char *const name[] = { "<image>", "<im_patch>", "<video>", "<audio>" };
    const int64_t vocab = mm_llama_config(l->m)->vocab;

    if (l->llava.image_token >= 0 && l->llava.image_token < vocab)
        l->never[l->nnever++] = (int32_t)l->llava.image_token;
    for (size_t i = 0; l->tok && i < sizeof(name) / sizeof(*name); i++) {
        const int32_t id = mm_tok_id(l->tok, name[i]);
        if (id >= 0 && mm_tok_is_special(l->tok, id))
            l->never[l->nnever++] = id;
    }
    if (l->tok && mm_tok_size(l->tok) < (size_t)vocab)
        l->limit = mm_tok_size(l->tok);
    for (size_t i = 0; i < l->neos && l->limit; i++) /* an end is always possible */
        if ((size_t)l->eos[i] >= l->limit)
            l->limit = (size_t)l->eos[i] + 1;
}

static int open_found(struct mm_llm *l, const struct mm_adapt_spec *spec, struct mm_err *e)
{
    int rc = mm_adapt_open(&l->ck, spec, e);

    if (rc == 0)
        rc = mm_llava_configure(&l->llava, l->ck, e);
    if (rc == 0)
        rc = mm_llama_open(&l->m, l->ck, e);
    if (rc == 0)
        rc = open_tokenizer(l, spec, e);
    if (rc < 0) {
        mm_llm_close(l);
        return rc;
    }
    find_ends(l);
    find_placeholders(l);
    l->fingerprint = mm_ckpt_fingerprint(l->ck);
    mm_params_pack_later(mm_llama_params(l->m), l->ck);
    l->prompt.tok = l->tok;
    l->prompt.dim = mm_llama_config(l->m)->dim;
    l->prompt.style = MM_MARK_CHUNK;
    if (l->llava.layout == MM_LLAVA_V0)
        l->prompt.style = MM_MARK_PATCH;
    else if (l->llava.layout == MM_LLAVA_HF && l->tok && mm_tok_id(l->tok, "<image>") >= 0)
        l->prompt.style = MM_MARK_TOKEN;
    return 0;
}

int mm_llm_open(struct mm_llm *l, const struct mm_adapt_spec *spec, struct mm_err *e)
{
    struct mm_adapt_spec found = *spec;
    char *path[3] = { NULL };
    int rc = mm_ckpt_find(&path[0], spec->path, e);

    if (rc == 0 && spec->base)
        rc = mm_ckpt_find(&path[1], spec->base, e);
    if (rc == 0 && spec->lora)
        rc = mm_ckpt_find(&path[2], spec->lora, e);
    found.path = path[0];
    found.base = path[1];
    found.lora = path[2];
    if (rc == 0)
        rc = open_found(l, &found, e);
    for (int i = 0; i < 3; i++)
        free(path[i]);
    return rc;
}

void mm_llm_close(struct mm_llm *l)
{
    mm_tok_free(l->tok);
    mm_llama_free(l->m);
    mm_ckpt_close(l->ck);
    *l = (struct mm_llm){ 0 };
}

/* As the original's run_llava chooses (llava.md 8). */
static const char *by_directory(const struct mm_llm *l)
{
    static const char *const rule[][2] = {
        { "llama-2", "llava_llama_2" }, { "mistral", "mistral_instruct" },
        { "v1.6-34b", "chatml_direct" }, { "v1", "llava_v1" }, { "mpt", "mpt" }
    };
    const char *dir = mm_ckpt_dir(l->ck);
    const char *name = strrchr(dir, '/');

    name = name && name[1] ? name + 1 : dir;
    for (size_t i = 0; i < sizeof(rule) / sizeof(*rule); i++)
        for (const char *p = name; *p; p++)
            if (strncasecmp(p, rule[i][0], strlen(rule[i][0])) == 0)
                return rule[i][1];
    return "llava_v0";
}

static int find_template(const struct mm_template **t, const struct mm_llm *l, const char *name,
                         struct mm_err *e)
{
    const char *jinja = l->tok ? mm_tok_chat_template(l->tok) : NULL;

    if (!name && jinja)
        return mm_template_recognise(t, jinja, e);
    if (!name && (l->llava.layout == MM_LLAVA_ORIGINAL || l->llava.layout == MM_LLAVA_V0))
        name = by_directory(l);
    if (!name)
        return mm_err_set(e, MM_EMISSING, "the model names no chat template: use --template");
    *t = mm_template_named(name);
    return *t ? 0 : mm_err_set(e, MM_EUSAGE, "--template: no template is called '%s'", name);
}

int mm_llm_template(const struct mm_template **t, struct mm_llm *l, const char *name,
                    struct mm_err *e)
{
    const bool any = name && !strcmp(name, "auto");
    int rc = find_template(t, l, any ? NULL : name, e);

    if (any && rc == MM_EMISSING) { /* none, or one that is not known */
        mm_err_clear(e);
        rc = 0;
        *t = mm_template_named("llava_hf");
    }
    for (const char *const *s = rc < 0 ? NULL : mm_template_stops(*t); s && *s; s++)
        if (l->tok && **s)
            add_eos(l, mm_tok_id(l->tok, *s));
    return rc;
}

int mm_llm_grammar(struct mm_gram **g, struct mm_gvocab **v, const struct mm_llm *l,
                   const char *path, bool schema, struct mm_err *e)
{
    struct mm_buf text = { 0 };
    json_t *json = NULL;
    char *data = NULL;
    size_t n = 0;
    int rc;

    if (!l->tok)
        return mm_err_set(e, MM_EMISSING, "the model has no tokenizer: no grammar can hold it");
    rc = schema ? mm_json_file(&json, path, e)
                : mm_io_slurp(path, (size_t)64 << 20, &data, &n, e);
    if (rc < 0)
        return rc;
    if (schema)
        rc = mm_jsonschema_gbnf(&text, json, e);
    if (rc == 0)
        rc = mm_gbnf_parse(g, data ? data : text.p, data ? n : text.n, e);
    if (rc < 0)
        mm_err_prefix(e, "%s", path);
    if (rc == 0)
        rc = mm_gvocab_new(v, l->tok, e);
    json_decref(json);
    mm_buf_free(&text);
    free(data);
    return rc;
}
