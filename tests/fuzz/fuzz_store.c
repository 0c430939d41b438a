/* fuzz_store.c - any bytes as img.db: opening, checking and collecting do not crash, leave what is
 * outside of the store alone, and after a complete repair the store is clean and opens.
 *
 * The first byte of an input says what the rest is: 0, the whole file; else changes to the database
 * of a small store, four bytes each: three of an offset, lowest first, and the new byte there.
 */
#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/blob.h"
#include "fs/fsck.h"
#include "fs/gc.h"
#include "fs/index.h"
#include "fs/pack.h"
#include "fs/store.h"
#include "tests/fuzz/fuzz.h"

#define CANARY "nobody may touch this"
#define OBJECTS_MAX 16

struct object_copy {
    char name[128];
    struct str bytes;
};

static char root[64];
static char state[80];
static struct str database;
static struct object_copy objects[OBJECTS_MAX];
static size_t object_count;

static void must(int r, const struct error *err)
{
    if (r < 0) {
        (void)fprintf(stderr, "%s\n", err->text);
        abort();
    }
}

static void drop_line(void *context, const char *line)
{
    (void)context;
    (void)line; /* thousands of warnings about one damaged store after another */
}

static uint64_t add_pack(struct store *store, const char *text)
{
    auto_close int fd = -1;
    struct error err = {0};
    uint64_t pack = 0;

    must(pack_create(store, &pack, &fd, &err), &err);
    must(io_write_full(fd, text, 5), &err);
    must(pack_adopt(store, pack, fd, &err), &err);
    return pack;
}

static uint64_t add_index(struct store *store, uint64_t pack)
{
    auto_index_builder struct index_builder *builder = index_builder_new();
    struct extent extent = {.length = 5, .pack = pack};
    struct index_new_entry entry = {
        .path = "file",
        .meta = {.type = ENTRY_FILE, .mode = 0644, .size_bytes = 5},
        .extents = &extent,
        .extent_count = 1,
    };
    auto_close int fd = -1;
    struct error err = {0};
    uint64_t index = 0;

    must(index_builder_add(builder, &entry, &err), &err);
    must(store_index_create(store, &index, &fd, &err), &err);
    must(index_builder_write(builder, fd, &err), &err);
    must(store_index_adopt(store, index, fd, &err), &err);
    return index;
}

static int64_t add_layer(struct store *store, enum layer_kind kind, const char *text,
                         struct layer_row *row)
{
    struct error err = {0};
    int64_t layer = 0;

    *row = (struct layer_row){.kind = kind, .entry_count = 1, .data_bytes = 5};
    row->pack = add_pack(store, text);
    row->index = add_index(store, row->pack);
    row->has_diff_id = kind == LAYER_PULLED;
    row->tar_size_bytes = 5;
    digest_of(text, 5, &row->diff_id);
    must(store_layer_insert(store, row, NULL, 0, &layer, &err), &err);
    return layer;
}

static void add_image(struct store *store, int64_t layer, const struct layer_row *row)
{
    struct image_row image = {
        .media_type = (char *)(uintptr_t) "m", .layers = &layer, .layer_count = 1};
    struct reference_row reference = {.name = (char *)(uintptr_t) "h/a:1"};
    auto_str struct str text = {0};
    struct error err = {0};
    char hex[DIGEST_TEXT_SIZE];

    digest_format(&row->diff_id, hex);
    str_addf(&text, "{\"rootfs\":{\"diff_ids\":[\"%s\"]}}", hex);
    must(blob_put(store, text.data, text.size, &image.config, &err), &err);
    str_truncate(&text, 0);
    str_addf(&text, "{\"layers\":[{\"digest\":\"%s\"}],\"config\":{\"digest\":\"", hex);
    digest_format(&image.config, hex);
    str_addf(&text, "%s\"}}", hex);
    must(blob_put(store, text.data, text.size, &image.manifest, &err), &err);
    must(store_image_put(store, &image, &err), &err);
    reference.manifest = image.manifest;
    must(store_reference_set(store, &reference, &err), &err);
}

/* A row in every table. */
static void fill(struct store *store)
{
    struct layer_row pulled;
    struct layer_row built;
    int64_t base = add_layer(store, LAYER_PULLED, "pulled", &pulled);
    int64_t layer = add_layer(store, LAYER_BUILT, "built", &built);
    struct file_row file = {.size_bytes = 5, .pack = built.pack};
    struct cache_row cache = {.layer = layer, .inputs = (char *)(uintptr_t) "inputs"};
    struct cache_mount_row mount = {.layers = &layer, .layer_count = 1};
    struct error err = {0};
    struct digest blob;

    must(blob_put(store, "form", 4, &blob, &err), &err);
    must(store_layer_blob_add(store, base, CODEC_GZIP, &blob, &err), &err);
    add_image(store, base, &pulled);
    digest_of("built", 5, &file.digest);
    must(store_files_add(store, &file, 1, &err), &err);
    must(store_cache_put(store, &cache, &err), &err);
    must(store_cache_mount_put(store, &mount, &err), &err);
    must(store_context_save(store, "/src", "bytes", 5, &err), &err);
    must(blob_origin_add(store, &blob, "h", "r", &err), &err);
}

