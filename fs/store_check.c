/* store_check.c - the rows for a check, and forgetting what is damaged with all that needs it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/fsck_internal.h"
#include "fs/store_sql_internal.h"

#include "fs/base/banned.h"

int check_list_blobs(struct store *store, struct check_blob_list *out, struct error *err)
{
    auto_sql struct sql q = {0};
    int r = sql_open(&q, store, "SELECT digest, size_bytes FROM blob ORDER BY digest", err);

    if (r < 0)
        return r;
    while ((r = sql_step(&q, err)) > 0) {
        struct check_blob *blob = array_add(out);

        sql_digest(&q, 0, &blob->digest);
        blob->size_bytes = sql_u64(&q, 1);
    }
    return r < 0 ? r : sql_check(&q, err);
}

int check_list_packs(struct store *store, int64_t layer, struct check_pack_list *out,
                     struct error *err)
{
    auto_sql struct sql q = {0};
    int r = sql_open(&q, store,
                     "SELECT id, size_bytes FROM pack WHERE ?1 = 0 OR id IN"
                     " (SELECT pack FROM layer_pack WHERE layer = ?1) ORDER BY id",
                     err);

    if (r < 0)
        return r;
    sql_bind_i64(&q, 1, layer);
    while ((r = sql_step(&q, err)) > 0) {
        struct check_pack *pack = array_add(out);

        pack->id = sql_u64(&q, 0);
        pack->size_bytes = sql_u64(&q, 1);
    }
    return r < 0 ? r : sql_check(&q, err);
}

int check_list_layers(struct store *store, struct check_layer_list *out, struct error *err)
{
    auto_sql struct sql q = {0};
    int r =
        sql_open(&q, store, "SELECT id, index_id, index_size_bytes FROM layer ORDER BY id", err);

    if (r < 0)
        return r;
    while ((r = sql_step(&q, err)) > 0) {
        struct check_layer *layer = array_add(out);

        layer->id = sql_i64(&q, 0);
        layer->index = sql_u64(&q, 1);
        layer->index_size_bytes = sql_u64(&q, 2);
    }
    return r < 0 ? r : sql_check(&q, err);
}

int check_list_files(struct store *store, struct check_file_list *out, struct error *err)
{
    auto_sql struct sql q = {0};
    int r = sql_open(&q, store,
                     "SELECT digest, size_bytes, pack, pack_offset FROM file"
                     " ORDER BY pack, pack_offset",
                     err);

    if (r < 0)
        return r;
    while ((r = sql_step(&q, err)) > 0) {
        struct file_row *file = array_add(out);

        sql_digest(&q, 0, &file->digest);
        file->size_bytes = sql_u64(&q, 1);
        file->pack = sql_u64(&q, 2);
        file->pack_offset = sql_u64(&q, 3);
    }
    return r < 0 ? r : sql_check(&q, err);
}

int check_is_form(struct store *store, int64_t layer, const struct digest *blob, bool *is_form,
                  struct error *err)
{
    auto_sql struct sql q = {0};
    int r = sql_open(&q, store, "SELECT 1 FROM layer_blob WHERE layer = ?1 AND blob = ?2", err);

    if (r < 0)
        return r;
    sql_bind_i64(&q, 1, layer);
    sql_bind_digest(&q, 2, blob);
    r = sql_step(&q, err);
    if (r < 0)
        return r;
    *is_form = r > 0;
    return 0;
}

/* -- forgetting: rows that refer to the damaged one go first -- */

int check_forget_blob(struct store *store, const struct digest *digest, struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    int r = store_begin(store, &tx, err);

    if (r == 0)
        r = sql_exec_digest(store, "DELETE FROM image WHERE manifest = ?1 OR config = ?1", digest,
                            err);
    if (r == 0)
        r = sql_exec_digest(store, "DELETE FROM layer_blob WHERE blob = ?1", digest, err);
    if (r == 0)
        r = sql_exec_digest(store, "DELETE FROM blob WHERE digest = ?1", digest, err);
    return r < 0 ? r : store_commit(&tx, err);
}

/* Everything that stands on layers which `?1` selects through this condition. */
#define FORGET_LAYERS(condition)                                                                   \
    {                                                                                              \
        "DELETE FROM image WHERE manifest IN (SELECT image FROM image_layer WHERE layer"           \
        " IN (SELECT id FROM layer WHERE " condition "))",                                         \
            "DELETE FROM cache_mount WHERE id IN (SELECT mount FROM cache_mount_layer WHERE layer" \
            " IN (SELECT id FROM layer WHERE " condition "))",                                     \
            "DELETE FROM layer WHERE " condition,                                                  \
    }

static int forget_layers(struct store *store, const char *const texts[3], int64_t id,
                         struct error *err)
{
    int r = 0;

    for (size_t i = 0; i < 3 && r == 0; i++)
        r = sql_exec_i64(store, texts[i], id, err);
    return r;
}

int check_forget_layer(struct store *store, int64_t id, struct error *err)
{
    static const char *const texts[3] = FORGET_LAYERS("id = ?1");
    auto_store_tx struct store_tx tx = {0};
    int r = store_begin(store, &tx, err);

    if (r == 0)
        r = forget_layers(store, texts, id, err);
    return r < 0 ? r : store_commit(&tx, err);
}

int check_forget_pack(struct store *store, uint64_t id, struct error *err)
{
    static const char *const texts[3] =
        FORGET_LAYERS("pack = ?1 OR id IN (SELECT p.layer FROM layer_pack p WHERE p.pack = ?1)");
    auto_store_tx struct store_tx tx = {0};
    int r = store_begin(store, &tx, err);

    if (r == 0)
        r = forget_layers(store, texts, (int64_t)id, err);
    if (r == 0)
        r = sql_exec_i64(store, "DELETE FROM pack WHERE id = ?1", (int64_t)id, err);
    return r < 0 ? r : store_commit(&tx, err);
}

int check_forget_file(struct store *store, const struct digest *digest, struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    int r = store_begin(store, &tx, err);

    if (r == 0)
        r = sql_exec_digest(store, "DELETE FROM file WHERE digest = ?1", digest, err);
    return r < 0 ? r : store_commit(&tx, err);
}

/* -- what SQLite finds -- */

static int add_findings(struct store *store, const char *text, const char *prefix, struct strv *out,
                        struct error *err)
{
    auto_sql struct sql q = {0};
    int r = sql_open(&q, store, text, err);

    if (r < 0)
        return r;
    while ((r = sql_step(&q, err)) > 0) {
        auto_free char *finding = sql_text(&q, 0);

        if (finding && strcmp(finding, "ok") != 0)
            strv_addf(out, "%s%s", prefix, finding);
    }
    return r;
}

int check_database(struct store *store, bool quick, struct strv *out, struct error *err)
{
    int r = quick ? add_findings(store, "PRAGMA quick_check(20)", "", out, err)
                  : add_findings(store, "PRAGMA integrity_check(20)", "", out, err);

    if (r == 0)
        r = add_findings(store, "PRAGMA foreign_key_check", "a row refers to nothing in table ",
                         out, err);
    if (r != -EUCLEAN)
        return r;
    strv_add(out, err->text); /* so damaged that the check itself gave up */
    return 0;
}
