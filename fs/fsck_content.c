/* fsck_content.c - rows against files: sizes, contents, and documents that must agree with rows. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/base/json.h"
#include "fs/base/limits.h"
#include "fs/base/stream.h"
#include "fs/blob.h"
#include "fs/fsck_internal.h"
#include "fs/index.h"
#include "fs/layer.h"
#include "fs/sums.h"

#include "fs/base/banned.h"

#define HASH_SIZE ((size_t)256 << 10)
#define OBJECT_TEXT_SIZE (DIGEST_TEXT_SIZE + 16) /* "checksums of " fits in front */

struct verdict {
    enum fsck_kind kind; /* 0: sound */
    char text[256];
};

static void __attribute__((format(printf, 3, 4)))
find(struct verdict *v, enum fsck_kind kind, const char *fmt, ...)
{
    va_list args;

    if (v->kind != 0)
        return; /* the first one explains the others */
    v->kind = kind;
    va_start(args, fmt);
    (void)vsnprintf(v->text, sizeof(v->text), fmt, args); /* cut if need be */
    va_end(args);
}

/* The bytes are those of the digest; so must be what is known of them. */
static int judge_sums(struct fsck *f, const struct digest *digest, uint64_t size_bytes,
                      struct sums *actual, struct error *err)
{
    auto_str struct str known = {0};
    const struct str *sums = sums_final(actual);
    char name[OBJECT_TEXT_SIZE] = "checksums of ";
    int r = store_sums_get(f->store, digest, size_bytes, &known, err);

    if (r == -ENOENT) {
        error_clear(err);
        return 0;
    }
    if (r < 0 || (known.size == sums->size && memcmp(known.data, sums->data, known.size) == 0))
        return r;
    digest_format(digest, name + strlen(name));
    if (f->options->repair)
        r = store_sums_remove(f->store, digest, err);
    fsck_say(f, FSCK_DATABASE, f->options->repair && r == 0, name,
             "they are not those of its bytes");
    return r;
}

/* Looks at size and, unless quick, digest (NULL: not known) of an object. */
static int judge_file(struct fsck *f, const struct object *object, uint64_t size_bytes,
                      const struct digest *digest, struct verdict *v, struct error *err)
{
    auto_close int fd = openat(object_dir(f->store, object->kind), object->name,
                               O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    auto_free uint8_t *buf = NULL;
    auto_hasher struct hasher *hasher = NULL;
    auto_sums struct sums *sums = NULL;
    struct digest actual;
    struct stat st;

    f->result->object_count++;
    if (fd < 0 && errno != ENOENT && errno != ELOOP)
        return error_errno(err, "cannot open '%s/%s/%s'", f->store->path,
                           object_dir_name(object->kind), object->name);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        find(v, FSCK_MISSING, "there is no such file");
        return 0;
    }
    if ((uint64_t)st.st_size != size_bytes) {
        find(v, FSCK_SIZE, "it has %jd bytes instead of %" PRIu64, (intmax_t)st.st_size,
             size_bytes);
        return 0;
    }
    if (f->options->quick || !digest)
        return 0;
    buf = mem_alloc(HASH_SIZE);
    hasher = hasher_new_as(digest->algorithm);
    sums = sums_new();
    for (uint64_t at = 0; at < size_bytes;) {
        size_t size = size_bytes - at < HASH_SIZE ? (size_t)(size_bytes - at) : HASH_SIZE;

        if (io_pread_full(fd, buf, size, at) < 0) {
            find(v, FSCK_CONTENT, "it cannot be read");
            return 0;
        }
        hasher_update(hasher, buf, size);
        sums_update(sums, buf, size);
        at += size;
        f->result->checked_bytes += size;
    }
    hasher_final(hasher, &actual);
    if (digest_equal(&actual, digest))
        return judge_sums(f, digest, size_bytes, sums, err);
    find(v, FSCK_CONTENT, "its bytes do not match its digest");
    return 0;
}

/* A damaged file is of no use to anybody: with its rows gone it would only be an orphan. */
static void remove_file(struct fsck *f, const struct object *object)
{
    if (io_remove_tree(object_dir(f->store, object->kind), object->name) < 0)
        fsck_say(f, FSCK_ORPHAN, false, object->name, "it cannot be removed");
}

/* -- blobs and packs -- */

