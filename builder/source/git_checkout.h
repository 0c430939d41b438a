/* git_checkout.h - what a checkout has besides a commit's files: submodules, and a .git. */
#pragma once

#include "builder/source/git_mirror.h"

struct view;

struct git_submodule {
    char *path;   /* relative to the directory asked for; clean */
    char *commit; /* hex */
    char *url;    /* as .gitmodules has it */
};
struct git_submodules {
    struct git_submodule *items;
    size_t count;
    size_t capacity;
};
void git_submodules_release(struct git_submodules *list);
DEFINE_CLEANUP_VALUE(git_submodules_release, struct git_submodules)
#define auto_git_submodules CLEANUP(git_submodules_release)

/* The submodules of a commit below `subdir` (NULL: all). -EINVAL one has no address. */
int git_submodules_list(struct git_mirror *m, const char *commit, const char *subdir,
                        struct git_submodules *out, struct error *err);

/* One repository in a checkout: the checkout's own, or that of a submodule. All borrowed. */
struct git_part {
    const struct git_address *address;
    const char *commit; /* hex */
    const char *ref;    /* the commit was asked for by; NULL: by itself */
    const char *subdir; /* that is wanted alone; NULL: all */
    const char *where;  /* directory of the view it goes to */
    unsigned depth;     /* how many submodules more may be nested in it */
};

/* Makes part->where/.git in the view: a repository with this one commit checked out, HEAD detached,
 * and part->ref pointing at it. No hook and no log is in it, and no time. */
int git_dir_add(struct fetch *f, struct git_mirror *m, const struct git_part *part,
                struct view *view, struct error *err);
