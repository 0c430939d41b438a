/* git_run.h - one run of the git program, with nothing of the caller's but what is said here.
 *
 * Clean environment and configuration: no hooks, no helpers, no prompts, no replaced objects, the
 * protocols http, https, ssh and git alone (SECURITY R54). Credentials travel in the environment,
 * which no other user can read, never in arguments. git ends with us: it is killed when this
 * process or the thread that waits for it dies.
 */
#pragma once

#include "builder/source/git_address.h"
#include "builder/source/source.h"
#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/str.h"

struct git_call {
    const struct fetch *fetch;
    const char *git_dir;               /* or NULL */
    const struct git_address *address; /* what it talks to; NULL: nobody */
    bool allow_files;                  /* repositories of this host: our own mirrors */
    bool private_files;                /* what it makes is for its owner alone */
};

struct git_process;
/* Starts `git` with these words; -ENOENT when there is no such program. */
int git_start(const struct git_call *call, const struct strv *words, struct git_process **out,
              struct error *err);
/* Its standard output; borrowed. -ECANCELED once the fetch is to stop. */
struct reader *git_output(struct git_process *p);
/* Waits for its end; `p` is gone. -EIO with its own last line when it failed. */
int git_finish(struct git_process *p, struct error *err);
void git_kill(struct git_process *p); /* NULL is allowed */
DEFINE_CLEANUP(git_kill, struct git_process *)
#define auto_git_process CLEANUP(git_kill)

/* All of the above: what it wrote, at most LIMIT_GIT_OUTPUT_SIZE, goes to `out` (NULL: nowhere). */
int git_run(const struct git_call *call, const struct strv *words, struct str *out,
            struct error *err);
