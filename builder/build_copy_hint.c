/* build_copy_hint.c - what the author may have meant by a source that is not there. */
#include <errno.h>
#include <string.h>

#include "builder/build_copy.h"

#include "fs/base/banned.h"

static bool is_left_out(const struct build_tree *tree, const char *path)
{
    return tree->ignore != NULL && ignore_match(tree->ignore, path);
}

static bool is_there(const struct build_tree *tree, const char *path)
{
    auto_tree_node struct tree_node node = {0};
    struct error ignored; /* it is not there then */

    return tree_stat(tree->tree, path, &node, &ignored) == 0;
}

/* A name in `directory` that is nearly `name`, or that name itself; NULL when nothing is. */
static char *find_near(const struct build_tree *tree, const char *directory, const char *name)
{
    auto_tree_nodes struct tree_nodes children = {0};
    auto_free const char **names = NULL;
    const char *near;
    struct error ignored; /* there is no such directory either */
    size_t count = 0;

    if (tree_list(tree->tree, directory, &children, &ignored) < 0)
        return NULL;
    names = mem_resize(NULL, children.count + 1, sizeof(*names));
    for (size_t i = 0; i < children.count; i++)
        if (!is_left_out(tree, children.items[i].path))
            names[count++] = path_base(children.items[i].path);
    near = text_suggest(name, names, count);
    return near == NULL ? NULL : mem_strdup(near);
}

/* The path with each name that is wrong replaced by the nearest one; NULL when one has none. */
static char *find_path(const struct build_tree *tree, const char *path)
{
    auto_str struct str found = {0};

    while (*path != '\0') {
        size_t size = strcspn(path, "/");
        auto_free char *name = mem_strndup(path, size);
        auto_free char *next = str_format("%s%s%s", str_text(&found), found.size ? "/" : "", name);
        auto_free char *near = NULL;

        path += size;
        path += strspn(path, "/");
        if (size > 0 && !is_there(tree, next)) {
            near = find_near(tree, str_text(&found), name);
            if (near == NULL)
                return NULL;
        }
        if (size > 0)
            str_addf(&found, "%s%s", found.size ? "/" : "", near == NULL ? name : near);
    }
    return str_take(&found);
}

int copy_hint_missing(const struct build *b, const struct build_tree *tree, const char *source,
                      struct error *err)
{
    const char *ignore_name = b->options->ignore_name;
    auto_free char *rooted = path_join("/", source);
    const char *path = rooted + 1;
    auto_free char *near = NULL;

    /* It is there, and left out: the commonest reason, and the least visible one. */
    if (is_left_out(tree, path) && is_there(tree, path))
        return error_hint(err, "it is there, but '%s' leaves it out",
                          ignore_name == NULL ? ".dockerignore" : ignore_name);
    near = find_path(tree, path);
    if (near == NULL)
        return -err->code;
    if (text_equal(near, path)) /* listed, and not there when followed */
        return error_hint(err, "'%s' is a link that leads nowhere", path);
    return error_hint(err, "did you mean '%s'?", near);
}
