/* jsonschema.c: JSON Schema to GBNF: one rule per subschema, r0, r1, ... */
#include "nn/jsonschema.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NESTING = 64, MAX_RULES = 20000 };

struct conv {
    const json_t *root;
    struct mm_buf *out;
    json_t *refs;  /* JSON pointer -> number of its rule */
    int nrule, depth;
    struct mm_err *e;
};

/* Any JSON.  White space is at most one line break and 20 columns; an escape
 * never makes half a surrogate pair; numbers fit a double. */
static const char base_rules[] =
    "ws ::= | \" \" | \"\\n\" [ \\t]{0,20}\n"
    "value ::= object | array | string | number | boolean | null\n"
    "object ::= \"{\" ws ( member ( \",\" ws member )* )? \"}\"\n"
    "member ::= string ws \":\" ws value ws\n"
    "array ::= \"[\" ws ( value ws ( \",\" ws value ws )* )? \"]\"\n"
    "char ::= [^\"\\\\\\x7F\\x00-\\x1F] | \"\\\\\" ( [\"\\\\/bfnrt] | \"u\" unit )\n"
    "unit ::= [0-9a-cA-CefEF] hex{3} | [dD] [0-7] hex{2}\n"
    "hex ::= [0-9a-fA-F]\n"
    "string ::= \"\\\"\" char* \"\\\"\"\n"
    "integer ::= \"-\"? ( \"0\" | [1-9] [0-9]{0,15} )\n"
    "number ::= integer ( \".\" [0-9]{1,16} )? ( [eE] [-+]? [0-9]{1,2} )?\n"
    "boolean ::= \"true\" | \"false\"\n"
    "null ::= \"null\"\n";

static int subschema(struct conv *c, const json_t *s);

static int unsupported(struct conv *c, const char *key)
{
    return mm_err_set(c->e, MM_EMISSING, "JSON schema: keyword '%s' is not supported here", key);
}

static int malformed(struct conv *c, const char *key)
{
    return mm_err_set(c->e, MM_EDATA, "JSON schema: '%s' is malformed", key);
}

/* Append s[n] as a GBNF literal. */
static void quote(struct mm_buf *b, const char *s)
{
    mm_buf_char(b, '"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            mm_buf_char(b, '\\');
        if ((unsigned char)*s < 0x20)
            mm_buf_printf(b, "\\x%02X", (unsigned)(unsigned char)*s);
        else
            mm_buf_char(b, *s);
    }
    mm_buf_char(b, '"');
}

/* The JSON text of a constant as a literal. */
static int constant(struct conv *c, struct mm_buf *body, const json_t *v)
{
    char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);

    if (!text)
        return mm_err_set(c->e, MM_ENOMEM, "JSON schema: out of memory");
    quote(body, text);
    free(text);
    return 0;
}

/* Keywords that allow fewer documents and are not in `known` (NULL-terminated). */
static int check_keywords(struct conv *c, const json_t *s, const char *const *known)
{
    static const char *const free_words[] = {
        "title", "description", "default", "examples", "$schema", "$id", "$comment", "$defs",
        "definitions", "format", "deprecated", "readOnly", "writeOnly", "additionalProperties",
        "additionalItems", "contentEncoding", "contentMediaType", "type", NULL
    };
    const char *key;
    const json_t *v;

    json_object_foreach((json_t *)(uintptr_t)s, key, v) {
        bool ok = false;
        for (size_t i = 0; known[i] && !ok; i++)
            ok = strcmp(key, known[i]) == 0;
        for (size_t i = 0; free_words[i] && !ok; i++)
            ok = strcmp(key, free_words[i]) == 0;
        if (!ok)
            return unsupported(c, key);
    }
    return 0;
}

/* A count member of s; dflt if absent. */
static int count(struct conv *c, const json_t *s, const char *key, int64_t dflt, int64_t *n)
{
    const json_t *v = json_object_get(s, key);

    *n = v ? json_integer_value(v) : dflt;
    if (v && (!json_is_integer(v) || *n < 0 || *n > 10000))
        return malformed(c, key);
    return 0;
}

