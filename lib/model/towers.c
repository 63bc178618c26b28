/* towers.c: see towers.h. */
#include "model/towers.h"

#include <stdlib.h>

static int open_text(struct mm_towers *t, const char *path, bool needed, struct mm_err *e)
{
    struct mm_err own = { 0 };

    if (mm_clip_text_open(&t->text, t->ck, &own) < 0) {
        t->text = NULL;
        if (own.code == MM_EMISSING && !needed)
            return 0;
        *e = own;
        return e->code;
    }
    if (mm_tok_open(&t->tok, path, &own) < 0)
        t->tok = NULL;
    return 0;
}

int mm_towers_open(struct mm_towers *t, const char *model, bool text_only,
                   const struct mm_vision_opts *o, struct mm_err *e)
{
    char *path = NULL;
    int rc;

    *t = (struct mm_towers){ 0 };
    if ((rc = mm_ckpt_find(&path, model, e)) < 0)
        return rc;
    if ((rc = mm_ckpt_open(&t->ck, path, e)) == 0 &&
        (rc = open_text(t, path, text_only, e)) == 0 && !text_only)
        rc = mm_vision_open(&t->vision, t->ck, o, e);
    if (rc == MM_EMISSING && t->text) { /* a text tower alone */
        mm_err_clear(e);
        rc = 0;
    }
    free(path);
    if (rc < 0)
        mm_towers_close(t);
    return rc;
}

int mm_towers_pack_text(struct mm_towers *t, struct mm_pool *pool, struct mm_err *e)
{
    return t->text ? mm_params_pack(mm_clip_text_params(t->text), t->ck, pool, e) : 0;
}

void mm_towers_close(struct mm_towers *t)
{
    mm_vision_close(&t->vision);
    mm_clip_text_free(t->text);
    mm_tok_free(t->tok);
    mm_ckpt_close(t->ck);
    *t = (struct mm_towers){ 0 };
}
