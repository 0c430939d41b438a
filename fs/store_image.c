/* store_image.c - rows of images and of the references that name them. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/failpoint.h"
#include "fs/base/io.h"
#include "fs/store_sql_internal.h"

#include "fs/base/banned.h"

#define REFERENCE_NAME_MAX 575 /* repository 255, tag 128, digest 135, separators; and a host */

#define IMAGE_COLUMNS "SELECT manifest, media_type, config, size_bytes, created_ns FROM image "
#define REFERENCE_COLUMNS "SELECT name, image, index_digest, created_ns, updated_ns FROM reference "

static const struct layer_stack image_stack = {
    .noun = "an image",
    .select = "SELECT layer FROM image_layer WHERE image = ?1 ORDER BY position",
    .clear = "DELETE FROM image_layer WHERE image = ?1",
    .insert = "INSERT INTO image_layer (image, position, layer) VALUES (?1, ?2, ?3)",
};

void image_row_release(struct image_row *row)
{
    free(row->media_type);
    free(row->layers);
    *row = (struct image_row){0};
}

void image_list_release(struct image_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        image_row_release(&list->items[i]);
    free(list->items);
    *list = (struct image_list){0};
}

void reference_row_release(struct reference_row *row)
{
    free(row->name);
    *row = (struct reference_row){0};
}

void reference_list_release(struct reference_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        reference_row_release(&list->items[i]);
    free(list->items);
    *list = (struct reference_list){0};
}

static int no_image(struct store *store, const struct digest *manifest, struct error *err)
{
    char text[DIGEST_TEXT_SIZE];

    digest_format(manifest, text);
    return error_set(err, ENOENT, "there is no image %s in the store '%s'", text, store->path);
}

/* -- images -- */

static int put_row(struct store *store, const struct image_row *row, struct error *err)
{
    auto_sql struct sql q = {0};
    int r = sql_open(&q, store,
                     "INSERT INTO image (manifest, media_type, config, size_bytes, created_ns)"
                     " VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (manifest) DO UPDATE SET"
                     " media_type = excluded.media_type, config = excluded.config,"
                     " size_bytes = excluded.size_bytes",
                     err);

    if (r < 0)
        return r;
    sql_bind_digest(&q, 1, &row->manifest);
    sql_bind_text(&q, 2, row->media_type);
    sql_bind_digest(&q, 3, &row->config);
    sql_bind_u64(&q, 4, row->size_bytes);
    sql_bind_i64(&q, 5, row->created_ns ? row->created_ns : io_now_ns());
    return sql_run(&q, err);
}

int store_image_put(struct store *store, const struct image_row *row, struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    char text[DIGEST_TEXT_SIZE];
    int r = store_begin(store, &tx, err);

    if (r == 0)
        r = put_row(store, row, err);
    if (r == 0)
        r = layer_stack_put(store, &image_stack, &row->manifest, row->layers, row->layer_count,
                            err);
    if (r == -ENOENT) {
        digest_format(&row->manifest, text);
        return error_set(err, ENOENT,
                         "the manifest, config or a layer of image %s is not in the store '%s'",
                         text, store->path);
    }
    if (r == 0 && FAILPOINT("image.put") < 0)
        r = error_errno(err, "cannot insert an image");
    return r < 0 ? r : store_commit(&tx, err);
}

static int read_image(struct sql *q, struct image_row *out, struct error *err)
{
    auto_image_row struct image_row row = {0};
    int r;

    sql_digest(q, 0, &row.manifest);
    row.media_type = sql_text(q, 1);
    sql_digest(q, 2, &row.config);
    row.size_bytes = sql_u64(q, 3);
    row.created_ns = sql_i64(q, 4);
    r = sql_check(q, err);
    if (r == 0)
        r = layer_stack_get(q->store, &image_stack, &row.manifest, &row.layers, &row.layer_count,
                            err);
    if (r < 0)
        return r;
    *out = STEAL(&row);
    return 0;
}

static int read_images(struct sql *q, struct image_list *out, struct error *err)
{
    auto_image_list struct image_list list = {0};
    int r;

    while ((r = sql_step(q, err)) > 0) {
        r = read_image(q, array_add(&list), err);
        if (r < 0)
            return r;
    }
    if (r < 0)
        return r;
    *out = STEAL(&list);
    return 0;
}

int store_image_get(struct store *store, const struct digest *manifest, struct image_row *out,
                    struct error *err)
{
    auto_sql struct sql q = {0};
    int r = sql_find_digest(&q, store, IMAGE_COLUMNS "WHERE manifest = ?1", manifest, err);

    if (r == 0)
        return no_image(store, manifest, err);
    return r < 0 ? r : read_image(&q, out, err);
}

int store_image_list(struct store *store, struct image_list *out, struct error *err)
{
    auto_sql struct sql q = {0};
    int r = sql_open(&q, store, IMAGE_COLUMNS "ORDER BY created_ns DESC, manifest", err);

    return r < 0 ? r : read_images(&q, out, err);
}

#define SHA256_DIGITS 64u

/* All digests that begin with `hex` lie between these two. Of two blobs that begin alike the shorter
 * one is less to SQLite: so the lower bound is as short, and the upper as long, as they come. */
static int prefix_bounds(const char *hex, struct digest *low, struct digest *high,
                         struct error *err)
{
    size_t size = strlen(hex);
    char text[DIGEST_HEX_SIZE];
    int r;

