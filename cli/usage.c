/* usage.c - one record of the store, as text. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "builder/image/config.h"
#include "cli/text.h"
#include "cli/usage.h"

#include "fs/base/banned.h"

static const char *kind_name(enum usage_kind kind)
{
    static const char *const names[] = {
        [USAGE_LAYER] = "regular",        [USAGE_BLOB] = "internal",
        [USAGE_CACHE] = "frontend",       [USAGE_CACHE_MOUNT] = "exec.cachemount",
        [USAGE_CONTEXT] = "source.local", [USAGE_PARTIAL] = "internal",
        [USAGE_LOG] = "internal"};

    return names[kind];
}

static const char *truth(bool value)
{
    return value ? "true" : "false";
}

/* ---- filters ---- */

/* The text a key stands for; NULL for an unknown key. */
static const char *value_of(const struct usage_row *row, const char *key)
{
    const struct {
        const char *key;
        const char *value;
    } values[] = {
        {"id", row->id},
        {"parents", row->parent == NULL ? "" : row->parent},
        {"description", row->description},
        {"inuse", truth(row->is_in_use)},
        {"mutable", truth(row->is_mutable)},
        {"immutable", truth(!row->is_mutable)},
        {"shared", truth(row->is_shared)},
        {"private", truth(!row->is_shared)},
        {"type", kind_name(row->kind)},
    };

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        if (strcmp(values[i].key, key) == 0)
            return values[i].value;
    return NULL;
}

static int check_filter(const char *text, struct usage_filters *out, struct error *err)
{
    static char empty[] = "";
    const struct usage_row none = {.kind = USAGE_LAYER, .id = empty, .description = empty};
    size_t size = strcspn(text, "=!~");
    const char *sign = text + size;
    auto_free char *key = mem_strndup(text, size);

    if (strcmp(key, "until") == 0 && sign[0] == '=')
        return parse_age(sign + 1, &out->until_ns, err);
    if (value_of(&none, key) == NULL) {
        error_set(err, EINVAL, "unknown filter '%s'", text);
        return error_hint(err, "known are id, parents, description, inuse, mutable, immutable, "
                               "shared, private, type and until");
    }
    if (sign[0] != '\0' && sign[0] != '=' && sign[1] != '=')
        return error_set(err, EINVAL, "filter '%s' has no operator: =, != or ~=", text);
    strv_add(&out->texts, text);
    return 0;
}

int usage_filters_parse(const struct strv *texts, struct usage_filters *out, struct error *err)
{
    auto_usage_filters struct usage_filters filters = {0};

    for (size_t i = 0; i < texts->count; i++) {
        int r = check_filter(texts->items[i], &filters, err);

        if (r < 0)
            return r;
    }
    *out = STEAL(&filters);
    return 0;
}

void usage_filters_release(struct usage_filters *f)
{
    strv_release(&f->texts);
}

static bool matches_one(const struct usage_row *row, const char *text)
{
    size_t size = strcspn(text, "=!~");
    auto_free char *key = mem_strndup(text, size);
    const char *value = value_of(row, key);
    const char *wanted = text + size;

    if (*wanted == '\0')
        return strcmp(value, "true") == 0;
    if (wanted[0] == '=')
        return strcmp(value, wanted + 1) == 0;
    return wanted[0] == '!' ? strcmp(value, wanted + 2) != 0 : strstr(value, wanted + 2) != NULL;
}

bool usage_matches(const struct usage_filters *f, const struct usage_row *row)
{
    for (size_t i = 0; i < f->texts.count; i++)
        if (!matches_one(row, f->texts.items[i]))
            return false;
    return true;
}

bool usage_is_older(const struct usage_row *row, int64_t than_ns)
{
    return (row->used_ns != 0 ? row->used_ns : row->created_ns) < than_ns;
}

/* ---- rows ---- */

static const struct format_column columns[] = {
    {"ID", "ID"},
    {"Parents", "PARENTS"},
    {"CreatedAt", "CREATED AT"},
    {"CreatedSince", "CREATED"},
    {"Mutable", "MUTABLE"},
    {"Mark", ""},
    {"Reclaimable", "RECLAIMABLE"},
    {"Shared", "SHARED"},
    {"Size", "SIZE"},
    {"SizeBytes", "BYTES"},
    {"Description", "DESCRIPTION"},
    {"UsageCount", "USAGE COUNT"},
    {"LastUsedAt", "LAST USED"},
    {"LastUsedSince", "LAST USED"},
    {"Type", "TYPE"},
};

const struct format_spec usage_spec = {
    .columns = columns,
    .column_count = sizeof(columns) / sizeof(columns[0]),
    .cut = 4,
    .table = "{{.ID}}{{.Mark}}\\t{{.Reclaimable}}\\t{{.Size}}\\t"
             "{{.Description}}",
};

static void put_times(struct json *row, const char *at, const char *since, int64_t time_ns)
{
    auto_str struct str time = {0};
    auto_str struct str age = {0};

    if (time_ns != 0) {
        time_format(time_ns, &time);
        format_age(time_ns, &age);
    }
    json_put_text(row, at, str_text(&time));
    json_put_text(row, since, str_text(&age));
}

struct json *usage_json(const struct usage_row *row, bool is_narrow)
{
    struct json *object = json_new_object();
    auto_free char *id =
        mem_strndup(row->id, is_narrow && strlen(row->id) > DIGEST_SHORT_SIZE ? DIGEST_SHORT_SIZE
                                                                              : strlen(row->id));
    auto_str struct str size = {0};

    str_add_size_binary(&size, row->size_bytes);
    json_put_text(object, "ID", id);
    json_put_text(object, "Parents", row->parent == NULL ? "" : row->parent);
    put_times(object, "CreatedAt", "CreatedSince", row->created_ns);
    json_put_bool(object, "Mutable", row->is_mutable);
    json_put_text(object, "Mark", row->is_mutable ? "*" : "");
    json_put_bool(object, "Reclaimable", !row->is_in_use);
    json_put_bool(object, "Shared", row->is_shared);
    json_put_text(object, "Size", str_text(&size));
    json_put_int(object, "SizeBytes", (int64_t)row->size_bytes);
    json_put_text(object, "Description", row->description);
    json_put_int(object, "UsageCount", (int64_t)row->use_count);
    put_times(object, "LastUsedAt", "LastUsedSince", row->used_ns);
    json_put_text(object, "Type", kind_name(row->kind));
    return object;
}

void usage_print_long(const struct usage_row *row)
{
    auto_str struct str size = {0};
    auto_str struct str used = {0};
    auto_str struct str created = {0};
    auto_str struct str description = {0};

    str_add_size_binary(&size, row->size_bytes);
    str_add_escaped(&description, row->description, strlen(row->description));
    format_age(row->created_ns, &created);
    if (row->used_ns != 0)
        format_age(row->used_ns, &used);
    printf("ID:           %s\nParent:       %s\nCreated at:   %s\nMutable:      %s\n"
           "Reclaimable:  %s\nShared:       %s\nSize:         %s\nDescription:  %s\n"
           "Usage count:  %llu\nLast used:    %s\nType:         %s\n\n",
           row->id, row->parent == NULL ? "" : row->parent, str_text(&created),
           truth(row->is_mutable), truth(!row->is_in_use), truth(row->is_shared), str_text(&size),
           str_text(&description), (unsigned long long)row->use_count, str_text(&used),
           kind_name(row->kind));
}

void usage_print_total(const char *label, uint64_t size_bytes)
{
    auto_str struct str size = {0};

    str_add_size_binary(&size, size_bytes);
    printf("%-13s %s\n", label, str_text(&size));
}
