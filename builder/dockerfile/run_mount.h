/* run_mount.h - the value of RUN --mount: a list of key=value fields in CSV form.
 *
 * Keys are a closed list (SECURITY R24): type target dst destination source src from id rw
 * readwrite ro readonly sharing required size mode uid gid env, and buildah's z, Z and U, which
 * mean nothing here. Anything else, a key given twice, or a key that its type does not have, is an
 * error. Fields are separated by commas; quotes keep a comma or blank inside a field.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/str.h"

enum run_mount_type {
    RUN_MOUNT_BIND,
    RUN_MOUNT_CACHE,
    RUN_MOUNT_TMPFS,
    RUN_MOUNT_SECRET,
    RUN_MOUNT_SSH,
};
enum run_mount_sharing { RUN_MOUNT_SHARED, RUN_MOUNT_PRIVATE, RUN_MOUNT_LOCKED };

struct run_mount {
    char *text;    /* the flag's value as written */
    unsigned line; /* where `text` stands, as in struct position */
    unsigned column;
    bool is_complete; /* false until expansion if a value holds a variable */
    char *from; /* stage, image or context; NULL: the build context, or none. Never expanded */

    enum run_mount_type type;
    char *target;      /* as given: relative means below WORKDIR; NULL: the type's default */
    char *source;      /* bind, cache: NULL is the root of `from` */
    char *id;          /* cache, secret, ssh: as given or the default; NULL for other types */
    char *env;         /* secret: the variable that gets it, or NULL */
    bool is_read_only; /* bind, secret, ssh by default; not cache and tmpfs */
    bool is_required;  /* secret, ssh */
    bool has_mode, has_uid, has_gid;
    mode_t mode;       /* default: cache 0755, secret 0400, ssh 0600 */
    uint32_t uid, gid; /* default 0 */
    enum run_mount_sharing sharing;
    uint64_t size_max_bytes; /* tmpfs; 0: no limit asked for */
    char *ignored;       /* z, Z or U: a field of other builders that means nothing here; or NULL */
    size_t fault_offset; /* after a failure alone: where in `text` the field to blame begins */
};

struct run_mounts {
    struct run_mount *items;
    size_t count;
    size_t capacity;
};

struct expand;
struct expand_use;

/* Parses one value into `*out` (an empty struct; released by run_mount_release).
 *
 * With how->env NULL, before expansion, fields whose value holds a `$` are left for later, the
 * others are checked, and is_complete tells whether nothing was left. With an environment every
 * value but from's is expanded and the result is complete. `use` may be NULL.
 * Errors: -EINVAL with BuildKit's sentence, and out->fault_offset. */
int run_mount_parse(const char *text, const struct expand *how, struct expand_use *use,
                    struct run_mount *out, struct error *err);
/* Where in `text`, a value that was parsed before, the field of `key` or of another name for it begins;
 * 0 when it has none. */
size_t run_mount_field(const char *text, const char *key);
void run_mount_copy(struct run_mount *to, const struct run_mount *from); /* `to` is empty */
void run_mount_release(struct run_mount *mount);
const char *run_mount_type_name(enum run_mount_type type); /* "bind" */
