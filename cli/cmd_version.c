/* cmd_version.c - img version and img help. */
#include <errno.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "cli/commands.h"

#include "fs/base/banned.h"

static int run_version(struct program *p, const void *values, const struct strv *operands,
                       struct error *err)
{
    struct utsname host;

    (void)p, (void)values, (void)operands;
    if (uname(&host) < 0)
        return error_errno(err, "cannot ask for the platform");
    printf("img:\n version     : %s\n compiler    : %s\n platform    : linux/%s\n", IMG_VERSION,
           __VERSION__, host.machine);
    return 0;
}

const struct subcommand cmd_version = {
    .name = "version",
    .operands = "",
    .summary = "Print the version.",
    .run = run_version,
};

static int run_help(struct program *p, const void *values, const struct strv *operands,
                    struct error *err)
{
    auto_str struct str text = {0};

    (void)p, (void)values;
    if (operands->count == 1) {
        const struct subcommand *c = command_find(operands->items[0]);

        if (c == NULL)
            return error_set(err, EINVAL, "unknown command '%s'", operands->items[0]);
        options_help(c, &text);
        fputs(str_text(&text), stdout);
        return 0;
    }
    printf("img - build, pull, push and look into container images, without root or a daemon\n\n"
           "Usage: img [-s DIR] [-d] COMMAND [OPTIONS] ...\n\nCommands:\n");
    for (size_t i = 0; commands[i] != NULL; i++)
        printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
    printf("\n`img COMMAND --help` shows the options of a command.\n");
    return 0;
}

const struct subcommand cmd_help = {
    .name = "help",
    .operands = "[COMMAND]",
    .operands_max = 1,
    .summary = "Show help.",
    .run = run_help,
};
