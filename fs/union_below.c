/* union_below.c - paths in the layers below one: what its hard links to other layers point to.
 *
 * They are looked at when a view is opened, for until then nobody can say how many names a file has.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/cleanup.h"
#include "fs/base/str.h"
#include "fs/union_internal.h"

#include "fs/base/banned.h"

/* -- paths -- */

/* A walk through the tree that the layers below position `below` make. */
struct walk {
    struct view *v;
    uint32_t below;
    bool follow_last;
    unsigned hops;
    struct str todo;
    struct str done;      /* "/a/b": names found, or to be made; no link among them */
    struct dir_run *here; /* runs of the directory `done`, room for one of each layer */
    uint32_t here_count;
    struct dir_run *next;
    bool is_missing; /* nothing is at `done` */
    struct lower_entry entry;
};

static void walk_release(struct walk *w)
{
    str_release(&w->todo);
    str_release(&w->done);
    free(w->here);
    free(w->next);
}
DEFINE_CLEANUP_VALUE(walk_release, struct walk)
#define auto_walk CLEANUP(walk_release)

static int begin_at_root(struct walk *w)
{
    int r = lower_root_below(w->v, w->below, w->here, &w->entry);

    str_truncate(&w->done, 0);
    w->is_missing = r == -ENOENT;
    w->here_count = r == 0 ? w->entry.run_count : 0;
    return r == -ENOENT ? 0 : r;
}

static int find(struct walk *w, const char *text, size_t size)
{
    struct run_list dirs = {.items = w->here, .count = w->here_count};

    return size > LIMIT_NAME_SIZE ? -ENOENT
                                  : lower_find_in_runs(w->v, dirs, text, size, w->next, &w->entry);
}

static void enter(struct walk *w)
{
    w->here_count = w->entry.run_count;
    memcpy(w->here, w->entry.runs, w->here_count * sizeof(*w->here));
}

/* ".." of a directory that was reached without a link: its path says which it is. */
static int go_up(struct walk *w)
{
    auto_free char *path = mem_strdup(str_text(&w->done));
    char *slash = strrchr(path, '/');
    int r;

    if (slash)
        *slash = '\0';
    r = begin_at_root(w);
    for (const char *text = path; r == 0 && *(text += strspn(text, "/")) != '\0';) {
        size_t size = strcspn(text, "/");

        r = w->is_missing ? 0 : find(w, text, size);
        if (r == -ENOENT) {
            w->is_missing = true;
            r = 0;
        } else if (r == 0 && !w->is_missing) {
            enter(w);
        }
        str_addf(&w->done, "/%.*s", (int)size, text);
        text += size;
    }
    return r;
}

/* 1: w->todo is another text now. */
static int follow(struct walk *w, const char *rest)
{
    struct str todo = {0};
    const char *target;
    size_t size;

    if (++w->hops > LIMIT_SYMLINKS)
        return -ELOOP;
    if (index_target(w->v->layers[w->entry.origin.layer], w->entry.origin.inode, &target, &size) <
        0)
        return lower_damaged(w->v, w->entry.origin.layer);
    str_addf(&todo, "%s/%s", target, rest);
    if (todo.size > (size_t)LIMIT_PATH_SIZE * 4) {
        str_release(&todo);
        return -ENAMETOOLONG;
    }
    str_release(&w->todo); /* `rest` pointed into it */
    w->todo = todo;
    if (str_text(&todo)[0] == '/') {
        int r = begin_at_root(w);

        if (r < 0)
            return r;
    }
    return 1;
}

/* One name; `rest` is what follows it, without slashes at its beginning. */
static int step(struct walk *w, const char *text, size_t size, const char *rest)
{
    struct index_inode found = {0};
    bool is_last = *rest == '\0';
    int r;

    if (size == 1 && text[0] == '.')
        return 0;
    if (size == 2 && text[0] == '.' && text[1] == '.')
        return go_up(w);
    r = w->is_missing ? -ENOENT : find(w, text, size);
    if (r == 0 && !w->entry.is_dir)
        r = lower_get(w->v, w->entry.origin, &found);
    if (r == 0 && found.meta.type == ENTRY_SYMLINK && (!is_last || w->follow_last))
        return follow(w, rest);
    if (r == 0 && !w->entry.is_dir && !is_last)
        return -ENOTDIR;
    if (r == -ENOENT)
        w->is_missing = true;
    else if (r < 0)
        return r;
    else if (w->entry.is_dir)
        enter(w);
    str_addf(&w->done, "/%.*s", (int)size, text);
    return 0;
}

int below_find(struct view *v, uint32_t below, const char *path, bool follow_last,
               struct below_found *out)
{
    auto_walk struct walk w = {.v = v, .below = below, .follow_last = follow_last};
    const char *text;
    int r;

    w.here = mem_alloc(v->layer_count * sizeof(*w.here));
    w.next = mem_alloc(v->layer_count * sizeof(*w.next));
    str_add(&w.todo, path);
    text = str_text(&w.todo);
    r = begin_at_root(&w);
    while (r >= 0 && *(text += strspn(text, "/")) != '\0') {
        size_t size = strcspn(text, "/");
        const char *rest = text + size + strspn(text + size, "/");

        r = step(&w, text, size, rest);
        text = r == 1 ? str_text(&w.todo) : rest;
    }
    if (r < 0)
        return r;
    *out = (struct below_found){
        .is_missing = w.is_missing,
        .is_dir = !w.is_missing && w.entry.is_dir,
        .origin = w.entry.origin,
    };
    if (w.done.size > 0)
        str_add(&out->path, str_text(&w.done) + 1);
    return 0;
}

/* -- hard links -- */

static int add_external(struct view *v, struct dir_run link, struct error *err)
{
    struct external e = {.link = link, .target = {.layer = NO_LAYER}};
    struct below_found found = {0};
    const char *path;
    size_t size;
    int r;

    if (index_target(v->layers[link.layer], link.inode, &path, &size) < 0)
        return error_set(err, EIO, "layer %u of '%s' is damaged", link.layer + 1, v->label);
    r = below_find(v, link.layer, path, false, &found);
    if (r == -EIO)
        return view_fault(v, err);
    if (r == 0 && !found.is_missing && !found.is_dir) {
        e.target = found.origin;
        id_map_put(&v->groups, run_key(e.target), GROUP_EXPECTED);
    }
    str_release(&found.path);
    v->externals[v->external_count++] = e;
    return 0;
}

/* Layers below are done first, so a link may lead to a link. */
int below_add_externals(struct view *v, uint32_t layer, struct error *err)
{
    const struct index *x = v->layers[layer];
    size_t count = index_special_count(x);

    if (count == 0)
        return 0;
    v->externals = mem_resize(v->externals, v->external_count + count, sizeof(*v->externals));
    for (size_t i = 0; i < count; i++) {
        struct dir_run at = {.layer = layer};
        struct index_inode found = {0};
        int r = 0;

        if (index_special_at(x, i, &at.inode) < 0 || index_get(x, at.inode, &found) < 0)
            return error_set(err, EIO, "layer %u of '%s' is damaged", layer + 1, v->label);
        if (found.flags & INDEX_EXTERNAL_LINK)
            r = add_external(v, at, err);
        if (r < 0)
            return r;
    }
    return 0;
}
