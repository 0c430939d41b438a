/* fake_registry.c - a small HTTP/1.1 server with a thread for every connection. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "tests/lib/fake_registry.h"

#include "fs/base/banned.h"

#define REQUEST_SIZE_MAX (1u << 20)

struct connection {
    struct fake_registry *server;
    pthread_t thread;
    int fd;
};

struct rules {
    struct fake_rule *items;
    unsigned *used; /* parallel to items */
    size_t count;
    size_t capacity;
};

struct fake_registry {
    int listener;
    int stop_pipe[2];
    pthread_t acceptor;
    char host[32];
    pthread_mutex_t lock;
    struct rules rules; /* guarded by lock */
    struct strv log;    /* guarded by lock */
    struct strv texts;  /* guarded by lock: what the borrowed texts point to */
    struct {
        struct connection **items;
        size_t count;
        size_t capacity;
    } connections; /* guarded by lock */
};

struct fake_exchange {
    struct connection *connection;
    struct str head; /* request line and headers, NUL-separated lines */
    struct strv lines;
    char *method;
    char *path;
    struct str body;
    bool is_over; /* the connection is not to be used again */
};

static void must(bool condition, const char *what)
{
    if (!condition) {
        perror(what);
        abort();
    }
}

static bool send_all(struct fake_exchange *x, const void *bytes, size_t size)
{
    const char *at = bytes;

    while (size > 0 && !x->is_over) {
        ssize_t sent = send(x->connection->fd, at, size, MSG_NOSIGNAL);

        if (sent <= 0) {
            x->is_over = true;
            break;
        }
        at += sent;
        size -= (size_t)sent;
    }
    return !x->is_over;
}

/* Sleeps, but wakes up when the server is stopped. */
static bool nap(struct fake_exchange *x, unsigned ms)
{
    struct pollfd stop = {.fd = x->connection->server->stop_pipe[0], .events = POLLIN};

    if (ms > 0 && poll(&stop, 1, (int)ms) != 0)
        x->is_over = true;
    return !x->is_over;
}

void fake_drop(struct fake_exchange *x)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};

    setsockopt(x->connection->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    x->is_over = true;
}

const char *fake_method(const struct fake_exchange *x)
{
    return x->method;
}

const char *fake_path(const struct fake_exchange *x)
{
    return x->path;
}

const struct str *fake_body(const struct fake_exchange *x)
{
    return &x->body;
}

const char *fake_header(const struct fake_exchange *x, const char *name)
{
    size_t length = strlen(name);

    for (size_t i = 1; i < x->lines.count; i++) {
        const char *line = x->lines.items[i];

        if (strncasecmp(line, name, length) == 0 && line[length] == ':')
            return line + length + 1 + strspn(line + length + 1, " ");
    }
    return NULL;
}

static void send_head(struct fake_exchange *x, unsigned status, const char *headers, uint64_t size)
{
    auto_str struct str head = {0};

    str_addf(&head, "HTTP/1.1 %u Scripted\r\n%s", status, headers ? headers : "");
    if (!headers || !strcasestr(headers, "content-length:"))
        str_addf(&head, "Content-Length: %" PRIu64 "\r\n", size);
    str_add(&head, "\r\n");
    send_all(x, head.data, head.size);
}

void fake_reply(struct fake_exchange *x, unsigned status, const char *headers, const void *body,
                size_t size)
{
    send_head(x, status, headers, size);
    if (!text_equal(x->method, "HEAD"))
        send_all(x, body, size);
}

static void send_endless(struct fake_exchange *x, bool in_headers)
{
    static const char line[] = "X-More: of the same, and then some more of it again and again\r\n";
    char chunk[4096];

    memset(chunk, 'x', sizeof(chunk));
    if (in_headers) {
        send_all(x, "HTTP/1.1 200 Scripted\r\n", 23);
        while (send_all(x, line, sizeof(line) - 1))
            ;
        return;
    }
    send_all(x, "HTTP/1.1 200 Scripted\r\n\r\n", 25);
    while (send_all(x, chunk, sizeof(chunk)))
        ;
}

