/* remote.c: a client of endpoints that speak OpenAI's chat completions. */
#include "net/remote.h"

#include <curl/curl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/rng.h"

static const double MAX_BACKOFF = 60;
static const char tail[] = "/chat/completions";

const struct mm_remote_opts mm_remote_defaults = {
    .jobs = 1, .tries = 6, .timeout = 120, .backoff = 1, .max_wait = 600,
    .max_reply = 4u << 20, .temperature = -1,
};

/* One request, from mm_remote_add to its reply. */
struct job {
    struct job *next;
    struct mm_remote *chat;
    size_t id;
    char *body;        /* what is posted */
    struct mm_buf in;  /* what came */
    bool large;        /* more than max_reply came */
    CURL *easy;        /* NULL: not in flight */
    int tries;
    double due;        /* not before */
    char err[CURL_ERROR_SIZE];
};

struct mm_remote {
    struct mm_remote_opts o; /* its strings are the copies below */
    char *url, *model, *key;
    struct curl_slist *headers;
    CURLM *multi;
    struct job *first; /* in the order they were asked */
    int running;
    double hold;       /* nobody starts before: the endpoint said so */
    struct mm_rng rng;
};

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void stop(struct mm_remote *c, struct job *j)
{
    if (j->easy == NULL)
        return;
    curl_multi_remove_handle(c->multi, j->easy);
    curl_easy_cleanup(j->easy);
    j->easy = NULL;
    c->running--;
}

static void job_free(struct job *j)
{
    free(j->body);
    mm_buf_free(&j->in);
    free(j);
}

void mm_remote_free(struct mm_remote *c)
{
    if (c == NULL)
        return;
    while (c->first != NULL) {
        struct job *j = c->first;

        c->first = j->next;
        stop(c, j);
        job_free(j);
    }
    if (c->multi != NULL)
        curl_multi_cleanup(c->multi);
    curl_slist_free_all(c->headers);
    free(c->url);
    free(c->model);
    free(c->key);
    free(c);
    curl_global_cleanup();
}

/* The URL to post to: malloc'd, NULL if out of memory. */
static char *full_url(const char *s)
{
    struct mm_buf b = { 0 };
    size_t n = strlen(s);

    while (n > 0 && s[n - 1] == '/')
        n--;
    mm_buf_add(&b, s, n);
    if (n < sizeof(tail) - 1 || memcmp(s + n - (sizeof(tail) - 1), tail, sizeof(tail) - 1) != 0)
        mm_buf_str(&b, tail);
    if (b.failed) {
        mm_buf_free(&b);
        return NULL;
    }
    return b.p;
}

static bool add_header(struct mm_remote *c, const char *text)
{
    struct curl_slist *l = curl_slist_append(c->headers, text);

    if (l != NULL)
        c->headers = l;
    return l != NULL;
}

static bool set_up(struct mm_remote *c)
{
    struct mm_buf b = { 0 };
    bool ok;

    c->url = full_url(c->o.endpoint);
    c->model = strdup(c->o.model);
    c->multi = curl_multi_init();
    ok = c->url != NULL && c->model != NULL && c->multi != NULL &&
         add_header(c, "Content-Type: application/json") && add_header(c, "Expect:");
    if (ok && c->o.key != NULL) {
        c->key = strdup(c->o.key);
        mm_buf_printf(&b, "Authorization: Bearer %s", c->o.key);
        ok = c->key != NULL && !b.failed && add_header(c, b.p);
        mm_buf_free(&b);
    }
    return ok;
}

