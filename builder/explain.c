/* explain.c - the nearest cached step, and its inputs beside those of the one that missed. */
#include <errno.h>
#include <string.h>

#include "builder/explain.h"
#include "builder/tree/listing.h"
#include "fs/base/hash.h"

#include "fs/base/banned.h"

#define CANDIDATES_MAX 8u   /* whose inputs are read */
#define FILES_MAX 10u       /* named in one explanation */
#define SHOWN_VALUE_MAX 80u /* bytes of a value */

int explain_open(struct store *store, struct explain *out, struct error *err)
{
    *out = (struct explain){.store = store};
    return store_cache_list(store, &out->rows, err);
}

void explain_release(struct explain *e)
{
    cache_list_release(&e->rows);
    *e = (struct explain){0};
}

/* ---- the fields of a key ---- */

enum field_use {
    FIELD_VALUES,  /* name both values */
    FIELD_CHANGED, /* the values say nothing to people */
    FIELD_HIDDEN,  /* told in another way */
};

static const struct {
    const char *name;
    const char *shown;
    enum field_use use;
    bool from_text; /* tells nothing new when the instruction itself was rewritten */
} known[] = {
    {"img-step-1", NULL, FIELD_HIDDEN, false},
    {"parent", NULL, FIELD_HIDDEN, false},
    {"base", NULL, FIELD_HIDDEN, false},
    {"argv", "command", FIELD_VALUES, true},
    {"script", "script", FIELD_CHANGED, true},
    {"cwd", "working directory", FIELD_VALUES, false},
    {"user", "user", FIELD_VALUES, false},
    {"network", "network mode", FIELD_CHANGED, false},
    {"security", "security mode", FIELD_CHANGED, false},
    {"single-id", "--single-id", FIELD_CHANGED, false},
    {"extra-host", "names given with --add-host", FIELD_VALUES, false},
    {"volume", "places of volumes", FIELD_VALUES, false},
    {"epoch", "SOURCE_DATE_EPOCH", FIELD_VALUES, false},
    {"rewrite", "rewriting of timestamps", FIELD_CHANGED, false},
    {"instruction", "instruction", FIELD_VALUES, true},
    {"content", "the files to copy", FIELD_CHANGED, true},
    {"several", "number of sources", FIELD_CHANGED, true},
    {"parents", "--parents", FIELD_CHANGED, true},
    {"keep-owner", "--from", FIELD_CHANGED, true},
    {"chmod", "--chmod", FIELD_VALUES, true},
    {"link", "--link", FIELD_CHANGED, true},
    {"uid", "owner", FIELD_VALUES, false},
    {"gid", "group", FIELD_VALUES, false},
    {"users", "/etc/passwd or /etc/group of the image", FIELD_CHANGED, false},
    {"unpack", "--unpack", FIELD_CHANGED, true},
    {"exclude", "--exclude", FIELD_VALUES, true},
    {"text", "text of the heredoc", FIELD_CHANGED, true},
    {"text-name", "name of the heredoc", FIELD_VALUES, true},
    {"path", "path", FIELD_VALUES, true},
    {"destination", "destination", FIELD_VALUES, true},
    {"mount-content", "the files of a bind mount", FIELD_CHANGED, false},
    {"mount-from", "the stage or image of a bind mount", FIELD_CHANGED, false},
};

struct field {
    char *name;
    struct strv values;
};

struct fields {
    struct field *items;
    size_t count;
    size_t capacity;
    struct table index; /* name -> place + 1 */
};

static void fields_release(struct fields *f)
{
    for (size_t i = 0; i < f->count; i++) {
        free(f->items[i].name);
        strv_release(&f->items[i].values);
    }
    free(f->items);
    table_release(&f->index);
}
DEFINE_CLEANUP_VALUE(fields_release, struct fields)

static struct field *find_field(const struct fields *f, const char *name)
{
    size_t place = (size_t)(uintptr_t)table_get(&f->index, name);

    return place == 0 ? NULL : &f->items[place - 1];
}

static void add_value(struct fields *f, const char *name, const char *value)
{
    struct field *field = find_field(f, name);

    if (field == NULL) {
        field = array_add(f);
        field->name = mem_strdup(name);
        table_put(&f->index, name, (void *)(uintptr_t)f->count);
    }
    strv_add(&field->values, value);
}

/* Reads up to the listing; returns it, or "". */
static const char *read_fields(const char *text, struct fields *out)
{
    while (*text != '\0' && !text_starts(text, EXPLAIN_LISTING)) {
        size_t size = strcspn(text, "\n");
        auto_free char *line = mem_strndup(text, size);
        char *equals = strchr(line, '=');

        if (equals != NULL)
            *equals = '\0';
        add_value(out, line, equals == NULL ? "" : equals + 1);
        text += size + (text[size] == '\n');
    }
    return *text == '\0' ? text : text + strlen(EXPLAIN_LISTING);
}

