/* step_flags.c - see step_flags.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder/sandbox/sandbox.h"
#include "cli/ssh_agent.h"
#include "cli/step_flags.h"
#include "fs/base/io.h"
#include "fs/base/log.h"

#include "fs/base/banned.h"

void secrets_release(struct secrets *s)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->bytes[i].data != NULL)
            explicit_bzero(s->bytes[i].data, s->bytes[i].size);
        str_release(&s->bytes[i]);
    }
    free(s->bytes);
    free(s->items);
    strv_release(&s->ids);
}
#define SECRET_SIZE_MAX (500u << 10) /* as peers limit it */

static int read_secret(const char *id, const char *file, const char *name, struct str *out,
                       struct error *err)
{
    const char *value = getenv(name != NULL ? name : id);

    if (file == NULL && value != NULL) {
        str_add(out, value);
        return 0;
    }
    if (file == NULL && name != NULL)
        return error_set(err, ENOENT, "secret '%s': the variable '%s' is not set", id, name);
    if (file == NULL)
        file = id;
    if (io_read_file(AT_FDCWD, file, SECRET_SIZE_MAX, out, err) < 0)
        return error_wrap(err, "secret '%s'", id);
    return 0;
}

/* "id=ID,src=FILE" or "id=ID,env=NAME"; with the id alone a variable or file of that name. */
static int parse_secret(const char *text, struct secrets *s, struct error *err)
{
    auto_free char *copy = mem_strdup(text);
    const char *id = NULL;
    const char *file = NULL;
    const char *name = NULL;
    bool is_env = false;
    char *save = NULL;

    for (char *field = strtok_r(copy, ",", &save); field != NULL;
         field = strtok_r(NULL, ",", &save)) {
        if (text_starts(field, "id="))
            id = field + 3;
        else if (text_starts(field, "src="))
            file = field + 4;
        else if (text_starts(field, "source="))
            file = field + 7;
        else if (text_starts(field, "env="))
            name = field + 4;
        else if (strcmp(field, "type=env") == 0)
            is_env = true;
        else if (strcmp(field, "type=file") != 0)
            return error_set(err, EINVAL, "invalid secret '%s': unknown field '%s'", text, field);
    }
    if (id == NULL || id[0] == '\0')
        return error_set(err, EINVAL, "invalid secret '%s': it has no id", text);
    if (is_env && name == NULL) { /* docker build: src is then the variable */
        name = file != NULL ? file : id;
        file = NULL;
    }
    strv_add(&s->ids, id);
    return read_secret(id, file, name, &s->bytes[s->count++], err);
}

int secrets_collect(const struct strv *given, struct secrets *s, struct error *err)
{
    int r = 0;

    s->bytes = mem_alloc((given->count + 1) * sizeof(*s->bytes));
    s->items = mem_alloc((given->count + 1) * sizeof(*s->items));
    for (size_t i = 0; r == 0 && i < given->count; i++)
        r = parse_secret(given->items[i], s, err);
    for (size_t i = 0; r == 0 && i < s->count; i++)
        s->items[i] = (struct build_secret){
            .id = s->ids.items[i], .bytes = str_text(&s->bytes[i]), .size = s->bytes[i].size};
    return r;
}

int env_collect(const struct strv *given, struct strv *out, struct error *err)
{
    for (size_t i = 0; i < given->count; i++) {
        const char *word = given->items[i];
        const char *value;

        if (word[0] == '=' || word[0] == '\0')
            return error_set(err, EINVAL, "--env '%s' names no variable", word);
        value = strchr(word, '=') == NULL ? getenv(word) : NULL;
        if (strchr(word, '=') != NULL)
            strv_add(out, word);
        else if (value != NULL)
            strv_addf(out, "%s=%s", word, value);
    }
    return 0;
}

