/* Images of the store: found by name or id, committed once for the same content. A real store. */
#include <errno.h>
#include <string.h>

#include "builder/image/image.h"
#include "fs/blob.h"
#include "tests/lib/state.h"
#include "tests/lib/test.h"

static struct digest commit(struct store *store, const char *label, int64_t layer)
{
    const struct image_options options = {0};
    char os[] = "linux";
    char architecture[] = "amd64";
    const struct platform p = {.os = os, .architecture = architecture};
    auto_config struct config *c = config_new_scratch(&p);
    auto_image struct image image = {0};

    config_map_put(c, "Labels", "l", json_new_text(label));
    check_ok(image_make(store, c, &layer, 1, &options, &image, &test_err));
    check_ok(image_store(store, &image, &test_err));
    return image.manifest;
}

TEST(image, the_same_config_and_layers_are_one_image)
{
    auto_store struct store *store = state_open();
    auto_image_list struct image_list list = {0};
    int64_t layer = state_pulled(store, "L");
    struct digest a = commit(store, "x", layer);
    struct digest b = commit(store, "x", layer);
    struct digest c = commit(store, "y", layer);

    check_true(digest_equal(&a, &b));
    check_false(digest_equal(&a, &c));
    check_ok(store_image_list(store, &list, &test_err));
    check_int(list.count, 2);
}

/* OCI image-spec, manifest.md; config.md, "rootfs", "history". */
TEST(image, what_is_committed_can_be_loaded_and_names_its_layers)
{
    auto_store struct store *store = state_open();
    auto_image struct image image = {0};
    int64_t layer = state_pulled(store, "L");
    struct digest manifest = commit(store, "x", layer);
    struct digest diff_id;
    struct digest expected = state_digest("L");

    check_ok(image_load(store, &manifest, &image, &test_err));
    check_int(image.layer_count, 1);
    check_int(image.layers[0], layer);
    check_ok(config_layer_diff_id(image.config, 0, &diff_id, &test_err));
    check_true(digest_equal(&diff_id, &expected));
    check_int(json_count(json_get_array(config_json(image.config), "history")), 1);
    check_int(image.document.layers.count, 1);
}

TEST(image, a_name_an_id_and_its_beginning_find_it)
{
    auto_store struct store *store = state_open();
    struct digest manifest = commit(store, "x", state_pulled(store, "L"));
    struct digest found;
    char hex[DIGEST_HEX_SIZE];
    auto_free char *whole = NULL;
    char *name;

    check_ok(image_tag(store, "docker.io/library/a:latest", &manifest, &test_err));
    check_ok(image_find(store, "a", &found, &name, &test_err));
    check_text(name, "docker.io/library/a:latest");
    free(name);
    check_true(digest_equal(&found, &manifest));
    digest_format_hex(&manifest, hex);
    whole = str_format("sha256:%s", hex);
    check_ok(image_find(store, whole, &found, &name, &test_err));
    check_text(name, NULL);
    hex[12] = '\0';
    check_ok(image_find(store, hex, &found, NULL, &test_err));
    check_true(digest_equal(&found, &manifest));
}

TEST(image, what_is_not_there_is_said_with_what_to_do)
{
    auto_store struct store *store = state_open();
    struct digest found;

    check_fails(image_find(store, "nope", &found, NULL, &test_err), ENOENT);
    check_error(&test_err, ENOENT, "no such image: 'nope'");
    check_fails(image_find(store, "sha256:abc", &found, NULL, &test_err), ENOENT);
    check_fails(image_find(store, "sha256:0123456789", &found, NULL, &test_err), ENOENT);
}

TEST(image, a_config_that_could_not_be_read_again_is_refused)
{
    auto_store struct store *store = state_open();
    const struct image_options options = {0};
    char os[] = "linux";
    char architecture[] = "amd64";
    const struct platform p = {.os = os, .architecture = architecture};
    auto_config struct config *c = config_new_scratch(&p);
    auto_free char *big = mem_alloc((9u << 20) + 1);
    auto_image struct image image = {0};

    memset(big, 'x', 9u << 20);
    config_map_put(c, "Labels", "big", json_new_text(big));
    check_fails(image_make(store, c, NULL, 0, &options, &image, &test_err), E2BIG);
}
