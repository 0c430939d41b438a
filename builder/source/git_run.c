/* git_run.c - starts git, reads both of its outputs, ends it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "builder/source/git_run.h"
#include "builder/source/source_internal.h"
#include "fs/base/limits.h"
#include "registry/base64.h"
#include "registry/secret.h"
#include "registry/url.h"

#include "fs/base/banned.h"

#define POLL_MS 100         /* how late an end of the build may be noticed */
#define SAID_SIZE_MAX 4096u /* of standard error, the end */
#define CHUNK_SIZE 4096u

struct git_process {
    struct reader output;
    const struct fetch *fetch;
    pid_t pid;
    int out_fd;
    int said_fd; /* -1 once it ended */
    struct str said;
    bool is_remote; /* what it says is worth showing while it works */
};

/* ---- the environment ---- */

struct setup {
    struct strv env;
    size_t config_count;
};

static void setup_release(struct setup *s)
{
    for (size_t i = 0; i < s->env.count; i++)
        explicit_bzero(s->env.items[i], strlen(s->env.items[i]));
    strv_release(&s->env);
}
DEFINE_CLEANUP_VALUE(setup_release, struct setup)

static void set_config(struct setup *s, const char *name, const char *value)
{
    strv_addf(&s->env, "GIT_CONFIG_KEY_%zu=%s", s->config_count, name);
    strv_addf(&s->env, "GIT_CONFIG_VALUE_%zu=%s", s->config_count, value);
    s->config_count++;
}

static void pass_on(struct setup *s, const char *name, const char *as)
{
    const char *value = getenv(name);

    if (value != NULL)
        strv_addf(&s->env, "%s=%s", as, value);
}

static void set_plain(struct setup *s, const struct git_call *call)
{
    static const char *const fixed[] = {
        "HOME=/dev/null",
        "XDG_CONFIG_HOME=/dev/null",
        "LC_ALL=C",
        "GIT_CONFIG_NOSYSTEM=1",
        "GIT_CONFIG_GLOBAL=/dev/null",
        "GIT_ATTR_NOSYSTEM=1",
        "GIT_TERMINAL_PROMPT=0",
        "GIT_PROTOCOL_FROM_USER=0",
        "GIT_NO_REPLACE_OBJECTS=1",
        "GIT_NO_LAZY_FETCH=1",
        "GIT_OPTIONAL_LOCKS=0",
        "GIT_SSH_VARIANT=ssh",
        /* The agent is asked, no key file is; hosts must be known already. */
        ("GIT_SSH_COMMAND=ssh -F /dev/null -o BatchMode=yes -o IdentityFile=none "
         "-o ClearAllForwardings=yes"),
    };
    static const char *const names[] = {"PATH",        "TMPDIR",      "http_proxy",
                                        "https_proxy", "HTTPS_PROXY", "no_proxy",
                                        "NO_PROXY",    "all_proxy",   "ALL_PROXY"};

    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
        strv_add(&s->env, fixed[i]);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        pass_on(s, names[i], names[i]);
    pass_on(s, "SSL_CERT_FILE", "GIT_SSL_CAINFO");
    pass_on(s, "SSL_CERT_DIR", "GIT_SSL_CAPATH");
    strv_addf(&s->env, "GIT_ALLOW_PROTOCOL=%s", call->allow_files ? "file" : "https:http:ssh:git");
    if (call->git_dir != NULL)
        strv_addf(&s->env, "GIT_DIR=%s", call->git_dir);
    set_config(s, "core.hooksPath", "/dev/null");
    set_config(s, "core.fsmonitor", "false");
    if (call->private_files)
        set_config(s, "core.sharedRepository", "0600");
    set_config(s, "core.logAllRefUpdates", "false");
    set_config(s, "core.attributesFile", "/dev/null");
    set_config(s, "init.defaultBranch", "main");
    set_config(s, "gc.auto", "0");
    set_config(s, "maintenance.auto", "false");
    set_config(s, "protocol.version", "2");
    set_config(s, "submodule.recurse", "false");
    set_config(s, "tar.umask", "0022");
    set_config(s, "uploadpack.allowAnySHA1InWant", "true");
}

