/* gc.c - decides what goes, then unlinks it. The rows: store_gc.c. */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/failpoint.h"
#include "fs/base/hash.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/gc.h"
#include "fs/gc_internal.h"
#include "fs/logs.h"

#include "fs/base/banned.h"

#define GRACE_NS (600ll * 1000000000)         /* S8: objects without a row */
#define PARTIAL_AGE_NS (86400ll * 1000000000) /* downloads worth continuing */

struct collection {
    struct store *store;
    const struct gc_options *options;
    int64_t now_ns;
    struct usage_list before;
    struct table kept;      /* blobs that no row refers to, by file name */
    struct gc_dead dead;    /* had rows */
    struct gc_dead orphans; /* had none */
    struct strv partials;   /* in tmp/partial; nobody else uses the store, nobody has their locks */
    struct strv logs;       /* ids of theirs */
    uint64_t file_bytes;    /* of both */
    struct strv mirrors;    /* in git */
    uint64_t mirror_bytes;
};

static void collection_release(struct collection *c)
{
    usage_list_release(&c->before);
    table_release(&c->kept);
    free(c->dead.items);
    free(c->orphans.items);
    strv_release(&c->partials);
    strv_release(&c->logs);
    strv_release(&c->mirrors);
}
DEFINE_CLEANUP_VALUE(collection_release, struct collection)

void gc_report_release(struct gc_report *report)
{
    usage_list_release(&report->removed);
    *report = (struct gc_report){0};
}

/* -- what goes -- */

static bool is_old_enough(const struct collection *c, const struct usage_row *row)
{
    int64_t used_ns = row->used_ns ? row->used_ns : row->created_ns;

    /* A use in the future, from before the clock was set back, counts as now. */
    if (used_ns > c->now_ns)
        used_ns = c->now_ns;
    return c->options->unused_since_ns == 0 || used_ns < c->options->unused_since_ns;
}

/* Plain collections leave what was interrupted lately: somebody may be about to go on. */
static bool is_worth_continuing(const struct collection *c, const struct usage_row *row)
{
    return row->kind == USAGE_PARTIAL && !c->options->all && c->options->keep_bytes == 0 &&
           row->created_ns > c->now_ns - PARTIAL_AGE_NS;
}

static bool is_candidate(const struct collection *c, const struct usage_row *row)
{
    if (row->is_in_use && !c->options->all)
        return false;
    if (row->is_in_use && row->kind == USAGE_BLOB)
        return false;
    if (!is_old_enough(c, row) || is_worth_continuing(c, row))
        return false;
    return !c->options->select || c->options->select(c->options->context, row);
}

/* Unnamed images first, nobody can ask for them; then what was used longest ago. */
static int compare_use(const void *a, const void *b)
{
    const struct usage_row *x = *(const struct usage_row *const *)a;
    const struct usage_row *y = *(const struct usage_row *const *)b;

    if (x->used_order != y->used_order)
        return x->used_order < y->used_order ? -1 : 1;
    return strcmp(x->id, y->id);
}

static bool is_enough(const struct collection *c, uint64_t forgotten_bytes)
{
    return c->options->keep_bytes > 0 &&
           c->before.total_bytes <= c->options->keep_bytes + forgotten_bytes;
}

/* True for what has no row, but files that go last. */
static bool forget_files(struct collection *c, const struct usage_row *row)
{
    char name[DIGEST_HEX_SIZE];

    if (row->kind != USAGE_PARTIAL && row->kind != USAGE_LOG)
        return false;
    if (row->kind == USAGE_LOG) {
        strv_add(&c->logs, row->id);
    } else {
        digest_format_hex(&row->key, name);
        strv_add(&c->partials, name);
    }
    c->file_bytes += row->size_bytes;
    return true;
}

/* Forgets candidates in turn. With a size to reach, it sweeps whenever that might have been enough:
 * what a record stands for may be shared and stay. */
static int forget(struct collection *c, const struct usage_row **rows, size_t count,
                  struct error *err)
{
    uint64_t context_bytes = 0; /* and those of mirrors: nothing shares them */
    uint64_t hoped_bytes = 0;
    int r = gc_sweep(c->store, &c->kept, &c->dead, err);

