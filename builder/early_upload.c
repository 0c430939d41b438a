/* early_upload.c - one thread that sends what another one makes. What it sends: registry/upload.c. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

#include "builder/early_upload.h"
#include "fs/base/log.h"
#include "fs/base/pool.h"

#include "fs/base/banned.h"

#define BEGIN_SIZE (16ull << 20) /* fewer are sent soon enough when all is known */

struct early_upload {
    struct blob_follower follower; /* first: the follower is the object */
    struct early_source {
        struct body_source source; /* first: the source is the object */
        struct early_upload *early;
    } source;
    struct registry *registry; /* borrowed */
    struct blob_put what;
    int fd;                       /* the file that grows; -1: there is none */
    struct pool *pool;            /* of one thread; NULL: nothing is worth sending yet */
    struct blob_growing *growing; /* of the thread of the pool, as long as is_sending */
    uint64_t told_size_bytes;     /* when it was last told to send */
    _Atomic uint64_t size_bytes;  /* made so far */
    atomic_bool is_sending;
    atomic_bool is_unwanted; /* what is being sent need not arrive */
};

/* -- what is there of it, as a request body -- */

struct early_reader {
    struct reader base; /* first: the reader is the object */
    const struct early_upload *early;
    uint64_t offset;
};

static ssize_t early_read(struct reader *base, void *buf, size_t size, struct error *err)
{
    struct early_reader *r = (struct early_reader *)base;
    ssize_t n;

    if (atomic_load(&r->early->is_unwanted))
        return error_set(err, ECANCELED, "the blob need not be sent");
    do {
        n = pread(r->early->fd, buf, size, (off_t)r->offset);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return error_errno(err, "cannot read a blob that is made");
    r->offset += (uint64_t)n;
    return n;
}

static void early_close(struct reader *base)
{
    free((struct early_reader *)base);
}

static int open_source(struct body_source *source, uint64_t offset, struct reader **out,
                       struct error *err)
{
    struct early_reader *r = mem_new(struct early_reader);

    (void)err;
    r->base = (struct reader){early_read, early_close};
    r->early = ((struct early_source *)(void *)source)->early;
    r->offset = offset;
    *out = &r->base;
    return 0;
}

/* -- who makes it -- */

/* Sends what there is. Waits for nothing but the network: where no thread can be had it is called by who
 * makes the blob. */
static int send_grown(void *arg, struct error *err)
{
    struct early_upload *e = arg;
    int r = registry_blob_grow(e->growing, atomic_load(&e->size_bytes), err);

    atomic_store(&e->is_sending, false);
    return r;
}

static void follow_begin(struct blob_follower *f, int fd)
{
    struct early_upload *e = (struct early_upload *)f;

    e->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0); /* -1: then it is sent later */
}

static void follow_grown(struct blob_follower *f, uint64_t size_bytes)
{
    struct early_upload *e = (struct early_upload *)f;

    atomic_store(&e->size_bytes, size_bytes);
    if (e->fd < 0 || size_bytes - e->told_size_bytes < BEGIN_SIZE || atomic_load(&e->is_sending))
        return;
    e->told_size_bytes = size_bytes;
    if (!e->pool) {
        e->growing = registry_blob_grow_new(e->registry, &e->what);
        e->pool = pool_new(1);
    }
    atomic_store(&e->is_sending, true);
    pool_submit(e->pool, send_grown, e);
}

struct early_upload *early_upload_new(struct registry *registry, const struct blob_put *hooks)
{
    struct early_upload *e = mem_new(struct early_upload);

    e->follower = (struct blob_follower){follow_begin, follow_grown};
    e->source = (struct early_source){.source.open = open_source, .early = e};
    e->registry = registry;
    e->what = (struct blob_put){.source = &e->source.source,
                                .on_progress = hooks->on_progress,
                                .on_silence = hooks->on_silence,
                                .context = hooks->context};
    e->fd = -1;
    return e;
}

struct blob_follower *early_upload_follower(struct early_upload *e)
{
    return &e->follower;
}

bool early_upload_end(struct early_upload *e, const struct digest *digest, uint64_t size_bytes)
{
    struct error err = {0};
    uint64_t there;
    int r;

    if (!e->pool)
        return false;
    if (registry_blob_exists(e->registry, digest, &there, &err) > 0) {
        atomic_store(&e->is_unwanted, true);
        return true;
    }
    r = pool_wait(e->pool, &err);
    if (r == 0)
        r = registry_blob_grow_end(e->growing, digest, size_bytes, &err);
    if (r < 0)
        log_debug("push: sending while compressing: %s", err.text);
    return r == 0;
}

void early_upload_free(struct early_upload *e)
{
    if (!e)
        return;
    atomic_store(&e->is_unwanted, true);
    pool_free(e->pool);
    registry_blob_grow_free(e->growing);
    cleanup_close_fd(&e->fd);
    free(e);
}
