/* cut_proxy.c - a thread for every connection, which counts what it forwards. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/cut_proxy.h"

#include "fs/base/banned.h"

struct cut_proxy {
    int listener;
    int stop_pipe[2];
    uint16_t port;
    char host[32];
    size_t up_bytes;
    size_t down_bytes;
    pthread_t acceptor;
    pthread_mutex_t lock;
    unsigned cuts_left; /* guarded by lock */
    unsigned cuts;      /* guarded by lock */
    struct {
        struct link **items;
        size_t count;
        size_t capacity;
    } links; /* guarded by lock */
};

struct link {
    struct cut_proxy *proxy;
    pthread_t thread;
    int client;
    int server;
};

static void must(bool condition, const char *what)
{
    if (!condition) {
        perror(what);
        abort();
    }
}

static void reset(int fd)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
}

static bool may_cut(struct cut_proxy *p)
{
    bool may;

    pthread_mutex_lock(&p->lock);
    may = p->cuts_left > 0;
    if (may) {
        p->cuts_left--;
        p->cuts++;
    }
    pthread_mutex_unlock(&p->lock);
    return may;
}

/* False at the end of either side. */
static bool forward(int from, int to, size_t *total)
{
    char chunk[65536];
    char *at = chunk;
    ssize_t size = recv(from, chunk, sizeof(chunk), 0);

    if (size <= 0)
        return false;
    *total += (size_t)size;
    while (size > 0) {
        ssize_t sent = send(to, at, (size_t)size, MSG_NOSIGNAL);

        if (sent <= 0)
            return false;
        at += sent;
        size -= sent;
    }
    return true;
}

static void *run_link(void *arg)
{
    struct link *l = arg;
    struct cut_proxy *p = l->proxy;
    size_t up = 0;
    size_t down = 0;
    bool goes_on = true;

    while (goes_on) {
        struct pollfd fds[3] = {{.fd = l->client, .events = POLLIN},
                                {.fd = l->server, .events = POLLIN},
                                {.fd = p->stop_pipe[0], .events = POLLIN}};

        if (poll(fds, 3, -1) < 0 || fds[2].revents)
            break;
        if (fds[0].revents)
            goes_on = forward(l->client, l->server, &up);
        if (goes_on && fds[1].revents)
            goes_on = forward(l->server, l->client, &down);
        if (((p->up_bytes > 0 && up > p->up_bytes) ||
             (p->down_bytes > 0 && down > p->down_bytes)) &&
            may_cut(p)) {
            reset(l->client);
            reset(l->server);
            goes_on = false;
        }
    }
    close(l->client);
    close(l->server);
    return NULL;
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    must(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0, "connect");
    return fd;
}

static void *accept_links(void *arg)
{
    struct cut_proxy *p = arg;
    struct pollfd fds[2] = {{.fd = p->listener, .events = POLLIN},
                            {.fd = p->stop_pipe[0], .events = POLLIN}};

    while (poll(fds, 2, -1) >= 0 && !fds[1].revents) {
        int fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
        struct link *l;

        if (fd < 0)
            continue;
        l = mem_new(struct link);
        l->proxy = p;
        l->client = fd;
        l->server = connect_to(p->port);
        pthread_mutex_lock(&p->lock);
        *array_add(&p->links) = l;
        pthread_mutex_unlock(&p->lock);
        must(pthread_create(&l->thread, NULL, run_link, l) == 0, "pthread_create");
    }
    return NULL;
}

struct cut_proxy *cut_proxy_start(uint16_t port, unsigned cut_count, size_t up_bytes,
                                  size_t down_bytes)
{
    struct cut_proxy *p = mem_new(struct cut_proxy);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);

    p->port = port;
    p->cuts_left = cut_count;
    p->up_bytes = up_bytes;
    p->down_bytes = down_bytes;
    pthread_mutex_init(&p->lock, NULL);
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(p->listener >= 0, "socket");
    must(bind(p->listener, (struct sockaddr *)&address, size) == 0, "bind");
    must(listen(p->listener, 64) == 0, "listen");
    must(getsockname(p->listener, (struct sockaddr *)&address, &size) == 0, "getsockname");
    must(pipe2(p->stop_pipe, O_CLOEXEC) == 0, "pipe2");
    snprintf(p->host, sizeof(p->host), "127.0.0.1:%u", ntohs(address.sin_port));
    must(pthread_create(&p->acceptor, NULL, accept_links, p) == 0, "pthread_create");
    return p;
}

void cut_proxy_stop(struct cut_proxy *p)
{
    if (!p)
        return;
    close(p->stop_pipe[1]);
    pthread_join(p->acceptor, NULL);
    for (size_t i = 0; i < p->links.count; i++) {
        pthread_join(p->links.items[i]->thread, NULL);
        free(p->links.items[i]);
    }
    free(p->links.items);
    close(p->stop_pipe[0]);
    close(p->listener);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

const char *cut_proxy_host(const struct cut_proxy *p)
{
    return p->host;
}

unsigned cut_proxy_cuts(struct cut_proxy *p)
{
    unsigned cuts;

    pthread_mutex_lock(&p->lock);
    cuts = p->cuts;
    pthread_mutex_unlock(&p->lock);
    return cuts;
}
