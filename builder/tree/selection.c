/* selection.c - matching, walking and digesting the sources of a copy. */
#include <errno.h>
#include <string.h>

#include "builder/dockerfile/wildcard.h"
#include "builder/tree/selection.h"
#include "fs/base/limits.h"
#include "fs/base/pool.h"

#include "fs/base/banned.h"

static void selection_release(struct selection *s)
{
    for (size_t i = 0; i < s->count; i++) {
        tree_node_release(&s->items[i].node);
        free(s->items[i].relative);
    }
    for (size_t i = 0; i < s->parent_count; i++) {
        tree_node_release(&s->parents[i].node);
        free(s->parents[i].relative);
    }
    free(s->parents);
    free(s->items);
    free(s->path);
    *s = (struct selection){0};
}

void selections_release(struct selections *s)
{
    for (size_t i = 0; i < s->count; i++)
        selection_release(&s->items[i]);
    free(s->items);
    *s = (struct selections){0};
}

/* One walk over a source directory. */
struct walk {
    struct selections *all;
    struct selection *to;
    struct tree *tree;
    const struct selection_request *request;
    size_t root_size; /* bytes of the root's path and its slash, cut off for `relative` */
    unsigned depth;
};

static const char *relative_to(const struct walk *w, const char *path)
{
    size_t size = strlen(path);

    return path + (size < w->root_size ? size : w->root_size);
}

static struct selected *select_node(struct selection *to, struct tree_node *node,
                                    const char *relative)
{
    struct selected *s = array_add(to);

    s->node = *node;
    *node = (struct tree_node){0};
    s->relative = mem_strdup(relative);
    return s;
}

static bool is_left_out(struct walk *w, const struct tree_node *n, bool *descend)
{
    const char *relative = relative_to(w, n->path);
    bool ignored = ignore_match(w->request->ignore, n->path);
    bool excluded = ignore_match(w->request->exclude, relative);

    if (ignored)
        w->all->skipped++;
    *descend = n->meta.type == ENTRY_DIR &&
               (!ignored || ignore_may_descend(w->request->ignore, n->path)) &&
               (!excluded || ignore_may_descend(w->request->exclude, relative));
    return ignored || excluded;
}

static int walk_dir(struct walk *w, const char *path, struct error *err);

static int walk_child(struct walk *w, struct tree_node *node, struct error *err)
{
    bool descend;
    bool left_out = is_left_out(w, node, &descend);
    size_t position = w->to->count;
    auto_free char *path = NULL;
    int r;

    if (node->meta.type == ENTRY_SOCKET || (left_out && !descend))
        return 0;
    path = mem_strdup(node->path);
    select_node(w->to, node, relative_to(w, path));
    if (!descend)
        return 0;
    r = walk_dir(w, path, err);
    /* A directory that is left out comes along only as the parent of what is taken back in. */
    if (r == 0 && left_out && w->to->count == position + 1) {
        tree_node_release(&w->to->items[position].node);
        free(w->to->items[position].relative);
        w->to->items[position] = (struct selected){0};
        w->to->count--;
    }
    return r;
}

static int walk_dir(struct walk *w, const char *path, struct error *err)
{
    auto_tree_nodes struct tree_nodes children = {0};
    int r;

    if (++w->depth > LIMIT_PATH_DEPTH)
        return error_set(err, ELOOP, "'%.64s…' in %s is nested too deeply", path,
                         tree_label(w->tree));
    r = tree_list(w->tree, path, &children, err);
    for (size_t i = 0; r == 0 && i < children.count; i++)
        r = walk_child(w, &children.items[i], err);
    w->depth--;
    return r;
}