int hosts_collect(const struct strv *given, struct strv *out, struct error *err)
{
    for (size_t i = 0; i < given->count; i++) {
        const char *text = given->items[i];
        size_t size = strcspn(text, ":=");
        const char *address = text[size] == '\0' ? "" : text + size + 1;
        size_t length = strlen(address);
        bool has_brackets = length > 2 && address[0] == '[' && address[length - 1] == ']';
        auto_free char *plain =
            has_brackets ? mem_strndup(address + 1, length - 2) : mem_strdup(address);
        unsigned char bytes[sizeof(struct in6_addr)];

        if (strcmp(plain, "host-gateway") == 0) {
            (void)error_set(err, EINVAL, "--add-host '%s': a step cannot reach its host", text);
            return error_hint(err, "with --network=host it can, at 127.0.0.1");
        }
        if (size == 0 ||
            (inet_pton(AF_INET, plain, bytes) != 1 && inet_pton(AF_INET6, plain, bytes) != 1))
            return error_set(err, EINVAL, "--add-host '%s' is not NAME:IP", text);
        strv_addf(out, "%.*s:%s", (int)size, text, plain);
    }
    return 0;
}

/* Key files become an agent of ours. */
static int start_agent(const char *keys, struct ssh_given *out, const char **socket,
                       struct error *err)
{
    auto_free char *list = mem_strdup(keys);
    struct ssh_agent **agent = &out->agents[out->agent_count];
    char *rest = list;
    int r = ssh_agent_start(agent, err);

    if (r < 0)
        return r;
    out->agent_count++;
    for (char *key; r == 0 && (key = strsep(&rest, ",")) != NULL;)
        r = ssh_agent_add(*agent, key, err);
    *socket = ssh_agent_socket(*agent);
    return r;
}

static int find_socket(const char *text, struct ssh_given *out, const char **socket,
                       struct error *err)
{
    const char *equals = strchr(text, '=');
    const char *path = equals != NULL ? equals + 1 : getenv("SSH_AUTH_SOCK");
    struct stat st;

    if (path == NULL || path[0] == '\0') {
        error_set(err, ENOENT, "SSH_AUTH_SOCK is not set");
        return error_hint(err, "start an agent, eval $(ssh-agent); ssh-add, or give a key: --ssh "
                               "default=FILE");
    }
    *socket = path;
    if (stat(path, &st) == 0 && S_ISSOCK(st.st_mode))
        return 0;
    return start_agent(path, out, socket, err);
}

int ssh_collect(const struct strv *given, struct ssh_given *out, struct error *err)
{
    out->items = mem_alloc((given->count + 1) * sizeof(*out->items));
    out->agents = mem_alloc((given->count + 1) * sizeof(struct ssh_agent *));
    for (size_t i = 0; i < given->count; i++) {
        const char *text = given->items[i];
        const char *socket = NULL;
        int r = find_socket(text, out, &socket, err);

        if (r < 0)
            return error_wrap(err, "--ssh %s", text);
        strv_take(&out->ids, mem_strndup(text, strcspn(text, "=")));
        out->items[out->count++] =
            (struct build_ssh){.id = out->ids.items[out->ids.count - 1], .socket = socket};
    }
    return 0;
}

void ssh_given_release(struct ssh_given *s)
{
    for (size_t i = 0; i < s->agent_count; i++)
        ssh_agent_stop(s->agents[i]);
    free(s->agents);
    free(s->items);
    strv_release(&s->ids);
    *s = (struct ssh_given){0};
}

/* ---- --volume ---- */

enum volume_option {
    VOLUME_READ_WRITE,
    VOLUME_READ_ONLY,
    VOLUME_USUAL, /* it is so anyway */
    VOLUME_LABEL, /* asks for another SELinux label */
    VOLUME_NOTHING,
    VOLUME_OVERLAY,
    VOLUME_CHOWN,
};

