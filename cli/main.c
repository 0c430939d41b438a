/* main.c - dispatch, and the one place that prints an error. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder/sandbox/spawner.h"
#include "cli/commands.h"
#include "cli/main.h"
#include "cli/text.h"
#include "fs/base/log.h"
#include "fs/index.h"
#include "fs/store.h"
#include "registry/registries.h"

#include "fs/base/banned.h"

struct global_options {
    const char *state;
    const char *backend;
    bool debug;
    bool version;
};

static const struct option global_options[] = {
    {.name = "state",
     .letter = 's',
     .kind = OPTION_TEXT,
     .argument = "DIR",
     .offset = offsetof(struct global_options, state),
     .help = "where images and caches are kept (IMG_STATE)"},
    {.name = "backend",
     .letter = 'b',
     .kind = OPTION_TEXT,
     .argument = "NAME",
     .offset = offsetof(struct global_options, backend),
     .help = "how steps see their files: auto or fuse"},
    {.name = "debug",
     .letter = 'd',
     .offset = offsetof(struct global_options, debug),
     .help = "say more on standard error"},
};
static const struct option root_options[] = {
    {.name = "version",
     .letter = 'v',
     .offset = offsetof(struct global_options, version),
     .help = "print the version"},
};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const struct option *global_option_table(size_t *count)
{
    *count = COUNT(global_options);
    return global_options;
}

static int cancel_write_fd = -1;
static atomic_bool stop;

static void on_signal(int number)
{
    static volatile sig_atomic_t seen;
    uint64_t one = 1;

    /* A second signal means now: everything of ours dies with this process. */
    if (seen++ > 0)
        _exit(128 + number);
    atomic_store(&stop, true);
    (void)!write(cancel_write_fd, &one, sizeof(one)); /* an eventfd takes it */
}

int program_cancel_fd(struct program *p, int *fd, struct error *err)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal};

    if (p->cancel_fd < 0) {
        p->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (p->cancel_fd < 0)
            return error_errno(err, "cannot watch for signals");
        cancel_write_fd = p->cancel_fd;
        for (size_t i = 0; i < COUNT(numbers); i++) {
            struct sigaction before;

            /* What nohup(1), or a shell for what it runs in the background, has ignored stays so. */
            if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
                sigaction(numbers[i], &action, NULL);
        }
    }
    *fd = p->cancel_fd;
    return 0;
}

atomic_bool *program_stop_flag(void)
{
    return &stop;
}

int program_store(struct program *p, struct store **out, struct error *err)
{
    auto_free char *path = NULL;
    int r = 0;

    if (p->store == NULL) {
        if (p->state != NULL)
            path = mem_strdup(p->state);
        else
            r = store_default_path(&path, err);
        if (r == 0)
            r = store_open(path, NULL, &p->store, err);
        if (r < 0)
            return r;
        store_set_stop(p->store, &stop);
    }
    *out = p->store;
    return 0;
}

struct registries *program_registries(struct program *p, const struct registries_options *options)
{
    if (p->registries == NULL)
        p->registries = registries_new(options);
    return p->registries;
}

/* On a terminal words are not broken; a log, or who reads it, wants one line. */
static void print_sentence(const char *label, const char *text)
{
    auto_str struct str filled = {0};

    text_fill(&filled, text, strlen(label), text_terminal_columns(STDERR_FILENO, SIZE_MAX));
    fprintf(stderr, "%s%s\n", label, str_text(&filled));
}

/* Whatever it was that could not be opened, the way out is the same. */
static const char *hint_of(const struct error *err)
{
    if (err->hint[0] == '\0' && err->code == EMFILE)
        return "raise the limit on open files: ulimit -n 1024";
    return err->hint;
}

/* Bytes from images and files may be in a sentence: nothing in it moves a cursor. */
static void print_error(const struct error *err)
{
    const char *way_out = hint_of(err);
    auto_str struct str text = {0};
    auto_str struct str hint = {0};

    if (err->text[0] == '\0')
        return; /* told already */
    str_add_escaped(&hint, way_out, strlen(way_out));
    str_add_escaped(&text, err->text, strlen(err->text));
    if (err->detail[0] != '\0')
        fputs(err->detail, stderr);
    print_sentence("img: ", str_text(&text));
    if (way_out[0] != '\0')
        print_sentence("hint: ", str_text(&hint));
}

static int check_operands(const struct subcommand *c, const struct strv *operands,
                          struct error *err)
{
    if (operands->count >= c->operands_min && operands->count <= c->operands_max)
        return 0;
    if (operands->count < c->operands_min)
        error_set(err, EINVAL, "'img %s' needs %s", c->name, c->operands);
    else
        error_set(err, EINVAL, "'img %s' takes no more than %zu operand%s: '%s' is one too many",
                  c->name, c->operands_max, c->operands_max == 1 ? "" : "s",
                  operands->items[c->operands_max]);
    return error_hint(err, "usage: img %s [OPTIONS] %s", c->name, c->operands);
}

/* Splits off the user's own command, and parses what is ours. */
static int parse_words(struct program *p, const struct subcommand *c, struct command_line *line,
                       struct strv *operands, struct error *err)
{
    int argc = line->argc;
    char **argv = line->argv;
    int next;
    int r;

