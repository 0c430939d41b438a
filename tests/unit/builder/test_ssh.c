/* The filter in front of an ssh agent: draft-miller-ssh-agent; SECURITY R55. Real sockets and an
 * agent that answers every message with its type and one byte, 42. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "builder/ssh.h"
#include "tests/lib/test.h"

static struct sockaddr_un address_of(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    check_true(snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", test_dir(), name) <
               (int)sizeof(address.sun_path));
    return address;
}

static int listen_at(const char *name)
{
    const struct sockaddr_un address = address_of(name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    check_int(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    check_int(listen(fd, 8), 0);
    return fd;
}

static int connect_to(const char *name)
{
    const struct sockaddr_un address = address_of(name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    check_int(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* Answers `requests` messages, then ends. */
struct agent {
    pthread_t thread;
    int fd;
    int requests;
    int last_type;
};

static void *answer(void *arg)
{
    struct agent *a = arg;

    for (int i = 0; i < a->requests; i++) {
        auto_close int client = accept(a->fd, NULL, NULL);
        unsigned char request[5];
        unsigned char reply[] = {0, 0, 0, 2, 0, 42};

        if (recv(client, request, sizeof(request), MSG_WAITALL) != sizeof(request))
            break;
        a->last_type = request[4];
        reply[4] = request[4];
        (void)!write(client, reply, sizeof(reply)); /* the other end checks it */
    }
    return NULL;
}

static void start_agent(struct agent *a, int requests)
{
    *a = (struct agent){.fd = listen_at("agent"), .requests = requests};
    check_int(pthread_create(&a->thread, NULL, answer, a), 0);
}

static struct ssh_proxy *start_proxy(void)
{
    const struct sockaddr_un agent = address_of("agent");
    struct ssh_proxy *p;

    check_ok(ssh_proxy_start(listen_at("proxy"), agent.sun_path, &p, &test_err));
    return p;
}

/* Sends a message of one byte, its type, and reads an answer of `size` bytes. */
static void ask(int fd, unsigned char type, unsigned char *reply, size_t size)
{
    const unsigned char message[] = {0, 0, 0, 1, type};

    check_int(write(fd, message, sizeof(message)), sizeof(message));
    check_int(recv(fd, reply, size, MSG_WAITALL), size);
}

TEST(ssh, listing_and_signing_reach_the_agent)
{
    struct agent agent;
    struct ssh_proxy *p;
    unsigned char reply[6];
    int fd;

    start_agent(&agent, 2);
    p = start_proxy();
    fd = connect_to("proxy");
    ask(fd, 11, reply, sizeof(reply));
    check_int(reply[4], 11);
    check_int(reply[5], 42);
    ask(fd, 13, reply, sizeof(reply));
    check_int(reply[4], 13);
    close(fd);
    ssh_proxy_stop(p);
    pthread_join(agent.thread, NULL);
    close(agent.fd);
}

TEST(ssh, every_other_message_is_a_failure_and_never_reaches_it)
{
    struct agent agent;
    struct ssh_proxy *p;
    unsigned char reply[6];
    int fd;

    start_agent(&agent, 1);
    p = start_proxy();
    fd = connect_to("proxy");
    for (unsigned type = 0; type < 256; type++)
        if (type != 11 && type != 13) {
            ask(fd, (unsigned char)type, reply, 5);
            check_bytes(reply, 5, "\0\0\0\1\5", 5);
        }
    check_int(agent.last_type, 0);
    ask(fd, 11, reply, sizeof(reply));
    check_int(reply[5], 42);
    close(fd);
    ssh_proxy_stop(p);
    pthread_join(agent.thread, NULL);
    close(agent.fd);
}

TEST(ssh, an_agent_that_is_gone_is_a_failure)
{
    struct ssh_proxy *p = start_proxy();
    unsigned char reply[5];
    int fd = connect_to("proxy");

    ask(fd, 11, reply, sizeof(reply));
    check_bytes(reply, 5, "\0\0\0\1\5", 5);
    close(fd);
    ssh_proxy_stop(p);
}

TEST(ssh, a_message_without_end_or_too_large_closes_the_connection)
{
    struct ssh_proxy *p = start_proxy();
    const unsigned char huge[] = {0xff, 0xff, 0xff, 0xff, 11};
    const unsigned char none[] = {0, 0, 0, 0};
    char byte;
    int fd = connect_to("proxy");

    check_int(write(fd, huge, sizeof(huge)), sizeof(huge));
    check_true(read(fd, &byte, 1) <= 0);
    close(fd);
    fd = connect_to("proxy");
    check_int(write(fd, none, sizeof(none)), sizeof(none));
    check_true(read(fd, &byte, 1) <= 0);
    close(fd);
    ssh_proxy_stop(p);
}

TEST(ssh, a_client_in_the_middle_of_a_message_does_not_hold_up_the_end)
{
    struct ssh_proxy *p = start_proxy();
    int fd = connect_to("proxy");

    check_int(write(fd, "\0\0", 2), 2);
    ssh_proxy_stop(p);
    close(fd);
}

TEST(ssh, a_path_that_no_socket_can_have_is_refused)
{
    char path[200];
    struct ssh_proxy *p;

    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    check_fails(ssh_proxy_start(listen_at("proxy"), path, &p, &test_err), ENAMETOOLONG);
}
