/* build.h - a Dockerfile and a context become an image: the public entry of the builder.
 *
 * Stages that the target needs are built, each by one thread, as soon as what they read from is
 * there; at most `jobs` at a time. A build whose steps are all cached starts no thread, makes no
 * namespace and no mount.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "builder/dockerfile/dockerfile.h"
#include "builder/failed.h"
#include "builder/image/image.h"
#include "builder/sandbox/spawner.h"
#include "builder/source/lent.h"
#include "fs/base/digest.h"
#include "fs/base/error.h"
#include "fs/base/progress.h"
#include "fs/base/str.h"
#include "registry/platform.h"

struct cache_addresses;
struct registries;
struct sandbox_ulimit;
struct source;
struct store;
struct trace;

enum build_pull { BUILD_PULL_MISSING, BUILD_PULL_ALWAYS, BUILD_PULL_NEVER };
enum build_network { BUILD_NETWORK_DEFAULT, BUILD_NETWORK_NONE, BUILD_NETWORK_HOST };

struct build_context {
    const char *name;  /* of an image or stage; "name::platform" for one platform */
    const char *value; /* directory, URL, repository, docker-image://REF, oci-layout://DIR */
};

/* A directory or file of the host, seen by every RUN. */
struct build_volume {
    struct spawner_volume source;
    const char *target; /* absolute, clean, not "/" */
    bool is_file;       /* no directory */
    bool is_read_only;
    bool has_devices; /* that can be opened; the target may be below /dev */
};

/* Where something came from that was fetched: its address as it may be shown, and what it was, as
 * "sha1:<hex>" of a commit or "sha256:<hex>". All NULL: it is the caller's own. */
struct build_origin {
    const char *uri;
    const char *digest;
};

struct build_options {
    struct store *store; /* build_check, build_outline and build_targets go without: NULL */
    struct registries *registries;
    struct progress *progress; /* may be NULL */

    const char *context;                  /* directory; NULL: an empty context, or `fetched` */
    const struct source *fetched;         /* the context as a tree that was fetched, or NULL */
    const struct build_context *contexts; /* --build-context */
    size_t context_count;
    const char *dockerfile; /* text, with its size in bytes */
    size_t dockerfile_size;
    struct build_origin context_origin;    /* of `fetched` */
    struct build_origin dockerfile_origin; /* of one with an address of its own */
    struct trace *trace;                   /* takes notes for a provenance; or NULL */
    bool has_sbom; /* the result will be listed: a Dockerfile that asks for more is refused */
    const char *dockerfile_name; /* for messages: "Dockerfile" */
    const char *ignore_name;     /* ignore file beside the Dockerfile: "x.dockerignore"; or NULL */
    const char *ignore_text;     /* its text when it lies outside the context, or NULL */