/* Adds what one matched path stands for; links in it are followed. */
static int add_match(struct selections *s, struct tree *t, const struct selection_request *request,
                     const char *path, struct error *err)
{
    auto_free char *real = NULL;
    auto_tree_node struct tree_node node = {0};
    struct selection *selection;
    struct walk w = {.all = s, .tree = t, .request = request};
    int r = tree_resolve(t, path, &real, err);

    if (r == 0)
        r = tree_stat(t, real, &node, err);
    if (r == -ENOENT || r == -ENOTDIR)
        return error_set(err, ENOENT, "\"/%s\": not found", path);
    if (r < 0)
        return r;
    if (node.meta.type != ENTRY_DIR) {
        if (ignore_match(request->exclude, path_base(path)))
            return 0;
        if (ignore_match(request->ignore, real)) {
            s->skipped++;
            return error_set(err, ENOENT, "\"/%s\": not found", path);
        }
    } else if (ignore_match(request->ignore, real) && !ignore_may_descend(request->ignore, real)) {
        s->skipped++;
        return error_set(err, ENOENT, "\"/%s\": not found", path);
    }
    selection = array_add(s);
    selection->path = mem_strdup(path);
    selection->is_dir = node.meta.type == ENTRY_DIR;
    w.to = selection;
    w.root_size = real[0] == '\0' ? 0 : strlen(real) + 1;
    select_node(selection, &node, "");
    return selection->is_dir ? walk_dir(&w, real, err) : 0;
}

/* The directory above the first component with a wildcard. */
static char *plain_prefix(const char *pattern)
{
    size_t used = 0;

    for (;;) {
        const char *slash = strchr(pattern + used, '/');
        auto_free char *head = NULL;

        if (slash == NULL)
            break;
        head = mem_strndup(pattern, (size_t)(slash - pattern));
        if (!wildcard_is_plain(head))
            break;
        used = (size_t)(slash - pattern) + 1;
    }
    return mem_strndup(pattern, used == 0 ? 0 : used - 1);
}

struct match {
    struct selections *all;
    struct tree *tree;
    const struct selection_request *request;
    struct wildcard *wildcard;
};

static int match_dir(struct match *m, const char *path, unsigned depth, struct error *err)
{
    auto_tree_nodes struct tree_nodes children = {0};
    int r = tree_list(m->tree, path, &children, err);

    if (depth > LIMIT_PATH_DEPTH)
        return error_set(err, ELOOP, "'%.64s…' in %s is nested too deeply", path,
                         tree_label(m->tree));
    for (size_t i = 0; r == 0 && i < children.count; i++) {
        const struct tree_node *child = &children.items[i];
        enum wildcard_result result = wildcard_match(m->wildcard, child->path);
        bool is_dir = child->meta.type == ENTRY_DIR;

        if (ignore_match(m->request->ignore, child->path) &&
            !(is_dir && ignore_may_descend(m->request->ignore, child->path))) {
            m->all->skipped++;
            continue;
        }
        if (result == WILDCARD_YES) {
            r = add_match(m->all, m->tree, m->request, child->path, err);
            /* A dangling link or a file left out is no match, not a missing source. */
            if (r == -ENOENT)
                r = 0;
        } else if (result == WILDCARD_BELOW && is_dir) {
            r = match_dir(m, child->path, depth + 1, err);
        }
    }
    return r;
}

/* Components in front of the pattern's first "/./". */
static size_t pivot_of(const char *pattern)
{
    const char *end = strstr(pattern, "/./");
    auto_free char *head = end == NULL ? NULL : mem_strndup(pattern, (size_t)(end - pattern));
    auto_free char *clean = head == NULL ? NULL : path_join("/", head);
    size_t count = 0;

    for (const char *at = clean; at != NULL && *at != '\0'; at++)
        count += *at == '/' && at[1] != '\0';
    return count;
}

