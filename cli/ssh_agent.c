/* ssh_agent.c - starts ssh-agent, fills it, ends it. What steps may ask of it: see builder/ssh.c. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/ssh_agent.h"
#include "fs/base/spawn.h"
#include "fs/base/str.h"

#include "fs/base/banned.h"

#define SAID_MAX 4096u
#define STOP_MS 2000

struct ssh_agent {
    pid_t keeper; /* reads our pipe until we are gone; ssh-agent ends with it */
    int input;    /* our end of that pipe */
    pid_t agent;
    char *socket;
};

/* In a session of its own: no ^C reaches it, and no terminal is asked for a passphrase. */
static int spawn(const char *const *argv, const char *const *env, const int fds[3], pid_t *pid,
                 struct error *err)
{
    int r = spawn_program(argv, env, fds, SPAWN_SESSION, pid);

    if (r == 0)
        return 0;
    (void)error_set(err, -r, "cannot start '%s': %s", argv[0], strerror(-r)); /* returned below */
    return r == -ENOENT
               ? error_hint(err, "install OpenSSH's client, or give the socket of an agent")
               : r;
}

/* What comes up to the end of the stream or of the first line, without the newline. */
static char *read_text(int fd, bool is_line)
{
    struct str text = {0};
    char buffer[512];
    ssize_t got = 1;

    while (text.size < SAID_MAX && got != 0 && !(is_line && strchr(str_text(&text), '\n'))) {
        got = read(fd, buffer, sizeof(buffer));
        if (got < 0 && errno != EINTR)
            break;
        if (got > 0)
            str_add_bytes(&text, buffer, (size_t)got);
    }
    while (text.size > 0 && strchr("\r\n", text.data[text.size - 1]))
        str_truncate(&text, text.size - 1);
    return str_take(&text);
}

static int open_pipe(int ends[2], struct error *err)
{
    return pipe2(ends, O_CLOEXEC) < 0 ? error_errno(err, "cannot make a pipe") : 0;
}

/* "SOCKET PID" */
static int read_names(struct ssh_agent *a, int fd, struct error *err)
{
    auto_free char *line = read_text(fd, true);
    char *space = strrchr(line, ' ');
    uint64_t pid;

    if (space == NULL || line[0] != '/' || !text_to_u64(space + 1, INT32_MAX, &pid))
        return error_set(err, EIO, "ssh-agent ended before it was asked anything");
    *space = '\0';
    a->agent = (pid_t)pid;
    a->socket = mem_strdup(line);
    return 0;
}

int ssh_agent_start(struct ssh_agent **out, struct error *err)
{
    /* The shell is the agent's parent and waits for both. */
    static const char *const argv[] = {
        "ssh-agent", "sh", "-c", "echo \"$SSH_AUTH_SOCK $SSH_AGENT_PID\"; cat >/dev/null; exit 0",
        NULL};
    auto_ssh_agent struct ssh_agent *a = mem_new(struct ssh_agent);
    int in[2] = {-1, -1};
    int said[2] = {-1, -1};
    auto_close int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    auto_close int in_fd = -1;
    auto_close int said_fd = -1;
    int r = open_pipe(in, err);

    a->keeper = -1;
    in_fd = in[0];
    a->input = in[1];
    if (r == 0)
        r = open_pipe(said, err);
    said_fd = said[0];
    if (r == 0)
        r = spawn(argv, NULL, (const int[]){in_fd, said[1], null_fd}, &a->keeper, err);
    if (said[1] >= 0)
        close(said[1]);
    if (r == 0)
        r = read_names(a, said_fd, err);
    if (r == 0)
        *out = STEAL(&a);
    return r;
}

const char *ssh_agent_socket(const struct ssh_agent *a)
{
    return a->socket;
}

static int refused(const char *path, const char *said, struct error *err)
{
    const char *last = strrchr(said, '\n');
    auto_str struct str shown = {0};

    last = last == NULL ? said : last + 1;
    str_add_escaped(&shown, last, strlen(last));
    error_set(err, EINVAL, "the key '%s' cannot be used: %s", path,
              shown.size > 0 ? str_text(&shown) : "ssh-add refused it");
    return error_hint(err,
                      "one with a passphrase is for an agent to hold: eval $(ssh-agent); "
                      "ssh-add %s",
                      path);
}

int ssh_agent_add(struct ssh_agent *a, const char *path, struct error *err)
{
    static const char *const argv[] = {"ssh-add", "-q", "-", NULL};
    const char *home = getenv("HOME");
    const char *search = getenv("PATH");
    auto_free char *socket = str_format("SSH_AUTH_SOCK=%s", a->socket);
    auto_free char *own_home = str_format("HOME=%s", home == NULL ? "/" : home);
    auto_free char *own_path = str_format("PATH=%s", search == NULL ? "/usr/bin:/bin" : search);
    const char *const env[] = {socket,     own_home, own_path, "SSH_ASKPASS_REQUIRE=never",
                               "LC_ALL=C", NULL};
    auto_close int key_fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    auto_close int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    auto_close int said_fd = -1;
    auto_free char *text = NULL;
    int said[2] = {-1, -1};
    int status = 0;
    pid_t pid = -1;
    int r;

    if (key_fd < 0)
        return error_errno(err, "cannot read the key '%s'", path);
    r = open_pipe(said, err);
    said_fd = said[0];
    if (r == 0)
        r = spawn(argv, env, (const int[]){key_fd, null_fd, said[1]}, &pid, err);
    if (said[1] >= 0)
        close(said[1]);
    if (r < 0)
        return r;
    text = read_text(said_fd, false);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : refused(path, text, err);
}

/* It removes its socket and the directory of that, unless it is ended before it has learned to. */
static void end_agent(struct ssh_agent *a)
{
    auto_close int pid_fd = (int)syscall(SYS_pidfd_open, a->agent, 0);
    struct pollfd fds = {.fd = pid_fd, .events = POLLIN};

    if (pid_fd < 0 || kill(a->agent, SIGTERM) < 0)
        return;
    (void)poll(&fds, 1, STOP_MS); /* if it hangs, it ends with its keeper */
    (void)unlink(a->socket);      /* most often gone already */
    *strrchr(a->socket, '/') = '\0';
    (void)rmdir(a->socket); /* likewise */
}

void ssh_agent_stop(struct ssh_agent *a)
{
    int status;

    if (a == NULL)
        return;
    if (a->agent > 0)
        end_agent(a);
    if (a->input >= 0)
        close(a->input);
    while (a->keeper > 0 && waitpid(a->keeper, &status, 0) < 0 && errno == EINTR)
        ;
    free(a->socket);
    free(a);
}