/* The secret `name`, that of the host before the one for all. */
static const struct build_secret *find_secret(const struct git_call *call, const char *name)
{
    auto_free char *own = str_format("%s.%s", name, call->address->host);
    const struct build_secret *secret = source_secret(call->fetch, own);

    return secret != NULL ? secret : source_secret(call->fetch, name);
}

static void encode_basic(const char *user, const char *rest, struct str *out)
{
    auto_secret char *pair = str_format("%s%s", user, rest);

    str_add(out, "basic ");
    base64_encode(pair, strlen(pair), out);
}

/* What is sent with each request to the repository's own host, and to no other. */
static int set_authorization(struct setup *s, const struct git_call *call, struct error *err)
{
    const struct git_address *a = call->address;
    const struct build_secret *header = find_secret(call, "GIT_AUTH_HEADER");
    const struct build_secret *token = find_secret(call, "GIT_AUTH_TOKEN");
    auto_secret_str struct str value = {0};
    auto_secret char *line = NULL;
    auto_free char *name = NULL;
    const char *path = strstr(a->remote, "://") + 3;

    if (a->userinfo != NULL)
        encode_basic(a->userinfo, strchr(a->userinfo, ':') == NULL ? ":" : "", &value);
    else if (header != NULL)
        str_add(&value, header->bytes);
    else if (token != NULL)
        encode_basic("x-access-token:", token->bytes, &value);
    if (value.size == 0)
        return 0;
    if (strpbrk(str_text(&value), "\r\n") != NULL)
        return error_set(err, EINVAL, "the secret for '%s' has more than one line", a->host);
    if (a->transport == GIT_HTTP && !host_is_loopback(a->host))
        return error_set(err, EACCES, "credentials are not sent in clear text to '%s'", a->host);
    name = str_format("http.%.*s/.extraHeader",
                      (int)(strcspn(path, "/") + (size_t)(path - a->remote)), a->remote);
    line = str_format("Authorization: %s", str_text(&value));
    set_config(s, name, line);
    return 0;
}

static int set_agent(struct setup *s, const struct git_call *call, struct error *err)
{
    const struct fetch *f = call->fetch;
    const char *socket = f->agent;

    for (size_t i = 0; i < f->ssh_count; i++)
        if (strcmp(f->ssh[i].id, "default") == 0)
            socket = f->ssh[i].socket;
    if (socket == NULL) {
        error_set(err, EACCES, "'%s' is reached by ssh, and no agent was given",
                  call->address->host);
        return error_hint(err, "give it with --ssh default");
    }
    strv_addf(&s->env, "SSH_AUTH_SOCK=%s", socket);
    return 0;
}

static int set_environment(struct setup *s, const struct git_call *call, struct error *err)
{
    int r = 0;

    set_plain(s, call);
    if (call->address != NULL && call->address->transport == GIT_SSH)
        r = set_agent(s, call, err);
    else if (call->address != NULL && call->address->transport != GIT_PLAIN)
        r = set_authorization(s, call, err);
    strv_addf(&s->env, "GIT_CONFIG_COUNT=%zu", s->config_count);
    return r;
}

/* ---- starting ---- */

static char *find_git(void)
{
    const char *path = getenv("PATH");
    auto_free char *copy = mem_strdup(path == NULL ? "/usr/local/bin:/usr/bin:/bin" : path);
    char *save = NULL;

    for (char *dir = strtok_r(copy, ":", &save); dir != NULL; dir = strtok_r(NULL, ":", &save)) {
        auto_free char *program = str_format("%s/git", dir);

        if (dir[0] == '/' && access(program, X_OK) == 0)
            return STEAL(&program);
    }
    return NULL;
}

