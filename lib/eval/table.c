/* table.c: see table.h. */
#include "eval/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A column of a task's table: where its number is ("bleu.3": the fourth). */
struct column {
    const char *head, *path;
    double scale;
    int digits;
};

static const json_t *at(const json_t *v, const char *path)
{
    char key[80];

    while (v && *path) {
        const size_t n = strcspn(path, ".");

        snprintf(key, sizeof(key), "%.*s", (int)n, path);
        v = json_is_array(v) ? json_array_get(v, strtoul(key, NULL, 10)) : json_object_get(v, key);
        path += n + (path[n] == '.');
    }
    return v;
}

/* One row: its name, the numbers, and their intervals where there are some. */
static void print_row(struct mm_buf *b, const char *name, const json_t *row, const struct column *c)
{
    mm_buf_printf(b, "%-24s", name);
    for (; c->head; c++) {
        const json_t *v = at(row, c->path);

        if (json_is_number(v))
            mm_buf_printf(b, " %9.*f", c->digits, c->scale * json_number_value(v));
        else
            mm_buf_printf(b, " %9s", "-");
    }
    mm_buf_char(b, '\n');
}

static void print_intervals(struct mm_buf *b, const json_t *row, const struct column *c)
{
    for (; c->head; c++) {
        const json_t *v = at(at(row, "ci95"), c->path);

        if (json_is_array(v))
            mm_buf_printf(b, "%-24s [%.*f, %.*f] (95%%)\n", c->head, c->digits,
                   c->scale * json_number_value(json_array_get(v, 0)), c->digits,
                   c->scale * json_number_value(json_array_get(v, 1)));
    }
}

static void print_head(struct mm_buf *b, const struct column *c)
{
    mm_buf_printf(b, "%-24s", "");
    for (; c->head; c++)
        mm_buf_printf(b, " %9s", c->head);
    mm_buf_char(b, '\n');
}

static const struct column caption_columns[] = {
    { "BLEU-1", "bleu_1", 100, 1 },  { "BLEU-2", "bleu_2", 100, 1 },
    { "BLEU-3", "bleu_3", 100, 1 },  { "BLEU-4", "bleu_4", 100, 1 },
    { "METEOR", "meteor", 100, 1 },  { "ROUGE-L", "rouge_l", 100, 1 },
    { "CIDEr-D", "cider_d", 100, 1 }, { "CIDEr", "cider", 100, 1 },
    { NULL, NULL, 0, 0 }
};
static const struct column exact_columns[] = { { "exact", "exact_match", 1, 2 },
                                               { "normal", "exact_match_normalized", 1, 2 },
                                               { NULL, NULL, 0, 0 } };
static const struct column auc_columns[] = { { "ROC-AUC", "roc_auc", 100, 2 },
                                             { NULL, NULL, 0, 0 } };
static const struct column sqa_columns[] = {
    { "NAT", "NAT", 1, 2 },     { "SOC", "SOC", 1, 2 },     { "LAN", "LAN", 1, 2 },
    { "TXT", "TXT", 1, 2 },     { "IMG", "IMG", 1, 2 },     { "NO", "NO", 1, 2 },
    { "G1-6", "G1-6", 1, 2 },   { "G7-12", "G7-12", 1, 2 }, { "Average", "average", 1, 2 },
    { NULL, NULL, 0, 0 }
};
static const struct column pope_columns[] = {
    { "Accuracy", "accuracy", 100, 2 }, { "Precision", "precision", 100, 2 },
    { "Recall", "recall", 100, 2 },     { "F1", "f1_score", 100, 2 },
    { "Yes", "yes_ratio", 100, 2 },     { NULL, NULL, 0, 0 }
};
static const struct column vqa_columns[] = { { "VQA", "official_overall", 1, 2 },
                                             { "Flamingo", "openflamingo_overall", 1, 2 },
                                             { "TextVQA", "textvqa_llava_overall", 1, 2 },
                                             { "exact", "exact_match_any_reference", 1, 2 },
                                             { NULL, NULL, 0, 0 } };
