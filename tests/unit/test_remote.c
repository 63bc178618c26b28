/* The chat client against a server on loopback that says what a table tells it. */
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/remote.h"

enum { MAX_SAY = 4 };

#define GOOD(finish) "HTTP/1.1 200 OK\r\n\r\n{\"choices\":[{\"message\":{\"content\":\"yes\"}," \
    "\"finish_reason\":\"" finish "\"}]}"
#define SAY(status, body) "HTTP/1.1 " status " x\r\n\r\n" body
#define NOTHING ""

/* One connection after the other gets say[i] (the last one for ever) and is closed. */
struct server {
    const char *const *say;
    int fd, port, served;
    pthread_t thread;
    char seen[4096]; /* the last request */
};

static void take_request(int fd, char *buf, size_t cap)
{
    size_t n = 0, want = 0;

    while (n < cap - 1 && (want == 0 || n < want)) {
        const ssize_t got = recv(fd, buf + n, cap - 1 - n, 0);
        const char *end, *len;

        if (got <= 0)
            break;
        n += (size_t)got;
        buf[n] = '\0';
        end = strstr(buf, "\r\n\r\n");
        len = strstr(buf, "Content-Length: ");
        if (end != NULL && len != NULL)
            want = (size_t)(end + 4 - buf) + strtoul(len + 16, NULL, 10);
    }
    buf[n] = '\0';
}

static void *serve(void *p)
{
    struct server *s = p;

    for (;;) {
        const int fd = accept(s->fd, NULL, NULL);
        const char *say;

        if (fd < 0)
            return NULL;
        take_request(fd, s->seen, sizeof(s->seen));
        say = *s->say;
        s->served++;
        if (s->say[1] != NULL)
            s->say++;
        if (send(fd, say, strlen(say), MSG_NOSIGNAL) < 0)
            s->served = -1000;
        shutdown(fd, SHUT_RDWR);
        close(fd);
    }
}

static void server_start(struct server *s, const char *const *say)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof(a);

    *s = (struct server){ .say = say };
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(s->fd >= 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &n), 0);
    s->port = ntohs(a.sin_port);
    assert_int_equal(listen(s->fd, 64), 0);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_stop(struct server *s)
{
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->fd);
}

static struct mm_remote *client(int port, const char *key, char url[64])
{
    struct mm_remote_opts o = mm_remote_defaults;
    struct mm_err e = { 0 };
    struct mm_remote *c;

    snprintf(url, 64, "http://127.0.0.1:%d/v1/", port);
    o.endpoint = url;
    o.model = "m";
    o.key = key;
    o.tries = 3;
    o.backoff = 0.01;
    o.max_wait = 0.05;
    o.timeout = 5;
    o.max_reply = 2000;
    assert_int_equal(mm_remote_open(&c, &o, &e), 0);
    return c;
}

static void ask(struct mm_remote *c, size_t id, const char *text)
{
    const struct mm_remote_msg m = { "user", text };
    struct mm_err e = { 0 };

    assert_int_equal(mm_remote_add(c, id, &m, 1, &e), 0);
}

static const struct {
    const char *say[MAX_SAY];
    int code;
    const char *why, *finish, *msg; /* msg: a part of it */
    int tries;
} cases[] = {
    { { GOOD("stop") }, 0, "", "stop", "", 1 },
    { { GOOD("length") }, 0, "", "length", "", 1 },
    { { SAY("429", ""), GOOD("stop") }, 0, "", "stop", "", 2 },
    { { "HTTP/1.1 429 x\r\nRetry-After: 3000\r\n\r\n", GOOD("stop") }, 0, "", "stop", "", 2 },
    { { SAY("500", ""), SAY("503", ""), GOOD("stop") }, 0, "", "stop", "", 3 },
    { { SAY("500", "") }, MM_EIO, "http-500", "", "HTTP status 500", 3 },
    { { NOTHING, GOOD("stop") }, 0, "", "stop", "", 2 },
    { { NOTHING }, MM_EIO, "cut", "", "", 3 },
    { { "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{\"cho", GOOD("stop") }, 0, "", "stop", "", 2 },
    { { SAY("200", "{\"choices\"") }, MM_EIO, "not-json", "", "", 3 },
    { { SAY("200", "{\"choices\":[]}") }, MM_EDATA, "no-choices", "", "", 1 },
    { { SAY("200", "{\"choices\":[{\"message\":{\"content\":null}}]}") }, MM_EDATA, "no-text", "", "", 1 },
    { { SAY("400", "{\"error\":{\"message\":\"too\\nlong\"}}") }, MM_EDATA, "http-400", "", "too long", 1 },
    { { SAY("401", "{\"error\":{\"message\":\"not s3cret!\"}}") }, MM_EMISSING, "key", "", "not ***!", 1 },
    { { SAY("404", "{\"error\":\"no such model\"}") }, MM_EMISSING, "not-found", "", "no such model", 1 },
};

