/* test_serve.c - the life of a connection: how it is agreed on, how it ends, and what happens to
 * its clients then (SECURITY R28, R29).
 *
 * Requests no kernel would send come over a socket that stands for /dev/fuse; expected values are
 * those of linux/fuse.h.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/mount/rig.h"

#define KILLPRIV_V2 (1u << 28)
#define EVERY_FLAG 0x7fffffffu

/* -- a kernel made of a socket -- */

struct wire {
    struct store *store;
    struct view *view;
    struct mount *mount;
    int fd; /* the kernel's side */
    uint64_t unique;
    uint8_t reply[4096]; /* of the last request */
    size_t reply_size;
};

static const struct fuse_out_header *reply_header(const struct wire *w)
{
    return (const struct fuse_out_header *)(const void *)w->reply;
}

static const void *reply_body(const struct wire *w)
{
    return w->reply + sizeof(struct fuse_out_header);
}

static void wire_open(struct wire *w, const struct mount_options *options)
{
    struct view_options view_options = {.label = "the wire"};
    auto_free char *state = str_format("%s/state", test_dir());
    int fds[2];

    *w = (struct wire){.fd = -1};
    check_ok(store_open(state, NULL, &w->store, &test_err));
    check_ok(view_open(w->store, NULL, 0, &view_options, &w->view, &test_err));
    check_ok(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds));
    w->fd = fds[0];
    check_ok(mount_serve(w->view, fds[1], options, &w->mount, &test_err));
}

static void wire_close(struct wire *w)
{
    mount_stop(w->mount);
    view_close(w->view);
    store_close(w->store);
    cleanup_close_fd(&w->fd);
}

static void wire_send(struct wire *w, uint32_t opcode, uint64_t node, const void *body, size_t size)
{
    uint8_t bytes[4096] = {0};
    struct fuse_in_header header = {
        .len = (uint32_t)(sizeof(header) + size),
        .opcode = opcode,
        .unique = ++w->unique,
        .nodeid = node,
    };

    memcpy(bytes, &header, sizeof(header));
    if (size > 0)
        memcpy(bytes + sizeof(header), body, size);
    check_int(send(w->fd, bytes, header.len, 0), header.len);
}

/* The errno of the reply, which must be the one to the last request. */
static int wire_receive(struct wire *w)
{
    ssize_t size = recv(w->fd, w->reply, sizeof(w->reply), 0);

    check_true(size >= (ssize_t)sizeof(struct fuse_out_header));
    check_int(reply_header(w)->len, size);
    check_int(reply_header(w)->unique, w->unique);
    w->reply_size = (size_t)size;
    return -reply_header(w)->error;
}

static int wire_ask(struct wire *w, uint32_t opcode, uint64_t node, const void *body, size_t size)
{
    wire_send(w, opcode, node, body, size);
    return wire_receive(w);
}

static struct fuse_init_out wire_init(struct wire *w, uint32_t flags)
{
    struct fuse_init_in in = {
        .major = FUSE_KERNEL_VERSION,
        .minor = FUSE_KERNEL_MINOR_VERSION,
        .max_readahead = 131072,
        .flags = flags,
    };
    struct fuse_init_out out = {0};

    check_int(wire_ask(w, FUSE_INIT, 0, &in, sizeof(in)), 0);
    memcpy(&out, reply_body(w), w->reply_size - sizeof(struct fuse_out_header));
    return out;
}

static void wire_is_over(struct wire *w)
{
    uint8_t byte;

    check_int(recv(w->fd, &byte, 1, 0), 0);
}

/* -- agreeing -- */

TEST(serve, init_asks_for_what_makes_the_kernel_ask_little)
{
    static const uint32_t wanted = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_DO_READDIRPLUS |
                                   FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_POSIX_ACL |
                                   FUSE_DONT_MASK | FUSE_MAX_PAGES | FUSE_CACHE_SYMLINKS |
                                   FUSE_EXPLICIT_INVAL_DATA | KILLPRIV_V2;
    struct mount_options options = {0};
    struct fuse_init_out out;
    struct wire w;

    wire_open(&w, &options);
    out = wire_init(&w, EVERY_FLAG);
    check_int(out.flags & ~(uint32_t)FUSE_INIT_EXT, wanted); /* libfuse adds that one */
    check_int(out.max_write, 1 << 20);
    check_int(out.max_pages, (1 << 20) / 4096);
    check_int(out.time_gran, 1);
    wire_close(&w);
}

TEST(serve, init_asks_for_nothing_the_kernel_does_not_offer)
{
    struct mount_options options = {0};
    struct fuse_init_out out;
    struct wire w;

    wire_open(&w, &options);
    out = wire_init(&w, FUSE_ASYNC_READ | FUSE_MAX_PAGES);
    check_int(out.flags, FUSE_ASYNC_READ | FUSE_MAX_PAGES | FUSE_BIG_WRITES);
    wire_close(&w);
}

