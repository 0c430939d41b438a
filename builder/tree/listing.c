/* listing.c - entries of a selection as lines, and the comparison of two lists. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "builder/tree/listing.h"
#include "fs/base/hash.h"

#include "fs/base/banned.h"

static const char types[] = {
    [ENTRY_FILE] = 'f',   [ENTRY_DIR] = 'd',  [ENTRY_SYMLINK] = 'l', [ENTRY_FIFO] = 'p',
    [ENTRY_SOCKET] = 's', [ENTRY_CHAR] = 'c', [ENTRY_BLOCK] = 'b',
};

static void hash_xattr(void *context, const char *name, const void *value, size_t size)
{
    uint64_t *hash = context;

    *hash = hash64(name, strlen(name), *hash);
    *hash = hash64(value, size, *hash);
}

static uint64_t hash_content(const struct selected *s)
{
    const struct entry_meta *m = &s->node.meta;
    uint64_t hash = ((uint64_t)m->rdev_major << 32) | m->rdev_minor;

    if (m->type == ENTRY_FILE)
        memcpy(&hash, s->content.bytes, sizeof(hash));
    else if (s->node.target != NULL)
        hash = hash64(s->node.target, strlen(s->node.target), 0);
    return hash;
}

static size_t shared_size(const char *a, const char *b)
{
    size_t n = 0;

    while (a[n] != '\0' && a[n] == b[n])
        n++;
    return n;
}

/* The path as the Dockerfile's author knows it: below the source that was named. */
static char *shown_path(const struct selection *one, const struct selected *s)
{
    auto_free char *path = path_join(one->path, s->relative);
    struct str shown = {0};

    str_add_escaped(&shown, path, strlen(path));
    return str_take(&shown);
}

/* What is being written, entry by entry. */
struct listing {
    struct tree *tree;
    const struct selection_key *how;
    struct str *out;
    char *before; /* the path of the entry written last; owned */
};

static int add_entry(struct listing *l, const struct selection *one, const struct selected *s,
                     struct error *err)
{
    const struct selection_key *how = l->how;
    const struct entry_meta *m = &s->node.meta;
    bool has_mode = !how->any_mode && m->type != ENTRY_SYMLINK;
    uint64_t attributes = 0;
    char *path = shown_path(one, s);
    size_t shared = l->before == NULL ? 0 : shared_size(l->before, path);
    int r = tree_each_xattr(l->tree, &s->node, hash_xattr, &attributes, err);

    str_addf(l->out, "%c %zu %o %u %u %" PRIu64 " %" PRIx64 " %" PRIx64 " %s\n", types[m->type],
             shared, has_mode ? (unsigned)m->mode : 0, how->any_owner ? 0 : m->uid,
             how->any_owner ? 0 : m->gid, m->type == ENTRY_FILE ? m->size_bytes : 0,
             hash_content(s), attributes, path + shared);
    free(l->before);
    l->before = path;
    return r;
}

int listing_add(struct selections *s, struct tree *t, const struct selection_key *how,
                struct str *out, struct error *err)
{
    struct listing l = {.tree = t, .how = how, .out = out};
    size_t start = out->size;
    bool fits = true;
    int r = 0;

    for (size_t i = 0; r == 0 && fits && i < s->count; i++)
        for (size_t k = 0; r == 0 && fits && k < s->items[i].count; k++) {
            r = add_entry(&l, &s->items[i], &s->items[i].items[k], err);
            fits = out->size - start <= LISTING_SIZE_MAX;
        }
    if (r < 0 || !fits)
        str_truncate(out, start);
    free(l.before);
    return r;
}

/* ---- comparing ---- */

struct entry {
    char *path;
    char type;
    unsigned mode;
    unsigned uid;
    unsigned gid;
    uint64_t size;
    uint64_t content;
    uint64_t attributes;
    bool is_seen;
};

struct entries {
    struct entry *items;
    size_t count;
    size_t capacity;
};

static void entries_release(struct entries *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].path);
    free(list->items);
}
DEFINE_CLEANUP_VALUE(entries_release, struct entries)

