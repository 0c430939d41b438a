/* pack.c - makes packs, and keeps the descriptors of those that are read. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/pack.h"
#include "fs/store_internal.h"

#include "fs/base/banned.h"

int pack_create(struct store *store, uint64_t *id, int *fd, struct error *err)
{
    int r = store_temp_file(store, fd, err);

    if (r == 0)
        *id = object_new_id();
    return r;
}

int pack_adopt(struct store *store, uint64_t id, int fd, struct error *err)
{
    struct object object;

    object_of_id(OBJECT_PACK, id, &object);
    return object_adopt(store, &object, fd, err);
}

/* -- descriptors that stay: a few slots in buckets by id, the longest unused one goes first -- */

static struct open_pack **bucket_of(struct store *store, uint64_t id)
{
    return &store->packs.buckets[id % PACK_BUCKETS]; /* ids are random already */
}

static struct open_pack *find(struct store *store, uint64_t id)
{
    struct open_pack *p = *bucket_of(store, id);

    while (p && p->id != id)
        p = p->next;
    return p;
}

/* Takes a pack nobody reads out of its bucket. */
static void drop(struct store *store, struct open_pack *dead)
{
    struct open_pack **at = bucket_of(store, dead->id);

    while (*at != dead)
        at = &(*at)->next;
    *at = dead->next;
    store->packs.count--;
    cleanup_close_fd(&dead->fd);
    free(dead);
}

/* The one that nobody reads and whose last use is longest ago, or NULL. */
static struct open_pack *longest_unused(struct store *store)
{
    struct open_pack *oldest = NULL;

    for (size_t i = 0; i < PACK_BUCKETS; i++)
        for (struct open_pack *p = store->packs.buckets[i]; p; p = p->next)
            if (p->reader_count == 0 && (!oldest || p->used_order < oldest->used_order))
                oldest = p;
    return oldest;
}

/* False: all are being read. */
static bool close_one(struct store *store)
{
    struct open_pack *oldest;

    (void)pthread_mutex_lock(&store->open_lock); /* cannot fail */
    oldest = longest_unused(store);
    if (oldest)
        drop(store, oldest);
    (void)pthread_mutex_unlock(&store->open_lock);
    return oldest;
}

int pack_open(struct store *store, uint64_t id, int *fd, struct error *err)
{
    auto_close int opened = -1;
    struct object object;
    uint64_t expected;
    struct stat st;
    int r;

    object_of_id(OBJECT_PACK, id, &object);
    r = store_pack_size(store, id, &expected, err);
    if (r < 0)
        return r;
    do {
        opened = openat(store->dirs[STORE_PACKS], object.name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    } while (opened < 0 && errno == EMFILE && close_one(store));
    if (opened < 0 && errno == ENOENT)
        return error_set(err, EIO, "'%s/packs/%s' is missing", store->path, object.name);
    if (opened < 0)
        return error_errno(err, "cannot open '%s/packs/%s'", store->path, object.name);
    if (fstat(opened, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != expected)
        return error_set(err, EIO, "'%s/packs/%s' is damaged: it is not %ju bytes long",
                         store->path, object.name, (uintmax_t)expected);
    *fd = steal_fd(&opened);
    return 0;
}

static size_t open_max(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur / 4 >= PACK_OPEN_MAX)
        return PACK_OPEN_MAX;
    return limit.rlim_cur < 8 ? 2 : (size_t)limit.rlim_cur / 4;
}

/* Puts a descriptor into the table, which makes room for it; one in use never goes. */
static struct open_pack *keep(struct store *store, uint64_t id, int fd)
{
    struct open_pack *p = mem_new(struct open_pack);
    struct open_pack *oldest;

    if (store->packs.max == 0)
        store->packs.max = open_max();
    while (store->packs.count >= store->packs.max && (oldest = longest_unused(store)))
        drop(store, oldest);
    *p = (struct open_pack){.id = id, .fd = fd, .next = *bucket_of(store, id)};
    *bucket_of(store, id) = p;
    store->packs.count++;
    return p;
}

/* Opens it if need be. Until pack_release it stays open. */
static int acquire(struct store *store, uint64_t id, struct open_pack **out, struct error *err)
{
    auto_close int fd = -1;
    struct open_pack *p;
    int r;

    for (;;) {
        (void)pthread_mutex_lock(&store->open_lock); /* cannot fail */
        p = find(store, id);
        if (!p && fd >= 0)
            p = keep(store, id, steal_fd(&fd));
        if (p) {
            p->reader_count++;
            p->used_order = ++store->packs.use_count;
        }
        (void)pthread_mutex_unlock(&store->open_lock);
        if (p)
            break;
        r = pack_open(store, id, &fd, err); /* asks the database: not under open_lock */
        if (r < 0)
            return r;
    }
    *out = p;
    return 0;
}

static void release(struct store *store, struct open_pack *p)
{
    (void)pthread_mutex_lock(&store->open_lock); /* cannot fail */
    p->reader_count--;
    if (p->is_dead && p->reader_count == 0)
        drop(store, p);
    (void)pthread_mutex_unlock(&store->open_lock);
}

int pack_read(struct store *store, uint64_t id, uint64_t offset, void *buf, size_t size,
              struct error *err)
{
    struct open_pack *p;
    char name[STORE_NAME_SIZE];
    struct stat st;
    bool is_short;
    int r = acquire(store, id, &p, err);

    if (r < 0)
        return r;
    r = offset > INT64_MAX ? -EIO : io_pread_full(p->fd, buf, size, offset);
    is_short = r == -EIO && (fstat(p->fd, &st) < 0 || (uint64_t)st.st_size < offset ||
                             (uint64_t)st.st_size - offset < size);
    release(store, p);
    if (r == 0)
        return 0;
    store_object_name(id, name);
    return error_set(err, -r, "cannot read '%s/packs/%s' at byte %ju: %s", store->path, name,
                     (uintmax_t)offset,
                     is_short ? "it is truncated or damaged" : strerrordesc_np(-r));
}

void pack_forget(struct store *store, uint64_t id)
{
    struct open_pack *p;

    (void)pthread_mutex_lock(&store->open_lock); /* cannot fail */
    p = find(store, id);
    if (p && p->reader_count == 0)
        drop(store, p);
    else if (p)
        p->is_dead = true;
    (void)pthread_mutex_unlock(&store->open_lock);
}

void packs_close(struct store *store)
{
    for (size_t i = 0; i < PACK_BUCKETS; i++)
        while (store->packs.buckets[i])
            drop(store, store->packs.buckets[i]);
}
