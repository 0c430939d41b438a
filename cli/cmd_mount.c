/* cmd_mount.c - img mount and umount: an image as a directory of the host.
 *
 * A process of its own serves the mount until it is unmounted. It is forked before anything is
 * opened, so that nothing of the command line's is shared with it, and tells through a pipe when the
 * directory can be used. With a command there is no such process: the mount is the command's alone,
 * in a namespace of its own (builder/mount_run.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "builder/mount_run.h"
#include "builder/stack.h"
#include "cli/commands.h"
#include "fs/base/io.h"
#include "fs/base/json.h"
#include "fs/mount.h"
#include "fs/store.h"
#include "fs/view.h"

#include "fs/base/banned.h"

struct mount_flags {
    bool rw;
    bool json;
};

static const struct option mount_options[] = {
    {.name = "json",
     .offset = offsetof(struct mount_flags, json),
     .help = "print what is mounted as JSON"},
    {.name = "rw",
     .offset = offsetof(struct mount_flags, rw),
     .help = "let files be changed; the changes vanish with the mount"},
};

/* What the serving process says: nothing wrong, or the error. */
struct report {
    int code;
    struct error err;
};

static int open_image(struct program *p, const char *name, bool rw, struct view **out,
                      struct error *err)
{
    auto_stack struct stack stack = {0};
    const struct view_options options = {.label = name, .read_only = !rw, .allow_devices = rw};
    struct store *store;
    int r = program_store(p, &store, err);

    if (r == 0)
        r = stack_find(store, name, &stack, err);
    return r < 0 ? r : view_open(store, stack.layers, stack.layer_count, &options, out, err);
}

static void tell(int fd, int code, const struct error *err)
{
    struct report report = {.code = code, .err = *err};

    (void)io_write_full(fd, &report, sizeof(report)); /* without a reader nobody waits for it */
}

/* Lets go of the terminal and of standard streams: the caller may wait for their end. */
static void detach(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    setsid();
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    if (fd < 0)
        return;
    dup2(fd, STDIN_FILENO);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    close(fd);
    (void)!chdir("/"); /* hold no directory of the caller's */
}

static int serve(struct program *p, const char *name, const char *directory, bool rw, int report_fd)
{
    const struct mount_options options = {.host = true, .writable = rw, .name = name};
    auto_view struct view *view = NULL;
    struct error err = {0};
    struct mount_host host = {.fuse_fd = -1, .guard_fd = -1};
    int r = open_image(p, name, rw, &view, &err);

    if (r == 0)
        r = mount_host(directory, &options, &host, &err);
    tell(report_fd, r, &err);
    close(report_fd);
    if (r < 0)
        return 1;
    detach();
    r = mount_serve_here(view, host.fuse_fd, &options, &err);
    mount_host_release(&host);
    return r < 0;
}

static int wait_ready(int fd, pid_t child, struct error *err)
{
    struct report report;
    int status;

    if (io_read_full(fd, &report, sizeof(report)) < 0) {
        waitpid(child, &status, 0);
        return error_set(err, ECHILD, "the process that serves the mount ended early");
    }
    if (report.code == 0)
        return 0;
    waitpid(child, &status, 0);
    *err = report.err;
    return report.code;
}

/* The directory to mount on: given, or a new one beside the caller's other run-time files. */
static int choose_directory(const struct strv *operands, char **out, struct error *err)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    bool has_runtime = runtime != NULL && runtime[0] == '/' && access(runtime, W_OK | X_OK) == 0;
    const char *top = has_runtime ? runtime : "/tmp";
    auto_free char *template = NULL;

    if (operands->count > 1) {
        *out = realpath(operands->items[1], NULL);
        if (*out == NULL)
            return error_errno(err, "cannot mount on '%s'", operands->items[1]);
        return 0;
    }
    template = path_join(top, "img-mount-XXXXXX");
    if (mkdtemp(template) == NULL)
        return error_errno(err, "cannot make a directory to mount on in '%s'", top);
    *out = STEAL(&template);
    return 0;
}