    for (size_t i = 0; i < count && r == 0; i++) {
        if (is_enough(c, c->dead.disk_bytes + context_bytes + c->file_bytes))
            return 0;
        r = gc_forget(c->store, rows[i], err);
        if (forget_files(c, rows[i]))
            continue;
        if (rows[i]->kind == USAGE_CONTEXT || rows[i]->kind == USAGE_CACHE)
            context_bytes += rows[i]->size_bytes;
        else
            hoped_bytes += rows[i]->size_bytes;
        if (r == 0 &&
            is_enough(c, c->dead.disk_bytes + context_bytes + c->file_bytes + hoped_bytes)) {
            r = gc_sweep(c->store, &c->kept, &c->dead, err);
            hoped_bytes = 0;
        }
    }
    return r < 0 ? r : gc_sweep(c->store, &c->kept, &c->dead, err);
}

static int forget_candidates(struct collection *c, struct error *err)
{
    auto_free const struct usage_row **rows =
        mem_alloc(c->before.count * sizeof(const struct usage_row *));
    size_t count = 0;

    for (size_t i = 0; i < c->before.count; i++)
        if (is_candidate(c, &c->before.items[i]))
            rows[count++] = &c->before.items[i];
    qsort(rows, count, sizeof(const struct usage_row *), compare_use);
    return forget(c, rows, count, err);
}

/* -- files without rows -- */

static bool is_young(const struct collection *c, const struct stat *st, int64_t age_ns)
{
    int64_t mtime_ns = io_time_ns(st->st_mtim.tv_sec, st->st_mtim.tv_nsec);

    return mtime_ns > c->now_ns - age_ns; /* the future is young */
}

static int look_at_object(struct collection *c, const struct table *dead,
                          const struct object *object, struct error *err)
{
    struct stat st;
    bool has_row = true;
    int r;

    if (table_has(dead, object->name) || object_is_pending(c->store, object))
        return 0;
    r = object_has_row(c->store, object, &has_row, err);
    if (r < 0 || has_row)
        return r;
    if (fstatat(object_dir(c->store, object->kind), object->name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        is_young(c, &st, GRACE_NS))
        return 0;
    *array_add(&c->orphans) = (struct gc_dead_object){
        .object = *object,
        .disk_bytes = (uint64_t)st.st_blocks * 512,
    };
    c->orphans.disk_bytes += (uint64_t)st.st_blocks * 512;
    return 0;
}

static DIR *open_list(int dir_fd)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir)
        cleanup_close_fd(&fd);
    return dir;
}

static int find_orphans(struct collection *c, enum object_kind kind, const struct table *dead,
                        struct error *err)
{
    DIR *dir = open_list(object_dir(c->store, kind));
    const struct dirent *entry;
    int r = 0;

    if (!dir)
        return error_errno(err, "cannot list '%s/%s'", c->store->path, object_dir_name(kind));
    while (r == 0 && (entry = readdir(dir))) {
        struct object object;

        /* Names of another form are not ours to remove; fsck tells of them. */
        if (object_parse_name(kind, entry->d_name, &object))
            r = look_at_object(c, dead, &object, err);
    }
    (void)closedir(dir); /* it was only read */
    return r;
}

static int find_garbage(struct collection *c, struct error *err)
{
    auto_table struct table dead = {0};
    int r = 0;

    for (size_t i = 0; i < c->dead.count; i++)
        table_put(&dead, c->dead.items[i].object.name, &c->dead.items[i]);
    for (unsigned kind = 0; kind < OBJECT_KIND_COUNT && r == 0; kind++)
        r = find_orphans(c, kind, &dead, err);
    return r < 0 ? r : mirrors_find_dead(c->store, &c->mirrors, &c->mirror_bytes, err);
}

/* -- what went -- */

static void take_row(struct usage_list *to, struct usage_row *row)
{
    *array_add(to) = *row;
    to->total_bytes += row->size_bytes;
    to->reclaimable_bytes += row->size_bytes;
    row->id = NULL; /* taken; the rest of the row must not be freed with it either */
    row->description = NULL;
    row->parent = NULL;
}

static bool has_forgotten_files(const struct collection *c, const struct usage_row *row)
{
    char name[DIGEST_HEX_SIZE];

    if (row->kind == USAGE_LOG)
        return strv_contains(&c->logs, row->id);
    digest_format_hex(&row->key, name);
    return row->kind == USAGE_PARTIAL && strv_contains(&c->partials, name);
}

/* Rows of before that are not among those of now, and those whose files go last. */
static int report_removed(struct collection *c, struct gc_report *report, struct error *err)
{
    auto_usage_list struct usage_list after = {0};
    auto_table struct table known = {0};
    int r = store_usage(c->store, &after, err);

    if (r < 0)
        return r;
    for (size_t i = 0; i < after.count; i++)
        table_put(&known, after.items[i].id, &after.items[i]);
    for (size_t i = 0; i < c->before.count; i++)
        if (!table_has(&known, c->before.items[i].id) ||
            has_forgotten_files(c, &c->before.items[i]))
            take_row(&report->removed, &c->before.items[i]);
    report->kept_bytes = after.total_bytes - c->file_bytes;
    report->orphan_count = c->orphans.count;
    report->freed_bytes =
        c->dead.disk_bytes + c->orphans.disk_bytes + c->file_bytes + c->mirror_bytes;
    return 0;
}

