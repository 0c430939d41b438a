/* What package databases say, and what hostile ones do not get through: deb-control(5), apk's installed
 * database, Python's core metadata, package.json. Trees are real directories. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder/attest/packages.h"
#include "fs/base/limits.h"
#include "tests/lib/test.h"

/* "kind name version architecture source license" a line; "-" for what is not known. */
static void check_list(const struct packages *list, const char *expected)
{
    static const char *const kinds[] = {"deb", "apk", "pypi", "npm"};
    auto_str struct str text = {0};

    for (size_t i = 0; i < list->count; i++) {
        const struct package *p = &list->items[i];

        str_addf(&text, "%s %s %s %s %s %s\n", kinds[p->kind], p->name, p->version,
                 p->architecture == NULL ? "-" : p->architecture,
                 p->source == NULL ? "-" : p->source, p->license == NULL ? "-" : p->license);
    }
    check_text(str_text(&text), expected);
}

#define ADD(format, text, list)                                                                    \
    check_ok(packages_add_##format((text), strlen(text), "db", (list), &test_err))

TEST(packages, dpkg_lists_what_is_installed_alone)
{
    auto_packages struct packages list = {0};

    ADD(dpkg,
        "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nSource: glibc (2.36-9)\n"
        "Version: 2.36-9+deb12u4\nDescription: GNU C Library\n Package: not a field\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n"
        "Package: held\nStatus: hold ok installed\nVersion: 1:2~rc\n",
        &list);
    check_list(&list, "deb libc6 2.36-9+deb12u4 amd64 glibc -\ndeb held 1:2~rc - - -\n");
}

TEST(packages, a_file_of_status_d_needs_no_status)
{
    auto_packages struct packages list = {0};

    ADD(dpkg, "Package: tzdata\nVersion: 2024a\nArchitecture: all\n", &list);
    check_list(&list, "deb tzdata 2024a all - -\n");
}

TEST(packages, apk_has_licences)
{
    auto_packages struct packages list = {0};

    ADD(apk,
        "C:Q1abc=\nP:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\no:musl\nF:lib\nR:ld-musl-x86_64.so.1\n\n"
        "P:busybox\nV:1.36\nL:GPL-2.0-only AND MIT\n\n",
        &list);
    check_list(&list,
               "apk musl 1.2.4-r2 x86_64 musl MIT\napk busybox 1.36 - - GPL-2.0-only AND MIT\n");
}

TEST(packages, a_description_is_no_header)
{
    auto_packages struct packages list = {0};

    ADD(python,
        "Metadata-Version: 2.1\r\nName: Requests\r\nVersion: 2.31\n\nName: liar\nVersion: 9\n",
        &list);
    ADD(node,
        "{\"name\":\"@a/b\",\"version\":\"1.0.0\",\"license\":\"ISC\",\"author\":{\"name\":\"x\"}}",
        &list);
    check_list(&list, "pypi Requests 2.31 - - -\nnpm @a/b 1.0.0 - - ISC\n");
}

/* Nothing of these is a package, and none of them is a reason to fail. */
TEST(packages, what_is_no_package_is_passed_over)
{
    auto_packages struct packages list = {0};

    ADD(dpkg, "", &list);
    ADD(dpkg, "\n\n\n", &list);
    ADD(dpkg, "Package: a\n\nVersion: 1\n", &list);
    ADD(dpkg, "Package: a\x1b[31m\nVersion: 1\n\nPackage: b\nVersion: \x7f\n", &list);
    ADD(dpkg, "Package:\nVersion:\n", &list);
    ADD(apk, "P:a", &list);
    ADD(node, "{\"name\":\"a\",\"version\":7}", &list);
    ADD(node, "[", &list);
    ADD(python, "\nName: a\nVersion: 1\n", &list);
    check_list(&list, "");
}

TEST(packages, a_long_line_and_a_nul_cost_nothing)
{
    auto_packages struct packages list = {0};
    auto_str struct str text = {0};
    size_t size = 10u << 20;
    auto_free char *line = mem_alloc(size);

    memset(line, 'x', size);
    str_add(&text, "Package: ");
    str_add_bytes(&text, line, size);
    str_add(&text, "\nVersion: 1\n\nPackage: a\nVersion: 1\nDepends: ");
    str_add_bytes(&text, line, size);
    str_add_bytes(&text, "\n\nPackage: b\0c\nVersion: 1\n", 26);
    check_ok(packages_add_dpkg(text.data, text.size, "db", &list, &test_err));
    check_list(&list, "deb a 1 - - -\n");
}

TEST(packages, there_is_an_end_to_what_is_believed)
{
    auto_packages struct packages list = {0};
    auto_str struct str text = {0};

    for (size_t i = 0; i <= LIMIT_PACKAGES; i++)
        str_add(&text, "P:a\nV:1\n\n");
    check_fails(packages_add_apk(text.data, text.size, "lib/apk/db/installed", &list, &test_err),
                E2BIG);
    check_error(&test_err, E2BIG, "'/lib/apk/db/installed' has more than 200000 packages");
}

TEST(packages, sorted_each_is_there_once)
{
    auto_packages struct packages list = {0};

    ADD(apk, "P:b\nV:1\n\nP:a\nV:2\n\nP:a\nV:1\n\nP:b\nV:1\n", &list);
    ADD(dpkg, "Package: z\nVersion: 1\n", &list);
    packages_sort(&list);
    check_list(&list, "deb z 1 - - -\napk a 1 - - -\napk a 2 - - -\napk b 1 - - -\n");
}

/* ---- where they are ---- */

static void put(const char *path, const char *text)
{
    auto_free char *copy = mem_strdup(path);
    int fd;

    for (char *slash = strchr(copy, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdirat(test_dir_fd(), copy, 0755); /* may be there */
        *slash = '/';
    }
    fd = openat(test_dir_fd(), path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    check_true(fd >= 0);
    check_int(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static int scan(const char *root, const char *working_dir, struct packages *out)
{
    auto_free char *path = str_format("%s/%s", test_dir(), root);
    auto_tree struct tree *tree = NULL;

    check_ok(tree_open_host(path, NULL, &tree, &test_err));
    return packages_scan(tree, working_dir, out, &test_err);
}

TEST(packages, databases_are_read_where_they_are)
{
    auto_packages struct packages list = {0};

    put("r/var/lib/dpkg/status", "Package: a\nVersion: 1\nStatus: install ok installed\n");
    put("r/var/lib/dpkg/status.d/b", "Package: b\nVersion: 1\n");
    put("r/var/lib/dpkg/status.d/b.md5sums", "Package: not\nVersion: 1\n");
    put("r/usr/lib/apk/db/installed", "P:c\nV:1\n");
    put("r/usr/lib/python3/dist-packages/d-1.dist-info/METADATA", "Name: d\nVersion: 1\n");
    put("r/usr/local/lib/python3.12/site-packages/e-1.dist-info/METADATA", "Name: e\nVersion: 1\n");
    put("r/usr/lib/node_modules/@s/f/package.json", "{\"name\":\"@s/f\",\"version\":\"1\"}");
    put("r/app/node_modules/g/package.json", "{\"name\":\"g\",\"version\":\"1\"}");
    put("r/etc/os-release", "NAME=\"X\"\nID=debian\nVERSION_ID=\"12\"\n");
    put("r/var/lib/rpm/rpmdb.sqlite", "");
    check_ok(scan("r", "/app", &list));
    check_list(&list,
               "deb a 1 - - -\ndeb b 1 - - -\napk c 1 - - -\npypi d 1 - - -\npypi e 1 - - -\n"
               "npm @s/f 1 - - -\nnpm g 1 - - -\n");
    check_text(list.distribution, "debian");
    check_text(list.distribution_version, "12");
    check_int(list.unread.count, 1);
}

TEST(packages, an_empty_tree_has_none)
{
    auto_packages struct packages list = {0};

    put("empty/x", "");
    check_ok(scan("empty", "/", &list));
    check_list(&list, "");
    check_text(list.distribution, NULL);
}

/* SECURITY R53: a link in an image leads nowhere but into the image. */
TEST(packages, a_link_does_not_leave_the_tree)
{
    auto_packages struct packages list = {0};

    put("outside", "Package: stolen\nVersion: 1\n");
    put("l/var/lib/dpkg/x", "");
    put("l/inside", "P:inside\nV:1\n");
    check_int(symlinkat("../../../../../../outside", test_dir_fd(), "l/var/lib/dpkg/status"), 0);
    put("l/lib/apk/db/x", "");
    check_int(symlinkat("/../inside", test_dir_fd(), "l/lib/apk/db/installed"), 0);
    check_int(symlinkat("loop", test_dir_fd(), "l/etc"), 0);
    check_int(symlinkat("etc", test_dir_fd(), "l/loop"), 0);
    check_ok(scan("l", "/", &list));
    check_list(&list, "apk inside 1 - - -\n");
}

/* A device or a directory there is no database, and waits for nobody. */
TEST(packages, what_is_no_file_is_not_read)
{
    auto_packages struct packages list = {0};

    put("f/var/lib/dpkg/x", "");
    put("f/lib/apk/db/installed/x", "");
    check_int(mkfifoat(test_dir_fd(), "f/var/lib/dpkg/status", 0644), 0);
    check_ok(scan("f", "/", &list));
    check_list(&list, "");
}
