/* test_view.c - opening, paths inside, mount points, and what is remembered of faults. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/store.h"
#include "tests/lib/scene.h"
#include "tests/lib/test.h"

#define BASE                                                                                       \
    "bin     symlink 0777 \"usr/bin\"\n"                                                           \
    "etc/    dir 0755 mtime=100\n"                                                                 \
    "etc/passwd file 0644 \"root:x:0:0::/:\"\n"                                                    \
    "loop    symlink 0777 \"loop\"\n"                                                              \
    "out     symlink 0777 \"../../../etc/passwd\"\n"                                               \
    "abs     symlink 0777 \"/etc\"\n"                                                              \
    "dangling symlink 0777 \"/run/x/resolv.conf\"\n"                                               \
    "usr/bin/ dir 0755\n"                                                                          \
    "usr/bin/sh file 0755 \"#!\"\n"

static int resolve(struct scene *s, const char *path, bool follow, uint64_t *ino)
{
    struct union_attr a = {0};
    int r = view_resolve(s->view, path, follow, &a);

    *ino = a.ino;
    return r;
}

TEST(view, without_layers_it_is_an_empty_root)
{
    auto_scene struct scene s = scene_new(NULL);
    struct union_attr a = scene_attr(&s, "/");

    check_text(scene_dump(&s), "");
    check_int(a.mode, S_IFDIR | 0755);
    check_int(a.mtime_ns, 0);
    check_ok(scene_make(&s, "/f", "x"));
    check_int(scene_seal(&s), 1); /* the root's time is no change */
    check_text(scene_dump(&s), "f file 0644 \"x\"\n");
}

TEST(view, a_layer_that_is_not_there_is_named)
{
    auto_scene struct scene s = scene_new(NULL);
    int64_t none = 4711;
    struct view *v = NULL;

    check_fails(view_open(s.store, &none, 1, NULL, &v, &test_err), ENOENT);
    check_true(v == NULL);
    check_contains(test_err.text, "4711");
}

/* path_resolution(7), inside the root. */
TEST(view, paths_stay_inside_the_root)
{
    auto_scene struct scene s = scene_new(BASE);
    uint64_t passwd = scene_ino(&s, "etc/passwd");
    uint64_t ino;

    check_ok(resolve(&s, "/../../etc/./passwd", true, &ino));
    check_int(ino, passwd);
    check_ok(resolve(&s, "out", true, &ino));
    check_int(ino, passwd);
    check_ok(resolve(&s, "abs/passwd", false, &ino));
    check_int(ino, passwd);
    check_ok(resolve(&s, "bin/sh", false, &ino));
    check_int(ino, scene_ino(&s, "usr/bin/sh"));
    check_ok(resolve(&s, "bin/../../etc//passwd", false, &ino));
    check_int(ino, passwd);
    check_ok(resolve(&s, "", true, &ino));
    check_int(ino, UNION_ROOT);
}

TEST(view, the_last_link_is_followed_only_if_asked)
{
    auto_scene struct scene s = scene_new(BASE);
    uint64_t ino;

    check_ok(resolve(&s, "abs", false, &ino));
    check_true(ino != scene_ino(&s, "etc"));
    check_ok(resolve(&s, "abs", true, &ino));
    check_int(ino, scene_ino(&s, "etc"));
    check_ok(resolve(&s, "abs/", false, &ino)); /* a slash asks for the directory */
    check_int(ino, scene_ino(&s, "etc"));
    check_fails(resolve(&s, "loop", true, &ino), ELOOP);
    check_fails(resolve(&s, "dangling", true, &ino), ENOENT);
    check_fails(resolve(&s, "etc/passwd/", true, &ino), ENOTDIR);
    check_fails(resolve(&s, "etc/passwd/x", true, &ino), ENOTDIR);
}