struct launch {
    const char *program;
    char *const *argv;
    char *const *env;
    int null_fd;
    int out_fd;
    int said_fd;
    pid_t parent;
};

/* Between fork and exec: calls that are safe there, on what was prepared. */
static _Noreturn void run_child(const struct launch *l)
{
    sigset_t none;

    sigemptyset(&none);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != l->parent || setpgid(0, 0) < 0 ||
        sigprocmask(SIG_SETMASK, &none, NULL) < 0 || dup2(l->null_fd, 0) < 0 ||
        dup2(l->out_fd, 1) < 0 || dup2(l->said_fd, 2) < 0)
        _exit(126);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
    (void)close_range(3, ~0u, 0); /* all are close-on-exec anyway */
    execve(l->program, l->argv, l->env);
    _exit(127);
}

/* Ends above 2, so that dup2 in the child never meets its own source. */
static int make_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    for (int i = 0; i < 2; i++) {
        int high = ends[i] > 2 ? ends[i] : fcntl(ends[i], F_DUPFD_CLOEXEC, 3);

        if (high < 0)
            return -errno;
        if (high != ends[i])
            close(ends[i]);
        ends[i] = high;
    }
    return 0;
}

static int launch(struct git_process *p, struct launch *l, struct error *err)
{
    int out[2] = {-1, -1};
    int said[2] = {-1, -1};
    auto_close int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    auto_close int out_end = -1;
    auto_close int said_end = -1;

    if (null_fd < 0 || make_pipe(out) < 0)
        return error_errno(err, "cannot start git");
    p->out_fd = out[0];
    out_end = out[1];
    if (make_pipe(said) < 0)
        return error_errno(err, "cannot start git");
    p->said_fd = said[0];
    said_end = said[1];
    l->null_fd = null_fd;
    l->out_fd = out_end;
    l->said_fd = said_end;
    l->parent = getpid();
    p->pid = fork();
    if (p->pid == 0)
        run_child(l);
    if (p->pid < 0)
        return error_errno(err, "cannot start git");
    return 0;
}

/* ---- reading ---- */

static void keep_said(struct git_process *p)
{
    char chunk[CHUNK_SIZE];
    ssize_t got = read(p->said_fd, chunk, sizeof(chunk));

    if (got < 0 && errno == EINTR)
        return;
    if (got <= 0) {
        close(p->said_fd);
        p->said_fd = -1;
        return;
    }
    if (p->is_remote)
        progress_log(p->fetch->progress, p->fetch->vertex, 2, chunk, (size_t)got);
    str_add_bytes(&p->said, chunk, (size_t)got);
    if (p->said.size > 2 * SAID_SIZE_MAX) {
        memmove(p->said.data, p->said.data + p->said.size - SAID_SIZE_MAX, SAID_SIZE_MAX);
        str_truncate(&p->said, SAID_SIZE_MAX);
    }
}

static ssize_t read_output(struct reader *r, void *buf, size_t size, struct error *err)
{
    struct git_process *p = (struct git_process *)(void *)r;

    for (;;) {
        struct pollfd fds[] = {{.fd = p->out_fd, .events = POLLIN},
                               {.fd = p->said_fd, .events = POLLIN}};
        int stop = source_check_stop(p->fetch, err);
        ssize_t got;

        if (stop < 0)
            return stop;
        if (poll(fds, 2, POLL_MS) < 0 && errno != EINTR)
            return error_errno(err, "cannot wait for git");
        if (fds[1].revents != 0)
            keep_said(p);
        if (fds[0].revents == 0)
            continue;
        got = read(p->out_fd, buf, size);
        if (got >= 0)
            return got;
        if (errno != EINTR)
            return error_errno(err, "cannot read what git writes");
    }
}

struct reader *git_output(struct git_process *p)
{
    return &p->output;
}

