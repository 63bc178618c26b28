/* tally.c: how many records of instruction data there are. */
#include "net/tally.h"

#include <string.h>

static size_t words(const char *s)
{
    size_t n = 0;

    for (s += strspn(s, " \t\r\n"); *s; s += strspn(s, " \t\r\n")) {
        const size_t len = strcspn(s, " \t\r\n");

        n += !(len == 7 && memcmp(s, "<image>", 7) == 0);
        s += len;
    }
    return n;
}

/* The type of a record; where none is said, that in the name of its file (detail_23k.json). */
static int record_type(const json_t *o, const char *path)
{
    const char *base = strrchr(path, '/');
    int type = mm_instruct_type(json_string_value(json_object_get(o, "type")));

    for (int t = 0; type < 0 && t < MM_NINSTRUCT; t++)
        if (strstr(base != NULL ? base : path, mm_instruct_name((enum mm_instruct)t)) != NULL)
            type = t;
    return type < 0 ? MM_NINSTRUCT : type;
}

int mm_tally_add(void *user, const json_t *o, const char *path, struct mm_err *e)
{
    struct mm_tally *y = user;
    const json_t *list = json_object_get(o, "conversations");
    const char *image = json_string_value(json_object_get(o, "image"));
    const int t = record_type(o, path);

    if (!json_is_array(list))
        return mm_err_set(e, MM_EDATA, "%s: a record without conversations", path);
    y->items[t]++;
    if (image != NULL)
        json_object_set_new(y->images, image, json_true());
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *s = json_string_value(json_object_get(json_array_get(list, i), "value"));

        if (s == NULL)
            return mm_err_set(e, MM_EDATA, "%s: a turn without value", path);
        *(i % 2 ? &y->said[t] : &y->asked[t]) += words(s);
        y->pairs[t] += i % 2;
    }
    return 0;
}