static const struct column type_columns[] = { { "VQA", "", 1, 2 }, { NULL, NULL, 0, 0 } };
static const struct column bench_columns[] = { { "relative", "0", 1, 1 },
                                               { "reference", "1", 1, 1 },
                                               { "candidate", "2", 1, 1 },
                                               { NULL, NULL, 0, 0 } };

/* Rows of the numbers in out[from], one a member. */
static void print_members(struct mm_buf *b, const json_t *from, const struct column *c)
{
    const char *key;
    json_t *v;

    json_object_foreach((json_t *)from, key, v) print_row(b, key, v, c);
}

static void table_flat(struct mm_buf *b, const json_t *out, const struct column *c)
{
    print_head(b, c);
    print_row(b, "all", out, c);
    print_intervals(b, out, c);
}

static void table_vqa(struct mm_buf *b, const json_t *out)
{
    table_flat(b, out, vqa_columns);
    print_members(b, json_object_get(out, "official_per_answer_type"), type_columns);
    print_members(b, json_object_get(out, "official_per_question_type"), type_columns);
}

static void table_scienceqa(struct mm_buf *b, const json_t *out)
{
    static const char *const rows[] = { "gpt4", "complement", "judge", NULL };
    static const struct column c[] = { { "average", "scienceqa_accuracy", 1, 2 },
                                       { "images", "scienceqa_image_accuracy", 1, 2 },
                                       { NULL, NULL, 0, 0 } };

    print_head(b, sqa_columns);
    print_row(b, "model", json_object_get(out, "scienceqa_breakdown"), sqa_columns);
    for (size_t i = 0; rows[i]; i++)
        if (json_object_get(out, rows[i]))
            print_row(b, rows[i], json_object_get(out, rows[i]), sqa_columns);
    print_intervals(b, out, c);
}

static void table_pope(struct mm_buf *b, const json_t *out)
{
    const char *key;
    json_t *v;

    print_head(b, pope_columns);
    json_object_foreach((json_t *)out, key, v) if (json_is_object(v)) {
        print_row(b, key, v, pope_columns);
        print_intervals(b, v, pope_columns);
    }
}

static void table_bench(struct mm_buf *b, const json_t *out)
{
    const char *key;
    json_t *v;

    print_head(b, bench_columns);
    json_object_foreach((json_t *)out, key, v) if (json_is_number(json_array_get(v, 0))) {
        const json_t *ci = json_object_get(json_object_get(out, "ci95"), key);

        print_row(b, key, v, bench_columns);
        if (ci)
            mm_buf_printf(b, "%-24s [%.1f, %.1f] (95%%)\n", "", json_number_value(json_array_get(ci, 0)),
                   json_number_value(json_array_get(ci, 1)));
    }
    mm_buf_printf(b, "%-24s %9lld\n", "failures", (long long)json_integer_value(at(out, "failures")));
}

static void table_caption(struct mm_buf *b, const json_t *out) { table_flat(b, out, caption_columns); }
/* A number of a measure of the world, or what stands where there is none. */
static void world_number(struct mm_buf *b, const json_t *row, const char *key)
{
    const json_t *v = json_object_get(row, key);

    if (json_is_number(v))
        mm_buf_printf(b, " %6.1f", json_number_value(v));
    else
        mm_buf_printf(b, " %6s", "-");
}

static void world_verdict(struct mm_buf *b, const json_t *v)
{
    mm_buf_printf(b, " %-5s", json_is_true(v) ? "ok" : json_is_false(v) ? "short" : "");
}

