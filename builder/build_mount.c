/* build_mount.c - opens, serves and finishes the mounts of one RUN. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder/build_cache_mount.h"
#include "builder/build_context.h"
#include "builder/build_copy.h"
#include "builder/build_mount.h"
#include "builder/cache_remote.h"
#include "builder/ssh.h"
#include "builder/tree/copy.h"
#include "builder/tree/listing.h"
#include "builder/tree/selection.h"
#include "fs/mount.h"
#include "fs/store.h"
#include "fs/view.h"

#include "fs/base/banned.h"

static char *target_of(const struct build_stage *s, const struct run_mount *spec)
{
    if (spec->target != NULL)
        return path_join(config_working_dir(s->state.config), spec->target);
    if (spec->type == RUN_MOUNT_SECRET)
        return path_join("/run/secrets", spec->id);
    if (spec->type == RUN_MOUNT_SSH)
        return NULL;
    return path_join("/", config_working_dir(s->state.config));
}

int step_mount_fail(const struct step_mounts *m, const struct run_mount *spec, const char *key,
                    struct error *err)
{
    return spec == &m->script_mount
               ? -err->code
               : dockerfile_locate_mount(m->stage->build->df, m->in, spec, key, err);
}

static int check(const struct step_mounts *m, const struct step_mount *item, struct error *err)
{
    if (item->target == NULL || strcmp(item->target, "/") != 0)
        return 0;
    error_set(err, EINVAL, "invalid mount target \"/\"");
    if (item->spec->target == NULL)
        (void)error_hint(err,
                         "it names no target=, so it would be on the working directory; fields "
                         "are separated by commas"); /* and where */
    return step_mount_fail(m, item->spec, "target", err);
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

int step_mount_select(const struct step_mounts *m, const struct run_mount *spec,
                      struct build_tree *tree, struct selections *out, struct error *err)
{
    struct selection_request request = {
        .pattern = spec->source == NULL ? "." : spec->source,
        .literal = true,
    };
    struct build *b = m->stage->build;
    int r = build_tree_open(m->stage, spec->from, tree, err);

    if (r == 0)
        r = build_tree_fetch(b, tree, err);
    if (r < 0)
        return step_mount_fail(m, spec, "from", err);
    if (tree->tree == NULL)
        return 1;
    request.ignore = tree->ignore;
    r = selections_add(out, tree->tree, &request, err);
    if (r == -ENOENT)
        (void)copy_hint_missing(b, tree, request.pattern, err); /* the code stays */
    if (r == 0)
        r = selections_digest(out, tree->tree, 2, err);
    return r < 0 ? step_mount_fail(m, spec, "source", err) : 0;
}

static int from_state(const struct step_mounts *m, const struct run_mount *spec,
                      struct stage_state *owned, const struct stage_state **out, struct error *err)
{
    struct build_stage *s = m->stage;
    int position = build_stage_find(s->build, spec->from, s->position);
    struct context *c;
    int r;

    if (position >= 0) {
        *out = &s->build->stages[position].state;
        return 0;
    }
    *out = owned;
    c = context_find(s->build, spec->from, &s->platform);
    r = c != NULL ? context_state(s, c, owned, err)
                  : build_image_state(s->build, spec->from, &s->platform, owned, err);
    if (r == 0)
        return 0;
    (void)build_suggest(s, spec->from, err); /* and where */
    return step_mount_fail(m, spec, "from", err);
}

int step_mount_source_key(const struct step_mounts *m, const struct run_mount *spec,
                          struct key *key, struct error *err)
{
    auto_stage_state struct stage_state owned = {0};
    auto_selections struct selections selections = {0};
    auto_build_tree struct build_tree tree = {0};
    const struct selection_key how = {0};
    const struct stage_state *state;
    struct digest content;
    int r;

    key_text(key, "mount-source", spec->source);
    if (!is_tree(m->stage, spec->from)) {
        r = from_state(m, spec, &owned, &state, err);
        if (r == 0)
            key_digest(key, "mount-from", &state->key);
        return r;
    }
    r = step_mount_select(m, spec, &tree, &selections, err);
    if (r == 0)
        r = selections_key(&selections, tree.tree, &how, &content, err);
    if (r == 0)
        key_digest(key, "mount-content", &content);
    return r;
}

/* Finds and digests what a bind mount shows, once. 1: predicting, and it is not made yet. */
static int show(struct step_mounts *m, struct step_mount *item, struct error *err)
{
    int r;

    if (item->is_shown)
        return 0;
    r = step_mount_select(m, item->spec, &item->tree_shown, &item->shown, err);
    item->is_shown = r == 0;
    return r < 0 ? error_wrap(err, "failed to compute cache key") : r;
}