    const char *target;                       /* stage, or NULL for the last */
    const struct strv *build_args;            /* "NAME=value" */
    const struct strv *labels;                /* "name=value" */
    const struct strv *annotations;           /* "name=value" */
    const struct strv *tags;                  /* canonical references the result is known by */
    const struct cache_addresses *cache_from; /* cache_address.h; or NULL */
    const struct cache_addresses *cache_to;
    const struct strv *env;          /* "NAME=value" for images that stages start from; or NULL */
    const struct strv *unset_env;    /* names the result does not have; or NULL */
    const struct strv *unset_labels; /* names not taken over from such images; or NULL */
    uint64_t cache_ttl_ns;           /* older steps are run again; 0: none is too old */
    const struct strv *no_cache_stages; /* stages built anew, or NULL */
    const struct build_secret *secrets;
    size_t secret_count;
    const struct build_ssh *ssh;
    size_t ssh_count;
    const struct build_volume *volumes; /* shown to every RUN; no two on one target */
    size_t volume_count;                /* at most SPAWNER_VOLUMES_MAX */
    const struct strv *extra_hosts;     /* "name:ip" lines for /etc/hosts */
    const struct platform *platform;    /* NULL: the host's */
    const struct platform *platforms;   /* build_check, build_outline: all that are looked at, one
                                       * after the other; NULL: `platform` alone */
    size_t platform_count;
    bool is_one_of_several;   /* so the names of steps tell for which platform they are */
    bool is_another_platform; /* not the first of several: what is true for all was said */
    bool no_cache;
    enum build_pull pull;
    enum build_network network;
    bool allow_network_host; /* RUN --network=host */
    bool allow_insecure;     /* RUN --security=insecure */
    bool single_id;          /* one mapped id is enough (SECURITY P4) */
    bool no_new_privileges;
    uint64_t shm_size_bytes;              /* /dev/shm of RUN; 0: 64 MiB */
    const struct sandbox_ulimit *ulimits; /* of RUN, sandbox.h; in no key */
    size_t ulimit_count;
    bool docker_types;
    bool squash;            /* the layers above the base become one */
    bool no_image;          /* store and name nothing: the result's `image` is for the caller */
    bool rewrite_timestamp; /* no file of a new layer is newer than SOURCE_DATE_EPOCH, a build
                             * argument */
    bool explain;           /* say in the steps of the result why each was not cached */
    unsigned jobs;          /* 0: one a CPU */
    int cancel_fd;          /* readable once the build shall stop; -1: never */
    atomic_bool *stop; /* true with it, for those that do not poll: the registries' own too. Set
                             * by a stage that fails, so that the others end. NULL: none */
};

enum build_outcome {
    BUILD_STEP_CACHED,
    BUILD_STEP_RAN,     /* or would be run */
    BUILD_STEP_UNKNOWN, /* predicted only: it depends on what another step will make */
};

struct build_step {
    char *name; /* "[build 2/4] RUN make" */
    enum build_outcome outcome;
    struct strv reasons; /* why it is not cached, one sentence each; of explained ones */
    size_t stage;        /* position in the Dockerfile */
    size_t number;       /* in the stage */
};

struct build_steps {
    struct build_step *items;
    size_t count;
    size_t capacity;
};

struct build_result {
    struct digest manifest;
    struct digest config;
    struct image image;   /* stored, unless no_image was asked for */
    struct checks checks; /* warnings to print after the build */
    struct str report;    /* the same as checks_report has them */
    bool has_epoch;       /* SOURCE_DATE_EPOCH, however it was given */
    int64_t epoch_s;
    struct build_steps steps;       /* in order, when explained or predicted */
    char failed_step[STEP_ID_SIZE]; /* of a RUN that failed and can be looked into; else "" */
    bool has_garbage; /* what an earlier failed step left was given up: worth a collection */
    size_t step_count;
    size_t cached_count;
};
void build_result_release(struct build_result *r);
DEFINE_CLEANUP_VALUE(build_result_release, struct build_result)
#define auto_build_result CLEANUP(build_result_release)

/* Caller releases `out`, after a failure too. Errors carry the sentence and, in err->detail, the tail of the step's log and the excerpt.
 * -ECANCELED after cancel_fd. `out` is filled on success; its checks also on failure. */
int build_run(const struct build_options *options, struct build_result *out, struct error *err);

/* What build_run would do, as `out->steps`: looks every step up in the cache, runs none, mounts
 * nothing and starts no process. Reads the context; of a base image that is not in the store its
 * manifest and configuration are fetched, no layer, and nothing of it is kept. */
int build_predict(const struct build_options *options, struct build_result *out, struct error *err);

/* All checks of the stages that the target needs, of all when none is asked for and `all_stages` says
 * so, and those of the text of the others, without building: `out->checks`, also on failure. The
 * environment of a base image is looked up as for build_predict; where that fails for want of a
 * network, its names are not checked. What is found for several platforms is there once. */
int build_check(const struct build_options *options, bool all_stages, struct build_result *out,
                struct error *err);
