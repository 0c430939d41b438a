/* git_checkout.c - submodules of a commit, and the .git of a checkout. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder/source/git_checkout.h"
#include "builder/tree/copy.h"
#include "builder/tree/selection.h"
#include "builder/tree/tree.h"
#include "fs/base/io.h"
#include "fs/base/limits.h"
#include "fs/store.h"
#include "fs/view.h"

#include "fs/base/banned.h"

/* ---- submodules ---- */

void git_submodules_release(struct git_submodules *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].path);
        free(list->items[i].commit);
        free(list->items[i].url);
    }
    free(list->items);
    *list = (struct git_submodules){0};
}

/* One record of ls-tree -z: "<mode> <type> <object>\t<path>". */
static int add_gitlink(const char *record, const char *subdir, struct git_submodules *out,
                       struct error *err)
{
    const char *tab = strchr(record, '\t');
    const char *object = tab == NULL ? NULL : memrchr(record, ' ', (size_t)(tab - record));
    auto_free char *commit = NULL;
    auto_free char *clean = NULL;
    struct git_submodule *s;
    size_t skip = subdir == NULL ? 0 : strlen(subdir) + 1;

    if (!text_starts(record, "160000 ") || object == NULL)
        return 0;
    commit = mem_strndup(object + 1, (size_t)(tab - object - 1));
    clean = path_join("/", tab + 1);
    if (!git_is_commit(commit) || strcmp(clean + 1, tab + 1) != 0 || strlen(tab + 1) <= skip)
        return error_set(err, EBADMSG, "a submodule with a strange path or commit");
    s = array_add(out);
    s->path = mem_strdup(tab + 1 + skip);
    s->commit = STEAL(&commit);
    return 0;
}

static int list_gitlinks(struct git_mirror *m, const char *commit, const char *subdir,
                         struct git_submodules *out, struct error *err)
{
    auto_strv struct strv words = {0};
    auto_str struct str text = {0};
    int r;

    strv_add(&words, "ls-tree");
    strv_add(&words, "-r");
    strv_add(&words, "-z");
    strv_add(&words, "--full-tree");
    strv_add(&words, commit);
    if (subdir != NULL) {
        strv_add(&words, "--");
        strv_addf(&words, "%s/", subdir);
    }
    r = git_mirror_run(m, &words, &text, err);
    for (size_t at = 0; r == 0 && at < text.size; at += strlen(text.data + at) + 1)
        r = add_gitlink(text.data + at, subdir, out, err);
    return r;
}

/* Records of config -z: "submodule.<name>.<key>\n<value>". Gives the value of `key` for the name
 * whose path is `path`, or NULL. */
static const char *find_setting(const struct str *settings, const char *name, size_t name_size,
                                const char *key)
{
    for (size_t at = 0; at < settings->size; at += strlen(settings->data + at) + 1) {
        const char *record = settings->data + at;
        const char *value = strchr(record, '\n');
        size_t size = value == NULL ? 0 : (size_t)(value - record);

        if (size == name_size + 1 + strlen(key) && memcmp(record, name, name_size) == 0 &&
            record[name_size] == '.' && memcmp(record + name_size + 1, key, strlen(key)) == 0)
            return value + 1;
    }
    return NULL;
}

static const char *url_of(const struct str *settings, const char *path)
{
    for (size_t at = 0; at < settings->size; at += strlen(settings->data + at) + 1) {
        const char *record = settings->data + at;
        const char *value = strchr(record, '\n');
        size_t size = value == NULL ? 0 : (size_t)(value - record);

        if (size > 5 && memcmp(value - 5, ".path", 5) == 0 && strcmp(value + 1, path) == 0)
            return find_setting(settings, record, size - 5, "url");
    }
    return NULL;
}

static int read_settings(struct git_mirror *m, const char *commit, struct str *out,
                         struct error *err)
{
    auto_strv struct strv words = {0};
    int r;

    strv_add(&words, "config");
    strv_add(&words, "-z");
    strv_addf(&words, "--blob=%s:.gitmodules", commit);
    strv_add(&words, "--get-regexp");
    strv_add(&words, "^submodule\\..*\\.(path|url)$");
    r = git_mirror_run(m, &words, out, err);
    return r == -EIO ? error_set(err, EINVAL,
                                 "there are submodules, but no .gitmodules that says "
                                 "where they come from")
                     : r;
}

int git_submodules_list(struct git_mirror *m, const char *commit, const char *subdir,
                        struct git_submodules *out, struct error *err)
{
    auto_git_submodules struct git_submodules list = {0};
    auto_str struct str settings = {0};
    int r = list_gitlinks(m, commit, subdir, &list, err);

