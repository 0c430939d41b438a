/* test_sandbox_network.c - what a step can reach, with each network mode (SECURITY R45, R66). */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "tests/build/mirror.h"
#include "tests/build/own_host.h"
#include "tests/build/scene.h"
#include "tests/lib/test.h"

static const struct sandbox_spec none = {.network = SANDBOX_NETWORK_NONE};
static const struct sandbox_spec standard = {.network = SANDBOX_NETWORK_DEFAULT};
static const struct sandbox_spec host = {.network = SANDBOX_NETWORK_HOST};

static void need_tun(void)
{
    auto_close int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    struct stat st;

    test_need("tun", fd >= 0 && fstat(fd, &st) == 0, "/dev/net/tun cannot be opened");
}

/* A listener of the host on its loopback; returns the port. */
static int listen_on_loopback(char *port, size_t size)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    check_ok(bind(fd, (struct sockaddr *)&address, sizeof(address)));
    check_ok(listen(fd, 8));
    check_ok(getsockname(fd, (struct sockaddr *)&address, &length));
    (void)snprintf(port, size, "%u", ntohs(address.sin_port));
    return fd;
}

static int listen_abstract(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    size_t size = strlen(name);

    memcpy(address.sun_path + 1, name + 1, size - 1);
    check_ok(bind(fd, (struct sockaddr *)&address,
                  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size)));
    check_ok(listen(fd, 8));
    return fd;
}

TEST(sandbox_network, none_is_a_loopback_alone)
{
    auto_scene struct scene s = scene_new(NULL);

    scene_expect(&s, &none, "ip -o link | cut -d: -f2; ip route", " lo\n");
    scene_expect(&s, &none, "cat /etc/resolv.conf", "");
    scene_expect(&s, &none, "/bin/guest ping", "yes\n");
}

TEST(sandbox_network, the_default_network_has_a_way_out)
{
    static const enum spawner_network_helper helpers[] = {SPAWNER_HELPER_SLIRP4NETNS,
                                                          SPAWNER_HELPER_PASTA};
    static const char *const programs[] = {"/usr/bin/slirp4netns", "/usr/bin/pasta"};

    need_tun();
    for (size_t i = 0; i < 2; i++) {
        const struct spawner_options options = {.network_helper = helpers[i]};
        struct scene s;

        if (access(programs[i], X_OK) < 0)
            continue;
        s = scene_new(&options);
        scene_expect(&s, &standard,
                     "ip -o -4 addr show tap0 | grep -o '10[0-9./]*' | head -n1; "
                     "ip route | grep -o 'default via [0-9.]*'; "
                     "grep nameserver /etc/resolv.conf",
                     "10.0.2.100/24\ndefault via 10.0.2.2\nnameserver 10.0.2.3\n");
        scene_release(&s);
        check_ok(io_remove_tree(test_dir_fd(), "root"));
    }
}

/* CVE-2020-15257: a service on the host's loopback or abstract names is not the step's. */
TEST(sandbox_network, the_hosts_own_services_are_out_of_reach)
{
    auto_scene struct scene s = scene_new(NULL);
    char port[16];
    auto_close int tcp = listen_on_loopback(port, sizeof(port));
    auto_close int abstract = listen_abstract("@img-test-abstract");
    auto_free char *tcp_line = str_format("guest tcp 127.0.0.1 %s; guest tcp 10.0.2.2 %s; "
                                          "guest connect @img-test-abstract",
                                          port, port);
    auto_free char *host_line = str_format("guest tcp 127.0.0.1 %s", port);

    check_ok(scene_run(&s, &none, tcp_line));
    check_text(str_text(&s.out), "refused\nrefused\nConnection refused\n");
    scene_expect(&s, &host, host_line, "connected\n");
    need_tun();
    check_ok(scene_run(&s, &standard, tcp_line));
    check_text(str_text(&s.out), "refused\nrefused\nConnection refused\n");
}

/* Killing the helper cuts off the step that runs; the next one gets a new helper. */
TEST(sandbox_network, a_dead_helper_is_replaced)
{
    auto_scene struct scene s = scene_new(NULL);
    auto_free char *children = NULL;
    auto_str struct str text = {0};

    need_tun();
    scene_expect(&s, &standard, "ip -o link | grep -c tap0", "1\n");
    children =
        str_format("/proc/%d/task/%d/children", spawner_pid(s.spawner), spawner_pid(s.spawner));
    check_ok(io_read_file(AT_FDCWD, children, 4096, &text, &test_err));
    for (char *save = NULL, *word = strtok_r(text.data, " ", &save); word;
         word = strtok_r(NULL, " ", &save))
        (void)kill(atoi(word), SIGKILL);
    do { /* until the spawner has noticed */
        (void)poll(NULL, 0, 5);
        check_ok(io_read_file(AT_FDCWD, children, 4096, &text, &test_err));
    } while (text.size > 0);
    scene_expect(&s, &standard, "ip -o link | grep -c tap0", "1\n");
}