static void keep(const char *dir, const char *name)
{
    struct object_copy *object = &objects[object_count++];
    struct error err = {0};
    auto_free char *path = NULL;

    assert(object_count <= OBJECTS_MAX);
    (void)snprintf(object->name, sizeof(object->name), "%s/%s", dir, name);
    path = path_join(state, object->name);
    must(io_read_file(AT_FDCWD, path, 1 << 20, &object->bytes, &err), &err);
}

static void keep_all(const char *dir)
{
    auto_free char *path = path_join(state, dir);
    DIR *list = opendir(path);
    const struct dirent *entry;

    assert(list);
    while ((entry = readdir(list)))
        if (entry->d_name[0] != '.')
            keep(dir, entry->d_name);
    (void)closedir(list);
}

static void write_file(const char *dir, const char *name, const void *bytes, size_t size)
{
    auto_free char *path = path_join(dir, name);
    auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

    assert(fd >= 0 && io_write_full(fd, bytes, size) == 0);
}

static void remove_root(void)
{
    (void)io_remove_tree(AT_FDCWD, root);
}

static void set_up(void)
{
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    struct store *store = NULL;
    struct error err = {0};
    auto_free char *path = NULL;

    (void)snprintf(root, sizeof(root), "%s/img-fuzz-XXXXXX", base);
    assert(mkdtemp(root));
    (void)atexit(remove_root);
    (void)snprintf(state, sizeof(state), "%s/state", root);
    write_file(root, "canary", CANARY, sizeof(CANARY));
    log_set_sink(drop_line, NULL);
    must(store_open(state, NULL, &store, &err), &err);
    fill(store);
    store_close(store);
    path = path_join(state, "img.db");
    must(io_read_file(AT_FDCWD, path, 1 << 24, &database, &err), &err);
    keep_all("packs");
    keep_all("index");
    keep_all("blobs/sha256");
}

/* The small store again, with this database. */
static void restore(const uint8_t *data, size_t size)
{
    auto_free uint8_t *changed = mem_dup(database.data, database.size);
    struct store *store = NULL;
    struct error err = {0};

    assert(io_remove_tree(AT_FDCWD, state) == 0);
    must(store_open(state, NULL, &store, &err), &err);
    store_close(store);
    for (size_t i = 0; i < object_count; i++)
        write_file(state, objects[i].name, objects[i].bytes.data, objects[i].bytes.size);
    if (size > 0 && data[0] == 0) {
        write_file(state, "img.db", data + 1, size - 1);
        return;
    }
    for (size_t at = 1; at + 4 <= size; at += 4) {
        size_t offset = (size_t)data[at] | (size_t)data[at + 1] << 8 | (size_t)data[at + 2] << 16;

        changed[offset % database.size] = data[at + 3];
    }
    write_file(state, "img.db", changed, database.size);
}

/* Whatever the rows say, asking for them is safe. */
static void use(void)
{
    auto_reference_list struct reference_list references = {0};
    auto_image_list struct image_list images = {0};
    auto_cache_list struct cache_list records = {0};
    auto_usage_list struct usage_list usage = {0};
    auto_gc_report struct gc_report report = {0};
    auto_store struct store *store = NULL;
    struct gc_options options = {.all = true};
    struct error err = {0};
    const struct index *index;
    char byte;

    if (store_open(state, NULL, &store, &err) < 0)
        return;
    (void)store_image_list(store, &images, &err);
    (void)store_reference_list(store, NULL, &references, &err);
    (void)store_cache_list(store, &records, &err);
    for (int64_t layer = 0; layer < 4; layer++) {
        struct layer_row row;

        (void)store_index_get(store, layer, &index, &err);
        if (store_layer_get(store, layer, &row, &err) == 0 && row.pack != 0)
            (void)pack_read(store, row.pack, 0, &byte, 1, &err);
    }
    (void)store_usage(store, &usage, &err);
    (void)gc_run(store, &options, &report, &err);
}

static void check_repair(void)
{
    struct fsck_options options = {0};
    struct fsck_result result = {0};
    struct error err = {0};
    struct store *store = NULL;

    (void)fsck_run(state, &options, &result, &err);
    options.repair = true;
    if (fsck_run(state, &options, &result, &err) < 0 ||
        result.repaired_count < result.problem_count)
        return; /* it said so */
    must(fsck_run(state, &options, &result, &err), &err);
    assert(result.problem_count == 0);
    must(store_open(state, NULL, &store, &err), &err);
    store_close(store);
}

static void check_canary(void)
{
    auto_free char *path = path_join(root, "canary");
    auto_str struct str bytes = {0};
    struct error err = {0};

    must(io_read_file(AT_FDCWD, path, 1 << 10, &bytes, &err), &err);
    assert(bytes.size == sizeof(CANARY) && memcmp(bytes.data, CANARY, sizeof(CANARY)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (root[0] == '\0')
        set_up();
    restore(data, size);
    check_repair();
    restore(data, size);
    use();
    check_canary();
    return 0;
}