static void add_shortened(struct str *out, const char *value)
{
    size_t size = strlen(value);

    if (size > SHOWN_VALUE_MAX) {
        size = SHOWN_VALUE_MAX;
        while (size > 0 && ((unsigned char)value[size] & 0xC0) == 0x80)
            size--;
    }
    str_addf(out, "'%.*s%s'", (int)size, value, value[size] == '\0' ? "" : "...");
}

/* "name: 'a' -> 'b'", or that it is new or gone. */
static void add_change(struct strv *out, const char *name, const char *before, const char *now)
{
    struct str text = {0};

    str_addf(&text, "%s", name);
    if (before != NULL && now != NULL) {
        str_add(&text, ": ");
        add_shortened(&text, before);
        str_add(&text, " -> ");
        add_shortened(&text, now);
    } else if (now != NULL) {
        str_add(&text, " is new: ");
        add_shortened(&text, now);
    } else {
        str_add(&text, " is gone, it was ");
        add_shortened(&text, before == NULL ? "" : before);
    }
    strv_take(out, str_take(&text));
}

/* ---- variables ---- */

static const char *value_of(const struct strv *pairs, const char *pair)
{
    size_t size = strcspn(pair, "=") + 1; /* with the "=" */

    for (size_t i = 0; i < pairs->count; i++)
        if (strncmp(pairs->items[i], pair, size) == 0)
            return pairs->items[i] + size;
    return NULL;
}

static void compare_env(const struct field *before, const struct field *now, struct strv *out)
{
    static const struct strv none = {0};
    const struct strv *a = before == NULL ? &none : &before->values;
    const struct strv *b = now == NULL ? &none : &now->values;

    for (size_t i = 0; i < b->count; i++) {
        const char *equals = strchr(b->items[i], '=');
        const char *old = equals == NULL ? NULL : value_of(a, b->items[i]);
        auto_free char *name =
            str_format("variable %.*s", (int)strcspn(b->items[i], "="), b->items[i]);

        if (equals != NULL && !text_equal(old, equals + 1))
            add_change(out, name, old, equals + 1);
    }
    for (size_t i = 0; i < a->count; i++) {
        const char *equals = strchr(a->items[i], '=');
        auto_free char *name =
            str_format("variable %.*s", (int)strcspn(a->items[i], "="), a->items[i]);

        if (equals != NULL && value_of(b, a->items[i]) == NULL)
            add_change(out, name, equals + 1, NULL);
    }
}

/* ---- fields ---- */

/* argv carries its length in front. */
static char *joined(const char *name, const struct field *f)
{
    struct strv words;

    if (f == NULL)
        return NULL;
    words = f->values;
    if (strcmp(name, "argv") == 0) {
        words.items++;
        words.count--;
    }
    return strv_join(&words, " ");
}

static void compare_field(const char *name, const struct field *before, const struct field *now,
                          bool is_rewritten, struct strv *out)
{
    const char *shown = name;
    enum field_use use = is_rewritten && text_starts(name, "mount") ? FIELD_HIDDEN : FIELD_VALUES;
    auto_free char *a = NULL;
    auto_free char *b = NULL;

    if (before != NULL && now != NULL && strv_equal(&before->values, &now->values))
        return;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(known[i].name, name) == 0) {
            use = is_rewritten && known[i].from_text ? FIELD_HIDDEN : known[i].use;
            shown = known[i].shown;
        }
    if (use == FIELD_HIDDEN)
        return;
    if (use == FIELD_CHANGED) {
        strv_addf(out, "%s changed", shown);
        return;
    }
    a = joined(name, before);
    b = joined(name, now);
    add_change(out, shown, a, b);
}

static const char *first_value(const struct fields *f, const char *name)
{
    const struct field *field = find_field(f, name);

    return field == NULL ? "" : field->values.items[0];
}

static const char *describe_key(const struct explain *e, const char *digest)
{
    for (size_t i = 0; i < e->rows.count; i++) {
        char text[DIGEST_TEXT_SIZE];

        digest_format(&e->rows.items[i].key, text);
        if (strcmp(text, digest) == 0)
            return e->rows.items[i].description;
    }
    return NULL;
}

/* A step as a reason names it: the beginning, on one line; its whole text stands above. */
static char *name_step(const char *text)
{
    auto_str struct str folded = {0};
    struct str out = {0};

    while (*text != '\0') {
        size_t size = strcspn(text, " \t\n");

        str_add_bytes(&folded, text, size);
        text += size;
        text += strspn(text, " \t\n");
        if (*text != '\0')
            str_add_char(&folded, ' ');
    }
    add_shortened(&out, str_text(&folded));
    return str_take(&out);
}

