/* scene.c - see scene.h. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/index.h"
#include "fs/pack.h"
#include "fs/store.h"
#include "tests/lib/scene.h"
#include "tests/lib/test.h"

/* -- layers from text -- */

struct layer_maker {
    struct index_builder *builder;
    uint64_t pack;
    int fd;
    uint64_t end_bytes;
};

struct line {
    char *path;
    char kind[16];
    struct index_new_entry entry;
    struct str quoted; /* content or target */
    struct xattr xattrs[8];
    char *words[8]; /* own the text of xattrs */
    struct extent extent;
};

static void line_release(struct line *l)
{
    free(l->path);
    str_release(&l->quoted);
    for (size_t i = 0; i < 8; i++)
        free(l->words[i]);
}
DEFINE_CLEANUP_VALUE(line_release, struct line)

static const char *read_quoted(const char *text, struct str *out)
{
    str_add(out, "");
    for (text++; *text != '"'; text++) {
        unsigned value;

        if (*text == '\0' || *text == '\n')
            check_fail("no closing quote");
        if (*text != '\\') {
            str_add_char(out, *text);
            continue;
        }
        text++;
        if (*text == 'x' && sscanf(text + 1, "%2x", &value) == 1) {
            str_add_char(out, (char)value);
            text += 2;
        } else {
            str_add_char(out, (char)(*text == 'n' ? '\n' : *text));
        }
    }
    return text + 1;
}

static void read_number(const char *word, const char *key, uint64_t *out)
{
    size_t size = strlen(key);

    if (strncmp(word, key, size) == 0)
        *out = strtoull(word + size, NULL, 10);
}

static void read_word(struct line *l, const char *word)
{
    uint64_t uid = l->entry.meta.uid;
    uint64_t gid = l->entry.meta.gid;
    uint64_t mtime_ns = (uint64_t)l->entry.meta.mtime_ns;

    read_number(word, "uid=", &uid);
    read_number(word, "gid=", &gid);
    read_number(word, "mtime=", &mtime_ns);
    read_number(word, "size=", &l->entry.meta.size_bytes);
    l->entry.meta.uid = (uint32_t)uid;
    l->entry.meta.gid = (uint32_t)gid;
    l->entry.meta.mtime_ns = (int64_t)mtime_ns;
    if (strcmp(word, "opaque") == 0)
        l->entry.flags |= INDEX_OPAQUE;
    if (isdigit((unsigned char)word[0]))
        (void)sscanf(word, "%u:%u", &l->entry.meta.rdev_major, &l->entry.meta.rdev_minor);
    if (strncmp(word, "x:", 2) == 0 && strchr(word, '=')) {
        char *copy = mem_strdup(word + 2);
        char *value = strchr(copy, '=');

        *value++ = '\0';
        l->words[l->entry.xattr_count] = copy;
        l->xattrs[l->entry.xattr_count++] =
            (struct xattr){.name = copy, .value = value, .value_size = strlen(value)};
    }
}

static enum entry_type type_of(const char *kind)
{
    static const char *const names[] = {
        [ENTRY_FILE] = "file", [ENTRY_DIR] = "dir",   [ENTRY_SYMLINK] = "symlink",
        [ENTRY_FIFO] = "fifo", [ENTRY_CHAR] = "char", [ENTRY_BLOCK] = "block",
    };

    for (size_t i = ENTRY_FILE; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i] && strcmp(names[i], kind) == 0)
            return (enum entry_type)i;
    return (enum entry_type)0;
}

static const char *read_line(const char *text, struct line *l)
{
    size_t size = strcspn(text, " ");
    char mode[16] = "";
    int used = 0;

    l->path = mem_strndup(text, size);
    if (size > 1 && l->path[size - 1] == '/')
        l->path[size - 1] = '\0';
    if (strcmp(l->path, "/") == 0)
        l->path[0] = '\0';
    if (sscanf(text + size, "%15s %15s%n", l->kind, mode, &used) != 2)
        check_fail("not an entry: %s", text);
    l->entry.meta.mode = (mode_t)strtoul(mode, NULL, 8);
    l->entry.meta.type = type_of(l->kind);
    text += size + (size_t)used;
    while (*text != '\n' && *text != '\0') {
        char *word;

        if (*text == ' ') {
            text++;
            continue;
        }
        if (*text == '"') {
            text = read_quoted(text, &l->quoted);
            continue;
        }
        size = strcspn(text, " \n");
        word = mem_strndup(text, size);
        read_word(l, word);
        free(word);
        text += size;
    }
    return text + (*text == '\n');
}

