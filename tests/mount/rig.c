/* rig.c - see rig.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/mount/rig.h"

struct rig *rig_new(void)
{
    const char *reason;
    struct mountns *ns = mountns_new(&reason);
    auto_free char *state = str_format("%s/state", test_dir());
    struct rig *r;

    test_need("userns", ns != NULL, reason);
    r = mem_new(struct rig);
    r->ns = ns;
    r->directory = str_format("%s/mnt", test_dir());
    if (mkdir(r->directory, 0755) < 0)
        check_fail("cannot make '%s': %s", r->directory, strerror(errno));
    check_ok(store_open(state, NULL, &r->store, &test_err));
    return r;
}

void rig_free(struct rig *r)
{
    if (!r)
        return;
    mountns_free(r->ns);
    mount_stop(r->mount);
    view_close(r->view);
    store_close(r->store);
    free(r->directory);
    free(r);
}

void rig_mount(struct rig *r, const int64_t *layers, size_t count,
               const struct mount_options *options)
{
    static const struct mount_options none;
    struct view_options view_options = {.label = "the test"};
    int fd;

    check_ok(view_open(r->store, layers, count, &view_options, &r->view, &test_err));
    check_ok(mountns_mount(r->ns, r->directory, options ? options : &none, &fd));
    check_ok(mount_serve(r->view, fd, options ? options : &none, &r->mount, &test_err));
}

void rig_unmount(struct rig *r)
{
    check_ok(mountns_unmount(r->ns, r->directory));
    mount_stop(STEAL(&r->mount));
}

int64_t rig_seal(struct rig *r)
{
    struct seal_options options = {.mtime_max_ns = INT64_MAX};
    struct view_sealed sealed;

    rig_unmount(r);
    check_ok(view_seal(r->view, &options, &sealed, &test_err));
    view_close(STEAL(&r->view));
    return sealed.layer;
}

uint64_t rig_count(const struct rig *r, unsigned opcode)
{
    uint64_t counts[64];

    mount_counts(r->mount, counts, 64);
    return counts[opcode];
}

char *rig_shell(struct rig *r, const char *line)
{
    struct str out = {0};
    int status = mountns_shell(r->ns, r->directory, line, &out);

    if (status != 0)
        check_fail("'%s' ended with %d: %s", line, status, str_text(&out));
    return str_take(&out);
}
