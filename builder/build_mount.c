/* build_mount.c - opens, serves and finishes the mounts of one RUN. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder/build_context.h"
#include "builder/build_mount.h"
#include "builder/copy.h"
#include "builder/listing.h"
#include "builder/selection.h"
#include "builder/ssh.h"
#include "fs/mount.h"
#include "fs/store.h"
#include "fs/view.h"

#include "fs/base/banned.h"

#define CACHE_STACK_MAX 16u /* layers of a cache before they are folded into one */

static const struct build_secret *find_secret(const struct build *b, const char *id)
{
    for (size_t i = 0; i < b->options->secret_count; i++)
        if (strcmp(b->options->secrets[i].id, id) == 0)
            return &b->options->secrets[i];
    return NULL;
}

static char *target_of(const struct build_stage *s, const struct run_mount *spec)
{
    if (spec->target != NULL)
        return path_join(config_working_dir(s->state.config), spec->target);
    if (spec->type == RUN_MOUNT_SECRET)
        return path_join("/run/secrets", spec->id);
    return NULL;
}

static int check(const struct step_mount *m, struct error *err)
{
    if (m->target != NULL && strcmp(m->target, "/") == 0)
        return error_set(err, EINVAL, "invalid mount target \"/\"");
    return 0;
}

/* ---- keys ---- */

static bool is_tree(const struct build_stage *s, const char *from)
{
    const struct context *c;

    if (from == NULL)
        return true;
    if (build_stage_find(s->build, from, s->position) >= 0)
        return false;
    c = context_find(s->build, from, &s->platform);
    return c != NULL && c->kind != CONTEXT_IMAGE && c->kind != CONTEXT_LAYOUT;
}

/* What a mount shows of a context. */
static int tree_selection(struct build_stage *s, const struct run_mount *spec,
                          struct build_tree *tree, struct selections *out, struct error *err)
{
    int r = build_tree_open(s, spec->from, tree, err);

    if (r == 0) {
        const struct selection_request request = {
            .pattern = spec->source == NULL ? "." : spec->source,
            .ignore = tree->ignore,
            .literal = true,
        };

        r = selections_add(out, tree->tree, &request, err);
    }
    return r < 0 ? r : selections_digest(out, tree->tree, 2, err);
}

static int from_state(struct build_stage *s, const char *from, struct stage_state *owned,
                      const struct stage_state **out, struct error *err)
{
    int position = build_stage_find(s->build, from, s->position);
    struct context *c;

    if (position >= 0) {
        *out = &s->build->stages[position].state;
        return 0;
    }
    *out = owned;
    c = context_find(s->build, from, &s->platform);
    return c != NULL ? context_state(s, c, owned, err)
                     : build_image_state(s->build, from, &s->platform, owned, err);
}

/* Digests what a mount begins with: a stage or image by its name, a context by its content. */
static int source_key(struct build_stage *s, const struct run_mount *spec, struct key *key,
                      struct error *err)
{
    auto_stage_state struct stage_state owned = {0};
    auto_selections struct selections selections = {0};
    auto_build_tree struct build_tree tree = {0};
    const struct selection_key how = {0};
    const struct stage_state *state;
    struct digest content;
    int r;

    key_text(key, "mount-source", spec->source);
    if (!is_tree(s, spec->from)) {
        r = from_state(s, spec->from, &owned, &state, err);
        if (r == 0)
            key_digest(key, "mount-from", &state->key);
        return r;
    }
    r = tree_selection(s, spec, &tree, &selections, err);
    if (r == 0)
        r = selections_key(&selections, tree.tree, &how, &content, err);
    if (r == 0)
        key_digest(key, "mount-content", &content);
    return r;
}

int step_mounts_list(struct step_mounts *m, struct key *key, struct error *err)
{
    const struct selection_key how = {0};
    bool has_begun = false;
    int r = 0;

    for (size_t i = 0; r == 0 && i < m->run->mounts.count; i++) {
        const struct run_mount *spec = &m->run->mounts.items[i];
        auto_build_tree struct build_tree tree = {0};
        auto_selections struct selections selections = {0};

        if (spec->type != RUN_MOUNT_BIND || spec->from != NULL)
            continue;
        str_add(&key->inputs, has_begun ? "" : EXPLAIN_LISTING);
        has_begun = true;
        r = tree_selection(m->stage, spec, &tree, &selections, err);
        if (r == 0)
            r = listing_add(&selections, tree.tree, &how, &key->inputs, err);
    }
    return r;
}