static bool is_bind(const struct step_mounts *m, const struct step_mount *item)
{
    return item->spec->type == RUN_MOUNT_BIND && item->spec != &m->script_mount;
}

static int bind_key(struct step_mounts *m, struct step_mount *item, bool by_content,
                    struct key *key, struct error *err)
{
    const struct selection_key how = {0};
    struct digest content;
    int r;

    if (!by_content && !is_tree(m->stage, item->spec->from))
        return step_mount_source_key(m, item->spec, key, err);
    key_text(key, "mount-source", item->spec->source);
    r = show(m, item, err);
    if (r == 0)
        r = selections_key(&item->shown, item->tree_shown.tree, &how, &content, err);
    if (r == 0)
        key_digest(key, "mount-content", &content);
    return r;
}

bool step_mounts_have_names(const struct step_mounts *m)
{
    for (size_t i = 0; i < m->count; i++)
        if (is_bind(m, &m->items[i]) && !is_tree(m->stage, m->items[i].spec->from))
            return true;
    return false;
}

int step_mounts_list(struct step_mounts *m, struct key *key, struct error *err)
{
    const struct selection_key how = {0};
    bool has_begun = false;
    int r = 0;

    for (size_t i = 0; r == 0 && i < m->count; i++) {
        struct step_mount *item = &m->items[i];

        if (!is_bind(m, item))
            continue;
        str_add(&key->inputs, has_begun ? "" : EXPLAIN_LISTING);
        has_begun = true;
        r = show(m, item, err);
        if (r == 0)
            r = listing_add(&item->shown, item->tree_shown.tree, &how, &key->inputs, err);
    }
    return r;
}

static void secret_key(struct step_mounts *m, struct step_mount *item, struct key *key)
{
    const struct run_mount *spec = item->spec;
    const struct build_options *options = m->stage->build->options;
    const struct build_secret *secret =
        build_secret_find(options->secrets, options->secret_count, spec->id);

    key_text(key, "mount-secret", spec->id);
    key_text(key, "mount-env", spec->env);
    key_number(key, "mount-mode", spec->mode);
    key_number(key, "mount-uid", spec->uid);
    key_number(key, "mount-gid", spec->gid);
    if (secret != NULL) {
        item->secret = secret->bytes;
        item->secret_size = secret->size;
    }
}

static void ssh_key(const struct step_mounts *m, struct step_mount *item, struct key *key)
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
}

/* Asked only of a step that is run, as BuildKit does: one that is cached needs none. */
static int check_required(const struct step_mounts *m, const struct step_mount *item,
                          struct error *err)
{
    const struct run_mount *spec = item->spec;

