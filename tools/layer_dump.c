/* layer_dump.c - prints layers as text (tools/dump.h): of a store, or straight from a tar.
 *
 *     layer-dump [--state DIR] LAYER...   layers of a store, by id
 *     layer-dump FILE...                  tars, compressed or not, as they would be taken in
 *
 * A file goes through a store of its own in a temporary directory, so what is shown is what a pull
 * would give.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/layer.h"
#include "fs/pack.h"
#include "fs/store.h"
#include "tools/dump.h"

#include "fs/base/banned.h"

static int read_pack(void *context, uint64_t pack, uint64_t offset, void *buf, size_t size,
                     struct error *err)
{
    return pack_read(context, pack, offset, buf, size, err);
}

static int print_layer(struct store *store, int64_t layer, struct error *err)
{
    const struct index *x;
    auto_str struct str text = {0};
    int r = store_index_get(store, layer, &x, err);

    if (r == 0)
        r = dump_index(x, read_pack, store, &text, err);
    if (r == 0)
        (void)fputs(str_text(&text), stdout); /* main looks at the stream once, at the end */
    return r;
}

static int ingest_file(struct store *store, const char *path, int64_t *layer, struct error *err)
{
    auto_layer_ingest struct layer_ingest *in = NULL;
    auto_free char *buf = mem_alloc(1 << 20);
    auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct layer_ingest_options options = {.what = path, .blob_size_bytes = UINT64_MAX};
    ssize_t n;
    int r;

    if (fd < 0)
        return error_errno(err, "cannot open '%s'", path);
    r = layer_ingest_open(store, &options, &in, err);
    while (r == 0 && (n = read(fd, buf, 1 << 20)) != 0) {
        if (n < 0)
            return error_errno(err, "cannot read '%s'", path);
        r = layer_ingest_write(in, buf, (size_t)n, err);
    }
    return r < 0 ? r : layer_ingest_commit(STEAL(&in), layer, err);
}

static int print_files(char **paths, struct error *err)
{
    char directory[] = "/tmp/layer-dump.XXXXXX";
    auto_store struct store *store = NULL;
    int r;

    if (!mkdtemp(directory))
        return error_errno(err, "cannot make '%s'", directory);
    r = store_open(directory, NULL, &store, err);
    for (; r == 0 && *paths; paths++) {
        int64_t layer;

        r = ingest_file(store, *paths, &layer, err);
        if (r == 0)
            r = print_layer(store, layer, err);
    }
    store_close(STEAL(&store));
    (void)io_remove_tree(AT_FDCWD, directory); /* what is left lies in /tmp */
    return r;
}

static int print_layers(const char *state, char **ids, struct error *err)
{
    struct store_options options = {.must_exist = true};
    auto_store struct store *store = NULL;
    int r = store_open(state, &options, &store, err);

    for (; r == 0 && *ids; ids++) {
        uint64_t id;

        if (!text_to_u64(*ids, INT64_MAX, &id))
            return error_set(err, EINVAL, "'%s' is not the number of a layer", *ids);
        r = print_layer(store, (int64_t)id, err);
    }
    return r;
}

static int run(int argc, char **argv, struct error *err)
{
    auto_free char *state = NULL;
    uint64_t ignored;
    int r = 0;

    if (argc > 2 && text_equal(argv[1], "--state"))
        return print_layers(argv[2], argv + 3, err);
    if (!text_to_u64(argv[1], INT64_MAX, &ignored))
        return print_files(argv + 1, err);
    r = store_default_path(&state, err);
    return r < 0 ? r : print_layers(state, argv + 1, err);
}

int main(int argc, char **argv)
{
    struct error err = {0};

    if (argc < 2) {
        (void)fputs("usage: layer-dump [--state DIR] LAYER... | FILE...\n", stderr);
        return 2;
    }
    if (run(argc, argv, &err) < 0 || fflush(stdout) != 0) {
        (void)fprintf(stderr, "layer-dump: %s\n", err.code ? err.text : "cannot write");
        return 1;
    }
    return 0;
}