static void table_world(struct mm_buf *b, const json_t *out)
{
    const char *key;
    json_t *row;

    mm_buf_printf(b, "%-40s %6s %6s %-14s %5s %-5s %6s %6s %6s\n", "", "n", "score", "95%", "want",
                  "", "chance", "blind", "wrong");
    json_object_foreach((json_t *)out, key, row) {
        const json_t *ci = at(row, "ci95.score");
        const json_t *want = json_object_get(row, "want");

        if (!json_is_object(row))
            continue;
        mm_buf_printf(b, "%-40s %6.0f", json_string_value(json_object_get(row, "label")),
                      json_number_value(json_object_get(row, "n")));
        world_number(b, row, "score");
        if (json_is_array(ci))
            mm_buf_printf(b, " [%5.1f, %5.1f]", json_number_value(json_array_get(ci, 0)),
                          json_number_value(json_array_get(ci, 1)));
        else
            mm_buf_printf(b, " %-14s", "");
        if (json_is_number(want))
            mm_buf_printf(b, " >=%3.0f", json_number_value(want));
        else
            mm_buf_printf(b, " %5s", "");
        world_verdict(b, json_object_get(row, "pass"));
        world_number(b, row, "chance");
        world_number(b, row, "blind");
        world_number(b, row, "wrong");
        world_verdict(b, json_object_get(row, "guess_pass"));
        while (b->n > 0 && b->p[b->n - 1] == ' ')
            b->n--;
        mm_buf_char(b, '\n');
    }
}

static void table_exact(struct mm_buf *b, const json_t *out) { table_flat(b, out, exact_columns); }
static void table_auc(struct mm_buf *b, const json_t *out) { table_flat(b, out, auc_columns); }

static void line(struct mm_buf *b, const char *name, const char *part, const json_t *v)
{
    if (json_is_integer(v))
        mm_buf_printf(b, "%s%s\t%" JSON_INTEGER_FORMAT "\n", name, part, json_integer_value(v));
    else if (json_is_real(v))
        mm_buf_printf(b, "%s%s\t%.6g\n", name, part, json_real_value(v));
}

/* Every single number of v, its path before it, and its interval; lists are left to --json. */
static void print_lines(struct mm_buf *b, const json_t *v, const char *path)
{
    const json_t *intervals = json_object_get(v, "ci95");
    char name[400];
    const char *key;
    json_t *m;

    json_object_foreach((json_t *)v, key, m) {
        const json_t *ci = json_object_get(intervals, key);

        snprintf(name, sizeof(name), "%s%s%s", path, *path ? "." : "", key);
        if (json_is_object(m) && strcmp(key, "ci95") != 0 && strcmp(key, "scienceqa_choice") != 0)
            print_lines(b, m, name);
        line(b, name, "", m);
        if (json_is_number(m)) {
            line(b, name, ".ci95.low", json_array_get(ci, 0));
            line(b, name, ".ci95.high", json_array_get(ci, 1));
        }
    }
}

/* The rows of bench are lists: numbers by the columns' heads. */
static void bench_lines(struct mm_buf *b, const json_t *out)
{
    const char *key;
    json_t *row;

    json_object_foreach((json_t *)out, key, row) {
        const json_t *ci = json_object_get(json_object_get(out, "ci95"), key);
        char name[400];

        if (!json_is_number(json_array_get(row, 0)))
            continue;
        for (size_t i = 0; bench_columns[i].head; i++) {
            snprintf(name, sizeof(name), "%s.%s", key, bench_columns[i].head);
            line(b, name, "", json_array_get(row, i));
            line(b, name, ".ci95.low", i == 0 ? json_array_get(ci, 0) : NULL);
            line(b, name, ".ci95.high", i == 0 ? json_array_get(ci, 1) : NULL);
        }
    }
}

void mm_eval_lines(struct mm_buf *b, const char *task, const json_t *out)
{
    if (strcmp(task, "bench") == 0)
        bench_lines(b, out);
    print_lines(b, out, "");
}

static const struct {
    const char *task;
    void (*table)(struct mm_buf *b, const json_t *out);
} tables[] = { { "caption", table_caption }, { "vqa", table_vqa },   { "exact", table_exact },
               { "scienceqa", table_scienceqa }, { "pope", table_pope }, { "auc", table_auc },
               { "bench", table_bench },       { "world", table_world } };

void mm_eval_table(struct mm_buf *b, const char *task, const json_t *out)
{
    for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
        if (strcmp(tables[i].task, task) == 0)
            tables[i].table(b, out);
}
