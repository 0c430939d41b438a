/* test_posix.c - the mounted view answers as tmpfs does (SECURITY R30), on the real kernel.
 *
 * Every case of the battery runs on both, in the same namespaces. Where the answers may differ is
 * written down in battery_compare.c.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/str.h"
#include "tests/mount/battery.h"
#include "tests/mount/rig.h"

typedef const struct battery_case *battery_table(void);

struct order {
    battery_table *table; /* the child is a fork of this process */
    size_t index;
    bool is_lower; /* the case's directory is there already */
    char directory[512];
};

static int run_case(const void *argument)
{
    const struct order *order = argument;
    const struct battery_case *c = &order->table()[order->index];

    umask(022);
    if (chdir(order->directory) < 0 || (!order->is_lower && mkdir(c->name, 0755) < 0) ||
        chdir(c->name) < 0) {
        battery_say("cannot enter '%s': %s", c->name, strerror(errno));
        return 1;
    }
    c->run();
    return 0;
}

static int make_lower(const void *argument)
{
    umask(022);
    if (chdir(argument) < 0)
        return 1;
    battery_make_lower();
    return 0;
}

static char *tmpfs_directory(struct rig *r)
{
    char *directory = str_format("%s/tmpfs", test_dir());

    if (mkdir(directory, 0755) < 0)
        check_fail("cannot make '%s': %s", directory, strerror(errno));
    check_ok(mountns_mount_tmpfs(r->ns, directory));
    return directory;
}

static void run_both(struct rig *r, const char *reference, battery_table *table, bool is_lower,
                     bool is_writeback)
{
    size_t difference_count = 0;

    for (size_t i = 0; table()[i].name; i++) {
        struct order order = {.table = table, .index = i, .is_lower = is_lower};
        auto_str struct str ours = {0};
        auto_str struct str theirs = {0};

        (void)snprintf(order.directory, sizeof(order.directory), "%s", r->directory);
        check_int(mountns_run(r->ns, run_case, &order, sizeof(order), &ours), 0);
        (void)snprintf(order.directory, sizeof(order.directory), "%s", reference);
        check_int(mountns_run(r->ns, run_case, &order, sizeof(order), &theirs), 0);
        difference_count +=
            battery_compare(table()[i].name, str_text(&ours), str_text(&theirs), is_writeback);
    }
    check_int(view_fault(r->view, &test_err), 0);
    check_int(difference_count, 0);
}

static void run_tables(battery_table *const *tables, const struct mount_options *options)
{
    auto_rig struct rig *r = rig_new();
    auto_free char *reference = tmpfs_directory(r);

    test_need("subuid", mountns_has_ids(r->ns), "the caller has no subordinate ids");
    rig_mount(r, NULL, 0, options);
    for (; *tables; tables++)
        run_both(r, reference, *tables, false, options && options->writeback);
    rig_unmount(r);
}

TEST(posix, names_answer_as_on_tmpfs)
{
    run_tables((battery_table *[]){battery_name_cases, NULL}, NULL);
}

TEST(posix, data_answers_as_on_tmpfs)
{
    run_tables((battery_table *[]){battery_data_cases, NULL}, NULL);
}

TEST(posix, what_is_shared_answers_as_on_tmpfs)
{
    run_tables((battery_table *[]){battery_share_cases, NULL}, NULL);
}

TEST(posix, attributes_answer_as_on_tmpfs)
{
    run_tables((battery_table *[]){battery_attr_cases, NULL}, NULL);
}

TEST(posix, extended_attributes_answer_as_on_tmpfs)
{
    run_tables((battery_table *[]){battery_xattr_cases, NULL}, NULL);
}

/* SECURITY R32: the write-back cache changes none of it. */
TEST(posix, the_writeback_cache_changes_no_answer)
{
    struct mount_options options = {.writeback = true};

    run_tables((battery_table *[]){battery_data_cases, battery_share_cases, battery_attr_cases,
                                   battery_xattr_cases, NULL},
               &options);
}

/* What a layer holds behaves as what was just written. */
TEST(posix, a_sealed_layer_answers_as_tmpfs)
{
    auto_rig struct rig *r = rig_new();
    auto_free char *reference = tmpfs_directory(r);
    int64_t layer;

    test_need("subuid", mountns_has_ids(r->ns), "the caller has no subordinate ids");
    rig_mount(r, NULL, 0, NULL);
    check_int(mountns_run(r->ns, make_lower, r->directory, strlen(r->directory) + 1, NULL), 0);
    check_int(mountns_run(r->ns, make_lower, reference, strlen(reference) + 1, NULL), 0);
    layer = rig_seal(r);
    rig_mount(r, &layer, 1, NULL);
    run_both(r, reference, battery_lower_cases, true, false);
    rig_unmount(r);
}