int git_start(const struct git_call *call, const struct strv *words, struct git_process **out,
              struct error *err)
{
    __attribute__((cleanup(cleanup_setup_release))) struct setup setup = {0};
    auto_free char *program = find_git();
    auto_git_process struct git_process *p = NULL;
    auto_strv struct strv argv = {0};
    struct launch l = {0};
    int r;

    if (program == NULL) {
        error_set(err, ENOENT,
                  "a git repository is fetched by the program 'git', which is not here");
        return error_hint(err, "install it: apt-get install git");
    }
    r = set_environment(&setup, call, err);
    if (r < 0)
        return r;
    strv_add(&argv, "git");
    strv_add_all(&argv, words);
    p = mem_new(struct git_process);
    *p = (struct git_process){
        .output.read = read_output, .fetch = call->fetch, .pid = -1, .out_fd = -1, .said_fd = -1};
    p->is_remote = call->address != NULL;
    l.program = program;
    l.argv = strv_argv(&argv);
    l.env = strv_argv(&setup.env);
    r = launch(p, &l, err);
    if (r == 0)
        *out = STEAL(&p);
    return r;
}

/* ---- the end ---- */

/* The line that says why: git's first "fatal:" or "error:", else the last one. */
static char *reason(const struct git_process *p)
{
    auto_free char *copy = mem_strdup(str_text(&p->said));
    const char *found = NULL;
    struct str shown = {0};
    char *save = NULL;

    for (char *line = strtok_r(copy, "\r\n", &save); line != NULL;
         line = strtok_r(NULL, "\r\n", &save)) {
        bool is_verdict = text_starts(line, "fatal: ") || text_starts(line, "error: ");

        if (is_verdict || found == NULL || !text_starts(found, "fatal: "))
            found = line;
        if (text_starts(line, "fatal: "))
            break;
    }
    if (found == NULL)
        found = "it gave no reason";
    if (text_starts(found, "fatal: ") || text_starts(found, "error: "))
        found += 7;
    str_add_escaped(&shown, found, strnlen(found, 300));
    return str_take(&shown);
}

int git_finish(struct git_process *p, struct error *err)
{
    auto_git_process struct git_process *own = p;
    auto_free char *why = NULL;
    int status = 0;

    while (own->said_fd >= 0) {
        struct pollfd fd = {.fd = own->said_fd, .events = POLLIN};
        int r = source_check_stop(own->fetch, err);

        if (r < 0)
            return r;
        if (poll(&fd, 1, POLL_MS) > 0)
            keep_said(own);
    }
    while (waitpid(own->pid, &status, 0) < 0)
        if (errno != EINTR)
            return error_errno(err, "cannot wait for git");
    own->pid = -1;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    why = reason(own);
    return error_set(err, EIO, "git: %s", why);
}

void git_kill(struct git_process *p)
{
    if (p == NULL)
        return;
    if (p->pid > 0) {
        kill(-p->pid, SIGKILL);
        kill(p->pid, SIGKILL); /* it may not have its group yet */
        while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    if (p->out_fd >= 0)
        close(p->out_fd);
    if (p->said_fd >= 0)
        close(p->said_fd);
    str_release(&p->said);
    free(p);
}

int git_run(const struct git_call *call, const struct strv *words, struct str *out,
            struct error *err)
{
    auto_git_process struct git_process *p = NULL;
    char chunk[CHUNK_SIZE];
    size_t total = 0;
    ssize_t got;
    int r = git_start(call, words, &p, err);

    if (r < 0)
        return r;
    while ((got = reader_read(git_output(p), chunk, sizeof(chunk), err)) > 0) {
        total += (size_t)got;
        if (total > LIMIT_GIT_OUTPUT_SIZE)
            return error_set(err, EFBIG, "git writes more than %u MiB",
                             LIMIT_GIT_OUTPUT_SIZE >> 20);
        if (out != NULL)
            str_add_bytes(out, chunk, (size_t)got);
    }
    return got < 0 ? (int)got : git_finish(STEAL(&p), err);
}
