/* proxy_args.c - from config.json to build arguments. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "registry/auth_file.h"
#include "registry/proxy_args.h"

#include "fs/base/banned.h"

static const struct {
    const char *key;
    const char *upper;
    const char *lower;
} proxies[] = {
    {"httpProxy", "HTTP_PROXY", "http_proxy"}, {"httpsProxy", "HTTPS_PROXY", "https_proxy"},
    {"ftpProxy", "FTP_PROXY", "ftp_proxy"},    {"noProxy", "NO_PROXY", "no_proxy"},
    {"allProxy", "ALL_PROXY", "all_proxy"},
};

static bool is_given(const struct strv *args, const char *name)
{
    size_t size = strlen(name);

    for (size_t i = 0; i < args->count; i++)
        if (strncasecmp(args->items[i], name, size) == 0 && args->items[i][size] == '=')
            return true;
    return false;
}

int proxy_args_add(struct strv *out, struct error *err)
{
    auto_free char *path = auth_file_docker_path();
    auto_json struct json *document = NULL;
    const struct json *defaults;
    int r = path ? auth_file_read(path, AUTH_FILE_CONFIG, &document, err) : 0;

    if (r < 0)
        return r;
    defaults = json_get_object(json_get_object(document, "proxies"), "default");
    for (size_t i = 0; i < sizeof(proxies) / sizeof(proxies[0]); i++) {
        const char *value = json_get_text(defaults, proxies[i].key);

        if (!value || value[0] == '\0' || is_given(out, proxies[i].upper))
            continue;
        strv_addf(out, "%s=%s", proxies[i].upper, value);
        strv_addf(out, "%s=%s", proxies[i].lower, value);
    }
    return 0;
}
