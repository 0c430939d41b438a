/* stack.c - from what a person types to layers. An image says which are its own; a cached step names
 * the step before it, down to the image or the nothing that it began with. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "builder/failed.h"
#include "builder/image/image.h"
#include "builder/record.h"
#include "builder/stack.h"
#include "fs/base/hash.h"
#include "fs/base/key.h"
#include "fs/store.h"

#include "fs/base/banned.h"

#define ID_PREFIX_MIN 4u
#define STEP_MARK "@step:"
#define HISTORY_MAX 1000000u

void stack_release(struct stack *s)
{
    free(s->label);
    free(s->layers);
    free(s->user);
    free(s->cwd);
    strv_release(&s->env);
    strv_release(&s->shell);
    *s = (struct stack){0};
}

static void take_config(struct stack *s, const struct config *config)
{
    config_env(config, &s->env);
    config_shell(config, &s->shell);
    s->user = mem_strdup(config_user(config));
    s->cwd = mem_strdup(config_working_dir(config));
}

/* -- images -- */

static void of_image(const struct image *image, size_t layer_count, const char *label,
                     struct stack *out)
{
    take_config(out, image->config);
    out->label = mem_strdup(label);
    out->layers = mem_dup(image->layers, image->layer_count * sizeof(*image->layers));
    out->layer_count = layer_count;
}

/* How many layers the first `steps` entries of the history made, and all but the last of them. */
static int count_layers(const struct image *image, const char *name, uint64_t steps, size_t *out,
                        size_t *below, struct error *err)
{
    const struct json *history = json_get_array(config_json(image->config), "history");
    size_t known = json_count(history);

    if (steps == 0 || steps > known) {
        error_set(err, ENOENT, "'%s' has no step %ju: its history has %zu", name, (uintmax_t)steps,
                  known);
        return error_hint(err, "`img history %s` lists them, the first one last", name);
    }
    *out = 0;
    for (size_t i = 0; i < steps; i++) {
        *below = *out;
        *out += !json_get_bool(json_at(history, i), "empty_layer", false);
    }
    if (*out > image->layer_count)
        return error_set(err, EINVAL, "the history of '%s' does not fit its layers", name);
    return 0;
}

static int find_image(struct store *store, const char *name, const char *step, struct stack *out,
                      struct error *err)
{
    auto_image struct image image = {0};
    struct digest manifest;
    uint64_t steps = 0;
    size_t layers;
    size_t below = 0;
    int r;

    if (step != NULL && !text_to_u64(step, HISTORY_MAX, &steps))
        return error_set(err, EINVAL, "'%s%s%s': a step is a number from 1 on", name, STEP_MARK,
                         step);
    r = image_find(store, name, &manifest, NULL, err);
    if (r == 0)
        r = image_load(store, &manifest, &image, err);
    if (r < 0)
        return r;
    layers = image.layer_count;
    if (step != NULL)
        r = count_layers(&image, name, steps, &layers, &below, err);
    if (r < 0)
        return r;
    of_image(&image, layers, name, out);
    out->is_step = step != NULL;
    out->below_count = below;
    return 0;
}

/* -- cached steps -- */

struct chain {
    struct store *store;
    struct cache_list rows;
    struct table by_key;     /* hex -> row */
    struct usage_list usage; /* layers by their ids */
    struct {
        int64_t *items; /* top first */
        size_t count;
        size_t capacity;
    } layers;
};

static void chain_release(struct chain *c)
{
    table_release(&c->by_key);
    cache_list_release(&c->rows);
    usage_list_release(&c->usage);
    free(c->layers.items);
}
DEFINE_CLEANUP_VALUE(chain_release, struct chain)

static int chain_load(struct chain *c, struct error *err)
{
    int r = store_cache_list(c->store, &c->rows, err);

    if (r == 0)
        r = store_usage(c->store, &c->usage, err);
    for (size_t i = 0; r == 0 && i < c->rows.count; i++) {
        char hex[DIGEST_HEX_SIZE];

        digest_format_hex(&c->rows.items[i].key, hex);
        table_put(&c->by_key, hex, &c->rows.items[i]);
    }
    return r;
}

static const struct cache_row *chain_row(const struct chain *c, const struct digest *key)
{
    char hex[DIGEST_HEX_SIZE];

    digest_format_hex(key, hex);
    return table_get(&c->by_key, hex);
}

/* The key that a build which begins with this image goes on from. Its platform is the one that was
 * asked for: the image's as a rule. */
