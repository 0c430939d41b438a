/* Where COPY puts things: Dockerfile reference, "COPY". A real directory, store and view. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder/tree/copy.h"
#include "builder/tree/tree.h"
#include "tests/lib/scene.h"
#include "tests/lib/test.h"

static void put(const char *path, const char *text, mode_t mode)
{
    auto_close int fd = openat(test_dir_fd(), path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    check_true(fd >= 0);
    check_int(write(fd, text, strlen(text)), strlen(text));
    check_int(fchmod(fd, mode), 0);
}

/* ctx/{f, d/{g, s -> g}} in the test's directory, beside the store. */
static void put_context(void)
{
    check_int(mkdirat(test_dir_fd(), "ctx", 0755), 0);
    check_int(mkdirat(test_dir_fd(), "ctx/d", 0750), 0);
    put("ctx/f", "F", 0640);
    put("ctx/d/g", "G", 0755);
    check_int(symlinkat("g", test_dir_fd(), "ctx/d/s"), 0);
}

static int copy(struct scene *s, const char *source, struct copy_options options)
{
    auto_free char *where = str_format("%s/ctx", test_dir());
    const struct selection_request request = {.pattern = source, .deep = options.with_parents};
    auto_copied_files struct copied_files files = {0};
    auto_selections struct selections selections = {0};
    auto_tree struct tree *t = NULL;

    options.now_ns = 1000;
    options.files = &files;
    check_ok(tree_open_host(where, NULL, &t, &test_err));
    check_ok(selections_add(&selections, t, &request, &test_err));
    check_ok(selections_digest(&selections, t, 1, &test_err));
    return copy_apply(s->view, s->store, t, &selections, &options, &test_err);
}

TEST(copy, a_file_takes_the_name_of_the_destination_or_its_own_below_a_directory)
{
    auto_scene struct scene s = scene_new("dir/ dir 0755\n");

    put_context();
    check_ok(copy(&s, "f", (struct copy_options){.destination = "/name"}));
    check_ok(copy(&s, "f", (struct copy_options){.destination = "/dir"}));
    check_ok(copy(&s, "f", (struct copy_options){.destination = "/new/"}));
    check_text(scene_dump(&s), "dir/ dir 0755\ndir/f file 0640 \"F\"\nname file 0640 \"F\"\n"
                               "new/ dir 0755\nnew/f file 0640 \"F\"\n");
}

TEST(copy, a_directory_gives_its_contents_and_a_new_one_its_mode)
{
    auto_scene struct scene s = scene_new("old/ dir 0711\n");

    put_context();
    check_ok(copy(&s, "d", (struct copy_options){.destination = "/old"}));
    check_ok(copy(&s, "d", (struct copy_options){.destination = "/new"}));
    check_text(scene_dump(&s), "new/ dir 0750\nnew/g file 0755 \"G\"\nnew/s symlink 0777 \"g\"\n"
                               "old/ dir 0711\nold/g file 0755 \"G\"\nold/s symlink 0777 \"g\"\n");
}

TEST(copy, a_file_replaces_a_link_and_never_writes_through_it)
{
    auto_scene struct scene s =
        scene_new("target file 0600 \"old\"\nname symlink 0777 \"target\"\n");

    put_context();
    check_ok(copy(&s, "f", (struct copy_options){.destination = "/name"}));
    check_text(scene_dump(&s), "name file 0640 \"F\"\ntarget file 0600 \"old\"\n");
}

TEST(copy, what_does_not_fit_is_refused_by_name)
{
    auto_scene struct scene s = scene_new("file file 0600 \"x\"\nto/f/ dir 0755\n");

    put_context();
    check_fails(copy(&s, "d", (struct copy_options){.destination = "/file"}), ENOTDIR);
    check_error(&test_err, ENOTDIR, "cannot copy to non-directory: /file");
    check_fails(copy(&s, "f", (struct copy_options){.destination = "/to/"}), EISDIR);
    check_error(&test_err, EISDIR, "cannot copy to '/to/f': it is a directory");
}

