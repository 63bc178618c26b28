/* start.c: see start.h. */
#include "train/start.h"

#include <stdlib.h>

#include "model/projector.h"
#include "train/init.h"

static int open_named(struct mm_ckpt **ck, const char *name, struct mm_err *e)
{
    char *path = NULL;
    int rc = mm_ckpt_find(&path, name, e);

    if (rc == 0)
        rc = mm_ckpt_open(ck, path, e);
    free(path);
    return rc;
}

/* Does the checkpoint hold a projector, or one beside it? */
static int has_projector(bool *yes, const struct mm_ckpt *ck, struct mm_err *e)
{
    struct mm_projector *p = NULL;
    struct mm_err why = { 0 };
    const int rc = mm_projector_open(&p, ck, &why);

    *yes = rc == 0;
    mm_projector_free(p);
    return rc < 0 && rc != MM_EMISSING ? mm_err_set(e, rc, "%s", why.msg) : 0;
}

static int llava(struct mm_job_spec *s, const char *dir, bool make, struct mm_err *e)
{
    struct mm_ckpt *llm = NULL, *vision = NULL;
    bool whole = false, gguf = false;
    int rc = open_named(&llm, s->model, e);

    if (rc == 0)
        rc = has_projector(&whole, llm, e);
    if (rc == 0 && !whole)
        rc = open_named(&vision, s->vision, e);
    if (rc == 0 && !whole) {
        gguf = mm_ckpt_is_gguf(llm);
        if (make)
            rc = gguf ? mm_init_connector(dir, llm, vision, s->vision, s->seed, e)
                      : mm_init_llava(dir, llm, vision, s->seed, e);
    }
    mm_ckpt_close(llm);
    mm_ckpt_close(vision);
    if (rc < 0 || whole)
        return rc;
    if (gguf) {
        s->projector = dir;
    } else {
        s->model = dir;
        s->vision = NULL; /* it is part of the model now */
    }
    return 1;
}

int mm_start(struct mm_job_spec *s, const char *dir, bool make, struct mm_err *e)
{
    if (s->config) {
        const int rc = make ? mm_init_model(dir, s->config, s->tokenizer, s->seed, e) : 0;

        s->model = dir;
        return rc < 0 ? rc : 1;
    }
    return s->vision && !s->projector ? llava(s, dir, make, e) : 0;
}
