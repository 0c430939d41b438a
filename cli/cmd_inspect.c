/* cmd_inspect.c - img inspect: what images say of themselves, as docker words it. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "builder/image/image.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/registry_flags.h"
#include "cli/remote_inspect.h"
#include "fs/store.h"
#include "registry/reference.h"

#include "fs/base/banned.h"

struct inspect_flags {
    const char *format;
    const char *type;
    const char *platform;
    bool no_tags;
    bool raw;
    struct registry_flags registry;
};

#define FIELD(name) .offset = offsetof(struct inspect_flags, name)

static const struct option options[] = {
    {.name = "format",
     .letter = 'f',
     .kind = OPTION_TEXT,
     FIELD(format),
     .argument = "FORMAT",
     .help = "json or a Go template, for each image"},
    {.name = "raw", FIELD(raw), .help = "the manifest, byte for byte"},
    {.name = "size", .ignored = "sizes are always shown"},
    {.name = "type",
     .kind = OPTION_TEXT,
     FIELD(type),
     .argument = "TYPE",
     .help = "image (default), manifest, config or, of what a registry has, referrers"},
    {.name = "platform",
     .kind = OPTION_TEXT,
     FIELD(platform),
     .argument = "OS/ARCH",
     .help = "which image of a registry's index (default: this host's)"},
    {.name = "config", .refused = "it is --type config"},
    {.name = "no-tags",
     .letter = 'n',
     FIELD(no_tags),
     .help = "do not ask a registry for its list of tags"},
    REGISTRY_OPTIONS(struct inspect_flags, registry),
    CREDS_OPTION(struct inspect_flags, registry),
};

enum inspect_type { INSPECT_IMAGE, INSPECT_MANIFEST, INSPECT_CONFIG, INSPECT_REFERRERS };

static int parse_type(const char *text, enum inspect_type *out, struct error *err)
{
    static const char *const names[] = {
        [INSPECT_IMAGE] = "image",
        [INSPECT_MANIFEST] = "manifest",
        [INSPECT_CONFIG] = "config",
        [INSPECT_REFERRERS] = "referrers",
    };

    *out = INSPECT_IMAGE;
    for (size_t i = 0; text != NULL && i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(names[i], text) == 0) {
            *out = (enum inspect_type)i;
            return 0;
        }
    if (text == NULL)
        return 0;
    (void)error_set(err, EINVAL, "there are no objects of type '%s'", text); /* by the hint */
    return error_hint(err, "img keeps images: --type is image, manifest, config or referrers");
}

/* ---- the form of docker image inspect (Engine API, ImageInspect) ---- */

static void copy_or(struct json *to, const char *key, const struct json *from,
                    struct json *fallback)
{
    const struct json *value = json_get(from, key);

    json_put(to, key, value == NULL ? fallback : json_clone(value));
    if (value != NULL)
        json_unref(fallback);
}

static void copy_text(struct json *to, const char *key, const struct json *from, const char *name)
{
    const char *text = json_get_text(from, name);

    json_put_text(to, key, text == NULL ? "" : text);
}

/* Every field is there, so that a template may ask for each; what the image adds follows. */
static struct json *make_config(const struct json *config)
{
    static const char *const texts[] = {"User", "WorkingDir", "StopSignal"};
    static const char *const values[] = {"Env",          "Cmd",         "Entrypoint",
                                         "Labels",       "Volumes",     "OnBuild",
                                         "ExposedPorts", "Healthcheck", "Shell"};
    struct json *out = json_new_object();
    struct json *value;
    void *iter = NULL;
    const char *key;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        copy_or(out, texts[i], config, json_new_text(""));
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        copy_or(out, values[i], config, json_new_null());
    copy_or(out, "ArgsEscaped", config, json_new_bool(false));
    while (json_next(config, &iter, &key, &value))
        json_put(out, key, json_clone(value));
    return out;
}

static struct json *make_layers(const struct json *config)
{
    const struct json *rootfs = json_get_object(config, "rootfs");
    struct json *out = json_new_object();
    const struct json *ids = json_get_array(rootfs, "diff_ids");

    json_put_text(out, "Type", "layers");
    json_put(out, "Layers", ids == NULL ? json_new_array() : json_clone(ids));
    return out;
}

