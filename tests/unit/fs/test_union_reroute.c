/* test_union_reroute.c - files of a layer below what is a symlink in the layers below it.
 *
 * The expected trees are those of `umoci unpack` and of containerd (diff/apply: the parent of an entry
 * is resolved within the root by fs.RootPath); tests/e2e/test_layers.py compares with the former.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/store.h"
#include "tests/lib/scene.h"
#include "tests/lib/test.h"

/* Debian since 12: everything is below /usr. */
#define MERGED                                                                                     \
    "bin        symlink 0777 \"usr/bin\"\n"                                                        \
    "usr/       dir     0755\n"                                                                    \
    "usr/bin/   dir     0711\n"                                                                    \
    "usr/bin/sh file    0755 \"sh\"\n"

TEST(reroute, a_file_below_a_link_is_where_the_link_leads)
{
    auto_scene struct scene s = scene_new(MERGED);

    scene_add_layer(&s, "bin/new file 0755 \"new\"\nbin/sh file 0755 \"other\"\n");
    check_text(scene_dump(&s), "bin symlink 0777 \"usr/bin\"\n"
                               "usr/ dir 0755\n"
                               "usr/bin/ dir 0711\n"
                               "usr/bin/new file 0755 \"new\"\n"
                               "usr/bin/sh file 0755 \"other\"\n");
    check_text(scene_read(&s, "bin/new"), "new");
}

/* Each step of a build opens the layers of its base again. */
TEST(reroute, an_index_is_made_once_for_the_same_layers)
{
    auto_scene struct scene s = scene_new(MERGED);
    const struct index *first;

    check_true(store_rerouted_get(s.store, s.layers, 1) == NULL);
    scene_add_layer(&s, "bin/new file 0755 \"new\"\n");
    first = store_rerouted_get(s.store, s.layers, 2);
    check_true(first != NULL);
    scene_open_view(&s);
    check_true(store_rerouted_get(s.store, s.layers, 2) == first);
    scene_add_layer(&s, "etc/more file 0644 \"a layer above changes nothing\"\n");
    check_true(store_rerouted_get(s.store, s.layers, 2) == first);
    check_true(store_rerouted_get(s.store, s.layers, 3) == NULL);
    check_text(scene_read(&s, "usr/bin/new"), "new");
    check_text(scene_read(&s, "etc/more"), "a layer above changes nothing");
}

/* The opposite: a directory that the layer names replaces what is there. */
TEST(reroute, a_named_directory_takes_the_place_of_the_link)
{
    auto_scene struct scene s = scene_new(MERGED);

    scene_add_layer(&s, "bin/ dir 0700\nbin/new file 0755 \"new\"\n");
    check_text(scene_dump(&s), "bin/ dir 0700\n"
                               "bin/new file 0755 \"new\"\n"
                               "usr/ dir 0755\n"
                               "usr/bin/ dir 0711\n"
                               "usr/bin/sh file 0755 \"sh\"\n");
}

TEST(reroute, whiteouts_and_opaque_directories_follow_the_link)
{
    auto_scene struct scene s = scene_new(MERGED "usr/bin/d/x file 0644 \"x\"\n");

    scene_add_layer(&s, "bin/sh whiteout -\n");
    check_true(scene_read(&s, "usr/bin/sh") == NULL);
    check_text(scene_read(&s, "usr/bin/d/x"), "x");
    scene_add_layer(&s, "bin/d opaque -\nbin/d/y file 0644 \"y\"\n");
    check_true(scene_read(&s, "usr/bin/d/x") == NULL);
    check_text(scene_read(&s, "usr/bin/d/y"), "y");
    scene_add_layer(&s, "bin opaque -\nbin/z file 0644 \"z\"\n");
    check_text(scene_dump(&s), "bin symlink 0777 \"usr/bin\"\n"
                               "usr/ dir 0755\n"
                               "usr/bin/ dir 0711\n"
                               "usr/bin/z file 0644 \"z\"\n");
}

TEST(reroute, links_on_links_are_followed_inside_the_root)
{
    auto_scene struct scene s = scene_new("a symlink 0777 \"/../b/../b/c\"\n"
                                          "b symlink 0777 \"d\"\n"
                                          "d/c symlink 0777 \"../../../e\"\n"
                                          "e/f symlink 0777 \"../g\"\n"
                                          "g/ dir 0755\n");

    scene_add_layer(&s, "a/f/new file 0644 \"deep\"\n");
    check_text(scene_read(&s, "g/new"), "deep");
    check_text(scene_dump(&s), "a symlink 0777 \"/../b/../b/c\"\n"
                               "b symlink 0777 \"d\"\n"
                               "d/ dir 0755\n"
                               "d/c symlink 0777 \"../../../e\"\n"
                               "e/ dir 0755\n"
                               "e/f symlink 0777 \"../g\"\n"
                               "g/ dir 0755\n"
                               "g/new file 0644 \"deep\"\n");
}

