/* attest_options.c - one table of fields for each type. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "builder/attest_options.h"
#include "builder/fields.h"
#include "registry/reference.h"

#include "fs/base/banned.h"

bool attest_is_wanted(const struct attest_options *o)
{
    return o->has_provenance || o->has_sbom;
}

bool attest_has_files(const struct attest_options *o)
{
    return (o->has_provenance && !o->provenance.is_inline_only) || o->has_sbom;
}

void attest_options_release(struct attest_options *o)
{
    free(o->provenance.builder_id);
    free(o->provenance.filename);
    free(o->generator);
    *o = (struct attest_options){0};
}

/* ---- fields ---- */

static int set_mode(struct attest_options *o, const char *value, struct error *err)
{
    if (strcmp(value, "min") != 0 && strcmp(value, "max") != 0)
        return error_set(err, EINVAL, "mode is min or max, not '%s'", value);
    o->provenance.mode = strcmp(value, "max") == 0 ? PROVENANCE_MAX : PROVENANCE_MIN;
    return 0;
}

static int set_version(struct attest_options *o, const char *value, struct error *err)
{
    if (strcmp(value, "v1") != 0 && strcmp(value, "v0.2") != 0)
        return error_set(err, EINVAL, "version is v1 or v0.2, not '%s'", value);
    o->provenance.version = strcmp(value, "v1") == 0 ? PROVENANCE_V1 : PROVENANCE_V02;
    return 0;
}

static int set_builder_id(struct attest_options *o, const char *value, struct error *err)
{
    (void)err;
    free(o->provenance.builder_id);
    o->provenance.builder_id = mem_strdup(value);
    return 0;
}

static int set_filename(struct attest_options *o, const char *value, struct error *err)
{
    if (value[0] == '\0' || strchr(value, '/') != NULL || strcmp(value, ".") == 0 ||
        strcmp(value, "..") == 0)
        return error_set(err, EINVAL, "filename is the name of a file, not '%s'", value);
    free(o->provenance.filename);
    o->provenance.filename = mem_strdup(value);
    return 0;
}

static int set_reproducible(struct attest_options *o, const char *value, struct error *err)
{
    return fields_bool("reproducible", value, &o->provenance.is_reproducible, err);
}

static int set_inline_only(struct attest_options *o, const char *value, struct error *err)
{
    return fields_bool("inline-only", value, &o->provenance.is_inline_only, err);
}

static int refuse_usage(struct attest_options *o, const char *value, struct error *err)
{
    bool is_wanted = false;
    int r = fields_bool("capture-usage", value, &is_wanted, err);

    (void)o;
    return r == 0 && is_wanted
               ? error_set(err, ENOTSUP, "capture-usage: what steps use is not measured")
               : r;
}

struct field {
    const char *key;
    int (*set)(struct attest_options *o, const char *value, struct error *err);
};

static const struct field provenance_fields[] = {
    {"mode", set_mode},
    {"version", set_version},
    {"builder-id", set_builder_id},
    {"filename", set_filename},
    {"reproducible", set_reproducible},
    {"inline-only", set_inline_only},
    {"capture-usage", refuse_usage},
};
#define PROVENANCE_FIELD_COUNT (sizeof(provenance_fields) / sizeof(provenance_fields[0]))

static int set_generator(struct attest_options *o, const char *value, struct error *err)
{
    auto_reference struct reference ref = {0};
    auto_str struct str name = {0};
    int r = reference_parse(value, &ref, err);

    if (r < 0)
        return error_wrap(err, "generator");
    reference_format(&ref, &name);
    free(o->generator);
    o->generator = str_take(&name);
    return 0;
}

static const struct field sbom_fields[] = {{"generator", set_generator}};
#define SBOM_FIELD_COUNT (sizeof(sbom_fields) / sizeof(sbom_fields[0]))

static int unknown_field(const char *field, const struct field *fields, size_t count,
                         struct error *err)
{
    const char *keys[PROVENANCE_FIELD_COUNT + 1];
    auto_free char *key = mem_strndup(field, strcspn(field, "="));
    const char *near;

