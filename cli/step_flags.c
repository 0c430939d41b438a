/* step_flags.c - see step_flags.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/ssh_agent.h"
#include "cli/step_flags.h"
#include "fs/base/io.h"

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