/* ---- with a command ---- */

#define STATUS_NOT_STARTED 126 /* as shells have it (POSIX, 2.8.2) */
#define STATUS_NOT_FOUND 127

/* A directory to mount on that no one has to remove after a crash: whoever opens the store next
 * clears what a dead process had in work/. In a store that can only be read there is none. */
static int make_mountpoint(struct store *store, char **out, struct error *err)
{
    auto_free char *link = NULL;
    char where[PATH_MAX];
    ssize_t size;
    int fd;
    int r = store_work_dir(store, &fd, err);

    if (r < 0)
        return r;
    link = str_format("/proc/self/fd/%d", fd);
    size = readlink(link, where, sizeof(where) - 1);
    if (size < 0 || mkdirat(fd, "mnt", 0700) < 0)
        return error_errno(err, "cannot make a directory to mount on in '%s/work'",
                           store_path(store));
    where[size] = '\0';
    *out = path_join(where, "mnt");
    return 0;
}

/* The caller's own shell, for `img mount IMAGE --`. */
static void default_command(struct strv *words)
{
    const char *shell = getenv("SHELL");

    if (words->count == 0)
        strv_add(words, shell != NULL && shell[0] == '/' ? shell : "/bin/sh");
}

static int run_with_command(struct program *p, bool rw, const struct strv *operands,
                            struct error *err)
{
    auto_stack struct stack stack = {0};
    auto_free char *directory = NULL;
    struct mount_run_options options = {.writable = rw};
    struct mount_run_result result = {0};
    struct store *store;
    int r = program_store(p, &store, err);

    if (r == 0)
        r = stack_find(store, operands->items[0], &stack, err);
    if (r == 0)
        r = operands->count > 1 || store_is_read_only(store)
                ? choose_directory(operands, &directory, err)
                : make_mountpoint(store, &directory, err);
    if (r < 0)
        return r;
    default_command(&p->command);
    options.directory = directory;
    options.argv = strv_argv(&p->command);
    r = mount_run(store, &stack, &options, &result, err);
    if (operands->count < 2)
        (void)rmdir(directory); /* what is in work/ goes with it otherwise */
    if (r == 0)
        p->status = result.status;
    else if (result.is_unstartable)
        p->status = r == -ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_STARTED;
    return r;
}

/* ---- what is mounted ---- */

static struct json *entry_json(const char *name, const char *directory)
{
    struct json *entry = json_new_object();

    json_put_text(entry, "image", name);
    json_put_text(entry, "mountpoint", directory);
    return entry;
}

static void print_json(struct json *document)
{
    auto_str struct str text = {0};

    json_write_pretty(document, &text);
    json_unref(document);
    printf("%s\n", str_text(&text));
}

static int list_mounts(bool is_json, struct error *err)
{
    auto_mount_host_list struct mount_host_list list = {0};
    struct json *document;
    int r = mount_host_find(&list, err);

    if (r < 0)
        return r;
    document = json_new_array();
    for (size_t i = 0; i < list.count; i++) {
        auto_str struct str directory = {0};

        json_push(document, entry_json(list.items[i].name, list.items[i].directory));
        str_add_escaped(&directory, list.items[i].directory, strlen(list.items[i].directory));
        if (!is_json)
            printf("%s %s\n", list.items[i].name, str_text(&directory));
    }
    if (is_json)
        print_json(document);
    else
        json_unref(document);
    return 0;
}

static int run_mount(struct program *p, const void *values, const struct strv *operands,
                     struct error *err)
{
    const struct mount_flags *f = values;
    auto_free char *directory = NULL;
    auto_close int read_fd = -1;
    int fds[2];
    pid_t child;
    int r;

