/* fuse_ops.c - what the kernel asks, said to the union; a door to libfuse.
 *
 * Every operation here translates: arguments in, one call of union.h, the answer out. No rule of a
 * filesystem is decided here, and no permission is checked (the kernel does that).
 *
 * The answers make the kernel ask as little as possible: the view is changed by nobody else, so
 * names, misses and attributes are cached for ever; files and directories have no handles (OPEN and
 * OPENDIR are answered ENOSYS once, and then never asked again), so READ and WRITE go by inode.
 */
#define FUSE_USE_VERSION 314 /* of libfuse's interface */

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <fuse_lowlevel.h>

#include "fs/acl.h"
#include "fs/base/io.h"
#include "fs/base/limits.h"
#include "fs/base/log.h"
#include "fs/fuse_internal.h"

#include "fs/base/banned.h"

#define BACKGROUND_MAX 64 /* requests of readahead and writeback the kernel may have queued */

static struct fuse_face *face_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

static struct view *view_of(fuse_req_t req)
{
    return face_of(req)->view;
}

static struct union_cred cred_of(fuse_req_t req)
{
    const struct fuse_ctx *context = fuse_req_ctx(req);

    return (struct union_cred){.uid = context->uid, .gid = context->gid};
}

/* `r` is what the union returned: 0 or more means success. Replies, here and below, are kept
 * (fuse_shim_writev), so giving one cannot fail. */
static void reply_status(fuse_req_t req, int r)
{
    (void)fuse_reply_err(req, r < 0 ? fuse_shim_errno(-r) : 0);
}

static struct stat stat_from(const struct union_attr *a)
{
    return (struct stat){
        .st_ino = a->ino,
        .st_mode = a->mode,
        .st_nlink = a->nlink,
        .st_uid = a->uid,
        .st_gid = a->gid,
        .st_rdev = makedev(a->rdev_major, a->rdev_minor),
        .st_size = (off_t)a->size_bytes,
        .st_blksize = 4096,
        .st_blocks = (blkcnt_t)a->blocks,
        .st_atim = io_time_split(a->atime_ns),
        .st_mtim = io_time_split(a->mtime_ns),
        .st_ctim = io_time_split(a->ctime_ns),
    };
}

static struct fuse_entry_param entry_from(const struct union_attr *a)
{
    return (struct fuse_entry_param){
        .ino = a->ino,
        .attr = stat_from(a),
        .attr_timeout = FUSE_FOREVER_S,
        .entry_timeout = FUSE_FOREVER_S,
    };
}

/* The kernel holds a reference to what an entry names, unless the reply was in vain. */
static void reply_entry(fuse_req_t req, int r, const struct union_attr *attr)
{
    struct fuse_entry_param entry;

    if (r < 0) {
        reply_status(req, r);
        return;
    }
    entry = entry_from(attr);
    face_of(req)->at->reply_ino = attr->ino;
    (void)fuse_reply_entry(req, &entry);
}

static void reply_attr(fuse_req_t req, int r, const struct union_attr *attr)
{
    struct stat st;

    if (r < 0) {
        reply_status(req, r);
        return;
    }
    st = stat_from(attr);
    (void)fuse_reply_attr(req, &st, FUSE_FOREVER_S);
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
    const struct fuse_face *f = userdata;
    /* And what fuse_shim_writev adds. Listings always carry attributes: left to choose
     * (READDIRPLUS_AUTO), the kernel asks for them only at the beginning of a directory, and then
     * looks up every name that is behind. */
    unsigned want = FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO | FUSE_CAP_READDIRPLUS |
                    FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_EXPLICIT_INVAL_DATA;

    /* Lists imply that the kernel checks permissions, and that inheriting them is ours. On a host
     * mount the caller, who may be none of the image's owners, shall see everything. */
    if (!f->host)
        want |= FUSE_CAP_POSIX_ACL | FUSE_CAP_DONT_MASK;
    if (f->writeback)
        want |= FUSE_CAP_WRITEBACK_CACHE;
    conn->want = want & conn->capable;
    conn->max_write = FUSE_TRANSFER_MAX;
    conn->max_background = BACKGROUND_MAX;
    conn->time_gran = 1;
}

