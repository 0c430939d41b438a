/* registry_process.c - configuration files, keys and the process of a real registry. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "tests/lib/registry_process.h"
#include "tests/lib/test.h"

#include "fs/base/banned.h"

#define REGISTRY_PROGRAM "docker-registry"

extern char **environ;

struct registry_process {
    pid_t pid;
    int log_fd;
    char *host;
    char *storage;
    uint16_t port;
};

static bool is_on_path(const char *program)
{
    const char *path = getenv("PATH");

    while (path && *path != '\0') {
        size_t length = strcspn(path, ":");
        auto_free char *file = str_format("%.*s/%s", (int)length, path, program);

        if (access(file, X_OK) == 0)
            return true;
        path += length + (path[length] == ':');
    }
    return false;
}

bool registry_process_available(void)
{
    return is_on_path(REGISTRY_PROGRAM) && is_on_path("htpasswd") && is_on_path("openssl");
}

static pid_t spawn(const char *const argv[], int out, int err)
{
    posix_spawn_file_actions_t actions;
    auto_strv struct strv copy = {0};
    pid_t pid;

    for (size_t i = 0; argv[i]; i++)
        strv_add(&copy, argv[i]);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    posix_spawn_file_actions_adddup2(&actions, err, 2);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    if (posix_spawnp(&pid, argv[0], &actions, NULL, strv_argv(&copy), environ) != 0)
        check_fail("cannot start '%s'", argv[0]);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

void run_program(const char *const argv[], struct str *output)
{
    auto_close int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    char chunk[4096];
    ssize_t got;
    int status;
    int ends[2];
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0)
        check_fail("pipe2: %s", strerror(errno));
    pid = spawn(argv, ends[1], null);
    close(ends[1]);
    while ((got = read(ends[0], chunk, sizeof(chunk))) > 0) {
        if (output)
            str_add_bytes(output, chunk, (size_t)got);
    }
    close(ends[0]);
    waitpid(pid, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        check_fail("'%s %s' failed", argv[0], argv[1] ? argv[1] : "");
}

static char *in_test_dir(const char *name)
{
    return str_format("%s/%s", test_dir(), name);
}

static void write_test_file(const char *name, const struct str *text)
{
    check_ok(io_write_file_atomic(test_dir_fd(), name, text->data, text->size, 0600, &test_err));
}

static void make_authority(void)
{
    auto_free char *key = in_test_dir("ca.key");
    auto_free char *certificate = in_test_dir("ca.crt");
    const char *const argv[] = {
        "openssl", "req",  "-x509",     "-newkey", "rsa:2048", "-nodes", "-keyout",
        key,       "-out", certificate, "-days",   "2",        "-subj",  "/CN=img test authority",
        NULL};

    if (access(certificate, F_OK) != 0)
        run_program(argv, NULL);
}

void make_certificate(const char *name, const char *subject_alternatives, int days)
{
    auto_free char *ca_key = in_test_dir("ca.key");
    auto_free char *ca = in_test_dir("ca.crt");
    auto_free char *key = str_format("%s/%s.key", test_dir(), name);
    auto_free char *request = str_format("%s/%s.csr", test_dir(), name);
    auto_free char *certificate = str_format("%s/%s.crt", test_dir(), name);
    auto_free char *extensions = in_test_dir("extensions");
    auto_free char *days_text = str_format("%d", days);
    auto_str struct str text = {0};
    const char *const make_request[] = {"openssl", "req",     "-newkey",  "rsa:2048",
                                        "-nodes",  "-keyout", key,        "-out",
                                        request,   "-subj",   "/CN=test", NULL};
    const char *const sign[] = {"openssl",  "x509",      "-req",   "-in",     request,
                                "-CA",      ca,          "-CAkey", ca_key,    "-CAcreateserial",
                                "-out",     certificate, "-days",  days_text, "-extfile",
                                extensions, NULL};

    make_authority();
    str_addf(&text, "subjectAltName=%s\n", subject_alternatives);
    write_test_file("extensions", &text);
    run_program(make_request, NULL);
    run_program(sign, NULL);
}

static void add_htpasswd(const struct registry_process_options *options, const char *name,
                         struct str *conf)
{
    auto_free char *file = str_format("%s.htpasswd", name);
    auto_free char *path = in_test_dir(file);
    auto_str struct str text = {0};
    const char *const argv[] = {"htpasswd",        "-Bbn", "-C", "4", options->user,
                                options->password, NULL};

    run_program(argv, &text);
    write_test_file(file, &text);
    str_addf(conf, "auth:\n  htpasswd:\n    realm: test\n    path: %s\n", path);
}

static void add_token(const struct registry_process_options *options, struct str *conf)
{
    make_certificate("token", "DNS:token", 2);
    str_addf(conf,
             "auth:\n  token:\n    realm: %s\n    service: test-service\n"
             "    issuer: test-issuer\n    rootcertbundle: %s/ca.crt\n",
             options->token_realm, test_dir());
}

static void write_configuration(const struct registry_process_options *options, const char *name,
                                const char *file, const char *storage)
{
    auto_str struct str conf = {0};

    str_addf(&conf,
             "version: 0.1\nlog:\n  level: info\n  accesslog:\n    disabled: true\n"
             "storage:\n  filesystem:\n    rootdirectory: %s\n  delete:\n    enabled: %s\n"
             "http:\n  addr: 127.0.0.1:0\n",
             storage, options->allows_delete ? "true" : "false");
    if (options->has_tls) {
        make_certificate("server", "IP:127.0.0.1,DNS:localhost", 2);
        str_addf(&conf, "  tls:\n    certificate: %s/server.crt\n    key: %s/server.key\n",
                 test_dir(), test_dir());
    } else if (options->certificate) {
        str_addf(&conf, "  tls:\n    certificate: %s\n    key: %s\n", options->certificate,
                 options->key);
    }
    if (options->user)
        add_htpasswd(options, name, &conf);
    if (options->token_realm)
        add_token(options, &conf);
    write_test_file(file, &conf);
}

/* It says "listening on 127.0.0.1:PORT" once it does; what it says later is read away by nobody, so
 * its log goes to a file. */
