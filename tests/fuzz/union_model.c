/* union_model.c - decodes bytes into operations and does each to the union and to the model. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/cleanup.h"
#include "fs/layer.h"
#include "fs/store.h"
#include "tests/fuzz/union_model.h"

static size_t step_count;

const char *run_name(struct run *r)
{
    static char long_name[300];
    static const char *const names[] = {"a", "b",  "c",    "d",     "e",           "f",
                                        "g", "aa", "\xff", "b.txt", ".hidden name"};
    unsigned pick = run_below(r, 40);

    if (pick == 39)
        return ".wh.a";
    if (pick == 38 || pick == 37) {
        memset(long_name, 'n', sizeof(long_name));
        long_name[pick == 38 ? 255 : 256] = '\0';
        return long_name;
    }
    return names[pick % (sizeof(names) / sizeof(names[0]))];
}

/* -- choosing -- */

static bool is_usable(const struct mnode *n)
{
    return n->is_named || n->handles > 0;
}

/* A node that exists or is held; directories only, if wanted; the root when there is none. */
static struct mnode *pick(struct run *r, bool dir)
{
    size_t count = 0;
    size_t chosen;

    model_mark(&r->model);
    for (size_t i = 0; i < r->model.count; i++)
        count += is_usable(r->model.nodes[i]) && (!dir || S_ISDIR(r->model.nodes[i]->mode));
    chosen = (run_byte(r) * 256u + run_byte(r)) % count;
    for (size_t i = 0;; i++)
        if (is_usable(r->model.nodes[i]) && (!dir || S_ISDIR(r->model.nodes[i]->mode)) &&
            chosen-- == 0)
            return r->model.nodes[i];
}

static struct mnode *pick_file(struct run *r)
{
    struct mnode *n = r->model.root;

    for (unsigned tries = 0; tries < 4 && !S_ISREG(n->mode); tries++)
        n = pick(r, false);
    return n;
}

/* Mostly a name that is there. */
static const char *pick_name(struct run *r, const struct mnode *dir)
{
    if (dir->name_count > 0 && run_below(r, 4) > 0)
        return dir->names[run_below(r, (unsigned)dir->name_count)].text;
    return run_name(r);
}

static uint64_t pick_offset(struct run *r)
{
    switch (run_below(r, 6)) {
    case 0:
        return 0;
    case 1:
        return run_byte(r);
    case 2:
        return run_byte(r) * 256u;
    case 3:
        return run_byte(r) * 97u;
    case 4:
        return run_below(r, 16) * 4096u;
    default:
        return run_below(r, 20) * 4096u + run_below(r, 3) - 1u * (run_below(r, 2) == 9);
    }
}

static void compare(struct run *r, ssize_t is, ssize_t should)
{
    if (is != should)
        run_fail(r, "the union says %zd (%s), the model %zd (%s)", is,
                 is < 0 ? strerror((int)-is) : "ok", should,
                 should < 0 ? strerror((int)-should) : "ok");
}

/* -- references -- */

static bool depth_is_fine(const struct mnode *dir)
{
    unsigned depth = 0;

    for (; dir; dir = dir->parent)
        depth++;
    return depth < RUN_DEPTH_MAX;
}

static void gone(struct mnode *n)
{
    if (n->nlink == 0 && n->handles == 0)
        n->ino = 0;
}

/* After a call that gave a reference: keep it as a handle, or give it back. */
static void took(struct run *r, struct mnode *n, const struct union_attr *a)
{
    if (n->ino != 0 && n->ino != a->ino)
        run_fail(r, "its number was %llu and is %llu", (unsigned long long)n->ino,
                 (unsigned long long)a->ino);
    n->ino = a->ino;
    if (run_below(r, 3) == 0) {
        n->handles++;
        return;
    }
    union_forget(r->view, a->ino, 1);
    gone(n);
}

static void release_all(struct run *r)
{
    for (size_t i = 0; i < r->model.count; i++) {
        r->model.nodes[i]->handles = 0;
        r->model.nodes[i]->ino = 0;
    }
}

/* -- a listing that goes on while names change -- */