TEST(view, directories_are_made_with_their_parents)
{
    auto_scene struct scene s = scene_new(BASE);
    struct union_cred cred = {.uid = 3, .gid = 4};
    struct union_attr a;

    s.with_times = true;
    check_ok(view_make_dirs(s.view, "/bin/a/b/c", 0750, cred, 55, &a));
    check_int(a.ino, scene_ino(&s, "usr/bin/a/b/c"));
    check_int(scene_attr(&s, "usr/bin/a").mtime_ns, 55);
    check_int(scene_attr(&s, "usr/bin/a/b").mtime_ns, 55);
    check_int(a.mtime_ns, 55);
    check_int(a.mode, S_IFDIR | 0750);
    check_int(a.uid, 3);
    check_ok(view_make_dirs(s.view, "/bin/a", 0700, cred, 66, &a));
    check_int(a.mode, S_IFDIR | 0750); /* was there */
    check_fails(view_make_dirs(s.view, "etc/passwd/x", 0755, cred, 0, &a), ENOTDIR);
    check_fails(view_make_dirs(s.view, "etc/passwd", 0755, cred, 0, &a), ENOTDIR);
}

TEST(view, a_file_is_read_whole_up_to_a_limit)
{
    auto_scene struct scene s = scene_new(BASE);
    auto_str struct str text = {0};

    check_ok(view_read_file(s.view, "/out", 100, &text));
    check_text(str_text(&text), "root:x:0:0::/:");
    check_fails(view_read_file(s.view, "/etc/passwd", 13, &text), EFBIG);
    check_fails(view_read_file(s.view, "/etc", 100, &text), EISDIR);
    check_fails(view_read_file(s.view, "/etc/shadow", 100, &text), ENOENT);
}

TEST(view, a_tree_is_removed_with_everything_in_it)
{
    auto_scene struct scene s = scene_new(BASE);

    check_ok(view_remove_tree(s.view, UNION_ROOT, "usr"));
    check_ok(view_remove_tree(s.view, UNION_ROOT, "loop"));
    check_fails(view_remove_tree(s.view, UNION_ROOT, "usr"), ENOENT);
    check_text(scene_dump_changes(&s), "delete /loop\ndelete /usr\n");
}

/* -- mount points -- */

/* As every builder has it: /etc/resolv.conf, hosts and hostname are given to the step and never
 * recorded. */
TEST(view, mount_points_leave_no_trace)
{
    auto_scene struct scene s = scene_new(BASE);

    check_ok(view_add_mountpoint(s.view, "/etc/resolv.conf", false, &test_err));
    check_ok(view_add_mountpoint(s.view, "/run/secrets/deep", true, &test_err));
    check_ok(view_add_mountpoint(s.view, "/etc/passwd", false, &test_err)); /* is there */
    check_ok(view_add_mountpoint(s.view, "/usr", true, &test_err));
    check_int(scene_attr(&s, "etc").mtime_ns, 100);
    check_int(scene_attr(&s, "run/secrets/deep").mode, S_IFDIR | 0755);
    check_false(view_is_changed(s.view));
    check_text(scene_dump_changes(&s), "");
    check_ok(scene_make(&s, "etc/other", ""));
    check_text(scene_dump_changes(&s), "modify /etc\nadd /etc/other\n");
    check_int(scene_seal(&s), 2);
}

TEST(view, a_mount_point_that_the_step_uses_belongs_to_the_layer)
{
    auto_scene struct scene s = scene_new(BASE);

    check_ok(view_add_mountpoint(s.view, "/etc/resolv.conf", false, &test_err));
    check_ok(view_add_mountpoint(s.view, "/run/secrets/deep", true, &test_err));
    check_ok(scene_chmod(&s, "etc/resolv.conf", 0600));
    check_text(scene_dump_changes(&s), "add /etc/resolv.conf\n");
    check_ok(scene_make(&s, "run/secrets/mine", "x"));
    check_text(scene_dump_changes(&s), "add /etc/resolv.conf\n"
                                       "add /run\n"
                                       "add /run/secrets\n"
                                       "add /run/secrets/mine\n");
    check_ok(scene_rename(&s, "run", "moved", 0));
    check_text(scene_dump_changes(&s), "add /etc/resolv.conf\n"
                                       "add /moved\n"
                                       "add /moved/secrets\n"
                                       "add /moved/secrets/mine\n");
}

