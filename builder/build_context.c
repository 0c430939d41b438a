/* build_context.c - opens contexts, once each, and trees of whatever has a name. */
#include <errno.h>
#include <string.h>

#include "builder/build_context.h"
#include "builder/build_trace.h"
#include "builder/cache_remote.h"
#include "builder/image/image.h"
#include "builder/image/layout.h"
#include "builder/source/git_address.h"
#include "builder/tree/copy.h"
#include "builder/tree/selection.h"
#include "fs/base/key.h"
#include "fs/base/limits.h"
#include "fs/store.h"
#include "fs/view.h"
#include "registry/reference.h"

#include "fs/base/banned.h"

#define IMAGE_SCHEME "docker-image://"
#define LAYOUT_SCHEME "oci-layout://"

/* ---- what there is ---- */

static enum context_kind kind_of(const char *value)
{
    if (text_starts(value, IMAGE_SCHEME))
        return CONTEXT_IMAGE;
    if (text_starts(value, LAYOUT_SCHEME))
        return CONTEXT_LAYOUT;
    if (source_is_url(value) || git_address_is_context(value))
        return CONTEXT_FETCHED;
    return CONTEXT_DIRECTORY;
}

int contexts_init(struct build *b, struct error *err)
{
    const struct build_options *o = b->options;

    b->contexts = mem_alloc((o->context_count + 1) * sizeof(*b->contexts));
    for (size_t i = 0; i <= o->context_count; i++) {
        struct context *c = &b->contexts[i];

        *c = (struct context){0};
        pthread_mutex_init(&c->lock, NULL);
        b->context_count++;
        if (i == 0) {
            c->value = o->context;
            c->kind = o->fetched != NULL   ? CONTEXT_FETCHED
                      : o->context != NULL ? CONTEXT_DIRECTORY
                                           : CONTEXT_EMPTY;
            continue;
        }
        c->name = o->contexts[i - 1].name;
        c->value = o->contexts[i - 1].value;
        c->kind = kind_of(c->value);
        if (c->name[0] == '\0' || c->value[0] == '\0')
            return error_set(err, EINVAL, "invalid build context '%s=%s': NAME=VALUE is expected",
                             c->name, c->value);
    }
    return 0;
}

void contexts_release(struct build *b)
{
    for (size_t i = 0; i < b->context_count; i++) {
        struct context *c = &b->contexts[i];

        tree_close(c->tree);
        ignore_free(c->ignore);
        statcache_free(c->statcache);
        source_release(&c->source);
        free(c->store_key);
        pthread_mutex_destroy(&c->lock);
    }
    free(b->contexts);
}

void contexts_remember(struct build *b)
{
    struct error ignored;

    for (size_t i = 0; i < b->context_count; i++) {
        const struct context *c = &b->contexts[i];
        auto_str struct str bytes = {0};

        if (c->statcache == NULL || b->options->store == NULL ||
            !statcache_is_changed(c->statcache))
            continue;
        statcache_save(c->statcache, &bytes);
        /* The next build reads the files again; this one has its image. */
        (void)store_context_save(b->options->store, c->store_key, bytes.data, bytes.size, &ignored);
    }
}

/* "docker.io/library/debian:latest" and "debian" are one name. */
static char *familiar(const char *name)
{
    static const char *const prefixes[] = {"docker.io/library/", "docker.io/"};
    auto_free char *out = NULL;

    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        if (text_starts(name, prefixes[i])) {
            name += strlen(prefixes[i]);
            break;
        }
    out = mem_strdup(name);
    if (text_ends(out, ":latest"))
        out[strlen(out) - strlen(":latest")] = '\0';
    return STEAL(&out);
}

struct context *context_find(struct build *b, const char *name, const struct platform *platform)
{
    auto_free char *plain = NULL;
    auto_str struct str suffix = {0};
    struct context *found = NULL;

