/* users.h - names of an image's users and groups, out of the bytes of its /etc/passwd and /etc/group.
 *
 * Nothing of the host and no NSS is asked (SECURITY R10). The caller reads the files inside the
 * image, regular files of at most LIMIT_PASSWD_SIZE; a missing one is given as NULL. Lines that are
 * not entries are skipped.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"

struct users_files {
    const char *passwd; /* NULL: the image has none */
    size_t passwd_size; /* bytes */
    const char *group;
    size_t group_size;
};

struct user {
    uint32_t uid;
    uint32_t gid;
    uint32_t *groups; /* supplementary, distinct, without gid */
    size_t group_count;
    char *name; /* from passwd, or NULL when the uid is not listed */
    char *home; /* from passwd, else "/" */
};

/* `spec` is USER's "user", "user:group", either a name or a number; "" is root. Without a group the
 * primary group of passwd and the groups that list the user are taken; with one there are no
 * supplementary groups. A number that is not listed has gid 0.
 *
 * Errors: -ENOENT `unable to find user x: no matching entries in passwd file` (and the same of a
 * group); -EINVAL for a number above 2^32-2 or a malformed spec. */
int user_resolve(const struct users_files *files, const char *spec, struct user *out,
                 struct error *err);
/* What a process of the user gets from setgroups(2): group_count + 1 of them, the primary group first.
 * Caller frees. */
uint32_t *user_process_groups(const struct user *user);
void user_release(struct user *user);
DEFINE_CLEANUP_VALUE(user_release, struct user)
#define auto_user CLEANUP(user_release)

/* `spec` is --chown's: as above, but a number without a group gives a gid of the same number, listed
 * or not; a name without one gives the primary group of passwd, as BuildKit and buildah do. */
int owner_resolve(const struct users_files *files, const char *spec, uint32_t *uid, uint32_t *gid,
                  struct error *err);
/* Whether `spec` can be resolved without the image's files (numbers alone). */
bool owner_is_numeric(const char *spec);
