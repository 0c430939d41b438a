/* cache_address.c - one table of fields says which use of which type knows which. */
#include <errno.h>
#include <string.h>

#include "builder/cache_address.h"
#include "builder/fields.h"

#include "fs/base/banned.h"

static void release(struct cache_address *a)
{
    free(a->text);
    free(a->ref);
    free(a->directory);
    free(a->tag);
    free(a->digest);
}

void cache_addresses_release(struct cache_addresses *a)
{
    for (size_t i = 0; i < a->count; i++)
        release(&a->items[i]);
    free(a->items);
    *a = (struct cache_addresses){0};
}

/* ---- fields ---- */

static int set_text(char **field, const char *key, const char *value, struct error *err)
{
    if (value[0] == '\0')
        return error_set(err, EINVAL, "%s is empty", key);
    free(*field);
    *field = mem_strdup(value);
    return 0;
}

static int set_ref(struct cache_address *a, const char *value, struct error *err)
{
    return set_text(&a->ref, "ref", value, err);
}

static int set_directory(struct cache_address *a, const char *value, struct error *err)
{
    return set_text(&a->directory, "the directory", value, err);
}

static int set_tag(struct cache_address *a, const char *value, struct error *err)
{
    return set_text(&a->tag, "tag", value, err);
}

static int set_digest(struct cache_address *a, const char *value, struct error *err)
{
    return set_text(&a->digest, "digest", value, err);
}

static int set_mode(struct cache_address *a, const char *value, struct error *err)
{
    a->is_max = strcmp(value, "max") == 0;
    if (!a->is_max && strcmp(value, "min") != 0)
        return error_set(err, EINVAL, "mode is min or max, not '%s'", value);
    return 0;
}

static int set_ignore_error(struct cache_address *a, const char *value, struct error *err)
{
    return fields_bool("ignore-error", value, &a->ignore_error, err);
}

static int set_compression(struct cache_address *a, const char *value, struct error *err)
{
    return export_format_parse(value, &a->export.format, err);
}

static int set_level(struct cache_address *a, const char *value, struct error *err)
{
    return export_level_parse(value, a->export.format, &a->export.level, err);
}

static int set_force(struct cache_address *a, const char *value, struct error *err)
{
    return fields_bool("force-compression", value, &a->export.force, err);
}

static int set_types(struct cache_address *a, const char *value, struct error *err)
{
    bool is_oci = true;
    int r = fields_bool("oci-mediatypes", value, &is_oci, err);

    a->export.types = is_oci ? EXPORT_OCI : EXPORT_DOCKER;
    return r;
}

/* A cache is an image with its records in the configuration, which every registry takes. */
static int set_image_manifest(struct cache_address *a, const char *value, struct error *err)
{
    bool is_image = true;
    int r = fields_bool("image-manifest", value, &is_image, err);

    (void)a;
    if (r == 0 && !is_image)
        return error_set(err, EINVAL, "image-manifest=false: a cache always is an image manifest");
    return r;
}

#define FOR(use, type) (1u << (CACHE_##use * 4u + CACHE_##type))
#define EXPORTS (FOR(EXPORT, REGISTRY) | FOR(EXPORT, LOCAL))

/* In the order in which they are set: a level is judged by its compression. */
static const struct {
    const char *key;
    unsigned uses;
    int (*set)(struct cache_address *a, const char *value, struct error *err);
} fields[] = {
    {"ref", FOR(IMPORT, REGISTRY) | FOR(EXPORT, REGISTRY), set_ref},
    {"src", FOR(IMPORT, LOCAL), set_directory},
    {"dest", FOR(EXPORT, LOCAL), set_directory},
    {"tag", FOR(IMPORT, LOCAL) | FOR(EXPORT, LOCAL), set_tag},
    {"digest", FOR(IMPORT, LOCAL), set_digest},
    {"mode", EXPORTS | FOR(EXPORT, INLINE), set_mode},
    {"ignore-error", EXPORTS, set_ignore_error},
    {"compression", EXPORTS, set_compression},
    {"compression-level", EXPORTS, set_level},
    {"force-compression", EXPORTS, set_force},
    {"oci-mediatypes", EXPORTS, set_types},
    {"image-manifest", EXPORTS, set_image_manifest},
};
#define FIELD_COUNT (sizeof(fields) / sizeof(fields[0]))

