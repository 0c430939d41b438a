/* union.h - layers merged into one tree of inodes, with copy-on-write by extent and no host file
 * per file. What a kernel asks of a filesystem, as plain calls.
 *
 * The vocabulary is the kernel's: inode numbers, bare -errno, POSIX meaning. The core knows nothing
 * of FUSE: fuse_ops.c forwards requests to it, COPY and export call it directly, tests drive it in
 * process. A view belongs to one thread at a time: its serving thread while it is served, else the
 * one that holds it. Permissions are not checked here (the kernel does, default_permissions).
 *
 * Inode 1 is the root. An inode lives while it has a name, a lookup reference or an open use; every
 * call that fills `struct union_attr` from a name (lookup, create, link, ...) takes one lookup
 * reference, given back by union_forget; in-process callers may ignore this (views are short-lived).
 * Ids are container ids. Lower layers are never changed by anything here (SECURITY R31).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/statvfs.h>
#include <sys/types.h>

#include "fs/entry.h"

struct view;

#define UNION_ROOT 1u

struct union_attr {
    uint64_t ino;
    mode_t mode; /* with S_IFMT */
    uint32_t nlink;
    uint32_t uid;
    uint32_t gid;
    uint32_t rdev_major;
    uint32_t rdev_minor;
    uint64_t size_bytes;
    uint64_t blocks; /* of 512 bytes, holes not counted */
    int64_t atime_ns;
    int64_t mtime_ns;
    int64_t ctime_ns;
};

/* Who creates: owner of new inodes (a setgid directory gives its group). The umask is applied by
 * the kernel (FUSE without DONT_MASK), so `mode` arguments are final. */
struct union_cred {
    uint32_t uid;
    uint32_t gid;
};

enum union_set {
    UNION_SET_MODE = 1 << 0,
    UNION_SET_UID = 1 << 1,
    UNION_SET_GID = 1 << 2,
    UNION_SET_SIZE = 1 << 3,
    UNION_SET_ATIME = 1 << 4,
    UNION_SET_MTIME = 1 << 5,
    UNION_SET_CTIME = 1 << 6,
    UNION_SET_KILL_PRIV = 1 << 7, /* drop suid, sgid, caps: alone, or with a truncate by a task
                                   * without CAP_FSETID, or with a change of owner */
};
struct union_setattr {
    uint32_t set; /* enum union_set */
    mode_t mode;
    uint32_t uid;
    uint32_t gid;
    uint64_t size_bytes;
    int64_t atime_ns;
    int64_t mtime_ns;
    int64_t ctime_ns;
};

/* The clock of the time stamps made here, which is the one the kernel's filesystems use: whoever
 * turns "now" into a time for union_setattr must use it too, or make(1) sees times run backwards. */
int64_t union_now_ns(void);
int union_lookup(struct view *v, uint64_t parent, const char *name, struct union_attr *out);
void union_forget(struct view *v, uint64_t ino, uint64_t count);
int union_getattr(struct view *v, uint64_t ino, struct union_attr *out);
/* Changing owner clears suid, sgid (of executables) and security.capability as chown(2) says; with
 * UNION_SET_MODE in the same call, the new mode wins. Any change sets ctime unless it is given. */
int union_setattr(struct view *v, uint64_t ino, const struct union_setattr *s,
                  struct union_attr *out);
/* Borrowed until the inode changes; NUL-terminated. */
int union_readlink(struct view *v, uint64_t ino, const char **target);

/* -EEXIST, -ENAMETOOLONG, -EPERM for names beginning ".wh." and for devices unless the view allows
 * them as data (view_options.allow_devices) (SECURITY R27). mknod makes files, fifos, sockets too. */
int union_mknod(struct view *v, uint64_t parent, const char *name, mode_t mode, uint32_t major,
                uint32_t minor, struct union_cred cred, struct union_attr *out);
int union_mkdir(struct view *v, uint64_t parent, const char *name, mode_t mode,
                struct union_cred cred, struct union_attr *out);
int union_symlink(struct view *v, uint64_t parent, const char *name, const char *target,
                  struct union_cred cred, struct union_attr *out);
int union_tmpfile(struct view *v, uint64_t parent, mode_t mode, struct union_cred cred,
                  struct union_attr *out); /* nlink 0 until linked */
int union_link(struct view *v, uint64_t ino, uint64_t parent, const char *name,
               struct union_attr *out);
int union_unlink(struct view *v, uint64_t parent, const char *name);
int union_rmdir(struct view *v, uint64_t parent, const char *name);
/* flags: RENAME_NOREPLACE, RENAME_EXCHANGE; RENAME_WHITEOUT is -EINVAL. */
int union_rename(struct view *v, uint64_t parent, const char *name, uint64_t new_parent,
                 const char *new_name, uint32_t flags);

/* Counts or -errno. Reads come from packs and the segment; writes go to the segment only. */
ssize_t union_read(struct view *v, uint64_t ino, uint64_t offset, void *buf, size_t size);
ssize_t union_write(struct view *v, uint64_t ino, uint64_t offset, const void *buf, size_t size,
                    bool kill_priv);
ssize_t union_copy_range(struct view *v, uint64_t from, uint64_t from_offset, uint64_t to,
                         uint64_t to_offset, uint64_t size); /* shares extents */
int union_fallocate(struct view *v, uint64_t ino, int mode, uint64_t offset, uint64_t length);
int64_t union_lseek(struct view *v, uint64_t ino, int64_t offset, int whence); /* DATA, HOLE */
/* The file's content becomes these extents of existing packs; no byte is copied. Gaps are holes. */
int union_set_content(struct view *v, uint64_t ino, uint64_t size_bytes,
                      const struct extent *extents, size_t count);
/* The extents of a file as they are now; extents in this view's own segment carry pack id
 * VIEW_SEGMENT. Returns the count; at most `max` are stored. */
ssize_t union_get_content(struct view *v, uint64_t ino, struct extent *extents, size_t max);
#define VIEW_SEGMENT UINT64_MAX

/* Calls fn, whose name is `name_size` bytes without a NUL behind, for entries from `cookie` on (0
 * starts; "." and ".." are included) until fn returns false, which means that it did not take this entry (its buffer is full): no reference is taken
 * for it, and it is the first one of the next call. `next` is the cookie that continues after this
 * entry; it fits 31 bits, for the sake of 32-bit programs. Cookies stay valid while the directory
 * is modified, as POSIX wants. `name` is not NUL-terminated. With `plus`, attr is complete and, for all but "." and "..", a
 * lookup reference is taken; without, only ino and mode's S_IFMT are set. */
typedef bool union_dir_fn(void *context, const char *name, size_t name_size, uint64_t next,
                          const struct union_attr *attr);
int union_readdir(struct view *v, uint64_t dir, uint64_t cookie, bool plus, union_dir_fn *fn,
                  void *context);

/* getxattr/listxattr: the size; with size 0 only the size; -ERANGE when it does not fit.
 * security.capability, user.*, system.posix_acl_*, security.* are kept; trusted.* and overlay's
 * names are -EPERM/-EOPNOTSUPP (SECURITY R27). flags: XATTR_CREATE, XATTR_REPLACE. */
ssize_t union_getxattr(struct view *v, uint64_t ino, const char *name, void *value, size_t size);
ssize_t union_listxattr(struct view *v, uint64_t ino, char *list, size_t size);
int union_setxattr(struct view *v, uint64_t ino, const char *name, const void *value, size_t size,
                   int flags);
int union_removexattr(struct view *v, uint64_t ino, const char *name);
int union_statfs(struct view *v, struct statvfs *out); /* of the state's filesystem */
