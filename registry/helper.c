/* helper.c - one run of a credential helper, from spawn to the last byte. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/base/json.h"
#include "fs/base/spawn.h"
#include "registry/helper.h"
#include "registry/secret.h"

#include "fs/base/banned.h"

#define POLL_MS 200 /* how late its time being up, or a cancellation, may be noticed */
#define HELPER_OUTPUT_MAX (1u << 20)
#define NOT_FOUND "credentials not found in native keychain"

/* A helper on its way. */
struct run {
    const char *program;
    pid_t pid;
    int pid_fd; /* readable when it has ended */
    int in;     /* -1 once all is written */
    struct {
        int fd; /* -1 once it ended */
        struct str text;
    } out, said;      /* its standard output, its standard error */
    bool is_too_much; /* one of them went beyond the cap */
    int status;
};

static void close_quietly(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Our end does not block: a helper that neither reads nor writes must not hold us up. Descriptors
 * 0 to 2 are avoided, for spawn could not tell them from its targets. */
static int make_pipe(int *ours, int *theirs, bool we_write)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    *ours = ends[we_write ? 1 : 0];
    *theirs = fcntl(ends[we_write ? 0 : 1], F_DUPFD_CLOEXEC, 3);
    close(ends[we_write ? 0 : 1]);
    if (*theirs < 0 || fcntl(*ours, F_SETFL, O_NONBLOCK) < 0)
        return -errno;
    return 0;
}

static int start(const char *verb, struct run *run, struct error *err)
{
    int theirs[3] = {-1, -1, -1};
    int r = make_pipe(&run->in, &theirs[0], true);

    if (r == 0)
        r = make_pipe(&run->out.fd, &theirs[1], false);
    if (r == 0)
        r = make_pipe(&run->said.fd, &theirs[2], false);
    if (r == 0)
        r = spawn_program((const char *const[]){run->program, verb, NULL}, NULL, theirs,
                          SPAWN_GROUP, &run->pid);
    for (int i = 0; i < 3; i++)
        close_quietly(&theirs[i]);
    if (r < 0) {
        run->pid = -1;
        return error_set(err, -r, "cannot start '%s': %s", run->program, strerror(-r));
    }
    run->pid_fd = (int)syscall(SYS_pidfd_open, run->pid, 0);
    if (run->pid_fd < 0)
        return error_errno(err, "cannot watch '%s'", run->program);
    return 0;
}

static void feed(struct run *run, const char **input, size_t *left)
{
    ssize_t written = *left > 0 ? write(run->in, *input, *left) : 0;

    if (written > 0) {
        *input += written;
        *left -= (size_t)written;
    }
    /* EPIPE: it needs no more; what it thinks of that shows in its exit status. */
    if (*left == 0 || (written < 0 && errno != EAGAIN && errno != EINTR))
        close_quietly(&run->in);
}

/* Takes what there is; closes at the end and beyond the cap. */
static void drain(int *fd, struct str *text, bool *is_too_much)
{
    char chunk[4096];
    ssize_t got;

    while (*fd >= 0 && (got = read(*fd, chunk, sizeof(chunk))) != 0) {
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        *is_too_much |= got > 0 && text->size + (size_t)got > HELPER_OUTPUT_MAX;
        if (got < 0 || *is_too_much)
            break;
        str_add_bytes(text, chunk, (size_t)got);
    }
    explicit_bzero(chunk, sizeof(chunk));
    close_quietly(fd);
}

/* Until the helper ends. It may leave a daemon behind that keeps the pipe open (key agents do), so
 * the end of its output is not waited for. */
static int converse(struct run *run, const struct helper *h, const struct str *input,
                    struct error *err)
{
    uint64_t end = io_ticks_ns() + h->timeout_ms * 1000000ull;
    const char *next = input->data;
    size_t left = input->size;
    bool has_ended = false;

    while (!has_ended) {
        struct pollfd fds[] = {{.fd = run->pid_fd, .events = POLLIN},
                               {.fd = run->in, .events = POLLOUT},
                               {.fd = run->out.fd, .events = POLLIN},
                               {.fd = run->said.fd, .events = POLLIN}};
        uint64_t now = io_ticks_ns();

        if (now >= end)
            return error_set(err, ETIMEDOUT, "'%s' did not answer within %u seconds", run->program,
                             h->timeout_ms / 1000);
        if (h->cancelled && atomic_load(h->cancelled))
            return error_set(err, ECANCELED, "'%s' was cancelled", run->program);
        if (poll(fds, 4, POLL_MS) < 0 && errno != EINTR)
            return error_errno(err, "cannot wait for '%s'", run->program);
        if (fds[1].revents)
            feed(run, &next, &left);
        has_ended = fds[0].revents != 0;
        drain(&run->out.fd, &run->out.text, &run->is_too_much);
        drain(&run->said.fd, &run->said.text, &run->is_too_much);
    }
    return 0;
}

/* Ends what is left of the helper's group and takes the helper's status. */
static void finish(struct run *run)
{
    if (run->pid > 0) {
        if (waitpid(run->pid, &run->status, WNOHANG) == 0) {
            kill(-run->pid, SIGKILL);
            while (waitpid(run->pid, &run->status, 0) < 0 && errno == EINTR)
                ;
        }
    }
    close_quietly(&run->pid_fd);
    close_quietly(&run->in);
    close_quietly(&run->out.fd);
    close_quietly(&run->said.fd);
}

static bool is_name(const char *name)
{
    size_t length = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                 "0123456789._-");

    return length > 0 && name[length] == '\0' && length < 64;
}

