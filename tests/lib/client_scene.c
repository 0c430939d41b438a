/* client_scene.c - a scripted registry and its client. */
#include <string.h>

#include "fs/base/io.h"
#include "tests/lib/client_scene.h"
#include "tests/lib/test.h"

#include "fs/base/banned.h"

static char *write_text(const char *name, const char *text)
{
    if (!text)
        return mem_strdup("/dev/null");
    check_ok(io_write_file_atomic(test_dir_fd(), name, text, strlen(text), 0600, &test_err));
    return str_format("%s/%s", test_dir(), name);
}

void client_scene_init_with(struct client_scene *s, const char *host, enum registry_use use,
                            const char *conf, const char *auth)
{
    auto_free char *config_file = write_text("registries.conf", conf);
    auto_free char *authfile = write_text("auth.json", auth);
    auto_free char *name = str_format("%s/a/b", host);
    auto_reference struct reference ref = {0};
    struct registries_options options = {
        .http = {.attempts_max = 3,
                 .retry_delay_ms = 1,
                 .connect_timeout_ms = 5000,
                 .stall_timeout_ms = 20000, /* no claim waits for it; a busy machine may be slow */
                 .rate_min = 1},
        .authfile = authfile,
        .config_file = config_file,
    };

    *s = (struct client_scene){0};
    s->all = registries_new(&options);
    check_ok(reference_parse(name, &ref, &test_err));
    check_ok(registry_open(s->all, &ref, use, &s->r, &test_err));
}

void client_scene_init(struct client_scene *s, enum registry_use use, const char *conf,
                       const char *auth)
{
    struct fake_registry *fake = fake_registry_start();

    client_scene_init_with(s, fake_registry_host(fake), use, conf, auth);
    s->fake = fake;
    fake_registry_add(fake, &(struct fake_rule){.method = "GET", .path = "/v2/"});
}

void client_scene_release(struct client_scene *s)
{
    registry_close(s->r);
    registries_free(s->all);
    fake_registry_stop(s->fake);
}

const char *client_scene_log(struct client_scene *s)
{
    const char *log = fake_registry_log(s->fake);
    static const char ping[] = "GET /v2/\n";

    while (text_starts(log, ping))
        log += sizeof(ping) - 1;
    return log;
}