static const char *const type_names[] = {"registry", "local", "inline"};

static bool is_known_here(size_t field, const struct cache_address *a, enum cache_use use)
{
    return (fields[field].uses & 1u << ((unsigned)use * 4u + (unsigned)a->type)) != 0;
}

static int check_field(const struct cache_address *a, enum cache_use use, const char *field,
                       struct error *err)
{
    const char *keys[FIELD_COUNT];
    auto_free char *key = mem_strndup(field, strcspn(field, "="));
    const char *near;

    if (strcmp(key, "type") == 0)
        return 0;
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        keys[i] = fields[i].key;
        if (strcmp(key, fields[i].key) == 0)
            return is_known_here(i, a, use)
                       ? 0
                       : error_set(err, EINVAL, "'%s' means nothing to type=%s", key,
                                   type_names[a->type]);
    }
    near = text_suggest(key, keys, FIELD_COUNT);
    (void)error_set(err, EINVAL, "unknown field '%s'", key); /* returned below */
    return near == NULL ? -EINVAL : error_hint(err, "did you mean '%s'?", near);
}

static int set_type(struct cache_address *a, const char *type, struct error *err)
{
    static const char *const services[] = {"gha", "s3", "azblob"};

    for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++)
        if (strcmp(type, services[i]) == 0)
            return error_set(err, ENOTSUP, "type=%s: caches are registry, local and inline", type);
    for (size_t i = 0; i < sizeof(type_names) / sizeof(type_names[0]); i++)
        if (strcmp(type, type_names[i]) == 0) {
            a->type = (enum cache_type)i;
            return 0;
        }
    return error_set(err, EINVAL, "unknown cache type '%s': registry, local or inline", type);
}

/* What a type cannot do without. */
static int check(struct cache_address *a, enum cache_use use, struct error *err)
{
    if (a->type == CACHE_REGISTRY && a->ref == NULL)
        return error_set(err, EINVAL, "ref is required for type=registry");
    if (a->type == CACHE_LOCAL && a->directory == NULL)
        return error_set(err, EINVAL, "%s is required for type=local",
                         use == CACHE_IMPORT ? "src" : "dest");
    if (a->type == CACHE_INLINE && use == CACHE_IMPORT)
        return error_set(err, EINVAL,
                         "an inline cache is in an image: name that with type=registry,ref=NAME");
    if (a->type == CACHE_INLINE && a->is_max)
        return error_set(err, EINVAL, "an inline cache holds the image's own steps: mode=min");
    if (a->tag == NULL)
        a->tag = mem_strdup("latest");
    return 0;
}

static int parse(const char *text, enum cache_use use, struct cache_address *a, struct error *err)
{
    auto_strv struct strv given = {0};
    const char *type = NULL;
    int r;

    if (strchr(text, '=') == NULL) {
        r = set_ref(a, text, err);
        return r < 0 ? r : check(a, use, err);
    }
    r = fields_split(text, "cache", &given, err);
    for (size_t i = 0; r == 0 && i < given.count; i++)
        if (fields_value(given.items[i], "type") != NULL)
            type = fields_value(given.items[i], "type");
    if (r == 0 && type == NULL)
        return error_set(err, EINVAL, "type is required: registry, local or inline");
    if (r == 0)
        r = set_type(a, type, err);
    for (size_t i = 0; r == 0 && i < given.count; i++)
        r = check_field(a, use, given.items[i], err);
    for (size_t f = 0; r == 0 && f < FIELD_COUNT; f++)
        for (size_t i = 0; r == 0 && i < given.count; i++)
            if (fields_value(given.items[i], fields[f].key) != NULL)
                r = fields[f].set(a, fields_value(given.items[i], fields[f].key), err);
    return r < 0 ? r : check(a, use, err);
}

int cache_address_parse(const char *text, enum cache_use use, struct cache_addresses *out,
                        struct error *err)
{
    struct cache_address a = {.text = mem_strdup(text), .export = {.level = -1}};
    int r = parse(text, use, &a, err);

    if (r < 0) {
        release(&a);
        return error_wrap(err, "--cache-%s '%s'", use == CACHE_IMPORT ? "from" : "to", text);
    }
    *(struct cache_address *)array_add(out) = a;
    return 0;
}
