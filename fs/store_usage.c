/* store_usage.c - what takes space, who needs it, and when it was last used. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/hash.h"
#include "fs/base/io.h"
#include "fs/blob.h"
#include "fs/gc_internal.h"
#include "fs/logs.h"
#include "fs/store_sql_internal.h"

#include "fs/base/banned.h"

#define SHORT_ID_SIZE 17 /* 16 hex digits and NUL */

/* A layer is in use when an image with a name has it. */
#define IS_NAMED_LAYER                                                                             \
    "EXISTS (SELECT 1 FROM image_layer JOIN reference ON reference.image = image_layer.image"      \
    " WHERE image_layer.layer = layer.id)"

/* The id under which the record before `c` is listed: its layer's, else its own. */
#define PARENT_ID                                                                                  \
    "(SELECT coalesce((SELECT printf('%016x', l.index_id) FROM layer l WHERE l.id = p.layer),"     \
    " lower(hex(substr(p.key, 1, 8)))) FROM cache p WHERE p.key = c.parent)"

void usage_list_release(struct usage_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].id);
        free(list->items[i].description);
        free(list->items[i].parent);
    }
    free(list->items);
    *list = (struct usage_list){0};
}

static char *short_id(const struct digest *digest)
{
    char hex[DIGEST_HEX_SIZE];

    digest_format_hex(digest, hex);
    hex[SHORT_ID_SIZE - 1] = '\0';
    return mem_strdup(hex);
}

/* Text for people: never NULL, whatever the row has. */
static char *description(struct sql *q, int at, const char *fallback)
{
    char *text = sql_text(q, at);

    if (text && *text)
        return text;
    free(text);
    return mem_strdup(fallback);
}

/* Four columns: made, used, the order of uses and their number. */
static void read_uses(struct sql *q, int at, struct usage_row *row)
{
    row->created_ns = sql_i64(q, at);
    row->used_ns = sql_i64(q, at + 1);
    row->used_order = sql_i64(q, at + 2);
    row->use_count = sql_u64(q, at + 3);
}

/* Six columns: key, description, and those four. */
static struct usage_row *add_keyed(struct usage_list *list, enum usage_kind kind, struct sql *q)
{
    struct usage_row *row = array_add(list);

    sql_digest(q, 0, &row->key);
    row->kind = kind;
    row->id = short_id(&row->key);
    row->description = description(q, 1, "");
    read_uses(q, 2, row);
    return row;
}

/* -- layers -- */

static int list_layers(struct store *store, struct usage_list *list, struct error *err)
{
    auto_sql struct sql q = {0};
    int r = sql_open(
        &q, store,
        "SELECT layer.id, layer.kind, layer.index_id, c.description,"
        " " IS_NAMED_LAYER ","
        " (SELECT count(*) FROM image_layer WHERE image_layer.layer = layer.id)"
        " + (SELECT count(*) FROM cache WHERE cache.layer = layer.id)"
        " + (SELECT count(*) FROM layer_pack WHERE layer_pack.pack = layer.pack"
        "    AND layer_pack.layer <> layer.id),"
        " layer.created_ns, c.used_ns, c.used_order,"
        " (SELECT sum(use_count) FROM cache WHERE cache.layer = layer.id),"
        " " PARENT_ID " FROM layer LEFT JOIN cache c ON c.key = (SELECT key FROM cache WHERE"
        "  cache.layer = layer.id ORDER BY used_order DESC, key LIMIT 1)"
        " WHERE NOT EXISTS (SELECT 1 FROM cache_mount_layer m WHERE m.layer = layer.id)"
        " OR c.key IS NOT NULL"
        " OR EXISTS (SELECT 1 FROM image_layer i WHERE i.layer = layer.id)"
        " ORDER BY layer.id",
        err);

    if (r < 0)
        return r;
    while ((r = sql_step(&q, err)) > 0) {
        struct usage_row *row = array_add(list);
        char name[STORE_NAME_SIZE];

        store_object_name(sql_u64(&q, 2), name);
        row->kind = USAGE_LAYER;
        row->id = mem_strdup(name);
        row->layer = sql_i64(&q, 0);
        row->description = description(&q, 3, sql_i64(&q, 1) == LAYER_PULLED ? "pulled" : "built");
        row->is_in_use = sql_i64(&q, 4) != 0;
        row->is_shared = sql_i64(&q, 5) > 1;
        read_uses(&q, 6, row);
        row->parent = sql_text(&q, 10);
    }
    return r < 0 ? r : sql_check(&q, err);
}