    if (r == 0 && list.count > 0)
        r = read_settings(m, commit, &settings, err);
    for (size_t i = 0; r == 0 && i < list.count; i++) {
        auto_free char *full = subdir == NULL ? mem_strdup(list.items[i].path)
                                              : str_format("%s/%s", subdir, list.items[i].path);
        const char *url = url_of(&settings, full);

        if (url == NULL)
            return error_set(err, EINVAL, "no submodule mapping found in .gitmodules for '%.200s'",
                             full);
        list.items[i].url = mem_strdup(url);
    }
    if (r < 0)
        return r;
    *out = STEAL(&list);
    return 0;
}

/* ---- .git ---- */

struct git_dir {
    struct fetch *fetch;
    char *path; /* in the store's work directory */
    char *name; /* there */
    int work_fd;
};

static void git_dir_release(struct git_dir *d)
{
    if (d->name != NULL)
        (void)io_remove_tree(d->work_fd, d->name); /* closing the store does it otherwise */
    free(d->path);
    free(d->name);
}
DEFINE_CLEANUP_VALUE(git_dir_release, struct git_dir)

static int run_words(const struct git_dir *d, bool allow_files, const char *const *items,
                     size_t count, struct error *err)
{
    const struct git_call call = {
        .fetch = d->fetch, .git_dir = d->path, .allow_files = allow_files};
    auto_strv struct strv words = {0};

    for (size_t i = 0; i < count; i++)
        strv_add(&words, items[i]);
    return git_run(&call, &words, NULL, err);
}

#define RUN(d, files, ...)                                                                         \
    run_words(d, files, (const char *const[]){__VA_ARGS__},                                        \
              sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *), err)

static int fill(const struct git_dir *d, const struct git_mirror *m, const struct git_part *part,
                struct error *err)
{
    const char *commit = part->commit;
    auto_free char *url = str_format("file://%s", git_mirror_path(m));
    auto_free char *spec = str_format("+%s:refs/img/commit", commit);
    int r = RUN(d, false, "init", "--quiet", "--template=");

    if (r == 0)
        r = RUN(d, false, "config", "core.bare", "false");
    if (r == 0)
        r = RUN(d, false, "remote", "add", "--", "origin", part->address->remote);
    if (r == 0)
        r = RUN(d, true, "fetch", "--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head",
                "--update-shallow", "--", url, spec);
    if (r == 0)
        r = RUN(d, false, "update-ref", "--no-deref", "HEAD", commit);
    if (r == 0 && part->ref != NULL && strcmp(part->ref, "HEAD") != 0)
        r = RUN(d, false, "update-ref", part->ref, commit);
    if (r == 0)
        r = RUN(d, false, "update-ref", "-d", "refs/img/commit");
    return r < 0 ? r : RUN(d, false, "read-tree", commit);
}

/* Into the view, as plain files of root. */
static int copy_in(const struct git_dir *d, struct view *view, const char *where, struct error *err)
{
    auto_free char *target = path_join(where, ".git");
    auto_selections struct selections all = {0};
    auto_tree struct tree *tree = NULL;
    const struct selection_request request = {.pattern = ".", .literal = true};
    struct chmod readable;
    const struct copy_options options = {
        .destination = target, .chmod = &readable, .now_ns = d->fetch->now_ns};
    int r = chmod_parse("u=rwX,go=rX", &readable, err); /* whatever the caller's umask is */

    if (r == 0)
        r = tree_open_host(d->path, NULL, &tree, err);
    if (r == 0)
        r = selections_add(&all, tree, &request, err);
    if (r == 0)
        r = selections_digest(&all, tree, 1, err);
    return r < 0 ? r : copy_apply(view, d->fetch->store, tree, &all, &options, err);
}

int git_dir_add(struct fetch *f, struct git_mirror *m, const struct git_part *part,
                struct view *view, struct error *err)
{
    __attribute__((cleanup(cleanup_git_dir_release))) struct git_dir d = {.fetch = f};
    auto_free char *link = NULL;
    auto_free char *real = NULL;
    int r = store_work_dir(f->store, &d.work_fd, err);

    if (r < 0)
        return r;
    link = str_format("/proc/self/fd/%d", d.work_fd);
    real = realpath(link, NULL);
    if (real == NULL)
        return error_errno(err, "cannot find the work directory");
    d.name = str_format("git-%s", part->commit);
    d.path = str_format("%s/%s", real, d.name);
    /* What a build that was cut short left there is of no use. */
    (void)io_remove_tree(d.work_fd, d.name);
    r = fill(&d, m, part, err);
    return r < 0 ? r : copy_in(&d, view, part->where, err);
}