/* item{lo,hi} in GBNF; hi < 0: no bound. */
static void repetition(struct mm_buf *b, int64_t lo, int64_t hi)
{
    if (hi < 0)
        mm_buf_printf(b, "{%lld,}", (long long)lo);
    else
        mm_buf_printf(b, "{%lld,%lld}", (long long)lo, (long long)hi);
}

static int string_body(struct conv *c, struct mm_buf *body, const json_t *s)
{
    static const char *const known[] = { "minLength", "maxLength", NULL };
    int64_t lo;
    int64_t hi;
    int rc = check_keywords(c, s, known);

    if (rc == 0)
        rc = count(c, s, "minLength", 0, &lo);
    if (rc == 0)
        rc = count(c, s, "maxLength", -1, &hi);
    if (rc < 0)
        return rc;
    if (hi >= 0 && hi < lo)
        return malformed(c, "maxLength");
    mm_buf_str(body, "\"\\\"\" char");
    repetition(body, lo, hi);
    mm_buf_str(body, " \"\\\"\"");
    return 0;
}

static int array_body(struct conv *c, struct mm_buf *body, const json_t *s)
{
    static const char *const known[] = { "items", "prefixItems", "minItems", "maxItems", NULL };
    const json_t *items = json_object_get(s, "items");
    const json_t *first = json_object_get(s, "prefixItems");
    const int64_t fixed = (int64_t)json_array_size(first);
    int64_t lo;
    int64_t hi;
    int rc = check_keywords(c, s, known);

    if (rc == 0)
        rc = count(c, s, "minItems", 0, &lo);
    if (rc == 0)
        rc = count(c, s, "maxItems", json_is_false(items) ? fixed : -1, &hi);
    if (rc < 0)
        return rc;
    if (first && !json_is_array(first))
        return malformed(c, "prefixItems");
    if (hi >= 0 && hi < (lo > fixed ? lo : fixed))
        return malformed(c, "maxItems");
    mm_buf_str(body, "\"[\" ws ");
    for (int64_t i = 0; i < fixed; i++) {
        const int r = subschema(c, json_array_get(first, (size_t)i));
        if (r < 0)
            return r;
        mm_buf_printf(body, "%sr%d ws ", i ? "\",\" ws " : "", r);
    }
    lo = lo > fixed ? lo - fixed : 0;
    hi = hi < 0 ? -1 : hi - fixed;
    if (hi != 0) {
        const int r = subschema(c, items);
        if (r < 0)
            return r;
        if (fixed) {
            mm_buf_printf(body, "( \",\" ws r%d ws )", r);
            repetition(body, lo, hi);
        } else {
            mm_buf_printf(body, "( r%d ws ( \",\" ws r%d ws )", r, r);
            repetition(body, lo ? lo - 1 : 0, hi < 0 ? -1 : hi - 1);
            mm_buf_str(body, lo ? " )" : " )?");
        }
    }
    mm_buf_str(body, " \"]\"");
    return 0;
}

static bool in_array(const json_t *a, const char *s)
{
    for (size_t i = 0; i < json_array_size(a); i++) {
        const char *v = json_string_value(json_array_get(a, i));
        if (v && strcmp(v, s) == 0)
            return true;
    }
    return false;
}

/* Properties in their order.  Rule oN: the rest from property N on when none has
 * been written yet, cN: when one has, so that commas fall in place. */