static int secret_key(struct step_mounts *m, struct step_mount *item, struct key *key,
                      struct error *err)
{
    const struct run_mount *spec = item->spec;
    const struct build_secret *secret = find_secret(m->stage->build, spec->id);

    key_text(key, "mount-secret", spec->id);
    key_text(key, "mount-env", spec->env);
    key_number(key, "mount-mode", spec->mode);
    key_number(key, "mount-uid", spec->uid);
    key_number(key, "mount-gid", spec->gid);
    if (secret == NULL && spec->is_required) {
        error_set(err, ENOENT, "secret %s: not found", spec->id);
        return error_hint(err, "give it with --secret id=%s,src=FILE", spec->id);
    }
    if (secret != NULL) {
        item->secret = secret->bytes;
        item->secret_size = secret->size;
    }
    return 0;
}

static int ssh_key(const struct step_mounts *m, struct step_mount *item, struct key *key,
                   struct error *err)
{
    const struct build_options *o = m->stage->build->options;
    const struct run_mount *spec = item->spec;

    key_text(key, "mount-ssh", spec->id);
    key_number(key, "mount-mode", spec->mode);
    key_number(key, "mount-uid", spec->uid);
    key_number(key, "mount-gid", spec->gid);
    for (size_t i = 0; i < o->ssh_count; i++)
        if (strcmp(o->ssh[i].id, spec->id) == 0)
            item->agent = o->ssh[i].socket;
    if (item->agent != NULL || !spec->is_required)
        return 0;
    error_set(err, ENOENT, "ssh agent %s: not found", spec->id);
    return error_hint(err, "give it with --ssh %s", spec->id);
}

/* The script is a mount like others, but for the key, which holds its text. */
static void add_script(struct step_mounts *m)
{
    struct step_mount *item = &m->items[m->count++];

    m->script_mount = (struct run_mount){.type = RUN_MOUNT_BIND, .is_read_only = true};
    item->spec = &m->script_mount;
    item->target = mem_strdup(SANDBOX_PIPES);
    item->lock_fd = -1;
}

int step_mounts_key(struct step_mounts *m, struct build_stage *stage, const struct run *run,
                    struct key *key, struct error *err)
{
    size_t agents = 0;
    int r = 0;

    m->stage = stage;
    m->run = run;
    m->items = mem_alloc((run->mounts.count + 2) * sizeof(*m->items));
    if (m->script != NULL)
        add_script(m);
    for (size_t i = 0; r == 0 && i < run->mounts.count; i++) {
        struct step_mount *item = &m->items[m->count++]; /* behind the script's */

        item->spec = &run->mounts.items[i];
        item->lock_fd = -1;
        item->target = target_of(stage, item->spec);
        if (item->spec->type == RUN_MOUNT_SSH && item->target == NULL)
            item->target = str_format("/run/buildkit/ssh_agent.%zu", agents++);
        r = check(item, err);
        if (r < 0)
            return r;
        key_text(key, "mount", run_mount_type_name(item->spec->type));
        key_text(key, "mount-target", item->target);
        key_number(key, "mount-read-only", item->spec->is_read_only);
        if (item->spec->type == RUN_MOUNT_BIND)
            r = source_key(m->stage, item->spec, key, err);
        else if (item->spec->type == RUN_MOUNT_SECRET)
            r = secret_key(m, item, key, err);
        else if (item->spec->type == RUN_MOUNT_SSH)
            r = ssh_key(m, item, key, err);
    }
    return r;
}

/* ---- opening ---- */

static int read_context(void *context, uint64_t number, uint64_t offset, void *buf, size_t size,
                        struct error *err)
{
    const struct step_mount *item = context;

    if (number >= item->references.count)
        return error_set(err, EIO, "a bind mount has no file %ju", (uintmax_t)number);
    return tree_read_at(item->tree_shown.tree, item->references.items[number], offset, buf, size,
                        err);
}

/* Part of a context. The host's directory itself is never shown to a step: the view has the names
 * and attributes that are in the key, the bytes are read beneath the context when the step asks. */