/* mkdir -p of what is missing, as an extractor does. */
TEST(reroute, a_link_to_what_is_not_there_makes_it)
{
    auto_scene struct scene s = scene_new("l symlink 0777 \"no/where\"\n");

    scene_add_layer(&s, "l/x file 0644 \"x\"\n");
    check_text(scene_dump(&s), "l symlink 0777 \"no/where\"\n"
                               "no/ dir 0755\n"
                               "no/where/ dir 0755\n"
                               "no/where/x file 0644 \"x\"\n");
}

/* Here extractors fail; a layer that cannot be unpacked is still one that can be looked at. */
TEST(reroute, a_link_that_is_no_directory_is_replaced_by_one)
{
    auto_scene struct scene s = scene_new("loop symlink 0777 \"loop\"\n"
                                          "f file 0644 \"f\"\n"
                                          "file symlink 0777 \"f\"\n"
                                          "in symlink 0777 \"f/in\"\n");

    scene_add_layer(&s, "loop/x file 0644 \"x\"\nfile/y file 0644 \"y\"\nin/z file 0644 \"z\"\n");
    check_text(scene_dump(&s), "f file 0644 \"f\"\n"
                               "file/ dir 0755\n"
                               "file/y file 0644 \"y\"\n"
                               "in/ dir 0755\n"
                               "in/z file 0644 \"z\"\n"
                               "loop/ dir 0755\n"
                               "loop/x file 0644 \"x\"\n");
}

/* What hides the link hides what it would have done. */
TEST(reroute, a_link_below_an_opaque_or_new_directory_does_not_count)
{
    auto_scene struct scene s = scene_new("a/l symlink 0777 \"../t\"\n"
                                          "b symlink 0777 \"c\"\n"
                                          "c/l symlink 0777 \"../t\"\n"
                                          "t/ dir 0755\n");

    scene_add_layer(&s, "a/ dir 0755 opaque\na/l/x file 0644 \"x\"\n"
                        "b/ dir 0755\nb/l/y file 0644 \"y\"\n");
    check_text(scene_dump(&s), "a/ dir 0755\n"
                               "a/l/ dir 0755\n"
                               "a/l/x file 0644 \"x\"\n"
                               "b/ dir 0755\n"
                               "b/l/ dir 0755\n"
                               "b/l/y file 0644 \"y\"\n"
                               "c/ dir 0755\n"
                               "c/l symlink 0777 \"../t\"\n"
                               "t/ dir 0755\n");
}

TEST(reroute, links_stay_links_and_attributes_stay)
{
    auto_scene struct scene s = scene_new(MERGED);

    scene_add_layer(&s, "bin/one file 4755 uid=3 gid=4 mtime=7 x:user.a=b \"content\"\n"
                        "bin/two link - \"bin/one\"\n"
                        "bin/three link - \"usr/bin/sh\"\n"
                        "bin/four symlink 0777 \"one\"\n"
                        "other/ dir 0755\n"
                        "other/five link - \"bin/one\"\n");
    s.with_times = true;
    check_text(scene_dump(&s),
               "bin symlink 0777 mtime=0 \"usr/bin\"\n"
               "other/ dir 0755 mtime=0\n"
               "other/five file 4755 uid=3 gid=4 mtime=7 links=3 x:user.a=b \"content\"\n"
               "usr/ dir 0755 mtime=0\n"
               "usr/bin/ dir 0711 mtime=0\n"
               "usr/bin/four symlink 0777 mtime=0 \"one\"\n"
               "usr/bin/one file 4755 uid=3 gid=4 mtime=7 links=3 x:user.a=b \"content\"\n"
               "usr/bin/sh file 0755 mtime=0 links=2 \"sh\"\n"
               "usr/bin/three file 0755 mtime=0 links=2 \"sh\"\n"
               "usr/bin/two file 4755 uid=3 gid=4 mtime=7 links=3 x:user.a=b \"content\"\n");
    check_int(scene_attr(&s, "usr/bin/one").nlink, 3);
    check_int(scene_attr(&s, "usr/bin/sh").nlink, 2);
}

/* Changes on top of it are changes of the tree that is seen. */
TEST(reroute, a_step_on_top_of_it_seals_what_it_saw)
{
    auto_scene struct scene s = scene_new(MERGED);

    scene_add_layer(&s, "bin/new file 0755 \"new\"\n");
    check_ok(scene_unlink(&s, "bin/new"));
    check_text(scene_dump_changes(&s), "modify /usr/bin\ndelete /usr/bin/new\n");
    check_int(scene_seal(&s), 2);
    check_true(scene_read(&s, "usr/bin/new") == NULL);
    check_text(scene_read(&s, "bin/sh"), "sh");
}

TEST(reroute, a_lower_layer_of_the_same_image_may_be_rerouted_itself)
{
    auto_scene struct scene s = scene_new(MERGED);

    scene_add_layer(&s, "bin/sub/l symlink 0777 \"../there\"\n");
    scene_add_layer(&s, "bin/sub/l/x file 0644 \"x\"\n");
    check_text(scene_read(&s, "usr/bin/there/x"), "x");
    check_text(scene_read(&s, "bin/sub/l/x"), "x");
}