    if (b->context_count < 2 || name == NULL)
        return NULL;
    plain = familiar(name);
    platform_format(platform, &suffix);
    for (size_t i = 1; i < b->context_count; i++) {
        const char *end = strstr(b->contexts[i].name, "::");
        auto_free char *head =
            end == NULL ? mem_strdup(b->contexts[i].name)
                        : mem_strndup(b->contexts[i].name, (size_t)(end - b->contexts[i].name));
        auto_free char *known = familiar(head);

        if (strcasecmp(known, plain) != 0 ||
            (end != NULL && strcmp(end + 2, str_text(&suffix)) != 0))
            continue;
        /* The one for this platform wins, else the one given last. */
        if (found == NULL || end != NULL || strstr(found->name, "::") == NULL)
            found = &b->contexts[i];
    }
    return found;
}

/* ---- opening ---- */

static int read_ignore(struct build *b, struct context *c, struct tree *tree, struct error *err)
{
    const struct build_options *o = b->options;
    auto_str struct str text = {0};
    const char *name = c->name == NULL ? o->ignore_name : NULL;
    int r = -ENOENT;

    if (name != NULL && o->ignore_text != NULL)
        return ignore_parse(o->ignore_text, strlen(o->ignore_text), name, &c->ignore, err);
    if (name != NULL)
        r = tree_read(tree, name, LIMIT_DOCKERFILE_SIZE, &text, err);
    if (r == -ENOENT || r == -ENOTDIR) {
        name = ".dockerignore";
        r = tree_read(tree, name, LIMIT_DOCKERFILE_SIZE, &text, err);
    }
    if (r == -ENOENT) {
        error_clear(err);
        return 0;
    }
    return r < 0 ? r : ignore_parse(str_text(&text), text.size, name, &c->ignore, err);
}

static int open_directory(struct build *b, struct context *c, struct error *err)
{
    auto_tree struct tree *tree = NULL;
    auto_str struct str remembered = {0};
    int r;

    c->store_key = realpath(c->value, NULL);
    if (c->store_key == NULL)
        return error_errno(err, "cannot open the build context '%s'", c->value);
    r = b->options->store == NULL
            ? -ENOENT
            : store_context_load(b->options->store, c->store_key, &remembered, err);
    if (r < 0 && r != -ENOENT)
        return r;
    error_clear(err);
    c->statcache = statcache_new(str_text(&remembered), remembered.size);
    r = tree_open_host(c->value, c->statcache, &tree, err);
    if (r == 0)
        r = read_ignore(b, c, tree, err);
    if (r < 0)
        return r;
    tree_set_stop(tree, b->stop);
    c->tree = STEAL(&tree);
    return 0;
}

static int fetch(struct build *b, struct context *c, struct error *err)
{
    auto_free char *shown = source_shown(c->value);
    uint32_t vertex =
        progress_beginf(b->options->progress, "[context %s] load from %s", c->name, shown);
    struct fetch f = build_fetch(b, vertex);
    int r = source_context(&f, c->value, false, &c->source, err);

    progress_end(b->options->progress, vertex,
                 r < 0                  ? PROGRESS_ERROR
                 : c->source.was_cached ? PROGRESS_CACHED
                                        : PROGRESS_DONE,
                 err->text);
    return r;
}

static int open_context(struct build *b, struct context *c, struct error *err)
{
    switch (c->kind) {
    case CONTEXT_EMPTY:
        c->tree = tree_new_empty();
        return 0;
    case CONTEXT_DIRECTORY:
        return open_directory(b, c, err);
    case CONTEXT_FETCHED:
        return c->name == NULL ? 0 : fetch(b, c, err);
    case CONTEXT_IMAGE:
    case CONTEXT_LAYOUT:
        break;
    }
    return 0;
}

static int ensure_open(struct build *b, struct context *c, struct error *err)
{
    int r = 0;

    pthread_mutex_lock(&c->lock);
    if (!c->is_open) {
        r = open_context(b, c, err);
        c->is_open = r == 0;
    }
    pthread_mutex_unlock(&c->lock);
    if (r == 0 && c->kind == CONTEXT_DIRECTORY)
        build_trace_local(b, c->name);
    else if (r == 0 && c->kind == CONTEXT_FETCHED && c->name != NULL)
        build_trace_fetched(b, c->value, &c->source);
    return r < 0 && c->name != NULL && r != -ECANCELED
               ? error_wrap(err, "build context '%s'", c->name)
               : r;
}

