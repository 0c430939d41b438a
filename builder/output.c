/* output.c - one table of fields says which type knows which. */
#include <errno.h>
#include <string.h>

#include "builder/fields.h"
#include "builder/output.h"
#include "registry/platform.h"
#include "registry/reference.h"

#include "fs/base/banned.h"

void output_annotations_release(struct output_annotations *a)
{
    strv_release(&a->manifest);
    strv_release(&a->descriptor);
    strv_release(&a->index);
    strv_release(&a->index_entry);
}

void output_release(struct output *o)
{
    free(o->dest);
    strv_release(&o->names);
    output_annotations_release(&o->annotations);
    *o = (struct output){0};
}

void output_list_release(struct output_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        output_release(&list->items[i]);
    free(list->items);
    *list = (struct output_list){0};
}

/* ---- annotations ---- */

static bool is_for(const char *wanted, const char *platform)
{
    auto_platform struct platform want = {0};
    auto_platform struct platform have = {0};
    struct error ignored;

    return platform_parse(wanted, &want, &ignored) == 0 &&
           platform_parse(platform, &have, &ignored) == 0 && platform_rank(&want, &have) >= 0;
}

/* One of "manifest", "manifest[linux/amd64]", "index", ...: where `pair` belongs. */
static int put_annotation(const char *type, const char *pair, const char *platform,
                          struct output_annotations *out, struct error *err)
{
    size_t size = strcspn(type, "[");
    auto_free char *kind = mem_strndup(type, size);
    auto_free char *wanted = NULL;

    if (type[size] == '[') {
        if (!text_ends(type, "]"))
            return error_set(err, EINVAL, "invalid annotation type '%s'", type);
        wanted = mem_strndup(type + size + 1, strlen(type) - size - 2);
    }
    if (strcmp(kind, "index") == 0) {
        strv_add(&out->index, pair);
        return 0;
    }
    if (strcmp(kind, "index-descriptor") == 0) {
        strv_add(&out->index_entry, pair);
        return 0;
    }
    if (strcmp(kind, "manifest") != 0 && strcmp(kind, "manifest-descriptor") != 0)
        return error_set(err, EINVAL, "unknown annotation type '%s'", type);
    if (wanted == NULL || is_for(wanted, platform))
        strv_add(kind[8] == '\0' ? &out->manifest : &out->descriptor, pair);
    return 0;
}

int output_annotation_parse(const char *text, const char *platform, struct output_annotations *out,
                            struct error *err)
{
    size_t key = strcspn(text, ":=");
    auto_free char *types = text[key] == ':' ? mem_strndup(text, key) : mem_strdup("manifest");
    const char *pair = text[key] == ':' ? text + key + 1 : text;
    char *save = NULL;
    int r = 0;

    if (strchr(pair, '=') == NULL || pair[0] == '=')
        return error_set(err, EINVAL, "invalid annotation '%s': expected key=value", text);
    for (char *type = strtok_r(types, ",", &save); r == 0 && type != NULL;
         type = strtok_r(NULL, ",", &save))
        r = put_annotation(type, pair, platform, out, err);
    return r;
}

/* "annotation.key" and "annotation-TYPE[PLATFORM].key"; the platform has no dot. */
static int annotation_field(struct output *o, const char *field, const char *platform,
                            struct error *err)
{
    const char *dot = strchr(field, '.');
    size_t prefix = strlen("annotation");
    auto_free char *type = NULL;

    if (dot == NULL || strchr(dot, '=') == NULL)
        return error_set(err, EINVAL, "invalid annotation '%s': expected annotation.key=value",
                         field);
    type = field[prefix] == '-'
               ? mem_strndup(field + prefix + 1, (size_t)(dot - field) - prefix - 1)
               : mem_strdup("manifest");
    return put_annotation(type, dot + 1, platform, &o->annotations, err);
}

/* ---- fields ---- */

static int set_dest(struct output *o, const char *value, struct error *err)
{
    (void)err;
    free(o->dest);
    o->dest = mem_strdup(value);
    return 0;
}

