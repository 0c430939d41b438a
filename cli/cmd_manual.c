/* cmd_manual.c - help and the manual page, written from the option tables.
 *
 * The page comes out of the program itself (`img help --man`), so that it cannot say anything else
 * than the parser does; the build installs what it prints.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/text.h"

#include "fs/base/banned.h"

/* ---- the manual, in man(7) ---- */

#define ROFF_COLUMNS 78 /* lines are filled anew up to this width; mandoc wants at most 80 */

/* How roff writes a byte so that it is neither an escape nor a minus of another width. */
static const char *roff_escape(char byte)
{
    return byte == '\\' ? "\\e" : byte == '-' ? "\\-" : NULL;
}

/* The columns that the word after a blank takes in the source. */
static size_t roff_width(const char *word)
{
    size_t width = 0;

    for (; *word != '\0' && *word != ' ' && *word != '\n'; word++)
        width += roff_escape(*word) != NULL ? 2 : 1;
    return width;
}

/* Text with what roff would read as a request or an escape made harmless. */
static void roff(struct str *out, const char *text)
{
    size_t column = 0;

    for (; *text != '\0'; text++) {
        const char *escape = roff_escape(*text);

        if (text[0] == '\n' && text[1] == '\n') {
            str_add(out, "\n.PP\n");
            text++;
            column = 0;
            continue;
        }
        if (*text == ' ' || *text == '\n') {
            bool is_full = column + 1 + roff_width(text + 1) > ROFF_COLUMNS;

            str_add_char(out, is_full ? '\n' : ' ');
            column = is_full ? 0 : column + 1;
            continue;
        }
        if (column == 0 && (*text == '.' || *text == '\''))
            str_add(out, "\\&");
        if (escape != NULL)
            str_add(out, escape);
        else
            str_add_char(out, *text);
        column += escape != NULL ? 2 : 1;
    }
}

static void roff_option(struct str *out, const struct option *o)
{
    str_add(out, ".TP\n.B ");
    if (o->letter != 0)
        str_addf(out, "\\-%c, ", o->letter);
    str_add(out, "\\-\\-");
    roff(out, o->name);
    if (o->argument != NULL) {
        str_add(out, o->fallback != NULL ? "[=\\fI" : " \\fI");
        roff(out, o->argument);
        str_add(out, o->fallback != NULL ? "\\fP]" : "\\fP");
    }
    str_add_char(out, '\n');
    roff(out, o->help);
    str_add_char(out, '\n');
}

static void roff_command(struct str *out, const struct subcommand *c)
{
    str_addf(out, ".SS img %s", c->name);
    str_add_char(out, '\n');
    str_add(out, ".B img ");
    roff(out, c->name);
    if (c->option_count > 0)
        str_add(out, "\n[\\fIOPTIONS\\fP]");
    if (c->operands[0] != '\0') {
        str_add(out, "\n\\fI");
        roff(out, c->operands);
        str_add(out, "\\fP");
    }
    str_add(out, "\n.PP\n");
    roff(out, c->summary);
    str_add_char(out, '\n');
    if (c->details != NULL) {
        str_add(out, ".PP\n");
        roff(out, c->details);
        str_add_char(out, '\n');
    }
    if (c->aliases != NULL) {
        str_add(out, ".PP\nAliases: ");
        roff(out, c->aliases);
        str_add(out, ".\n");
    }
    for (size_t i = 0; i < c->option_count; i++)
        if (c->options[i].help != NULL)
            roff_option(out, &c->options[i]);
}