static int open_context_bind(struct step_mounts *m, struct step_mount *item, struct error *err)
{
    struct build *b = m->stage->build;
    const struct view_options options = {.label = "a bind mount",
                                         .allow_devices = true,
                                         .squash = b->options->single_id,
                                         .outside = {.read = read_context, .context = item}};
    struct copy_options copy = {.destination = "/content", .now_ns = b->now_ns};
    int r = tree_selection(m->stage, item->spec, &item->tree_shown, &item->shown, err);

    if (r == 0 && tree_is_host(item->tree_shown.tree))
        copy.references = &item->references;
    if (r == 0)
        r = view_open(b->options->store, NULL, 0, &options, &item->view, err);
    if (r == 0)
        r = copy_apply(item->view, b->options->store, item->tree_shown.tree, &item->shown, &copy,
                       NULL, err);
    item->source = mem_strdup("/content");
    item->is_file = item->shown.count > 0 && !item->shown.items[0].is_dir;
    return r;
}

static int open_script(struct step_mounts *m, struct step_mount *item, struct error *err)
{
    const struct build *b = m->stage->build;
    const struct view_options options = {.label = "a script", .squash = b->options->single_id};
    const struct chmod executable = {.is_octal = true, .octal = 0755};
    const struct copy_options copy = {
        .destination = "/", .chmod = &executable, .now_ns = b->now_ns};
    int r = view_open(b->options->store, NULL, 0, &options, &item->view, err);

    item->source = mem_strdup("/");
    return r < 0 ? r
                 : copy_text(item->view, m->script_name, m->script, strlen(m->script), &copy, err);
}

static int open_bind(struct step_mounts *m, struct step_mount *item, struct error *err)
{
    auto_stage_state struct stage_state owned = {0};
    const struct view_options options = {.label = "a bind mount",
                                         .squash = m->stage->build->options->single_id};
    const struct stage_state *state;
    struct union_attr attr;
    int r;

    if (item->spec == &m->script_mount)
        return open_script(m, item, err);
    if (is_tree(m->stage, item->spec->from))
        return open_context_bind(m, item, err);
    r = from_state(m->stage, item->spec->from, &owned, &state, err);
    if (r == 0)
        r = view_open(m->stage->build->options->store, state->layers, state->layer_count, &options,
                      &item->view, err);
    if (r < 0)
        return r;
    item->source = path_join("/", item->spec->source == NULL ? "" : item->spec->source);
    r = view_resolve(item->view, item->source, true, &attr);
    if (r < 0)
        return error_set(err, -r, "failed to compute cache key: \"%s\": not found", item->source);
    item->is_file = !S_ISDIR(attr.mode);
    return 0;
}

/* As in peers, a cache that begins with something is another one for each such beginning. */
static int cache_id(struct step_mounts *m, const struct step_mount *item, struct digest *out,
                    struct error *err)
{
    const char *namespace = build_arg(m->stage->build, "BUILDKIT_CACHE_MOUNT_NS");
    auto_key struct key key = {0};
    int r = 0;

    key_init(&key, "cache-mount");
    key_text(&key, "namespace", namespace);
    key_text(&key, "id", item->spec->id != NULL ? item->spec->id : item->target);
    if (item->spec->from != NULL)
        r = source_key(m->stage, item->spec, &key, err);
    key_final(&key, out);
    return r;
}

#define LOCK_POLL_MS 50 /* a file lock gives no event to wait for together with others */

/* A cache has one writer at a time; `private` gets an empty one rather than wait. */
static int lock_cache(struct step_mounts *m, struct step_mount *item, struct error *err)
{
    const struct build *b = m->stage->build;

    for (;;) {
        struct pollfd fds[] = {{.fd = b->options->cancel_fd, .events = POLLIN},
                               {.fd = b->stop_fd, .events = POLLIN}};
        int r = store_cache_mount_lock(b->options->store, &item->cache_id, true, false,
                                       &item->lock_fd, err);

        if (r != -EBUSY)
            return r;
        error_clear(err);
        if (item->spec->sharing == RUN_MOUNT_PRIVATE) {
            item->is_temporary = true;
            return 0;
        }
        if (poll(fds, 2, LOCK_POLL_MS) > 0)
            return error_set(err, ECANCELED, "canceled");
    }
}

static int compare_caches(const void *a, const void *b)
{
    const struct step_mount *left = *(struct step_mount *const *)a;
    const struct step_mount *right = *(struct step_mount *const *)b;
    int order = memcmp(left->cache_id.bytes, right->cache_id.bytes, sizeof(left->cache_id.bytes));

    return order != 0 ? order : left < right ? -1 : left > right;
}

