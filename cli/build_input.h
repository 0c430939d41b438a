/* build_input.h - what `img build` is given to read: PATH, a URL, a repository or standard input, and
 * the Dockerfile, which may be in it or anywhere else.
 */
#pragma once

#include <stdbool.h>

#include "builder/build.h"
#include "builder/source/source.h"
#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/str.h"

struct build_input {
    struct str dockerfile;
    char *name;        /* of the Dockerfile, for messages; NULL: "Dockerfile" */
    char *ignore_name; /* "<Dockerfile>.dockerignore" beside it, or NULL */
    struct str ignore_text;
    bool has_ignore;
    const char *directory; /* the context; NULL: fetched, or empty. Borrowed */
    struct source source;  /* the context when it was fetched */
    bool is_fetched;
    char *context_uri; /* where it was fetched, as it may be shown, and what it was */
    char *context_digest;
    char *dockerfile_uri; /* the same of a Dockerfile with an address of its own */
    char *dockerfile_digest;
};
void build_input_release(struct build_input *in);
DEFINE_CLEANUP_VALUE(build_input_release, struct build_input)
#define auto_build_input CLEANUP(build_input_release)

/* Whether reading it may take long enough to show: something goes over the network. */
bool build_input_is_remote(const char *context, const char *file);

struct build_input_options {
    const char *context; /* PATH as typed */
    const char *file;    /* --file, or NULL */
    bool keep_git_dir;
};
/* -EINVAL for combinations that have two Dockerfiles, or read standard input twice. */
int build_input_load(struct fetch *f, const struct build_input_options *options,
                     struct build_input *out, struct error *err);
void build_input_apply(const struct build_input *in, struct build_options *o);