    if (size == 0 || size >= DIGEST_HEX_SIZE || strspn(hex, "0123456789abcdef") != size)
        return error_set(err, EINVAL, "'%.160s' does not begin a digest", hex);
    memset(text, 'f', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    memcpy(text, hex, size);
    r = digest_parse_hex(text, high, err);
    memset(text + size, '0', sizeof(text) - 1 - size);
    if (size <= SHA256_DIGITS)
        text[SHA256_DIGITS] = '\0';
    return r < 0 ? r : digest_parse_hex(text, low, err);
}

int store_image_find(struct store *store, const char *hex, struct image_list *out,
                     struct error *err)
{
    auto_sql struct sql q = {0};
    struct digest high;
    struct digest low;
    int r = prefix_bounds(hex, &low, &high, err);

    if (r == 0)
        r = sql_open(&q, store, IMAGE_COLUMNS "WHERE manifest BETWEEN ?1 AND ?2 ORDER BY manifest",
                     err);
    if (r < 0)
        return r;
    sql_bind_digest(&q, 1, &low);
    sql_bind_digest(&q, 2, &high);
    return read_images(&q, out, err);
}

int store_image_remove(struct store *store, const struct digest *manifest, struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    int r = store_begin(store, &tx, err);

    if (r == 0)
        r = sql_exec_digest(store, "DELETE FROM image WHERE manifest = ?1", manifest, err);
    if (r == 0 && sql_changes(store) == 0)
        r = no_image(store, manifest, err);
    return r < 0 ? r : store_commit(&tx, err);
}

/* -- references -- */

int store_reference_set(struct store *store, const struct reference_row *row, struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    auto_sql struct sql q = {0};
    size_t size = strlen(row->name);
    int r;

    if (size == 0 || size > REFERENCE_NAME_MAX)
        return error_set(err, EINVAL, "a reference of %zu bytes is not from 1 to %d long", size,
                         REFERENCE_NAME_MAX);
    r = store_begin(store, &tx, err);
    if (r == 0)
        r = sql_open(&q, store,
                     "INSERT INTO reference (name, image, index_digest, created_ns, updated_ns)"
                     " VALUES (?1, ?2, ?3, ?4, ?4) ON CONFLICT (name) DO UPDATE SET"
                     " updated_ns = iif(image = excluded.image, updated_ns, excluded.updated_ns),"
                     " image = excluded.image, index_digest = excluded.index_digest",
                     err);
    if (r < 0)
        return r;
    sql_bind_text(&q, 1, row->name);
    sql_bind_digest(&q, 2, &row->manifest);
    sql_bind_digest(&q, 3, row->has_index ? &row->index : NULL);
    sql_bind_i64(&q, 4, io_now_ns());
    r = sql_run(&q, err);
    if (r == -ENOENT)
        r = no_image(store, &row->manifest, err);
    return r < 0 ? r : store_commit(&tx, err);
}

static int read_reference(struct sql *q, struct reference_row *out, struct error *err)
{
    auto_reference_row struct reference_row row = {0};
    int r;

    row.name = sql_text(q, 0);
    sql_digest(q, 1, &row.manifest);
    row.has_index = !sql_is_null(q, 2);
    if (row.has_index)
        sql_digest(q, 2, &row.index);
    row.created_ns = sql_i64(q, 3);
    row.updated_ns = sql_i64(q, 4);
    r = sql_check(q, err);
    if (r < 0)
        return r;
    *out = STEAL(&row);
    return 0;
}

static int no_reference(struct store *store, const char *name, struct error *err)
{
    return error_set(err, ENOENT, "there is no '%s' in the store '%s'", name, store->path);
}

int store_reference_get(struct store *store, const char *name, struct reference_row *out,
                        struct error *err)
{
    auto_sql struct sql q = {0};
    int r = sql_open(&q, store, REFERENCE_COLUMNS "WHERE name = ?1", err);

    if (r < 0)
        return r;
    sql_bind_text(&q, 1, name);
    r = sql_step(&q, err);
    if (r == 0)
        return no_reference(store, name, err);
    return r < 0 ? r : read_reference(&q, out, err);
}

int store_reference_remove(struct store *store, const char *name, struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    auto_sql struct sql q = {0};
    int r = store_begin(store, &tx, err);

    if (r == 0)
        r = sql_open(&q, store, "DELETE FROM reference WHERE name = ?1", err);
    if (r < 0)
        return r;
    sql_bind_text(&q, 1, name);
    r = sql_run(&q, err);
    if (r == 0 && sql_changes(store) == 0)
        r = no_reference(store, name, err);
    return r < 0 ? r : store_commit(&tx, err);
}

int store_reference_list(struct store *store, const struct digest *manifest,
                         struct reference_list *out, struct error *err)
{
    auto_reference_list struct reference_list list = {0};
    auto_sql struct sql q = {0};
    int r =
        sql_open(&q, store, REFERENCE_COLUMNS "WHERE ?1 IS NULL OR image = ?1 ORDER BY name", err);

    if (r < 0)
        return r;
    sql_bind_digest(&q, 1, manifest);
    while ((r = sql_step(&q, err)) > 0) {
        r = read_reference(&q, array_add(&list), err);
        if (r < 0)
            return r;
    }
    if (r < 0)
        return r;
    *out = STEAL(&list);
    return 0;
}
