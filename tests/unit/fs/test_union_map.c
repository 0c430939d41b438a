/* test_union_map.c - what looking names up costs when there are many layers.
 *
 * The figures are searches in indexes, each a few hundred nanoseconds; they are the same on every
 * machine. What must not happen is one search for each layer and look-up.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "fs/union_internal.h"
#include "tests/lib/scene.h"
#include "tests/lib/test.h"

#define LAYERS 120u
#define NAMES 300u

/* One layer with many names, and a hundred and more that each put another into the same directory,
 * replace one and remove one. */
static void open_deep_view(struct scene *s)
{
    int64_t layers[LAYERS];
    auto_str struct str text = {0};

    for (unsigned i = 0; i < NAMES; i++)
        str_addf(&text, "usr/lib/base%u file 0644 \"%u\"\n", i, i);
    str_add(&text, "usr/share/doc/only file 0644 \"\"\n");
    *s = scene_new(NULL);
    layers[0] = scene_store_layer(s, str_text(&text));
    for (unsigned i = 1; i < LAYERS; i++) {
        str_truncate(&text, 0);
        str_addf(&text,
                 "usr/lib/own%u file 0644 \"%u\"\n"
                 "usr/lib/base%u file 0644 \"from %u\"\n"
                 "usr/lib/base%u whiteout -\n",
                 i, i, i, i, NAMES - i);
        layers[i] = scene_store_layer(s, str_text(&text));
    }
    view_close(s->view);
    s->view = NULL;
    check_ok(view_open(s->store, layers, LAYERS, NULL, &s->view, &test_err));
}

static const struct dir *dir_at(struct scene *s, const char *path)
{
    return inode_at(s->view, (uint32_t)scene_ino(s, path))->dir;
}

static const char *expected(unsigned i)
{
    static char text[32];

    if (i >= 1 && i < LAYERS)
        (void)snprintf(text, sizeof(text), "from %u", i);
    else if (i > NAMES - LAYERS && i < NAMES)
        return NULL;
    else
        (void)snprintf(text, sizeof(text), "%u", i);
    return text;
}

static void look_everywhere(struct scene *s)
{
    for (unsigned i = 0; i < NAMES; i++) {
        auto_free char *path = str_format("usr/lib/base%u", i);

        if (expected(i))
            check_text(scene_read(s, path), expected(i));
        else
            check_true(scene_read(s, path) == NULL);
    }
}

TEST(union_map, many_look_ups_in_many_layers_cost_one_search_each)
{
    auto_scene struct scene s = {0};
    struct union_attr dir;
    uint64_t before;
    uint64_t total;

    open_deep_view(&s);
    check_ok(view_resolve(s.view, "usr/lib", true, &dir));
    before = s.view->search_count;
    look_everywhere(&s);
    for (unsigned i = 0; i < NAMES; i++) { /* names nobody has */
        char name[32];

        (void)snprintf(name, sizeof(name), "none%u", i);
        check_fails(union_lookup(s.view, dir.ino, name, &(struct union_attr){0}), ENOENT);
    }
    total = s.view->search_count - before;
    /* Without a map 300 * 120 for the names that are nowhere alone. With it: as many as there are names
     * in all layers until it is made (658), then one for each that is somewhere. */
    check_true(total <= NAMES + 3 * LAYERS + LAYERS + NAMES);
    check_true(dir_at(&s, "usr/lib")->map != NULL);
}

/* Whatever costs nothing has none: the map is made by use, and goes with the need for it. */
TEST(union_map, a_directory_looked_into_now_and_then_has_no_map)
{
    auto_scene struct scene s = {0};

    open_deep_view(&s);
    check_text(scene_read(&s, "usr/lib/own7"), "7");
    check_text(scene_read(&s, "usr/share/doc/only"), "");
    check_true(dir_at(&s, "usr/lib")->map == NULL);
}

TEST(union_map, a_listing_searches_each_name_once_and_keeps_no_map)
{
    auto_scene struct scene s = {0};
    struct union_attr dir;
    uint64_t before;

    open_deep_view(&s);
    check_ok(view_resolve(s.view, "usr/lib", true, &dir));
    before = s.view->search_count;
    check_ok(dir_complete(s.view, inode_at(s.view, (uint32_t)dir.ino)));
    check_true(s.view->search_count - before <= NAMES + 3 * LAYERS);
    check_true(dir_at(&s, "usr/lib")->map == NULL);
    check_int(inode_at(s.view, (uint32_t)dir.ino)->dir->name_count,
              NAMES + (LAYERS - 1) - (LAYERS - 1));
    look_everywhere(&s);
}

/* The map says the same as the layers whatever is done to the directory meanwhile. */
TEST(union_map, changes_are_seen_with_a_map)
{
    auto_scene struct scene s = {0};
    uint32_t before;

    open_deep_view(&s);
    look_everywhere(&s);
    check_true(dir_at(&s, "usr/lib")->map != NULL);
    before = s.view->map_item_count;
    check_ok(scene_rename(&s, "usr/lib", "usr/moved", 0));
    check_text(scene_read(&s, "usr/moved/own3"), "3");
    check_ok(scene_unlink(&s, "usr/moved/own3"));
    check_true(scene_read(&s, "usr/moved/own3") == NULL);
    check_ok(scene_make(&s, "usr/moved/base299", "new"));
    check_text(scene_read(&s, "usr/moved/base299"), "new");
    check_ok(view_remove_tree(s.view, scene_ino(&s, "usr"), "moved"));
    check_true(s.view->map_item_count < before); /* that of the directory is gone */
}

/* The opposite: where there are few layers, searching them is as good. */
TEST(union_map, few_layers_need_no_map)
{
    auto_scene struct scene s = scene_new("a/x file 0644 \"1\"\n");
    uint64_t before;

    scene_add_layer(&s, "a/y file 0644 \"2\"\n");
    scene_add_layer(&s, "a/z file 0644 \"3\"\n");
    before = s.view->search_count;
    for (unsigned i = 0; i < 1000; i++)
        check_true(scene_read(&s, "a/none") == NULL);
    check_int(s.view->map_item_count, 0);
    check_int(s.view->search_count - before, 3000 + 3); /* and "a" itself, once */
}