static void store_content(struct layer_maker *m, struct line *l)
{
    struct index_new_entry *e = &l->entry;

    if (e->meta.size_bytes < l->quoted.size)
        e->meta.size_bytes = l->quoted.size;
    if (l->quoted.size == 0)
        return;
    check_ok(io_pwrite_full(m->fd, l->quoted.data, l->quoted.size, m->end_bytes));
    l->extent =
        (struct extent){.length = l->quoted.size, .pack = m->pack, .pack_offset = m->end_bytes};
    m->end_bytes += l->quoted.size;
    e->extents = &l->extent;
    e->extent_count = 1;
}

static const char *add_line(struct layer_maker *m, const char *text)
{
    __attribute__((cleanup(cleanup_line_release))) struct line l = {0};
    struct index_new_entry *e = &l.entry;

    text = read_line(text, &l);
    e->path = l.path;
    e->xattrs = l.xattrs;
    if (strcmp(l.kind, "whiteout") == 0) {
        check_ok(index_builder_add_whiteout(m->builder, l.path, &test_err));
        return text;
    }
    if (strcmp(l.kind, "opaque") == 0) {
        check_ok(index_builder_set_opaque(m->builder, l.path, &test_err));
        return text;
    }
    if (strcmp(l.kind, "link") == 0) {
        check_ok(index_builder_add_link(m->builder, l.path, str_text(&l.quoted), &test_err));
        return text;
    }
    if (e->meta.type == 0)
        check_fail("'%s' is not a kind of entry", l.kind);
    if (e->meta.type == ENTRY_SYMLINK) {
        e->target = str_text(&l.quoted);
        e->meta.size_bytes = l.quoted.size;
    }
    if (e->meta.type == ENTRY_FILE)
        store_content(m, &l);
    check_ok(index_builder_add(m->builder, e, &test_err));
    return text;
}

int64_t scene_store_layer(struct scene *s, const char *text)
{
    struct layer_maker m = {.builder = index_builder_new(), .fd = -1};
    struct layer_row row = {.kind = LAYER_BUILT};
    int64_t layer;
    int fd = -1;

    check_ok(pack_create(s->store, &m.pack, &m.fd, &test_err));
    while (*text != '\0')
        text = add_line(&m, text);
    check_ok(store_index_create(s->store, &row.index, &fd, &test_err));
    row.entry_count = index_builder_count(m.builder);
    check_ok(index_builder_write(m.builder, fd, &test_err));
    check_ok(store_index_adopt(s->store, row.index, fd, &test_err));
    if (m.end_bytes > 0) {
        check_ok(pack_adopt(s->store, m.pack, m.fd, &test_err));
        row.pack = m.pack;
        row.data_bytes = m.end_bytes;
    }
    check_ok(store_layer_insert(s->store, &row, NULL, 0, &layer, &test_err));
    index_builder_free(m.builder);
    cleanup_close_fd(&m.fd);
    cleanup_close_fd(&fd);
    return layer;
}

/* -- the scene -- */

struct scene scene_new(const char *layer)
{
    struct scene s = {.options = {.label = "the scene"}};
    char *path = str_format("%s/store", test_dir());

    check_ok(store_open(path, NULL, &s.store, &test_err));
    free(path);
    if (layer)
        scene_add_layer(&s, layer);
    else
        scene_open_view(&s);
    return s;
}

void scene_open_view(struct scene *s)
{
    view_close(s->view);
    s->view = NULL;
    check_ok(view_open(s->store, s->layers, s->layer_count, &s->options, &s->view, &test_err));
}

void scene_add_layer(struct scene *s, const char *text)
{
    check_true(s->layer_count < SCENE_LAYERS_MAX);
    s->layers[s->layer_count] = scene_store_layer(s, text);
    s->layer_count++;
    scene_open_view(s);
}