/* Names, and the repositories of names with the digest of what they point at. */
static int put_names(struct store *store, const struct image *image, struct json *out,
                     struct error *err)
{
    auto_reference_list struct reference_list list = {0};
    auto_strv struct strv digests = {0};
    struct json *tags = json_new_array();
    auto_str struct str tagged = {0};
    struct json *metadata = json_new_object();
    char digest[DIGEST_TEXT_SIZE];
    int64_t updated_ns = 0;
    int r = store_reference_list(store, &image->manifest, &list, err);

    digest_format(&image->manifest, digest);
    for (size_t i = 0; r == 0 && i < list.count; i++) {
        auto_reference struct reference ref = {0};
        auto_str struct str name = {0};
        auto_str struct str pinned = {0};

        r = reference_parse(list.items[i].name, &ref, err);
        if (r < 0)
            break;
        if (ref.tag != NULL) {
            reference_familiar(&ref, &name);
            json_push(tags, json_new_text(str_text(&name)));
        }
        reference_familiar_name(&ref, &pinned);
        str_addf(&pinned, "@%s", digest);
        if (!strv_contains(&digests, str_text(&pinned)))
            strv_add(&digests, str_text(&pinned));
        if (list.items[i].updated_ns > updated_ns)
            updated_ns = list.items[i].updated_ns;
    }
    if (updated_ns > 0)
        time_format(updated_ns, &tagged);
    json_put(out, "RepoTags", tags);
    json_put(out, "RepoDigests", json_new_strv(&digests));
    json_put_text(metadata, "LastTagTime", str_text(&tagged));
    json_put(out, "Metadata", metadata);
    return r;
}

static void put_comment(const struct json *config, struct json *out)
{
    const struct json *history = json_get_array(config, "history");
    size_t count = json_count(history);

    copy_text(out, "Comment", count == 0 ? NULL : json_at(history, count - 1), "comment");
    json_put(out, "History", history == NULL ? json_new_array() : json_clone(history));
}

static int make_image(struct store *store, const struct image *image, struct json **result,
                      struct error *err)
{
    const struct json *config = config_json(image->config);
    auto_json struct json *out = json_new_object();
    auto_json struct json *manifest = NULL;
    struct json *driver = json_new_object();
    char id[DIGEST_TEXT_SIZE];
    char digest[DIGEST_TEXT_SIZE];
    int r;

    digest_format(&image->config_digest, id);
    digest_format(&image->manifest, digest);
    json_put_text(driver, "Name", "img");
    json_put(driver, "Data", json_new_object());
    json_put_text(out, "Id", id);
    json_put_text(out, "Digest", digest);
    r = put_names(store, image, out, err);
    if (r == 0)
        r = json_parse(str_text(&image->bytes), image->bytes.size, image->bytes.size,
                       "the manifest", &manifest, err);
    if (r < 0) {
        json_unref(driver);
        return r;
    }
    json_put_text(out, "Parent", "");
    put_comment(config, out);
    copy_text(out, "Created", config, "created");
    copy_text(out, "Author", config, "author");
    copy_text(out, "Architecture", config, "architecture");
    copy_text(out, "Variant", config, "variant");
    copy_text(out, "Os", config, "os");
    json_put_int(out, "Size", (int64_t)image->size_bytes);
    json_put_int(out, "VirtualSize", (int64_t)image->size_bytes);
    json_put(out, "GraphDriver", driver);
    json_put(out, "RootFS", make_layers(config));
    json_put(out, "Config", make_config(json_get_object(config, "config")));
    copy_or(out, "Labels", json_get_object(config, "config"), json_new_null());
    copy_text(out, "User", json_get_object(config, "config"), "User");
    json_put_text(out, "ManifestType", image->document.media_type);
    json_put(out, "Annotations",
             json_get_object(manifest, "annotations") == NULL
                 ? json_new_object()
                 : json_clone(json_get_object(manifest, "annotations")));
    *result = STEAL(&out);
    return 0;
}

/* ---- the command ---- */

