/* build_copy.h - what build_copy.c and build_copy_from.c share: one COPY or ADD on its way. */
#pragma once

#include "builder/build_context.h"
#include "builder/tree/copy.h"
#include "builder/tree/selection.h"

/* Sources in a row that come out of one tree. */
struct copy_part {
    size_t first; /* of the instruction's sources */
    size_t count;
    bool is_fetched;  /* a URL or a repository: the one source is not a path */
    const char *path; /* then: what of the tree is copied; borrowed */
    struct build_tree tree;
    struct source source; /* of what was fetched */
    int64_t time_ns;      /* a time that counts as content (of a download or a commit); 0: none */
    bool unpack;
    bool keep_owner;
    struct selections sources;
};

struct copying {
    struct build_stage *stage;
    const struct instruction *in;
    const struct copy *copy;
    uint32_t vertex;
    struct copy_part *parts;
    size_t part_count;
    struct ignore *exclude;
    struct chmod chmod;
    struct copy_options options;
    char *destination;
    struct digest users_digest; /* of passwd and group, when --chown has names */
    bool has_users_digest;
    char *text; /* for progress and history */
};

/* Puts the caret under the word that is to blame. */
int copy_fail_at(const struct copying *c, const struct word *word, struct error *err);

/* Adds to the error of a source that is not there what is near. Returns -err->code. */
int copy_hint_missing(const struct build *b, const struct build_tree *tree, const char *source,
                      struct error *err);

bool copy_is_address(const char *source); /* of a URL or a repository */
/* Whether this instruction fetches it. */
bool copy_is_remote(const struct copying *c, const char *source);
/* build_copy_from.c: divides the sources into parts, opens their trees, and checks that the flags
 * fit what they are. */
int copy_parts_plan(struct copying *c, struct error *err);
int copy_part_open(struct copying *c, struct copy_part *part, struct error *err);
void copy_parts_release(struct copying *c);
/* Fetches what the one source of an expanded ADD names; when it was made, 0 if nothing tells. */
int copy_remote_time(struct build_stage *s, const struct instruction *add, uint32_t vertex,
                     int64_t *out, struct error *err);
