/* build_attest.h - attestations of one built image: made, and put where the result goes. */
#pragma once

#include "builder/attest_options.h"
#include "builder/build.h"
#include "fs/base/cleanup.h"

struct image_index;
struct json;
struct view;

/* A word that no other build has, for the documents of all its platforms. Caller frees. */
char *build_invocation_id(void);

/* A build that is done; all borrowed. */
struct build_done {
    const struct build_options *options;
    const struct build_result *result;
    const struct trace *trace;
    const char *invocation_id;
};

struct provenance_choice {
    enum provenance_mode mode;
    enum provenance_version version;
    const char *builder_id; /* or NULL */
    bool is_reproducible;
};
/* The predicate of its provenance; the caller's. `image` is the image in its last form, NULL when
 * that is not known or the result is files. Proxies, which may hold passwords, are left out,
 * whatever the mode. */
struct json *build_provenance(const struct build_done *done, const struct provenance_choice *how,
                              const struct image *image);

/* Adds the attestation manifest of `image`, which `index` has in its last form, behind what is in the
 * index; what it names becomes blobs of the store. Nothing is added when nothing is wanted. `names`
 * are canonical. */
struct attest_image {
    const struct image *image;
    const struct strv *names;
    bool as_artifact;
};
int build_attest_image(const struct build_done *done, const struct attest_options *wanted,
                       const struct attest_image *what, struct image_index *index,
                       struct error *err);
/* Puts the statements into the view, which shows the result and can be changed: "provenance.json", or with
 * a `platform` "provenance.linux_arm64.json". Their subjects are all regular files of the result.
 * -EEXIST: the result has a file of that name. */
int build_attest_files(const struct build_done *done, const struct attest_options *wanted,
                       const char *platform, struct view *view, struct error *err);
