/* source_context.c - an address as a build context: a tree, or one file that is a Dockerfile. */
#include <errno.h>
#include <string.h>

#include "builder/source/source.h"
#include "builder/source/source_internal.h"
#include "builder/tree/tree.h"
#include "fs/archive.h"
#include "fs/base/limits.h"
#include "fs/view.h"

#include "fs/base/banned.h"

#define FILE_NAME "context"
#define HEAD_SIZE (1u << 20) /* enough to see what any packed archive begins with */

int source_open_tree(struct fetch *f, const struct source *s, struct tree **out, struct error *err)
{
    const struct view_options options = {.label = "the build context", .read_only = true};
    struct view *view;
    int r = view_open(f->store, &s->layer, s->layer != 0, &options, &view, err);

    if (r == 0)
        *out = tree_take_view(view, "the build context");
    return r;
}

int source_open_archive(struct fetch *f, const struct source *s, struct tree **tree,
                        struct reader **out, struct error *err)
{
    auto_tree_node struct tree_node node = {0};
    auto_reader struct reader *head = NULL;
    int r = source_open_tree(f, s, tree, err);

    if (r == 0)
        r = tree_stat(*tree, s->name, &node, err);
    if (r == 0)
        r = tree_open_reader(*tree, &node, &head, err);
    if (r < 0 || !archive_sniff_reader(head))
        return r;
    r = tree_open_reader(*tree, &node, out, err);
    return r < 0 ? r : 1;
}

/* The file that was downloaded becomes the tree it holds, if it is an archive. */
static int unpack(struct fetch *f, const char *what, struct source *s, struct error *err)
{
    auto_tree struct tree *tree = NULL;
    auto_reader struct reader *from = NULL;
    auto_source struct source archive = {0};
    int r = source_open_archive(f, s, &tree, &from, err);

    if (r <= 0)
        return r;
    r = source_archive(f, from, what, &s->content, &archive, err);
    if (r < 0)
        return r;
    archive.was_cached = archive.was_cached && s->was_cached;
    archive.mtime_ns = s->mtime_ns;
    source_release(s);
    *s = STEAL(&archive);
    return 0;
}

static int fetch_url(struct fetch *f, const char *url, struct source *out, struct error *err)
{
    const struct http_source from = {
        .url = url, .name = FILE_NAME, .text_size_max = LIMIT_DOCKERFILE_SIZE};
    auto_free char *shown = mem_strndup(url, strcspn(url, "?#"));
    int r = source_http(f, &from, out, err);

    return r < 0 ? r : unpack(f, shown, out, err);
}

static int fetch_git(struct fetch *f, const char *text, bool keep_git_dir, struct source *out,
                     struct error *err)
{
    auto_git_address struct git_address address = {0};
    int r = git_address_parse(text, &address, err);

    if (r < 0)
        return r;
    if (address.keep_git_dir == GIT_UNSET && keep_git_dir)
        address.keep_git_dir = GIT_ON;
    return source_git(f, &address, out, err);
}

int source_context(struct fetch *f, const char *address, bool keep_git_dir, struct source *out,
                   struct error *err)
{
    *out = (struct source){0};
    return git_address_is_context(address) ? fetch_git(f, address, keep_git_dir, out, err)
                                           : fetch_url(f, address, out, err);
}

/* ---- standard input ---- */

/* What was read already, then the rest. */
struct joined_reader {
    struct reader base;
    const struct str *head;
    size_t used;
    struct reader *rest;
};

static ssize_t read_joined(struct reader *r, void *buf, size_t size, struct error *err)
{
    struct joined_reader *j = (struct joined_reader *)(void *)r;
    size_t left = j->head->size - j->used;

    if (left == 0)
        return reader_read(j->rest, buf, size, err);
    if (size > left)
        size = left;
    memcpy(buf, j->head->data + j->used, size);
    j->used += size;
    return (ssize_t)size;
}

/* Adds what there is up to `size_max` bytes; 1 when there may be more. */
static int read_up_to(struct reader *from, size_t size_max, struct str *out, struct error *err)
{
    auto_free char *buffer = mem_alloc(64u << 10);

    while (out->size < size_max) {
        size_t want = size_max - out->size;
        ssize_t got = reader_read(from, buffer, want < 64u << 10 ? want : 64u << 10, err);

        if (got <= 0)
            return (int)got;
        str_add_bytes(out, buffer, (size_t)got);
    }
    return 1;
}

int source_stream(struct fetch *f, struct reader *from, struct source *out, struct str *text,
                  struct error *err)
{
    auto_str struct str head = {0};
    auto_reader struct reader *start = NULL;
    struct joined_reader joined = {.base.read = read_joined, .head = &head, .rest = from};
    int r = read_up_to(from, HEAD_SIZE, &head, err);

    *out = (struct source){0};
    if (r < 0)
        return r;
    start = memory_reader_new(str_text(&head), head.size);
    if (archive_sniff_reader(start))
        return source_archive(f, &joined.base, "standard input", NULL, out, err);
    if (r == 1)
        r = read_up_to(from, LIMIT_DOCKERFILE_SIZE + 1, &head, err);
    if (r == 1)
        return error_set(err, EFBIG,
                         "standard input is no archive, and larger than the %u MiB a "
                         "Dockerfile may have",
                         LIMIT_DOCKERFILE_SIZE >> 20);
    if (r == 0) {
        out->name = mem_strdup(FILE_NAME);
        str_add_bytes(text, str_text(&head), head.size);
    }
    return r;
}

/* ---- a file of it ---- */

int source_read_file(struct fetch *f, const struct source *s, const char *path, struct str *out,
                     struct error *err)
{
    auto_tree struct tree *tree = NULL;
    auto_free char *real = NULL;
    auto_tree_node struct tree_node node = {0};
    int r = source_open_tree(f, s, &tree, err);

    if (r == 0)
        r = tree_resolve(tree, path, &real, err);
    if (r == 0)
        r = tree_stat(tree, real, &node, err);
    if (r == 0 && node.meta.type != ENTRY_FILE)
        r = error_set(err, EINVAL, "'%s' is not a regular file", path);
    return r < 0 ? r : tree_read(tree, real, LIMIT_DOCKERFILE_SIZE, out, err);
}