size_t scene_seal(struct scene *s)
{
    struct view_sealed sealed;

    check_ok(view_seal(s->view, NULL, &sealed, &test_err));
    if (sealed.layer > 0) {
        check_true(s->layer_count < SCENE_LAYERS_MAX);
        s->layers[s->layer_count++] = sealed.layer;
    }
    scene_open_view(s);
    return sealed.change_count;
}

void scene_release(struct scene *s)
{
    view_close(s->view);
    store_close(s->store);
    str_release(&s->text);
}

/* -- dumps -- */

struct found {
    char *name;
    uint64_t ino;
};
struct found_list {
    struct found *items;
    size_t count;
    size_t capacity;
};

static bool collect_name(void *context, const char *name, size_t size, uint64_t next,
                         const struct union_attr *attr)
{
    struct found_list *l = context;

    (void)next;
    if (!(name[0] == '.' && (size == 1 || (size == 2 && name[1] == '.'))))
        *array_add(l) = (struct found){.name = mem_strndup(name, size), .ino = attr->ino};
    return true;
}

static int compare_found(const void *a, const void *b)
{
    return strcmp(((const struct found *)a)->name, ((const struct found *)b)->name);
}

static void dump_bytes(struct str *out, const char *bytes, size_t size)
{
    str_add(out, " \"");
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)bytes[i];

        if (c == '\n')
            str_add(out, "\\n");
        else if (c == '"' || c == '\\')
            str_addf(out, "\\%c", c);
        else if (c < 32 || c > 126)
            str_addf(out, "\\x%02x", c);
        else
            str_add_char(out, (char)c);
    }
    str_add_char(out, '"');
}

static const char *kind_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return "file";
    case S_IFDIR:
        return "dir";
    case S_IFLNK:
        return "symlink";
    case S_IFIFO:
        return "fifo";
    case S_IFSOCK:
        return "socket";
    case S_IFCHR:
        return "char";
    case S_IFBLK:
        return "block";
    default:
        return "?";
    }
}

static void dump_meta(const struct scene *s, struct str *out, const char *path, mode_t mode,
                      uint32_t uid, uint32_t gid, int64_t mtime_ns, uint32_t nlink)
{
    str_addf(out, "%s%s %s %04o", path, S_ISDIR(mode) ? "/" : "", kind_of(mode), mode & 07777);
    if (uid || gid)
        str_addf(out, " uid=%u gid=%u", uid, gid);
    if (s->with_times)
        str_addf(out, " mtime=%" PRId64, mtime_ns);
    if (!S_ISDIR(mode) && nlink > 1)
        str_addf(out, " links=%u", nlink);
}

static void dump_xattrs(struct scene *s, uint64_t ino)
{
    char list[4096];
    char value[4096];
    ssize_t size = union_listxattr(s->view, ino, list, sizeof(list));

    check_ok(size);
    for (const char *name = list; name < list + size; name += strlen(name) + 1) {
        ssize_t n = union_getxattr(s->view, ino, name, value, sizeof(value));

        check_ok(n);
        str_addf(&s->text, " x:%s=%.*s", name, (int)n, value);
    }
}

/* Long content is shown as its size and a sum of its bytes. */
static void dump_content(struct scene *s, const struct union_attr *a)
{
    char buf[4096];
    uint64_t sum = 0;
    ssize_t n;

    n = union_read(s->view, a->ino, 0, buf, sizeof(buf));
    check_ok(n);
    if (a->size_bytes <= 64) {
        dump_bytes(&s->text, buf, (size_t)n);
        return;
    }
    for (uint64_t at = 0; at < a->size_bytes && at < 1u << 20; at += (uint64_t)n) {
        n = union_read(s->view, a->ino, at, buf, sizeof(buf));
        check_ok(n);
        for (ssize_t i = 0; i < n; i++)
            sum = sum * 31 + (unsigned char)buf[i];
    }
    str_addf(&s->text, " size=%" PRIu64 " sum=%016" PRIx64, a->size_bytes, sum);
}

static void dump_entry(struct scene *s, const char *path, uint64_t ino)
{
    struct union_attr a;
    const char *target;

    check_ok(union_getattr(s->view, ino, &a));
    dump_meta(s, &s->text, path, a.mode, a.uid, a.gid, a.mtime_ns, a.nlink);
    dump_xattrs(s, ino);
    if (S_ISCHR(a.mode) || S_ISBLK(a.mode))
        str_addf(&s->text, " %u:%u", a.rdev_major, a.rdev_minor);
    if (S_ISREG(a.mode))
        dump_content(s, &a);
    if (S_ISLNK(a.mode)) {
        check_ok(union_readlink(s->view, ino, &target));
        dump_bytes(&s->text, target, strlen(target));
    }
    str_add_char(&s->text, '\n');
}

