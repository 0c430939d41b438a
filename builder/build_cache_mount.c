/* build_cache_mount.c - takes, opens, shares and keeps cache mounts. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder/build_cache_mount.h"
#include "fs/mount.h"
#include "fs/store.h"
#include "fs/view.h"

#include "fs/base/banned.h"

#define CACHE_STACK_MAX 16u /* layers of a cache before they are folded into one */
#define PRIVATE_MAX 64u     /* caches of one id that sharing=private makes before it waits */
#define LOCK_POLL_MS 50     /* a file lock gives no event to wait for together with others */
#define LOCK_SAY_MS 1000u   /* a wait this long is worth a line */
#define CONTENT "/content"  /* where in its view a cache is, so that its root has attributes too */

/* One cache that steps of this build use at the same time. */
struct shared_cache {
    struct shared_cache *next;
    struct digest id;
    unsigned number; /* of the spawner's shared tree */
    size_t user_count;
    bool is_ready; /* can be joined: served, and not being kept */
    struct view *view;
    struct mount *served;
    int lock_fd;
};

unsigned shared_cache_number(const struct shared_cache *c)
{
    return c->number;
}

const struct view *shared_cache_view(const struct shared_cache *c)
{
    return c->view;
}

/* ---- which cache ---- */

/* The `place`th private cache of an id is a cache of its own. As in peers, one that begins with
 * something is another one for each such beginning. */
static int cache_id(struct step_mounts *m, const struct step_mount *item, unsigned place,
                    struct digest *out, struct error *err)
{
    const char *namespace = build_arg(m->stage->build, "BUILDKIT_CACHE_MOUNT_NS");
    const struct run_mount *spec = item->spec;
    auto_key struct key key = {0};
    int r = 0;

    key_init(&key, "cache-mount");
    key_text(&key, "namespace", namespace);
    key_text(&key, "id", spec->id != NULL ? spec->id : item->target);
    if (spec->from != NULL)
        r = step_mount_source_key(m, spec, &key, err);
    if (place > 0)
        key_number(&key, "private", place);
    key_final(&key, out);
    return r;
}

static void say_waiting(const struct step_mounts *m, const struct step_mount *item)
{
    const char *name = item->spec->id != NULL ? item->spec->id : item->target;
    auto_free char *line =
        str_format("waiting for the cache mount '%s', which another step or build has\n", name);

    progress_log(m->stage->build->options->progress, m->vertex, 2, line, strlen(line));
}

/* `waited_ms` counts the wait for one mount of a step, from 0. */
static int wait_a_little(const struct step_mounts *m, const struct step_mount *item,
                         unsigned *waited_ms, struct error *err)
{
    const struct build *b = m->stage->build;
    struct pollfd fds[] = {{.fd = b->options->cancel_fd, .events = POLLIN},
                           {.fd = b->stop_fd, .events = POLLIN}};

    if (poll(fds, 2, LOCK_POLL_MS) > 0 || build_is_canceled(b))
        return error_set(err, ECANCELED, "canceled");
    if (*waited_ms < LOCK_SAY_MS && (*waited_ms += LOCK_POLL_MS) >= LOCK_SAY_MS)
        say_waiting(m, item);
    return 0;
}

static int lock_id(const struct step_mounts *m, const struct step_mount *item, int *fd,
                   struct error *err)
{
    unsigned waited_ms = 0;

    for (;;) {
        int r = store_cache_mount_lock(m->stage->build->options->store, &item->cache_id, true,
                                       false, fd, err);

        if (r != -EBUSY)
            return r;
        error_clear(err);
        r = wait_a_little(m, item, &waited_ms, err);
        if (r < 0)
            return r;
    }
}

/* The first cache of the id that nobody has. */
static int lock_private(struct step_mounts *m, struct step_mount *item, struct error *err)
{
    struct build *b = m->stage->build;
    unsigned waited_ms = 0;

    for (unsigned place = 0;; place = (place + 1) % PRIVATE_MAX) {
        int r = cache_id(m, item, place, &item->cache_id, err);

        if (r == 0)
            r = store_cache_mount_lock(b->options->store, &item->cache_id, true, false,
                                       &item->lock_fd, err);
        if (r != -EBUSY)
            return r;
        error_clear(err);
        if (place == PRIVATE_MAX - 1)
            r = wait_a_little(m, item, &waited_ms, err);
        else
            r = build_is_canceled(b) ? error_set(err, ECANCELED, "canceled") : 0;
        if (r < 0)
            return r;
    }
}

