/* build_workdir.c - WORKDIR: a directory that is there, and where later instructions start. */
#include <errno.h>
#include <string.h>

#include "builder/build_internal.h"
#include "builder/tree/copy.h"
#include "builder/users.h"
#include "fs/base/key.h"
#include "fs/base/limits.h"
#include "fs/view.h"

#include "fs/base/banned.h"

static int workdir_owner(struct build_stage *s, struct view *v, struct union_cred *out,
                         struct error *err)
{
    auto_view_users struct view_users users = {0};
    auto_user struct user user = {0};
    struct users_files files;
    int r;

    *out = (struct union_cred){0};
    if (config_user(s->state.config)[0] == '\0')
        return 0;
    r = view_users_load(v, &users, err);
    if (r < 0)
        return r;
    files = view_users_files(&users);
    r = user_resolve(&files, config_user(s->state.config), &user, err);
    if (r == 0)
        *out = (struct union_cred){.uid = user.uid, .gid = user.gid};
    return r;
}

static int make_workdir(struct build_stage *s, const char *path, const struct cache_entry *entry,
                        int64_t *layer, struct error *err)
{
    auto_view struct view *v = NULL;
    struct union_cred owner;
    struct union_attr attr;
    struct view_sealed sealed;
    int r = stage_view_open(s, entry->description, false, &v, err);

    if (r == 0)
        r = workdir_owner(s, v, &owner, err);
    if (r < 0)
        return r;
    r = copy_make_dirs(v, path, owner, s->build->now_ns, &attr);
    if (r < 0)
        return error_set(err, -r, "cannot make the working directory '%s': %s", path, strerror(-r));
    r = build_seal_cached(s, v, entry, &sealed, err);
    if (r == 0)
        *layer = sealed.layer;
    return r;
}

/* What every WORKDIR leaves behind, whether its directory was made, found or foreseen. */
static int finish(struct build_stage *s, const char *path, const char *text, bool is_empty)
{
    config_set_text(s->state.config, "WorkingDir", path);
    step_history(s, text, is_empty);
    return 0;
}

static void make_keys(const struct build_stage *s, const char *path, struct key *key,
                      struct digest *step, struct digest *chain)
{
    key_init(key, "workdir");
    key_digest(key, "parent", &s->state.key);
    key_text(key, "path", path);
    key_text(key, "user", config_user(s->state.config));
    key_final(key, chain);
    if (build_key_with_epoch(s->build, chain, step))
        key_note(key, "epoch", s->build->epoch_text);
}

/* One that is relative goes on from the last, and so on: no system takes more than PATH_MAX. */
int build_workdir_path(const struct build_stage *s, const struct instruction *in, char **out,
                       struct error *err)
{
    auto_free char *joined = path_join(config_working_dir(s->state.config), in->value.text);
    auto_free char *path = path_join("/", joined);

    if (strlen(path) >= LIMIT_PATH_SIZE)
        return error_set(err, ENAMETOOLONG, "the working directory is longer than %u bytes",
                         LIMIT_PATH_SIZE - 1);
    *out = STEAL(&path);
    return 0;
}

int build_workdir(struct build_stage *s, const struct instruction *in, struct error *err)
{
    auto_free char *path = NULL;
    auto_free char *text = NULL;
    auto_key struct key key = {0};
    struct cache_entry entry = {0};
    struct cache_hit made;
    struct digest chain;
    uint32_t vertex;
    int r = build_workdir_path(s, in, &path, err);

    if (r < 0)
        return r;
    entry.description = text = str_format("WORKDIR %s", path);
    vertex = step_begin(s, text);
    make_keys(s, path, &key, &entry.key, &chain);
    key_note(&key, "base", s->state.base);
    made = (struct cache_hit){.key = entry.key, .time_ns = s->state.time_ns};
    entry.inputs = str_text(&key.inputs);
    if (s->state.has_no_key) {
        build_step_unknown(s, text, "what is above it is not known");
        return finish(s, path, text, true);
    }
    if (strcmp(path, "/") != 0)
        r = build_cache_find(s, &entry.key, &made, err);
    if (r == 0 && strcmp(path, "/") != 0 && build_step_missed(s, text, &entry)) {
        s->state.key = chain;
        return finish(s, path, text, true);
    }
    if (r == 0 && strcmp(path, "/") != 0) {
        made = build_made(s->build, &entry.key, 0);
        r = make_workdir(s, path, &entry, &made.layer, err);
        atomic_fetch_add(&s->build->ran_count, r == 0);
    } else if (r == 1) {
        atomic_fetch_add(&s->build->cached_count, 1);
    }
    progress_end(s->build->options->progress, vertex,
                 r < 0    ? PROGRESS_ERROR
                 : r == 1 ? PROGRESS_CACHED
                          : PROGRESS_DONE,
                 err->text);
    if (r < 0)
        return r;
    if (r == 1)
        build_step_note(s, text, BUILD_STEP_CACHED, NULL);
    made.key = chain;
    stage_push_layer(&s->state, &made);
    return finish(s, path, text, made.layer == 0);
}