static void scan_end(struct run *r)
{
    struct scan *s = &r->scan;

    for (size_t i = 0; i < s->count; i++) {
        if (s->dir && s->dir->nlink > 0 && !s->names[i].is_touched && s->names[i].seen != 1)
            run_fail(r, "'%.20s' was listed %u times", s->names[i].text, s->names[i].seen);
        free(s->names[i].text);
    }
    s->count = 0;
    s->dir = NULL;
}

static void scan_drop(struct run *r)
{
    r->scan.dir = NULL;
    scan_end(r);
}

static void touch_name(struct run *r, const struct mnode *dir, const char *name)
{
    for (size_t i = 0; r->scan.dir == dir && i < r->scan.count; i++)
        if (strcmp(r->scan.names[i].text, name) == 0)
            r->scan.names[i].is_touched = true;
}

struct scan_step {
    struct run *r;
    unsigned left;
    bool is_full;
};

static bool scan_one(void *context, const char *name, size_t size, uint64_t next,
                     const struct union_attr *attr)
{
    struct scan_step *step = context;
    struct scan *s = &step->r->scan;

    if (step->left == 0) {
        step->is_full = true;
        return false;
    }
    step->left--;
    s->cookie = next;
    (void)attr;
    for (size_t i = 0; i < s->count; i++)
        if (strlen(s->names[i].text) == size && memcmp(s->names[i].text, name, size) == 0)
            s->names[i].seen++;
    return true;
}

static void do_scan(struct run *r)
{
    struct scan *s = &r->scan;
    struct scan_step step = {.r = r, .left = 1 + run_below(r, 5)};

    if (!s->dir) {
        s->dir = pick(r, true);
        s->cookie = 0;
        for (size_t i = 0; i < s->dir->name_count && i < 256; i++)
            s->names[s->count++] = (struct scan_name){.text = mem_strdup(s->dir->names[i].text)};
    }
    if (s->dir->nlink == 0) {
        scan_drop(r);
        return;
    }
    compare(r, union_readdir(r->view, run_ino(r, s->dir), s->cookie, false, scan_one, &step), 0);
    if (!step.is_full)
        scan_end(r);
}

/* -- names -- */

static void do_lookup(struct run *r)
{
    struct mnode *dir = pick(r, true);
    const char *name = pick_name(r, dir);
    struct mname *at = model_find(dir, name);
    struct union_attr a;
    int should = strlen(name) > 255 ? -ENAMETOOLONG : at ? 0 : -ENOENT;
    int is = union_lookup(r->view, run_ino(r, dir), name, &a);

    compare(r, is, should);
    if (is == 0)
        took(r, at->node, &a);
}

static void do_make(struct run *r)
{
    static const mode_t types[] = {S_IFREG, S_IFREG, S_IFREG,  S_IFDIR,
                                   S_IFDIR, S_IFIFO, S_IFSOCK, S_IFCHR};
    struct mnode *dir = pick(r, true);
    char *name = mem_strdup(run_below(r, 3) ? run_name(r) : pick_name(r, dir));
    mode_t mode = types[run_below(r, 8)] | (mode_t)run_byte(r);
    struct union_cred cred = {run_below(r, 3), run_below(r, 3)};
    struct union_attr a;
    struct mnode *n = NULL;
    int should;
    int is;

    if (S_ISDIR(mode) && !depth_is_fine(dir))
        mode = S_IFREG | 0600;
    touch_name(r, dir, name);
    should = model_mknod(&r->model, dir, name, mode, cred.uid, cred.gid, &n);
    if (S_ISDIR(mode))
        is = union_mkdir(r->view, run_ino(r, dir), name, mode & 07777, cred, &a);
    else
        is = union_mknod(r->view, run_ino(r, dir), name, mode, S_ISCHR(mode) ? 0 : 7, 0, cred, &a);
    free(name);
    compare(r, is, should);
    if (is == 0)
        took(r, n, &a);
}

static void do_symlink(struct run *r)
{
    struct mnode *dir = pick(r, true);
    const char *name = run_name(r);
    struct union_attr a;
    struct mnode *n = NULL;
    int should;
    int is;

    touch_name(r, dir, name);
    should = model_symlink(&r->model, dir, name, "../a", &n);
    is = union_symlink(r->view, run_ino(r, dir), name, "../a", (struct union_cred){0}, &a);
    compare(r, is, should);
    if (is == 0)
        took(r, n, &a);
}