TEST(copy, owner_and_mode_of_the_flags_reach_everything_but_links_modes)
{
    struct chmod chmod;
    auto_scene struct scene s = scene_new(NULL);

    put_context();
    check_ok(chmod_parse("4711", &chmod, &test_err));
    check_ok(
        copy(&s, "d",
             (struct copy_options){
                 .destination = "/a/b", .set_owner = true, .uid = 5, .gid = 6, .chmod = &chmod}));
    check_text(scene_dump(&s), "a/ dir 0755 uid=5 gid=6\na/b/ dir 4711 uid=5 gid=6\n"
                               "a/b/g file 4711 uid=5 gid=6 \"G\"\n"
                               "a/b/s symlink 0777 uid=5 gid=6 \"g\"\n");
}

TEST(copy, parents_are_kept_from_the_pivot_on)
{
    auto_scene struct scene s = scene_new(NULL);

    put_context();
    check_ok(copy(&s, "d/g", (struct copy_options){.destination = "/a/", .with_parents = true}));
    check_ok(copy(&s, "d/./g", (struct copy_options){.destination = "/b/", .with_parents = true}));
    check_text(scene_dump(&s), "a/ dir 0755\na/d/ dir 0750\na/d/g file 0755 \"G\"\n"
                               "b/ dir 0755\nb/g file 0755 \"G\"\n");
}

/* As peers copy them: mode and time of the source's, owner and mode of the flags; one that is there
 * stays as it is. */
TEST(copy, parents_are_like_the_sources_unless_they_are_there)
{
    const struct timespec times[2] = {{.tv_sec = 7}, {.tv_sec = 7}};
    struct chmod chmod;
    auto_scene struct scene s = scene_new("there/d/ dir 0711\n");

    put_context();
    check_int(utimensat(test_dir_fd(), "ctx/d", times, 0), 0);
    check_ok(copy(&s, "d/g", (struct copy_options){.destination = "/a", .with_parents = true}));
    check_int(scene_attr(&s, "a/d").mtime_ns, 7000000000);
    check_ok(copy(&s, "d/g", (struct copy_options){.destination = "/there", .with_parents = true}));
    check_int(scene_attr(&s, "there/d").mode & 07777, 0711);
    check_ok(chmod_parse("700", &chmod, &test_err));
    check_ok(copy(&s, "d/g",
                  (struct copy_options){.destination = "/o",
                                        .with_parents = true,
                                        .set_owner = true,
                                        .uid = 5,
                                        .gid = 6,
                                        .chmod = &chmod}));
    check_int(scene_attr(&s, "o/d").mode & 07777, 0700);
    check_int(scene_attr(&s, "o/d").uid, 5);
}

TEST(copy, times_come_from_the_source_and_new_directories_have_the_builds)
{
    const struct timespec times[2] = {{.tv_sec = 7}, {.tv_sec = 7}};
    auto_scene struct scene s = scene_new(NULL);

    put_context();
    check_int(utimensat(test_dir_fd(), "ctx/d/g", times, 0), 0);
    check_int(utimensat(test_dir_fd(), "ctx/d", times, 0), 0);
    check_ok(copy(&s, "d", (struct copy_options){.destination = "/p/d"}));
    check_int(scene_attr(&s, "p/d").mtime_ns, 7000000000);
    check_int(scene_attr(&s, "p/d/g").mtime_ns, 7000000000);
    check_int(scene_attr(&s, "p").mtime_ns == 0, 0);
}

TEST(copy, text_becomes_a_file_with_the_flags_of_any_other)
{
    struct chmod chmod;
    auto_scene struct scene s = scene_new(NULL);
    struct copy_options options = {
        .destination = "/d/", .set_owner = true, .uid = 5, .gid = 6, .chmod = &chmod};

    check_ok(chmod_parse("u+x", &chmod, &test_err));
    check_ok(copy_text(s.view, "run", "#!", 2, &options, &test_err));
    check_ok(copy_text(s.view, "empty", "", 0, &options, &test_err));
    check_text(scene_dump(&s), "d/ dir 0755 uid=5 gid=6\nd/empty file 0744 uid=5 gid=6 \"\"\n"
                               "d/run file 0744 uid=5 gid=6 \"#!\"\n");
}
