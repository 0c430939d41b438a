/* sandbox_spec.c - checking a spec and naming the mount points it needs. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "builder/sandbox/message.h"
#include "builder/sandbox/sandbox_spec.h"
#include "fs/base/limits.h"
#include "fs/base/str.h"

#include "fs/base/banned.h"

#define HOSTNAME_SIZE_MAX 64u /* sethostname(2) */

/* True when `path` is `top` or lies below it. */
static bool is_within(const char *path, const char *top)
{
    size_t size = strlen(top);

    return strncmp(path, top, size) == 0 && (path[size] == '\0' || path[size] == '/');
}

bool sandbox_mount_is_dir(const struct sandbox_mount *mount)
{
    if (mount->kind == SANDBOX_MOUNT_TREE || mount->kind == SANDBOX_MOUNT_SHARED ||
        mount->kind == SANDBOX_MOUNT_VOLUME)
        return !mount->source_is_file;
    return mount->kind == SANDBOX_MOUNT_TMPFS;
}

size_t sandbox_mount_container(const struct sandbox_spec *spec, size_t index)
{
    const char *target = spec->mounts[index].target;
    size_t best = SANDBOX_NO_MOUNT;
    size_t best_size = 0;

    for (size_t i = 0; i < index; i++) {
        const char *other = spec->mounts[i].target;

        if (!sandbox_mount_is_dir(&spec->mounts[i]) || strcmp(other, target) == 0)
            continue;
        if (is_within(target, other) && strlen(other) >= best_size) {
            best = i; /* of two on the same path the later one covers the earlier */
            best_size = strlen(other);
        }
    }
    return best;
}

int sandbox_target_check(const struct sandbox_mount *mount, struct error *err)
{
    static const char *const refused[] = {"/proc", "/sys", "/dev"};
    const char *target = mount->target;
    auto_free char *clean = NULL;

    if (!target || target[0] != '/')
        return error_set(err, EINVAL, "mount target '%s' is not an absolute path",
                         target ? target : "");
    if (strlen(target) >= LIMIT_PATH_SIZE)
        return error_set(err, EINVAL, "mount target '%.64s...' is too long", target);
    clean = path_clean(target);
    if (strcmp(clean, target) != 0)
        return error_set(err, EINVAL, "mount target '%s' is not a clean path", target);
    if (strcmp(target, "/") == 0)
        return error_set(err, EINVAL, "nothing can be mounted on '/'");
    if (is_within(target, "/dev/shm") ||
        (sandbox_mount_is_dir(mount) && strcmp(target, SANDBOX_PIPES) == 0))
        return 0;
    if (mount->has_devices && text_starts(target, "/dev/"))
        return 0;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        if (is_within(target, refused[i]))
            return error_set(err, EINVAL,
                             "nothing can be mounted on '%s': '%s' belongs to the "
                             "sandbox",
                             target, refused[i]);
    return 0;
}

static int check_mount(const struct sandbox_spec *spec, size_t index, struct error *err)
{
    const struct sandbox_mount *m = &spec->mounts[index];
    size_t tree_count = spec->tree_count ? spec->tree_count : 1;
    int r = sandbox_target_check(m, err);

    if (r < 0)
        return r;
    switch (m->kind) {
    case SANDBOX_MOUNT_TREE:
        if (m->tree == 0 || m->tree >= tree_count)
            return error_set(err, EINVAL, "mount '%s' names tree %zu of %zu", m->target, m->tree,
                             tree_count);
        return 0;
    case SANDBOX_MOUNT_SHARED:
        if (m->tree >= SPAWNER_SHARES_MAX)
            return error_set(err, EINVAL, "mount '%s' names shared tree %zu of %u", m->target,
                             m->tree, SPAWNER_SHARES_MAX);
        return 0;
    case SANDBOX_MOUNT_VOLUME:
        if (m->tree >= SPAWNER_VOLUMES_MAX)
            return error_set(err, EINVAL, "mount '%s' names volume %zu of %u", m->target, m->tree,
                             SPAWNER_VOLUMES_MAX);
        return 0;
    case SANDBOX_MOUNT_TMPFS:
    case SANDBOX_MOUNT_FILE:
    case SANDBOX_MOUNT_SOCKET:
        return 0;
    }
    return error_set(err, EINVAL, "mount '%s' is of unknown kind %d", m->target, (int)m->kind);
}