static int add_pattern(struct selections *s, struct tree *t,
                       const struct selection_request *request, struct error *err)
{
    auto_free char *rooted = path_join("/", request->pattern); /* ".." ends at the root */
    const char *pattern = rooted + 1;
    auto_free char *prefix = NULL;
    auto_free char *real = NULL;
    __attribute__((cleanup(cleanup_wildcard_free))) struct wildcard *wildcard = NULL;
    struct match m = {.all = s, .tree = t, .request = request};
    auto_str struct str real_pattern = {0};
    int r;

    if (request->literal || wildcard_is_plain(pattern))
        return add_match(s, t, request, pattern, err);
    prefix = plain_prefix(pattern);
    r = tree_resolve(t, prefix, &real, err);
    if (r == -ENOENT || r == -ENOTDIR) {
        error_clear(err);
        return 0;
    }
    if (r < 0)
        return r;
    str_addf(&real_pattern, "%s%s%s", real, real[0] == '\0' ? "" : "/",
             pattern + strlen(prefix) + (prefix[0] == '\0' ? 0 : 1));
    r = wildcard_new(str_text(&real_pattern), request->deep, &wildcard, err);
    if (r < 0)
        return r;
    m.wildcard = wildcard;
    r = match_dir(&m, real, 0, err);
    if (r == -ENOENT || r == -ENOTDIR) {
        error_clear(err);
        return 0;
    }
    return r;
}

static struct selected *new_parent(struct selection *s)
{
    s->parents = array_grow(s->parents, s->parent_count, &s->parent_capacity, sizeof(*s->parents));
    s->parents[s->parent_count] = (struct selected){0};
    return &s->parents[s->parent_count++];
}

/* What the directories between the pivot and the source are like: they are copied as they are.
 * `relative` is where they go below the destination. */
