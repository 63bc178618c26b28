/* tokgolden.h: golden cases of the family `tokenizer` for unit tests.
 *
 * Each check prints the case, the text and the first difference on stderr
 * and returns the number of differences.
 */
#ifndef MM_TESTS_TOKGOLDEN_H
#define MM_TESTS_TOKGOLDEN_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "text/tokenizer.h"

#define TG_UNUSED __attribute__((unused))

/* tg_path: "$MM_GOLDEN/tokenizer/..." into buf; returns buf. */
TG_UNUSED static const char *tg_path(char *buf, size_t size, const char *dir, const char *file)
{
    const char *root = getenv("MM_GOLDEN");

    snprintf(buf, size, "%s/tokenizer/%s%s%s", root ? root : "tests/golden", dir,
             file ? "/" : "", file ? file : "");
    return buf;
}

/* tg_json: a JSON file of the family; ends the test program when unreadable. */
TG_UNUSED static json_t *tg_json(const char *dir, const char *file)
{
    char path[512];
    json_t *j = json_load_file(tg_path(path, sizeof(path), dir, file), JSON_ALLOW_NUL, NULL);

    if (!j) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(1);
    }
    return j;
}

/* SHA-256 (FIPS 180-4) as a hex string. */
TG_UNUSED static uint32_t tg_rotr(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

TG_UNUSED static void tg_sha_block(uint32_t h[8], const unsigned char *p)
{
    static const uint32_t k[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
        0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
        0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
        0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
        0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
        0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
        0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
        0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
        0xc67178f2
    };
    uint32_t w[64], v[8];

    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
               (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    for (int i = 16; i < 64; i++)
        w[i] = w[i - 16] + w[i - 7] +
               (tg_rotr(w[i - 15], 7) ^ tg_rotr(w[i - 15], 18) ^ w[i - 15] >> 3) +
               (tg_rotr(w[i - 2], 17) ^ tg_rotr(w[i - 2], 19) ^ w[i - 2] >> 10);
    memcpy(v, h, sizeof(v));
    for (int i = 0; i < 64; i++) {
        const uint32_t a = v[0], e = v[4];
        const uint32_t t1 = v[7] + (tg_rotr(e, 6) ^ tg_rotr(e, 11) ^ tg_rotr(e, 25)) +
                            ((e & v[5]) ^ (~e & v[6])) + k[i] + w[i];
        const uint32_t t2 = (tg_rotr(a, 2) ^ tg_rotr(a, 13) ^ tg_rotr(a, 22)) +
                            ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof(v[0]));
        v[4] += t1;
        v[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++)
        h[i] += v[i];
}

TG_UNUSED static void tg_sha256(char hex[65], const void *data, size_t n)
{
    const unsigned char *p = data;
    uint32_t h[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
    unsigned char last[128] = { 0 };
    const size_t whole = n / 64 * 64, rest = n - whole, lastn = rest < 56 ? 64 : 128;

    for (size_t i = 0; i < whole; i += 64)
        tg_sha_block(h, p + i);
    if (rest)
        memcpy(last, p + whole, rest);
    last[rest] = 0x80;
    for (int i = 0; i < 8; i++)
        last[lastn - 1 - (size_t)i] = (unsigned char)((uint64_t)n * 8 >> (8 * i));
    for (size_t i = 0; i < lastn; i += 64)
        tg_sha_block(h, last + i);
    for (int i = 0; i < 8; i++)
        snprintf(hex + 8 * i, 9, "%08" PRIx32, h[i]);
}

/* tg_text: the bytes of one entry of texts.json (text, hex or file). */
TG_UNUSED static char *tg_text(const json_t *entry, size_t *n)
{
    const json_t *const text = json_object_get(entry, "text");
    const char *const hex = json_string_value(json_object_get(entry, "hex"));
    char *s = NULL;

    if (text) {
        *n = json_string_length(text);
        s = malloc(*n + 1);
        memcpy(s, json_string_value(text), *n + 1);
    } else if (hex) {
        *n = strlen(hex) / 2;
        s = malloc(*n + 1);
        for (size_t i = 0; i < *n; i++) {
            unsigned byte = 0;
            sscanf(hex + 2 * i, "%2x", &byte);
            s[i] = (char)byte;
        }
    } else {
        char path[512];
        tg_path(path, sizeof(path), json_string_value(json_object_get(entry, "file")), NULL);
        if (mm_io_slurp(path, (size_t)1 << 24, &s, n, NULL) < 0) {
            fprintf(stderr, "%s: cannot be read\n", path);
            exit(1);
        }
    }
    return s;
}

/* tg_same_list: is v[n] the JSON list? */
TG_UNUSED static bool tg_same_list(const json_t *list, const int32_t *v, size_t n)
{
    if (json_array_size(list) != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (json_integer_value(json_array_get(list, i)) != v[i])
            return false;
    return true;
}

/* tg_same_ids: are ids what expect gives under key (a list, or KEY_n and
 * KEY_sha256)?  An expectation without key is the caller's mistake: false. */
TG_UNUSED static bool tg_same_ids(const json_t *expect, const char *key, const struct mm_ids *ids)
{
    char name[64], hex[65];
    const json_t *const list = json_object_get(expect, key);

    if (list)
        return tg_same_list(list, ids->v, ids->n);
    snprintf(name, sizeof(name), "%s_n", key);
    const json_t *const count = json_object_get(expect, name);
    snprintf(name, sizeof(name), "%s_sha256", key);
    const char *const sha = json_string_value(json_object_get(expect, name));
    if (!count || !sha || (size_t)json_integer_value(count) != ids->n)
        return false;
    unsigned char *const le = malloc(4 * ids->n + 1);
    for (size_t i = 0; i < ids->n; i++)
        mm_put_u32(le + 4 * i, (uint32_t)ids->v[i]);
    tg_sha256(hex, le, 4 * ids->n);
    free(le);
    return strcmp(hex, sha) == 0;
}

/* tg_has: does expect give key, in full or as KEY_sha256? */
TG_UNUSED static bool tg_has(const json_t *expect, const char *key)
{
    char name[64];

    snprintf(name, sizeof(name), "%s_sha256", key);
    return json_object_get(expect, key) || json_object_get(expect, name);
}

/* tg_same_text: is s[n] the string under key, or has it the hash KEY_sha256? */
TG_UNUSED static bool tg_same_text(const json_t *expect, const char *key, const char *s, size_t n)
{
    char name[64], hex[65];
    const json_t *const str = json_object_get(expect, key);

    if (str)
        return json_string_length(str) == n && (n == 0 || memcmp(json_string_value(str), s, n) == 0);
    snprintf(name, sizeof(name), "%s_sha256", key);
    const char *const sha = json_string_value(json_object_get(expect, name));
    tg_sha256(hex, s ? s : "", n);
    return sha && strcmp(hex, sha) == 0;
}

TG_UNUSED static int tg_differs(const char *what, const char *id, const char *key,
                                const struct mm_ids *ids, const struct mm_buf *text)
{
    fprintf(stderr, "%s: %s: %s differs:", what, id, key);
    for (size_t i = 0; ids && i < ids->n && i < 40; i++)
        fprintf(stderr, " %" PRId32, ids->v[i]);
    if (text)
        fprintf(stderr, " got '%.200s'", text->p ? text->p : "");
    fputc('\n', stderr);
    return 1;
}

/* tg_check_ids: encode s[n] with flags and compare with key, if expect has it. */
TG_UNUSED static int tg_check_ids(const struct mm_tok *t, const char *what, const char *id,
                                  const json_t *expect, const char *key, const char *s, size_t n,
                                  unsigned flags)
{
    struct mm_ids ids = { 0 };
    struct mm_err e = { 0 };
    int bad = 0;

    if (!tg_has(expect, key))
        return 0;
    if (mm_tok_encode(t, &ids, s, n, flags, &e) < 0)
        bad = fprintf(stderr, "%s: %s: %s: %s\n", what, id, key, e.msg) != 0;
    else if (!tg_same_ids(expect, key, &ids))
        bad = tg_differs(what, id, key, &ids, NULL);
    mm_ids_free(&ids);
    return bad;
}

/* tg_check_deltas: stream ids and compare each step; expect may be NULL: then
 * the whole must be what mm_tok_decode gives. */
TG_UNUSED static int tg_check_deltas(const struct mm_tok *t, const char *what, const char *id,
                                     const json_t *expect, const int32_t *v, size_t n,
                                     bool after_prompt)
{
    struct mm_tok_stream *s = NULL;
    struct mm_buf all = { 0 };
    struct mm_err e = { 0 };
    int bad = 0;

    if (mm_tok_stream_new(&s, t, after_prompt, &e) < 0)
        return 1;
    if (expect && json_array_size(expect) != n)
        bad = tg_differs(what, id, "number of deltas", NULL, NULL);
    for (size_t i = 0; i < n && !bad; i++) {
        const size_t from = all.n;
        if (mm_tok_stream_put(s, &all, v[i], &e) < 0)
            bad = fprintf(stderr, "%s: %s: %s\n", what, id, e.msg) != 0;
        const json_t *const want = json_array_get(expect, i);
        if (expect && (json_string_length(want) != all.n - from ||
                       (all.n > from && memcmp(json_string_value(want), all.p + from, all.n - from))))
            bad = tg_differs(what, id, "deltas", NULL, &all);
    }
    if (!bad && mm_tok_stream_end(s, &all, &e) < 0)
        bad = 1;
    if (!bad && !expect && !after_prompt) {
        struct mm_buf whole = { 0 };
        if (mm_tok_decode(t, &whole, v, n, false, &e) < 0 || whole.n != all.n ||
            (all.n && memcmp(whole.p, all.p, all.n)))
            bad = tg_differs(what, id, "streamed text", NULL, &all);
        mm_buf_free(&whole);
    }
    mm_tok_stream_free(s);
    mm_buf_free(&all);
    return bad;
}

/* tg_check_decode: decode ids and compare with key, if expect has it. */
TG_UNUSED static int tg_check_decode(const struct mm_tok *t, const char *what, const char *id,
                                     const json_t *expect, const char *key,
                                     const struct mm_ids *ids, bool keep_special)
{
    struct mm_buf out = { 0 };
    struct mm_err e = { 0 };
    int bad = 0;

    if (!tg_has(expect, key))
        return 0;
    if (mm_tok_decode(t, &out, ids->v, ids->n, keep_special, &e) < 0)
        bad = fprintf(stderr, "%s: %s: %s: %s\n", what, id, key, e.msg) != 0;
    else if (!tg_same_text(expect, key, out.p, out.n))
        bad = tg_differs(what, id, key, NULL, &out);
    mm_buf_free(&out);
    return bad;
}

/* tg_check_text: every stage of one text against expect (the "error" string,
 * or an object with ids, ids_special, ids_parse, text, text_special, deltas,
 * each optional).  flags: MM_TOK_PARSE or 0, as the case's ids were made. */
TG_UNUSED static int tg_check_text(const struct mm_tok *t, const char *what, const char *id,
                                   const json_t *expect, const char *s, size_t n, unsigned flags)
{
    struct mm_ids ids = { 0 };
    struct mm_err e = { 0 };
    int bad = 0;

    if (json_is_string(expect)) { /* "error" */
        const int rc = mm_tok_encode(t, &ids, s, n, flags | MM_TOK_SPECIAL, &e);
        if (rc != MM_EDATA || !strstr(e.msg, "UTF-8"))
            bad = fprintf(stderr, "%s: %s: accepted\n", what, id) != 0;
        mm_ids_free(&ids);
        return bad;
    }
    bad += tg_check_ids(t, what, id, expect, "ids", s, n, flags);
    bad += tg_check_ids(t, what, id, expect, "ids_special", s, n, flags | MM_TOK_SPECIAL);
    bad += tg_check_ids(t, what, id, expect, "ids_parse", s, n, MM_TOK_PARSE);
    if (!bad && mm_tok_encode(t, &ids, s, n, flags | MM_TOK_SPECIAL, &e) == 0) {
        bad += tg_check_decode(t, what, id, expect, "text", &ids, false);
        bad += tg_check_decode(t, what, id, expect, "text_special", &ids, true);
        bad += tg_check_deltas(t, what, id, json_object_get(expect, "deltas"), ids.v, ids.n, false);
    }
    mm_ids_free(&ids);
    return bad;
}

/* tg_check_case: all shared texts, and config.decode -> decode, of a case. */
TG_UNUSED static int tg_check_case(const struct mm_tok *t, const char *name, unsigned flags)
{
    json_t *const texts = tg_json("texts.json", NULL), *const want = tg_json(name, "expected.json");
    json_t *const conf = tg_json(name, "case.json");
    const json_t *const lists = json_object_get(json_object_get(conf, "config"), "decode");
    const json_t *const decoded = json_object_get(want, "decode");
    int bad = 0;

    for (size_t i = 0; i < json_array_size(texts); i++) {
        const json_t *const entry = json_array_get(texts, i);
        const char *const id = json_string_value(json_object_get(entry, "id"));
        const json_t *const expect = json_object_get(json_object_get(want, "texts"), id);
        size_t n = 0;
        if (!expect) {
            bad += tg_differs(name, id, "expectation (absent)", NULL, NULL);
            continue;
        }
        char *const s = tg_text(entry, &n);
        bad += tg_check_text(t, name, id, expect, s, n, flags);
        free(s);
    }
    for (size_t i = 0; i < json_array_size(lists); i++) {
        const json_t *const list = json_array_get(lists, i);
        const json_t *const text = json_array_get(decoded, i);
        struct mm_ids ids = { 0 };
        json_t *const expect = json_object();
        char id[32];
        snprintf(id, sizeof(id), "decode %zu", i);
        for (size_t k = 0; k < json_array_size(list); k++)
            if (mm_ids_add(&ids, (int32_t)json_integer_value(json_array_get(list, k))) < 0)
                bad++;
        json_object_set(expect, "text", (json_t *)(uintptr_t)text);
        bad += text ? tg_check_decode(t, name, id, expect, "text", &ids, false) : 1;
        json_decref(expect);
        mm_ids_free(&ids);
    }
    json_decref(texts);
    json_decref(want);
    json_decref(conf);
    return bad;
}

#endif