static bool is_base(const struct image *image, const struct digest *key)
{
    auto_platform struct platform own = {0};
    auto_platform struct platform host = {0};
    struct platform *const candidates[] = {&own, &host};
    bool found = false;

    config_platform(image->config, &own);
    platform_host(&host);
    for (size_t i = 0; !found && i < sizeof(candidates) / sizeof(candidates[0]); i++) {
        auto_str struct str text = {0};
        struct digest base;

        platform_normalize(candidates[i]);
        platform_format(candidates[i], &text);
        image_key(&image->manifest, str_text(&text), &base);
        found = digest_equal(&base, key);
    }
    return found;
}

static bool is_scratch(const struct digest *key, struct stack *out)
{
    auto_platform struct platform host = {0};
    auto_config struct config *config = NULL;
    auto_str struct str text = {0};
    struct digest base;

    platform_host(&host);
    platform_format(&host, &text);
    image_key(NULL, str_text(&text), &base);
    if (!digest_equal(&base, key))
        return false;
    config = config_new_scratch(&host);
    take_config(out, config);
    return true;
}

/* 1 when a chain that ends with `key` begins with an image of the store or with nothing. */
static int find_base(struct chain *c, const struct digest *key, struct stack *out,
                     struct error *err)
{
    auto_image_list struct image_list images = {0};
    int r;

    if (is_scratch(key, out))
        return 1;
    r = store_image_list(c->store, &images, err);
    for (size_t i = 0; r == 0 && i < images.count; i++) {
        auto_image struct image image = {0};
        struct error ignored = {0}; /* a damaged image is no base of anything */

        if (image_load(c->store, &images.items[i].manifest, &image, &ignored) < 0 ||
            !is_base(&image, key))
            continue;
        for (size_t k = image.layer_count; k > 0; k--)
            *array_add(&c->layers) = image.layers[k - 1];
        take_config(out, image.config);
        return 1;
    }
    return r;
}

/* -- failed steps -- */

static int64_t layer_of(const struct chain *c, const char *name)
{
    for (size_t i = 0; i < c->usage.count; i++)
        if (c->usage.items[i].kind == USAGE_LAYER && strcmp(c->usage.items[i].id, name) == 0)
            return c->usage.items[i].layer;
    return 0;
}

static int of_failed(struct chain *c, const struct cache_row *row, struct stack *out,
                     struct error *err)
{
    auto_failed_record struct failed_record record = {0};
    int r = failed_read(row, &record, err);

    if (r < 0)
        return r;
    out->layers = mem_alloc((record.layers.count + 1) * sizeof(*out->layers));
    for (size_t i = 0; i < record.layers.count; i++) {
        out->layers[i] = layer_of(c, record.layers.items[i]);
        if (out->layers[i] == 0) {
            error_set(err, ENOENT, "what '%s' ran on is not in the store any more",
                      row->description);
            return error_hint(err, "build it again");
        }
    }
    out->below_count = out->layer_count = record.layers.count;
    if (row->layer != 0)
        out->layers[out->layer_count++] = row->layer;
    out->is_step = true;
    out->label = mem_strdup(row->description);
    out->env = record.env;
    out->shell = record.shell;
    record.env = record.shell = (struct strv){0};
    out->user = STEAL(&record.user);
    out->cwd = STEAL(&record.cwd);
    return 0;
}

/* -- steps -- */

/* As it was run, if a record of that build is kept; else like the base. */
static void take_recorded(struct store *store, const struct digest *key, struct stack *out)
{
    auto_recorded struct recorded build = {0};
    struct error ignored = {0};
    struct recorded_step *step;
    char hex[DIGEST_HEX_SIZE];
    size_t position;

    digest_format_hex(key, hex);
    if (recorded_find_step(store, hex, &build, &position, &ignored) < 0)
        return;
    step = &build.items[position];
    if (step->cwd[0] != '/')
        return;
    strv_release(&out->env);
    strv_release(&out->shell);
    free(out->user);
    free(out->cwd);
    out->env = step->env;
    out->shell = step->shell;
    step->env = step->shell = (struct strv){0};
    out->user = STEAL(&step->user);
    out->cwd = STEAL(&step->cwd);
}

/* Follows the steps down. -ENOENT when what it began with is not in the store any more. */
static int follow(struct chain *c, const struct cache_row *row, struct stack *out,
                  struct error *err)
{
    const struct digest own_key = row->key;
    struct digest key = row->key;
    const char *label = row->description;
    size_t own = 0; /* layers of the step itself */
    int r;

