/* source_git.c - the tree of a commit, with its submodules, as a layer.
 *
 * git transfers and git writes a tar of the commit; the tar's entries become inodes of a view. So
 * nothing of the repository is ever a file of the host, and no hook, filter or link in it means
 * anything here. Which commit a name stands for is asked first: one that is known is not fetched.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "builder/source/git_checkout.h"
#include "builder/source/git_mirror.h"
#include "builder/source/source.h"
#include "builder/source/source_internal.h"
#include "builder/tree/copy.h"
#include "builder/tree/extract.h"
#include "fs/base/json.h"
#include "fs/base/key.h"
#include "fs/base/limits.h"
#include "fs/store.h"
#include "fs/view.h"

#include "fs/base/banned.h"

#define NS_PER_S 1000000000ll

struct checkout {
    struct fetch *fetch;
    const struct git_address *address;
    char *commit;
    char *ref; /* full name of what it was found under, or NULL */
    bool keeps_git_dir;
    bool has_submodules;
    struct view *view;
    int64_t commit_ns;
    size_t submodule_count;
};

static void checkout_release(struct checkout *c)
{
    view_close(c->view);
    free(c->commit);
    free(c->ref);
}
DEFINE_CLEANUP_VALUE(checkout_release, struct checkout)

/* ---- which commit ---- */

/* Lines "<commit>\t<ref>"; the first name of the list that is there decides, as git's own rules for
 * a name that is both a branch and a tag do here: the branch. */
static bool pick_ref(const char *listing, const char *const *names, size_t count, char **commit,
                     char **ref)
{
    for (size_t i = 0; i < count; i++)
        for (const char *line = listing; *line != '\0'; line += strcspn(line, "\n")) {
            size_t size;
            const char *tab;

            line += *line == '\n';
            size = strcspn(line, "\n");
            tab = memchr(line, '\t', size);
            if (tab == NULL || (size_t)(line + size - tab - 1) != strlen(names[i]) ||
                memcmp(tab + 1, names[i], strlen(names[i])) != 0)
                continue;
            *commit = mem_strndup(line, (size_t)(tab - line));
            if (git_is_commit(*commit)) {
                *ref = mem_strdup(names[i]);
                return true;
            }
            free(STEAL(commit));
        }
    return false;
}

static int list_refs(struct checkout *c, const char *pattern, struct str *out, struct error *err)
{
    const struct git_call call = {.fetch = c->fetch, .address = c->address};
    auto_strv struct strv words = {0};

    strv_add(&words, "ls-remote");
    strv_add(&words, "--quiet");
    strv_add(&words, "--");
    strv_add(&words, c->address->remote);
    strv_add(&words, pattern);
    if (strcmp(pattern, "HEAD") != 0)
        strv_addf(&words, "%s^{}", pattern);
    return git_run(&call, &words, out, err);
}

static int find_commit(struct checkout *c, struct error *err)
{
    const char *ref = c->address->ref == NULL ? "HEAD" : c->address->ref;
    auto_str struct str listing = {0};
    const char *bare = text_starts(ref, "refs/") ? ref + 5 : ref;
    auto_free char *head = str_format("refs/heads/%s", ref);
    auto_free char *full_peeled = str_format("refs/%s^{}", bare);
    auto_free char *full = str_format("refs/%s", bare);
    auto_free char *tag_peeled = str_format("refs/tags/%s^{}", ref);
    auto_free char *tag = str_format("refs/tags/%s", ref);
    const char *const names[] = {head, full_peeled, full, tag_peeled, tag, "HEAD"};
    size_t count = sizeof(names) / sizeof(names[0]) - (strcmp(ref, "HEAD") == 0 ? 0 : 1);
    int r = list_refs(c, ref, &listing, err);

    if (r < 0)
        return r;
    if (pick_ref(str_text(&listing), names, count, &c->commit, &c->ref)) {
        if (text_ends(c->ref, "^{}"))
            c->ref[strlen(c->ref) - 3] = '\0';
        return 0;
    }
    error_set(err, ENOENT, "the repository '%s' does not contain the ref '%s'", c->address->remote,
              ref);
    return strspn(ref, "0123456789abcdef") == strlen(ref) && strlen(ref) >= 4
               ? error_hint(err, "a commit is named by all of its 40 or 64 digits")
               : -ENOENT;
}