static int set_name(struct output *o, const char *value, struct error *err)
{
    auto_free char *copy = mem_strdup(value);
    char *save = NULL;

    for (char *name = strtok_r(copy, ",", &save); name != NULL; name = strtok_r(NULL, ",", &save)) {
        auto_reference struct reference ref = {0};
        auto_str struct str canonical = {0};
        int r = reference_parse(name, &ref, err);

        if (r == 0 && ref.has_digest)
            r = error_set(err, EINVAL, "invalid name '%s': it cannot hold a digest", name);
        if (r < 0)
            return r;
        reference_format(&ref, &canonical);
        strv_add(&o->names, str_text(&canonical));
    }
    return 0;
}

static int set_push(struct output *o, const char *value, struct error *err)
{
    return fields_bool("push", value, &o->push, err);
}

static int set_insecure(struct output *o, const char *value, struct error *err)
{
    return fields_bool("registry.insecure", value, &o->is_insecure, err);
}

static int set_tar(struct output *o, const char *value, struct error *err)
{
    bool is_tar = true;
    int r = fields_bool("tar", value, &is_tar, err);

    o->is_directory = !is_tar;
    return r;
}

static int set_mode(struct output *o, const char *value, struct error *err)
{
    o->delete_others = strcmp(value, "delete") == 0;
    if (!o->delete_others && strcmp(value, "copy") != 0)
        return error_set(err, EINVAL, "mode is copy or delete, not '%s'", value);
    return 0;
}

static int set_platform_split(struct output *o, const char *value, struct error *err)
{
    o->has_split = true;
    return fields_bool("platform-split", value, &o->is_split, err);
}

static int set_rewrite(struct output *o, const char *value, struct error *err)
{
    return fields_bool("rewrite-timestamp", value, &o->rewrite_timestamp, err);
}

static int set_compression(struct output *o, const char *value, struct error *err)
{
    o->has_compression = true;
    return export_format_parse(value, &o->export.format, err);
}

static int set_level(struct output *o, const char *value, struct error *err)
{
    o->has_compression = true;
    return export_level_parse(value, o->export.format, &o->export.level, err);
}

static int set_force(struct output *o, const char *value, struct error *err)
{
    o->has_compression = true;
    return fields_bool("force-compression", value, &o->export.force, err);
}

static int set_types(struct output *o, const char *value, struct error *err)
{
    bool is_oci = true;
    int r = fields_bool("oci-mediatypes", value, &is_oci, err);

    o->has_types = true;
    o->export.types = is_oci ? EXPORT_OCI : EXPORT_DOCKER;
    return r;
}

static int set_artifact(struct output *o, const char *value, struct error *err)
{
    return fields_bool("oci-artifact", value, &o->as_artifact, err);
}

#define FOR(type) (1u << OUTPUT_##type)
#define FOR_IMAGES (FOR(OCI) | FOR(DOCKER) | FOR(IMAGE))
#define FOR_FILES (FOR(LOCAL) | FOR(TAR) | FOR(OCI) | FOR(DOCKER))

/* In the order in which they are set: a level is judged by its compression. */
static const struct {
    const char *key;
    unsigned types;
    int (*set)(struct output *o, const char *value, struct error *err);
} fields[] = {
    {"dest", FOR_FILES, set_dest},
    {"name", FOR_IMAGES, set_name},
    {"push", FOR(IMAGE), set_push},
    {"registry.insecure", FOR(IMAGE), set_insecure},
    {"tar", FOR(OCI), set_tar},
    {"mode", FOR(LOCAL), set_mode},
    {"platform-split", FOR(LOCAL) | FOR(TAR), set_platform_split},
    {"rewrite-timestamp", FOR_IMAGES, set_rewrite},
    {"compression", FOR_IMAGES, set_compression},
    {"compression-level", FOR_IMAGES, set_level},
    {"force-compression", FOR_IMAGES, set_force},
    {"oci-mediatypes", FOR_IMAGES, set_types},
    {"oci-artifact", FOR_IMAGES, set_artifact},
};
#define FIELD_COUNT (sizeof(fields) / sizeof(fields[0]))

static const char *const type_names[] = {"local", "tar", "oci", "docker", "image"};

