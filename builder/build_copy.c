/* build_copy.c - COPY and ADD: keys from content, then writes through a view. */
#include <errno.h>
#include <string.h>

#include "builder/build_copy.h"
#include "builder/tree/listing.h"
#include "builder/users.h"
#include "fs/base/io.h"
#include "fs/base/key.h"
#include "fs/base/limits.h"
#include "fs/store.h"
#include "fs/view.h"

#include "fs/base/banned.h"

/* ---- one COPY ---- */

#define PREDICTED 2 /* a step that was looked up only: the state has gone on */

static void copying_release(struct copying *c)
{
    copy_parts_release(c);
    ignore_free(c->exclude);
    free(c->destination);
    free(c->text);
}
DEFINE_CLEANUP_VALUE(copying_release, struct copying)

int copy_fail_at(const struct copying *c, const struct word *word, struct error *err)
{
    return dockerfile_locate(c->stage->build->df, c->in, &word->at, err);
}

static int set_owner(struct copying *c, struct error *err)
{
    const char *spec = c->copy->chown.text;
    struct view *v = NULL;
    auto_view struct view *view = NULL;
    auto_view_users struct view_users users = {0};
    struct users_files files = {0};
    int r;

    if (spec == NULL || spec[0] == '\0')
        return 0;
    c->options.set_owner = true;
    if (!owner_is_numeric(spec)) {
        r = stage_view_open(c->stage, c->text, true, &v, err);
        if (r < 0)
            return r;
        view = v;
        r = view_users_load(view, &users, err);
        if (r < 0)
            return r;
        files = view_users_files(&users);
        auto_key struct key key = {0};
        key_init(&key, "users");
        key_text(&key, "passwd", files.passwd);
        key_text(&key, "group", files.group);
        key_final(&key, &c->users_digest);
        c->has_users_digest = true;
    }
    r = owner_resolve(&files, spec, &c->options.uid, &c->options.gid, err);
    return r < 0 ? copy_fail_at(c, &c->copy->chown, err) : 0;
}

static int prepare(struct copying *c, struct error *err)
{
    const struct copy *copy = c->copy;
    auto_strv struct strv excludes = {0};
    int r = copy_parts_plan(c, err);

    if (r < 0)
        return r;
    c->destination = stage_path(c->stage, copy->destination.text);
    c->options = (struct copy_options){
        .destination = c->destination,
        .several = copy->sources.count + copy->content_count > 1,
        .with_parents = copy->parents == TOGGLE_ON,
        .now_ns = c->stage->build->now_ns,
    };
    if (copy->chmod.text != NULL && copy->chmod.text[0] != '\0') {
        r = chmod_parse(copy->chmod.text, &c->chmod, err);
        if (r < 0)
            return copy_fail_at(c, &copy->chmod, err);
        c->options.chmod = &c->chmod;
    }
    for (size_t i = 0; i < copy->excludes.count; i++)
        strv_add(&excludes, copy->excludes.items[i].text);
    if (excludes.count > 0)
        r = ignore_new(&excludes, &c->exclude, err);
    return r < 0 ? copy_fail_at(c, &copy->excludes.items[0], err) : set_owner(c, err);
}

static int select_part(struct copying *c, struct copy_part *part, struct error *err)
{
    struct build *b = c->stage->build;
    unsigned threads = b->options->jobs == 0 ? 2 : b->options->jobs;

    if (!part->is_fetched && c->copy->from.text == NULL) {
        pthread_mutex_lock(&b->lock);
        check_copy_ignored(&b->checks, c->in, build_context_ignore(b));
        pthread_mutex_unlock(&b->lock);
    }
    for (size_t i = part->first; i < part->first + part->count; i++) {
        const struct selection_request request = {
            .pattern = part->is_fetched ? part->path : c->copy->sources.items[i].text,
            .ignore = part->tree.ignore,
            .exclude = c->exclude,
            .deep = c->options.with_parents,
            .literal = part->is_fetched,
        };
        int r = selections_add(&part->sources, part->tree.tree, &request, err);

        if (r < 0) {
            (void)error_wrap(err, "failed to compute cache key"); /* the code stays */
            if (r == -ENOENT)
                (void)copy_hint_missing(b, &part->tree, request.pattern, err); /* so it does here */
            return copy_fail_at(c, &c->copy->sources.items[i], err);
        }
    }
    /* A tree that was fetched has a root without a time: a directory made of it is made now. */
    if (part->is_fetched && part->sources.count == 1 && part->sources.items[0].is_dir)
        part->sources.items[0].items[0].node.meta.mtime_ns = b->now_ns;
    return selections_digest(&part->sources, part->tree.tree, threads, err);
}