int build_context(struct build *b, struct error *err)
{
    return ensure_open(b, &b->contexts[0], err);
}

static const struct source *fetched(const struct build *b, const struct context *c)
{
    return c->name == NULL ? b->options->fetched : &c->source;
}

int context_time(struct build *b, const char *name, int64_t *out, struct error *err)
{
    struct context *c = name == NULL ? &b->contexts[0] : context_find(b, name, &b->platform);
    struct fetch f = build_fetch(b, 0);
    const struct source *source;
    int r;

    if (c == NULL)
        return -ENOENT;
    *out = 0;
    if (c->kind != CONTEXT_FETCHED)
        return 0;
    r = ensure_open(b, c, err);
    source = r < 0 ? NULL : fetched(b, c);
    return source == NULL ? r : source_time(&f, source, out, err);
}

const struct ignore *build_context_ignore(const struct build *b)
{
    return b->contexts[0].ignore;
}

/* ---- as a state ---- */

/* A directory as a layer: what a step mounts or starts from is never the host's own. */
static int directory_layer(struct build_stage *s, struct context *c, struct digest *key,
                           int64_t *layer, struct error *err)
{
    struct build *b = s->build;
    const struct selection_key how = {.any_owner = true};
    const struct selection_request request = {.pattern = ".", .ignore = c->ignore, .literal = true};
    const struct copy_options options = {.destination = "/", .now_ns = b->now_ns};
    const struct view_options view_options = {.label = c->name, .allow_devices = true};
    auto_free char *description = str_format("build context %s", c->name);
    auto_selections struct selections all = {0};
    auto_view struct view *view = NULL;
    struct cache_entry entry = {.description = description};
    struct cache_hit hit;
    struct view_sealed sealed;
    auto_key struct key k = {0};
    struct digest content;
    int r = selections_add(&all, c->tree, &request, err);

    if (r == 0)
        r = selections_digest(&all, c->tree, 2, err);
    if (r == 0)
        r = selections_key(&all, c->tree, &how, &content, err);
    if (r < 0)
        return r;
    key_init(&k, "context");
    key_digest(&k, "content", &content);
    key_final(&k, key);
    entry.key = *key;
    r = build_cache_find(s, key, &hit, err);
    if (r == 1)
        *layer = hit.layer;
    if (r != 0)
        return r < 0 ? r : 0;
    r = view_open(b->options->store, NULL, 0, &view_options, &view, err);
    if (r == 0)
        r = copy_apply(view, b->options->store, c->tree, &all, &options, err);
    if (r == 0)
        r = build_seal_cached(s, view, &entry, &sealed, err);
    if (r == 0)
        *layer = sealed.layer;
    return r;
}

static int tree_state(struct build_stage *s, struct context *c, struct stage_state *out,
                      struct error *err)
{
    auto_str struct str platform = {0};
    auto_key struct key key = {0};
    struct digest content;
    int64_t layer = 0;
    int r = 0;

    if (c->kind == CONTEXT_DIRECTORY) {
        r = directory_layer(s, c, &content, &layer, err);
    } else {
        content = fetched(s->build, c)->key;
        layer = fetched(s->build, c)->layer;
    }
    if (r < 0)
        return r;
    platform_format(&s->platform, &platform);
    key_init(&key, "from-context");
    key_digest(&key, "content", &content);
    key_text(&key, "platform", str_text(&platform));
    key_final(&key, &out->key);
    out->config = config_new_scratch(&s->platform);
    out->time_ns = s->build->now_ns;
    if (layer != 0)
        stage_push_layer(
            out, &(struct cache_hit){.key = out->key, .layer = layer, .time_ns = out->time_ns});
    return 0;
}

static int layout_state(struct build_stage *s, const struct context *c, struct stage_state *out,
                        struct error *err)
{
    struct store *store = s->build->options->store;
    auto_image struct image image = {0};
    struct digest manifest;
    int r = layout_import(store, c->value + strlen(LAYOUT_SCHEME), &s->platform, &manifest, err);

