/* build_compat.c - see build_compat.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "builder/image/output_file.h"
#include "builder/sandbox/sandbox.h"
#include "cli/build_compat.h"
#include "cli/step_flags.h"
#include "cli/text.h"
#include "fs/base/io.h"
#include "fs/base/limits.h"
#include "registry/platform.h"

#include "fs/base/banned.h"

void build_compat_release(struct build_compat_result *r)
{
    str_release(&r->ignore_text);
    strv_release(&r->env);
    free(r->platform);
    free(r->ulimits);
}

/* ---- --ulimit ---- */

/* A number, or -1 for none. */
static bool parse_limit(const char *text, size_t size, uint64_t *out)
{
    auto_free char *copy = mem_strndup(text, size);

    *out = UINT64_MAX;
    return strcmp(copy, "-1") == 0 || strcmp(copy, "unlimited") == 0 ||
           text_to_u64(copy, UINT64_MAX - 1, out);
}

/* docker run, "--ulimit": NAME=SOFT[:HARD]; a soft limit alone is both. */
static int parse_ulimit(const char *text, struct sandbox_ulimit *out, struct error *err)
{
    static const struct {
        const char *name;
        int resource;
    } names[] = {
        {"core", RLIMIT_CORE},         {"cpu", RLIMIT_CPU},
        {"data", RLIMIT_DATA},         {"fsize", RLIMIT_FSIZE},
        {"locks", RLIMIT_LOCKS},       {"memlock", RLIMIT_MEMLOCK},
        {"msgqueue", RLIMIT_MSGQUEUE}, {"nice", RLIMIT_NICE},
        {"nofile", RLIMIT_NOFILE},     {"nproc", RLIMIT_NPROC},
        {"rss", RLIMIT_RSS},           {"rtprio", RLIMIT_RTPRIO},
        {"rttime", RLIMIT_RTTIME},     {"sigpending", RLIMIT_SIGPENDING},
        {"stack", RLIMIT_STACK},
    };
    size_t size = strcspn(text, "=");
    const char *soft = text[size] == '=' ? text + size + 1 : "";
    size_t soft_size = strcspn(soft, ":");
    const char *hard = soft[soft_size] == ':' ? soft + soft_size + 1 : soft;
    size_t i = 0;

    while (i < sizeof(names) / sizeof(names[0]) &&
           (strlen(names[i].name) != size || strncmp(names[i].name, text, size) != 0))
        i++;
    if (i == sizeof(names) / sizeof(names[0]) || !parse_limit(soft, soft_size, &out->soft) ||
        !parse_limit(hard, hard == soft ? soft_size : strlen(hard), &out->hard))
        return error_set(err, EINVAL,
                         "invalid --ulimit '%s': NAME=SOFT[:HARD], as nofile=1024:4096", text);
    if (out->soft > out->hard)
        return error_set(err, EINVAL, "invalid --ulimit '%s': the soft limit is above the hard one",
                         text);
    out->resource = names[i].resource;
    return 0;
}

static int set_sandbox(const struct build_compat *c, struct build_options *o,
                       struct build_compat_result *out, struct error *err)
{
    int r = 0;

    out->ulimits = mem_alloc((c->ulimits.count + 1) * sizeof(*out->ulimits));
    for (size_t i = 0; r == 0 && i < c->ulimits.count; i++)
        r = parse_ulimit(c->ulimits.items[i], &out->ulimits[out->ulimit_count++], err);
    if (r == 0 && c->shm_size != NULL)
        r = parse_size(c->shm_size, &o->shm_size_bytes, err);
    if (r == 0 && c->shm_size != NULL && o->shm_size_bytes == 0)
        r = error_set(err, EINVAL, "--shm-size must be more than 0");
    o->ulimits = out->ulimits;
    o->ulimit_count = out->ulimit_count;
    return r;
}

/* ---- --platform in parts ---- */

static int set_platform(const struct build_compat *c, const char *platform,
                        struct build_compat_result *out, struct error *err)
{
    auto_platform struct platform host = {0};
    auto_str struct str text = {0};

    if (c->arch == NULL && c->os == NULL && c->variant == NULL)
        return 0;
    if (platform != NULL)
        return error_set(err, EINVAL,
                         "--platform and its parts (--os, --arch, --variant) are two "
                         "answers to one question");
    platform_host(&host);
    str_addf(&text, "%s/%s", c->os != NULL ? c->os : host.os,
             c->arch != NULL ? c->arch : host.architecture);
    if (c->variant != NULL)
        str_addf(&text, "/%s", c->variant);
    out->platform = str_take(&text);
    return 0;
}

/* ---- the rest ---- */

/* NAME=VALUE a line; empty lines and those that begin with # are none. NAME alone takes its value
 * from the environment. */
