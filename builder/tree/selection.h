/* selection.h - what the sources of a COPY, ADD or bind mount come to: which entries of a tree, and
 * their digest.
 *
 * A source argument may hold wildcards; each match becomes one selection. Links in the argument
 * itself are followed inside the root, links found inside a copied directory are copied as links
 * (Dockerfile reference, "COPY"). Entries are in depth-first order, names sorted, parents first.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "builder/dockerfile/ignore.h"
#include "builder/tree/tree.h"
#include "fs/base/digest.h"
#include "fs/base/error.h"

struct selected {
    struct tree_node node;
    char *relative;        /* path below the selection's root; "" for the root itself */
    struct digest content; /* files, after selections_digest */
};

struct selection {
    char *path;   /* of the source as matched, links not followed: for names and --parents */
    bool is_dir;  /* its contents are copied, not itself */
    size_t pivot; /* leading components of path that --parents leaves out: those before "/./" */
    struct selected
        *parents; /* --parents: directories above it, from the pivot on, outermost first */
    size_t parent_count;
    size_t parent_capacity;
    struct selected *items;
    size_t count;
    size_t capacity;
};

struct selections {
    struct selection *items;
    size_t count;
    size_t capacity;
    size_t skipped; /* paths left out by the ignore file, for CopyIgnoredFile */
};
void selections_release(struct selections *s);
DEFINE_CLEANUP_VALUE(selections_release, struct selections)
#define auto_selections CLEANUP(selections_release)

struct selection_request {
    const char *pattern;          /* as in the Dockerfile, expanded */
    const struct ignore *ignore;  /* of the whole tree, or NULL */
    const struct ignore *exclude; /* relative to the source, or NULL */
    bool deep;                    /* `**` is a wildcard too, and "/./" a pivot (--parents) */
    bool literal;                 /* the pattern is a path, whatever characters it has (mounts) */
};
/* Adds the matches of one source argument. A plain path that is not there is -ENOENT `"/x": not
 * found`; a wildcard that matches nothing adds nothing. */
int selections_add(struct selections *s, struct tree *t, const struct selection_request *request,
                   struct error *err);
/* Digests of all selected files; host files on `threads` threads. */
int selections_digest(struct selections *s, struct tree *t, unsigned threads, struct error *err);

struct selection_key {
    bool any_mode;   /* the source's mode does not matter: --chmod sets it */
    bool any_owner;  /* nor its owner: --chown sets it */
    bool with_paths; /* where a source lies matters: --parents */
};
/* One digest over names, types, modes, owners, links, attributes and bytes of all that is selected;
 * never times, inode or link counts. Of the attributes all that are copied: a hit must
 * never stand for other bytes. */
int selections_key(struct selections *s, struct tree *t, const struct selection_key *how,
                   struct digest *out, struct error *err);