static void dump_dir(struct scene *s, const char *path, uint64_t ino)
{
    struct found_list l = {0};

    check_ok(union_readdir(s->view, ino, 0, false, collect_name, &l));
    if (l.count > 0)
        qsort(l.items, l.count, sizeof(*l.items), compare_found);
    for (size_t i = 0; i < l.count; i++) {
        char *below = str_format("%s%s%s", path, *path ? "/" : "", l.items[i].name);
        struct union_attr a;

        check_ok(union_lookup(s->view, ino, l.items[i].name, &a));
        check_int(a.ino, l.items[i].ino);
        union_forget(s->view, a.ino, 1);
        dump_entry(s, below, a.ino);
        if (S_ISDIR(a.mode))
            dump_dir(s, below, a.ino);
        free(below);
        free(l.items[i].name);
    }
    free(l.items);
}

const char *scene_dump(struct scene *s)
{
    str_truncate(&s->text, 0);
    dump_dir(s, "", UNION_ROOT);
    return str_text(&s->text);
}

static void dump_index_dir(struct scene *s, const struct index *x, uint32_t dir, const char *path)
{
    struct index_dirent d;

    for (uint32_t at = 0; index_dirent_at(x, dir, at, &d) == 0; at++) {
        char *below = str_format("%s%s%.*s", path, *path ? "/" : "", (int)d.name_size, d.name);
        struct index_inode i;
        const char *target;
        size_t size;

        if (d.is_whiteout) {
            str_addf(&s->text, "%s whiteout -\n", below);
            free(below);
            continue;
        }
        check_ok(index_get(x, d.inode, &i));
        if (i.flags & INDEX_IMPLICIT)
            str_addf(&s->text, "%s/ implicit -%s", below, i.flags & INDEX_OPAQUE ? " opaque" : "");
        else if (i.flags & INDEX_EXTERNAL_LINK)
            str_addf(&s->text, "%s link -", below);
        else
            dump_meta(s, &s->text, below, entry_type_to_mode(i.meta.type) | i.meta.mode, i.meta.uid,
                      i.meta.gid, i.meta.mtime_ns, i.nlink);
        if ((i.flags & INDEX_OPAQUE) && !(i.flags & INDEX_IMPLICIT))
            str_add(&s->text, " opaque");
        if (i.meta.type == ENTRY_FILE && !(i.flags & INDEX_EXTERNAL_LINK))
            str_addf(&s->text, " size=%" PRIu64 " extents=%u", i.meta.size_bytes, i.extent_count);
        if (i.meta.type == ENTRY_SYMLINK || (i.flags & INDEX_EXTERNAL_LINK)) {
            check_ok(index_target(x, d.inode, &target, &size));
            dump_bytes(&s->text, target, size);
        }
        str_add_char(&s->text, '\n');
        if (i.meta.type == ENTRY_DIR)
            dump_index_dir(s, x, d.inode, below);
        free(below);
    }
}

const char *scene_dump_layer(struct scene *s, int64_t layer)
{
    const struct index *x;

    str_truncate(&s->text, 0);
    check_ok(store_index_get(s->store, layer, &x, &test_err));
    dump_index_dir(s, x, 0, "");
    return str_text(&s->text);
}

const char *scene_dump_changes(struct scene *s)
{
    auto_change_list struct change_list changes = {0};

    str_truncate(&s->text, 0);
    check_ok(view_changes(s->view, &changes, &test_err));
    for (size_t i = 0; i < changes.count; i++) {
        const struct change *c = &changes.items[i];
        static const char *const kinds[] = {"?", "add", "modify", "delete"};

        str_addf(&s->text, "%s /%s%s", kinds[c->kind], c->path, c->opaque ? " opaque" : "");
        if (c->link_to)
            str_addf(&s->text, " = /%s", c->link_to);
        str_add_char(&s->text, '\n');
    }
    return str_text(&s->text);
}

/* -- short ways -- */

