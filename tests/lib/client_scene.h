/* client_scene.h - a scripted registry and a client that knows nobody else: for tests of transfers.
 *
 * Credentials and configuration come from files in the scratch directory, times are short.
 */
#pragma once

#include "registry/client.h"
#include "tests/lib/blobs.h"
#include "tests/lib/fake_registry.h"

struct client_scene {
    struct fake_registry *fake;
    struct registries *all;
    struct registry *r; /* repository "a/b" of the scripted registry */
};

/* `conf`: text of registries.conf; `auth`: of the credentials file; NULL: none. The scripted
 * registry answers the first question of every client, GET /v2/, with 200. */
void client_scene_init(struct client_scene *s, enum registry_use use, const char *conf,
                       const char *auth);
/* The same with a registry that is there already; it is not stopped with the scene. */
void client_scene_init_with(struct client_scene *s, const char *host, enum registry_use use,
                            const char *conf, const char *auth);
void client_scene_release(struct client_scene *s);
DEFINE_CLEANUP_VALUE(client_scene_release, struct client_scene)
#define auto_client_scene CLEANUP(client_scene_release)

/* What was asked after the first question: the log without its "GET /v2/" lines. Borrowed. */
const char *client_scene_log(struct client_scene *s);