    if (r == 0)
        r = image_load(store, &manifest, &image, err);
    if (r < 0)
        return r;
    build_trace_layout(s->build, c->name, &s->platform, &manifest);
    build_loaded_state(s->build, &image, c->value, &s->platform, out);
    return r;
}

static int make_state(struct build_stage *s, struct context *c, struct stage_state *out,
                      struct error *err)
{
    struct build *b = s->build;

    if (c->kind == CONTEXT_IMAGE)
        return build_image_state(b, c->value + strlen(IMAGE_SCHEME), &s->platform, out, err);
    if (c->kind == CONTEXT_LAYOUT)
        return layout_state(s, c, out, err);
    return tree_state(s, c, out, err);
}

int context_state(struct build_stage *s, struct context *c, struct stage_state *out,
                  struct error *err)
{
    int r = ensure_open(s->build, c, err);

    if (r < 0)
        return r;
    r = make_state(s, c, out, err);
    return r < 0 && r != -ECANCELED ? error_wrap(err, "build context '%s'", c->name) : r;
}

/* ---- as a tree ---- */

void build_tree_release(struct build_tree *t)
{
    tree_close(t->owned);
    *t = (struct build_tree){0};
}

int build_tree_layers(struct build *b, const int64_t *layers, size_t count, const char *label,
                      struct build_tree *out, struct error *err)
{
    const struct view_options options = {.label = label, .read_only = true};
    auto_free int64_t *here = mem_dup(layers, count * sizeof(*layers)); /* others read theirs */
    struct view *v;
    int r = cache_remote_bring(b, here, count, err);

    if (r == 0)
        r = view_open(b->options->store, here, count, &options, &v, err);
    if (r < 0)
        return r;
    out->owned = tree_take_view(v, label);
    out->tree = out->owned;
    tree_set_stop(out->tree, b->stop);
    return 0;
}

static int open_context_tree(struct build_stage *s, struct context *c, struct build_tree *out,
                             struct error *err)
{
    const struct source *source;
    int r = ensure_open(s->build, c, err);

    if (r < 0)
        return r;
    if (c->tree != NULL) {
        out->tree = c->tree;
        out->ignore = c->ignore;
        return 0;
    }
    source = fetched(s->build, c);
    out->key = source->key;
    out->has_key = true;
    return build_tree_layers(s->build, &source->layer, source->layer != 0,
                             c->name == NULL ? "the build context" : c->name, out, err);
}

static int open_state(struct build_stage *s, const struct stage_state *state, const char *label,
                      struct build_tree *out, struct error *err)
{
    out->key = state->key;
    out->has_key = true;
    if (state->is_stale)
        return 0;
    for (size_t i = 0; i < state->layer_count; i++)
        if (state->layers[i] < 0) {
            out->elsewhere = state;
            return 0;
        }
    return build_tree_layers(s->build, state->layers, state->layer_count, label, out, err);
}

int build_tree_fetch(struct build *b, struct build_tree *t, struct error *err)
{
    const struct stage_state *state = t->elsewhere;

    if (state == NULL)
        return 0;
    t->elsewhere = NULL;
    return build_tree_layers(b, state->layers, state->layer_count, "a stage", t, err);
}

int build_tree_open(struct build_stage *s, const char *from, struct build_tree *out,
                    struct error *err)
{
    struct build *b = s->build;
    auto_stage_state struct stage_state state = {0};
    struct context *c;
    int position;
    int r;

    *out = (struct build_tree){0};
    if (from == NULL)
        return open_context_tree(s, &b->contexts[0], out, err);
    position = build_stage_find(b, from, s->position);
    if (position >= 0)
        return open_state(s, &b->stages[position].state, from, out, err);
    c = context_find(b, from, &s->platform);
    if (c != NULL && c->kind != CONTEXT_IMAGE && c->kind != CONTEXT_LAYOUT)
        return open_context_tree(s, c, out, err);
    r = c != NULL ? context_state(s, c, &state, err)
                  : build_image_state(b, from, &s->platform, &state, err);
    if (r < 0)
        return build_suggest(s, from, err);
    r = open_state(s, &state, from, out, err);
    return r < 0 ? r : build_tree_fetch(b, out, err); /* the state ends here */
}
