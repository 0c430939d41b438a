/* build_context.h - what a build reads from besides its stages: the build context and the named ones
 * (--build-context), and one way to open any of them, a stage or an image as a tree.
 *
 * A name is looked up as peers do: an earlier stage, then a named context, then an image; and a
 * stage that a named context has the name of is that context. Contexts are opened when something
 * reads from them.
 */
#pragma once

#include <pthread.h>

#include "builder/build_internal.h"

enum context_kind {
    CONTEXT_EMPTY,
    CONTEXT_DIRECTORY, /* of the host; any thread may read its tree */
    CONTEXT_FETCHED,   /* a layer: URL, repository or archive */
    CONTEXT_IMAGE,     /* docker-image:// */
    CONTEXT_LAYOUT,    /* oci-layout:// */
};

struct context {
    const char *name; /* NULL: the build context itself. Borrowed */
    const char *value;
    enum context_kind kind;
    pthread_mutex_t lock; /* taken before build->lock; held while it is opened */
    /* guarded by lock until is_open, read-only afterwards: */
    bool is_open;
    struct tree *tree;     /* of a directory */
    struct ignore *ignore; /* of a directory, or NULL */
    struct statcache *statcache;
    char *store_key;
    struct source source; /* of what was fetched */
};

/* Takes the options' contexts over. -EINVAL a name or value that is none. */
int contexts_init(struct build *b, struct error *err);
void contexts_release(struct build *b);
void contexts_remember(struct build *b); /* digests of their files, for the next build */

/* The named context an image name or stage name stands for, or NULL. */
struct context *context_find(struct build *b, const char *name, const struct platform *platform);
/* Opens the build context; afterwards its ignore rules are known. */
int build_context(struct build *b, struct error *err);
const struct ignore *build_context_ignore(const struct build *b);
/* The context as the base of a stage or the source of a mount. Caller releases. */
int context_state(struct build_stage *s, struct context *c, struct stage_state *out,
                  struct error *err);

/* When what a context holds was made: a commit's time, Last-Modified, the newest file of an archive; 0
 * for a directory or an image, which have none. `name` NULL: the build context. -ENOENT, without a sentence, when there is no such
 * context. */
int context_time(struct build *b, const char *name, int64_t *out, struct error *err);

/* A tree that sources are selected from. */
struct build_tree {
    struct tree *tree; /* NULL: predicting, and it is not made yet; or build_tree_fetch makes it */
    struct tree *owned;
    const struct ignore *ignore; /* borrowed, or NULL */
    bool has_key;                /* what it holds has a name, found without reading it */
    struct digest key;
    const struct stage_state *elsewhere; /* whose layers are not all here; or NULL */
};
/* `from`: stage, context or image; NULL: the build context. */
int build_tree_open(struct build_stage *s, const char *from, struct build_tree *out,
                    struct error *err);
/* A stage that others built has a key at once and files only when they are asked for, with this. */
int build_tree_fetch(struct build *b, struct build_tree *t, struct error *err);
/* The tree of these layers. */
int build_tree_layers(struct build *b, const int64_t *layers, size_t count, const char *label,
                      struct build_tree *out, struct error *err);
void build_tree_release(struct build_tree *t);
DEFINE_CLEANUP_VALUE(build_tree_release, struct build_tree)
#define auto_build_tree CLEANUP(build_tree_release)
