/* commands.c - the table of commands. */
#include "cli/commands.h"

#include "fs/base/banned.h"

const struct subcommand *const commands[] = {
    &cmd_build,   &cmd_pull,    &cmd_push,   &cmd_ls,         &cmd_tag,     &cmd_untag, &cmd_rm,
    &cmd_shell,   &cmd_mount,   &cmd_umount, &cmd_unpack,     &cmd_save,    &cmd_load,  &cmd_import,
    &cmd_history, &cmd_inspect, &cmd_diff,   &cmd_logs,       &cmd_du,      &cmd_prune, &cmd_fsck,
    &cmd_login,   &cmd_logout,  &cmd_doctor, &cmd_completion, &cmd_version, &cmd_help,  NULL,
};
