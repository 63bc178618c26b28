/* remote.h: a client of endpoints that speak OpenAI's chat completions.
 *
 * Several requests are in flight at once; what fails for a passing reason (429,
 * 5xx, a timeout, a cut connection, a reply that is no JSON) is asked again
 * after an exponentially growing wait with jitter, or after what Retry-After
 * says if that is longer.  Certificates of https are verified, redirections are
 * not followed, the key is sent in the Authorization header alone and struck out
 * of every message.  For one thread; the calls of several clients in several
 * threads need a curl_global_init before them.
 */
#ifndef MM_NET_REMOTE_H
#define MM_NET_REMOTE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct mm_remote; /* a client: its connections, what is in flight and what waits */

struct mm_remote_opts {
    const char *endpoint; /* http(s)://host[:port]/v1; /chat/completions is added if not there */
    const char *model;    /* name the endpoint knows the model by */
    const char *key;      /* bearer token, or NULL */
    int jobs;             /* requests in flight, 1..256 */
    int tries;            /* attempts a request, 1..100 */
    double timeout;       /* seconds for one attempt, > 0 */
    double backoff;       /* seconds before the second attempt; doubles up to 60 */
    double max_wait;      /* longest Retry-After that is honoured, seconds */
    size_t max_reply;     /* bytes of a reply; more is an error */
    double temperature;   /* < 0: the endpoint's default */
    int max_tokens;       /* of an answer; 0: the endpoint's default */
    uint64_t seed;        /* of the jitter */
};

/* mm_remote_defaults: 1 in flight, 6 tries, 120 s, back-off from 1 s, Retry-After
 * up to 600 s, 4 MiB, temperature and length the endpoint's. */
extern const struct mm_remote_opts mm_remote_defaults;

struct mm_remote_msg {
    const char *role; /* "system", "user", "assistant" */
    const char *text; /* UTF-8 */
};

/* What became of a request.  code: 0, and text is the answer;
 *   MM_EDATA     the reply cannot be used: why = "http-4xx", "no-choices",
 *                "no-text", "too-large"
 *   MM_EMISSING  the endpoint refuses: "key" (401, 403), "not-found" (404)
 *   MM_EIO       failed at every try: "http-429", "http-5xx", "timeout", "cut",
 *                "connect", "not-json" */
struct mm_remote_reply {
    size_t id;      /* the caller's */
    int code;
    char why[16];
    char msg[512];  /* one line: what curl or the endpoint said; never the key */
    int status;     /* of HTTP, 0 if none came */
    int tries;      /* attempts made */
    char *text;     /* answer, NULL unless code is 0 */
    char finish[32]; /* finish_reason: "stop", "length", ...; "" if absent */
};

/* mm_remote_open: MM_EUSAGE for a URL that is none of http or https or a key that
 * is no header text, MM_ENOMEM.  The strings of *o are copied. */
MM_MUST_CHECK int mm_remote_open(struct mm_remote **c, const struct mm_remote_opts *o,
                               struct mm_err *e);
void mm_remote_free(struct mm_remote *c); /* drops what is in flight; takes NULL */

/* mm_remote_add: ask; id comes back in the reply.  MM_EDATA: text that is not
 * UTF-8; MM_ENOMEM.  The messages are copied. */
MM_MUST_CHECK int mm_remote_add(struct mm_remote *c, size_t id, const struct mm_remote_msg *m,
                              size_t n, struct mm_err *e);

/* mm_remote_wait: the next reply, in the order they come.  1, 0 when nothing is
 * asked any more, or MM_ENOMEM, MM_EIO (curl itself failed).  *r is undone by
 * mm_remote_reply_free. */
MM_MUST_CHECK int mm_remote_wait(struct mm_remote *c, struct mm_remote_reply *r, struct mm_err *e);
void mm_remote_reply_free(struct mm_remote_reply *r); /* takes a zeroed one */

#endif