    for (int i = 0; c->command == COMMAND_AFTER_DASHES && i < line->argc; i++)
        if (strcmp(argv[i], "--") == 0)
            line->argc = i;
    p->has_command = line->argc < argc;
    next = line->argc + 1;
    line->operands = c->command == COMMAND_AFTER_FIRST ? NULL : operands;
    r = options_parse(line, err);
    if (c->command == COMMAND_AFTER_FIRST) {
        next = line->position + 1;
        if (r == 0 && line->position < argc)
            strv_add(operands, argv[line->position]);
        if (next < argc && strcmp(argv[next], "--") == 0)
            next++;
    }
    for (; next < argc; next++)
        strv_add(&p->command, argv[next]);
    return r;
}

/* Those of the first img chose how files of steps are kept; scripts still name them. */
static int check_backend(const char *name, struct error *err)
{
    static const char *const former[] = {"naive", "native", "overlayfs", "fuse-overlayfs"};

    if (name == NULL || strcmp(name, "auto") == 0 || strcmp(name, "fuse") == 0)
        return 0;
    for (size_t i = 0; i < COUNT(former); i++)
        if (strcmp(name, former[i]) == 0) {
            log_warn("there is no backend '%s' any more, continuing with fuse", name);
            return 0;
        }
    return error_set(err, EINVAL, "backend '%s' is not supported: only auto and fuse are", name);
}

static int run_command(struct program *p, const struct subcommand *c, int argc, char **argv,
                       struct global_options *global, bool *is_usage, struct error *err)
{
    auto_free void *values = mem_alloc(c->options_size + 1);
    auto_strv struct strv operands = {0};
    auto_str struct str help_text = {0};
    const struct option_set sets[] = {
        {.options = c->options, .count = c->option_count, .values = values, .foreign = c->foreign},
        {.options = global_options, .count = COUNT(global_options), .values = global},
    };
    struct command_line line = {
        .command = c->name, .sets = sets, .set_count = COUNT(sets), .argc = argc, .argv = argv};
    int r = parse_words(p, c, &line, &operands, err);

    *is_usage = r < 0;
    if (r == 0 && line.help) {
        options_help(c, &help_text);
        fputs(str_text(&help_text), stdout);
    } else if (r == 0) {
        p->state = global->state;
        p->backend = global->backend;
        p->debug = global->debug;
        log_set_debug(p->debug);
        r = check_operands(c, &operands, err);
        if (r == 0)
            r = check_backend(p->backend, err);
        *is_usage = r < 0;
        if (r == 0)
            r = c->run(p, values, &operands, err);
    }
    options_release(&sets[0]);
    return r;
}

static int dispatch(struct program *p, int argc, char **argv, bool *is_usage, struct error *err)
{
    struct global_options global = {0};
    const struct option_set sets[] = {
        {.options = root_options, .count = COUNT(root_options), .values = &global},
        {.options = global_options, .count = COUNT(global_options), .values = &global},
    };
    const struct subcommand *c;
    struct command_line line = {
        .command = "", .sets = sets, .set_count = COUNT(sets), .argc = argc - 1, .argv = argv + 1};
    int r = options_parse(&line, err);
    int used = line.position;

    *is_usage = true;
    if (r < 0)
        return r;
    r = used + 1 < argc && !global.version ? command_group(argv[used + 1], argv[used + 2], err) : 0;
    if (r < 0)
        return r;
    used += r;
    if (global.version)
        c = command_find("version");
    else if (line.help || used + 1 >= argc)
        c = command_find("help");
    else
        c = command_find(argv[used + 1]);
    if (c == NULL)
        return command_unknown(argv[used + 1], err);
    used += used + 1 < argc ? 1 : 0;
    return run_command(p, c, argc - 1 - used, argv + 1 + used, &global, is_usage, err);
}

static void program_release(struct program *p)
{
    registries_free(p->registries);
    store_close(p->store);
    strv_release(&p->command);
    if (p->cancel_fd >= 0)
        close(p->cancel_fd);
}
DEFINE_CLEANUP_VALUE(program_release, struct program)

/* A reader who has seen enough (`img ls | head`) is no failure to speak of; the status is that of a
 * program which such a reader ends. */
static int finish_output(int status, struct error *err)
{
    if (fflush(stdout) == 0 && ferror(stdout) == 0)
        return status;
    return errno == EPIPE ? 128 + SIGPIPE : error_errno(err, "cannot write to standard output");
}

static int run(int argc, char **argv)
{
    __attribute__((cleanup(cleanup_program_release))) struct program p = {.cancel_fd = -1};
    struct error err = {0};
    bool is_usage = false;
    int r = dispatch(&p, argc, argv, &is_usage, &err);

    if (r == 0)
        r = finish_output(p.status, &err);
    if (r >= 0)
        return r;
    if (r == -ECANCELED) {
        fprintf(stderr, "img: canceled\n");
        return 130;
    }
    print_error(&err);
    return is_usage ? EXIT_USAGE : p.status != 0 ? p.status : 1;
}

/* A standard stream that is closed would be the number of the next file opened, and a message its
 * content. A descriptor of no use takes the place, so that using the stream fails as before. */
static int occupy_standard_streams(void)
{
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_PATH) != fd)
            return -1;
    return 0;
}

int main(int argc, char **argv)
{
    spawner_main_if_asked(argc, argv);
    if (occupy_standard_streams() < 0) {
        fprintf(stderr, "img: a closed standard stream cannot be replaced by '/dev/null'\n");
        return 1;
    }
    if (getauxval(AT_SECURE) != 0) {
        fprintf(stderr, "img: refusing to run with a set-id bit or file capabilities\n");
        return 1;
    }
    umask(022);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit on the size of files is a failed write, with a sentence */
    index_guard();
    return run(argc, argv);
}
