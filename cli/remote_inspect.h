/* remote_inspect.h - `img inspect docker://REF`: what a registry has, without pulling it. */
#pragma once

#include <stdbool.h>

#include "fs/base/error.h"
#include "fs/base/json.h"
#include "fs/base/str.h"
#include "registry/platform.h"
#include "registry/registries.h"

#define REMOTE_SCHEME "docker://"

struct remote_inspect {
    struct registries *registries;
    const struct reference *ref;
    const struct platform *platform; /* of an index; NULL: the host's */
    bool has_no_tags;                /* the list of tags is not asked for */
};

/* The document that the reference names, an index as it is, to the byte. */
int remote_inspect_raw(const struct remote_inspect *what, struct str *out, struct error *err);
/* Of the image for the platform: its manifest, its configuration, or what skopeo inspect says of it:
 * Name, Digest (of what the reference names), RepoTags, Created, DockerVersion, Labels, Architecture,
 * Variant, Os, Layers, LayersData, Env. Caller unrefs. */
int remote_inspect_manifest(const struct remote_inspect *what, struct json **out,
                            struct error *err);
int remote_inspect_config(const struct remote_inspect *what, struct json **out, struct error *err);
/* An index of what has the document that the reference names as its subject (OCI distribution-spec,
 * "Listing Referrers"). */
int remote_inspect_referrers(const struct remote_inspect *what, struct json **out,
                             struct error *err);
int remote_inspect_image(const struct remote_inspect *what, struct json **out, struct error *err);
