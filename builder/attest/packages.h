/* packages.h - what is installed in a tree, as its package databases have it.
 *
 * Databases are read where they are known to be, never looked for: dpkg's status, the files of
 * status.d (distroless), apk's installed, METADATA of Python's dist-info directories, package.json
 * below node_modules. They come from images, so they may hold anything: what is no package is passed
 * over, sizes and counts are bounded, links lead nowhere out of the tree.
 */
#pragma once

#include <stddef.h>

#include "builder/tree/tree.h"
#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/str.h"

enum package_kind { PACKAGE_DEB, PACKAGE_APK, PACKAGE_PYPI, PACKAGE_NPM };

/* Texts are owned; NULL: not known, but for the first three. */
struct package {
    enum package_kind kind;
    char *name;
    char *version;
    char *origin; /* path of the database in the tree */
    char *architecture;
    char *source; /* name of the package it was built from, where that is another */
    char *license;
    char *maintainer;
    char *homepage;
};

struct packages {
    struct package *items;
    size_t count;
    size_t capacity;
    char *distribution;         /* "debian", of os-release; NULL: not known */
    char *distribution_version; /* "12" */
    struct strv unread;         /* databases that are there and were not understood */
};
void packages_release(struct packages *list);
DEFINE_CLEANUP_VALUE(packages_release, struct packages)
#define auto_packages CLEANUP(packages_release)

/* All that is installed, sorted, each once. `working_dir` of the image is looked into for node_modules.
 * -EFBIG, -E2BIG: a database is larger, or has more packages, than is believed. */
int packages_scan(struct tree *tree, const char *working_dir, struct packages *out,
                  struct error *err);

/* Each of these appends what one file has. `origin` is its path. -E2BIG. */
int packages_add_dpkg(const char *text, size_t size, const char *origin, struct packages *out,
                      struct error *err);
int packages_add_apk(const char *text, size_t size, const char *origin, struct packages *out,
                     struct error *err);
int packages_add_python(const char *text, size_t size, const char *origin, struct packages *out,
                        struct error *err);
int packages_add_node(const char *text, size_t size, const char *origin, struct packages *out,
                      struct error *err);
/* ID and VERSION_ID of os-release(5). */
void packages_set_distribution(const char *text, size_t size, struct packages *out);
/* Sorted by kind, name, version and origin; what is there twice is there once. */
void packages_sort(struct packages *list);
