/* mount_run.h - a program of the caller's own, in the host's tree, with a view mounted in it.
 *
 * For hosts without fusermount3, and for whoever wants no mount to outlive a command: the mount is
 * in a namespace of the command's own, which the kernel ends with its last process. Unlike a step
 * the command is not confined: it is the caller's, sees his files and writes them as him. Inside,
 * he is root and his subordinate ids are the ids from 1 on, so that the owners of an image's files
 * are what they are; without such ids every file shows as his.
 */
#pragma once

#include <stdbool.h>

#include "fs/base/error.h"
#include "fs/base/str.h"

struct stack;
struct store;

#define MOUNT_RUN_VARIABLE "IMG_MOUNT" /* in the command's environment: the directory */

struct mount_run_options {
    const char *directory; /* absolute, existing; what it holds is hidden from the command */
    bool writable;         /* the view takes changes, and loses them at the end */
    char *const *argv;     /* NULL-terminated; looked up in PATH */
};
struct mount_run_result {
    bool is_unstartable; /* the error is the command's: it could not be executed */
    int status;          /* 0-255 as the command exited, or 128 + the signal that killed it */
};

/* Runs the command and waits for it; no other thread may run yet. INT and QUIT are left to the
 * command, TERM and HUP passed on to it. When this process dies, the command is killed.
 * Errors: -ENOENT, -EACCES, -ENOEXEC the command cannot be started; those of userns.h and
 * view_open. */
int mount_run(struct store *store, const struct stack *stack,
              const struct mount_run_options *options, struct mount_run_result *result,
              struct error *err);