int mm_remote_open(struct mm_remote **out, const struct mm_remote_opts *o, struct mm_err *e)
{
    struct mm_remote *c;

    *out = NULL;
    if (strncasecmp(o->endpoint, "http://", 7) != 0 && strncasecmp(o->endpoint, "https://", 8) != 0)
        return mm_err_set(e, MM_EUSAGE, "endpoint '%s': neither http:// nor https://", o->endpoint);
    for (const char *p = o->key; p != NULL && *p; p++)
        if (*p <= ' ' || *p > '~')
            return mm_err_set(e, MM_EUSAGE, "the key has a character that no key has");
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        return mm_err_set(e, MM_EIO, "curl does not start");
    c = calloc(1, sizeof(*c));
    if (c == NULL) {
        curl_global_cleanup();
        return mm_err_set(e, MM_ENOMEM, "client: out of memory");
    }
    c->o = *o;
    if (c->o.key != NULL && c->o.key[0] == '\0')
        c->o.key = NULL;
    mm_rng_seed(&c->rng, o->seed);
    if (!set_up(c)) {
        mm_remote_free(c);
        return mm_err_set(e, MM_ENOMEM, "client: out of memory");
    }
    c->o.endpoint = c->url;
    c->o.model = c->model;
    c->o.key = c->key;
    *out = c;
    return 0;
}

/* The request as JSON text, malloc'd; NULL if out of memory or not UTF-8. */
static char *request(const struct mm_remote *c, const struct mm_remote_msg *m, size_t n)
{
    json_t *list = json_array();
    json_t *o = json_pack("{s:s}", "model", c->model);
    bool ok = o != NULL && list != NULL;
    char *text = NULL;

    for (size_t i = 0; ok && i < n; i++)
        ok = json_array_append_new(list, json_pack("{s:s, s:s}", "role", m[i].role,
                                                   "content", m[i].text)) == 0;
    if (ok)
        ok = json_object_set(o, "messages", list) == 0;
    if (ok && c->o.temperature >= 0)
        ok = json_object_set_new(o, "temperature", json_real(c->o.temperature)) == 0;
    if (ok && c->o.max_tokens > 0)
        ok = json_object_set_new(o, "max_tokens", json_integer(c->o.max_tokens)) == 0;
    if (ok)
        text = json_dumps(o, JSON_COMPACT);
    json_decref(list);
    json_decref(o);
    return text;
}

int mm_remote_add(struct mm_remote *c, size_t id, const struct mm_remote_msg *m, size_t n,
                struct mm_err *e)
{
    struct job *j, **at = &c->first;

    for (size_t i = 0; i < n; i++) {
        json_t *s = json_string(m[i].text);

        if (s == NULL)
            return mm_err_set(e, MM_EDATA, "message %zu is not UTF-8", i + 1);
        json_decref(s);
    }
    j = calloc(1, sizeof(*j));
    if (j == NULL || (j->body = request(c, m, n)) == NULL) {
        free(j);
        return mm_err_set(e, MM_ENOMEM, "client: out of memory");
    }
    j->id = id;
    j->chat = c;
    while (*at != NULL)
        at = &(*at)->next;
    *at = j;
    return 0;
}

static size_t receive(char *p, size_t size, size_t n, void *user)
{
    struct job *j = user;

    n *= size;
    if (n > j->chat->o.max_reply - j->in.n) {
        j->large = true;
        return 0;
    }
    mm_buf_add(&j->in, p, n);
    return j->in.failed ? 0 : n;
}

static bool start(struct mm_remote *c, struct job *j)
{
    CURL *h = curl_easy_init();

    if (h == NULL)
        return false;
    mm_buf_reset(&j->in);
    j->large = false;
    j->err[0] = '\0';
    curl_easy_setopt(h, CURLOPT_URL, c->url);
    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(h, CURLOPT_HTTPHEADER, c->headers);
    curl_easy_setopt(h, CURLOPT_USERAGENT, "mm/" MM_VERSION);
    curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(j->body));
    curl_easy_setopt(h, CURLOPT_POSTFIELDS, j->body);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, j);
    curl_easy_setopt(h, CURLOPT_PRIVATE, j);
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, j->err);
    curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)ceil(1000 * c->o.timeout));
    curl_easy_setopt(h, CURLOPT_ACCEPT_ENCODING, "");
    if (curl_multi_add_handle(c->multi, h) != CURLM_OK) {
        curl_easy_cleanup(h);
        return false;
    }
    j->easy = h;
    j->tries++;
    c->running++;
    return true;
}