static void block_sigpipe(sigset_t *before)
{
    sigset_t pipe_only;

    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_only, before);
}

static void unblock_sigpipe(const sigset_t *before)
{
    static const struct timespec no_time;
    sigset_t pipe_only;

    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    if (!sigismember(before, SIGPIPE)) {
        while (sigtimedwait(&pipe_only, NULL, &no_time) == SIGPIPE)
            ;
    }
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* The answer itself, which holds the secret even when the helper fails after it (SECURITY R49). */
static bool is_answer(const struct str *text)
{
    return memchr(str_text(text), '{', text->size) != NULL;
}

/* What a failed helper said, in one line: on its standard output, as the protocol has it, else on
 * its standard error. The output of one that succeeded is a secret and never shown. */
static int failed(const struct run *run, struct error *err)
{
    bool is_protocol = run->out.text.size > 0 && !is_answer(&run->out.text);
    const char *text = str_text(is_protocol ? &run->out.text : &run->said.text);
    auto_str struct str said = {0};

    if (run->is_too_much)
        return error_set(err, EIO, "'%s' says more than %u bytes", run->program, HELPER_OUTPUT_MAX);
    str_add_escaped(&said, text, strcspn(text, "\r\n"));
    return error_set(err, EIO, "'%s' failed: %.200s", run->program,
                     said.size > 0 ? str_text(&said) : "it gave no reason");
}

/* The protocol has it on standard output; some helpers say it on standard error. */
static bool knows_nothing(const struct run *run)
{
    return strstr(str_text(&run->out.text), NOT_FOUND) ||
           strstr(str_text(&run->said.text), NOT_FOUND);
}

/* Runs the helper to its end: 1 it succeeded, 0 it does not know the server. */
static int run_helper(const struct helper *h, const char *verb, const struct str *input,
                      struct str *output, struct error *err)
{
    auto_free char *program = NULL;
    struct run run = {.pid = -1, .pid_fd = -1, .in = -1, .out.fd = -1, .said.fd = -1};
    sigset_t signals;
    int r;

    if (!is_name(h->name)) {
        auto_str struct str shown = {0};

        str_add_escaped(&shown, h->name, strnlen(h->name, 64));
        return error_set(err, EINVAL, "'%s' is not the name of a credential helper",
                         str_text(&shown));
    }
    program = str_format("docker-credential-%s", h->name);
    run.program = program;
    block_sigpipe(&signals);
    r = start(verb, &run, err);
    if (r == 0)
        r = converse(&run, h, input, err);
    finish(&run);
    unblock_sigpipe(&signals);
    if (r == 0 && (!WIFEXITED(run.status) || WEXITSTATUS(run.status) != 0))
        r = knows_nothing(&run) ? 0 : failed(&run, err);
    else if (r == 0)
        r = 1;
    if (r == 1 && output)
        str_add_bytes(output, run.out.text.data, run.out.text.size);
    secret_release(&run.out.text);
    str_release(&run.said.text);
    return r;
}

static int read_answer(const char *name, const struct str *text, struct credential *out,
                       struct error *err)
{
    auto_free char *what = str_format("answer of 'docker-credential-%s'", name);
    auto_json struct json *answer = NULL;
    const char *user;
    const char *secret;

    if (json_parse(str_text(text), text->size, HELPER_OUTPUT_MAX, what, &answer, err) < 0)
        return error_set(err, EIO, "'docker-credential-%s' answers something that is not JSON",
                         name);
    user = json_get_text(answer, "Username");
    secret = json_get_text(answer, "Secret");
    if (!user || !secret)
        return error_set(err, EIO, "'docker-credential-%s' answers without user and secret", name);
    if (secret[0] == '\0')
        return 0;
    if (text_equal(user, "<token>") || user[0] == '\0') {
        out->identity_token = mem_strdup(secret);
    } else {
        out->user = mem_strdup(user);
        out->secret = mem_strdup(secret);
    }
    return 1;
}

int helper_get(const struct helper *h, const char *server, struct credential *out,
               struct error *err)
{
    struct str input = {0};
    struct str output = {0};
    int r;

    str_add(&input, server);
    r = run_helper(h, "get", &input, &output, err);
    if (r == 1)
        r = read_answer(h->name, &output, out, err);
    secret_release(&output);
    str_release(&input);
    return r;
}

int helper_store(const struct helper *h, const char *server, const struct credential *credential,
                 struct error *err)
{
    bool is_token = credential->identity_token != NULL;
    auto_json struct json *message = json_new_object();
    struct str input = {0};
    int r;

    json_put_text(message, "ServerURL", server);
    json_put_text(message, "Username", is_token ? "<token>" : credential->user);
    json_put_text(message, "Secret", is_token ? credential->identity_token : credential->secret);
    json_write(message, &input);
    r = run_helper(h, "store", &input, NULL, err);
    secret_release(&input);
    if (r == 0)
        r = error_set(err, EIO, "'docker-credential-%s' did not store the credentials", h->name);
    return r < 0 ? r : 0;
}

int helper_erase(const struct helper *h, const char *server, struct error *err)
{
    struct credential known = {0};
    struct str input = {0};
    int r;

    /* Helpers call erasing nothing a success, so it takes a look to know. */
    r = helper_get(h, server, &known, err);
    credential_release(&known);
    if (r <= 0)
        return r;
    str_add(&input, server);
    r = run_helper(h, "erase", &input, NULL, err);
    str_release(&input);
    return r;
}