static int object_body(struct conv *c, struct mm_buf *body, const json_t *s)
{
    static const char *const known[] = { "properties", "required", NULL };
    const json_t *props = json_object_get(s, "properties");
    const json_t *required = json_object_get(s, "required");
    const int id = c->nrule++;
    const char *key;
    const json_t *v;
    size_t i = 0;
    int rc = check_keywords(c, s, known);

    if (rc < 0)
        return rc;
    if (props && !json_is_object(props))
        return malformed(c, "properties");
    if (required && !json_is_array(required))
        return malformed(c, "required");
    for (size_t k = 0; k < json_array_size(required); k++) {
        const char *name = json_string_value(json_array_get(required, k));
        if (!name || !json_object_get(props, name))
            return mm_err_set(c->e, MM_EDATA, "JSON schema: required property '%s' is not among "
                              "the properties", name ? name : "?");
    }
    if (!props) {
        mm_buf_str(body, "object");
        return 0;
    }
    json_object_foreach((json_t *)(uintptr_t)props, key, v) {
        struct mm_buf name = { 0 };
        json_t *text = json_string(key);
        const int r = subschema(c, v);
        rc = r < 0 ? r : constant(c, &name, text);
        if (name.failed)
            rc = mm_err_set(c->e, MM_ENOMEM, "JSON schema: out of memory");
        if (rc == 0) {
            const bool must = in_array(required, key);
            mm_buf_printf(c->out, "p%d-%zu ::= %s ws \":\" ws r%d ws\n", id, i, name.p, r);
            mm_buf_printf(c->out, "o%d-%zu ::= p%d-%zu c%d-%zu", id, i, id, i, id, i + 1);
            mm_buf_printf(c->out, must ? "\n" : " | o%d-%zu\n", id, i + 1);
            mm_buf_printf(c->out, "c%d-%zu ::= \",\" ws p%d-%zu c%d-%zu", id, i, id, i, id, i + 1);
            mm_buf_printf(c->out, must ? "\n" : " | c%d-%zu\n", id, i + 1);
        }
        json_decref(text);
        mm_buf_free(&name);
        if (rc < 0)
            return rc;
        i++;
    }
    mm_buf_printf(c->out, "o%d-%zu ::= \"\"\nc%d-%zu ::= \"\"\n", id, i, id, i);
    mm_buf_printf(body, "\"{\" ws o%d-0 \"}\"", id);
    return 0;
}

static int one_type(struct conv *c, struct mm_buf *body, const json_t *s, const char *type)
{
    static const char *const plain[] = { "integer", "number", "boolean", "null" };
    static const char *const none[] = { NULL };

    if (strcmp(type, "string") == 0)
        return string_body(c, body, s);
    if (strcmp(type, "array") == 0)
        return array_body(c, body, s);
    if (strcmp(type, "object") == 0)
        return object_body(c, body, s);
    for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++)
        if (strcmp(type, plain[i]) == 0) {
            mm_buf_str(body, type);
            return json_is_array(json_object_get(s, "type")) ? 0 : check_keywords(c, s, none);
        }
    return malformed(c, "type");
}

/* The alternatives of an array of schemas or constants. */
static int choices(struct conv *c, struct mm_buf *body, const json_t *list, const char *key)
{
    int rc = 0;

    if (!json_is_array(list) || json_array_size(list) == 0)
        return malformed(c, key);
    for (size_t i = 0; i < json_array_size(list) && rc >= 0; i++) {
        const json_t *v = json_array_get(list, i);
        mm_buf_str(body, i ? " | " : "");
        if (strcmp(key, "enum") == 0) {
            rc = constant(c, body, v);
        } else {
            rc = subschema(c, v);
            if (rc >= 0)
                mm_buf_printf(body, "r%d", rc);
        }
    }
    return rc < 0 ? rc : 0;
}

/* Resolve "#/a/b" (RFC 6901) in the document. */
static int resolve(const json_t **to, const struct conv *c, const char *ref)
{
    const char *const whole = ref;

    const json_t *at = c->root;
    struct mm_buf key = { 0 };

    if (*ref++ != '#')
        at = NULL;
    while (at && *ref == '/') {
        mm_buf_reset(&key);
        for (ref++; *ref && *ref != '/'; ref++) {
            const bool tilde = ref[0] == '~' && (ref[1] == '0' || ref[1] == '1');
            mm_buf_char(&key, tilde ? (ref[1] == '0' ? '~' : '/') : *ref);
            ref += tilde;
        }
        mm_buf_str(&key, "");
        if (json_is_array(at))
            at = key.p && *key.p >= '0' && *key.p <= '9'
                     ? json_array_get(at, strtoul(key.p, NULL, 10)) : NULL;
        else
            at = key.p ? json_object_get(at, key.p) : NULL;
    }
    const bool failed = key.failed;
    mm_buf_free(&key);
    if (failed)
        return mm_err_set(c->e, MM_ENOMEM, "JSON schema: out of memory");
    if (!at || *ref != '\0')
        return mm_err_set(c->e, MM_EDATA, "JSON schema: $ref '%s' leads nowhere", whole);
    *to = at;
    return 0;
}