/* Layers were listed first, in the order of their ids. */
static struct usage_row *find_layer(struct usage_list *list, size_t layer_count, int64_t layer)
{
    size_t low = 0;
    size_t high = layer_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (list->items[middle].layer < layer)
            low = middle + 1;
        else
            high = middle;
    }
    return low < layer_count && list->items[low].layer == layer ? &list->items[low] : NULL;
}

/* -- documents, records, mounts, contexts -- */

/* Blobs that are a form of a listed layer count there; the others have rows of their own. */
static int list_blobs(struct store *store, struct usage_list *list, size_t layer_count,
                      struct error *err)
{
    auto_table struct table companions = {0};
    auto_sql struct sql q = {0};
    int r = companions_find(store, &companions, err);

    if (r < 0)
        return r;
    r = sql_open(
        &q, store,
        "SELECT blob.digest, blob.created_ns,"
        " (SELECT min(layer) FROM layer_blob WHERE layer_blob.blob = blob.digest),"
        " iif(m.manifest IS NOT NULL, 'manifest', iif(EXISTS (SELECT 1 FROM image c WHERE"
        "  c.config = blob.digest), 'config', iif(EXISTS (SELECT 1 FROM reference r WHERE"
        "  r.index_digest = blob.digest), 'index', 'unclaimed bytes'))),"
        " EXISTS (SELECT 1 FROM reference r LEFT JOIN image i ON i.manifest = r.image WHERE"
        "  blob.digest IN (i.manifest, i.config, r.index_digest)),"
        " m.created_ns FROM blob LEFT JOIN image m ON m.manifest = blob.digest"
        " ORDER BY blob.digest",
        err);

    if (r < 0)
        return r;
    while ((r = sql_step(&q, err)) > 0) {
        struct usage_row *row = find_layer(list, layer_count, sql_i64(&q, 2));
        struct object object;
        struct digest digest = {0};
        char text[DIGEST_TEXT_SIZE];

        sql_digest(&q, 0, &digest);
        object_of_digest(&digest, &object);
        if (!row) {
            const bool stays = table_has(&companions, object.name);

            row = array_add(list);
            digest_format(&digest, text);
            row->kind = USAGE_BLOB;
            row->id = mem_strdup(text);
            row->key = digest;
            row->description = stays ? mem_strdup("named by an index") : description(&q, 3, "");
            row->is_in_use = stays || sql_i64(&q, 4) != 0;
            row->created_ns = sql_is_null(&q, 5) ? sql_i64(&q, 1) : sql_i64(&q, 5);
        }
        row->size_bytes += object_disk_bytes(store, &object);
    }
    return r < 0 ? r : sql_check(&q, err);
}

/* Records of steps that changed no file are in use when a record after them is. */
static int list_records(struct store *store, struct usage_list *list, struct error *err)
{
    auto_sql struct sql q = {0};
    auto_close int mirrors_fd = mirrors_open(store);
    int r =
        sql_open(&q, store,
                 "WITH RECURSIVE used (key) AS (SELECT cache.key FROM cache JOIN layer ON"
                 "  layer.id = cache.layer WHERE " IS_NAMED_LAYER
                 "  UNION SELECT cache.parent FROM cache JOIN used ON used.key = cache.key"
                 "  WHERE cache.parent IS NOT NULL)"
                 " SELECT key, description, created_ns, used_ns, used_order, use_count, " PARENT_ID
                 ", key IN used FROM cache c WHERE layer IS NULL ORDER BY used_order, key",
                 err);

    if (r < 0)
        return r;
    while ((r = sql_step(&q, err)) > 0) {
        struct usage_row *row = add_keyed(list, USAGE_CACHE, &q);

        row->parent = sql_text(&q, 6);
        row->is_in_use = sql_i64(&q, 7) != 0;
        row->size_bytes = mirror_disk_bytes(mirrors_fd, &row->key);
    }
    return r < 0 ? r : sql_check(&q, err);
}

