/* shell.h - a command in the files of an image or a step, confined as a RUN step is.
 *
 * The same namespaces, identity, capabilities, filter, limits and devices as RUN (sandbox.h), on a
 * view whose journal is thrown away. Nothing of it outlives the shell: no file, mount or process,
 * whatever ends it.
 */
#pragma once

#include <stdbool.h>

#include "builder/sandbox/sandbox.h"
#include "builder/stack.h"
#include "fs/base/cleanup.h"
#include "fs/base/error.h"

struct shell;
struct store;

struct shell_options {
    const struct strv *command;     /* empty: a shell of the image, bash before sh */
    const struct strv *env;         /* "NAME=value", over those of the stack; or NULL */
    const char *user;               /* NULL: the stack's */
    const char *cwd;                /* absolute; NULL: the stack's; made if the image has none */
    const char *terminal_type;      /* TERM with a terminal, or NULL */
    const struct strv *extra_hosts; /* "name:ip", or NULL */
    enum sandbox_network network;
    enum sandbox_input input;
    uint16_t rows;
    uint16_t columns;
    bool read_only; /* nothing can be changed, not even to be thrown away */
    bool single_id; /* map one id, for accounts without a subordinate range */
};

/* Errors: those of view_open and sandbox_start; -ENOENT the user, or no shell to start. */
int shell_start(struct store *store, const struct stack *stack, const struct shell_options *options,
                struct shell **out, struct error *err);
/* For its descriptors, its end and its signals; borrowed. */
struct sandbox *shell_sandbox(struct shell *s);
/* Waits for the end, as sandbox_wait. A fault of the store is an error, whatever the command made
 * of it. */
int shell_wait(struct shell *s, struct sandbox_result *result, struct error *err);
void shell_free(struct shell *s); /* NULL is allowed; kills what still runs */
DEFINE_CLEANUP(shell_free, struct shell *)
#define auto_shell CLEANUP(shell_free)