static int resolve(struct checkout *c, struct error *err)
{
    const struct git_address *a = c->address;
    int r = 0;

    if (a->by_commit && git_is_commit(a->checksum))
        c->commit = mem_strdup(a->checksum);
    else if (a->by_commit)
        return error_set(err, EINVAL, "'fetch-by-commit' needs all digits of the commit, not %s",
                         a->checksum);
    else if (a->ref != NULL && git_is_commit(a->ref))
        c->commit = mem_strdup(a->ref);
    else
        r = find_commit(c, err);
    if (r < 0)
        return r;
    if (a->checksum != NULL && !text_starts(c->commit, a->checksum))
        return error_set(err, EBADMSG, "expected checksum to match %s, got %s", a->checksum,
                         c->commit);
    return 0;
}

/* ---- its tree ---- */

static void set_key(const struct checkout *c, struct digest *out)
{
    const struct git_address *a = c->address;
    auto_key struct key key = {0};

    key_init(&key, "source-git");
    key_text(&key, "remote", a->remote);
    key_text(&key, "commit", c->commit);
    key_text(&key, "subdir", a->subdir);
    key_number(&key, "keep-git-dir", c->keeps_git_dir);
    key_text(&key, "git-dir-ref", c->keeps_git_dir ? c->ref : NULL);
    key_number(&key, "submodules", c->has_submodules);
    key_number(&key, "commit-times", a->commit_times);
    key_final(&key, out);
}

static int read_number(const struct str *text, int64_t *out, struct error *err)
{
    auto_free char *line = mem_strndup(str_text(text), strcspn(str_text(text), "\n"));
    uint64_t seconds;

    if (!text_to_u64(line, 1ull << 33, &seconds))
        return error_set(err, EBADMSG, "a commit's time is no number: '%.40s'", line);
    *out = (int64_t)seconds * NS_PER_S;
    return 0;
}

static int read_commit_time(struct git_mirror *m, const char *commit, int64_t *out,
                            struct error *err)
{
    auto_strv struct strv words = {0};
    auto_str struct str text = {0};
    int r;

    strv_add(&words, "log");
    strv_add(&words, "-1");
    strv_add(&words, "--no-show-signature");
    strv_add(&words, "--format=%ct");
    strv_add(&words, commit);
    strv_add(&words, "--");
    r = git_mirror_run(m, &words, &text, err);
    return r < 0 ? r : read_number(&text, out, err);
}

/* The name of a tree object, which is what a directory of a commit is; a link is none. */
static int tree_of(struct git_mirror *m, const char *commit, const char *subdir, char **out,
                   struct error *err)
{
    auto_free char *name =
        subdir == NULL ? mem_strdup(commit) : str_format("%s:%s", commit, subdir);
    auto_strv struct strv words = {0};
    auto_str struct str type = {0};
    int r = 0;

    if (subdir != NULL) {
        strv_add(&words, "cat-file");
        strv_add(&words, "-t");
        strv_add(&words, name);
        r = git_mirror_run(m, &words, &type, err);
        if (r == -EIO || (r == 0 && strcmp(str_text(&type), "tree\n") != 0))
            r = error_set(err, ENOENT, "subdir '%s' is not a directory of commit %.12s", subdir,
                          commit);
    }
    if (r == 0)
        *out = STEAL(&name);
    return r;
}

static int extract(struct checkout *c, struct git_mirror *m, const char *tree, const char *where,
                   struct error *err)
{
    auto_git_process struct git_process *process = NULL;
    auto_strv struct strv words = {0};
    const struct copy_options options = {
        .destination = where,
        .now_ns = c->address->commit_times ? c->commit_ns : c->fetch->now_ns,
        .fixed_times = true,
    };
    int r;

    strv_add(&words, "archive");
    strv_add(&words, "--format=tar");
    strv_add(&words, tree);
    r = git_mirror_start(m, &words, &process, err);
    if (r == 0)
        r = extract_archive(c->view, git_output(process), c->address->remote, &options, err);
    return r < 0 ? r : git_finish(STEAL(&process), err);
}

static int add_repository(struct checkout *c, const struct git_part *part, struct error *err);