    for (size_t i = 0; i < count; i++)
        keys[i] = fields[i].key;
    keys[count] = "disabled";
    near = text_suggest(key, keys, count + 1);
    (void)error_set(err, EINVAL, "unknown field '%s'", key); /* returned below */
    return near == NULL ? -EINVAL : error_hint(err, "did you mean '%s'?", near);
}

static int set_fields(const struct strv *given, const struct field *fields, size_t count,
                      struct attest_options *o, struct error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < given->count; i++) {
        const char *field = given->items[i];
        size_t f = 0;

        if (fields_value(field, "type") != NULL || fields_value(field, "disabled") != NULL)
            continue;
        while (f < count && fields_value(field, fields[f].key) == NULL)
            f++;
        if (f == count)
            return unknown_field(field, fields, count, err);
        if (strchr(field, '=') == NULL)
            return error_set(err, EINVAL, "'%s' has no value", field);
        r = fields[f].set(o, fields_value(field, fields[f].key), err);
    }
    return r;
}

/* ---- one attestation ---- */

static int is_disabled(const struct strv *given, bool *out, struct error *err)
{
    int r = 0;

    *out = false;
    for (size_t i = 0; r == 0 && i < given->count; i++)
        if (fields_value(given->items[i], "disabled") != NULL)
            r = fields_bool("disabled", fields_value(given->items[i], "disabled"), out, err);
    return r;
}

static int add_provenance(const struct strv *given, bool disabled, struct attest_options *o,
                          struct error *err)
{
    if (o->names_provenance)
        return error_set(err, EINVAL, "provenance is asked for more than once");
    o->names_provenance = true;
    o->has_provenance = !disabled;
    return set_fields(given, provenance_fields, PROVENANCE_FIELD_COUNT, o, err);
}

static int add_sbom(const struct strv *given, bool disabled, struct attest_options *o,
                    struct error *err)
{
    if (o->names_sbom)
        return error_set(err, EINVAL, "an sbom is asked for more than once");
    o->names_sbom = true;
    o->has_sbom = !disabled;
    return set_fields(given, sbom_fields, SBOM_FIELD_COUNT, o, err);
}

static int parse_fields(const struct strv *given, struct attest_options *out, struct error *err)
{
    const char *type = NULL;
    bool disabled;
    int r = is_disabled(given, &disabled, err);

    for (size_t i = 0; i < given->count; i++)
        if (fields_value(given->items[i], "type") != NULL)
            type = fields_value(given->items[i], "type");
    if (r < 0)
        return r;
    if (type == NULL)
        return error_set(err, EINVAL, "it has no type: type=provenance or type=sbom");
    if (strcmp(type, "provenance") == 0)
        return add_provenance(given, disabled, out, err);
    if (strcmp(type, "sbom") == 0)
        return add_sbom(given, disabled, out, err);
    return error_set(err, EINVAL, "the type is provenance or sbom, not '%s'", type);
}

int attest_parse(const char *text, struct attest_options *out, struct error *err)
{
    auto_strv struct strv given = {0};
    int r = fields_split(text, "attestation", &given, err);

    if (r == 0)
        r = parse_fields(&given, out, err);
    return r < 0 ? error_wrap(err, "--attest '%s'", text) : 0;
}

int attest_parse_short(const char *type, const char *text, struct attest_options *out,
                       struct error *err)
{
    auto_strv struct strv given = {0};
    bool is_wanted;
    int r = 0;

    if (text_to_bool(text, &is_wanted))
        strv_add(&given, is_wanted ? "disabled=false" : "disabled=true");
    else
        r = fields_split(text, "attestation", &given, err);
    strv_addf(&given, "type=%s", type);
    if (r == 0)
        r = parse_fields(&given, out, err);
    return r < 0 ? error_wrap(err, "--%s=%s", type, text) : 0;
}