static int add_parents(struct tree *t, struct selection *s, struct error *err)
{
    size_t skip = s->pivot;
    const char *from = s->path;

    for (; skip > 0 && *from != '\0'; skip--) {
        from += strcspn(from, "/");
        from += *from == '/';
    }
    for (const char *slash = strchr(from, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        auto_free char *path = mem_strndup(s->path, (size_t)(slash - s->path));
        auto_free char *real = NULL;
        struct selected *parent;
        int r = tree_resolve(t, path, &real, err);

        if (r < 0)
            return r;
        parent = new_parent(s);
        parent->relative = mem_strndup(from, (size_t)(slash - from));
        r = tree_stat(t, real, &parent->node, err);
        if (r < 0)
            return r;
    }
    return 0;
}

int selections_add(struct selections *s, struct tree *t, const struct selection_request *request,
                   struct error *err)
{
    size_t before = s->count;
    size_t pivot = request->deep ? pivot_of(request->pattern) : 0;
    int r = add_pattern(s, t, request, err);

    for (size_t i = before; r == 0 && i < s->count; i++) {
        s->items[i].pivot = pivot;
        r = request->deep ? add_parents(t, &s->items[i], err) : 0;
    }
    return r;
}

/* ---- digests ---- */

struct digest_job {
    struct tree *tree;
    struct selected **items;
    size_t first;
    size_t count;
};

static int digest_some(void *arg, struct error *err)
{
    struct digest_job *job = arg;

    for (size_t i = job->first; i < job->first + job->count; i++) {
        struct selected *s = job->items[i];
        int r = tree_digest(job->tree, &s->node, &s->content, err);

        if (r < 0)
            return r;
    }
    return 0;
}

struct file_list {
    struct selected **items;
    size_t count;
    size_t capacity;
    uint64_t bytes;
};

/* The files whose digest is not remembered: an unchanged context needs no thread at all. */
static void list_files(struct selections *s, struct tree *t, struct file_list *files)
{
    for (size_t i = 0; i < s->count; i++)
        for (size_t k = 0; k < s->items[i].count; k++) {
            struct selected *item = &s->items[i].items[k];

            if (item->node.meta.type != ENTRY_FILE ||
                tree_digest_known(t, &item->node, &item->content))
                continue;
            *array_add(files) = item;
            files->bytes += item->node.meta.size_bytes;
        }
}

#define JOB_FILES 64u
#define POOL_WORTH_BYTES (4u << 20) /* below, threads cost more than they bring */

int selections_digest(struct selections *s, struct tree *t, unsigned threads, struct error *err)
{
    struct file_list files = {0};
    auto_free struct digest_job *jobs = NULL;
    auto_pool struct pool *pool = NULL;
    size_t job_count;
    int r;

    list_files(s, t, &files);
    job_count = (files.count + JOB_FILES - 1) / JOB_FILES;
    jobs = mem_alloc((job_count + 1) * sizeof(*jobs));
    for (size_t i = 0; i < job_count; i++) {
        size_t left = files.count - i * JOB_FILES;

        jobs[i] = (struct digest_job){.tree = t,
                                      .items = files.items,
                                      .first = i * JOB_FILES,
                                      .count = left < JOB_FILES ? left : JOB_FILES};
    }
    if (!tree_is_host(t) || threads < 2 || files.bytes < POOL_WORTH_BYTES) {
        struct digest_job all = {.tree = t, .items = files.items, .count = files.count};

        r = digest_some(&all, err);
    } else {
        pool = pool_new(threads);
        for (size_t i = 0; i < job_count; i++)
            pool_submit(pool, digest_some, &jobs[i]);
        r = pool_wait(pool, err);
    }
    free(files.items);
    return r;
}

/* ---- the key ---- */

static void add_u64(struct str *to, uint64_t value)
{
    str_add_bytes(to, &value, sizeof(value));
}

static void add_field(struct str *to, const void *bytes, size_t size)
{
    add_u64(to, size);
    str_add_bytes(to, bytes, size);
}

/* Whatever is copied decides the result, so none is passed over. */
static void add_xattr(void *context, const char *name, const void *value, size_t size)
{
    struct str *to = context;

    add_field(to, name, strlen(name));
    add_field(to, value, size);
}

/* Every field has a fixed size or carries its size: two different entries never encode alike. */
static int encode_entry(const struct selected *s, struct tree *t, const struct selection_key *how,
                        struct str *to, struct error *err)
{
    const struct entry_meta *m = &s->node.meta;
    auto_str struct str xattrs = {0};
    int r = tree_each_xattr(t, &s->node, add_xattr, &xattrs, err);

    if (r < 0)
        return r;
    add_field(to, s->relative, strlen(s->relative));
    add_u64(to, m->type);
    add_u64(to, how->any_mode ? UINT64_MAX : m->type == ENTRY_SYMLINK ? 0777 : m->mode);
    add_u64(to, how->any_owner ? UINT64_MAX : m->uid);
    add_u64(to, how->any_owner ? UINT64_MAX : m->gid);
    add_u64(to, m->type == ENTRY_FILE ? m->size_bytes : 0);
    add_u64(to, ((uint64_t)m->rdev_major << 32) | m->rdev_minor);
    add_field(to, s->node.target == NULL ? "" : s->node.target,
              s->node.target == NULL ? 0 : strlen(s->node.target));
    add_field(to, str_text(&xattrs), xattrs.size);
    if (m->type == ENTRY_FILE)
        str_add_bytes(to, s->content.bytes, digest_size(&s->content));
    return 0;
}

#define ENCODE_FLUSH_SIZE (64u << 10)

int selections_key(struct selections *s, struct tree *t, const struct selection_key *how,
                   struct digest *out, struct error *err)
{
    auto_hasher struct hasher *hasher = hasher_new();
    auto_str struct str buffer = {0};

    add_u64(&buffer, s->count);
    for (size_t i = 0; i < s->count; i++) {
        const struct selection *one = &s->items[i];
        /* A directory is copied by its contents: its own name tells nothing. */
        const char *name = how->with_paths ? one->path : one->is_dir ? "" : path_base(one->path);

        add_field(&buffer, name, strlen(name));
        add_u64(&buffer, one->is_dir);
        add_u64(&buffer, how->with_paths ? one->pivot : 0);
        for (size_t k = 0; k < one->parent_count; k++) {
            int r = encode_entry(&one->parents[k], t, how, &buffer, err);

            if (r < 0)
                return r;
        }
        add_u64(&buffer, one->count);
        for (size_t k = 0; k < one->count; k++) {
            int r = encode_entry(&one->items[k], t, how, &buffer, err);

            if (r < 0)
                return r;
            if (buffer.size >= ENCODE_FLUSH_SIZE) {
                hasher_update(hasher, buffer.data, buffer.size);
                str_truncate(&buffer, 0);
            }
        }
    }
    hasher_update(hasher, str_text(&buffer), buffer.size);
    hasher_final(hasher, out);
    return 0;
}