/* One submodule: its own repository at its own commit, below the directory it is named for. */
static int add_submodule(struct checkout *c, const struct git_part *parent,
                         const struct git_submodule *s, struct error *err)
{
    auto_git_address struct git_address address = {0};
    auto_free char *path = path_join(parent->where, s->path);
    const struct git_part part = {
        .address = &address, .commit = s->commit, .where = path, .depth = parent->depth - 1};
    int r;

    if (parent->depth == 0)
        return error_set(err, ELOOP, "submodules are nested more than %u deep",
                         LIMIT_SUBMODULE_DEPTH);
    if (++c->submodule_count > LIMIT_SUBMODULES)
        return error_set(err, E2BIG, "there are more than %u submodules", LIMIT_SUBMODULES);
    r = git_address_submodule(parent->address, s->url, &address, err);
    if (r == 0)
        r = add_repository(c, &part, err);
    return r < 0 && r != -ECANCELED ? error_wrap(err, "submodule '%.200s'", s->path) : r;
}

static int add_submodules(struct checkout *c, struct git_mirror *m, const struct git_part *part,
                          struct error *err)
{
    auto_git_submodules struct git_submodules list = {0};
    int r = git_submodules_list(m, part->commit, part->subdir, &list, err);

    for (size_t i = 0; r == 0 && i < list.count; i++)
        r = add_submodule(c, part, &list.items[i], err);
    return r;
}

static int add_repository(struct checkout *c, const struct git_part *part, struct error *err)
{
    auto_git_mirror struct git_mirror *m = NULL;
    auto_free char *tree = NULL;
    int r = git_mirror_open(c->fetch, part->address, &m, err);

    if (r == 0)
        r = git_mirror_fetch(m, part->commit, part->ref, err);
    if (r == 0 && part->address == c->address) /* the checkout's time is its own repository's */
        r = read_commit_time(m, part->commit, &c->commit_ns, err);
    if (r == 0)
        r = tree_of(m, part->commit, part->subdir, &tree, err);
    if (r == 0)
        r = extract(c, m, tree, part->where, err);
    if (r == 0 && c->keeps_git_dir)
        r = git_dir_add(c->fetch, m, part, c->view, err);
    if (r == 0 && c->has_submodules)
        r = add_submodules(c, m, part, err);
    return r;
}

static int make(struct checkout *c, const struct digest *key, struct source *out, struct error *err)
{
    const struct view_options options = {.label = c->address->remote};
    const struct git_part whole = {.address = c->address,
                                   .commit = c->commit,
                                   .ref = c->ref,
                                   .subdir = c->address->subdir,
                                   .where = "/",
                                   .depth = LIMIT_SUBMODULE_DEPTH};
    auto_free char *description =
        str_format("checkout of %s at %.12s", c->address->remote, c->commit);
    auto_json struct json *document = json_new_object();
    const struct source_about about = {
        .key = key, .description = description, .document = document};
    int r = view_open(c->fetch->store, NULL, 0, &options, &c->view, err);

    if (r == 0)
        r = add_repository(c, &whole, err);
    if (r < 0)
        return r;
    json_put_int(document, "time", c->commit_ns);
    out->mtime_ns = c->commit_ns;
    return source_keep(c->fetch, c->view, &about, &out->layer, err);
}

int source_git(struct fetch *f, const struct git_address *from, struct source *out,
               struct error *err)
{
    __attribute__((cleanup(cleanup_checkout_release))) struct checkout c = {
        .fetch = f,
        .address = from,
        /* As peers: part of a repository is no repository. */
        .keeps_git_dir = from->keep_git_dir == GIT_ON && from->subdir == NULL,
        .has_submodules = from->submodules != GIT_OFF,
    };
    auto_source_record struct source_record known = {0};
    int r = resolve(&c, err);

    if (r < 0)
        return r;
    *out = (struct source){0};
    set_key(&c, &out->key);
    r = source_find(f, &out->key, &known, err);
    if (r < 0)
        return r;
    if (known.is_found) {
        out->layer = known.layer;
        out->was_cached = true;
        (void)json_get_int(known.document, "time", 0, INT64_MAX, &out->mtime_ns); /* else 0 */
    } else {
        r = make(&c, &out->key, out, err);
    }
    if (r == 0)
        out->commit = STEAL(&c.commit);
    return r;
}