/* Every step takes its locks in the order of the ids, so that no two wait for each other; a cache
 * mounted twice in one step is locked and opened once. */
static int lock_caches(struct step_mounts *m, struct error *err)
{
    auto_free struct step_mount **order = mem_alloc((m->count + 1) * sizeof(struct step_mount *));
    size_t count = 0;
    int r = 0;

    for (size_t i = 0; r == 0 && i < m->count; i++)
        if (m->items[i].spec->type == RUN_MOUNT_CACHE) {
            r = cache_id(m, &m->items[i], &m->items[i].cache_id, err);
            order[count++] = &m->items[i];
        }
    if (count > 1)
        qsort(order, count, sizeof(struct step_mount *), compare_caches);
    for (size_t i = 0; r == 0 && i < count; i++) {
        if (i > 0 && digest_equal(&order[i]->cache_id, &order[i - 1]->cache_id))
            order[i]->same = order[i - 1]->same != NULL ? order[i - 1]->same : order[i - 1];
        else
            r = lock_cache(m, order[i], err);
    }
    return r;
}

/* What `from` has at `source` becomes the content of an empty cache. */
static int seed_cache(struct step_mounts *m, struct step_mount *item, struct error *err)
{
    struct build *b = m->stage->build;
    auto_selections struct selections selections = {0};
    auto_build_tree struct build_tree tree = {0};
    const struct copy_options copy = {
        .destination = "/content", .keep_owner = true, .now_ns = b->now_ns};
    int r = tree_selection(m->stage, item->spec, &tree, &selections, err);

    if (r == 0 && !selections.items[0].is_dir)
        r = error_set(err, ENOTDIR, "a cache mount begins with a directory, and \"%s\" is none",
                      item->spec->source);
    return r < 0 ? r
                 : copy_apply(item->view, b->options->store, tree.tree, &selections, &copy, NULL,
                              err);
}

/* The directory of the cache that is mounted, made with the mount's owner and mode. */
static int make_cache_dir(struct step_mounts *m, const struct step_mount *item, struct error *err)
{
    const struct run_mount *spec = item->spec;
    struct union_setattr set = {.set = UNION_SET_MODE, .mode = spec->mode};
    const struct union_cred owner = {.uid = spec->uid, .gid = spec->gid};
    struct view *view = item->same != NULL ? item->same->view : item->view;
    struct union_attr attr;
    int r = view_resolve(view, item->source, true, &attr);

    if (r == 0)
        return S_ISDIR(attr.mode)
                   ? 0
                   : error_set(err, ENOTDIR, "\"%s\" of the cache mount is not a directory",
                               spec->source);
    if (r == -ENOENT)
        r = view_make_dirs(view, item->source, 0755, owner, m->stage->build->now_ns, &attr);
    if (r == 0)
        r = union_setattr(view, attr.ino, &set, &attr);
    return r < 0 ? error_set(err, -r, "cannot make a cache mount: %s", strerror(-r)) : 0;
}

static int open_cache(struct step_mounts *m, struct step_mount *item, struct error *err)
{
    struct store *store = m->stage->build->options->store;
    auto_cache_mount_row struct cache_mount_row row = {0};
    const struct view_options options = {.label = "a cache mount",
                                         .allow_devices = true,
                                         .squash = m->stage->build->options->single_id};
    const struct run_mount *spec = item->spec;
    /* Without `from`, `source` is a directory of the cache itself. */
    auto_free char *below =
        path_join("/", spec->from != NULL || spec->source == NULL ? "" : spec->source);
    int r;

    item->source = str_format("/content%s", strcmp(below, "/") == 0 ? "" : below);
    if (item->same != NULL)
        return make_cache_dir(m, item, err);
    if (!item->is_temporary) {
        r = store_cache_mount_get(store, &item->cache_id, &row, err);
        if (r < 0 && r != -ENOENT)
            return r;
        error_clear(err);
    }
    r = view_open(store, row.layers, row.layer_count, &options, &item->view, err);
    if (r == 0 && row.layer_count == 0 && spec->from != NULL)
        r = seed_cache(m, item, err);
    return r < 0 ? r : make_cache_dir(m, item, err);
}