static int read_arg_file(const char *path, struct strv *args, struct error *err)
{
    auto_str struct str text = {0};
    char *save = NULL;
    int r = io_read_file(AT_FDCWD, path, LIMIT_INSTRUCTION_SIZE, &text, err);

    if (r < 0)
        return error_wrap(err, "--build-arg-file");
    for (char *line = text.size == 0 ? NULL : strtok_r(text.data, "\r\n", &save); line != NULL;
         line = strtok_r(NULL, "\r\n", &save)) {
        line += strspn(line, " \t");
        if (*line == '#' || *line == '\0')
            continue;
        if (strchr(line, '=') != NULL)
            strv_add(args, line);
        else if (getenv(line) != NULL)
            strv_addf(args, "%s=%s", line, getenv(line));
    }
    return 0;
}

static int check_words(const struct build_compat *c, struct error *err)
{
    if (c->log_format != NULL && strcmp(c->log_format, "json") != 0 &&
        strcmp(c->log_format, "text") != 0 && strcmp(c->log_format, "color") != 0)
        return error_set(err, EINVAL, "--log-format is text or json, not '%s'", c->log_format);
    if (c->http_proxy != NULL && strcmp(c->http_proxy, "true") != 0 &&
        strcmp(c->http_proxy, "false") != 0)
        return error_set(err, EINVAL, "--http-proxy is true or false, not '%s'", c->http_proxy);
    return 0;
}

/* What buildah does to the image's variables and labels, and to the age of cached steps. */
static int set_image(const struct build_compat *c, struct build_options *o,
                     struct build_compat_result *out, struct error *err)
{
    uint64_t ttl_ms = 0;
    int r = env_collect(&c->env, &out->env, err);

    if (r == 0 && c->cache_ttl != NULL)
        r = parse_duration(c->cache_ttl, &ttl_ms, err);
    if (r < 0)
        return c->cache_ttl != NULL && ttl_ms == 0 ? error_wrap(err, "--cache-ttl") : r;
    o->env = &out->env;
    o->unset_env = &c->unset_env;
    o->unset_labels = &c->unset_labels;
    o->cache_ttl_ns = ttl_ms * 1000000;
    if (c->cache_ttl != NULL && ttl_ms == 0)
        o->no_cache = true; /* "0 is the same as --no-cache" */
    return 0;
}

static int set_pull(const struct build_compat *c, const char *pull, struct build_options *o,
                    struct error *err)
{
    if (!c->pull_always && !c->pull_never)
        return 0;
    if ((c->pull_always && c->pull_never) || pull != NULL)
        return error_set(err, EINVAL,
                         "--pull, --pull-always and --pull-never are answers to one question");
    o->pull = c->pull_always ? BUILD_PULL_ALWAYS : BUILD_PULL_NEVER;
    return 0;
}

int build_compat_apply(const struct build_compat *c, const char *platform, const char *pull,
                       struct strv *args, struct build_options *o, struct build_compat_result *out,
                       struct error *err)
{
    uint64_t seconds;
    int r = check_words(c, err);

    if (r == 0)
        r = set_pull(c, pull, o, err);
    if (r == 0)
        r = set_platform(c, platform, out, err);
    if (r == 0)
        r = set_image(c, o, out, err);
    if (r == 0)
        r = set_sandbox(c, o, out, err);
    if (r == 0 && c->ignore_file != NULL) {
        out->ignore_name = path_base(c->ignore_file);
        r = io_read_file(AT_FDCWD, c->ignore_file, LIMIT_IGNORE_SIZE, &out->ignore_text, err);
        if (r < 0)
            (void)error_wrap(err, "--ignorefile"); /* r is what it returns */
    }
    /* What --build-arg says comes later, and so wins. */
    for (size_t i = 0; r == 0 && i < c->arg_files.count; i++)
        r = read_arg_file(c->arg_files.items[i], args, err);
    if (r == 0 && c->timestamp != NULL && !text_to_u64(c->timestamp, UINT64_MAX, &seconds))
        r = error_set(err, EINVAL, "option '--timestamp' takes seconds since 1970, not '%s'",
                      c->timestamp);
    if (r == 0 && c->timestamp != NULL) {
        strv_addf(args, "SOURCE_DATE_EPOCH=%s", c->timestamp);
        o->rewrite_timestamp = true;
    }
    return r;
}

void build_compat_ignore(const struct build_compat_result *r, struct build_options *o)
{
    if (r->ignore_name == NULL)
        return;
    o->ignore_name = r->ignore_name;
    o->ignore_text = str_text(&r->ignore_text);
}

int build_compat_finish(const struct build_compat *c, const struct digest *manifest,
                        struct error *err)
{
    char text[DIGEST_TEXT_SIZE];

    if (c->digest_file == NULL)
        return 0;
    digest_format(manifest, text);
    return output_file_put(c->digest_file, text, strlen(text), err);
}