static int list_mounts(struct store *store, struct usage_list *list, struct error *err)
{
    auto_sql struct sql q = {0};
    int r = sql_open(&q, store,
                     "SELECT id, description, created_ns, used_ns, used_order, use_count"
                     " FROM cache_mount ORDER BY used_order, id",
                     err);

    if (r < 0)
        return r;
    while ((r = sql_step(&q, err)) > 0) {
        struct usage_row *row = add_keyed(list, USAGE_CACHE_MOUNT, &q);

        row->is_mutable = true;
    }
    return r < 0 ? r : sql_check(&q, err);
}

static int list_contexts(struct store *store, struct usage_list *list, struct error *err)
{
    auto_sql struct sql q = {0};
    int r = sql_open(&q, store,
                     "SELECT key, length(bytes), created_ns, used_ns, used_order, 0 FROM context"
                     " ORDER BY used_order, key",
                     err);

    if (r < 0)
        return r;
    while ((r = sql_step(&q, err)) > 0) {
        struct usage_row *row = array_add(list);

        row->kind = USAGE_CONTEXT;
        row->description = description(&q, 0, "");
        digest_of(row->description, strlen(row->description), &row->key);
        row->id = short_id(&row->key);
        row->size_bytes = sql_u64(&q, 1);
        read_uses(&q, 2, row);
    }
    return r < 0 ? r : sql_check(&q, err);
}

/* -- sizes of packs and indexes -- */

static struct usage_row *find_mount(struct usage_list *list, const struct digest *id)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].kind == USAGE_CACHE_MOUNT && digest_equal(&list->items[i].key, id))
            return &list->items[i];
    return NULL;
}

/* Counts what `text` lists: object id, layer, cache mount that has the layer or NULL. */
static int count_objects(struct store *store, enum object_kind kind, const char *text,
                         struct usage_list *list, size_t layer_count, struct error *err)
{
    auto_sql struct sql q = {0};
    int r = sql_open(&q, store, text, err);

    if (r < 0)
        return r;
    while ((r = sql_step(&q, err)) > 0) {
        struct usage_row *row = find_layer(list, layer_count, sql_i64(&q, 1));
        uint64_t id = sql_u64(&q, 0);
        struct digest mount = {0};
        struct object object;

        if (!row && !sql_is_null(&q, 2)) {
            sql_digest(&q, 2, &mount);
            row = find_mount(list, &mount);
        }
        object_of_id(kind, id, &object);
        if (row)
            row->size_bytes += object_disk_bytes(store, &object);
    }
    return r < 0 ? r : sql_check(&q, err);
}

static int count_files(struct store *store, struct usage_list *list, size_t layer_count,
                       struct error *err)
{
    /* A pack whose maker is gone counts with the first layer that still needs it. */
    int r = count_objects(
        store, OBJECT_PACK,
        "SELECT pack, layer, (SELECT min(mount) FROM cache_mount_layer m WHERE m.layer = o.layer)"
        " FROM (SELECT pack.id AS pack, coalesce((SELECT min(id) FROM layer WHERE"
        "  layer.pack = pack.id), (SELECT min(layer) FROM layer_pack WHERE"
        "  layer_pack.pack = pack.id)) AS layer FROM pack) o",
        list, layer_count, err);