static void do_tmpfile(struct run *r)
{
    struct mnode *dir = pick(r, true);
    struct union_attr a;
    struct mnode *n = NULL;
    int should = model_tmpfile(&r->model, dir, 0600, &n);
    int is = union_tmpfile(r->view, run_ino(r, dir), 0600, (struct union_cred){0}, &a);

    compare(r, is, should);
    if (is == 0)
        took(r, n, &a);
}

static void do_link(struct run *r)
{
    struct mnode *n = pick(r, false);
    struct mnode *dir = pick(r, true);
    const char *name = run_name(r);
    uint64_t ino = run_ino(r, n);
    struct union_attr a;
    int should;
    int is;

    touch_name(r, dir, name);
    should = model_link(n, dir, name);
    is = union_link(r->view, ino, run_ino(r, dir), name, &a);
    compare(r, is, should);
    if (is == 0)
        took(r, n, &a);
}

static void do_remove(struct run *r, unsigned how)
{
    struct mnode *dir = pick(r, true);
    char *name = mem_strdup(pick_name(r, dir));
    struct mname *at = model_find(dir, name);
    struct mnode *n = at ? at->node : NULL;
    uint64_t ino = run_ino(r, dir);
    int should;
    int is;

    touch_name(r, dir, name);
    if (how == 2 && r->scan.dir)
        scan_drop(r);
    if (how == 0) {
        should = model_unlink(dir, name);
        is = union_unlink(r->view, ino, name);
    } else if (how == 1) {
        should = model_rmdir(dir, name);
        is = union_rmdir(r->view, ino, name);
    } else {
        should = model_remove_tree(dir, name);
        is = view_remove_tree(r->view, ino, name);
        for (size_t i = 0; i < r->model.count; i++)
            gone(r->model.nodes[i]);
    }
    free(name);
    compare(r, is, should);
    if (n)
        gone(n);
}

static void do_rename(struct run *r)
{
    static const unsigned all[] = {0, 0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT};
    struct mnode *dir = pick(r, true);
    struct mnode *to = run_below(r, 2) ? dir : pick(r, true);
    char *name = mem_strdup(pick_name(r, dir));
    char *new_name = mem_strdup(run_below(r, 2) ? pick_name(r, to) : run_name(r));
    struct mname *at = model_find(to, new_name);
    struct mnode *old = at ? at->node : NULL;
    unsigned flags = all[run_below(r, 7)];
    uint64_t ino = run_ino(r, dir);
    uint64_t to_ino = run_ino(r, to);
    int should = 0;
    int is;

    at = model_find(dir, name);
    if (at && S_ISDIR(at->node->mode) && !depth_is_fine(to))
        to = dir, to_ino = ino,
        old = model_find(to, new_name) ? model_find(to, new_name)->node : NULL;
    touch_name(r, dir, name);
    touch_name(r, to, new_name);
    should = model_rename(dir, name, to, new_name, flags);
    is = union_rename(r->view, ino, name, to_ino, new_name, flags);
    (void)snprintf(r->what, sizeof(r->what), "rename %.20s to %.20s, flags %u", name, new_name,
                   flags);
    free(name);
    free(new_name);
    compare(r, is, should);
    if (old)
        gone(old);
}

static void do_forget(struct run *r)
{
    struct mnode *n = pick(r, false);

    if (n->handles == 0)
        return;
    union_forget(r->view, n->ino, 1);
    n->handles--;
    gone(n);
}

/* -- content -- */

static void do_write(struct run *r)
{
    struct mnode *n = pick_file(r);
    uint64_t offset = run_below(r, 3) ? pick_offset(r) : n->size;
    size_t size = run_below(r, 2) ? run_byte(r) : run_byte(r) * 37u;
    uint8_t *bytes;
    bool kill = run_below(r, 2) != 0;
    ssize_t is;

    if (!S_ISREG(n->mode))
        offset = 0;
    if (offset + size > MODEL_FILE_MAX)
        return;
    bytes = mem_alloc(size + 1);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(r->step + i * 7 + i / 251);
    is = union_write(r->view, run_ino(r, n), offset, bytes, size, kill);
    compare(r, is, model_write(n, offset, bytes, size, kill));
    free(bytes);
}

