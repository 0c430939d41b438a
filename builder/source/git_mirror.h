/* git_mirror.h - the bare repository in which the commits of one remote are kept.
 *
 * Fetched shallow, one commit at a time, each under refs/img/. It is locked while it is open, so
 * one build at a time fetches from a remote; one that a dead process was writing to starts afresh.
 */
#pragma once

#include "builder/source/git_run.h"

struct git_mirror;

/* Locks and, if need be, makes the mirror of `address`. */
int git_mirror_open(struct fetch *f, const struct git_address *address, struct git_mirror **out,
                    struct error *err);
void git_mirror_close(struct git_mirror *m);
DEFINE_CLEANUP(git_mirror_close, struct git_mirror *)
#define auto_git_mirror CLEANUP(git_mirror_close)

const char *git_mirror_path(const struct git_mirror *m);
/* Makes sure that `commit` is there: by its name, else by `ref`, else with all the remote has.
 * -ENOENT when the remote does not have it. */
int git_mirror_fetch(struct git_mirror *m, const char *commit, const char *ref, struct error *err);
/* Words of a git command on this mirror, which talks to nobody. */
int git_mirror_run(struct git_mirror *m, const struct strv *words, struct str *out,
                   struct error *err);
int git_mirror_start(struct git_mirror *m, const struct strv *words, struct git_process **out,
                     struct error *err);
