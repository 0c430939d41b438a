/* packages_scan.c - where databases are. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "builder/attest/packages.h"
#include "fs/base/limits.h"
#include "fs/base/log.h"

#include "fs/base/banned.h"

typedef int add_fn(const char *text, size_t size, const char *origin, struct packages *out,
                   struct error *err);

static bool is_absent(int r)
{
    return r == -ENOENT || r == -ENOTDIR || r == -ELOOP;
}

/* A regular file with links followed inside the tree: 1, or 0 when there is none. */
static int find(struct tree *tree, const char *path, enum entry_type type, char **real,
                struct error *err)
{
    auto_tree_node struct tree_node node = {0};
    auto_free char *resolved = NULL;
    int r = tree_resolve(tree, path, &resolved, err);

    if (r == 0)
        r = tree_stat(tree, resolved, &node, err);
    if (is_absent(r)) {
        error_clear(err);
        return 0;
    }
    if (r < 0)
        return r;
    *real = STEAL(&resolved);
    return node.meta.type == type;
}

/* Small files that are too large for what they should be are none; a database is not passed over. */
static int add_file(struct tree *tree, const char *path, add_fn *add, uint64_t size_max,
                    struct packages *out, struct error *err)
{
    auto_free char *real = NULL;
    auto_str struct str text = {0};
    int r = find(tree, path, ENTRY_FILE, &real, err);

    if (r <= 0)
        return r;
    r = tree_read(tree, real, size_max, &text, err);
    if (r == -EFBIG && size_max == LIMIT_PACKAGE_FILE) {
        error_clear(err);
        return 0;
    }
    return r < 0 ? r : add(str_text(&text), text.size, path, out, err);
}

/* The children of a directory; none when it is not there. */
static int list(struct tree *tree, const char *path, struct tree_nodes *out, struct error *err)
{
    auto_free char *real = NULL;
    int r = find(tree, path, ENTRY_DIR, &real, err);

    return r <= 0 ? r : tree_list(tree, real, out, err);
}

/* ---- dpkg and apk ---- */

/* One file for each package, and others beside them with sums of its files. */
static int add_status_d(struct tree *tree, struct packages *out, struct error *err)
{
    static const char directory[] = "var/lib/dpkg/status.d";
    auto_tree_nodes struct tree_nodes nodes = {0};
    int r = list(tree, directory, &nodes, err);

    for (size_t i = 0; r >= 0 && i < nodes.count; i++) {
        auto_free char *path = str_format("%s/%s", directory, path_base(nodes.items[i].path));

        if (!text_ends(path, ".md5sums"))
            r = add_file(tree, path, packages_add_dpkg, LIMIT_PACKAGE_FILE, out, err);
    }
    return r;
}

static int add_system(struct tree *tree, struct packages *out, struct error *err)
{
    static const struct {
        const char *path;
        add_fn *add;
    } databases[] = {
        {"var/lib/dpkg/status", packages_add_dpkg},
        {"lib/apk/db/installed", packages_add_apk},
    };
    auto_free char *other = NULL;
    int r = add_status_d(tree, out, err);

    for (size_t i = 0; r >= 0 && i < sizeof(databases) / sizeof(databases[0]); i++)
        r = add_file(tree, databases[i].path, databases[i].add, LIMIT_PACKAGE_DATABASE, out, err);
    /* Where /lib is no link to it, newer apk has it there. */
    if (r >= 0)
        r = find(tree, "lib/apk/db/installed", ENTRY_FILE, &other, err);
    if (r == 0)
        r = add_file(tree, "usr/lib/apk/db/installed", packages_add_apk, LIMIT_PACKAGE_DATABASE,
                     out, err);
    return r;
}

/* ---- languages ---- */

static int add_dist_infos(struct tree *tree, const char *directory, struct packages *out,
                          struct error *err)
{
    auto_tree_nodes struct tree_nodes nodes = {0};
    int r = list(tree, directory, &nodes, err);

    for (size_t i = 0; r >= 0 && i < nodes.count; i++) {
        const char *name = path_base(nodes.items[i].path);
        auto_free char *path = str_format("%s/%s/METADATA", directory, name);

        if (text_ends(name, ".dist-info"))
            r = add_file(tree, path, packages_add_python, LIMIT_PACKAGE_FILE, out, err);
    }
    return r;
}