static void do_copy(struct run *r)
{
    struct mnode *from = pick_file(r);
    struct mnode *to = run_below(r, 3) ? pick_file(r) : from;
    uint64_t from_offset = pick_offset(r);
    uint64_t to_offset = pick_offset(r);
    uint64_t size = run_below(r, 2) ? run_byte(r) * 64u : pick_offset(r);
    uint64_t ino = run_ino(r, from);

    if (to_offset + size > MODEL_FILE_MAX)
        return;
    compare(r, union_copy_range(r->view, ino, from_offset, run_ino(r, to), to_offset, size),
            model_copy(from, from_offset, to, to_offset, size));
}

static void do_fallocate(struct run *r)
{
    static const int modes[] = {0,
                                FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_PUNCH_HOLE,
                                FALLOC_FL_ZERO_RANGE,
                                FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_COLLAPSE_RANGE,
                                FALLOC_FL_INSERT_RANGE,
                                FALLOC_FL_UNSHARE_RANGE};
    struct mnode *n = pick_file(r);
    int mode = modes[run_below(r, 10)];
    uint64_t offset = pick_offset(r);
    uint64_t length = pick_offset(r);

    if (offset + length > MODEL_FILE_MAX || n->size + length > MODEL_FILE_MAX)
        return;
    (void)snprintf(r->what, sizeof(r->what), "fallocate %x at %llu, %llu", (unsigned)mode,
                   (unsigned long long)offset, (unsigned long long)length);
    compare(r, union_fallocate(r->view, run_ino(r, n), mode, offset, length),
            model_fallocate(n, mode, offset, length));
}

/* The content of one file as extents of packs becomes that of another. */
static void do_set_content(struct run *r)
{
    struct mnode *from = pick_file(r);
    struct mnode *to = pick_file(r);
    struct extent extents[64];
    ssize_t count;
    bool is_own = false;

    if (!S_ISREG(from->mode) || !S_ISREG(to->mode))
        return;
    count = union_get_content(r->view, run_ino(r, from), extents, 64);
    if (count < 0)
        compare(r, count, 0);
    for (ssize_t i = 0; i < count && i < 64; i++)
        is_own = is_own || extents[i].pack == VIEW_SEGMENT;
    if (count > 64)
        return;
    compare(r, union_set_content(r->view, run_ino(r, to), from->size, extents, (size_t)count),
            is_own ? -EINVAL : 0);
    if (is_own)
        return;
    if (from != to) {
        (void)model_truncate(to, 0, true);
        (void)model_copy(from, 0, to, 0, from->size);
    } else {
        (void)model_truncate(to, to->size, true);
    }
}

/* What is said to be a hole reads as zeros, and holes and data take turns up to the end. */
static void do_seek(struct run *r)
{
    struct mnode *n = pick_file(r);
    uint64_t ino = run_ino(r, n);
    int64_t at = 0;

    if (!S_ISREG(n->mode))
        return;
    compare(r, union_lseek(r->view, ino, (int64_t)n->size, SEEK_DATA), -ENXIO);
    while ((uint64_t)at < n->size) {
        int64_t data = union_lseek(r->view, ino, at, SEEK_DATA);
        int64_t end = data < 0 ? (int64_t)n->size : data;

        if (data < 0 && data != -ENXIO)
            compare(r, data, 0);
        for (int64_t i = at; i < end; i++)
            if (n->bytes[i] != 0)
                run_fail(r, "byte %lld is in a hole, but is not zero", (long long)i);
        if (data < 0)
            break;
        at = union_lseek(r->view, ino, data, SEEK_HOLE);
        if (at <= data || (uint64_t)at > n->size)
            run_fail(r, "data from %lld ends at %lld", (long long)data, (long long)at);
    }
}

/* -- attributes -- */

