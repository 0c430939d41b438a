/* test_store_rows.c - what the store remembers: layers, images, references, cache, contents. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/base/limits.h"
#include "fs/blob.h"
#include "fs/pack.h"
#include "tests/lib/database.h"
#include "tests/lib/state.h"
#include "tests/lib/test.h"

static void run_sql(const char *sql)
{
    auto_free char *db = state_file("img.db");

    database_run(db, sql, NULL);
}

static char *query(const char *sql)
{
    auto_free char *db = state_file("img.db");
    struct str out = {0};

    database_run(db, sql, &out);
    return str_take(&out);
}

/* The database's change counter (sqlite.org/fileformat2.html, 1.3.11): it moves with every write. */
static uint32_t change_counter(void)
{
    auto_free char *db = state_file("img.db");
    auto_str struct str bytes = {0};
    const uint8_t *at;

    check_ok(io_read_file(AT_FDCWD, db, 1 << 30, &bytes, &test_err));
    at = (const uint8_t *)bytes.data + 24;
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* -- layers -- */

TEST(store_rows, a_layer_is_found_by_id_diff_id_and_blob)
{
    auto_store struct store *store = state_open();
    int64_t layer = state_pulled(store, "tar bytes");
    struct digest diff_id = state_digest("tar bytes");
    struct digest blob = state_digest("gz:tar bytes");
    struct layer_row row;

    check_ok(store_layer_get(store, layer, &row, &test_err));
    check_int(row.id, layer);
    check_int(row.kind, LAYER_PULLED);
    check_true(row.has_diff_id && digest_equal(&row.diff_id, &diff_id));
    check_int(row.tar_size_bytes, 9);
    check_int(row.entry_count, 1);
    check_int(row.data_bytes, 9);
    check_true(row.created_ns > 0);
    check_ok(store_layer_find_by_diff_id(store, &diff_id, &row, &test_err));
    check_int(row.id, layer);
    check_ok(store_layer_find_by_blob(store, &blob, NULL, &row, &test_err));
    check_int(row.id, layer);
}

TEST(store_rows, an_unknown_layer_is_not_found)
{
    auto_store struct store *store = state_open();
    struct digest digest = state_digest("none");
    auto_free char *sentence = NULL;
    struct layer_row row;

    check_fails(store_layer_get(store, 7, &row, &test_err), ENOENT);
    sentence = str_format("there is no layer 7 in the store '%s'", state_path());
    check_error(&test_err, ENOENT, sentence);
    check_fails(store_layer_find_by_diff_id(store, &digest, &row, &test_err), ENOENT);
    check_fails(store_layer_find_by_blob(store, &digest, NULL, &row, &test_err), ENOENT);
    check_fails(store_layer_set_diff_id(store, 7, &digest, 1, &test_err), ENOENT);
}

/* S1: a row implies its objects. */
TEST(store_rows, a_layer_without_its_files_is_refused)
{
    auto_store struct store *store = state_open();
    struct layer_row row = {.kind = LAYER_BUILT, .index = 0x123};
    struct layer_row good;
    uint64_t pack = 0x456;
    int64_t id = 0;

    check_fails(store_layer_insert(store, &row, NULL, 0, &id, &test_err), ENOENT);
    check_ok(store_layer_get(store, state_built(store, "x"), &good, &test_err));
    row.pack = pack;
    row.index = good.index;
    check_fails(store_layer_insert(store, &row, NULL, 0, &id, &test_err), ENOENT);
    row.pack = 0;
    check_fails(store_layer_insert(store, &row, &pack, 1, &id, &test_err), ENOENT);
}

TEST(store_rows, of_equal_layers_the_oldest_is_found)
{
    auto_store struct store *store = state_open();
    struct digest diff_id = state_digest("late");
    int64_t first = state_built(store, "a");
    int64_t second = state_built(store, "b");
    struct layer_row row;

    check_ok(store_layer_get(store, first, &row, &test_err));
    check_false(row.has_diff_id);
    check_ok(store_layer_set_diff_id(store, second, &diff_id, 10, &test_err));
    check_ok(store_layer_set_diff_id(store, first, &diff_id, 10, &test_err));
    check_ok(store_layer_find_by_diff_id(store, &diff_id, &row, &test_err));
    check_int(row.id, first);
    check_int(row.tar_size_bytes, 10);
}

TEST(store_rows, a_compressed_form_is_found_by_format_or_any)
{
    auto_store struct store *store = state_open();
    int64_t layer = state_pulled(store, "x");
    struct layer_blob_row form;
    struct digest zstd;

    check_fails(store_layer_blob_find(store, layer, CODEC_ZSTD, NULL, &form, &test_err), ENOENT);
    check_ok(blob_put(store, "zzz", 3, &zstd, &test_err));
    check_ok(store_layer_blob_add(store, layer, CODEC_ZSTD, &zstd, &test_err));
    check_ok(store_layer_blob_add(store, layer, CODEC_ZSTD, &zstd, &test_err));
    check_ok(store_layer_blob_find(store, layer, CODEC_ZSTD, NULL, &form, &test_err));
    check_true(digest_equal(&form.digest, &zstd));
    check_int(form.size_bytes, 3);
    check_int(form.format, CODEC_ZSTD);
    check_ok(store_layer_blob_find(store, layer, CODEC_DETECT, NULL, &form, &test_err));
    check_int(form.format, CODEC_GZIP);
    check_int(form.size_bytes, 4);
}

TEST(store_rows, a_form_needs_its_blob_and_its_layer)
{
    auto_store struct store *store = state_open();
    int64_t layer = state_pulled(store, "x");
    struct digest none = state_digest("none");
    struct digest blob = state_digest("gz:x");

    check_fails(store_layer_blob_add(store, layer, CODEC_GZIP, &none, &test_err), ENOENT);
    check_fails(store_layer_blob_add(store, layer + 1, CODEC_GZIP, &blob, &test_err), ENOENT);
}

/* S3: rows are input. */
TEST(store_rows, a_row_that_makes_no_sense_is_damage)
{
    auto_store struct store *store = state_open();
    int64_t layer = state_pulled(store, "x");
    struct layer_blob_row form;
    struct layer_row row;

    run_sql("UPDATE layer SET kind = 9");
    check_fails(store_layer_get(store, layer, &row, &test_err), EUCLEAN);
    run_sql("UPDATE layer SET kind = 1, diff_id = x'00'");
    check_fails(store_layer_get(store, layer, &row, &test_err), EUCLEAN);
    run_sql("UPDATE layer SET diff_id = NULL, entry_count = -1");
    check_fails(store_layer_get(store, layer, &row, &test_err), EUCLEAN);
    run_sql("UPDATE layer_blob SET format = 77");
    check_fails(store_layer_blob_find(store, layer, CODEC_DETECT, NULL, &form, &test_err), EUCLEAN);
}

TEST(store_rows, an_index_is_mapped_once)
{
    auto_store struct store *store = state_open();
    int64_t layer = state_built(store, "x");
    const struct index *first = NULL;
    const struct index *second = NULL;

    check_ok(store_index_get(store, layer, &first, &test_err));
    check_ok(store_index_get(store, layer, &second, &test_err));
    check_true(first == second);
    check_fails(store_index_get(store, layer + 1, &first, &test_err), ENOENT);
}

/* -- images and references -- */

TEST(store_rows, an_image_keeps_its_layers_in_order)
{
    auto_store struct store *store = state_open();
    int64_t layers[3] = {state_pulled(store, "c"), state_pulled(store, "a"),
                         state_pulled(store, "b")};
    auto_image_row struct image_row row = {0};
    struct digest manifest;

    layers[2] = layers[0]; /* the same layer twice is legal */
    state_image(store, NULL, "", layers, 3, &manifest);
    check_ok(store_image_get(store, &manifest, &row, &test_err));
    check_text(row.media_type, "application/x");
    check_int(row.layer_count, 3);
    check_int(row.layers[0], layers[0]);
    check_int(row.layers[1], layers[1]);
    check_int(row.layers[2], layers[0]);
    check_true(row.created_ns > 0);
}

TEST(store_rows, an_image_needs_its_documents_and_layers)
{
    auto_store struct store *store = state_open();
    struct image_row row = {.media_type = (char *)(uintptr_t) "t"};
    int64_t layer = 99;

    check_ok(blob_put(store, "m", 1, &row.manifest, &test_err));
    row.config = state_digest("none");
    check_fails(store_image_put(store, &row, &test_err), ENOENT);
    check_ok(blob_put(store, "c", 1, &row.config, &test_err));
    row.layers = &layer;
    row.layer_count = 1;
    check_fails(store_image_put(store, &row, &test_err), ENOENT);
    row.layer_count = 0;
    check_ok(store_image_put(store, &row, &test_err));
    row.layer_count = LIMIT_IMAGE_LAYERS + 1;
    check_fails(store_image_put(store, &row, &test_err), E2BIG);
}

TEST(store_rows, an_image_put_again_keeps_its_time_and_takes_the_new_layers)
{
    auto_store struct store *store = state_open();
    int64_t layers[2] = {state_pulled(store, "a"), state_pulled(store, "b")};
    auto_image_row struct image_row first = {0};
    auto_image_row struct image_row second = {0};
    struct digest manifest;

    state_image(store, NULL, "", layers, 1, &manifest);
    check_ok(store_image_get(store, &manifest, &first, &test_err));
    first.layers[0] = layers[1];
    first.created_ns++;
    check_ok(store_image_put(store, &first, &test_err));
    check_ok(store_image_get(store, &manifest, &second, &test_err));
    check_int(second.created_ns, first.created_ns - 1);
    check_int(second.layers[0], layers[1]);
}

TEST(store_rows, images_are_found_by_the_beginning_of_their_digest)
{
    auto_store struct store *store = state_open();
    auto_image_list struct image_list list = {0};
    struct digest manifest;
    char hex[DIGEST_HEX_SIZE];

    for (int i = 0; i < 20; i++) {
        auto_free char *salt = str_format("%d", i);

        state_image(store, NULL, salt, NULL, 0, &manifest);
    }
    digest_format_hex(&manifest, hex);
    check_ok(store_image_find(store, hex, &list, &test_err));
    check_int(list.count, 1);
    image_list_release(&list);
    hex[12] = '\0';
    check_ok(store_image_find(store, hex, &list, &test_err));
    check_int(list.count, 1);
    check_true(digest_equal(&list.items[0].manifest, &manifest));
    image_list_release(&list);
    check_ok(store_image_list(store, &list, &test_err));
    check_int(list.count, 20);
    image_list_release(&list);
    check_fails(store_image_find(store, "", &list, &test_err), EINVAL);
    check_fails(store_image_find(store, "ABC", &list, &test_err), EINVAL);
    check_fails(store_image_find(store, "x", &list, &test_err), EINVAL);
}

TEST(store_rows, removing_an_image_removes_its_names)
{
    auto_store struct store *store = state_open();
    auto_reference_list struct reference_list list = {0};
    struct reference_row row = {0};
    struct digest manifest;

    state_image(store, "h/a:1", "", NULL, 0, &manifest);
    state_image(store, "h/b:1", "", NULL, 0, &manifest);
    state_image(store, "h/c:1", "other", NULL, 0, NULL);
    check_ok(store_image_remove(store, &manifest, &test_err));
    check_fails(store_reference_get(store, "h/a:1", &row, &test_err), ENOENT);
    check_ok(store_reference_list(store, NULL, &list, &test_err));
    check_int(list.count, 1);
    check_text(list.items[0].name, "h/c:1");
    check_fails(store_image_remove(store, &manifest, &test_err), ENOENT);
}

TEST(store_rows, a_reference_tells_when_it_last_moved)
{
    auto_store struct store *store = state_open();
    auto_reference_row struct reference_row first = {0};
    auto_reference_row struct reference_row same = {0};
    auto_reference_row struct reference_row moved = {0};

    state_image(store, "h/a:1", "one", NULL, 0, NULL);
    check_ok(store_reference_get(store, "h/a:1", &first, &test_err));
    check_int(first.created_ns, first.updated_ns);
    check_false(first.has_index);
    state_image(store, "h/a:1", "one", NULL, 0, NULL);
    check_ok(store_reference_get(store, "h/a:1", &same, &test_err));
    check_int(same.updated_ns, first.updated_ns);
    state_image(store, "h/a:1", "two", NULL, 0, NULL);
    check_ok(store_reference_get(store, "h/a:1", &moved, &test_err));
    check_int(moved.created_ns, first.created_ns);
    check_true(moved.updated_ns > first.updated_ns);
    check_false(digest_equal(&moved.manifest, &first.manifest));
}

TEST(store_rows, a_reference_remembers_the_index_it_came_from)
{
    auto_store struct store *store = state_open();
    auto_reference_row struct reference_row row = {0};
    struct reference_row set = {.name = (char *)(uintptr_t) "h/a:1", .has_index = true};

    state_image(store, NULL, "", NULL, 0, &set.manifest);
    set.index = state_digest("index");
    check_ok(store_reference_set(store, &set, &test_err));
    check_ok(store_reference_get(store, "h/a:1", &row, &test_err));
    check_true(row.has_index && digest_equal(&row.index, &set.index));
}

TEST(store_rows, a_reference_needs_an_image_and_a_name)
{
    auto_store struct store *store = state_open();
    auto_free char *name = mem_alloc(600);
    struct reference_row row = {.name = (char *)(uintptr_t) "h/a:1"};

    row.manifest = state_digest("none");
    check_fails(store_reference_set(store, &row, &test_err), ENOENT);
    state_image(store, NULL, "", NULL, 0, &row.manifest);
    memset(name, 'n', 576);
    row.name = name;
    check_fails(store_reference_set(store, &row, &test_err), EINVAL);
    name[575] = '\0';
    check_ok(store_reference_set(store, &row, &test_err));
    name[0] = '\0';
    check_fails(store_reference_set(store, &row, &test_err), EINVAL);
    check_fails(store_reference_remove(store, "h/none:1", &test_err), ENOENT);
}

TEST(store_rows, references_are_listed_by_name)
{
    auto_store struct store *store = state_open();
    auto_reference_list struct reference_list list = {0};
    struct digest manifest;

    state_image(store, "h/b:1", "", NULL, 0, &manifest);
    state_image(store, "h/a:1", "", NULL, 0, NULL);
    state_image(store, "h/0:1", "other", NULL, 0, NULL);
    check_ok(store_reference_list(store, &manifest, &list, &test_err));
    check_int(list.count, 2);
    check_text(list.items[0].name, "h/a:1");
    check_text(list.items[1].name, "h/b:1");
    check_ok(store_reference_remove(store, "h/a:1", &test_err));
    reference_list_release(&list);
    check_ok(store_reference_list(store, NULL, &list, &test_err));
    check_int(list.count, 2);
}

/* -- cache -- */

TEST(store_rows, a_cache_record_comes_back_whole)
{
    auto_store struct store *store = state_open();
    auto_cache_row struct cache_row out = {0};
    auto_free char *inputs = NULL;
    struct cache_row row = {.key = state_digest("k"),
                            .has_parent = true,
                            .parent = state_digest("p"),
                            .layer = state_built(store, "x"),
                            .description = (char *)(uintptr_t) "RUN make",
                            .extra = (char *)(uintptr_t) "{}",
                            .inputs = (char *)(uintptr_t) "a\nb\n",
                            .run_ns = 77};

    check_ok(store_cache_put(store, &row, &test_err));
    check_ok(store_cache_get(store, &row.key, &out, &test_err));
    check_true(out.has_parent && digest_equal(&out.parent, &row.parent));
    check_int(out.layer, row.layer);
    check_text(out.description, "RUN make");
    check_text(out.extra, "{}");
    check_text(out.inputs, NULL);
    check_int(out.run_ns, 77);
    check_int(out.use_count, 1);
    check_true(out.created_ns > 0 && out.used_ns >= out.created_ns);
    check_ok(store_cache_inputs(store, &row.key, &inputs, &test_err));
    check_text(inputs, "a\nb\n");
}

TEST(store_rows, a_record_without_layer_parent_or_extra_says_so)
{
    auto_store struct store *store = state_open();
    auto_cache_row struct cache_row out = {0};
    auto_free char *inputs = NULL;
    struct cache_row row = {.key = state_digest("k")};

    check_ok(store_cache_put(store, &row, &test_err));
    check_ok(store_cache_get(store, &row.key, &out, &test_err));
    check_int(out.layer, 0);
    check_false(out.has_parent);
    check_text(out.description, "");
    check_text(out.extra, NULL);
    check_fails(store_cache_inputs(store, &row.key, &inputs, &test_err), ENOENT);
}

TEST(store_rows, a_record_put_again_replaces_all_of_the_old_one)
{
    auto_store struct store *store = state_open();
    auto_cache_row struct cache_row out = {0};
    auto_free char *inputs = NULL;
    struct cache_row row = {.key = state_digest("k"), .inputs = (char *)(uintptr_t) "old"};

    check_ok(store_cache_put(store, &row, &test_err));
    row.inputs = NULL;
    row.layer = state_built(store, "x");
    check_ok(store_cache_put(store, &row, &test_err));
    check_ok(store_cache_get(store, &row.key, &out, &test_err));
    check_int(out.layer, row.layer);
    check_fails(store_cache_inputs(store, &row.key, &inputs, &test_err), ENOENT);
}

TEST(store_rows, a_record_needs_its_layer)
{
    auto_store struct store *store = state_open();
    struct cache_row row = {.key = state_digest("k"), .layer = 5};
    auto_free char *sentence = NULL;

    row.description = (char *)(uintptr_t) "RUN x";
    check_fails(store_cache_put(store, &row, &test_err), ENOENT);
    sentence = str_format("the layer of 'RUN x' is not in the store '%s'", state_path());
    check_error(&test_err, ENOENT, sentence);
    check_fails(store_cache_remove(store, &row.key, &test_err), ENOENT);
}

/* A cached rebuild writes nothing. */
TEST(store_rows, a_use_within_a_minute_writes_nothing)
{
    auto_store struct store *store = state_open();
    struct digest keys[2] = {state_digest("a"), state_digest("unknown")};
    auto_cache_row struct cache_row row = {0};
    uint32_t before;

    state_cache(store, "a", NULL, 0);
    before = change_counter();
    check_ok(store_cache_touch(store, keys, 2, &test_err));
    check_int(change_counter(), before);
    check_ok(store_cache_get(store, &keys[0], &row, &test_err));
    check_int(row.use_count, 1);
}

TEST(store_rows, a_later_use_is_noted_for_all_keys_in_one_write)
{
    auto_store struct store *store = state_open();
    struct digest keys[2] = {state_digest("a"), state_digest("b")};
    auto_free char *counts = NULL;
    uint32_t before;

    state_cache(store, "a", NULL, 0);
    state_cache(store, "b", NULL, 0);
    run_sql("UPDATE cache SET used_ns = used_ns - 61000000000 WHERE used_order = 2");
    before = change_counter();
    check_ok(store_cache_touch(store, keys, 2, &test_err));
    check_int(change_counter(), before + 1);
    counts = query("SELECT use_count, used_order FROM cache ORDER BY key");
    check_text(counts, "2|3\n2|3\n");
}

TEST(store_rows, a_use_noted_in_the_future_is_corrected)
{
    auto_store struct store *store = state_open();
    struct digest key = state_digest("a");
    auto_cache_row struct cache_row row = {0};

    state_cache(store, "a", NULL, 0);
    run_sql("UPDATE cache SET used_ns = used_ns + 3600000000000");
    check_ok(store_cache_touch(store, &key, 1, &test_err));
    check_ok(store_cache_get(store, &key, &row, &test_err));
    check_true(row.used_ns <= io_now_ns());
}

TEST(store_rows, records_are_listed_by_use)
{
    auto_store struct store *store = state_open();
    auto_cache_list struct cache_list list = {0};

    state_cache(store, "first", NULL, 0);
    state_cache(store, "second", NULL, 0);
    state_cache(store, "first", NULL, 0); /* used again */
    check_ok(store_cache_list(store, &list, &test_err));
    check_int(list.count, 2);
    check_text(list.items[0].description, "RUN second");
    check_text(list.items[1].description, "RUN first");
}

/* -- contexts and shared contents -- */

TEST(store_rows, a_context_comes_back_byte_for_byte)
{
    auto_store struct store *store = state_open();
    auto_str struct str out = {0};

    check_fails(store_context_load(store, "/src", &out, &test_err), ENOENT);
    check_error(&test_err, ENOENT, "nothing is known about the context '/src'");
    check_ok(store_context_save(store, "/src", "a\0b", 3, &test_err));
    check_ok(store_context_load(store, "/src", &out, &test_err));
    check_bytes(out.data, out.size, "a\0b", 3);
    check_ok(store_context_save(store, "/src", NULL, 0, &test_err));
    check_ok(store_context_load(store, "/src", &out, &test_err));
    check_int(out.size, 0);
    check_fails(
        store_context_save(store, "/src", "", (size_t)STORE_CONTEXT_SIZE_MAX + 1, &test_err),
        E2BIG);
}

TEST(store_rows, shared_contents_are_found_by_digest_and_size)
{
    auto_store struct store *store = state_open();
    struct file_row files[3] = {{.digest = state_digest("a"), .size_bytes = 1},
                                {.digest = state_digest("b"), .size_bytes = 1},
                                {.digest = state_digest("a"), .size_bytes = 2}};
    struct layer_row row;
    struct file_row known;

    check_ok(store_layer_get(store, state_built(store, "xxa"), &row, &test_err));
    known = files[0];
    known.pack = row.pack;
    known.pack_offset = 2;
    check_ok(store_files_add(store, &known, 1, &test_err));
    known.pack_offset = 0; /* a known one is kept */
    check_ok(store_files_add(store, &known, 1, &test_err));
    files[1].pack = 5; /* what was there before does not matter */
    check_ok(store_files_find(store, files, 3, &test_err));
    check_int(files[0].pack, row.pack);
    check_int(files[0].pack_offset, 2);
    check_int(files[1].pack, 0);
    check_int(files[2].pack, 0);
    known.digest = state_digest("c");
    known.pack = 12345;
    check_fails(store_files_add(store, &known, 1, &test_err), ENOENT);
}

TEST(store_rows, many_contents_are_found_inside_and_outside_of_a_transaction)
{
    enum { COUNT = 2000 };
    auto_store struct store *store = state_open();
    auto_free struct file_row *files = mem_alloc(COUNT * sizeof(struct file_row));
    struct store_tx tx = {0};
    struct layer_row row;

    check_ok(store_layer_get(store, state_built(store, "x"), &row, &test_err));
    for (size_t i = 0; i < COUNT; i++) {
        digest_of(&i, sizeof(i), &files[i].digest);
        files[i].pack = row.pack;
        files[i].pack_offset = i;
    }
    check_ok(store_begin(store, &tx, &test_err));
    check_ok(store_files_add(store, files, COUNT, &test_err));
    check_ok(store_files_find(store, files, COUNT, &test_err));
    check_ok(store_commit(&tx, &test_err));
    check_ok(store_files_find(store, files, COUNT, &test_err));
    for (size_t i = 0; i < COUNT; i++)
        check_int(files[i].pack_offset, i);
}

/* -- cache mounts -- */

TEST(store_rows, a_cache_mount_keeps_its_layers_and_counts_its_uses)
{
    auto_store struct store *store = state_open();
    int64_t layers[2] = {state_built(store, "a"), state_built(store, "b")};
    auto_cache_mount_row struct cache_mount_row out = {0};
    struct cache_mount_row row = {.id = state_digest("m"),
                                  .description = (char *)(uintptr_t) "apt /var/cache/apt",
                                  .layers = layers,
                                  .layer_count = 1};

    check_fails(store_cache_mount_get(store, &row.id, &out, &test_err), ENOENT);
    check_ok(store_cache_mount_put(store, &row, &test_err));
    row.layer_count = 2;
    check_ok(store_cache_mount_put(store, &row, &test_err));
    check_ok(store_cache_mount_get(store, &row.id, &out, &test_err));
    check_text(out.description, "apt /var/cache/apt");
    check_int(out.layer_count, 2);
    check_int(out.layers[1], layers[1]);
    check_int(out.use_count, 2);
    layers[0] = 77;
    check_fails(store_cache_mount_put(store, &row, &test_err), ENOENT);
    check_ok(store_cache_mount_remove(store, &row.id, &test_err));
    check_fails(store_cache_mount_remove(store, &row.id, &test_err), ENOENT);
}

TEST(store_rows, cache_mount_locks_exclude_each_other_in_one_process_too)
{
    auto_store struct store *store = state_open();
    struct digest id = state_digest("m");
    auto_close int first = -1;
    auto_close int second = -1;

    check_ok(store_cache_mount_lock(store, &id, false, false, &first, &test_err));
    check_ok(store_cache_mount_lock(store, &id, false, false, &second, &test_err));
    cleanup_close_fd(&second);
    check_fails(store_cache_mount_lock(store, &id, true, false, &second, &test_err), EBUSY);
    cleanup_close_fd(&first);
    check_ok(store_cache_mount_lock(store, &id, true, true, &second, &test_err));
    check_fails(store_cache_mount_lock(store, &id, false, false, &first, &test_err), EBUSY);
}

/* Recovery takes the name away while nobody holds it: the lock must follow the name. */
TEST(store_rows, a_cache_mount_lock_outlives_recovery)
{
    auto_store struct store *store = state_open();
    struct digest id = state_digest("m");
    auto_close int first = -1;
    auto_close int second = -1;

    check_ok(store_cache_mount_lock(store, &id, true, false, &first, &test_err));
    store_close(state_open());
    check_fails(store_cache_mount_lock(store, &id, true, false, &second, &test_err), EBUSY);
    cleanup_close_fd(&first);
    store_close(state_open());
    check_ok(store_cache_mount_lock(store, &id, true, false, &second, &test_err));
}