static int make_remote(struct program *p, const char *name, enum inspect_type type,
                       const struct inspect_flags *f, struct json **out, struct error *err)
{
    struct registries_options registries = {0};
    auto_reference struct reference ref = {0};
    auto_platform struct platform platform = {0};
    auto_str struct str bytes = {0};
    struct remote_inspect what = {.ref = &ref, .has_no_tags = f->no_tags};
    int r = registry_flags_apply(&f->registry, &registries, err);

    if (r == 0)
        r = registry_flags_check(&f->registry, err);

    if (r < 0)
        return r;
    what.registries = program_registries(p, &registries);
    r = registries_resolve(what.registries, name + strlen(REMOTE_SCHEME), &ref, err);
    if (r == 0)
        r = registry_flags_set_creds(&f->registry, what.registries, &ref, err);
    if (r == 0 && f->platform != NULL) {
        r = platform_parse(f->platform, &platform, err);
        what.platform = &platform;
    }
    if (r < 0)
        return r;
    if (f->raw) {
        r = remote_inspect_raw(&what, &bytes, err);
        fwrite(str_text(&bytes), 1, bytes.size, stdout);
        return r;
    }
    return type == INSPECT_CONFIG      ? remote_inspect_config(&what, out, err)
           : type == INSPECT_MANIFEST  ? remote_inspect_manifest(&what, out, err)
           : type == INSPECT_REFERRERS ? remote_inspect_referrers(&what, out, err)
                                       : remote_inspect_image(&what, out, err);
}

static int make_object(struct program *p, const char *name, enum inspect_type type,
                       const struct inspect_flags *f, struct json **out, struct error *err)
{
    auto_image struct image image = {0};
    struct store *store;
    struct digest manifest;
    int r;

    if (text_starts(name, REMOTE_SCHEME))
        return make_remote(p, name, type, f, out, err);
    if (type == INSPECT_REFERRERS)
        return error_set(err, EINVAL, "it is the registry that knows referrers: inspect %s%s",
                         REMOTE_SCHEME, name);
    if (f->platform != NULL)
        return error_set(err, EINVAL, "'%s' is one image: --platform chooses among those of %s%s",
                         name, REMOTE_SCHEME, name);
    r = program_store(p, &store, err);
    if (r == 0)
        r = image_find(store, name, &manifest, NULL, err);
    if (r == 0)
        r = image_load(store, &manifest, &image, err);
    if (r < 0)
        return r;
    if (f->raw) {
        fwrite(str_text(&image.bytes), 1, image.bytes.size, stdout);
        return 0;
    }
    if (type == INSPECT_CONFIG)
        *out = json_clone(config_json(image.config));
    else if (type == INSPECT_MANIFEST)
        r = json_parse(str_text(&image.bytes), image.bytes.size, image.bytes.size, "the manifest",
                       out, err);
    else
        r = make_image(store, &image, out, err);
    return r;
}

/* What is there is shown, then the first that is not is an error. */
static int run(struct program *p, const void *values, const struct strv *operands,
               struct error *err)
{
    const struct inspect_flags *f = values;
    auto_json struct json *list = json_new_array();
    struct error first = {0};
    enum inspect_type type;
    int r = parse_type(f->type, &type, err);

    if (r == 0 && f->raw && (f->format != NULL || operands->count > 1))
        r = error_set(err, EINVAL, "--raw prints one manifest as it is, without --format");
    if (r < 0)
        return r;
    for (size_t i = 0; i < operands->count; i++) {
        auto_json struct json *object = NULL;
        struct error failure = {0};

        r = make_object(p, operands->items[i], type, f, &object, &failure);
        if (r == 0 && f->format != NULL)
            r = format_object(f->format, object, &failure);
        else if (r == 0 && object != NULL)
            json_push(list, STEAL(&object));
        if (r < 0 && first.code == 0)
            first = failure;
    }
    if (f->format == NULL && !f->raw)
        format_print_json(list);
    if (first.code == 0)
        return 0;
    *err = first;
    return -first.code;
}

const struct subcommand cmd_inspect = {
    .name = "inspect",
    .operands = "IMAGE|docker://NAME...",
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .summary = "Print what images say of themselves as JSON.",
    .details =
        "The fields are those of docker image inspect and podman image inspect: .Id .Digest\n"
        ".RepoTags .RepoDigests .Created .Author .Architecture .Os .Size .RootFS.Layers\n"
        ".Config.Env .Config.Cmd .Config.Entrypoint .Config.Labels .Config.User ... --type\n"
        "manifest and config show the documents themselves. docker://NAME asks the registry and\n"
        "pulls nothing; the fields are then those of skopeo inspect: .Name .Digest .RepoTags\n"
        ".Created .Labels .Architecture .Os .Layers .LayersData .Env. --type referrers lists what the\n"
        "registry has about it, signatures and bills of materials say, as an index.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .options_size = sizeof(struct inspect_flags),
    .run = run,
};