TEST(view, a_mount_point_follows_links_as_the_kernel_will)
{
    auto_scene struct scene s = scene_new(BASE);

    check_ok(view_add_mountpoint(s.view, "/dangling", false, &test_err));
    check_int(scene_attr(&s, "run/x/resolv.conf").mode, S_IFREG | 0644);
    check_fails(view_add_mountpoint(s.view, "/loop", false, &test_err), ELOOP);
    check_error(
        &test_err, ELOOP,
        "cannot make mount point '/loop' in 'the scene': Too many levels of symbolic links");
    check_fails(view_add_mountpoint(s.view, "/etc", false, &test_err), EISDIR);
    check_fails(view_add_mountpoint(s.view, "/etc/passwd", true, &test_err), ENOTDIR);
    check_error(
        &test_err, ENOTDIR,
        "cannot mount a directory on '/etc/passwd' in 'the scene', which is not a directory");
}

TEST(view, a_mount_point_on_a_whiteout_leaves_the_whiteout)
{
    auto_scene struct scene s = scene_new(BASE);

    check_ok(scene_unlink(&s, "etc/passwd"));
    check_ok(scene_touch(&s, "etc", 100));
    check_ok(view_add_mountpoint(s.view, "/etc/passwd", false, &test_err));
    check_text(scene_dump_changes(&s), "delete /etc/passwd\n");
}

/* -- damage -- */

/* Where in the index file of the only layer `text` is, for a test to break it. */
static void break_index(struct scene *s, uint64_t seed, unsigned count)
{
    struct layer_row row;
    char name[STORE_NAME_SIZE];
    struct stat st;
    uint8_t *map;
    int fd;

    check_ok(store_layer_get(s->store, s->layers[0], &row, &test_err));
    store_object_name(row.index, name);
    fd = openat(store_dir(s->store, STORE_INDEX), name, O_RDWR | O_CLOEXEC);
    check_ok(fd);
    check_ok(fstat(fd, &st));
    map = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    check_true(map != MAP_FAILED);
    for (unsigned i = 0; i < count; i++) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        map[200 + (seed >> 33) % ((uint64_t)st.st_size - 200)] ^= (uint8_t)(1u << (seed >> 60) % 8);
    }
    check_ok(munmap(map, (size_t)st.st_size));
    cleanup_close_fd(&fd);
}

static bool ignore_name(void *context, const char *name, size_t size, uint64_t next,
                        const struct union_attr *attr)
{
    uint64_t *left = context;

    (void)name;
    (void)size;
    (void)next;
    (void)attr;
    return (*left)-- > 0;
}

/* Touches all that can be reached by number; nothing may crash or go on for ever. */
static void use_everything(struct view *v)
{
    auto_change_list struct change_list changes = {0};
    struct union_setattr set = {.set = UNION_SET_UID, .uid = 1};
    struct error err = {0};
    struct union_attr a;
    char buf[64];

    for (uint64_t ino = 1; ino < 100; ino++) {
        uint64_t left = 1000;

        (void)union_readdir(v, ino, 0, true, ignore_name, &left);
        (void)union_read(v, ino, 0, buf, sizeof(buf));
        (void)union_listxattr(v, ino, buf, sizeof(buf));
        (void)union_write(v, ino, 3, "x", 1, true);
        (void)union_setattr(v, ino, &set, &a);
        (void)union_lookup(v, ino, "hosts", &a);
        (void)union_rename(v, ino, "hosts", UNION_ROOT, "moved", 0);
    }
    (void)view_remove_tree(v, UNION_ROOT, "usr");
    (void)view_changes(v, &changes, &err);
}

