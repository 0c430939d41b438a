/* build_foreign.c - options of other builders that img build has no use for.
 *
 * People come with scripts made for docker build, buildx, buildah, podman and kaniko. What changes
 * nothing about the image is accepted with a warning; what would change it, and cannot be done here,
 * is refused with the way that works. Nothing of theirs is unknown.
 */
#include "cli/build_compat.h"

#include "fs/base/banned.h"

#define IGNORED(word, why)                                                                         \
    {                                                                                              \
        .name = (word), .ignored = (why)                                                           \
    }
#define IGNORED_VALUE(word, what, why)                                                             \
    {                                                                                              \
        .name = (word), .kind = OPTION_TEXT, .argument = (what), .ignored = (why)                  \
    }
#define REFUSED(word, why)                                                                         \
    {                                                                                              \
        .name = (word), .refused = (why)                                                           \
    }

#define LIMITS "set limits on img itself (systemd-run -p MemoryMax=, ulimit, the pod's)"
#define NOTHING_LEFT "nothing is ever left behind"
#define ALWAYS_CACHED "steps are always cached; --no-cache does without"
#define OWN_CACHE "the cache is the state directory: keep it between runs (--state, IMG_STATE)"
#define NO_CAPABILITIES "steps have docker's capabilities; RUN --security=insecure has all"
#define NO_DAEMON "there is no daemon and no builder to choose"
#define SBOM_BESIDE "a list of what an image holds stands beside it: --sbom"
#define NO_RUNTIME "there is no runtime to choose"
#define NO_SNAPSHOT "nothing is ever scanned: a layer is what the journal saw"
#define OWN_NAMESPACES "steps always have namespaces of their own"
#define PUSH_LATER "use img push"
#define CONFIG_FILE "put it into registries.conf"

