/* build_provenance.c - what a finished build and its options say of how it was done. The names of arguments are those of BuildKit's frontend. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "builder/attest/provenance.h"
#include "builder/build_attest.h"
#include "builder/image/image.h"
#include "builder/source/git_address.h"
#include "builder/source/source.h"

#include "fs/base/banned.h"

char *build_invocation_id(void)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    uint8_t bytes[25];
    char text[sizeof(bytes) + 1] = "";

    (void)!getrandom(bytes, sizeof(bytes), 0); /* up to 256 bytes never come short */
    for (size_t i = 0; i < sizeof(bytes); i++)
        text[i] = digits[bytes[i] % (sizeof(digits) - 1)];
    return mem_strdup(text);
}

/* Docker's predefined proxy arguments, in either case. Their URLs may have a password (SECURITY R49). */
static bool is_proxy(const char *pair)
{
    static const char *const names[] = {"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY",
                                        "ALL_PROXY"};
    size_t size = strcspn(pair, "=");

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strlen(names[i]) == size && strncasecmp(pair, names[i], size) == 0)
            return true;
    return false;
}

static void add_joined(struct strv *out, const char *key, const struct strv *values)
{
    auto_free char *all = NULL;

    if (values == NULL || values->count == 0)
        return;
    all = strv_join(values, ",");
    strv_addf(out, "%s=%s", key, all);
}

static void add_contexts(const struct build_options *o, struct strv *out)
{
    for (size_t i = 0; i < o->context_count; i++) {
        const char *value = o->contexts[i].value;
        bool is_address = strstr(value, "://") != NULL || git_address_is_context(value);
        auto_free char *shown =
            is_address ? source_shown(value) : str_format("local:%s", o->contexts[i].name);

        strv_addf(out, "context:%s=%s", o->contexts[i].name, shown);
    }
}

/* Returns whether something was left out. */
static bool collect_args(const struct build_options *o, struct strv *out)
{
    bool lacks = false;

    for (size_t i = 0; o->build_args != NULL && i < o->build_args->count; i++) {
        if (is_proxy(o->build_args->items[i]))
            lacks = true;
        else
            strv_addf(out, "build-arg:%s", o->build_args->items[i]);
    }
    for (size_t i = 0; o->labels != NULL && i < o->labels->count; i++)
        strv_addf(out, "label:%s", o->labels->items[i]);
    if (o->target != NULL)
        strv_addf(out, "target=%s", o->target);
    if (o->no_cache)
        strv_add(out, "no-cache=");
    else
        add_joined(out, "no-cache", o->no_cache_stages);
    add_joined(out, "add-hosts", o->extra_hosts);
    if (o->network != BUILD_NETWORK_DEFAULT)
        strv_addf(out, "force-network-mode=%s", o->network == BUILD_NETWORK_NONE ? "none" : "host");
    if (o->shm_size_bytes > 0)
        strv_addf(out, "shm-size=%llu", (unsigned long long)o->shm_size_bytes);
    add_contexts(o, out);
    return lacks;
}

struct json *build_provenance(const struct build_done *done, const struct provenance_choice *how,
                              const struct image *image)
{
    const struct build_options *o = done->options;
    const struct build_origin *origin =
        o->context_origin.uri != NULL ? &o->context_origin : &o->dockerfile_origin;
    auto_strv struct strv args = {0};
    struct provenance facts = {
        .trace = done->trace,
        .mode = how->mode,
        .version = how->version,
        .builder_id = how->builder_id,
        .program = IMG_VERSION,
        .is_reproducible = how->is_reproducible,
        .invocation_id = done->invocation_id,
        .entry_point = o->dockerfile_name,
        .config_uri = origin->uri,
        .config_digest = origin->digest,
        .args = &args,
        .dockerfile = o->dockerfile,
        .dockerfile_size = o->dockerfile_size,
        .layers = image == NULL ? NULL : &image->document.layers,
    };

    facts.lacks_args = collect_args(o, &args);
    return provenance_new(&facts);
}