/* podman-build(1), "--volume"; docker-run(1) for the consistency of the Mac's file sharing. */
static const struct {
    const char *name;
    enum volume_option meaning;
} volume_options[] = {
    {"rw", VOLUME_READ_WRITE},   {"ro", VOLUME_READ_ONLY},     {"z", VOLUME_LABEL},
    {"Z", VOLUME_LABEL},         {"O", VOLUME_OVERLAY},        {"U", VOLUME_CHOWN},
    {"private", VOLUME_USUAL},   {"rprivate", VOLUME_USUAL},   {"rbind", VOLUME_USUAL},
    {"nodev", VOLUME_USUAL},     {"nosuid", VOLUME_USUAL},     {"exec", VOLUME_USUAL},
    {"shared", VOLUME_NOTHING},  {"rshared", VOLUME_NOTHING},  {"slave", VOLUME_NOTHING},
    {"rslave", VOLUME_NOTHING},  {"consistent", VOLUME_USUAL}, {"cached", VOLUME_USUAL},
    {"delegated", VOLUME_USUAL},
};

static int apply_volume_option(const char *text, const char *word, const char *target,
                               bool *is_read_only, struct error *err)
{
    size_t i = 0;

    while (i < sizeof(volume_options) / sizeof(volume_options[0]) &&
           strcmp(word, volume_options[i].name) != 0)
        i++;
    if (i == sizeof(volume_options) / sizeof(volume_options[0]))
        return error_set(err, EINVAL, "unknown option '%s'", word);
    switch (volume_options[i].meaning) {
    case VOLUME_READ_WRITE:
    case VOLUME_READ_ONLY:
        *is_read_only = volume_options[i].meaning == VOLUME_READ_ONLY;
        break;
    case VOLUME_USUAL:
        break;
    case VOLUME_LABEL:
        if (access("/sys/fs/selinux/enforce", F_OK) == 0)
            log_warn("--volume '%s': files are not labelled anew, continuing without it", text);
        break;
    case VOLUME_NOTHING:
        log_warn("--volume '%s': '%s' means nothing here, continuing without it", text, word);
        break;
    case VOLUME_OVERLAY:
        (void)error_set(err, ENOTSUP, "there are no overlays"); /* and: */
        return error_hint(err,
                          "give the directory as --build-context NAME=DIR and write RUN "
                          "--mount=type=bind,from=NAME,rw,target=%s: what is written there is "
                          "thrown away",
                          target);
    case VOLUME_CHOWN:
        (void)error_set(err, ENOTSUP, "--volume '%s': no owner is changed on the host", text);
        return error_hint(err, "root of the step is your user in a volume");
    }
    return 0;
}

/* What is there now; the spawner refuses to show anything else. */
static int find_volume(struct build_volume *v, struct error *err)
{
    const char *path = v->source.source;
    bool is_device;
    struct stat st;

    if (stat(path, &st) < 0)
        return error_errno(err, "cannot use '%s'", path);
    is_device = S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode);
    if (v->has_devices && !is_device && !S_ISDIR(st.st_mode))
        return error_set(err, EINVAL, "'%s' is no device", path);
    if (!v->has_devices && is_device) {
        (void)error_set(err, ENOTSUP, "'%s' is a device", path); /* and: */
        return error_hint(err, "--device %s shows it to every RUN", path);
    }
    v->source.device = st.st_dev;
    v->source.inode = st.st_ino;
    v->is_file = !S_ISDIR(st.st_mode);
    return 0;
}

static int add_volume(const char *source, const char *target, struct build_volume volume,
                      struct volumes *out, struct error *err)
{
    auto_free char *clean = path_clean(target);
    char *real = realpath(source, NULL);
    struct build_volume *v = &out->items[out->count];
    int r;