/* A miss is cached as well: entry 0 with a timeout. */
static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    static const struct fuse_entry_param missing = {.entry_timeout = FUSE_FOREVER_S};
    struct union_attr attr;
    int r = union_lookup(view_of(req), parent, name, &attr);

    if (r == -ENOENT)
        (void)fuse_reply_entry(req, &missing);
    else
        reply_entry(req, r, &attr);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
    union_forget(view_of(req), ino, count);
    fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++)
        union_forget(view_of(req), forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(req);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct union_attr attr;
    int r = union_getattr(view_of(req), ino, &attr);

    (void)fi;
    reply_attr(req, r, &attr);
}

/* From the request itself: libfuse 3.14 leaves FATTR_KILL_SUIDGID out. */
static void setattr_from(const struct fuse_setattr_in *in, struct union_setattr *s)
{
    static const struct {
        uint32_t valid;
        uint32_t set;
    } bits[] = {
        {FATTR_MODE, UNION_SET_MODE},   {FATTR_UID, UNION_SET_UID},
        {FATTR_GID, UNION_SET_GID},     {FATTR_SIZE, UNION_SET_SIZE},
        {FATTR_ATIME, UNION_SET_ATIME}, {FATTR_MTIME, UNION_SET_MTIME},
        {FATTR_CTIME, UNION_SET_CTIME}, {FATTR_KILL_SUIDGID, UNION_SET_KILL_PRIV},
    };

    *s = (struct union_setattr){
        .mode = in->mode & 07777,
        .uid = in->uid,
        .gid = in->gid,
        .size_bytes = in->size,
        .atime_ns = io_time_ns((int64_t)in->atime, in->atimensec),
        .mtime_ns = io_time_ns((int64_t)in->mtime, in->mtimensec),
        .ctime_ns = io_time_ns((int64_t)in->ctime, in->ctimensec),
    };
    for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
        if (in->valid & bits[i].valid)
            s->set |= bits[i].set;
    /* "No change" is what remains of a request to drop privileges when the kernel leaves the how to
     * us: before a write by who may not keep them, or when an owner is "changed" to -1:-1. With the
     * write-back cache, the time of that comes along. */
    if ((in->valid & ~(uint32_t)(FATTR_FH | FATTR_LOCKOWNER | FATTR_CTIME)) == 0)
        s->set |= UNION_SET_KILL_PRIV;
    if (in->valid & (FATTR_ATIME_NOW | FATTR_MTIME_NOW)) {
        int64_t now_ns = union_now_ns();

        if (in->valid & FATTR_ATIME_NOW)
            s->atime_ns = now_ns;
        if (in->valid & FATTR_MTIME_NOW)
            s->mtime_ns = now_ns;
    }
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set,
                       struct fuse_file_info *fi)
{
    struct view *v = view_of(req);
    struct union_setattr change;
    struct union_attr attr;
    int r;

    (void)st;
    (void)to_set;
    (void)fi;
    setattr_from(fuse_face_argument(face_of(req)), &change);
    r = union_setattr(v, ino, &change, &attr);
    if (r == 0 && (change.set & UNION_SET_MODE))
        r = acl_follow_mode(v, ino, attr.mode);
    reply_attr(req, r, &attr);
}

/* The target is the union's, and may go before it is sent. */
static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
    struct fuse_face *f = face_of(req);
    const char *target;
    size_t size;
    int r = union_readlink(f->view, ino, &target);

    if (r < 0) {
        reply_status(req, r);
        return;
    }
    size = strnlen(target, FUSE_TRANSFER_MAX);
    memcpy(f->at->reply, target, size);
    (void)fuse_reply_buf(req, (const char *)f->at->reply, size);
}

/* With access control lists the umask counts only where a directory has no default list. */
static int make_node(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev,
                     struct union_attr *attr)
{
    struct view *v = view_of(req);
    auto_acl_inherited struct acl_inherited acl = {0};
    int r = acl_inherit(v, parent, fuse_req_ctx(req)->umask, &mode, &acl);