/* ---- opening ---- */

/* What `from` has at `source` becomes the content of an empty cache, by reference. */
static int seed(struct step_mounts *m, const struct run_mount *spec, struct view *to,
                struct error *err)
{
    struct build *b = m->stage->build;
    auto_selections struct selections selections = {0};
    auto_build_tree struct build_tree tree = {0};
    const struct copy_options copy = {
        .destination = CONTENT, .keep_owner = true, .now_ns = b->now_ns};
    int r = step_mount_select(m, spec, &tree, &selections, err);

    if (r == 0 && !selections.items[0].is_dir)
        r = error_set(err, ENOTDIR, "a cache mount begins with a directory, and \"%s\" is none",
                      spec->source);
    return r < 0 ? r : copy_apply(to, b->options->store, tree.tree, &selections, &copy, err);
}

/* The directory of the cache that is mounted, made with the mount's owner and mode. */
static int make_dir(struct step_mounts *m, const struct step_mount *item, struct view *v,
                    struct error *err)
{
    const struct run_mount *spec = item->spec;
    const struct union_setattr set = {.set = UNION_SET_MODE, .mode = spec->mode};
    const struct union_cred owner = {.uid = spec->uid, .gid = spec->gid};
    struct union_attr attr;
    int r = view_resolve(v, item->source, true, &attr);

    if (r == 0)
        return S_ISDIR(attr.mode)
                   ? 0
                   : error_set(err, ENOTDIR, "\"%s\" of the cache mount is not a directory",
                               spec->source);
    if (r == -ENOENT)
        r = view_make_dirs(v, item->source, 0755, owner, m->stage->build->now_ns, &attr);
    if (r == 0)
        r = union_setattr(v, attr.ino, &set, &attr);
    return r < 0 ? error_set(err, -r, "cannot make a cache mount: %s", strerror(-r)) : 0;
}

/* The lock is held. */
static int open_view(struct step_mounts *m, const struct step_mount *item, struct view **out,
                     struct error *err)
{
    const struct build_options *o = m->stage->build->options;
    auto_cache_mount_row struct cache_mount_row row = {0};
    auto_view struct view *v = NULL;
    const struct view_options options = {
        .label = "a cache mount", .allow_devices = true, .squash = o->single_id};
    int r = store_cache_mount_get(o->store, &item->cache_id, &row, err);

    if (r < 0 && r != -ENOENT)
        return r;
    error_clear(err);
    r = view_open(o->store, row.layers, row.layer_count, &options, &v, err);
    if (r == 0 && row.layer_count == 0 && item->spec->from != NULL)
        r = seed(m, item->spec, v, err);
    if (r == 0)
        r = make_dir(m, item, v, err);
    if (r == 0)
        *out = STEAL(&v);
    return r;
}

/* ---- keeping ---- */

/* One layer of what the stack shows; unchanged bytes are shared, not copied. */
static int fold_stack(struct build *b, struct cache_mount_row *row, struct error *err)
{
    struct store *store = b->options->store;
    auto_selections struct selections all = {0};
    const struct view_options options = {.label = "a cache mount", .allow_devices = true};
    const struct selection_request request = {.pattern = CONTENT};
    const struct copy_options copy = {
        .destination = CONTENT, .keep_owner = true, .now_ns = b->now_ns};
    const struct seal_options seal = {.mtime_max_ns = INT64_MAX};
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
        r = copy_apply(folded, store, tree, &all, &copy, err);
    if (r == 0)
        r = view_seal(folded, &seal, &sealed, err);
    if (r == 0 && sealed.layer != 0) {
        row->layers[0] = sealed.layer;
        row->layer_count = 1;
    }
    return r;
}

static int keep(struct build *b, const struct step_mount *item, const struct digest *id,
                struct view *v, struct error *err)
{
    struct store *store = b->options->store;
    auto_cache_mount_row struct cache_mount_row row = {0};
    const struct seal_options seal = {.mtime_max_ns = INT64_MAX};
    struct view_sealed sealed;
    int r = store_cache_mount_get(store, id, &row, err);