    if (failed_has(row))
        return of_failed(c, row, out, err);

    /* A chain is as long as there are rows, at most: a damaged one must not go round. */
    for (size_t i = 0; row != NULL && i <= c->rows.count; i++) {
        if (row->layer != 0)
            *array_add(&c->layers) = row->layer;
        own += i == 0 && row->layer != 0;
        if (!row->has_parent)
            return error_set(err, ENOENT, "the steps below '%s' are not known", label);
        key = row->parent;
        row = chain_row(c, &key);
    }
    r = find_base(c, &key, out, err);
    if (r < 0)
        return r;
    if (r == 0) {
        error_set(err, ENOENT, "what '%s' was built on is not in the store any more", label);
        return error_hint(err, "build it again");
    }
    out->label = mem_strdup(label);
    out->layers = mem_alloc((c->layers.count + 1) * sizeof(*out->layers));
    out->layer_count = c->layers.count;
    for (size_t i = 0; i < c->layers.count; i++)
        out->layers[i] = c->layers.items[c->layers.count - 1 - i];
    out->is_step = true;
    out->below_count = out->layer_count - own;
    take_recorded(c->store, &own_key, out);
    return 0;
}

/* -- layers of images -- */

static int find_in_images(struct store *store, int64_t layer, const char *label, struct stack *out,
                          struct error *err)
{
    auto_image_list struct image_list images = {0};
    int r = store_image_list(store, &images, err);

    for (size_t i = 0; r == 0 && i < images.count; i++) {
        auto_image struct image image = {0};
        struct error ignored = {0};

        if (image_load(store, &images.items[i].manifest, &image, &ignored) < 0)
            continue;
        for (size_t k = 0; k < image.layer_count; k++) {
            if (image.layers[k] != layer)
                continue;
            of_image(&image, k + 1, label, out);
            out->is_step = true;
            out->below_count = k;
            return 1;
        }
    }
    return r;
}

/* -- ids -- */

/* What the digits name: a step, or a layer by its id in du or its digest. */
struct match {
    const struct cache_row *row;
    struct digest key; /* of the row's step */
    int64_t layer;
    bool is_ambiguous;
};

/* A step that failed and went well later has two rows; the newer one is meant. */
static void add_row(struct match *m, const struct cache_row *row, const struct digest *key)
{
    if (m->row != NULL && !digest_equal(&m->key, key)) {
        m->is_ambiguous = true;
        return;
    }
    if (m->row != NULL && m->row->created_ns > row->created_ns)
        return;
    m->row = row;
    m->key = *key;
    m->layer = row->layer;
}

static void add_layer(struct match *m, int64_t layer)
{
    if ((m->row != NULL || m->layer != 0) && m->layer != layer)
        m->is_ambiguous = true;
    else
        m->layer = layer;
}

static int match_rows(struct chain *c, const char *id, struct match *m, struct error *err)
{
    for (size_t i = 0; i < c->rows.count; i++) {
        const struct cache_row *row = &c->rows.items[i];
        auto_failed_record struct failed_record failed = {.key = row->key};
        int r = failed_has(row) ? failed_read(row, &failed, err) : 0;

        if (r < 0)
            return r;
        /* The row's own key is the id in du of a failed step that changed nothing. */
        if (digest_has_prefix(&failed.key, id) || digest_has_prefix(&row->key, id))
            add_row(m, row, &failed.key);
    }
    return 0;
}

static int match_layers(struct chain *c, const char *id, struct match *m, struct error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < c->usage.count; i++) {
        const struct usage_row *row = &c->usage.items[i];
        struct layer_row layer = {0};

        if (row->kind != USAGE_LAYER)
            continue;
        r = store_layer_get(c->store, row->layer, &layer, err);
        if (r == 0 && (text_starts(row->id, id) ||
                       (layer.has_diff_id && digest_has_prefix(&layer.diff_id, id))))
            add_layer(m, row->layer);
    }
    return r;
}

/* The row used last of those that gave this layer. */
static const struct cache_row *row_of_layer(const struct chain *c, int64_t layer)
{
    const struct cache_row *found = NULL;

    for (size_t i = 0; i < c->rows.count; i++)
        if (c->rows.items[i].layer == layer)
            found = &c->rows.items[i];
    return found;
}

