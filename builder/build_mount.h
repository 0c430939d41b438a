/* build_mount.h - RUN --mount: file systems and files a step sees and its layer does not.
 *
 * bind mounts show a stage, an image or part of the context through a view whose changes are thrown
 * away (SECURITY R23); cache mounts keep theirs as a stack of layers under their id; secrets are
 * files on a tmpfs of the step or variables of its environment. None of it is in the layer, and of
 * secrets and caches nothing is in the key but their place.
 */
#pragma once

#include "builder/build_context.h"
#include "builder/sandbox/sandbox.h"
#include "builder/tree/copy.h"
#include "fs/base/key.h"

struct mount;
struct shared_cache;
struct ssh_proxy;
struct view;

struct step_mount {
    const struct run_mount *spec;
    char *target;                  /* absolute, clean */
    struct view *view;             /* bind, cache */
    size_t tree;                   /* its number in the sandbox, or 0 */
    const struct step_mount *same; /* an earlier mount of the same cache, whose tree this shows */
    struct mount *served;
    bool is_shown;                     /* the next two are what they will be */
    struct build_tree tree_shown;      /* bind: where its files are */
    struct selections shown;           /* which; of a context they are in the view */
    struct copy_references references; /* to files of `shown`, which the view reads */
    bool is_file;                      /* bind of a single file */
    char *source;                      /* path inside the view */
    struct digest cache_id;            /* cache */
    int lock_fd;                       /* cache; -1 */
    struct shared_cache *shared; /* cache: one that other steps may use at the same time, or NULL */
    const char *secret;          /* borrowed from the options */
    size_t secret_size;
    const char *agent; /* ssh; borrowed from the options, NULL: not given */
    size_t spec_index; /* ssh: its place in the specs */
    struct ssh_proxy *proxy;
};

struct step_mounts {
    const char *script_name; /* set before anything else: a file of SANDBOX_PIPES; or NULL */
    const char *script;      /* its text, borrowed */
    struct run_mount script_mount;
    struct build_stage *stage;
    const struct instruction *in; /* the RUN */
    uint32_t vertex; /* of the step, for what is to be said about its mounts; set before the open */
    struct step_mount *items;
    size_t count;
    struct sandbox_mount *specs; /* for the sandbox, in order */
    size_t spec_count;
    size_t tree_count; /* the root included */
    struct strv env;   /* NAME=value from secrets */
};

/* Checks the mounts; first of all, once. */
int step_mounts_plan(struct step_mounts *m, struct build_stage *stage,
                     const struct instruction *run, struct error *err);
/* Adds to `key` what of the mounts decides the result. A stage or an image goes by its own key, which
 * reads nothing, or, `by_content`, by the files that are mounted; a context always by them. 1:
 * predicting, and a stage is not made yet. */
int step_mounts_key(struct step_mounts *m, bool by_content, struct key *key, struct error *err);
/* Whether the two differ. */
bool step_mounts_have_names(const struct step_mounts *m);
/* For the explanation of a miss: adds the files that are mounted to the inputs. */
int step_mounts_list(struct step_mounts *m, struct key *key, struct error *err);
/* Opens views, takes locks, fills specs and env. Waits for a cache another build holds, and
 * says so after a while. */
int step_mounts_open(struct step_mounts *m, struct error *err);
/* Makes the mount points inside the trees other than the root. */
int step_mounts_points(struct step_mounts *m, const struct sandbox_mountpoint_list *list,
                       struct error *err);
int step_mounts_serve(struct step_mounts *m, struct sandbox *box, struct error *err);
/* The first internal fault of a served tree: see view_fault. */
int step_mounts_fault(const struct step_mounts *m, struct error *err);
/* After the step, a failed one too: stops serving and keeps what went into caches. */
int step_mounts_finish(struct step_mounts *m, struct error *err);
/* What a mount shows of a context, a stage or an image. Both are the caller's. 1: predicting, and it
 * is not made yet. */
int step_mount_select(const struct step_mounts *m, const struct run_mount *spec,
                      struct build_tree *tree, struct selections *out, struct error *err);
/* Digests what a mount begins with: a stage or image by its name, a context by its content. */
int step_mount_source_key(const struct step_mounts *m, const struct run_mount *spec,
                          struct key *key, struct error *err);
/* Shows where in the Dockerfile the field `key` of a mount is, which the error is about. */
int step_mount_fail(const struct step_mounts *m, const struct run_mount *spec, const char *key,
                    struct error *err);
void step_mounts_release(struct step_mounts *m);