static const struct option foreign[] = {
    /* docker build, buildx build */
    {.name = "builder", .kind = OPTION_TEXT, .argument = "NAME", .ignored = NO_DAEMON},
    IGNORED("compress", "the context is never sent anywhere"),
    IGNORED_VALUE("cgroup-parent", "CGROUP", LIMITS),
    IGNORED_VALUE("cpu-period", "N", LIMITS),
    IGNORED_VALUE("cpu-quota", "N", LIMITS),
    {.name = "cpu-shares", .letter = 'c', .kind = OPTION_TEXT, .argument = "N", .ignored = LIMITS},
    IGNORED_VALUE("cpuset-cpus", "CPUS", LIMITS),
    IGNORED_VALUE("cpuset-mems", "NODES", LIMITS),
    REFUSED("detach", "there is no daemon to go on with it; use nohup or a service"),
    IGNORED("disable-content-trust", "there is no content trust to disable"),
    IGNORED("force-rm", NOTHING_LEFT),
    IGNORED_VALUE("isolation", "MODE", "steps are always isolated"),
    {.name = "memory", .letter = 'm', .kind = OPTION_TEXT, .argument = "BYTES", .ignored = LIMITS},
    IGNORED_VALUE("memory-swap", "BYTES", LIMITS),
    REFUSED("policy", "there are no source policies; pin bases by digest"),
    IGNORED_VALUE("resource", "KEY=VALUE", LIMITS),
    IGNORED("rm", NOTHING_LEFT),
    IGNORED_VALUE("security-opt", "OPTION",
                  "seccomp, and no-new-privileges if asked, are img's own"),
    IGNORED("stream", "the context is never sent anywhere"),

    /* buildah build, podman build */
    IGNORED("add-history", "history is always written"),
    REFUSED("all-platforms", "name them: --platform linux/amd64,linux/arm64"),
    REFUSED("annotate-base", "the base's annotations are not taken over"),
    REFUSED("cap-add", NO_CAPABILITIES),
    REFUSED("cap-drop", NO_CAPABILITIES),
    IGNORED("compat-volumes", "what is written below a VOLUME is kept"),
    REFUSED("cpp-flag", "Dockerfiles are not preprocessed"),
    REFUSED("created-annotation", "give it: --annotation org.opencontainers.image.created=TIME"),
    REFUSED("cw", "there are no confidential workloads"),
    REFUSED("decryption-key", "encrypted images are not read"),
    {.name = "disable-compression",
     .letter = 'D',
     .ignored = "layers are compressed only for those who ask"},
    REFUSED("dns", "steps use the host's resolv.conf"),
    REFUSED("dns-option", "steps use the host's resolv.conf"),
    REFUSED("dns-search", "steps use the host's resolv.conf"),
    REFUSED("from", "use ARG in FROM and --build-arg"),
    REFUSED("group-add", "groups are those of USER in the image"),
    IGNORED_VALUE("hooks-dir", "DIR", NO_RUNTIME),
    REFUSED("identity-label", "there is no such label"),
    REFUSED("inherit-annotations", "annotations are never inherited"),
    REFUSED("inherit-labels", "labels are always inherited"),
    IGNORED_VALUE("ipc", "MODE", OWN_NAMESPACES),
    REFUSED("layer-label", "layers have no labels"),
    IGNORED("layers", ALWAYS_CACHED),
    REFUSED("log-rusage", "img build prints how long each step took"),
    REFUSED("logfile", "img logs shows what every step printed"),
    REFUSED("logsplit", "img logs shows what every step printed"),
    REFUSED("manifest", "it is --platform linux/amd64,linux/arm64 -t NAME"),
    IGNORED("no-hostname", "/etc/hostname never enters a layer"),
    IGNORED("no-hosts", "/etc/hosts never enters a layer"),
    IGNORED("no-pivot", NO_RUNTIME),
    REFUSED("omit-history", "history is always written"),
    REFUSED("os-feature", "set it with the base image"),
    REFUSED("os-version", "set it with the base image"),
    IGNORED_VALUE("pid", "MODE", OWN_NAMESPACES),
    IGNORED_VALUE("runtime", "PATH", NO_RUNTIME),
    IGNORED_VALUE("runtime-flag", "FLAG", NO_RUNTIME),
    REFUSED("rusage-logfile", "img build prints how long each step took"),
    REFUSED("save-stages", "build each stage with --target"),
    REFUSED("sbom-image-output", SBOM_BESIDE),
    REFUSED("sbom-merge-strategy", SBOM_BESIDE),
    REFUSED("sbom-output", SBOM_BESIDE),
    REFUSED("sbom-purl-output", SBOM_BESIDE),
    REFUSED("sbom-scanner-command", SBOM_BESIDE),
    REFUSED("sbom-scanner-image", SBOM_BESIDE),
    REFUSED("sign-by", "images are not signed; use cosign"),
    REFUSED("signature-policy", "signatures are not checked"),
    IGNORED("skip-unused-stages", "stages that nothing needs are never built"),
    REFUSED("source-policy-file", "there are no source policies; pin bases by digest"),
    REFUSED("squash-all", "the layers of a base are shared, and stay"),
    REFUSED("stdin", "steps read nothing"),
    REFUSED("transient-run-mounts", "write RUN --mount"),
    REFUSED("unsetannotation", "annotations are never inherited"),
    IGNORED_VALUE("userns", "MODE", OWN_NAMESPACES),
    IGNORED_VALUE("userns-gid-map", "MAP", OWN_NAMESPACES),
    IGNORED_VALUE("userns-gid-map-group", "NAME", OWN_NAMESPACES),
    IGNORED_VALUE("userns-uid-map", "MAP", OWN_NAMESPACES),
    IGNORED_VALUE("userns-uid-map-user", "NAME", OWN_NAMESPACES),
    IGNORED_VALUE("uts", "MODE", OWN_NAMESPACES),

    /* kaniko's executor */
    IGNORED("cache", ALWAYS_CACHED),
    IGNORED("cache-copy-layers", ALWAYS_CACHED),
    IGNORED_VALUE("cache-dir", "DIR", OWN_CACHE),
    IGNORED_VALUE("cache-repo", "REPOSITORY", OWN_CACHE),
    IGNORED("cache-run-layers", ALWAYS_CACHED),
    IGNORED("cleanup", NOTHING_LEFT),
    IGNORED("compressed-caching", "memory does not grow with the size of a layer"),
    REFUSED("context", "it is the operand: img build DIR"),
    REFUSED("context-sub-path", "it is the operand: img build DIR/SUB"),
    REFUSED("custom-platform", "it is --platform"),
    REFUSED("destination", "it is -t NAME --push"),
    REFUSED("dockerfile", "it is -f"),
    IGNORED("force", "img runs outside of a container too"),
    REFUSED("git", "write it into the URL of the context: #REF:DIR"),
    REFUSED("ignore-path", "nothing of the host is in the image"),
    IGNORED("ignore-var-run", "mounts never enter a layer"),
    IGNORED_VALUE("image-fs-extract-retry", "N", "images are not extracted"),
    REFUSED("image-name-tag-with-digest-file", "it is in --metadata-file"),
    REFUSED("image-name-with-digest-file", "it is in --metadata-file"),
    REFUSED("insecure", "it is --insecure-registry HOST"),
    REFUSED("insecure-pull", "it is --insecure-registry HOST"),
    IGNORED("log-timestamp", "every line has its time since the step began"),
    IGNORED("no-push", "nothing is pushed unless --push asks for it"),
    IGNORED("no-push-cache", "caches are never pushed"),
    REFUSED("oci-layout-path", "it is --output type=oci,dest=DIR,tar=false"),
    IGNORED_VALUE("push-retry", "N", PUSH_LATER),
    IGNORED("push-ignore-immutable-tag-errors", PUSH_LATER),
    REFUSED("registry-certificate", "it is --cert-dir, or certs.d"),
    REFUSED("registry-client-cert", "it is --cert-dir, or certs.d"),
    REFUSED("registry-map", CONFIG_FILE),
    REFUSED("registry-mirror", CONFIG_FILE),
    REFUSED("reproducible", "it is --source-date-epoch 0 --rewrite-timestamp"),
    REFUSED("single-snapshot", "it is --squash"),
    REFUSED("skip-default-registry-fallback", CONFIG_FILE),
    IGNORED("skip-push-permission-check", "nothing is asked before a push"),
    REFUSED("skip-tls-verify", "it is --tls-verify=false"),
    REFUSED("skip-tls-verify-pull", "it is --tls-verify=false"),
    REFUSED("skip-tls-verify-registry", "it is --insecure-registry HOST"),
    IGNORED_VALUE("snapshot-mode", "MODE", NO_SNAPSHOT),
    IGNORED_VALUE("snapshotMode", "MODE", NO_SNAPSHOT),
    REFUSED("tar-path", "it is --output type=docker,dest=FILE"),
    REFUSED("tarPath", "it is --output type=docker,dest=FILE"),
    IGNORED("use-new-run", NO_SNAPSHOT),
    IGNORED_VALUE("verbosity", "LEVEL", "img -d says more"),
    IGNORED("whitelist-var-run", "mounts never enter a layer"),
};

const struct option *build_foreign_options(size_t *count)
{
    *count = sizeof(foreign) / sizeof(foreign[0]);
    return foreign;
}