    if (r < 0)
        return r;
    if (S_ISDIR(mode))
        r = union_mkdir(v, parent, name, mode, cred_of(req), attr);
    else
        r = union_mknod(v, parent, name, mode, major(rdev), minor(rdev), cred_of(req), attr);
    if (r < 0)
        return r;
    r = acl_apply(v, attr->ino, mode, &acl);
    if (r < 0) { /* there is no file without its list */
        (void)(S_ISDIR(mode) ? union_rmdir(v, parent, name) : union_unlink(v, parent, name));
        union_forget(v, attr->ino, 1);
    }
    return r;
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    struct union_attr attr;
    int r = make_node(req, parent, name, mode, rdev, &attr);

    reply_entry(req, r, &attr);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    struct union_attr attr;
    int r = make_node(req, parent, name, S_IFDIR | (mode & 07777), 0, &attr);

    reply_entry(req, r, &attr);
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *fi)
{
    struct fuse_entry_param entry;
    struct union_attr attr;
    int r = make_node(req, parent, name, S_IFREG | (mode & 07777), 0, &attr);

    if (r < 0) {
        reply_status(req, r);
        return;
    }
    entry = entry_from(&attr);
    fi->keep_cache = 1;
    face_of(req)->at->reply_ino = attr.ino;
    (void)fuse_reply_create(req, &entry, fi);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    struct union_attr attr;
    int r = union_symlink(view_of(req), parent, name, target, cred_of(req), &attr);

    reply_entry(req, r, &attr);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    struct union_attr attr;
    int r = union_link(view_of(req), ino, parent, name, &attr);

    reply_entry(req, r, &attr);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    reply_status(req, union_unlink(view_of(req), parent, name));
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    reply_status(req, union_rmdir(view_of(req), parent, name));
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                      const char *new_name, unsigned flags)
{
    reply_status(req, union_rename(view_of(req), parent, name, new_parent, new_name, flags));
}

/* No handles. ENOSYS is for the life of the connection, and meant: here, in op_lseek, and for what
 * `operations` leaves out. */
static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    (void)fi;
    (void)fuse_reply_err(req, ENOSYS);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
    struct fuse_face *f = face_of(req);
    ssize_t count;

    (void)fi;
    if (size > FUSE_TRANSFER_MAX)
        size = FUSE_TRANSFER_MAX;
    count = offset < 0 ? -EINVAL : union_read(f->view, ino, (uint64_t)offset, f->at->reply, size);
    if (count < 0)
        reply_status(req, (int)count);
    else
        (void)fuse_reply_buf(req, (const char *)f->at->reply, (size_t)count);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t offset,
                     struct fuse_file_info *fi)
{
    const struct fuse_write_in *in = fuse_face_argument(face_of(req));
    bool kill_priv = (in->write_flags & FUSE_WRITE_KILL_SUIDGID) != 0;
    ssize_t count = -EINVAL;

    (void)fi;
    if (offset >= 0)
        count = union_write(view_of(req), ino, (uint64_t)offset, bytes, size, kill_priv);
    if (count < 0)
        reply_status(req, (int)count);
    else
        (void)fuse_reply_write(req, (size_t)count);
}

/* NOLINTBEGIN(readability-function-size): the parameters are libfuse's. */
static void op_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t from_offset,
                               struct fuse_file_info *from_fi, fuse_ino_t to, off_t to_offset,
                               struct fuse_file_info *to_fi, size_t size, int flags)
{
    ssize_t count = -EINVAL;

    (void)from_fi;
    (void)to_fi;
    /* The reply has 32 bits for the count; the kernel comes again for the rest. */
    if (size > INT_MAX - 4095)
        size = INT_MAX - 4095;
    if (from_offset >= 0 && to_offset >= 0 && flags == 0)
        count = union_copy_range(view_of(req), from, (uint64_t)from_offset, to, (uint64_t)to_offset,
                                 size);
    if (count < 0)
        reply_status(req, (int)count);
    else
        (void)fuse_reply_write(req, (size_t)count);
}
/* NOLINTEND(readability-function-size) */

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                         struct fuse_file_info *fi)
{
    int r = -EINVAL;

    (void)fi;
    if (offset >= 0 && length > 0)
        r = union_fallocate(view_of(req), ino, mode, (uint64_t)offset, (uint64_t)length);
    reply_status(req, r);
}

