/* build_copy_hint.c - what the author may have meant by a source that is not there. */
#include <errno.h>
#include <string.h>

#include "builder/build_copy.h"

#include "fs/base/banned.h"

/* It is there, and left out: the commonest reason, and the least visible one. */
static bool is_ignored(const struct copy_part *part, const char *path)
{
    auto_tree_node struct tree_node node = {0};
    struct error ignored; /* it is not there then */

    return part->tree.ignore != NULL && ignore_match(part->tree.ignore, path) &&
           tree_stat(part->tree.tree, path, &node, &ignored) == 0;
}

/* A name in the same directory that is nearly the same. */
static char *find_near(const struct copy_part *part, const char *path)
{
    const char *base = path_base(path);
    auto_free char *directory = mem_strndup(path, base == path ? 0 : (size_t)(base - path) - 1);
    auto_tree_nodes struct tree_nodes children = {0};
    auto_free const char **names = NULL;
    const char *near;
    struct error ignored; /* there is no such directory either */
    size_t count = 0;

    if (tree_list(part->tree.tree, directory, &children, &ignored) < 0)
        return NULL;
    names = mem_resize(NULL, children.count + 1, sizeof(*names));
    for (size_t i = 0; i < children.count; i++)
        if (part->tree.ignore == NULL || !ignore_match(part->tree.ignore, children.items[i].path))
            names[count++] = path_base(children.items[i].path);
    near = text_suggest(base, names, count);
    if (near == NULL)
        return NULL;
    return str_format("%s%s%s", directory, directory[0] == '\0' ? "" : "/", near);
}

int copy_hint_missing(const struct copying *c, const struct copy_part *part, const char *source,
                      struct error *err)
{
    const char *ignore_name = c->stage->build->options->ignore_name;
    auto_free char *rooted = path_join("/", source);
    const char *path = rooted + 1;
    auto_free char *near = NULL;

    if (is_ignored(part, path))
        return error_hint(err, "it is there, but '%s' leaves it out",
                          ignore_name == NULL ? ".dockerignore" : ignore_name);
    near = find_near(part, path);
    if (near == NULL)
        return -err->code;
    if (text_equal(near, path)) /* listed, and not there when followed */
        return error_hint(err, "'%s' is a link that leads nowhere", path);
    return error_hint(err, "did you mean '%s'?", near);
}