/* FUSE_POSIX_ACL would turn permission checks on, and the caller could not look at everything. */
TEST(serve, init_of_a_host_mount_leaves_permissions_out)
{
    struct mount_options options = {.host = true};
    struct wire w;

    wire_open(&w, &options);
    check_int(wire_init(&w, EVERY_FLAG).flags & (FUSE_POSIX_ACL | FUSE_DONT_MASK), 0);
    wire_close(&w);
}

TEST(serve, the_writeback_cache_is_a_choice)
{
    struct mount_options options = {.writeback = true};
    struct wire w;

    wire_open(&w, &options);
    check_int(wire_init(&w, EVERY_FLAG).flags & FUSE_WRITEBACK_CACHE, FUSE_WRITEBACK_CACHE);
    wire_close(&w);
}

TEST(serve, options_of_the_mount_check_permissions)
{
    struct mount_options options = {0};
    char text[256];

    mount_option_text(7, &options, text, sizeof(text));
    check_text(text, "fd=7,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions");
}

/* -- requests -- */

/* SECURITY R29. */
TEST(serve, an_unknown_request_is_not_supported)
{
    struct mount_options options = {0};
    struct wire w;

    wire_open(&w, &options);
    (void)wire_init(&w, EVERY_FLAG);
    check_int(wire_ask(&w, 63, 1, NULL, 0), ENOSYS);
    check_int(wire_ask(&w, 4000, 1, NULL, 0), ENOSYS);
    check_int(wire_ask(&w, FUSE_STATFS, 1, NULL, 0), 0);
    wire_close(&w);
}

TEST(serve, requests_before_init_fail)
{
    struct mount_options options = {0};
    struct fuse_getattr_in in = {0};
    struct wire w;

    wire_open(&w, &options);
    check_int(wire_ask(&w, FUSE_GETATTR, 1, &in, sizeof(in)), EIO);
    wire_close(&w);
}

TEST(serve, an_interrupt_is_not_answered)
{
    struct mount_options options = {0};
    struct fuse_interrupt_in in = {.unique = 77};
    struct wire w;

    wire_open(&w, &options);
    (void)wire_init(&w, EVERY_FLAG);
    wire_send(&w, FUSE_INTERRUPT, 0, &in, sizeof(in));
    check_int(wire_ask(&w, FUSE_STATFS, 1, NULL, 0), 0);
    wire_close(&w);
}

TEST(serve, an_anonymous_file_is_an_entry_and_an_open_file)
{
    struct mount_options options = {0};
    struct fuse_create_in in = {.mode = 0100666, .umask = 022};
    struct fuse_entry_out entry;
    struct wire w;

    wire_open(&w, &options);
    (void)wire_init(&w, EVERY_FLAG);
    check_int(wire_ask(&w, FUSE_TMPFILE, 1, &in, sizeof(in)), 0);
    check_int(w.reply_size, sizeof(struct fuse_out_header) + sizeof(struct fuse_entry_out) +
                                sizeof(struct fuse_open_out));
    memcpy(&entry, reply_body(&w), sizeof(entry));
    check_int(entry.attr.mode, 0100644);
    check_int(entry.attr.nlink, 0);
    check_int(entry.attr.ino, entry.nodeid);
    check_int(wire_ask(&w, FUSE_TMPFILE, 12345, &in, sizeof(in)), ESTALE);
    wire_close(&w);
}

TEST(serve, an_offset_beyond_63_bits_is_invalid)
{
    struct mount_options options = {0};
    struct fuse_read_in in = {.offset = UINT64_MAX - 1, .size = 4096};
    struct fuse_write_in out = {.offset = UINT64_MAX - 1, .size = 0};
    struct wire w;

    wire_open(&w, &options);
    (void)wire_init(&w, EVERY_FLAG);
    check_int(wire_ask(&w, FUSE_READ, 1, &in, sizeof(in)), EINVAL);
    check_int(wire_ask(&w, FUSE_WRITE, 1, &out, sizeof(out)), EINVAL);
    wire_close(&w);
}

static void send_malformed(uint32_t opcode, const void *body, size_t size)
{
    struct mount_options options = {0};
    struct wire w;

    wire_open(&w, &options);
    (void)wire_init(&w, EVERY_FLAG);
    wire_send(&w, opcode, 1, body, size);
    wire_is_over(&w);
    wire_close(&w);
}

/* libfuse would read past the end of these. */
TEST(serve, a_request_without_its_argument_ends_the_service)
{
    send_malformed(FUSE_WRITE, "short", 5);
}