struct union_attr scene_attr(struct scene *s, const char *path)
{
    struct union_attr a;
    int r = view_resolve(s->view, path, false, &a);

    if (r < 0)
        check_fail("cannot resolve '%s': %s", path, strerror(-r));
    union_forget(s->view, a.ino, 1);
    return a;
}

uint64_t scene_ino(struct scene *s, const char *path)
{
    return scene_attr(s, path).ino;
}

/* The directory and last name of a path; fails the test when there is no such directory. */
static uint64_t parent_of(struct scene *s, const char *path, const char **name)
{
    const char *slash = strrchr(path, '/');
    auto_free char *dir = mem_strndup(path, slash ? (size_t)(slash - path) : 0);
    struct union_attr a;
    int r = view_resolve(s->view, dir, true, &a);

    if (r < 0)
        check_fail("cannot resolve the directory of '%s': %s", path, strerror(-r));
    union_forget(s->view, a.ino, 1);
    *name = slash ? slash + 1 : path;
    return a.ino;
}

int scene_write(struct scene *s, const char *path, uint64_t offset, const char *text)
{
    ssize_t n = union_write(s->view, scene_ino(s, path), offset, text, strlen(text), false);

    return n < 0 ? (int)n : 0;
}

int scene_make(struct scene *s, const char *path, const char *content)
{
    const char *name;
    uint64_t dir = parent_of(s, path, &name);
    struct union_attr a;
    int r = union_mknod(s->view, dir, name, S_IFREG | 0644, 0, 0, (struct union_cred){0}, &a);
    ssize_t n;

    if (r < 0)
        return r;
    n = union_write(s->view, a.ino, 0, content, strlen(content), false);
    union_forget(s->view, a.ino, 1);
    return n < 0 ? (int)n : 0;
}

int scene_mkdir(struct scene *s, const char *path)
{
    const char *name;
    uint64_t dir = parent_of(s, path, &name);
    struct union_attr a;
    int r = union_mkdir(s->view, dir, name, 0755, (struct union_cred){0}, &a);

    if (r == 0)
        union_forget(s->view, a.ino, 1);
    return r;
}

int scene_symlink(struct scene *s, const char *path, const char *target)
{
    const char *name;
    uint64_t dir = parent_of(s, path, &name);
    struct union_attr a;
    int r = union_symlink(s->view, dir, name, target, (struct union_cred){0}, &a);

    if (r == 0)
        union_forget(s->view, a.ino, 1);
    return r;
}

int scene_link(struct scene *s, const char *from, const char *to)
{
    const char *name;
    uint64_t dir = parent_of(s, to, &name);
    struct union_attr a;
    int r = union_link(s->view, scene_ino(s, from), dir, name, &a);

    if (r == 0)
        union_forget(s->view, a.ino, 1);
    return r;
}

int scene_unlink(struct scene *s, const char *path)
{
    const char *name;
    uint64_t dir = parent_of(s, path, &name);

    return union_unlink(s->view, dir, name);
}

int scene_rmdir(struct scene *s, const char *path)
{
    const char *name;
    uint64_t dir = parent_of(s, path, &name);

    return union_rmdir(s->view, dir, name);
}

int scene_rename(struct scene *s, const char *from, const char *to, unsigned flags)
{
    const char *name;
    const char *new_name;
    uint64_t dir = parent_of(s, from, &name);
    uint64_t new_dir = parent_of(s, to, &new_name);

    return union_rename(s->view, dir, name, new_dir, new_name, flags);
}

int scene_chmod(struct scene *s, const char *path, mode_t mode)
{
    struct union_setattr set = {.set = UNION_SET_MODE, .mode = mode};
    struct union_attr a;

    return union_setattr(s->view, scene_ino(s, path), &set, &a);
}

int scene_touch(struct scene *s, const char *path, int64_t mtime_ns)
{
    struct union_setattr set = {.set = UNION_SET_MTIME, .mtime_ns = mtime_ns};
    struct union_attr a;

    return union_setattr(s->view, scene_ino(s, path), &set, &a);
}

const char *scene_read(struct scene *s, const char *path)
{
    str_truncate(&s->text, 0);
    return view_read_file(s->view, path, 1u << 20, &s->text) < 0 ? NULL : str_text(&s->text);
}
