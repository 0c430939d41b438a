/* commands.h - one command per cmd_<verb>.c. */
#pragma once

#include "cli/main.h"

extern const struct subcommand cmd_build;
extern const struct subcommand cmd_completion;
extern const struct subcommand cmd_diff;
extern const struct subcommand cmd_doctor;
extern const struct subcommand cmd_du;
extern const struct subcommand cmd_fsck;
extern const struct subcommand cmd_help;
extern const struct subcommand cmd_history;
extern const struct subcommand cmd_import;
extern const struct subcommand cmd_inspect;
extern const struct subcommand cmd_load;
extern const struct subcommand cmd_login;
extern const struct subcommand cmd_logout;
extern const struct subcommand cmd_logs;
extern const struct subcommand cmd_ls;
extern const struct subcommand cmd_pull;
extern const struct subcommand cmd_mount;
extern const struct subcommand cmd_prune;
extern const struct subcommand cmd_push;
extern const struct subcommand cmd_rm;
extern const struct subcommand cmd_save;
extern const struct subcommand cmd_shell;
extern const struct subcommand cmd_tag;
extern const struct subcommand cmd_untag;
extern const struct subcommand cmd_umount;
extern const struct subcommand cmd_unpack;
extern const struct subcommand cmd_version;

/* cmd_push.c: pushes what the names (references of the store) point at to the registries in them. */
struct export_options;
struct push_result;
int push_images(struct program *p, const struct strv *names, const char *progress_mode,
                const struct export_options *options, struct push_result *out, struct error *err);