int fsck_blobs(struct fsck *f, struct error *err)
{
    struct check_blob_list list = {0};
    auto_free struct check_blob *items = NULL;
    int r = check_list_blobs(f->store, &list, err);

    items = list.items;
    for (size_t i = 0; i < list.count && r == 0; i++) {
        char name[OBJECT_TEXT_SIZE] = "blob ";
        struct verdict v = {0};
        struct object object;

        object_of_digest(&items[i].digest, &object);
        digest_format(&items[i].digest, name + strlen(name));
        r = judge_file(f, &object, items[i].size_bytes, &items[i].digest, &v, err);
        if (r < 0 || v.kind == 0)
            continue;
        if (f->options->repair)
            r = check_forget_blob(f->store, &items[i].digest, err);
        if (r == 0 && f->options->repair)
            remove_file(f, &object);
        fsck_say(f, v.kind, f->options->repair && r == 0, name, "%s", v.text);
    }
    return r;
}

int fsck_packs(struct fsck *f, struct error *err)
{
    struct check_pack_list list = {0};
    auto_free struct check_pack *items = NULL;
    int r = check_list_packs(f->store, 0, &list, err);

    items = list.items;
    for (size_t i = 0; i < list.count && r == 0; i++) {
        char name[OBJECT_TEXT_SIZE];
        struct verdict v = {0};
        struct object object;

        object_of_id(OBJECT_PACK, items[i].id, &object);
        (void)snprintf(name, sizeof(name), "pack %s", object.name);
        r = judge_file(f, &object, items[i].size_bytes, NULL, &v, err);
        if (r < 0 || v.kind == 0)
            continue;
        if (f->options->repair)
            r = check_forget_pack(f->store, items[i].id, err);
        if (r == 0 && f->options->repair)
            remove_file(f, &object);
        fsck_say(f, v.kind, f->options->repair && r == 0, name, "%s", v.text);
    }
    return r;
}

/* -- layers -- */

static const struct check_pack *find_pack(const struct check_pack_list *packs, uint64_t id)
{
    for (size_t i = 0; i < packs->count; i++)
        if (packs->items[i].id == id)
            return &packs->items[i];
    return NULL;
}

static void judge_extent(const struct extent *e, const struct check_pack_list *packs,
                         struct verdict *v)
{
    const struct check_pack *pack = find_pack(packs, e->pack);

    if (!pack)
        find(v, FSCK_CLOSURE,
             "its index points into pack %016" PRIx64 ", which it does not own up to", e->pack);
    else if (e->pack_offset > pack->size_bytes || e->length > pack->size_bytes - e->pack_offset)
        find(v, FSCK_CONTENT, "its index points beyond the end of pack %016" PRIx64, e->pack);
}

static void judge_index(const struct index *x, const struct check_pack_list *packs,
                        struct verdict *v)
{
    uint32_t count = index_inode_count(x);

    for (uint32_t i = 0; i < count && v->kind == 0; i++) {
        struct index_inode inode;

        if (index_get(x, i, &inode) < 0) {
            find(v, FSCK_CONTENT, "its index is damaged");
            return;
        }
        for (uint32_t at = 0; at < inode.extent_count && v->kind == 0; at++) {
            struct extent extent;

            if (index_extent(x, i, at, &extent) < 0)
                find(v, FSCK_CONTENT, "its index is damaged");
            else
                judge_extent(&extent, packs, v);
        }
    }
}

static int judge_layer_index(struct fsck *f, const struct check_layer *layer, struct verdict *v,
                             struct error *err)
{
    auto_index struct index *x = NULL;
    struct check_pack_list packs = {0};
    auto_free struct check_pack *items = NULL;
    struct error ignored = {0};
    struct object object;
    int r;

    object_of_id(OBJECT_INDEX, layer->index, &object);
    r = judge_file(f, &object, layer->index_size_bytes, NULL, v, err);
    if (r < 0 || v->kind != 0)
        return r;
    r = index_open(f->store->dirs[STORE_INDEX], object.name, !f->options->quick, &x, &ignored);
    if (r ==
        -ENOTSUP) { /* of a newer version: nothing of it may be called damage, let alone repaired */
        *err = ignored;
        return r;
    }
    if (r < 0) {
        find(v, FSCK_CONTENT, "%s", ignored.text);
        return 0;
    }
    if (f->options->quick)
        return 0;
    r = check_list_packs(f->store, layer->id, &packs, err);
    items = packs.items;
    if (r == 0)
        judge_index(x, &packs, v);
    f->result->checked_bytes += index_file_size_bytes(x);
    return r;
}

/* A built layer's tar is made from index and packs, the same each time. */
static int judge_built_tar(struct fsck *f, const struct layer_row *row, struct verdict *v,
                           struct error *err)
{
    auto_reader struct reader *reader = NULL;
    auto_hasher struct hasher *hasher = hasher_new_as(row->diff_id.algorithm);
    auto_sums struct sums *sums = sums_new();
    auto_free uint8_t *buf = mem_alloc(HASH_SIZE);
    struct error ignored = {0};
    struct digest actual;
    uint64_t size = 0;
    ssize_t n = layer_tar_open(f->store, row->id, &reader, &ignored);

