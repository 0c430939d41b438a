/* pack.c - makes packs, and keeps the descriptors of those that are read. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

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

static int no_pack(const struct store *store, const struct object *object, struct error *err)
{
    return error_set(err, ENOENT, "there is no '%s/packs/%s'", store->path, object->name);
}

int pack_size(struct store *store, uint64_t id, uint64_t *size_bytes, struct error *err)
{
    struct object object;

    object_of_id(OBJECT_PACK, id, &object);
    return object_size(store, &object, size_bytes) < 0 ? no_pack(store, &object, err) : 0;
}

/* -- descriptors: a hash table by id, open addressing, never shrinking -- */

static struct open_pack *find_slot(struct store *store, uint64_t id)
{
    size_t mask = store->packs.capacity - 1;
    size_t at = (size_t)id & mask; /* ids are random already */

    while (store->packs.items[at].id != 0 && store->packs.items[at].id != id)
        at = (at + 1) & mask;
    return &store->packs.items[at];
}

static void grow(struct store *store)
{
    struct open_pack *old = store->packs.items;
    size_t capacity = store->packs.capacity;

    store->packs.capacity = capacity ? capacity * 2 : 64;
    store->packs.items = mem_alloc(store->packs.capacity * sizeof(*old));
    for (size_t i = 0; i < capacity; i++)
        if (old[i].id != 0)
            *find_slot(store, old[i].id) = old[i];
    free(old);
}

static bool cached_fd(struct store *store, uint64_t id, int *fd)
{
    bool is_known = false;

    (void)pthread_mutex_lock(&store->open_lock); /* cannot fail */
    if (store->packs.count > 0) {
        const struct open_pack *slot = find_slot(store, id);

        is_known = slot->id == id && slot->fd >= 0;
        if (is_known)
            *fd = slot->fd;
    }
    (void)pthread_mutex_unlock(&store->open_lock);
    return is_known;
}

/* The descriptor that stays: another thread may have been faster. */
static int keep_fd(struct store *store, uint64_t id, int fd)
{
    struct open_pack *slot;

    (void)pthread_mutex_lock(&store->open_lock); /* cannot fail */
    if (store->packs.count * 2 >= store->packs.capacity)
        grow(store);
    slot = find_slot(store, id);
    if (slot->id == id && slot->fd >= 0) {
        (void)close(fd); /* it was only opened for reading */
        fd = slot->fd;
    } else {
        store->packs.count += slot->id == 0;
        *slot = (struct open_pack){.id = id, .fd = fd};
    }
    (void)pthread_mutex_unlock(&store->open_lock);
    return fd;
}

int pack_fd(struct store *store, uint64_t id, int *fd, struct error *err)
{
    auto_close int opened = -1;
    struct object object;
    uint64_t expected;
    struct stat st;
    int r;

    if (cached_fd(store, id, fd))
        return 0;
    object_of_id(OBJECT_PACK, id, &object);
    r = store_pack_size(store, id, &expected, err);
    if (r < 0)
        return r;
    opened = openat(store->dirs[STORE_PACKS], object.name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (opened < 0 && errno == ENOENT)
        return error_set(err, EIO, "'%s/packs/%s' is missing", store->path, object.name);
    if (opened < 0)
        return error_errno(err, "cannot open '%s/packs/%s'", store->path, object.name);
    if (fstat(opened, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != expected)
        return error_set(err, EIO, "'%s/packs/%s' is damaged: it is not %ju bytes long",
                         store->path, object.name, (uintmax_t)expected);
    *fd = keep_fd(store, id, steal_fd(&opened));
    return 0;
}

void pack_forget(struct store *store, uint64_t id)
{
    (void)pthread_mutex_lock(&store->open_lock); /* cannot fail */
    if (store->packs.count > 0 && find_slot(store, id)->id == id)
        cleanup_close_fd(&find_slot(store, id)->fd); /* the slot stays: others may lie behind it */
    (void)pthread_mutex_unlock(&store->open_lock);
}

void packs_close(struct store *store)
{
    for (size_t i = 0; i < store->packs.capacity; i++)
        if (store->packs.items[i].id != 0)
            cleanup_close_fd(&store->packs.items[i].fd);
    free(store->packs.items);
    store->packs.items = NULL;
    store->packs.capacity = store->packs.count = 0;
}