/* True when all of them are gone. */
static bool remove_objects(struct collection *c, const struct gc_dead *dead)
{
    bool is_complete = true;

    for (size_t i = 0; i < dead->count; i++) {
        const struct object *object = &dead->items[i].object;
        uint64_t id;

        if (object->kind == OBJECT_PACK && object_id(object, &id))
            pack_forget(c->store, id);
        if (object->kind == OBJECT_INDEX)
            index_forget(c->store, dead->items[i].layer);
        if (FAILPOINT("gc.unlink") == 0 &&
            (unlinkat(object_dir(c->store, object->kind), object->name, 0) == 0 || errno == ENOENT))
            continue;
        is_complete = false;
        log_warn("cannot remove '%s/%s/%s', continuing without", c->store->path,
                 object_dir_name(object->kind), object->name);
    }
    return is_complete;
}

static void remove_files(struct collection *c)
{
    struct error err = {0};
    bool is_complete = remove_objects(c, &c->dead);

    /* Otherwise closing the store, or whoever opens it next, tries again. */
    if (remove_objects(c, &c->orphans) && is_complete)
        store_unmark_dead(c->store);
    for (size_t i = 0; i < c->partials.count; i++)
        (void)unlinkat(c->store->partial_fd, c->partials.items[i],
                       0); /* the next one tries again */
    for (size_t i = 0; i < c->before.count; i++)
        if (c->before.items[i].id == NULL && c->before.items[i].kind == USAGE_LOG)
            (void)logs_remove(c->store, c->before.items[i].number); /* here, too */
    if (!mirrors_remove(c->store, &c->mirrors)) /* without a record, the next one finds it again */
        log_warn("cannot remove all of '%s/git', continuing without", c->store->path);
    if (gc_shrink_database(c->store, &err) < 0)
        log_debug("%s", err.text);
}

static void add_lines(const struct gc_dead *dead, struct str *lines)
{
    for (size_t i = 0; i < dead->count; i++)
        str_addf(lines, "%s-%s\n", object_noun(dead->items[i].object.kind),
                 dead->items[i].object.name);
}

/* Before their rows go: killed afterwards, we leave a list of what to remove, not garbage that only
 * another collection would find. */
static int mark_dead(struct collection *c, struct error *err)
{
    auto_str struct str lines = {0};

    if (c->dead.count + c->orphans.count == 0)
        return 0;
    add_lines(&c->dead, &lines);
    add_lines(&c->orphans, &lines);
    return store_mark_dead(c->store, &lines, err);
}

static int collect(struct collection *c, struct gc_report *report, struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    int r = store_begin(c->store, &tx, err);

    if (r == 0)
        r = companions_find(c->store, &c->kept, err);
    if (r == 0)
        r = store_usage(c->store, &c->before, err);
    if (r == 0)
        r = forget_candidates(c, err);
    if (r == 0)
        r = find_garbage(c, err);
    if (r == 0)
        r = report_removed(c, report, err);
    if (r < 0 || c->options->dry_run)
        return r; /* rolled back */
    r = mark_dead(c, err);
    if (r == 0)
        r = store_commit(&tx, err);
    if (r == 0)
        remove_files(c);
    return r;
}

static int collect_once(struct store *store, const struct gc_options *options,
                        struct gc_report *report, struct error *err)
{
    __attribute__((cleanup(cleanup_collection_release))) struct collection c = {
        .store = store,
        .options = options,
        .now_ns = io_now_ns(),
    };
    auto_gc_report struct gc_report found = {0};
    int r = collect(&c, &found, err);

    if (r < 0)
        return r;
    *report = STEAL(&found);
    return 0;
}

int gc_run(struct store *store, const struct gc_options *options, struct gc_report *report,
           struct error *err)
{
    int r = store_check_writable(store, err);

    if (r == 0)
        r = store_lock_exclusive(store, options->wait_ms, options->waiting, options->context, err);
    if (r < 0)
        return r;
    r = collect_once(store, options, report, err);
    /* Deleting rows takes a journal: whoever collects because the disk is full must have room. */
    if ((r == -ENOSPC || r == -EDQUOT) && store_reserve_release(store))
        r = collect_once(store, options, report, err);
    store_reserve_make(store);
    store_lock_shared(store);
    return r;
}