    if (!spec->is_required || item->secret != NULL || item->agent != NULL)
        return 0;
    if (spec->type == RUN_MOUNT_SSH) {
        error_set(err, ENOENT, "ssh agent %s: not found", spec->id);
        (void)error_hint(err, "give it with --ssh %s", spec->id); /* and where */
    } else {
        error_set(err, ENOENT, "secret %s: not found", spec->id);
        (void)error_hint(err, "give it with --secret id=%s,src=FILE", spec->id); /* and where */
    }
    return step_mount_fail(m, spec, "id", err);
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

int step_mounts_plan(struct step_mounts *m, struct build_stage *stage,
                     const struct instruction *run, struct error *err)
{
    const struct run_mounts *mounts = &run->run.mounts;
    size_t agents = 0;
    int r = 0;

    m->stage = stage;
    m->in = run;
    m->items = mem_alloc((mounts->count + 2) * sizeof(*m->items));
    if (m->script != NULL)
        add_script(m);
    for (size_t i = 0; r == 0 && i < mounts->count; i++) {
        struct step_mount *item = &m->items[m->count++]; /* behind the script's */

        item->spec = &mounts->items[i];
        item->lock_fd = -1;
        item->target = target_of(stage, item->spec);
        if (item->spec->type == RUN_MOUNT_SSH && item->target == NULL)
            item->target = str_format("/run/buildkit/ssh_agent.%zu", agents++);
        r = check(m, item, err);
    }
    return r;
}

int step_mounts_key(struct step_mounts *m, bool by_content, struct key *key, struct error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < m->count; i++) {
        struct step_mount *item = &m->items[i];

        if (item->spec == &m->script_mount)
            continue;
        key_text(key, "mount", run_mount_type_name(item->spec->type));
        key_text(key, "mount-target", item->target);
        key_number(key, "mount-read-only", item->spec->is_read_only);
        if (item->spec->type == RUN_MOUNT_BIND)
            r = bind_key(m, item, by_content, key, err);
        else if (item->spec->type == RUN_MOUNT_SECRET)
            secret_key(m, item, key);
        else if (item->spec->type == RUN_MOUNT_SSH)
            ssh_key(m, item, key);
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
    int r = show(m, item, err);

    if (r == 0 && tree_is_host(item->tree_shown.tree))
        copy.references = &item->references;
    if (r == 0)
        r = view_open(b->options->store, NULL, 0, &options, &item->view, err);
    if (r == 0)
        r = copy_apply(item->view, b->options->store, item->tree_shown.tree, &item->shown, &copy,
                       err);
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
    auto_free int64_t *here = NULL;
    const struct stage_state *state;
    struct union_attr attr;
    int r;

    if (item->spec == &m->script_mount)
        return open_script(m, item, err);
    if (is_tree(m->stage, item->spec->from))
        return open_context_bind(m, item, err);
    r = from_state(m, item->spec, &owned, &state, err);
    if (r == 0) {
        here = mem_dup(state->layers, state->layer_count * sizeof(*here)); /* others read theirs */
        r = cache_remote_bring(m->stage->build, here, state->layer_count, err);
    }
    if (r == 0)
        r = view_open(m->stage->build->options->store, here, state->layer_count, &options,
                      &item->view, err);
    if (r < 0)
        return r;
    item->source = path_join("/", item->spec->source == NULL ? "" : item->spec->source);
    r = view_resolve(item->view, item->source, true, &attr);
    if (r < 0) {
        error_set(err, -r, "failed to compute cache key: \"%s\": not found", item->source);
        return step_mount_fail(m, item->spec, "source", err);
    }
    item->is_file = !S_ISDIR(attr.mode);
    return 0;
}

static void add_shared(struct step_mounts *m, const struct step_mount *item)
{
    m->specs[m->spec_count++] = (struct sandbox_mount){
        .kind = SANDBOX_MOUNT_SHARED,
        .target = item->target,
        .read_only = item->spec->is_read_only,
        .tree = shared_cache_number(item->shared),
        .source = item->source,
    };
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

/* Below the mounts of the Dockerfile. */
static void add_volumes(struct step_mounts *m)
{
    const struct build_options *o = m->stage->build->options;

    for (size_t i = 0; i < o->volume_count; i++)
        m->specs[m->spec_count++] = (struct sandbox_mount){
            .kind = SANDBOX_MOUNT_VOLUME,
            .target = o->volumes[i].target,
            .read_only = o->volumes[i].is_read_only,
            .tree = i,
            .source_is_file = o->volumes[i].is_file,
            .has_devices = o->volumes[i].has_devices,
        };
}

int step_mounts_open(struct step_mounts *m, struct error *err)
{
    int r = 0;

    m->tree_count = 1;
    m->specs =
        mem_alloc((m->count + m->stage->build->options->volume_count + 1) * sizeof(*m->specs));
    add_volumes(m);
    for (size_t i = 0; r == 0 && i < m->count; i++)
        r = check_required(m, &m->items[i], err);
    if (r == 0)
        r = step_caches_open(m, err);
    for (size_t i = 0; r == 0 && i < m->count; i++) {
        struct step_mount *item = &m->items[i];

        switch (item->spec->type) {
        case RUN_MOUNT_BIND:
            r = open_bind(m, item, err);
            add_tree(m, item);
            break;
        case RUN_MOUNT_CACHE:
            if (item->shared != NULL)
                add_shared(m, item);
            else
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
        else if (m->items[i].shared != NULL)
            r = view_fault(shared_cache_view(m->items[i].shared), err);
    return r;
}

/* ---- finishing ---- */

int step_mounts_finish(struct step_mounts *m, struct error *err)
{
    int first = 0;

    for (size_t i = 0; i < m->count; i++) {
        struct step_mount *item = &m->items[i];
        int r = 0;

        mount_stop(STEAL(&item->served));
        ssh_proxy_stop(STEAL(&item->proxy));
        if (item->spec->type == RUN_MOUNT_CACHE && first == 0)
            r = step_cache_keep(m, item, err);
        if (r == 0 && first == 0)
            r = step_cache_release(m, item, err);
        if (r < 0)
            first = error_wrap(err, "cannot keep the cache mounted on '%s'", item->target);
    }
    return first;
}

void step_mounts_release(struct step_mounts *m)
{
    struct error ignored;

    for (size_t i = 0; i < m->count; i++) {
        struct step_mount *item = &m->items[i];

        mount_stop(item->served);
        ssh_proxy_stop(item->proxy);
        error_clear(&ignored);
        (void)step_cache_release(m, item, &ignored); /* the step failed already */
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