static void do_setattr(struct run *r)
{
    struct mnode *n = pick(r, false);
    struct union_setattr s = {.mode = (mode_t)(run_byte(r) * 16u) & 07777,
                              .uid = run_below(r, 4),
                              .gid = run_below(r, 4),
                              .mtime_ns = (int64_t)run_byte(r) * 1000000007};
    unsigned what = run_below(r, 32);
    struct union_attr a;
    int should = 0;

    s.set = what & (UNION_SET_MODE | UNION_SET_UID | UNION_SET_GID);
    if (what & 8)
        s.set |= UNION_SET_MTIME;
    if (what & 16) {
        s.set |= UNION_SET_SIZE | (run_below(r, 2) ? UNION_SET_KILL_PRIV : 0);
        s.size_bytes = pick_offset(r);
        should = model_truncate(n, s.size_bytes, (s.set & UNION_SET_KILL_PRIV) != 0);
    }
    if (S_ISLNK(n->mode))
        s.set &= ~(uint32_t)UNION_SET_MODE;
    compare(r, union_setattr(r->view, run_ino(r, n), &s, &a), should);
    if (should < 0)
        return;
    if (s.set & (UNION_SET_UID | UNION_SET_GID))
        model_chown(n, s.set & UNION_SET_UID ? &s.uid : NULL,
                    s.set & UNION_SET_GID ? &s.gid : NULL);
    if (s.set & UNION_SET_MODE)
        model_chmod(n, s.mode);
    if ((s.set & UNION_SET_MTIME) && a.mtime_ns != s.mtime_ns)
        run_fail(r, "mtime was not set");
}

static void do_xattr(struct run *r)
{
    static const char *const names[] = {"user.x",      "security.capability", "user.y",
                                        "trusted.z",   "user.overlay.opaque", "system.other",
                                        "security.ima"};
    struct mnode *n = pick(r, false);
    const char *name = names[run_below(r, 7)];
    uint64_t ino = run_ino(r, n);
    char value[300];
    size_t size = run_byte(r);
    int flags = (int)run_below(r, 3);

    memset(value, (int)(r->step & 0x7f), sizeof(value));
    if (run_below(r, 3) == 0)
        compare(r, union_removexattr(r->view, ino, name), model_removexattr(n, name));
    else
        compare(r, union_setxattr(r->view, ino, name, value, size, flags),
                model_setxattr(n, name, value, size, flags));
}

/* -- sealing -- */

static void drop_sockets(struct model *m)
{
    for (size_t i = 0; i < m->count; i++)
        for (size_t k = m->nodes[i]->name_count; k-- > 0;)
            if (S_ISSOCK(m->nodes[i]->names[k].node->mode))
                model_drop(m->nodes[i], m->nodes[i]->names[k].text);
}

static void note_times(struct run *r)
{
    struct union_attr a;

    model_mark(&r->model);
    for (size_t i = 0; i < r->model.count; i++) {
        struct mnode *n = r->model.nodes[i];

        if (n->is_named && union_getattr(r->view, run_ino(r, n), &a) == 0)
            n->mtime_ns = a.mtime_ns;
    }
}

static void open_view(struct run *r)
{
    struct view_options options = {.label = "the model"};
    struct error err = {0};

    view_close(r->view);
    r->view = NULL;
    release_all(r);
    scan_drop(r);
    if (view_open(r->store, r->layers, r->layer_count, &options, &r->view, &err) < 0)
        run_fail(r, "open: %s", err.text);
}

/* The layer as tar, taken in again as if it had been pulled. */
static int64_t round_trip(struct run *r, int64_t layer)
{
    struct layer_ingest_options options = {
        .what = "round trip", .format = CODEC_NONE, .blob_size_bytes = UINT64_MAX};
    auto_reader struct reader *tar = NULL;
    auto_layer_ingest struct layer_ingest *in = NULL;
    struct error err = {0};
    int64_t taken = 0;
    char buf[32768];
    ssize_t n = 0;
    int result = layer_tar_open(r->store, layer, &tar, &err);

    if (result == 0)
        result = layer_ingest_open(r->store, &options, &in, &err);
    while (result == 0 && (n = reader_read(tar, buf, sizeof(buf), &err)) > 0)
        result = layer_ingest_write(in, buf, (size_t)n, &err);
    if (result == 0 && n == 0)
        result = layer_ingest_commit(STEAL(&in), &taken, &err);
    if (result < 0 || n < 0)
        run_fail(r, "round trip by tar: %s", err.text);
    return taken;
}