static const char manual_head[] =
    ".TH IMG 1 2026-11-21 \"img " IMG_VERSION "\" \"User Commands\"\n"
    ".SH NAME\nimg \\- build, pull, push and look into container images without root or a daemon\n"
    ".SH SYNOPSIS\n.B img\n[\\fB\\-s\\fP \\fIDIR\\fP] [\\fB\\-d\\fP] \\fICOMMAND\\fP "
    "[\\fIOPTIONS\\fP] ...\n"
    ".SH DESCRIPTION\n"
    "img keeps images and build caches in a state directory of the caller and shows\n"
    "them to build steps as a union filesystem of its own, served from user space\n"
    "inside the caller's user and mount namespaces.\n"
    "It needs no root, no daemon and no setuid program but newuidmap and newgidmap.\n"
    ".SH OPTIONS\n";

static const char manual_tail[] =
    ".SH ENVIRONMENT\n"
    ".TP\n.B IMG_STATE\nThe state directory; \\fB\\-\\-state\\fP overrides it. Default: img below the\n"
    "first element of XDG_DATA_HOME, else ~/.local/share/img.\n"
    ".TP\n.B IMG_MOUNT\nSet by \\fBimg mount\\fP for the command it runs: where the image is.\n"
    ".TP\n.B SHELL\nWhat \\fBimg mount IMAGE \\-\\-\\fP starts.\n"
    ".TP\n.B TERM\nPassed on to what \\fBimg shell\\fP runs on a terminal.\n"
    ".TP\n.B BUILDKIT_PROGRESS\nDefault of \\fB\\-\\-progress\\fP.\n"
    ".TP\n.B BUILDKIT_TTY_LOG_LINES\nLog lines shown of a running step on a terminal (6).\n"
    ".TP\n.B DOCKER_DEFAULT_PLATFORM\nPlatform that \\fBimg build\\fP builds for.\n"
    ".TP\n.B SOURCE_DATE_EPOCH\nTime of the image, in seconds, instead of the present.\n"
    ".TP\n.B BUILDKIT_COLORS\nColours on a terminal, as run=cyan:error=light\\-red:cancel=yellow.\n"
    ".TP\n.B PROGRESS_NO_TRUNC\n0 shortens the names of steps in plain progress.\n"
    ".TP\n.B BUILDX_METADATA_WARNINGS\nWhen true, the findings of the build checks are in \\fB\\-\\-metadata\\-file\\fP too.\n"
    ".TP\n.B NO_COLOR\nNo colour on a terminal.\n"
    ".TP\n.B CI\nWhen set, progress is plain unless asked for otherwise.\n"
    ".TP\n.B GITHUB_ACTIONS, GITLAB_CI\nWhen true, plain progress folds the output of each step.\n"
    ".TP\n.B DOCKER_CONFIG, REGISTRY_AUTH_FILE\nThe directory of docker's config.json; the one file of\n"
    "credentials that is read, instead of all others.\n"
    ".TP\n.B DOCKER_AUTH_CONFIG\nCredentials themselves, as the text of a config.json.\n"
    ".TP\n.B SSL_CERT_FILE, SSL_CERT_DIR\nAuthorities to trust instead of the system's.\n"
    ".TP\n.B CONTAINERS_REGISTRIES_CONF\nThe one registries.conf that is read.\n"
    ".TP\n.B HTTP_PROXY, HTTPS_PROXY, NO_PROXY, ALL_PROXY\nProxies of the registry client, in upper or\n"
    "lower case.\n"
    ".SH FILES\n"
    ".TP\n.I ~/.docker/config.json\nCredentials and credential helpers, as docker keeps them; the\n"
    "proxies in it become arguments of every build.\n"
    ".TP\n.I $XDG_RUNTIME_DIR/containers/auth.json, ~/.config/containers/auth.json\n"
    "Credentials, as podman and buildah keep them; looked at before docker's.\n"
    ".TP\n.I ~/.config/containers/registries.conf, /etc/containers/registries.conf\n"
    "Mirrors, blocked and insecure registries, aliases of short names;\nwith their .d directories.\n"
    ".TP\n.I ~/.config/buildkit/buildkitd.toml, /etc/buildkit/buildkitd.toml\n"
    "Mirrors and trust, for hosts without a rule in registries.conf.\n"
    ".TP\n.I ~/.config/containers/certs.d, /etc/containers/certs.d, /etc/docker/certs.d\n"
    "Below HOST:PORT: authorities (*.crt), certificates (*.cert)\nwith their keys (*.key).\n"
    ".TP\n.I /etc/subuid, /etc/subgid\nThe caller's subordinate ids; a build step's root is the first "
    "of them.\n"
    ".SH EXIT STATUS\n0 done, 1 failed, 2 wrong usage, 130 interrupted; of \\fBimg\n"
    "shell\\fP and \\fBimg mount \\-\\-\\fP that of the command, 126\nor 127 when it cannot be started.\n"
    ".SH EXAMPLES\n.nf\n"
    "img pull debian:12\n"
    "img build \\-t registry.example/me/app:1 .\n"
    "img mount registry.example/me/app:1 /tmp/look; ls /tmp/look; img umount /tmp/look\n"
    "img shell registry.example/me/app:1\n"
    "img mount registry.example/me/app:1 \\-\\- sh \\-c \'cp $IMG_MOUNT/etc/passwd .\'\n"
    "img diff debian:12 registry.example/me/app:1\n"
    "img push registry.example/me/app:1\n.fi\n"
    ".SH SEE ALSO\nnewuidmap(1), subuid(5), fusermount3(1), user_namespaces(7)\n";