/* Copies one line of a message that came from outside, the key struck out. */
static void tell(const struct mm_remote *c, struct mm_remote_reply *r, const char *s)
{
    const size_t key = c->key != NULL ? strlen(c->key) : 0;
    size_t n = 0;

    while (*s && n + 4 < sizeof(r->msg)) {
        if (key > 0 && strncmp(s, c->key, key) == 0) {
            memcpy(r->msg + n, "***", 3);
            n += 3;
            s += key;
            continue;
        }
        r->msg[n++] = (unsigned char)*s < ' ' || *s == 0x7f ? ' ' : *s;
        s++;
    }
    r->msg[n] = '\0';
}

/* What the endpoint says of an error: error.message of its JSON, or nothing. */
static void tell_error(const struct mm_remote *c, struct mm_remote_reply *r, const struct job *j)
{
    json_t *o = j->in.n > 0 ? json_loadb(j->in.p, j->in.n, 0, NULL) : NULL;
    const json_t *err = json_object_get(o, "error");
    const char *s = json_string_value(json_is_string(err) ? err : json_object_get(err, "message"));

    if (s != NULL)
        tell(c, r, s);
    else
        snprintf(r->msg, sizeof(r->msg), "HTTP status %d", r->status);
    json_decref(o);
}

static void verdict(struct mm_remote_reply *r, int code, const char *why)
{
    r->code = code;
    snprintf(r->why, sizeof(r->why), "%s", why);
}

/* The answer out of a reply with status 200. */
static int take_answer(const struct mm_remote *c, struct mm_remote_reply *r, const struct job *j,
                       struct mm_err *e)
{
    json_error_t je;
    json_t *o = json_loadb(j->in.n > 0 ? j->in.p : "", j->in.n, 0, &je);
    const json_t *choice = json_array_get(json_object_get(o, "choices"), 0);
    const char *text = json_string_value(json_object_get(json_object_get(choice, "message"), "content"));
    const char *finish = json_string_value(json_object_get(choice, "finish_reason"));
    int rc = 0;

    if (o == NULL) {
        verdict(r, MM_EIO, "not-json");
        tell(c, r, je.text);
    } else if (choice == NULL) {
        verdict(r, MM_EDATA, "no-choices");
        tell_error(c, r, j);
    } else if (text == NULL) {
        verdict(r, MM_EDATA, "no-text");
        snprintf(r->msg, sizeof(r->msg), "the message has no content");
    } else {
        snprintf(r->finish, sizeof(r->finish), "%s", finish != NULL ? finish : "");
        r->text = strdup(text);
        if (r->text == NULL)
            rc = mm_err_set(e, MM_ENOMEM, "client: out of memory");
    }
    json_decref(o);
    return rc;
}

/* What came of an attempt, into *r; MM_EIO there may be tried again. */
static int judge(const struct mm_remote *c, struct mm_remote_reply *r, const struct job *j,
                 CURLcode how, struct mm_err *e)
{
    long status = 0;
    char word[16];

    curl_easy_getinfo(j->easy, CURLINFO_RESPONSE_CODE, &status);
    *r = (struct mm_remote_reply){ .id = j->id, .status = (int)status, .tries = j->tries };
    if (j->in.failed)
        return mm_err_set(e, MM_ENOMEM, "client: out of memory");
    if (j->large) {
        verdict(r, MM_EDATA, "too-large");
        snprintf(r->msg, sizeof(r->msg), "more than %zu bytes", c->o.max_reply);
    } else if (how != CURLE_OK) {
        verdict(r, MM_EIO, how == CURLE_OPERATION_TIMEDOUT ? "timeout" :
                how == CURLE_COULDNT_CONNECT || how == CURLE_COULDNT_RESOLVE_HOST ||
                how == CURLE_SSL_CONNECT_ERROR || how == CURLE_PEER_FAILED_VERIFICATION ?
                "connect" : "cut");
        tell(c, r, j->err[0] ? j->err : curl_easy_strerror(how));
    } else if (status == 200) {
        return take_answer(c, r, j, e);
    } else {
        snprintf(word, sizeof(word), "http-%d", (int)status);
        if (status == 401 || status == 403 || status == 404)
            verdict(r, MM_EMISSING, status == 404 ? "not-found" : "key");
        else
            verdict(r, status == 429 || status == 408 || status >= 500 ? MM_EIO : MM_EDATA, word);
        tell_error(c, r, j);
    }
    return 0;
}

