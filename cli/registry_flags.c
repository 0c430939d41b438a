/* registry_flags.c - what --authfile, --creds, --retry and their like mean. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli/main.h"
#include "cli/registry_flags.h"
#include "cli/text.h"
#include "fs/base/log.h"

#include "fs/base/banned.h"

#define RETRIES_MAX 100
#define DELAY_MAX_MS 600000u

static int read_retry(const struct registry_flags *f, struct registries_options *out,
                      struct error *err)
{
    uint64_t value;

    if (f->retry != NULL) {
        if (!text_to_u64(f->retry, RETRIES_MAX, &value))
            return error_set(err, EINVAL, "invalid number of retries '%s': 0 to %d", f->retry,
                             RETRIES_MAX);
        out->http.attempts_max = (unsigned)value + 1;
    }
    if (f->retry_delay != NULL) {
        int r = parse_duration(f->retry_delay, &value, err);

        if (r < 0)
            return r;
        if (value == 0 || value > DELAY_MAX_MS)
            return error_set(err, EINVAL, "invalid delay '%s': 1ms to 10m", f->retry_delay);
        out->http.retry_delay_ms = (unsigned)value;
    }
    return 0;
}

/* Named on purpose: what is not there would be a build without credentials that nobody explains. */
static int check_there(const char *option, const char *path, struct error *err)
{
    if (path == NULL || access(path, F_OK) == 0)
        return 0;
    return error_errno(err, "--%s: cannot use '%s'", option, path);
}

int registry_flags_check(const struct registry_flags *f, struct error *err)
{
    int r = check_there("authfile", f->authfile, err);

    return r < 0 ? r : check_there("cert-dir", f->cert_dir, err);
}

int registry_flags_apply(const struct registry_flags *f, struct registries_options *out,
                         struct error *err)
{
    out->insecure = &f->insecure;
    out->authfile = f->authfile;
    out->http.cert_dir = f->cert_dir;
    out->http.cancelled = program_stop_flag();
    if (f->tls_verify != NULL && strcmp(f->tls_verify, "true") != 0 &&
        strcmp(f->tls_verify, "false") != 0)
        return error_set(err, EINVAL, "--tls-verify is true or false, not '%s'", f->tls_verify);
    if (f->creds != NULL)
        log_warn("a password on the command line is visible to other users: use img login");
    out->insecure_all = f->tls_verify != NULL && strcmp(f->tls_verify, "false") == 0;
    return read_retry(f, out, err);
}

int registry_flags_set_creds(const struct registry_flags *f, struct registries *all,
                             const struct reference *ref, struct error *err)
{
    auto_free char *user = NULL;
    const char *colon;

    if (f->creds == NULL)
        return 0;
    colon = strchr(f->creds, ':');
    if (colon == NULL || colon == f->creds)
        return error_set(err, EINVAL, "--creds wants USER:PASSWORD");
    user = mem_strndup(f->creds, (size_t)(colon - f->creds));
    registries_set_credential(all, ref->host, user, colon + 1);
    return 0;
}