/* lib/python3/dist-packages (Debian) and lib/python3.12/site-packages. */
static int add_python(struct tree *tree, const char *lib, struct packages *out, struct error *err)
{
    auto_tree_nodes struct tree_nodes nodes = {0};
    int r = list(tree, lib, &nodes, err);

    for (size_t i = 0; r >= 0 && i < nodes.count; i++) {
        const char *name = path_base(nodes.items[i].path);
        auto_free char *site = str_format("%s/%s/site-packages", lib, name);
        auto_free char *dist = str_format("%s/%s/dist-packages", lib, name);

        if (!text_starts(name, "python3"))
            continue;
        r = add_dist_infos(tree, site, out, err);
        if (r >= 0)
            r = add_dist_infos(tree, dist, out, err);
    }
    return r;
}

static int add_module(struct tree *tree, const char *directory, struct packages *out,
                      struct error *err)
{
    auto_free char *path = str_format("%s/package.json", directory);

    return add_file(tree, path, packages_add_node, LIMIT_PACKAGE_FILE, out, err);
}

/* node_modules/NAME and node_modules/@SCOPE/NAME. */
static int add_modules(struct tree *tree, const char *directory, bool is_scope,
                       struct packages *out, struct error *err)
{
    auto_tree_nodes struct tree_nodes nodes = {0};
    int r = list(tree, directory, &nodes, err);

    for (size_t i = 0; r >= 0 && i < nodes.count; i++) {
        const char *name = path_base(nodes.items[i].path);
        auto_free char *path = str_format("%s/%s", directory, name);

        r = !is_scope && name[0] == '@' ? add_modules(tree, path, true, out, err)
                                        : add_module(tree, path, out, err);
    }
    return r;
}

static int add_languages(struct tree *tree, const char *working_dir, struct packages *out,
                         struct error *err)
{
    static const char *const libs[] = {"usr/lib", "usr/local/lib"};
    const char *inside = working_dir + strspn(working_dir, "/");
    auto_free char *own =
        inside[0] == '\0' ? mem_strdup("node_modules") : str_format("%s/node_modules", inside);
    int r = 0;

    for (size_t i = 0; r >= 0 && i < 2; i++) {
        auto_free char *modules = str_format("%s/node_modules", libs[i]);

        r = add_python(tree, libs[i], out, err);
        if (r >= 0)
            r = add_modules(tree, modules, false, out, err);
    }
    return r < 0 ? r : add_modules(tree, own, false, out, err);
}

/* ---- what is not read ---- */

static int note_unread(struct tree *tree, struct packages *out, struct error *err)
{
    static const char *const databases[] = {
        "var/lib/rpm/rpmdb.sqlite", "usr/lib/sysimage/rpm/rpmdb.sqlite", "var/lib/rpm/Packages",
        "var/lib/rpm/Packages.db",  "usr/lib/sysimage/rpm/Packages.db",
    };
    int r = 0;

    for (size_t i = 0; r >= 0 && i < sizeof(databases) / sizeof(databases[0]); i++) {
        auto_free char *real = NULL;

        r = find(tree, databases[i], ENTRY_FILE, &real, err);
        if (r > 0)
            strv_add(&out->unread, databases[i]);
    }
    return r;
}

static int read_distribution(struct tree *tree, struct packages *out, struct error *err)
{
    static const char *const files[] = {"etc/os-release", "usr/lib/os-release"};
    int r = 0;

    for (size_t i = 0; r >= 0 && i < 2; i++) {
        auto_free char *real = NULL;
        auto_str struct str text = {0};

        r = find(tree, files[i], ENTRY_FILE, &real, err);
        if (r > 0)
            r = tree_read(tree, real, LIMIT_PACKAGE_FILE, &text, err);
        packages_set_distribution(str_text(&text), text.size, out);
    }
    return r;
}

int packages_scan(struct tree *tree, const char *working_dir, struct packages *out,
                  struct error *err)
{
    int r = read_distribution(tree, out, err);

    if (r >= 0)
        r = add_system(tree, out, err);
    if (r >= 0)
        r = add_languages(tree, working_dir, out, err);
    if (r >= 0)
        r = note_unread(tree, out, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < out->unread.count; i++)
        log_warn("'/%s' is not understood, continuing without its packages in the sbom",
                 out->unread.items[i]);
    packages_sort(out);
    return 0;
}