    if (r == 0)
        r = count_objects(store, OBJECT_INDEX,
                          "SELECT index_id, id, (SELECT min(mount) FROM cache_mount_layer m WHERE"
                          " m.layer = layer.id) FROM layer",
                          list, layer_count, err);
    return r;
}

/* -- downloads to be continued -- */

static bool is_being_written(struct store *store, const struct digest *digest)
{
    auto_close int fd = blob_partial_fd(store, digest);

    return fd >= 0 && blob_partial_is_busy(fd);
}

static void add_partial(struct store *store, const char *name, struct usage_list *list)
{
    struct error ignored; /* not a name of ours: fsck tells of it */
    char text[DIGEST_TEXT_SIZE];
    struct digest digest;
    struct usage_row *row;
    struct stat st;

    if (digest_parse_hex(name, &digest, &ignored) < 0 ||
        fstatat(store->partial_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
        return;
    row = array_add(list);
    row->kind = USAGE_PARTIAL;
    row->id = short_id(&digest);
    digest_format(&digest, text);
    row->description = str_format("interrupted download of %s", text);
    row->key = digest;
    row->size_bytes = (uint64_t)st.st_blocks * 512;
    row->is_in_use = is_being_written(store, &digest);
    row->created_ns = io_time_ns(st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    row->used_ns = row->created_ns;
}

static int list_logs(struct store *store, struct usage_list *list, struct error *err)
{
    auto_log_list struct log_list logs = {0};
    int r = logs_list(store, &logs, err);

    for (size_t i = 0; r == 0 && i < logs.count; i++) {
        const struct log_entry *log = &logs.items[i];
        struct usage_row *row = array_add(list);

        row->kind = USAGE_LOG;
        row->id = str_format("log-%ju", (uintmax_t)log->number);
        row->description = str_format("log of build %ju", (uintmax_t)log->number);
        row->number = log->number;
        row->size_bytes = log->size_bytes;
        row->created_ns = row->used_ns = log->changed_ns;
    }
    return r;
}

static int list_partials(struct store *store, struct usage_list *list, struct error *err)
{
    int fd = openat(store->partial_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (!dir) {
        (void)error_errno(err, "cannot list '%s/tmp/partial'", store->path);
        cleanup_close_fd(&fd);
        return -err->code;
    }
    while ((entry = readdir(dir)))
        add_partial(store, entry->d_name, list);
    (void)closedir(dir); /* it was only read */
    return 0;
}

static void sum_up(struct store *store, struct usage_list *list)
{
    uint64_t context_bytes = 0;
    struct stat st;

    for (size_t i = 0; i < list->count; i++) {
        const struct usage_row *row = &list->items[i];

        list->total_bytes += row->size_bytes;
        list->reclaimable_bytes += row->is_in_use ? 0 : row->size_bytes;
        context_bytes += row->kind == USAGE_CONTEXT ? row->size_bytes : 0;
    }
    if (fstatat(store->dirs[STORE_ROOT], "img.db", &st, AT_SYMLINK_NOFOLLOW) == 0)
        list->database_bytes = (uint64_t)st.st_blocks * 512;
    list->database_bytes -=
        context_bytes < list->database_bytes ? context_bytes : list->database_bytes;
}

int store_usage(struct store *store, struct usage_list *out, struct error *err)
{
    STORE_LOCKED(store);
    auto_usage_list struct usage_list list = {0};
    size_t layer_count;
    int r = list_layers(store, &list, err);

    if (r < 0)
        return r;
    layer_count = list.count;
    r = list_blobs(store, &list, layer_count, err);
    if (r == 0)
        r = list_records(store, &list, err);
    if (r == 0)
        r = list_mounts(store, &list, err);
    if (r == 0)
        r = list_contexts(store, &list, err);
    if (r == 0)
        r = list_partials(store, &list, err);
    if (r == 0)
        r = list_logs(store, &list, err);
    if (r == 0)
        r = count_files(store, &list, layer_count, err);
    if (r < 0)
        return r;
    sum_up(store, &list);
    *out = STEAL(&list);
    return 0;
}