/* The offset asked for by "Range: bytes=N-", or 0. */
static uint64_t range_start(const struct fake_exchange *x)
{
    const char *range = fake_header(x, "range");
    uint64_t start = 0;

    if (range && sscanf(range, "bytes=%" SCNu64 "-", &start) == 1)
        return start;
    return 0;
}

static void send_body(struct fake_exchange *x, const struct fake_rule *rule, const char *body,
                      size_t size)
{
    if (text_equal(x->method, "HEAD"))
        return;
    if (rule->cut_after > 0 && rule->cut_after < size)
        size = rule->cut_after;
    for (size_t i = 0; rule->drip_ms > 0 && i < size; i++) {
        if (!send_all(x, body + i, 1) || !nap(x, rule->drip_ms))
            return;
    }
    if (rule->drip_ms == 0)
        send_all(x, body, size);
    if (rule->cut_after > 0)
        x->is_over = true;
    if (rule->cut_after > 0 && rule->resets) {
        nap(x, 50); /* the peer may read what was sent before it learns of the reset */
        fake_drop(x);
    }
}

static void answer_by_rule(struct fake_exchange *x, const struct fake_rule *rule)
{
    const char *body = rule->body ? rule->body : "";
    size_t size = rule->body_size;
    uint64_t start = rule->honours_range ? range_start(x) : 0;
    auto_str struct str headers = {0};
    unsigned status = rule->status ? rule->status : 200;

    if (!nap(x, rule->delay_ms))
        return;
    if (rule->silent) {
        nap(x, 60000);
        x->is_over = true;
        return;
    }
    if (rule->resets && rule->cut_after == 0) {
        fake_drop(x);
        return;
    }
    if (rule->endless_headers || rule->endless_body) {
        send_endless(x, rule->endless_headers);
        return;
    }
    str_add(&headers, rule->headers ? rule->headers : "");
    if (start > 0 && start < size) {
        status = 206;
        str_addf(&headers, "Content-Range: bytes %" PRIu64 "-%zu/%zu\r\n", start, size - 1, size);
        body += start;
        size -= (size_t)start;
    }
    send_head(x, status, str_text(&headers), rule->declared_size ? rule->declared_size : size);
    send_body(x, rule, body, size);
}

static bool fits(const struct fake_rule *rule, const struct fake_exchange *x)
{
    return (!rule->method || text_equal(rule->method, x->method)) &&
           (!rule->path || fnmatch(rule->path, x->path, 0) == 0);
}

static bool find_rule(struct fake_exchange *x, struct fake_rule *out)
{
    struct fake_registry *f = x->connection->server;
    bool found = false;

    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < f->rules.count && !found; i++) {
        struct fake_rule *rule = &f->rules.items[i];

        if (!fits(rule, x) || (rule->times > 0 && f->rules.used[i] >= rule->times))
            continue;
        f->rules.used[i]++;
        *out = *rule;
        found = true;
    }
    pthread_mutex_unlock(&f->lock);
    return found;
}

static void log_request(struct fake_exchange *x)
{
    struct fake_registry *f = x->connection->server;
    const char *authorization = fake_header(x, "authorization");
    const char *range = fake_header(x, "range");
    auto_str struct str line = {0};

    str_addf(&line, "%s %s", x->method, x->path);
    if (range)
        str_addf(&line, " range=%s", text_starts(range, "bytes=") ? range + 6 : range);
    if (authorization)
        str_addf(&line, " auth=%s", authorization);
    pthread_mutex_lock(&f->lock);
    strv_add(&f->log, str_text(&line));
    pthread_mutex_unlock(&f->lock);
}