/* Issue 3, "Robust": a bit-flipped index is an error, not a crash. Meant for ASan and UBSan. */
TEST(view, a_damaged_index_never_crashes)
{
    auto_scene struct scene s = scene_new("etc/hosts file 0644 x:user.a=b \"some text\"\n"
                                          "etc/two   link - \"etc/hosts\"\n"
                                          "etc/link  symlink 0777 \"hosts\"\n"
                                          "etc/null  char 0666 1:3\n"
                                          "usr/a/b/c dir 0755\n"
                                          "usr/a/f   file 0600 size=9999 \"x\"\n"
                                          "usr/gone  whiteout -\n");
    size_t opened = 0;

    for (uint64_t seed = 1; seed <= 2000; seed++) {
        struct view *v = NULL;

        break_index(&s, seed, 1 + seed % 4);
        if (view_open(s.store, s.layers, 1, &s.options, &v, &test_err) == 0) {
            use_everything(v);
            view_close(v);
            opened++;
        }
        break_index(&s, seed, 1 + seed % 4); /* the same bits again: whole */
    }
    check_true(opened > 1000);
    scene_open_view(&s);
    check_text(scene_read(&s, "etc/two"), "some text");
}

TEST(view, damage_is_remembered_with_a_sentence)
{
    auto_scene struct scene s = scene_new(BASE);
    size_t faults = 0;

    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct error err = {0};

        break_index(&s, seed, 8);
        s.view = (view_close(s.view), NULL);
        if (view_open(s.store, s.layers, 1, &s.options, &s.view, &test_err) == 0) {
            use_everything(s.view);
            if (view_fault(s.view, &err) < 0) {
                check_error(&err, EIO,
                            strstr(err.text, "layer") ? "layer 1 of 'the scene' is damaged"
                                                      : err.text);
                faults++;
            }
        }
        break_index(&s, seed, 8);
    }
    check_true(faults > 0);
}

/* What a caller lends to a view: two files, the second of which cannot be read. */
static int read_lent(void *context, uint64_t number, uint64_t offset, void *buf, size_t size,
                     struct error *err)
{
    const char *text = context;

    if (number != 0 || offset + size > strlen(text))
        return error_set(err, EAGAIN, "'lent' changed");
    memcpy(buf, text + offset, size);
    return 0;
}

static void lend(struct scene *s, const char *path, uint64_t number, uint64_t size_bytes)
{
    const struct extent whole = {.length = size_bytes, .pack = VIEW_OUTSIDE + number};

    check_ok(scene_make(s, path, ""));
    check_ok(union_set_content(s->view, scene_ino(s, path), size_bytes, &whole, 1));
}

/* SECURITY R23: what is written over lent bytes stays in the view. */
TEST(view, lent_files_are_read_where_they_are_and_written_elsewhere)
{
    auto_scene struct scene s = scene_new(NULL);
    char text[] = "outside";

    s.options.outside = (struct view_outside){.read = read_lent, .context = text};
    scene_open_view(&s);
    lend(&s, "/f", 0, strlen(text));
    check_int(view_segment_size_bytes(s.view), 0);
    check_text(scene_read(&s, "/f"), "outside");
    check_ok(scene_write(&s, "/f", 0, "in"));
    check_text(scene_read(&s, "/f"), "intside");
    check_text(text, "outside");
    check_int(view_segment_size_bytes(s.view), 2);
}

TEST(view, a_lent_file_that_cannot_be_read_is_a_fault_with_its_sentence)
{
    auto_scene struct scene s = scene_new(NULL);
    char text[] = "x";

    s.options.outside = (struct view_outside){.read = read_lent, .context = text};
    scene_open_view(&s);
    lend(&s, "/g", 1, 1);
    check_true(scene_read(&s, "/g") == NULL);
    check_fails(view_fault(s.view, &test_err), EIO);
    check_text(test_err.text, "'lent' changed");
}

TEST(view, lent_files_are_in_no_layer)
{
    auto_scene struct scene s = scene_new(NULL);
    const struct seal_options options = {.mtime_max_ns = INT64_MAX};
    struct view_sealed sealed;
    char text[] = "x";

    s.options.outside = (struct view_outside){.read = read_lent, .context = text};
    scene_open_view(&s);
    lend(&s, "/f", 0, 1);
    check_fails(view_seal(s.view, &options, &sealed, &test_err), EINVAL);
    check_contains(test_err.text, "shows files that are not in the store");
}
