/* layer_entry.c - what the names in a layer's tar mean. */
#include <errno.h>
#include <string.h>

#include "fs/base/limits.h"
#include "fs/base/str.h"
#include "fs/layer_entry.h"

#include "fs/base/banned.h"

#define WHITEOUT ".wh."
#define OPAQUE ".wh..wh..opq"
#define AUFS ".wh..wh."

enum meaning { IS_ENTRY, IS_WHITEOUT, IS_OPAQUE, IS_NOTHING };

static bool has_prefix(const char *name, size_t size, const char *prefix)
{
    return size >= strlen(prefix) && memcmp(name, prefix, strlen(prefix)) == 0;
}

/* What the path means by its names; -EINVAL when they make no sense. */
static int meaning_of(const char *path, struct error *err)
{
    const char *at = path;

    for (;;) {
        size_t size = strcspn(at, "/");
        bool is_last = at[size] == '\0';

        if (is_last && size == strlen(OPAQUE) && has_prefix(at, size, OPAQUE))
            return IS_OPAQUE;
        if (has_prefix(at, size, AUFS))
            return IS_NOTHING;
        if (has_prefix(at, size, WHITEOUT) && !is_last)
            return error_set(err, EINVAL, "'%s' lies below a whiteout", path);
        if (has_prefix(at, size, WHITEOUT) && size == strlen(WHITEOUT))
            return error_set(err, EINVAL, "the whiteout '%s' names nothing", path);
        if (is_last)
            return has_prefix(at, size, WHITEOUT) ? IS_WHITEOUT : IS_ENTRY;
        at += size + 1;
    }
}

static int add_opaque(struct index_builder *b, const char *path, struct error *err)
{
    auto_str struct str dir = {0};
    size_t size = strlen(path) - strlen(OPAQUE);

    str_add_bytes(&dir, path, size > 0 ? size - 1 : 0); /* without the slash */
    return index_builder_set_opaque(b, str_text(&dir), err);
}

static int add_whiteout(struct index_builder *b, const char *path, struct error *err)
{
    const char *name = path_base(path);
    auto_str struct str hidden = {0};

    str_add_bytes(&hidden, path, (size_t)(name - path));
    str_add(&hidden, name + strlen(WHITEOUT));
    return index_builder_add_whiteout(b, str_text(&hidden), err);
}

static int add_link(struct index_builder *b, const struct tar_entry *e, struct error *err)
{
    int r = meaning_of(e->target, err);

    if (r < 0 || r != IS_ENTRY)
        return error_set(err, EINVAL, "'%s' is a hard link to the whiteout '%s'", e->path,
                         e->target);
    return index_builder_add_link(b, e->path, e->target, err);
}

static int add_entry(struct index_builder *b, uint64_t pack, const struct tar_entry *e,
                     struct error *err)
{
    struct index_new_entry n = {
        .path = e->path,
        .meta = e->meta,
        .target = e->target,
        .xattrs = e->xattrs,
        .xattr_count = e->xattr_count,
        .extent_count = e->extent_count,
    };
    struct extent one;
    auto_free struct extent *many = NULL;

    if (e->extent_count == 1) {
        one = e->extents[0];
        one.pack = pack;
        n.extents = &one;
    } else if (e->extent_count > 1) { /* a sparse file */
        many = mem_dup(e->extents, e->extent_count * sizeof(*many));
        for (size_t i = 0; i < e->extent_count; i++)
            many[i].pack = pack;
        n.extents = many;
    }
    return index_builder_add(b, &n, err);
}

int layer_add_tar_entry(struct index_builder *b, uint64_t pack, const struct tar_entry *e,
                        struct error *err)
{
    int r = meaning_of(e->path, err);

    if (r < 0)
        return r;
    switch ((enum meaning)r) {
    case IS_NOTHING:
        return 0;
    case IS_OPAQUE:
        return add_opaque(b, e->path, err);
    case IS_WHITEOUT:
        return add_whiteout(b, e->path, err);
    case IS_ENTRY:
    default:
        return e->is_hard_link ? add_link(b, e, err) : add_entry(b, pack, e, err);
    }
}