static int select_sources(struct copying *c, struct error *err)
{
    size_t count = c->copy->content_count;
    int r = 0;

    for (size_t i = 0; r == 0 && i < c->part_count; i++) {
        r = select_part(c, &c->parts[i], err);
        count += c->parts[i].sources.count;
    }
    if (count > 1)
        c->options.several = true;
    return r;
}

/* Fields of the key that do not depend on content. */
static void key_of_flags(struct copying *c, struct key *key)
{
    const struct copy *copy = c->copy;

    if (copy->link == TOGGLE_ON)
        key_number(key, "link", 1);
    else
        key_digest(key, "parent", &c->stage->state.key);
    key_text(key, "instruction", instruction_name(c->in->kind));
    key_text(key, "destination", c->destination);
    key_number(key, "several", c->options.several);
    key_number(key, "parents", c->options.with_parents);
    key_number(key, "keep-owner", copy->from.text != NULL);
    key_text(key, "chmod", copy->chmod.text);
    if (c->options.set_owner) {
        key_number(key, "uid", c->options.uid);
        key_number(key, "gid", c->options.gid);
    }
    if (c->has_users_digest)
        key_digest(key, "users", &c->users_digest);
    key_number(key, "unpack", (uint64_t)copy->unpack);
    for (size_t i = 0; i < copy->excludes.count; i++)
        key_text(key, "exclude", copy->excludes.items[i].text);
    for (size_t i = 0; i < copy->content_count; i++) {
        key_text(key, "text-name", copy->contents[i].name);
        key_text(key, "text", copy->contents[i].data);
    }
}

static bool has_quick_key(const struct copying *c)
{
    for (size_t i = 0; i < c->part_count; i++)
        if (!c->parts[i].tree.has_key)
            return false;
    return c->part_count > 0;
}

/* By which stage, file or commit and which paths: no byte of the source is read. */
static void quick_key(struct copying *c, struct digest *out)
{
    auto_key struct key key = {0};

    key_init(&key, "copy-from");
    key_of_flags(c, &key);
    for (size_t i = 0; i < c->part_count; i++) {
        const struct copy_part *part = &c->parts[i];

        key_digest(&key, part->is_fetched ? "fetched" : "from", &part->tree.key);
        for (size_t k = part->first; !part->is_fetched && k < part->first + part->count; k++)
            key_text(&key, "source", c->copy->sources.items[k].text);
    }
    key_final(&key, out);
}

/* What of the sources does not matter, because a flag sets it. */
static struct selection_key selection_how(const struct copying *c)
{
    return (struct selection_key){
        .any_mode = c->options.chmod != NULL && c->options.chmod->is_octal,
        .any_owner = c->options.set_owner,
        .with_paths = c->options.with_parents,
    };
}

static int content_key(struct copying *c, struct key *key, struct digest *out, struct error *err)
{
    const struct selection_key how = selection_how(c);
    int r = 0;

    key_init(key, "copy");
    key_of_flags(c, key);
    for (size_t i = 0; r == 0 && i < c->part_count; i++) {
        struct copy_part *part = &c->parts[i];
        struct digest content;

        r = selections_key(&part->sources, part->tree.tree, &how, &content, err);
        if (r < 0)
            return r;
        key_digest(key, "content", &content);
        if (part->is_fetched)
            key_number(key, "fetched-time", (uint64_t)part->time_ns);
    }
    if (c->part_count == 0)
        key_text(key, "content", NULL);
    key_final(key, out);
    return 0;
}

static int write_sources(struct copying *c, struct view *v, struct copied_files *files,
                         struct error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < c->part_count; i++) {
        struct copy_part *part = &c->parts[i];
        struct copy_options options = c->options;

        options.unpack = part->unpack;
        options.keep_owner = part->keep_owner;
        options.files = files;
        r = copy_apply(v, c->stage->build->options->store, part->tree.tree, &part->sources,
                       &options, err);
    }
    for (size_t i = 0; r == 0 && i < c->copy->content_count; i++)
        r = copy_text(v, c->copy->contents[i].name, c->copy->contents[i].data,
                      strlen(c->copy->contents[i].data), &c->options, err);
    return r;
}

struct copy_rows { /* what is remembered together with the layer */
    struct copying *c;
    struct view *view;
    const struct copied_files *files;
    const struct cache_entry *entry;
    const struct digest *quick; /* a second key for it, or NULL */
};