    if (operands->count == 0 && p->has_command)
        return error_set(err, EINVAL, "'img mount -- COMMAND' needs an image or a step");
    if (operands->count == 0)
        return list_mounts(f->json, err);
    if (p->has_command)
        return run_with_command(p, f->rw, operands, err);
    r = choose_directory(operands, &directory, err);
    if (r < 0)
        return r;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return error_errno(err, "cannot make a pipe");
    read_fd = fds[0];
    child = fork();
    if (child < 0) {
        close(fds[1]);
        return error_errno(err, "cannot start the process that serves the mount");
    }
    if (child == 0) {
        close(steal_fd(&read_fd));
        _exit(serve(p, operands->items[0], directory, f->rw, fds[1]));
    }
    close(fds[1]);
    r = wait_ready(read_fd, child, err);
    if (r < 0) {
        if (operands->count < 2)
            rmdir(directory);
        return r;
    }
    if (f->json)
        print_json(entry_json(operands->items[0], directory));
    else
        printf("%s\n", directory);
    return 0;
}

const struct subcommand cmd_mount = {
    .name = "mount",
    .operands = "[IMAGE|STEP [DIR] [-- COMMAND [ARG...]]]",
    .operands_max = 2,
    .command = COMMAND_AFTER_DASHES,
    .summary = "Show the files of an image or a build step in a directory, read-only.",
    .details =
        "Without an operand, what is mounted is listed: the image and its directory.\n"
        "\n"
        "Without COMMAND they stay until img umount, and DIR or the directory made for it is printed;\n"
        "that needs fusermount3. With it they are there for COMMAND alone, which runs as the caller on\n"
        "the host's own files: the mount is in DIR, or else in a directory that the variable IMG_MOUNT\n"
        "names. It sees itself as root, as under `buildah unshare`, so that owners are those of the\n"
        "image; its exit status is that of img. `--` alone starts the caller's shell.\n"
        "\n"
        "STEP is an id that a failed build, img logs, img du or img history show, or the beginning\n"
        "of one; IMAGE@step:N is what the first N instructions of an image gave.",
    .options = mount_options,
    .option_count = sizeof(mount_options) / sizeof(mount_options[0]),
    .options_size = sizeof(struct mount_flags),
    .run = run_mount,
};

struct umount_flags {
    bool all;
};

static const struct option umount_options[] = {
    {.name = "all",
     .letter = 'a',
     .offset = offsetof(struct umount_flags, all),
     .help = "take away all that img mount lists"},
};

static int undo(const char *directory, struct error *err)
{
    int r = mount_host_undo(directory, err);

    /* A directory that `img mount` made goes again; any other is not empty or not named so. */
    if (r == 0 && text_starts(path_base(directory), "img-mount-"))
        rmdir(directory);
    return r;
}

/* The latest first, which may lie in another. */
static int undo_all(struct error *err)
{
    auto_mount_host_list struct mount_host_list list = {0};
    int r = mount_host_find(&list, err);

    for (size_t i = list.count; r == 0 && i > 0; i--)
        r = undo(list.items[i - 1].directory, err);
    return r;
}

static int run_umount(struct program *p, const void *values, const struct strv *operands,
                      struct error *err)
{
    const struct umount_flags *f = values;
    int r = 0;

    (void)p; /* needs no state */
    if (f->all == (operands->count > 0)) {
        (void)error_set(err, EINVAL,
                        "'img umount' needs directories, or --all"); /* returned below */
        return error_hint(err, "`img mount` lists what is mounted");
    }
    if (f->all)
        return undo_all(err);
    for (size_t i = 0; r == 0 && i < operands->count; i++) {
        auto_free char *directory = realpath(operands->items[i], NULL);

        if (directory == NULL)
            return error_errno(err, "cannot unmount '%s'", operands->items[i]);
        r = undo(directory, err);
    }
    return r;
}

const struct subcommand cmd_umount = {
    .name = "umount",
    .aliases = "unmount",
    .operands = "[DIR...]",
    .operands_max = SIZE_MAX,
    .summary = "Take away what img mount showed.",
    .options = umount_options,
    .option_count = sizeof(umount_options) / sizeof(umount_options[0]),
    .options_size = sizeof(struct umount_flags),
    .run = run_umount,
};