    while (n >= 0 && (n = reader_read(reader, buf, HASH_SIZE, &ignored)) > 0) {
        hasher_update(hasher, buf, (size_t)n);
        sums_update(sums, buf, (size_t)n);
        size += (uint64_t)n;
    }
    f->result->checked_bytes += size;
    if (n < 0) {
        find(v, FSCK_CONTENT, "%s", ignored.text);
        return 0;
    }
    hasher_final(hasher, &actual);
    if (size == row->tar_size_bytes && digest_equal(&actual, &row->diff_id))
        return judge_sums(f, &row->diff_id, size, sums, err);
    find(v, FSCK_CONTENT, "its tar does not match its diff id");
    return 0;
}

static int judge_tar(struct fsck *f, const struct layer_row *row, struct verdict *v,
                     struct error *err)
{
    struct object object;

    if (v->kind != 0 || !row->has_diff_id || f->options->quick)
        return 0;
    if (row->kind == LAYER_BUILT)
        return judge_built_tar(f, row, v, err);
    object_of_id(OBJECT_PACK, row->pack, &object); /* a pulled layer's pack is its tar */
    return judge_file(f, &object, row->tar_size_bytes, &row->diff_id, v, err);
}

static int judge_layer(struct fsck *f, const struct check_layer *layer, struct verdict *v,
                       struct error *err)
{
    struct layer_row row;
    int r = store_layer_get(f->store, layer->id, &row, err);

    if (r == -EUCLEAN) {
        find(v, FSCK_DATABASE, "%s", err->text);
        return 0;
    }
    if (r == 0)
        r = judge_layer_index(f, layer, v, err);
    return r < 0 ? r : judge_tar(f, &row, v, err);
}

int fsck_layers(struct fsck *f, struct error *err)
{
    struct check_layer_list list = {0};
    auto_free struct check_layer *items = NULL;
    int r = check_list_layers(f->store, &list, err);

    items = list.items;
    for (size_t i = 0; i < list.count && r == 0; i++) {
        char name[OBJECT_TEXT_SIZE];
        struct verdict v = {0};
        struct object object;

        (void)snprintf(name, sizeof(name), "layer %" PRId64, items[i].id);
        r = judge_layer(f, &items[i], &v, err);
        if (r < 0 || v.kind == 0)
            continue;
        if (f->options->repair)
            r = check_forget_layer(f->store, items[i].id, err);
        object_of_id(OBJECT_INDEX, items[i].index, &object);
        if (r == 0 && f->options->repair)
            remove_file(f, &object);
        fsck_say(f, v.kind, f->options->repair && r == 0, name, "%s", v.text);
    }
    return r;
}

/* -- images: manifest, config and rows must tell the same -- */

static int read_document(struct fsck *f, const struct digest *digest, size_t size_max,
                         const char *what, struct json **out, struct verdict *v)
{
    auto_str struct str text = {0};
    struct error ignored = {0};
    int r = blob_read(f->store, digest, size_max, &text, &ignored);

    if (r == 0)
        r = json_parse(str_text(&text), text.size, size_max, what, out, &ignored);
    if (r < 0)
        find(v, FSCK_CLOSURE, "%s", ignored.text);
    return r;
}

static bool is_digest(const char *text, const struct digest *digest)
{
    char expected[DIGEST_TEXT_SIZE];

    digest_format(digest, expected);
    return text_equal(text, expected);
}

/* What the manifest calls a layer is a compressed form of it, or its uncompressed tar. */
static int judge_manifest_layer(struct fsck *f, const struct json *descriptor,
                                const struct layer_row *row, size_t position, struct verdict *v,
                                struct error *err)
{
    const char *text = json_get_text(descriptor, "digest");
    struct error ignored = {0};
    struct digest digest;
    bool is_form = false;
    int r;

    if (!text || digest_parse(text, &digest, &ignored) < 0) {
        find(v, FSCK_CLOSURE, "its manifest names no digest for layer %zu", position);
        return 0;
    }
    if (row->has_diff_id && digest_equal(&digest, &row->diff_id))
        return 0;
    r = check_is_form(f->store, row->id, &digest, &is_form, err);
    if (r == 0 && !is_form)
        find(v, FSCK_CLOSURE, "its manifest names %s as layer %zu, which the store does not have",
             text, position);
    return r;
}