static int put_copy_rows(void *context, int64_t layer, struct error *err)
{
    const struct copy_rows *rows = context;
    struct build_stage *s = rows->c->stage;
    int r = copied_files_remember(rows->files, rows->view, s->build->options->store, layer, err);

    if (r == 0)
        r = build_cache_put(s, rows->entry, layer, err);
    if (r == 0 && rows->quick != NULL) {
        const struct cache_entry alias = {.key = *rows->quick,
                                          .canonical = &rows->entry->key,
                                          .description = rows->entry->description};

        r = build_cache_put(s, &alias, layer, err);
    }
    return r;
}

/* Writes, seals and remembers; *layer is 0 when nothing changed. */
static int make_layer(struct copying *c, struct cache_entry *entry, uint64_t start_ns,
                      const struct digest *quick, int64_t *layer, struct error *err)
{
    struct build *b = c->stage->build;
    auto_view struct view *v = NULL;
    auto_copied_files struct copied_files files = {0};
    struct copy_rows remembered = {.c = c, .files = &files, .entry = entry, .quick = quick};
    const struct build_rows rows = {.put = put_copy_rows, .context = &remembered};
    const struct view_options options = {.label = c->text, .allow_devices = true};
    bool is_link = c->copy->link == TOGGLE_ON;
    struct view_sealed sealed;
    int r = is_link ? view_open(b->options->store, NULL, 0, &options, &v, err)
                    : build_view_open(c->stage, &options, &v, err);

    if (r == 0)
        r = write_sources(c, v, &files, err);
    if (r == 0 && build_is_canceled(b))
        r = error_set(err, ECANCELED, "canceled");
    entry->run_ns = io_ticks_ns() - start_ns;
    remembered.view = v;
    if (r == 0)
        r = build_seal(c->stage, v, &rows, &sealed, err);
    if (r == 0)
        *layer = sealed.layer;
    return r;
}

/* The inputs of a step that was not cached: its key's, and the files it selected. */
static int list_inputs(struct copying *c, struct key *key, struct error *err)
{
    const struct selection_key how = selection_how(c);
    int r = 0;

    key_note(key, "base", c->stage->state.base);
    str_add(&key->inputs, EXPLAIN_LISTING);
    for (size_t i = 0; r == 0 && i < c->part_count; i++)
        r = listing_add(&c->parts[i].sources, c->parts[i].tree.tree, &how, &key->inputs, err);
    return r;
}

/* The layer of --link does not depend on what is below it, but all that comes after does. */
static void chain_link(const struct digest *parent, struct digest *step)
{
    auto_key struct key key = {0};

    key_init(&key, "link");
    key_digest(&key, "parent", parent);
    key_digest(&key, "step", step);
    key_final(&key, step);
}

static int open_parts(struct copying *c, struct error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < c->part_count; i++)
        r = copy_part_open(c, &c->parts[i], err);
    return r;
}

static int copy_step(struct copying *c, enum progress_state *state, struct cache_hit *out,
                     struct error *err)
{
    auto_key struct key key = {0};
    struct cache_entry entry = {.description = c->text};
    const struct digest parent = c->stage->state.key;
    bool is_quick;
    struct digest quick;
    uint64_t start_ns = io_ticks_ns();
    int r = open_parts(c, err);

    *state = PROGRESS_CACHED;
    if (r < 0)
        return r;
    is_quick = has_quick_key(c);
    if (is_quick) {
        quick_key(c, &quick);
        r = build_cache_find(c->stage, &quick, out, err);
        if (r != 0)
            return r < 0 ? r : 0;
        for (size_t i = 0; i < c->part_count; i++) {
            r = build_tree_fetch(c->stage->build, &c->parts[i].tree, err);
            if (r < 0)
                return r;
            if (c->parts[i].tree.tree == NULL) {
                build_step_unknown(c->stage, c->text, "what it copies from is not made yet");
                return PREDICTED;
            }
        }
    }
    r = select_sources(c, err);
    if (r == 0)
        r = content_key(c, &key, &entry.key, err);
    if (r == 0)
        r = build_cache_find(c->stage, &entry.key, out, err);
    if (r < 0)
        return r;
    if (r == 1) {
        const struct cache_entry alias = {
            .key = quick, .canonical = &out->key, .description = c->text, .time_ns = out->time_ns};

        /* A prediction leaves the store as it is; a row needs its layer. */
        return is_quick && out->layer >= 0 && c->stage->build->mode == BUILD_MODE_BUILD
                   ? build_cache_put(c->stage, &alias, out->layer, err)
                   : 0;
    }
    r = list_inputs(c, &key, err);
    if (r < 0)
        return r;
    *state = PROGRESS_DONE;
    *out = build_made(c->stage->build, &entry.key, 0);
    entry.inputs = str_text(&key.inputs);
    if (build_step_missed(c->stage, c->text, &entry)) {
        if (c->copy->link == TOGGLE_ON)
            chain_link(&parent, &c->stage->state.key);
        return PREDICTED;
    }
    return make_layer(c, &entry, start_ns, is_quick ? &quick : NULL, &out->layer, err);
}