static int find_id(struct store *store, const char *text, struct stack *out, struct error *err)
{
    __attribute__((cleanup(cleanup_chain_release))) struct chain c = {.store = store};
    struct match m = {0};
    int r = chain_load(&c, err);

    if (r == 0)
        r = match_rows(&c, text, &m, err);
    if (r == 0)
        r = match_layers(&c, text, &m, err);
    if (r < 0)
        return r;
    if (m.is_ambiguous)
        return error_set(err, EEXIST, "'%s' is the beginning of several ids", text);
    if (m.row == NULL && m.layer == 0)
        return -ENOENT;
    if (m.row == NULL)
        m.row = row_of_layer(&c, m.layer);
    if (m.row != NULL && follow(&c, m.row, out, err) == 0)
        return 0;
    if (m.layer == 0)
        return -err->code;
    r = find_in_images(store, m.layer, text, out, err);
    if (r != 0)
        return r < 0 ? r : 0;
    return m.row != NULL ? -err->code
                         : error_set(err, ENOENT, "no image and no step has the layer '%s'", text);
}

int stack_find(struct store *store, const char *text, struct stack *out, struct error *err)
{
    const char *mark = strstr(text, STEP_MARK);
    auto_stack struct stack found = {0};
    int r;

    if (mark != NULL) {
        auto_free char *name = mem_strndup(text, (size_t)(mark - text));

        r = find_image(store, name, mark + strlen(STEP_MARK), &found, err);
    } else {
        r = find_image(store, text, NULL, &found, err);
        if (r == -ENOENT && digest_prefix_digits(text) >= ID_PREFIX_MIN) {
            struct error missing = {0};

            r = find_id(store, text, &found, &missing);
            if (r < 0 && missing.code != 0)
                *err = missing;
            if (r < 0 && missing.code == 0)
                error_set(err, ENOENT, "no image, step or layer has the name or id '%s'", text);
        }
    }
    if (r < 0)
        return r;
    error_clear(err);
    *out = STEAL(&found);
    return 0;
}

/* -- what it was made on -- */

static bool begins_with(const struct stack *s, const struct image_row *row)
{
    return row->layer_count > 0 && row->layer_count < s->layer_count &&
           memcmp(row->layers, s->layers, row->layer_count * sizeof(*row->layers)) == 0;
}

/* A name of the image, or the beginning of its digest. */
static char *name_of(struct store *store, const struct digest *manifest)
{
    auto_reference_list struct reference_list names = {0};
    struct error ignored = {0};
    char text[DIGEST_TEXT_SIZE];

    if (store_reference_list(store, manifest, &names, &ignored) == 0 && names.count > 0)
        return mem_strdup(names.items[0].name);
    digest_format(manifest, text);
    return mem_strndup(text, DIGEST_SHORT_SIZE);
}

static int count_pulled(struct store *store, const struct stack *s, size_t *out, struct error *err)
{
    struct layer_row row = {.kind = LAYER_PULLED};
    int r = 0;

    *out = 0;
    while (r == 0 && *out < s->layer_count) {
        r = store_layer_get(store, s->layers[*out], &row, err);
        if (r < 0 || row.kind != LAYER_PULLED)
            break;
        ++*out;
    }
    return r;
}

int stack_find_base(struct store *store, const struct stack *s, size_t *layer_count, char **label,
                    struct error *err)
{
    auto_image_list struct image_list images = {0};
    const struct image_row *found = NULL;
    size_t pulled;
    int r;

    if (s->is_step) {
        *layer_count = s->below_count;
        *label = mem_strdup("what was there before it");
        return 0;
    }
    r = store_image_list(store, &images, err);
    for (size_t i = 0; r == 0 && i < images.count; i++)
        if (begins_with(s, &images.items[i]) &&
            (found == NULL || images.items[i].layer_count > found->layer_count))
            found = &images.items[i];
    if (r == 0 && found != NULL) {
        *layer_count = found->layer_count;
        *label = name_of(store, &found->manifest);
        return 0;
    }
    if (r == 0)
        r = count_pulled(store, s, &pulled, err);
    if (r < 0)
        return r;
    if (pulled == s->layer_count) {
        (void)error_set(err, ENOENT, "the image that '%s' was made from is not in the store",
                        s->label); /* returned below */
        return error_hint(err, "name what to compare it with: img diff OTHER '%s'", s->label);
    }
    *layer_count = pulled;
    *label = mem_strdup(pulled == 0 ? "nothing" : "the layers it was built on");
    return 0;
}
