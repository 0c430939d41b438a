/* build_cache.c - keys and layers of steps, and the bookkeeping every step shares. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "builder/build_internal.h"
#include "builder/cache_remote.h"
#include "builder/users.h"
#include "fs/base/limits.h"
#include "fs/store.h"
#include "fs/view.h"
#include "registry/registries.h"

#include "fs/base/banned.h"

void stage_state_release(struct stage_state *state)
{
    config_free(state->config);
    free(state->layers);
    free(state->base);
    free(state->ran);
    free(state->keys);
    *state = (struct stage_state){0};
}

void stage_state_copy(struct stage_state *to, const struct stage_state *from)
{
    *to = (struct stage_state){
        .config = config_copy(from->config),
        .layers = mem_dup(from->layers, from->layer_count * sizeof(*from->layers)),
        .layer_count = from->layer_count,
        .layer_capacity = from->layer_count,
        .key = from->key,
        .time_ns = from->time_ns,
        .base_layer_count = from->base_layer_count,
        .base = from->base == NULL ? NULL : mem_strdup(from->base),
        .ran = from->ran == NULL ? NULL : mem_strdup(from->ran),
        .keys = mem_dup(from->keys, from->key_count * sizeof(*from->keys)),
        .key_count = from->key_count,
        .key_capacity = from->key_count,
        .is_stale = from->is_stale,
        .has_no_key = from->has_no_key,
        .has_no_env = from->has_no_env,
    };
}

struct cache_hit build_made(const struct build *b, const struct digest *key, int64_t layer)
{
    return (struct cache_hit){.key = *key, .layer = layer, .time_ns = b->now_ns};
}

void stage_push_layer(struct stage_state *state, const struct cache_hit *made)
{
    state->key = made->key;
    state->time_ns = made->time_ns;
    if (made->layer == 0)
        return;
    state->layers = array_grow(state->layers, state->layer_count, &state->layer_capacity,
                               sizeof(*state->layers));
    state->layers[state->layer_count++] = made->layer;
}

/* A key that the stage went through, for --cache-to. */
static void note_key(struct stage_state *state, const struct digest *key)
{
    state->keys =
        array_grow(state->keys, state->key_count, &state->key_capacity, sizeof(*state->keys));
    state->keys[state->key_count++] = *key;
}

static void note_use(struct build_stage *s, const struct digest *key)
{
    struct build *b = s->build;

    note_key(&s->state, key);
    pthread_mutex_lock(&b->lock);
    b->touched =
        array_grow(b->touched, b->touched_count, &b->touched_capacity, sizeof(*b->touched));
    b->touched[b->touched_count++] = *key;
    pthread_mutex_unlock(&b->lock);
}

static bool is_too_old(const struct build *b, int64_t created_ns)
{
    uint64_t ttl_ns = b->options->cache_ttl_ns;

    return ttl_ns != 0 && b->started_ns - created_ns > (int64_t)ttl_ns;
}

/* What somebody else built. A prediction fetches nothing: it only knows that the step would not be
 * run. */
static int find_remote(struct build_stage *s, const struct digest *key, struct cache_hit *out)
{
    struct build *b = s->build;
    struct cache_record *record = cache_remote_find(b, key);

    if (record == NULL || is_too_old(b, record->created_ns))
        return 0;
    *out = (struct cache_hit){
        .key = record->has_canonical ? record->canonical : *key,
        .layer = record->layer,
        .time_ns = b->has_epoch ? b->now_ns : record->created_ns,
    };
    if (out->layer < 0 && b->mode != BUILD_MODE_BUILD) {
        s->state.is_stale = true;
        out->layer = 0;
    }
    pthread_mutex_lock(&b->lock);
    record->is_used = true;
    pthread_mutex_unlock(&b->lock);
    if (record->has_canonical)
        note_use(s, &record->canonical);
    note_use(s, key);
    return 1;
}

/* A step may be found under a quick key that was made without reading its inputs; the row then
 * names the key made from their content, and later steps go on from that one. */
int build_cache_find(struct build_stage *s, const struct digest *key, struct cache_hit *out,
                     struct error *err)
{
    auto_cache_row struct cache_row row = {0};
    int r;

    if (s->no_cache)
        return 0;
    r = store_cache_get(s->build->options->store, key, &row, err);
    if (r == 0 && is_too_old(s->build, row.created_ns))
        return 0;
    if (r == -ENOENT) {
        error_clear(err);
        return find_remote(s, key, out);
    }
    if (r < 0)
        return r;
    *out = (struct cache_hit){.key = *key, .layer = row.layer, .time_ns = row.created_ns};
    if (s->build->has_epoch)
        out->time_ns = s->build->now_ns;
    if (row.extra != NULL) {
        r = digest_parse(row.extra, &out->key, err);
        if (r < 0)
            return r;
        note_use(s, &out->key);
    }
    note_use(s, key);
    return 1;
}

int build_cache_put(struct build_stage *s, const struct cache_entry *entry, int64_t layer,
                    struct error *err)
{
    struct cache_row row = {
        .key = entry->key,
        .has_parent = true,
        .parent = s->state.key,
        .layer = layer,
        .run_ns = entry->run_ns,
        .created_ns = entry->time_ns != 0 ? entry->time_ns : s->build->now_ns,
    };
    auto_free char *description = mem_strdup(entry->description);
    auto_free char *inputs = entry->inputs == NULL ? NULL : mem_strdup(entry->inputs);
    char text[DIGEST_TEXT_SIZE];