static char *describe(const struct instruction *in)
{
    const struct copy *copy = &in->copy;
    struct str text = {0};

    str_add(&text, instruction_name(in->kind));
    for (size_t i = 0; i < in->flags.count; i++)
        str_addf(&text, " --%s%s%s", in->flags.items[i].name,
                 in->flags.items[i].has_value ? "=" : "", in->flags.items[i].value);
    for (size_t i = 0; i < copy->sources.count; i++)
        str_addf(&text, " %s", copy->sources.items[i].text);
    for (size_t i = 0; i < copy->content_count; i++)
        str_addf(&text, " <<%s", copy->contents[i].name);
    str_addf(&text, " %s", copy->destination.text);
    return str_take(&text);
}

/* Predicting: true when the key cannot be made, for it needs what is not there yet. A step with
 * --link goes by its sources alone. */
static bool foresee(const struct copying *c)
{
    struct build_stage *s = c->stage;
    bool has_names = c->copy->chown.text != NULL && c->copy->chown.text[0] != '\0' &&
                     !owner_is_numeric(c->copy->chown.text);
    struct stage_state *state = &s->state;
    bool no_key = state->has_no_key;
    bool is_unknown;

    if (s->build->mode != BUILD_MODE_PREDICT)
        return false;
    if (has_names && state->is_stale) {
        build_step_unknown(s, c->text,
                           "the names of --chown are looked up in what is not made yet");
        return true;
    }
    for (size_t i = 0; i < c->copy->sources.count; i++)
        if (copy_is_remote(c, c->copy->sources.items[i].text)) {
            build_step_unknown(s, c->text, "what it fetches may have changed");
            return true;
        }
    if (c->copy->link == TOGGLE_ON)
        state->has_no_key = false;
    is_unknown = build_is_unknown(s, c->in);
    state->has_no_key = no_key;
    if (is_unknown)
        build_step_unknown(s, c->text, "what it starts from is not known");
    return is_unknown;
}

/* Where the files came from is not said, as peers do not: a stage has no meaning outside. */
static char *history_of(const struct instruction *in)
{
    const struct copy *copy = &in->copy;
    struct str text = {0};

    str_add(&text, instruction_name(in->kind));
    if (copy->parents == TOGGLE_ON)
        str_add(&text, " --parents");
    if (copy->chown.text != NULL && copy->chown.text[0] != '\0')
        str_addf(&text, " --chown=%s", copy->chown.text);
    if (copy->chmod.text != NULL && copy->chmod.text[0] != '\0')
        str_addf(&text, " --chmod=%s", copy->chmod.text);
    for (size_t i = 0; i < copy->sources.count; i++)
        str_addf(&text, " %s", copy->sources.items[i].text);
    for (size_t i = 0; i < copy->content_count; i++)
        str_addf(&text, " <<%s", copy->contents[i].name);
    str_addf(&text, " %s # buildkit", copy->destination.text);
    return str_take(&text);
}

int build_copy(struct build_stage *s, const struct instruction *in, struct error *err)
{
    __attribute__((cleanup(cleanup_copying_release))) struct copying c = {
        .stage = s, .in = in, .copy = &in->copy, .text = describe(in)};
    auto_free char *history = history_of(in);
    uint32_t vertex = c.vertex = step_begin(s, c.text);
    enum progress_state state = PROGRESS_DONE;
    struct cache_hit made;
    int r;

    if (foresee(&c))
        return 0;
    r = prepare(&c, err);
    if (r == 0)
        r = copy_step(&c, &state, &made, err);
    if (r == PREDICTED)
        return 0;
    progress_end(s->build->options->progress, vertex,
                 r == -ECANCELED ? PROGRESS_CANCELED
                 : r < 0         ? PROGRESS_ERROR
                                 : state,
                 err->text);
    if (r < 0)
        return r;
    if (state == PROGRESS_CACHED)
        build_step_note(s, c.text, BUILD_STEP_CACHED, NULL);
    if (in->copy.link == TOGGLE_ON)
        chain_link(&s->state.key, &made.key);
    atomic_fetch_add(state == PROGRESS_CACHED ? &s->build->cached_count : &s->build->ran_count, 1);
    stage_push_layer(&s->state, &made);
    step_history(s, history, made.layer == 0);
    return 0;
}