static void do_seal(struct run *r)
{
    auto_change_list struct change_list changes = {0};
    struct view_sealed sealed;
    struct error err = {0};

    if (r->layer_count == RUN_LAYERS_MAX)
        return;
    run_check_all(r, false);
    run_check_changes(r);
    note_times(r);
    if (view_seal(r->view, NULL, &sealed, &err) < 0)
        run_fail(r, "%s", err.text);
    if (sealed.layer != 0) {
        if (r->step & 1)
            sealed.layer = round_trip(r, sealed.layer);
        r->layers[r->layer_count++] = sealed.layer;
        run_note_sum(r, r->layer_count - 1);
    }
    drop_sockets(&r->model);
    open_view(r);
    run_check_all(r, true);
    if (view_changes(r->view, &changes, &err) < 0 || changes.count > 0)
        run_fail(r, "a new view has %zu changes", changes.count);
}

/* -- the run -- */

static void do_unlink(struct run *r)
{
    do_remove(r, 0);
}

static void do_rmdir(struct run *r)
{
    do_remove(r, 1);
}

static void do_remove_tree(struct run *r)
{
    if (run_below(r, 8) == 0)
        do_remove(r, 2);
}

static void do_seal_sometimes(struct run *r)
{
    if (run_below(r, 10) == 0)
        do_seal(r);
}

static const struct {
    const char *what;
    void (*run)(struct run *r);
    unsigned weight;
} operations[] = {
    {"lookup", do_lookup, 3},       {"make", do_make, 6},
    {"symlink", do_symlink, 1},     {"tmpfile", do_tmpfile, 2},
    {"link", do_link, 3},           {"unlink", do_unlink, 3},
    {"rmdir", do_rmdir, 1},         {"remove tree", do_remove_tree, 1},
    {"rename", do_rename, 6},       {"forget", do_forget, 3},
    {"write", do_write, 6},         {"copy range", do_copy, 2},
    {"setattr", do_setattr, 3},     {"fallocate", do_fallocate, 2},
    {"seek", do_seek, 1},           {"set content", do_set_content, 1},
    {"xattr", do_xattr, 2},         {"scan", do_scan, 4},
    {"seal", do_seal_sometimes, 1},
};

static void do_step(struct run *r)
{
    const size_t count = sizeof(operations) / sizeof(operations[0]);
    unsigned total = 0;
    unsigned chosen;
    size_t i = 0;

    for (size_t n = 0; n < count; n++)
        total += operations[n].weight;
    chosen = run_below(r, total);
    while (chosen >= operations[i].weight)
        chosen -= operations[i++].weight;
    (void)snprintf(r->what, sizeof(r->what), "%s", operations[i].what);
    operations[i].run(r);
}

size_t union_model_step_count(void)
{
    return step_count;
}

void union_model_run(struct store *store, const uint8_t *bytes, size_t size)
{
    struct run r = {.at = bytes, .end = bytes + size, .store = store};
    bool show_steps = getenv("SHOW_STEPS") != NULL;
    unsigned layers;

    model_init(&r.model);
    layers = run_below(&r, 7);
    for (unsigned i = 0; i < layers; i++)
        run_make_layer(&r, i == 0);
    open_view(&r);
    for (; r.at < r.end; r.step++) {
        struct mnode *n;

        do_step(&r);
        if (show_steps)
            (void)fprintf(stderr, "%zu %s\n", r.step, r.what);
        step_count++;
        n = pick(&r, false);
        (void)strncat(r.what, ", then compared", sizeof(r.what) - strlen(r.what) - 1);
        run_check_node(&r, n);
    }
    (void)snprintf(r.what, sizeof(r.what), "at the end");
    run_check_all(&r, false);
    do_seal(&r);
    run_check_sums(&r);
    view_close(r.view);
    scan_drop(&r);
    model_release(&r.model);
}

/* -- the store -- */

static struct store *the_store;
static char store_path_text[512];

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static void remove_store(void)
{
    store_close(the_store);
    (void)nftw(store_path_text, remove_one, 16, FTW_PHYS | FTW_DEPTH);
}

struct store *union_model_store(void)
{
    const char *base = getenv("TMPDIR");
    struct error err = {0};

    if (the_store)
        return the_store;
    (void)snprintf(store_path_text, sizeof(store_path_text), "%s/img-model-XXXXXX",
                   base && *base ? base : "/tmp");
    if (!mkdtemp(store_path_text) || store_open(store_path_text, NULL, &the_store, &err) < 0) {
        (void)fprintf(stderr, "cannot make a store: %s\n", err.text);
        abort();
    }
    (void)atexit(remove_store);
    return the_store;
}