TEST(serve, a_name_without_its_end_ends_the_service)
{
    send_malformed(FUSE_LOOKUP, "name", 4);
}

TEST(serve, a_missing_second_name_ends_the_service)
{
    send_malformed(FUSE_SYMLINK, "one", 4);
}

TEST(serve, more_bytes_announced_than_sent_end_the_service)
{
    struct fuse_write_in in = {.size = 100};

    send_malformed(FUSE_WRITE, &in, sizeof(in));
}

TEST(serve, a_wrong_length_ends_the_service)
{
    struct mount_options options = {0};
    struct fuse_in_header header = {.len = 41, .opcode = FUSE_STATFS};
    struct wire w;

    wire_open(&w, &options);
    check_int(send(w.fd, &header, sizeof(header), 0), sizeof(header));
    wire_is_over(&w);
    wire_close(&w);
}

/* -- the end -- */

struct place {
    char directory[512];
    pid_t server; /* to be killed on the way, or 0 */
};

static struct place place_of(const struct rig *r)
{
    struct place place = {0};

    (void)snprintf(place.directory, sizeof(place.directory), "%s", r->directory);
    return place;
}

/* Looks for ever new names, each a request, until that fails otherwise than it should. */
static int look_until_cut_off(const void *argument)
{
    const struct place *place = argument;
    struct stat st;
    char name[64];

    if (chdir(place->directory) < 0)
        return 1;
    for (unsigned long i = 0;; i++) {
        (void)snprintf(name, sizeof(name), "name%lu", i);
        if (stat(name, &st) < 0 && errno != ENOENT)
            return errno == ENOTCONN || errno == ECONNABORTED ? 0 : 2;
        if (i == 500 && place->server > 0 && kill(place->server, SIGKILL) < 0)
            return 3;
    }
}

/* SECURITY R28: the death of the server is an error for its clients, not a wait. */
TEST(serve, clients_of_a_killed_server_are_told_at_once)
{
    auto_rig struct rig *r = rig_new();
    struct mount_options options = {0};
    struct place place = place_of(r);
    auto_free char *state = str_format("%s/other", test_dir());
    int fd;

    check_ok(mountns_mount(r->ns, r->directory, &options, &fd));
    place.server = fork();
    if (place.server == 0) {
        struct view_options view_options = {.label = "doomed"};
        struct store *store;
        struct view *view;

        if (store_open(state, NULL, &store, &test_err) < 0 ||
            view_open(store, NULL, 0, &view_options, &view, &test_err) < 0)
            _exit(1);
        (void)mount_serve_here(view, fd, &options, &test_err);
        _exit(0);
    }
    cleanup_close_fd(&fd);
    check_int(mountns_run(r->ns, look_until_cut_off, &place, sizeof(place), NULL), 0);
    check_int(waitpid(place.server, NULL, 0), place.server);
}

struct client {
    struct rig *rig;
    struct place place;
    int status;
};

static void *run_client(void *context)
{
    struct client *c = context;

    c->status = mountns_run(c->rig->ns, look_until_cut_off, &c->place, sizeof(c->place), NULL);
    return NULL;
}

TEST(serve, stopping_early_cuts_busy_clients_off)
{
    auto_rig struct rig *r = rig_new();
    struct client client = {.rig = r, .place = place_of(r)};
    pthread_t thread;

    rig_mount(r, NULL, 0, NULL);
    check_int(pthread_create(&thread, NULL, run_client, &client), 0);
    while (rig_count(r, FUSE_LOOKUP) < 1000)
        (void)sched_yield();
    mount_stop(STEAL(&r->mount));
    check_int(pthread_join(thread, NULL), 0);
    check_int(client.status, 0);
}

static void *flood(void *context)
{
    const struct wire *w = context;
    const struct fuse_in_header header = {.len = sizeof(header),
                                          .opcode = FUSE_STATFS,
                                          .unique = 9,
                                          .nodeid = 1,
                                          .pid = (uint32_t)getpid()};

    while (send(w->fd, &header, sizeof(header), MSG_NOSIGNAL) == (ssize_t)sizeof(header))
        continue;
    return NULL;
}

/* There is always a next request here: stopping may not wait for a pause. Enough of them, too, for
 * the lanes to take turns. */
TEST(serve, stopping_does_not_wait_for_the_last_request)
{
    struct mount_options options = {0};
    uint64_t counts[64] = {0};
    pthread_t threads[3];
    struct wire w;

    wire_open(&w, &options);
    for (size_t i = 0; i < 3; i++)
        check_int(pthread_create(&threads[i], NULL, flood, &w), 0);
    while (counts[FUSE_STATFS] < 20000) {
        (void)sched_yield();
        mount_counts(w.mount, counts, 64);
    }
    mount_stop(STEAL(&w.mount));
    for (size_t i = 0; i < 3; i++)
        check_int(pthread_join(threads[i], NULL), 0);
    wire_close(&w);
}