    if (r < 0 && r != -ENOENT)
        return r;
    error_clear(err);
    r = view_seal(v, &seal, &sealed, err);
    if (r < 0)
        return r;
    free(row.description);
    row.description = str_format("cache mount %s from %s",
                                 item->spec->id == NULL ? "" : item->spec->id, item->target);
    row.id = *id;
    if (sealed.layer != 0) {
        row.layers = mem_resize(row.layers, row.layer_count + 1, sizeof(*row.layers));
        row.layers[row.layer_count++] = sealed.layer;
    }
    if (row.layer_count > CACHE_STACK_MAX)
        r = fold_stack(b, &row, err);
    return r < 0 ? r : store_cache_mount_put(store, &row, err);
}

int step_cache_keep(struct step_mounts *m, struct step_mount *item, struct error *err)
{
    if (item->view == NULL)
        return 0; /* it is shared, or shown by an earlier mount */
    return keep(m->stage->build, item, &item->cache_id, item->view, err);
}

/* ---- sharing ---- */

/* The lock is held: the cache if somebody has it, or a new one that is not ready. */
static struct shared_cache *find_or_add(struct build *b, const struct digest *id, bool *is_new)
{
    struct shared_cache *c;
    uint64_t taken = 0;

    *is_new = false;
    for (c = b->shared_caches; c != NULL; c = c->next) {
        if (digest_equal(&c->id, id))
            return c;
        taken |= 1ull << c->number;
    }
    if (taken == UINT64_MAX)
        return NULL;
    c = mem_new(struct shared_cache);
    *c = (struct shared_cache){.next = b->shared_caches, .id = *id, .lock_fd = -1};
    while ((taken & 1ull << c->number) != 0)
        c->number++;
    b->shared_caches = c;
    *is_new = true;
    return c;
}

static void remove_shared(struct build *b, struct shared_cache *c)
{
    struct shared_cache **at = &b->shared_caches;

    pthread_mutex_lock(&b->lock);
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
    mount_stop(c->served);
    view_close(c->view);
    cleanup_close_fd(&c->lock_fd);
    free(c);
}

static int serve_shared(struct step_mounts *m, const struct step_mount *item,
                        struct shared_cache *c, struct error *err)
{
    struct build *b = m->stage->build;
    const struct mount_options options = {0};
    struct spawner *sp;
    int device = -1;
    int r = lock_id(m, item, &c->lock_fd, err);

    if (r == 0)
        r = open_view(m, item, &c->view, err);
    if (r < 0)
        return r;
    sp = build_spawner(b, err);
    if (sp == NULL)
        return -err->code;
    r = spawner_share_tree(sp, c->number, &device, err);
    if (r < 0)
        return r;
    r = mount_serve(c->view, device, &options, &c->served, err);
    if (r < 0)
        spawner_unshare_tree(sp, c->number);
    return r;
}

/* Joins those that have the cache, or is the first. */
static int take_shared(struct step_mounts *m, struct step_mount *item, struct error *err)
{
    struct build *b = m->stage->build;
    struct shared_cache *c;
    bool is_new;
    int r;

    pthread_mutex_lock(&b->lock);
    /* Being opened, or kept: both come to an end, a cancelled build's too. */
    while ((c = find_or_add(b, &item->cache_id, &is_new)) == NULL || (!is_new && !c->is_ready))
        pthread_cond_wait(&b->changed, &b->lock);
    if (!is_new)
        c->user_count++;
    pthread_mutex_unlock(&b->lock);
    if (is_new) {
        r = serve_shared(m, item, c, err);
        if (r < 0) {
            remove_shared(b, c);
            return r;
        }
        pthread_mutex_lock(&b->lock);
        c->user_count = 1;
        c->is_ready = true;
        pthread_cond_broadcast(&b->changed);
        pthread_mutex_unlock(&b->lock);
    }
    item->shared = c;
    return 0;
}

static int release_shared(struct step_mounts *m, const struct step_mount *item,
                          struct shared_cache *c, struct error *err)
{
    struct build *b = m->stage->build;
    bool is_last;
    /* What a broken store left is nothing to go on from, for no user of it. */
    int r = view_fault(c->view, err);