/* The kernel asks for holes without writing back what it holds of the file, so with the write-back
 * cache new data would look like a hole, and be lost on the way through cp(1). Then it is told once
 * to do without us: all of a file is data. */
static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
                     struct fuse_file_info *fi)
{
    int64_t found;

    (void)fi;
    if (face_of(req)->writeback) {
        (void)fuse_reply_err(req, ENOSYS);
        return;
    }
    found = union_lseek(view_of(req), ino, offset, whence);
    if (found < 0)
        reply_status(req, (int)found);
    else
        (void)fuse_reply_lseek(req, found);
}

/* NOLINTBEGIN(readability-function-size): the parameters are libfuse's. */
static void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned command, void *argument,
                     struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_size,
                     size_t out_size)
{
    (void)ino;
    (void)command;
    (void)argument;
    (void)fi;
    (void)flags;
    (void)in;
    (void)in_size;
    (void)out_size;
    (void)fuse_reply_err(req, ENOTTY);
}
/* NOLINTEND(readability-function-size) */

struct listing {
    fuse_req_t req;
    bool plus;
    char *at;
    size_t left;
};

static bool list_entry(void *context, const char *name, size_t name_size, uint64_t next,
                       const struct union_attr *attr)
{
    struct listing *l = context;
    char text[LIMIT_NAME_SIZE + 1]; /* the union's names end where they end, libfuse's with a NUL */
    size_t size;

    assert(name_size <= LIMIT_NAME_SIZE);
    memcpy(text, name, name_size);
    text[name_size] = '\0';
    if (l->plus) {
        struct fuse_entry_param entry = entry_from(attr);

        /* The kernel knows these two already, and no reference was taken. */
        if (strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
            entry.ino = 0;
        size = fuse_add_direntry_plus(l->req, l->at, l->left, text, &entry, (off_t)next);
    } else {
        struct stat st = {.st_ino = attr->ino, .st_mode = attr->mode};

        size = fuse_add_direntry(l->req, l->at, l->left, text, &st, (off_t)next);
    }
    if (size > l->left)
        return false;
    l->at += size;
    l->left -= size;
    return true;
}

static void reply_listing(fuse_req_t req, fuse_ino_t ino, size_t size, off_t cookie, bool plus)
{
    struct fuse_face *f = face_of(req);
    struct listing l = {.req = req, .plus = plus, .at = (char *)f->at->reply};
    int r;

    l.left = size < FUSE_TRANSFER_MAX ? size : FUSE_TRANSFER_MAX;
    r = union_readdir(f->view, ino, (uint64_t)cookie, plus, list_entry, &l);
    /* What was listed before a failure is listed; the next call meets the failure again. */
    if (r < 0 && l.at == (char *)f->at->reply)
        reply_status(req, r);
    else
        (void)fuse_reply_buf(req, (const char *)f->at->reply,
                             (size_t)(l.at - (char *)f->at->reply));
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t cookie,
                       struct fuse_file_info *fi)
{
    (void)fi;
    reply_listing(req, ino, size, cookie, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t cookie,
                           struct fuse_file_info *fi)
{
    (void)fi;
    reply_listing(req, ino, size, cookie, true);
}

/* `count` is what the union returned for `size` bytes asked: never answer more than that. */
static void reply_xattr(fuse_req_t req, ssize_t count, size_t size)
{
    if (count >= 0 && size > 0 && (size_t)count > size)
        count = -ERANGE;
    if (count < 0)
        reply_status(req, (int)count);
    else if (size == 0)
        (void)fuse_reply_xattr(req, (size_t)count);
    else
        (void)fuse_reply_buf(req, (const char *)face_of(req)->at->reply, (size_t)count);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    struct fuse_face *f = face_of(req);
    size_t room = size < FUSE_TRANSFER_MAX ? size : FUSE_TRANSFER_MAX;

    reply_xattr(req, union_getxattr(f->view, ino, name, room ? f->at->reply : NULL, room), room);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    struct fuse_face *f = face_of(req);
    size_t room = size < FUSE_TRANSFER_MAX ? size : FUSE_TRANSFER_MAX;

    reply_xattr(req, union_listxattr(f->view, ino, room ? (char *)f->at->reply : NULL, room), room);
}

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
                        size_t size, int flags)
{
    struct view *v = view_of(req);

    if (strcmp(name, ACL_ACCESS_NAME) == 0)
        reply_status(req, acl_set_access(v, ino, value, size));
    else
        reply_status(req, union_setxattr(v, ino, name, value, size, flags));
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    reply_status(req, union_removexattr(view_of(req), ino, name));
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct statvfs st;
    int r = union_statfs(view_of(req), &st);

    (void)ino;
    if (r < 0)
        reply_status(req, r);
    else
        (void)fuse_reply_statfs(req, &st);
}

/* Left out on purpose: FLUSH, FSYNC, FSYNCDIR, ACCESS, POLL and BMAP, which libfuse then answers
 * ENOSYS, so that the kernel does not ask again; GETLK, SETLK and FLOCK, which keeps locks in the
 * kernel; RELEASE, which has nothing to release and is answered at once. */
static const struct fuse_lowlevel_ops operations = {
    .init = op_init,
    .lookup = op_lookup,
    .forget = op_forget,
    .forget_multi = op_forget_multi,
    .getattr = op_getattr,
    .setattr = op_setattr,
    .readlink = op_readlink,
    .mknod = op_mknod,
    .mkdir = op_mkdir,
    .create = op_create,
    .symlink = op_symlink,
    .link = op_link,
    .unlink = op_unlink,
    .rmdir = op_rmdir,
    .rename = op_rename,
    .open = op_open,
    .opendir = op_open,
    .read = op_read,
    .write = op_write,
    .copy_file_range = op_copy_file_range,
    .fallocate = op_fallocate,
    .lseek = op_lseek,
    .ioctl = op_ioctl,
    .readdir = op_readdir,
    .readdirplus = op_readdirplus,
    .getxattr = op_getxattr,
    .listxattr = op_listxattr,
    .setxattr = op_setxattr,
    .removexattr = op_removexattr,
    .statfs = op_statfs,
};

static void __attribute__((format(printf, 2, 0)))
log_line(enum fuse_log_level level, const char *fmt, va_list args)
{
    char text[256];

    (void)level;
    (void)vsnprintf(text, sizeof(text), fmt, args);
    text[strcspn(text, "\n")] = '\0';
    log_debug("%s", text);
}

static void route_log(void)
{
    fuse_set_log_func(log_line);
}

/* The loop reads requests itself (mount.c); libfuse wants a reader all the same. */
static ssize_t read_nothing(int fd, void *buf, size_t size, void *context)
{
    (void)fd;
    (void)buf;
    (void)size;
    (void)context;
    errno = ENODEV;
    return -1;
}

int fuse_ops_session(struct fuse_face *f, int fd, struct fuse_session **out, struct error *err)
{
    static const struct fuse_custom_io io = {.writev = fuse_shim_writev, .read = read_nothing};
    static pthread_once_t log_once = PTHREAD_ONCE_INIT;
    char name[] = "img";
    char *arguments[] = {name, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(1, arguments);
    struct fuse_session *session;
    int r;

    (void)pthread_once(&log_once, route_log);
    session = fuse_session_new(&args, &operations, sizeof(operations), f);
    fuse_opt_free_args(&args);
    if (!session)
        return error_set(err, ENOMEM, "cannot prepare a filesystem session");
    r = fuse_session_custom_io(session, &io, fd);
    if (r != 0) {
        fuse_session_destroy(session);
        return error_set(err, r < 0 ? -r : EINVAL, "cannot prepare a filesystem session");
    }
    *out = session;
    return 0;
}

void fuse_ops_serve(struct fuse_face *f, struct fuse_session *session)
{
    struct fuse_buf request = {.mem = f->at->request, .size = f->at->request_size};

    fuse_session_process_buf(session, &request);
}
