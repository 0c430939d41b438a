/* git_mirror.c - makes, locks and fills the mirror of one remote. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "builder/source/git_mirror.h"
#include "builder/source/source_internal.h"
#include "fs/base/io.h"
#include "fs/base/key.h"
#include "fs/store_mirror.h"

#include "fs/base/banned.h"

struct git_mirror {
    struct fetch *fetch;
    const struct git_address *address;
    struct store_mirror *stored;
};

static struct git_call call_of(const struct git_mirror *m, bool is_remote)
{
    return (struct git_call){
        .fetch = m->fetch,
        .git_dir = store_mirror_path(m->stored),
        .address = is_remote ? m->address : NULL,
        .private_files = true,
    };
}

int git_mirror_run(struct git_mirror *m, const struct strv *words, struct str *out,
                   struct error *err)
{
    const struct git_call call = call_of(m, false);

    return git_run(&call, words, out, err);
}

int git_mirror_start(struct git_mirror *m, const struct strv *words, struct git_process **out,
                     struct error *err)
{
    const struct git_call call = call_of(m, false);

    return git_start(&call, words, out, err);
}

const char *git_mirror_path(const struct git_mirror *m)
{
    return store_mirror_path(m->stored);
}

void git_mirror_close(struct git_mirror *m)
{
    struct error ignored;

    if (m == NULL)
        return;
    /* git was killed, perhaps with locks of its own in place. */
    if (m->stored != NULL && source_check_stop(m->fetch, &ignored) < 0)
        store_mirror_abandon(m->stored);
    store_mirror_close(m->stored);
    free(m);
}

/* Attributes of the tree must not leave files out of it or change their text: git-archive(1) would
 * heed export-ignore and export-subst. */
static int write_attributes(const struct git_mirror *m, struct error *err)
{
    static const char text[] = "* -export-ignore -export-subst\n";
    auto_free char *path = str_format("%s/info/attributes", store_mirror_path(m->stored));
    auto_free char *dir = str_format("%s/info", store_mirror_path(m->stored));
    int r = io_make_dirs(dir, 0700, err);

    return r < 0 ? r : io_write_file_atomic(AT_FDCWD, path, text, sizeof(text) - 1, 0600, err);
}

static int make(struct git_mirror *m, struct error *err)
{
    const struct git_call call = {.fetch = m->fetch, .private_files = true};
    auto_strv struct strv words = {0};
    int r;

    strv_add(&words, "init");
    strv_add(&words, "--quiet");
    strv_add(&words, "--bare");
    strv_add(&words, "--template=");
    strv_add(&words, store_mirror_path(m->stored));
    r = git_run(&call, &words, NULL, err);
    return r < 0 ? r : write_attributes(m, err);
}

int git_mirror_open(struct fetch *f, const struct git_address *address, struct git_mirror **out,
                    struct error *err)
{
    auto_git_mirror struct git_mirror *m = mem_new(struct git_mirror);
    auto_key struct key key = {0};
    struct digest id;
    int r;

    m->fetch = f;
    m->address = address;
    key_init(&key, "git-mirror");
    key_text(&key, "remote", address->remote);
    key_final(&key, &id);
    r = store_mirror_open(f->store, &id, address->remote, f->stop, &m->stored, err);
    if (r == 0 && store_mirror_is_new(m->stored))
        r = make(m, err);
    if (r == 0)
        *out = STEAL(&m);
    return r;
}

static int has_commit(struct git_mirror *m, const char *commit, struct error *err)
{
    auto_strv struct strv words = {0};
    int r;

    strv_add(&words, "cat-file");
    strv_add(&words, "-e");
    strv_addf(&words, "%s^{commit}", commit);
    r = git_mirror_run(m, &words, NULL, err);
    if (r == -EIO) {
        error_clear(err);
        return 0;
    }
    return r < 0 ? r : 1;
}

static void fetch_words(struct strv *words)
{
    strv_add(words, "fetch");
    strv_add(words, "--quiet");
    strv_add(words, "--force");
    strv_add(words, "--no-tags");
    strv_add(words, "--no-write-fetch-head");
    strv_add(words, "--no-recurse-submodules");
    strv_add(words, "--no-auto-maintenance");
}

static int fetch_one(struct git_mirror *m, const char *what, const char *commit, struct error *err)
{
    const struct git_call call = call_of(m, true);
    auto_strv struct strv words = {0};

    fetch_words(&words);
    strv_add(&words, "--depth=1");
    strv_add(&words, "--");
    strv_add(&words, m->address->remote);
    strv_addf(&words, "+%s:refs/img/%s", what, commit);
    return git_run(&call, &words, NULL, err);
}

static int fetch_all(struct git_mirror *m, struct error *err)
{
    const struct git_call call = call_of(m, true);
    auto_free char *shallow = str_format("%s/shallow", store_mirror_path(m->stored));
    auto_strv struct strv words = {0};

    fetch_words(&words);
    if (access(shallow, F_OK) == 0)
        strv_add(&words, "--unshallow");
    strv_add(&words, "--");
    strv_add(&words, m->address->remote);
    strv_add(&words, "+refs/heads/*:refs/img/heads/*");
    strv_add(&words, "+refs/tags/*:refs/img/tags/*");
    return git_run(&call, &words, NULL, err);
}

/* Servers differ in what they give: any commit, or the tips of refs alone; old ones, and those
 * without a git of their own, nothing shallow. */
int git_mirror_fetch(struct git_mirror *m, const char *commit, const char *ref, struct error *err)
{
    int r = has_commit(m, commit, err);

    if (r != 0)
        return r < 0 ? r : 0;
    r = fetch_one(m, commit, commit, err);
    if (r == -EIO && ref != NULL)
        r = fetch_one(m, ref, commit, err);
    if (r < 0 && r != -EIO)
        return r;
    if (r == 0 && has_commit(m, commit, err) == 1)
        return 0;
    r = source_check_stop(m->fetch, err);
    if (r == 0)
        r = fetch_all(m, err);
    if (r == 0)
        r = has_commit(m, commit, err);
    if (r == 0)
        return error_set(err, ENOENT, "'%s' has no commit %s", m->address->remote, commit);
    return r < 0 ? r : 0;
}