static void compare_parents(const struct explain *e, const struct explain_step *step,
                            const struct fields *before, const struct fields *now, struct strv *out)
{
    const char *old_base = first_value(before, "base");
    const char *base = first_value(now, "base");
    const char *old = first_value(before, "parent");
    const char *new = first_value(now, "parent");

    if (strcmp(old_base, base) != 0) {
        strv_addf(out, "base image: %s -> %s", old_base, base);
    } else if (step->ran_above != NULL && strcmp(old, new) != 0) {
        auto_free char *name = name_step(step->ran_above);

        strv_addf(out, "%s above it ran", name);
    } else if (strcmp(old, new) != 0) {
        const char *was = describe_key(e, old);
        const char *is = describe_key(e, new);

        auto_free char *is_name = name_step(is == NULL ? "FROM" : is);
        auto_free char *was_name = name_step(was == NULL ? "another step" : was);

        strv_addf(out, "it follows %s, before it followed %s", is_name, was_name);
    }
}

/* ---- the nearest ---- */

static void compare_inputs(const struct explain *e, const struct explain_step *step,
                           const struct cache_row *row, const char *inputs, struct strv *out)
{
    __attribute__((cleanup(cleanup_fields_release))) struct fields before = {0};
    __attribute__((cleanup(cleanup_fields_release))) struct fields now = {0};
    const char *old_listing = read_fields(inputs, &before);
    const char *listing = read_fields(step->inputs, &now);
    bool is_rewritten = strcmp(row->description, step->description) != 0;
    size_t count;

    if (is_rewritten) {
        struct str text = {0};

        str_add(&text, "the instruction was ");
        add_shortened(&text, row->description);
        strv_take(out, str_take(&text));
    }
    compare_parents(e, step, &before, &now, out);
    compare_env(find_field(&before, "env"), find_field(&now, "env"), out);
    count = out->count;
    if (!is_rewritten && *old_listing != '\0' && *listing != '\0')
        listing_compare(old_listing, listing, FILES_MAX, out);
    for (size_t i = 0; i < now.count; i++) {
        const char *name = now.items[i].name;

        /* The files say it better. */
        if (out->count > count &&
            (strcmp(name, "content") == 0 || text_equal(name, "mount-content")))
            continue;
        if (strcmp(name, "env") != 0)
            compare_field(name, find_field(&before, name), &now.items[i], is_rewritten, out);
    }
    for (size_t i = 0; i < before.count; i++)
        if (find_field(&now, before.items[i].name) == NULL &&
            strcmp(before.items[i].name, "env") != 0)
            compare_field(before.items[i].name, &before.items[i], NULL, is_rewritten, out);
}

static size_t keyword_size(const char *text)
{
    return strcspn(text, " ");
}

/* 0: of no use. The same text tells most, then the same place. */
static unsigned rank(const struct cache_row *row, const struct explain_step *step)
{
    size_t size = keyword_size(step->description);
    bool same_text = strcmp(row->description, step->description) == 0;
    bool same_place = row->has_parent && digest_equal(&row->parent, &step->parent);

    if (row->extra != NULL || keyword_size(row->description) != size ||
        strncmp(row->description, step->description, size) != 0)
        return 0;
    return (same_text ? 2u : 0u) + (same_place ? 1u : 0u);
}

/* The best rows, those used last first; returns how many. */
static size_t choose(const struct explain *e, const struct explain_step *step,
                     const struct cache_row **out)
{
    size_t count = 0;

    for (unsigned wanted = 3; wanted > 0; wanted--)
        for (size_t i = e->rows.count; i > 0 && count < CANDIDATES_MAX; i--)
            if (rank(&e->rows.items[i - 1], step) == wanted)
                out[count++] = &e->rows.items[i - 1];
    return count;
}

int explain_miss(const struct explain *e, const struct explain_step *step, struct strv *out,
                 struct error *err)
{
    const struct cache_row *candidates[CANDIDATES_MAX];
    size_t count = choose(e, step, candidates);
    auto_strv struct strv best = {0};

    for (size_t i = 0; i < count; i++) {
        auto_free char *inputs = NULL;
        auto_strv struct strv reasons = {0};
        int r = store_cache_inputs(e->store, &candidates[i]->key, &inputs, err);

        if (r == -ENOENT)
            continue; /* removed meanwhile, or of a release that kept none */
        if (r < 0)
            return r;
        compare_inputs(e, step, candidates[i], inputs, &reasons);
        if (reasons.count == 0 || (best.count > 0 && best.count <= reasons.count))
            continue;
        strv_release(&best);
        best = STEAL(&reasons);
    }
    error_clear(err);
    if (best.count == 0)
        strv_add(&best, "the store has no earlier result of such a step");
    strv_copy(out, &best);
    return 0;
}