static void answer(struct fake_exchange *x)
{
    struct fake_rule rule = {0};

    log_request(x);
    if (!find_rule(x, &rule))
        fake_reply(x, 404, NULL, "no rule\n", 8);
    else if (rule.serve)
        rule.serve(x, rule.context);
    else
        answer_by_rule(x, &rule);
}

static bool receive_some(struct fake_exchange *x, struct str *to)
{
    struct pollfd fds[2] = {{.fd = x->connection->fd, .events = POLLIN},
                            {.fd = x->connection->server->stop_pipe[0], .events = POLLIN}};
    char chunk[65536];
    ssize_t got;

    if (poll(fds, 2, -1) < 0 || fds[1].revents)
        return false;
    got = recv(x->connection->fd, chunk, sizeof(chunk), 0);
    if (got > 0)
        str_add_bytes(to, chunk, (size_t)got);
    return got > 0;
}

static void split_head(struct fake_exchange *x, size_t size)
{
    char *line = x->head.data;
    char *end = line + size;

    while (line < end) {
        char *next = memmem(line, (size_t)(end - line), "\r\n", 2);

        if (!next)
            break;
        *next = '\0';
        strv_add(&x->lines, line);
        line = next + 2;
    }
}

static bool receive_body(struct fake_exchange *x, size_t head_size)
{
    const char *length_text = fake_header(x, "content-length");
    const char *expect = fake_header(x, "expect");
    uint64_t length = 0;

    if (length_text)
        must(text_to_u64(length_text, UINT32_MAX, &length), "fake registry: content-length");
    str_add_bytes(&x->body, x->head.data + head_size, x->head.size - head_size);
    if (expect && x->body.size == 0 && length > 0)
        send_all(x, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    while (x->body.size < length) {
        if (!receive_some(x, &x->body))
            return false;
    }
    return true;
}

/* Requests are not pipelined, so that what follows the headers is the body. */
static bool receive_request(struct fake_exchange *x)
{
    char *end;
    char *space;

    while (!(end = x->head.size ? memmem(x->head.data, x->head.size, "\r\n\r\n", 4) : NULL)) {
        if (x->head.size > REQUEST_SIZE_MAX || !receive_some(x, &x->head))
            return false;
    }
    split_head(x, (size_t)(end - x->head.data) + 2);
    x->method = mem_strdup(x->lines.items[0]);
    space = strchr(x->method, ' ');
    must(space, "fake registry: request line");
    *space = '\0';
    x->path = mem_strndup(space + 1, strcspn(space + 1, " "));
    return receive_body(x, (size_t)(end - x->head.data) + 4);
}

static void exchange_release(struct fake_exchange *x)
{
    str_release(&x->head);
    str_release(&x->body);
    strv_release(&x->lines);
    free(x->method);
    free(x->path);
}

static void *serve_connection(void *arg)
{
    struct connection *c = arg;
    bool goes_on = true;

    while (goes_on) {
        struct fake_exchange x = {.connection = c};

        goes_on = receive_request(&x);
        if (goes_on)
            answer(&x);
        goes_on = goes_on && !x.is_over;
        exchange_release(&x);
    }
    close(c->fd);
    return NULL;
}

static void *accept_connections(void *arg)
{
    struct fake_registry *f = arg;
    struct pollfd fds[2] = {{.fd = f->listener, .events = POLLIN},
                            {.fd = f->stop_pipe[0], .events = POLLIN}};

    while (poll(fds, 2, -1) >= 0 && !fds[1].revents) {
        int fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
        struct connection *c;
        int one = 1;

        if (fd < 0)
            continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        c = mem_new(struct connection);
        c->server = f;
        c->fd = fd;
        pthread_mutex_lock(&f->lock);
        *array_add(&f->connections) = c;
        pthread_mutex_unlock(&f->lock);
        must(pthread_create(&c->thread, NULL, serve_connection, c) == 0, "pthread_create");
    }
    return NULL;
}

struct fake_registry *fake_registry_start(void)
{
    struct fake_registry *f = mem_new(struct fake_registry);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);

    f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(f->listener >= 0, "socket");
    must(bind(f->listener, (struct sockaddr *)&address, size) == 0, "bind");
    must(listen(f->listener, 64) == 0, "listen");
    must(getsockname(f->listener, (struct sockaddr *)&address, &size) == 0, "getsockname");
    must(pipe2(f->stop_pipe, O_CLOEXEC) == 0, "pipe2");
    snprintf(f->host, sizeof(f->host), "127.0.0.1:%u", ntohs(address.sin_port));
    pthread_mutex_init(&f->lock, NULL);
    must(pthread_create(&f->acceptor, NULL, accept_connections, f) == 0, "pthread_create");
    return f;
}