    pthread_mutex_lock(&b->lock);
    is_last = --c->user_count == 0;
    if (is_last)
        c->is_ready = false;
    pthread_mutex_unlock(&b->lock);
    if (!is_last)
        return r;
    spawner_unshare_tree(b->spawner, c->number); /* there, or there would be no share */
    mount_stop(STEAL(&c->served));
    if (r == 0 && !build_is_canceled(b))
        r = keep(b, item, &c->id, c->view, err);
    remove_shared(b, c);
    return r;
}

int step_cache_release(struct step_mounts *m, struct step_mount *item, struct error *err)
{
    int r =
        item->shared == NULL || item->same != NULL ? 0 : release_shared(m, item, item->shared, err);

    item->shared = NULL;
    return r;
}

/* ---- all of a step ---- */

static int compare_caches(const void *a, const void *b)
{
    const struct step_mount *left = *(struct step_mount *const *)a;
    const struct step_mount *right = *(struct step_mount *const *)b;
    int order = digest_compare(&left->cache_id, &right->cache_id);

    return order != 0 ? order : left < right ? -1 : left > right;
}

/* Whether something has to be made in the cache for this mount of it: a mount point for another
 * mount of the step, or the directory that is shown. Only a view that nobody serves can take it. */
static bool needs_making(const struct step_mounts *m, const struct step_mount *item)
{
    size_t size = strlen(item->target);

    if (strcmp(item->source, CONTENT) != 0)
        return true;
    for (size_t i = 0; i < m->count; i++) {
        const char *target = m->items[i].target;

        if (target != NULL && strncmp(target, item->target, size) == 0 && target[size] == '/')
            return true;
    }
    return false;
}

static int take(struct step_mounts *m, struct step_mount *item, bool is_shared, struct error *err)
{
    int r;

    if (is_shared)
        return take_shared(m, item, err);
    if (item->spec->sharing == RUN_MOUNT_PRIVATE)
        r = lock_private(m, item, err);
    else
        r = lock_id(m, item, &item->lock_fd, err);
    return r < 0 ? r : open_view(m, item, &item->view, err);
}

/* Several mounts of one cache are one use of it; a single one that needs it alone decides. */
static int take_run(struct step_mounts *m, struct step_mount **items, size_t count,
                    struct error *err)
{
    bool is_shared = true;
    int r;

    for (size_t i = 0; i < count; i++)
        is_shared =
            is_shared && items[i]->spec->sharing == RUN_MOUNT_SHARED && !needs_making(m, items[i]);
    r = take(m, items[0], is_shared, err);
    for (size_t i = 1; r == 0 && i < count; i++) {
        items[i]->same = items[0];
        items[i]->shared = items[0]->shared;
        r = is_shared ? 0 : make_dir(m, items[i], items[0]->view, err);
    }
    return r;
}

/* Without `from`, `source` is a directory of the cache itself. */
static char *source_of(const struct run_mount *spec)
{
    auto_free char *below =
        path_join("/", spec->from != NULL || spec->source == NULL ? "" : spec->source);

    return str_format(CONTENT "%s", strcmp(below, "/") == 0 ? "" : below);
}

int step_caches_open(struct step_mounts *m, struct error *err)
{
    auto_free struct step_mount **order = mem_alloc((m->count + 1) * sizeof(struct step_mount *));
    size_t count = 0;
    size_t end;
    int r = 0;

    for (size_t i = 0; r == 0 && i < m->count; i++)
        if (m->items[i].spec->type == RUN_MOUNT_CACHE) {
            m->items[i].source = source_of(m->items[i].spec);
            r = cache_id(m, &m->items[i], 0, &m->items[i].cache_id, err);
            order[count++] = &m->items[i];
        }
    if (count > 1)
        qsort(order, count, sizeof(struct step_mount *), compare_caches);
    for (size_t i = 0; r == 0 && i < count; i = end) {
        for (end = i + 1; end < count; end++)
            if (!digest_equal(&order[i]->cache_id, &order[end]->cache_id))
                break;
        r = take_run(m, order + i, end - i, err);
    }
    return r;
}