static void add_tree(struct step_mounts *m, struct step_mount *item)
{
    item->tree = item->same != NULL ? item->same->tree : m->tree_count++;
    m->specs[m->spec_count++] = (struct sandbox_mount){
        .kind = SANDBOX_MOUNT_TREE,
        .target = item->target,
        .read_only = item->spec->is_read_only,
        .tree = item->tree,
        .source = item->source,
        .source_is_file = item->is_file,
    };
}

static void add_secret(struct step_mounts *m, const struct step_mount *item)
{
    const struct run_mount *spec = item->spec;

    if (item->secret == NULL)
        return;
    if (spec->env != NULL)
        strv_addf(&m->env, "%s=%s", spec->env, item->secret);
    if (spec->env != NULL && spec->target == NULL)
        return;
    m->specs[m->spec_count++] = (struct sandbox_mount){
        .kind = SANDBOX_MOUNT_FILE,
        .target = item->target,
        .read_only = true,
        .mode = spec->mode,
        .uid = spec->uid,
        .gid = spec->gid,
        .bytes = item->secret,
        .byte_count = item->secret_size,
    };
}

static void add_ssh(struct step_mounts *m, struct step_mount *item)
{
    bool is_first = true;

    if (item->agent == NULL)
        return;
    for (const struct step_mount *before = m->items; before < item; before++)
        is_first = is_first && before->agent == NULL;
    if (is_first)
        strv_addf(&m->env, "SSH_AUTH_SOCK=%s", item->target);
    item->spec_index = m->spec_count;
    m->specs[m->spec_count++] = (struct sandbox_mount){
        .kind = SANDBOX_MOUNT_SOCKET,
        .target = item->target,
        .mode = item->spec->mode,
        .uid = item->spec->uid,
        .gid = item->spec->gid,
    };
}

int step_mounts_open(struct step_mounts *m, struct error *err)
{
    int r = 0;

    m->tree_count = 1;
    m->specs = mem_alloc((m->count + 1) * sizeof(*m->specs));
    r = lock_caches(m, err);
    for (size_t i = 0; r == 0 && i < m->count; i++) {
        struct step_mount *item = &m->items[i];

        switch (item->spec->type) {
        case RUN_MOUNT_BIND:
            r = open_bind(m, item, err);
            add_tree(m, item);
            break;
        case RUN_MOUNT_CACHE:
            r = open_cache(m, item, err);
            add_tree(m, item);
            break;
        case RUN_MOUNT_TMPFS:
            m->specs[m->spec_count++] = (struct sandbox_mount){.kind = SANDBOX_MOUNT_TMPFS,
                                                               .target = item->target,
                                                               .size = item->spec->size_max_bytes,
                                                               .mode = 01777};
            break;
        case RUN_MOUNT_SECRET:
            add_secret(m, item);
            break;
        case RUN_MOUNT_SSH:
            add_ssh(m, item);
            break;
        }
    }
    return r;
}

int step_mounts_points(struct step_mounts *m, const struct sandbox_mountpoint_list *list,
                       struct error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < list->count; i++) {
        for (size_t k = 0; r == 0 && k < m->count; k++)
            if (m->items[k].view != NULL && m->items[k].tree == list->items[i].tree)
                r = view_add_mountpoint(m->items[k].view, list->items[i].path,
                                        list->items[i].is_dir, err);
    }
    return r;
}

int step_mounts_serve(struct step_mounts *m, struct sandbox *box, struct error *err)
{
    const struct mount_options options = {0};
    int r = 0;

    for (size_t i = 0; r == 0 && i < m->count; i++) {
        struct step_mount *item = &m->items[i];

        if (item->view != NULL)
            r = mount_serve(item->view, sandbox_take_tree_fd(box, item->tree), &options,
                            &item->served, err);
        else if (item->agent != NULL)
            r = ssh_proxy_start(sandbox_take_socket_fd(box, item->spec_index), item->agent,
                                &item->proxy, err);
    }
    return r;
}

int step_mounts_fault(const struct step_mounts *m, struct error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < m->count; i++)
        if (m->items[i].view != NULL)
            r = view_fault(m->items[i].view, err);
    return r;
}

/* ---- finishing ---- */

struct stack { /* of a cache mount that is being kept */
    struct store *store;
    struct cache_mount_row *row;
    bool is_folded; /* the layer is all there is */
};

