/* acl.h - what a filesystem owes to POSIX access control lists, as the kernel leaves it to us.
 *
 * The kernel checks permissions by the lists; keeping mode and list in step is ours: a list that is
 * set changes the mode, a chmod changes the list, and a directory's default list is inherited
 * (acl(5); POSIX.1e draft 17, 23.1.5, 23.1.6). Lists are kept as extended attributes in the
 * kernel's own form (linux/posix_acl_xattr.h), ids being container ids. Bare -errno.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "fs/union.h"

struct view;

#define ACL_ACCESS_NAME "system.posix_acl_access"
#define ACL_DEFAULT_NAME "system.posix_acl_default"
#define ACL_SIZE_MAX 65536u /* one extended attribute */

/* What a new inode gets from the directory it is made in. */
struct acl_inherited {
    size_t default_size; /* 0: the directory has no default list, nothing is inherited */
    size_t access_size;  /* 0: the mode says it all */
    uint8_t *list;       /* room for the default list, then the access list; owned */
};

/* Turns the mode a task asked for into the one the inode gets: by the default list of `dir`, else
 * by the umask. `out` may be inherited with acl_apply and is released in any case. */
int acl_inherit(struct view *v, uint64_t dir, mode_t umask, mode_t *mode,
                struct acl_inherited *out);
/* Sets on the new inode `ino` what was inherited. */
int acl_apply(struct view *v, uint64_t ino, mode_t mode, const struct acl_inherited *inherited);
void acl_inherited_release(struct acl_inherited *inherited);
DEFINE_CLEANUP_VALUE(acl_inherited_release, struct acl_inherited)
#define auto_acl_inherited CLEANUP(acl_inherited_release)

/* After a chmod to `mode`: the access list follows, if there is one. */
int acl_follow_mode(struct view *v, uint64_t ino, mode_t mode);
/* Sets the access list: the mode follows; a list that says no more than the mode is not kept.
 * -EINVAL for a malformed one. */
int acl_set_access(struct view *v, uint64_t ino, const void *list, size_t size);