static uint16_t wait_for_port(const char *log_path, pid_t pid)
{
    for (;;) {
        auto_str struct str log = {0};
        const char *at;
        int status;

        check_ok(io_read_file(AT_FDCWD, log_path, 1u << 20, &log, &test_err));
        at = strstr(str_text(&log), "listening on 127.0.0.1:");
        if (at && strpbrk(at, ",\"\n"))
            return (uint16_t)strtoul(at + strlen("listening on 127.0.0.1:"), NULL, 10);
        if (waitpid(pid, &status, WNOHANG) == pid)
            check_fail("the registry ended: %s", str_text(&log));
        usleep(5000);
    }
}

struct registry_process *registry_process_start(const struct registry_process_options *options)
{
    static const struct registry_process_options defaults = {0};
    struct registry_process *p = mem_new(struct registry_process);
    const char *name = options && options->name ? options->name : "registry";
    auto_free char *conf = str_format("%s.yml", name);
    auto_free char *conf_path = in_test_dir(conf);
    auto_free char *log_path = str_format("%s/%s.log", test_dir(), name);
    /* A failed check leaves the test without its cleanups; the registry must end all the same. */
    const char *const argv[] = {"setpriv", "--pdeathsig", "KILL", REGISTRY_PROGRAM,
                                "serve",   conf_path,     NULL};
    auto_close int log = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);

    if (!options)
        options = &defaults;
    p->storage = in_test_dir(name);
    mkdir(p->storage, 0700);
    write_configuration(options, name, conf, p->storage);
    p->pid = spawn(argv, log, log);
    p->port = wait_for_port(log_path, p->pid);
    p->host = str_format("127.0.0.1:%u", p->port);
    return p;
}

void registry_process_stop(struct registry_process *p)
{
    if (!p)
        return;
    kill(p->pid, SIGKILL);
    waitpid(p->pid, NULL, 0);
    free(p->host);
    free(p->storage);
    free(p);
}

const char *registry_process_host(const struct registry_process *p)
{
    return p->host;
}

uint16_t registry_process_port(const struct registry_process *p)
{
    return p->port;
}

const char *registry_process_storage(const struct registry_process *p)
{
    return p->storage;
}