/* ---- hosts that cannot ---- */

struct outcome {
    int result;
    struct error err;
    char warning[512];
};

struct attempt {
    const char *root;
    bool is_optional;
};

/* One step with the default network, in this process's view of the host. */
static void try_step(const void *argument, void *result)
{
    const struct attempt *attempt = argument;
    struct outcome *out = result;
    const struct spawner_options options = {.single_id = true};
    char *argv[] = {(char *)(uintptr_t) "/bin/true", NULL};
    char *env[] = {NULL};
    const struct sandbox_spec spec = {
        .argv = argv, .env = env, .network_optional = attempt->is_optional};
    auto_spawner struct spawner *sp = NULL;
    auto_sandbox struct sandbox *box = NULL;
    auto_mirror struct mirror *m = NULL;
    struct sandbox_result status;

    out->result = spawner_open(&options, &sp, &out->err);
    if (out->result == 0)
        out->result = sandbox_start(sp, &spec, &box, &out->err);
    if (out->result < 0)
        return;
    m = mirror_serve(attempt->root, sandbox_take_tree_fd(box, 0));
    out->result = sandbox_wait(box, &status, &out->err);
    (void)snprintf(out->warning, sizeof(out->warning), "%s", sandbox_warning(box));
}

static void try_without(const struct scene *s, const struct own_host_cover *covers,
                        bool is_optional, struct outcome *out)
{
    const struct attempt attempt = {.root = s->root, .is_optional = is_optional};

    memset(out, 0, sizeof(*out));
    own_host_run(covers, try_step, &attempt, out, sizeof(*out));
}

TEST(sandbox_network, a_missing_helper_is_an_error_with_a_way_out_or_a_warning)
{
    static const struct own_host_cover covers[] = {
        {"/usr/bin/slirp4netns", OWN_HOST_NOTHING},
        {"/usr/bin/pasta", OWN_HOST_NOTHING},
        {"/usr/local/bin/slirp4netns", OWN_HOST_NOTHING},
        {"/usr/local/bin/pasta", OWN_HOST_NOTHING},
        {NULL, NULL},
    };
    const char *sentence =
        "a step wants the network, and neither slirp4netns nor pasta is installed";
    auto_scene struct scene s = scene_new(NULL);
    struct outcome out;

    try_without(&s, covers, false, &out);
    check_int(out.result, -ENOENT);
    check_error(&out.err, ENOENT, sentence);
    check_hint(&out.err,
               "install slirp4netns or passt, or build with --network=none or --network=host");
    try_without(&s, covers, true, &out);
    check_int(out.result, 0);
    check_text(out.warning, sentence);
}

TEST(sandbox_network, a_missing_tun_device_is_an_error_with_a_way_out_or_a_warning)
{
    static const struct own_host_cover covers[] = {{"/dev/net/tun", OWN_HOST_NOTHING},
                                                   {NULL, NULL}};
    auto_scene struct scene s = scene_new(NULL);
    struct outcome out;

    test_need("slirp4netns", access("/usr/bin/slirp4netns", X_OK) == 0, "slirp4netns is missing");
    try_without(&s, covers, false, &out);
    check_int(out.result, -ECONNREFUSED);
    check_true(strstr(out.err.text, "the network helper did not start: ") == out.err.text);
    try_without(&s, covers, true, &out);
    check_int(out.result, 0);
    check_true(strstr(out.warning, "the network helper did not start: ") == out.warning);
}

struct parallel {
    struct scene scene;
    pthread_t thread;
};

static void *show_namespace(void *argument)
{
    struct parallel *p = argument;

    (void)scene_run(&p->scene, &none, "readlink /proc/self/ns/net; sleep 1");
    return NULL;
}

/* Two steps at once must not meet on a port or an abstract name; one after the other may. */
TEST(sandbox_network, steps_at_the_same_time_have_different_networks)
{
    auto_scene struct scene s = scene_new(NULL);
    auto_free char *first = NULL;
    struct parallel two[2];

    for (size_t i = 0; i < 2; i++) {
        two[i] = (struct parallel){.scene = {.spawner = s.spawner, .root = s.root}};
        check_int(pthread_create(&two[i].thread, NULL, show_namespace, &two[i]), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        check_int(pthread_join(two[i].thread, NULL), 0);
        check_int(two[i].scene.result.status, 0);
    }
    check_true(strncmp(str_text(&two[0].scene.out), "net:[", 5) == 0);
    check_false(strcmp(str_text(&two[0].scene.out), str_text(&two[1].scene.out)) == 0);
    check_ok(scene_run(&s, &none, "readlink /proc/self/ns/net"));
    first = mem_strdup(str_text(&s.out));
    scene_expect(&s, &none, "readlink /proc/self/ns/net", first);
    for (size_t i = 0; i < 2; i++) {
        str_release(&two[i].scene.out);
        free(two[i].scene.warning);
    }
}