/* Together with the layer's row: a crash leaves both or neither. */
static int put_stack(void *context, int64_t layer, struct error *err)
{
    const struct stack *stack = context;
    struct cache_mount_row *row = stack->row;

    if (layer != 0) {
        row->layer_count = stack->is_folded ? 0 : row->layer_count;
        row->layers = mem_resize(row->layers, row->layer_count + 1, sizeof(*row->layers));
        row->layers[row->layer_count++] = layer;
    }
    return store_cache_mount_put(stack->store, row, err);
}

/* One layer of what the stack shows; unchanged bytes are shared, not copied. */
static int fold_stack(struct step_mounts *m, struct cache_mount_row *row, struct error *err)
{
    struct store *store = m->stage->build->options->store;
    auto_selections struct selections all = {0};
    const struct view_options options = {.label = "a cache mount", .allow_devices = true};
    const struct selection_request request = {.pattern = "/content"};
    const struct copy_options copy = {
        .destination = "/content", .keep_owner = true, .now_ns = m->stage->build->now_ns};
    struct stack kept = {.store = store, .row = row, .is_folded = true};
    const struct seal_options seal = {
        .mtime_max_ns = INT64_MAX, .with_row = put_stack, .context = &kept};
    auto_tree struct tree *tree = NULL;
    auto_view struct view *folded = NULL;
    struct view *stack;
    struct view_sealed sealed;
    int r = view_open(store, row->layers, row->layer_count, &options, &stack, err);

    if (r < 0)
        return r;
    tree = tree_take_view(stack, "a cache mount");
    r = selections_add(&all, tree, &request, err);
    if (r == 0)
        r = view_open(store, NULL, 0, &options, &folded, err);
    if (r == 0)
        r = copy_apply(folded, store, tree, &all, &copy, NULL, err);
    return r < 0 ? r : view_seal(folded, &seal, &sealed, err);
}

static int keep_cache(struct step_mounts *m, struct step_mount *item, struct error *err)
{
    struct store *store = m->stage->build->options->store;
    auto_cache_mount_row struct cache_mount_row row = {0};
    auto_free char *description = str_format(
        "cache mount %s from %s", item->spec->id == NULL ? "" : item->spec->id, item->target);
    struct stack kept = {.store = store, .row = &row};
    struct seal_options seal = {.mtime_max_ns = INT64_MAX, .context = &kept};
    struct view_sealed sealed;
    int r = store_cache_mount_get(store, &item->cache_id, &row, err);

    if (r < 0 && r != -ENOENT)
        return r;
    error_clear(err);
    free(row.description);
    row.description = mem_strdup(description);
    row.id = item->cache_id;
    if (row.layer_count < CACHE_STACK_MAX || !view_is_changed(item->view))
        seal.with_row = put_stack;
    r = view_seal(item->view, &seal, &sealed, err);
    if (r < 0 || seal.with_row != NULL)
        return r;
    if (sealed.layer == 0) /* what was touched is as before */
        return put_stack(&kept, 0, err);
    row.layers = mem_resize(row.layers, row.layer_count + 1, sizeof(*row.layers));
    row.layers[row.layer_count++] = sealed.layer;
    return fold_stack(m, &row, err);
}

int step_mounts_finish(struct step_mounts *m, struct error *err)
{
    int first = 0;

    for (size_t i = 0; i < m->count; i++) {
        struct step_mount *item = &m->items[i];
        int r = 0;

        mount_stop(STEAL(&item->served));
        ssh_proxy_stop(STEAL(&item->proxy));
        if (item->spec->type == RUN_MOUNT_CACHE && item->view != NULL && !item->is_temporary &&
            first == 0)
            r = keep_cache(m, item, err);
        if (r < 0)
            first = error_wrap(err, "cannot keep the cache mounted on '%s'", item->target);
    }
    return first;
}

void step_mounts_release(struct step_mounts *m)
{
    for (size_t i = 0; i < m->count; i++) {
        struct step_mount *item = &m->items[i];

        mount_stop(item->served);
        ssh_proxy_stop(item->proxy);
        view_close(item->view);
        selections_release(&item->shown);
        free(item->references.items);
        build_tree_release(&item->tree_shown);
        free(item->target);
        free(item->source);
        if (item->lock_fd >= 0)
            close(item->lock_fd);
    }
    free(m->items);
    free(m->specs);
    strv_release(&m->env);
    *m = (struct step_mounts){0};
}