TEST(serve, stopping_an_idle_mount_cuts_later_clients_off)
{
    auto_rig struct rig *r = rig_new();
    struct place place = place_of(r);
    auto_str struct str out = {0};

    rig_mount(r, NULL, 0, NULL);
    free(rig_shell(r, "touch a"));
    mount_stop(STEAL(&r->mount));
    check_int(mountns_run(r->ns, look_until_cut_off, &place, sizeof(place), &out), 1); /* chdir */
}

/* The kernel tells the server when the last namespace with the mount is gone. */
TEST(serve, the_end_of_the_namespace_ends_the_service)
{
    auto_rig struct rig *r = rig_new();
    struct mount_options options = {0};
    struct view_options view_options = {.label = "the test"};
    struct view *view;
    pid_t server;
    int status;
    int fd;

    check_ok(mountns_mount(r->ns, r->directory, &options, &fd));
    server = fork();
    if (server == 0) {
        auto_free char *state = str_format("%s/other", test_dir());
        struct store *store;

        if (store_open(state, NULL, &store, &test_err) < 0 ||
            view_open(store, NULL, 0, &view_options, &view, &test_err) < 0)
            _exit(1);
        _exit(mount_serve_here(view, fd, &options, &test_err) == 0 ? 42 : 1);
    }
    cleanup_close_fd(&fd);
    mountns_free(STEAL(&r->ns));
    check_int(waitpid(server, &status, 0), server);
    check_int(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 42);
}

static unsigned count_entries(const char *directory)
{
    unsigned count = 0;
    DIR *dir = opendir(directory);

    while (dir && readdir(dir))
        count++;
    if (dir)
        (void)closedir(dir);
    return count;
}

TEST(serve, mounts_leave_no_descriptor_and_no_thread)
{
    auto_rig struct rig *r = rig_new();
    unsigned fd_count;
    unsigned thread_count;

    rig_mount(r, NULL, 0, NULL);
    rig_unmount(r);
    view_close(STEAL(&r->view));
    fd_count = count_entries("/proc/self/fd");
    thread_count = count_entries("/proc/self/task");
    for (int i = 0; i < 5; i++) {
        rig_mount(r, NULL, 0, NULL);
        free(rig_shell(r, "for i in 1 2 3 4 5 6 7 8 9; do echo $i > $i; done; cat *"));
        rig_unmount(r);
        view_close(STEAL(&r->view));
    }
    check_int(count_entries("/proc/self/fd"), fd_count);
    check_int(count_entries("/proc/self/task"), thread_count);
}

/* Signals are the main thread's. */
TEST(serve, the_serving_thread_takes_no_signal)
{
    auto_rig struct rig *r = rig_new();
    auto_free char *line = str_format(
        "cd /proc/%d/task && for t in *; do grep -q img-fuse $t/comm && "
        "grep SigBlk $t/status; done | sed s/fffffffffffbfeff/fffffffe7ffbfeff/ | sort -u",
        getpid());
    auto_free char *out = NULL;

    rig_mount(r, NULL, 0, NULL);
    out = rig_shell(r, line);
    /* All but KILL, STOP and the two of the C library, which a thread just born blocks as well. */
    check_text(out, "SigBlk:\tfffffffe7ffbfeff\n");
    rig_unmount(r);
}

/* SECURITY R28; proc_pid_status(5): 2 is a filter. Enough requests for the idle lane to be there. */
TEST(serve, the_serving_threads_alone_are_confined)
{
    auto_rig struct rig *r = rig_new();
    auto_free char *own = str_format("grep -E '^(NoNewPrivs|Seccomp):' /proc/%d/status", getpid());
    auto_free char *serving =
        str_format("for i in 1 2 3 4 5 6 7 8 9; do touch x$i && ls -l x$i; done >/dev/null; "
                   "cd /proc/%d/task && for t in *; do grep -q img-fuse $t/comm && "
                   "grep -E '^(NoNewPrivs|Seccomp):' $t/status; done | sort -u",
                   getpid());
    auto_str struct str before = {0};
    auto_free char *threads = NULL;
    auto_free char *after = NULL;

    check_int(mountns_shell(r->ns, test_dir(), own, &before), 0);
    rig_mount(r, NULL, 0, NULL);
    threads = rig_shell(r, serving);
    after = rig_shell(r, own);
    check_text(after, str_text(&before));
    check_text(threads, "NoNewPrivs:\t1\nSeccomp:\t2\n");
    rig_unmount(r);
}
