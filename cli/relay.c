/* relay.c - one poll(2) over the command's ends, ours, and the signals. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "builder/sandbox/sandbox.h"
#include "cli/relay.h"
#include "fs/base/io.h"

#include "fs/base/banned.h"

#define BUFFER_SIZE (64u << 10)

static const int signals[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGWINCH};
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* The command's ends. A terminal is both its input and its output. */
struct ends {
    int in;  /* to write to; -1: closed, or nobody writes */
    int out; /* to read from */
    int err;
    bool can_read; /* our standard input has not ended */
    char *pending; /* read from it, not taken yet */
    size_t pending_start;
    size_t pending_end;
    char *buffer;
};

bool relay_has_terminal(void)
{
    return isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
}

void relay_size(uint16_t *rows, uint16_t *columns)
{
    struct winsize size = {0};

    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_row == 0 || size.ws_col == 0)
        size = (struct winsize){.ws_row = 24, .ws_col = 80};
    *rows = size.ws_row;
    *columns = size.ws_col;
}

int relay_open(struct relay *r, bool has_terminal, struct error *err)
{
    sigset_t wanted;

    *r = (struct relay){.has_terminal = has_terminal, .signal_fd = -1};
    sigemptyset(&wanted);
    for (size_t i = 0; i < COUNT_OF(signals); i++)
        sigaddset(&wanted, signals[i]);
    if (sigprocmask(SIG_BLOCK, &wanted, &r->mask) < 0)
        return error_errno(err, "cannot block signals");
    r->signal_fd = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    return r->signal_fd < 0 ? error_errno(err, "cannot watch for signals") : 0;
}

static void restore_terminal(struct relay *r)
{
    if (r->is_raw)
        (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &r->terminal); /* it may have been closed */
    r->is_raw = false;
}

void relay_close(struct relay *r)
{
    struct signalfd_siginfo late;

    restore_terminal(r);
    if (r->signal_fd < 0)
        return;
    /* What came too late must not end us now. */
    while (read(r->signal_fd, &late, sizeof(late)) == sizeof(late))
        continue;
    cleanup_close_fd(&r->signal_fd);
    (void)sigprocmask(SIG_SETMASK, &r->mask, NULL);
}

/* Every key reaches the command's terminal, which makes of it what the command set there. */
static int make_raw(struct relay *r, struct error *err)
{
    struct termios raw;

    if (tcgetattr(STDIN_FILENO, &r->terminal) < 0)
        return error_errno(err, "cannot use the terminal");
    raw = r->terminal;
    cfmakeraw(&raw);
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) < 0)
        return error_errno(err, "cannot use the terminal");
    r->is_raw = true;
    return 0;
}

static void resize(const struct ends *e)
{
    struct winsize size = {0};

    relay_size(&size.ws_row, &size.ws_col);
    (void)ioctl(e->out, TIOCSWINSZ, &size); /* the command may have ended */
}

static void take_signal(struct relay *r, const struct ends *e, struct sandbox *box)
{
    struct signalfd_siginfo info;

    if (read(r->signal_fd, &info, sizeof(info)) != sizeof(info))
        return;
    if (info.ssi_signo == SIGWINCH) {
        if (r->has_terminal)
            resize(e);
        return;
    }
    /* A shell does not mind a TERM; who sends one to us means all of it. */
    if (r->signal_count++ > 0 ||
        (r->has_terminal && (info.ssi_signo == SIGTERM || info.ssi_signo == SIGHUP))) {
        r->signal = (int)info.ssi_signo;
        sandbox_kill(box);
        return;
    }
    sandbox_signal(box, (int)info.ssi_signo);
}

/* The command learns that nobody will write any more: the end of a pipe. A terminal that was taken
 * away from us is taken from it too. */
static void end_input(const struct relay *r, struct ends *e, struct sandbox *box)
{
    e->can_read = false;
    if (r->has_terminal)
        sandbox_kill(box);
    else
        cleanup_close_fd(&e->in);
}