static const char *copy_text(const char *text)
{
    return text ? mem_strdup(text) : NULL;
}

static void free_const(const void *p)
{
    union {
        const void *from;
        void *to;
    } both = {.from = p};

    free(both.to);
}

void fake_registry_stop(struct fake_registry *f)
{
    if (!f)
        return;
    close(f->stop_pipe[1]);
    pthread_join(f->acceptor, NULL);
    for (size_t i = 0; i < f->connections.count; i++) {
        pthread_join(f->connections.items[i]->thread, NULL);
        free(f->connections.items[i]);
    }
    free(f->connections.items);
    close(f->stop_pipe[0]);
    close(f->listener);
    strv_release(&f->log);
    strv_release(&f->texts);
    for (size_t i = 0; i < f->rules.count; i++) {
        free_const(f->rules.items[i].method);
        free_const(f->rules.items[i].path);
        free_const(f->rules.items[i].headers);
        free_const(f->rules.items[i].body);
    }
    free(f->rules.items);
    free(f->rules.used);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

void fake_registry_add(struct fake_registry *f, const struct fake_rule *rule)
{
    struct fake_rule copy = *rule;

    if (copy.body && copy.body_size == 0)
        copy.body_size = strlen(copy.body);
    copy.method = copy_text(rule->method);
    copy.path = copy_text(rule->path);
    copy.headers = copy_text(rule->headers);
    copy.body = copy.body ? mem_dup(copy.body, copy.body_size) : NULL;
    pthread_mutex_lock(&f->lock);
    *array_add(&f->rules) = copy;
    f->rules.used = mem_resize(f->rules.used, f->rules.count, sizeof(f->rules.used[0]));
    f->rules.used[f->rules.count - 1] = 0;
    pthread_mutex_unlock(&f->lock);
}

const char *fake_registry_host(const struct fake_registry *f)
{
    return f->host;
}

static const char *keep_text(struct fake_registry *f, char *text)
{
    strv_take(&f->texts, text);
    return text;
}

const char *fake_registry_url(struct fake_registry *f, const char *path)
{
    const char *text;

    pthread_mutex_lock(&f->lock);
    text = keep_text(f, str_format("http://%s%s", f->host, path));
    pthread_mutex_unlock(&f->lock);
    return text;
}

const char *fake_registry_log(struct fake_registry *f)
{
    struct str log = {0};
    const char *text;

    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < f->log.count; i++)
        str_addf(&log, "%s\n", f->log.items[i]);
    text = keep_text(f, str_take(&log));
    pthread_mutex_unlock(&f->lock);
    return text;
}

size_t fake_registry_count(struct fake_registry *f, const char *method, const char *path)
{
    auto_free char *pattern = str_format("%s %s*", method, path);
    size_t count = 0;

    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < f->log.count; i++)
        count += fnmatch(pattern, f->log.items[i], 0) == 0;
    pthread_mutex_unlock(&f->lock);
    return count;
}

size_t fake_registry_connections(struct fake_registry *f)
{
    size_t count;

    pthread_mutex_lock(&f->lock);
    count = f->connections.count;
    pthread_mutex_unlock(&f->lock);
    return count;
}
