/* tally.h: how many records of instruction data there are, and how long they are. */
#ifndef MM_NET_TALLY_H
#define MM_NET_TALLY_H

#include "base/json.h"
#include "net/instruct.h"

/* By type; MM_NINSTRUCT is what has none. */
struct mm_tally {
    size_t items[MM_NINSTRUCT + 1];
    size_t pairs[MM_NINSTRUCT + 1]; /* questions with their answers */
    size_t asked[MM_NINSTRUCT + 1]; /* words of questions, <image> not counted */
    size_t said[MM_NINSTRUCT + 1];  /* words of answers */
    json_t *images;                 /* a set of file names: an object of the caller's */
};

/* mm_tally_add: count a record of LLaVA's JSON; user is a struct mm_tally.  Its type is
 * its member "type" or, as published files have none, the type that the name of
 * its file holds (detail_23k.json).  MM_EDATA: no record. */
MM_MUST_CHECK int mm_tally_add(void *user, const json_t *o, const char *path, struct mm_err *e);

#endif
