/* commands.c - the table of commands, and finding one in it. */
#include <errno.h>
#include <string.h>

#include "cli/commands.h"

#include "fs/base/banned.h"

const struct subcommand *const commands[] = {
    &cmd_build,   &cmd_pull,    &cmd_push,   &cmd_ls,         &cmd_tag,     &cmd_untag, &cmd_rm,
    &cmd_shell,   &cmd_mount,   &cmd_umount, &cmd_unpack,     &cmd_save,    &cmd_load,  &cmd_import,
    &cmd_history, &cmd_inspect, &cmd_diff,   &cmd_logs,       &cmd_du,      &cmd_prune, &cmd_fsck,
    &cmd_login,   &cmd_logout,  &cmd_doctor, &cmd_completion, &cmd_version, &cmd_help,  NULL,
};

static bool names_match(const struct subcommand *c, const char *name)
{
    const char *alias = c->aliases;
    size_t size = strlen(name);

    if (strcmp(c->name, name) == 0)
        return true;
    while (alias != NULL && *alias != '\0') {
        size_t length = strcspn(alias, " ");

        if (length == size && strncmp(alias, name, size) == 0)
            return true;
        alias += length + strspn(alias + length, " ");
    }
    return false;
}

const struct subcommand *command_find(const char *name)
{
    for (size_t i = 0; commands[i] != NULL; i++)
        if (names_match(commands[i], name))
            return commands[i];
    return NULL;
}

/* What people type by habit and what does it here. */
static const struct {
    const char *word;
    const char *hint;
} habits[] = {
    {"attach", "nothing of img runs in the background"},
    {"bake", "build each target with --target"},
    {"commit", "write a Dockerfile: an image is made by img build alone"},
    {"container", "img runs no containers; `img shell IMAGE` looks inside one"},
    {"context", "there is no daemon to choose"},
    {"cp", "`img mount IMAGE DIR` shows the files, `img unpack` takes them out"},
    {"create", "img runs no containers; `img shell IMAGE` looks inside one"},
    {"exec", "`img shell IMAGE COMMAND` runs a command in an image"},
    {"events", "nothing of img runs in the background"},
    {"export", "`img unpack -o DIR IMAGE` takes the files out, `img save` the image"},
    {"from", "write FROM into a Dockerfile"},
    {"imagetools", "`img inspect docker://NAME` asks the registry"},
    {"info", "`img doctor` tells of the host, `img du` of the store"},
    {"kill", "nothing of img runs in the background"},
    {"manifest", "`img inspect --type manifest IMAGE` shows it"},
    {"network", "a step has a network of its own: `img build --network default|none|host`"},
    {"ps", "img runs no containers: nothing is left when a build is over"},
    {"run", "`img shell IMAGE COMMAND` runs a command in an image"},
    {"search", "registries are searched with a browser"},
    {"start", "img runs no containers"},
    {"sign", "images are not signed; use cosign"},
    {"stats", "nothing of img runs in the background"},
    {"stop", "nothing of img runs in the background"},
    {"unshare", "`img mount IMAGE -- COMMAND` runs a command of yours as root of a namespace"},
    {"volume", "img runs no containers; RUN --mount=type=cache keeps files between builds"},
};

int command_unknown(const char *name, struct error *err)
{
    auto_strv struct strv names = {0};
    const char *near;

    (void)error_set(err, EINVAL, "unknown command '%s'", name); /* the hint returns it */
    for (size_t i = 0; i < sizeof(habits) / sizeof(habits[0]); i++)
        if (strcmp(habits[i].word, name) == 0)
            return error_hint(err, "%s", habits[i].hint);
    for (size_t i = 0; commands[i] != NULL; i++) {
        const char *alias = commands[i]->aliases;

        strv_add(&names, commands[i]->name);
        while (alias != NULL && *alias != '\0') {
            size_t length = strcspn(alias, " ");

            strv_take(&names, mem_strndup(alias, length));
            alias += length + strspn(alias + length, " ");
        }
    }
    near = text_suggest(name, (const char *const *)strv_argv(&names), names.count);
    if (near != NULL)
        return error_hint(err, "did you mean 'img %s'?", near);
    return error_hint(err, "`img help` lists the commands");
}

/* Words that docker and podman put before a command, and those behind them that mean another thing
 * here, or nothing. */
static const struct {
    const char *word;
    const char *others; /* blank separated */
    const char *hint;
} groups[] = {
    {"builder", "", NULL},
    {"buildx", "bake create dap debug dial-stdio history inspect install ls rm stop use",
     "there is no builder and no daemon to look after: `img build` does it all"},
    {"image", "", NULL},
    {"system", "events info", "`img doctor` tells of the host, `img du` of the store"},
};

static bool has_word(const char *list, const char *word)
{
    size_t size = strlen(word);

    for (const char *at = strstr(list, word); at != NULL; at = strstr(at + 1, word))
        if ((at == list || at[-1] == ' ') && (at[size] == ' ' || at[size] == '\0'))
            return true;
    return false;
}

int command_group(const char *word, const char *next, struct error *err)
{
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        if (strcmp(groups[i].word, word) != 0)
            continue;
        if (next != NULL && next[0] == '-')
            next = NULL;
        if (next != NULL && has_word(groups[i].others, next)) {
            (void)error_set(err, EINVAL, "unknown command '%s %s'", word,
                            next); /* returned below */
            return error_hint(err, "%s", groups[i].hint);
        }
        if (next != NULL && command_find(next) != NULL)
            return 1;
        if (next != NULL)
            return command_unknown(next, err);
        (void)error_set(err, EINVAL, "'%s' needs a command behind it", word); /* returned below */
        return error_hint(err, "it may be left out: `img help` lists the commands");
    }
    return 0;
}