static void write_manual(struct str *out)
{
    size_t count;
    const struct option *global = global_option_table(&count);

    str_add(out, manual_head);
    for (size_t i = 0; i < count; i++)
        roff_option(out, &global[i]);
    str_add(out, ".SH COMMANDS\n");
    for (size_t i = 0; commands[i] != NULL; i++)
        roff_command(out, commands[i]);
    str_add(out, manual_tail);
}

/* ---- help ---- */

struct help_flags {
    bool man;
};

static const struct option help_options[] = {
    {.name = "man",
     .offset = offsetof(struct help_flags, man),
     .help = "print the manual page, for man -l -"},
};

#define COMMAND_INDENT 14u

static void write_overview(struct str *out)
{
    size_t count;
    const struct option *global = global_option_table(&count);

    text_fill(out,
              "img - build, pull, push and look into container images, without root or a daemon\n\n"
              "Usage: img [-s DIR] [-d] COMMAND [OPTIONS] ...",
              0, options_help_columns());
    str_add(out, "\n\nCommands:\n");
    for (size_t i = 0; commands[i] != NULL; i++) {
        str_addf(out, "  %-11s ", commands[i]->name);
        text_fill(out, commands[i]->summary, COMMAND_INDENT, options_help_columns());
        str_add_char(out, '\n');
    }
    str_add(out, "\nOptions of every command:\n");
    for (size_t i = 0; i < count; i++)
        options_help_line(&global[i], out);
    str_add_char(out, '\n');
    text_fill(out, "`img COMMAND --help` shows the options of a command.", 0,
              options_help_columns());
    str_add_char(out, '\n');
}

static int run_help(struct program *p, const void *values, const struct strv *operands,
                    struct error *err)
{
    const struct help_flags *f = values;
    const struct subcommand *c = NULL;
    auto_str struct str text = {0};

    if (operands->count == 1) {
        c = command_find(operands->items[0]);
        if (c == NULL) {
            p->status = EXIT_USAGE;
            return command_unknown(operands->items[0], err);
        }
    }
    if (f->man)
        write_manual(&text);
    else if (c != NULL)
        options_help(c, &text);
    else
        write_overview(&text);
    fputs(str_text(&text), stdout);
    return 0;
}

const struct subcommand cmd_help = {
    .name = "help",
    .operands = "[COMMAND]",
    .operands_max = 1,
    .summary = "Show help.",
    .options = help_options,
    .option_count = sizeof(help_options) / sizeof(help_options[0]),
    .options_size = sizeof(struct help_flags),
    .run = run_help,
};