/* The rule of a $ref: converted once, so a schema may refer to itself. */
static int reference(struct conv *c, const char *ref)
{
    const json_t *known = json_object_get(c->refs, ref);
    const json_t *to = NULL;

    if (known)
        return (int)json_integer_value(known);
    const int found = resolve(&to, c, ref);
    if (found < 0)
        return found;
    const int id = c->nrule++;
    if (json_object_set_new(c->refs, ref, json_integer(id)) < 0)
        return mm_err_set(c->e, MM_ENOMEM, "JSON schema: out of memory");
    const int r = subschema(c, to);
    if (r >= 0)
        mm_buf_printf(c->out, "r%d ::= r%d\n", id, r);
    return r < 0 ? r : id;
}

static int body_of(struct conv *c, struct mm_buf *body, const json_t *s)
{
    static const char *const with[] = { "$ref", "const", "enum", "anyOf", "oneOf", "allOf" };
    const json_t *type = json_object_get(s, "type");
    int rc = 0;

    for (size_t i = 0; i < sizeof(with) / sizeof(*with); i++) {
        const json_t *v = json_object_get(s, with[i]);
        if (!v)
            continue;
        rc = check_keywords(c, s, (const char *const[]){ with[i], NULL });
        if (rc < 0)
            return rc;
        if (i == 0) {
            if (!json_is_string(v))
                return malformed(c, "$ref");
            rc = reference(c, json_string_value(v));
            if (rc >= 0)
                mm_buf_printf(body, "r%d", rc);
            return rc < 0 ? rc : 0;
        }
        if (i == 1)
            return constant(c, body, v);
        if (i == 5 && json_array_size(v) > 1)
            return unsupported(c, "allOf");
        return choices(c, body, v, with[i]);
    }
    if (json_is_string(type))
        return one_type(c, body, s, json_string_value(type));
    if (json_is_array(type) && json_array_size(type) > 0) {
        for (size_t i = 0; i < json_array_size(type) && rc == 0; i++) {
            const char *t = json_string_value(json_array_get(type, i));
            mm_buf_str(body, i ? " | " : "");
            rc = t ? one_type(c, body, s, t) : malformed(c, "type");
        }
        return rc;
    }
    if (type)
        return malformed(c, "type");
    if (json_object_get(s, "properties"))
        return object_body(c, body, s);
    if (json_object_get(s, "items") || json_object_get(s, "prefixItems"))
        return array_body(c, body, s);
    mm_buf_str(body, "value");
    return check_keywords(c, s, (const char *const[]){ NULL });
}

/* The number of a new rule for s; NULL and true: any JSON. */
static int subschema(struct conv *c, const json_t *s)
{
    struct mm_buf body = { 0 };
    int rc = 0;

    if (c->depth >= MAX_NESTING)
        return mm_err_set(c->e, MM_EDATA, "JSON schema: nested too deeply");
    if (c->nrule >= MAX_RULES)
        return mm_err_set(c->e, MM_EDATA, "JSON schema: too large");
    const int id = c->nrule++;
    c->depth++;
    if (!s || json_is_true(s))
        mm_buf_str(&body, "value");
    else if (json_is_object(s))
        rc = body_of(c, &body, s);
    else
        rc = mm_err_set(c->e, MM_EDATA, "JSON schema: a schema is an object%s",
                        json_is_false(s) ? " (false allows nothing)" : "");
    c->depth--;
    if (rc >= 0 && body.failed)
        rc = mm_err_set(c->e, MM_ENOMEM, "JSON schema: out of memory");
    if (rc >= 0)
        mm_buf_printf(c->out, "r%d ::= %s\n", id, body.n ? body.p : "");
    mm_buf_free(&body);
    return rc < 0 ? rc : id;
}

int mm_jsonschema_gbnf(struct mm_buf *out, const json_t *schema, struct mm_err *e)
{
    struct conv c = { .root = schema, .out = out, .refs = json_object(), .e = e };
    int rc = c.refs ? subschema(&c, schema) : MM_ENOMEM;

    if (rc >= 0) {
        mm_buf_printf(out, "root ::= ws r%d\n", rc);
        mm_buf_str(out, base_rules);
        rc = 0;
    }
    json_decref(c.refs);
    return out->failed ? mm_err_set(e, MM_ENOMEM, "JSON schema: out of memory") : rc;
}