/* One line, without its newline; false when it is none of a listing. */
static bool read_line(const char *line, size_t size, const char *before, struct entry *out)
{
    auto_free char *text = mem_strndup(line, size);
    size_t shared;
    int used = 0;

    if (sscanf(text, "%c %zu %o %u %u %" SCNu64 " %" SCNx64 " %" SCNx64 "%n", &out->type, &shared,
               &out->mode, &out->uid, &out->gid, &out->size, &out->content, &out->attributes,
               &used) != 8 ||
        text[used] != ' ' || memchr(types, out->type, sizeof(types)) == NULL ||
        shared > (before == NULL ? 0 : strlen(before)))
        return false;
    out->path = str_format("%.*s%s", (int)shared, before == NULL ? "" : before, text + used + 1);
    return true;
}

static void read_listing(const char *text, struct entries *out)
{
    while (*text != '\0') {
        size_t size = strcspn(text, "\n");
        const char *before = out->count == 0 ? NULL : out->items[out->count - 1].path;
        struct entry entry = {0};

        if (read_line(text, size, before, &entry))
            *(struct entry *)array_add(out) = entry;
        text += size + (text[size] == '\n');
    }
}

static const char *type_name(char type)
{
    switch (type) {
    case 'f':
        return "file";
    case 'd':
        return "directory";
    case 'l':
        return "link";
    default:
        return "special file";
    }
}

struct differences {
    struct strv *out;
    size_t max;
    size_t count;
};

static void add_difference(struct differences *d, char *sentence)
{
    if (d->count++ < d->max)
        strv_take(d->out, sentence);
    else
        free(sentence);
}

static void compare_entry(struct differences *d, const struct entry *a, const struct entry *b)
{
    bool same_content = a->content == b->content && a->size == b->size;
    struct str text = {0};

    if (a->type == b->type && same_content && a->mode == b->mode && a->uid == b->uid &&
        a->gid == b->gid && a->attributes == b->attributes)
        return;
    str_addf(&text, "%s: ", b->path);
    if (a->type != b->type) {
        str_addf(&text, "%s -> %s", type_name(a->type), type_name(b->type));
        add_difference(d, str_take(&text));
        return;
    }
    if (!same_content && a->type == 'f' && a->size != b->size)
        str_addf(&text, "content changed (%" PRIu64 " -> %" PRIu64 " bytes), ", a->size, b->size);
    else if (!same_content)
        str_addf(&text, "%s, ", a->type == 'l' ? "target changed" : "content changed");
    if (a->mode != b->mode)
        str_addf(&text, "mode %04o -> %04o, ", a->mode, b->mode);
    if (a->uid != b->uid || a->gid != b->gid)
        str_addf(&text, "owner %u:%u -> %u:%u, ", a->uid, a->gid, b->uid, b->gid);
    if (a->attributes != b->attributes)
        str_add(&text, "extended attributes changed, ");
    str_truncate(&text, text.size - strlen(", "));
    if (same_content && a->type == 'f')
        str_add(&text, " (content same)");
    add_difference(d, str_take(&text));
}

void listing_compare(const char *before, const char *now, size_t max, struct strv *out)
{
    __attribute__((cleanup(cleanup_entries_release))) struct entries old = {0};
    __attribute__((cleanup(cleanup_entries_release))) struct entries new = {0};
    auto_table struct table index = {0};
    struct differences d = {.out = out, .max = max};

    read_listing(before, &old);
    read_listing(now, &new);
    for (size_t i = 0; i < old.count; i++)
        table_put(&index, old.items[i].path, &old.items[i]);
    for (size_t i = 0; i < new.count; i++) {
        struct entry *was = table_get(&index, new.items[i].path);

        if (was == NULL)
            add_difference(&d, str_format("%s: new", new.items[i].path));
        else
            compare_entry(&d, was, &new.items[i]);
        if (was != NULL)
            was->is_seen = true;
    }
    for (size_t i = 0; i < old.count; i++)
        if (!old.items[i].is_seen)
            add_difference(&d, str_format("%s: gone", old.items[i].path));
    if (d.count > max)
        strv_addf(out, "and %zu more", d.count - max);
}
