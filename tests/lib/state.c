/* state.c - stores for tests. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/blob.h"
#include "fs/index.h"
#include "fs/pack.h"
#include "tests/lib/state.h"
#include "tests/lib/test.h"

static char path[4096];

const char *state_path(void)
{
    auto_free char *joined = path_join(test_dir(), "state");

    (void)strncpy(path, joined, sizeof(path) - 1);
    return path;
}

struct store *state_open(void)
{
    struct store *store = NULL;

    check_ok(store_open(state_path(), NULL, &store, &test_err));
    return store;
}

char *state_file(const char *name)
{
    return str_format("%s/%s", state_path(), name);
}

bool state_has(const char *name)
{
    auto_free char *file = state_file(name);

    return access(file, F_OK) == 0;
}

void state_list(const char *dir, struct str *out)
{
    auto_free char *name = state_file(dir);
    struct dirent **entries = NULL;
    int count = scandir(name, &entries, NULL, alphasort);

    check_ok(count);
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.')
            str_addf(out, "%s\n", entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
}

void state_write(const char *name, const char *text)
{
    auto_free char *file = state_file(name);
    auto_close int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    check_ok(fd);
    check_ok(io_write_full(fd, text, strlen(text)));
}

struct digest state_digest(const char *text)
{
    struct digest digest;

    digest_of(text, strlen(text), &digest);
    return digest;
}

static uint64_t make_pack(struct store *store, const char *content)
{
    auto_close int fd = -1;
    uint64_t pack = 0;

    check_ok(pack_create(store, &pack, &fd, &test_err));
    check_ok(io_write_full(fd, content, strlen(content)));
    check_ok(pack_adopt(store, pack, fd, &test_err));
    return pack;
}

int state_index_add(struct store *store, uint64_t pack, uint64_t size, uint64_t *index,
                    struct error *err)
{
    auto_index_builder struct index_builder *builder = index_builder_new();
    struct extent extent = {.length = size, .pack = pack};
    struct index_new_entry entry = {
        .path = "file",
        .meta = {.type = ENTRY_FILE, .mode = 0644, .size_bytes = size},
        .extents = &extent,
        .extent_count = 1,
    };
    auto_close int fd = -1;
    int r = index_builder_add(builder, &entry, err);

    if (r == 0)
        r = store_index_create(store, index, &fd, err);
    if (r == 0)
        r = index_builder_write(builder, fd, err);
    return r < 0 ? r : store_index_adopt(store, *index, fd, err);
}

static uint64_t make_index(struct store *store, uint64_t pack, uint64_t size)
{
    uint64_t index = 0;

    check_ok(state_index_add(store, pack, size, &index, &test_err));
    return index;
}

static int64_t insert(struct store *store, struct layer_row *row, const uint64_t *packs,
                      size_t count)
{
    int64_t layer = 0;

    check_ok(store_layer_insert(store, row, packs, count, &layer, &test_err));
    return layer;
}

int64_t state_built(struct store *store, const char *content)
{
    struct layer_row row = {.kind = LAYER_BUILT, .entry_count = 1, .data_bytes = strlen(content)};

    row.pack = make_pack(store, content);
    row.index = make_index(store, row.pack, strlen(content));
    return insert(store, &row, NULL, 0);
}

int64_t state_sharing(struct store *store, int64_t other)
{
    struct layer_row row = {.kind = LAYER_BUILT, .entry_count = 1};
    struct layer_row old;

    check_ok(store_layer_get(store, other, &old, &test_err));
    row.index = make_index(store, old.pack, old.data_bytes);
    return insert(store, &row, &old.pack, 1);
}

int64_t state_pulled(struct store *store, const char *content)
{
    struct layer_row row = {.kind = LAYER_PULLED, .entry_count = 1, .data_bytes = strlen(content)};
    auto_free char *blob = str_format("gz:%s", content);
    struct digest digest;
    int64_t layer;

    row.pack = make_pack(store, content);
    row.index = make_index(store, row.pack, strlen(content));
    row.has_diff_id = true;
    row.diff_id = state_digest(content);
    row.tar_size_bytes = strlen(content);
    layer = insert(store, &row, NULL, 0);
    check_ok(blob_put(store, blob, strlen(blob), &digest, &test_err));
    check_ok(store_layer_blob_add(store, layer, CODEC_GZIP, &digest, &test_err));
    return layer;
}

void state_image(struct store *store, const char *name, const char *salt, const int64_t *layers,
                 size_t count, struct digest *manifest)
{
    auto_str struct str config = {0};
    auto_str struct str text = {0};
    struct image_row row = {.media_type = (char *)(uintptr_t) "application/x", .size_bytes = 1};
    auto_free int64_t *copy = mem_dup(layers, count * sizeof(*layers));
    char hex[DIGEST_TEXT_SIZE];

    str_addf(&config, "{\"author\":\"%s\",\"rootfs\":{\"diff_ids\":[", salt);
    for (size_t i = 0; i < count; i++) {
        struct layer_row layer;

        check_ok(store_layer_get(store, layers[i], &layer, &test_err));
        digest_format(&layer.diff_id, hex);
        str_addf(&config, "%s\"%s\"", i > 0 ? "," : "", hex);
    }
    str_add(&config, "]}}");
    check_ok(blob_put(store, str_text(&config), config.size, &row.config, &test_err));
    digest_format(&row.config, hex);
    str_addf(&text, "{\"config\":{\"digest\":\"%s\"},\"layers\":[", hex);
    for (size_t i = 0; i < count; i++) {
        struct layer_blob_row form;

        check_ok(store_layer_blob_find(store, layers[i], CODEC_DETECT, NULL, &form, &test_err));
        digest_format(&form.digest, hex);
        str_addf(&text, "%s{\"digest\":\"%s\"}", i > 0 ? "," : "", hex);
    }
    str_add(&text, "]}");
    check_ok(blob_put(store, str_text(&text), text.size, &row.manifest, &test_err));
    row.layers = copy;
    row.layer_count = count;
    check_ok(store_image_put(store, &row, &test_err));
    if (name) {
        struct reference_row reference = {.name = mem_strdup(name), .manifest = row.manifest};

        check_ok(store_reference_set(store, &reference, &test_err));
        free(reference.name);
    }
    if (manifest)
        *manifest = row.manifest;
}

void state_cache(struct store *store, const char *key, const char *parent, int64_t layer)
{
    struct cache_row row = {.key = state_digest(key), .layer = layer};
    auto_free char *description = str_format("RUN %s", key);

    row.description = description;
    row.has_parent = parent != NULL;
    if (parent)
        row.parent = state_digest(parent);
    check_ok(store_cache_put(store, &row, &test_err));
}
