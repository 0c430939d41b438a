/* ssh.c - a filter between the clients of a step and an agent: one thread, one request at a time. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "builder/ssh.h"

#include "fs/base/banned.h"

#define CLIENTS_MAX 16u               /* further ones wait to be accepted */
#define MESSAGE_SIZE_MAX (256u << 10) /* what OpenSSH's agent takes */
#define HEADER_SIZE 4u

/* draft-miller-ssh-agent, "Message numbers". */
#define AGENT_FAILURE 5
#define AGENTC_REQUEST_IDENTITIES 11
#define AGENTC_SIGN_REQUEST 13

struct ssh_proxy {
    pthread_t thread;
    int listen_fd;
    int stop_fd;
    int clients[CLIENTS_MAX]; /* -1: free */
    struct sockaddr_un agent;
    unsigned char message[HEADER_SIZE + MESSAGE_SIZE_MAX];
};

/* Waits until fd is ready; false when the proxy is to stop. */
static bool wait_for(const struct ssh_proxy *p, int fd, short events)
{
    struct pollfd fds[] = {{.fd = p->stop_fd, .events = POLLIN}, {.fd = fd, .events = events}};

    while (poll(fds, 2, -1) < 0)
        if (errno != EINTR)
            return false;
    return fds[0].revents == 0;
}

static bool read_full(const struct ssh_proxy *p, int fd, unsigned char *to, size_t size)
{
    while (size > 0) {
        ssize_t got = wait_for(p, fd, POLLIN) ? recv(fd, to, size, MSG_DONTWAIT) : 0;

        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (got <= 0)
            return false;
        to += got;
        size -= (size_t)got;
    }
    return true;
}

static bool write_full(const struct ssh_proxy *p, int fd, const unsigned char *from, size_t size)
{
    while (size > 0) {
        ssize_t put =
            wait_for(p, fd, POLLOUT) ? send(fd, from, size, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

        if (put < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (put <= 0)
            return false;
        from += put;
        size -= (size_t)put;
    }
    return true;
}

/* One message, its length in front; 0 when there is none, or one too large. */
static size_t read_message(struct ssh_proxy *p, int fd)
{
    size_t size;

    if (!read_full(p, fd, p->message, HEADER_SIZE))
        return 0;
    size = (size_t)p->message[0] << 24 | (size_t)p->message[1] << 16 | (size_t)p->message[2] << 8 |
           p->message[3];
    if (size == 0 || size > MESSAGE_SIZE_MAX || !read_full(p, fd, p->message + HEADER_SIZE, size))
        return 0;
    return HEADER_SIZE + size;
}

/* Sends the request to the agent and leaves its answer in p->message; 0 when there is none. */
static size_t ask_agent(struct ssh_proxy *p, size_t size)
{
    auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (const struct sockaddr *)&p->agent, sizeof(p->agent)) < 0 ||
        !write_full(p, fd, p->message, size))
        return 0;
    return read_message(p, fd);
}

/* False when the client is gone or sends what is no message. */
static bool serve_request(struct ssh_proxy *p, int client)
{
    static const unsigned char failure[] = {0, 0, 0, 1, AGENT_FAILURE};
    size_t size = read_message(p, client);
    int type = p->message[HEADER_SIZE];

    if (size == 0)
        return false;
    size =
        type == AGENTC_REQUEST_IDENTITIES || type == AGENTC_SIGN_REQUEST ? ask_agent(p, size) : 0;
    return size > 0 ? write_full(p, client, p->message, size)
                    : write_full(p, client, failure, sizeof(failure));
}

static void accept_client(struct ssh_proxy *p, size_t place)
{
    int fd = accept4(p->listen_fd, NULL, NULL, SOCK_CLOEXEC);

    if (fd >= 0)
        p->clients[place] = fd;
}

static void *serve(void *arg)
{
    struct ssh_proxy *p = arg;

    for (;;) {
        struct pollfd fds[CLIENTS_MAX + 2];
        size_t place = CLIENTS_MAX;

        for (size_t i = 0; i < CLIENTS_MAX; i++) {
            fds[i] = (struct pollfd){.fd = p->clients[i], .events = POLLIN};
            if (p->clients[i] < 0)
                place = i;
        }
        fds[CLIENTS_MAX] =
            (struct pollfd){.fd = place < CLIENTS_MAX ? p->listen_fd : -1, .events = POLLIN};
        fds[CLIENTS_MAX + 1] = (struct pollfd){.fd = p->stop_fd, .events = POLLIN};
        if (poll(fds, CLIENTS_MAX + 2, -1) < 0 && errno != EINTR)
            return NULL;
        if (fds[CLIENTS_MAX + 1].revents != 0)
            return NULL;
        for (size_t i = 0; i < CLIENTS_MAX; i++)
            if (fds[i].revents != 0 && !serve_request(p, p->clients[i]))
                close(steal_fd(&p->clients[i]));
        if (fds[CLIENTS_MAX].revents != 0)
            accept_client(p, place);
    }
}

static void release(struct ssh_proxy *p)
{
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        cleanup_close_fd(&p->clients[i]);
    cleanup_close_fd(&p->listen_fd);
    cleanup_close_fd(&p->stop_fd);
    free(p);
}

int ssh_proxy_start(int listen_fd, const char *agent, struct ssh_proxy **out, struct error *err)
{
    struct ssh_proxy *p = mem_new(struct ssh_proxy);
    int r;

    p->listen_fd = listen_fd;
    p->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        p->clients[i] = -1;
    p->agent.sun_family = AF_UNIX;
    if (strlen(agent) >= sizeof(p->agent.sun_path)) {
        release(p);
        return error_set(err, ENAMETOOLONG, "the path of the ssh agent '%s' is too long", agent);
    }
    (void)snprintf(p->agent.sun_path, sizeof(p->agent.sun_path), "%s", agent); /* it fits */
    r = p->stop_fd < 0 ? errno : pthread_create(&p->thread, NULL, serve, p);
    if (r != 0) {
        release(p);
        return error_set(err, r, "cannot serve the ssh agent: %s", strerror(r));
    }
    *out = p;
    return 0;
}

void ssh_proxy_stop(struct ssh_proxy *p)
{
    if (p == NULL)
        return;
    (void)eventfd_write(p->stop_fd, 1); /* the first write to an eventfd does not fail */
    pthread_join(p->thread, NULL);
    release(p);
}
