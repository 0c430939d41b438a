/* cmd_shell.c - img shell: a command inside an image or a step, as a RUN step would have it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "builder/shell.h"
#include "cli/commands.h"
#include "cli/relay.h"
#include "cli/step_flags.h"

#include "fs/base/banned.h"

#define STATUS_NOT_STARTED 126 /* as shells have it (POSIX, 2.8.2) */
#define STATUS_NOT_FOUND 127

struct shell_flags {
    struct strv env;
    struct strv add_hosts;
    const char *user;
    const char *workdir;
    const char *network;
    bool read_only;
    bool single_id;
    bool no_tty;
    bool interactive;
};

#define FIELD(name) .offset = offsetof(struct shell_flags, name)

static const struct option shell_options[] = {
    {.name = "add-host",
     .kind = OPTION_LIST,
     FIELD(add_hosts),
     .argument = "NAME:IP",
     .help = "add a line to /etc/hosts"},
    {.name = "env",
     .letter = 'e',
     .kind = OPTION_LIST,
     FIELD(env),
     .argument = "NAME[=VALUE]",
     .help = "set a variable, or pass one of the caller's on"},
    {.name = "interactive",
     .letter = 'i',
     FIELD(interactive),
     .help = "pass standard input on to COMMAND, terminal or not"},
    {.name = "network",
     .kind = OPTION_TEXT,
     FIELD(network),
     .argument = "default|none|host",
     .help = "network of the command (default: its own, outgoing only)"},
    {.name = "no-tty", .letter = 'T', FIELD(no_tty), .help = "give the command no terminal"},
    {.name = "read-only", FIELD(read_only), .help = "let nothing be changed"},
    {.name = "single-id",
     FIELD(single_id),
     .help = "map one user id, for accounts without a subordinate range"},
    {.name = "user",
     .letter = 'u',
     .kind = OPTION_TEXT,
     FIELD(user),
     .argument = "USER[:GROUP]",
     .help = "who the command runs as (default: the image's user)"},
    {.name = "workdir",
     .letter = 'w',
     .kind = OPTION_TEXT,
     FIELD(workdir),
     .argument = "DIR",
     .help = "where the command starts (default: the image's working directory)"},
    {.name = "tty", .letter = 't', .ignored = "the command has a terminal whenever img has one"},
    {.name = "rm", .ignored = "nothing is ever kept"},
    {.name = "volume",
     .letter = 'v',
     .kind = OPTION_LIST,
     .argument = "FROM:TO",
     .refused =
         "no directory of the host is shown to the command; pass files through standard input, or use img mount IMAGE -- COMMAND"},
};

static int set_network(const char *name, enum sandbox_network *out, struct error *err)
{
    static const struct {
        const char *name;
        enum sandbox_network network;
    } known[] = {{"default", SANDBOX_NETWORK_DEFAULT},
                 {"none", SANDBOX_NETWORK_NONE},
                 {"host", SANDBOX_NETWORK_HOST}};

    for (size_t i = 0; name != NULL && i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(name, known[i].name) != 0)
            continue;
        *out = known[i].network;
        return 0;
    }
    return name == NULL
               ? 0
               : error_set(err, EINVAL, "--network takes default, none or host, not '%s'", name);
}

static int check_flags(const struct shell_flags *f, struct shell_options *o, struct strv *env,
                       struct strv *hosts, struct error *err)
{
    int r = set_network(f->network, &o->network, err);

    if (r == 0)
        r = env_collect(&f->env, env, err);
    if (r == 0 && f->workdir != NULL && f->workdir[0] != '/')
        r = error_set(err, EINVAL, "--workdir '%s' is not an absolute path", f->workdir);
    if (r == 0)
        r = hosts_collect(&f->add_hosts, hosts, err);
    o->cwd = f->workdir;
    o->user = f->user;
    o->read_only = f->read_only;
    o->single_id = f->single_id;
    o->extra_hosts = hosts;
    return r;
}

/* Without --interactive a command leaves our standard input alone: it may be the list that a loop
 * around us goes through. A shell has nothing else to read. */
static enum sandbox_input choose_input(const struct shell_flags *f, bool has_terminal,
                                       const struct strv *command)
{
    if (has_terminal)
        return SANDBOX_INPUT_TERMINAL;
    return f->interactive || command->count == 0 ? SANDBOX_INPUT_PIPE : SANDBOX_INPUT_NONE;
}

static int run_shell(struct program *p, const void *values, const struct strv *operands,
                     struct error *err)
{
    const struct shell_flags *f = values;
    bool has_terminal = !f->no_tty && relay_has_terminal();
    auto_stack struct stack stack = {0};
    auto_strv struct strv env = {0};
    auto_strv struct strv hosts = {0};
    struct shell_options options = {
        .command = &p->command,
        .env = &env,
        .terminal_type = getenv("TERM"),
        .input = choose_input(f, has_terminal, &p->command),
    };
    struct relay relay = {.signal_fd = -1};
    auto_shell struct shell *shell = NULL;
    struct sandbox_result result = {0};
    struct store *store;
    int r = check_flags(f, &options, &env, &hosts, err);

    if (r == 0)
        r = program_store(p, &store, err);
    if (r == 0)
        r = stack_find(store, operands->items[0], &stack, err);
    if (r == 0)
        r = relay_open(&relay, has_terminal, err);
    relay_size(&options.rows, &options.columns);
    if (r == 0)
        r = shell_start(store, &stack, &options, &shell, err);
    if (r == 0)
        r = relay_run(&relay, shell_sandbox(shell), err);
    if (r == 0) {
        r = shell_wait(shell, &result, err);
        if (r == -ENOENT || r == -EACCES || r == -ENOEXEC)
            p->status = r == -ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_STARTED;
        else
            p->status = result.status;
    }
    if (relay.signal != 0) {
        p->status = 128 + relay.signal;
        r = 0;
    }
    relay_close(&relay);
    return r;
}

const struct subcommand cmd_shell = {
    .name = "shell",
    .operands = "IMAGE|STEP [COMMAND [ARG...]]",
    .operands_min = 1,
    .operands_max = 1,
    .command = COMMAND_AFTER_FIRST,
    .summary = "Run a shell or COMMAND inside an image or a build step; its changes vanish.",
    .details =
        "The command sees what a RUN step would: the image's files, user, environment and working\n"
        "directory, namespaces and limits of its own, and nothing of the host but its network's\n"
        "outgoing side. Files can be changed; the changes are thrown away when it ends. With a\n"
        "terminal it gets one of its own; else its output is passed on, and with --interactive, or\n"
        "without COMMAND, its input. Its exit status is that of img; 127 when it is not there, 126\n"
        "when it cannot be started.\n"
        "\n"
        "STEP is an id that a failed build, img logs, img du or img history show, or the beginning\n"
        "of one; IMAGE@step:N is what the first N instructions of an image gave.",
    .options = shell_options,
    .option_count = sizeof(shell_options) / sizeof(shell_options[0]),
    .options_size = sizeof(struct shell_flags),
    .run = run_shell,
};
