/* cmd_version.c - img version. */
#include <errno.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "cli/commands.h"
#include "cli/format.h"
#include "registry/platform.h"

#include "fs/base/banned.h"

struct version_flags {
    const char *format;
    bool json;
};

static const struct option options[] = {
    {.name = "format",
     .letter = 'f',
     .kind = OPTION_TEXT,
     .offset = offsetof(struct version_flags, format),
     .argument = "FORMAT",
     .help = "json or a Go template"},
    {.name = "json",
     .offset = offsetof(struct version_flags, json),
     .help = "the same as --format json"},
};

static struct json *make_object(const struct utsname *host)
{
    auto_platform struct platform platform = {0};
    struct json *object = json_new_object();

    platform_host(&platform);
    json_put_text(object, "Version", IMG_VERSION);
    json_put_text(object, "GitCommit", program_commit());
    json_put_text(object, "Compiler", __VERSION__);
    json_put_text(object, "Os", platform.os);
    json_put_text(object, "Arch", platform.architecture);
    json_put_text(object, "KernelVersion", host->release);
    /* Where scripts made for docker look. */
    json_put(object, "Client", json_clone(object));
    return object;
}

static int run_version(struct program *p, const void *values, const struct strv *operands,
                       struct error *err)
{
    const struct version_flags *f = values;
    auto_json struct json *object = NULL;
    struct utsname host;

    (void)p, (void)operands; /* needs no state, takes none */
    if (uname(&host) < 0)
        return error_errno(err, "cannot ask for the platform");
    if (f->json && f->format != NULL)
        return error_set(err, EINVAL, "--json and --format are two answers to one question");
    object = make_object(&host);
    if (f->json || f->format != NULL)
        return format_object(f->json ? "json" : f->format, object, err);
    printf("img:\n version     : %s\n git hash    : %s\n compiler    : %s\n platform    : %s/%s\n",
           IMG_VERSION, program_commit(), __VERSION__, json_get_text(object, "Os"),
           json_get_text(object, "Arch"));
    return 0;
}

const struct subcommand cmd_version = {
    .name = "version",
    .operands = "",
    .summary = "Print the version.",
    .details =
        "FORMAT may ask for .Version .GitCommit .Compiler .Os .Arch .KernelVersion, and for\n"
        "the same below .Client.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .options_size = sizeof(struct version_flags),
    .run = run_version,
};