static void test_replies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct mm_remote_reply r;
        struct mm_err e = { 0 };
        struct server s;
        char url[64];

        server_start(&s, cases[i].say);
        struct mm_remote *c = client(s.port, "s3cret", url);
        ask(c, 40 + i, "is it?");
        assert_int_equal(mm_remote_wait(c, &r, &e), 1);
        assert_int_equal(r.id, 40 + i);
        assert_int_equal(r.code, cases[i].code);
        assert_string_equal(r.why, cases[i].why);
        assert_string_equal(r.finish, cases[i].finish);
        assert_non_null(strstr(r.msg, cases[i].msg));
        assert_null(strstr(r.msg, "s3cret"));
        assert_int_equal(r.tries, cases[i].tries);
        if (r.code == 0)
            assert_string_equal(r.text, "yes");
        else
            assert_null(r.text);
        mm_remote_reply_free(&r);
        assert_int_equal(mm_remote_wait(c, &r, &e), 0);
        mm_remote_free(c);
        server_stop(&s);
        assert_int_equal(s.served, cases[i].tries);
        assert_non_null(strstr(s.seen, "POST /v1/chat/completions HTTP"));
        assert_non_null(strstr(s.seen, "Authorization: Bearer s3cret\r\n"));
        assert_non_null(strstr(s.seen, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"is it?\"}]}"));
    }
}

static void test_huge_reply(void **state)
{
    static char huge[5000] = "HTTP/1.1 200 OK\r\n\r\n{\"choices\":\"";
    const char *say[] = { huge, NULL };
    struct mm_remote_reply r;
    struct mm_err e = { 0 };
    struct server s;
    char url[64];

    (void)state;
    memset(huge + strlen(huge), 'a', sizeof(huge) - 1 - strlen(huge));
    server_start(&s, say);
    struct mm_remote *c = client(s.port, NULL, url);
    ask(c, 1, "?");
    assert_int_equal(mm_remote_wait(c, &r, &e), 1);
    assert_int_equal(r.code, MM_EDATA);
    assert_string_equal(r.why, "too-large");
    assert_int_equal(r.tries, 1);
    mm_remote_free(c);
    server_stop(&s);
    assert_null(strstr(s.seen, "Authorization"));
}

static void test_many(void **state)
{
    static const char *const say[] = { SAY("500", ""), NOTHING, GOOD("stop"), NULL };
    bool seen[20] = { false };
    struct mm_remote_reply r;
    struct mm_err e = { 0 };
    struct server s;
    char url[64];

    (void)state;
    server_start(&s, say);
    struct mm_remote *c = client(s.port, NULL, url);
    for (size_t i = 0; i < 20; i++)
        ask(c, i, "?");
    for (int i = 0; i < 20; i++) {
        assert_int_equal(mm_remote_wait(c, &r, &e), 1);
        assert_int_equal(r.code, 0);
        assert_false(seen[r.id]);
        seen[r.id] = true;
        mm_remote_reply_free(&r);
    }
    assert_int_equal(mm_remote_wait(c, &r, &e), 0);
    ask(c, 7, "?"); /* dropped while it waits */
    mm_remote_free(c);
    server_stop(&s);
    assert_int_equal(s.served, 22);
}

static void test_nobody_listens(void **state)
{
    static const char *const say[] = { GOOD("stop"), NULL };
    struct mm_remote_reply r;
    struct mm_err e = { 0 };
    struct server s;
    char url[64];

    (void)state;
    server_start(&s, say);
    server_stop(&s);
    struct mm_remote *c = client(s.port, NULL, url);
    ask(c, 1, "?");
    assert_int_equal(mm_remote_wait(c, &r, &e), 1);
    assert_int_equal(r.code, MM_EIO);
    assert_string_equal(r.why, "connect");
    assert_int_equal(r.status, 0);
    mm_remote_free(c);
}

static void test_refusals(void **state)
{
    static const struct { const char *url, *key; } bad[] = {
        { "ftp://x/v1", NULL }, { "localhost:80/v1", NULL }, { "", NULL },
        { "http://x/v1", "a\nb" }, { "http://x/v1", "a b" }, { "http://x/v1", "\xc3\xa4" },
    };
    const struct mm_remote_msg m = { "user", "\xff" };
    struct mm_err e;
    struct mm_remote *c;
    char url[64];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct mm_remote_opts o = mm_remote_defaults;

        o.endpoint = bad[i].url;
        o.model = "m";
        o.key = bad[i].key;
        mm_err_clear(&e);
        assert_int_equal(mm_remote_open(&c, &o, &e), MM_EUSAGE);
        assert_null(c);
    }
    c = client(1, "", url);
    mm_err_clear(&e);
    assert_int_equal(mm_remote_add(c, 0, &m, 1, &e), MM_EDATA);
    mm_remote_free(c);
    mm_remote_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies),
        cmocka_unit_test(test_huge_reply),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_refusals),
    };

    unsetenv("http_proxy"); /* loopback is asked itself */
    unsetenv("ALL_PROXY");
    unsetenv("all_proxy");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
