/* main.h - what every command is given: the state, the registries, and how to show progress. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "cli/options.h"
#include "fs/base/error.h"

struct registries;
struct registries_options;
struct store;

#define EXIT_USAGE 2 /* what was typed cannot be meant */

struct program {
    const char *state;   /* --state, or NULL */
    const char *backend; /* --backend */
    bool debug;
    struct store *store;           /* opened on first use */
    struct registries *registries; /* made on first use */
    struct strv command;           /* words of the user's own command, see enum command_words */
    bool has_command;              /* "--" was given, if that is what begins it; it may be empty */
    int status; /* exit status when the command itself succeeded, or instead of 1 when it failed */
    int cancel_fd; /* readable after SIGINT, SIGTERM or SIGHUP; -1 until asked for */
};

/* The store, opened when a command first needs it; owned by the program. */
int program_store(struct program *p, struct store **out, struct error *err);
/* Registries with the options of this command; the first call decides. */
struct registries *program_registries(struct program *p, const struct registries_options *options);
/* From now on signals only make *fd readable, once; a second one ends the process. */
int program_cancel_fd(struct program *p, int *fd, struct error *err);
atomic_bool *program_stop_flag(void); /* true from the first such signal on */

/* The commit this was built from, or "unknown". */
const char *program_commit(void);

/* The options every command has. */
const struct option *global_option_table(size_t *count);

/* All commands, in the order help lists them; NULL at the end. */
extern const struct subcommand *const commands[];
const struct subcommand *command_find(const char *name); /* by name or alias, or NULL */
/* -EINVAL with the nearest command, or with what does here what `name` does elsewhere. */
int command_unknown(const char *name, struct error *err);
/* 1: `word` is one of docker's in front of a command, and adds nothing here: `image ls`, `builder
 * prune`, `buildx build`, `system df`. 0: it is none. -EINVAL: it is, and `next` (or NULL) is no command
 * behind it. */
int command_group(const char *word, const char *next, struct error *err);