static void read_input(const struct relay *r, struct ends *e, struct sandbox *box)
{
    ssize_t size = read(STDIN_FILENO, e->pending, BUFFER_SIZE);

    if (size < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (size <= 0) {
        end_input(r, e, box);
        return;
    }
    e->pending_start = 0;
    e->pending_end = (size_t)size;
}

static void write_input(struct ends *e)
{
    ssize_t size = write(e->in, e->pending + e->pending_start, e->pending_end - e->pending_start);

    if (size < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (size < 0) { /* the command does not want it, as it says by closing its end */
        e->can_read = false;
        e->pending_end = e->pending_start;
        cleanup_close_fd(&e->in);
        return;
    }
    e->pending_start += (size_t)size;
}

/* Passes on what is there. Closes *fd at its end, or when nobody reads what we write: the command's
 * next write then tells it. */
static void pass_output(struct ends *e, int *fd, int to)
{
    ssize_t size = read(*fd, e->buffer, BUFFER_SIZE);

    if (size < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (size <= 0 || io_write_full(to, e->buffer, (size_t)size) < 0)
        cleanup_close_fd(fd);
}

static int set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

static void follow(struct relay *r, struct ends *e, struct sandbox *box)
{
    bool ended = false;

    while (!ended || e->out >= 0 || e->err >= 0) {
        bool has_pending = e->pending_start < e->pending_end;
        struct pollfd fds[] = {
            {.fd = r->signal_fd, .events = POLLIN},
            {.fd = ended ? -1 : sandbox_poll_fd(box), .events = POLLIN},
            {.fd = e->can_read && !has_pending ? STDIN_FILENO : -1, .events = POLLIN},
            {.fd = has_pending ? e->in : -1, .events = POLLOUT},
            {.fd = e->out, .events = POLLIN},
            {.fd = e->err, .events = POLLIN},
        };

        if (poll(fds, COUNT_OF(fds), -1) < 0)
            continue;
        if (fds[4].revents != 0)
            pass_output(e, &e->out, STDOUT_FILENO);
        if (fds[5].revents != 0)
            pass_output(e, &e->err, STDERR_FILENO);
        if (fds[3].revents != 0)
            write_input(e);
        if (fds[2].revents != 0)
            read_input(r, e, box);
        if (fds[0].revents != 0)
            take_signal(r, e, box);
        if (fds[1].revents != 0) {
            ended = true;
            e->can_read = false; /* the rest is for whoever reads our input next */
            e->pending_end = e->pending_start;
        }
    }
}

int relay_run(struct relay *r, struct sandbox *box, struct error *err)
{
    auto_close int in = -1;
    auto_close int out = -1;
    auto_close int error_fd = -1;
    auto_free char *pending = mem_alloc(BUFFER_SIZE);
    auto_free char *buffer = mem_alloc(BUFFER_SIZE);
    struct ends e = {.can_read = true, .pending = pending, .buffer = buffer, .err = -1};
    int result = 0;

    if (r->has_terminal) {
        out = sandbox_take_terminal_fd(box);
        in = fcntl(out, F_DUPFD_CLOEXEC, 0);
        result = make_raw(r, err);
    } else {
        in = sandbox_take_stdin_fd(box);
        out = sandbox_take_stdout_fd(box);
        error_fd = sandbox_take_stderr_fd(box);
    }
    e.can_read = in >= 0;
    if (result == 0 && in >= 0 && set_nonblocking(in) < 0)
        result = error_errno(err, "cannot pass on standard input");
    if (result < 0)
        return result;
    e.in = steal_fd(&in);
    e.out = steal_fd(&out);
    e.err = steal_fd(&error_fd);
    follow(r, &e, box);
    cleanup_close_fd(&e.in);
    restore_terminal(r);
    return 0;
}