/* An unknown value never means "no sandbox" (SECURITY P3). */
static int check_modes(const struct sandbox_spec *spec, struct error *err)
{
    switch (spec->input) {
    case SANDBOX_INPUT_NONE:
    case SANDBOX_INPUT_PIPE:
    case SANDBOX_INPUT_TERMINAL:
        break;
    default:
        return error_set(err, EINVAL, "unknown input mode %d", (int)spec->input);
    }
    switch (spec->network) {
    case SANDBOX_NETWORK_DEFAULT:
    case SANDBOX_NETWORK_NONE:
    case SANDBOX_NETWORK_HOST:
        break;
    default:
        return error_set(err, EINVAL, "unknown network mode %d", (int)spec->network);
    }
    switch (spec->security) {
    case SANDBOX_SECURITY_SANDBOX:
    case SANDBOX_SECURITY_NO_NEW_PRIVILEGES:
    case SANDBOX_SECURITY_INSECURE:
        return 0;
    default:
        return error_set(err, EINVAL, "unknown security mode %d", (int)spec->security);
    }
}

int sandbox_spec_check(const struct sandbox_spec *spec, struct error *err)
{
    int r;

    if (!spec->argv || !spec->argv[0] || spec->argv[0][0] == '\0')
        return error_set(err, EINVAL, "there is no command to start");
    if (spec->cwd && spec->cwd[0] != '/')
        return error_set(err, EINVAL, "working directory '%s' is not an absolute path", spec->cwd);
    if (spec->hostname && (spec->hostname[0] == '\0' || strlen(spec->hostname) > HOSTNAME_SIZE_MAX))
        return error_set(err, EINVAL, "hostname '%.80s' must have 1 to %u characters",
                         spec->hostname, HOSTNAME_SIZE_MAX);
    if (spec->tree_count > SANDBOX_TREES_MAX)
        return error_set(err, E2BIG, "a step can use %u trees, not %zu", SANDBOX_TREES_MAX,
                         spec->tree_count);
    if (spec->mount_count > SANDBOX_MOUNTS_MAX)
        return error_set(err, E2BIG, "a step can have %u mounts, not %zu", SANDBOX_MOUNTS_MAX,
                         spec->mount_count);
    if (spec->group_count > NGROUPS_MAX)
        return error_set(err, E2BIG, "a process can have %d groups, not %zu", NGROUPS_MAX,
                         spec->group_count);
    r = check_modes(spec, err);
    for (size_t i = 0; i < spec->mount_count && r == 0; i++)
        r = check_mount(spec, i, err);
    return r;
}

static void add_mountpoint(struct sandbox_mountpoint_list *out, size_t tree, char *path,
                           bool is_dir)
{
    *array_add(out) = (struct sandbox_mountpoint){.tree = tree, .path = path, .is_dir = is_dir};
}

static void add_for_mount(const struct sandbox_spec *spec, size_t index,
                          struct sandbox_mountpoint_list *out)
{
    const struct sandbox_mount *m = &spec->mounts[index];
    size_t container = sandbox_mount_container(spec, index);
    bool is_dir = sandbox_mount_is_dir(m);

    if (is_within(m->target, "/dev"))
        return; /* in the step's own /dev */
    if (container == SANDBOX_NO_MOUNT) {
        add_mountpoint(out, 0, mem_strdup(m->target), is_dir);
    } else if (spec->mounts[container].kind == SANDBOX_MOUNT_TREE) {
        const struct sandbox_mount *in = &spec->mounts[container];
        const char *rest = m->target + strlen(in->target) + 1;

        add_mountpoint(out, in->tree, path_join(in->source ? in->source : "/", rest), is_dir);
    } /* in a tmpfs the spawner makes it */
}

int sandbox_mountpoints(const struct sandbox_spec *spec, struct sandbox_mountpoint_list *out,
                        struct error *err)
{
    static const char *const dirs[] = {"/proc", "/dev", "/sys"};
    int r = sandbox_spec_check(spec, err);

    if (r < 0)
        return r;
    *out = (struct sandbox_mountpoint_list){0};
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
        add_mountpoint(out, 0, mem_strdup(dirs[i]), true);
    for (size_t i = 0; i < ETC_COUNT; i++)
        add_mountpoint(out, 0, str_format("/%s", sandbox_etc_paths[i]), false);
    for (size_t i = 0; i < spec->mount_count; i++)
        add_for_mount(spec, i, out);
    return 0;
}

void sandbox_mountpoint_list_release(struct sandbox_mountpoint_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].path);
    free(list->items);
    *list = (struct sandbox_mountpoint_list){0};
}
