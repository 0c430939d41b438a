/* scene.h - a store, layers and a view from text, and back: what tests of the filesystem start from.
 *
 * One line is one entry of a layer: its path, what it is, its mode, then what else there is to say.
 *
 *     etc/          dir      0755  uid=33 gid=33 mtime=1000 opaque
 *     etc/hosts     file     0644  x:user.a=b "content"
 *     etc/big       file     0644  size=8589934592 "only the first bytes; the rest is a hole"
 *     etc/motd      symlink  0777  "hosts"
 *     etc/other     link     -     "etc/hosts"
 *     etc/gone      whiteout -
 *     etc/empty     opaque   -
 *     run/pipe      fifo     0600
 *     dev/null      char     0666  1:3
 *
 * Blanks between words do not matter. In quotes, \n, \" and \\ and \xNN are known. A directory that
 * is only a parent, or only made opaque, is implicit. Dumps use the same words with single blanks, sorted by path.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/str.h"
#include "fs/view.h"

struct store;

#define SCENE_LAYERS_MAX 16u

struct scene {
    struct store *store;
    int64_t layers[SCENE_LAYERS_MAX]; /* bottom first */
    size_t layer_count;
    struct view *view;           /* on top of all layers */
    struct view_options options; /* of views opened from now on */
    bool with_times;             /* dumps show mtime=… */
    struct str text;             /* the last dump */
};

/* A scene in test_dir() with one layer; NULL: none. A failure fails the test. */
struct scene scene_new(const char *layer);
/* Puts another layer on top and opens the view anew. */
void scene_add_layer(struct scene *s, const char *text);
int64_t scene_store_layer(struct scene *s, const char *text); /* into the store only */
void scene_open_view(struct scene *s); /* throws away what the old one recorded */
/* Seals the view, opens another on top of what it made, and gives the number of changes. */
size_t scene_seal(struct scene *s);
void scene_release(struct scene *s);
DEFINE_CLEANUP_VALUE(scene_release, struct scene)
#define auto_scene CLEANUP(scene_release)

/* All borrowed until the next dump. */
const char *scene_dump(struct scene *s);                      /* the tree the view shows */
const char *scene_dump_layer(struct scene *s, int64_t layer); /* what is in one layer */
const char *scene_dump_changes(struct scene *s); /* "add etc/x", "delete …", "modify … = etc/y" */

/* Short ways through the view; paths are absolute or relative to its root. They give -errno. */
uint64_t scene_ino(struct scene *s, const char *path); /* fails the test when there is none */
struct union_attr scene_attr(struct scene *s, const char *path); /* of the name itself; the same */
int scene_write(struct scene *s, const char *path, uint64_t offset, const char *text);
int scene_make(struct scene *s, const char *path, const char *content); /* a new file, 0644 */
int scene_mkdir(struct scene *s, const char *path);
int scene_symlink(struct scene *s, const char *path, const char *target);
int scene_link(struct scene *s, const char *from, const char *to);
int scene_unlink(struct scene *s, const char *path);
int scene_rmdir(struct scene *s, const char *path);
int scene_rename(struct scene *s, const char *from, const char *to, unsigned flags);
int scene_chmod(struct scene *s, const char *path, mode_t mode);
int scene_touch(struct scene *s, const char *path, int64_t mtime_ns);
/* The whole file; borrowed until the next dump or read. NULL when it cannot be read. */
const char *scene_read(struct scene *s, const char *path);