/* When a failed attempt is made again. */
static void delay(struct mm_remote *c, struct job *j, const struct mm_remote_reply *r, curl_off_t after)
{
    double wait = fmin(c->o.backoff * ldexp(1, j->tries < 30 ? j->tries - 1 : 30), MAX_BACKOFF);

    wait *= 0.5 + mm_rng_uniform(&c->rng);
    if (after > 0) {
        wait = fmax(wait, fmin((double)after, c->o.max_wait) + 0.1 * mm_rng_uniform(&c->rng));
        if (r->status == 429 || r->status == 503)
            c->hold = fmax(c->hold, now() + fmin((double)after, c->o.max_wait));
    }
    j->due = now() + wait;
}

/* 1: *r is the reply of a request that is over; 0: none is; negative: error. */
static int harvest(struct mm_remote *c, struct mm_remote_reply *r, struct mm_err *e)
{
    CURLMsg *m;
    int left;

    while ((m = curl_multi_info_read(c->multi, &left)) != NULL) {
        struct job *j, **at = &c->first;
        curl_off_t after = 0;
        char *user;
        int rc;

        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &user);
        curl_easy_getinfo(m->easy_handle, CURLINFO_RETRY_AFTER, &after);
        j = (struct job *)(void *)user;
        rc = judge(c, r, j, m->data.result, e);
        stop(c, j);
        if (rc < 0)
            return rc;
        if (r->code == MM_EIO && j->tries < c->o.tries) {
            delay(c, j, r, after);
            continue;
        }
        while (*at != j)
            at = &(*at)->next;
        *at = j->next;
        job_free(j);
        return 1;
    }
    return 0;
}

/* Starts what is due; *wait becomes the seconds until the next is, at most 1. */
static bool start_due(struct mm_remote *c, double *wait)
{
    const double t = now();

    *wait = 1;
    for (struct job *j = c->first; j != NULL && c->running < c->o.jobs; j = j->next) {
        const double due = fmax(j->due, c->hold);

        if (j->easy != NULL)
            continue;
        if (due > t)
            *wait = fmin(*wait, due - t);
        else if (!start(c, j))
            return false;
    }
    return true;
}

int mm_remote_wait(struct mm_remote *c, struct mm_remote_reply *r, struct mm_err *e)
{
    double wait;
    int running, rc;

    *r = (struct mm_remote_reply){ 0 };
    for (;;) {
        rc = harvest(c, r, e);
        if (rc != 0)
            return rc;
        if (c->first == NULL)
            return 0;
        if (!start_due(c, &wait))
            return mm_err_set(e, MM_ENOMEM, "client: out of memory");
        if (curl_multi_perform(c->multi, &running) != CURLM_OK)
            return mm_err_set(e, MM_EIO, "curl: a transfer cannot go on");
        /* a finished one is not waited for */
        if (running == c->running &&
            curl_multi_poll(c->multi, NULL, 0, (int)ceil(1000 * wait), NULL) != CURLM_OK)
            return mm_err_set(e, MM_EIO, "curl: waiting failed");
    }
}

void mm_remote_reply_free(struct mm_remote_reply *r)
{
    free(r->text);
    r->text = NULL;
}