    if (real == NULL)
        return error_errno(err, "cannot use '%s'", source);
    strv_take(&out->paths, real);
    strv_add(&out->paths, clean);
    *v = volume;
    v->source.source = out->paths.items[out->paths.count - 2];
    v->target = out->paths.items[out->paths.count - 1];
    for (size_t i = 0; i < out->count; i++)
        if (strcmp(out->items[i].target, v->target) == 0)
            return error_set(err, EINVAL, "'%s' is the place of another volume", v->target);
    r = find_volume(v, err);
    if (r == 0)
        r = sandbox_target_check(&(struct sandbox_mount){.kind = SANDBOX_MOUNT_VOLUME,
                                                         .target = v->target,
                                                         .source_is_file = v->is_file,
                                                         .has_devices = v->has_devices},
                                 err);
    out->count++;
    return r;
}

static int parse_volume(const char *text, struct volumes *out, struct error *err)
{
    auto_free char *copy = mem_strdup(text);
    char *rest = copy;
    char *source = strsep(&rest, ":");
    const char *target = strsep(&rest, ":");
    bool is_read_only = false;
    int r = 0;

    if (target == NULL || source[0] == '\0' || (rest != NULL && strchr(rest, ':') != NULL))
        return error_set(err, EINVAL, "'%s' is not HOST:CONTAINER[:OPTIONS]", text);
    for (char *word; r == 0 && (word = strsep(&rest, ",")) != NULL;)
        r = apply_volume_option(text, word, target, &is_read_only, err);
    return r < 0 ? r
                 : add_volume(source, target, (struct build_volume){.is_read_only = is_read_only},
                              out, err);
}

/* buildah-build(1), "--device": a device, or a directory of some. */
static int parse_device(const char *text, struct volumes *out, struct error *err)
{
    auto_free char *copy = mem_strdup(text);
    char *rest = copy;
    const char *source = strsep(&rest, ":");
    const char *target = strsep(&rest, ":");
    const char *access_words = rest;

    if (source[0] == '\0')
        return error_set(err, EINVAL, "'%s' is not HOST[:CONTAINER]", text);
    if (source[0] != '/') {
        (void)error_set(err, ENOTSUP, "descriptions of devices (CDI) are not read"); /* and: */
        return error_hint(err, "name the files: --device /dev/NAME");
    }
    if (target != NULL && target[0] != '/' && rest == NULL) {
        access_words = target;
        target = NULL;
    }
    if (access_words != NULL && strcmp(access_words, "rwm") != 0 && strcmp(access_words, "rw") != 0)
        return error_set(err, ENOTSUP, "access '%s' cannot be had: the mode of the file decides",
                         access_words);
    return add_volume(source, target == NULL ? source : target,
                      (struct build_volume){.has_devices = true}, out, err);
}

/* Shorter paths first: what contains another is shorter. */
static int compare_volumes(const void *a, const void *b)
{
    const struct build_volume *left = a;
    const struct build_volume *right = b;
    size_t left_size = strlen(left->target);
    size_t right_size = strlen(right->target);

    return left_size != right_size ? (left_size > right_size) - (left_size < right_size)
                                   : strcmp(left->target, right->target);
}

int volumes_collect(const struct strv *given, const struct strv *devices, struct volumes *out,
                    struct error *err)
{
    size_t count = given->count + devices->count;
    int r = 0;

    if (count > SPAWNER_VOLUMES_MAX)
        return error_set(err, E2BIG, "a build can have %u volumes and devices, not %zu",
                         SPAWNER_VOLUMES_MAX, count);
    out->items = mem_alloc((count + 1) * sizeof(*out->items));
    for (size_t i = 0; r == 0 && i < given->count; i++) {
        r = parse_volume(given->items[i], out, err);
        if (r < 0)
            (void)error_wrap(err, "--volume '%s'", given->items[i]); /* r is what it returns */
    }
    for (size_t i = 0; r == 0 && i < devices->count; i++) {
        r = parse_device(devices->items[i], out, err);
        if (r < 0)
            (void)error_wrap(err, "--device '%s'", devices->items[i]); /* as above */
    }
    qsort(out->items, out->count, sizeof(*out->items), compare_volumes);
    return r;
}

void volumes_release(struct volumes *v)
{
    free(v->items);
    strv_release(&v->paths);
    *v = (struct volumes){0};
}