    row.description = description;
    row.inputs = inputs;
    if (entry->canonical != NULL) {
        digest_format(entry->canonical, text);
        row.extra = text;
    }
    note_key(&s->state, &entry->key);
    return store_cache_put(s->build->options->store, &row, err);
}

struct fetch build_fetch(struct build *b, uint32_t vertex)
{
    const struct build_options *o = b->options;

    return (struct fetch){
        .store = o->store,
        .http = registries_http(o->registries),
        .progress = o->progress,
        .vertex = vertex,
        .secrets = o->secrets,
        .secret_count = o->secret_count,
        .ssh = o->ssh,
        .ssh_count = o->ssh_count,
        .stop = b->stop,
        .now_ns = b->now_ns,
    };
}

char *step_name(const struct build_stage *s, const char *text)
{
    int width = 1;

    for (size_t n = s->step_count; n >= 10; n /= 10)
        width++;
    return str_format("[%s%s%*zu/%zu] %s%s", s->label, s->label[0] == '\0' ? "" : " ", width,
                      s->step_number, s->step_count, s->runs_triggers ? "ONBUILD " : "", text);
}

uint32_t step_begin(struct build_stage *s, const char *text)
{
    auto_free char *name = NULL;

    s->step_number++;
    name = step_name(s, text);
    return progress_begin_expected(s->build->options->progress, name);
}

void step_history(struct build_stage *s, const char *created_by, bool empty_layer)
{
    const struct config_history h = {
        .created_ns = s->state.time_ns,
        .created_by = created_by,
        .comment = "buildkit.dockerfile.v0",
        .empty_layer = empty_layer,
    };

    config_add_history(s->state.config, &h);
}

char *stage_path(const struct build_stage *s, const char *path)
{
    auto_free char *joined = path_join(config_working_dir(s->state.config), path);
    bool slash = text_ends(path, "/") || text_ends(path, "/.") || strcmp(path, ".") == 0;

    return str_format("%s%s", joined, slash && strcmp(joined, "/") != 0 ? "/" : "");
}

int build_view_open(struct build_stage *s, const struct view_options *options, struct view **out,
                    struct error *err)
{
    int r = cache_remote_bring(s->build, s->state.layers, s->state.layer_count, err);

    return r < 0 ? r
                 : view_open(s->build->options->store, s->state.layers, s->state.layer_count,
                             options, out, err);
}

int stage_view_open(struct build_stage *s, const char *label, bool read_only, struct view **out,
                    struct error *err)
{
    const struct view_options options = {
        .label = label,
        .read_only = read_only,
        .allow_devices = true,
    };

    return build_view_open(s, &options, out, err);
}

static int load_users_file(struct view *v, const char *path, struct str *out, bool *has,
                           struct error *err)
{
    int r = view_read_file(v, path, LIMIT_PASSWD_SIZE, out);

    *has = r == 0;
    if (r == 0 || r == -ENOENT || r == -ENOTDIR)
        return 0;
    return error_set(err, -r, "cannot read %s of the image: %s", path,
                     r == -EINVAL ? "it is not a regular file" : strerror(-r));
}

int view_users_load(struct view *v, struct view_users *out, struct error *err)
{
    int r = load_users_file(v, "/etc/passwd", &out->passwd, &out->has_passwd, err);

    return r < 0 ? r : load_users_file(v, "/etc/group", &out->group, &out->has_group, err);
}

struct users_files view_users_files(const struct view_users *users)
{
    return (struct users_files){
        .passwd = users->has_passwd ? str_text(&users->passwd) : NULL,
        .passwd_size = users->passwd.size,
        .group = users->has_group ? str_text(&users->group) : NULL,
        .group_size = users->group.size,
    };
}

void view_users_release(struct view_users *u)
{
    str_release(&u->passwd);
    str_release(&u->group);
}

int view_user_resolve(struct view *v, const char *spec, struct user *out, struct error *err)
{
    auto_view_users struct view_users users = {0};
    struct users_files files;
    int r = view_users_load(v, &users, err);

    if (r < 0)
        return r;
    files = view_users_files(&users);
    return user_resolve(&files, spec, out, err);
}

int view_ensure_dir(struct view *v, const char *path, int64_t now_ns, struct error *err)
{
    struct union_attr attr;
    int r = view_resolve(v, path, true, &attr);

    if (r == -ENOENT)
        r = view_make_dirs(v, path, 0755, (struct union_cred){0}, now_ns, &attr);
    else if (r == 0 && !S_ISDIR(attr.mode))
        r = -ENOTDIR;
    if (r < 0)
        return error_set(err, -r, "cannot use the working directory '%s': %s", path, strerror(-r));
    return 0;
}

void hosts_text(const char *hostname, const struct strv *extra, struct str *out)
{
    str_addf(out,
             "127.0.0.1\tlocalhost %s\n"
             "::1\tlocalhost ip6-localhost ip6-loopback\n",
             hostname);
    for (size_t i = 0; extra != NULL && i < extra->count; i++) {
        const char *host = extra->items[i];
        const char *colon = strchr(host, ':');

        if (colon != NULL)
            str_addf(out, "%s\t%.*s\n", colon + 1, (int)(colon - host), host);
    }
}
