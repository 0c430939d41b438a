/* cmd_version.c - img version. */
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
