/* template.c: conversation templates as tables (llava reference, section 8).
 *
 *   system | intro | { user | assistant }* | open
 *
 * The texts are wire constants: a model behaves as trained only with these
 * exact bytes.
 */
#include "text/template.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum {
    SYSTEM_IN_USER = 1, /* the system text stands inside the first user turn */
    TRIM = 2,           /* white space around a turn's text is dropped */
    PLAIN = 4           /* captions of stage 1: the first user turn and a newline */
};

struct mm_template {
    const char *name, *alias; /* alias: NULL if none */
    const char *system;       /* default text; NULL: none */
    const char *sys_pre, *sys_post;
    const char *intro;        /* fixed turns that follow the system text */
    const char *user_pre, *user_post;
    const char *asst_pre, *asst_post;
    const char *between;      /* before every user turn but the first */
    const char *open;         /* how an answer begins */
    const char *stops[3];
    unsigned flags;
};

#define ASSISTANT_GIVES                                                                    \
    "artificial intelligence assistant. The assistant gives helpful, detailed, and "       \
    "polite answers to the "
#define S_USER "A chat between a curious user and an " ASSISTANT_GIVES "user's questions."
#define S_HUMAN "A chat between a curious human and an " ASSISTANT_GIVES "human's questions."
#define S_MMTAG                                                                            \
    "A chat between a curious user and an artificial intelligence assistant. The "         \
    "assistant is able to understand the visual content that the user provides, and "      \
    "assist the user with a variety of tasks using natural language.The visual content "   \
    "will be provided with the following format: <Image>visual content</Image>."

static const char example[] =
    "Human: What are the key differences between renewable and non-renewable energy "
    "sources?###Assistant: Renewable energy sources are those that can be replenished "
    "naturally in a relatively short amount of time, such as solar, wind, hydro, "
    "geothermal, and biomass. Non-renewable energy sources, on the other hand, are "
    "finite and will eventually be depleted, such as coal, oil, and natural gas. Here "
    "are some key differences between renewable and non-renewable energy sources:\n"
    "1. Availability: Renewable energy sources are virtually inexhaustible, while "
    "non-renewable energy sources are finite and will eventually run out.\n"
    "2. Environmental impact: Renewable energy sources have a much lower environmental "
    "impact than non-renewable sources, which can lead to air and water pollution, "
    "greenhouse gas emissions, and other negative effects.\n"
    "3. Cost: Renewable energy sources can be more expensive to initially set up, but "
    "they typically have lower operational costs than non-renewable sources.\n"
    "4. Reliability: Renewable energy sources are often more reliable and can be used in "
    "more remote locations than non-renewable sources.\n"
    "5. Flexibility: Renewable energy sources are often more flexible and can be adapted "
    "to different situations and needs, while non-renewable sources are more rigid and "
    "inflexible.\n"
    "6. Sustainability: Renewable energy sources are more sustainable over the long "
    "term, while non-renewable sources are not, and their depletion can lead to economic "
    "and social instability.\n"
    "###";

static const char llama_2_system[] =
    "You are a helpful, respectful and honest assistant. Always answer as helpfully as "
    "possible, while being safe.  Your answers should not include any harmful, "
    "unethical, racist, sexist, toxic, dangerous, or illegal content. Please ensure that "
    "your responses are socially unbiased and positive in nature.\n\n"
    "If a question does not make any sense, or is not factually coherent, explain why "
    "instead of answering something not correct. If you don't know the answer to a "
    "question, please don't share false information.";

/* SeparatorStyle.SINGLE, TWO, MPT and LLAMA_2 of conversation.py. */
#define SINGLE                                                                             \
    .sys_post = "###", .user_pre = "Human: ", .user_post = "###",                          \
    .asst_pre = "Assistant: ", .asst_post = "###", .open = "Assistant:", .stops = { "###" }
#define TWO                                                                                \
    .sys_post = " ", .user_pre = "USER: ", .user_post = " ", .asst_pre = "ASSISTANT: ",    \
    .asst_post = "</s>", .open = "ASSISTANT:", .stops = { "</s>" }