static int judge_layers(struct fsck *f, const struct image_row *image, const struct json *manifest,
                        const struct json *config, struct verdict *v, struct error *err)
{
    const struct json *layers = json_get_array(manifest, "layers");
    const struct json *ids = json_get_array(json_get_object(config, "rootfs"), "diff_ids");
    int r = 0;

    if (json_count(layers) != image->layer_count || json_count(ids) != image->layer_count) {
        find(v, FSCK_CLOSURE, "manifest, config and rows have %zu, %zu and %zu layers",
             json_count(layers), json_count(ids), image->layer_count);
        return 0;
    }
    for (size_t i = 0; i < image->layer_count && r == 0 && v->kind == 0; i++) {
        struct layer_row row;

        r = store_layer_get(f->store, image->layers[i], &row, err);
        if (r < 0)
            return r;
        if (!row.has_diff_id || !is_digest(json_text(json_at(ids, i)), &row.diff_id))
            find(v, FSCK_CLOSURE, "its config names another diff id for layer %zu", i);
        else
            r = judge_manifest_layer(f, json_at(layers, i), &row, i, v, err);
    }
    return r;
}

static int judge_image(struct fsck *f, const struct image_row *image, struct verdict *v,
                       struct error *err)
{
    auto_json struct json *manifest = NULL;
    auto_json struct json *config = NULL;

    f->result->object_count++;
    if (read_document(f, &image->manifest, LIMIT_MANIFEST_SIZE, "manifest", &manifest, v) < 0 ||
        read_document(f, &image->config, LIMIT_CONFIG_SIZE, "config", &config, v) < 0)
        return 0;
    if (!is_digest(json_get_text(json_get_object(manifest, "config"), "digest"), &image->config)) {
        find(v, FSCK_CLOSURE, "its manifest names another config");
        return 0;
    }
    return judge_layers(f, image, manifest, config, v, err);
}

int fsck_images(struct fsck *f, struct error *err)
{
    auto_image_list struct image_list list = {0};
    int r = store_image_list(f->store, &list, err);

    for (size_t i = 0; i < list.count && r == 0; i++) {
        char name[OBJECT_TEXT_SIZE] = "image ";
        struct verdict v = {0};

        digest_format(&list.items[i].manifest, name + strlen(name));
        r = judge_image(f, &list.items[i], &v, err);
        if (r < 0 || v.kind == 0)
            continue;
        if (f->options->repair)
            r = store_image_remove(f->store, &list.items[i].manifest, err);
        fsck_say(f, v.kind, f->options->repair && r == 0, name, "%s", v.text);
    }
    return r;
}

/* -- shared contents -- */

static void judge_content(struct fsck *f, int fd, const struct file_row *file, struct verdict *v)
{
    auto_hasher struct hasher *hasher = hasher_new_as(file->digest.algorithm);
    auto_free uint8_t *buf = mem_alloc(HASH_SIZE);
    struct digest actual;

    for (uint64_t done = 0; done < file->size_bytes;) {
        uint64_t left = file->size_bytes - done;
        size_t size = left < HASH_SIZE ? (size_t)left : HASH_SIZE;

        if (io_pread_full(fd, buf, size, file->pack_offset + done) < 0) {
            find(v, FSCK_CONTENT, "its bytes cannot be read");
            return;
        }
        hasher_update(hasher, buf, size);
        done += size;
        f->result->checked_bytes += size;
    }
    hasher_final(hasher, &actual);
    if (!digest_equal(&actual, &file->digest))
        find(v, FSCK_CONTENT, "its bytes in pack %016" PRIx64 " do not match its digest",
             file->pack);
}

static int judge_shared(struct fsck *f, const struct file_row *file, struct verdict *v)
{
    auto_close int fd = -1;
    struct object object;
    struct stat st;

    object_of_id(OBJECT_PACK, file->pack, &object);
    fd = openat(f->store->dirs[STORE_PACKS], object.name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        find(v, FSCK_MISSING, "there is no pack %s", object.name);
    else if (file->pack_offset > (uint64_t)st.st_size ||
             file->size_bytes > (uint64_t)st.st_size - file->pack_offset)
        find(v, FSCK_CONTENT, "it lies beyond the end of pack %s", object.name);
    else if (!f->options->quick)
        judge_content(f, fd, file, v);
    return 0;
}

int fsck_files(struct fsck *f, struct error *err)
{
    struct check_file_list list = {0};
    auto_free struct file_row *items = NULL;
    int r = check_list_files(f->store, &list, err);

    items = list.items;
    for (size_t i = 0; i < list.count && r == 0; i++) {
        char name[OBJECT_TEXT_SIZE] = "file ";
        struct verdict v = {0};

        digest_format(&items[i].digest, name + strlen(name));
        f->result->object_count++;
        r = judge_shared(f, &items[i], &v);
        if (r < 0 || v.kind == 0)
            continue;
        if (f->options->repair)
            r = check_forget_file(f->store, &items[i].digest, err);
        fsck_say(f, v.kind, f->options->repair && r == 0, name, "%s", v.text);
    }
    return r;
}