static int check_field(const struct output *o, const char *field, struct error *err)
{
    const char *keys[FIELD_COUNT];
    auto_free char *key = mem_strndup(field, strcspn(field, "="));
    const char *near;

    if (strcmp(key, "type") == 0)
        return 0;
    if (text_starts(key, "annotation") && (key[10] == '.' || key[10] == '-'))
        return FOR_IMAGES & 1u << o->type
                   ? 0
                   : error_set(err, EINVAL, "type=%s has no annotations", type_names[o->type]);
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        keys[i] = fields[i].key;
        if (strcmp(key, fields[i].key) == 0)
            return fields[i].types & 1u << o->type
                       ? 0
                       : error_set(err, EINVAL, "'%s' means nothing to type=%s", key,
                                   type_names[o->type]);
    }
    near = text_suggest(key, keys, FIELD_COUNT);
    (void)error_set(err, EINVAL, "unknown field '%s' in an output", key); /* returned below */
    return near == NULL ? -EINVAL : error_hint(err, "did you mean '%s'?", near);
}

static int set_fields(struct output *o, const struct strv *given, const char *platform,
                      struct error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < given->count; i++)
        r = check_field(o, given->items[i], err);
    for (size_t f = 0; r == 0 && f < FIELD_COUNT; f++)
        for (size_t i = 0; r == 0 && i < given->count; i++)
            if (fields_value(given->items[i], fields[f].key) != NULL)
                r = fields[f].set(o, fields_value(given->items[i], fields[f].key), err);
    for (size_t i = 0; r == 0 && i < given->count; i++)
        if (text_starts(given->items[i], "annotation"))
            r = annotation_field(o, given->items[i], platform, err);
    return r;
}

static int set_type(struct output *o, const char *type, struct error *err)
{
    if (strcmp(type, "registry") == 0) {
        o->type = OUTPUT_IMAGE;
        o->push = true;
        return 0;
    }
    for (size_t i = 0; i < sizeof(type_names) / sizeof(type_names[0]); i++)
        if (strcmp(type, type_names[i]) == 0) {
            o->type = (enum output_type)i;
            return 0;
        }
    return error_set(err, EINVAL,
                     "unknown output type '%s': local, tar, oci, docker, image or registry", type);
}

static int check_dest(struct output *o, struct error *err)
{
    if (o->type == OUTPUT_LOCAL && (o->dest == NULL || strcmp(o->dest, "-") == 0))
        return error_set(err, EINVAL, "dest is required for local output, and is a directory");
    if (o->is_directory && (o->dest == NULL || strcmp(o->dest, "-") == 0))
        return error_set(err, EINVAL, "tar=false needs a directory for dest");
    if (o->dest == NULL && (o->type == OUTPUT_TAR || o->type == OUTPUT_OCI))
        o->dest = mem_strdup("-");
    if (o->dest != NULL && o->dest[0] == '\0')
        return error_set(err, EINVAL, "dest is empty");
    return 0;
}

int output_parse(const char *text, const char *platform, struct output_list *out, struct error *err)
{
    auto_strv struct strv given = {0};
    struct output *o = array_add(out);
    const char *type = NULL;
    int r;

    o->export.level = -1;
    if (strchr(text, '=') == NULL) { /* a directory, or "-" */
        o->type = strcmp(text, "-") == 0 ? OUTPUT_TAR : OUTPUT_LOCAL;
        o->dest = mem_strdup(text);
        return check_dest(o, err);
    }
    r = fields_split(text, "output", &given, err);
    for (size_t i = 0; r == 0 && i < given.count; i++)
        if (fields_value(given.items[i], "type") != NULL)
            type = fields_value(given.items[i], "type");
    if (r == 0 && type == NULL)
        return error_set(err, EINVAL, "type is required for output '%s'", text);
    if (r == 0)
        r = set_type(o, type, err);
    if (r == 0)
        r = set_fields(o, &given, platform, err);
    if (r == 0)
        r = check_dest(o, err);
    return r < 0 ? error_wrap(err, "--output '%s'", text) : 0;
}