#define IM(end)                                                                            \
    .sys_pre = "<|im_start|>system\n", .sys_post = end, .user_pre = "<|im_start|>user\n",  \
    .user_post = end, .asst_pre = "<|im_start|>assistant\n", .asst_post = end,             \
    .open = "<|im_start|>assistant\n", .stops = { "<|im_end|>" }
#define LLAMA_2                                                                            \
    .sys_pre = "<<SYS>>\n", .sys_post = "\n<</SYS>>\n\n", .user_pre = "[INST] ",            \
    .user_post = " [/INST]", .asst_pre = " ", .asst_post = " </s>", .open = "",            \
    .stops = { "</s>" }, .flags = SYSTEM_IN_USER
#define HEADER(role) "<|start_header_id|>" role "<|end_header_id|>\n\n"

static const struct mm_template table[] = {
    { .name = "vicuna_v1", .alias = "v1", .system = S_USER, TWO },
    { .name = "llava_v1", .system = S_HUMAN, TWO },
    { .name = "llava_hf", TWO }, /* as llava-1.5-hf: no system text by itself */
    { .name = "llava_v0", .alias = "v0", .system = S_HUMAN, SINGLE },
    { .name = "llava_llama_2", LLAMA_2, .between = "<s>",
      .system = "You are a helpful language and vision assistant. You are able to understand "
                "the visual content that the user provides, and assist the user with a variety "
                "of tasks using natural language." },
    { .name = "mistral_instruct", LLAMA_2 },
    { .name = "mpt", IM("<|im_end|>"),
      .system = "A conversation between a user and an LLM-based AI assistant. The assistant "
                "gives helpful and honest answers." },
    { .name = "chatml", IM("<|im_end|>\n") },
    { .name = "chatml_direct", IM("<|im_end|>"), .system = "Answer the questions." },
    { .name = "llama3", .sys_pre = HEADER("system"), .sys_post = "<|eot_id|>",
      .user_pre = HEADER("user"), .user_post = "<|eot_id|>", .asst_pre = HEADER("assistant"),
      .asst_post = "<|eot_id|>", .open = HEADER("assistant"), .stops = { "<|eot_id|>" },
      .flags = TRIM },
    { .name = "plain", .flags = PLAIN },
    { .name = "vicuna_v0", .system = S_HUMAN, .intro = example, SINGLE },
    { .name = "v0_mmtag", .system = S_MMTAG, SINGLE },
    { .name = "v1_mmtag", .system = S_MMTAG, TWO },
    { .name = "llama_2", LLAMA_2, .between = "<s>", .system = llama_2_system },
    { .name = "llama_2_chat", LLAMA_2, .between = "<s>" }, /* no system text by itself */
    { .name = "smollm2", IM("<|im_end|>\n"),
      .system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face" },
    { .name = "qwen2", IM("<|im_end|>\n"), .system = "You are a helpful assistant." },
    { .name = "qwen2_5", IM("<|im_end|>\n"),
      .system = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant." },
    { .name = "zephyr", .sys_pre = "<|system|>\n", .sys_post = "</s>\n",
      .user_pre = "<|user|>\n", .user_post = "</s>\n", .asst_pre = "<|assistant|>\n",
      .asst_post = "</s>\n", .open = "<|assistant|>\n", .stops = { "</s>" } }
};

enum { NTABLE = sizeof(table) / sizeof(table[0]) };

static const char *const names[] = {
    "vicuna_v1", "llava_v1", "llava_hf", "llava_v0", "llava_llama_2", "mistral_instruct", "mpt", "chatml",
    "chatml_direct", "llama3", "plain", "vicuna_v0", "v0_mmtag", "v1_mmtag", "llama_2",
    "llama_2_chat", "smollm2", "qwen2", "qwen2_5", "zephyr", NULL
};

_Static_assert(sizeof(names) / sizeof(names[0]) == NTABLE + 1, "a template without a name");

const struct mm_template *mm_template_named(const char *name)
{
    for (size_t i = 0; i < NTABLE; i++)
        if (strcmp(table[i].name, name) == 0 || (table[i].alias && !strcmp(table[i].alias, name)))
            return &table[i];
    return NULL;
}

const char *const *mm_template_names(void)
{
    return names;
}

const char *mm_template_name(const struct mm_template *t)
{
    return t->name;
}

const char *const *mm_template_stops(const struct mm_template *t)
{
    return t->stops;
}

void mm_pieces_free(struct mm_pieces *p)
{
    for (size_t i = 0; i < p->n; i++)
        free(p->v[i].s);
    free(p->v);
    *p = (struct mm_pieces){ 0 };
}

/* Append text; adjacent template text becomes one piece.  s may be NULL. */
static bool add(struct mm_pieces *p, const char *s, size_t n, bool user)
{
    struct mm_piece *const last = p->n ? &p->v[p->n - 1] : NULL;

    if (!s || n == 0)
        return true;
    if (last && !last->user && !user) {
        char *const longer = realloc(last->s, last->n + n + 1);
        if (!longer)
            return false;
        memcpy(longer + last->n, s, n);
        last->s = longer;
        last->n += n;
        last->s[last->n] = '\0';
        return true;
    }
    if (!mm_grow(&p->v, &p->cap, p->n + 1, sizeof(*p->v)))
        return false;
    char *const copy = malloc(n + 1);
    if (!copy)
        return false;
    memcpy(copy, s, n);
    copy[n] = '\0';
    p->v[p->n++] = (struct mm_piece){ .s = copy, .n = n, .user = user };
    return true;
}

static bool fixed(struct mm_pieces *p, const char *s)
{
    return add(p, s, s ? strlen(s) : 0, false);
}

/* The text of a turn, and what the template has around it. */
static bool turn(const struct mm_template *t, struct mm_pieces *p, const char *pre,
                 const struct mm_turn *u, const char *post)
{
    const char *s = u->text;
    size_t n = u->n;

    while ((t->flags & TRIM) && n > 0 && isspace((unsigned char)s[0])) {
        s++;
        n--;
    }
    while ((t->flags & TRIM) && n > 0 && isspace((unsigned char)s[n - 1]))
        n--;
    return fixed(p, pre) && add(p, s, n, true) && fixed(p, post);
}

/* The system text: given (custom) or the template's own; an empty one vanishes. */
static bool system_text(const struct mm_template *t, struct mm_pieces *p,
                        const struct mm_turn *custom)
{
    if (custom)
        return custom->n == 0 || turn(t, p, t->sys_pre, custom, t->sys_post);
    return !t->system || (fixed(p, t->sys_pre) && fixed(p, t->system) && fixed(p, t->sys_post));
}

/* "<image>\n" before a caption loses its newline (the reference puts the
 * marker there itself). */
static bool plain(struct mm_pieces *p, const struct mm_turn *u)
{
    static const char image[] = "<image>\n";
    const size_t k = sizeof(image) - 1;

    if (u->n >= k && memcmp(u->text, image, k) == 0)
        return fixed(p, "<image>") && add(p, u->text + k, u->n - k, true) && fixed(p, "\n");
    return add(p, u->text, u->n, true) && fixed(p, "\n");
}

int mm_template_render(const struct mm_template *t, struct mm_pieces *out,
                       const struct mm_turn *turns, size_t n, bool open, struct mm_err *e)
{
    const struct mm_turn *const custom = n > 0 && turns[0].role == MM_ROLE_SYSTEM ? turns : NULL;
    const bool inside = (t->flags & SYSTEM_IN_USER) != 0;
    const size_t first = custom ? 1 : 0;
    bool ok = true;

    for (size_t i = first; i < n; i++)
        if (turns[i].role != ((i - first) % 2 ? MM_ROLE_ASSISTANT : MM_ROLE_USER))
            return mm_err_set(e, MM_EDATA, "turn %zu: user and assistant must alternate", i);
    if (open && (n - first) % 2 == 0)
        return mm_err_set(e, MM_EDATA, "the last turn must be the user's");
    if (t->flags & PLAIN)
        return n == first || plain(out, &turns[first]) ? 0
                                                       : mm_err_set(e, MM_ENOMEM, "out of memory");
    if (!inside)
        ok = system_text(t, out, custom);
    ok = ok && fixed(out, t->intro);
    for (size_t i = first; i < n && ok; i++) {
        if (turns[i].role == MM_ROLE_ASSISTANT) {
            ok = turn(t, out, t->asst_pre, &turns[i], t->asst_post);
            continue;
        }
        ok = (i == first || fixed(out, t->between)) && fixed(out, t->user_pre);
        if (ok && inside && i == first)
            ok = system_text(t, out, custom);
        ok = ok && turn(t, out, NULL, &turns[i], t->user_post);
    }
    if (ok && open)
        ok = fixed(out, t->open);
    return ok ? 0 : mm_err_set(e, MM_ENOMEM, "out of memory");
}

/* A chat_template is known by what it contains, white space and "\n" aside. */
static const struct {
    const char *name;
    const char *has[3]; /* all of these */
    const char *not[2]; /* none of these */
} marks[] = {
    { "smollm2", { "<|im_start|>systemYouareahelpfulAIassistantnamedSmolLM," }, { NULL } },
    { "qwen2_5", { "YouareQwen,createdbyAlibabaCloud.Youareahelpfulassistant.<|im_end|>" },
      { "<think>" } },
    { "qwen2", { "<|im_start|>systemYouareahelpfulassistant.<|im_end|>" }, { "<think>" } },
    { "chatml_direct", { "<|im_start|>systemAnswerthequestions.<|im_end|>" }, { NULL } },
    { "mpt", { "<|im_start|>", "AconversationbetweenauserandanLLM-basedAIassistant." },
      { NULL } },
    { "chatml", { "<|im_start|>'+message", "<|im_end|>" }, { "<|im_start|>systemYou", "<think>" } },
    { "llama3", { "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>" },
      { "CuttingKnowledgeDate", "<|eom_id|>" } },
    { "llama_2_chat", { "[INST]", "<<SYS>>", "[/INST]" }, { NULL } },
    { "mistral_instruct", { "[INST]", "[/INST]" }, { "[AVAILABLE_TOOLS]", "[SYSTEM_PROMPT]" } },
    { "llava_v1", { "Achatbetweenacurioushuman", "USER:", "ASSISTANT:" }, { NULL } },
    { "vicuna_v1", { "Achatbetweenacurioususer", "USER:", "ASSISTANT:" }, { NULL } },
    { "llava_hf", { "USER:", "ASSISTANT:" }, { "Achatbetweena", "'###'" } },
    { "zephyr", { "<|user|>", "<|assistant|>", "eos_token" }, { "<|end|>", "[gMASK]" } }
};

/* text without white space and "\n" escapes; malloc'd. */
static char *squeeze(const char *text)
{
    const size_t n = strlen(text);
    char *const s = malloc(n + 1);
    size_t k = 0;

    for (size_t i = 0; s && i < n; i++) {
        if (text[i] == '\\' && text[i + 1] == 'n')
            i++;
        else if (!isspace((unsigned char)text[i]))
            s[k++] = text[i] == '"' ? '\'' : text[i];
    }
    if (s)
        s[k] = '\0';
    return s;
}

int mm_template_recognise(const struct mm_template **t, const char *jinja, struct mm_err *e)
{
    char *const s = squeeze(jinja);

    if (!s)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    *t = NULL;
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]) && !*t; i++) {
        bool fits = true;
        for (size_t k = 0; k < 3 && marks[i].has[k]; k++)
            fits = fits && strstr(s, marks[i].has[k]);
        for (size_t k = 0; k < 2 && marks[i].not[k]; k++)
            fits = fits && !strstr(s, marks[i].not[k]);
        if (fits)
            *t = mm_template_named(marks[i].name);
    }
    free(s);
    return *t ? 0
              : mm_err_set(e, MM_EMISSING,
                           "the checkpoint's chat_template is not known: use --template");
}
